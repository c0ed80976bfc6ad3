"""The whole path of a co-localiser: train without a box, evaluate, report, predict; and what it does not do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foveate.cli import main
from foveate.datasets.pasture import Pasture

SMALL = [
    "--epochs", "1", "--batch_size", "4", "--config.encoder", "random", "--config.image_size", "32,32",
    "--config.widths", "4", "--config.localise_widths", "4", "--data.train", "12", "--data.val", "6",
    "--data.test", "0", "--data.height", "48", "--data.width", "48",
]  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "cows"
    assert main(["train", "colocalise_cows", "--out", str(out), *SMALL]) == 0
    return out


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "scene.png"
    sample = Pasture(48, 80, train=4, val=0, test=0).open("train", "colocalisation")[0]
    Image.fromarray(sample["image"].permute(1, 2, 0).numpy()).save(path)
    return path


def test_too_few_pictures_to_compare_still_make_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Their contrast is not a number, so that no epoch is better than another."""
    run = tmp_path / "run"
    seen = next(n for n in range(1, 9) if len(Pasture(48, 48, 1, n, 0).open("val", "colocalisation")) == 1)
    words = [*SMALL, "--epochs", "2", "--data.val", str(seen)]
    assert main(["train", "colocalise_cows", "--out", str(run), *words]) == 0
    told = capsys.readouterr().err
    assert "contrast nan" in told and told.count("best") == 2  # of equal epochs the later one is kept
    assert main(["evaluate", str(run)]) == 0


def test_evaluate_scores_and_reports(run: Path, tmp_path: Path) -> None:
    assert main(["evaluate", str(run), "--json", str(tmp_path / "scores.json")]) == 0
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert {"corloc", "mean_iou", "pointing", "random_corloc", "centre_corloc", "contrast"} <= set(scores)
    assert 0 < scores["mean_iou"] < 1
    page = (run / "report.html").read_text()
    for words in ("Co-localisation report", "CorLoc at random", "Best results", "Found at left"):
        assert words in page


def test_predict_draws_and_tells_where(run: Path, picture: Path, tmp_path: Path) -> None:
    assert main(["predict", str(run), str(picture), "--out", str(tmp_path)]) == 0
    (record,) = json.loads((tmp_path / "predictions.json").read_text())["pictures"]
    (box,) = record["boxes"]
    left, top, right, bottom = box
    # Half of the middle 48x48 of a picture of 80x48.
    assert (right - left, bottom - top) == pytest.approx((24, 24), abs=0.1)
    assert left >= 16 and right <= 64
    assert top >= 0 and bottom <= 48
    drawn = np.asarray(Image.open(tmp_path / record["overlay"]))
    assert drawn.shape[0] > 100


def test_what_it_does_not_do_is_said(run: Path, picture: Path, tmp_path: Path, complaint: Callable[..., str]) -> None:
    assert complaint("predict", str(run), str(picture), "--tile", "64", "--out", str(tmp_path)) == (
        "models for co-localisation have no option --tile; they have none: leave it out"
    )
    assert "co-localisation have no option --flip" in complaint(
        "predict", str(run), str(picture), "--flip", "--out", str(tmp_path)
    )
    assert complaint("export", str(run), "--out", str(tmp_path / "m.onnx")) == (
        "models for co-localisation have no ONNX export; use the run folder or the model folder"
    )
    assert not (tmp_path / "m.onnx").exists()


def test_a_folder_of_ones_own_pictures_needs_no_label(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenes = Pasture(48, 80, train=12, val=0, test=0).open("train", "colocalisation")
    (tmp_path / "mine").mkdir()
    for i in range(len(scenes)):
        image = scenes[i]["image"].permute(1, 2, 0).numpy()
        Image.fromarray(image).save(tmp_path / "mine" / f"{i}.png")
    own = [word for word in SMALL if not word.startswith("--data.")]
    own = [word for word in own if word not in {"12", "6", "0", "48"}]
    words = ["--data", str(tmp_path / "mine"), "--out", str(tmp_path / "run")]
    assert main(["train", "colocalise", *own, *words]) == 0
    told = capsys.readouterr()
    assert told.out.startswith("pictures without labels: ") and "corloc" not in told.err and "contrast" in told.err
    assert main(["evaluate", str(tmp_path / "run")]) == 0
    said = capsys.readouterr().out
    assert "note: no boxes in split val, which leaves CorLoc, IoU and pointing undefined." in said
    assert "No boxes are known of these pictures" in (tmp_path / "run" / "report.html").read_text()
    assert main(["predict", str(tmp_path / "run"), str(tmp_path / "mine"), "--out", str(tmp_path / "found")]) == 0
    assert len(list((tmp_path / "found").glob("*_overlay.jpg"))) == len(scenes)


def test_labels_are_still_asked_for_where_a_family_needs_them(
    picture: Path, tmp_path: Path, complaint: Callable[..., str]
) -> None:
    said = complaint("train", "fcn8s", "--data", str(picture.parent), "--out", str(tmp_path / "run"))
    assert "no known data format (1 picture without labels)" in said
