"""Parallel text: sentences and their translations, in two files of equal length a split, or in tables."""

from __future__ import annotations

import gzip
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from foveate.datasets.checks import FEW
from foveate.datasets.files import decode_text
from foveate.datasets.splits import SPLIT_ORDER, split_called
from foveate.disk import is_hidden
from foveate.errors import ConfigError, DataError, unknown
from foveate.records import DataSource, Problem, TranslationSample
from foveate.registry import dataset

TABLE = ".tsv"
GZIP = ".gz"
VAL_SHARE, VAL_MOST = 0.1, 1000  # of the pairs, where there is no val split
_LANGUAGE = re.compile(r"[a-z]{2,3}(?:[-_](?:[A-Z][a-z]{3}|[A-Za-z]{2}|\d{3}))?")
# Endings of two or three letters that are no languages.
_NO_LANGUAGES = frozenset({
    "avi", "bak", "bib", "bin", "bmp", "bz", "cfg", "css", "csv", "dat", "db", "doc", "ds", "err", "gif", "gz", "htm",
    "idx", "ini", "jpg", "js", "log", "lst", "md", "mov", "npy", "npz", "odt", "ogg", "out", "pdf", "png", "pt", "pth",
    "py", "rst", "sh", "sql", "tar", "tex", "tif", "tmp", "ts", "tsv", "txt", "wav", "xls", "xml", "xz", "yml", "zip",
})  # fmt: skip
_HEADS = (("source", "target"), ("src", "tgt"), ("src", "trg"))


class TextPair(NamedTuple):
    """A sentence, its translation, and the line that both are in, counted from 1."""

    source: str
    target: str
    line: int


class TextFile(NamedTuple):
    """A file of one split: `language` is '' for a table, which holds both sides."""

    path: Path
    split: str
    language: str


@dataclass
class TextScan:
    """Contents of parallel text.

    pairs: split -> its pairs, those with an empty side left out. files: split -> the files of its source and target, or
    its table. languages: of the source and of the target, '' for unknown. problems: files that cannot be used. empty:
    split -> lines of pairs that were left out since a side is empty. drawn: how a val split was drawn; '' for no draw.
    undivided: True if the files name no split at all.
    """

    pairs: dict[str, list[TextPair]]
    files: dict[str, tuple[Path, ...]]
    languages: tuple[str, str]
    problems: list[Problem] = field(default_factory=list)
    empty: dict[str, list[int]] = field(default_factory=dict)
    drawn: str = ""
    undivided: bool = False


class ParallelDataset:
    """Pairs of one split: a TranslationDataset."""

    def __init__(self, pairs: Sequence[TextPair], file: str, languages: tuple[str, str]) -> None:
        self.pairs, self.file, self.languages = list(pairs), file, languages

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> TranslationSample:
        pair = self.pairs[index]
        return {"sentence": pair.source, "reference": pair.target, "name": self.name(index)}

    def name(self, index: int) -> str:
        """The pair's file and line."""
        return f"{self.file}:{self.pairs[index].line}"


@dataset("parallel_text")
@dataclass(frozen=True)
class ParallelText(DataSource):
    """Parallel text: DATA/train.en with DATA/train.de, likewise val and test, or tables of two columns (*.tsv).

    Line by line, the two files of a split hold a sentence and its translation; any of them may be compressed (.gz). A
    table holds a sentence, a tab and its translation, below an optional line of names. A missing val split is drawn.

    path: the folder DATA, or one table.
    source, target: languages by the files' endings or the table's names; '' takes the first two in alphabetical order,
        or the first two columns.
    seed: of the drawn val split; any integer.
    """

    path: str = ""
    source: str = ""
    target: str = ""
    seed: int = 0

    tasks: ClassVar[tuple[str, ...]] = ("translation",)

    @staticmethod
    def recognise(path: Path) -> bool:
        """True if there are files of one name in two languages, or tables with two columns."""
        return bool(_sides(path)) or bool(_tables(path))

    @staticmethod
    def near_miss(path: Path) -> str:
        """Text files in one language alone, or whose names say no language."""
        if path.is_dir():
            one = [file for file in _text_files(path) if file.language]
            if one:
                return (
                    f"holds {one[0].path.name} without its translation; add {one[0].path.stem}.xx in another language"
                )
            texts = sorted(p.name for p in path.iterdir() if p.suffix.lower() == ".txt" and not is_hidden(p.name))
            if len(texts) > 1:
                return (
                    f"needs names that say the language: rename {texts[0]} and {texts[1]} to train.xx and train.yy, "
                    "such as train.en and train.de"
                )
        return ""

    def made_from(self, path: Path) -> ParallelText:
        """This source, with its languages, on the text in another folder (`--data`)."""
        return replace(self, path=str(path))

    @cached_property
    def scan(self) -> TextScan:
        """The contents of the files. Raises DataError, ConfigError."""
        if not self.path:
            raise ConfigError("this recipe is for parallel text: say where it is with --data PATH")
        root = Path(self.path)
        sides = _sides(root)
        scan = self._read_sides(root, sides) if sides else self._read_tables(root, _tables(root))
        if scan.undivided or ("train" in scan.pairs and "val" not in scan.pairs and "test" not in scan.pairs):
            self._draw(scan)
        return scan

    def undivided(self) -> ParallelText | None:
        """This source with all pairs in the split test; None where the files name splits."""
        if not self.scan.undivided:
            return None
        pairs = sorted((pair for own in self.scan.pairs.values() for pair in own), key=lambda pair: pair.line)
        whole = replace(self)
        files = {"test": self.scan.files["train"]}
        whole.__dict__["scan"] = replace(self.scan, pairs={"test": pairs}, files=files, drawn="all of it as test")
        return whole

    def _read_sides(self, root: Path, sides: dict[str, dict[str, Path]]) -> TextScan:
        languages = sorted({language for files in sides.values() for language in files})
        chosen = self._languages(languages, [language for language in languages if all(
            language in files for files in sides.values())])  # fmt: skip
        scan = TextScan({}, {}, chosen)
        for split, files in sides.items():
            missing = [language for language in chosen if language not in files]
            if missing:
                present = next(iter(files.values()))
                scan.problems.append(Problem(present, f"has no partner in '{missing[0]}'; add it, or remove this file"))
                continue
            paths = (files[chosen[0]], files[chosen[1]])
            scan.files[split] = paths
            texts = [_lines(path, scan.problems) for path in paths]
            if any(text is None for text in texts):
                continue
            source, target = (text or [] for text in texts)
            if len(source) != len(target):
                scan.problems.append(Problem(paths[0], _parting(paths, source, target)))
                continue
            self._add(scan, split, [TextPair(*pair, n) for n, pair in enumerate(zip(source, target, strict=True), 1)])
        scan.undivided = set(sides) == {""}
        return scan

    def _read_tables(self, root: Path, tables: dict[str, Path]) -> TextScan:
        scan = TextScan({}, {}, (self.source, self.target))
        for split, path in tables.items():
            scan.files[split] = (path,)
            lines = _lines(path, scan.problems)
            if lines is None:
                continue
            head = [name.strip() for name in lines[0].split("\t")] if lines else []
            columns, skip = (0, 1), 0
            if _is_head(head):
                skip = 1
                names = ["source", "target"] if tuple(name.lower() for name in head[:2]) in _HEADS else head
                chosen = self._languages(names, names) if names is head else ("", "")
                columns = (head.index(chosen[0]), head.index(chosen[1])) if names is head else (0, 1)
                scan.languages = chosen if names is head else scan.languages
            elif self.source or self.target:
                raise ConfigError(
                    f"{path}: source is '{self.source}' and target '{self.target}', but the table has no line of "
                    f"names; write '{self.source or 'en'}<TAB>{self.target or 'de'}' above it, or leave them out"
                )
            pairs = []
            for number, line in enumerate(lines[skip:], 1 + skip):
                cells = line.split("\t")
                if len(cells) <= max(columns):
                    if line.strip():
                        what = f"line {number}: {len(cells)} column; expected a sentence, a tab and its translation"
                        scan.problems.append(Problem(path, what))
                    else:
                        pairs.append(TextPair("", "", number))
                    continue
                pairs.append(TextPair(cells[columns[0]].strip(), cells[columns[1]].strip(), number))
            self._add(scan, split, pairs)
        scan.undivided = set(tables) == {""}
        return scan

    def _languages(self, found: Sequence[str], usual: Sequence[str]) -> tuple[str, str]:
        """Source and target of the languages that were found. Raises ConfigError."""
        for given in (self.source, self.target):
            if given and given not in found:
                raise ConfigError(f"{self.path}: {unknown('language', given, found)}")
        others = [language for language in (usual or found) if language not in (self.source, self.target)]
        if not (self.source and self.target) and len(found) > 2:
            raise ConfigError(
                f"{self.path} holds {', '.join(found)}; say which one is translated into which, such as --data.source "
                f"{found[1]} --data.target {found[0]}"
            )
        source = self.source or others.pop(0)
        target = self.target or others.pop(0)
        if source == target:
            raise ConfigError(f"source and target are both '{source}'; give two languages")
        return source, target

    def _add(self, scan: TextScan, split: str, pairs: list[TextPair]) -> None:
        full = [pair for pair in pairs if pair.source and pair.target]
        if len(full) < len(pairs):
            scan.empty[split] = [pair.line for pair in pairs if not (pair.source and pair.target)]
        scan.pairs[split] = full

    def _draw(self, scan: TextScan) -> None:
        """Move a tenth of the pairs, at most VAL_MOST, to val; all pairs of one source sentence stay together."""
        (split,) = [name for name in scan.pairs if name in ("", "train")] or [""]
        pairs = scan.pairs.pop(split, [])
        files = scan.files.pop(split, ())
        sources = sorted({pair.source for pair in pairs})
        random.Random(self.seed).shuffle(sources)
        chosen = set(sources[: min(VAL_MOST, round(len(sources) * VAL_SHARE))])
        scan.pairs = {
            "train": [pair for pair in pairs if pair.source not in chosen],
            "val": [pair for pair in pairs if pair.source in chosen],
            **scan.pairs,
        }
        scan.files = {"train": files, "val": files, **scan.files}
        if split in scan.empty:
            scan.empty["train"] = scan.empty.pop(split)
        scan.drawn = f"val drawn with seed {self.seed}"

    def splits(self) -> tuple[str, ...]:
        """The splits that hold pairs, 'train' first."""
        rank = {name: i for i, name in enumerate(SPLIT_ORDER)}
        return tuple(sorted((s for s, pairs in self.scan.pairs.items() if pairs), key=lambda s: (rank.get(s, 9), s)))

    def open(self, split: str, task: str = "") -> ParallelDataset:
        """One split. Raises DataError, ConfigError."""
        self.serve(task)
        if problems := self.scan.problems:
            more = f" ({len(problems)} problems; foveate datasets inspect lists all)" if len(problems) > 1 else ""
            raise DataError(f"{problems[0]}{more}")
        return self.readable(split, task)

    def readable(self, split: str, task: str = "") -> ParallelDataset:
        """One split, leaving out the files that cannot be used."""
        self.serve(task)
        pairs = self.scan.pairs
        if split not in self.splits():
            raise ConfigError(unknown("split", split, self.splits()))
        return ParallelDataset(pairs[split], self._file(split), self.scan.languages)

    def _file(self, split: str) -> str:
        return self.scan.files[split][0].name

    def describe(self, task: str = "") -> str:
        """The format, the direction and the counts, in one line."""
        scan = self.scan
        source, target = scan.languages
        way = f"{source} to {target}" if source and target else "first column to second"
        counts = ", ".join(f"{len(scan.pairs[split])} {split}" for split in self.splits())
        left_out = sum(map(len, scan.empty.values()))
        remarks = [scan.drawn] if scan.drawn else []
        remarks += [f"{left_out} with an empty side left out"] if left_out else []
        return f"parallel text, {way}: {counts or 'no'} pairs" + (f" ({'; '.join(remarks)})" if remarks else "")

    def problems(self, task: str = "") -> list[Problem]:
        """Files that cannot be used."""
        return self.scan.problems

    def notes(self, task: str = "") -> list[str]:
        """The direction where it was not given, pairs left out, few validation pairs, and pairs in two splits."""
        scan = self.scan
        source, target = scan.languages
        notes = []
        if source and target and not (self.source and self.target):
            notes.append(
                f"translating from {source} to {target}; --data.source {target} --data.target {source} reverses it"
            )
        for split, lines in scan.empty.items():
            shown = ", ".join(map(str, lines[:3])) + (", ..." if len(lines) > 3 else "")
            where = "line" if len(lines) == 1 else "lines"
            notes.append(f"{self._file(split)}: {where} {shown} left out, where a side is empty ({len(lines)} in all)")
        if 0 < len(scan.pairs.get("val", [])) < FEW:
            notes.append(f"val holds {len(scan.pairs['val'])} pairs, and scores of fewer than {FEW} say little")
        train = {(pair.source, pair.target) for pair in scan.pairs.get("train", [])}
        for split, pairs in scan.pairs.items():
            shared = sum((pair.source, pair.target) in train for pair in pairs) if split != "train" else 0
            if shared:
                notes.append(f"{shared} of {len(pairs)} pairs of {split} are in train, too, so that they are no test")
        return notes

    def remarks(self, task: str = "") -> dict[str, Any]:
        """Languages, and the lines of pairs that were left out."""
        return {"languages": list(self.scan.languages), "left_out": self.scan.empty}


def _text_files(root: Path) -> Iterator[TextFile]:
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
    words = [split_called("val" if word in ("dev", "tune") else word) for word in re.split(r"[^a-z]+", stem.lower())]
    return next((word for word in words if word in SPLIT_ORDER), "")


def _sides(root: Path) -> dict[str, dict[str, Path]]:
    """Split -> language -> file, for the splits that have two languages or more; {} if there are none.

    Files that name no split count only where no file names one, and there is one pair of them.
    """
    found: dict[str, dict[str, Path]] = {}
    stems: dict[str, set[str]] = {}
    for file in _text_files(root):
        if file.language and (file.language not in found.setdefault(file.split, {})):
            found[file.split][file.language] = file.path
            stems.setdefault(file.split, set()).add(file.path.name.removesuffix(GZIP).rpartition(".")[0])
    if not any(len(files) > 1 for files in found.values()):
        return {}
    named = {split: files for split, files in found.items() if split}
    if named:
        return named
    return found if len(stems[""]) == 1 else {}


def _tables(root: Path) -> dict[str, Path]:
    """Split -> table of two columns or more; {} if there is none."""
    if root.is_file():
        files = [TextFile(root, "", "")] if root.name.removesuffix(GZIP).lower().endswith(TABLE) else []
    else:
        files = [file for file in _text_files(root) if not file.language]
    found: dict[str, Path] = {}
    for file in files:
        if file.split not in found and _has_two_columns(file.path):
            found[file.split] = file.path
    named = {split: path for split, path in found.items() if split}
    return named or (found if len(files) == 1 else {})


def _has_two_columns(path: Path) -> bool:
    problems: list[Problem] = []
    lines = _lines(path, problems, beginning=True) or []
    filled = [line for line in lines if line.strip()]
    return bool(filled) and all("\t" in line for line in filled)


def _is_head(cells: Sequence[str]) -> bool:
    """True for names of columns: source and target, or codes of languages."""
    names = [cell.lower() for cell in cells]
    codes = [bool(_LANGUAGE.fullmatch(cell)) for cell in cells]
    return len(cells) > 1 and (tuple(names[:2]) in _HEADS or (all(codes) and len(set(names)) == len(names)))


def _lines(path: Path, problems: list[Problem], beginning: bool = False) -> list[str] | None:
    """The lines of a text file, without blanks around them; None if it cannot be read, which is added to `problems`.

    Only line ends divide lines, as of the tools that write parallel text; CR LF counts as one. beginning: of the first
    lines alone.
    """
    try:
        with gzip.open(path, "rb") if path.suffix.lower() == GZIP else path.open("rb") as file:
            content = file.read(1 << 14) if beginning else file.read()
    except (OSError, EOFError) as error:
        problems.append(Problem(path, f"cannot be read ({error}); write it again"))
        return None
    if beginning and len(content) == 1 << 14:
        content = content.rpartition(b"\n")[0]
    try:
        text = decode_text(content, "replace" if beginning else "strict")
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        what = "a zero byte" if content[error.start : error.start + 1] == b"\0" else "bytes that are not UTF-8"
        problems.append(Problem(path, f"line {number}: {what}; repair the line, or save the file as UTF-8"))
        return None
    lines = text.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    return [line if "\t" in line else line.strip() for line in lines]


def _parting(paths: Sequence[Path], source: Sequence[str], target: Sequence[str]) -> str:
    """Two files of unequal length, in words: the first line that one alone has, and the first that one alone fills."""
    shorter = min(len(source), len(target))
    longer = paths[0] if len(source) > shorter else paths[1]
    where = f"from line {shorter + 1} on there is {longer.name} alone"
    lone = next((i for i in range(shorter) if bool(source[i]) != bool(target[i])), None)
    if lone is not None:
        where += f" (line {lone + 1} is empty in {(paths[1] if source[lone] else paths[0]).name} alone)"
    return (
        f"has {len(source)} lines, but {paths[1].name} has {len(target)}: {where}; line n of one must be the "
        "translation of line n of the other"
    )
