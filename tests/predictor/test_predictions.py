"""Predictions as objects: drawing, saving, plain values, display, probabilities."""

from __future__ import annotations

import dataclasses
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import foveate
from foveate.datasets.pasture import Pasture
from foveate.engine.prepare import build_model
from foveate.errors import ConfigError, ModelError
from foveate.models.semantic.fcn import Config
from foveate.predictor import Predictor
from foveate.recipes import resolve
from foveate.records import ClassTable, SemanticPrediction
from foveate.store import save_model
from foveate.tasks import create_task
from foveate.tasks.semantic.drawing import recolored
from foveate.visualize.overlay import overlay

CONFIG = Config(stride=8, backbone="test_efficientnet", head_channels=8, head_kernel=1, dropout=0.0)


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    recipe = dataclasses.replace(resolve("fcn8s_pasture"), config=CONFIG, data=Pasture(height=32, width=40, train=2))
    tables = {"classes": recipe.data.open("train").classes}
    folder = tmp_path_factory.mktemp("model")
    save_model(folder, build_model(recipe, tables, recipe.data.open("train")), "fcn8s", tables, "semantic", None)
    return foveate.load(folder, device="cpu")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "meadow.png")
    return tmp_path / "meadow.png"


def test_a_prediction_draws_saves_and_shows_itself(predictor: Predictor, photo: Path, tmp_path: Path) -> None:
    prediction = predictor.predict(photo)
    plain = np.asarray(prediction.overlay(legend=False))
    assert np.array_equal(plain, overlay(np.asarray(Image.open(photo)), prediction.mask, prediction.classes))
    assert prediction.overlay().height > 40  # a legend is below
    written = prediction.save(tmp_path / "out")
    assert {key: path.name for key, path in written.items()} == {"mask": "meadow.png", "overlay": "meadow_overlay.jpg"}
    assert np.array_equal(np.asarray(Image.open(written["mask"])), prediction.mask)
    found = json.loads(json.dumps(prediction.to_dict()))
    assert found == {"name": "meadow.png", "height": 40, "width": 56, "shares": prediction.shares()}
    page = prediction._repr_html_()
    assert 'src="data:image/jpeg;base64,' in page
    assert "meadow.png" in page


def test_without_a_screen_the_values_are_shown_and_how_to_keep_the_drawing(
    predictor: Predictor, photo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown: list[Image.Image] = []
    monkeypatch.setattr(Image.Image, "show", lambda self: shown.append(self))
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    prediction = predictor.predict(photo)
    prediction.show()
    said = capsys.readouterr().out
    assert "name: meadow.png" in said and said.endswith("prediction.save(FOLDER) writes it\n") and not shown
    monkeypatch.setenv("DISPLAY", ":0")
    prediction.show()
    assert len(shown) == 1 and not capsys.readouterr().out


def test_colours_and_strength_can_be_given(predictor: Predictor, photo: Path) -> None:
    prediction = predictor.predict(photo)
    name = max(prediction.shares(), key=prediction.shares().__getitem__)
    opaque = np.asarray(prediction.overlay(legend=False, alpha=1.0, colors={name: "#0102ff"}))
    assert (opaque[prediction.mask == prediction.classes.names.index(name)] == (1, 2, 255)).all()
    with pytest.raises(ConfigError, match="unknown option of an overlay 'alfa'; the nearest is 'alpha'"):
        prediction.overlay(alfa=1)
    with pytest.raises(ConfigError, match="unknown class 'cwo'; the nearest is 'cow'"):
        prediction.overlay(colors={"cwo": "#ffffff"})
    with pytest.raises(ConfigError, match=r"'red' is not a colour; give '#rrggbb' or three whole numbers in 0\.\.255"):
        recolored(prediction.classes, {"cow": "red"})


@pytest.mark.parametrize(
    "options", [{}, {"flip": True, "scales": (0.5, 1.0)}, {"crf": True}, {"tile": 128, "overlap": 0}]
)
def test_probabilities_are_those_that_the_labels_came_from(predictor: Predictor, options: dict[str, Any]) -> None:
    size = (150, 170) if "tile" in options else (40, 56)
    image = np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)
    prediction = predictor.predict(image, **options)
    p = prediction.probabilities()
    assert (p.shape, p.dtype) == ((9, *size), np.float32)
    assert np.allclose(p.sum(0), 1, atol=1e-5)
    best = p.argmax(0)
    close = np.abs(np.sort(p, axis=0)[-1] - np.sort(p, axis=0)[-2]) < 1e-6  # either label is right
    assert np.array_equal(best[~close], prediction.mask[~close])
    assert np.array_equal(prediction.confidence(), p.max(0))
    assert prediction.probabilities() is p


def test_superpixels_have_no_probabilities(predictor: Predictor, photo: Path) -> None:
    prediction = predictor.predict(photo, superpixels="slic")
    with pytest.raises(ConfigError, match="superpixels or proposals have no probabilities"):
        prediction.probabilities()


def test_confidence_and_uncertainty_by_hand() -> None:
    prediction = SemanticPrediction(np.array([[0, 1, 1]], np.uint8), ClassTable(("a", "b", "c", "d")))
    half = [0.0, 0.5, 0.5, 0.0]
    prediction._probabilities = np.array([[1, 0, 0, 0], half, [0.1, 0.7, 0.1, 0.1]], np.float32).T[:, None]
    assert prediction.class_confidence() == pytest.approx({"a": 1.0, "b": 0.6})
    own = -(0.7 * np.log(0.7) + 3 * 0.1 * np.log(0.1)) / np.log(4)
    assert prediction.uncertainty()[0] == pytest.approx([0.0, 0.5, own], abs=1e-6)


def test_many_predictions_open_their_inputs_again(predictor: Predictor, photo: Path) -> None:
    image = np.zeros((32, 32, 3), np.uint8)
    first, second = predictor.predict_many([photo, image])
    assert first.to_dict()["name"] == "meadow.png"
    assert first.overlay(legend=False).size == (56, 40)
    assert second.overlay(legend=False).size == (32, 32)


def test_a_prediction_without_its_model_keeps_its_values(predictor: Predictor, photo: Path) -> None:
    prediction = predictor.predict(photo)
    twin = pickle.loads(pickle.dumps(prediction))
    assert np.array_equal(twin.mask, prediction.mask)
    assert twin._repr_html_().startswith("<pre>")
    with pytest.raises(ModelError, match="does not know its model and input"):
        twin.overlay()


def test_every_family_draws_through_the_contract() -> None:
    """The default takes the file 'overlay', or the first image; a family without has no drawing."""
    from foveate.tasks.showing import Drawings

    class Family(Drawings):
        title = "anything"

        def __init__(self, files: dict[str, Any]) -> None:
            self.files = lambda prediction, sample: files

    def image(color: str) -> Any:
        return lambda path: Image.new("RGB", (2, 2), color).save(path)

    both = Family({"strip": ("_a.png", image("red")), "overlay": ("_b.png", image("blue"))})
    assert both.draw(None, {}).getpixel((0, 0)) == (0, 0, 255)
    drawn = Family({"text": (".txt", None), "strip": ("_a.png", image("red"))}).draw(None, {})
    assert drawn is not None
    assert drawn.getpixel((0, 0)) == (255, 0, 0)
    assert Family({"text": (".txt", None)}).draw(None, {}) is None
    with pytest.raises(ConfigError, match="drawings of anything have no option 'alpha'"):
        both.draw(None, {}, alpha=1)


def test_captions_and_classes_show_themselves() -> None:
    from foveate.records import ClassificationPrediction

    classes = ClassTable(("cat", "dog"))
    task = create_task("classification", {"classes": classes}, None)
    seen = np.zeros((8, 8, 3), np.uint8)
    prediction = ClassificationPrediction(np.array([0.2, 0.8], np.float32), classes, seen)
    prediction.attach(task, torch.nn.Identity(), {"name": "a<b.png"}, task.options)
    assert prediction.overlay().width > 8
    assert "a&lt;b.png" in prediction._repr_html_()
    assert prediction.to_dict()["name"] == "a<b.png"
