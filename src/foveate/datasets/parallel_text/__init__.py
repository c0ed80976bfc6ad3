"""Parallel text: sentences and their translations, in two files of equal length a split, or in tables."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from foveate.datasets.checks import FEW, small_val_note
from foveate.datasets.parallel_text.columns import columns_of
from foveate.datasets.parallel_text.doubts import are_exchanged, pair_notes
from foveate.datasets.parallel_text.files import GZIP, lines_of, parting, sides_of, tables_of, text_files
from foveate.datasets.quotes import unquoted
from foveate.datasets.splits import SPLIT_ORDER
from foveate.datasets.text_doubts import column_notes, text_notes
from foveate.disk import is_hidden
from foveate.errors import ConfigError, DataError, counted, unknown
from foveate.pictures import PICTURE_SUFFIXES
from foveate.records import DataSource, Problem, TranslationSample
from foveate.registry import dataset
from foveate.sounds import SOUND_SUFFIXES
from foveate.videos import VIDEO_SUFFIXES

_MEDIA = PICTURE_SUFFIXES | SOUND_SUFFIXES | VIDEO_SUFFIXES
_BOTH = (".tmx", ".xlf", ".xliff", ".csv", ".jsonl", ".sgm")  # files of both languages that are not read
VAL_SHARE, VAL_MOST = 0.1, 1000  # of the pairs, where there is no val split


class TextPair(NamedTuple):
    """A sentence, its translation, and the line that both are in, counted from 1."""

    source: str
    target: str
    line: int


@dataclass
class TextScan:
    """Contents of parallel text.

    pairs: split -> its pairs, those with an empty side left out. files: split -> the files of its source and target, or
    its table. languages: of the source and of the target, '' for unknown. problems: files that cannot be used. empty:
    split -> lines of pairs that were left out since a side is empty. drawn: how a val split was drawn; '' for no draw.
    undivided: True if the files name no split at all. notes: sentences on files and columns that are not read.
    """

    pairs: dict[str, list[TextPair]]
    files: dict[str, tuple[Path, ...]]
    languages: tuple[str, str]
    problems: list[Problem] = field(default_factory=list)
    empty: dict[str, list[int]] = field(default_factory=dict)
    drawn: str = ""
    undivided: bool = False
    notes: list[str] = field(default_factory=list)


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
    table holds a sentence, a tab and its translation, below an optional line of names; columns of numbers are passed
    over. A missing val split is drawn.

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
        return bool(sides_of(path)) or bool(tables_of(path))

    @staticmethod
    def near_miss(path: Path) -> str:
        """Text files in one language alone, or whose names say no language."""
        if path.is_dir() and not _holds_media(path):
            both = sorted(p.name for p in path.iterdir() if p.suffix.lower() in _BOTH and not is_hidden(p.name))
            if both:
                return (
                    f"holds {both[0]}, which is not read; write its sentences to train.xx and train.yy, a line each, "
                    "or to a table train.tsv with a sentence, a tab and its translation on each line"
                )
            one = [file for file in text_files(path) if file.language]
            if len(named := {file.path.name.removesuffix(GZIP).rpartition(".")[0] for file in one}) < len(one):
                several = " and ".join(sorted(named)[:2])
                return f"holds {several}, which name no split; name one train.xx and train.yy, or join them"
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
        problems: list[Problem] = []
        notes: list[str] = []
        if sides := sides_of(root, [name for name in (self.source, self.target) if name], problems, notes):
            scan = self._read_sides(root, sides)
        else:
            problems.clear()
            notes.clear()
            scan = self._read_tables(root, tables_of(root, problems, notes))
        scan.problems += problems
        scan.notes += notes
        train = [(pair.source, pair.target) for pair in scan.pairs.get("train", ())]
        for split, own in scan.pairs.items():
            if split != "train" and are_exchanged(train, [(pair.source, pair.target) for pair in own]):
                what = f"the sides of {split} share their words with the other sides of train; exchange the two"
                scan.problems.append(Problem(scan.files[split][0], what))
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
            texts = [lines_of(path, scan.problems) for path in paths]
            if any(text is None for text in texts):
                continue
            source, target = (text or [] for text in texts)
            if len(source) != len(target):
                scan.problems.append(Problem(paths[0], parting(paths, source, target)))
                continue
            pairs = enumerate(zip(source, target, strict=True), 1)
            self._add(scan, split, [TextPair(first.strip(), second.strip(), n) for n, (first, second) in pairs])
        scan.undivided = set(sides) == {""}
        return scan

    def _read_tables(self, root: Path, tables: dict[str, Path]) -> TextScan:
        scan = TextScan({}, {}, (self.source, self.target))
        for split, path in tables.items():
            scan.files[split] = (path,)
            lines = lines_of(path, scan.problems)
            if lines is None:
                continue
            rows = unquoted([line.split("\t") for line in lines])
            given = [name for name in (self.source, self.target) if name]
            sides, names, count = columns_of(rows, given)
            if names == ("source", "target"):
                places = sides
            elif names:
                if not all(scan.languages):  # the first table, which is train's, says the direction of all
                    scan.languages = self._languages(names, names)
                if lacking := [name for name in scan.languages if name not in names]:
                    what = f"has columns {', '.join(names)}; expected {lacking[0]} among them, as in other tables"
                    scan.problems.append(Problem(path, what))
                    continue
                places = tuple(sides[names.index(name)] for name in scan.languages)
            elif given:
                raise ConfigError(
                    f"{path}: source is '{self.source}' and target '{self.target}', but the table has no line of "
                    f"names; write '{self.source or 'en'}<TAB>{self.target or 'de'}' above it, or leave them out"
                )
            else:
                places = sides
                if count > 2:
                    read = " and ".join(str(place + 1) for place in places[:2])
                    scan.notes.append(f"{path.name}: of {count} columns, {read} are read as source and target")
            first, second = (*places, 0, 1)[:2]
            if names:
                scan.notes += column_notes(path.name, rows[0], rows[1:], [rows[0][place] for place in (first, second)])
            pairs = []
            skip = 1 if names else 0
            for number, cells in enumerate(rows[skip:], 1 + skip):
                if len(cells) <= max(first, second):
                    if any(cell.strip() for cell in cells):
                        what = f"line {number}: {counted(len(cells), 'column')}; give {'two' if count < 3 else count}"
                        scan.problems.append(Problem(path, f"{what}, with a tab between"))
                    else:
                        pairs.append(TextPair("", "", number))
                    continue
                pairs.append(TextPair(cells[first].strip(), cells[second].strip(), number))
            self._add(scan, split, pairs, guessed=count > 2)
        scan.undivided = set(tables) == {""}
        return scan

    def _languages(self, found: Sequence[str], usual: Sequence[str]) -> tuple[str, str]:
        """Source and target of the languages that were found. Raises ConfigError."""
        for given in (self.source, self.target):
            if given and given not in found:
                raise ConfigError(f"{self.path}: {unknown('language', given, found)}")
        likely = usual if len(usual) > 1 else found  # of a language that one split lacks, the lack is a problem
        others = [language for language in likely if language not in (self.source, self.target)]
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

    def _add(self, scan: TextScan, split: str, pairs: list[TextPair], guessed: bool = False) -> None:
        full = [pair for pair in pairs if pair.source and pair.target]
        if len(full) < len(pairs):
            scan.empty[split] = [pair.line for pair in pairs if not (pair.source and pair.target)]
        if not full:
            files = " and ".join(path.name for path in scan.files[split])
            what = f"no pair of sentences in {files}; fill both sides of a line, or remove what is empty"
            scan.problems.append(Problem(scan.files[split][0], what))
        elif guessed and 2 * len(full) < len(pairs):
            what = (
                f"{len(pairs) - len(full)} of {counted(len(pairs), 'pair')} have an empty side, so these are hardly "
                "sentences and their translations; leave the two columns that are"
            )
            scan.problems.append(Problem(scan.files[split][0], what))
        scan.pairs[split] = full

    def _draw(self, scan: TextScan) -> None:
        """Move a tenth of the pairs, at most VAL_MOST, to val; all pairs of one source sentence stay together."""
        (split,) = [name for name in scan.pairs if name in ("", "train")] or [""]
        pairs = scan.pairs.pop(split, [])
        files = scan.files.pop(split, ())
        sources = sorted({pair.source for pair in pairs})
        random.Random(self.seed).shuffle(sources)
        few = min(VAL_MOST, max(round(len(sources) * VAL_SHARE), min(1, len(sources) - 1)))
        chosen = set(sources[:few])
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
            more = (
                f" ({counted(len(problems), 'problem')}; foveate datasets inspect lists all)"
                if len(problems) > 1
                else ""
            )
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
        """Notes on files and columns that are not read, on the direction, and on pairs that may be other than meant."""
        scan = self.scan
        source, target = scan.languages
        notes = list(scan.notes)
        if source and target and not (self.source and self.target):
            notes.append(
                f"translating from {source} to {target}; --data.source {target} --data.target {source} reverses it"
            )
        for split, lines in scan.empty.items():
            shown = ", ".join(map(str, lines[:3])) + (", ..." if len(lines) > 3 else "")
            notes.append(
                f"{self._file(split)}: {counted(len(lines), 'pair')} left out, where a side is empty: line {shown}"
            )
        if 0 < len(scan.pairs.get("val", [])) < FEW:
            notes.append(small_val_note(len(scan.pairs["val"]), "pair"))
        for split, pairs in scan.pairs.items():
            texts = [(pair.source, pair.target) for pair in pairs]
            notes += pair_notes(texts, [path.name for path in scan.files[split]], [pair.line for pair in pairs])
        notes += text_notes((text for own in scan.pairs.values() for p in own for text in p[:2]), "sentence")
        train = {(pair.source, pair.target) for pair in scan.pairs.get("train", [])}
        for split, pairs in scan.pairs.items():
            shared = sum((pair.source, pair.target) in train for pair in pairs) if split != "train" else 0
            if shared:
                notes.append(
                    f"of {counted(len(pairs), 'pair')} of {split}, {shared} are in train, too, and test nothing"
                )
        return notes

    def remarks(self, task: str = "") -> dict[str, Any]:
        """Languages, and the lines of pairs that were left out."""
        return {"languages": list(self.scan.languages), "left_out": self.scan.empty}


def _holds_media(root: Path) -> bool:
    """True if there are images, sound or videos in a folder or below it, to which its texts belong."""
    return any(path.suffix.lower() in _MEDIA for path in root.rglob("*"))
