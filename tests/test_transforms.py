"""Image and mask are transformed together, and padding is never scored."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from scipy import ndimage
from torch import Tensor
from torchvision import tv_tensors

from foveate.errors import ConfigError
from foveate.records import ClassTable, Preprocessing
from foveate.transforms import ClassificationAugment, ObjectCrops, SemanticAugment

CLASSES = ClassTable(("black", "red", "green", "blue", "white"), ignore_index=9)
COLORS = torch.tensor([[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]], dtype=torch.uint8)


def painted(height: int = 60, width: int = 80, seed: int = 0) -> dict[str, Any]:
    """Blocks of 10 x 10 pixels, each in the colour of its class."""
    blocks = torch.randint(1, 5, (height // 10, width // 10), generator=torch.Generator().manual_seed(seed))
    mask = blocks.repeat_interleave(10, 0).repeat_interleave(10, 1).to(torch.uint8)
    return {"image": tv_tensors.Image(COLORS[mask.long()].permute(2, 0, 1)), "mask": tv_tensors.Mask(mask), "name": "a"}


def apply(augment: SemanticAugment, sample: dict[str, Any], seed: int) -> dict[str, Any]:
    torch.manual_seed(seed)
    return augment.build({"classes": CLASSES}, Preprocessing())(sample)  # type: ignore[arg-type, return-value]


def pure(image: Tensor, mask: Tensor) -> Tensor:
    """The pixels that are not a blend: a colour of the table alone (padding is black, as is class 0)."""
    distance = (image.as_subclass(Tensor).permute(1, 2, 0).int()[:, :, None] - COLORS.int()).abs().amax(-1)
    nearest = distance.min(-1)
    label = nearest.indices
    label[mask.as_subclass(Tensor) == 9] = 9
    return torch.where(nearest.values <= 8, label, -1)


@pytest.mark.parametrize(
    "augment",
    [
        SemanticAugment(crop=(), color=0),
        SemanticAugment(crop=(32, 48), scale=(1, 1), color=0),
        SemanticAugment(crop=(32, 32), scale=(0.5, 2.0), color=0),
        SemanticAugment(crop=(96, 96), scale=(0.5, 3.0), color=0),
        SemanticAugment(crop=(), rotate=30, color=0),
        SemanticAugment(crop=(64, 48), scale=(0.5, 2.0), rotate=180, color=0),
    ],
    ids=["flip", "crop", "scale", "pad", "rotate", "all"],
)
def test_the_mask_is_what_the_colours_say_after_every_transform(augment: SemanticAugment) -> None:
    compared = 0
    for seed in range(25):
        sample = apply(augment, painted(seed=seed), seed)
        image, mask = sample["image"], sample["mask"]
        assert image.shape[1:] == mask.shape
        labels = pure(image, mask)
        clear = labels >= 0
        # Where colours are not blended, label and colour agree; blends stand at block borders alone.
        assert (labels[clear] == mask.as_subclass(Tensor)[clear].long()).float().mean() > 0.999
        compared += int(clear.sum()) / clear.numel()
    assert compared / 25 > 0.6


def test_resizing_keeps_borders_where_they_are() -> None:
    """A mask read at other pixel centres than the image would be off by up to half a pixel."""
    halves = painted(64, 64)
    halves["mask"][:, :33], halves["mask"][:, 33:] = 1, 2
    halves["image"] = tv_tensors.Image(COLORS[halves["mask"].long()].permute(2, 0, 1))
    for factor in (0.5, 0.6, 0.75, 1.25, 1.6, 2.0, 2.6):
        sample = apply(SemanticAugment(scale=(factor, factor), crop=(192, 192), flip=False, color=0), halves, 0)
        red = sample["image"][0].float() / 255
        clear = (sample["mask"] != 9) & ((red - 0.5).abs() > 0.1)
        assert torch.equal((red > 0.5)[clear], (sample["mask"] == 1).as_subclass(Tensor)[clear]), factor


def test_only_padding_is_ignored() -> None:
    for seed in range(20):
        sample = apply(SemanticAugment(scale=(0.5, 0.5), crop=(64, 64), color=0), painted(), seed)
        inside = sample["mask"] != 9
        assert inside.sum() == 30 * 40  # the whole image at half its size
        assert (sample["image"][:, ~inside] == 0).all()
        rows, columns = inside.any(1).nonzero().flatten(), inside.any(0).nonzero().flatten()
        assert inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()


def test_padding_falls_on_any_side() -> None:
    tops = set()
    for seed in range(30):
        mask = apply(SemanticAugment(scale=(0.5, 0.5), crop=(64, 64), color=0), painted(), seed)["mask"]
        tops.add(int((mask != 9).any(1).nonzero()[0]))
    assert min(tops) < 8
    assert max(tops) > 26


def test_a_picture_larger_than_the_window_is_never_padded() -> None:
    for seed in range(60):
        sample = apply(SemanticAugment(scale=(0.7, 2.6), crop=(37, 41), color=0), painted(), seed)
        assert sample["mask"].shape == (37, 41)
        assert (sample["mask"] != 9).all()


def test_the_scale_is_drawn_log_uniformly_from_its_range() -> None:
    # On an image of one red column in eighty, the column's width tells the factor.
    sample = painted(320, 320)
    sample["mask"][:] = 1
    low = 0
    factors = []
    for seed in range(300):
        mask = apply(SemanticAugment(scale=(0.25, 1.0), crop=(320, 320), color=0), sample, seed)["mask"]
        height = int((mask != 9).any(1).sum())
        factors.append(height / 320)
        low += height / 320 < 0.5
    assert 0.245 < min(factors) < 0.27
    assert 0.93 < max(factors) <= 1
    assert 120 < low < 180  # half of the draws below the geometric mean


def test_flips_half_of_the_time() -> None:
    sample = painted()
    flipped = [
        torch.equal(apply(SemanticAugment(crop=(), color=0), sample, s)["mask"], sample["mask"].flip(-1))
        for s in range(200)
    ]
    assert 70 < sum(flipped) < 130
    assert not any(
        torch.equal(apply(SemanticAugment(crop=(), color=0, flip=False), sample, s)["mask"], sample["mask"].flip(-1))
        for s in range(20)
    )


def test_colour_changes_the_picture_and_never_the_mask() -> None:
    sample = painted()
    changed = apply(SemanticAugment(crop=(), color=0.5, flip=False), sample, 3)
    assert torch.equal(changed["mask"], sample["mask"])
    assert not torch.equal(changed["image"], sample["image"])
    assert changed["image"].dtype == torch.uint8


@pytest.mark.parametrize("channels", [1, 5])
def test_other_numbers_of_channels_and_16_bits_pass(channels: int) -> None:
    sample = painted()
    sample["image"] = tv_tensors.Image(torch.rand(channels, 60, 80))
    out = apply(SemanticAugment(crop=(96, 96), rotate=20), sample, 1)
    assert out["image"].shape == (channels, 96, 96)
    assert out["image"].dtype == torch.float32
    assert 0 <= out["image"].min() <= out["image"].max() <= 1


def test_labels_above_255_pass() -> None:
    sample = painted()
    sample["mask"] = tv_tensors.Mask(sample["mask"].int() + 4000)
    torch.manual_seed(0)
    table = ClassTable(tuple(map(str, range(5000))), ignore_index=65535)
    transform = SemanticAugment(crop=(96, 96), rotate=20).build({"classes": table}, Preprocessing())
    mask = transform(sample)["mask"]  # type: ignore[arg-type]
    assert set(mask.unique().tolist()) <= {4001, 4002, 4003, 4004, 65535}


def test_the_input_is_left_alone() -> None:
    sample = painted()
    before = {k: v.clone() for k, v in sample.items() if k != "name"}
    for seed in range(4):
        apply(SemanticAugment(crop=(32, 32), rotate=20), sample, seed)
    assert all(torch.equal(sample[k], v) for k, v in before.items())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"scale": (2.0, 0.5)}, r"augment.scale \(2.0, 0.5\) is not a range; expected 0 < low <= high"),
        ({"scale": (0.0, 1.0)}, "is not a range"),
        ({"crop": (64,)}, r"augment.crop \(64,\) is not a window; expected height,width of at least 32 each"),
        ({"crop": (64, 16)}, "is not a window"),
        ({"rotate": -3.0}, r"augment.rotate -3.0 .* expected 0..180"),
        ({"color": 2.0}, r"augment.color 2.0 .* expected .* 0..1"),
    ],
)
def test_values_that_make_no_sense_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SemanticAugment(**fields)


class TestObjectCrops:
    def scene(self) -> dict[str, Any]:
        """One red object of 12 x 20 in a black field of 60 x 80."""
        mask = torch.zeros(60, 80, dtype=torch.uint8)
        mask[30:42, 40:60] = 1
        return {
            "image": tv_tensors.Image(COLORS[mask.long()].permute(2, 0, 1)),
            "mask": tv_tensors.Mask(mask),
            "name": "a",
        }

    def windows(self, crops: ObjectCrops, mask: Tensor, count: int = 60) -> list[tuple[int, int, int, int]]:
        torch.manual_seed(0)
        return [crops._window(mask, ignore=9)[0] for _ in range(count)]

    def test_easy_puts_the_object_in_the_middle_with_a_fifth_more_around(self) -> None:
        mask = self.scene()["mask"].as_subclass(Tensor)
        found = set(self.windows(ObjectCrops("easy"), mask))
        # 1.2 x 12 = 14.4 -> MIN_CROP 16: two rows more on either side; 1.2 x 20 = 24: two columns. Or the field itself.
        assert found == {(28, 38, 16, 24), (0, 0, 60, 80)}

    def test_hard_shows_all_of_it_anywhere(self) -> None:
        mask = self.scene()["mask"].as_subclass(Tensor)
        found = [w for w in self.windows(ObjectCrops("hard", zoom=2.0), mask) if w != (0, 0, 60, 80)]
        assert len(set(found)) > 10
        for top, left, height, width in found:
            assert top <= 30 < 42 <= top + height <= 60
            assert left <= 40 < 60 <= left + width <= 80
            assert 16 <= height <= 24 and 24 <= width <= 40

    def test_every_class_comes_as_often(self) -> None:
        mask = torch.zeros(60, 80, dtype=torch.uint8)
        mask[0, 0] = 1
        mask[59, 79] = 2
        found = self.windows(ObjectCrops("easy"), mask, 300)
        assert all(80 < sum(w == one for w in found) < 120 for one in set(found))
        assert len(set(found)) == 3

    def test_two_objects_of_a_class_are_two(self) -> None:
        mask = torch.full((60, 80), 9, dtype=torch.uint8)  # the rest is ignored
        mask[5:25, 5:25] = mask[35:55, 45:75] = 1
        assert set(self.windows(ObjectCrops("easy"), mask)) == {(3, 3, 24, 24), (33, 42, 24, 36)}

    def test_picture_and_mask_stay_together(self) -> None:
        for seed in range(5):
            out = apply(ObjectCrops("hard", size=(96, 64), color=0.0), painted(seed=seed), seed)
            assert out["image"].shape == (3, 96, 64)
            label = pure(out["image"], out["mask"])
            sure = label >= 0
            assert (label[sure] == out["mask"].as_subclass(Tensor)[sure]).float().mean() > 0.97

    def test_without_any_label_the_picture_is_taken_whole(self) -> None:
        assert ObjectCrops()._window(torch.full((6, 7), 9, dtype=torch.uint8), ignore=9)[0] == (0, 0, 6, 7)

    def test_square_windows_have_the_longer_side(self) -> None:
        mask = self.scene()["mask"].as_subclass(Tensor)
        # 1.2 x 20 = 24 both ways, around rows 30..42 and columns 40..60.
        assert set(self.windows(ObjectCrops("easy", square=True), mask)) == {(24, 38, 24, 24), (0, 0, 60, 80)}

    def test_others_become_background_and_void_stays(self) -> None:
        """Of two objects of class 1, one of class 2 and a void one, a crop keeps the labels of one object alone."""
        mask = torch.zeros(60, 80, dtype=torch.uint8)
        mask[5:25, 5:25] = mask[5:25, 26:46] = 1
        mask[30:50, 5:25], mask[30:50, 26:46] = 2, 9
        sample = {"image": tv_tensors.Image(torch.zeros(3, 60, 80, dtype=torch.uint8)), "mask": tv_tensors.Mask(mask)}
        crops = ObjectCrops("hard", zoom=8.0, size=(60, 80), others="background", flip=False, color=0.0)
        kept = set()
        for seed in range(40):
            torch.manual_seed(seed)
            found = crops._apply(sample | {"name": "a"}, ignore=9)["mask"].as_subclass(Tensor)
            labels = {int(v) for v in found.unique()} - {0, 9}
            assert len(labels) <= 1
            if labels:
                assert ndimage.label((found != 0) & (found != 9))[1] == 1
            kept |= labels
        assert kept == {1, 2}

    def test_spare_pixels_are_cut_off_at_random(self) -> None:
        """A ramp over the whole field, resized to 40 x 52 and cut to 32 x 44: 8 pixels less of it, wherever."""
        ramp = (torch.arange(80.0) * 3).expand(3, 60, 80).to(torch.uint8)
        sample = {"image": tv_tensors.Image(ramp), "mask": tv_tensors.Mask(torch.zeros(60, 80, dtype=torch.uint8))}
        crops = ObjectCrops("easy", size=(32, 44), spare=8, flip=False, color=0.0)
        starts = set()
        for seed in range(30):
            torch.manual_seed(seed)
            out = crops._apply(sample | {"name": "a"}, ignore=9)
            assert out["image"].shape == (3, 32, 44) and out["mask"].shape == (32, 44)
            row = out["image"][0, 0].float()
            assert abs(float(row[-1] - row[0]) - 3 * 80 * 43 / 52) < 4
            starts.add(round(float(row[0]) * 52 / 240))
        assert len(starts) > 5 and max(starts) - min(starts) <= 8

    def test_sizes_that_do_not_fit(self) -> None:
        with pytest.raises(ConfigError, match=r"augment.others 'void' and spare 0; expected keep or background, and 0"):
            ObjectCrops(others="void")
        with pytest.raises(
            ConfigError, match=r"zoom 1.0, color 0.3 and size \(224, 224\) are out of range; expected at least 1.2"
        ):
            ObjectCrops(zoom=1.0)


def cut(augment: ClassificationAugment, image: Tensor, size: tuple[int, ...], seed: int = 0) -> Tensor:
    transform = augment.build({}, Preprocessing(size=size))
    torch.manual_seed(seed)
    sample = transform({"image": tv_tensors.Image(image), "label": 3, "name": "a"})
    assert (sample["label"], sample["name"]) == (3, "a")
    return sample["image"].as_subclass(Tensor)


def test_windows_of_a_class_have_the_networks_size_and_the_asked_for_share() -> None:
    """On ramps along x and y the spread of values tells how large a window was."""
    ramp = torch.stack(torch.meshgrid(torch.arange(200.0) / 200, torch.arange(200.0) / 200, indexing="ij"))
    augment = ClassificationAugment(scale=(0.2, 0.6), ratio=(0.5, 2.0), flip=False, color=0)
    areas, ratios = [], []
    for seed in range(200):
        window = cut(augment, ramp, (20, 20), seed)
        assert window.shape == (2, 20, 20)
        height, width = ((w.max() - w.min()) * 20 / 19 for w in window)  # centre to centre is 19 of 20 pixels
        areas.append(float(height * width))
        ratios.append(float(width / height))
    assert 0.18 < min(areas) < 0.25
    assert 0.5 < max(areas) < 0.62
    assert 0.48 < min(ratios) < 0.6
    assert 1.7 < max(ratios) < 2.1


def test_the_whole_picture_is_left_as_it_is() -> None:
    image = torch.randint(0, 256, (1, 28, 28), dtype=torch.uint8)
    whole = ClassificationAugment(scale=(1, 1), ratio=(1, 1), flip=False, color=0)
    assert torch.equal(cut(whole, image, ()), image)
    assert torch.equal(cut(whole, image, (28, 28)), image)
    flipped = [cut(ClassificationAugment((1, 1), (1, 1), color=0), image, (), seed) for seed in range(20)]
    assert {torch.equal(f, image) for f in flipped} == {True, False}
    assert all(torch.equal(f, image) or torch.equal(f, image.flip(-1)) for f in flipped)


def test_colours_move_only_where_there_are_colours() -> None:
    augment = ClassificationAugment((1, 1), (1, 1), flip=False, color=0.5)
    two, three = (torch.full((c, 8, 8), 100, dtype=torch.uint8) for c in (2, 3))
    assert torch.equal(cut(augment, two, ()), two)
    assert not torch.equal(cut(augment, three, ()), three)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"scale": (0.5, 0.2)}, "augment.scale 0.5,0.2 is not a range"),
        ({"ratio": (0.0, 1.0)}, "augment.ratio 0.0,1.0 is not a range"),
        ({"scale": (0.5, 1.5)}, "expected shares of at most 1"),
        ({"color": 2.0}, "color 2.0 are out of range"),
    ],
)
def test_ranges_of_classification_are_checked(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ClassificationAugment(**fields)
