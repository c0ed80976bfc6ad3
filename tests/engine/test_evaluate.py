"""Evaluation gives the numbers of the metrics, computed another way, on the data it is told to use."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import confusion_matrix
from torch import Tensor

from foveate.datasets import recognise
from foveate.datasets.pasture import CLASSES, Pasture
from foveate.engine.evaluate import evaluate_run
from foveate.engine.recipe import Recipe
from foveate.engine.run import RunFolder
from foveate.engine.train import train_recipe
from foveate.errors import ConfigError, ModelError
from foveate.store import load_model


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from foveate.engine.recipe import Optim
    from foveate.models.semantic.fcn import Config

    config = Config(stride=8, backbone="test_efficientnet", head_channels=8, head_kernel=1, dropout=0.0)
    data = Pasture(height=32, width=48, train=8, val=3, test=4)
    recipe = Recipe("fcn8s", config, data, name="fcn8s_pasture", epochs=3, batch_size=4, optim=Optim(lr=0.02))
    return train_recipe(recipe, out=tmp_path_factory.mktemp("runs") / "run")


def write_folders(folder: Path, names: list[str], size: int = 40) -> Path:
    """Three scenes of the pasture as files, under a class list of these names."""
    scenes = Pasture(height=size, width=size, val=3).open("val")
    for kind in ("images", "labels"):
        (folder / "val" / kind).mkdir(parents=True)
    for i in range(3):
        sample = scenes[i]
        picture = sample["image"].permute(1, 2, 0).numpy()
        Image.fromarray(picture).save(folder / "val" / "images" / f"{i}.png")
        Image.fromarray(sample["mask"].numpy()).save(folder / "val" / "labels" / f"{i}.png")
    (folder / "classes.txt").write_text("\n".join(names) + "\n")
    return folder


def test_scores_are_those_of_another_library(run: Path) -> None:
    loaded, data = load_model(run / "model"), Pasture(height=32, width=48, test=4).open("test")
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (loaded.preprocessing.mean, loaded.preprocessing.std))
    truth, answers, alone = [], [], []
    for i in range(4):
        picture = (data[i]["image"].as_subclass(Tensor) / 255 - mean) / std
        with torch.inference_mode():
            answer = loaded.model.eval()(picture[None]).logits[0].argmax(0).numpy()
        truth.append(data[i]["mask"].numpy().ravel())
        answers.append(answer.ravel())
        alone.append(confusion_matrix(truth[-1], answers[-1], labels=range(9)))
    counts = confusion_matrix(np.concatenate(truth), np.concatenate(answers), labels=range(9))

    def ious(counts: np.ndarray) -> np.ndarray:
        union = counts.sum(0) + counts.sum(1) - counts.diagonal()
        return np.where(union > 0, counts.diagonal() / np.maximum(union, 1), np.nan)

    found = evaluate_run(run, split="test")
    scores = found.to_json()
    assert scores["confusion"] == counts.tolist()
    assert scores["mean_iou"] == pytest.approx(np.nanmean(ious(counts)))
    assert scores["pixel_accuracy"] == pytest.approx(counts.trace() / counts.sum())
    present = counts.sum(1) > 0
    assert scores["mean_accuracy"] == pytest.approx((counts.diagonal()[present] / counts.sum(1)[present]).mean())
    weights = counts.sum(1) / counts.sum()
    assert scores["frequency_weighted_iou"] == pytest.approx(np.nansum(weights * np.nan_to_num(ious(counts))))
    expected = dict(zip(CLASSES.names, ious(counts), strict=True))
    assert scores["per_class"] == {n: None if np.isnan(v) else pytest.approx(v) for n, v in expected.items()}
    assert [iou for _, iou in found.samples] == pytest.approx([np.nanmean(ious(c)) for c in alone])
    assert 0 <= scores["boundary_iou"] <= 1
    assert (scores["images"], scores["split"], scores["model"]) == (4, "test", "fcn8s")
    assert scores["seconds"] > 0
    assert json.loads(json.dumps(scores)) == scores


def test_the_split_to_choose_by_is_the_default_and_matches_the_log(run: Path) -> None:
    found = evaluate_run(run, whole=False)
    assert (found.split, found.scores.images) == ("val", 3)
    assert found.scores.mean_iou == pytest.approx(max(row["mean_iou"] for row in RunFolder(run).history()))


def test_other_data_with_the_same_classes_is_scored(run: Path, tmp_path: Path) -> None:
    folder = write_folders(tmp_path / "data", list(CLASSES.names))
    found = evaluate_run(run, source=recognise(folder))
    drawn = evaluate_run(run, source=Pasture(height=40, width=40, val=3), split="val")
    assert found.scores.confusion.tolist() == drawn.scores.confusion.tolist()
    alone = evaluate_run(run / "model", source=recognise(folder))  # a model folder suffices
    assert alone.scores.confusion.tolist() == drawn.scores.confusion.tolist()


@pytest.mark.parametrize(
    ("names", "difference"),
    [
        ([*CLASSES.names[:-1], "kite"], "first difference: kite"),
        ([*CLASSES.names, "moon"], "the data has 10; first difference: moon"),
        ([CLASSES.names[1], CLASSES.names[0], *CLASSES.names[2:]], "first difference: their order"),
    ],
)
def test_other_classes_are_refused_by_name(run: Path, tmp_path: Path, names: list[str], difference: str) -> None:
    source = recognise(write_folders(tmp_path / "data", names))
    with pytest.raises(ConfigError, match=rf"was trained on 9 classes \(sky, grass, .*, \.\.\.\).*{difference}"):
        evaluate_run(run, source=source)


def test_an_unknown_split_names_the_nearest(run: Path) -> None:
    with pytest.raises(ConfigError, match="unknown split 'tset'; the nearest is 'test'"):
        evaluate_run(run, split="tset")


def test_data_without_a_test_split_says_how_to_get_one(run: Path, tmp_path: Path) -> None:
    source = recognise(write_folders(tmp_path / "data", list(CLASSES.names)))
    assert source.splits() == ("val",)
    with pytest.raises(ConfigError) as caught:
        evaluate_run(run, source=source, split="test")
    assert str(caught.value) == (
        f"no split test in {tmp_path / 'data'}, only val; add one (a folder or list called test), or score other "
        "labelled data with --data PATH"
    )


def test_a_model_folder_alone_asks_for_data(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"model is not a run folder: it holds no recipe.json"):
        evaluate_run(run / "model")
    with pytest.raises(ModelError, match=r"nothing does not exist; "):
        evaluate_run(tmp_path / "nothing")


def test_a_run_without_data_of_its_own_asks_for_some(run: Path, tiny: Callable[..., Recipe], tmp_path: Path) -> None:
    from foveate.engine import fields

    other = RunFolder(tmp_path / "run")
    other.write_json("recipe.json", fields.to_json(dataclasses.replace(tiny(), data=None)))
    with pytest.raises(ConfigError, match="does not record which data it was trained on; give some with --data PATH"):
        evaluate_run(other.path)
