"""The VQA challenge's files: questions and annotations as JSON, a pair a split.

Antol et al., "VQA: Visual Question Answering", 2015; Goyal et al., "Making the V in VQA Matter", 2017.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foveate.datasets.captions.album import Album, nearby
from foveate.datasets.files import read_json, require_folder
from foveate.datasets.questions import Asked, Collector, QuestionScan, QuestionSource
from foveate.datasets.splits import SPLIT_ORDER, split_called
from foveate.errors import DataError
from foveate.records import Problem
from foveate.registry import dataset

_QUESTIONS = re.compile(r"(?P<head>.*?)(?:OpenEnded_)?(?P<set>[a-z]+_(?P<split>[a-z]+)\d*)_questions\.json", re.I)
_NUMBER = re.compile(r"(\d+)$")


@dataset("vqa")
@dataclass(frozen=True)
class VQA(QuestionSource):
    """VQA v1 or v2: `*_OpenEnded_<set>_<split><year>_questions.json` and `*_<set>_<split><year>_annotations.json`.

    Images are found by the number at the end of their name (`COCO_train2014_000000000009.jpg`, `9.png`) anywhere below
    the folder; where several have the same number, the one whose name holds the split is taken. All ten answers of a
    question are kept; its kind is the answer_type (yes/no, number, other). Of a single pair a split is drawn by image.

    path: the folder.
    seed: of the drawn split; any integer, used only if a split is missing.
    """

    path: str
    seed: int = 0

    @staticmethod
    def recognise(path: Path) -> bool:
        """True if there is a file of questions with its annotations."""
        return bool(_pairs(path))

    @staticmethod
    def near_miss(path: Path) -> str:
        """Questions without annotations, as those of VQA's test splits."""
        for file in nearby(path, "*_questions.json"):
            return (
                f"has {file.name} without its annotations; put the file {_annotations(file, '*')} of that split "
                "beside it"
            )
        return ""

    def describe(self, task: str = "") -> str:
        """The recognised format, and its counts, in one line."""
        files = ", ".join(file.name for file in self._files())
        return f"VQA ({files}): {self.scan.counts()}"

    def _files(self) -> dict[Path, Path]:
        found = _pairs(root := require_folder(self.path))
        if not found:
            raise DataError(f"{root}: no *_questions.json with its *_annotations.json")
        return found

    def read(self) -> QuestionScan:
        """Read the files and find their images. Raises DataError."""
        root = require_folder(self.path)
        files = self._files()
        collector = Collector(root, list(files))
        by_number: dict[int, list[Path]] = {}
        for path in Album(root):
            if digits := _NUMBER.search(path.stem):
                by_number.setdefault(int(digits[1]), []).append(path)
        for questions, answered in files.items():
            part = _split(questions)
            split = part if len(files) > 1 or part == "test" else ""
            for asked, number, place in _asked(questions, answered, collector.problems):
                paths = by_number.get(number, [])
                paths = [p for p in paths if part in p.stem.lower()] or paths
                name = paths[0].relative_to(root).as_posix() if paths else f"image {number}"
                collector.add(asked._replace(picture=name, split=split), questions, place)
        return collector.scan(self.seed)


def _split(questions: Path) -> str:
    match = _QUESTIONS.fullmatch(questions.name)
    part = split_called(match["split"]) if match else ""
    return part if part in SPLIT_ORDER else "train"


def _annotations(questions: Path, head: str) -> str:
    match = _QUESTIONS.fullmatch(questions.name)
    return f"{head}{match['set'] if match else ''}_annotations.json"


def _pairs(root: Path) -> dict[Path, Path]:
    """Questions -> annotations, of those that have both."""
    found = {}
    known = nearby(root, "*_annotations.json")
    for file in nearby(root, "*_questions.json"):
        match = _QUESTIONS.fullmatch(file.name)
        if match is None or "MultipleChoice" in file.name:
            continue
        for other in known:
            if other.name == f"{match['head']}{match['set']}_annotations.json":
                found[file] = other
    return found


def _asked(questions: Path, answered: Path, problems: list[Problem]) -> Iterator[tuple[Asked, int, str]]:
    """(question, number of its image, place) of every annotated question. Problems of entries are collected."""
    texts: dict[Any, str] = {}
    for entry in _entries(questions, "questions"):
        if not _has(entry, "question_id", (int, str)) or not _has(entry, "question", (str,)):
            what = f"{entry!r:.60} among the questions; expected an object with question_id, image_id and question"
            problems.append(Problem(questions, what))
        else:
            texts[entry["question_id"]] = entry["question"]
    for entry in _entries(answered, "annotations"):
        answers = entry.get("answers") if isinstance(entry, dict) else None
        given: list[Any] = []
        if isinstance(answers, list):
            given = [one.get("answer") if isinstance(one, dict) else one for one in answers]
        if (
            not _has(entry, "question_id", (int, str))
            or not _has(entry, "image_id", (int,))
            or not given
            or not all(isinstance(one, str) for one in given)
        ):
            what = f"{entry!r:.60} among the annotations; expected an object with question_id, image_id and answers"
            problems.append(Problem(answered, what))
        elif entry["question_id"] not in texts:
            what = f"question {entry['question_id']} is annotated, but not in {questions.name}; restore the files"
            problems.append(Problem(answered, what))
        else:
            kept = tuple(one for one in given if one.strip())
            asked = Asked("", texts.pop(entry["question_id"]), kept, str(entry.get("answer_type", "")))
            yield asked, entry["image_id"], f"question {entry['question_id']}"
    for number, text in texts.items():
        what = f"question {number}, '{text[:40]}', has no annotation in {answered.name}; restore the files"
        problems.append(Problem(questions, what))


def _entries(file: Path, key: str) -> list[Any]:
    data = read_json(file)
    if not isinstance(data, dict) or not isinstance(data.get(key), list):
        raise DataError(f"{file}: no list '{key}'; expected a file of the VQA challenge")
    found: list[Any] = data[key]
    return found


def _has(entry: Any, key: str, kinds: tuple[type, ...]) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get(key), kinds)
