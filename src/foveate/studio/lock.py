"""One labelling page a folder: a lock that ends with its process."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from pathlib import Path
from typing import IO, Any

from foveate.errors import ConfigError, OutputError

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None  # type: ignore[assignment]

LOCK_FILE = "lock"


class FolderLock:
    """A lock on a folder's `.foveate`. Raises ConfigError, naming the process, where another one holds it.

    The operating system holds it for the open file, so a killed process leaves none. Where it cannot (Windows), the
    number and the start of the process in the file decide.
    """

    def __init__(self, folder: Path, about: dict[str, Any]) -> None:
        self.path = folder / LOCK_FILE
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file: IO[str] = self.path.open("a+", encoding="utf-8")
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {error.strerror}; use --read-only to look only") from error
        if not self._take():
            holder = self._holder()
            self._file.close()
            raise ConfigError(
                f"{folder.parent} is open in another studio (process {holder.get('pid', 'unknown')} on "
                f"{holder.get('host', 'this machine')}, {holder.get('address', 'address unknown')}); use that one or "
                "stop it"
            )
        self._file.seek(0)
        self._file.truncate()
        me = {"pid": os.getpid(), "started": process_start(os.getpid()), "host": socket.gethostname(), **about}
        self._file.write(json.dumps(me))
        self._file.flush()

    def _take(self) -> bool:
        if fcntl is not None:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return False
            return True
        holder = self._holder()
        return not is_running(holder.get("pid"), holder.get("started"))

    def _holder(self) -> dict[str, Any]:
        with contextlib.suppress(OSError, ValueError):
            self._file.seek(0)
            found = json.loads(self._file.read())
            if isinstance(found, dict):
                return found
        return {}

    def release(self) -> None:
        """Give the folder free."""
        with contextlib.suppress(OSError, ValueError):
            self._file.seek(0)
            self._file.truncate()
            self._file.close()


def process_start(pid: int) -> float | None:
    """The time at which a process began, in seconds since 1970; None for one that is not there."""
    import psutil

    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def is_running(pid: Any, started: Any) -> bool:
    """True for a process that lives and is the one that began then: numbers of processes are used again."""
    import psutil

    if type(pid) is not int or not isinstance(started, (int, float)):
        return False
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - started) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
