"""IAM-OnDB (Liwicki and Bunke 2005): lines written on a whiteboard, strokes in XML and texts apart."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from foveate.datasets.handwriting.ink import Ink, InkScan, InkSource
from foveate.datasets.handwriting.inkml import from_strokes, parse_xml
from foveate.datasets.text_files import read_text
from foveate.errors import DataError, counted
from foveate.records import Problem
from foveate.registry import dataset

STROKES, TEXTS = ("lineStrokes", "lineStrokes-all"), ("ascii", "ascii-all")


@dataset("iam_ondb")
@dataclass(frozen=True)
class IamOnDB(InkSource):
    """IAM-OnDB: DATA/lineStrokes/**/a01-000u-01.xml with the lines of DATA/ascii/**/a01-000u.txt, after its mark CSR.

    Lists DATA/{train,val,test}.txt of names such as a01-000u are the splits; without them every tenth line is val.

    path: the folder DATA.
    """

    path: str
    called: ClassVar[str] = "IAM-OnDB"
    suffix: ClassVar[str] = ".xml"

    @staticmethod
    def recognise(path: Path) -> bool:
        """True if there is a folder of strokes beside one of texts."""
        return path.is_dir() and bool(_folder(path, STROKES) and _folder(path, TEXTS))

    def holds(self, path: Path) -> bool:
        """True for a list of names."""
        return path.is_file() and path.suffix == ".txt"

    def read(self) -> InkScan:
        """See `InkSource.read`. A form in the lists of train and of another split is a problem."""
        scan = super().read()
        forms = {split: {_form(ink.name) for ink in inks} for split, inks in scan.pairs.items()}
        for split, own in forms.items():
            drawn = split == "val" and scan.drawn
            if split != "train" and not drawn and (shared := sorted(own & forms.get("train", set()))):
                what = f"names {', '.join(shared[:3])}, which the list of train names, too; remove them from one"
                scan.problems.append(Problem(Path(self.path) / f"{split}.txt", what))
        return scan

    def load(self, path: Path, problems: list[Problem]) -> tuple[list[Ink], str]:
        """See `InkSource.load`. Lines are counted as they stand, so that an empty one does not move those below it."""
        root = Path(self.path)
        strokes, texts = _folder(root, STROKES), _folder(root, TEXTS)
        if strokes is None or texts is None:
            raise DataError(f"{root}: expected the folders {STROKES[0]} and {TEXTS[0]}")
        lines = {file.stem: file for file in sorted(texts.rglob("*.txt"))}
        wanted = set(read_text(path).split()) if path.is_file() else None
        inks, written, met = [], {}, set()
        for file in sorted(strokes.rglob("*.xml")):
            form, _, number = file.stem.rpartition("-")
            if wanted is not None and form not in wanted:
                continue
            met.add(form)
            if form not in lines:
                problems.append(Problem(file, f"no text {form}.txt in {texts.name}; add it, or remove the strokes"))
                continue
            if form not in written:
                written[form] = lines_of(read_text(lines[form]))
            own = written[form]
            if not number.isdecimal() or not 1 <= int(number) <= len(own):
                problems.append(
                    Problem(file, f"line {number}, but {lines[form].name} has {counted(len(own), 'line')} after CSR")
                )
                continue
            if not own[int(number) - 1]:
                what = f"line {number} after CSR in {lines[form].name} is empty; write what the strokes say there"
                problems.append(Problem(file, what))
                continue
            try:
                inks.append(from_strokes(_strokes(file), own[int(number) - 1], file.stem))
            except DataError as error:
                problems.append(Problem(file, str(error).removeprefix(f"{file}: ")))
        if missing := sorted((wanted or set()) - met):
            what = (
                f"names {', '.join(missing[:3])}, of which {strokes.name} has no strokes; a name is a form's, a01-000u"
            )
            problems.append(Problem(path, what))
        return inks, "each Stroke is a stroke"


def lines_of(text: str) -> list[str]:
    """The lines after the mark CSR (corrected), as they were written: without empty ones before the first."""
    _, found, rest = text.partition("CSR:")
    return [line.strip() for line in rest.strip().splitlines()] if found and rest.strip() else []


def _form(name: str) -> str:
    """The form that a line is of: a01-000u of a01-000u-01."""
    return name.rpartition("-")[0]


def _folder(root: Path, names: tuple[str, ...]) -> Path | None:
    return next((root / name for name in names if (root / name).is_dir()), None)


def _strokes(file: Path) -> list[np.ndarray]:
    found = []
    for stroke in parse_xml(file).iter("Stroke"):
        points = [(point.get("x", ""), point.get("y", "")) for point in stroke.iter("Point")]
        if wrong := [pair for pair in points if not all(re.fullmatch(r"-?\d+(\.\d+)?", value) for value in pair)]:
            raise DataError(f"{file}: a point at {', '.join(wrong[0])}; expected numbers x and y")
        found.append(np.array(points, np.float64).reshape(-1, 2))
    return found
