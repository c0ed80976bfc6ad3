"""Projects of Label Studio for tests: three pictures and the JSON of their tasks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from foveate.datasets import recognise
from foveate.datasets.label_studio import LabelStudio


def write_project(
    root: Path, tasks: Sequence[dict[str, Any]], size: tuple[int, int], folder: str = "images"
) -> LabelStudio:
    """Write pictures 0.png to 2.png of a size (width, height) and the tasks, and open them as a data set."""
    (root / folder).mkdir(parents=True, exist_ok=True)
    for k in range(3):
        Image.new("RGB", size, (k, 50, 60)).save(root / folder / f"{k}.png")
    (root / "project-1.json").write_text(json.dumps([*tasks]))
    source = recognise(root)
    assert isinstance(source, LabelStudio)
    return source


def maps(source: LabelStudio) -> dict[str, np.ndarray]:
    """Name -> label map of every picture."""
    return {
        sample["name"]: sample["mask"].numpy() for split in source.splits() for sample in source.open(split, "semantic")
    }
