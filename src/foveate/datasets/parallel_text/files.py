"""Files of parallel text: those of a folder that are one side of a split, or a table, and their lines."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from foveate.datasets.splits import split_within
from foveate.datasets.text_files import ZERO_BYTE, decode_text
from foveate.disk import is_hidden
from foveate.errors import counted, listed
from foveate.records import Problem

TABLE = ".tsv"
HEAD = 20  # lines by which a table is told from other files
GZIP = ".gz"
_LANGUAGE = re.compile(r"[a-z]{2,3}(?:[-_](?:[A-Z][a-z]{3}|[A-Za-z]{2}|\d{3}))?")
# Endings of two or three letters that are no languages.
_NO_LANGUAGES = frozenset({
    "avi", "bak", "bib", "bin", "bmp", "bz", "cfg", "css", "csv", "dat", "db", "doc", "ds", "err", "gif", "gz", "htm",
    "ids", "idx", "ini", "jpg", "js", "log", "lst", "md", "mov", "npy", "npz", "odt", "ogg", "out", "pdf", "png",
    "pt", "pth", "py", "rst", "sh", "sql", "tar", "tex", "tif", "tmp", "ts", "tsv", "txt", "wav", "xls", "xml", "xz",
    "yml", "zip",
})  # fmt: skip


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
    return split_within(re.sub(r"(?i)(?<![a-z])tune(?![a-z])", "val", stem))


def sides_of(
    root: Path, given: Sequence[str] = (), problems: list[Problem] | None = None, notes: list[str] | None = None
) -> dict[str, dict[str, Path]]:
    """Split -> language -> file, for the splits that have two languages or more; {} if there are none.

    Files of one name are a pair. Files that name no split count only where no file names one, and there is one pair of
    them. given: languages that were asked for, which decide between pairs. problems, notes: take in those that are not
    read.
    """
    by_stem: dict[str, dict[str, dict[str, Path]]] = {}
    for file in text_files(root):
        if file.language:
            stem = file.path.name.removesuffix(GZIP).rpartition(".")[0]
            by_stem.setdefault(file.split, {}).setdefault(stem, {}).setdefault(file.language, file.path)
    found: dict[str, dict[str, Path]] = {}
    beside: list[Path] = []
    for split, stems in by_stem.items():
        found[split], others = _pair_of(split, stems, given)
        if split and problems is not None:
            problems += [_twin(path, split, next(iter(found[split].values()))) for path in others]
        elif len(found[split]) > 1:
            beside += found[split].values()
    if not any(len(files) > 1 for files in found.values()):
        return {}
    if named := {split: files for split, files in found.items() if split}:
        if notes is not None:
            notes += _unnamed(beside)
        return named
    return found if len(by_stem[""]) == 1 else {}


def _pair_of(split: str, stems: dict[str, dict[str, Path]], given: Sequence[str]) -> tuple[dict[str, Path], list[Path]]:
    """(language -> file of the pair of a split, a file of each other pair); stems: name -> language -> file."""
    paired = {stem: files for stem, files in stems.items() if len(files) > 1}
    paired = {stem: files for stem, files in paired.items() if set(given) <= set(files)} or paired
    if paired:
        stem = min(paired, key=lambda name: name.lower() != split)
        return paired[stem], [next(iter(files.values())) for name, files in paired.items() if name != stem]
    merged: dict[str, Path] = {}  # such as english.train.en with german.train.de
    others = []
    for files in stems.values():
        for language, path in files.items():
            if merged.setdefault(language, path) != path:
                others.append(path)
    return merged, others


def _twin(path: Path, split: str, first: Path) -> Problem:
    return Problem(path, f"is of the split '{split}', too, as {first.name}; join the two, or keep one of them here")


def _unnamed(paths: Sequence[Path]) -> list[str]:
    """A note on files that name no split, beside those that do."""
    if not paths:
        return []
    names = listed([path.name for path in paths], "file")
    return [f"{names} without train, val or test in the name not read; rename, or join"]


def tables_of(root: Path, problems: list[Problem] | None = None, notes: list[str] | None = None) -> dict[str, Path]:
    """Split -> table of two columns or more; {} if there is none. problems, notes: take in those that are not read."""
    if root.is_file():
        files = [TextFile(root, "", "")] if root.name.removesuffix(GZIP).lower().endswith(TABLE) else []
    else:
        files = [file for file in text_files(root) if not file.language]
    found: dict[str, list[Path]] = {}
    for file in files:
        if _has_two_columns(file.path):
            found.setdefault(file.split, []).append(file.path)
    named = {split: paths for split, paths in found.items() if split}
    if not named:
        return {split: paths[0] for split, paths in found.items()} if len(files) == 1 else {}
    chosen = {split: min(paths, key=lambda p: _stem(p) != split) for split, paths in named.items()}
    for split, first in chosen.items():
        others = [path for path in named[split] if _stem(path) != _stem(first)]
        if problems is not None:
            problems += [_twin(path, split, first) for path in others]
    if notes is not None:
        notes += _unnamed(found.get("", []))
    return chosen


def _stem(path: Path) -> str:
    return path.name.removesuffix(GZIP).rpartition(".")[0].lower()


def _has_two_columns(path: Path) -> bool:
    problems: list[Problem] = []
    lines = lines_of(path, problems, beginning=True) or []
    filled = [line for line in lines if line.strip()][:HEAD]
    return bool(filled) and all("\t" in line for line in filled)


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
