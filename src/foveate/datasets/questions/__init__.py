"""Base of the readers of questions about image files: rows of a table or of JSON, the images that they name, and the
division of these.

A reader yields every question as an `Asked`; images are found by name anywhere below the folder. Questions are divided
by image, so that no image of validation is seen in training. Answers that are rare are listed in the notes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, NamedTuple

from foveate import pictures
from foveate.datasets.captions.album import Album, escape_note
from foveate.datasets.checks import label_digest
from foveate.datasets.drawn import Drawn
from foveate.datasets.files import Pair, ScannedSource, raise_problems
from foveate.datasets.headers import FileHeaders
from foveate.datasets.names import distinct_names, shown_names
from foveate.datasets.splits import (
    SPLIT_ORDER,
    SPLITS_FILE,
    draw_split,
    ordered,
    other_split,
    read_splits,
    settle,
    split_called,
)
from foveate.datasets.text_doubts import is_missing, text_notes
from foveate.deferred import tv_tensors
from foveate.errors import DataError, counted, listed
from foveate.pictures.shared import SharedTensors
from foveate.records import Problem, QuestionSample
from foveate.text import split_words
from foveate.text.answers import normal

SELDOM = 3  # answers of fewer questions are listed
SHOWN = 3  # answers in two spellings that are named
_MARKS = " .,;:!?'\"()[]"  # around an answer
_BETWEEN = re.compile(r"(?<=[^\W\d])[\s_-]+(?=[^\W\d])")  # between its words


class Asked(NamedTuple):
    """A question in a file: `picture`, the image's name there with its folders; `split`, '' if the file has none."""

    picture: str
    question: str
    answers: tuple[str, ...]
    kind: str = ""
    split: str = ""


@dataclass
class QuestionScan:
    """Contents of a folder of questions and images, found without decoding images.

    pairs: split -> its questions, each with its image; the label is an `Asked`. problems: files and rows that cannot be
    used; `open` raises them. drawn: how images were divided, if the files did not say. notes: sentences on what may be
    other than was meant.
    """

    pairs: dict[str, list[Pair]]
    problems: list[Problem]
    drawn: Drawn
    notes: list[str] = field(default_factory=list)

    def counts(self) -> str:
        """'5420 train, 1375 val questions about 795 pictures', and how they were divided if that was drawn."""
        listing = ", ".join(f"{len(pairs)} {split}" for split, pairs in self.pairs.items())
        images = len({pair.picture for pairs in self.pairs.values() for pair in pairs})
        drawn = f" ({self.drawn})" if self.drawn else ""
        return f"{listing} questions about {images} picture{'s' * (images != 1)}{drawn}"


class QuestionFiles(FileHeaders):
    """Questions about image files: a QuestionDataset. Indexing raises DataError, naming a file that cannot be read.

    Questions about one file have one image, the same object, while any of them is held.

    train: the questions of train, for what they tell without images.
    """

    channels = 3  # `read_picture` turns grey images into three equal channels

    def __init__(self, pairs: Sequence[Pair], train: Sequence[Pair] = ()) -> None:
        self.pairs, self.train = list(pairs), train
        images = list(dict.fromkeys(pair.picture for pair in self.pairs))
        self._names = dict(zip(images, shown_names(images), strict=True))
        self._images = SharedTensors()

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> QuestionSample:
        return QuestionSample(
            image=self._image(self.pairs[index].picture),
            question=self.question(index),
            answers=self.answers(index),
            question_kind=self.question_kind(index),
            name=self.name(index),
        )

    def _image(self, file: Path) -> tv_tensors.Image:
        image = self._images.get(file)
        if image is None:
            stored = pictures.stored_tensor(pictures.read_picture(file, channels=self.channels))
            image = self._images[file] = tv_tensors.Image(stored)
        return image

    def name(self, index: int) -> str:
        """The image's file name, without decoding it; with its folders where several are called so."""
        return self._names[self.pairs[index].picture]

    def question(self, index: int) -> str:
        """A question, without decoding its image."""
        text: str = self.pairs[index].label.question
        return text

    def answers(self, index: int) -> tuple[str, ...]:
        """Its answers, without decoding its image."""
        texts: tuple[str, ...] = self.pairs[index].label.answers
        return texts

    def question_kind(self, index: int) -> str:
        """Its kind, '' for none, without decoding its image."""
        kind: str = self.pairs[index].label.kind
        return kind

    def training(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Questions and answers of train."""
        return ((pair.label.question, pair.label.answers) for pair in self.train)

    def digest(self, index: int) -> str:
        """A digest of the question and its answers, without decoding the image."""
        asked = self.pairs[index].label
        return label_digest((asked.question, *asked.answers))


class QuestionSource(ScannedSource[QuestionScan]):
    """A data source of questions about image files; a subclass implements `read` and `describe`."""

    tasks: ClassVar[tuple[str, ...]] = ("questions",)

    def readable(self, split: str, task: str = "") -> QuestionFiles:
        """One split of the questions that can be used."""
        self.serve(task)
        return QuestionFiles(self.scan.pairs[split], self.scan.pairs.get("train", ()))


class Collector:
    """Collects questions and the problems with them; then finds their images and divides them.

    root: the folder. sources: the files that are read.
    """

    def __init__(self, root: Path, sources: Sequence[Path]) -> None:
        self.root, self.sources = root, sources
        self.asked: list[tuple[Asked, Path, str]] = []
        self.problems: list[Problem] = []

    def add(self, asked: Asked, file: Path, place: str) -> None:
        """Add one question. place: in the file, as 'line 3'. One without a word, image or answer is a problem."""
        question = " ".join(asked.question.split())
        answers = tuple(" ".join(answer.split()) for answer in asked.answers)
        if not asked.picture.strip():
            self.problems.append(Problem(file, f"{place}: '{question[:40]}' has no picture; write its file name"))
        elif not split_words(question):
            what = f"{place}: an empty question about '{asked.picture}'; write one, or remove the row"
            self.problems.append(Problem(file, what))
        elif not answers or not all(answers) or all(map(is_missing, answers)):
            what = f"{place}: no answer to '{question[:40]}' about '{asked.picture}'; write one, or remove the row"
            self.problems.append(Problem(file, what))
        else:
            split = split_called(asked.split.strip()) if asked.split.strip() else ""
            asked = Asked(asked.picture.strip(), question, answers, asked.kind.strip(), split)
            self.asked.append((asked, file, place))

    def scan(self, seed: int) -> QuestionScan:
        """Find the images below the root, and divide the questions by image, as the files say or drawn from `seed`.

        Raises DataError: no question, or none of their images.
        """
        where = ", ".join(sorted(file.name for file in self.sources))
        if not self.asked:
            raise_problems(self.problems)
            raise DataError(f"{self.root}: {where} holds no question; expected at least one, with its picture")
        pairs = self._pairs(Album(self.root), where)
        stated = {pair.label.split for pair in pairs}
        if stated == {""}:
            divided, drawn = self._drawn(pairs, seed)
        else:
            divided, drawn = {}, Drawn()
            for pair in pairs:
                if not pair.label.split:
                    what = f"'{pair.label.question[:40]}' about '{pair.label.picture}' has no split, though others have"
                    self.problems.append(Problem(self.sources[0], what))
                divided.setdefault(pair.label.split or "train", []).append(pair)
            if "val" not in divided and len(divided.get("train", ())) > 1 and "test" not in divided:
                parts, drawn = self._drawn(divided.pop("train"), seed)
                divided |= parts
            divided = ordered(divided)
        notes = self._split_notes(divided) + _notes(divided) + self._text_notes()
        notes += escape_note({pair.label.picture: pair.picture for pair in pairs})
        return QuestionScan(divided, self.problems, drawn, notes)

    def _text_notes(self) -> list[str]:
        texts = text_notes((asked.question for asked, *_ in self.asked), "question")
        return texts + text_notes((answer for asked, *_ in self.asked for answer in asked.answers), "answer")

    def _split_notes(self, divided: Mapping[str, Sequence[Pair]]) -> list[str]:
        """A note on each split of another name than those that are trained on; one that is misspelt is a problem."""
        notes = []
        for split in [name for name in divided if name not in SPLIT_ORDER]:
            what, misspelt = other_split(split, counted(len(divided[split]), "question"))
            if misspelt:
                file = next(file for asked, file, _ in self.asked if asked.split == split)
                self.problems.append(Problem(file, what))
            else:
                notes.append(what)
        return notes

    def _pairs(self, album: Album, where: str) -> list[Pair]:
        found: dict[str, Path] = {}
        missing: dict[str, tuple[Path, str]] = {}
        for asked, file, place in self.asked:
            name = asked.picture
            if name in found or name in missing:
                continue
            paths = album.find(name)
            if len(paths) > 1:
                shown = " and ".join(str(p.relative_to(self.root)) for p in paths[:2])
                what = f"{place}: '{name}' may be {shown}; keep one, or name the folder"
                self.problems.append(Problem(file, what))
            if paths:
                found[name] = paths[0]
            else:
                missing[name] = (file, place)
        if not found:
            raise_problems(self.problems)
            raise DataError(
                f"{self.root}: none of the {counted(len(missing), 'picture')} ({next(iter(missing))}, ...) "
                f"that {where} asks "
                "about is in this folder or below it; put them there"
            )
        for name, (file, place) in missing.items():
            what = f"{place}: a question about '{name}', but there is no picture of that name; add it, or remove it"
            self.problems.append(Problem(file, what))
        return [Pair(found[asked.picture], asked) for asked, *_ in self.asked if asked.picture in found]

    def _drawn(self, pairs: Sequence[Pair], seed: int) -> tuple[dict[str, list[Pair]], Drawn]:
        """Divide by image: as `splits.json` says, or a fifth of the images is val."""
        by_image: dict[Path, list[Pair]] = {}
        for pair in pairs:
            by_image.setdefault(pair.picture, []).append(pair)
        images = sorted(by_image)
        named = dict(zip(distinct_names(images, self.root), (Pair(p, by_image[p]) for p in images), strict=True))
        path = self.root / SPLITS_FILE
        written = read_splits(path) if path.exists() else {}
        if len(named) < 2:
            return {"train": list(pairs)}, Drawn("one picture, which cannot be divided")
        groups, drawn = settle(path, named, written, seed, lambda names: draw_split(names, seed, self.root))
        return {split: [pair for group in found for pair in group.label] for split, found in groups.items()}, drawn


def _spellings(divided: dict[str, list[Pair]]) -> list[str]:
    """A note on answers that differ in marks around them, blanks, hyphens and zeros alone; each is one of its own."""
    counts = Counter(
        answer for pairs in divided.values() for pair in pairs for answer in set(map(normal, pair.label.answers))
    )
    spelt: dict[str, list[str]] = {}
    for answer in sorted(counts, key=lambda one: (-counts[one], one)):
        spelt.setdefault(_BETWEEN.sub("", _plain_number(answer.strip(_MARKS))) or answer, []).append(answer)
    several = [own for own in spelt.values() if len(own) > 1]
    if not several:
        return []
    shown = [" and ".join(f"'{answer}' ({counted(counts[answer], 'time')})" for answer in own[:2]) for own in several]
    more = f", and {len(several) - SHOWN} more" if len(several) > SHOWN else ""
    return [
        f"answers that may be one, written in two ways: {', '.join(shown[:SHOWN])}{more}; each is an answer of its "
        "own: correct the files, if they are one"
    ]


def _plain_number(answer: str) -> str:
    """A whole number without the zeros of its decimals, '2' for '2.0' and '02'; any other answer itself."""
    match = re.fullmatch(r"0*(\d+)(?:\.0+)?", answer)
    return match[1] if match else answer


def _notes(divided: dict[str, list[Pair]]) -> list[str]:
    """Sentences on questions with several answers, on answers that are seldom, and on those that train lacks."""
    notes = []
    asked_of: dict[tuple[Path, str], set[str]] = {}
    for pair in (pair for pairs in divided.values() for pair in pairs):
        key = (pair.picture, " ".join(split_words(pair.label.question)))
        asked_of.setdefault(key, set()).add(" | ".join(map(normal, pair.label.answers)))
    if differing := [question for (_, question), answers in asked_of.items() if len(answers) > 1]:
        notes.append(
            "asked several times about one picture, with different answers, of which one can be right: "
            f"{listed(differing, 'question')}"
        )
    notes += _spellings(divided)
    train = Counter(answer for pair in divided.get("train", ()) for answer in set(map(normal, pair.label.answers)))
    if seldom := sorted(answer for answer, n in train.items() if n < SELDOM):
        notes.append(
            f"{len(seldom)} of {counted(len(train), 'answer')} of train are given fewer than {SELDOM} times, "
            f"and will hardly be "
            f"learned: {listed(seldom, 'answer')}"
        )
    for split, pairs in divided.items():
        asked = [pair.label for pair in pairs]
        unknown = [one for one in asked if train and not any(normal(answer) in train for answer in one.answers)]
        if split != "train" and unknown:
            names = list(dict.fromkeys(normal(one.answers[0]) for one in unknown))
            notes.append(
                f"{len(unknown)} of {counted(len(asked), 'question')} of {split} have answers that train does "
                f"not have, which "
                f"cannot be given: {listed(names, 'answer')}"
            )
    return notes
