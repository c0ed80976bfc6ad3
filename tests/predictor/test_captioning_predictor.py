"""A captioning run as a predictor: every kind of picture, one answer."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import foveate
from foveate.errors import ConfigError, DataError, ModelError
from foveate.predictor import Predictor
from foveate.store import save_model
from foveate.tasks.captioning.decoding import generate_captions
from foveate.tasks.captioning.task import CaptioningTask, attention_of
from foveate.text import SPECIALS, Vocabulary

TABLE = Vocabulary((*SPECIALS, "a", "cow", "dog", "grazes", "sleeps"))


def run_of(folder, name="show_attend_tell", **config):
    torch.manual_seed(0)
    model = foveate.create(
        name, backbone="resnet18", image_size=(64, 64), embed=8, hidden=8, vocabulary=len(TABLE), **config
    )
    save_model(folder / "model", model, name, {"text": TABLE}, "captioning")
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return run_of(tmp_path_factory.mktemp("runs") / "first")


@pytest.fixture(scope="module")
def predictor(run):
    return foveate.load(run, device="cpu")


def photo(height=40, width=56, channels=3):
    return np.random.default_rng(1).integers(0, 256, (height, width, channels), dtype=np.uint8)


def test_open_knows_the_model(predictor, tmp_path):
    assert isinstance(predictor.family, CaptioningTask)
    assert (predictor.name, predictor.task, predictor.runtime) == ("show_attend_tell", "captioning", "torch")
    assert predictor.classes == TABLE
    assert attention_of(predictor.runner) == "soft"
    assert attention_of(foveate.load(run_of(tmp_path / "h", attention="hard")).runner) == "hard"
    assert attention_of(foveate.load(run_of(tmp_path / "n", "show_and_tell")).runner) == "none"


def test_an_answer_is_the_models_own(predictor):
    pixels = torch.from_numpy(photo(64, 64)).permute(2, 0, 1)
    (expected,) = generate_captions(predictor.model, {"image": predictor.preprocessing(pixels)[None]}, TABLE)
    answer = predictor.predict(pixels)
    assert [s.text for s in answer.sentences] == [s.text for s in expected]
    assert [s.score for s in answer.sentences] == pytest.approx([s.score for s in expected], abs=1e-5)
    best = answer.sentences[0]
    assert answer.text == best.text == " ".join(best.words)
    assert best.probabilities.shape == (len(best.words),)
    assert best.attention.shape == (len(best.words), 4, 4)
    assert best.attention.sum((1, 2)) == pytest.approx(np.ones(len(best.words)), abs=1e-5)
    scores = [s.score for s in answer.sentences]
    assert scores == sorted(scores, reverse=True)


def same(one, other):
    assert [s.text for s in one.sentences] == [s.text for s in other.sentences]
    assert [s.score for s in one.sentences] == pytest.approx([s.score for s in other.sentences], abs=1e-4)


def test_every_kind_of_picture_gives_one_answer(predictor, tmp_path):
    pixels = photo()
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    expected = predictor.predict(pixels)
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)
    for picture in (tmp_path / "photo.png", str(tmp_path / "photo.png"), Image.fromarray(pixels), tensor,
                    tensor.float() / 255, pixels / 255.0, pixels.astype(np.uint16) * 257):  # fmt: skip
        same(predictor.predict(picture), expected)
    assert predictor.predict(tmp_path / "photo.png").name == "photo.png"
    assert expected.name == ""
    assert predictor.predict(pixels, name="x/y.jpg").name == "y.jpg"


def test_grey_is_three_equal_channels_and_what_is_transparent_lies_on_white(predictor, tmp_path):
    grey = photo(channels=1)[..., 0]
    expected = predictor.predict(np.repeat(grey[..., None], 3, 2))
    Image.fromarray(grey).save(tmp_path / "grey.png")
    for picture in (grey, Image.fromarray(grey), tmp_path / "grey.png"):
        same(predictor.predict(picture), expected)
    hidden = np.dstack([photo(), np.zeros((40, 56), np.uint8)])  # a photograph under an alpha of zeros
    with pytest.raises(DataError, match="every pixel is transparent, though colours differ beneath"):
        predictor.predict(Image.fromarray(hidden, "RGBA"))
    clear = np.zeros((40, 56, 4), np.uint8)
    Image.fromarray(clear, "RGBA").save(tmp_path / "clear.png")
    for picture in (Image.fromarray(clear, "RGBA"), tmp_path / "clear.png"):
        same(predictor.predict(picture), predictor.predict(np.full((40, 56, 3), 255, np.uint8)))


def test_how_many_sentences(predictor):
    assert len(predictor.predict(photo()).sentences) == 5
    assert len(predictor.predict(photo(), beams=3).sentences) == 3
    assert len(predictor.predict(photo(), beams=3, n_best=1).sentences) == 1
    same(predictor.predict(photo(), n_best=5), predictor.predict(photo()))


def test_errors_name_what_came_and_what_to_do(predictor, tmp_path):
    for settings, message in (
        ({"beams": 0}, r"beams is 0; give 1 or more"),
        ({"n_best": -1}, r"n_best is -1; give 0 or more"),
        ({"beams": 2, "n_best": 3}, r"n_best is 3, but only 2 beams are kept; give --beams as many"),
        ({"beams": 10}, r"cannot search with 10 beams over a vocabulary of 9 tokens; give 1\.\.9"),
    ):
        with pytest.raises(ConfigError, match=message):
            predictor.predict(photo(), **settings)
    with pytest.raises(DataError, match=r"the picture has 4 channels; show_attend_tell was trained on 3 \(an array is"):
        predictor.predict(photo(channels=4))
    (tmp_path / "bad.jpg").write_text("no picture")
    with pytest.raises(DataError, match=r"bad\.jpg"):
        predictor.predict(tmp_path / "bad.jpg")
    Image.fromarray(photo()).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png"):
        predictor.predict(tmp_path / "a.png", max_pixels=100)


def test_another_vocabulary_than_the_weights_is_refused(run, tmp_path):
    """The table's length is the model's: a folder that was put together from two does not open silently."""
    folder = run_of(tmp_path / "r") / "model"
    about = json.loads((folder / "config.json").read_text())
    about["config"]["vocabulary"] = 12
    (folder / "config.json").write_text(json.dumps(about))
    with pytest.raises(
        ModelError, match=r"config\.json has 9 entries in its table 'text' for a model with vocabulary = 12; take"
    ):
        Predictor.open(tmp_path / "r")
    about["config"]["vocabulary"] = len(TABLE)
    about["tables"]["text"]["names"] = about["tables"]["text"]["names"][:-1]
    (folder / "config.json").write_text(json.dumps(about))
    with pytest.raises(
        ModelError, match=r"config\.json has 8 entries in its table 'text' for a model with vocabulary = 9; take"
    ):
        Predictor.open(tmp_path / "r").predict(photo())
