"""Outlines in given boxes: true ones, to score outlines apart from detection, or those that another run has found.

A model that can do it has `outline(image (1, C, H, W), boxes (R, 4), labels (R,))`, whose `masks` are (R, m, m).

Shapes: an image of H x W pixels and C channels; N objects.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from foveate.errors import ConfigError, ModelError
from foveate.onnx import OnnxFile
from foveate.ops.suppress import vote_masks
from foveate.pictures import Windows, to_tensor
from foveate.records import Instances, Preprocessing
from foveate.records.instances import encode_mask, instances_of
from foveate.store import LoadedModel, load_model
from foveate.tasks.instances.detect import MASK_THRESHOLD, tiles
from foveate.tasks.instances.export import open_runner
from foveate.tasks.parts import device_of

MARGIN = 64  # pixels around an object that fits into no tile


def can_outline(network: Any) -> bool:
    """True for a model that outlines the objects of boxes that it is given."""
    return hasattr(network, "outline")


@torch.inference_mode()
def outline_objects(
    network: Any,
    image: Tensor | Windows,
    preprocessing: Preprocessing,
    objects: Instances,
    *,
    tile: int | None = None,
    overlap: int | None = None,
    device: torch.device | str = "cpu",
) -> Instances:
    """Return objects with new masks, drawn by the network in their boxes; an empty mask where it sees none.

    image: (C, H, W) uint8 or float in 0..1, or windows that are read piece by piece. tile, overlap: as for
    `find_objects`; each box is outlined in the tile that holds it with the widest margin, one that fits into none in a
    window of its own. Boxes, labels and scores stay.
    """
    height, width = objects.size
    masks: list[Any] = [None] * len(objects)
    for place, members in _places(objects.boxes, tiles(height, width, tile, overlap), objects.size):
        left, top, right, bottom = place
        if isinstance(image, Tensor):
            piece = image[:, top:bottom, left:right]
        else:
            piece = to_tensor(image.read(top, left, bottom - top, right - left))
        boxes = torch.from_numpy(objects.boxes[members]) - torch.tensor([left, top, left, top])
        labels = torch.from_numpy(objects.labels[members])
        found = network.outline(preprocessing(piece.to(device))[None], boxes.to(device), labels.to(device))
        drawn = found.masks.float().cpu()
        for k, index in enumerate(members):
            alone = slice(k, k + 1)
            (patch,) = vote_masks(
                boxes[alone], drawn[alone], torch.ones(1), torch.zeros(1, dtype=torch.int64),
                (bottom - top, right - left), 0.0, MASK_THRESHOLD,
            )  # fmt: skip
            if patch is None:
                masks[index] = encode_mask(np.zeros((1, 1), bool), objects.size)
            else:
                x, y, _, _ = patch.window
                masks[index] = encode_mask(patch.mask.numpy(), objects.size, left + x, top + y)
    return instances_of(objects.size, masks, objects.labels, objects.scores, objects.crowd, objects.boxes)


def _places(
    boxes: np.ndarray, places: Sequence[tuple[int, int, int, int]], size: tuple[int, int]
) -> list[tuple[tuple[int, int, int, int], list[int]]]:
    """Windows of the image, each with the boxes (N, 4) that are outlined in it."""
    height, width = size
    corners = np.array(places, np.float64)
    chosen: dict[tuple[int, int, int, int], list[int]] = {}
    for index, (left, top, right, bottom) in enumerate(boxes.tolist()):
        # The border of the image cuts nothing off, so a tile's side that lies on it has all the margin there is.
        room = np.stack([
            np.where(corners[:, 0] > 0, left - corners[:, 0], np.inf),
            np.where(corners[:, 1] > 0, top - corners[:, 1], np.inf),
            np.where(corners[:, 2] < width, corners[:, 2] - right, np.inf),
            np.where(corners[:, 3] < height, corners[:, 3] - bottom, np.inf),
        ]).min(0)  # fmt: skip
        best = int(room.argmax())
        place = places[best]
        if room[best] < 0:
            place = (
                max(0, int(left) - MARGIN), max(0, int(top) - MARGIN),
                min(width, math.ceil(right) + MARGIN), min(height, math.ceil(bottom) + MARGIN),
            )  # fmt: skip
        chosen.setdefault(place, []).append(index)
    return list(chosen.items())


def true_box_ious(network: Any, image: Tensor | Windows, preprocessing: Preprocessing, truth: Instances) -> np.ndarray:
    """Return the IoU (N,) of each true object with the mask that the network draws in its box; crowds are left out."""
    real = truth.select(~truth.crowd)
    device = device_of(network)
    drawn = outline_objects(network, image, preprocessing, real, device=device)
    return np.array([drawn.select(k).overlaps(real.select(k))[0, 0] for k in np.arange(len(real))[:, None]])


def detector_of(path: str, device: torch.device) -> tuple[Any, dict[str, Any], Preprocessing]:
    """Load what finds the objects that are to be outlined: a run, a model folder, or an exported file.

    Returns the model, or the file with its interface, its tables and its preprocessing. Raises ModelError, ConfigError.
    """
    file = Path(path)
    if file.suffix.lower() == ".onnx":
        if not file.is_file():
            raise ModelError(f"--boxes {path} does not exist; give a run folder, or a file that foveate export wrote")
        exported = _opened(file, file.stat().st_mtime_ns)
        _require_objects(path, exported.task)
        try:
            preprocessing = Preprocessing.from_json(exported.preprocessing or {})
        except (KeyError, TypeError, ValueError) as error:
            raise exported.unreadable("preprocessing", error) from error
        return open_runner(exported), exported.tables, preprocessing
    folder = file / "model" if (file / "model").is_dir() else file
    weights = folder / "model.safetensors"
    loaded = _loaded(folder, device, weights.stat().st_mtime_ns if weights.is_file() else 0)
    _require_objects(path, loaded.task)
    return loaded.model, loaded.tables, loaded.preprocessing


def _require_objects(path: str, family: str) -> None:
    if family != "instances":
        raise ConfigError(f"--boxes {path}: a model for {family} finds no boxes; give a run that finds objects")


@functools.lru_cache(maxsize=1)
def _opened(file: Path, written: int) -> OnnxFile:
    """An exported file, kept for the next images until it is written again."""
    return OnnxFile.open(file, "cpu")


@functools.lru_cache(maxsize=1)
def _loaded(folder: Path, device: torch.device, written: int) -> LoadedModel:
    """A model folder, kept for the next images until its weights are written again."""
    loaded = load_model(folder)
    loaded.model.eval().requires_grad_(False).to(device)
    return loaded


def outlined(
    network: Any, image: Tensor | Windows, preprocessing: Preprocessing, objects: Instances, **where: Any
) -> Instances:
    """Return detections with the network's masks and the tight boxes around them; those without a pixel are left out.

    where: tile, overlap and device, see `outline_objects`.
    """
    drawn = outline_objects(network, image, preprocessing, objects, **where)
    seen = drawn.select(drawn.areas > 0)
    return dataclasses.replace(seen, boxes=instances_of(seen.size, seen.masks, seen.labels).boxes)
