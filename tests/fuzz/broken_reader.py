"""The fuzzer on a reader that breaks each of its laws once; run by `test_readers.py` as a program."""

from __future__ import annotations

import os
import random
from pathlib import Path

import formats
import harness

from foveate.errors import FoveateError


def read(folder: Path, rng: random.Random) -> None:
    """Break the law that the file's number stands for."""
    number = int((folder / "number").read_text())
    if number == 1:
        raise KeyError("x")
    if number == 2:
        (folder / "written").touch()
    if number == 3:
        while True:
            pass
    if number == 4:
        os.abort()
    if number == 5:
        raise FoveateError("an error of the project")


def write(folder: Path, rng: random.Random) -> None:
    """Write the next number."""
    (folder / "number").write_text(str(next(numbers)))


numbers = iter(range(1, 100))
formats.READERS["broken"] = formats.Reader(write, lambda f, r: formats.attempt(read, f, r))
harness.mutate = lambda folder, rng: None
harness.SECONDS = 0.2
*faults, done = harness.run("broken", 0, 3)
assert done == 3, done
kinds = [fault.kind.partition(" ")[0] for fault in faults]
assert kinds == ["KeyError", "AssertionError", "TooLongError"], kinds
assert [fault.case for fault in faults] == [0, 1, 2], faults
numbers = iter((4, 5))
*faults, _ = harness.run("broken", 3, 1)
assert [fault.kind for fault in faults] == ["process died of signal 6"], faults
