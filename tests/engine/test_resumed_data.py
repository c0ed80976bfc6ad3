"""A resumed run takes its fields from recipe.json, and is refused where labels or captions have changed."""

from __future__ import annotations

import csv
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from foveate import cli, pictures
from foveate.engine import callbacks

SEMANTIC = shlex.split(
    "fcn32s --config.pretrained false --config.backbone test_efficientnet --config.head_channels 8 "
    "--config.head_kernel 1 --batch_size 2 --epochs 2 --freeze= --augment.crop="
)
CAPTIONS = shlex.split(
    "show_attend_tell --config.image_size 32,32 --config.embed 8 --config.hidden 8 --config.attend 8 --batch_size 4 "
    "--epochs 2"
)


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def photo(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(path)


def mask(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 2, (32, 32), dtype=np.uint8)).save(path)


def folders(root: Path) -> Callable[[], None]:
    for i in range(4):
        split = "train" if i < 2 else "val"
        photo(root / split / "images" / f"{i}.png", i)
        mask(root / split / "labels" / f"{i}.png", i)
    return lambda: mask(root / "train" / "labels" / "1.png", 99)


def labelme(root: Path) -> Callable[[], None]:
    def write(i: int, right: int) -> None:
        shape = {"label": "rust", "points": [[1, 1], [right, 20]], "shape_type": "rectangle", "group_id": None}
        content = {"shapes": [shape], "imagePath": f"{i}.png", "imageData": None, "imageHeight": 32, "imageWidth": 32}
        split = "train" if i < 2 else "val"
        photo(root / split / f"{i}.png", i)
        (root / split / f"{i}.json").write_text(json.dumps(content))

    for i in range(4):
        write(i, 20)
    return lambda: write(1, 25)


def coco(root: Path) -> Callable[[], None]:
    def write(right: int) -> None:
        for split, numbers in (("train", (0, 1)), ("val", (2, 3))):
            entries = []
            for i in numbers:
                photo(root / split / f"{i}.png", i)
                edge = right if i == 1 else 20
                outline = [1, 1, edge, 1, edge, 20, 1, 20]
                entries.append({"id": i, "image_id": i, "category_id": 1, "segmentation": [outline], "iscrowd": 0})
            images = [{"id": i, "file_name": f"{i}.png"} for i in numbers]
            content = {"images": images, "annotations": entries, "categories": [{"id": 1, "name": "rust"}]}
            (root / split / "_annotations.coco.json").write_text(json.dumps(content))

    write(20)
    return lambda: write(25)


def captions(root: Path) -> Callable[[], None]:
    def write(other: str) -> None:
        rows = [("image", "caption", "split")]
        for i in range(6):
            photo(root / f"{i}.png", i)
            rows.append((f"{i}.png", other if i == 1 else "a red square and a disc", "train" if i < 4 else "val"))
        rows.append(("0.png", "a disc and a red square", "train"))
        with (root / "captions.csv").open("w", newline="") as file:
            csv.writer(file).writerows(rows)

    root.mkdir(exist_ok=True)
    write("a red disc and a square")
    return lambda: write("a square and a red disc")


def stop_after_an_epoch(monkeypatch: pytest.MonkeyPatch, line: list[str]) -> None:
    begin = callbacks.EpochEnd.on_train_epoch_start

    def stop(self: Any, trainer: Any, module: Any) -> None:
        if trainer.current_epoch == 1:
            raise KeyboardInterrupt
        begin(self, trainer, module)

    with monkeypatch.context() as patch:
        patch.setattr(callbacks.EpochEnd, "on_train_epoch_start", stop)
        assert cli.main(line) == 130


@pytest.mark.parametrize(
    ("words", "write"),
    [(SEMANTIC, folders), (SEMANTIC, labelme), (SEMANTIC, coco), (CAPTIONS, captions)],
    ids=["masks", "labelme", "coco", "captions"],
)
def test_labels_that_changed_are_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    write: Callable[[Path], Callable[[], None]],
) -> None:
    change, run = write(tmp_path / "data"), tmp_path / "run"
    stop_after_an_epoch(monkeypatch, ["train", *words, "--data", str(tmp_path / "data"), "--out", str(run)])
    kept = (run / "last" / "model.safetensors").read_bytes()
    change()
    capsys.readouterr()
    assert cli.main(["train", words[0], "--out", str(run), "--resume"]) == 1
    (line,) = [one for one in capsys.readouterr().err.splitlines() if one.startswith("foveate: ")]
    assert "was started with other labels or captions than" in line
    count = 4 if write is captions else 2
    assert f"1 of {count} train samples differ (1.png); restore them, or start another run with --init" in line
    assert (run / "last" / "model.safetensors").read_bytes() == kept
    write(tmp_path / "data")  # as they were
    assert cli.main(["train", words[0], "--out", str(run), "--resume"]) == 0
    with (run / "metrics.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 2


def test_no_flag_has_to_be_repeated_and_another_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folders(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FOVEATE_MAX_PIXELS", str(pictures.DEFAULT_MAX_PIXELS))
    line = ["train", *SEMANTIC, "--data", "data", "--seed", "5", "--max-pixels", "2000"]
    stop_after_an_epoch(monkeypatch, line)
    monkeypatch.setenv("FOVEATE_MAX_PIXELS", str(pictures.DEFAULT_MAX_PIXELS))
    recipe = (tmp_path / "runs" / "fcn32s" / "recipe.json").read_text()
    capsys.readouterr()
    for words, field in (
        (["--seed", "6"], "seed = 5, and is resumed with 6"),
        (["--data", "elsewhere"], f"data.path = {tmp_path / 'data'}, and is resumed with {tmp_path / 'elsewhere'}"),
        (["--model", "fcn8s"], "model = fcn32s, and is resumed with fcn8s"),
    ):
        assert cli.main(["train", "fcn32s", "--resume", *words]) == 1
        assert f"was started with {field}; resume with the same fields" in capsys.readouterr().err
    assert cli.main(["train", "fcn32s", "--resume"]) == 0
    assert pictures.get_max_pixels() == 2000
    assert (tmp_path / "runs" / "fcn32s" / "recipe.json").read_text() == recipe
    with (tmp_path / "runs" / "fcn32s" / "metrics.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 2


def test_a_run_that_named_two_classes_otherwise_goes_on_and_is_evaluated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Masks of 0 and 1 without a list are background and foreground; earlier versions wrote class_0 and class_1."""

    def as_before(folder: Path) -> int:
        changed = 0
        for file in folder.rglob("*.json"):
            text = file.read_text()
            old = text.replace('"background"', '"class_0"').replace('"foreground"', '"class_1"')
            changed += text != old
            file.write_text(old)
        return changed

    folders(tmp_path / "data")
    run = tmp_path / "run"
    stop_after_an_epoch(monkeypatch, ["train", *SEMANTIC, "--data", str(tmp_path / "data"), "--out", str(run)])
    assert as_before(run) > 1
    assert cli.main(["train", "fcn32s", "--out", str(run), "--resume"]) == 0
    as_before(run)
    assert cli.main(["evaluate", str(run)]) == 0
    capsys.readouterr()
    other = tmp_path / "other"
    line = ["train", *SEMANTIC, "--data", str(tmp_path / "data"), "--out", str(other), "--init", str(run)]
    assert cli.main([*line, "--epochs", "1"]) == 0
    output = capsys.readouterr().out
    assert "tensors of fcn32s" in output and "entries of classes by name" not in output
    # Other classes of such names, as three or those of colours, are no background and foreground.
    Image.fromarray(np.full((32, 32), 2, np.uint8)).save(tmp_path / "data" / "val" / "labels" / "3.png")
    assert cli.main(["evaluate", str(run), "--data", str(tmp_path / "data")]) == 1
    assert "was trained on 2 classes (class_0, class_1), the data has 3" in capsys.readouterr().err
