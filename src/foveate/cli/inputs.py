"""Inputs named on a command line, and the places of their results."""

from __future__ import annotations

import atexit
import csv
import functools
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foveate.disk import LONGEST_NAME, is_file, plain_name
from foveate.errors import ConfigError, DataError
from foveate.remote import RemoteFile, as_path, is_url, is_web
from foveate.tasks.expansion import expand
from foveate.tasks.options import PREDICT, input_flags
from foveate.values import parse_json

if TYPE_CHECKING:
    from foveate.tasks.base import Task
    from foveate.tasks.inputs import Input

STDIN = "-"  # the word for standard input
TABLES = {".csv": ",", ".tsv": "\t", ".jsonl": ""}  # ending of a table of inputs -> what separates its columns


Given = Path | RemoteFile | str  # one input: a file here, a file at a URL, or a text


@dataclass
class Job:
    """One prediction: its inputs, the place of its results, and the outcome.

    given: name of an input -> its file or its text; {} for a family without input.
    title: what messages call it: the first input.
    out, name: the folder of the whole call, and below it the name, without its ending, that only this job's results
        have.
    record: its entry in predictions.json. error: why it could not be predicted.
    number: its place in the call, -1 where it has none. copies: the temporary folder of inputs at URLs.
    missing: why nothing was found at its URL, which is noted as that of a file that cannot be read.
    """

    given: dict[str, Given]
    title: str
    out: Path
    name: Path
    record: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    number: int = -1
    copies: Any = None
    missing: str = ""

    def result(self, ending: str) -> Path:
        """The path of a result, e.g. of "_overlay.jpg"."""
        return self.out / f"{self.name}{ending}"

    def relative(self, result: Path) -> str:
        """A result's path as predictions.json names it: below the folder of the whole call."""
        return result.relative_to(self.out).as_posix()

    @property
    def short_name(self) -> str:
        """The title without folders, below those folders that the results keep."""
        first = next(iter(self.given.values()), "")
        return (self.name.parent / (self.name.name if isinstance(first, str) else first.name)).as_posix()

    def local(self) -> dict[str, Path | str]:
        """The inputs, those at URLs copied into a temporary folder, which `release` removes. Raises DataError."""
        if self.missing:
            raise DataError(self.missing)
        if self.copies is None and any(isinstance(one, RemoteFile) for one in self.given.values()):
            self.copies = tempfile.TemporaryDirectory(prefix="foveate-")
        found: dict[str, Path | str] = {}
        for name, one in self.given.items():
            if isinstance(one, RemoteFile):
                assert self.copies is not None
                there = Path(self.copies.name) / name / one.name
                if not there.exists():
                    there.parent.mkdir(exist_ok=True)
                    one.fetch(there.parent)
                found[name] = there
            else:
                found[name] = one
        return found

    def release(self) -> None:
        """Remove the copies of the inputs."""
        if self.copies is not None:
            self.copies.cleanup()
            self.copies = None

    def complaint(self, error: Exception) -> str:
        """The text of an error in one line, with the inputs as they were named."""
        text = " ".join(str(error).split())
        first = next(iter(self.given.values()), None)
        if isinstance(first, Path):  # made absolute for another process
            text = text.replace(str(first), self.title)
        for name, one in self.given.items():
            if self.copies is not None and isinstance(one, RemoteFile):
                text = text.replace(str(Path(self.copies.name) / name / one.name), one.url)
        return text


def predict_line(
    model: str | Path, family: type[Task], options: Mapping[str, str] | None = None, out: str = "DIR"
) -> str:
    """The line that predicts with a model: foveate predict runs/first PICTURE --out DIR.

    options: of `generate` (`Task.example_options`), by name.
    """
    from foveate.tasks.base import Task
    from foveate.tasks.options import flag_text

    model = shlex.quote(str(model))
    if family.generate is not Task.generate:
        given = "".join(f" {flag_text(name)} {_quoted(value)}" for name, value in (options or {}).items())
        return f"foveate generate {model}{given} --out {out}"
    flags = "".join(f" {flag} VALUE" for flag in input_flags(family, PREDICT))
    given = family.inputs[0].noun.upper().replace(" ", "_") + flags if family.inputs else "--count 1"
    return f"foveate predict {model} {given} --out {out}"


def _quoted(text: str) -> str:
    """A value of a flag as a shell takes it, in double quotes where these do."""
    plain = shlex.quote(text)
    return plain if plain == text or set(text) & set('"$`\\!') else f'"{text}"'


def generated(count: int, out: Path) -> list[Job]:
    """The jobs of a family without input."""
    names = [f"sample_{number:04d}" for number in range(count)]
    return [Job({}, name, out, Path(name), {"file": name}, number=i) for i, name in enumerate(names)]


def plan(
    words: Sequence[str], shared: Mapping[str, str], out: Path, family: type[Task], replaceable: Collection[Path] = ()
) -> list[Job]:
    """The jobs that the words of a line mean, with places for their results that no other has.

    words: files, folders and globs, each file once; or, for a family whose first input is a text, texts, text files
    with one on each line, and - for standard input; or tables with a
    column for each input, where a family has several inputs or its first one is a text. shared: the inputs after the
    first, which go with every word that is not a table. Sub-folders of a folder are kept; equal names are made
    distinct by their suffix or a number, and so are names of files that are in `out` already, but for the
    `replaceable` ones.
    A URL at which nothing is found is a job that fails, as that of a file that cannot be read. Raises DataError for an
    input here that does not exist or has no such file, a table that cannot be read, and a name that
    is too long for those of its results, ConfigError for an input that is missing or given twice, and where a result
    would replace an input.
    """
    first, *others = family.inputs
    from_tables = [bool(others or not first.suffixes) and _is_table(word, first) for word in words]
    if all(from_tables) and shared:
        raise ConfigError(f"--{next(iter(shared))} is given, and {words[0]} has a column of that name; leave one out")
    if not all(from_tables) and (missing := [one for one in others if one.name not in shared]):
        flag, columns = missing[0].name.replace("_", "-"), " and ".join(one.name for one in family.inputs)
        raise ConfigError(
            f"models for {family.title} need a {missing[0].noun} with each {first.noun}; give --{flag} VALUE, or a "
            f"table (.csv, .tsv or .jsonl) with the columns {columns}"
        )
    beside = {one.name: _value(one, shared[one.name], Path()) for one in others if one.name in shared}
    jobs: list[Job] = []
    sources: set[Path] = set()  # every file that goes in
    seen: set[Path | RemoteFile] = set()  # files that words mean
    taken: set[str] = set()

    def is_taken(name: Path) -> bool:
        """True if another input has the name, or a file that no call of the command wrote. Raises DataError."""
        size = len(os.fsencode(f"{name.name}{max(family.endings, key=len, default='')}"))
        if size > LONGEST_NAME:
            raise DataError(
                f"{name.name}: names of its results would have {size} bytes, and a file's name has {LONGEST_NAME} at "
                "most; rename it"
            )
        results = [out / f"{name}{ending}" for ending in family.endings]
        strangers = (p for p in results if p.exists() and p not in replaceable and p.resolve() not in sources)
        return plain_name(name) in taken or any(strangers)

    def add(given: dict[str, Given], relative: Path, shown: str = "", missing: str = "") -> None:
        title = shown or str(given[first.name])
        record = {"file" if name == first.name and first.suffixes else name: str(v) for name, v in given.items()}
        if shown:
            record["file"] = shown
        sources.update(value.resolve() for value in given.values() if isinstance(value, Path))
        name = _free_name(relative, is_taken)
        jobs.append(Job(given, title, out, name, record, number=len(jobs), missing=missing))
        taken.add(plain_name(jobs[-1].name))

    for word, table in zip(words, from_tables, strict=True):
        if table:
            for row in _rows(Path(word), family.inputs):
                add(row, _below(row[first.name], first, len(jobs)))
            sources.add(Path(word).resolve())
        elif not first.suffixes:
            for text in _texts(word, first):
                add({first.name: text, **beside}, _below(text, first, len(jobs)))
        else:
            try:
                found: Sequence[tuple[Path | RemoteFile, Path]]
                found = [_download(word, first)] if is_web(word) else expand(word, first, out)
            except DataError as error:
                if not is_url(word):
                    raise
                found, name = [], re.sub(r"[^\w.-]", "_", RemoteFile(word.partition("?")[0]).name)
                add({first.name: word, **beside}, Path(name[:100]), shown=word, missing=str(error))
            for source, relative in found:
                known = source.resolve() if isinstance(source, Path) else source
                if known not in seen:
                    seen.add(known)
                    add({first.name: source, **beside}, relative, shown=word if is_web(word) else "")
    for job in jobs:
        if not sources.isdisjoint(job.result(ending).resolve() for ending in family.endings):
            raise ConfigError(f"results in {out} would replace the input {job.title}; choose another --out")
    return jobs


_fetched: dict[str, Path | str] = {}  # address -> its file, or why there is none, for this process


def _download(address: str, kind: Input) -> tuple[Path, Path]:
    """(the file at an address of the web, its name); the address is asked once. Raises DataError."""
    from foveate.pictures.urls import download

    if address not in _fetched:
        try:
            _fetched[address] = download(address, _cache() / str(len(_fetched)), kind.suffixes)
        except DataError as error:
            _fetched[address] = str(error)
    found = _fetched[address]
    if isinstance(found, str):
        raise DataError(found)
    return found, Path(found.name)


@functools.cache
def _cache() -> Path:
    """A new folder for files from the web, which is removed when the process ends."""
    folder = tempfile.TemporaryDirectory(prefix="foveate-")
    atexit.register(folder.cleanup)
    return Path(folder.name)


def require_texts(family: type[Task]) -> None:
    """Raise ConfigError for a family whose first input is no text, which standard input cannot give line by line."""
    if not family.inputs or family.inputs[0].suffixes:
        raise ConfigError(
            f"standard input is read line by line, but models for {family.title} take no text; give files"
        )


def stdin_lines() -> Iterator[str]:
    """The lines of standard input, in UTF-8, each as soon as it is there. Raises DataError for other bytes."""
    for number, line in enumerate(sys.stdin.buffer, start=1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise DataError(
                f"standard input, line {number}: not UTF-8 (byte {error.start}); convert it first"
            ) from None


def _texts(word: str, kind: Input) -> Iterator[str]:
    """The texts that a word means: the lines of a file or of standard input, or the word itself. Raises DataError."""
    from foveate.datasets.text_files import read_text

    path = Path(word)
    if word == STDIN:
        yield from stdin_lines()
    elif len(word) < LONGEST_NAME and path.is_file():
        lines = read_text(path).split("\n")
        lines = lines[:-1] if not lines[-1] else lines
        if not lines:
            raise DataError(f"{word}: an empty file; give {kind.nouns}, one on each line")
        yield from lines
    elif len(word) < LONGEST_NAME and path.is_dir():
        raise DataError(f"{word} is a folder; give a text file with {kind.nouns}, one on each line")
    elif path.suffix.lower() == ".txt":
        raise DataError(
            f"{word} does not exist; give a text file with {kind.nouns}, one on each line, or a {kind.noun}"
        )
    else:
        yield word


def _is_table(word: str, first: Input) -> bool:
    path = Path(word)
    if path.suffix.lower() not in TABLES or path.suffix.lower() in first.suffixes:
        return False
    if is_url(word):
        raise DataError(f"{word}: a table is read from a local file, though its inputs may be URLs; download it first")
    if not path.is_file():
        raise DataError(f"{word} does not exist; give a table of inputs, or a {first.noun}")
    return True


def _rows(table: Path, inputs: Sequence[Input]) -> Iterator[dict[str, Given]]:
    """The inputs of each row; files are named relative to the table's folder. Further columns are ignored."""
    names = [one.name for one in inputs]
    count = 0
    for number, row in _read_table(table):
        count += 1
        for name in names:
            if not isinstance(row.get(name), str) or not row[name].strip():
                raise DataError(
                    f"{table}, line {number}: no {name}; expected texts in the columns {' and '.join(names)}, found "
                    f"{', '.join(str(key) for key in row) or 'none'}"
                )
        try:
            yield {one.name: _value(one, row[one.name], table.parent) for one in inputs}
        except DataError as error:
            raise DataError(f"{table}, line {number}: {error}") from error
    if not count:
        raise DataError(f"{table}: no rows; expected the columns {' and '.join(names)}")


def _read_table(table: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line, row) of a table. Raises DataError for a file that cannot be read as one."""
    separator = TABLES[table.suffix.lower()]
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            if separator:
                reader = csv.DictReader(file, delimiter=separator, strict=True)
                for row in reader:
                    yield reader.line_num, row
                return
            for number, line in enumerate(file, start=1):
                if line.strip():
                    row = parse_json(line)
                    yield number, row if isinstance(row, dict) else {}
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(
            f"{table}: not a table of inputs ({error}); write UTF-8 with a header line, or JSON lines"
        ) from error


def _value(kind: Input, text: str, folder: Path) -> Given:
    """The value of one input: a file, or the text itself for an input without files. Raises DataError.

    A file may also lie in the table's folder of that kind, as `images`.
    """
    if not kind.suffixes:
        return text
    if is_url(text):
        return RemoteFile(text)
    text = as_path(text)
    path = folder / Path(text).expanduser()
    inside = folder / f"{kind.name}s" / Path(text).expanduser()
    if not is_file(path) and not is_file(inside):
        raise DataError(f"{path} does not exist; give a {kind.noun}")
    return path if is_file(path) else inside


def _below(value: Given, kind: Input, number: int) -> Path:
    """The place of a result below the folder of the call: the file's own name, or image_0001 for a text."""
    return Path(f"{kind.name}_{number:04d}.txt") if isinstance(value, str) else Path(value.name)


def _free_name(relative: Path, is_taken: Callable[[Path], bool]) -> Path:
    """A name without suffix that is not taken yet: photo, else photo_jpg, else photo_jpg_2, ..."""
    stem = relative.with_suffix("")
    longer = relative.with_name(f"{stem.name}_{relative.suffix.removeprefix('.')}")
    candidates = [stem, longer]
    number = 2
    while is_taken(candidates[0]):
        candidates.pop(0)
        if not candidates:
            candidates.append(longer.with_name(f"{longer.name}_{number}"))
            number += 1
    return candidates[0]
