"""One labelling page a folder: a lock that ends with its process."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from foveate.errors import ConfigError, OutputError

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None  # type: ignore[assignment]

LOCK_FILE = "lock"


class FolderLock:
    """A lock on a folder that is labelled. Raises ConfigError, naming the process, where another one holds it.

    The folder itself is locked at once, which leaves nothing in it; `.foveate/lock` is written and locked by `begin`,
    before the first change, and at once where there is a `.foveate` or where folders cannot be locked (on Windows, on
    some network drives). The operating system holds locks for open files, so a killed process leaves none; where it
    cannot, the number and the start of the process in the file decide.

    root: the folder. own: its `.foveate`. about: facts for the message of a second studio, such as the address.
    """

    def __init__(self, root: Path, own: Path, about: Mapping[str, Any]) -> None:
        self.root, self.path, self._about = root, own / LOCK_FILE, dict(about)
        self._file: IO[str] | None = None
        self._beginning = threading.Lock()
        self._folder = _open_folder(root)
        locked = self._folder is not None and self._lock_folder(self._folder)
        if own.exists() or not locked:
            try:
                self.begin()
            except BaseException:
                self.release()
                raise

    def _lock_folder(self, number: int) -> bool:
        """Lock the folder; False where folders cannot be locked. Raises ConfigError where another process has it."""
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            raise self._held() from None
        except OSError:
            return False
        return True

    def begin(self) -> None:
        """Write and lock `.foveate/lock`, unless that is done. Raises ConfigError, OutputError."""
        with self._beginning:
            if self._file is not None:
                return
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                file = self.path.open("a+", encoding="utf-8")
            except OSError as error:
                raise OutputError(
                    f"cannot write {self.path}: {error.strerror}; use --read-only to look only"
                ) from error
            try:
                if not self._take(file):
                    raise self._held()
                me = {"pid": os.getpid(), "started": process_start(os.getpid()), "host": socket.gethostname()}
                file.seek(0)
                file.truncate()
                file.write(json.dumps(me | self._about))
                file.flush()
            except OSError as error:
                file.close()
                raise OutputError(f"cannot write {self.path}: {error.strerror}; free some space") from error
            except ConfigError:
                file.close()
                raise
            self._file = file

    def _take(self, file: IO[str]) -> bool:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True
        holder = self._holder()
        return not is_running(holder.get("pid"), holder.get("started"))

    def _held(self) -> ConfigError:
        holder = self._holder()
        who = "it has written nothing there yet, so that its address is not known here"
        if holder:
            who = f"process {holder.get('pid')} on {holder.get('host')}, {holder.get('address', 'address unknown')}"
        return ConfigError(f"{self.root} is open in another studio ({who}); use that one or stop it")

    def _holder(self) -> dict[str, Any]:
        with contextlib.suppress(OSError, ValueError):
            found = json.loads(self.path.read_text(encoding="utf-8"))
            if isinstance(found, dict):
                return found
        return {}

    def release(self) -> None:
        """Give the folder free."""
        if self._file is not None:
            with contextlib.suppress(OSError, ValueError):
                self._file.seek(0)
                self._file.truncate()
                self._file.close()
            self._file = None
        if self._folder is not None:
            os.close(self._folder)
            self._folder = None


def _open_folder(root: Path) -> int | None:
    """A number for a folder that can be locked; None where folders cannot be opened."""
    if fcntl is None:
        return None
    try:
        return os.open(root, os.O_RDONLY)
    except OSError:
        return None


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
