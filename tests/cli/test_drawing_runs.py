"""Drawing from the command line: a folder of pictures -> a run -> scores, a report, new pictures, an exported file."""

import json
import shlex
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import foveate
from foveate import cli

SMALL = shlex.split(
    "--config.image_size 12,12 --config.glimpses 3 --config.hidden 8 --config.latent 3 --config.read 3 "
    "--config.write 3 --epochs 1 --batch_size 4 --validate_every 1"
)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Twelve pictures of discs in colour, without labels."""
    root = tmp_path_factory.mktemp("pictures")
    rows, columns = np.mgrid[:12, :14]
    generator = np.random.default_rng(0)
    for i in range(12):
        y, x, r = generator.uniform(3, 9, 3)
        disc = ((rows - y) ** 2 + (columns - x) ** 2 < r)[..., None] * generator.integers(60, 255, 3)
        Image.fromarray(disc.astype(np.uint8)).save(root / f"{i:02d}.png")
    return root


@pytest.fixture(scope="module")
def run(pictures, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "draw"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    assert cli.main(["train", "draw", "--data", str(pictures), "--out", str(out), *SMALL]) == 0
    torch.set_num_threads(threads)
    return out


def test_a_folder_of_pictures_is_trained_on(run, pictures, capsys):
    recipe = json.loads((run / "recipe.json").read_text())
    assert recipe["data"]["dataset"] == "picture_folder"
    assert recipe["config"]["pixels"] == "discrete" and recipe["config"]["in_channels"] == 3
    assert (pictures / "splits.json").is_file()
    assert (run / "metrics.csv").read_text().startswith("epoch,train_loss,train_reconstruction,train_kl")
    assert cli.main(["datasets", "inspect", str(pictures), "--task", "drawing"]) == 0
    assert "pictures without labels: 10 train, 2 val pictures" in capsys.readouterr().out.replace(
        "9 train, 3", "10 train, 2"
    )


def test_without_a_family_labels_are_what_is_missing(pictures, complaint):
    line = complaint("datasets", "inspect", str(pictures))
    assert "no known data format" in line and "no labels of these pictures were found" in line
    assert "no known data format" in complaint("train", "fcn8s", "--data", str(pictures))


def test_it_is_evaluated_and_reported(run, tmp_path, capsys):
    assert cli.main(["evaluate", str(run), "--json", str(tmp_path / "scores.json")]) == 0
    captured = capsys.readouterr()
    assert "14x12 pixels, resized to the model's 12x12" in captured.err
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["nats"] == pytest.approx(scores["bits_per_dimension"] * 3 * 144 * np.log(2))
    assert scores["nats_iw50"] <= scores["nats"] and scores["nats_static"] is None
    page = (run / "report.html").read_text()
    for heading in ("Samples", "Step by step", "Nearest training pictures", "Paths of the window", "Reconstructions"):
        assert heading in page


def test_it_generates(run, tmp_path, capsys):
    out = tmp_path / "drawn"
    words = ["generate", str(run), "--count", "5", "--seed", "7", "--out", str(out)]
    assert cli.main(words) == 0
    assert "generated: 5 samples" in capsys.readouterr().out
    summary = json.loads((out / "predictions.json").read_text())
    assert summary["seed"] == 7 and [one["file"] for one in summary["samples"]] == [f"sample_{i:04d}" for i in range(5)]
    assert len(summary["samples"][0]["windows"]) == 3
    assert Image.open(out / summary["samples"][4]["image"]).size == (12, 12)
    with Image.open(out / summary["drawing"]) as clip:
        assert clip.n_frames == 5  # the start, three steps, and the end without a window
    assert (out / "grid.png").is_file() and (out / "interpolation.png").is_file()
    drawn = foveate.load(run).generate(count=2, seed=7).predictions[1].canvases[-1]
    written = np.asarray(Image.open(out / "sample_0001.png"))
    np.testing.assert_array_equal(written, np.rint(drawn * 255).astype(np.uint8))


def test_the_exported_file_draws_the_same(run, tmp_path, capsys):
    file = tmp_path / "draw.onnx"
    assert cli.main(["export", str(run), "--out", str(file)]) == 0
    assert f"foveate generate {file} --out DIR" in capsys.readouterr().out
    expected, found = (foveate.load(path).generate(3, 1).predictions for path in (run, file))
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(other.canvases, one.canvases, atol=1e-4)
        np.testing.assert_allclose(other.write, one.write, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--count", "0"], "--count is 0; give a whole number from 1 to 10000"),
        (["--count", "1000000"], "--count is 1000000; give a whole number from 1 to 10000"),
        (["--count", "many"], "--count is many; give a whole number from 1 to 10000"),
        (["--seed", "-1"], "--seed is -1; give a whole number from 0"),
        (["--bias", "1"], "have no option --bias"),
    ],
)
def test_bad_values_are_one_line(run, words, message, complaint, tmp_path):
    flag, value = words
    line = complaint("generate", str(run), f"{flag}={value}", "--out", str(tmp_path / "x"))
    assert message in line or "unknown flag '--bias'" in line
    assert not (tmp_path / "x").exists()


def test_results_of_another_run_are_kept(run, tmp_path, complaint):
    out = tmp_path / "drawn"
    assert cli.main(["generate", str(run), "--out", str(out)]) == 0
    shutil.copytree(run, tmp_path / "other")
    assert "holds 1 result of" in complaint("generate", str(tmp_path / "other"), "--out", str(out))


def test_a_picture_that_cannot_be_read_is_named(tmp_path, complaint):
    root = tmp_path / "pictures"
    root.mkdir()
    for i in range(6):
        Image.new("RGB", (12, 12), (i, 0, 0)).save(root / f"{i}.png")
    (root / "3.png").write_bytes(b"no picture")
    line = complaint("train", "draw", "--data", str(root), "--out", str(tmp_path / "run"), *SMALL)
    assert "3.png" in line


def test_a_single_picture_is_refused(tmp_path, complaint):
    root = tmp_path / "pictures"
    root.mkdir()
    Image.new("RGB", (12, 12)).save(root / "a.png")
    line = complaint("train", "draw", "--data", str(root), "--out", str(tmp_path / "run"), *SMALL)
    assert "1 picture; expected two or more" in line
