"""One training a run folder: the folder is locked as long as it is trained into.

The operating system holds the lock for an open folder, so that a killed process leaves none. Where folders cannot be
locked (on Windows, on some network drives) nothing is.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from foveate.engine.processes import from_first, is_first
from foveate.engine.recipe import Recipe
from foveate.engine.resume import choose_folder
from foveate.engine.run import RunFolder
from foveate.errors import ConfigError

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None  # type: ignore[assignment]


@contextlib.contextmanager
def locked_run(recipe: Recipe, run: RunFolder, out: str | Path | None, resume: bool) -> Iterator[RunFolder]:
    """Lock the folder of a training, which is made if it is not there; yields it, or the next one of its name.

    run: as `choose_folder` chose it. Another training may have taken the folder since: where it was named by `out` or
    is resumed, ConfigError is raised. A folder in which nothing was written is removed at the end.
    """
    locks = contextlib.ExitStack()

    def take() -> RunFolder:
        found = run
        while is_first():
            if not locks.enter_context(_locked(found.path)):
                if out is not None or resume:
                    raise ConfigError(
                        f"{found.path} is trained into by another process; wait until that ends, or choose another "
                        "folder with --out"
                    )
            elif resume or not found.is_trained:
                return found
            found = choose_folder(recipe, out, resume)  # refuses a folder that was named
        return found

    with locks:
        yield from_first(take)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """True while the folder is locked for this process, or cannot be locked or made at all; False for another's."""
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
        if free:  # else the other process has yet to write there
            with contextlib.suppress(OSError):
                folder.rmdir()
