"""The family of objects: tiles and their joints, files, tables, and a run from folder to files."""

from __future__ import annotations

import csv
import itertools
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from scipy import ndimage
from skimage.measure import regionprops
from torchvision import tv_tensors

from foveate.cli import main
from foveate.datasets import recognise
from foveate.errors import ConfigError, DataError, ModelError
from foveate.pictures.given import as_windows
from foveate.predictor import Predictor
from foveate.records import ClassTable, InstanceOutput, InstancePrediction, Preprocessing
from foveate.records.instances import encode_mask, instances_of
from foveate.registry import create_model
from foveate.store import save_model
from foveate.tasks import find_task
from foveate.tasks.instances.detect import Detection, counted_truth, find_objects, join, tiles, truth_of
from foveate.tasks.instances.outlines import outline_objects, true_box_ious
from foveate.tasks.instances.outputs import Tables, measure, write_labelme, write_numbers
from foveate.tasks.instances.task import InstanceOptions, InstanceTask

PLAIN = Preprocessing((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
CELL = ClassTable(("cell",))


class Bright(torch.nn.Module):
    """Finds every connected bright region of an image exactly: a detector without weights."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("score_threshold", torch.tensor(0.5))

    def forward(self, image: torch.Tensor) -> InstanceOutput:
        numbers, count = ndimage.label(image[0, 0].numpy() > 0.5, np.ones((3, 3)))
        boxes, masks = [], []
        for k, (rows, columns) in enumerate(ndimage.find_objects(numbers), 1):
            side = max(rows.stop - rows.start, columns.stop - columns.start)
            canvas = np.zeros((side, side), np.float32)
            part = numbers[rows, columns] == k
            canvas[: part.shape[0], : part.shape[1]] = part
            boxes.append([columns.start, rows.start, columns.start + side, rows.start + side])
            masks.append(torch.nn.functional.interpolate(torch.from_numpy(canvas)[None, None], size=(64, 64))[0, 0])
        scores = torch.linspace(0.9, 0.6, count)
        return InstanceOutput(
            torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
            torch.zeros(count, dtype=torch.int64),
            scores,
            torch.stack(masks) if count else torch.zeros(0, 64, 64),
            torch.ones(count, dtype=torch.bool),
        )


def scene(height: int, width: int, *discs: tuple[int, int, int]) -> np.ndarray:
    image = Image.new("RGB", (width, height))
    pen = ImageDraw.Draw(image)
    for x, y, radius in discs:
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(255, 255, 255))
    return np.array(image)


def find(image: np.ndarray, **options: Any) -> Any:
    tensor = torch.from_numpy(image.transpose(2, 0, 1).copy())
    return find_objects(Bright(), tensor, PLAIN, **options)[0]


# Tiles


def test_tiles_cover_an_image_and_share_enough() -> None:
    places = tiles(300, 500, 128, 32)
    seen = np.zeros((300, 500), int)
    for left, top, right, bottom in places:
        assert right - left == 128 and bottom - top == 128
        seen[top:bottom, left:right] += 1
    assert seen.min() == 1
    columns = sorted({left for left, *_ in places})
    assert all(b - a <= 128 - 32 for a, b in itertools.pairwise(columns))
    assert tiles(100, 90, 128, 32) == [(0, 0, 90, 100)] == tiles(100, 90, None, None)
    assert len(tiles(1300, 1300, None, None)) == 4 and len(tiles(3000, 3000, 0, None)) == 1


def test_tiles_that_do_not_fit_are_refused() -> None:
    for tile, overlap in ((32, 8), (128, 0), (128, 80)):
        with pytest.raises(
            ConfigError, match=f"tiles of {tile} pixels that share {overlap}; give a tile of 64 or more"
        ):
            tiles(500, 500, tile, overlap)


def test_objects_across_seams_are_one() -> None:
    """A disc on every seam, one on a corner of four tiles, and one wider than the overlap."""
    image = scene(260, 420, (105, 50, 12), (210, 130, 14), (105, 130, 30), (330, 200, 9), (20, 240, 6))
    whole, tiled = find(image, tile=0), find(image, tile=128, overlap=32)
    assert len(tiled) == len(whole) == 5
    overlaps = tiled.overlaps(whole)
    assert (overlaps.max(1) > 0.93).all() and len(set(overlaps.argmax(1).tolist())) == 5


def test_neighbours_at_a_seam_stay_two() -> None:
    image = scene(128, 240, (96, 60, 10), (122, 60, 10))
    assert len(find(image, tile=128, overlap=32)) == 2


def detection(left: int, top: int, right: int, bottom: int, score: float = 0.9, label: int = 0) -> Detection:
    return Detection((left, top, right, bottom), np.ones((bottom - top, right - left), bool), label, score)


PLACES = [(0, 0, 100, 100), (60, 0, 160, 100)]  # two tiles that share 40 columns


def windows(*found: list[Detection]) -> list[tuple[int, int, int, int]]:
    return sorted(one.window for one in join(found, PLACES))


def test_an_object_that_one_tile_sees_whole_is_as_that_tile_sees_it() -> None:
    """Its part in the other tile, however poor, is the same object; another tile's extra pixels are not taken."""
    whole, sliver, poor = detection(50, 20, 70, 40), detection(60, 20, 71, 41, 0.95), detection(60, 24, 63, 36, 0.95)
    assert windows([whole], [sliver]) == [whole.window]
    assert windows([whole], [poor]) == [whole.window]  # an IoU of 0.18 in the common part, but all of it inside
    (one,) = join([[whole], [sliver]], PLACES)
    assert one.score == 0.9


def test_an_object_that_every_tile_cuts_is_united() -> None:
    """An object from column 20 to 140 is seen by neither tile as a whole."""
    (one,) = join([[detection(20, 20, 99, 50, 0.6)], [detection(61, 20, 140, 50, 0.8)]], PLACES)
    assert one.window == (20, 20, 140, 50) and one.mask.all() and one.score == 0.8


def test_what_differs_stays_apart() -> None:
    first, beside = detection(50, 20, 70, 40), detection(70, 20, 90, 40)
    assert windows([first], [beside]) == [first.window, beside.window]
    assert len(windows([first], [detection(60, 20, 70, 40, label=1)])) == 2  # of another class
    assert len(windows([first, detection(52, 22, 72, 42)], [])) == 2  # of one tile: the network's own affair
    small, large = detection(64, 20, 70, 26), detection(62, 18, 90, 60)  # neither is cut, and they are not alike
    assert len(windows([small], [large])) == 2


def test_tiles_with_as_many_detections_as_the_network_gives_are_said() -> None:
    """Only where even the worst of them counts as found, so that more may be there."""
    image = scene(128, 240, (30, 60, 10), (80, 60, 10), (200, 60, 10))
    network = Bright()
    network.max_detections = 3
    tensor = torch.from_numpy(image.transpose(2, 0, 1).copy())
    found = find_objects(network, tensor, PLAIN, tile=0, score=0.6)
    assert found.note == (
        "the picture reached the 3 detections that the model gives at most, so objects may be missing; see it in "
        "smaller tiles: --tile 120"
    )
    assert found.cap == 3
    found = find_objects(network, tensor, PLAIN, tile=0, score=0.7)
    assert found.note == "" and found.cap == 3  # AP ranks all of them, also those that do not count as found
    network.max_detections = 2
    assert "1 of 2 tiles reached the 2 detections" in find_objects(network, tensor, PLAIN, tile=128, overlap=16).note
    network.max_detections = 4
    assert find_objects(network, tensor, PLAIN, tile=0).cap == 0


def test_windows_are_read_tile_by_tile() -> None:
    image = scene(200, 300, (150, 100, 20), (40, 40, 8))
    pieces = as_windows(torch.from_numpy(image.transpose(2, 0, 1).copy()))
    objects = find_objects(Bright(), pieces, PLAIN, tile=128, overlap=32).objects
    assert len(objects) == 2 and objects.size == (200, 300)


# Outlines in given boxes


class Ellipses(torch.nn.Module):
    """Draws the inscribed ellipse of every box; or fills the box. Remembers the images and boxes that it was given."""

    def __init__(self, fill: bool = False) -> None:
        super().__init__()
        self.register_buffer("score_threshold", torch.tensor(0.5))
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.fill, self.given = fill, []

    def outline(self, image: torch.Tensor, boxes: torch.Tensor, labels: torch.Tensor) -> Any:
        self.given.append((image.shape[-1], image.shape[-2], boxes.tolist()))
        at = (torch.arange(64) + 0.5) / 32 - 1
        disc = (at[:, None] ** 2 + at**2 <= 1).float() if not self.fill else torch.ones(64, 64)
        return SimpleNamespace(masks=disc.expand(len(boxes), -1, -1))


def discs(*centres: tuple[int, int], radius: int = 10, size: tuple[int, int] = (200, 300)) -> Any:
    y, x = np.mgrid[: size[0], : size[1]]
    masks = [(x + 0.5 - left) ** 2 + (y + 0.5 - top) ** 2 <= radius**2 for left, top in centres]
    return instances_of(size, [encode_mask(mask, size) for mask in masks], [0] * len(masks))


def test_iou_in_true_boxes_by_hand() -> None:
    """Discs drawn as discs, and as their boxes, which they cover by pi / 4; the crowd is left out."""
    truth = discs((40, 40), (57, 44), (250, 160), (100, 150))
    truth.crowd[3] = True
    image = torch.zeros(3, 200, 300, dtype=torch.uint8)
    assert true_box_ious(Ellipses(), image, PLAIN, truth).shape == (3,)
    assert true_box_ious(Ellipses(), image, PLAIN, truth).min() > 0.93
    assert true_box_ious(Ellipses(fill=True), image, PLAIN, truth) == pytest.approx([np.pi / 4] * 3, abs=0.02)


def test_boxes_are_outlined_in_the_tile_that_holds_them() -> None:
    """As in the whole image; an object wider than a tile has a window of its own."""
    truth = discs((40, 40), (97, 44), (250, 160), (185, 100))
    wide = discs((150, 100), radius=80)
    image = torch.zeros(3, 200, 300, dtype=torch.uint8)
    network = Ellipses()
    tiled = outline_objects(network, image, PLAIN, truth, tile=128, overlap=32)
    assert tiled.overlaps(truth).diagonal().min() > 0.93
    assert all(width == height == 128 for width, height, _ in network.given) and len(network.given) > 1
    for _, _, boxes in network.given:
        assert min(min(box) for box in boxes) > 0 and max(max(box) for box in boxes) < 128
    network = Ellipses()
    assert outline_objects(network, image, PLAIN, wide, tile=128, overlap=32).overlaps(wide)[0, 0] > 0.97
    assert [(width, height) for width, height, _ in network.given] == [(288, 200)]


def test_only_outlining_models_are_scored_in_true_boxes() -> None:
    family = find_task("instances")({"classes": CELL}, PLAIN)
    truth = discs((40, 40), (90, 44))
    sample = {"image": torch.zeros(3, 200, 300, dtype=torch.uint8), "truth": truth, "name": "a"}
    for network, whole in ((Ellipses(fill=True), True), (Ellipses(), False), (Bright(), True)):
        metrics, again = (family.metrics(None, whole=whole) for _ in range(2))
        family.observe(network, metrics, [sample])
        metrics.update(truth, truth)
        again.merge(metrics.state())  # from another process
        scores = family.scores_to_json(again.compute())
        if isinstance(network, Ellipses) and whole:
            assert scores["mask_iou_true_boxes"] == pytest.approx(np.pi / 4, abs=0.02)
        else:
            assert "mask_iou_true_boxes" not in scores


CASCADE = {
    "backbone": "test_efficientnet", "width": 8, "stride": 4, "hidden": 16, "mask_hidden": 16, "mask_size": 7,
    "num_classes": 1, "proposals": {"scales": (2.0, 4.0), "ratios": (1.0,), "cell": 4, "channels": 8, "min_side": 3.0},
}  # fmt: skip


def saved_cascade(folder: Path, classes: ClassTable = CELL, **changes: Any) -> Any:
    torch.manual_seed(0)
    model = create_model("mnc", **CASCADE | changes).eval()
    model.score_threshold.fill_(0.25)
    save_model(folder, model, "mnc", {"classes": classes}, "instances")
    return model


def test_objects_of_another_run_are_outlined(tmp_path: Path) -> None:
    model = saved_cascade(tmp_path)
    other = find_task("instances")({"classes": CELL}, model.preprocessing)
    family, network = find_task("instances")({"classes": CELL}, PLAIN), Ellipses(fill=True)
    image = torch.randint(0, 255, (3, 64, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    samples = [{"image": image, "name": "a"}]
    (plain,) = other.answer(model, samples, InstanceOptions())
    (found,) = family.answer(network, samples, InstanceOptions(boxes=str(tmp_path)))
    assert len(plain.objects) and len(found.objects) == len(plain.objects) and found.threshold == 0.25
    np.testing.assert_array_equal(found.objects.scores, plain.objects.scores)
    np.testing.assert_allclose(found.objects.boxes, plain.objects.boxes)  # filled boxes
    filled = (plain.objects.boxes[:, 2:] - plain.objects.boxes[:, :2]).prod(1)
    np.testing.assert_array_equal(found.objects.areas, filled)
    (strict,) = family.answer(network, samples, InstanceOptions(boxes=str(tmp_path), score=0.9))
    assert strict.threshold == 0.9


def test_boxes_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    family = find_task("instances")({"classes": CELL}, PLAIN)
    samples = [{"image": torch.zeros(3, 64, 64, dtype=torch.uint8), "name": "a"}]
    saved_cascade(tmp_path / "fits")
    saved_cascade(tmp_path / "classes", ClassTable(("bird",)))
    saved_cascade(tmp_path / "channels", in_channels=4)
    with pytest.raises(ConfigError, match=r"--boxes .*: this model does not outline boxes that it is given; leave"):
        family.answer(Bright(), samples, InstanceOptions(boxes=str(tmp_path / "fits")))
    with pytest.raises(ConfigError, match="its model finds bird; this one outlines cell: give a run with"):
        family.answer(Ellipses(), samples, InstanceOptions(boxes=str(tmp_path / "classes")))
    with pytest.raises(ConfigError, match=r"its model takes images of 4 channels, this one of 3; give a run on"):
        family.answer(Ellipses(), samples, InstanceOptions(boxes=str(tmp_path / "channels")))
    with pytest.raises(ModelError, match=r"nowhere does not exist"):
        family.answer(Ellipses(), samples, InstanceOptions(boxes=str(tmp_path / "nowhere")))
    with pytest.raises(ModelError, match=r"nowhere\.onnx does not exist; give a run folder, or a file that foveate"):
        family.answer(Ellipses(), samples, InstanceOptions(boxes=str(tmp_path / "nowhere.onnx")))


# Files


def some_objects() -> Any:
    first, second = np.zeros((20, 30), bool), np.zeros((20, 30), bool)
    first[2:8, 3:15] = True
    first[4, 5:7] = False  # a hole
    second[10:14, 20:25] = second[16:18, 20:22] = True  # of two parts
    return instances_of((20, 30), [encode_mask(first, (20, 30)), encode_mask(second, (20, 30))], [0, 0], [0.9, 0.7])


def test_numbers_are_written_as_they_are(tmp_path: Path) -> None:
    objects = some_objects()
    write_numbers(objects, tmp_path / "n.png")
    numbers = np.array(Image.open(tmp_path / "n.png"))
    assert numbers.dtype == np.uint16 and np.array_equal(numbers, objects.numbers())
    assert [int((numbers == k).sum()) for k in (1, 2)] == objects.areas.tolist()


def test_of_overlapping_objects_the_better_owns_the_pixel() -> None:
    masks = [encode_mask(np.ones((4, 4), bool), (8, 8), x, 2) for x in (0, 2)]
    objects = instances_of((8, 8), masks, [0, 0], [0.4, 0.8])
    assert objects.numbers()[2].tolist() == [1, 1, 2, 2, 2, 2, 0, 0]


def test_labelme_reads_what_was_written(tmp_path: Path) -> None:
    objects = some_objects()
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(tmp_path / "a.png")
    write_labelme(InstancePrediction(objects, CELL), "a.png", tmp_path / "a.json")
    for name in "bcd":
        (tmp_path / f"{name}.png").write_bytes((tmp_path / "a.png").read_bytes())
        content = json.loads((tmp_path / "a.json").read_text()) | {"imagePath": f"{name}.png"}
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    source = recognise(tmp_path, "instances")
    (dataset,) = [d for d in (source.open(s, "instances") for s in source.splits()) if len(d)][:1]
    truth = truth_of(dataset[0])
    assert dataset.classes.names == ("cell",) and len(truth) == 2  # parts with one group_id are one object
    assert truth.overlaps(objects).diagonal().min() == 1  # the hole, too


def test_measurements_are_skimages_in_physical_units() -> None:
    objects = some_objects()
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    windows = as_windows(torch.from_numpy(image.transpose(2, 0, 1).copy()))
    rows = measure(objects, windows, 0.5)
    for k, row in enumerate(rows):
        (region,) = regionprops(objects.mask(k).astype(np.uint8), image.mean(2))
        assert row["area"] == pytest.approx(region.area * 0.25)
        assert row["perimeter"] == pytest.approx(region.perimeter * 0.5, abs=1e-3)
        assert row["eccentricity"] == pytest.approx(region.eccentricity, abs=1e-3)
        assert row["mean_intensity"] == pytest.approx(region.mean_intensity, abs=1e-3)
        assert (row["centroid_y"], row["centroid_x"]) == pytest.approx(np.array(region.centroid) + 0.5, abs=1e-3)


def test_tables_hold_every_object_and_every_image(tmp_path: Path) -> None:
    windows = as_windows(torch.zeros(3, 20, 30, dtype=torch.uint8))
    tables = Tables(CELL)
    tables.add("a.png", InstancePrediction(some_objects(), CELL, 0.8), {"image": windows})
    tables.add("b.png", InstancePrediction(some_objects().select(np.array([], int)), CELL), {"image": windows})
    tables.write(tmp_path)
    with (tmp_path / "objects.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["image"], row["object"], row["class"], row["score"]) for row in rows] == [
        ("a.png", "1", "cell", "0.9")
    ]
    with (tmp_path / "images.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["image"], row["objects"]) for row in rows] == [("a.png", "1"), ("b.png", "0")]
    assert [(row["area_mean"], row["area_median"]) for row in rows] == [
        (str(float(some_objects().areas[0])),) * 2,
        ("",) * 2,
    ]
    assert list(rows[0]) == ["image", "objects", "area_share", "area_mean", "area_median"]
    content = json.loads((tmp_path / "objects.json").read_text())
    assert [len(content[key]) for key in ("images", "annotations", "categories")] == [2, 1, 1]
    assert content["annotations"][0]["area"] == int(some_objects().areas[0])


def test_the_row_of_an_image_has_the_objects_of_each_class_and_their_sizes(tmp_path: Path) -> None:
    masks = np.zeros((4, 20, 30), bool)
    for k, side in enumerate((1, 2, 3, 5)):
        masks[k, :side, 7 * k : 7 * k + side] = True
    found = instances_of((20, 30), [encode_mask(m, m.shape) for m in masks], [1, 1, 0, 1], np.full(4, 0.9))
    tables = Tables(ClassTable(("live", "dead")))
    tables.add("a.png", InstancePrediction(found, tables.classes, 0.5, pixel_size=2.0), {
        "image": as_windows(torch.zeros(3, 20, 30, dtype=torch.uint8))
    })  # fmt: skip
    tables.write(tmp_path)
    with (tmp_path / "images.csv").open() as stream:
        (row,) = csv.DictReader(stream)
    assert (row["objects"], row["objects: live"], row["objects: dead"]) == ("4", "1", "3")
    # Areas of 1, 4, 9 and 25 pixels of 2 x 2 units.
    assert (row["area_mean"], row["area_median"]) == ("39.0", "26.0")


# The family


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"score is 1\.5; give a number from 0 to 1"):
        InstanceOptions(score=1.5)
    with pytest.raises(ConfigError, match="pixel_size is 0; give a length above 0"):
        InstanceOptions(pixel_size=0)


def test_the_threshold_is_the_models_unless_given() -> None:
    family = find_task("instances")({"classes": CELL}, PLAIN)
    image = torch.from_numpy(scene(60, 90, (20, 20, 8), (60, 30, 8)).transpose(2, 0, 1).copy())
    samples = [{"image": image, "name": "a"}]
    (own,) = family.answer(Bright(), samples, InstanceOptions())
    (strict,) = family.answer(Bright(), samples, InstanceOptions(score=0.8))
    assert (own.threshold, len(own.found), len(own.objects)) == (0.5, 2, 2)
    assert (len(strict.found), len(strict.objects)) == (1, 2)


def test_crowds_and_unscored_pixels_reach_training_and_scoring(tmp_path: Path) -> None:
    """Numbers of objects whose 255 is stated as unscored: neither object nor background, in training and in scores."""
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
    (tmp_path / "classes.txt").write_text("background\ncell\nignore: 255\n")
    numbers = np.zeros((64, 64), np.uint8)
    for k in range(12):
        numbers[5 * k : 5 * k + 4, 3:9] = k + 1
    numbers[:, 30:40] = 255
    for i in range(4):
        Image.fromarray(np.full((64, 64, 3), 90, np.uint8)).save(tmp_path / "images" / f"{i}.png")
        Image.fromarray(np.roll(numbers, i, 1)).save(tmp_path / "masks" / f"{i}.png")
    source = recognise(tmp_path, "instances")
    samples = [d[k] for d in (source.open(s, "instances") for s in source.splits()) for k in range(len(d))]
    family = find_task("instances")({"classes": CELL}, PLAIN)
    batch = family.collate(samples)
    for sample, boxes, crowds in zip(samples, batch["boxes"], batch["crowds"], strict=True):
        hidden = np.roll(numbers == 255, int(Path(sample["name"]).stem), 1)
        np.testing.assert_array_equal(crowds.numpy(), hidden)
        assert len(boxes) == 12 and sample["labels"].tolist() == [0] * 12 + [-1]
        truth = truth_of(sample)
        assert truth.crowd.sum() == 1 and len(counted_truth(sample)) == 12
        metrics = family.metrics(None)
        found = instances_of((64, 64), [*truth.masks[:12], encode_mask(hidden, (64, 64))], [0] * 13)
        assert metrics.update(truth, found) == 1
    # An object's own pixels are its own in a crowd, too.
    layers = torch.stack([torch.from_numpy(numbers.astype(np.int32)) % 255, torch.full((64, 64), 13)]).int()
    whole = samples[0] | {"layers": tv_tensors.Mask(layers)}
    assert torch.equal(family.collate([whole])["crowds"][0], torch.from_numpy((numbers == 0) | (numbers == 255)))


def test_a_model_adopts_the_threshold_of_its_validation() -> None:
    family, model = find_task("instances")({"classes": CELL}, PLAIN), Bright()
    metrics = family.metrics(None, whole=False)
    sample = {"image": torch.from_numpy(scene(60, 90, (20, 20, 8)).transpose(2, 0, 1).copy()), "name": "a"}
    (prediction,) = family.answer(model, [sample], InstanceOptions())
    truth = {"truth": prediction.objects, "name": "a"}
    assert family.count(metrics, 0, truth, prediction) == 1.0
    family.adopt(model, metrics.compute())
    assert float(model.score_threshold) == pytest.approx(0.45)  # half-way from the only score, 0.9, to 0


# From a folder to files


def nuclei(root: Path) -> Path:
    random = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 3)):
        for kind in ("images", "masks"):
            (root / split / kind).mkdir(parents=True)
        for i in range(count):
            numbers = np.zeros((64, 64), np.uint16)
            for k in range(int(random.integers(3, 7))):
                top, left = random.integers(0, 54, 2)
                numbers[top : top + 10, left : left + 10] = k + 1
            _, numbers = np.unique(numbers, return_inverse=True)
            numbers = numbers.reshape(64, 64).astype(np.uint16)
            image = np.where(numbers > 0, 200, 30).astype(np.uint8)
            Image.fromarray(np.stack([image] * 3, -1)).save(root / split / "images" / f"{i}.png")
            Image.fromarray(numbers).save(root / split / "masks" / f"{i}.png")
    return root


def test_pictures_without_an_object_are_not_trained_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = nuclei(tmp_path / "data")
    for mask in (data / "train" / "masks").iterdir():
        Image.fromarray(np.zeros((64, 64), np.uint16)).save(mask)
    assert main(["train", "mnc_nuclei", "--data", str(data), "--out", str(tmp_path / "run")]) == 1
    assert "4 training pictures without an object, so there is nothing to learn; label some" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


SHORT = [
    "--config.backbone", "test_efficientnet", "--config.pretrained", "false", "--augment.crop", "64,64",
    "--epochs", "1", "--batch_size", "2", "--validate_every", "1", "--workers", "0",
]  # fmt: skip
SMALL = {
    "mnc_nuclei": [
        *SHORT, "--config.width", "8", "--config.hidden", "16", "--config.mask_hidden", "16",
        "--config.mask_size", "7", "--config.rois", "16",
        "--config.proposals.channels", "8", "--config.proposals.post_nms", "20,20",
    ],
    "hypercolumns_nuclei": [
        *SHORT, "--config.detector.width", "8", "--config.detector.hidden", "16", "--config.size", "9",
        "--config.detector.rois", "16", "--config.detector.proposals.channels", "8",
        "--config.detector.proposals.post_nms", "20,20",
    ],
}  # fmt: skip


@pytest.mark.parametrize("recipe", SMALL)
def test_from_a_folder_to_files(recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, run = nuclei(tmp_path / "data"), tmp_path / "run"
    assert main(["datasets", "inspect", str(data), "--task", "instances"]) == 0
    told = capsys.readouterr().out
    assert "object numbers" in told and "objects: " in told and "problems: none" in told
    assert main(["train", recipe, "--data", str(data), "--out", str(run), *SMALL[recipe]]) == 0
    assert main(["evaluate", str(run), "--json", str(tmp_path / "scores.json")]) == 0
    scores = json.loads((tmp_path / "scores.json").read_text())
    wanted = {
        "ap",
        "ap50",
        "ap75",
        "recall50",
        "tp_ratio50",
        "pq",
        "ap_r50",
        "ap_r70",
        "recall50_touching",
        "count_mape",
    }
    assert wanted <= set(scores) and scores["images"] == 3 and scores["detections_cap"] == 400
    # Only a model that outlines boxes that it is given is scored in true ones.
    assert (0 < scores.get("mask_iou_true_boxes", 0) < 1) == (recipe == "hypercolumns_nuclei")
    assert ("In the true boxes" in (run / "report.html").read_text()) == (recipe == "hypercolumns_nuclei")
    out = tmp_path / "out"
    assert main(["predict", str(run), str(data / "val/images"), "--out", str(out), "--score", "0"]) == 0
    assert {"0.png", "0.json", "0_overlay.jpg", "objects.csv", "images.csv", "objects.json", "predictions.json"} <= {
        p.name for p in out.iterdir()
    }
    count = json.loads((out / "predictions.json").read_text())["pictures"][0]["count"]
    assert int(np.array(Image.open(out / "0.png")).max()) <= count
    # The exported file finds the same, at sizes that it was not traced with.
    assert main(["export", str(run), "--out", str(tmp_path / "cells.onnx")]) == 0
    same = tmp_path / "same"
    words = [str(data / "val/images"), "--out", str(same), "--score", "0"]
    assert main(["predict", str(tmp_path / "cells.onnx"), *words]) == 0
    for name in ("0.png", "1.png", "2.png"):
        ours, theirs = (np.array(Image.open(folder / name)) for folder in (out, same))
        assert (ours == theirs).mean() > 0.99
    first, second = (json.loads((folder / "predictions.json").read_text())["pictures"] for folder in (out, same))
    assert [entry["count"] for entry in first] == [entry["count"] for entry in second]
    report = (run / "report.html").read_text()
    assert 'id="threshold"' in report and 'id="sizes"' in report and report.count("<script") == 1
    listed = report[report.index('id="each"') : report.index('id="again"')]
    assert sorted(re.findall(r'<th scope="row">([^<]+)</th>', listed)) == ["0.png", "1.png", "2.png"]
    assert listed.count('title="Truth"') == listed.count('title="Found"') == 3
    assert re.findall(r'data-sort="number"[^>]*>([^<]+)<', listed) == ["Matched at IoU 0.5", "True objects", "Found"]
    if recipe == "hypercolumns_nuclei":
        words = [str(data / "val/images"), "--boxes", str(tmp_path / "cells.onnx"), "--score", "0"]
        assert main(["predict", str(run), *words, "--out", str(tmp_path / "own")]) == 0
        assert main(["predict", str(tmp_path / "cells.onnx"), *words, "--out", str(tmp_path / "exported")]) == 0
        own, exported = (np.array(Image.open(tmp_path / name / "0.png")) for name in ("own", "exported"))
        assert (own == exported).mean() > 0.99
        (tmp_path / "cells.outline.onnx").unlink()
        assert main(["predict", str(tmp_path / "cells.onnx"), *words, "--out", str(tmp_path / "alone")]) == 1
        assert "needs cells.outline.onnx, which is not beside it" in capsys.readouterr().err
    assert Predictor.open(tmp_path / "cells.onnx").runner.max_detections == 400
    assert Predictor.open(tmp_path / "cells.onnx").runner.score_threshold == pytest.approx(
        float(Predictor.open(run).runner.score_threshold), abs=1e-6
    )


def folder_of_numbers(root: Path, *numbers: np.ndarray, names: str = "cell") -> Path:
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True)
    for i, one in enumerate(numbers):
        image = np.random.default_rng(i).integers(0, 200, (*one.shape, 3), dtype=np.uint8)
        Image.fromarray(image).save(root / "images" / f"{i}.png")
        Image.fromarray(one.astype(np.uint16)).save(root / "masks" / f"{i}.png")
    (root / "classes.txt").write_text(names + "\n")
    return root


def test_two_objects_a_picture_are_numbers_under_one_name(tmp_path: Path) -> None:
    numbers = np.zeros((40, 40), int)
    numbers[3:12, 3:12], numbers[20:33, 20:33] = 1, 2
    source = recognise(folder_of_numbers(tmp_path / "a", *[numbers] * 4), "instances")
    assert len(counted_truth(source.open("train", "instances")[0])) == 2
    one = folder_of_numbers(tmp_path / "b", *[np.minimum(numbers, 1)] * 4)
    with pytest.raises(DataError, match=r"from 1 in its mask and write classes\.txt with their one name, or"):
        recognise(one, "instances").open("train", "instances")


def test_evaluation_says_that_a_picture_holds_more_objects_than_are_ranked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved_cascade(tmp_path / "model")
    many = np.zeros((105, 105), int)
    for k in range(441):
        many[5 * (k // 21) : 5 * (k // 21) + 3, 5 * (k % 21) : 5 * (k % 21) + 3] = k + 1
    data = folder_of_numbers(tmp_path / "data", many, many * 0)
    words = ["evaluate", str(tmp_path / "model"), "--data", str(data), "--split", "test"]
    assert main([*words, "--csv", str(tmp_path / "rows.csv")]) == 0
    told = capsys.readouterr().out
    assert "note: one picture without objects: every detection there is wrong" in told
    assert "note: one picture holds more than 400 objects, of which at most 400 detections are ranked: AP and" in told
    with (tmp_path / "rows.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert {(row["name"], row["objects"]) for row in rows} == {("0.png", "441"), ("1.png", "0")}
    assert set(rows[0]) == {"name", "tp_ratio50", "objects", "found"}  # no AP of a single picture


@pytest.mark.parametrize(("most", "told"), [(3, True), (400, False), (100_000, False)])
def test_evaluation_says_that_pictures_reached_the_models_own_cap(
    most: int, told: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only where the model gave as many as it can, and fewer than are ranked."""
    saved_cascade(tmp_path / "model", detections=most)
    few = np.zeros((64, 64), int)
    few[3:12, 3:12], few[20:33, 20:33] = 1, 2
    data = folder_of_numbers(tmp_path / "data", few, few, few)
    words = ["evaluate", str(tmp_path / "model"), "--data", str(data), "--split", "test"]
    assert main([*words, "--json", str(tmp_path / "scores.json")]) == 0
    note = (
        "note: 3 pictures reached the 3 detections that the model gives at most, fewer than the 400 that are ranked: "
        "AP and recall may be lower for it; try smaller tiles (--tile), or train with more detections in the model's "
        "config.\n"
    )
    assert (note in capsys.readouterr().out) == told
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert (scores["model_cap"], scores["at_model_cap"]) == ((3, 3) if told else (0, 0))


def test_evaluation_without_any_object_says_why_nothing_is_defined(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved_cascade(tmp_path / "model", ClassTable(("foreground",)))
    data = nuclei(tmp_path / "data")
    for mask in (data / "val" / "masks").iterdir():
        Image.fromarray(np.zeros((64, 64), np.uint16)).save(mask)
    assert main(["evaluate", str(tmp_path / "model"), "--data", str(data), "--split", "val"]) == 0
    told = capsys.readouterr().out
    assert re.search(r"^  ap +not defined$", told, re.MULTILINE)
    assert "note: no objects in split val, which leaves AP and recall undefined.\n" in told


def test_inspection_counts_objects_that_share_pixels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    squares = [[5, 5, 20, 5, 20, 20, 5, 20]], [[15, 15, 30, 15, 30, 30, 15, 30]], [[30, 5, 38, 5, 38, 12, 30, 12]]
    (tmp_path / "images").mkdir()
    content: dict[str, Any] = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "cell"}]}
    for i in range(4):
        Image.fromarray(np.full((40, 40, 3), 40 * i, np.uint8)).save(tmp_path / "images" / f"{i}.png")
        content["images"].append({"id": i, "file_name": f"{i}.png", "height": 40, "width": 40})
        content["annotations"] += [
            {"id": 10 * i + k, "image_id": i, "category_id": 1, "segmentation": one} for k, one in enumerate(squares)
        ]
    (tmp_path / "instances.json").write_text(json.dumps(content))
    main(["datasets", "inspect", str(tmp_path), "--task", "instances"])
    told = capsys.readouterr().out
    assert "overlap: 8 objects share pixels with another; each keeps them in training and in AP" in told


def test_masks_of_classes_are_no_objects(tmp_path: Path) -> None:
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
    for i in range(4):
        labels = np.zeros((20, 20), np.uint8)
        labels[3:9, 3:9] = labels[12:17, 12:17] = 1
        Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(tmp_path / "images" / f"{i}.png")
        Image.fromarray(labels).save(tmp_path / "masks" / f"{i}.png")
    source = recognise(tmp_path, "instances")
    with pytest.raises(
        DataError, match=r"the masks hold classes \(.*\), which do not tell the objects of a class apart"
    ):
        source.open("train", "instances")


def test_contours_are_drawn_in_given_colours() -> None:
    family = InstanceTask({"classes": CELL}, Preprocessing())
    image = as_windows(torch.full((3, 20, 30), 90, dtype=torch.uint8))
    prediction = InstancePrediction(some_objects(), CELL)
    drawn = np.asarray(family.draw(prediction, {"image": image}, colors={"cell": "#ff0000"}))
    edge = (drawn == (255, 0, 0)).all(2)
    assert edge[2, 3:15].all() and edge[2:8, 3].all() and edge[10, 20:25].all()  # both objects, though of one class
    assert (drawn[~edge] == 90).all()
    with pytest.raises(ConfigError, match="unknown class 'sell'; the nearest is 'cell'"):
        family.draw(prediction, {"image": image}, colors={"sell": "#ff0000"})
    with pytest.raises(ConfigError, match="unknown option of an overlay 'alpha'"):
        family.draw(prediction, {"image": image}, alpha=0.5)
    for wrong in ("red", "#ff00", (0, 0, 256), [1.0, 0.0, 0.0]):
        words = re.escape(f"{wrong!r} is not a colour; give '#rrggbb' or three whole numbers in 0..255")
        with pytest.raises(ConfigError, match=words):
            family.draw(prediction, {"image": image}, colors={"cell": wrong})
    drawn = np.asarray(family.draw(prediction, {"image": image}, colors={"cell": (1, 2, 3)}))
    assert tuple(drawn[2, 5]) == (1, 2, 3)
