from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from idx_files import put
from PIL import Image

from foveate.datasets.class_folders import ClassFolders
from foveate.datasets.distorted_mnist import DistortedMNIST
from foveate.datasets.idx import Idx
from foveate.datasets.pasture import Pasture
from foveate.engine.inspection import inspect
from foveate.records import DataSource
from foveate.tasks.classification.inspection import ClassificationFindings


def inspected(source: DataSource, task: str = "", **options: Any) -> ClassificationFindings:
    found = inspect(source, task, **options)
    assert isinstance(found, ClassificationFindings)
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, counts in (("cow", (3, 1)), ("hen", (1, 2))):
        for split, count in zip(("train", "val"), counts, strict=True):
            (tmp_path / split / name).mkdir(parents=True)
            for i in range(count):
                Image.new("RGB", (4, 3 + i)).save(tmp_path / split / name / f"{i}.png")
    (tmp_path / "classes.txt").write_text("hen\ncow\nyak\n")
    return tmp_path


def test_counts_by_hand(root: Path) -> None:
    found = inspected(ClassFolders(str(root)))
    assert found.problems == []
    assert {s: n.tolist() for s, n in found.splits.items()} == {"train": [1, 3, 0], "val": [2, 1, 0]}
    assert dict(found.counts) == {"train": 4, "val": 3}
    assert found.shares() == {"hen": 3 / 7, "cow": 4 / 7, "yak": 0.0}
    assert found.sizes == {(3, 4): 4, (4, 4): 2, (5, 4): 1}
    assert found.channels == {3: 7}
    assert [(s["label"], s["name"]) for s in found.samples][:4] == [
        (0, "hen/0.png"), (0, "hen/0.png"), (0, "hen/1.png"), (1, "cow/0.png"),
    ]  # fmt: skip


def test_json_and_text(root: Path) -> None:
    found = inspected(ClassFolders(str(root)))
    data = json.loads(json.dumps(found.to_json()))
    assert data["task"] == "classification"
    assert data["pictures"] == {"train": 4, "val": 3}
    assert data["classes"][1] == {"name": "cow", "share": 4 / 7, "pictures": {"train": 3, "val": 1}}
    assert data["channels"] == {"3": 7}
    assert "ignore_index" not in data
    lines = found.text().splitlines()
    assert lines[0] == "class folders: 4 train, 3 val pictures, 3 classes"
    assert lines[1:3] == ["pictures: train 4, val 3", "sizes: 4x3 (4), 4x4 (2), 4x5 (1)"]
    assert lines[3:5] == ["channels: 3 (7)", "intensities: 8 bits, 0..0"]
    assert lines[5:-1] == [
        "   class  name  of pictures    train      val",
        "       0  hen        42.86%        1        2",
        "       1  cow        57.14%        3        1",
        "       2  yak         0.00%        0        0  nothing to learn it from",
    ]
    assert lines[-1] == "problems: none"


def test_every_problem_is_named_and_the_rest_is_counted(root: Path) -> None:
    (root / "train/cow/0.png").write_text("no picture")
    (root / "val/owl").mkdir()
    Image.new("RGB", (2, 2)).save(root / "val/astray.png")
    steps: list[tuple[int, int]] = []
    found = inspected(ClassFolders(str(root)), progress=lambda done, total: steps.append((done, total)))
    assert sorted({p.file.name for p in found.problems}) == ["0.png", "astray.png", "owl"]
    assert {s: n.tolist() for s, n in found.splits.items()} == {"train": [1, 2, 0], "val": [2, 1, 0]}
    assert steps == [(i, 7) for i in range(1, 8)]
    assert "0.png: not a picture in a known format" in found.text()


def test_a_broken_part_of_idx_files_does_not_hide_the_others(tmp_path: Path) -> None:
    put(tmp_path, "train", np.zeros((5, 2, 2), np.uint8), np.arange(5))
    put(tmp_path, "t10k", np.zeros((3, 2, 2), np.uint8), np.arange(3))
    file = tmp_path / "t10k-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:-1])
    found = inspected(Idx(str(tmp_path)))
    assert dict(found.counts) == {"train": 4, "val": 1}
    assert [(p.file, p.what.partition(":")[0]) for p in found.problems] == [(file, "truncated")]
    file.with_name("train-labels-idx1-ubyte").write_bytes(b"")
    found = inspected(Idx(str(tmp_path)))
    assert found.splits == {} and len(found.problems) == 1
    assert "cannot be opened" in found.text() and json.dumps(found.to_json())


def test_what_is_drawn_is_drawn_many_at_once_and_every_class_is_shown(tmp_path: Path) -> None:
    images = np.full((300, 28, 28), 7, np.uint8)
    for part in ("train", "val"):
        put(tmp_path, part, images, np.sort(np.arange(300) % 10))
    source = DistortedMNIST(str(tmp_path), "clutter")
    found = inspected(source)
    assert dict(found.counts) == {"train": 300, "val": 300}
    assert found.splits["train"].tolist() == [30] * 10
    assert found.sizes == {(60, 60): 600}
    assert [s["label"] for s in found.samples] == [k for k in range(10) for _ in range(2)]
    assert np.array_equal(found.samples[2]["image"], source.open("train")[30]["image"])


def test_the_pasture(tmp_path: Path) -> None:
    found = inspected(Pasture(32, 32, train=4, val=2, test=0, question="cows"), "classification")
    assert dict(found.counts) == {"train": 4, "val": 2}
    assert found.classes is not None and found.classes.names == ("no cow", "one cow", "two cows")
