"""Helpers that the reports of several families share: notes, sizes, images of samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from foveate.pictures.intensities import window_text
from foveate.records import Preprocessing
from foveate.tasks.evaluation import Evaluation


def scoring_note(evaluation: Evaluation, plain: str = "in one pass") -> str:
    """A sentence on how each image was scored: at which size, with which options; plain: with the defaults."""
    options = evaluation.options.describe()
    way = f"with {options}" if options else plain
    preprocessing = evaluation.loaded.preprocessing
    window = f" Values {window_text(preprocessing.window)} are black to white." if preprocessing.window else ""
    return f"Each picture was scored {input_size(preprocessing)}, {way}.{window}"


def input_size(preprocessing: Preprocessing) -> str:
    """The size that the network takes, as a phrase: 'resized to 224x224 pixels'."""
    size = preprocessing.size
    return f"resized to {size[1]}x{size[0]} pixels" if size else "at its own size"


def absent_note(names: Sequence[str]) -> list[str]:
    """A sentence on classes that no sample has; [] if there are none."""
    return [f"Not in these pictures, and left out of every mean: {', '.join(names)}."] if names else []


def image_pixels(sample: Any) -> np.ndarray:
    """A sample's image as (H, W, C) uint8."""
    image = sample["image"].as_subclass(Tensor)
    pixels: Tensor = (image * 255).byte() if image.is_floating_point() else image
    return pixels.permute(1, 2, 0).cpu().numpy()
