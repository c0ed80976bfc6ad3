"""Files that reach the disk whole or not at all, and folders that one process at a time writes into."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from foveate.errors import OutputError

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None  # type: ignore[assignment]

MARK = ".unfinished"  # part of the name of a file that is being written
ABOUT = "about.txt"  # in a part of the cache: what it holds, in one line
LONGEST_NAME = 255  # bytes of a file's name, on nearly every file system


def is_hidden(name: str) -> bool:
    """True for names of files and folders that a system or a tool wrote for itself: .ipynb_checkpoints, __MACOSX."""
    return name[:1] == "." or name in ("__MACOSX", "@eaDir")


def is_file(path: Path) -> bool:
    """True if there is a file; False also for a name that no file can have, as one of a text is (too long, \\0)."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def plain_name(name: str | Path) -> str:
    """A name as file systems see it that do not tell Photo from photo, and one Unicode form from another."""
    return unicodedata.normalize("NFC", str(name)).casefold()


def cache_folder() -> Path:
    """The folder of everything that can be computed again: FOVEATE_CACHE, by default ~/.cache/foveate."""
    return Path(os.environ.get("FOVEATE_CACHE") or Path.home() / ".cache" / "foveate")


@contextlib.contextmanager
def atomic_write(path: str | Path, flush: bool = True) -> Iterator[Path]:
    """Write a file atomically: yield a temporary path beside `path` and rename it to `path` at the end.

    Missing parent folders are created. If the body fails, the previous file at `path` is kept; a reader never sees a
    partly written file. flush: also wait until the file is on the disk, so that it outlives a power cut.
    Raises OutputError, naming `path`, for any OSError (no space, not writable), and for `.` or `/`.
    """
    path = Path(path)
    if not path.name:
        raise OutputError(f"cannot write {path}: it is a folder; name a file in it")
    temporary = _beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if flush:
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        reason = f"{path.parent} is not a folder" if isinstance(error, FileExistsError) else error.strerror or error
        remedy = "free some space or choose a writable place"
        if error.errno == errno.ENAMETOOLONG:
            remedy = f"choose a shorter name ({LONGEST_NAME} bytes at most)"
        meant = _meant(path)
        raise OutputError(f"cannot write {meant}: {reason}; {remedy} (what was there before is untouched)") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def unfinished_folder(folder: Path) -> Path:
    """A hidden name beside a folder, also of `.`, that it has until it is whole."""
    folder = folder.resolve()
    return folder.with_name(f".{folder.name}.unfinished")


def put_in_place(unfinished: Path, folder: Path) -> None:
    """Give a finished folder its name. Into an empty one of that name its entries are moved: a shell may be in it."""
    if folder.is_dir():
        for entry in sorted(unfinished.iterdir()):
            entry.rename(folder / entry.name)
        unfinished.rmdir()
    else:
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished.rename(folder)


def _beside(path: Path) -> Path:
    """A hidden name beside `path` that no other has, with as much of its name as one of a file may hold.

    One that is itself too long is not cut, so that the error comes at once.
    """
    mark = f".{os.getpid()}-{secrets.token_hex(4)}{MARK}{path.suffix}"
    stem = path.stem
    if len(os.fsencode(path.name)) <= LONGEST_NAME:
        stem = os.fsencode(stem)[: LONGEST_NAME - 1 - len(os.fsencode(mark))].decode(errors="ignore")
    return path.with_name(f".{stem}{mark}")


def _meant(path: Path) -> Path:
    """The file that is written, where `path` is already the hidden name of one: a writer may be called by another."""
    found = re.fullmatch(rf"\.(.+)\.\d+-[0-9a-f]+{re.escape(MARK)}(\.[^.]*)?", path.name)
    return path.with_name(found[1] + (found[2] or "")) if found else path


def write_atomically(path: str | Path, content: bytes | memoryview | str) -> None:
    """Write bytes or UTF-8 text atomically. Raises OutputError, naming the path."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def sync_folder(folder: str | Path) -> None:
    """Wait until the names in a folder are on the disk: after `atomic_write`, a power cut cannot undo the rename.

    Does nothing where folders cannot be opened, as on Windows.
    """
    with contextlib.suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def require_writable(path: str | Path) -> None:
    """Raise OutputError if no file can be written at `path`; call it before long work. Leaves nothing behind."""
    path = Path(path).parent.resolve() / Path(path).name
    if path.exists() and not path.is_file():
        raise OutputError(f"{path} is {'a folder' if path.is_dir() else 'not a regular file'}; name a file in a folder")
    missing = [folder for folder in path.parents if not folder.exists()]
    try:
        with contextlib.suppress(_WritableError), atomic_write(path) as temporary:
            temporary.touch()
            raise _WritableError
    finally:
        for folder in missing:
            with contextlib.suppress(OSError):  # another process may have put something there
                folder.rmdir()


class _WritableError(Exception):
    """Signal that a probe file could be written; it ends the probe before the rename."""


@contextlib.contextmanager
def locked_folder(folder: str | Path) -> Iterator[bool]:
    """True while a folder, which is made if it is not there, is locked for this process; False for another's.

    The operating system holds the lock for an open folder, so that a killed process leaves none. Where folders cannot
    be locked (on Windows, on some network drives) nothing is, and every process is told True. Folders that were made
    here and hold nothing are removed at the end.
    """
    folder = Path(folder)
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    number, free = None, True
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if fcntl is not None:
            number = os.open(folder, os.O_RDONLY)
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        free = False
    except OSError:  # of a folder that cannot be made, the first file that is written says so
        pass
    try:
        yield free
    finally:
        if number is not None:
            os.close(number)
        for path in missing:
            if free:  # else the other process has yet to write there
                with contextlib.suppress(OSError):
                    path.rmdir()


def sweep(folder: str | Path) -> None:
    """Remove the unfinished files that a killed writer left in a folder and its subfolders."""
    for path in Path(folder).rglob(f".*{MARK}*"):
        with contextlib.suppress(OSError):
            path.unlink()
