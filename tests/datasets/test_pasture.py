from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier

from foveate.datasets.pasture import CLASSES, Pasture, shapes
from foveate.datasets.pasture.compose import compose
from foveate.datasets.pasture.dice import Dice, heading
from foveate.datasets.pasture.draw import FIRST_THING, _lay, classes_of, render
from foveate.datasets.pasture.land import Frame
from foveate.datasets.pasture.scene import BIRD, COW, FRISBEE, GRASS, PERSON, SKY, TREE, Scene
from foveate.datasets.pasture.texture import TILES, tiles
from foveate.errors import ConfigError
from foveate.records import DataSource, SemanticDataset
from foveate.registry import find

LABELS = "c2a83a50ff82679c"
PIXELS = "28e219e59f0d540e"


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [compose((0, 0, index), 1.0) for index in range(400)]


def digest(arrays: list[np.ndarray]) -> str:
    total = hashlib.sha256()
    for array in arrays:
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()[:16]


def alone(scene: Scene, category: int) -> list[Scene]:
    """The scene's land with one of its things at a time, on a bright noon without cast shadows."""
    return [dataclasses.replace(scene, things=(thing,)) for thing in scene.things if thing.category == category]


# ---- the same everywhere


def test_labels_and_pixels_are_pinned() -> None:
    """Scenes of three splits, three shapes: these numbers change only with a deliberate change of the world."""
    labels, pixels = [], []
    for height, width in ((128, 128), (96, 160), (333, 257)):
        source = Pasture(height=height, width=width, seed=7)
        for split in source.splits():
            for index in (0, 1, 19):
                sample = source.open(split)[index]
                labels.append(sample["mask"].numpy())
                pixels.append(sample["image"].numpy())
    assert digest(labels) == LABELS
    assert digest(pixels) == PIXELS


def test_threads_and_order_do_not_matter() -> None:
    dataset = Pasture().open("train")
    first = dataset[5]
    before = torch.get_num_threads()
    torch.set_num_threads(1 if before > 1 else 2)
    dataset[6]
    again = Pasture(train=6).open("train")[5]
    torch.set_num_threads(before)
    assert torch.equal(first["mask"], again["mask"])
    assert torch.equal(first["image"], again["image"])


def test_no_two_scenes_share_a_seed_or_a_picture() -> None:
    source = Pasture(height=32, width=32, train=25, val=25, test=25)
    opened = [source.open(split) for split in source.splits()]
    assert len({d.scene(i).seed for d in opened for i in range(25)}) == 75
    assert len({d[i]["image"].numpy().tobytes() for d in opened for i in range(25)}) == 75
    other = dataclasses.replace(source, seed=1).open("train")
    assert not torch.equal(opened[0][0]["image"], other[0]["image"])


def test_dice_equal_numpy_generator() -> None:
    dice = Dice(3, 1, 4)
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence((3, 1, 4))))
    assert [dice.unit() for _ in range(600)] == generator.random(600).tolist()


def test_headings_are_sines_to_a_4096th() -> None:
    for degrees in range(-720, 720, 7):
        c, s = heading(degrees)
        assert abs(c - math.cos(math.radians(degrees))) <= 0.5 / 4096 + 1e-12
        assert abs(s - math.sin(math.radians(degrees))) <= 0.5 / 4096 + 1e-12
        assert (c * 4096).is_integer() and (s * 4096).is_integer()


def test_tiles_are_evenly_spread_and_seamless() -> None:
    for name, tile in zip(TILES, tiles(256), strict=True):
        if name in ("stripe", "check"):
            continue
        counts, _ = np.histogram(tile, bins=16, range=(0, 1))
        assert np.abs(counts / 256**2 - 1 / 16).max() < 0.001, name
        if name != "film":  # neighbours across the border are as alike as neighbours inside
            inner = np.abs(np.diff(tile, axis=0)).mean()
            assert np.abs(tile[0] - tile[-1]).mean() < 2.0 * inner, name


# ---- the source


def test_registered_source_and_dataset() -> None:
    source = find("dataset", "pasture").load()(train=3, val=0)
    typed: DataSource = source
    assert typed.splits() == ("train", "test")
    assert source.describe() == "the pasture: drawn scenes of 128x128, 3 train, 200 test, seed 0"
    dataset = source.open("train")
    assert isinstance(dataset, SemanticDataset)
    assert dataset.classes.names == ("sky", "grass", "road", "water", "tree", "cow", "person", "bird", "frisbee")
    assert (len(dataset), dataset.channels, dataset.name(2)) == (3, 3, "pasture/train/000002")
    assert dataset[-1]["name"] == dataset[2]["name"]
    with pytest.raises(IndexError, match="scene 3 of pasture/train, which has 3"):
        dataset[3]
    assert len(list(dataset)) == 3


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"height": 31}, "pasture height 31 is too small to show a scene; use 32 or more"),
        ({"width": 0}, "pasture width 0 is too small to show a scene; use 32 or more"),
        ({"train": -1}, "pasture train=-1; expected the number of scenes, 0 or more"),
        ({"seed": -5}, "pasture seed -5 is outside 0..4294967295; choose one within"),
    ],
)
def test_bad_fields(fields: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        Pasture(**fields)
    assert str(error.value) == message


def test_unknown_split() -> None:
    with pytest.raises(ConfigError, match="unknown split of the pasture 'trian'; the nearest is 'train'"):
        Pasture().open("trian")
    with pytest.raises(ConfigError, match="known: train, test"):
        Pasture(val=0).open("quux")


@pytest.mark.parametrize(("height", "width"), [(32, 32), (32, 320), (320, 32), (101, 77), (480, 640)])
def test_any_size(height: int, width: int) -> None:
    dataset = Pasture(height=height, width=width).open("val")
    for index in range(4):
        sample = dataset[index]
        assert sample["image"].shape == (3, height, width) and sample["image"].dtype == torch.uint8
        assert sample["mask"].shape == (height, width) and sample["mask"].dtype == torch.uint8
        assert int(sample["mask"].max()) < len(CLASSES)


def test_a_scene_looks_the_same_at_every_size() -> None:
    for index in range(6):
        scene = compose((1, 1, index), 0.75)
        small, large = (classes_of(scene, render(scene, h, w)[1]) for h, w in ((96, 128), (288, 384)))
        assert (large[1::3, 1::3] == small).mean() > 0.97  # the same points of the scene; ragged edges differ


# ---- instances and occlusion


def test_instances_agree_with_the_semantic_labels() -> None:
    dataset = Pasture().open("test")
    for index in range(25):
        semantic, objects = dataset[index], dataset.instances(index)
        mask, masks, labels = semantic["mask"].numpy(), objects["masks"].numpy(), objects["labels"].numpy()
        assert torch.equal(semantic["image"], objects["image"])
        assert masks.any(axis=(1, 2)).all() and masks.sum(axis=0).max() <= 1
        for category in (TREE, COW, PERSON, BIRD, FRISBEE):
            union = masks[labels == category].any(axis=0)
            if category == TREE:
                assert (mask[union] == TREE).all()  # distant woods are tree too, but nobody's instance
            else:
                np.testing.assert_array_equal(union, mask == category)
        for one, box in zip(masks, objects["boxes"].tolist(), strict=True):
            ys, xs = np.nonzero(one)
            assert box == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]


def test_a_picture_without_things_has_no_instances(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = Pasture(height=32, width=32).open("train")
    empty = dataclasses.replace(dataset.scene(0), things=())
    monkeypatch.setattr(dataset, "scene", lambda index: empty)
    objects = dataset.instances(0)
    assert objects["masks"].shape == (0, 32, 32) and objects["boxes"].shape == (0, 4)
    assert objects["labels"].shape == (0,)
    assert set(dataset[0]["mask"].unique().tolist()) <= {0, 1, 2, 3, 4}


def test_near_things_hide_far_ones(scenes: list[Scene]) -> None:
    """Taking one thing away changes only the pixels that it owned, and nothing in front of it."""
    hidden = 0
    for scene in scenes[:30]:
        depths = [thing.depth for thing in scene.things]
        assert depths == sorted(depths)
        if len(depths) < 2:
            continue
        _, ids = render(scene, 64, 64)
        _, fewer = render(dataclasses.replace(scene, things=scene.things[:-1]), 64, 64)
        front = ids == FIRST_THING + len(depths) - 1
        np.testing.assert_array_equal(ids[~front], fewer[~front])
        hidden += int((fewer[front] >= FIRST_THING).sum())
    assert hidden > 100


# ---- the stated distribution


@pytest.mark.parametrize("category", [BIRD, FRISBEE])
def test_birds_and_frisbees_are_3_to_10_percent_wide(scenes: list[Scene], category: int) -> None:
    sizes = np.array([thing.size for scene in scenes for thing in scene.things if thing.category == category])
    assert sizes.min() >= 0.03 and sizes.max() <= 0.10
    share = np.sort((sizes - 0.03) / 0.07) ** 4  # of the largest of four uniforms: uniform again
    assert np.abs(share - (np.arange(len(share)) + 0.5) / len(share)).max() < 1.7 / math.sqrt(len(share))
    checked = 0
    for scene in scenes[:60]:
        for single in alone(scene, category):
            thing = single.things[0]
            if not 0.1 < thing.x < 0.9 or not 0.1 < thing.y < 0.9:
                continue
            columns = np.flatnonzero((render(single, 384, 384)[1] >= FIRST_THING).any(axis=0))
            assert columns[-1] + 1 - columns[0] == pytest.approx(thing.size * 384, abs=1.6)
            checked += 1
    assert checked > 30


def test_counts_and_sizes_are_as_documented(scenes: list[Scene]) -> None:
    stated = {
        TREE: (0.3, 0.44, 0.26),
        COW: (0.3, 0.44, 0.26),
        PERSON: (0.3, 0.46, 0.24),
        BIRD: (0.12, 0.26, 0.32, 0.3),
        FRISBEE: (0.14, 0.4, 0.3, 0.16),
    }
    ranges = {TREE: (0.34, 1.1), COW: (0.4, 0.62), PERSON: (0.52, 0.95)}
    for category, shares in stated.items():
        counts = np.array([sum(t.category == category for t in scene.things) for scene in scenes])
        expected = sum(n * share for n, share in enumerate(shares))
        assert counts.max() <= len(shares) - 1
        # A thing that finds no place is left out, so a few less than thrown.
        assert 0.85 * expected < counts.mean() < 1.1 * expected, CLASSES.names[category]
        if category in ranges:
            sizes = [t.size for scene in scenes for t in scene.things if t.category == category]
            assert ranges[category][0] <= min(sizes) and max(sizes) <= ranges[category][1]


def test_every_class_is_common_enough_to_be_learned() -> None:
    dataset = Pasture(height=64, width=64).open("train")
    counts, seen = np.zeros(9), np.zeros(9)
    for index in range(150):
        here = np.bincount(dataset[index]["mask"].numpy().ravel(), minlength=9)
        counts += here
        seen += here > 0
    assert (seen / 150 > (0.8, 0.9, 0.6, 0.4, 0.6, 0.5, 0.5, 0.6, 0.5)).all()
    assert (counts / counts.sum() > (0.1, 0.15, 0.03, 0.03, 0.05, 0.03, 0.03, 0.002, 0.002)).all()


def test_horizon_varies_and_land_starts_below_it(scenes: list[Scene]) -> None:
    horizons = np.array([scene.land.horizon for scene in scenes])
    assert horizons.min() < -0.2 and horizons.max() > 0.7 and horizons.std() > 0.15
    for scene in scenes[:40]:
        bare = dataclasses.replace(scene, things=())
        labels = classes_of(bare, render(bare, 64, 64)[1])
        below = np.arange(64) + 0.5 > (scene.land.horizon + scene.land.swell) * 64
        assert not (labels[below] == SKY).any()
        above = np.arange(64) + 0.5 < (scene.land.horizon - scene.land.swell) * 64
        assert np.isin(labels[above], (SKY, GRASS, TREE)).all()  # nothing but ridges rises over it


# ---- shapes


def _area(build: object, size: int = 400) -> float:
    """Labelled area of a body of one part, in squares of its own unit, drawn on an empty scene."""
    scene = compose((0, 0, 0), 1.0)
    disc = next(t for s in (compose((0, 0, i), 1.0) for i in range(50)) for t in s.things if t.category == FRISBEE)
    disc = dataclasses.replace(disc, x=0.5, y=0.5, size=1.0, facing=1)
    body = shapes.Body(disc, 0.0)
    build(body)  # type: ignore[operator]

    frame = Frame.of(scene.land, size, size, 1.0)
    canvas, ids = np.zeros((3, size, size), np.float32), np.zeros((size, size), np.int32)
    _lay(canvas, ids, body.placed(), [FIRST_THING], frame, scene.light)
    soft = canvas[0].sum() / 100  # the picture's soft edge covers the same area as the labels
    hard = int((ids > 0).sum())
    assert soft == pytest.approx(hard, rel=0.02)
    return hard / size**2


def test_parts_cover_their_area() -> None:
    flat = shapes.Paint((100.0, 100.0, 100.0), shade=0.0)
    ellipse = _area(lambda body: body.ball((0.0, 0.0), 0.3, 0.1, flat, turn=30))
    assert ellipse == pytest.approx(math.pi * 0.3 * 0.1, rel=0.01)
    limb = _area(lambda body: body.limb((-0.2, -0.1), (0.2, 0.2), 0.08, 0.08, flat))
    assert limb == pytest.approx(0.5 * 0.16 + math.pi * 0.08**2, rel=0.01)


def test_a_figure_mirrors_when_it_turns_round(scenes: list[Scene]) -> None:
    scene = next(s for s in scenes if any(t.category == COW for t in s.things))
    cow = dataclasses.replace(next(t for t in scene.things if t.category == COW), x=0.5, y=0.8)
    left, right = (
        render(dataclasses.replace(scene, things=(dataclasses.replace(cow, facing=way),)), 128, 128)[1] >= FIRST_THING
        for way in (-1, 1)
    )
    np.testing.assert_array_equal(left, right[:, ::-1])
    assert (left != right).sum() > 0.1 * left.sum()


def test_limbs_stay_two_pixels_wide_at_128(scenes: list[Scene]) -> None:
    """No leg, neck or wing falls apart: erasing runs of one pixel leaves nearly all of a cow or person."""
    kept = total = 0
    for scene in scenes[:60]:
        for single in alone(scene, COW) + alone(scene, PERSON):
            mask = np.pad(render(single, 128, 128)[1] >= FIRST_THING, 1)
            wide = mask[:, :-1] & mask[:, 1:]
            kept += int((np.pad(wide, ((0, 0), (1, 0))) | np.pad(wide, ((0, 0), (0, 1))))[mask].sum())
            total += int(mask.sum())
    assert kept / total > 0.99


# ---- hard enough, fast enough


def _pixels(split: str, scenes: int, each: int) -> tuple[np.ndarray, np.ndarray]:
    """Colour and position of random pixels, (N, 5), and their classes (N,)."""
    dataset, dice = Pasture().open(split), np.random.default_rng(0)
    ys, xs = np.mgrid[0:128, 0:128]
    features, labels = [], []
    for index in range(scenes):
        sample = dataset[index]
        chosen = dice.choice(128 * 128, each, replace=False)
        whole = np.concatenate([sample["image"].numpy(), ys[None], xs[None]]).reshape(5, -1).T
        features.append(whole[chosen])
        labels.append(sample["mask"].numpy().ravel()[chosen])
    return np.concatenate(features).astype(np.float32), np.concatenate(labels)


@pytest.mark.parametrize("weights", [None, "balanced_subsample"])
def test_colour_and_position_do_not_suffice(weights: str | None) -> None:
    """A random forest on (R, G, B, y, x) of 200 scenes stays below 0.45 mIoU on 50 others."""
    forest = RandomForestClassifier(40, min_samples_leaf=3, random_state=0, class_weight=weights, n_jobs=1)
    forest.fit(*_pixels("train", 200, 300))
    features, labels = _pixels("val", 50, 1000)
    confusion = np.bincount(labels.astype(np.int64) * 9 + forest.predict(features), minlength=81).reshape(9, 9)
    hits = np.diag(confusion)
    score = (hits / (confusion.sum(0) + confusion.sum(1) - hits)).mean()
    assert 0.2 < score < 0.45


def test_drawing_calls_no_function_a_pixel(calls: Callable[[Callable[[], object]], int]) -> None:
    """A scene of sixteen times as many pixels takes as many calls of functions, and these are few."""
    small, large = (Pasture(height=side, width=side).open("train") for side in (64, 256))
    for index in range(5):
        few, many = (calls(lambda d=dataset, i=index: d[i]) for dataset in (small, large))  # type: ignore[misc]
        assert 100 < few <= 4000 and many < 1.2 * few


def test_visible_shares_are_those_of_the_things_drawn_alone() -> None:
    """Every thing is seen less or as much as alone, the nearest one wholly; shares go with the objects of a sample."""
    scenes = Pasture(height=64, width=64, train=12, val=0, test=0).open("train", "instances")
    hidden = 0
    for index in range(len(scenes)):
        sample, shares = scenes[index], scenes.visible_shares(index)
        assert shares.shape == (len(sample["labels"]),) and ((shares > 0) & (shares <= 1)).all()
        if len(shares):
            assert shares[-1] == 1
        hidden += int((shares < 0.75).sum())
        scene = scenes.objects.scene(index)
        _, ids = render(scene, 64, 64)
        for number, share in zip(np.unique(ids[ids >= FIRST_THING]) - FIRST_THING, shares, strict=True):
            alone = render(dataclasses.replace(scene, things=(scene.things[number],)), 64, 64)[1] == FIRST_THING
            seen = ids == number + FIRST_THING
            assert (seen <= alone).all() and share == seen.sum() / alone.sum()
    assert hidden > 3
