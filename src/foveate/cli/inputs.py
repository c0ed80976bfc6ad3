"""Input files named on a command line, and the places of their results."""

from __future__ import annotations

import difflib
import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foveate.disk import is_hidden
from foveate.errors import ConfigError, DataError

if TYPE_CHECKING:
    from foveate.tasks.inputs import Input


@dataclass
class Job:
    """One input: its file, the place of its results, and the outcome.

    out, name: the folder of the whole call, and below it the name, without its ending, that only this input's results
        have.
    record: its entry in predictions.json. error: the reason why it could not be predicted.
    """

    source: Path
    out: Path
    name: Path
    record: dict[str, Any] = field(default_factory=dict)
    error: str = ""

    def result(self, ending: str) -> Path:
        """The path of a result, e.g. of "_overlay.jpg"."""
        return self.out / f"{self.name}{ending}"

    def relative(self, result: Path) -> str:
        """A result's path as predictions.json names it: below the folder of the whole call."""
        return result.relative_to(self.out).as_posix()


def plan(inputs: list[str], out: Path, kind: Input, endings: Sequence[str]) -> list[Job]:
    """The files that the inputs mean, each once, with places for their results that no other has.

    kind: of the files. endings: of all results that a file may have. Sub-folders of a folder are kept; equal names are
    made distinct by their suffix or a number.
    Raises DataError for an input that does not exist or has no such file, ConfigError where a result would replace
    an input.
    """
    jobs: list[Job] = []
    seen: set[Path] = set()
    taken: set[str] = set()
    for source, relative in (pair for text in inputs for pair in _find(text, out, kind)):
        if source.resolve() in seen:
            continue
        seen.add(source.resolve())
        jobs.append(Job(source, out, _free_name(relative, taken)))
    for job in jobs:
        if not seen.isdisjoint(job.result(ending).resolve() for ending in endings):
            raise ConfigError(f"results in {out} would replace the input {job.source}; choose another --out")
    return jobs


def _find(text: str, out: Path, kind: Input) -> list[tuple[Path, Path]]:
    """(file, its path relative to the input) of every file that an input means."""
    path = Path(text).expanduser()
    if path.is_file():
        return [(path, Path(path.name))]
    if path.is_dir():
        ours = out.resolve()
        files = [p for p in sorted(path.rglob("*")) if p.suffix.lower() in kind.suffixes and p.is_file()]
        visible = [p for p in files if not any(is_hidden(part) for part in p.relative_to(path).parts)]
        found = [p for p in visible if path.resolve() == ours or ours not in p.resolve().parents]
        if not found:
            raise DataError(f"no {kind.nouns} in {path}; expected files ending in {', '.join(sorted(kind.suffixes))}")
        return [(p, p.relative_to(path)) for p in found]
    if glob.has_magic(text):
        matches = [Path(p) for p in sorted(glob.glob(str(path), recursive=True))]  # noqa: PTH207 - '**' and absolute patterns
        found = [p for p in matches if p.suffix.lower() in kind.suffixes and p.is_file()]
        if not found:
            others = f"; {len(matches)} other files and folders do" if matches else ", nor anything else"
            raise DataError(f"no {kind.noun} matches {text}{others}; check the folder and the pattern")
        root = Path(os.path.commonpath([p.parent for p in found]))
        return [(p, p.relative_to(root)) for p in found]
    names = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, names, n=1)
    hint = f"the nearest is {path.parent / near[0]}" if near else f"give a {kind.noun}, a folder or a glob"
    raise DataError(f"{path} does not exist; {hint}")


def _free_name(relative: Path, taken: set[str]) -> Path:
    """A name without suffix that is not taken yet: photo, else photo_jpg, else photo_jpg_2, ..."""
    stem = relative.with_suffix("")
    longer = relative.with_name(f"{stem.name}_{relative.suffix.removeprefix('.')}")
    candidates = [stem, longer]
    number = 2
    while str(candidates[0]).casefold() in taken:  # some file systems do not tell Photo from photo
        candidates.pop(0)
        if not candidates:
            candidates.append(longer.with_name(f"{longer.name}_{number}"))
            number += 1
    taken.add(str(candidates[0]).casefold())
    return candidates[0]
