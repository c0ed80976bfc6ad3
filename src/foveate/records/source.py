"""The contract of a data source: the files, or the generated data, that a recipe trains on."""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from foveate.errors import ConfigError, DataError


class Problem(NamedTuple):
    """A file that cannot be used, and why."""

    file: Path
    what: str

    def __str__(self) -> str:
        return f"{self.file}: {self.what}"


def summarise(problems: Sequence[Problem]) -> list[str]:
    """A line a problem; more than three of one kind are one line, with their number and three names."""
    groups: dict[str, list[Problem]] = {}
    for problem in problems:
        groups.setdefault(_VARIABLE.sub("*", problem.what), []).append(problem)
    lines: list[str] = []
    for group in groups.values():
        lines += [_several(group)] if len(group) > NAMED else map(str, group)
    return lines


NAMED = 3  # problems of one kind that are named
# What differs between problems of one kind: quoted names, paths and numbers.
_VARIABLE = re.compile(r"'[^']*'|\S*/\S*|\S+\.\w+\b|\d[\dx.]*")


def _several(group: Sequence[Problem]) -> str:
    files = list(dict.fromkeys(problem.file for problem in group))
    same = len({problem.what for problem in group}) == 1
    if len(files) == 1:  # one file with many entries, as a list of names
        head, _, rest = group[0].what.partition("; ")
        names = [_VARIABLE.findall(problem.what)[:1] for problem in group[1:NAMED]]
        also = ", ".join(name for found in names for name in found)
        return f"{files[0]}: {head} ({len(group)} like this: also {also}, ...)" + (f"; {rest}" if rest else "")
    root = Path(os.path.commonpath([file.parent for file in files]))
    shown = ", ".join(file.relative_to(root).as_posix() for file in files[:NAMED]) + (
        ", ..." if len(files) > NAMED else ""
    )
    what = group[0].what if same else f"{group[0].what} (the first of these)"
    return f"{len(group)} in {root} ({shown}): {what}"


class UnusableFilesError(DataError):
    """Files that cannot be used: its text names the first three, `problems` holds all."""

    def __init__(self, text: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(text)
        self.problems = list(problems)


class DataSource(ABC):
    """A recipe's data: a frozen dataclass in `datasets/`, registered by name with `@dataset`.

    Its fields are plain values; they are stored in recipe.json and can be set from the command line. A source that
    reads files has the field `path`.

    tasks: the families that it serves, by name, the usual one first. A data set of objects serves semantic segmentation
        and instance segmentation, for example. Every method that takes `task` takes one of these; '' is the first.
    unlabelled: True for a format that any folder of files without labels has. It is recognised only where one of its
        own families is asked for: elsewhere, that labels are missing is what a user has to read.
    """

    tasks: ClassVar[tuple[str, ...]]
    unlabelled: ClassVar[bool] = False

    @staticmethod
    def recognise(path: Path) -> bool:
        """True if the folder or file at `path` has this format. Generated data is never recognised."""
        return False

    @staticmethod
    def near_miss(path: Path) -> str:
        """The reason why `path` is nearly of this format; '' if it is not.

        It is a clause with a verb that follows the format's name or the path, and ends with what to do: "holds one
        class, 'cow'; a classifier needs two or more, a folder each".
        """
        return ""

    @classmethod
    def upgraded(cls, recipe: Mapping[str, Any]) -> Mapping[str, Any]:
        """The content of a recipe.json with this source, as this version writes it: the place to rename old values."""
        return recipe

    def made_from(self, path: Path) -> DataSource | None:
        """This source on the files at `path` (`--data`), for data that is generated from other files; else None."""
        return None

    def undivided(self) -> DataSource | None:
        """This source with all of its samples in the split test, where its files name no splits; None otherwise."""
        return None

    @abstractmethod
    def splits(self) -> tuple[str, ...]:
        """Names of the splits that hold samples, 'train' first."""

    @abstractmethod
    def open(self, split: str, task: str = "") -> Any:
        """One split as a data set of a family: `len`, indexing (decodes one sample), and `name(index)`.

        An implementation starts with `task = self.serve(task)`. A data set may have `digest(index)`, a digest of the
        sample's label without decoding the sample: a resumed run is refused if one has changed.
        Raises DataError for files that cannot be used,
        ConfigError for a split or a family that is not there.
        """

    @abstractmethod
    def describe(self, task: str = "") -> str:
        """The recognised format, its counts and its classes, in one line."""

    def problems(self, task: str = "") -> list[Problem]:
        """Files that cannot be used. `open` raises them, `readable` leaves them out."""
        return []

    def notes(self, task: str = "") -> list[str]:
        """Sentences on what may be other than was meant, though the data can be used: images in two splits, and so on.

        `foveate datasets inspect` and `foveate train` print them.
        """
        return []

    def readable(self, split: str, task: str = "") -> Any:
        """`open`, leaving out the files that cannot be used, and writing nothing: for `foveate datasets inspect`."""
        return self.open(split, task)

    def remarks(self, task: str = "") -> dict[str, Any]:
        """Further facts for `foveate datasets inspect`, by name, as plain JSON values: files left out, for example."""
        return {}

    def serve(self, task: str) -> str:
        """The family that `task` names, by default the first of `tasks`. Raises ConfigError if it is not served."""
        if not task:
            return self.tasks[0]
        if task not in self.tasks:
            where = getattr(self, "path", "") or type(self).__name__
            raise ConfigError(
                f"{where}: data for {' and '.join(self.tasks)}, but this model is for {task}; see `foveate recipes`"
            )
        return task
