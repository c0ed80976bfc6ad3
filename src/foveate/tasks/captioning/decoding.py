"""Captions from a model: beam search over its decoder, and token sequences as words with attention.

Shapes: B images, a grid of h x w places, L tokens, V in the vocabulary, T words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from foveate.ops.search import Hypothesis, beam_search
from foveate.records import Sentence
from foveate.tasks.base import Runner, device_of
from foveate.tasks.captioning.options import CaptioningOptions
from foveate.tasks.searching import checked_step
from foveate.text import TextTable


@torch.no_grad()
def generate_captions(
    model: Runner, inputs: Mapping[str, Tensor], table: TextTable, options: CaptioningOptions | None = None
) -> list[tuple[Sentence, ...]]:
    """Captions of B images: up to `n_best` of each, best first.

    model: offers `encode`, `begin` and `step` (see `captioning.task`). inputs: 'image' (B, C, H, W), normalised, or
    'features' (B, D, h, w). options: the rules of the search; None for the usual ones. Raises ConfigError for more
    beams than tokens, ModelError for a table that is not the model's.
    """
    options = options or CaptioningOptions()
    options.require(table)
    captioner: Any = model
    on_device = {key: value.to(device_of(model)) for key, value in inputs.items()}
    features = on_device["features"] if "features" in on_device else captioner.encode(on_device["image"])
    memory, state = captioner.begin(features)
    return search_captions(captioner, memory, state, table, options, tuple(features.shape[-2:]))


def search_captions(
    captioner: Any, memory: Any, state: Any, table: TextTable, options: CaptioningOptions, places: tuple[int, ...]
) -> list[tuple[Sentence, ...]]:
    """Captions of B inputs by their memory and state, as `step` takes them: up to `n_best` of each, best first.

    places: shape of the attention of a word, (h, w) or (K,). Raises ModelError for a table that is not the model's.
    """
    hypotheses = beam_search(checked_step(captioner, table), memory, state, **options.search(table))
    return [tuple(_sentence(hypothesis, table, places) for hypothesis in own) for own in hypotheses]


def _sentence(hypothesis: Hypothesis, table: TextTable, grid: tuple[int, ...]) -> Sentence:
    """A hypothesis as words. A word of several tokens has the product of their probabilities, and their mean map."""
    spelled = table.words(hypothesis.tokens.tolist())
    probabilities = [float(hypothesis.log_probs[places].sum().exp()) for _, places in spelled]
    attention = None
    if hypothesis.attention is not None:
        maps = [hypothesis.attention[places].float().mean(0).unflatten(0, grid) for _, places in spelled]
        attention = torch.stack(maps).numpy() if maps else hypothesis.attention.new_zeros(0, *grid).numpy()
    words = tuple(word for word, _ in spelled)
    text = table.decode(hypothesis.tokens.tolist())
    return Sentence(text, hypothesis.score, words, torch.tensor(probabilities, dtype=torch.float32).numpy(), attention)
