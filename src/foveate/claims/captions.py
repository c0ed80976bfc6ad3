"""Captions of the pasture: what it is worth to look at every word, and where one looks for it.

Two captioners are trained by their recipes, on fewer scenes: Show and Tell, which looks once, and Show, Attend and Tell
with soft attention. Trunk, steps, search and, within a tenth, the number of weights are the same.
"""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from statistics import fmean, median
from typing import Any

import torch
from torch import nn

import foveate
from foveate.claims import Claim
from foveate.claims.attention import SECTION
from foveate.claims.cost import weights
from foveate.datasets.pasture import Pasture
from foveate.metrics.captioning import CaptioningScores
from foveate.records import CaptionDataset
from foveate.registry import claim
from foveate.tasks.captioning import CaptioningTask
from foveate.text import split_words

TRAIN, TEST, EPOCHS = 1000, 150, 8
ONCE, ATTENDING = "show_and_tell_pasture", "show_attend_tell_pasture"


@dataclass(frozen=True)
class Captioner:
    """A trained network, and scenes that it has not seen."""

    model: nn.Module
    task: CaptioningTask
    scenes: CaptionDataset

    @cached_property
    def told(self) -> tuple[CaptioningScores, list[float]]:
        """Scores of what it says of the scenes, with the recipes' search; and each scene's own CIDEr-D."""
        metrics = self.task.metrics(self.scenes)
        with torch.inference_mode():
            each = [own for _, own in self.task.score(self.model, self.scenes, range(len(self.scenes)), metrics)]
        return metrics.compute(), each

    @cached_property
    def lengths(self) -> list[float]:
        """How many words people need for each scene, on average."""
        said = (self.scenes.captions(index) for index in range(len(self.scenes)))
        return [fmean(len(split_words(caption.text)) for caption in captions) for captions in said]


@claim("many_looks_beat_one")
def many_looks_beat_one() -> Claim:
    """CIDEr-D of what both captioners write by themselves, with beam search; of all scenes, and of two halves of them.

    The halves are the scenes of which people say less, and those of which they say more.
    """
    return Claim(
        section="Attention: recap of image captioning",
        claim="It is better to look at the picture many times, at other parts for other words, than to look once and "
        "then tell the whole caption.",
        effect="{:.2f} times the CIDEr-D of looking once: {:.3f} instead of {:.3f}; {:.2f} times where one says least "
        "({:.1f} words), {:.2f} where one says most ({:.1f} words); the decoder has {:.2f} times as many weights",
        measure=_many_looks_beat_one,
        holds=1.05,
        partly=1.01,
        long=True,
    )


def _many_looks_beat_one(seed: int) -> tuple[float, ...]:
    once, attending = captioner(ONCE, seed), captioner(ATTENDING, seed)
    (before, before_each), (after, after_each) = once.told, attending.told
    middle = median(attending.lengths)
    by_length: list[float] = []
    for long in (False, True):
        half = [i for i, length in enumerate(attending.lengths) if (length > middle) == long]
        gain = fmean(after_each[i] for i in half) / max(fmean(before_each[i] for i in half), 1e-9)
        by_length += [gain, fmean(attending.lengths[i] for i in half)]
    decoders = [weights(one.model) - weights(_trunk(one.model)) for one in (attending, once)]
    gain = after.cider_d / max(before.cider_d, 1e-9)
    return gain, after.cider_d, before.cider_d, *by_length, decoders[0] / decoders[1]


def _trunk(model: Any) -> nn.Module:
    trunk: nn.Module = model.backbone
    return trunk


@claim("attention_falls_on_what_is_named")
def attention_falls_on_what_is_named() -> Claim:
    """Where soft attention is largest when the captioner says what is there, of its own words.

    Only of nouns that are true of the scene, and whose things cover less than 15 % of it. By chance: the share of cells
    that are theirs.
    """
    return Claim(
        section=SECTION,
        claim="The model learns to focus on the relevant parts of the picture: at 'bird' on the bird, at 'frisbee' on "
        "the frisbee.",
        effect="{:.1f} times as often as chance attention is largest on what the word names: {:.0f} % of {:.0f} nouns, "
        "instead of {:.1f} %; {:.1f} times as much of it lies there as if it were spread evenly",
        measure=_attention_falls_on_what_is_named,
        holds=3.0,
        partly=1.5,
        long=True,
    )


def _attention_falls_on_what_is_named(seed: int) -> tuple[float, ...]:
    scores, _ = captioner(ATTENDING, seed).told
    if not scores.attention_words:  # nothing was named
        return 0.0, 0.0, 0, 0.0, 0.0
    hit, chance = scores.attention_hit, scores.attention_chance
    mass = scores.attention_mass / scores.attention_mass_chance
    return hit / max(chance, 1e-9), 100 * hit, scores.attention_words, 100 * chance, mass


@cache
def captioner(recipe: str, seed: int, **fields: Any) -> Captioner:
    """Train a recipe of the pasture on fewer scenes, with other fields as `foveate.train` takes them; once a process.

    Another seed is another world. Run folder and features are temporary, and what the training has to say goes nowhere.
    """
    world = {"train": TRAIN, "val": 10, "test": TEST, "seed": seed}
    fields |= {f"data__{name}": value for name, value in world.items()}
    nowhere = io.StringIO()
    with (
        tempfile.TemporaryDirectory() as folder,
        _features_in(folder),
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        run = foveate.train(
            recipe, out=Path(folder) / recipe, seed=seed, epochs=EPOCHS, validate_every=EPOCHS, workers=0, **fields
        )
        predictor = foveate.load(run, device="cpu")
    assert predictor.model is not None
    task = CaptioningTask(predictor.classes, predictor.preprocessing)
    return Captioner(predictor.model.eval(), task, Pasture(**world).open("test", "captioning"))


@contextlib.contextmanager
def _features_in(folder: str) -> Iterator[None]:
    """Features are kept where they are thrown away afterwards."""
    before = os.environ.get("FOVEATE_CACHE")
    os.environ["FOVEATE_CACHE"] = str(Path(folder) / "cache")
    try:
        yield
    finally:
        if before is None:
            del os.environ["FOVEATE_CACHE"]
        else:
            os.environ["FOVEATE_CACHE"] = before
