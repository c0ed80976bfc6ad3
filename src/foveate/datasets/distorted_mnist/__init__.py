"""MNIST, distorted as in Jaderberg, Simonyan, Zisserman and Kavukcuoglu, "Spatial Transformer Networks" (2015).

    DistortedMNIST("mnist", kind="rts").open("train").draw([(epoch, index), ...])

Section 4.1 and the appendix name six kinds. N(d) is a normal of standard deviation d pixels, U uniform.

| kind | image | what happens to a 28x28 digit |
| --- | --- | --- |
| r | 28x28 | turned by U(-90, 90) degrees |
| rts | 42x42 | turned by U(-45, 45) degrees, scaled by U(0.7, 1.2), put at a random place |
| p | 28x28 | scaled by U(0.75, 1), then projected: each corner moved by N(5) along its diagonal |
| e | 28x28 | scaled by U(0.75, 1), then warped by a thin plate spline of 4 x 4 control points, each moved by N(1.5) |
| clutter | 60x60 | put at a random place, and six 6x6 patches of other digits put at random places |
| addition | 2 of 42x42 | two digits, each as in rts_hard, in a channel each; the label is their sum, 0 to 18 |
| rts_hard | 42x42 | rts with ink, and not a frame, that may lie anywhere on the canvas |
| p_hard | 28x28 | p with each corner moved by N(5) in x and by another N(5) in y |

**Two readings.** The paper, and its appendix as re-implementations follow it, leave open where the digit of rts is put
and how a corner of p moves. rts and p are the readings taken here; rts_hard and p_hard are wider distributions. The
fields `place` and `corner` name the difference:

- place "frame" (rts): the upright square of the scaled 28x28 image lies wholly on the canvas, at any fraction of a
  pixel, as re-implementations of the paper have it. place "ink" (rts_hard, addition): the turned and scaled ink does,
  so that digits reach the canvas's edges; nothing is cut, but for what a blur in training smears beyond. Ink too large
  for the canvas is put in the middle.
- corner "diagonal" (p): each corner moves by one signed N(5) along the image's diagonal, 3.5 px an axis. It stands
  between two re-implementations that disagree: one moves all corners of an image outwards by the same amount, the other
  each in x and in y. corner "axes" (p_hard): by N(5) in x and another in y.

Choices where the paper leaves them open:

- Turns and scales are about the middle of the 28x28 image; positive angles turn clockwise. A turned, projected or
  warped digit may leave a 28x28 image and is cut.
- p: runs backward, as a spatial transformer does: the corners of the new 28x28 image are read away from where they
  were, in the scaled digit. Moving the digit's own corners is the other direction; half of training's images are made
  so. With corner "axes" it leaves slivers of digits, and errors two or three times the paper's. A quadrilateral that
  is not convex (a turn at a corner below 5 % of the square's) has its moves halved until it is: 0.5 % of p_hard's, and
  2 % of those that its training makes the other way.
- e: runs backward, too: the control points stand regularly from corner pixel to corner pixel of the new image.
- clutter: the 28x28 image lies wholly on the canvas, at whole pixels. A patch is cut from anywhere in the image of
  another digit of the same split, so that many hold little ink, and laid by the maximum of both.
- Pixels are bilinear readings of the digit. In training, that is one of several ways, so that a model does not learn
  the marks of one: see `interpolation`.
- A split is drawn from its own digits alone. Training images are drawn again each epoch; each of the others once.

Angles, scales and pixels of r, rts and p are those of two independent re-implementations of the paper, those of e of
one. They were not checked against the appendix itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import numpy as np

from foveate.datasets.distorted_mnist.draw import (
    DIGIT,
    READINGS,
    SIDES,
    Corner,
    Digits,
    Drawing,
    Kind,
    Place,
    draw_images,
    draw_parameters,
    drawing,
)
from foveate.datasets.idx import Idx, IdxDataset
from foveate.datasets.splits import SPLIT_ORDER
from foveate.deferred import tv_tensors
from foveate.errors import ConfigError, DataError, counted
from foveate.records import ClassificationSample, ClassTable, DataSource, Problem
from foveate.registry import dataset

__all__ = ["SIDES", "DistortedDataset", "DistortedMNIST", "Kind"]

_CACHED_EPOCHS = 2


@dataset("distorted_mnist")
@dataclass(frozen=True)
class DistortedMNIST(DataSource):
    """MNIST digits rotated, scaled, projected, warped, in clutter or to be added (Jaderberg et al. 2015).

    path: the folder of MNIST's IDX files; "" until `made_from` says where they are.
    kind: r, rts, p, e, clutter, addition, rts_hard or p_hard; see the module.
    seed: of all that is drawn, 0 to 2**32 - 1.
    interpolation: of training images; val and test are always 'bilinear'. 'mixed': 40 % bilinear, 20 %
        sharper (cubic), 15 % averaged over four readings a pixel, 10 % the nearest pixel, 15 % bilinear and slightly
        blurred; of clutter 15 % is blurred, and patches are laid by the maximum (in half of the images), replacing (a
        quarter) or adding; half of p's images have the digit's own corners moved. 'bilinear': none of these.
    hand: strength of a first warp of training digits, as if in another handwriting: 4 x 4 control points of the 28x28
        image are moved by a normal of this many pixels, and the rest by a thin plate spline. 0: none; usually 0.7.
    corner: of p alone: how its corners move, 'diagonal' or 'axes'; '': as the kind's name says.
    place: of rts and addition alone: what stays on the canvas, 'frame' or 'ink'; '': as the kind's name says.
    """

    path: str = ""
    kind: Kind = "r"
    seed: int = 0
    interpolation: Literal["mixed", "bilinear"] = "mixed"
    hand: float = 0.0
    corner: Literal["", Corner] = ""
    place: Literal["", Place] = ""
    tasks: ClassVar[tuple[str, ...]] = ("classification",)

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ConfigError(f"distorted MNIST of kind '{self.kind}'; expected one of {', '.join(get_args(Kind))}")
        self._require_reading("corner", get_args(Corner))
        self._require_reading("place", get_args(Place))
        if self.interpolation not in ("mixed", "bilinear"):
            raise ConfigError(f"interpolation '{self.interpolation}'; expected mixed or bilinear")
        if not 0 <= self.hand < DIGIT:
            raise ConfigError(f"hand is {self.hand}; expected 0 or more pixels, e.g. 0.7")
        if not 0 <= self.seed < 2**32:
            raise ConfigError(f"distorted MNIST seed {self.seed} is outside 0..4294967295; choose one within")

    def _require_reading(self, field: str, choices: Sequence[str]) -> None:
        """Raise ConfigError for a reading that is unknown, or that the kind does not have."""
        own = {kind: reading for kind, reading in READINGS.items() if reading in choices}
        given = getattr(self, field)
        if not given:
            return
        if given not in choices:
            raise ConfigError(f"distorted MNIST with {field} '{given}'; expected {' or '.join(choices)}")
        if self.kind not in own:
            kinds = " and ".join(kind for kind in own if not kind.endswith("_hard"))
            raise ConfigError(f"distorted MNIST of kind {self.kind} has no {field}; leave it out, or choose {kinds}")
        if self.kind.endswith("_hard") and given != own[self.kind]:
            kind = self.kind.removesuffix("_hard")
            raise ConfigError(
                f"distorted MNIST of kind {self.kind} has the {field} '{own[self.kind]}', not '{given}'; choose {kind}"
            )

    @classmethod
    def upgraded(cls, recipe: Mapping[str, Any]) -> Mapping[str, Any]:
        """See `DataSource.upgraded`. Before `corner` and `place`, p and rts were what p_hard and rts_hard are now."""
        data = recipe["data"]
        kind = f"{data.get('kind')}_hard"
        if data.keys() & {"corner", "place"} or kind not in SIDES:
            return recipe
        name = recipe.get("name", "")
        return {
            **recipe,
            "name": f"{name}_hard" if name.endswith(f"_mnist_{data['kind']}") else name,
            "data": {**data, "kind": kind},
        }

    @property
    def drawing(self) -> Drawing:
        """The kind and its reading."""
        return drawing(self.kind, self.corner, self.place)

    def made_from(self, path: Path) -> DistortedMNIST:
        """This source on the digits in another folder (`--data`)."""
        return replace(self, path=str(path))

    @cached_property
    def digits(self) -> Idx:
        """The digits that are distorted, divided whatever the `seed`. Raises ConfigError without a path."""
        if not self.path:
            raise ConfigError("distorted MNIST is made of MNIST's IDX files: say where they are with --data PATH")
        return Idx(self.path)

    def splits(self) -> tuple[str, ...]:
        """The splits that hold digits, 'train' first."""
        return self.digits.splits()

    def open(self, split: str, task: str = "") -> DistortedDataset:
        """One split. Raises DataError as Idx does and for images other than grey 28x28, ConfigError for an unknown
        split or family."""
        self.serve(task)
        return DistortedDataset(self, split, self.digits.open(split))

    def readable(self, split: str, task: str = "") -> DistortedDataset:
        """One split, for looking at it: a division of the digits that was drawn is not written down."""
        self.serve(task)
        return DistortedDataset(self, split, self.digits.readable(split))

    def problems(self, task: str = "") -> list[Problem]:
        """Files that cannot be used."""
        return self.digits.problems()

    def describe(self, task: str = "") -> str:
        """The generated data, its counts and its size, in one line."""
        members = self.digits.scan.members
        counts = ", ".join(f"{len(members[split][1])} {split}" for split in self.splits())
        side = SIDES[self.kind]
        hand = f", training in hands {self.hand:g} px apart" if self.hand else ""
        reading = f" ({self.drawing.reading})" if self.drawing.reading != READINGS.get(self.kind, "") else ""
        return (
            f"distorted MNIST, {self.kind}{reading}: {counts} pictures of {side}x{side}, seed {self.seed}, "
            f"{self.interpolation}{hand}"
        )


class DistortedDataset:
    """One split of one kind. Every access draws the image; digits and the parameters of two epochs are in memory."""

    def __init__(self, source: DistortedMNIST, split: str, digits: IdxDataset) -> None:
        height, width, channels = digits.images.shape[1:]
        if (height, width, channels) != (DIGIT, DIGIT, 1):
            raise DataError(
                f"{source.path}: pictures of {width}x{height} with {counted(channels, 'channel')}; distorted "
                f"MNIST is made of "
                f"grey {DIGIT}x{DIGIT} digits"
            )
        if len(digits) < 2 and source.kind == "clutter":
            raise DataError(f"{source.path}: {split} holds one digit; clutter needs others to cut patches from")
        self.source, self.split, self.digits = source, split, digits
        self.channels = 2 if source.kind == "addition" else 1
        self.classes = digits.classes
        if source.kind == "addition":
            self.classes = ClassTable(tuple(str(i) for i in range(2 * len(digits.classes) - 1)))
        self._drawn: dict[int, dict[str, np.ndarray]] = {}

    def __len__(self) -> int:
        return len(self.digits)

    def __getitem__(self, index: int) -> ClassificationSample:
        return self.draw([(0, index)])[0]

    def name(self, index: int) -> str:
        """'train/00123': the digit's place in its file; in additions, the first digit's."""
        return self.digits.name(int(self._checked([index])[0]))

    def digest(self, index: int) -> str:
        """A digest of the digit's label, in additions of the first digit's."""
        return self.digits.digest(int(self._checked([index])[0]))

    def draw(self, keys: Sequence[tuple[int, int]]) -> list[ClassificationSample]:
        """The images of (epoch, index), each a function of seed, split and its key; val and test know no epochs."""
        drawn: list[ClassificationSample] = [None] * len(keys)  # type: ignore[list-item]
        epochs = np.array([epoch for epoch, _ in keys], np.int64) * (self.split == "train")
        indices = self._checked([index for _, index in keys])
        for epoch in np.unique(epochs).tolist():
            own = np.flatnonzero(epochs == epoch)
            rows = {name: values[indices[own]] for name, values in self._parameters(epoch).items()}
            digits = Digits(self.digits.images[..., 0], self.digits.labels, self.digits.members)
            images, labels = draw_images(self.source.drawing, digits, indices[own], rows)
            names = self.digits.members[indices[own]].tolist()
            found = zip(own.tolist(), images.unbind(), labels.tolist(), names, strict=True)
            for place, image, label, name in found:
                drawn[place] = ClassificationSample(
                    image=image.as_subclass(tv_tensors.Image), label=label, name=f"{self.digits.part}/{name:05d}"
                )
        return drawn

    def _parameters(self, epoch: int) -> dict[str, np.ndarray]:
        """The parameters of an epoch, a row an index."""
        if epoch not in self._drawn:
            entropy = (self.source.seed, SPLIT_ORDER.index(self.split), epoch)
            training = self.split == "train"
            mixed = training and self.source.interpolation == "mixed"
            while len(self._drawn) >= _CACHED_EPOCHS:
                del self._drawn[next(iter(self._drawn))]
            self._drawn[epoch] = draw_parameters(
                self.source.drawing, entropy, len(self), mixed, self.source.hand if training else 0.0
            )
        return self._drawn[epoch]

    def _checked(self, indices: Sequence[int]) -> np.ndarray:
        found, count = np.array(indices, np.int64), len(self)
        if ((found < -count) | (found >= count)).any():
            outside = int(found[(found < -count) | (found >= count)][0])
            raise IndexError(f"picture {outside} of distorted MNIST's {self.split}, which has {count}")
        return found % count
