"""Captions of the synthetic Pasture data set: the benefit of attention for each word, and the objects it falls on.

Two captioners are trained by their recipes, on fewer scenes: Show and Tell, a CNN encoder and LSTM decoder without
attention, and Show, Attend and Tell with soft attention. Trunk, steps, search and, within a tenth, the number of
weights are the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, median
from typing import Any

import torch
from torch import nn

from foveate.claims import Claim, cached
from foveate.claims.attention import SECTION
from foveate.claims.cost import weights
from foveate.claims.trained import train_quietly
from foveate.datasets.pasture import Pasture
from foveate.metrics.captioning import CaptioningScores
from foveate.recipes import resolve
from foveate.records import CaptionDataset
from foveate.registry import claim
from foveate.tasks.captioning.task import CaptioningTask
from foveate.text import split_words

TRAIN, TEST, EPOCHS = 1000, 150, 8
WITHOUT_ATTENTION, WITH_ATTENTION = "show_and_tell_pasture", "show_attend_tell_pasture"


@dataclass(frozen=True)
class Captioner:
    """Trained captioner and test scenes."""

    model: nn.Module
    task: CaptioningTask
    scenes: CaptionDataset

    @cached_property
    def scores(self) -> tuple[CaptioningScores, list[float]]:
        """Scores of the captions generated for the scenes, with the recipe's search, and each scene's CIDEr-D."""
        metrics = self.task.metrics(self.scenes)
        with torch.inference_mode():
            ciders = [cider for _, cider in self.task.score(self.model, self.scenes, range(len(self.scenes)), metrics)]
        return metrics.compute(), ciders

    @cached_property
    def lengths(self) -> list[float]:
        """Mean number of words of the reference captions of each scene."""
        references = (self.scenes.captions(index) for index in range(len(self.scenes)))
        return [fmean(len(split_words(caption.text)) for caption in captions) for captions in references]


@claim("many_looks_beat_one")
def many_looks_beat_one() -> Claim:
    """Compare CIDEr-D of both captioners' captions from beam search, over all scenes and over two halves of them.

    The halves are the scenes with shorter and with longer reference captions.
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
    plain, attending = captioner(WITHOUT_ATTENTION, seed), captioner(WITH_ATTENTION, seed)
    (before, before_each), (after, after_each) = plain.scores, attending.scores
    median_length = median(attending.lengths)
    by_length: list[float] = []
    for long in (False, True):
        half = [i for i, length in enumerate(attending.lengths) if (length > median_length) == long]
        gain = fmean(after_each[i] for i in half) / max(fmean(before_each[i] for i in half), 1e-9)
        by_length += [gain, fmean(attending.lengths[i] for i in half)]
    decoders = [weights(one.model) - weights(_trunk(one.model)) for one in (attending, plain)]
    gain = after.cider_d / max(before.cider_d, 1e-9)
    return gain, after.cider_d, before.cider_d, *by_length, decoders[0] / decoders[1]


def _trunk(model: Any) -> nn.Module:
    trunk: nn.Module = model.backbone
    return trunk


@claim("attention_falls_on_what_is_named")
def attention_falls_on_what_is_named() -> Claim:
    """Measure how often the maximum of soft attention lies on the object that a generated word names.

    Only nouns that are true of the scene and whose objects cover less than 15 % of it are counted. The chance level is
    the share of cells that are the objects'.
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
    scores, _ = captioner(WITH_ATTENTION, seed).scores
    if not scores.attention_words:  # no object was named
        return 0.0, 0.0, 0, 0.0, 0.0
    hit, chance = scores.attention_hit, scores.attention_chance
    mass = scores.attention_mass / scores.attention_mass_chance
    return hit / max(chance, 1e-9), 100 * hit, scores.attention_words, 100 * chance, mass


@cached
def captioner(recipe: str, seed: int, **fields: Any) -> Captioner:
    """Train a recipe on fewer scenes of the Pasture data set; cached for the process.

    The seed also determines the data set.

    fields: other recipe fields, nested ones with two underscores (`config__dropout=0.0`).
    """
    data_fields: dict[str, Any] = {"train": TRAIN, "val": 10, "test": TEST, "seed": seed}
    dotted = {name.replace("__", "."): value for name, value in fields.items()}
    dotted |= {f"data.{name}": value for name, value in data_fields.items()}
    resolved = resolve(recipe, overrides=dotted | {"seed": seed, "epochs": EPOCHS})
    predictor, source = train_quietly(resolved), resolved.data
    assert isinstance(predictor.family, CaptioningTask)
    assert isinstance(source, Pasture)
    return Captioner(predictor.runner, predictor.family, source.open("test", "captioning"))
