"""The one way files reach the disk: whole, or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from foveate.errors import OutputError

MARK = ".unfinished"  # in the name of a file that is being written


@contextlib.contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Write a file whole or not at all: yields a temporary path beside `path`, which takes its place at the end.

    Folders on the way are made. Whatever stood at `path` stays if the body fails; a reader never sees half a file.
    Raises OutputError, naming `path`, for any OSError (no space, not writable).
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}-{secrets.token_hex(4)}{MARK}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        reason = f"{path.parent} is no folder" if isinstance(error, FileExistsError) else error.strerror or error
        raise OutputError(
            f"cannot write {path}: {reason}; free some space or choose a writable place "
            "(what was there before is untouched)"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_atomically(path: str | Path, content: bytes | memoryview | str) -> None:
    """Write a whole file or nothing. Raises OutputError, naming it."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def require_writable(path: str | Path) -> None:
    """Raise OutputError now rather than after the work, if no file can be written there. Leaves nothing behind."""
    path = Path(path).parent.resolve() / Path(path).name
    if path.exists() and not path.is_file():
        raise OutputError(f"{path} is {'a folder' if path.is_dir() else 'no regular file'}; name a file in a folder")
    missing = [folder for folder in path.parents if not folder.exists()]
    try:
        with contextlib.suppress(_EnoughError), atomic_write(path) as temporary:
            temporary.touch()
            raise _EnoughError
    finally:
        for folder in missing:
            with contextlib.suppress(OSError):  # another process may have put something there
                folder.rmdir()


class _EnoughError(Exception):
    """It could have been written."""


def sweep(folder: str | Path) -> None:
    """Remove the unfinished files that a killed writer left in a folder and below."""
    for path in Path(folder).rglob(f".*{MARK}*"):
        with contextlib.suppress(OSError):
            path.unlink()
