from __future__ import annotations

import json
from collections import Counter

import numpy as np
import torch
from torchvision import tv_tensors

from foveate.datasets.pasture import Pasture
from foveate.engine.inspection import inspect
from foveate.records import ColocalisationSample
from foveate.tasks.colocalisation.inspection import BOX_COLOR, ColocalisationFindings
from foveate.tasks.findings import shrink


def sample(boxes: list[list[float]], height: int = 40, width: int = 60) -> ColocalisationSample:
    return ColocalisationSample(
        image=tv_tensors.Image(torch.zeros((3, height, width), dtype=torch.uint8)),
        boxes=tv_tensors.BoundingBoxes(torch.tensor(boxes).reshape(-1, 4), format="XYXY", canvas_size=(height, width)),
        labels=torch.zeros(len(boxes), dtype=torch.int64),
        name="a",
    )


def test_the_pasture() -> None:
    source = Pasture(32, 48, train=12, val=6, test=0, seed=3)
    found = inspect(source, "colocalisation")
    assert isinstance(found, ColocalisationFindings)
    truth = {split: source.open(split, "colocalisation") for split in ("train", "val")}
    assert dict(found.counts) == {split: len(dataset) for split, dataset in truth.items()}
    assert found.boxes == Counter(len(d[i]["boxes"]) for d in truth.values() for i in range(len(d)))
    data = json.loads(json.dumps(found.to_json()))
    assert (data["task"], data["pictures"], data["classes"]) == ("colocalisation", dict(found.counts), [])
    assert data["sizes"] == [{"width": 48, "height": 32, "pictures": found.counts.total()}]
    lines = found.text().splitlines()
    assert lines[0].endswith("; those with a cow")
    assert any(line.startswith("boxes a picture: ") for line in lines)
    assert lines[-1] == "problems: none"
    assert found.sheet().width > 500


def test_boxes_are_drawn_and_counted() -> None:
    found = ColocalisationFindings("", "x")
    assert found.sheet() is None
    found.expect(2)
    found.begin("train", None)
    found.add("train", sample([[10, 10, 30, 20]]))
    found.add("train", sample([]))
    assert found.boxes == {1: 1, 0: 1}
    assert "boxes a picture: 0..1 (median 1)" in found.text()
    colors = np.asarray(found.sheet()).reshape(-1, 3).astype(int)
    assert (np.abs(colors - np.array(BOX_COLOR)).max(1) < 40).any()


def test_an_example_shrinks_with_its_boxes() -> None:
    small = shrink(sample([[100, 200, 300, 400]], 1024, 512))
    assert small["image"].shape == (3, 512, 256)
    assert small["boxes"].tolist() == [[50, 100, 150, 200]]
    assert small["boxes"].canvas_size == (512, 256)
