"""Laws of the drawings, cases by hand, and parity with scipy, scikit-image and a thin plate spline of scipy's."""

from __future__ import annotations

import json
import pickle
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from idx_files import put
from scipy import ndimage
from scipy.interpolate import RBFInterpolator
from skimage.transform import ProjectiveTransform, warp

from foveate.datasets.distorted_mnist import SIDES, DistortedDataset, DistortedMNIST, Kind, draw
from foveate.datasets.distorted_mnist.draw import Digits, Drawing, draw_images, draw_parameters, drawing
from foveate.datasets.distorted_mnist.warp import AREA, BILINEAR, CUBIC, NEAREST, SOFT, projective, sample, thin_plate
from foveate.errors import ConfigError, DataError

KINDS = get_args(Kind)
COUNT = 60


def strokes(count: int, seed: int = 0) -> np.ndarray:
    """(count, 28, 28): smooth random strokes in the middle 20x20, as MNIST's digits lie."""
    rng = np.random.default_rng(seed)
    images = np.zeros((count, 28, 28))
    for image in images:
        at = rng.uniform(6, 22, 2)
        for _ in range(3):
            to = rng.uniform(6, 22, 2)
            for part in np.linspace(0, 1, 24):
                row, column = np.rint(at + part * (to - at)).astype(int)
                image[row, column] = 1
            at = to
    smooth = ndimage.gaussian_filter(images, (0, 0.8, 0.8))
    smooth[:, :4], smooth[:, -4:], smooth[:, :, :4], smooth[:, :, -4:] = 0, 0, 0, 0
    return np.rint(255 * smooth / smooth.max((1, 2), keepdims=True)).astype(np.uint8)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("digits")
    put(folder, "train", strokes(COUNT), np.arange(COUNT) % 10)
    put(folder, "val", strokes(20, 1), np.arange(20) % 10)
    put(folder, "t10k", strokes(20, 2), np.arange(20) % 10)
    return folder


def opened(root: Path, kind: Any, split: str = "train", **options: Any) -> DistortedDataset:
    return DistortedMNIST(str(root), kind, **options).open(split)


def one(kind: str, image: np.ndarray, **rows: Any) -> np.ndarray:
    """A picture (28, 28) under given parameters -> (side, side)."""
    digits = Digits(image[None], np.zeros(1, np.int64), np.zeros(1, np.int64))
    plain = {"mode": np.array([BILINEAR]), "softness": np.zeros(1, np.float32), "laying": np.zeros(1, np.int64)}
    plain["put"] = np.zeros(1, bool)
    drawn, _ = draw_images(drawing(kind), digits, np.zeros(1, np.int64), plain | rows)
    return drawn[0, 0].numpy()


def parameters(kind: str, count: int, mixed: bool = False, hand: float = 0.0, **reading: str) -> dict[str, np.ndarray]:
    """`count` rows of a kind, from one fixed seed."""
    return draw_parameters(drawing(kind, **reading), (0,), count, mixed, hand)


def turned(angle: float) -> dict[str, np.ndarray]:
    """The rows of kind r for an angle in degrees."""
    return draw._r_parameters(np.array([[(angle + 90) / 180]]), np.zeros((1, 0)))


# ---- a function of (seed, split, epoch, index) alone


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("interpolation", "hand"), [("mixed", 0.7), ("bilinear", 0.0)])
def test_a_picture_depends_on_its_key_and_not_on_the_batch(
    root: Path, kind: str, interpolation: str, hand: float
) -> None:
    dataset = opened(root, kind, interpolation=interpolation, hand=hand)
    keys = [(epoch, index) for epoch in (3, 0, 1) for index in range(COUNT)]
    together = dict(zip(keys, dataset.draw(keys), strict=True))
    torch.manual_seed(5)
    np.random.seed(5)
    fresh = opened(root, kind, interpolation=interpolation, hand=hand)
    shuffled = [keys[i] for i in np.random.default_rng(1).permutation(len(keys))]
    for start, length in ((0, 1), (1, 1), (2, 7), (9, 40)):
        some = shuffled[start : start + length]
        for key, found in zip(some, fresh.draw(some), strict=True):
            expected = together[key]
            assert torch.equal(found["image"], expected["image"]), key
            assert (found["label"], found["name"]) == (expected["label"], expected["name"])
    assert torch.equal(dataset[4]["image"], together[0, 4]["image"])
    assert torch.equal(dataset[-1]["image"], together[0, COUNT - 1]["image"])


@pytest.mark.parametrize("kind", KINDS)
def test_train_is_drawn_anew_and_the_others_are_fixed(root: Path, kind: str) -> None:
    train, val = opened(root, kind), opened(root, kind, "val")
    first, second = (train.draw([(epoch, i) for i in range(20)]) for epoch in (0, 1))
    assert sum(torch.equal(a["image"], b["image"]) for a, b in zip(first, second, strict=True)) <= 1
    fixed, again = (val.draw([(epoch, i) for i in range(20)]) for epoch in (0, 9))
    assert all(torch.equal(a["image"], b["image"]) for a, b in zip(fixed, again, strict=True))
    other = opened(root, kind, "val", seed=1)
    assert sum(torch.equal(other[i]["image"], fixed[i]["image"]) for i in range(20)) <= 1
    assert not np.allclose(val._parameters(0)["softness"][:20], opened(root, kind, "test")._parameters(0)["softness"])


def test_val_and_test_are_bilinear_and_train_is_mixed(root: Path) -> None:
    assert (opened(root, "r", "val")._parameters(0)["mode"] == BILINEAR).all()
    assert (opened(root, "r", interpolation="bilinear")._parameters(0)["mode"] == BILINEAR).all()
    mixed, plain = (parameters("e", 20_000, mixed) for mixed in (True, False))
    shares = np.bincount(mixed["mode"], minlength=5) / 20_000
    np.testing.assert_allclose(shares, (0.4, 0.2, 0.15, 0.1, 0.15), atol=0.01)
    np.testing.assert_allclose(np.bincount(mixed["laying"]) / 20_000, (0.5, 0.25, 0.25), atol=0.01)
    np.testing.assert_array_equal(mixed["shifts"], plain["shifts"])  # the geometry is the same


@pytest.mark.parametrize("kind", KINDS)
def test_another_hand_writes_for_training_alone(root: Path, kind: str) -> None:
    own, other = opened(root, kind, interpolation="bilinear"), opened(root, kind, interpolation="bilinear", hand=0.7)
    changed = [not torch.equal(own[i]["image"], other[i]["image"]) for i in range(20)]
    assert sum(changed) >= 18
    assert [own[i]["label"] for i in range(20)] == [other[i]["label"] for i in range(20)]
    for split in ("val", "test"):
        pairs = zip(
            *(opened(root, kind, split, hand=h).draw([(0, i) for i in range(20)]) for h in (0.0, 0.7)), strict=True
        )
        assert all(torch.equal(a["image"], b["image"]) for a, b in pairs)


def test_how_far_another_hand_moves_things() -> None:
    rows = parameters("addition", 5_000, hand=0.7)
    assert rows["hand"].shape == (5_000, 2, 16, 2)
    assert rows["hand"].std() == pytest.approx(0.7, abs=0.005)
    # All control points read two pixels further to the right: the digit moves two to the left.
    image = np.zeros((28, 28), np.uint8)
    image[10:18, 9:15] = 200
    moved = np.tile(np.float32((2, 0)), (1, 1, 16, 1))
    drawn, still = (one("r", image, **turned(0), **more) for more in ({"hand": moved}, {"hand": 0 * moved}))
    np.testing.assert_allclose(drawn.astype(int), np.roll(still, -2, 1).astype(int), atol=1)
    np.testing.assert_allclose(still[12:16, 11:13], 200, atol=1)


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_names_and_classes(root: Path, kind: str) -> None:
    dataset = opened(root, kind)
    sample = dataset[7]
    channels = 2 if kind == "addition" else 1
    assert sample["image"].shape == (channels, SIDES[kind], SIDES[kind])
    assert sample["image"].dtype == torch.uint8
    assert sample["image"].max() > 100
    assert dataset.channels == channels
    assert (len(dataset), sample["name"], dataset.name(-COUNT + 7)) == (COUNT, "train/00007", "train/00007")
    assert dataset.classes.names == tuple(str(i) for i in range(19 if kind == "addition" else 10))
    assert kind == "addition" or sample["label"] == 7
    copy: DistortedDataset = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(copy[7]["image"], sample["image"])


# ---- by hand


def test_a_quarter_turn_lays_a_bar_down() -> None:
    bar = np.zeros((28, 28), np.uint8)
    bar[5:11, 13:15] = 200  # an upright bar above the middle
    np.testing.assert_array_equal(one("r", bar, **turned(0)), bar)
    np.testing.assert_array_equal(one("r", bar, **turned(90)), np.rot90(bar, -1))  # clockwise: to the right
    assert one("r", bar, **turned(90))[13, 17:23].tolist() == [200] * 6
    np.testing.assert_array_equal(one("r", bar, **turned(-90)), np.rot90(bar))


def test_nothing_moved_is_nothing_changed() -> None:
    image = strokes(1)[0]
    for reading, amounts in (("diagonal", 4), ("axes", 8)):
        upright = draw._p_parameters(np.ones((1, 1)), np.zeros((1, amounts)), reading)
        for way in (False, True):
            np.testing.assert_array_equal(one("p", image, put=np.array([way]), **upright), image)
    np.testing.assert_array_equal(one("e", image, scale=np.ones(1), shifts=np.zeros((1, 16, 2))), image)
    row = {"cos": np.ones(1), "sin": np.zeros(1), "scale": np.ones(1), "place": np.zeros((1, 2))}
    drawn = one("rts", image, **row)  # as far up and left as its ink goes
    rows, columns = np.flatnonzero(image.any(1)), np.flatnonzero(image.any(0))
    ink = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    np.testing.assert_array_equal(drawn[: ink.shape[0], : ink.shape[1]], ink)
    assert drawn.sum() == image.sum()
    drawn = one("rts", image, **(row | {"place": np.ones((1, 2))}))
    np.testing.assert_array_equal(drawn[-ink.shape[0] :, -ink.shape[1] :], ink)


def test_ink_without_room_or_without_pixels_is_put_in_the_middle() -> None:
    full = np.full((28, 28), 9, np.uint8)
    row = {
        "cos": np.full(1, 0.5**0.5),
        "sin": np.full(1, 0.5**0.5),
        "scale": np.full(1, 1.2),
        "place": np.zeros((1, 2)),
    }
    drawn = one("rts", full, **row)
    np.testing.assert_array_equal(drawn, drawn[::-1, ::-1])
    assert not one("rts", np.zeros((28, 28), np.uint8), **row).any()


def test_ink_stays_inside_and_goes_everywhere(root: Path) -> None:
    dataset = opened(root, "rts_hard", interpolation="bilinear")
    digits = dataset.digits.images[..., 0]
    centres, ink = [], []
    for epoch in range(15):
        rows = dataset._parameters(epoch)
        args = (rows["cos"], rows["sin"], rows["scale"])
        middle = draw._fitting(digits, *args, 42, rows["place"])
        small = sample(digits, projective(draw._turned_back(*args, middle)), 42, rows["mode"], rows["softness"])
        large = sample(digits, projective(draw._turned_back(*args, middle + 20)), 82, rows["mode"], rows["softness"])
        large[:, 20:62, 20:62] = 0
        assert not large.any()  # a larger canvas shows nothing more
        ink.append(small.numpy() > 0)
        centres.append(middle)
    touched = np.concatenate(ink).any(0)
    assert touched.any(0).all() and touched.any(1).all()
    assert touched.mean() > 0.9
    spread = np.concatenate(centres)
    assert spread.min() < 9 and spread.max() > 32


def test_the_sum_of_two_digits_each_under_its_own_transform(root: Path) -> None:
    dataset = opened(root, "addition")
    rows = dataset._parameters(2)
    drawn = dataset.draw([(2, i) for i in range(COUNT)])
    second = (rows["other"] * COUNT).astype(int)
    assert [s["label"] for s in drawn] == [(i % 10) + (j % 10) for i, j in enumerate(second)]
    assert len(set(second)) > COUNT / 2
    plain = opened(root, "addition", interpolation="bilinear")
    for i in (0, 9, 33):
        image = plain.draw([(2, i)])[0]["image"]
        for channel, digit in enumerate((i, second[i])):
            row = {name: rows[name][i : i + 1, channel] for name in ("cos", "sin", "scale", "place")}
            np.testing.assert_array_equal(image[channel], one("rts", dataset.digits.images[digit, ..., 0], **row))
        assert (rows["scale"][i, 0] != rows["scale"][i, 1]) and (rows["place"][i, 0] != rows["place"][i, 1]).all()


def test_clutter_is_the_digit_and_patches_of_others(tmp_path: Path) -> None:
    shades = np.arange(1, 41, dtype=np.uint8)
    images = np.tile((shades * 6)[:, None, None], (1, 28, 28))  # each digit one shade: a patch tells whose it is
    put(tmp_path, "train", images, shades % 10)
    put(tmp_path, "val", images[:2], shades[:2] % 10)
    dataset = opened(tmp_path, "clutter", interpolation="bilinear")
    owners, places = set(), set()
    for index in range(40):
        image = dataset[index]["image"][0].numpy()
        top, left = (int(v) for v in dataset._parameters(0)["corner"][index][::-1])
        assert (image[top : top + 28, left : left + 28] >= shades[index] * 6).all()
        outside = image.copy()
        outside[top : top + 28, left : left + 28] = 0
        own = np.unique(outside[outside > 0]) // 6 - 1
        assert index not in own  # never its own ink
        assert np.count_nonzero(outside) <= 6 * 36
        owners |= set(own.tolist())
        places.add((top, left))
        for row, column in dataset._parameters(0)["laid"][index][:, ::-1]:
            assert image[row : row + 6, column : column + 6].all()
    assert len(owners) > 30 and len(places) > 35
    assert {min(p) for p in places} <= set(range(33)) and max(max(p) for p in places) <= 32


def test_two_digits_lend_each_other_their_patches(tmp_path: Path) -> None:
    images = np.tile(np.array([50, 200], np.uint8)[:, None, None], (1, 28, 28))
    put(tmp_path, "train", images, np.array([0, 1]))
    put(tmp_path, "val", images[:1], np.array([0]))
    dataset = opened(tmp_path, "clutter", interpolation="bilinear")
    assert np.unique(dataset[0]["image"]).tolist() == [0, 50, 200]
    with pytest.raises(DataError, match="val holds one digit; clutter needs others to cut patches from"):
        opened(tmp_path, "clutter", "val")


def test_some_clutter_is_blurred(root: Path) -> None:
    dataset = opened(root, "clutter")
    digits = Digits(dataset.digits.images[..., 0], dataset.digits.labels, dataset.digits.members)
    index = np.arange(8)
    rows = {name: values[index] for name, values in dataset._parameters(0).items()}
    sharp, soft = (
        draw_images(Drawing("clutter"), digits, index, {**rows, "mode": np.full(8, mode)})[0][:, 0].numpy()
        for mode in (BILINEAR, SOFT)
    )
    for before, after, a in zip(sharp.astype(float), soft, rows["softness"], strict=True):
        weights = np.array([a, 1 - 2 * a, a])
        expected = ndimage.correlate1d(
            ndimage.correlate1d(before, weights, 0, mode="constant"), weights, 1, mode="constant"
        )
        assert np.abs(after - expected).max() <= 0.5 + 1e-3  # rounded, not cut


def test_epochs_that_are_over_are_forgotten(root: Path) -> None:
    dataset = opened(root, "rts")
    for epoch in range(6):
        dataset.draw([(epoch, 0)])
    assert sorted(dataset._drawn) == [4, 5]


def test_another_hand_writes_sharply() -> None:
    """By cubic weights, or every digit would be blurred before it is distorted."""
    (image,) = strokes(1)
    still = {"backward": np.eye(3)[None], "hand": np.zeros((1, 1, 16, 2), np.float32)}
    expected = sample(image[None], projective(np.eye(3)[None]), 28, np.array([CUBIC]), np.zeros(1))
    np.testing.assert_array_equal(one("r", image, **still), expected[0].numpy())


def test_ways_of_laying_a_patch() -> None:
    below, patch = np.array([[[10, 200]]] * 3, np.uint8), np.array([[[100, 100]]] * 3, np.uint8)
    laid = draw._laid(below, patch, np.array([draw.MAXIMUM, draw.REPLACE, draw.ADD])[:, None, None])
    assert laid[:, 0].tolist() == [[100, 200], [100, 100], [110, 255]]


# ---- parity with others' warps; 1 grey level of 255 is rounding


@pytest.mark.parametrize("angle", [-77.3, -30.0, 12.5, 45.0, 88.8])
def test_rotation_as_scipy_does_it(angle: float) -> None:
    image = strokes(1, seed=3)[0]
    expected = ndimage.rotate(image.astype(float), -angle, reshape=False, order=1, mode="constant")
    assert np.abs(one("r", image, **turned(angle)) - expected).max() <= 1


def test_rts_as_scipy_does_it() -> None:
    rng = np.random.default_rng(0)
    for image in strokes(10, seed=4):
        u = rng.random((1, 4))
        for reading in ("frame", "ink"):
            row = draw._rts_parameters(u, u, reading)
            cos, sin, scale = (float(row[k][0]) for k in ("cos", "sin", "scale"))
            if reading == "ink":
                x, y = draw._fitting(image[None], row["cos"], row["sin"], row["scale"], 42, row["place"])[0]
            else:  # the square's upper left edge is at -0.5 + its share of what the canvas has to spare
                x, y = -0.5 + u[0, 2:4] * (42 - 28 * scale) + 14 * scale
            # scipy's matrix takes (row, column) of the canvas to (row, column) of the digit.
            back = np.array(((cos, -sin), (sin, cos))) / scale
            expected = ndimage.affine_transform(
                image.astype(float), back, 13.5 - back @ (y, x), output_shape=(42, 42), order=1, mode="constant"
            )
            assert np.abs(one("rts", image, **row) - expected).max() <= 1


def test_projection_as_scikit_image_does_it() -> None:
    rng = np.random.default_rng(1)
    outwards = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)], float)
    for image, reading in zip(strokes(12, seed=5), ("diagonal", "axes") * 6, strict=True):
        u, n = rng.random((1, 1)), 0.6 * rng.standard_normal((1, 4 if reading == "diagonal" else 8))
        scale = 0.75 + 0.25 * u[0, 0]
        # A normal of 5 px along the diagonal is 5 / sqrt(2) px along each axis, outwards where it is positive.
        moves = n.reshape(4, 1) * outwards * 12.5**0.5 if reading == "diagonal" else 5 * n.reshape(4, 2)
        square = 14 * outwards
        ours = draw._p_parameters(u, n, reading)
        read = ProjectiveTransform.from_estimate(square + 13.5, (square + moves) / scale + 13.5)
        put = ProjectiveTransform.from_estimate(square + 13.5, scale * square + moves + 13.5)
        for is_put, back in ((False, read), (True, put.inverse)):
            expected = warp(image.astype(float), back, order=1, preserve_range=True)
            assert np.abs(one("p", image, put=np.array([is_put]), **ours) - expected).max() <= 1


def test_elastic_warp_as_scipys_spline_does_it() -> None:
    rng = np.random.default_rng(2)
    steps = np.linspace(0, 27, 4)
    control = np.array([(x, y) for y in steps for x in steps])
    points = np.array([(x, y) for y in range(28) for x in range(28)], float)
    for image in strokes(8, seed=6):
        shifts, scale = 1.5 * rng.standard_normal((16, 2)), rng.uniform(0.75, 1)
        read = RBFInterpolator(control, control + shifts, kernel="thin_plate_spline")(points)
        read = (read - 13.5) / scale + 13.5
        expected = ndimage.map_coordinates(image.astype(float), read[:, ::-1].T, order=1).reshape(28, 28)
        drawn = one("e", image, shifts=shifts[None], scale=np.array([scale]))
        assert np.abs(drawn - expected).max() <= 1


def test_the_spline_passes_through_its_control_points() -> None:
    shifts = np.random.default_rng(3).standard_normal((1, 16, 2))
    located = thin_plate(shifts, np.ones(1), 28)(np.zeros(1, int), np.arange(28, dtype=np.float32))
    np.testing.assert_allclose(located[0, ::9, ::9].reshape(16, 2), shifts[0] + control_points(), atol=1e-4)


def control_points() -> np.ndarray:
    return np.array([(x, y) for y in (0, 9, 18, 27) for x in (0, 9, 18, 27)], float)


def test_ways_of_reading_pixels() -> None:
    images = strokes(40, seed=7)
    rng = np.random.default_rng(0)
    matrices = draw._r_parameters(rng.random((40, 1)), np.zeros((40, 0)))["backward"]

    def read(mode: int, softness: float = 0.2) -> np.ndarray:
        full = np.full(40, softness, np.float32)
        return sample(images, projective(matrices), 28, np.full(40, mode), full).numpy().astype(float)

    plain = read(BILINEAR)
    steps = np.arange(28, dtype=np.float32)
    at = projective(matrices)(np.arange(40), steps)[..., ::-1]
    nearest = [
        ndimage.map_coordinates(im.astype(float), np.moveaxis(p, -1, 0), order=0)
        for im, p in zip(images, at, strict=True)
    ]
    assert (np.abs(read(NEAREST) - np.stack(nearest)) > 0).mean() < 1e-3
    np.testing.assert_array_equal(read(SOFT, 0.0), plain)
    soft = ndimage.convolve1d(
        ndimage.convolve1d(plain, (0.2, 0.6, 0.2), 1, mode="constant"), (0.2, 0.6, 0.2), 2, mode="constant"
    )
    assert np.abs(read(SOFT) - soft).max() <= 1.5  # plain was rounded first
    quarter = np.array((-0.25, 0.25), np.float32)
    shifted = [projective(matrices @ np.array(((1, 0, dx), (0, 1, dy), (0, 0, 1)))) for dx in quarter for dy in quarter]
    area = np.mean([sample(images, s, 28, np.zeros(40, int), np.zeros(40)).numpy() for s in shifted], 0)
    assert np.abs(read(AREA) - area).max() <= 1
    # Contrast between neighbours: cubic keeps more of it than bilinear, and averaging and blurring less.
    edges = {mode: np.abs(np.diff(read(mode), axis=2)).mean() for mode in (BILINEAR, CUBIC, AREA, SOFT)}
    assert edges[CUBIC] > edges[BILINEAR] > edges[AREA] > edges[SOFT]
    assert all(abs(read(mode).mean() / plain.mean() - 1) < 0.03 for mode in (CUBIC, AREA, SOFT, NEAREST))


# ---- the distribution


def test_parameters_have_the_published_ranges() -> None:
    count = 20_000
    back = parameters("r", count)["backward"]
    angle = np.degrees(np.arctan2(back[:, 0, 1], back[:, 0, 0]))
    assert -90 <= angle.min() < -89 and 89 < angle.max() <= 90 and abs(angle.mean()) < 1.5
    np.testing.assert_allclose(angle.std(), 180 / 12**0.5, rtol=0.02)
    rts = parameters("rts", count)
    angle = np.degrees(np.arctan2(rts["sin"], rts["cos"]))
    assert -45 <= angle.min() < -44 and 44 < angle.max() <= 45
    assert 0.7 <= rts["scale"].min() < 0.71 and 1.19 < rts["scale"].max() <= 1.2
    elastic = parameters("e", count)
    np.testing.assert_allclose(elastic["shifts"].std(), 1.5, rtol=0.01)
    assert 0.75 <= elastic["scale"].min() < 0.76 and 0.99 < elastic["scale"].max() <= 1
    clutter = parameters("clutter", count)
    for name, top in (("corner", 32), ("cut", 22), ("laid", 54)):
        assert (clutter[name].min(), clutter[name].max()) == (0, top)


CORNERS = np.array([(-0.5, -0.5), (27.5, -0.5), (27.5, 27.5), (-0.5, 27.5)])


def moved_corners(rows: dict[str, np.ndarray], way: str) -> np.ndarray:
    """(N, 4, 2): where the corners of the new image are read ('read'), or those of the digit are put ('put')."""
    matrices = rows["backward"] if way == "read" else np.linalg.inv(rows["backward_put"])
    moved = np.einsum("nij,kj->nki", matrices, np.c_[CORNERS, np.ones(4)])
    assert (moved[..., 2] * moved[:, :1, 2] > 0).all()  # no corner lies beyond the horizon
    return np.asarray(moved[..., :2] / moved[..., 2:])


@pytest.mark.parametrize("kind", ["p", "p_hard"])
@pytest.mark.parametrize("way", ["read", "put"])
def test_corners_move_by_five_pixels_and_a_fold_is_undone(way: str, kind: str) -> None:
    moved = moved_corners(parameters(kind, 20_000), way)
    edges = np.roll(moved, -1, 1) - moved
    before = np.roll(edges, 1, 1)
    assert (before[..., 0] * edges[..., 1] > before[..., 1] * edges[..., 0]).all()
    # 14 px times what is drawn by the scale s: s where corners are put, 1 / s where they are read; uniform in 0.75..1.
    scales = np.linspace(0.75, 1, 10_001)
    factor = scales if way == "put" else 1 / scales
    np.testing.assert_allclose(moved.mean(0), 13.5 + (CORNERS - 13.5) * factor.mean(), atol=0.15)
    variance = 25 if kind == "p_hard" else 12.5  # of each axis, in pixels squared: 5 px an axis, or along the diagonal
    moves = variance if way == "put" else variance * np.square(factor).mean()
    np.testing.assert_allclose(moved.std(0), (moves + (14 * factor.std()) ** 2) ** 0.5, rtol=0.02)


@pytest.mark.parametrize("way", ["read", "put"])
def test_a_corner_of_p_moves_by_one_signed_amount_along_its_diagonal(way: str) -> None:
    from_middle = moved_corners(parameters("p", 20_000), way) - 13.5
    outwards = np.sign(CORNERS - 13.5)
    along = (from_middle * outwards).sum(-1) / 2**0.5
    across = from_middle[..., 0] * outwards[:, 0] - from_middle[..., 1] * outwards[:, 1]
    assert np.abs(across).max() < 1e-9  # it stays on its diagonal
    own = along - along.mean(1, keepdims=True)  # without the scale, which is common to all four
    assert np.abs(np.corrcoef(own.T)[np.triu_indices(4, 1)] + 1 / 3).max() < 0.03  # the amounts are independent
    # By hand, at scale 1: 5 px outwards, 10 inwards, none, 2.5 outwards.
    row = draw._p_parameters(np.ones((1, 1)), np.array([[1, -2, 0, 0.5]]), "diagonal")
    a = 12.5**0.5
    expected = CORNERS + np.array([(-a, -a), (-2 * a, 2 * a), (0, 0), (-a / 2, a / 2)])
    np.testing.assert_allclose(moved_corners(row, way)[0], expected, atol=1e-9)


def test_the_axes_of_a_corner_of_p_hard_move_apart() -> None:
    moved = moved_corners(parameters("p_hard", 20_000), "put") - 13.5
    outwards = np.sign(CORNERS - 13.5)
    apart = moved[..., 0] * outwards[:, 0] - moved[..., 1] * outwards[:, 1]
    np.testing.assert_allclose(apart.std(0), 50**0.5, rtol=0.03)


def test_the_frame_of_rts_is_wholly_on_the_canvas() -> None:
    rows = parameters("rts", 20_000)
    half = 14 * rows["scale"][:, None]
    low, high = rows["middle"] - half, rows["middle"] + half  # the square's edges; a canvas spans -0.5..41.5
    assert -0.5 <= low.min() < -0.49 and 41.49 < high.max() <= 41.5
    # Anywhere between the ends: uniform, whatever the scale, and in x apart from y.
    share = (low + 0.5) / (42 - 2 * half)
    np.testing.assert_allclose(share.mean(0), 0.5, atol=0.01)
    np.testing.assert_allclose(share.std(0), 12**-0.5, rtol=0.01)
    assert np.abs(np.corrcoef(share[:, 0], share[:, 1])[0, 1]) < 0.02
    assert np.abs(np.corrcoef(share[:, 0], rows["scale"])[0, 1]) < 0.02
    # (42 - 28 s) / sqrt(12), s uniform in 0.7..1.2
    spare = 42 - 28 * np.linspace(0.7, 1.2, 10_001)
    np.testing.assert_allclose(rows["middle"].std(0), (np.square(spare).mean() / 12) ** 0.5, rtol=0.01)


def test_ink_of_rts_hard_is_spread_wider_than_that_of_rts(root: Path) -> None:
    def centres(kind: str) -> np.ndarray:
        dataset = opened(root, kind, interpolation="bilinear")
        images = np.concatenate([np.stack([s["image"][0].numpy() for s in dataset.draw([(e, i) for i in range(COUNT)])])
                                 for e in range(10)]).astype(float)  # fmt: skip
        steps = np.arange(42)
        sums = images.sum((1, 2))
        return np.stack([(images.sum(1) @ steps) / sums, (images.sum(2) @ steps) / sums], -1)

    frame, ink = centres("rts"), centres("rts_hard")
    assert (ink.std(0) > 1.3 * frame.std(0)).all()


def test_the_hard_readings_are_the_kinds_of_before() -> None:
    """Numbers that p, rts and addition were drawn with before they were read in two ways."""
    rts = draw_parameters(drawing("rts_hard"), (0, 0, 0), 5_000, True, 0.7)
    np.testing.assert_allclose(
        [rts[name][1] for name in ("cos", "sin", "scale")], (0.8794258391642692, 0.4760359160927051, 0.701369250085074)
    )
    np.testing.assert_allclose(rts["place"][1], (0.857404276588, 0.033585575305))
    np.testing.assert_allclose(rts["place"].sum(), 4982.22467928271)
    p = draw_parameters(drawing("p_hard"), (0, 0, 0), 5_000, True, 0.7)
    np.testing.assert_allclose(p["backward"][1, 0], (0.692674492888, 0.289421712398, -1.891861228924))
    np.testing.assert_allclose(p["backward"].sum(), -1004.3895180253234)
    np.testing.assert_allclose(p["backward_put"][1, 0], (1.758791520164, -0.517949931217, 2.06563584203))
    assert (p["put"].sum(), p["mode"].sum(), p["laying"].sum()) == (2495, 7081, 3750)
    addition = draw_parameters(drawing("addition"), (0, 0, 0), 5_000, True, 0.7)
    np.testing.assert_allclose(addition["place"][1, 1], (0.1242832765, 0.670624414694))
    np.testing.assert_allclose(addition["place"].sum(), 9992.691890437454)
    np.testing.assert_allclose(addition["hand"].sum(), 29.800265554098132, rtol=1e-4)


def test_readings_are_chosen_by_name_or_by_field(root: Path) -> None:
    for kind, fields, same in (
        ("rts", {"place": "ink"}, "rts_hard"),
        ("p", {"corner": "axes"}, "p_hard"),
        ("rts", {"place": "frame"}, "rts"),
        ("p_hard", {"corner": "axes"}, "p_hard"),
        ("addition", {"place": "ink"}, "addition"),
    ):
        chosen, named = opened(root, kind, **fields), opened(root, same)
        assert all(torch.equal(chosen[i]["image"], named[i]["image"]) for i in range(8))
    framed, usual = opened(root, "addition", place="frame"), opened(root, "addition")
    assert framed.channels == 2 and framed[3]["label"] == usual[3]["label"]
    assert not any(torch.equal(framed[i]["image"], usual[i]["image"]) for i in range(8))
    assert DistortedMNIST(str(root), "rts", place="ink").describe().startswith("distorted MNIST, rts (ink): 60 train")
    assert DistortedMNIST(str(root), "rts_hard").describe().startswith("distorted MNIST, rts_hard: 60 train")


def test_half_of_trainings_projections_say_where_corners_are_put() -> None:
    assert abs(parameters("p", 20_000, True)["put"].mean() - 0.5) < 0.02
    assert not parameters("p", 20_000)["put"].any()


# ---- the source


def test_source(root: Path) -> None:
    source = DistortedMNIST(str(root), "rts", seed=3)
    assert source.tasks == ("classification",)
    assert source.splits() == ("train", "val", "test")
    assert source.describe() == "distorted MNIST, rts: 60 train, 20 val, 20 test pictures of 42x42, seed 3, mixed"
    assert DistortedMNIST(**json.loads(json.dumps(asdict(source)))) == source
    assert not DistortedMNIST.recognise(root)  # the files are those of plain MNIST: the distortion must be asked for


def test_labels_beyond_the_digits_add_up_too(tmp_path: Path) -> None:
    for part in ("train", "val"):
        put(tmp_path, part, strokes(6), np.array([0, 3, 5, 11, 14, 16]))
    dataset = opened(tmp_path, "addition")
    assert len(dataset.classes) == 33
    assert max(s["label"] for s in dataset.draw([(e, 5) for e in range(30)])) == 32


def test_errors(root: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError,
        match="kind 'q'; expected one of r, rts, p, e, clutter, addition, rts_hard",
    ):
        DistortedMNIST(str(root), "q")  # type: ignore[arg-type]
    for kind, fields, words in (
        ("p", {"corner": "edges"}, "distorted MNIST with corner 'edges'; expected diagonal or axes"),
        ("rts", {"place": "middle"}, "distorted MNIST with place 'middle'; expected frame or ink"),
        ("r", {"corner": "axes"}, "distorted MNIST of kind r has no corner; leave it out, or choose p$"),
        ("p", {"place": "ink"}, "distorted MNIST of kind p has no place; leave it out, or choose rts and addition$"),
        ("rts_hard", {"place": "frame"}, "kind rts_hard has the place 'ink', not 'frame'; choose rts$"),
    ):
        with pytest.raises(ConfigError, match=words):
            DistortedMNIST(str(root), kind, **fields)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="interpolation 'cubic'; expected mixed or bilinear"):
        DistortedMNIST(str(root), interpolation="cubic")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"seed -1 is outside 0\.\.4294967295"):
        DistortedMNIST(str(root), seed=-1)
    with pytest.raises(ConfigError, match="unknown split 'vall'; the nearest is 'val'"):
        opened(root, "r", "vall")
    with pytest.raises(IndexError, match="picture 60 of distorted MNIST's train, which has 60"):
        opened(root, "r").draw([(0, 1), (0, 60)])
    put(tmp_path, "train", np.ones((5, 8, 9), np.uint8), np.arange(5))
    with pytest.raises(DataError, match="pictures of 9x8 with 1 channel; distorted MNIST is made of grey 28x28 digits"):
        opened(tmp_path, "r")
