"""A bounded queue of work: one thread decodes, one runs, and the event loop only reads and writes.

    admit (count, bytes) -> read the body -> decode (bytes in memory) -> run -> answer

Decoding and running overlap, as both let go of Python's lock for most of their time. Nothing is accepted that cannot be
kept: a request too many is refused at once, so that those before it keep their deadlines.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable
from statistics import fmean
from types import TracebackType
from typing import Any, NamedTuple, Self

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from foveate.server.problem import Problem

MAX_HELD = 256_000_000  # bytes of all bodies that are read or wait
MAX_DECODED = 256_000_000  # bytes of all inputs that are decoded and wait to be run
AHEAD = 2  # inputs that are decoded and wait to be run
LONGEST_RETRY = 60  # seconds


class Item(NamedTuple):
    """A part of a job that is decoded and run as one. size: bytes that it takes once `load` has decoded it."""

    size: int
    load: Callable[[], Any]


class AbandonedError(Exception):
    """Nobody waits for the job any more: its client has gone, or its deadline has passed."""


class Job(ABC):
    """The work of one request; its methods are called in the threads of a `Work`, and may raise what is answered."""

    is_over: Callable[[], bool] = staticmethod(lambda: False)  # set by `Work`
    submitted = 0.0  # time.monotonic, set by `Work`

    def require_alive(self) -> None:
        """Raise AbandonedError if nobody waits any more; to be called now and then in long work."""
        if self.is_over():
            raise AbandonedError

    @abstractmethod
    def items(self) -> Iterable[Item]:
        """The parts, in the thread that decodes; each is loaded before the next is asked for."""

    @abstractmethod
    def run(self, loaded: Any) -> None:
        """Work on a part, in the thread that runs."""

    @abstractmethod
    def finish(self) -> Any:
        """The result, in the thread that runs, after the last part."""


class _Entry:
    """A job in the queue."""

    def __init__(self, job: Job, deadline: float) -> None:
        self.job, self.deadline = job, deadline
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()
        self.abandoned = False
        self.error: BaseException | None = None
        self.seconds = 0.0  # of the thread that runs
        job.submitted, job.is_over = time.monotonic(), self.is_over

    def is_over(self) -> bool:
        return self.abandoned or time.monotonic() > self.deadline

    def settle(self, result: Any, error: BaseException | None) -> None:
        """Hand the outcome to the event loop."""

        def deliver() -> None:
            if self.future.done():
                return
            if error is None:
                self.future.set_result(result)
            else:
                self.future.set_exception(error)

        with contextlib.suppress(RuntimeError):  # the loop is closed: the server has stopped
            self.loop.call_soon_threadsafe(deliver)


class Ticket:
    """A place in the queue; leaving the context frees it."""

    def __init__(self, work: Work) -> None:
        self._work, self._held = work, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._work._count -= 1
        self._work._held -= self._held

    def hold(self, size: int) -> None:
        """Count bytes of a body as they arrive. Raises Problem if all bodies together are too many."""
        if self._work._held + size > self._work.max_held:
            raise self._work._full("the bodies that wait take too much memory")
        self._held += size
        self._work._held += size

    async def answer(self, job: Job, receive: Receive) -> Any:
        """The job's result, or what it raises.

        receive: of the request, whose body has been read. Raises Problem when the deadline has passed or the server
        stops, ClientDisconnect when the client has gone.
        """
        return await self._work._answer(job, receive)


class Work:
    """The queue and its two threads.

    limit: requests that are read, wait or run. deadline: seconds from the last byte of a body to its answer.
    """

    def __init__(self, limit: int, deadline: float, max_held: int = MAX_HELD, max_decoded: int = MAX_DECODED) -> None:
        self.limit, self.deadline, self.max_held, self.max_decoded = limit, deadline, max_held, max_decoded
        self.draining = False
        self.rejected = 0
        self._count = self._held = 0  # of the event loop's thread alone
        self._entries: set[_Entry] = set()
        self._durations: deque[float] = deque(maxlen=20)
        self._lock = threading.Condition()  # of what follows
        self._waiting: deque[_Entry] = deque()
        self._ready: deque[tuple[_Entry, int, Any]] = deque()
        self._decoded = 0
        self._stopped = False
        self._threads: list[threading.Thread] = []

    @property
    def depth(self) -> int:
        """Requests that are read, wait or run."""
        return self._count

    def start(self) -> None:
        """Start the threads."""
        for name, target in (("decode", self._decode), ("run", self._run)):
            thread = threading.Thread(target=target, name=f"foveate-{name}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self, seconds: float = 1.0) -> bool:
        """Stop the threads; False if one is still busy after some seconds."""
        with self._lock:
            self._stopped = True
            self._lock.notify_all()
        for thread in self._threads:
            thread.join(seconds)
        return not any(thread.is_alive() for thread in self._threads)

    def admit(self) -> Ticket:
        """A place in the queue, before the body is read. Raises Problem if it is full, or the server stops."""
        if self.draining:
            raise _stopping()
        if self._count >= self.limit:
            raise self._full(f"{self._count} requests wait already")
        self._count += 1
        return Ticket(self)

    def _full(self, what: str) -> Problem:
        self.rejected += 1
        seconds = min(LONGEST_RETRY, max(1, math.ceil(self._count * fmean(self._durations or [0]))))
        return Problem(
            "queue-full",
            f"{what}; this server takes {self.limit} at a time: try again in {seconds} s",
            {"Retry-After": str(seconds)},
        )

    async def _answer(self, job: Job, receive: Receive) -> Any:
        entry = _Entry(job, time.monotonic() + self.deadline)
        self._entries.add(entry)
        gone = asyncio.ensure_future(_disconnected(receive))
        with self._lock:
            self._waiting.append(entry)
            self._lock.notify_all()
        try:
            await asyncio.wait({entry.future, gone}, timeout=self.deadline, return_when=asyncio.FIRST_COMPLETED)
            if entry.future.done():
                try:
                    return entry.future.result()
                except AbandonedError:
                    pass  # it noticed the deadline first
            elif gone.done():
                raise ClientDisconnect
            raise Problem(
                "deadline",
                f"no answer within {self.deadline:g} s, waiting included; try again later, send a smaller input, or "
                "start the server with a longer --deadline",
            )
        finally:
            entry.abandoned = True
            self._entries.discard(entry)
            with self._lock, contextlib.suppress(ValueError):
                self._waiting.remove(entry)  # so that its body is freed before its turn
            if not entry.future.done():
                entry.future.cancel()
            gone.cancel()

    async def drain(self, seconds: float) -> None:
        """Refuse new requests, wait for those that were admitted, and refuse what is left then."""
        self.draining = True
        end = time.monotonic() + seconds
        while self._count and time.monotonic() < end:
            await asyncio.sleep(0.02)
        for entry in list(self._entries):
            if not entry.future.done():
                entry.future.set_exception(_stopping())

    # The threads

    def _next(self, queue: deque[Any]) -> Any:
        """The first of a queue, as soon as there is one; None when the work stops."""
        with self._lock:
            self._lock.wait_for(lambda: queue or self._stopped)
            return None if self._stopped else queue.popleft()

    def _decode(self) -> None:
        while (entry := self._next(self._waiting)) is not None:
            try:
                for item in () if entry.is_over() else entry.job.items():
                    self._reserve(entry, item.size)
                    try:
                        loaded = item.load()
                    except BaseException:
                        self._release(item.size)
                        raise
                    self._push(entry, item.size, loaded)
                    del loaded
            except BaseException as error:
                entry.error = error
            self._push(entry, 0, _END)
            del entry

    def _reserve(self, entry: _Entry, size: int) -> None:
        """Wait until an input of this size fits beside those that wait to be run; one alone always does."""

        def fits() -> bool:
            few = len(self._ready) < AHEAD and (not self._decoded or self._decoded + size <= self.max_decoded)
            return few or self._stopped or entry.is_over()

        with self._lock:
            while not self._lock.wait_for(fits, timeout=0.2):
                pass
            if self._stopped or entry.is_over():
                raise AbandonedError
            self._decoded += size

    def _release(self, size: int) -> None:
        with self._lock:
            self._decoded -= size
            self._lock.notify_all()

    def _push(self, entry: _Entry, size: int, loaded: Any) -> None:
        with self._lock:
            self._ready.append((entry, size, loaded))
            self._lock.notify_all()

    def _run(self) -> None:
        while (taken := self._next(self._ready)) is not None:
            entry, size, loaded = taken
            del taken
            begin = time.monotonic()
            try:
                if entry.error is None and not entry.is_over():
                    if loaded is _END:
                        result = entry.job.finish()
                        self._durations.append(entry.seconds + time.monotonic() - begin)
                        entry.settle(result, None)
                        del result
                    else:
                        entry.job.run(loaded)
                elif loaded is _END:
                    entry.settle(None, entry.error or AbandonedError())
            except BaseException as error:
                entry.error = error
                if loaded is _END:
                    entry.settle(None, error)
            entry.seconds += time.monotonic() - begin
            del entry, loaded
            self._release(size)


_END = object()


def _stopping() -> Problem:
    return Problem("draining", "the server is stopping; send it to another one, or later", {"Connection": "close"})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
