"""From a network's detections to the objects of an image, also of one that is seen in tiles.

Shapes: an image of H x W pixels and C channels; R detections.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from foveate.errors import ConfigError
from foveate.ops.suppress import vote_masks
from foveate.pictures import Windows, to_tensor
from foveate.records import InstanceOutput, Instances, Preprocessing, RegionOutput, traits_of
from foveate.records.instances import encode_mask, instances_of
from foveate.tasks.fitting import AUTO_TILE_PIXELS

VOTERS = 0.5  # IoU of boxes from which a detection votes on another one's mask
MASK_THRESHOLD = 0.4  # share of the vote from which a pixel belongs to the object
SAME_OBJECT = 0.5  # IoU of two parts, where two tiles overlap, from which they are one object
NEAR_BORDER = 0.05  # of an object's side: one that ends so near to the border of its tile may go on beyond
DEFAULT_TILE, DEFAULT_OVERLAP = 1024, 128

Network = Callable[[Tensor], InstanceOutput | RegionOutput]


@dataclass(frozen=True)
class Detection:
    """One object. window: left, top, right, bottom in pixels of the image; mask: (h, w) bool inside of it."""

    window: tuple[int, int, int, int]
    mask: np.ndarray
    label: int
    score: float


class FoundObjects(NamedTuple):
    """The objects of an image, the best first.

    note: a remark on tiles that hold more than the network gives; '' for none. cap: the most detections that it gives,
    if it gave as many for some tile; else 0.
    """

    objects: Instances
    note: str
    cap: int


def find_objects(
    network: Network,
    image: Tensor | Windows,
    preprocessing: Preprocessing,
    *,
    tile: int | None = None,
    overlap: int | None = None,
    score: float = 0.0,
    device: torch.device | str = "cpu",
    progress: Callable[[float], None] | None = None,
) -> FoundObjects:
    """Find the objects of an image.

    image: (C, H, W) uint8 or float in 0..1, or windows that are read piece by piece.
    tile: side of the square tiles in pixels; 0 sees the image whole; None takes tiles of 1024 above 1.5 megapixels.
    overlap: pixels that neighbours share; objects that tiles cut are joined where they agree in it.
    score: from which objects count, for the remark. Raises ConfigError for tiles that do not fit.
    """
    if isinstance(image, Tensor):
        height, width = image.shape[-2:]
    else:
        height, width = image.height, image.width
    places = tiles(height, width, tile, overlap)
    found: list[list[Detection]] = []
    most = traits_of(network).max_detections
    reached = full = 0  # tiles with as many detections as the network gives at most; those where all of them count
    for number, place in enumerate(places):
        left, top, right, bottom = place
        if isinstance(image, Tensor):
            piece = image[:, top:bottom, left:right]
        else:
            piece = to_tensor(image.read(top, left, bottom - top, right - left))
        output = network(preprocessing(piece.to(device))[None])
        scores = output.scores[output.kept] if isinstance(output, InstanceOutput) else output.scores
        if 0 < most <= len(scores):
            reached += 1
            full += float(scores.min()) >= score
        found.append(detections(output, (bottom - top, right - left), (left, top)))
        if progress is not None:
            progress((number + 1) / len(places))
    joined = join(found, places) if len(places) > 1 else found[0]
    joined.sort(key=lambda one: -one.score)
    masks = [encode_mask(one.mask, (height, width), one.window[0], one.window[1]) for one in joined]
    objects = instances_of((height, width), masks, [one.label for one in joined], [one.score for one in joined])
    return FoundObjects(objects, _remark(full, len(places), places[0], most), most if reached else 0)


def _remark(full: int, count: int, tile: tuple[int, int, int, int], most: int) -> str:
    """A remark on tiles whose detections were cut off; '' for none."""
    if not full:
        return ""
    side = max(64, max(tile[2] - tile[0], tile[3] - tile[1]) // 2)
    where = f"{full} of {count} tiles reached" if count > 1 else "the picture reached"
    return (
        f"{where} the {most} detections that the model gives at most, so objects may be missing; see it in smaller "
        f"tiles: --tile {side}"
    )


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
    0.5; or if a tile's border cuts one of them off, and more than half of what it has there lies in the other. Of those
    that are one object, the best that no border cuts off stands for all; where each is cut off, they are united, with
    the best score.
    """
    whole = (0, 0, max(place[2] for place in places), max(place[3] for place in places))
    everything = [(tile, one) for tile, many in enumerate(found) for one in many]
    cut = [_is_cut(one, places[tile], whole) for tile, one in everything]
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
                    if one.label == other.label and _agreement(one, other, zone, (cut[i], cut[j])) > SAME_OBJECT:
                        owner[root(j)] = root(i)
    groups: dict[int, list[int]] = {}
    for index in range(len(everything)):
        groups.setdefault(root(index), []).append(index)
    joined = []
    for group in groups.values():
        complete = [everything[k][1] for k in group if not cut[k]]
        best = max(complete, key=lambda one: one.score) if complete else _union([everything[k][1] for k in group])
        joined.append(best)
    return joined


def _is_cut(one: Detection, place: tuple[int, ...], whole: tuple[int, ...]) -> bool:
    """True if a detection ends at a border of its tile that is none of the image, within NEAR_BORDER of its side."""
    left, top, right, bottom = one.window
    near = (max(1.0, NEAR_BORDER * (right - left)), max(1.0, NEAR_BORDER * (bottom - top)))
    return any(
        place[side] != whole[side] and abs(one.window[side] - place[side]) <= near[side % 2] for side in range(4)
    )


def _agreement(one: Detection, other: Detection, zone: tuple[int, int, int, int], cut: tuple[bool, bool]) -> float:
    """IoU of two detections inside a zone, or the share there of a cut one in the other; 0 if neither reaches it."""
    shared_window = _intersection(one.window, other.window)
    if shared_window is None or _intersection(shared_window, zone) is None:
        return 0.0
    both = tuple(pick(one.window[k], other.window[k]) for k, pick in enumerate((min, min, max, max)))
    zone = _intersection(zone, both) or zone
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
    shared = int((parts[0] & parts[1]).sum())
    compared = [parts[0] | parts[1], *(part for part, is_cut in zip(parts, cut, strict=True) if is_cut)]
    return max(shared / max(1, int(part.sum())) for part in compared)


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
