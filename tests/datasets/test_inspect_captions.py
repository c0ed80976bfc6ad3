from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foveate.cli import main
from foveate.datasets.captions.flickr import Flickr
from foveate.datasets.captions.table import CaptionTable
from foveate.datasets.pasture import Pasture
from foveate.engine.inspection import inspect
from foveate.errors import ConfigError, DataError
from foveate.records import DataSource
from foveate.tasks.captioning.inspection import CaptioningFindings
from foveate.tasks.captioning.sheet import caption_sheet, wrapped
from foveate.visualize.lettering import letters


def inspected(source: DataSource, task: str = "") -> CaptioningFindings:
    found = inspect(source, task)
    assert isinstance(found, CaptioningFindings)
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for i, name in enumerate("abcd"):
        Image.new("RGB", (4 + i, 3)).save(tmp_path / f"{name}.png")
    rows = ["image,caption,split", "a.png,A dog .,train", "a.png,A red dog runs,train", "b.png,Cats,val", "b.png,A,val"]
    (tmp_path / "c.csv").write_text("\n".join([*rows, "c.png,A man's dog,train"]) + "\n")
    return tmp_path


def test_counts_by_hand(root: Path) -> None:
    found = inspected(CaptionTable(str(root)))
    assert dict(found.counts) == {"train": 2, "val": 1}
    assert found.captions() == {"train": 3, "val": 2}
    assert found.lengths == Counter({2: 1, 4: 1, 1: 2, 3: 1})
    assert found.words == {"a": 4, "dog": 3, "red": 1, "runs": 1, "cats": 1, "man's": 1}
    assert (found.remarks, found.problems) == ({"without_captions": 1, "left_out": []}, [])
    assert found.sizes == {(3, 4): 1, (3, 5): 1, (3, 6): 1}
    assert [(s["name"], s["captions"][0].text) for s in found.samples][-1] == ("b.png", "Cats")


def test_json_and_text(root: Path) -> None:
    found = inspected(CaptionTable(str(root)))
    data = json.loads(json.dumps(found.to_json()))
    assert data["task"] == "captioning"
    assert data["captions"] == {"train": 3, "val": 2}
    assert data["captions_a_picture"] == {"least": 1, "median": 2, "most": 2}
    assert data["words_a_caption"] == {"least": 1, "median": 2, "most": 4}
    assert data["words"]["different"] == 6
    assert data["words"]["once"] == 4
    assert data["words"]["most_common"][:2] == [{"word": "a", "times": 4}, {"word": "dog", "times": 3}]
    assert data["without_captions"] == 1
    assert found.text().splitlines()[1:] == [
        "pictures: train 2, val 1",
        "sizes: 4x3 (1), 6x3 (1), 5x3 (1)",
        "channels: 3 (3)",
        "intensities: 8 bits, 0..0",
        "captions: train 3, val 2",
        "captions a picture: 1..2 (median 2)",
        "words a caption: 1..4 (median 2)",
        "words: 6 different, 4 of them used once",
        "most often: a, dog, red, runs, man's, cats",
        "pictures without captions: 1, left out",
        "problems: none",
    ]


def test_problems_do_not_hide_the_rest(root: Path) -> None:
    (root / "a.png").write_text("no picture")
    with (root / "c.csv").open("a") as file:
        file.write("b.png,,val\ngone.png,A cat,val\n")
    found = inspected(CaptionTable(str(root)))
    assert dict(found.counts) == {"train": 1, "val": 1}
    text = found.text()
    for part in ("line 7: an empty caption of 'b.png'", "captions of 'gone.png'", "a.png: not a picture"):
        assert part in text
    assert len(found.problems) == 3


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    for i in range(100):
        Image.new("RGB", (2, 2)).save(tmp_path / f"{i:03d}.png")
    lines = [f"{name}.png#0\tA cat" for name in ("gone", *(f"{i:03d}" for i in range(100)))]
    (tmp_path / "x.token.txt").write_text("\n".join(lines))
    found = inspected(Flickr(str(tmp_path)))
    assert found.problems == []
    assert "captions left out, of pictures that are not there: gone.png" in found.text()
    assert found.to_json()["left_out"] == ["gone.png"]


def test_a_set_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "x.token.txt").write_text("a.jpg#0\tA\n")
    found = inspected(Flickr(str(tmp_path)))
    assert found.recognised == "Flickr: cannot be opened"
    assert "none of 1 picture (a.jpg, ...)" in str(found.problems[0])


def test_a_family_that_is_not_served_or_that_nobody_has_registered(root: Path) -> None:
    with pytest.raises(ConfigError, match=rf"{root}: data for captioning, not for semantic; choose one of these"):
        inspect(CaptionTable(str(root)), "semantic")
    with pytest.raises(ConfigError, match="unknown family of models 'hearing'"):
        inspect(Pasture(train=1), "hearing")


def test_the_pasture(tmp_path: Path) -> None:
    found = inspected(Pasture(height=32, width=40, train=3, val=1, test=0), "captioning")
    assert found.to_json()["captions"] == {"train": 15, "val": 5}
    assert len(found.samples) == 4
    assert found.sizes == {(32, 40): 4}


def test_the_command_draws_a_sheet(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sheet = tmp_path / "out" / "sheet.jpg"
    sheet.parent.mkdir()
    assert (
        main(["datasets", "inspect", str(root), "--sheet", str(sheet), "--json", str(sheet.with_suffix(".json"))]) == 0
    )
    assert f"contact sheet: {sheet}" in capsys.readouterr().out
    assert json.loads(sheet.with_suffix(".json").read_text())["task"] == "captioning"
    with Image.open(sheet) as image:
        assert image.width > 700


# ---- the sheet


def test_captions_stand_under_their_pictures() -> None:
    white = np.full((20, 40, 3), 255, np.uint8)
    short, long = (np.asarray(caption_sheet([(white, text, "n")], thumb=120)) for text in ("a", "word " * 30))
    assert short.shape[1] == long.shape[1]
    assert long.shape[0] > short.shape[0]
    assert (short[80:] < 128).any()  # something is written beneath
    blank = np.asarray(caption_sheet([(white, "", "")], thumb=120))
    assert (blank > 250).all()
    with pytest.raises(DataError, match="no samples for a contact sheet"):
        caption_sheet([])


def test_wrapping() -> None:
    font = letters(12)
    text = "A brown cow is grazing next to a tall tree in the evening."
    lines = wrapped(text, font, 100, 9)
    assert " ".join(lines) == text
    assert all(font.getlength(line) <= 100 for line in lines)
    assert all(font.getlength(f"{a} {b.split()[0]}") > 100 for a, b in pairwise(lines))
    cut = wrapped(text, font, 100, 2)
    assert cut[0] == lines[0]
    assert len(cut) == 2
    assert cut[1].endswith("...")
    assert all(font.getlength(line) <= 100 for line in [*cut, *wrapped("w" * 50, font, 100, 2)])
    assert wrapped("", font, 100, 2) == []
