"""What `foveate predict` leaves of each picture: one writer a family."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np

    from foveate.cli.inputs import Job
    from foveate.pictures import Windows
    from foveate.predictor import Predictor
    from foveate.records import ClassificationPrediction, SemanticPrediction
    from foveate.visualize.clips import Motion

LONGEST_OVERLAY = 4096  # pixels; overlays of larger pictures are scaled down


Kind = Literal["mask", "overlay"]


def writer(task: str) -> tuple[Callable[[Job, Windows, Any], dict[str, Any]], tuple[Kind, ...]]:
    """The function that writes a family's results and returns their record, and which of a job's files it writes."""
    if task == "classification":
        return write_classification, ("overlay",)
    return write_semantic, ("mask", "overlay")


def write_classification(job: Job, windows: Windows, prediction: ClassificationPrediction) -> dict[str, Any]:
    """The drawing of what was seen, where the model looked and what it says; its record for predictions.json."""
    from foveate.pictures import atomic_write
    from foveate.visualize.looks import draw_classification

    windows.close()
    with atomic_write(job.overlay) as temporary:
        draw_classification(prediction).save(temporary, format="JPEG", quality=92)
    top = [{"class": name, "probability": round(p, 6)} for name, p in prediction.top(5)]
    looks = [{"corners": corners(look.grid)} for look in prediction.looks]
    return {"class": top[0]["class"], "top": top} | ({"looks": looks} if looks else {})


def write_clip_of(job: Job, predictor: Predictor, motion: Motion) -> Path:
    """The picture in motion, each pose drawn with the model's answer to it."""
    import torch

    from foveate.visualize.clips import poses, write_clip
    from foveate.visualize.looks import draw_classification

    seen = torch.from_numpy(predictor.predict(job.source).seen).permute(2, 0, 1) / 255
    background = float(getattr(getattr(predictor.model, "config", None), "background", 0.0))
    frames = [predictor.predict(pose) for pose in poses(seen, motion, background)]
    write_clip([draw_classification(frame) for frame in frames], job.clip)
    return job.clip


def corners(grid: np.ndarray) -> list[list[float]]:
    """The corners of a look's grid (h, w, 2), clockwise from its upper left, each x, y in -1..1."""
    return [[round(float(v), 4) for v in grid[row, column]] for row, column in ((0, 0), (0, -1), (-1, -1), (-1, 0))]


def write_semantic(job: Job, windows: Windows, prediction: SemanticPrediction) -> dict[str, Any]:
    """The mask, and its overlay with a legend; its record for predictions.json."""
    from foveate.pictures import atomic_write
    from foveate.visualize import index_png, overlay, with_legend

    shares = _shares(prediction)
    with atomic_write(job.mask) as temporary:
        index_png(prediction.mask, prediction.classes, temporary)
    picture, mask = _reduced(windows, prediction.mask)
    windows.close()
    drawn = with_legend(overlay(picture, mask, prediction.classes), prediction.classes, shares)
    with atomic_write(job.overlay) as temporary:
        drawn.save(temporary, format="JPEG", quality=90)
    return {"height": windows.height, "width": windows.width, "shares": shares}


def _shares(prediction: SemanticPrediction) -> dict[str, float]:
    """`prediction.shares()`, a strip at a time: counting takes eight bytes a pixel, which a large mask cannot have."""
    from dataclasses import replace

    import numpy as np

    totals = dict.fromkeys(prediction.classes.names, 0.0)
    for strip in np.array_split(prediction.mask, -(-prediction.mask.size // 2**20)):
        for name, share in replace(prediction, mask=strip).shares().items():
            totals[name] += share * (strip.size / prediction.mask.size)
    return totals


def _reduced(windows: Windows, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The picture and its mask, shrunk by a whole factor until the longest side is at most LONGEST_OVERLAY.

    The picture is averaged over f x f pixels and read in strips; of the mask, one label in f x f is kept.
    """
    import numpy as np

    height, width = windows.height, windows.width
    factor = -(-max(height, width) // LONGEST_OVERLAY)
    if factor == 1:
        return windows.read(0, 0, height, width), mask
    factor = min(factor, height, width)
    rows, columns = height // factor, width // factor
    small = np.empty((rows, columns, windows.channels), windows.read(0, 0, 1, 1).dtype)
    step = max(1, 2**21 // (width * factor))
    for top in range(0, rows, step):
        count = min(step, rows - top)
        strip = windows.read(top * factor, 0, count * factor, columns * factor)
        blocks = strip.reshape(count, factor, columns, factor, -1)
        small[top : top + count] = blocks.mean((1, 3), dtype=np.float32).round()
    middle = factor // 2
    return small, mask[middle::factor, middle::factor][:rows, :columns]
