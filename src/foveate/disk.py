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
    path = Path(path)
    if path.is_dir():
        raise OutputError(f"{path} is a folder; name a file in it")
    missing = [folder for folder in path.parents if not folder.exists()]
    probe = path.with_name(f".{path.name}{MARK}")
    try:
        with atomic_write(probe) as temporary:
            temporary.touch()
    except OutputError as error:
        reason = getattr(error.__cause__, "strerror", None) or error
        raise OutputError(f"cannot write {path}: {reason}; choose another place") from error
    probe.unlink(missing_ok=True)
    for folder in missing:
        folder.rmdir()


def sweep(folder: str | Path) -> None:
    """Remove the unfinished files that a killed writer left in a folder and below."""
    for path in Path(folder).rglob(f".*{MARK}*"):
        with contextlib.suppress(OSError):
            path.unlink()
