"""The VQA challenge's files: questions and annotations as JSON, a pair a split.

Antol et al., "VQA: Visual Question Answering", 2015; Goyal et al., "Making the V in VQA Matter", 2017.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foveate.datasets.captions.album import Album, nearby
from foveate.datasets.files import require_folder
from foveate.datasets.questions import Asked, Collector, QuestionScan, QuestionSource
from foveate.datasets.splits import SPLIT_ORDER, split_called
from foveate.datasets.text_files import read_json
from foveate.errors import DataError, listed
from foveate.records import Problem
from foveate.registry import dataset

_QUESTIONS = re.compile(r"(?P<head>.*?)(?:OpenEnded_)?(?P<set>[a-z]+_(?P<split>[a-z]+)\d*)_questions\.json", re.I)
# COCO's name of an image, with its split, or a plain number.
_NUMBERED = re.compile(r"(?:(?:.*_)?(?P<split>[a-z]+)\d*_)?(?P<number>\d+)", re.I)
_PREFIXED = re.compile(r".*?(?P<number>\d+)")


@dataset("vqa")
@dataclass(frozen=True)
class VQA(QuestionSource):
    """VQA v1 or v2: `*_OpenEnded_<set>_<split><year>_questions.json` and `*_<set>_<split><year>_annotations.json`.

    Images are found by their number (`COCO_train2014_000000000009.jpg`, `9.png`) anywhere below the folder; of several
    with the same number, the one is taken whose name or folder says the split (`val/9.png`). All ten answers of a
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
        images = NumberedImages(root)
        for questions, answered in files.items():
            part = _split(questions)
            split = part if len(files) > 1 or part == "test" else ""
            unclear: dict[int, list[Path]] = {}
            for asked, number, place in _asked(questions, answered, collector.problems):
                paths = images.find(number, part)
                if len(paths) > 1:
                    unclear[number] = paths
                name = paths[0].relative_to(root).as_posix() if paths else f"image {number}"
                collector.add(asked._replace(picture=name, split=split), questions, place)
            if unclear:
                numbers = listed([str(number) for number in unclear], "image number")
                shown = " and ".join(p.relative_to(root).as_posix() for p in next(iter(unclear.values()))[:2])
                what = f"{numbers} with several pictures each, {shown}; keep one, or put it into a folder {part}"
                collector.problems.append(Problem(questions, what))
        scan = collector.scan(self.seed)
        alone = [p for p in nearby(root, "*_questions.json") if p not in files and "MultipleChoice" not in p.name]
        if alone:
            names = listed([path.name for path in alone], "file")
            scan.notes.append(
                f"{names} without annotations not read; put the file {_annotations(alone[0], '*')} beside it"
            )
        return scan


class NumberedImages:
    """The images below a folder by their number, and by the split that their name or a folder says.

    Names with another prefix, as `room_9.png`, count only where no image is called as COCO does or by its number alone.
    """

    def __init__(self, root: Path) -> None:
        paths = list(Album(root))
        named = [(path, match) for path in paths if (match := _numbered(path.stem))]
        named = named or [(path, match) for path in paths if (match := _PREFIXED.fullmatch(path.stem))]
        self._found: dict[int, dict[str, list[Path]]] = {}
        for path, match in named:
            split = _image_split(match.groupdict().get("split") or "", path.relative_to(root).parent)
            self._found.setdefault(int(match["number"]), {}).setdefault(split, []).append(path)
        # Numbers that occur in several splits are each split's own.
        self._own = any(len(set(splits) - {""}) > 1 for splits in self._found.values())

    def find(self, number: int, split: str) -> list[Path]:
        """The images that a number may mean in a split, several if it is not clear; [] for none."""
        splits = self._found.get(number, {})
        others = [] if self._own else [path for name, paths in splits.items() if name for path in paths]
        found = splits.get(split) or splits.get("") or others
        return list({os.path.realpath(path): path for path in reversed(found)}.values())[::-1]


def _numbered(stem: str) -> re.Match[str] | None:
    """The match of an image's name as COCO's, or of a plain number; None for another prefix."""
    match = _NUMBERED.fullmatch(stem)
    return match if match and (match["split"] is None or split_called(match["split"]) in SPLIT_ORDER) else None


def _image_split(named: str, folder: Path) -> str:
    """The split of an image, by its name or by the nearest of its folders, as val or val2014; '' for none."""
    words = [named, *(part.rstrip("0123456789") for part in reversed(folder.parts))]
    return next((split for word in words if (split := split_called(word)) in SPLIT_ORDER), "")


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
    texts: dict[Any, tuple[str, Any]] = {}
    for entry in _entries(questions, "questions"):
        if not _has(entry, "question_id", (int, str)) or not _has(entry, "question", (str,)):
            what = f"{entry!r:.60} among the questions; expected an object with question_id, image_id and question"
            problems.append(Problem(questions, what))
        else:
            texts[entry["question_id"]] = entry["question"], entry.get("image_id")
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
            text, image = texts.pop(entry["question_id"])
            if image not in (None, entry["image_id"]):
                what = (
                    f"question {entry['question_id']} is annotated for image {entry['image_id']}, and in "
                    f"{questions.name} asked about image {image}; give files that belong together"
                )
                problems.append(Problem(answered, what))
            asked = Asked("", text, kept, str(entry.get("answer_type", "")))
            yield asked, entry["image_id"], f"question {entry['question_id']}"
    for number, (text, _) in texts.items():
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
