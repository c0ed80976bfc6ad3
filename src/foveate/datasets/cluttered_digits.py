"""Digits among pieces of other digits on a large canvas, to be found before they are read.

    ClutteredDigits("mnist", side=100, distractors=8).open("train").draw([(epoch, index), ...])

Images are as in Mnih et al., "Recurrent Models of Visual Attention" (2014), section 4.1, and Gregor et al., "DRAW"
(2015), section 4.1: distractors are pieces of 8x8 of digits of the same split, added at random places and cut at white;
the 28x28 image of the digit is laid over them, wholly on the canvas, at whole pixels. Training images are drawn again
each epoch, others once.

With `grow`, training begins on canvases of `start` pixels without distractors, and their side and number rise evenly to
the full ones over the first `grow` epochs: a reader that has to learn where to look has little to start from on a large
canvas. Validation and test images are always full.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from foveate.datasets.idx import Idx, IdxDataset
from foveate.datasets.splits import SPLIT_ORDER
from foveate.deferred import tv_tensors
from foveate.errors import ConfigError, DataError, counted
from foveate.records import ClassificationSample, DataSource, Problem
from foveate.registry import dataset

DIGIT, PIECE = 28, 8


@dataset("cluttered_digits")
@dataclass(frozen=True)
class ClutteredDigits(DataSource):
    """Digits of MNIST on large canvases among pieces of other digits (Mnih et al. 2014, Gregor et al. 2015).

    path: the folder of MNIST's IDX files; "" until `made_from` says where they are.
    side: of the square canvas, in pixels, 28 or more; 60 and 100 in the papers.
    distractors: number of 8x8 pieces of other digits, 0 or more; 8 on 100x100, 4 on 60x60.
    grow: epochs of training over which side and distractors rise to the full ones; 0: full from the first on.
    start: side of the first epoch, if `grow` is not 0.
    seed: of all that is drawn, 0 to 2**32 - 1.
    """

    path: str = ""
    side: int = 100
    distractors: int = 8
    grow: int = 0
    start: int = 40
    seed: int = 0
    tasks: ClassVar[tuple[str, ...]] = ("classification",)

    def __post_init__(self) -> None:
        if (
            self.side < DIGIT
            or not DIGIT <= self.start <= max(self.side, DIGIT)
            or min(self.distractors, self.grow) < 0
        ):
            raise ConfigError(
                f"side {self.side} must be {DIGIT} or more, start {self.start} {DIGIT} to the side, distractors "
                f"{self.distractors} and grow {self.grow} 0 or more"
            )
        if not 0 <= self.seed < 2**32:
            raise ConfigError(f"seed {self.seed} is outside 0..4294967295; choose one within")

    def made_from(self, path: Path) -> ClutteredDigits:
        """This source on the digits in another folder (`--data`)."""
        return replace(self, path=str(path))

    @cached_property
    def source(self) -> Idx:
        """The digits of MNIST. Raises ConfigError without a path."""
        if not self.path:
            raise ConfigError("cluttered digits are taken from MNIST's IDX files: say where they are with --data PATH")
        return Idx(self.path)

    def splits(self) -> tuple[str, ...]:
        """The splits that hold digits, 'train' first."""
        return self.source.splits()

    def open(self, split: str, task: str = "") -> ClutteredDataset:
        """One split. Raises DataError as Idx does and for images other than grey 28x28, ConfigError as Idx does."""
        self.serve(task)
        return ClutteredDataset(self, split, self.source.open(split))

    def readable(self, split: str, task: str = "") -> ClutteredDataset:
        """One split, for looking at it: a division of the digits that was drawn is not written down."""
        self.serve(task)
        return ClutteredDataset(self, split, self.source.readable(split))

    def problems(self, task: str = "") -> list[Problem]:
        """Files that cannot be used."""
        return self.source.problems()

    def describe(self, task: str = "") -> str:
        """The generated data, its counts and its size, in one line."""
        counts = ", ".join(f"{len(self.readable(split))} {split}" for split in self.splits())
        grow = (
            f", growing from {self.start}x{self.start} in {counted(self.grow, 'epoch', 'epochs')}" if self.grow else ""
        )
        pieces = counted(self.distractors, "distractor")
        return f"digits on {self.side}x{self.side} with {pieces}: {counts} pictures{grow}, seed {self.seed}"


class ClutteredDataset:
    """One split. Every access draws the image."""

    channels = 1

    def __init__(self, source: ClutteredDigits, split: str, digits: IdxDataset) -> None:
        height, width, channels = digits.images.shape[1:]
        if (height, width, channels) != (DIGIT, DIGIT, 1):
            raise DataError(
                f"{source.path}: pictures of {width}x{height} with {counted(channels, 'channel')}; cluttered digits "
                f"are grey and {DIGIT}x{DIGIT}"
            )
        self.source, self.split, self.digits = source, split, digits
        self.classes = digits.classes

    def __len__(self) -> int:
        return len(self.digits)

    def __getitem__(self, index: int) -> ClassificationSample:
        return self._drawn(self.source.grow if self.split == "train" else 0, index)

    def name(self, index: int) -> str:
        """'train/00123': the place of the digit in its file."""
        return self.digits.name(index)

    def digest(self, index: int) -> str:
        """A digest of the label."""
        return self.digits.digest(index)

    def draw(self, keys: Sequence[tuple[int, int]]) -> list[ClassificationSample]:
        """The images of (epoch, index), each a function of seed, split and its key; val and test know no epochs."""
        return [self._drawn(epoch * (self.split == "train"), index) for epoch, index in keys]

    def size(self, epoch: int) -> tuple[int, int]:
        """(side, number of distractors) of an epoch."""
        source = self.source
        if self.split != "train" or epoch >= source.grow:
            return source.side, source.distractors
        share = epoch / source.grow
        return round(source.start + share * (source.side - source.start)), int(share * source.distractors)

    def _drawn(self, epoch: int, index: int) -> ClassificationSample:
        side, count = self.size(epoch)
        images, members = self.digits.images, self.digits.members
        rng = np.random.Generator(np.random.PCG64([self.source.seed, SPLIT_ORDER.index(self.split), epoch, index]))
        canvas = np.zeros((side, side), np.int32)
        others = members[rng.integers(len(members), size=count)]
        cuts = rng.integers(DIGIT - PIECE + 1, size=(count, 2))
        laid = rng.integers(side - PIECE + 1, size=(count, 2))
        for other, (u, v), (x, y) in zip(others, cuts, laid, strict=True):
            canvas[y : y + PIECE, x : x + PIECE] += images[other, v : v + PIECE, u : u + PIECE, 0]
        x, y = (int(v) for v in rng.integers(side - DIGIT + 1, size=2))
        digit = images[members[index], :, :, 0]
        below = canvas[y : y + DIGIT, x : x + DIGIT]
        below[digit > 0] = digit[digit > 0]
        image = torch.from_numpy(canvas.clip(0, 255).astype(np.uint8))[None]
        middle = (DIGIT - 1) / 2
        return ClassificationSample(
            image=tv_tensors.Image(image),
            label=int(self.digits.labels[members[index]]),
            name=self.name(index),
            centre=(x + middle, y + middle),
        )
