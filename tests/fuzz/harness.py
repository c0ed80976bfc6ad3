"""Running of fuzz cases in processes of their own, with limits on time and memory, and a record of what went wrong.

A case is a reader's name and a number, which decides its files and their mutations. It is read in a process that was
forked after everything was imported; a case that takes too long, or kills its process, is a fault like an exception.
"""

from __future__ import annotations

import contextlib
import faulthandler
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from formats import READERS
from mutations import mutate

SECONDS = 10  # of the processor, for one case
PATIENCE = 90  # seconds of the clock without a sign of life, after which a process is killed
MEMORY = 1 << 30  # bytes above what the imported modules take
MAX_PIXELS = "2000000"


@dataclass(frozen=True)
class Fault:
    """A case that broke the law. kind: what two cases of one cause have in common."""

    reader: str
    case: int
    kind: str
    text: str


class TooLongError(BaseException):
    """Signal that a case took more than SECONDS; not an Exception, so that no reader catches it."""


def prepare() -> None:
    """Import what readers import, so that processes forked afterwards need not. Limits the size of images."""
    os.environ["FOVEATE_MAX_PIXELS"] = MAX_PIXELS
    import av  # noqa: F401
    import faster_coco_eval.core.mask  # noqa: F401
    import onnx  # noqa: F401
    import onnxruntime  # noqa: F401
    import soundfile  # noqa: F401
    import torch

    from foveate.registry import entries

    torch.set_num_threads(1)
    for kind in ("dataset", "task", "model", "recipe"):
        for entry in entries(kind).values():
            entry.load()


def write_case(reader: str, case: int, folder: Path) -> random.Random:
    """Write a case's files into an empty folder; returns the state from which the reading goes on."""
    rng = random.Random(f"{reader}/{case}")
    READERS[reader].write(folder, rng)
    mutate(folder, rng)
    return rng


def read_case(reader: str, case: int, folder: Path) -> None:
    """Write a case's files into an empty folder and read them. Raises whatever the reader raises beside its errors."""
    rng = write_case(reader, case, folder)
    before = contents(folder)
    READERS[reader].read(folder, rng)
    after = contents(folder)
    after, before = ({n: s for n, s in one.items() if Path(n).name != "splits.json"} for one in (after, before))
    if after != before:
        changed = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
        raise AssertionError(f"reading changed {changed}")


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    """Relative path -> size and time of change, of everything below a folder."""
    found = {}
    for path in folder.rglob("*"):
        state = path.lstat()
        name = os.fsencode(path.relative_to(folder)).decode("utf-8", "backslashreplace")
        found[name] = (state.st_size, state.st_mtime_ns) if path.is_file() else (0, 0)
    return found


def run(reader: str, first: int, count: int, until: float = float("inf"), keep: Path | None = None) -> Iterator[Any]:
    """Read cases `first`, `first + 1`, ... of a reader; yields a Fault for each that broke the law, then the number.

    count: the most cases. until: the time of the clock (time.monotonic) to stop at. keep: a folder for the files of
    faulty cases.
    """
    case, done = first, 0
    while done < count and time.monotonic() < until:
        context = multiprocessing.get_context("fork")
        here, there = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(there, reader, case, count - done, until, keep))
        process.start()
        there.close()
        while True:
            try:
                message = here.recv() if here.poll(PATIENCE) else None
            except EOFError:
                break
            if message is None:
                process.kill()
                break
            if isinstance(message, Fault):
                yield message
            else:
                case, done = message, done + 1
        process.join()
        if process.exitcode:  # the case after the last that was begun killed it
            how = f"died of signal {-process.exitcode}" if process.exitcode < 0 else f"left with {process.exitcode}"
            yield Fault(reader, case, f"process {how}", f"the process {how} in case {case}")
            case += 1
        else:
            break
    yield done


def _work(pipe: Any, reader: str, first: int, count: int, until: float, keep: Path | None) -> None:
    """Read cases one after another, and say each number before it is begun, and each fault."""
    warnings.simplefilter("ignore")
    faulthandler.enable(sys.stderr)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, _too_long)
    home = Path(tempfile.mkdtemp(prefix="fuzz-"))
    os.environ |= {"HOME": str(home / "home"), "FOVEATE_CACHE": str(home / "home" / "cache")}
    (home / "home").mkdir()
    (home / "work").mkdir()
    os.chdir(home / "work")
    try:
        for case in range(first, first + count):
            if time.monotonic() > until:
                break
            pipe.send(case)
            folder = home / "case"
            folder.mkdir()
            try:
                with limited():
                    read_case(reader, case, folder)
                if found := [p for place in ("home", "work") for p in (home / place).rglob("*")]:
                    raise AssertionError(f"reading wrote {sorted(p.name for p in found)} elsewhere")
            except BaseException as error:
                pipe.send(Fault(reader, case, kind_of(error), "".join(traceback.format_exception(error))))
                if keep is not None:
                    shutil.copytree(folder, keep / f"{reader}-{case}", symlinks=True, dirs_exist_ok=True)
            shutil.rmtree(folder, ignore_errors=True)
            for place in ("home", "work"):
                shutil.rmtree(home / place, ignore_errors=True)
                (home / place).mkdir(exist_ok=True)
            os.chdir(home / "work")
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """Raise TooLongError in a body that takes more than SECONDS of the processor."""
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _too_long(number: int, frame: Any) -> None:
    raise TooLongError(f"more than {SECONDS} s")


def kind_of(error: BaseException) -> str:
    """The exception's type and the innermost line of Foveate that it came through."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "/foveate/" in f.filename]
    where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno} {frames[-1].name}" if frames else "the test itself"
    return f"{type(error).__name__} in {where}"
