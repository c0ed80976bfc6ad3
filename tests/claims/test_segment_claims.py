"""Claims about SDS, with stand-ins for trained networks, and with its masks broken."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from stand_ins import examined

from foveate.claims import segments
from foveate.claims.segments import Trained, filled
from foveate.datasets.pasture import Pasture
from foveate.models.instances.sds import SDS
from foveate.ops.layers import unpack
from foveate.records import Preprocessing, RegionOutput
from foveate.records.instances import encode_mask, instances_of
from foveate.tasks import find_task

PLAIN = Preprocessing.centred(3)
CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], bool).repeat(4, 0).repeat(4, 1)


class Oracle(torch.nn.Module):
    """True regions with random scores, where `wrong` of them belong to another class."""

    def __init__(self, scenes: list[Any], wrong: int) -> None:
        super().__init__()
        self.register_buffer("score_threshold", torch.tensor(0.5))
        self.known = {PLAIN(s["image"])[None].sum().item(): s for s in scenes}
        self.wrong = wrong

    def forward(self, image: torch.Tensor) -> RegionOutput:
        sample = self.known[image.sum().item()]
        masks = unpack(sample["layers"].as_subclass(torch.Tensor), len(sample["labels"]))
        seen = masks.flatten(1).any(1)
        masks, labels = masks[seen], sample["labels"][seen].clone()
        labels[: self.wrong] = (labels[: self.wrong] + 1) % 5
        boxes = torch.tensor(
            [[*x[:, [1, 0]].amin(0), *(x[:, [1, 0]].amax(0) + 1)] for x in (m.nonzero() for m in masks)]
        )
        key = (masks.flatten(1).double() * 2.0 ** torch.arange(len(masks))[:, None]).sum(0)
        kinds, atoms = key.unique(return_inverse=True)
        members = torch.stack([(kinds.long() >> k) % 2 == 1 for k in range(len(masks))])
        scores = torch.linspace(1, 0.5, len(masks))
        return RegionOutput(boxes.float(), labels, scores, members, atoms.view(masks.shape[1:]))


def oracle(wrong: int) -> Trained:
    test = Pasture(height=96, width=96, train=1, val=1, test=12).open("test", "instances")
    scenes = [test[i] for i in range(len(test))]
    task = find_task("instances")({"classes": test.classes}, PLAIN)
    return Trained(SimpleNamespace(family=task, runner=Oracle(scenes, wrong)), scenes)  # type: ignore[arg-type]


def test_filled_boxes() -> None:
    objects = instances_of((20, 30), [encode_mask(CROSS, (20, 30), 3, 5)], [0])
    (box,) = (filled(objects).mask(k) for k in range(1))
    assert box.sum() == 144 and box[5:17, 3:15].all() and objects.mask(0).sum() == 80


def test_segments_outline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "trained", lambda seed, crops: oracle(0))
    assert examined("segments_outline_objects") == "holds"
    monkeypatch.setattr(segments, "filled", lambda objects: objects)  # boxes that outline as well
    assert examined("segments_outline_objects") == "does not hold"


@pytest.mark.parametrize("name", ["masked_background_helps", "box_and_region_beat_either"])
def test_better_networks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = {"both": 0, "region": 1, "box": 2}
    monkeypatch.setattr(segments, "trained", lambda seed, crops: oracle(wrong[crops]))
    assert examined(name) == "holds"
    worse = {"both": 1, "region": 2, "box": 1}
    monkeypatch.setattr(segments, "trained", lambda seed, crops: oracle(worse[crops]))
    assert examined(name) == "does not hold"


def test_without_masks_both_arms_are_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The arms differ in the background alone: with masks of ones they are one network, and there is no effect."""
    monkeypatch.setenv("FOVEATE_CACHE", str(tmp_path))
    small = {"height": 48, "width": 48, "train": 6, "val": 2, "test": 4}
    monkeypatch.setattr(segments, "DATA", small)
    monkeypatch.setattr(segments, "EPOCHS", 1)
    tiny = {
        "backbone": "test_efficientnet",
        "pretrained": False,
        "side": 32,
        "hidden": 8,
        "fit_images": 3,
        "proposals": 40,
    }
    monkeypatch.setattr(segments, "SMALL", {f"config__{name}": value for name, value in tiny.items()})
    crops = SDS.crops
    monkeypatch.setattr(SDS, "crops", lambda self, image, at, mask: crops(self, image, at, torch.ones_like(mask)))
    segments.trained.cache_clear()
    effect, region, box = segments._masked_background_helps(0)
    segments.trained.cache_clear()
    assert effect == 0 and region == box
    monkeypatch.setattr(SDS, "crops", crops)
    one, other = (
        segments.trained(0, kind).predictor.runner.get_parameter(f"backbone.{kind}.project.weight")
        for kind in ("region", "box")
    )
    segments.trained.cache_clear()
    assert not torch.equal(one, other)
