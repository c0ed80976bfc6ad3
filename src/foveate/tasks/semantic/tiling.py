"""Labels at an image's own size from a network's logits: views, and tiles for large images.

Shapes: C channels, H x W pixels, K classes. A *network* is any callable (B, C, h, w) float32 -> (B, K, h, w) logits.

Views: flips and several scales show the network the same image in several ways; the answers are resized to the
image and their softmax probabilities averaged (multi-scale testing).

Tiles: a large image is read in overlapping windows. Along one axis, neighbours share `overlap` pixels or more:

    tile i      ...........1111111111\\
                                       \\....        weight 0 in the outer quarter of the overlap, where zero
    tile i+1                       ..../            padding spoils the answer; a raised cosine in between;
                                      /1111111...   the two weights always add up to one

Only the ramps hold two answers, so a strip of ramp height across the image is all that is carried from one row of
tiles to the next; everything else becomes labels at once. Memory is that of one tile, one strip and the mask.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from foveate.errors import ConfigError
from foveate.pictures import Windows, to_tensor
from foveate.records import Preprocessing
from foveate.tasks.fitting import AUTO_TILE_PIXELS

Network = Callable[[Tensor], Tensor]
Kept = Literal["labels", "confidence", "probabilities"]


class Labelled(NamedTuple):
    """The label of each pixel, and its probability if that was asked for."""

    labels: np.ndarray  # (H, W) uint8, uint16 above 256 classes
    confidence: np.ndarray | None  # (H, W) float32


# Tiles start at multiples of this, so that the strided layers of every network here sample the same pixels in a
# tile as they would in the whole image.
STRIDE = 32
DEFAULT_TILE = 768
DEFAULT_OVERLAP = 128


@dataclass(frozen=True)
class Tiling:
    """The side of a square tile and how much neighbours share, in pixels; both multiples of 32.

    Raises ConfigError when they are not, or when more than half of a tile is shared.
    """

    tile: int = DEFAULT_TILE
    overlap: int = DEFAULT_OVERLAP

    def __post_init__(self) -> None:
        for name, value, least in (("tile", self.tile, 2 * STRIDE), ("overlap", self.overlap, 0)):
            if value < least or value % STRIDE:
                near = max(least, round(value / STRIDE) * STRIDE)
                raise ConfigError(f"{name} is {value}; it must be a multiple of {STRIDE}, {least} or more: try {near}")
        if 2 * self.overlap > self.tile:
            raise ConfigError(
                f"overlap is {self.overlap} and tile is {self.tile}; at most half of a tile can be shared: "
                f"try --overlap {self.tile // 2 // STRIDE * STRIDE} or --tile {2 * self.overlap}"
            )


def choose_tiling(
    height: int, width: int, scales: Sequence[float] = (1.0,), tile: int | None = None, overlap: int | None = None
) -> Tiling | None:
    """The tiles of an H x W image, or None for none.

    tile: a side in pixels; 0 never cuts; None cuts images above AUTO_TILE_PIXELS, with smaller tiles where the
    largest of `scales` would enlarge them. overlap: None takes 128, or a quarter of a small tile.
    Raises ConfigError for sizes that do not fit (see Tiling).
    """
    check_scales(scales)
    largest = max(1.0, *scales)
    if tile == 0 or (tile is None and height * width * largest**2 <= AUTO_TILE_PIXELS):
        return None
    if tile is None:
        least = max(4 * STRIDE, 2 * (overlap or 0))
        tile = max(least, int(DEFAULT_TILE / largest) // STRIDE * STRIDE)
    if overlap is None:
        overlap = min(DEFAULT_OVERLAP, tile // 4 // STRIDE * STRIDE)
    tiling = Tiling(tile, overlap)
    return tiling if height > tiling.tile or width > tiling.tile else None


def check_scales(scales: Sequence[float]) -> None:
    """Raise ConfigError unless there is at least one scale and all are between 0.1 and 8."""
    if not scales:
        raise ConfigError("no scales given; expected at least one, such as 1.0")
    for scale in scales:
        if not 0.1 <= scale <= 8:
            raise ConfigError(f"scale {scale:g} is out of range; expected 0.1 to 8")


def infer(
    network: Network,
    image: Tensor,
    preprocessing: Preprocessing,
    *,
    flip: bool = False,
    scales: Sequence[float] = (1.0,),
) -> Tensor:
    """Class probabilities of one image at its own size, averaged over its views.

    image: (C, H, W), uint8 or float in 0..1, on the network's device. Returns (K, H, W) float32 that add up to one.
    flip: also look at the mirrored image, at every scale. scales: sizes to look at, 1.0 being the image's own.
    """
    check_scales(scales)
    total: Tensor | None = None
    count = 0
    for logits in _views(network, preprocessing(image), flip, scales):
        probabilities = logits.softmax(0)
        total = probabilities if total is None else total.add_(probabilities)
        count += 1
    assert total is not None
    return total.div_(count) if count > 1 else total


def predict_mask(
    network: Network,
    image: Tensor,
    preprocessing: Preprocessing,
    *,
    flip: bool = False,
    scales: Sequence[float] = (1.0,),
    confident: bool = False,
) -> Labelled:
    """Labels of one image, seen whole. Arguments as `infer`; confident: also give their probabilities."""
    with torch.inference_mode():
        if flip or tuple(scales) != (1.0,):
            scores = infer(network, image, preprocessing, flip=flip, scales=scales)
            largest = scores.amax(0) if confident else None
        else:  # one view needs no softmax: the largest logit is the largest probability
            (scores,) = _views(network, preprocessing(image), False, scales)
            largest = (scores.amax(0) - scores.logsumexp(0)).exp() if confident else None
        return Labelled(labels_of(scores), None if largest is None else largest.cpu().numpy())


def predict_tiled(
    network: Network,
    windows: Windows,
    preprocessing: Preprocessing,
    *,
    tiling: Tiling | None = None,
    flip: bool = False,
    scales: Sequence[float] = (1.0,),
    device: torch.device | str = "cpu",
    progress: Callable[[float], None] | None = None,
    confident: bool = False,
) -> Labelled:
    """Labels of a large image from overlapping, blended tiles.

    Equal to the labels of the whole image where the receptive field reaches no further than a quarter of the overlap
    (and sampling grids agree); elsewhere the logits of neighbouring tiles are blended.
    progress: called with the share that is done, 0..1, after every tile. confident: as of `predict_mask`.
    """
    keep: Kept = "confidence" if confident else "labels"
    canvas = _blended(network, windows, preprocessing, tiling or Tiling(), flip, scales, device, progress, keep)
    return Labelled(canvas.mask, canvas.confidence)


def tiled_probabilities(
    network: Network,
    windows: Windows,
    preprocessing: Preprocessing,
    tiling: Tiling,
    flip: bool = False,
    scales: Sequence[float] = (1.0,),
    device: torch.device | str = "cpu",
) -> np.ndarray:
    """Class probabilities (K, H, W) float32 of a large image, blended as `predict_tiled` does."""
    canvas = _blended(network, windows, preprocessing, tiling, flip, scales, device, None, "probabilities")
    assert canvas.probabilities is not None
    return canvas.probabilities


def _blended(
    network: Network,
    windows: Windows,
    preprocessing: Preprocessing,
    tiling: Tiling,
    flip: bool,
    scales: Sequence[float],
    device: torch.device | str,
    progress: Callable[[float], None] | None,
    keep: Kept,
) -> _Canvas:
    """All tiles of an image on a canvas. keep: what is kept of their probabilities."""
    check_scales(scales)
    rows, columns = _spans(windows.height, tiling), _spans(windows.width, tiling)
    canvas: _Canvas | None = None
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            pixels = windows.read(row.start, column.start, row.stop - row.start, column.stop - column.start)
            image = to_tensor(pixels).to(device)
            with torch.inference_mode():
                scores = infer(network, image, preprocessing, flip=flip, scales=scales)
                canvas = canvas or _Canvas(windows.height, windows.width, scores, keep)
                canvas.add(scores, row, column)
            if progress is not None:
                progress((i * len(columns) + j + 1) / (len(rows) * len(columns)))
    assert canvas is not None
    return canvas


def _views(network: Network, image: Tensor, flip: bool, scales: Sequence[float]) -> Iterator[Tensor]:
    """The (K, H, W) logits of every view of a normalised (C, H, W) image, one at a time."""
    size = (image.shape[-2], image.shape[-1])
    whole = image[None].contiguous(memory_format=torch.channels_last)
    for scale in scales:
        view = whole
        if scale != 1.0:
            scaled = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
            view = F.interpolate(whole, scaled, mode="bilinear", align_corners=False, antialias=scale < 1)
            view = view.contiguous(memory_format=torch.channels_last)
        for mirrored in (False, True) if flip else (False,):
            logits = network(view.flip(-1) if mirrored else view)
            if mirrored:
                logits = logits.flip(-1)
            if logits.shape[-2:] != size:
                logits = F.interpolate(logits, size, mode="bilinear", align_corners=False)
            yield logits[0].float()


def labels_of(scores: Tensor) -> np.ndarray:
    """(K, H, W) scores -> (H, W) labels. `max` is several times as fast as `argmax` on a strided dimension."""
    dtype = torch.uint8 if scores.shape[0] <= 256 else torch.uint16
    return scores.max(0).indices.to(dtype).cpu().numpy()


@dataclass(frozen=True)
class _Span:
    """The extent that one tile reads along an axis, [start, stop), and the part that it decides, [low, high).

    Between low and high the tile's answer counts; over the first `rise` and last `fall` pixels of that it is
    blended with its neighbour's.
    """

    start: int
    stop: int
    low: int
    high: int
    rise: int
    fall: int

    @property
    def inside(self) -> slice:
        return slice(self.low - self.start, self.high - self.start)

    def weights(self) -> Tensor:
        """(high - low,) float32: a raised cosine up, ones, a raised cosine down."""
        weights = torch.ones(self.high - self.low)
        if self.rise:
            weights[: self.rise] = _ramp(self.rise)
        if self.fall:
            weights[-self.fall :] = 1 - _ramp(self.fall)
        return weights


def _ramp(length: int) -> Tensor:
    """A raised cosine from 0 to 1 at `length` pixel centres; it and its mirror image add up to one."""
    centres = (torch.arange(length) + 0.5) / length
    return (1 - torch.cos(centres * math.pi)) / 2


def _spans(length: int, tiling: Tiling) -> list[_Span]:
    """Cover 0..length with tiles. The last one reaches the end and is up to 31 pixels smaller than the others."""
    step = tiling.tile - tiling.overlap
    last = max(0, -(-(length - tiling.tile) // STRIDE) * STRIDE)
    starts = [*range(0, last, step), last]
    ramp = tiling.overlap // 2
    # The hand-over from a tile to the next is centred in what both have read.
    handover = [(b + a + tiling.tile - ramp) // 2 for a, b in itertools.pairwise(starts)]
    spans = []
    for i, start in enumerate(starts):
        first, final = i == 0, i == len(starts) - 1
        spans.append(
            _Span(
                start=start,
                stop=min(start + tiling.tile, length),
                low=0 if first else handover[i - 1],
                high=length if final else handover[i] + ramp,
                rise=0 if first else ramp,
                fall=0 if final else ramp,
            )
        )
    return spans


class _Canvas:
    """Blends the tiles of an image, row by row and left to right, into its mask.

    Holds the labels that are settled (and what is kept of their probabilities), the ramp at the right of the last
    tile, and the ramp below the last row.
    """

    def __init__(self, height: int, width: int, like: Tensor, keep: Kept = "labels") -> None:
        size = (like.shape[0], height, width)
        self.probabilities = np.empty(size, np.float32) if keep == "probabilities" else None
        self.confidence = np.empty(size[1:], np.float32) if keep == "confidence" else None
        self.mask = np.empty((height, width), np.uint8 if like.shape[0] <= 256 else np.uint16)
        self._right = like.new_empty(0)  # (K, rows, ramp): what the tile to the left said, weighted
        self._below = like.new_empty(0)  # (K, ramp, W): what the row above said, weighted
        self._width = width

    def add(self, scores: Tensor, row: _Span, column: _Span) -> None:
        """Take in, and overwrite, the (K, h, w) probabilities of the tile that reads `row` x `column`."""
        scores = scores[:, row.inside, column.inside]
        if column.rise or column.fall:
            scores *= column.weights().to(scores.device)
        if column.rise:
            scores[..., : column.rise] += self._right
        if column.fall:
            self._right = scores[..., -column.fall :].clone()
            scores = scores[..., : -column.fall]
        left, right = column.low, column.high - column.fall
        if row.rise or row.fall:
            scores *= row.weights().to(scores.device)[:, None]
        if row.rise:
            scores[:, : row.rise] += self._below[..., left:right]
        if row.fall:
            if not row.rise and not column.rise:
                self._below = scores.new_empty(scores.shape[0], row.fall, self._width)
            self._below[..., left:right] = scores[:, -row.fall :]
            scores = scores[:, : -row.fall]
        settled = slice(row.low, row.high - row.fall), slice(left, right)
        self.mask[settled] = labels_of(scores)
        if self.confidence is not None:
            self.confidence[settled] = scores.amax(0).cpu().numpy()
        if self.probabilities is not None:
            self.probabilities[:, *settled] = scores.cpu().numpy()
