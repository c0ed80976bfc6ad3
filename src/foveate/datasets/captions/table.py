"""A table of captions: a CSV file with a column of images and a column of captions."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from foveate.datasets.captions import CaptionLine, CaptionScan, CaptionSource, Collector
from foveate.datasets.captions.album import nearby
from foveate.datasets.captions.lists import split_lists
from foveate.datasets.files import read_text, require_folder
from foveate.errors import DataError
from foveate.records import Problem
from foveate.registry import dataset

_PICTURE = ("image", "image_name", "filename", "file_name", "file")
_CAPTION = ("caption", "comment", "text", "sentence")
_SEPARATORS = ",|;\t"
_HEAD = 1 << 12


@dataset("caption_table")
@dataclass(frozen=True)
class CaptionTable(CaptionSource):
    """A table of captions: a *.csv, or Kaggle's captions.txt, whose first line is image,caption.

    A caption a row, several rows an image; a caption with commas is in quotes. A column split holds train, val or
    test; without it lists as train.txt do, or a split is drawn. Images are found by name anywhere below DATA.

    path: the folder DATA.
    seed: of the drawn split; any integer, used only if a split is missing.
    """

    path: str
    seed: int = 0

    @staticmethod
    def recognise(path: Path) -> bool:
        """True if a table's first line names an image and a caption."""
        return bool(tables(path))

    @staticmethod
    def near_miss(path: Path) -> str:
        """A table without a line of column names."""
        for file in (*nearby(path, "captions.txt"), *nearby(path, "*.csv")):
            return (
                f"needs column names: {file.name} begins with '{_first_line(file)[:40]}', not with the names of its "
                "columns; write the line image,caption above the captions"
            )
        return ""

    def describe(self, task: str = "") -> str:
        """The recognised format, and its counts, in one line."""
        return f"caption table ({', '.join(file.name for file in tables(Path(self.path)))}): {self.scan.counts()}"

    def read(self) -> CaptionScan:
        """Read the rows and find their images. Raises DataError."""
        root = require_folder(self.path)
        files = tables(root)
        if not files:
            raise DataError(f"{root}: no table of captions; expected a *.csv whose first line is image,caption")
        collector = Collector(files)
        for file in files:
            for line, place in _rows(file, collector.problems):
                collector.add(line, file, place)
        return collector.scan(root, self.seed, split_lists(root))


def tables(root: Path) -> list[Path]:
    """The tables with a head that names an image and a caption."""
    return [p for p in (*nearby(root, "*.csv"), *nearby(root, "captions.txt")) if _columns(_first_line(p)) is not None]


def _first_line(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            head = stream.read(_HEAD)
    except OSError:
        return ""
    return head.decode("utf-8-sig", errors="replace").split("\n")[0].strip()


def _columns(line: str) -> tuple[str, int, int, int | None, int] | None:
    """(separator, columns of the image, the caption and the split, number of columns) of a table's head; else None."""
    for separator in _SEPARATORS:
        names = [name.strip().lower() for name in next(csv.reader([line], delimiter=separator), [])]
        picture, caption = _index(names, _PICTURE), _index(names, _CAPTION)
        if picture is not None and caption is not None:
            return separator, picture, caption, _index(names, ("split",)), len(names)
    return None


def _index(names: Sequence[str], wanted: Sequence[str]) -> int | None:
    return next((names.index(name) for name in wanted if name in names), None)


def _rows(file: Path, problems: list[Problem]) -> Iterator[tuple[CaptionLine, str]]:
    text = read_text(file)
    columns = _columns(text.split("\n")[0].strip())
    if columns is None:
        return
    separator, picture, caption, split, count = columns
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    line = 1  # of the beginning of a row; a caption in quotes may hold several lines
    try:
        next(reader)
        line = reader.line_num + 1
        for row in reader:
            place, line = f"line {line}", reader.line_num + 1
            if not any(cell.strip() for cell in row):
                continue
            # A caption with commas but without quotes, in the last column, is joined again.
            rejoined = caption == count - 1 and len(row) > count
            cells = [*row[: count - 1], separator.join(row[count - 1 :])] if rejoined else row
            if len(cells) != count or not cells[picture].strip():
                shown = separator.join(row)[:40]
                problems.append(Problem(file, f"{place}: '{shown}'; expected {count} cells, with captions in quotes"))
                continue
            yield (
                CaptionLine(cells[picture].strip(), cells[caption], "" if split is None else cells[split].strip()),
                place,
            )
    except csv.Error as error:
        raise DataError(
            f"{file}: line {line}: {error}; put quotes around captions that hold the separator or quotes"
        ) from error
