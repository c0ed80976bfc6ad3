"""The queue: bounds, deadlines, clients that go, draining; and that decoding and running overlap."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref

import pytest
from starlette.requests import ClientDisconnect

from foveate.errors import DataError
from foveate.server.problem import Problem
from foveate.server.work import AbandonedError, Item, Job, Work


class Simple(Job):
    """A job of some items, whose run can be held."""

    def __init__(self, *sizes: int, hold: threading.Event | None = None, fail: str = "", log: list | None = None):
        self.sizes, self.hold, self.fail, self.log = sizes or (1,), hold, fail, log if log is not None else []
        self.ran: list[int] = []

    def items(self):
        self.log.append("items")
        for index, size in enumerate(self.sizes):
            yield Item(size, lambda index=index: self._load(index))

    def _load(self, index):
        self.log.append(f"load {index}")
        if self.fail == "load":
            raise DataError("a.png: damaged")
        return index

    def run(self, loaded):
        self.log.append(f"run {loaded}")
        while self.hold is not None and not self.hold.wait(0.01):
            self.require_alive()
        if self.fail == "run":
            raise DataError("b.png: too dark")
        self.ran.append(loaded)

    def finish(self):
        return self.ran


def receiver(gone: asyncio.Event | None = None):
    async def receive():
        await (gone or asyncio.Event()).wait()
        return {"type": "http.disconnect"}

    return receive


def with_work(main, **settings):
    work = Work(**({"limit": 4, "deadline": 20.0} | settings))
    work.start()
    try:
        return asyncio.run(main(work))
    finally:
        assert work.stop(30)


async def until(condition):
    """Wait until something is so, however busy the machine is."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.005)


async def answered(work, job, gone=None):
    with work.admit() as ticket:
        return await ticket.answer(job, receiver(gone))


def test_a_job_is_loaded_and_run_item_by_item():
    job = Simple(1, 1, 1)
    assert with_work(lambda work: answered(work, job)) == [0, 1, 2]
    assert job.log[0] == "items" and job.log.index("load 2") < job.log.index("run 2")


@pytest.mark.parametrize(("fail", "text"), [("load", "a.png: damaged"), ("run", "b.png: too dark")])
def test_an_error_is_the_answer_and_the_next_job_runs(fail, text):
    async def main(work):
        with pytest.raises(DataError, match=text):
            await answered(work, Simple(1, 1, fail=fail))
        return await answered(work, Simple()), work.depth, work._decoded

    assert with_work(main) == ([0], 0, 0)


def test_a_full_queue_refuses_at_once_and_says_when_to_come_back():
    hold = threading.Event()

    async def main(work):
        tasks = [asyncio.ensure_future(answered(work, Simple(hold=hold))) for _ in range(4)]
        await until(lambda: work.depth == 4)
        with pytest.raises(Problem) as raised:
            work.admit()
        hold.set()
        assert await asyncio.gather(*tasks) == [[0]] * 4
        assert work.depth == 0 and work.rejected == 1
        work._durations.extend([2.5] * 20)
        first = work.admit()
        with pytest.raises(Problem) as bytes_too_many:
            first.hold(10**12)
        first.__exit__(None, None, None)
        return raised.value, bytes_too_many.value

    full, large = with_work(main)
    assert (full.code, full.status, full.headers) == ("queue-full", 429, {"Retry-After": "1"})
    assert full.detail == "4 requests wait already; this server takes 4 at a time: try again in 1 s"
    assert large.headers == {"Retry-After": "3"}  # one request of 2.5 s is before it


def test_bytes_of_all_bodies_are_bounded_and_given_back():
    async def main(work):
        with work.admit() as one, work.admit() as other:
            one.hold(60)
            other.hold(40)
            with pytest.raises(Problem):
                other.hold(1)
        with work.admit() as again:
            again.hold(100)
        return work._held

    assert with_work(main, max_held=100) == 0


def test_decoded_inputs_wait_for_room():
    """A second large input is not decoded while the first waits; one that is larger than the room is, alone."""
    hold = threading.Event()
    log: list[str] = []

    async def main(work):
        first = asyncio.ensure_future(answered(work, Simple(80, hold=hold, log=log)))
        second = asyncio.ensure_future(answered(work, Simple(80, 500, log=log)))
        await until(lambda: log.count("items") == 2 and "run 0" in log)
        await asyncio.sleep(0.3)
        assert log.count("load 0") == 1
        hold.set()
        await asyncio.gather(first, second)
        return work._decoded

    assert with_work(main, max_decoded=100) == 0
    assert log.count("load 0") == 2 and log.count("load 1") == 1


def test_decoding_overlaps_running():
    hold = threading.Event()
    log: list[str] = []

    async def main(work):
        tasks = [asyncio.ensure_future(answered(work, Simple(hold=hold, log=log))) for _ in range(3)]
        await until(lambda: log.count("load 0") >= 2)
        assert log.count("run 0") == 1
        hold.set()
        await asyncio.gather(*tasks)

    with_work(main)


def test_the_deadline_counts_waiting_and_ends_the_run():
    hold = threading.Event()
    jobs = [Simple(hold=hold), Simple(), Simple(), Simple()]

    async def main(work):
        results = await asyncio.gather(*(answered(work, job) for job in jobs), return_exceptions=True)
        for error in results:
            assert isinstance(error, Problem) and error.code == "deadline" and error.status == 504
            assert error.detail.startswith("no answer within 0.3 s, waiting included; try again later")
        work.deadline = 20.0
        return await answered(work, Simple())

    assert with_work(main, deadline=0.3) == [0]  # the first one's run noticed, and let the next one in
    assert not any(job.ran for job in jobs) and jobs[-1].log == []  # dropped before its turn


def test_a_client_that_has_gone_is_dropped_and_its_body_freed():
    hold = threading.Event()
    job = Simple()
    freed = weakref.ref(job)

    async def main(work):
        nonlocal job
        busy = [asyncio.ensure_future(answered(work, one)) for one in (Simple(hold=hold), Simple(), Simple())]
        await until(lambda: work.depth == 3 and len(work._ready) >= 2)  # no room to decode another one
        gone = asyncio.Event()
        waiting = asyncio.ensure_future(answered(work, job, gone))
        log, job = job.log, None
        await until(lambda: work.depth == 4)
        gone.set()
        await until(waiting.done)
        assert isinstance(waiting.exception(), ClientDisconnect)
        del waiting  # and the frames of its traceback
        gc.collect()
        assert freed() is None and log == [] and work.depth == 3  # though the first one still runs
        hold.set()
        await asyncio.gather(*busy)

    with_work(main)


def test_draining_answers_what_was_admitted_and_refuses_the_rest():
    hold = threading.Event()

    async def main(work):
        tasks = [asyncio.ensure_future(answered(work, Simple(hold=hold))) for _ in range(3)]
        await until(lambda: work.depth == 3)
        draining = asyncio.ensure_future(work.drain(30))
        await until(lambda: work.draining)
        with pytest.raises(Problem) as raised:
            work.admit()
        assert (raised.value.code, raised.value.status) == ("draining", 503)
        assert not draining.done()
        hold.set()
        await draining
        return await asyncio.gather(*tasks)

    assert with_work(main) == [[0]] * 3


def test_draining_ends_though_a_run_does_not():
    hold = threading.Event()

    async def main(work):
        task = asyncio.ensure_future(answered(work, Simple(hold=hold)))
        await until(lambda: work.depth == 1)
        await work.drain(0.1)
        with pytest.raises(Problem, match="the server is stopping"):
            await task

    with_work(main)


def test_a_job_can_ask_whether_anyone_waits():
    job = Simple()
    job.require_alive()
    job.is_over = lambda: True
    with pytest.raises(AbandonedError):
        job.require_alive()
