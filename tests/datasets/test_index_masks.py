"""`foveate datasets masks`: index masks that are derived from LabelMe files."""

import json

import numpy as np
import pytest
from PIL import Image

from foveate import cli
from foveate.datasets import recognise


@pytest.fixture
def data(tmp_path):
    for number in range(3):
        Image.new("RGB", (30, 20), (9 * number, 0, 0)).save(tmp_path / f"p{number}.png")
        shapes = [
            {"label": "cow", "points": [[2, 2], [20, 2], [20, 15]]},
            {"label": "sky", "points": [[0, 0], [9, 0], [9, 9]]},
        ]
        content = {"imagePath": f"p{number}.png", "imageHeight": 20, "imageWidth": 30, "shapes": shapes[number % 2 :]}
        (tmp_path / f"p{number}.json").write_text(json.dumps(content))
    (tmp_path / "classes.txt").write_text("sky #8080ff\ncow #ff0000\nunlabelled: ignore\n")
    return tmp_path


def test_masks_hold_what_the_reader_reads(data, capsys):
    assert cli.main(["datasets", "masks", str(data)]) == 0
    assert capsys.readouterr().out == f"3 index masks written to {data / 'labels'}, 0 were there already\n"
    source = recognise(data)
    for split in source.splits():
        for sample in source.open(split):
            with Image.open(data / "labels" / sample["name"]) as image:
                assert np.array_equal(np.asarray(image), sample["mask"].numpy())
                assert image.getpalette()[:6] == [128, 128, 255, 255, 0, 0]
                assert json.loads(image.text["foveate-classes"]) == ["sky", "cow"]
    assert cli.main(["datasets", "masks", str(data)]) == 0
    assert capsys.readouterr().out.startswith("0 index masks written")


def test_masks_follow_their_file_and_spare_those_of_others(data, capsys):
    cli.main(["datasets", "masks", str(data)])
    content = json.loads((data / "p0.json").read_text())
    content["shapes"] = content["shapes"][:1]
    (data / "p0.json").write_text(json.dumps(content))
    Image.new("L", (30, 20), 7).save(data / "labels" / "p1.png")
    (data / "p2.json").write_text("{")
    capsys.readouterr()
    assert cli.main(["datasets", "masks", str(data)]) == 1
    out = capsys.readouterr().out
    assert out.startswith("1 index mask written") and "p1.png: was not derived from p1.json, and is left alone" in out
    assert "p2.json: malformed JSON" in out
    assert np.asarray(Image.open(data / "labels" / "p1.png"))[0, 0] == 7


def test_a_class_list_is_needed(data, capsys):
    (data / "classes.txt").unlink()
    assert cli.main(["datasets", "masks", str(data)]) == 1
    assert "no class list; index masks need both" in capsys.readouterr().err
    assert cli.main(["datasets", "masks"]) == 1
    assert "masks needs a folder: foveate datasets masks PATH" in capsys.readouterr().err


def test_a_label_outside_of_the_list_is_named(data, capsys):
    (data / "classes.txt").write_text("sky\ncows\n")
    assert cli.main(["datasets", "masks", str(data)]) == 1
    out = capsys.readouterr().out
    assert "p0.json: unknown label 'cow'; the nearest is 'cows'; correct it there, or add it to the class list" in out
