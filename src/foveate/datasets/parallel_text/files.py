"""Files of parallel text: those of a folder that are one side of a split, or a table, and their lines."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from foveate.datasets.files import ZERO_BYTE, decode_text
from foveate.datasets.splits import SPLIT_ORDER, split_called
from foveate.disk import is_hidden
from foveate.errors import counted
from foveate.records import Problem

TABLE = ".tsv"
HEAD = 20  # lines by which a table is told from other files
GZIP = ".gz"
_LANGUAGE = re.compile(r"[a-z]{2,3}(?:[-_](?:[A-Z][a-z]{3}|[A-Za-z]{2}|\d{3}))?")
# Endings of two or three letters that are no languages.
_NO_LANGUAGES = frozenset({
    "avi", "bak", "bib", "bin", "bmp", "bz", "cfg", "css", "csv", "dat", "db", "doc", "ds", "err", "gif", "gz", "htm",
    "idx", "ini", "jpg", "js", "log", "lst", "md", "mov", "npy", "npz", "odt", "ogg", "out", "pdf", "png", "pt", "pth",
    "py", "rst", "sh", "sql", "tar", "tex", "tif", "tmp", "ts", "tsv", "txt", "wav", "xls", "xml", "xz", "yml", "zip",
})  # fmt: skip
HEADS = (("source", "target"), ("src", "tgt"), ("src", "trg"))


class TextFile(NamedTuple):
    """A file of one split: `language` is '' for a table, which holds both sides."""

    path: Path
    split: str
    language: str


def text_files(root: Path) -> Iterator[TextFile]:
    """Files of a folder that may be one side of parallel text, or a table."""
    for path in sorted(root.iterdir()) if root.is_dir() else ():
        if is_hidden(path.name) or not path.is_file():
            continue
        name = path.name.removesuffix(GZIP)
        stem, _, ending = name.rpartition(".")
        if stem and f".{ending.lower()}" == TABLE:
            yield TextFile(path, _split_of(stem), "")
        elif stem and _LANGUAGE.fullmatch(ending) and ending not in _NO_LANGUAGES:
            yield TextFile(path, _split_of(stem), ending)


def _split_of(stem: str) -> str:
    """The split that a file's name says, as train or newstest2013-dev; '' for none."""
    words = [split_called("val" if word == "tune" else word) for word in re.split(r"[^a-z]+", stem.lower())]
    return next((word for word in words if word in SPLIT_ORDER), "")


def sides_of(root: Path) -> dict[str, dict[str, Path]]:
    """Split -> language -> file, for the splits that have two languages or more; {} if there are none.

    Files that name no split count only where no file names one, and there is one pair of them.
    """
    found: dict[str, dict[str, Path]] = {}
    stems: dict[str, set[str]] = {}
    for file in text_files(root):
        if file.language and (file.language not in found.setdefault(file.split, {})):
            found[file.split][file.language] = file.path
            stems.setdefault(file.split, set()).add(file.path.name.removesuffix(GZIP).rpartition(".")[0])
    if not any(len(files) > 1 for files in found.values()):
        return {}
    named = {split: files for split, files in found.items() if split}
    if named:
        return named
    return found if len(stems[""]) == 1 else {}


def tables_of(root: Path) -> dict[str, Path]:
    """Split -> table of two columns or more; {} if there is none."""
    if root.is_file():
        files = [TextFile(root, "", "")] if root.name.removesuffix(GZIP).lower().endswith(TABLE) else []
    else:
        files = [file for file in text_files(root) if not file.language]
    found: dict[str, Path] = {}
    for file in files:
        if file.split not in found and _has_two_columns(file.path):
            found[file.split] = file.path
    named = {split: path for split, path in found.items() if split}
    return named or (found if len(files) == 1 else {})


def _has_two_columns(path: Path) -> bool:
    problems: list[Problem] = []
    lines = lines_of(path, problems, beginning=True) or []
    filled = [line for line in lines if line.strip()][:HEAD]
    return bool(filled) and all("\t" in line for line in filled)


def is_head(cells: Sequence[str]) -> bool:
    """True for names of columns: source and target, or codes of languages."""
    names = [cell.lower() for cell in cells]
    codes = [bool(_LANGUAGE.fullmatch(cell)) for cell in cells]
    return len(cells) > 1 and (tuple(names[:2]) in HEADS or (all(codes) and len(set(names)) == len(names)))


def lines_of(path: Path, problems: list[Problem], beginning: bool = False) -> list[str] | None:
    """The lines of a text file, without blanks around them; None if it cannot be read, which is added to `problems`.

    Only line ends divide lines, as of the tools that write parallel text; CR LF counts as one. beginning: of the first
    lines alone.
    """
    try:
        with gzip.open(path, "rb") if path.suffix.lower() == GZIP else path.open("rb") as file:
            content = file.read(1 << 14) if beginning else file.read()
    except (OSError, EOFError, zlib.error) as error:
        problems.append(Problem(path, f"cannot be read ({error}); write it again"))
        return None
    if beginning and len(content) == 1 << 14:
        content = content.rpartition(b"\n")[0]
    try:
        text = decode_text(content, "replace" if beginning else "strict")
    except UnicodeDecodeError as error:
        number = error.object.count(b"\n", 0, error.start) + 1
        what = ZERO_BYTE if error.reason == ZERO_BYTE else "bytes that are not UTF-8"
        problems.append(Problem(path, f"line {number}: {what}; repair the line, or save the file as UTF-8"))
        return None
    lines = text.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    return [line if "\t" in line else line.strip() for line in lines]


def parting(paths: Sequence[Path], source: Sequence[str], target: Sequence[str]) -> str:
    """Two files of unequal length, in words: the first line that one alone has, and the first that one alone fills."""
    shorter = min(len(source), len(target))
    longer = paths[0] if len(source) > shorter else paths[1]
    where = f"from line {shorter + 1} on there is {longer.name} alone"
    lone = next((i for i in range(shorter) if bool(source[i]) != bool(target[i])), None)
    if lone is not None:
        where += f" (line {lone + 1} is empty in {(paths[1] if source[lone] else paths[0]).name} alone)"
    return (
        f"has {counted(len(source), 'line')}, but {paths[1].name} has {len(target)}: {where}; line n of one must "
        "be the translation of line n of the other"
    )
