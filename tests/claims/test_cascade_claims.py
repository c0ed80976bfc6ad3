"""Claims about the cascade, with detections that are made up from the truth of the scenes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from stand_ins import PLAIN, examined

from foveate.claims import cascade
from foveate.claims.cascade import Scenes
from foveate.recipes import resolve
from foveate.records import Instances
from foveate.records.instances import encode_mask, instances_of

SIDE = 48


def boxes(*corners: tuple[int, int], labels: list[int] | None = None, side: int = 10) -> Instances:
    masks = [encode_mask(np.ones((side, side), bool), (SIDE, SIDE), left, top) for left, top in corners]
    return instances_of((SIDE, SIDE), masks, labels or [0] * len(masks), [0.9] * len(masks))


def made_up(count: int = 4) -> Scenes:
    """Two trees side by side, a cow beside one of them, and a bird alone, half hidden."""
    truth = boxes((4, 4), (14, 4), (24, 4), (30, 30), labels=[0, 0, 1, 3])
    layers = torch.from_numpy(truth.numbers())[None]
    sample = {
        "image": torch.zeros(3, SIDE, SIDE, dtype=torch.uint8), "truth": truth, "layers": layers,
        "labels": torch.from_numpy(truth.labels), "name": "a",
    }  # fmt: skip
    return Scenes([sample] * count, [truth] * count, [np.array([1.0, 0.9, 1.0, 0.5])] * count)


@pytest.fixture(autouse=True)
def flat_scenes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cascade, "scenes", lambda seed, count=4: made_up())


def finds(monkeypatch: pytest.MonkeyPatch, which: Any) -> None:
    """Detections: the true objects that `which(fields)` names."""

    def found(seed: int, **fields: Any) -> list[Instances]:
        return [truth.select(np.array(which(fields), int)) for truth in made_up().truth]

    monkeypatch.setattr(cascade, "found", found)


@pytest.mark.parametrize(
    ("name", "field"),
    [("five_stages_beat_three", "config__stages"), ("end_to_end_beats_stage_by_stage", "config__end_to_end")],
)
def test_the_better_network_decides(name: str, field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    finds(monkeypatch, lambda fields: [0] if field in fields else [0, 1])
    assert examined(name) == "holds"
    finds(monkeypatch, lambda fields: [0, 1] if field in fields else [0])
    assert examined(name) == "does not hold"


def test_arms_are_configurations_of_the_recipe() -> None:
    """Each differs from the recipe's own in the one field that the claim is about."""
    own = resolve("mnc_pasture").config
    assert (own.stages, own.end_to_end) == (5, True)
    assert resolve("mnc_pasture", overrides={"config.stages": 3}).config.stages == 3
    assert not resolve("mnc_pasture", overrides={"config.end_to_end": False}).config.end_to_end


def test_touching_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connected parts join the two trees, which are no square pair that a watershed would part."""
    truth = made_up().truth[0]
    assert cascade.touching_own_class(truth).tolist() == [True, True, False, False]
    connected = cascade.objects_of_label_map(made_up().samples[0], divide=False)
    assert connected.labels.tolist() == [0, 1, 3] and connected.areas.tolist() == [200, 100, 100]
    finds(monkeypatch, lambda fields: [0, 1])
    assert examined("touching_objects_come_apart") == "holds"
    # The pair's IoU with one of them is 0.5, so one of the two counts as found: no less than the network's one.
    finds(monkeypatch, lambda fields: [0])
    assert examined("touching_objects_come_apart") == "does not hold"


def test_occlusion(monkeypatch: pytest.MonkeyPatch) -> None:
    finds(monkeypatch, lambda fields: [0, 1, 3])
    assert cascade._results_hold_under_occlusion(0) == pytest.approx((1.5, 100, 200 / 3))
    assert examined("results_hold_under_occlusion") == "holds"
    finds(monkeypatch, lambda fields: [0, 1, 2])
    assert examined("results_hold_under_occlusion") == "does not hold"


def test_recall_by_hand() -> None:
    """One detection stands for one object; classes differ; only the chosen objects count."""
    truth = boxes((4, 4), (14, 4), (24, 4), labels=[0, 0, 1])
    everything = np.ones(3, bool)
    assert cascade.recall([truth], [boxes((4, 4), (14, 4), (24, 4), labels=[0, 0, 0])], [everything]) == 200 / 3
    assert cascade.recall([truth], [boxes((4, 4), (4, 4))], [everything]) == 100 / 3
    assert cascade.recall([truth], [boxes((14, 4))], [np.array([True, False, False])]) == 0
    assert cascade.recall([truth], [boxes()], [np.zeros(3, bool)]) == 0


def test_proposals_need_recall_and_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds are made up: a clock is of little use beside other work."""
    truth = torch.from_numpy(made_up().truth[0].boxes)
    network = SimpleNamespace(runner=None, preprocessing=PLAIN)
    monkeypatch.setattr(cascade, "cascade", lambda seed: network)
    for own, seconds, verdict in (
        (truth, 1.0, "holds"),
        (truth, 3.0, "holds partly"),
        (truth[:1], 1.0, "does not hold"),
    ):
        monkeypatch.setattr(cascade, "learned_boxes", lambda model, image, own=own: own)
        monkeypatch.setattr(cascade, "propose", lambda pixels: SimpleNamespace(boxes=truth[:2]))

        def timed(run: Any, seconds: float = seconds, own: Any = own) -> tuple[float, Any]:
            boxes = run()
            return (seconds if boxes is own else 40.0), boxes

        monkeypatch.setattr(cascade, "timed", timed)
        assert examined("learned_proposals_are_faster") == verdict
    assert cascade.covered(truth + torch.tensor([0, 0, 11, 0]), truth) < 4
