from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foveate.datasets.coco import COCO
from foveate.datasets.folders import Folders
from foveate.engine.inspection import inspect
from foveate.records import DataSource
from foveate.tasks.semantic.inspection import SemanticFindings


def put(folder: Path, stem: str, mask: list[list[int]]) -> None:
    array = np.array(mask, np.uint8)
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    Image.new("RGB", array.shape[::-1]).save(folder / "images" / f"{stem}.png")
    Image.fromarray(array).save(folder / "labels" / f"{stem}.png")


def inspected(source: DataSource) -> SemanticFindings:
    found = inspect(source)
    assert isinstance(found, SemanticFindings)
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    put(tmp_path / "train", "a", [[0, 0, 1, 9]])
    put(tmp_path / "train", "b", [[0, 0], [0, 0]])
    put(tmp_path / "val", "c", [[1, 1, 1, 9]])
    (tmp_path / "classes.txt").write_text("sky\nroad\ncow\nignore: 9\n")
    return tmp_path


def test_counts_by_hand(root: Path) -> None:
    found = inspected(Folders(str(root)))
    assert found.problems == []
    assert dict(found.counts) == {"train": 2, "val": 1}
    assert found.splits["train"].pixels.tolist() == [6, 1, 0, 1]
    assert found.splits["val"].pixels.tolist() == [0, 3, 0, 1]
    assert found.splits["train"].present.tolist() == [2, 1, 0]
    assert found.shares() == {"sky": 6 / 10, "road": 4 / 10, "cow": 0.0}
    assert found.ignored_share() == 2 / 12
    assert found.sizes == {(1, 4): 2, (2, 2): 1}
    assert found.channels == {3: 3}
    assert [s["name"] for s in found.samples] == ["a.png", "b.png", "c.png"]


def test_json_and_text(root: Path) -> None:
    found = inspected(Folders(str(root)))
    data = json.loads(json.dumps(found.to_json()))
    assert data["pictures"] == {"train": 2, "val": 1}
    assert data["classes"][1]["pixel_share"] == 0.4
    assert data["classes"][1]["pictures"] == {"train": 1, "val": 1}
    assert data["sizes"][0] == {"width": 4, "height": 1, "pictures": 2}
    assert data["problems"] == []
    lines = found.text().splitlines()
    assert lines[0] == "Folders: 2 train, 1 val pictures, 3 classes (index PNG), ignore 9"
    assert "pictures: train 2, val 1" in lines
    assert "sizes: 4x1 (2), 2x2 (1)" in lines
    assert any("road" in line and "40.00%" in line and "2 of 3" in line for line in lines)
    assert any("cow" in line and "nothing to learn it from" in line for line in lines)
    assert lines[-1] == "problems: none"


def test_every_problem_is_named_and_the_rest_is_counted(root: Path) -> None:
    train = root / "train"
    for stem in ("cut", "size", "value", "lonely"):
        put(train, stem, [[0, 1]])
    (train / "labels/lonely.png").unlink()
    Image.new("L", (5, 5)).save(train / "labels/size.png")
    Image.new("L", (2, 1), 77).save(train / "labels/value.png")
    (train / "images/cut.png").write_bytes((train / "images/cut.png").read_bytes()[:40])
    (train / "images/a_text.png").write_text("not a picture")  # the first of all
    Image.new("L", (2, 1)).save(train / "labels/a_text.png")
    Image.new("L", (2, 1)).save(root / "val/labels/ghost.png")

    found = inspected(Folders(str(root)))
    assert {p.file.name: p.what.partition(";")[0].partition(" (")[0] for p in found.problems} == {
        "lonely.png": "a picture without a label",
        "ghost.png": "a label without a picture",
        "a_text.png": "not a picture in a known format",
        "cut.png": "not a picture in a known format",
        "size.png": "the label is 5x5 but its picture size.png is 2x1",
        "value.png": "label value 77 outside the class table of 3 classes",
    }
    assert found.splits["train"].pixels.tolist() == [6, 1, 0, 1]
    assert "problems: 6" in found.text()
    assert found.to_json()["problems"][0].keys() == {"file", "problem"}


def test_a_set_that_cannot_be_opened_is_a_problem_too(root: Path) -> None:
    (root / "classes.txt").write_text("sky\nsky\n")
    found = inspected(Folders(str(root)))
    assert [p.file for p in found.problems] == [root / "classes.txt"]
    assert found.problems[0].what.startswith("class names must differ")
    assert json.dumps(found.to_json())
    assert "problems: 1" in found.text()


def test_progress_reaches_the_end_past_problems(root: Path) -> None:
    (root / "train/images/b.png").write_text("no picture")
    steps: list[tuple[int, int]] = []
    inspect(Folders(str(root)), progress=lambda done, total: steps.append((done, total)))
    assert steps == [(1, 3), (2, 3), (3, 3)]


def test_samples_are_few_spread_and_shrunk(tmp_path: Path) -> None:
    for i in range(40):
        put(tmp_path / "train", f"p{i:02d}", [[i % 2] * 8])
    put(tmp_path / "val", "large", [[1] * 1200] * 600)
    found = inspected(Folders(str(tmp_path)))
    assert len(found.samples) == 12
    names = [s["name"] for s in found.samples]
    assert names == sorted(set(names), key=names.index)
    assert names[0] == "p00.png"
    assert int(names[-1][1:3]) > 30
    alone = tmp_path / "alone"
    for split in ("train", "val"):
        put(alone / split, "large", [[1] * 1200] * 600)
    sample = inspected(Folders(str(alone))).samples[0]
    assert sample["image"].shape == (3, 256, 512)
    assert sample["mask"].shape == (256, 512)
    assert (sample["mask"] == 1).all()


def test_samples_that_cannot_be_read_are_replaced_by_the_next(tmp_path: Path) -> None:
    for i in range(24):
        put(tmp_path / "train", f"p{i:02d}", [[0, 1]])
    put(tmp_path / "val", "v", [[0, 1]])
    for i in range(4):
        (tmp_path / "train" / "images" / f"p{i:02d}.png").write_text("no picture")
    found = inspected(Folders(str(tmp_path)))
    assert (found.failed, dict(found.counts)) == (4, {"train": 20, "val": 1})
    names = [s["name"] for s in found.samples]
    assert len(names) == 12
    assert names[:3] == ["p04.png", "p05.png", "p06.png"]


def test_many_sizes_are_summed_up() -> None:
    found = SemanticFindings("x", "y")
    for width in (10, 20, 30, 40, 70):
        found.sizes[5, width] += 1
    assert found.sizes_text() == "5 different; width 10..70 (median 30), height 5..5 (median 5)"


def test_a_set_with_too_few_good_files_lists_every_bad_one_on_its_own(tmp_path: Path) -> None:
    """COCO whose list names five pictures of which one is there: nothing can be divided."""
    (tmp_path / "images").mkdir()
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / "images" / "0.jpg")
    images = [{"id": i, "file_name": f"{i}.jpg", "height": 9, "width": 9} for i in range(5)]
    content = {"images": images, "annotations": [], "categories": [{"id": 1, "name": "cow"}]}
    (tmp_path / "instances_all.json").write_text(json.dumps(content))
    found = inspected(COCO(str(tmp_path)))
    assert found.recognised == "COCO: cannot be opened"
    assert [p.file.name for p in found.problems] == [f"{i}.jpg" for i in range(1, 5)]
    assert all("\n" not in str(p) for p in found.problems)
