"""Questions about the place of a red square: drawn images, whose answers cannot be guessed from the words.

    SpatialQuestions().open("train")[0]  # a QuestionSample

After Xu and Saenko, "Ask, Attend and Answer" (2015), section 4.1. Absolute questions ask whether a red square is at the
top, bottom, left or right of the image; relative ones whether it is above, below, left or right of an object, a white
cross here and a cat in the paper. Half of the answers are yes, whatever the question; if it is no, the square is at
another of the four places.

Shapes: images of 3 x SIDE x SIDE pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch

from foveate.datasets.splits import SPLIT_ORDER
from foveate.deferred import tv_tensors
from foveate.errors import ConfigError, unknown
from foveate.records import DataSource, QuestionSample
from foveate.registry import dataset

SIDE, SQUARE, CROSS = 64, 10, 9  # pixels
PLACES = {"top": (-1, 0), "bottom": (1, 0), "left": (0, -1), "right": (0, 1)}  # -> (down, right)
KINDS = ("absolute", "relative")
_SHOWN = 2000  # questions of train by which answers are counted


@dataset("spatial_questions")
@dataclass(frozen=True)
class SpatialQuestions(DataSource):
    """Drawn images of a red square, and questions about its place, drawn afresh each epoch.

    kind: 'absolute' places in the image, 'relative' to a cross, or 'both', each in half of the questions.
    train: number of questions of an epoch; 0: no such split.
    val: number of validation questions; 0: no such split.
    test: number of test questions; 0: no such split.
    seed: of all questions, 0 to 2**32 - 1.
    """

    kind: Literal["both", "absolute", "relative"] = "both"
    train: int = 12800
    val: int = 2000
    test: int = 2000
    seed: int = 0
    tasks: ClassVar[tuple[str, ...]] = ("questions",)

    def __post_init__(self) -> None:
        if self.kind not in ("both", *KINDS):
            raise ConfigError(f"kind is '{self.kind}'; expected both, absolute or relative")
        for name in (*SPLIT_ORDER, "seed"):
            if not 0 <= getattr(self, name) < 2**32:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected a number of 0..4294967295")

    def splits(self) -> tuple[str, ...]:
        """Names of the splits that have questions."""
        return tuple(split for split in SPLIT_ORDER if getattr(self, split))

    def open(self, split: str, task: str = "") -> SpatialQuestionsDataset:
        """One split. Raises ConfigError for an unknown split or family."""
        self.serve(task)
        if split not in self.splits():
            raise ConfigError(unknown("split", split, self.splits()))
        return SpatialQuestionsDataset(self, split)

    def describe(self, task: str = "") -> str:
        """The generated data and its counts, in one line."""
        counts = ", ".join(f"{getattr(self, split)} {split}" for split in self.splits())
        kinds = " and ".join(KINDS) if self.kind == "both" else self.kind
        return f"a red square on {SIDE}x{SIDE}, {kinds} places: {counts or 'no'} questions, seed {self.seed}"


@dataclass(frozen=True)
class _Layout:
    """One question and the corners (row, column) of what is drawn for it. cross: None for an absolute question."""

    question: str
    answer: str
    kind: str
    square: tuple[int, int]
    cross: tuple[int, int] | None


class SpatialQuestionsDataset:
    """One split: a QuestionDataset. Indexing gives epoch 0; training draws other questions each epoch."""

    channels = 3

    def __init__(self, source: SpatialQuestions, split: str) -> None:
        self.source, self.split = source, split

    def __len__(self) -> int:
        return int(getattr(self.source, self.split))

    def __getitem__(self, index: int) -> QuestionSample:
        return self.draw([(0, index)])[0]

    def draw(self, keys: Sequence[tuple[int, int]]) -> list[QuestionSample]:
        """Samples by (epoch, index), each a function of its key alone."""
        return [self._draw(epoch, self._checked(index)) for epoch, index in keys]

    def name(self, index: int) -> str:
        """'square/train/000123'."""
        return f"square/{self.split}/{self._checked(index):06d}"

    def question(self, index: int) -> str:
        """A question, without drawing."""
        return self._layout(0, index)[0].question

    def answers(self, index: int) -> tuple[str, ...]:
        """Its answer, yes or no."""
        return (self._layout(0, index)[0].answer,)

    def question_kind(self, index: int) -> str:
        """'absolute' or 'relative'."""
        return self._layout(0, index)[0].kind

    def training(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Questions and answers of train."""
        train = SpatialQuestionsDataset(self.source, "train")
        return ((train.question(i), train.answers(i)) for i in range(min(len(train), _SHOWN)))

    def _layout(self, epoch: int, index: int) -> tuple[_Layout, np.random.Generator]:
        entropy = (self.source.seed, SPLIT_ORDER.index(self.split), epoch, self._checked(index))
        dice = np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))
        kind = KINDS[int(dice.integers(2))] if self.source.kind == "both" else self.source.kind
        asked, is_there, other = int(dice.integers(4)), bool(dice.integers(2)), int(dice.integers(1, 4))
        place = asked if is_there else (asked + other) % 4
        down, right = list(PLACES.values())[place]
        if kind == "relative":
            row, column = dice.integers(20, 36, 2).tolist()
            cross = (row, column)
            jitter, reach = dice.integers(-3, 4, 2).tolist(), 16
        else:
            row = column = (SIDE - SQUARE) // 2
            cross = None
            jitter, reach = dice.integers(-5, 6, 2).tolist(), 20
        square = (row + reach * down + jitter[0], column + reach * right + jitter[1])
        of = "cross" if kind == "relative" else "picture"
        question = f"is there a red square on the {list(PLACES)[asked]} of the {of}"
        return _Layout(question, "yes" if is_there else "no", kind, square, cross), dice

    def _draw(self, epoch: int, index: int) -> QuestionSample:
        layout, dice = self._layout(epoch, index)
        image = dice.integers(0, 52, (3, SIDE, SIDE), np.uint8)
        if layout.cross is not None:
            row, column = layout.cross
            third = CROSS // 3
            image[:, row + third : row + 2 * third, column : column + CROSS] = 255
            image[:, row : row + CROSS, column + third : column + 2 * third] = 255
        row, column = layout.square
        inside = (slice(row, row + SQUARE), slice(column, column + SQUARE))
        image[0][inside] = 255
        image[1:, inside[0], inside[1]] = 0
        asked = np.zeros((SIDE, SIDE), bool)
        asked[inside] = True
        return QuestionSample(
            image=tv_tensors.Image(torch.from_numpy(image)),
            question=layout.question,
            answers=(layout.answer,),
            question_kind=layout.kind,
            asked=tv_tensors.Mask(torch.from_numpy(asked)),
            name=self.name(index),
        )

    def _checked(self, index: int) -> int:
        if not -len(self) <= index < len(self):
            raise IndexError(f"question {index} of square/{self.split}, which has {len(self)}")
        return index % len(self)
