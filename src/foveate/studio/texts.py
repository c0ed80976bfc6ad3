"""Captions of images and questions about them, as rows of `captions.csv` and `questions.csv` in the folder.

They are files that the readers of captions and of questions take; further columns and rows of other images are kept.
"""

from __future__ import annotations

import csv
import hashlib
import io
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foveate.datasets.names import normal
from foveate.datasets.text_files import read_text
from foveate.disk import sync_folder, write_atomically
from foveate.errors import DataError, OutputError, counted
from foveate.studio.document import RefusedError
from foveate.studio.folder import Picture

CAPTIONS_FILE, QUESTIONS_FILE = "captions.csv", "questions.csv"
MOST, LONGEST = 100, 1000  # texts of an image, characters of each


@dataclass(frozen=True)
class Table:
    """A table: names of its columns, and rows of as many cells."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...] = ()

    def of(self, picture: Picture) -> list[tuple[str, ...]]:
        """The rows of an image."""
        return [row for row in self.rows if _is_of(row[0], picture)]

    def replaced(self, picture: Picture, texts: Sequence[tuple[str, ...]]) -> Table:
        """The table with these texts of an image in place of its rows.

        A row whose texts stay keeps its further cells; new rows stand behind the others.
        """
        old = self.of(picture)
        width = len(self.head)
        kept = {row[1 : 1 + len(texts[0])]: row for row in reversed(old)} if texts else {}
        new = [kept.get(text, (picture.path.name, *text, *("",) * (width - 1 - len(text)))) for text in texts]
        others = [row for row in self.rows if not _is_of(row[0], picture)]
        place = next((i for i, row in enumerate(self.rows) if _is_of(row[0], picture)), len(others))
        return Table(self.head, (*others[:place], *new, *others[place:]))

    def text(self) -> str:
        """The file's content."""
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\n").writerows([self.head, *self.rows])
        return buffer.getvalue()


def _is_of(cell: str, picture: Picture) -> bool:
    return normal(cell.strip().replace("\\", "/").rpartition("/")[2]) == normal(picture.path.name)


def read_table(file: Path, columns: tuple[str, ...]) -> Table:
    """A table whose first columns are these. Raises DataError for another."""
    if not file.exists():
        return Table(columns)
    try:
        found = [tuple(row) for row in csv.reader(io.StringIO(read_text(file)), strict=True) if row]
    except csv.Error as error:
        raise DataError(f"{file}: no CSV ({error}); repair it or move it elsewhere") from error
    head = found[0] if found else columns
    if tuple(name.strip().lower() for name in head[: len(columns)]) != columns:
        raise DataError(
            f"{file}: begins with the columns {', '.join(head)[:80]}; expected {', '.join(columns)}: move the file "
            "elsewhere, or rename and reorder its columns"
        )
    for number, row in enumerate(found[1:], 2):
        if len(row) != len(head):
            raise DataError(
                f"{file}: row {number} has {counted(len(row), 'cell')}; expected {len(head)}, as the first line has"
            )
    return Table(head, tuple(found[1:]))


class Texts:
    """The captions and questions of a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock = threading.Lock()

    def _tables(self) -> tuple[Table, Table]:
        captions = read_table(self.root / CAPTIONS_FILE, ("image", "caption"))
        return captions, read_table(self.root / QUESTIONS_FILE, ("image", "question", "answer"))

    def read(self, picture: Picture) -> tuple[dict[str, Any], str]:
        """(captions and questions of an image, their revision). Raises DataError."""
        captions, questions = self._tables()
        found = {
            "captions": [row[1] for row in captions.of(picture)],
            "questions": [{"question": row[1], "answer": row[2]} for row in questions.of(picture)],
        }
        return found, hashlib.sha256(repr(found).encode("utf-8", "surrogatepass")).hexdigest()

    def counts(self) -> tuple[dict[str, int], dict[str, int]]:
        """(captions, questions): name of an image file -> their number. Raises DataError."""
        found: tuple[dict[str, int], dict[str, int]] = {}, {}
        for table, counts in zip(self._tables(), found, strict=True):
            for row in table.rows:
                name = normal(row[0].strip().replace("\\", "/").rpartition("/")[2])
                counts[name] = counts.get(name, 0) + 1
        return found

    def counts_or_none(self) -> tuple[dict[str, int], dict[str, int]]:
        """`counts`; none where a table has another form, which writing to it will say."""
        try:
            return self.counts()
        except DataError:
            return {}, {}

    def save(self, picture: Picture, revision: str, given: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
        """Write the texts of an image. -> as `read`. Raises StaleError, RefusedError, DataError, OutputError."""
        from foveate.studio.store import StaleError

        captions = [(_text(text, "caption"),) for text in _list(given.get("captions", []), "captions")]
        questions = []
        for one in _list(given.get("questions", []), "questions"):
            if not isinstance(one, dict):
                raise RefusedError("text", f"a question is {one!r:.40}; expected an object with question and answer")
            questions.append((_text(one.get("question"), "question"), _text(one.get("answer"), "answer")))
        with self._lock:
            _, current = self.read(picture)
            if revision != current:
                raise StaleError("the texts were changed elsewhere since they were read here; look again", current)
            given_texts: tuple[Sequence[tuple[str, ...]], ...] = (captions, questions)
            for name, table, texts in zip((CAPTIONS_FILE, QUESTIONS_FILE), self._tables(), given_texts, strict=True):
                after = table.replaced(picture, texts)
                if after != table:
                    file = self.root / name
                    if file.is_symlink():
                        raise OutputError(f"cannot write {file}: it is a link; put the file itself there")
                    write_atomically(file, after.text())
            sync_folder(self.root)
            return self.read(picture)


def _list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list) or len(value) > MOST:
        raise RefusedError("text", f"{name} must be a list of at most {MOST}")
    return value


def _text(value: Any, name: str) -> str:
    text = " ".join(value.split()) if isinstance(value, str) else ""
    if not text or len(text) > LONGEST or not text.isprintable():
        raise RefusedError("text", f"a {name} is {value!r:.60}; expected 1 to {LONGEST} printable characters")
    return text
