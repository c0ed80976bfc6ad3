"""Further augmentations of label maps: images and masks stay together, and nothing is drawn unless it is asked for."""

from __future__ import annotations

import pytest
import torch
from torchvision import tv_tensors

from foveate.errors import ConfigError
from foveate.records import ClassTable, Preprocessing, SemanticSample
from foveate.transforms import SemanticAugment
from foveate.transforms.variations import (
    blurred,
    elastic,
    place_rare,
    quarter_turn,
    rescaled,
    toned,
    upside_down,
)

TABLES = {"classes": ClassTable(("a", "b"))}


def sample(height: int = 40, width: int = 64) -> SemanticSample:
    """An image whose red value says its label: 200 where it is 1."""
    mask = (torch.rand(height // 8, width // 8) < 0.5).to(torch.uint8).repeat_interleave(8, 0).repeat_interleave(8, 1)
    image = torch.zeros(3, height, width, dtype=torch.uint8)
    image[0] = mask * 200
    return {"image": tv_tensors.Image(image), "mask": tv_tensors.Mask(mask), "name": "x"}


def apply(seed: int, given: SemanticSample, **fields: object) -> SemanticSample:
    augment = SemanticAugment(crop=(), flip=False, color=0.0, **fields)  # type: ignore[arg-type]
    torch.manual_seed(seed)
    return augment.build(TABLES, Preprocessing())(given)


def test_turns_and_mirrors_move_image_and_mask_alike() -> None:
    given, shapes, moved = sample(), set(), 0
    for seed in range(16):
        turned = apply(seed, given, quarter_turns=True, flip_vertical=True)
        assert torch.equal(turned["image"][0], turned["mask"] * 200)
        shapes.add(tuple(turned["mask"].shape))
        moved += not torch.equal(turned["mask"], given["mask"]) if turned["mask"].shape == (40, 64) else 1
    assert shapes == {(40, 64), (64, 40)}
    assert moved > 8


def test_a_turn_comes_before_the_crop() -> None:
    augment = SemanticAugment(crop=(32, 48), scale=(1.0, 1.0), flip=False, color=0.0, quarter_turns=True)
    for seed in range(6):
        torch.manual_seed(seed)
        assert augment.build(TABLES, Preprocessing())(sample(96, 96))["mask"].shape == (32, 48)


def test_an_elastic_deformation_keeps_image_and_mask_together() -> None:
    torch.manual_seed(1)
    given = sample(96, 96)
    image, mask = elastic(given["image"], given["mask"], 6.0, 255)
    assert image.shape == (3, 96, 96)
    assert set(mask.unique().tolist()) <= {0, 1, 255}
    inside = mask != 255
    agree = ((image[0] > 100) == (mask == 1))[inside]
    assert agree.float().mean() > 0.97  # bilinear and nearest differ along borders
    assert (mask != given["mask"]).float().mean() > 0.02
    for strength in (0.0, 1e-6):  # nothing moves
        image, mask = elastic(given["image"], given["mask"], strength, 255)
        assert torch.equal(mask, given["mask"].as_subclass(torch.Tensor))
    # A displacement of a known direction: every point of the grid 5 pixels to the right and down.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "uniform_", lambda self, low, high: self.fill_(high))
        _, mask = elastic(given["image"], given["mask"], 5.0, 255)
    assert torch.equal(mask[:-5, :-5], given["mask"].as_subclass(torch.Tensor)[5:, 5:])


def test_blur_and_brightness_leave_the_mask_and_work_for_any_channels() -> None:
    given = sample()
    torch.manual_seed(0)
    for seed in range(4):
        changed = apply(seed, given, blur=2.0, brightness=0.5)
        assert torch.equal(changed["mask"], given["mask"])
        assert changed["image"].dtype == torch.uint8
    flat = torch.full((5, 20, 20), 0.4)
    assert torch.allclose(blurred(flat, 2.0), flat, atol=1e-5)
    factors = torch.stack([rescaled(flat, 0.5)[0, 0, 0] / 0.4 for _ in range(200)])
    assert 0.5 <= factors.min() < 0.6
    assert 1.4 < factors.max() <= 1.5
    assert (rescaled(torch.full((1, 4, 4), 250, dtype=torch.uint8), 0.9) <= 255).all()
    point = torch.zeros(1, 31, 31)
    point[0, 15, 15] = 1
    torch.manual_seed(0)
    assert float(blurred(point, 2.0).sum()) == pytest.approx(1, abs=1e-4)


def test_nothing_is_drawn_unless_it_is_asked_for() -> None:
    """Runs of before have the same samples."""
    torch.manual_seed(0)
    apply(0, sample())
    state = torch.random.get_rng_state()
    torch.manual_seed(0)
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize(
    ("field", "value"), [("elastic", 33.0), ("blur", -1.0), ("brightness", 1.5), ("gamma", 2.5), ("rare", -0.1)]
)
def test_values_out_of_range_are_refused(field: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"augment.{field} is {value}; expected 0 to "):
        SemanticAugment(**{field: value})  # type: ignore[arg-type]


def test_a_tone_is_one_power_of_all_values() -> None:
    image = torch.tensor([[[0, 16, 64], [128, 200, 255]]], dtype=torch.uint8)
    exponents = []
    for seed in range(40):
        torch.manual_seed(seed)
        found = toned(image.float() / 255, 0.5)
        exponent = float(torch.log(found[0, 1, 0]) / torch.log(torch.tensor(128 / 255)))
        assert torch.allclose(found, (image.float() / 255) ** exponent, atol=1e-5)
        torch.manual_seed(seed)
        rounded = toned(image, 0.5)
        assert rounded.dtype == torch.uint8
        assert (rounded.float() - found * 255).abs().max() <= 0.5001
        assert (int(rounded[0, 0, 0]), int(rounded[0, 1, 2])) == (0, 255)
        exponents.append(exponent)
    assert 1 / 1.5 <= min(exponents) < 0.8
    assert 1.25 < max(exponents) <= 1.5


def test_a_rare_class_is_seen_as_often_as_the_others() -> None:
    """One pixel of class 2 in a corner of 60x80, which a window of 20x20 holds by chance about once in 2,500 times."""
    mask = torch.zeros(60, 80, dtype=torch.uint8)
    mask[:, 40:], mask[0, 79], mask[30] = 1, 2, 255
    seen = 0
    for seed in range(90):
        torch.manual_seed(seed)
        top, left = place_rare(mask, (20, 20), 255)
        assert 0 <= top <= 40
        assert 0 <= left <= 60
        seen += (top, left) == (0, 60) or bool((mask[top : top + 20, left : left + 20] == 2).any())
    assert 20 <= seen <= 42  # a third, and those of class 1 that lie there
    assert place_rare(torch.full((30, 30), 255), (30, 30), 255) == (0, 0)
    assert place_rare(mask, (60, 80), 255) == (0, 0)


def test_rare_crops_hold_their_class_as_often_as_is_asked_and_without_them_nothing_changes() -> None:
    """One pixel of a class, of two and of one: the window lies over it in half, or in all of the rare crops."""
    for common, least, most in ((0, 12, 30), (255, 40, 40)):
        mask = torch.full((64, 96), common, dtype=torch.uint8)
        mask[5, 90] = 1
        sample = {"image": torch.zeros(3, 64, 96, dtype=torch.uint8), "mask": mask, "name": ""}
        counts = {}
        for rare in (0.0, 0.5, 1.0):
            augment = SemanticAugment(scale=(1.0, 1.0), crop=(32, 32), flip=False, color=0.0, rare=rare)
            apply_it = augment.build({"classes": ClassTable(("a", "b"))}, None)  # type: ignore[arg-type]
            counts[rare] = 0
            for seed in range(40):
                torch.manual_seed(seed)
                counts[rare] += bool((apply_it(sample)["mask"] == 1).any())  # type: ignore[arg-type]
        assert counts[0.0] <= 6
        assert least <= counts[1.0] <= most  # and those that meet it by chance
    assert 10 < counts[0.5] < 30


def test_turns_and_mirrors_are_as_likely_as_they_are_said_to_be() -> None:
    image, mask = torch.arange(12.0).view(1, 3, 4), torch.arange(12).view(3, 4)
    torch.manual_seed(0)
    turned = [quarter_turn(image, mask)[1] for _ in range(200)]
    counts = [sum(torch.equal(one, mask.rot90(k)) for one in turned) for k in range(4)]
    assert sum(counts) == 200 and min(counts) > 30
    mirrored = [upside_down(image, mask)[1] for _ in range(200)]
    assert 70 < sum(torch.equal(one, mask.flip(0)) for one in mirrored) < 130
    assert all(torch.equal(one, mask.flip(0)) or torch.equal(one, mask) for one in mirrored)


def test_an_elastic_deformation_moves_either_way_and_ignores_what_comes_from_outside() -> None:
    """A ramp of columns says how far a pixel has moved; on an image that is no square."""
    image = torch.arange(120.0).expand(1, 64, 120) / 120
    mask = torch.ones(64, 120, dtype=torch.uint8)
    means = []
    for seed in range(40):
        torch.manual_seed(seed)
        moved, labels = elastic(image, mask, 6.0, 9)
        assert set(labels.unique().tolist()) <= {1, 9}
        shift = (moved - image)[0, 20:44, 30:90] * 120
        assert float(shift.abs().max()) < 9  # bicubic between points overshoots
        means.append(float(shift.mean()))
    assert min(means) < -0.5 and max(means) > 0.5 and abs(sum(means) / 40) < 0.8
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "uniform_", lambda self, low, high: self.fill_(high))
        moved, labels = elastic(image, mask, 6.0, 9)
    torch.testing.assert_close(moved[0, :-6, :-6], image[0, 6:, 6:], rtol=0, atol=1e-4)
    assert (labels[:-6, :-6] == 1).all() and (labels[-5:] == 9).all() and (labels[:, -5:] == 9).all()


def test_the_deviation_of_a_blur_is_drawn_evenly_up_to_the_largest() -> None:
    """The variance of what a point becomes is sigma^2; a blur wider than the image is none."""
    point = torch.zeros(1, 41, 41)
    point[0, 20, 20] = 1
    square = (torch.arange(41.0) - 20).square()
    found = []
    for seed in range(80):
        torch.manual_seed(seed)
        found.append(float((blurred(point, 3.0)[0].sum(0) * square).sum().sqrt()))
    assert 2.7 < max(found) <= 3.0 and 25 < sum(one < 1.5 for one in found) < 55
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "uniform_", lambda self, low, high: self.fill_(high))
        for side, changed in ((12, False), (13, True)):  # 3 sigma of 4: 12 pixels to either side
            image = torch.rand(1, side, 40)
            assert (not torch.equal(blurred(image, 4.0), image)) is changed


def test_values_of_bytes_are_rounded_and_stay_in_range() -> None:
    for change, strength in ((rescaled, 0.5), (toned, 0.8)):
        whole = torch.arange(256, dtype=torch.uint8).view(1, 16, 16)
        for seed in range(12):
            torch.manual_seed(seed)
            exact = change(whole.float() / 255, strength)
            torch.manual_seed(seed)
            found = change(whole, strength)
            assert 0 <= exact.min() <= exact.max() <= 1
            assert float((found.float() - exact * 255).abs().max()) <= 0.5001


def test_a_window_over_a_rare_pixel_lies_anywhere_around_it_and_never_for_what_is_ignored() -> None:
    mask = torch.zeros(100, 100, dtype=torch.uint8)
    mask[50, 50], mask[:, :5] = 1, 255
    offsets, classes = set(), 0
    for seed in range(200):
        torch.manual_seed(seed)
        top, left = place_rare(mask, (20, 20), 255)
        if top <= 50 < top + 20 and left <= 50 < left + 20:
            offsets.add((50 - top, 50 - left))
            classes += 1
    assert 75 < classes < 130  # one of two classes, and a few by chance
    assert min(min(o) for o in offsets) < 3 and max(max(o) for o in offsets) > 16
