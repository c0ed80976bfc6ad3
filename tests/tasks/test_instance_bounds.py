"""Where the family of objects draws its lines: votes, tiles and their joints, batches, validation, given boxes."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torchvision import tv_tensors

from foveate.pictures.given import as_windows
from foveate.records import ClassTable, InstanceOutput, InstancePrediction, Preprocessing
from foveate.records.instances import encode_mask, instances_of
from foveate.tasks import find_task
from foveate.tasks.instances.detect import Detection, _is_cut, detections, find_objects, join, tiles, truth_of
from foveate.tasks.instances.outlines import outline_objects, outlined
from foveate.tasks.instances.outputs import Tables, objects_record, write_labelme
from foveate.tasks.instances.task import InstanceOptions

PLAIN = Preprocessing((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
CELL = ClassTable(("cell",))


def output(*rows: tuple[list[float], float, float, bool], labels: list[int] | None = None) -> InstanceOutput:
    """Boxes with an even mask: box, mask, score, and if it is kept."""
    boxes, masks, scores, kept = zip(*rows, strict=True)
    return InstanceOutput(
        torch.tensor(boxes), torch.tensor(labels or [0] * len(rows)), torch.tensor(scores),
        torch.tensor(masks)[:, None, None].expand(-1, 4, 4), torch.tensor(kept),
    )  # fmt: skip


# Votes


@pytest.mark.parametrize(("height", "stays"), [(6.0, False), (5.0, False), (4.0, True)])
def test_boxes_that_overlap_by_half_vote_on_a_mask(height: float, stays: bool) -> None:
    """A voter that sees nothing, with a score of 0.9, leaves a mask of 1 and score 0.5 a share of 0.36: too little."""
    found = detections(output(([0.0, 0, 10, 10], 1.0, 0.5, True), ([0.0, 0, 10, height], 0.0, 0.9, False)), (20, 20))
    assert [one.window for one in found] == [(0, 0, 10, 10)] * stays


def test_a_pixel_belongs_to_an_object_from_two_fifths_of_the_vote_and_classes_vote_apart() -> None:
    box = [2.0, 3, 12, 9]
    for mask, count in ((0.39, 0), (0.41, 1)):
        assert len(detections(output((box, mask, 0.5, True)), (20, 20))) == count
    found = detections(output((box, 1.0, 0.5, True), (box, 0.0, 0.9, False), labels=[0, 1]), (20, 20), (100, 50))
    assert [(one.window, one.label, one.score) for one in found] == [((102, 53, 112, 59), 0, 0.5)]


# Tiles


def test_tiles_share_128_pixels_or_a_quarter_of_a_small_one() -> None:
    """The shortest images for which one tile more is needed."""
    for tile, shared in ((None, 128), (1024, 128), (256, 64), (100, 25)):
        side = tile or 1024
        for length, count in ((2 * side - shared, 2), (2 * side - shared + 1, 3)):
            assert len(tiles(side, length, tile, None)) == count, (tile, length)
    assert len(tiles(1000, 1500, None, None)) == 1 and len(tiles(1000, 1501, None, None)) == 2
    assert len(tiles(1000, 1900, 1024, 148)) == 2 and len(tiles(1000, 1901, 1024, 148)) == 3  # as many as are asked for


@pytest.mark.parametrize(("right", "cut"), [(195, True), (194, False)])
def test_a_twentieth_of_an_object_before_the_border_of_its_tile_it_may_go_on(right: int, cut: bool) -> None:
    place, whole = (0, 0, 200, 100), (0, 0, 300, 100)
    wide = Detection((right - 100, 10, right, 20), np.ones((10, 100), bool), 0, 0.9)
    assert _is_cut(wide, place, whole) is cut
    small = Detection((right - 5 + 9 - 10, 10, right - 5 + 9, 20), np.ones((10, 10), bool), 0, 0.9)  # 199 or 198
    assert _is_cut(small, place, whole) is cut  # a pixel at least
    assert not _is_cut(wide, (0, 0, 200, 100), (0, 0, 200, 100))  # the border of the image cuts nothing off


@pytest.mark.parametrize(("rows", "count"), [(9, 2), (10, 2), (11, 1)])
def test_detections_of_two_tiles_are_one_object_above_an_overlap_of_half(rows: int, count: int) -> None:
    places = [(0, 0, 100, 100), (60, 0, 160, 100)]
    first = Detection((68, 20, 88, 40), np.ones((20, 20), bool), 0, 0.6)
    second = Detection((68, 20, 88, 20 + rows), np.ones((rows, 20), bool), 0, 0.8)
    found = join([[first], [second]], places)
    assert len(found) == count
    if count == 1:
        assert found[0] is second  # of those that no border cuts off the best


def test_united_parts_have_the_best_score_whichever_comes_first() -> None:
    places = [(0, 0, 100, 100), (60, 0, 160, 100)]
    for scores in ((0.6, 0.8), (0.8, 0.6)):
        parts = [
            Detection(window, np.ones((30, window[2] - window[0]), bool), 0, score)
            for window, score in zip(((20, 20, 99, 50), (61, 20, 140, 50)), scores, strict=True)
        ]
        (one,) = join([[parts[0]], [parts[1]]], places)
        assert one.score == 0.8


def test_objects_are_ranked_over_all_tiles_and_images_are_normalised() -> None:
    """The network finds what its input is bright by; the brightest tile is the last one."""
    seen: list[float] = []

    def network(image: torch.Tensor) -> InstanceOutput:
        seen.append(float(image.max()))
        return output(([20.0, 20, 40, 40], 1.0, 0.1 + 0.1 * len(seen), True))

    network.max_detections = 0  # type: ignore[attr-defined]
    image = torch.full((3, 100, 230), 255, dtype=torch.uint8)
    half = Preprocessing((0.5,) * 3, (0.25,) * 3)
    found = find_objects(network, image, half, tile=100, overlap=20).objects
    assert len(found) == 3 and seen == [2.0] * 3
    assert found.scores.tolist() == pytest.approx([0.4, 0.3, 0.2]) and found.boxes[0, 0] > found.boxes[2, 0]


def test_the_cap_is_of_detections_that_are_kept() -> None:
    network: Any = lambda image: output(  # noqa: E731
        *[([10.0 * k, 0, 10.0 * k + 8, 8], 1.0, 0.9, k < 2) for k in range(4)]
    )
    image = torch.zeros(3, 60, 60, dtype=torch.uint8)
    for most, cap in ((2, 2), (3, 0)):
        network.max_detections = most
        assert find_objects(network, image, PLAIN).cap == cap


def test_options_of_tiles_and_units_reach_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    from foveate.tasks.instances import task

    calls: list[dict[str, Any]] = []
    objects = instances_of((8, 8), [], [])

    def find(*_: Any, **options: Any) -> Any:
        calls.append(options)
        return SimpleNamespace(objects=objects, note="full", cap=7)

    monkeypatch.setattr(task, "find_objects", find)
    family = find_task("instances")({"classes": CELL}, PLAIN)
    runner = torch.nn.Module()
    runner.register_buffer("score_threshold", torch.tensor(0.3))
    sample = {"image": torch.zeros(3, 8, 8, dtype=torch.uint8), "name": "a"}
    (found,) = family.answer(runner, [sample], InstanceOptions(tile=200, overlap=30, pixel_size=0.5))
    assert (calls[0]["tile"], calls[0]["overlap"]) == (200, 30) and calls[0]["score"] == pytest.approx(0.3)
    assert (found.pixel_size, found.note, found.cap, found.name) == (0.5, "full", 7, "a")

    class Finder(torch.nn.Module):
        outline = None

    outlined_with: list[dict[str, Any]] = []
    monkeypatch.setattr(task, "detector_of", lambda path, device: (runner, {"classes": CELL}, PLAIN))
    monkeypatch.setattr(task, "outlined", lambda *_, **where: (outlined_with.append(where), objects)[1])
    family.answer(Finder(), [sample], InstanceOptions(tile=200, overlap=30, score=0.7, boxes="run"))
    assert (calls[1]["tile"], calls[1]["overlap"], calls[1]["score"]) == (200, 30, 0.7)
    assert (outlined_with[0]["tile"], outlined_with[0]["overlap"]) == (200, 30)


# Batches


def sample() -> dict[str, Any]:
    """Objects of 3, 4 and 5 pixels in one row."""
    layer = torch.zeros(1, 40, 40, dtype=torch.int32)
    layer[0, 2, 2:5], layer[0, 4, 2:6], layer[0, 6, 2:7] = 1, 2, 3
    return {
        "image": tv_tensors.Image(torch.zeros(3, 40, 40, dtype=torch.uint8)), "layers": tv_tensors.Mask(layer),
        "labels": torch.tensor([0, 1, 2]), "crowd": torch.zeros(3, dtype=torch.bool), "name": "a",
    }  # fmt: skip


def test_objects_of_fewer_than_four_pixels_are_no_examples() -> None:
    family = find_task("instances")({"classes": ClassTable(("a", "b", "c"))}, PLAIN)
    batch = family.collate([sample()])
    assert batch["labels"][0].tolist() == [1, 2]
    assert batch["boxes"][0].tolist() == [[2, 4, 6, 5], [2, 6, 7, 7]]


def test_an_object_without_a_pixel_is_none_and_the_others_keep_their_labels() -> None:
    """Number 2 of four is covered; 3 is a crowd."""
    layer = torch.zeros(1, 8, 8, dtype=torch.int32)
    layer[0, 0, :3], layer[0, 2, :4], layer[0, 4, :5] = 1, 3, 4
    given = {
        "layers": tv_tensors.Mask(layer), "labels": torch.tensor([5, 6, 7, 8]),
        "crowd": torch.tensor([False, False, True, False]),
    }  # fmt: skip
    found = truth_of(given)
    assert found.labels.tolist() == [5, 7, 8] and found.areas.tolist() == [3, 4, 5]
    assert found.crowd.tolist() == [False, True, False]


def test_the_validation_loss_reads_the_middle_of_large_images() -> None:
    """512 pixels a side, of the image and of its layers alike."""
    family = find_task("instances")({"classes": CELL}, PLAIN)
    rows, columns = torch.meshgrid(torch.arange(700), torch.arange(600), indexing="ij")
    given = sample() | {
        "image": torch.stack([rows, columns, rows]).float(), "layers": (1000 * rows + columns).int()[None],
    }  # fmt: skip
    cut = family.validation_sample(given)
    assert cut["image"].shape == (3, 512, 512) and cut["layers"].shape == (1, 512, 512)
    assert cut["image"][:2, 0, 0].tolist() == [94, 44] and int(cut["layers"][0, 0, 0]) == 94_044
    small = family.validation_sample(sample())
    assert small["image"].shape == (3, 40, 40) and torch.equal(small["layers"], sample()["layers"])


def test_an_evaluation_counts_from_the_threshold_in_force_and_a_validation_chooses_it() -> None:
    family = find_task("instances")({"classes": CELL}, PLAIN)
    truth = instances_of((8, 8), [encode_mask(np.ones((4, 4), bool), (8, 8))], [0], [0.9])
    prediction: Any = SimpleNamespace(threshold=0.77, cap=0, objects=truth)
    for whole, expected in ((True, 0.77), (False, None)):
        metrics = family.metrics(None, whole=whole)
        family.count(metrics, 0, {"truth": truth, "name": "a"}, prediction)
        assert metrics.threshold == expected
    model: Any = torch.nn.Module()
    model.register_buffer("score_threshold", torch.tensor(0.5))
    family.adopt(model, SimpleNamespace(score_threshold=0.21))
    assert float(model.score_threshold) == pytest.approx(0.21)


# Outlines in given boxes


def test_outlines_begin_at_two_fifths_and_wide_objects_are_seen_with_64_pixels_around() -> None:
    seen: list[tuple[int, int]] = []
    strength = 0.41

    class Even(torch.nn.Module):
        def outline(self, image: torch.Tensor, boxes: torch.Tensor, labels: torch.Tensor) -> Any:
            seen.append((image.shape[-1], image.shape[-2]))
            return SimpleNamespace(masks=torch.full((len(boxes), 4, 4), strength))

    size = (200, 600)
    mask = np.zeros(size, bool)
    mask[50:150, 200:400] = True
    objects = instances_of(size, [encode_mask(mask, size)], [0], [0.8])
    image = torch.zeros(3, *size, dtype=torch.uint8)
    found = outline_objects(Even(), image, PLAIN, objects, tile=128, overlap=32)
    assert seen == [(200 + 128, 100 + 2 * 50)] and found.areas.tolist() == [100 * 200]
    strength = 0.39
    nothing = outline_objects(Even(), image, PLAIN, objects, tile=128, overlap=32)
    assert nothing.areas.tolist() == [0] and nothing.boxes.tolist() == objects.boxes.tolist()
    assert len(outlined(Even(), image, PLAIN, objects)) == 0  # an object without a pixel is none


# Tables


def test_objects_in_coco_s_form_by_hand() -> None:
    """Boxes are left, top, width and height; classes count from 1, as images and objects do."""
    size = (20, 30)
    masks = [encode_mask(np.ones((6, 12), bool), size, 3, 2), encode_mask(np.ones((2, 5), bool), size, 20, 10)]
    found = instances_of(size, masks, [1, 0], [0.9, 0.8])
    tables = Tables(ClassTable(("a", "b")))
    image = as_windows(torch.zeros(3, *size, dtype=torch.uint8))
    for name in ("x.png", "y.png"):
        tables.add(name, InstancePrediction(found, tables.classes, 0.5), {"image": image})
    kept = [(one["id"], one["image_id"], one["category_id"], one["bbox"], one["area"]) for one in tables.annotations]
    assert kept == [
        (1, 1, 2, [3, 2, 12, 6], 72), (2, 1, 1, [20, 10, 5, 2], 10),
        (3, 2, 2, [3, 2, 12, 6], 72), (4, 2, 1, [20, 10, 5, 2], 10),
    ]  # fmt: skip
    assert [row["area_share"] for row in tables.images] == [round(82 / 600, 6)] * 2


def test_the_record_and_the_labelme_file_hold_each_object_under_its_number(tmp_path: Path) -> None:
    size = (20, 30)
    masks = [encode_mask(np.ones((6, 12), bool), size, 3, 2), encode_mask(np.ones((2, 5), bool), size, 20, 10)]
    found = instances_of(size, masks, [1, 0], [0.9, 0.8])
    prediction = InstancePrediction(found, ClassTable(("a", "b")), 0.5)
    assert objects_record(prediction) == {
        "count": 2,
        "objects": [
            {"class": "b", "score": 0.9, "box": [3, 2, 15, 8], "area": 72},
            {"class": "a", "score": 0.8, "box": [20, 10, 25, 12], "area": 10},
        ],
    }
    write_labelme(prediction, "a.png", tmp_path / "a.json")
    shapes = json.loads((tmp_path / "a.json").read_text())["shapes"]
    assert [(shape["label"], shape["group_id"]) for shape in shapes] == [("b", 1), ("a", 2)]
