"""How much the transforms of images change: strengths of colours, angles, windows, and which variations are drawn."""

from __future__ import annotations

import colorsys
import math
from typing import Any

import pytest
import torch
from test_transforms import CLASSES, apply, cut, painted
from torch import Tensor
from torchvision import tv_tensors

from foveate.records import Preprocessing
from foveate.transforms import ClassificationAugment, ObjectCrops, SemanticAugment
from foveate.transforms.instances import InstanceAugment

JITTERS: dict[str, Any] = {
    "semantic": SemanticAugment(crop=(), flip=False, color=0.25),
    "crops": ObjectCrops(size=(32, 32), flip=False, color=0.25),
    "classes": ClassificationAugment((1, 1), (1, 1), flip=False, color=0.25),
    "objects": InstanceAugment(scale=(1, 1), crop=(), flip=False, color=0.25),
}


@pytest.mark.parametrize("kind", JITTERS)
def test_colours_change_by_their_strength_and_the_hue_by_a_fifth_of_it(kind: str) -> None:
    """A dark grey, a lighter one and a red. Both greys differ by brightness and contrast alone, whatever the hue.

    The red's largest less its smallest value is changed by saturation, too; its hue by the hue alone.
    """
    image = torch.empty(3, 32, 32)
    image[:, :11], image[:, 11:22], image[:, 22:] = 0.35, 0.55, torch.tensor([0.6, 0.4, 0.4])[:, None, None]
    sample = {
        "image": tv_tensors.Image(image), "mask": tv_tensors.Mask(torch.full((32, 32), 9, dtype=torch.uint8)),
        "layers": tv_tensors.Mask(torch.zeros(1, 32, 32, dtype=torch.int32)), "label": 1, "name": "a",
    }  # fmt: skip
    transform = JITTERS[kind].build({"classes": CLASSES}, Preprocessing())
    both, saturation, hue = [], [], []
    for seed in range(150):
        torch.manual_seed(seed)
        dark, light, red = transform(sample)["image"].as_subclass(Tensor)[:, [0, 16, 31], 16].T
        both.append(float((light - dark).mean()) / 0.2)
        saturation.append(float(red.max() - red.min()) / 0.2 / both[-1])
        hue.append((colorsys.rgb_to_hsv(*red.tolist())[0] + 0.5) % 1 - 0.5)
    assert 0.75**2 - 1e-3 <= min(both) < 0.7 and 1.4 < max(both) <= 1.25**2 + 1e-3
    assert 0.75 - 1e-3 <= min(saturation) < 0.78 and 1.22 < max(saturation) <= 1.25 + 1e-3
    assert -0.05 - 1e-3 <= min(hue) < -0.045 and 0.045 < max(hue) <= 0.05 + 1e-3


def test_further_variations_are_those_that_were_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with its own strength, in the order turn, crop, deformation, mirror, blur, brightness, tone."""
    calls: list[tuple[Any, ...]] = []

    def spy(name: str, pair: bool) -> Any:
        def run(image: Tensor, *given: Any) -> Any:
            calls.append((name, *(one for one in given if not isinstance(one, Tensor))))
            return (image, given[0]) if pair else image

        return run

    for name, pair in (("quarter_turn", True), ("elastic", True), ("upside_down", True), ("blurred", False),
                       ("rescaled", False), ("toned", False)):  # fmt: skip
        monkeypatch.setattr(f"foveate.transforms.{name}", spy(name, pair))
    apply(SemanticAugment(crop=(), color=0), painted(), 0)
    assert not calls
    every = SemanticAugment(
        crop=(), color=0, quarter_turns=True, elastic=3.0, flip_vertical=True, blur=1.5, brightness=0.2, gamma=0.4
    )
    apply(every, painted(), 0)
    assert calls == [
        ("quarter_turn",), ("elastic", 3.0, 9), ("upside_down",), ("blurred", 1.5), ("rescaled", 0.2), ("toned", 0.4),
    ]  # fmt: skip


def test_rotating_uncovers_ignored_pixels_and_classes_turn_by_as_much_as_is_said() -> None:
    """The middle row of a bar turned by an angle: its slope tells it."""
    ones = painted(64, 64)
    ones["mask"][:] = 1
    turned = [apply(SemanticAugment(crop=(), rotate=30, flip=False, color=0), ones, seed)["mask"] for seed in range(8)]
    assert set(torch.stack(turned).unique().tolist()) == {1, 9}
    bar = torch.zeros(1, 81, 81)
    bar[:, 40] = 1
    angles = []
    for seed in range(60):
        image = cut(ClassificationAugment((1, 1), (1, 1), flip=False, rotate=30, color=0), bar, (), seed)[0]
        rows, columns = (image > 0.3).nonzero().double().unbind(1)
        slope = torch.linalg.lstsq(torch.stack([columns - 40, torch.ones_like(columns)], 1), rows[:, None]).solution
        angles.append(math.degrees(math.atan(float(slope[0]))))
    assert -30.5 < min(angles) < -27 and 27 < max(angles) < 30.5


def test_windows_of_a_class_have_the_shape_of_the_networks_input() -> None:
    """ratio is relative to the input's own: a square of 90 % for an input of 40 x 20 would be no window of it."""
    ramp = torch.stack(torch.meshgrid(torch.arange(200.0), torch.arange(200.0), indexing="ij"))
    for size, expected in (((20, 40), 2.0), ((40, 20), 0.5)):
        augment = ClassificationAugment(scale=(0.2, 0.2), ratio=(1, 1), flip=False, color=0)
        window = cut(augment, ramp, size)
        height, width = ((w.max() - w.min()) * n / (n - 1) for w, n in zip(window, size, strict=True))
        assert float(width / height) == pytest.approx(expected, rel=0.02)


def test_shares_of_the_area_are_drawn_evenly() -> None:
    ramp = torch.stack(torch.meshgrid(torch.arange(200.0) / 200, torch.arange(200.0) / 200, indexing="ij"))
    augment = ClassificationAugment(scale=(0.1, 0.9), ratio=(1, 1), flip=False, color=0)
    windows = (cut(augment, ramp, (20, 20), seed) for seed in range(200))
    areas = [float(((w[0].max() - w[0].min()) * (w[1].max() - w[1].min())) * (20 / 19) ** 2) for w in windows]
    assert 75 < sum(area < 0.5 for area in areas) < 125
