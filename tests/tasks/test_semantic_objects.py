"""Objects of label maps: parts, their split where they narrow, and the files that `foveate predict` writes of them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import foveate
from foveate.cli import main
from foveate.errors import ConfigError
from foveate.records import ClassTable, SemanticPrediction
from foveate.store import save_model
from foveate.tasks.semantic import objects
from foveate.tasks.semantic.inference import SemanticOptions
from foveate.tasks.semantic.objects import objects_in

CELLS = ClassTable(("background", "cell", "debris"))


def discs(*centres: tuple[int, int, int]) -> np.ndarray:
    y, x = np.mgrid[:60, :90]
    return np.any([(x - a) ** 2 + (y - b) ** 2 <= r**2 for a, b, r in centres], axis=0)


def found(labels: np.ndarray, classes: ClassTable = CELLS, **options: int) -> list[tuple[str, int]]:
    prediction = objects_in(SemanticPrediction(labels.astype(np.uint8), classes), **options)
    names = prediction.classes.names
    return [(names[k], int(a)) for k, a in zip(prediction.found.labels, prediction.found.areas, strict=True)]


def test_parts_of_a_class_are_objects_and_the_background_is_none() -> None:
    labels = discs((15, 20, 8)) * 1 + discs((50, 30, 6)) * 2
    assert found(labels) == [("cell", int(discs((15, 20, 8)).sum())), ("debris", int(discs((50, 30, 6)).sum()))]
    assert found(np.zeros((9, 9))) == []


def test_a_table_without_background_has_only_objects() -> None:
    names = {name for name, _ in found(discs((15, 20, 8)), ClassTable(("grass", "cow")))}
    assert names == {"grass", "cow"}
    assert found(np.full((4, 5), 255), ClassTable(("grass", "cow"))) == []  # no class
    assert found(np.zeros((4, 5)), ClassTable(("background",))) == [("background", 20)]  # there is no other
    assert objects_in(SemanticPrediction(np.zeros((4, 5), np.uint8), CELLS)).classes.colors == CELLS.colors[1:]


def test_discs_that_touch_come_apart_and_pixels_are_kept() -> None:
    pair = discs((25, 30, 12), (44, 30, 12))
    areas = [area for _, area in found(pair)]
    assert len(areas) == 2 and sum(areas) == pair.sum() and min(areas) > 0.48 * pair.sum()
    numbers = objects_in(SemanticPrediction(pair.astype(np.uint8), CELLS)).found.numbers()
    assert ((numbers > 0) == pair).all()
    assert numbers[30, 20] != numbers[30, 49] and numbers[30, 34] in (numbers[30, 20], numbers[30, 49])
    assert found(pair, divide=False) == [("cell", pair.sum())]


def test_a_round_disc_and_a_bar_stay_one() -> None:
    bar = np.zeros((60, 90), bool)
    bar[20:30, 10:80] = True
    assert len(found(discs((40, 30, 20)))) == 1
    assert len(found(discs((36, 30, 12), (42, 30, 12)))) == 1  # a waist of less than a pixel
    assert len(found(discs((34, 30, 12), (44, 30, 12)))) == 2  # of more than one
    assert found(bar) == [("cell", 700)]


def test_parts_that_meet_at_a_corner_are_connected() -> None:
    labels = np.zeros((12, 12))
    labels[2:4, 2:4] = labels[4:6, 4:6] = 1
    assert found(labels) == [("cell", 8)]
    labels[4:6, 4:6] = 2  # of another class
    assert found(labels) == [("cell", 4), ("debris", 4)]


def test_small_parts_are_left_out() -> None:
    labels = discs((15, 20, 8)).astype(int)
    labels[50, 70:73] = 1
    assert len(found(labels, least_area=3)) == 2
    assert len(found(labels, least_area=4)) == 1
    ((_, area),) = found(discs((30, 30, 12), (46, 30, 6)), least_area=150)  # what a part is split into, too
    assert 400 < area < 460


def test_a_part_too_large_to_split_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "MOST_PIXELS", 500)
    prediction = objects_in(SemanticPrediction(discs((25, 30, 12), (44, 30, 12), (80, 10, 4)).astype(np.uint8), CELLS))
    assert len(prediction.found) == 2
    assert prediction.note.startswith("1 connected part of more than 500 pixels, with the window around it, counted as")
    disc = SemanticPrediction(discs((25, 30, 12)).astype(np.uint8), CELLS)  # 441 pixels in a window of 625
    assert objects_in(disc).note.startswith("1 connected part") and not objects_in(disc, divide=False).note


def test_options_of_objects_need_objects() -> None:
    for given in ({"least_area": 5}, {"pixel_size": 0.5}):
        with pytest.raises(ConfigError, match="are for objects of a label map; give --objects as well"):
            SemanticOptions(**given)
        SemanticOptions(objects=True, **given)
    with pytest.raises(ConfigError, match="least_area is 0; give a number of pixels, 1 or more"):
        SemanticOptions(objects=True, least_area=0)
    for size in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match=r"pixel_size is .*; give a length above 0"):
            SemanticOptions(objects=True, pixel_size=size)


def test_predict_writes_the_files_of_objects(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    model = foveate.create("fcn32s", num_classes=3, backbone="test_efficientnet", head_channels=8, head_kernel=1)
    torch.nn.init.normal_(model.score.weight)
    save_model(tmp_path / "model", model, "fcn32s", {"classes": CELLS}, "semantic")
    pixels = np.random.default_rng(0).integers(0, 256, (70, 90, 3), dtype=np.uint8)
    for name in ("a", "b"):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    words = [str(tmp_path / "model"), str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    out = tmp_path / "out"
    assert main(["predict", *words, "--out", str(out), "--objects", "--pixel-size", "0.5"]) == 0
    told = capsys.readouterr().out
    records = json.loads((out / "predictions.json").read_text())["pictures"]
    assert f"a.png: {records[0]['count']} object" in told
    assert {p.name for p in out.iterdir()} == {
        *(f"{name}{end}" for name in "ab" for end in (".png", "_mask.png", ".json", "_overlay.jpg")),
        "objects.csv", "images.csv", "objects.json", "predictions.json",
    }  # fmt: skip
    numbers, mask = np.array(Image.open(out / "a.png")), np.array(Image.open(out / "a_mask.png"))
    assert numbers.max() == records[0]["count"] and ((numbers > 0) == (mask > 0)).all()
    with (out / "objects.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["image"] == "a.png"]
    assert [float(row["area"]) for row in rows] == [int((numbers == k).sum()) / 4 for k in range(1, numbers.max() + 1)]
    assert {row["score"] for row in rows} == {"1.0"}
    # Without the option nothing of this is written.
    assert main(["predict", *words, "--out", str(tmp_path / "plain")]) == 0
    assert {p.name for p in (tmp_path / "plain").iterdir()} == {
        "a.png", "b.png", "a_overlay.jpg", "b_overlay.jpg", "predictions.json",
    }  # fmt: skip
