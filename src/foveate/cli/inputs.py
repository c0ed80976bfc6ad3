"""The pictures that a command line means, and where their results go."""

from __future__ import annotations

import difflib
import glob
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from foveate.errors import ConfigError, DataError


@dataclass
class Job:
    """One picture: where it is read, where its results go, and what came of it.

    out, name: the folder of the whole call, and below it the name, without an end, that only this picture's results
        have.
    record: what predictions.json says of it. error: why it could not be looked at.
    """

    source: Path
    out: Path
    name: Path
    record: dict[str, Any] = field(default_factory=dict)
    error: str = ""

    @property
    def mask(self) -> Path:
        """Of a label map."""
        return self._result(".png")

    @property
    def overlay(self) -> Path:
        """The drawing of a label map, or of a class."""
        return self._result("_overlay.jpg")

    @property
    def clip(self) -> Path:
        """The picture in motion, and what a classifier makes of it."""
        return self._result("_clip.gif")

    @property
    def strip(self) -> Path:
        """Where a captioner looked, a panel a word."""
        return self._result("_attention.png")

    @property
    def animation(self) -> Path:
        """The same, a frame a word."""
        return self._result("_attention.gif")

    def results(self) -> tuple[Path, ...]:
        """Every file that may be written of it."""
        return self.mask, self.overlay, self.clip, self.strip, self.animation

    def told(self, result: Path) -> str:
        """A result's path as predictions.json names it: below the folder of the whole call."""
        return result.relative_to(self.out).as_posix()

    def _result(self, end: str) -> Path:
        return self.out / f"{self.name}{end}"


def plan(inputs: list[str], out: Path) -> list[Job]:
    """The pictures that the inputs mean, each once, with places for their results that nobody else has.

    Sub-folders of a folder are kept; equal names are told apart by their suffix or a number.
    Raises DataError for an input that is not there or has no picture, ConfigError where a result would replace
    an input.
    """
    jobs: list[Job] = []
    seen: set[Path] = set()
    taken: set[str] = set()
    for source, relative in (pair for text in inputs for pair in _find(text, out)):
        if source.resolve() in seen:
            continue
        seen.add(source.resolve())
        jobs.append(Job(source, out, _free_name(relative, taken)))
    for job in jobs:
        if not seen.isdisjoint(path.resolve() for path in job.results()):
            raise ConfigError(f"results in {out} would replace the input {job.source}; choose another --out")
    return jobs


def _find(text: str, out: Path) -> list[tuple[Path, Path]]:
    """(file, its path relative to what was asked for) of every picture that an input means."""
    from foveate.pictures import PICTURE_SUFFIXES

    path = Path(text).expanduser()
    if path.is_file():
        return [(path, Path(path.name))]
    if path.is_dir():
        ours = out.resolve()
        files = [p for p in sorted(path.rglob("*")) if p.suffix.lower() in PICTURE_SUFFIXES and p.is_file()]
        shown = [p for p in files if not any(part.startswith(".") for part in p.relative_to(path).parts)]
        found = [p for p in shown if path.resolve() == ours or ours not in p.resolve().parents]
        if not found:
            raise DataError(f"no pictures in {path}; expected files ending in {', '.join(sorted(PICTURE_SUFFIXES))}")
        return [(p, p.relative_to(path)) for p in found]
    if glob.has_magic(text):
        matches = [Path(p) for p in sorted(glob.glob(str(path), recursive=True))]  # noqa: PTH207 - '**' and absolute patterns
        found = [p for p in matches if p.suffix.lower() in PICTURE_SUFFIXES and p.is_file()]
        if not found:
            others = f"; {len(matches)} other files and folders do" if matches else ", nor anything else"
            raise DataError(f"no picture matches {text}{others}; check the folder and the pattern")
        root = Path(os.path.commonpath([p.parent for p in found]))
        return [(p, p.relative_to(root)) for p in found]
    names = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, names, n=1)
    hint = f"the nearest is {path.parent / near[0]}" if near else "give a picture, a folder or a glob"
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
