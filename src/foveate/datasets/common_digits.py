"""Images that share a digit, for co-localisation.

    CommonDigits("mnist", digits=(3,), patches=16).open("train")[0]  # a ColocalisationSample

The boxes of the common digits are for scoring alone: no batch holds them.

Digits are as in Jaderberg et al., "Spatial Transformer Networks" (2015), appendix: 28x28 images of one digit at a
random place on a black canvas of 84x84, without clutter or with 16 patches of 6x6 of other digits, which may lie on the
digit (the maximum of both shows). The box is that of the 28x28 image. Departures: the paper fixes 100 images for
each digit; here a training epoch shows every such digit of MNIST's training part once, at a new place; and digits of
several kinds may share a canvas, without overlap.
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
from foveate.records import ClassTable, ColocalisationSample, DataSource, Problem
from foveate.registry import dataset

DIGIT, PATCH = 28, 6


@dataset("common_digits")
@dataclass(frozen=True)
class CommonDigits(DataSource):
    """Images that all hold a digit of the same kind, or one of each of several kinds.

    path: the folder of MNIST's IDX files; "" until `made_from` says where they are.
    digits: labels of the common kinds, all different; usually one.
    patches: number of 6x6 patches of other digits on each canvas; 0 or 16 in the paper.
    side: of the square canvas, in pixels; 28 a kind or more, 84 in the paper.
    seed: of all that is drawn, 0 to 2**32 - 1.
    """

    path: str = ""
    digits: tuple[int, ...] = (3,)
    patches: int = 0
    side: int = 84
    seed: int = 0
    tasks: ClassVar[tuple[str, ...]] = ("colocalisation",)

    def __post_init__(self) -> None:
        if not self.digits or len(set(self.digits)) != len(self.digits) or min(self.digits) < 0:
            raise ConfigError(f"digits are {self.digits}; expected one label or several that differ, e.g. 3,7")
        least = DIGIT * len(self.digits)
        if self.side < least or self.patches < 0:
            raise ConfigError(
                f"side {self.side} must be at least {least}, so that {len(self.digits)} digits fit beside each other, "
                f"and patches {self.patches} 0 or more"
            )
        if not 0 <= self.seed < 2**32:
            raise ConfigError(f"seed {self.seed} is outside 0..4294967295; choose one within")

    def made_from(self, path: Path) -> CommonDigits:
        """This source on the digits in another folder (`--data`)."""
        return replace(self, path=str(path))

    @cached_property
    def source(self) -> Idx:
        """The digits of MNIST. Raises ConfigError without a path."""
        if not self.path:
            raise ConfigError("common digits are taken from MNIST's IDX files: say where they are with --data PATH")
        return Idx(self.path)

    def splits(self) -> tuple[str, ...]:
        """The splits that hold digits, 'train' first."""
        return self.source.splits()

    def open(self, split: str, task: str = "") -> CommonDigitsDataset:
        """One split. Raises DataError as Idx does and for images other than grey 28x28 or a missing digit, ConfigError
        for an unknown split or family."""
        self.serve(task)
        return CommonDigitsDataset(self, split, self.source.open(split))

    def readable(self, split: str, task: str = "") -> CommonDigitsDataset:
        """One split, for looking at it: a division of the digits that was drawn is not written down."""
        self.serve(task)
        return CommonDigitsDataset(self, split, self.source.readable(split))

    def problems(self, task: str = "") -> list[Problem]:
        """Files that cannot be used."""
        return self.source.problems()

    def describe(self, task: str = "") -> str:
        """The generated data, its counts and its size, in one line."""
        kinds = " and ".join(map(str, self.digits))
        clutter = counted(self.patches, "patch") if self.patches else "no clutter"
        return f"digits {kinds} on {self.side}x{self.side}, {clutter}, seed {self.seed}"


class CommonDigitsDataset:
    """One split. Every access draws the image; training images are drawn again each epoch, others once."""

    channels = 1

    def __init__(self, source: CommonDigits, split: str, digits: IdxDataset) -> None:
        height, width, channels = digits.images.shape[1:]
        if (height, width, channels) != (DIGIT, DIGIT, 1):
            raise DataError(
                f"{source.path}: pictures of {width}x{height} with {counted(channels, 'channel')}; common "
                f"digits are grey and "
                f"{DIGIT}x{DIGIT}"
            )
        labels = digits.labels[digits.members]
        self.kinds = [digits.members[labels == digit] for digit in source.digits]
        for digit, members in zip(source.digits, self.kinds, strict=True):
            if not len(members):
                raise DataError(
                    f"{source.path}: {split} holds no digit {digit}, only {', '.join(map(str, np.unique(labels)))}"
                )
        self.source, self.split, self.digits = source, split, digits
        self.classes = ClassTable(tuple(digits.classes.names[digit] for digit in source.digits))

    def __len__(self) -> int:
        return len(self.kinds[0])

    def __getitem__(self, index: int) -> ColocalisationSample:
        return self.draw([(0, index)])[0]

    def name(self, index: int) -> str:
        """'train/00123': the place of the (first) digit in its file."""
        return f"{self.digits.part}/{self.kinds[0][self._checked(index)]:05d}"

    def draw(self, keys: Sequence[tuple[int, int]]) -> list[ColocalisationSample]:
        """The images of (epoch, index), each a function of seed, split and its key; val and test know no epochs."""
        return [self._drawn(epoch * (self.split == "train"), self._checked(index)) for epoch, index in keys]

    def _drawn(self, epoch: int, index: int) -> ColocalisationSample:
        side, images = self.source.side, self.digits.images
        rng = np.random.Generator(np.random.PCG64([self.source.seed, SPLIT_ORDER.index(self.split), epoch, index]))
        canvas = np.zeros((side, side), np.uint8)
        corners = _apart(rng, len(self.kinds), side)
        for (x, y), members in zip(corners, self.kinds, strict=True):
            # In an epoch, digit i of the first kind meets some digit of each other kind.
            place = index if members is self.kinds[0] else rng.integers(len(members))
            canvas[y : y + DIGIT, x : x + DIGIT] = images[members[place], :, :, 0]
        others = self.digits.members[rng.integers(len(self.digits.members), size=self.source.patches)]
        cuts = rng.integers(DIGIT - PATCH + 1, size=(self.source.patches, 2))
        laid = rng.integers(side - PATCH + 1, size=(self.source.patches, 2))
        for other, (u, v), (x, y) in zip(others, cuts, laid, strict=True):
            below = canvas[y : y + PATCH, x : x + PATCH]
            np.maximum(below, images[other, v : v + PATCH, u : u + PATCH, 0], out=below)
        boxes = torch.tensor([[x, y, x + DIGIT, y + DIGIT] for x, y in corners], dtype=torch.float32)
        return ColocalisationSample(
            image=tv_tensors.Image(torch.from_numpy(canvas)[None]),
            boxes=tv_tensors.BoundingBoxes(boxes, format=tv_tensors.BoundingBoxFormat.XYXY, canvas_size=(side, side)),
            labels=torch.arange(len(self.kinds)),
            name=self.name(index),
        )

    def _checked(self, index: int) -> int:
        if not -len(self) <= index < len(self):
            raise IndexError(f"picture {index} of common digits' {self.split}, which has {len(self)}")
        return index % len(self)


def _apart(rng: np.random.Generator, count: int, side: int) -> list[tuple[int, int]]:
    """Upper left corners of `count` 28x28 squares, anywhere on the canvas, without overlap."""
    while True:
        corners = rng.integers(side - DIGIT + 1, size=(count, 2))
        gaps = np.abs(corners[:, None] - corners).max(2)
        if (gaps[~np.eye(count, dtype=bool)] >= DIGIT).all():
            return [(int(x), int(y)) for x, y in corners]
