"""Writing a result so that a reader never meets half of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from foveate.errors import OutputError


@contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """A place beside `path` to write to, moved to `path` when all went well and removed when not.

    Raises OutputError, naming the file, where it cannot be written.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        part.replace(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"cannot write {path}: {reason}; choose a folder that exists and has room") from error
    finally:
        part.unlink(missing_ok=True)
