"""`foveate datasets inspect` on pictures of classes, and with a data set's own fields."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foveate import cli
from foveate.registry import entries


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    folder = tmp_path / "digits"
    folder.mkdir()
    for part, count in (("train", 20), ("val", 4)):
        images = struct.pack(">I3I", 0x803, count, 28, 28) + bytes([200] * (count * 28 * 28))
        labels = struct.pack(">II", 0x801, count) + bytes(i % 10 for i in range(count))
        (folder / f"{part}-images-idx3-ubyte").write_bytes(images)
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(labels)
    return folder


def inspected(folder: Path, *words: str) -> tuple[dict, Image.Image]:
    sheet, found = folder.parent / "sheet.jpg", folder.parent / "found.json"
    assert cli.main(["datasets", "inspect", *words, "--sheet", str(sheet), "--json", str(found)]) == 0
    return json.loads(found.read_text()), Image.open(sheet)


def test_class_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "animals"
    for shade, name in enumerate(("cow", "hen")):
        (folder / name).mkdir(parents=True)
        for i in range(4):
            Image.fromarray(np.full((20, 30, 3), 90 * (shade + 1), np.uint8)).save(folder / name / f"{i}.png")
    found, sheet = inspected(folder, str(folder), "--seed", "3")
    assert found["classes"][0]["pictures"] == {"train": 3, "val": 1}
    assert sorted(p.name for p in folder.iterdir()) == ["cow", "hen"]  # nothing is written that was not asked for
    told = capsys.readouterr().out
    assert "class folders: 6 train, 2 val pictures (split drawn from seed 3), 2 classes" in told
    shades = np.asarray(sheet.convert("L"))
    assert (np.abs(shades.astype(int) - 90) < 3).mean() > 0.1
    (folder / "cow" / "0.png").write_text("no picture")
    assert cli.main(["datasets", "inspect", str(folder), "--sheet", str(tmp_path / "s.PNG")]) == 1
    assert Image.open(tmp_path / "s.PNG").format == "PNG"  # as its name says
    assert "cow/0.png: not a picture in a known format" in capsys.readouterr().out
    assert cli.main(["datasets", "inspect", str(folder), "--sheet", str(tmp_path / "s.webp")]) == 1
    assert capsys.readouterr().err.strip().endswith("s.webp; a sheet is a picture whose name ends in .jpg, .jpeg, .png")


def test_digits_as_they_are_and_distorted(digits: Path) -> None:
    found, _ = inspected(digits, str(digits))
    assert found["sizes"] == [{"width": 28, "height": 28, "pictures": 24}]
    for kind, side, classes in (("rts", 42, 10), ("p_hard", 28, 10), ("addition", 42, 19)):
        found, _ = inspected(digits, str(digits), "--as", "distorted_mnist", "--kind", kind)
        assert found["recognised"].startswith(f"distorted MNIST, {kind}: 20 train, 4 val pictures of {side}x{side}")
        assert len(found["classes"]) == classes


def test_a_world_with_a_question(tmp_path: Path) -> None:
    fields = "--question cows --train 3 --val=1 --test 0 --height 32 --width 32"
    found, _ = inspected(tmp_path / "x", "pasture", "--task", "classification", *fields.split())
    assert found["pictures"] == {"train": 3, "val": 1}
    assert [c["name"] for c in found["classes"]] == ["no cow", "one cow", "two cows"]


def test_one_class_is_none(tmp_path: Path, complaint: Callable[..., str]) -> None:
    (tmp_path / "one" / "cow").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "one" / "cow" / "a.png")
    told = complaint("datasets", "inspect", str(tmp_path / "one"))
    assert "as class folders it holds one class, 'cow'; a classifier needs two or more, a folder each; looked" in told


def test_a_sheet_that_cannot_be_drawn_is_not_waited_for(
    tmp_path: Path, complaint: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foveate.engine.inspection.inspect", lambda *_: pytest.fail("it was inspected"))
    told = complaint("datasets", "inspect", "pasture", "--sheet", str(tmp_path))
    assert told == f"{tmp_path} is a folder; name a file in a folder"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("inspect distorted_mnist", "'distorted_mnist' needs a folder: foveate datasets inspect PATH"),
        ("inspect DIGITS --as pasture", "'pasture' generates its data and takes no folder: foveate datasets inspect"),
        ("inspect DIGITS --as mnist", "unknown dataset 'mnist'; the nearest is 'distorted_mnist'"),
        (
            "inspect DIGITS --as distorted_mnist --kind q",
            "--kind is 'q'; expected one of r, rts, p, e, clutter, addition, rts_hard, p_hard",
        ),
        ("inspect DIGITS --as distorted_mnist --knd r", "unknown flag '--knd'; the nearest is '--kind'"),
        ("inspect DIGITS --path x", "unknown flag '--path'"),
        ("inspect pasture --sede 3", "unknown flag '--sede'; the nearest is '--seed'"),
        ("--kind rts", "unknown flag '--kind'"),
        ("inspect --kind rts", "unknown flag '--kind'"),
    ],
)
def test_a_wrong_command_is_one_line_that_helps(
    words: str, expected: str, digits: Path, complaint: Callable[..., str]
) -> None:
    assert complaint("datasets", *words.replace("DIGITS", str(digits)).split()).startswith(expected)


def test_a_format_to_convert_to_is_named_where_it_belongs(digits: Path, complaint: Callable[..., str]) -> None:
    told = complaint("datasets", "convert", str(digits), "out", "--format", "labelme")
    assert told == "--format is text or json, got labelme; a data set is converted by --to labelme"


def test_a_family_is_chosen(tmp_path: Path, complaint: Callable[..., str]) -> None:
    fields = ["--train", "6", "--val", "2", "--test", "0", "--height", "32", "--width", "32"]
    for name in ("pasture", "pasture_cows"):  # the second: a name of earlier versions
        found, _ = inspected(tmp_path / "x", name, "--task", "colocalisation", *fields)
        assert found["task"] == "colocalisation"
        assert found["boxes_a_picture"]
    found, _ = inspected(tmp_path / "x", "pasture", *fields)
    assert found["task"] == "semantic"
    told = complaint("datasets", "inspect", "pasture", "--task", "qqqqqq", *fields)
    assert told == f"unknown family of models 'qqqqqq'; known: {', '.join(entries('task'))}"


def test_a_name_that_is_no_family_is_said_of_a_folder_too(digits: Path, complaint: Callable[..., str]) -> None:
    told = complaint("datasets", "inspect", str(digits), "--task", "classificatoin")
    assert told == "unknown family of models 'classificatoin'; the nearest is 'classification'"
    told = complaint("datasets", "inspect", str(digits), "--as", "distorted_mnist", "--task", "captioning")
    assert "data for classification, not for captioning" in told


def test_a_folder_is_read_for_a_family(tmp_path: Path) -> None:
    """COCO's folder holds objects and captions: without a family it is read for objects."""
    folder = tmp_path / "coco"
    folder.mkdir()
    square = [[1, 1, 5, 1, 5, 5, 1, 5]]
    for split in ("train", "val"):
        Image.new("RGB", (8, 8)).save(folder / f"{split}.png")
        images = [{"id": 1, "file_name": f"{split}.png"}]
        objects = [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": square}]
        content = {"images": images, "annotations": objects, "categories": [{"id": 1, "name": "cow"}]}
        (folder / f"instances_{split}.json").write_text(json.dumps(content))
        captions = [{"id": 1, "image_id": 1, "caption": "A cow."}]
        (folder / f"captions_{split}.json").write_text(json.dumps({"images": images, "annotations": captions}))
    assert inspected(folder, str(folder))[0]["task"] == "semantic"
    assert inspected(folder, str(folder), "--task", "captioning")[0]["captions"] == {"train": 1, "val": 1}
