"""Rank of a training's process, known before the processes can communicate.

Lightning starts the others of a machine by running the command again with LOCAL_RANK set; a cluster's launcher starts
all of them and sets RANK or SLURM_PROCID. The first one alone prints and writes.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")
FOLDER = "FOVEATE_RUN"


def is_first() -> bool:
    """True in the process that prints and writes."""
    return all(os.environ.get(name, "0") == "0" for name in RANKS)


@contextlib.contextmanager
def share_folder(run: Path) -> Iterator[None]:
    """Pass the run folder that the first process chose to the processes that are started meanwhile."""
    os.environ[FOLDER] = str(run.absolute())
    try:
        yield
    finally:
        os.environ.pop(FOLDER, None)


def shared_folder() -> Path | None:
    """The run folder that the first process chose, if it started this one."""
    return Path(os.environ[FOLDER]) if FOLDER in os.environ else None
