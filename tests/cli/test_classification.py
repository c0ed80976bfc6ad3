"""The whole path for a classifier with a spatial transformer, on pictures in folders by class."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import foveate
from foveate.cli import main

SMALL = [
    "--epochs", "3", "--batch_size", "8", "--augment.color", "0", "--optim.lr", "0.01", "--config.image_size", "24,24",
    "--config.view", "16,16", "--config.widths", "4,8", "--config.localise_widths", "4", "--config.hidden", "16",
]  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dark and light pictures, 12 of each to learn from and 4 to be judged by, of several sizes."""
    root = tmp_path_factory.mktemp("classes")
    rng = np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 4)):
        for name, low in (("dark", 0), ("light", 150)):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                size = (24 + i % 3, 30 - i % 2, 3)
                pixels = rng.integers(low, low + 100, size, dtype=np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "first"
    assert main(["train", "spatial_transformer", "--data", str(data), "--out", str(out), *SMALL]) == 0
    return out


def test_the_folder_of_the_data_takes_no_run(data: Path, complaint: Callable[..., str]) -> None:
    before = sorted(data.rglob("*"))
    told = complaint("train", "spatial_transformer", "--data", str(data), "--out", str(data / "train" / ".."), *SMALL)
    assert told.endswith("is the folder of the data; choose another one for the run with --out")
    assert sorted(data.rglob("*")) == before


def test_evaluate_counts_and_reports(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(run), "--json", str(tmp_path / "scores.json")]) == 0
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["images"] == 8
    assert scores["top1"] == 1
    assert scores["error_percent"] == 0
    assert scores["top5"] == 1
    assert scores["per_class"] == {"dark": 1, "light": 1}
    told = capsys.readouterr().out
    assert "top1                    1.0000" in told
    page = (run / "report.html").read_text()
    for words in ("Classification report", "Top-1 accuracy", "Effect of the spatial transformer", "Calibration"):
        assert words in page
    assert "Mean IoU" not in page
    row = (run / "metrics.csv").read_text().splitlines()[0]
    assert {"top1", "error_percent", "calibration_error", "train_loss"} <= set(row.split(","))


def test_the_table_of_pictures_has_the_true_and_the_predicted_class(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # One dark picture among the light ones.
    for name, file in (("light/a.png", "light/0.png"), ("light/b.png", "dark/0.png"), ("dark/c.png", "dark/1.png")):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_bytes((data / "val" / file).read_bytes())
    words = ["--data", str(tmp_path / "set"), "--split", "test", "--csv", str(tmp_path / "each.csv")]
    assert main(["evaluate", str(run), *words]) == 0, capsys.readouterr().err
    with (tmp_path / "each.csv").open(newline="") as file:
        rows = {Path(row["name"]).stem: row for row in csv.DictReader(file)}
    assert {name: (row["reference"], row["predicted"]) for name, row in rows.items()} == {
        "a": ("light", "light"), "b": ("light", "dark"), "c": ("dark", "dark"),
    }  # fmt: skip
    assert float(rows["b"]["probability"]) < 0.5


def test_predict_says_what_and_where(run: Path, data: Path, tmp_path: Path) -> None:
    assert main(["predict", str(run), str(data / "val"), "--out", str(tmp_path)]) == 0
    summary = json.loads((tmp_path / "predictions.json").read_text())
    assert summary["model"]["task"] == "classification"
    assert len(summary["pictures"]) == 8
    for record in summary["pictures"]:
        assert record["class"] == Path(record["file"]).parent.name
        assert record["top"][0]["class"] == record["class"]
        assert sum(entry["probability"] for entry in record["top"]) == pytest.approx(1, abs=1e-5)
        (transform,) = record["transforms"]
        assert np.shape(transform["corners"]) == (4, 2)
        assert record["looks"] == record["transforms"]  # the name of 0.1.0
        assert Image.open(tmp_path / record["overlay"]).height > 200
        assert "mask" not in record


def test_a_clip_shows_the_picture_in_motion(run: Path, data: Path, tmp_path: Path) -> None:
    picture = str(data / "val" / "light" / "0.png")
    assert main(["predict", str(run), picture, "--out", str(tmp_path), "--clip", "turn"]) == 0
    (record,) = json.loads((tmp_path / "predictions.json").read_text())["pictures"]
    clip = Image.open(tmp_path / record["clip"])
    assert clip.n_frames > 40  # type: ignore[attr-defined]
    assert clip.size == Image.open(tmp_path / record["overlay"]).size


def test_the_exported_file_says_the_same(run: Path, data: Path, tmp_path: Path) -> None:
    assert main(["export", str(run), "--out", str(tmp_path / "m.onnx")]) == 0
    ours, shipped = foveate.load(run, device="cpu"), foveate.load(tmp_path / "m.onnx")
    for path in sorted((data / "val").rglob("*.png")):
        np.testing.assert_allclose(shipped.predict(path).probabilities, ours.predict(path).probabilities, atol=1e-5)


def test_python_takes_arrays_grey_ones_too(run: Path) -> None:
    predictor = foveate.load(run, device="cpu")
    assert predictor.predict(np.full((40, 50), 230, np.uint8)).top(1)[0][0] == "light"
    assert predictor.predict(np.full((40, 50, 3), 20, np.uint8), flip=True).top(1)[0][0] == "dark"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--crf"], "models for image classification have no option --crf; theirs are --flip, --clip"),
        (["--tile", "256"], "models for image classification have no option --tile; theirs are --flip, --clip"),
    ],
)
def test_flags_of_label_maps_are_refused(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    assert main(["predict", str(run), str(data / "val"), "--out", str(tmp_path), *words]) == 1
    assert told in capsys.readouterr().err


def test_families_do_not_mix(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "fcn8s", "--data", str(data), "--out", str(tmp_path / "r")]) == 1
    assert "looks like class folders, which is not for semantic" in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


def test_digits_need_their_files(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "st_cnn_affine_mnist_r"]) == 1
    assert "say where they are with --data PATH" in capsys.readouterr().err
