"""File names with URL escapes (%20) in lists, tables and annotations, where the file has a blank, and the reverse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from foveate.datasets import recognise
from foveate.datasets.captions.album import Album
from foveate.datasets.names import NameIndex, unescaped

WAYS = pytest.mark.parametrize(
    ("disk", "named"),
    [("a b{}.png", "a%20b{}.png"), ("a%20b{}.png", "a b{}.png"), ("grün {}.png", "gr%C3%BCn%20{}.png")],
)
SQUARE = [2, 2, 12, 2, 12, 12, 2, 12]


def picture(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (20, 24, 3), np.uint8)).save(path)


def pictures(root: Path, name: str) -> None:
    for number in range(4):
        picture(root / name.format(number), number)


def found(root: Path, task: str = "") -> tuple[set[str], list[str]]:
    source = recognise(root, task)
    assert source.problems(task) == []
    names = {s["name"] for split in source.splits() for s in source.open(split, task)}
    return names, source.notes(task)


def test_unescaped() -> None:
    assert unescaped("a%20b%2Bc.png") == "a b+c.png"
    assert unescaped("100%.png") == "100%.png"
    assert unescaped("u%CC%88") == "\u00fc"  # composed


@pytest.mark.parametrize("index", [NameIndex, lambda files: Album(Path("/r"), files)])
class TestIndex:
    def test_a_name_as_it_stands_comes_first(self, index: Any) -> None:
        both = [Path("/r/a b.png"), Path("/r/a%20b.png")]
        assert index(both).find("a b.png") == both[:1]
        assert index(both).find("a%20b.png") == both[1:]
        assert index(both[:1]).find("a%20b.png") == both[:1]
        assert index(both[1:]).find("a b") == both[1:]
        assert index(both).find("a%20c.png") == []

    def test_two_that_a_name_may_mean(self, index: Any) -> None:
        several = [Path("/r/x/a b.png"), Path("/r/y/a b.png")]
        assert index(several).find("a%20b.png") == several
        assert index(several).find("y/a%20b.png") == several[1:]


def test_escaped_folders() -> None:
    several = [Path("/r/my x/a.png"), Path("/r/y/a.png")]
    assert NameIndex(several).find("my%20x/a.png") == several[:1]
    assert NameIndex(several).find("z/a.png") == several


@WAYS
def test_coco(tmp_path: Path, disk: str, named: str) -> None:
    pictures(tmp_path / "images", disk)
    annotations = [
        {"id": n, "image_id": n, "category_id": 1, "segmentation": [SQUARE], "bbox": [2, 2, 10, 10], "iscrowd": 0}
        for n in range(4)
    ]
    images = [{"id": n, "file_name": f"images/{named.format(n)}", "width": 24, "height": 20} for n in range(4)]
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "nut"}]}
    (tmp_path / "result.json").write_text(json.dumps(content))
    names, notes = found(tmp_path)
    assert names == {disk.format(n) for n in range(4)}
    assert any(note.startswith("4 pictures not where result.json says, but found by name") for note in notes)


@WAYS
def test_labelme(tmp_path: Path, disk: str, named: str) -> None:
    pictures(tmp_path, disk)
    shape = {"label": "nut", "points": [[2, 2], [12, 2], [12, 12]], "shape_type": "polygon", "group_id": None}
    for n in range(4):
        content = {
            "imagePath": named.format(n),
            "imageData": None,
            "imageWidth": 24,
            "imageHeight": 20,
            "shapes": [shape],
        }
        (tmp_path / f"{n}.json").write_text(json.dumps(content))
    names, notes = found(tmp_path)
    assert names == {disk.format(n) for n in range(4)}
    assert any(f"0.json says '{named.format(0)}' and is read with {disk.format(0)}" in note for note in notes)


@WAYS
def test_captions_and_questions(tmp_path: Path, disk: str, named: str) -> None:
    for table, head, row in (
        ("captions.csv", "image,caption", "a cow number {}"),
        ("qa.csv", "image,question,answer", "how many cows are in field {}?,two"),
    ):
        root = tmp_path / table[:2]
        pictures(root, disk)
        rows = [f"{named.format(n)},{row.format(n)}" for n in range(4)]
        (root / table).write_text("\n".join([head, *rows]), encoding="utf-8")
        names, notes = found(root)
        assert names == {disk.format(n) for n in range(4)}
        assert any(
            note.startswith("4 names found by what URL escapes (%20 and the like) mean: ")
            and f"'{named.format(0)}' is {disk.format(0)}" in note
            for note in notes
        )


def test_names_that_are_right_are_not_noted(tmp_path: Path) -> None:
    pictures(tmp_path, "50% {}.png")
    rows = [f"50% {n}.png,a cow number {n}" for n in range(4)]
    (tmp_path / "captions.csv").write_text("\n".join(["image,caption", *rows]))
    assert not any("escapes" in note for note in found(tmp_path)[1])


@WAYS
def test_lists(tmp_path: Path, disk: str, named: str) -> None:
    for n in range(4):
        picture(tmp_path / "images" / disk.format(n), n)
        mask = np.zeros((20, 24), np.uint8)
        mask[n : n + 8, 4:14] = 255
        (tmp_path / "labels").mkdir(exist_ok=True)
        Image.fromarray(mask).save(tmp_path / "labels" / disk.format(n))
    (tmp_path / "train.txt").write_text("\n".join(named.format(n) for n in range(3)), encoding="utf-8")
    (tmp_path / "val.txt").write_text(named.format(3), encoding="utf-8")
    source = recognise(tmp_path)
    assert {split: len(source.open(split)) for split in source.splits()} == {"train": 3, "val": 1}
