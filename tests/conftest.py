"""A disk that can be filled."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from pathlib import Path

import pytest


class SmallDisk:
    """A file system of two megabytes, mounted at `path`."""

    def __init__(self, path: Path):
        self.path = path
        self._filler = path / "filler"

    def fill(self) -> None:
        """Write until no space is left."""
        with contextlib.suppress(OSError), self._filler.open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass

    def free(self) -> None:
        self._filler.unlink()


@pytest.fixture
def small_disk(tmp_path):
    """A small disk, where this process may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    done = None
    if shutil.which("mount"):
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place], capture_output=True)
    if done is None or done.returncode:
        pytest.skip("no file system can be mounted here")
    yield SmallDisk(place)
    subprocess.run(["umount", "-l", place], check=True)
