"""One training a run folder: the folder is locked as long as it is trained into (`disk.locked_folder`)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from foveate.disk import locked_folder
from foveate.engine.processes import from_first, is_first
from foveate.engine.recipe import Recipe
from foveate.engine.resume import choose_folder
from foveate.engine.run import RunFolder
from foveate.errors import ConfigError


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
            if not locks.enter_context(locked_folder(found.path)):
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
