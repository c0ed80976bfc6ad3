"""What every instance model promises. A new model adds a line to SMALL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import foveate
from foveate.errors import ConfigError
from foveate.ops.boxes import tight_boxes
from foveate.records import ClassTable, InstanceOutput, RegionOutput
from foveate.registry import entries
from foveate.store import load_model, save_model

# name -> a config that runs in a fraction of a second
PROPOSALS: dict[str, Any] = {
    "scales": (2.0, 4.0), "ratios": (1.0,), "cell": 4, "channels": 8, "pre_nms": (100, 100), "post_nms": (20, 30),
    "min_side": 3.0, "crossing": True,
}  # fmt: skip
SMALL: dict[str, dict[str, Any]] = {
    "hypercolumns": {
        "backbone": "test_efficientnet", "strides": (4, 8, 16), "size": 9, "boxes": 8, "reference": 0.0,
        "mask_weight": 1.0, "end_to_end": True,
        "detector": {
            "width": 8, "stride": 4, "hidden": 16, "dropout": 0.0, "rois": 16, "proposals": PROPOSALS,
        },
    },
    "mnc": {
        "backbone": "test_efficientnet", "width": 8, "stride": 4, "hidden": 16, "mask_hidden": 16, "mask_size": 7,
        "rois": 16, "proposals": PROPOSALS,
    },
    "sds": {"backbone": "test_efficientnet", "side": 32, "context": 4, "hidden": 16, "proposals": 60},
}  # fmt: skip
NAMES = [n for n, e in entries("model").items() if e.module.startswith("foveate.models.instances")]
CLASSES = ClassTable(("a", "b", "c"))


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FOVEATE_CACHE", str(tmp_path))  # of region proposals


def build(name: str, **more: Any) -> Any:
    torch.manual_seed(0)
    return foveate.create(name, **(SMALL[name] | {"num_classes": 3} | more))


def batch(size: int = 64) -> Any:
    masks = torch.zeros(2, size, size, dtype=torch.bool)
    masks[0, 5:20, 8:22] = masks[1, 30:50, 24:60] = True
    image = torch.stack([masks.any(0).float().expand(3, -1, -1), torch.zeros(3, size, size)])
    none = torch.zeros(0, 4)
    return {
        "image": image, "image_sizes": [(size, size)] * 2, "boxes": [tight_boxes(masks), none],
        "labels": [torch.tensor([0, 2]), torch.zeros(0, dtype=torch.int64)], "masks": [masks, masks[:0]],
        "crowds": [torch.zeros(size, size, dtype=torch.bool)] * 2, "names": ["x", "y"],
    }  # fmt: skip


def test_every_model_is_here() -> None:
    assert set(NAMES) == set(SMALL)


@pytest.mark.parametrize("field", ["in_channels", "num_classes"])
@pytest.mark.parametrize("name", NAMES)
def test_no_channels_and_no_classes_are_refused(name: str, field: str) -> None:
    with pytest.raises(ConfigError, match=rf"{field}.* must be at least 1"):
        build(name, **{field: 0})


@pytest.mark.parametrize("name", NAMES)
class TestContract:
    def test_any_size_in_detections_inside_it_out(self, name: str) -> None:
        model = build(name).eval()
        for height, width in ((64, 96), (97, 61), (5, 40)):
            with torch.inference_mode():
                out = model(torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(0)))
            assert isinstance(out, (InstanceOutput, RegionOutput))
            count = len(out.scores)
            assert out.boxes.shape == (count, 4) and out.labels.shape == (count,)
            if isinstance(out, InstanceOutput):
                assert out.masks.shape[0] == count and out.masks.shape[1] == out.masks.shape[2]
                assert out.kept.shape == (count,) and out.kept.dtype == torch.bool
                assert not count or 0 <= out.masks.min() <= out.masks.max() <= 1
            else:
                assert out.atoms.shape == (height, width) and out.members.dtype == torch.bool
                assert out.members.shape == (count, int(out.atoms.max()) + 1)
                assert not count or torch.equal(out.boxes, tight_boxes(out.members[:, out.atoms]))
            assert (out.scores.diff() <= 0).all()
            if count:
                assert out.boxes.min() >= 0 and out.boxes[:, 2].max() <= width and out.boxes[:, 3].max() <= height
                assert 0 <= out.scores.min() <= out.scores.max() <= 1
                assert 0 <= out.labels.min() <= out.labels.max() < 3

    def test_losses_are_finite_and_reach_every_parameter(self, name: str) -> None:
        model = build(name).train()
        losses = model.loss(batch())
        assert all(torch.isfinite(value) for value in losses.values())
        losses["loss"].backward()
        assert [n for n, p in model.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()] == []

    def test_saved_and_loaded_it_answers_the_same(self, name: str, tmp_path: Any) -> None:
        model = build(name).eval()
        model.score_threshold.fill_(0.25)
        save_model(tmp_path, model, name, {"classes": CLASSES}, "instances")
        again = load_model(tmp_path).model.eval()
        image = torch.randn(1, 3, 70, 50, generator=torch.Generator().manual_seed(1))
        with torch.inference_mode():
            for one, other in zip(model(image), again(image), strict=True):
                assert torch.equal(one, other)
        assert float(again.score_threshold) == 0.25

    def test_other_numbers_of_channels(self, name: str) -> None:
        model = build(name, in_channels=5).eval()
        with torch.inference_mode():
            model(torch.randn(1, 5, 40, 40))

    def test_one_batch_can_be_learned(self, name: str) -> None:
        model = build(name).train()
        optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
        losses = []
        for _ in range(60):
            loss = model.loss(batch())["loss"]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        assert sum(losses[-5:]) / 5 < 0.4 * losses[0]
