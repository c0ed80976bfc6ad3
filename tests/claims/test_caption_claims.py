"""Claims about captions: captioners that need no training stand in, and worse ones turn the verdict over."""

from __future__ import annotations

import dataclasses
import os
from typing import NamedTuple

import pytest
import torch
from stand_ins import examined
from torch import nn
from torchvision import tv_tensors

from foveate.claims import captions
from foveate.claims.captions import Captioner
from foveate.records import Caption, Preprocessing
from foveate.registry import create_recipe
from foveate.tasks.captioning.task import CaptioningTask
from foveate.text import END, Words

SENTENCES = (
    "a red bird sits near the tall tree",
    "two brown cows rest here",
    "one person throws a white frisbee",
    "a small bird and a cow stand on the grass",
    "there is nobody but a bird",
    "the frisbee flies over two cows and a person on a road",
)
NAMED = ("bird", "cows", "frisbee", "cow", "bird", "person")
TABLE = Words(least=1).learn(SENTENCES)
GRID, SIDE = 4, 64


class Scenes:
    """Images that hold nothing but their number, each with one thing in one cell."""

    channels = 3

    def __len__(self):
        return len(SENTENCES)

    def __getitem__(self, index):
        masks = torch.zeros(1, SIDE, SIDE, dtype=torch.bool)
        masks[0, :16, 16 * (index % GRID) : 16 * (index % GRID) + 16] = True
        return {
            "image": tv_tensors.Image(torch.full((3, SIDE, SIDE), index, dtype=torch.uint8)),
            "captions": self.captions(index),
            "masks": tv_tensors.Mask(masks),
            "named": {NAMED[index]: (0,)},
            "name": self.name(index),
        }

    def name(self, index):
        return str(index)

    def captions(self, index):
        return (Caption(SENTENCES[index]),)


class State(NamedTuple):
    number: torch.Tensor
    word: torch.Tensor


class FixedCaptioner(nn.Module):
    """Writes a fixed sentence for each scene, with attention on a fixed cell.

    sentence_of: index of a scene -> index of the sentence written. cell_of: index of a scene -> the attended cell.
    """

    preprocessing = Preprocessing((0.0,) * 3, (1 / 255,) * 3, size=(SIDE, SIDE), stretch=True)

    def __init__(self, sentence_of=lambda index: index, cell_of=lambda index: index % GRID) -> None:
        super().__init__()
        self.sentence_of, self.cell_of = sentence_of, cell_of
        self.backbone = nn.Linear(1, 5)
        self.decoder = nn.Linear(3, 3)

    def encode(self, image):
        return image[:, :1, :GRID, :GRID]

    def begin(self, features):
        number = features[:, 0, 0, 0].round().long()
        return None, State(number, torch.zeros_like(number))

    def step(self, memory, state, tokens):
        logits = torch.full((len(tokens), len(TABLE)), -20.0)
        attention = torch.zeros(len(tokens), GRID * GRID)
        for row, (number, word) in enumerate(zip(state.number.tolist(), state.word.tolist(), strict=True)):
            ids = [*TABLE.encode(SENTENCES[self.sentence_of(number)]), END]
            logits[row, ids[min(word, len(ids) - 1)]] = 0.0
            attention[row, self.cell_of(number)] = 1.0
        return logits, State(state.number, state.word + 1), attention


def stand_in(model):
    return Captioner(model, CaptioningTask({"text": TABLE}, model.preprocessing), Scenes())


def replace_trained(monkeypatch, **models):
    """These captioners in the place of the trained ones."""
    found = {
        captions.WITHOUT_ATTENTION: stand_in(models["once"]),
        captions.WITH_ATTENTION: stand_in(models["attending"]),
    }
    monkeypatch.setattr(captions, "captioner", lambda recipe, seed: found[recipe])


def another(index):
    """The sentence of another scene, for every third one."""
    return (index + 1) % len(SENTENCES) if index % 3 == 0 else index


def test_many_looks(monkeypatch):
    replace_trained(monkeypatch, once=FixedCaptioner(another), attending=FixedCaptioner())
    assert examined("many_looks_beat_one") == "holds"
    gain, after, before, short, few, long, many, decoders = captions._many_looks_beat_one(0)
    assert after == pytest.approx(10) and gain == pytest.approx(10 / before)  # each word for word
    assert before < 8
    # Scenes 0 and 3 are told wrongly; 1, 2 and 4 have 5, 6 and 6 words, the others 8, 10 and 12.
    assert (few, many) == pytest.approx((17 / 3, 30 / 3))
    assert short == pytest.approx(1) and long > 1.5
    assert decoders == 1
    replace_trained(monkeypatch, once=FixedCaptioner(), attending=FixedCaptioner(another))
    assert examined("many_looks_beat_one") == "does not hold"
    replace_trained(monkeypatch, once=FixedCaptioner(another), attending=FixedCaptioner(another))
    assert examined("many_looks_beat_one") == "does not hold"


def test_the_two_recipes_differ_in_the_model_alone():
    """Same data, trunk, text, steps and rates; the search is the task's."""
    once, attending = (
        dataclasses.asdict(create_recipe(name)) for name in (captions.WITHOUT_ATTENTION, captions.WITH_ATTENTION)
    )
    assert {key for key in once if once[key] != attending[key]} == {"model", "config"}
    shared = {"backbone", "pretrained", "strides", "image_size", "dropout"}
    assert all(once["config"][key] == attending["config"][key] for key in shared)


def test_where_attention_falls(monkeypatch):
    replace_trained(monkeypatch, once=FixedCaptioner(), attending=FixedCaptioner())
    assert examined("attention_falls_on_what_is_named") == "holds"
    times, hit, words, chance, mass = captions._attention_falls_on_what_is_named(0)
    assert (times, hit, words, chance, mass) == pytest.approx((16, 100, len(SENTENCES), 100 / 16, 16))
    for elsewhere in (lambda index: 15, lambda index: (index + 1) % GRID):
        replace_trained(monkeypatch, once=FixedCaptioner(), attending=FixedCaptioner(cell_of=elsewhere))
        assert examined("attention_falls_on_what_is_named") == "does not hold"
    # A sixth of the words: 16 / 6 times as often as by chance.
    replace_trained(
        monkeypatch, once=FixedCaptioner(), attending=FixedCaptioner(cell_of=lambda index: 15 if index else 0)
    )
    assert examined("attention_falls_on_what_is_named") == "holds partly"


def test_sentences_that_name_nothing_of_the_scene(monkeypatch):
    replace_trained(
        monkeypatch,
        once=FixedCaptioner(),
        attending=FixedCaptioner(sentence_of=lambda index: (index + 1) % len(SENTENCES)),
    )
    assert captions._attention_falls_on_what_is_named(0)[:3] == (0, 0, 0)
    assert examined("attention_falls_on_what_is_named") == "does not hold"


def test_a_training_is_shared_silent_and_leaves_nothing(monkeypatch, capfd, tmp_path):
    for name, value in (("TRAIN", 12), ("TEST", 3), ("EPOCHS", 1)):
        monkeypatch.setattr(captions, name, value)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("FOVEATE_CACHE", str(tmp_path / "cache"))
    captions.captioner.cache_clear()
    fields = {"config__backbone": "test_efficientnet", "config__pretrained": False, "text__least": 1}
    small = fields | {"config__hidden": 8, "config__embed": 8, "config__attend": 4}
    one = captions.captioner(captions.WITH_ATTENTION, 0, **small)
    assert captions.captioner(captions.WITH_ATTENTION, 0, **small) is one
    captions.captioner.cache_clear()
    assert capfd.readouterr() == ("", "")
    assert not list((tmp_path / "temporary").iterdir()) and not (tmp_path / "cache").exists()
    assert os.environ["FOVEATE_CACHE"] == str(tmp_path / "cache")
    assert len(one.scenes) == 3 and not one.model.training
    scores, each = one.scores
    assert scores.images == 3 == len(each) and scores.cider_d == pytest.approx(sum(each) / 3)
