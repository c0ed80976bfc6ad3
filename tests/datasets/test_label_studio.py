"""Label Studio's JSON: where its regions lie, which annotation of a task counts, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from label_studio_files import maps, write_project

from foveate.datasets.label_studio import LabelStudio
from foveate.errors import DataError

WIDTH, HEIGHT = 40, 20
SQUARE = {"x": 10, "y": 20, "width": 20, "height": 40, "rectanglelabels": ["cow"]}  # columns 4..12, rows 4..12


def region(value: dict[str, Any], kind: str = "rectanglelabels", **more: Any) -> dict[str, Any]:
    return {"type": kind, "original_width": WIDTH, "original_height": HEIGHT, "value": value, **more}


def task(number: int, *results: list[dict[str, Any]], image: str = "", **more: Any) -> dict[str, Any]:
    image = image or f"/data/upload/1/0a1b2c3d-{number}.png"
    return {"id": number, "data": {"image": image}, "annotations": [{"result": r, **more} for r in results]}


def project(root: Path, *tasks: dict[str, Any], folder: str = "images") -> LabelStudio:
    return write_project(root, tasks, (WIDTH, HEIGHT), folder)


def filled(rows: slice, columns: slice, value: int = 1) -> np.ndarray:
    found = np.zeros((HEIGHT, WIDTH), int)
    found[rows, columns] = value
    return found


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (SQUARE, "rectanglelabels", filled(slice(4, 12), slice(4, 12))),
        (
            {"points": [[10, 20], [30, 20], [30, 60], [10, 60]], "polygonlabels": ["cow"]}, "polygonlabels",
            filled(slice(4, 12), slice(4, 12)),
        ),
        # a quarter turn clockwise about the top left corner (20, 4): what lay to its right lies below
        (
            {"x": 50, "y": 20, "width": 25, "height": 20, "rotation": 90, "rectanglelabels": ["cow"]},
            "rectanglelabels", filled(slice(4, 14), slice(16, 20)),
        ),
        (  # a half turn about the same corner
            {"x": 50, "y": 50, "width": 25, "height": 20, "rotation": 180, "rectanglelabels": ["cow"]},
            "rectanglelabels", filled(slice(6, 10), slice(10, 20)),
        ),
    ],
    ids=["rectangle", "polygon", "quarter turn", "half turn"],
)  # fmt: skip
def test_regions(tmp_path: Path, value: dict[str, Any], kind: str, expected: np.ndarray) -> None:
    source = project(tmp_path, *(task(k, [region(value, kind)]) for k in range(3)))
    assert not source.problems() and source.scan.classes.names == ("background", "cow")
    for found in maps(source).values():
        np.testing.assert_array_equal(found, expected)


def test_ellipses_and_later_regions_on_top(tmp_path: Path) -> None:
    ellipse = {"x": 50, "y": 50, "radiusX": 25, "radiusY": 20, "rotation": 90, "ellipselabels": ["hen"]}
    source = project(tmp_path, *(task(k, [region(ellipse, "ellipselabels"), region(SQUARE)]) for k in range(3)))
    found = maps(source)["0.png"]
    assert source.scan.classes.names == ("background", "cow", "hen")
    rows, columns = np.nonzero(found == 2)
    # semi-axes of 10 and 4 pixels, the longer one upright, so that it is cut at the picture's edges
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (0, 19, 16, 23)
    assert (found[4:12, 4:12] == 1).all()
    objects = source.open("train", "instances")[0]
    assert objects["labels"].tolist() == [1, 0]


def test_labels_in_an_entry_of_their_own(tmp_path: Path) -> None:
    plain = {key: value for key, value in SQUARE.items() if key != "rectanglelabels"}
    both = [region(plain, "rectangle", id="a"), region({**plain, "labels": ["cow"]}, "labels", id="a")]
    source = project(tmp_path, *(task(k, both) for k in range(3)))
    assert not source.problems()
    np.testing.assert_array_equal(maps(source)["1.png"], filled(slice(4, 12), slice(4, 12)))


def test_unlabelled_tasks_are_left_out_and_empty_ones_are_background(tmp_path: Path) -> None:
    skipped = task(2, [region(SQUARE)], was_cancelled=True)
    source = project(tmp_path, task(0, [region(SQUARE)]), task(1, []), skipped)
    assert "2.png" not in maps(source) and maps(source)["1.png"].max() == 0
    assert "1 picture without a region, and so all background (1.png)" in source.notes()[0]
    assert "1 picture without" in source.describe() or "left out" in source.describe()


def test_several_annotations_of_a_task(tmp_path: Path) -> None:
    other = {**SQUARE, "x": 60}
    first = task(0, [region(SQUARE)], [region(other)])
    rest = [task(k, [region(SQUARE)]) for k in (1, 2)]
    (problem,) = project(tmp_path, first, *rest).problems()
    assert str(problem).endswith("task 0 has 2 annotations, as by several people; mark one as ground truth")
    first["annotations"][1]["ground_truth"] = True
    source = project(tmp_path, first, *rest)
    np.testing.assert_array_equal(maps(source)["0.png"], filled(slice(4, 12), slice(24, 32)))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"value": {**SQUARE, "rectanglelabels": ["cow", "hen"]}}, "has 2 labels, cow and hen; give it one"),
        ({"value": {**SQUARE, "rectanglelabels": []}}, "region 1 (rectanglelabels) has no label"),
        ({"original_width": 80}, "was drawn on a picture of 80x20, but 0.png is 40x20; they must be of one size"),
        ({"image_rotation": 90}, "was drawn on a picture turned by 90 degrees; turn the file"),
        ({"type": "keypointlabels", "value": {"x": 1, "y": 1, "keypointlabels": ["cow"]}}, "has no area; draw"),
        ({"type": "polygonlabels", "value": {"points": [[1, 1], [2, 2]], "polygonlabels": ["cow"]}}, "has 2 points"),
        ({"value": {"x": "a", "y": 1, "width": 2, "height": 2, "rectanglelabels": ["cow"]}}, "ill-formed region"),
    ],
)  # fmt: skip
def test_refused(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    broken = task(0, [region(SQUARE) | changed])
    source = project(tmp_path, task(1, [region(SQUARE)]), task(2, [region(SQUARE)]), broken)
    (problem,) = source.problems()
    assert "task 0, " in str(problem) or "task 0: " in str(problem)
    assert message in str(problem)
    with pytest.raises(DataError):
        source.open("train", "semantic")


def test_names_of_images(tmp_path: Path) -> None:
    local = task(0, [region(SQUARE)], image="/data/local-files/?d=images/0.png")
    bucket = task(1, [region({**SQUARE, "x": 60})], image="s3://bucket/farm/1.png?signed=yes")
    source = project(tmp_path, local, bucket, task(2, [region(SQUARE)], image="http://host/2.png"))
    assert not source.problems()
    np.testing.assert_array_equal(maps(source)["1.png"], filled(slice(4, 12), slice(24, 32)))
    twice = project(tmp_path, local, bucket, task(2, [region(SQUARE)], image="/data/upload/1/0.png"))
    assert [str(p).rpartition(": ")[2] for p in twice.problems()] == ["'0.png' is the picture of two tasks; keep one"]
