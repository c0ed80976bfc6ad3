"""The claim about many layers: it holds for a finer network, not for an equal one; its arms differ in layers alone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from stand_ins import PLAIN, examined
from torch import Tensor, nn

from foveate.claims import hypercolumns
from foveate.claims.trained import small_pasture
from foveate.recipes import resolve
from foveate.records import ClassTable
from foveate.records.instances import encode_mask, instances_of
from foveate.tasks import find_task

NAME = "many_layers_give_finer_outlines"


class Drawn(nn.Module):
    """Fills every box but for the first of `cells` x `cells` parts."""

    def __init__(self, cells: int) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))
        self.cells = cells

    def outline(self, image: Tensor, boxes: Tensor, labels: Tensor) -> Any:
        masks = torch.ones(len(boxes), 40, 40)
        masks[:, : 40 // self.cells, : 40 // self.cells] = 0
        return SimpleNamespace(masks=masks)


def scene(name: str, *corners: tuple[int, int]) -> dict[str, Any]:
    """Squares of 40 pixels."""
    masks = [encode_mask(np.ones((40, 40), bool), (96, 96), left, top) for left, top in corners]
    truth = instances_of((96, 96), masks, [0] * len(masks))
    return {"image": torch.zeros(3, 96, 96, dtype=torch.uint8), "truth": truth, "name": name}


def put_in(monkeypatch: pytest.MonkeyPatch, many: int, last: int) -> list[dict[str, Any]]:
    """Put stand-ins in the place of trained networks: their parts with all layers, and with the last alone.

    Returns what was to be trained.
    """
    seen: list[dict[str, Any]] = []
    family = find_task("instances")({"classes": ClassTable(("square",))}, PLAIN)

    def train(recipe: str, seed: int, epochs: int, **fields: Any) -> Any:
        seen.append({"recipe": recipe, "seed": seed, "epochs": epochs} | fields)
        network = Drawn(last if fields["config__strides"] == "" else many)
        return SimpleNamespace(runner=network, family=family, preprocessing=PLAIN, task="instances")

    class Scenes:
        def __init__(self, **fields: Any) -> None:
            assert fields == small_pasture(seen[-1]["seed"])  # the test scenes of the same set

        def open(self, split: str, task: str) -> list[dict[str, Any]]:
            assert (split, task) == ("test", "instances")
            return [scene("a", (0, 0), (50, 40), (10, 50)), scene("b", (20, 30))]

    monkeypatch.setattr(hypercolumns, "train_on_pasture", train)
    monkeypatch.setattr(hypercolumns, "Pasture", Scenes)
    return seen


def test_the_finer_network_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    for many, last, verdict in ((20, 2, "holds"), (20, 20, "does not hold"), (2, 20, "does not hold")):
        put_in(monkeypatch, many, last)
        assert examined(NAME) == verdict


def test_figures_are_points_over_all_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    put_in(monkeypatch, 10, 2)
    figures = hypercolumns._many_layers_give_finer_outlines(0)
    assert figures == pytest.approx((24, 99, 75))


def test_the_arms_differ_in_layers_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = put_in(monkeypatch, 4, 4)
    hypercolumns._many_layers_give_finer_outlines(7)
    many, last = seen
    assert {key for key in many if many[key] != last[key]} == {"config__strides"}
    assert many["seed"] == 7
    configs = []
    for arm in seen:
        given = {name.replace("__", "."): value for name, value in arm.items() if name.startswith("config__")}
        configs.append(resolve(arm["recipe"], overrides=given).config)
    assert [config.strides for config in configs] == [(4, 8, 16), ()]
    assert all(config.vector and config.grid == 10 for config in configs)
