"""Division of images that was drawn, and the `splits.json` that keeps it.

Reading a folder writes nothing: a drawn division is written once, when a split of it is opened.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from foveate.disk import atomic_write
from foveate.errors import OutputError

NOT_WRITABLE = "; the folder is not writable, so it is drawn again each time"


@dataclass
class Drawn:
    """The way in which images were divided whose files do not say it; false if they do.

    clause: it, for `describe`. file: where it is kept. names: split -> the names that are to be written there, {} if
    they are there already. seed: of the draw.
    """

    clause: str = ""
    file: Path | None = None
    names: dict[str, list[str]] = field(default_factory=dict)
    seed: int = 0

    def __str__(self) -> str:
        return self.clause

    def __bool__(self) -> bool:
        return bool(self.clause)

    def write(self) -> None:
        """Write the names to the file, once; the clause then says whether that was possible."""
        if self.file is None or not self.names:
            return
        if not write_splits(self.file, self.names, self.seed):
            self.clause += NOT_WRITABLE
        elif "drawn" in self.clause:
            self.clause += f", written to {self.file.name}"
        self.names = {}


def is_read_only(folder: Path) -> bool:
    """True for a folder marked so; it is left alone, though root could write."""
    return not folder.stat().st_mode & 0o222


def write_splits(path: Path, splits: dict[str, list[str]], seed: int) -> bool:
    """Write the names of each split; False if the folder cannot be written to."""
    if is_read_only(path.parent):
        return False
    try:
        with atomic_write(path) as temporary:
            text = json.dumps({"seed": seed, "splits": {s: sorted(n) for s, n in splits.items()}}, indent=1)
            temporary.write_text(text + "\n", encoding="utf-8")
    except OutputError:  # a read-only corpus is usual
        return False
    return True
