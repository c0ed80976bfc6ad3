"""The vocabulary every folder shares: what flows from files to pages, one typed record each.

Shapes: B pictures of C channels, H x W pixels, K classes.
"""

from __future__ import annotations

import colorsys
import dataclasses
from dataclasses import dataclass
from typing import Any, NamedTuple, NotRequired, Protocol, TypedDict, runtime_checkable

import numpy as np
import torch
from torch import Tensor
from torchvision import tv_tensors

from foveate.errors import ConfigError

# The label of a pixel that no loss sees, inside a batch. It is torch's own default; on disk and in samples
# the class table's `ignore_index` (255 unless it says otherwise) plays this part.
IGNORE = -100


def _distinct_colors(count: int) -> tuple[tuple[int, int, int], ...]:
    """Golden-angle hues with alternating lightness: neighbours in the table never look alike."""
    colors = []
    for i in range(count):
        rgb = colorsys.hls_to_rgb((0.58 + i * 0.381966) % 1.0, (0.45, 0.62, 0.33)[i % 3], 0.75)
        colors.append((round(rgb[0] * 255), round(rgb[1] * 255), round(rgb[2] * 255)))
    return tuple(colors)


@dataclass(frozen=True)
class ClassTable:
    """Names and colours of the classes, in label order; it travels into run folders and exported files.

    names: label i is called names[i].
    colors: RGB, 0..255, one a class; drawn from a fixed palette if empty.
    ignore_index: the label value that is neither trained on nor scored.
    """

    names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...] = ()
    ignore_index: int = 255

    def __post_init__(self) -> None:
        if not self.names:
            raise ConfigError("a class table needs at least one class name; got none")
        if len(set(self.names)) != len(self.names):
            twice = sorted({n for n in self.names if self.names.count(n) > 1})
            raise ConfigError(f"class names must differ; repeated: {', '.join(twice)}")
        if 0 <= self.ignore_index < len(self.names):
            raise ConfigError(
                f"ignore value {self.ignore_index} is also the label of class '{self.names[self.ignore_index]}'; "
                f"choose a value of {len(self.names)} or more"
            )
        if not self.colors:
            object.__setattr__(self, "colors", _distinct_colors(len(self.names)))
        if len(self.colors) != len(self.names):
            raise ConfigError(f"{len(self.names)} class names but {len(self.colors)} colours; give one colour a class")

    def __len__(self) -> int:
        return len(self.names)

    def to_json(self) -> dict[str, Any]:
        """Plain lists and numbers, for JSON."""
        return {"names": list(self.names), "colors": [list(c) for c in self.colors], "ignore_index": self.ignore_index}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ClassTable:
        """The inverse of `to_json`."""
        colors = tuple((int(r), int(g), int(b)) for r, g, b in data.get("colors", ()))
        return cls(tuple(data["names"]), colors, int(data.get("ignore_index", 255)))


class Table(Protocol):
    """What the numbers stand for that a model gives: the classes of a ClassTable, the tokens of a text's table."""

    @property
    def names(self) -> tuple[str, ...]:
        """One a number."""
        ...

    def __len__(self) -> int: ...

    def to_json(self) -> dict[str, Any]:
        """Plain lists and numbers, for JSON."""
        ...


@dataclass(frozen=True)
class Preprocessing:
    """How a picture becomes the network's input: scale to 0..1, then (x - mean) / std, a value a channel.

    size: (height, width) that pictures are brought to first, where a network or its training asks for one: the middle
        of the picture, of this shape, `crop` of the largest such window a side. () keeps a picture's own size.
    stretch: all of the picture instead, whatever its shape.
    """

    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    size: tuple[int, ...] = ()
    crop: float = 1.0
    stretch: bool = False

    @classmethod
    def centred(cls, channels: int) -> Preprocessing:
        """0..1 -> -2..2 in every channel alike: for networks that start from nothing."""
        return cls((0.5,) * channels, (0.25,) * channels)

    def to_json(self) -> dict[str, Any]:
        """Plain lists and numbers, for JSON."""
        return dataclasses.asdict(self) | {"mean": list(self.mean), "std": list(self.std), "size": list(self.size)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Preprocessing:
        """The inverse of `to_json`."""
        size, crop = tuple(data.get("size", ())), data.get("crop", 1.0)
        return cls(tuple(data["mean"]), tuple(data["std"]), size, crop, data.get("stretch", False))

    def __call__(self, image: Tensor) -> Tensor:
        """(..., C, H, W) uint8, or float in 0..1 -> float32, normalised."""
        mean = torch.tensor(self.mean, device=image.device).view(-1, 1, 1)
        std = torch.tensor(self.std, device=image.device).view(-1, 1, 1)
        scale = 255.0 if image.dtype == torch.uint8 else 1.0
        return (image.float() - mean * scale) / (std * scale)


class SemanticSample(TypedDict):
    """One labelled picture, as a dataset gives it and transforms change it."""

    image: tv_tensors.Image  # (C, H, W) uint8; float32 in 0..1 where the file held 16 bits
    mask: tv_tensors.Mask  # (H, W) uint8 (int32 where labels exceed 255): a class index or the ignore value
    name: str  # the picture's file (or scene) name, for messages


class InstanceSample(TypedDict):
    """One picture with its objects, N of them."""

    image: tv_tensors.Image  # (C, H, W) uint8
    masks: tv_tensors.Mask  # (N, H, W) bool: the visible pixels of each object
    boxes: tv_tensors.BoundingBoxes  # (N, 4) float32, XYXY, tight around each mask
    labels: Tensor  # (N,) int64, class indices
    name: str


class ClassificationSample(TypedDict):
    """One picture of one class."""

    image: tv_tensors.Image  # (C, H, W) uint8
    label: int  # a class index
    name: str


@dataclass(frozen=True)
class Caption:
    """A sentence about a picture.

    objects: where it is known, what each word of `text.split()` is about: indices into the sample's masks, () for words
        that name nothing.
    """

    text: str
    objects: tuple[tuple[int, ...], ...] = ()


class CaptionSample(TypedDict):
    """One picture with what people said of it."""

    image: tv_tensors.Image  # (C, H, W) uint8
    captions: tuple[Caption, ...]  # one or more
    masks: NotRequired[tv_tensors.Mask]  # (N, H, W) bool: where each thing that can be named is seen
    named: NotRequired[dict[str, tuple[int, ...]]]  # word, in lower case -> the masks that it may be about
    name: str


class ColocalisationSample(TypedDict):
    """One picture that holds objects of a kind that all pictures of its set hold, N of them."""

    image: tv_tensors.Image  # (C, H, W) uint8
    boxes: tv_tensors.BoundingBoxes  # (N, 4) float32, XYXY; for scoring alone
    labels: Tensor  # (N,) int64, which of the common kinds each is
    name: str


class SemanticBatch(TypedDict):
    """What a semantic model's `loss` takes."""

    image: Tensor  # (B, C, H, W) float32, normalised
    mask: Tensor  # (B, H, W) int64: a class index or IGNORE
    names: list[str]
    class_weights: NotRequired[Tensor]  # (K,) float32


class SemanticOutput(NamedTuple):
    """What a semantic model's `forward` returns."""

    logits: Tensor  # (B, K, H, W), at the input's size
    steps: tuple[Tensor, ...] = ()  # the same after each iteration, where a model has several; the last is `logits`


class ClassificationBatch(TypedDict):
    """What a classifier's `loss` takes."""

    image: Tensor  # (B, C, H, W) float32, normalised
    label: Tensor  # (B,) int64
    names: list[str]
    class_weights: NotRequired[Tensor]  # (K,) float32


class TransformerOutput(NamedTuple):
    """What one spatial transformer did to a map (B, C, H, W)."""

    theta: Tensor  # (B, P): the parameters of its transformation
    grid: Tensor  # (B, h, w, 2): x and y, in -1..1 over the map's edges, where each output pixel was read
    output: Tensor  # (B, C, h, w)


class ClassificationOutput(NamedTuple):
    """What a classifier's `forward` returns."""

    logits: Tensor  # (B, K)
    transforms: tuple[TransformerOutput, ...] = ()  # of its spatial transformers, in reading order


class ColocalisationBatch(TypedDict):
    """What a co-localiser's `loss` takes: pictures, and nothing else."""

    image: Tensor  # (B, C, H, W) float32, normalised
    names: list[str]


class ColocalisationOutput(NamedTuple):
    """What a co-localiser's `forward` returns."""

    transforms: tuple[TransformerOutput, ...]  # of its T transformers, on the picture


class CaptionBatch(TypedDict):
    """What a captioning model's `loss` takes. L tokens in the longest sentence of the batch, <end> among them."""

    image: NotRequired[Tensor]  # (B, C, H, W) float32, normalised ...
    features: NotRequired[Tensor]  # ... or what `model.encode` makes of it, (B, D, h, w)
    tokens: Tensor  # (B, L) int64, <pad> after the <end> of shorter ones
    names: list[str]


class CaptionOutput(NamedTuple):
    """What a captioning model's `forward` returns, each word given the true ones before it."""

    logits: Tensor  # (B, L, V)
    attention: Tensor | None = None  # (B, L, h, w), which sums to 1 over the grid; None of a model without


@dataclass
class SemanticPrediction:
    """A labelled picture as the model sees it."""

    mask: np.ndarray  # (H, W) uint8 (uint16 above 256 classes): class indices, at the picture's own size
    classes: ClassTable
    name: str = ""

    def shares(self) -> dict[str, float]:
        """Class name -> share of the pixels, 0..1, for every class of the table."""
        counts = np.bincount(self.mask.ravel(), minlength=len(self.classes))
        return {name: float(n) / max(self.mask.size, 1) for name, n in zip(self.classes.names, counts, strict=True)}


@dataclass
class TransformView:
    """Where one spatial transformer looked, and what it handed on.

    grid: (h, w, 2) float32, x and y in -1..1 over the edges of what it looked at.
    output: (h, w, C) float32 in 0..1 where the transformer looked at the picture itself, else None.
    """

    grid: np.ndarray
    output: np.ndarray | None


@dataclass
class ClassificationPrediction:
    """A picture's class as the model sees it."""

    probabilities: np.ndarray  # (K,) float32, which sum to 1
    classes: ClassTable
    seen: np.ndarray  # (H, W, C) uint8: the picture as the network got it, before normalisation
    transforms: tuple[TransformView, ...] = ()  # of the model's spatial transformers
    name: str = ""

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        """The `count` likeliest classes and their probabilities, best first."""
        order = np.argsort(-self.probabilities, kind="stable")[:count]
        return [(self.classes.names[i], float(self.probabilities[i])) for i in order]


@dataclass
class Sentence:
    """One thing that could be said of a picture.

    score: the mean log-probability of its tokens, <end> included, as the search ranked it.
    words: as `text` is divided for the eye; probabilities: (T,) of each.
    attention: (T, h, w) float32, which sums to 1 for each word; None of a model without.
    """

    text: str
    score: float
    words: tuple[str, ...]
    probabilities: np.ndarray
    attention: np.ndarray | None = None


@dataclass
class CaptionPrediction:
    """What the model says of a picture."""

    sentences: tuple[Sentence, ...]  # one or more, best first
    name: str = ""

    @property
    def text(self) -> str:
        """The best sentence."""
        return self.sentences[0].text


@dataclass
class ColocalisationPrediction:
    """Where the objects are that a picture has in common with others, as the model sees them."""

    boxes: np.ndarray  # (T, 4) float32, XYXY in pixels of the picture itself: a transformer's window each
    seen: np.ndarray  # (H, W, C) uint8: the picture as the network got it, before normalisation
    transforms: tuple[TransformView, ...]
    name: str = ""


class CaptionDataset(Protocol):
    """Pictures with captions, in a fixed order."""

    channels: int

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> CaptionSample: ...

    def name(self, index: int) -> str:
        """The picture's name, without decoding it."""
        ...

    def captions(self, index: int) -> tuple[Caption, ...]:
        """What was said of a picture, without decoding it."""
        ...


@runtime_checkable
class SemanticDataset(Protocol):
    """Labelled pictures in a fixed order. Indexing decodes; nothing is cached here."""

    classes: ClassTable
    channels: int  # of every picture: 3 unless the files say otherwise

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> SemanticSample: ...

    def name(self, index: int) -> str:
        """The picture's file name, without decoding it."""
        ...


class ClassificationDataset(Protocol):
    """Pictures of one class each, in a fixed order.

    A set that is drawn anew each epoch also has `draw(keys)`: a list of (epoch, index) -> a list of samples, each a
    function of its key alone. Indexing then gives one fixed drawing.
    """

    classes: ClassTable
    channels: int

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> ClassificationSample: ...

    def name(self, index: int) -> str:
        """The picture's name, without decoding it."""
        ...


class DataSource(Protocol):
    """Where a recipe's data comes from: a frozen dataclass in `datasets/`, registered by name.

    `splits()` names what is there ('train', 'val', ...); `open(split)` gives one of them;
    `describe()` says in one line what was recognised. A class attribute `task` names the family of what it gives;
    without one, that is 'semantic'.
    """

    def splits(self) -> tuple[str, ...]:
        """The names of what is there."""
        ...

    def open(self, split: str) -> Any:
        """One split, e.g. a SemanticDataset. Raises DataError."""
        ...

    def describe(self) -> str:
        """What was recognised, in one line."""
        ...
