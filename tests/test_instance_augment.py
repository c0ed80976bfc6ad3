"""Augmentation of images with objects: image and layers move alike, and every option does something."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision import tv_tensors

from foveate.transforms.instances import InstanceAugment

STILL: dict[str, Any] = {"scale": (1.0, 1.0), "crop": (), "flip": False, "color": 0.0}


def sample() -> Any:
    """Four objects in an image whose values are 50 times their numbers."""
    layer = torch.zeros(1, 96, 80, dtype=torch.int32)
    for number, (top, left) in enumerate(((4, 6), (10, 50), (60, 12), (50, 44)), 1):
        layer[0, top : top + 30, left : left + 22] = number
    image = tv_tensors.Image((layer * 50).to(torch.uint8).expand(3, -1, -1).clone())
    return {
        "image": image, "layers": tv_tensors.Mask(layer), "labels": torch.zeros(4, dtype=torch.int64),
        "crowd": torch.zeros(4, dtype=torch.bool), "name": "a",
    }  # fmt: skip


def applied(seed: int, **options: Any) -> Any:
    torch.manual_seed(seed)
    return InstanceAugment(**(STILL | options)).build({}, None)(sample())


def agreement(changed: Any) -> float:
    return float((changed["image"][0] == changed["layers"][0] * 50).float().mean())


@pytest.mark.parametrize("option", ["flip", "flip_vertical", "quarter_turns"])
def test_flips_and_turns_move_both_exactly(option: str) -> None:
    seen = [applied(seed, **{option: True}) for seed in range(12)]
    assert all(agreement(one) == 1.0 for one in seen)
    before = sample()["layers"]
    assert any(one["layers"].shape != before.shape or not torch.equal(one["layers"], before) for one in seen)


@pytest.mark.parametrize("options", [{"elastic": 8.0}, {"scale": (0.6, 1.6), "crop": (64, 64)}])
def test_deformations_move_both_alike(options: dict[str, Any]) -> None:
    for seed in range(8):
        changed = applied(seed, **options)
        assert changed["image"].shape[1:] == changed["layers"].shape[1:]
        assert agreement(changed) > 0.8  # all but the blended edges
        assert not torch.equal(changed["layers"], sample()["layers"])


@pytest.mark.parametrize("options", [{"blur": 3.0}, {"color": 0.5}, {"stain": 0.5}])
def test_the_look_changes_and_the_objects_stay(options: dict[str, Any]) -> None:
    seen = [applied(seed, **options) for seed in range(6)]
    assert all(torch.equal(one["layers"], sample()["layers"]) for one in seen)
    assert any(not torch.equal(one["image"], sample()["image"]) for one in seen)


def test_without_options_nothing_changes() -> None:
    assert agreement(applied(0)) == 1.0 and torch.equal(applied(0)["layers"], sample()["layers"])


# Amounts


def coordinates(height: int = 96, width: int = 80) -> Any:
    """An image whose first channel is its row and whose second is its column, and their layer, 100 row + column."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    image = torch.stack([rows, columns, 0 * rows]).to(torch.uint8)
    return {"image": tv_tensors.Image(image), "layers": tv_tensors.Mask((100 * rows + columns).int()[None])}


def moved(seed: int, given: Any, **options: Any) -> tuple[Tensor, Tensor]:
    """The image and the layer that a seed makes of them."""
    torch.manual_seed(seed)
    changed = InstanceAugment(**(STILL | options)).build({}, None)(given)
    return changed["image"].as_subclass(Tensor), changed["layers"].as_subclass(Tensor)[0]


def test_the_scale_is_drawn_log_uniformly_from_its_range() -> None:
    heights = []
    for seed in range(200):
        image, layer = moved(seed, coordinates(), scale=(0.5, 2.0))
        assert image.shape[1:] == layer.shape and abs(96 * layer.shape[1] - 80 * layer.shape[0]) <= 96
        heights.append(layer.shape[0] / 96)
    assert 0.49 < min(heights) < 0.53 and 1.9 < max(heights) < 2.01
    assert 75 < sum(height < 1 for height in heights) < 125  # of evenly drawn factors a third, 67


def test_windows_lie_anywhere_and_are_cut_from_both_alike() -> None:
    corners = set()
    for seed in range(60):
        image, layer = moved(seed, coordinates(), crop=(64, 48))
        assert torch.equal(image[0].int() * 100 + image[1].int(), layer) and layer.shape == (64, 48)
        corners.add(divmod(int(layer[0, 0]), 100))
    tops, lefts = zip(*corners, strict=True)
    assert min(tops) < 4 and max(tops) > 28 and min(lefts) < 4 and max(lefts) > 28
    assert moved(0, coordinates(), crop=(200, 48))[1].shape == (96, 48)  # smaller where the image is


@pytest.mark.parametrize("factor", [0.5, 0.6, 1.25, 1.6, 2.6])
def test_resizing_keeps_borders_where_they_are(factor: float) -> None:
    """A layer read at other pixel centres than the image would be off by up to half a pixel."""
    layer = (torch.arange(64) >= 33).int().expand(1, 64, 64)
    given = {"image": tv_tensors.Image(layer.float().expand(3, -1, -1)), "layers": tv_tensors.Mask(layer)}
    image, numbers = moved(0, given, scale=(factor, factor))
    clear = (image[0] - 0.5).abs() > 0.1
    assert torch.equal((image[0] > 0.5)[clear], (numbers == 1)[clear])


def test_mirrors_come_half_of_the_time_and_every_turn_a_quarter() -> None:
    still = coordinates()["layers"].as_subclass(Tensor)[0]
    for option, axis in (("flip", 1), ("flip_vertical", 0)):
        layers = [moved(seed, coordinates(), **{option: True})[1] for seed in range(100)]
        assert all(torch.equal(one, still) or torch.equal(one, still.flip(axis)) for one in layers)
        assert 30 < sum(torch.equal(one, still.flip(axis)) for one in layers) < 70
    layers = [moved(seed, coordinates(), quarter_turns=True)[1] for seed in range(100)]
    counts = [sum(torch.equal(one, still.rot90(k)) for one in layers) for k in range(4)]
    assert sum(counts) == 100 and min(counts) > 12


def test_images_smaller_than_a_blur_stay_as_they_are() -> None:
    for seed in range(20):
        image, _ = moved(seed, coordinates(9, 12), blur=10.0)
        assert image.shape == (3, 9, 12)


def test_a_deformation_is_at_most_as_large_as_it_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of knots that all move by the most, 6 pixels to the right and down; they stand 32 pixels apart."""
    shapes: list[torch.Size] = []

    def most(self: Tensor, low: float, high: float) -> Tensor:
        shapes.append(self.shape)
        return self.fill_(high)

    monkeypatch.setattr(Tensor, "uniform_", most)
    image, layer = moved(0, coordinates(), elastic=6.0)
    assert torch.equal(layer[:-6, :-6], coordinates()["layers"].as_subclass(Tensor)[0, 6:, 6:])
    assert torch.equal(image[0, :-6, :-6].int() * 100 + image[1, :-6, :-6].int(), layer[:-6, :-6])
    assert shapes[-1] == (1, 2, 5, 4)
    assert not layer[-6:].any() and not layer[:, -6:].any()  # what comes from outside is background


def flat(values: Tensor) -> Any:
    """An image of float values (C, H, W) without an object."""
    layers = torch.zeros(1, *values.shape[1:], dtype=torch.int32)
    return {"image": tv_tensors.Image(values), "layers": tv_tensors.Mask(layers)}


def test_a_stain_is_one_power_of_the_density_of_each_channel() -> None:
    values = torch.linspace(0.1, 0.9, 24).view(1, 4, 6).repeat(3, 1, 1)
    powers = []
    for seed in range(60):
        image, _ = moved(seed, flat(values), stain=0.2)
        power = (1 - image).log() / (1 - values).log()
        torch.testing.assert_close(power, power[:, :1, :1].expand_as(power), rtol=0, atol=1e-4)
        powers.append(power[:, 0, 0])
    drawn = torch.stack(powers)
    lowest, highest = float(drawn.min()), float(drawn.max())
    assert 0.7999 < lowest < 0.83 and 1.17 < highest < 1.2001
    assert ((drawn[:, 0] - drawn[:, 1]).abs() > 0.01).sum() > 40  # each channel has its own
    given = {"image": (values * 255).round().to(torch.uint8), "layers": flat(values)["layers"]}
    whole, _ = moved(0, given, stain=0.2)
    exact, _ = moved(0, flat(given["image"] / 255), stain=0.2)
    assert whole.dtype == torch.uint8 and float((whole - exact * 255).abs().max()) <= 0.5001


def test_half_of_the_images_are_blurred_by_up_to_the_deviation() -> None:
    """The variance of what a point becomes, along either axis, is sigma^2."""
    point = torch.zeros(1, 41, 41)
    point[0, 20, 20] = 1
    square = (torch.arange(41.0) - 20).square()
    deviations = []
    for seed in range(80):
        image, _ = moved(seed, flat(point), blur=3.0)
        assert float(image.sum()) == pytest.approx(1, abs=1e-4)
        deviations.append(float((image[0].sum(0) * square).sum().sqrt()))
        assert deviations[-1] == pytest.approx(float((image[0].sum(1) * square).sum().sqrt()), abs=1e-3)
    assert 25 < sum(deviation == 0 for deviation in deviations) < 55
    assert 2.7 < max(deviations) <= 3.0
    assert sum(deviation > 1.5 for deviation in deviations) > 10


@pytest.mark.parametrize("channels", [1, 5])
def test_brightness_and_contrast_of_any_number_of_channels(channels: int) -> None:
    """Two values of mean 0.4: brightness is read off the mean, contrast off the rest of the difference."""
    values = torch.tensor([0.3, 0.5]).expand(channels, 2, 2).contiguous()
    brightness, contrast = [], []
    for seed in range(80):
        image, _ = moved(seed, flat(values), color=0.3)
        brightness.append(float(image.mean() / 0.4))
        contrast.append(float((image[0, 0, 1] - image[0, 0, 0]) / 0.2) / brightness[-1])
        torch.testing.assert_close(image, image[:1, :1].expand_as(image))
    for drawn in (brightness, contrast):
        assert 0.7 - 1e-5 <= min(drawn) < 0.74 and 1.26 < max(drawn) <= 1.3 + 1e-5
        assert 25 < sum(one < 1 for one in drawn) < 55
    bright = [moved(seed, flat(torch.full((channels, 2, 2), 0.99)), color=0.3)[0] for seed in range(8)]
    assert max(float(image.max()) for image in bright) == 1
