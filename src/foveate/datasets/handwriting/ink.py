"""Pieces of handwriting as points, from whichever file; and the source that all of their readers share.

Shapes: N points of a piece, each x, y and 1 where the pen is lifted after it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch

from foveate.datasets.checks import label_digest
from foveate.datasets.drawn import Drawn
from foveate.datasets.files import ScannedSource
from foveate.datasets.splits import SPLIT_ORDER, split_parts
from foveate.datasets.text_doubts import text_notes
from foveate.errors import DataError, counted, first_names
from foveate.records import HandwritingSample, Problem
from foveate.values import require_choices

Pen = Literal["auto", "lifted", "down", "from"]
EVERY = 10  # of an undivided set, every tenth piece is val
LEAST = 2  # points
UNSURE = 0.7  # share of points up to which bits of 1 at most of them may be lifts after dots
FEWEST = 0.4  # share of points from which bits of 1 may be lines from them
MEANING = {
    "lifted": "the pen is lifted after the point",
    "down": "the line to the point is drawn",
    "from": "the line from the point is drawn",
}
DRIFT, SPREAD = 0.3, 0.9  # correlation of x with its place in a piece: of offsets at most, of their sums at least
FAR = 100  # times the usual longest step of a piece


class Ink(NamedTuple):
    """One piece: points (N, 3) float32 with y downwards, its text ('' if unknown), and its name."""

    points: np.ndarray
    text: str
    name: str


def ink_of(points: np.ndarray, text: str, name: str) -> Ink:
    """A checked piece of handwriting, whose last point lifts the pen.

    Blanks and line ends in the text become one blank each. Raises DataError for fewer than two points, points that are
    all at one place, numbers that are not finite, or a pen bit that is neither 0 nor 1.
    """
    points = np.asarray(points, np.float32)
    if points.ndim != 2 or points.shape[1] != 3:
        raise DataError(f"{name}: points of shape {points.shape}; expected (N, 3): x, y and the pen bit")
    if len(points) < LEAST:
        raise DataError(f"{name}: {counted(len(points), 'point')}; expected {LEAST} or more")
    if not np.isfinite(points).all():
        row = int(np.argmin(np.isfinite(points).all(1)))
        raise DataError(f"{name}: point {row} is {points[row].tolist()}; expected finite numbers")
    if not np.isin(points[:, 2], (0, 1)).all():
        value = points[~np.isin(points[:, 2], (0, 1)), 2][0]
        raise DataError(f"{name}: a pen bit of {value:g}; expected 0 or 1")
    if (points[:, :2] == points[0, :2]).all():
        raise DataError(f"{name}: {counted(len(points), 'point')} at one and the same place; expected strokes")
    points = points.copy()
    points[-1, 2] = 1
    return Ink(points, " ".join(text.split()), name)


def lifted(pen: np.ndarray, meaning: str) -> np.ndarray:
    """The pen bits of a piece, by their meaning (see `MEANING`) -> bits that say 'lifted after this point'."""
    if meaning == "lifted" or not len(pen):
        return pen
    return (1 - pen if meaning == "from" else np.append(1 - pen[1:], 1)).astype(pen.dtype)


@dataclass
class InkScan:
    """Contents of a source. pairs: split -> its pieces. pen: the meaning of the pen bit, in words."""

    pairs: dict[str, list[Ink]]
    problems: list[Problem] = field(default_factory=list)
    drawn: Drawn = field(default_factory=Drawn)
    pen: str = ""


class InkDataset:
    """Pieces of handwriting. `texts` are known without reading points."""

    def __init__(self, inks: Sequence[Ink]) -> None:
        self.inks = list(inks)
        self.texts = [ink.text for ink in self.inks]

    @property
    def count(self) -> int:
        """The number of pieces."""
        return len(self.inks)

    def __len__(self) -> int:
        return len(self.inks)

    def name(self, index: int) -> str:
        """The file's name, and the number of the piece in it."""
        return self.inks[index].name

    def digest(self, index: int) -> str:
        """A digest of the text."""
        return label_digest(self.texts[index])

    def __getitem__(self, index: int) -> HandwritingSample:
        ink = self.inks[index]
        offsets = np.diff(ink.points[:, :2], axis=0, prepend=ink.points[:1, :2])
        strokes = torch.from_numpy(np.concatenate([offsets, ink.points[:, 2:]], 1))
        return HandwritingSample(strokes=strokes, transcript=ink.text, name=ink.name)


class InkSource(ScannedSource[Any]):
    """A source of stroke files: `load` reads all pieces of a file or folder.

    Parts called train, val and test are the splits; of an undivided set every tenth piece is val.
    """

    path: str
    tasks: ClassVar[tuple[str, ...]] = ("handwriting",)
    called: ClassVar[str]  # the format, in words
    suffix: ClassVar[str]

    @abstractmethod
    def load(self, path: Path, problems: list[Problem]) -> tuple[list[Ink], str]:
        """The pieces in a file or folder, and the meaning of the pen bit. Bad pieces are added to the problems."""

    def read(self) -> InkScan:
        """Read everything. Raises DataError if there is nothing to read."""
        require_choices(self)
        root, problems = Path(self.path), []  # type: ignore[var-annotated]
        if not root.exists():
            raise DataError(f"{root}: no such file or folder; check the path")
        parts = split_parts(root, self.holds, problems) if root.is_dir() else {}
        found = {split: self.load(path, problems) for split, path in (parts or {"": root}).items()}
        pens = {split: said for split, (_, said) in found.items() if said}
        pen = next(iter(pens.values()), "")
        if len({said.partition(" (")[0] for said in pens.values()}) > 1:
            said = "; ".join(f"in {split} {words}" for split, words in pens.items())
            problems.append(Problem(root, f"{said}; say which one holds by --data.pen lifted, down or from"))
        pairs = {split: inks for split, (inks, _) in found.items() if inks}
        drawn = Drawn()
        undivided = pairs.pop("", None) or (pairs.get("train") if "val" not in pairs else None)
        if undivided is not None:
            if len(undivided) < 2:
                raise DataError(f"{root}: {counted(len(undivided), 'piece')} of handwriting; expected two or more")
            pairs |= {
                "train": [ink for i, ink in enumerate(undivided) if i % EVERY],
                "val": undivided[::EVERY],
            }
            drawn = Drawn("every tenth is val")
        if not pairs and not problems:
            raise DataError(f"{root}: no handwriting in it; expected {self.called}")
        return InkScan({split: pairs[split] for split in SPLIT_ORDER if split in pairs}, problems, drawn, pen)

    def holds(self, path: Path) -> bool:
        """True for a file of this format, or a folder with one."""
        return path.suffix.lower() == self.suffix if path.is_file() else any(path.rglob(f"*{self.suffix}"))

    def readable(self, split: str, task: str = "") -> InkDataset:
        """One split."""
        self.serve(task)
        return InkDataset(self.scan.pairs[split])

    def describe(self, task: str = "") -> str:
        """The format, its counts, and the meaning of the pen bit, in one line."""
        scan = self.scan
        counts = ", ".join(f"{len(inks)} {split}" for split, inks in scan.pairs.items())
        drawn = f" ({scan.drawn})" if scan.drawn else ""
        return f"{self.called}: {counts} pieces of handwriting{drawn}" + (f"; {scan.pen}" if scan.pen else "")

    def notes(self, task: str = "") -> list[str]:
        """Notes on pieces without a text, pens that are never lifted, and points that lie far from all others."""
        inks = [ink for inks in self.scan.pairs.values() for ink in inks]
        without = [ink.name for ink in inks if not ink.text]
        notes = (
            [f"{len(without)} of {counted(len(inks), 'piece')} without a text, {without[0]} among them"]
            if without
            else []
        )
        notes += text_notes((ink.text for ink in inks), "text")
        if are_offsets([ink.points for ink in inks]):
            notes.append(
                "points that stay around 0, as offsets from the point before do, and read as positions: their sums run "
                "along a line of writing; save sums of offsets (x and y) if these are offsets"
            )
        if len(inks) > 1 and not any(ink.points[:-1, 2].any() for ink in inks):
            notes.append(
                "the pen is never lifted before the end of a piece, so that each is drawn in one line; if this is not "
                "how they were written, put 1 where the pen is lifted"
            )
        notes += _equal_notes(self.scan.pairs)
        steps = np.array([np.abs(np.diff(ink.points[:, :2].astype(np.float64), axis=0)).max() for ink in inks])
        usual = float(np.median(steps)) if len(steps) else 0.0
        if (far := steps > FAR * usual).any():
            worst = int(steps.argmax())
            notes.append(
                f"{counted(int(far.sum()), 'piece')} with a step more than {FAR} times as long as the usual longest "
                f"({usual:g}), such as {steps[worst]:g} in {inks[worst].name}; a wrong point makes all other strokes "
                "small beside it"
            )
        return notes


def are_offsets(pieces: Sequence[np.ndarray]) -> bool:
    """True if points (N, 3) look like offsets: x of both signs goes nowhere, and its sums go along a line."""
    own, sums = [], []
    for x in (points[:, 0].astype(np.float64) for points in pieces):
        if len(x) > 2 and x.min() < 0 < x.max():
            own.append(_drift(x))
            sums.append(_drift(np.cumsum(x)))
    return 2 * len(own) > len(pieces) and bool(np.median(np.abs(own)) < DRIFT and np.median(sums) > SPREAD)


def _drift(x: np.ndarray) -> float:
    """The correlation of values with their places; 0 for equal ones."""
    return float(np.corrcoef(x, np.arange(len(x)))[0, 1]) if x.std() > 0 else 0.0


def _equal_notes(pairs: Mapping[str, Sequence[Ink]]) -> list[str]:
    """A note on pieces of val and test whose points are also a piece of train."""
    known = {ink.points.tobytes(): ink.name for ink in pairs.get("train", ())}
    notes = []
    for split in [name for name in pairs if name != "train"]:
        shared = [f"{ink.name} = {known[key]}" for ink in pairs[split] if (key := ink.points.tobytes()) in known]
        if shared:
            notes.append(
                f"{counted(len(shared), 'piece')} of {split} in train, too, point for point ({first_names(shared)}), "
                f"so that {split} is no test of what was learned; remove one of each"
            )
    return notes


@dataclass
class PenBits:
    """The meaning of a file's pen bits, as asked for or as they show it.

    asked: a key of `MEANING`, or 'auto'. Bits of 1 at most points can only mean that a line is drawn: to the point, if
    pieces end with a line (1), or from the point, if they begin with one and end without (0).
    """

    asked: Pen

    def resolve(self, pieces: Sequence[np.ndarray]) -> tuple[str, str]:
        """(meaning, it in words) of columns of pen bits, one a piece."""
        share = float(np.mean(np.concatenate(pieces))) if pieces else 0.0
        found, doubt = (self.asked, "") if self.asked != "auto" else _meaning(pieces, share)
        seen = f" ({share:.0%} of the points have it{doubt})" if self.asked == "auto" else ""
        return found, f"a pen bit of 1 means that {MEANING[found]}{seen}"


def _meaning(pieces: Sequence[np.ndarray], share: float) -> tuple[str, str]:
    """(the meaning that most pieces fit, a clause where they do not tell it); share: of bits of 1."""
    ends_drawn = sum(bool(pen[-1] == 1) for pen in pieces)
    begins_drawn = sum(bool(pen[0] == 1 and pen[-1] == 0) for pen in pieces)
    if share <= 0.5:
        return ("from" if share >= FEWEST and 2 * begins_drawn > len(pieces) else "lifted"), ""
    found, fitting = max((("down", ends_drawn), ("from", begins_drawn)), key=lambda one: one[1])
    if 3 * fitting < 2 * len(pieces):
        other = "from" if found == "down" else "down"
        return found, f"; assumed, since first and last points do not tell: --data.pen {other} if {MEANING[other]}"
    if found == "down" and share <= UNSURE:
        return found, f"; assumed: --data.pen lifted if {MEANING['lifted']}"
    return found, ""
