"""`foveate train` and `foveate evaluate` on files, good and bad."""

from __future__ import annotations

import dataclasses
import errno
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import foveate
from foveate import cli
from foveate.datasets import recognise
from foveate.engine.evaluate import evaluate_run
from foveate.engine.fields import to_json
from foveate.engine.report import overfit_line
from foveate.engine.run import RunFolder
from foveate.errors import OutputError
from foveate.pictures.limits import LIMIT_VARIABLE
from foveate.recipes import resolve

Complaint = Callable[..., str]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from foveate.datasets.pasture import Pasture
    from foveate.engine.train import train_recipe
    from foveate.models.semantic.fcn import Config

    config = Config(stride=8, backbone="test_efficientnet", head_channels=8, head_kernel=1, dropout=0.0)
    data = Pasture(height=32, width=40, train=6, val=3, test=2)
    recipe = dataclasses.replace(
        resolve("fcn8s_pasture"), config=config, data=data, augment=None, epochs=2, batch_size=2, freeze=()
    )
    return train_recipe(recipe, out=tmp_path_factory.mktemp("trained") / "run")


def test_labelled_photos_to_scores(
    photos: Path, smallest: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, scores = tmp_path / "run", tmp_path / "out" / "scores.json"
    assert cli.main(["train", "fcn8s", "--data", str(photos), "--out", str(run), *smallest]) == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[0] == recognise(photos).describe()
    assert lines[-2:] == [
        f"trained: {run}",
        f"next: foveate evaluate {run}, foveate predict {run} PICTURE --out DIR",
    ]
    assert said.err.startswith("epoch 1/1  train_loss ")
    assert cli.main(["evaluate", str(run), "--json", str(scores)]) == 0
    told = capsys.readouterr().out
    written = json.loads(scores.read_text())
    expected = evaluate_run(run).to_json()
    assert {k: v for k, v in written.items() if k != "seconds"} == {k: v for k, v in expected.items() if k != "seconds"}
    assert {
        "mean_iou", "pixel_accuracy", "mean_accuracy", "frequency_weighted_iou", "boundary_iou", "per_class", "images",
        "seconds",
    } <= written.keys()  # fmt: skip
    assert (written["images"], list(written["per_class"])) == (
        2,
        list(RunFolder(run).tables()["classes"]["names"]),
    )
    assert f"mean_iou                {written['mean_iou']:.4f}" in told
    assert f"report: {run / 'report.html'}" in told
    assert json.loads((run / "evaluation.json").read_text())["confusion"] == written["confusion"]
    assert (run / "report.html").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("words", "epochs", "every"),
    [
        (["--overfit", "8"], 200, 20),
        (["--overfit", "24"], 67, 6),  # three steps an epoch
        (["--overfit", "8", "--validate_every", "1"], 200, 1),
        (["--overfit", "8", "--epochs", "5"], 5, 1),
        ([], 30, 1),
    ],
)
def test_an_overfitting_check_has_steps_enough_to_tell(
    photos: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], epochs: int, every: int
) -> None:
    from foveate.cli import train

    seen: list[Any] = []
    monkeypatch.setattr(train, "_train", lambda recipe, *_: seen.append(recipe) or 0)
    assert cli.main(["train", "fcn8s", "--data", str(photos), *words]) == 0
    monkeypatch.setattr(foveate.engine, "train_recipe", lambda recipe, **_: seen.append(recipe) or photos)
    fields = {flag.removeprefix("--"): int(value) for flag, value in zip(words[::2], words[1::2], strict=True)}
    foveate.train("fcn8s", data=photos, report=False, **fields)
    assert [(recipe.epochs, recipe.validate_every) for recipe in seen] == [(epochs, every)] * 2


def test_an_overfitting_check_says_what_it_found_in_place_of_a_report(
    photos: Path, smallest: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    words = ["--data", str(photos), "--out", str(run), "--overfit", "3", *smallest, "--epochs", "2"]
    assert cli.main(["train", "fcn8s", *words]) == 0
    lines = capsys.readouterr().out.splitlines()
    losses = [row["train_loss"] for row in RunFolder(run).history()]
    scores = [row["mean_iou"] for row in RunFolder(run).history()]
    assert lines[-3] == (
        f"overfitting check on 3 pictures: training loss {losses[0]:.4f} at first and {min(losses):.4f} at best, "
        f"mean_iou {scores[0]:.4f} at first and {max(scores):.4f} at best; no report is written, since scores of "
        "pictures that were trained on say nothing about others"
    )
    assert lines[-2] == f"trained: {run}"
    assert lines[-1].startswith("next: the same command without --overfit; but if the best is not nearly perfect, look")
    assert not (run / "report.html").exists()


def test_the_best_of_an_overfitting_check_is_the_familys(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.write_json("recipe.json", to_json(resolve("handwriting_letters", overrides={"overfit": 2})))
    run.write_json("data.json", {"train": ["a", "b"]})
    run.write_history([
        {"epoch": 1, "train_loss": 2.5},
        {"epoch": 2, "train_loss": 0.75, "nats_per_point": 4.0},
        {"epoch": 3, "train_loss": 1.0, "nats_per_point": -1.5},
        {"epoch": 4, "train_loss": 1.0, "nats_per_point": 2.0},
    ])  # fmt: skip
    assert overfit_line(tmp_path).startswith(
        "overfitting check on 2 samples: training loss 2.5000 at first and 0.7500 at best, "
        "nats_per_point 4.0000 at first and -1.5000 at best; "
    )


def test_the_python_call_does_the_same(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {
        "config__pretrained": False, "config__backbone": "test_efficientnet", "config__head_channels": 8,
        "config__skip_channels": 0, "config__head_kernel": 1, "epochs": 1, "batch_size": 2, "freeze": (), "ema": 0,
    }  # fmt: skip
    run = foveate.train("fcn8s", data=photos, out=tmp_path / "run", augment__crop=(), **fields)
    prediction = foveate.load(run).predict(photos / "val" / "images" / "6.png")
    assert prediction.mask.shape == (32, 40)
    assert prediction.classes.names[0] == "sky"


def test_evaluation_takes_a_split_and_other_data(
    trained: Path, photos: Path, complaint: Complaint, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["evaluate", str(trained), "--split", "test"]) == 0
    told = capsys.readouterr().out
    assert "split test: 2 pictures in " in told
    assert "\n  per_class, whose mean is mean_iou\n    sky " in told
    (trained / "report.html").unlink()
    assert cli.main(["evaluate", str(trained), "--data", str(photos)]) == 0
    told = capsys.readouterr().out
    assert f"{recognise(photos).describe()}, split val: 2 pictures" in told
    assert "report" not in told  # other data says nothing about the run's own
    assert not (trained / "report.html").exists()
    assert complaint("evaluate", str(trained), "--split", "tst") == "unknown split 'tst'; the nearest is 'test'"
    (photos / "classes.txt").write_text("\n".join([*"abcdefgh", "sky"]) + "\n")
    assert "was trained on 9 classes (sky, grass" in complaint("evaluate", str(trained), "--data", str(photos))


def test_scores_that_cannot_be_written_are_not_waited_for(
    trained: Path, tmp_path: Path, complaint: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr("foveate.engine.evaluate_run", lambda *_, **__: pytest.fail("it was scored"))
    assert complaint("evaluate", str(trained), "--json", str(tmp_path / "file" / "a.json")).startswith(
        f"cannot write {tmp_path}/file/a.json: {tmp_path}/file is not a folder; "
    )
    told = complaint("evaluate", str(trained), "--json", str(tmp_path))
    assert told == f"{tmp_path} is a folder; name a file in a folder"


# Bad input: one line that names the file, nothing half-written


def picture(path: Path, size: tuple[int, int] = (40, 32)) -> None:
    Image.fromarray(np.zeros((size[1], size[0], 3), np.uint8)).save(path)


def no_folder(root: Path) -> None:
    shutil.rmtree(root)


def empty_folder(root: Path) -> None:
    no_folder(root)
    root.mkdir()


def empty_split(root: Path) -> None:
    for kind in ("images", "labels"):
        shutil.rmtree(root / "train" / kind)
        (root / "train" / kind).mkdir()


def picture_alone(root: Path) -> None:
    (root / "train" / "labels" / "3.png").unlink()


def label_alone(root: Path) -> None:
    (root / "train" / "images" / "3.png").unlink()


def other_size(root: Path) -> None:
    picture(root / "train" / "images" / "3.png", (40, 33))


def label_outside(root: Path) -> None:
    mask = np.asarray(Image.open(root / "train" / "labels" / "3.png")).copy()
    mask[0, 0] = 77
    Image.fromarray(mask).save(root / "train" / "labels" / "3.png")


def truncated(root: Path) -> None:
    file = root / "train" / "images" / "3.png"
    file.write_bytes(file.read_bytes()[:300])


def no_picture(root: Path) -> None:
    (root / "train" / "images" / "3.png").write_text("this is no picture")


def broken_classes(root: Path) -> None:
    (root / "classes.txt").write_bytes(b"\xff\xfe\x00")


BROKEN = [
    (no_folder, "photos: no such folder"),
    (empty_folder, "photos: the folder is empty"),
    (empty_split, "train"),
    (picture_alone, "train/images/3.png: a picture without a label"),
    (label_alone, "train/labels/3.png: a label without a picture"),
    (other_size, "train/labels/3.png: the label is 40x32 but its picture 3.png is 40x33"),
    (label_outside, "3.png: label value 77 outside the class table"),
    (truncated, "train/images/3.png"),
    (no_picture, "train/images/3.png"),
    (broken_classes, "classes.txt"),
]


@pytest.mark.parametrize(("damage", "expected"), BROKEN, ids=[d.__name__ for d, _ in BROKEN])
def test_bad_pictures_are_one_line_that_names_the_file(
    photos: Path, smallest: list[str], tmp_path: Path, complaint: Complaint,
    damage: Callable[[Path], None], expected: str,
) -> None:  # fmt: skip
    damage(photos)
    run = tmp_path / "run"
    assert expected in complaint("train", "fcn8s", "--data", str(photos), "--out", str(run), *smallest)
    assert not (run / "checkpoints").exists()
    assert not list(tmp_path.rglob("*.unfinished*"))


def test_an_error_in_a_loading_process_reads_the_same(
    photos: Path, smallest: list[str], tmp_path: Path, complaint: Complaint
) -> None:
    truncated(photos)
    words = ["train", "fcn8s", "--data", str(photos), *smallest]
    told = [complaint(*words, "--out", str(tmp_path / n), "--workers", n) for n in ("0", "1")]
    assert told[0] == told[1]
    assert len(told[0]) < 300


def test_a_bomb_is_refused_and_the_limit_can_be_lifted(
    photos: Path, smallest: list[str], tmp_path: Path, complaint: Complaint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LIMIT_VARIABLE, "1000")
    words = ["train", "fcn8s", "--data", str(photos), *smallest]
    told = complaint(*words, "--out", str(tmp_path / "a"))
    assert "--max-pixels" in told
    assert ".png" in told
    assert cli.main([*words, "--out", str(tmp_path / "b"), "--max-pixels", "2000"]) == 0


def test_unwritable_output_is_named(smallest: list[str], tmp_path: Path, complaint: Complaint) -> None:
    (tmp_path / "file").write_text("mine")
    told = complaint("train", "fcn8s_pasture", "--out", str(tmp_path / "file" / "run"), *smallest)
    assert told.startswith(f"cannot create {tmp_path}/file/run: Not a directory; choose another folder with --out")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("reason", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_a_run_that_cannot_be_written_is_scored_all_the_same(
    trained: Path, tmp_path: Path, complaint: Complaint, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch, reason: int,
) -> None:  # fmt: skip
    before = (trained / "evaluation.json").read_bytes() if (trained / "evaluation.json").is_file() else None

    def refuse(path: Path, content: object) -> None:
        raise OutputError("cannot write") from OSError(reason, "no")

    monkeypatch.setattr("foveate.engine.run.write_atomically", refuse)
    words = ["evaluate", str(trained), "--json", str(tmp_path / "scores.json")]
    if reason == errno.ENOSPC:
        assert complaint(*words) == "cannot write"  # a full disk is no wish
    else:
        assert cli.main(words) == 0
        assert capsys.readouterr().out.splitlines()[-1] == (
            f"note: {trained} cannot be written, so that its evaluation.json and report.html stay as they were"
        )
    assert "mean_iou" in json.loads((tmp_path / "scores.json").read_text())
    after = (trained / "evaluation.json").read_bytes() if (trained / "evaluation.json").is_file() else None
    assert after == before


def test_a_model_folder_with_a_pickle_is_refused(trained: Path, tmp_path: Path, complaint: Complaint) -> None:
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    (run / "model" / "more.pkl").write_bytes(b"x")
    assert "holds a pickle (more.pkl), which can run code when read: refused" in complaint("evaluate", str(run))
    told = complaint("train", "fcn8s_pasture", "--out", str(tmp_path / "new"), "--init", str(run))
    assert "holds a pickle" in told
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["recipe.json", "model/config.json", "model/model.safetensors", "data.json"])
def test_a_damaged_run_is_named(trained: Path, tmp_path: Path, complaint: Complaint, name: str) -> None:
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    (run / name).write_bytes((run / name).read_bytes()[:20])
    assert f"{run / name} " in complaint("evaluate", str(run))


def test_more_looks_leave_the_plain_scores_and_report_alone(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["evaluate", str(trained)]) == 0
    run = RunFolder(trained)
    before = run.evaluation.read_text(), run.report.read_text()
    capsys.readouterr()
    assert cli.main(["evaluate", str(trained), "--scales", "0.5,1", "--flip", "--superpixels", "slic"]) == 0
    said = capsys.readouterr().out
    assert "predicted with scales 0.5, 1 + flip + superpixels (slic)" in said
    assert "report:" not in said
    assert (run.evaluation.read_text(), run.report.read_text()) == before


def test_words_that_are_no_scales(trained: Path, complaint: Complaint) -> None:
    said = complaint("evaluate", str(trained), "--scales", "a,b")
    assert "--scales is 'a,b'; expected values separated by commas, each a number" in said


def test_a_run_that_is_not_there(tmp_path: Path, complaint: Complaint) -> None:
    said = complaint("evaluate", str(tmp_path / "nowhere"))
    assert f"{tmp_path}/nowhere does not exist; " in said


def test_scores_of_every_image_go_to_a_table(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import csv

    table = tmp_path / "images.csv"
    assert cli.main(["evaluate", str(trained), "--csv", str(table)]) == 0
    told = capsys.readouterr().out
    assert re.search(r"mean_iou +0\.\d{4}  95 % 0\.\d{4} to 0\.\d{4}", told)
    assert {"mean_dice", "mean_precision", "mean_recall"} <= set(told.split())
    evaluation = evaluate_run(trained)
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == [f"pasture/val/{i:06d}" for i in range(3)]
    assert [float(row["mean_iou"]) for row in rows] == pytest.approx([own for _, own in evaluation.samples])
    assert "iou sky" in rows[0]
    page = (trained / "report.html").read_text()
    low, high = evaluation.scores.intervals["mean_iou"]
    assert f"interval of mean IoU by bootstrap over the 3 pictures is {low:.3f} to {high:.3f}: how much" in page
    assert "of so few pictures it is too narrow" in page
