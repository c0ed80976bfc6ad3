"""From a network's detections to the objects of an image, also of one that is seen in tiles.

Shapes: an image of H x W pixels and C channels; R detections.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from foveate.errors import ConfigError
from foveate.ops.suppress import vote_masks
from foveate.pictures import Windows, to_tensor
from foveate.records import InstanceOutput, Instances, Preprocessing, RegionOutput
from foveate.records.instances import encode_mask, instances_of

VOTERS = 0.5  # IoU of boxes from which a detection votes on another one's mask
MASK_THRESHOLD = 0.4  # share of the vote from which a pixel belongs to the object
SAME_OBJECT = 0.5  # IoU of two parts, where two tiles overlap, from which they are one object
AUTO_TILE_PIXELS = 1_500_000  # larger images are seen in tiles
DEFAULT_TILE, DEFAULT_OVERLAP = 1024, 128

Network = Callable[[Tensor], InstanceOutput | RegionOutput]


@dataclass(frozen=True)
class Detection:
    """One object. window: left, top, right, bottom in pixels of the image; mask: (h, w) bool inside of it."""

    window: tuple[int, int, int, int]
    mask: np.ndarray
    label: int
    score: float


def find_objects(
    network: Network,
    image: Tensor | Windows,
    preprocessing: Preprocessing,
    *,
    tile: int | None = None,
    overlap: int | None = None,
    device: torch.device | str = "cpu",
    progress: Callable[[float], None] | None = None,
) -> Instances:
    """Return the objects of an image, the best first.

    image: (C, H, W) uint8 or float in 0..1, or windows that are read piece by piece.
    tile: side of the square tiles in pixels; 0 sees the image whole; None takes tiles of 1024 above 1.5 megapixels.
    overlap: pixels that neighbours share; objects that tiles cut are joined where they agree in it. Raises ConfigError
    for tiles that do not fit.
    """
    if isinstance(image, Tensor):
        height, width = image.shape[-2:]
    else:
        height, width = image.height, image.width
    places = tiles(height, width, tile, overlap)
    found: list[list[Detection]] = []
    for number, place in enumerate(places):
        left, top, right, bottom = place
        if isinstance(image, Tensor):
            piece = image[:, top:bottom, left:right]
        else:
            piece = to_tensor(image.read(top, left, bottom - top, right - left))
        output = network(preprocessing(piece.to(device))[None])
        found.append(detections(output, (bottom - top, right - left), (left, top)))
        if progress is not None:
            progress((number + 1) / len(places))
    joined = join(found, places) if len(places) > 1 else found[0]
    joined.sort(key=lambda one: -one.score)
    masks = [encode_mask(one.mask, (height, width), one.window[0], one.window[1]) for one in joined]
    return instances_of((height, width), masks, [one.label for one in joined], [one.score for one in joined])


def has_regions(network: Any) -> bool:
    """Tell models that propose regions, `regions(image (C, H, W))` -> `ops.regions.RegionSet`, from others."""
    return hasattr(network, "regions")


@torch.inference_mode()
def best_proposals(network: Any, image: Tensor | Windows, preprocessing: Preprocessing, truth: Instances) -> np.ndarray:
    """Return the IoU (N,) of each true object and the best region that the network proposes in the whole image.

    Crowds are left out.
    """
    pixels = image if isinstance(image, Tensor) else to_tensor(image.read(0, 0, image.height, image.width))
    regions = network.regions(preprocessing(pixels))
    best = np.zeros(int((~truth.crowd).sum()))
    for k, index in enumerate(np.flatnonzero(~truth.crowd).tolist()):
        if len(regions):
            best[k] = float(regions.overlaps(torch.from_numpy(truth.mask(index))[None]).max())
    return best


def tiles(height: int, width: int, tile: int | None, overlap: int | None) -> list[tuple[int, int, int, int]]:
    """Return the tiles of an H x W image, each left, top, right, bottom; the image itself where it needs none.

    Raises ConfigError for a side under 64 or an overlap of more than half a tile.
    """
    if tile is None:
        tile = DEFAULT_TILE if height * width > AUTO_TILE_PIXELS else 0
    if tile == 0 or (height <= tile and width <= tile):
        return [(0, 0, width, height)]
    shared = min(DEFAULT_OVERLAP, tile // 4) if overlap is None else overlap
    if tile < 64 or not 0 < shared <= tile // 2:
        raise ConfigError(
            f"tiles of {tile} pixels that share {shared}; give a tile of 64 or more, an overlap from 1 to half of it"
        )
    rows, columns = _starts(height, tile, shared), _starts(width, tile, shared)
    return [(x, y, min(x + tile, width), min(y + tile, height)) for y in rows for x in columns]


def _starts(length: int, tile: int, overlap: int) -> list[int]:
    """Evenly spread starts of tiles that share at least `overlap`."""
    if length <= tile:
        return [0]
    count = -(-(length - overlap) // (tile - overlap))
    return [round(k * (length - tile) / (count - 1)) for k in range(count)]


def detections(
    output: InstanceOutput | RegionOutput, size: tuple[int, int], corner: tuple[int, int] = (0, 0)
) -> list[Detection]:
    """Return what the kept detections of one tile become after the vote, class by class; regions as they are.

    size: (height, width) of the tile. corner: its left and top in the image.
    """
    if isinstance(output, RegionOutput):
        return _regions(output, corner)
    output = InstanceOutput(*(part.float().cpu() if part.is_floating_point() else part.cpu() for part in output))
    found = []
    for label in output.labels[output.kept].unique().tolist():
        mine = (output.labels == label).nonzero()[:, 0]
        boxes, masks, scores = output.boxes[mine], output.masks[mine], output.scores[mine]
        kept = output.kept[mine].nonzero()[:, 0]
        patches = vote_masks(boxes, masks, scores, kept, size, VOTERS, MASK_THRESHOLD)
        for index, patch in zip(kept.tolist(), patches, strict=True):
            if patch is not None:
                left, top, right, bottom = patch.window
                window = (left + corner[0], top + corner[1], right + corner[0], bottom + corner[1])
                found.append(Detection(window, patch.mask.numpy(), label, float(scores[index])))
    return found


def _regions(output: RegionOutput, corner: tuple[int, int]) -> list[Detection]:
    """Detections whose masks are regions of the image."""
    boxes, members, atoms = output.boxes.round().long().cpu(), output.members.cpu(), output.atoms.cpu()
    found = []
    for index, (left, top, right, bottom) in enumerate(boxes.tolist()):
        mask = members[index][atoms[top:bottom, left:right]].numpy()
        window = (left + corner[0], top + corner[1], right + corner[0], bottom + corner[1])
        found.append(Detection(window, mask, int(output.labels[index]), float(output.scores[index])))
    return found


def join(found: Sequence[list[Detection]], places: Sequence[tuple[int, int, int, int]]) -> list[Detection]:
    """Join the parts of objects that lie in several tiles.

    Two detections of a class from two tiles are one object if, inside the area that both tiles see, their IoU is above
    0.5. The joined object has the union of the masks and the better score.
    """
    everything = [(tile, one) for tile, many in enumerate(found) for one in many]
    owner = list(range(len(everything)))

    def root(index: int) -> int:
        while owner[index] != index:
            index = owner[index]
        return index

    by_tile: dict[int, list[int]] = {}
    for index, (tile, _) in enumerate(everything):
        by_tile.setdefault(tile, []).append(index)
    for first in range(len(places)):
        for second in range(first + 1, len(places)):
            zone = _intersection(places[first], places[second])
            if zone is None:
                continue
            near = [
                [k for k in by_tile.get(t, []) if _intersection(everything[k][1].window, zone)] for t in (first, second)
            ]
            for i in near[0]:
                for j in near[1]:
                    one, other = everything[i][1], everything[j][1]
                    if one.label == other.label and _agreement(one, other, zone) > SAME_OBJECT:
                        owner[root(j)] = root(i)
    groups: dict[int, list[Detection]] = {}
    for index, (_, one) in enumerate(everything):
        groups.setdefault(root(index), []).append(one)
    return [_union(group) for group in groups.values()]


def _agreement(one: Detection, other: Detection, zone: tuple[int, int, int, int]) -> float:
    """IoU of two detections inside a zone; 0 if neither reaches into it."""
    if _intersection(one.window, other.window) is None:
        return 0.0
    left, top, right, bottom = zone
    parts = []
    for detection in (one, other):
        canvas = np.zeros((bottom - top, right - left), bool)
        window = _intersection(detection.window, zone)
        if window is not None:
            x, y, x_end, y_end = window
            x0, y0 = detection.window[:2]
            canvas[y - top : y_end - top, x - left : x_end - left] = detection.mask[
                y - y0 : y_end - y0, x - x0 : x_end - x0
            ]
        parts.append(canvas)
    either = int((parts[0] | parts[1]).sum())
    return int((parts[0] & parts[1]).sum()) / either if either else 0.0


def _union(group: Sequence[Detection]) -> Detection:
    if len(group) == 1:
        return group[0]
    left, top = (min(one.window[k] for one in group) for k in (0, 1))
    right, bottom = (max(one.window[k] for one in group) for k in (2, 3))
    mask = np.zeros((bottom - top, right - left), bool)
    for one in group:
        x, y, x_end, y_end = one.window
        mask[y - top : y_end - top, x - left : x_end - left] |= one.mask
    best = max(group, key=lambda one: one.score)
    return Detection((left, top, right, bottom), mask, best.label, best.score)


def _intersection(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, int, int, int] | None:
    left, top, right, bottom = max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])
    return (left, top, right, bottom) if left < right and top < bottom else None


def truth_of(sample: Any) -> Instances:
    """The true objects and crowds of a sample, without their layers."""
    layers, labels = sample["layers"].as_subclass(Tensor).numpy(), sample["labels"]
    height, width = layers.shape[1:]
    masks: list[Any] = [None] * len(labels)
    for layer in layers:
        for number, window in enumerate(_windows(layer), 1):
            if window is not None:
                rows, columns = window
                masks[number - 1] = encode_mask(
                    layer[window] == number, (height, width), int(columns.start), int(rows.start)
                )
    seen = [k for k, mask in enumerate(masks) if mask is not None]  # an object without a pixel is none
    return instances_of(
        (height, width), [masks[k] for k in seen], labels.numpy()[seen], crowd=sample["crowd"].numpy()[seen]
    )


def counted_truth(sample: Any) -> Instances:
    """The true objects of a sample but for crowds and the region that is not scored."""
    truth = truth_of(sample)
    return truth.select(~truth.crowd)


def _windows(layer: np.ndarray) -> list[tuple[slice, slice] | None]:
    from scipy import ndimage

    found: list[tuple[slice, slice] | None] = ndimage.find_objects(layer)
    return found
