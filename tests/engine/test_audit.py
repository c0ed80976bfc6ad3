"""`foveate datasets audit`: wrong labels that were put in are found, and near-duplicates across splits."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from foveate import cli
from foveate.datasets import recognise
from foveate.engine import audit as module
from foveate.engine.audit import audit, write_audit
from foveate.errors import ConfigError
from foveate.records import ClassificationOutput, ClassTable, Preprocessing, SemanticOutput
from foveate.store import LoadedModel
from foveate.tasks.auditing import Audited, thresholds
from foveate.tasks.semantic.audit import audit_labels

CLASSES = ClassTable(("dark", "bright"), ((0, 0, 0), (255, 255, 255)))


class Brightness(nn.Module):
    """Says 'bright' above the middle grey, surer the farther from it."""

    def __init__(self, sharpness: float = 8.0) -> None:
        super().__init__()
        self.sharpness = nn.Parameter(torch.tensor(sharpness))
        self.preprocessing = Preprocessing((0.5,) * 3, (0.5,) * 3)

    def logits(self, image: torch.Tensor) -> torch.Tensor:
        value = image.mean(1, keepdim=True) * self.sharpness
        return torch.cat([-value, value], 1)


class Segments(Brightness):
    def forward(self, image: torch.Tensor) -> SemanticOutput:
        return SemanticOutput(self.logits(image))


class Classes(Brightness):
    def forward(self, image: torch.Tensor) -> ClassificationOutput:
        return ClassificationOutput(self.logits(image).mean((2, 3)))


@pytest.fixture
def with_model(monkeypatch: pytest.MonkeyPatch) -> Callable[[nn.Module, str], None]:
    def use(model: nn.Module, task: str) -> None:
        loaded = LoadedModel(model, "brightness", task, {"classes": CLASSES}, model.preprocessing, {})
        monkeypatch.setattr(module, "load_model", lambda path: loaded)

    return use


def photo(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A bright disc on a dark ground with some noise, and its labels."""
    y, x = np.mgrid[:48, :64]
    random = np.random.default_rng(seed)
    disc = (x - random.integers(15, 50)) ** 2 + (y - random.integers(12, 36)) ** 2 < 100
    noise = random.integers(0, 30, (48, 64, 3))
    return np.uint8(np.where(disc[..., None], 200, 30) + noise), disc.astype(np.uint8)


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    """Labels of which one image lacks its disc; a validation image is a training image again, as a JPEG."""
    root = tmp_path / "data"
    for split, count in (("train", 4), ("val", 3)):
        for kind in ("images", "labels"):
            (root / split / kind).mkdir(parents=True)
        for k in range(count):
            pixels, mask = photo(10 * (split == "val") + k)
            if (split, k) == ("val", 1):
                mask[:] = 0
            suffix = "png"
            if (split, k) == ("val", 2):
                (pixels, mask), suffix = photo(0), "jpg"
            Image.fromarray(pixels).save(root / split / "images" / f"{k}.{suffix}")
            Image.fromarray(mask).save(root / split / "labels" / f"{k}.png")
    (root / "classes.txt").write_text("dark\nbright\n")
    return root


def test_a_forgotten_object_and_a_copy_are_found(masks: Path, tmp_path: Path, with_model: Any) -> None:
    with_model(Segments(), "semantic")
    found = audit(recognise(masks, "semantic"), tmp_path / "run")
    (suspect,) = found.suspects
    assert suspect[:2] == ("val", 1) and (suspect[2].given, suspect[2].likely) == ("dark", "bright")
    _, disc = photo(11)
    rows, columns = np.nonzero(disc)
    expected = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert np.abs(np.array(suspect[2].box) - expected).max() <= 1
    assert suspect[2].size == pytest.approx(disc.sum(), rel=0.05)
    assert suspect[2].probability > 0.99 and suspect[2].given_probability < 0.01
    assert [(one, other) for one, other, _ in found.duplicates] == [(("train", 0), ("val", 2))]
    assert len(found.doubts) == 7 and found.doubts[0][2] >= found.doubts[-1][2]
    page, values = write_audit(found, tmp_path / "out")
    text = page.read_text()
    assert text.count("<figure") == 1 + 7 + 1 and "<script" not in text and "labelled dark" in text
    content = json.loads(values.read_text())
    assert content["likely_wrong"][0]["sample"] == "val/1.png" and content["splits"] == {"train": 4, "val": 3}
    assert content["near_duplicates"][0]["samples"] == ["train/0.png", "val/2.jpg"]


def test_the_score_of_the_run_is_said_beside_what_it_doubts(masks: Path, tmp_path: Path, with_model: Any) -> None:
    with_model(Segments(), "semantic")
    run = tmp_path / "run"
    run.mkdir()
    assert audit(recognise(masks, "semantic"), run).notes() == []  # a model folder, without scores
    (run / "recipe.json").write_text("{}")
    (run / "evaluation.json").write_text('{"mean_iou": 0.125, "split": "val"}')
    note = "the model has mean IoU 0.125 on val: the weaker the model, the more of what follows is its own mistake"
    found = audit(recognise(masks, "semantic"), run)
    assert found.notes() == [note] and found.to_json()["notes"] == [note]
    assert f"<li>{note}</li>" in write_audit(found, tmp_path / "out")[0].read_text()


def test_confident_learning_spares_labels_of_classes_that_the_model_is_more_sure_of() -> None:
    # As in Northcutt et al., section 3.1: the threshold of a class is the mean probability of its own labels.
    sure = [
        Audited(0.1, [], {"a": (0.9 * 10, 10), "b": (0.6 * 10, 10)}),
        Audited(0.1, [], {"b": (0.8 * 10, 10), "c": (2, 2)}),
    ]
    assert thresholds(sure) == pytest.approx({"a": 0.9, "b": 0.7, "c": 0.99})


def test_contours_unscored_pixels_and_specks_are_no_suspects() -> None:
    truth = np.zeros((40, 40), np.int64)
    truth[10:30, 10:30] = 1
    likely = np.zeros((40, 40), np.int64)
    likely[8:32, 8:32] = 1  # two pixels wider on each side
    likely[2:6, 2:6] = 1  # 16 pixels
    probabilities = np.stack([np.where(likely == 0, 0.95, 0.05), np.where(likely == 1, 0.95, 0.05)])
    assert audit_labels(probabilities, truth, CLASSES).suspects == []
    likely[33:39, 2:10] = 1
    probabilities = np.stack([np.where(likely == 0, 0.95, 0.05), np.where(likely == 1, 0.95, 0.05)])
    (suspect,) = audit_labels(probabilities, truth, CLASSES).suspects
    assert (suspect.given, suspect.likely, suspect.size, suspect.box) == ("dark", "bright", 48, (2, 33, 10, 39))
    assert (suspect.probability, suspect.given_probability) == pytest.approx((0.95, 0.05))
    assert suspect.weight == pytest.approx(0.9 * 48**0.5)
    truth[33:39] = -100
    assert audit_labels(probabilities, truth, CLASSES).suspects == []
    assert np.isnan(audit_labels(probabilities, np.full((40, 40), -100), CLASSES).doubt)
    even = audit_labels(np.full((2, 40, 40), 0.5), truth, CLASSES)
    assert even.doubt == pytest.approx(1) and even.confidence["dark"][0] == pytest.approx(
        0.5 * even.confidence["dark"][1]
    )


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Class folders with one bright image among the dark ones."""
    for split in ("train", "val"):
        for name in ("bright", "dark"):
            (tmp_path / "classes" / split / name).mkdir(parents=True)
            for k in range(3):
                value = 200 if name == "bright" or (split, k) == ("val", 2) else 40
                noise = np.random.default_rng(100 * (split == "val") + 10 * (name == "dark") + k).integers(
                    0, 40, (24, 24, 3)
                )
                Image.fromarray(np.uint8(noise + value)).save(tmp_path / "classes" / split / name / f"{name}{k}.png")
    (tmp_path / "classes" / "classes.txt").write_text("dark\nbright\n")
    return tmp_path / "classes"


def test_an_image_in_the_wrong_folder(folders: Path, tmp_path: Path, with_model: Any) -> None:
    with_model(Classes(), "classification")
    found = audit(recognise(folders, "classification"), tmp_path / "run", "val")
    assert [(found.name(s, i), one.given, one.likely) for s, i, one in found.suspects] == [
        ("val/dark/dark2.png", "dark", "bright")
    ]
    assert "near-duplicates across splits: 0" in found.lines()
    write_audit(found, tmp_path / "out")


def test_what_cannot_be_audited_is_refused(
    masks: Path, tmp_path: Path, with_model: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    with_model(Segments(), "semantic")
    with pytest.raises(ConfigError, match="unknown split 'vall'; the nearest is 'val'"):
        audit(recognise(masks), tmp_path / "run", "vall")
    with_model(Segments(), "instances")
    with pytest.raises(ConfigError, match="labels of instance segmentation cannot be audited: a label is"):
        audit(recognise(masks), tmp_path / "run")
    assert cli.main(["datasets", "audit", str(masks)]) == 1
    assert "audit needs a trained model: foveate datasets audit PATH --run RUN" in capsys.readouterr().err
    assert cli.main(["datasets", "inspect", str(masks), "--run", "x"]) == 1
    assert "--run is for foveate datasets audit; leave it out" in capsys.readouterr().err
