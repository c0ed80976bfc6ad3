"""Translations from a model: beam search over its decoder, and token sequences as words with their alignment.

Shapes: B sentences of S source tokens, the end among them; T target tokens; m source and n target words.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from foveate.ops.padding import pad
from foveate.ops.search import Hypothesis, beam_search
from foveate.records import Translation
from foveate.tasks.base import Runner, device_of
from foveate.tasks.searching import checked_step
from foveate.tasks.translation.options import TranslationOptions
from foveate.text import END, PAD, SPECIALS, UNKNOWN, TextTable

END_WORD = SPECIALS[END]  # the last column of an alignment


class Source(NamedTuple):
    """A source sentence: its words as they are written, and the tokens of each; the end is not among them."""

    words: tuple[str, ...]
    tokens: tuple[tuple[int, ...], ...]

    @classmethod
    def read(cls, text: str, table: TextTable) -> Source:
        """Split a sentence into words and tokens."""
        segments = [(word, tuple(ids)) for word, ids in table.segments(text) if ids]
        return cls(tuple(word for word, _ in segments), tuple(ids for _, ids in segments))

    @property
    def ids(self) -> list[int]:
        """All tokens, and the end."""
        return [*(i for ids in self.tokens for i in ids), END]

    def by_word(self, attention: np.ndarray) -> np.ndarray:
        """Attention to tokens (n, S) -> to words (n, m), that to the end last."""
        bounds = np.cumsum([0, *map(len, self.tokens)])
        parts = [attention[:, start:end].sum(1) for start, end in itertools.pairwise(bounds)]
        return np.stack([*parts, attention[:, bounds[-1]]], 1).astype(np.float32)


@torch.no_grad()
def translate(
    model: Runner, sources: Sequence[Source], table: TextTable, options: TranslationOptions
) -> list[tuple[Translation, ...]]:
    """Translations of B sentences: up to `n_best` of each, best first. Sentences without a token have an empty one.

    model: offers `encode`, `begin` and `step` (see `translation.task`). table: of the target. Raises ConfigError for
    more beams than tokens, ModelError for a table that is not the model's.
    """
    options.require(table)
    found: list[tuple[Translation, ...]] = [(_empty(model, source),) for source in sources]
    chosen = [i for i, source in enumerate(sources) if source.tokens]
    if not chosen:
        return found
    translator: Any = model
    tokens = pad([torch.tensor(sources[i].ids) for i in chosen], PAD).to(device_of(model))
    memory = translator.encode(tokens)
    rules = options.search([len(sources[i].ids) for i in chosen])
    hypotheses = beam_search(
        checked_step(translator, table), memory, translator.begin(memory), positions=tokens != PAD, **rules
    )
    for i, own in zip(chosen, hypotheses, strict=True):
        found[i] = tuple(_translation(hypothesis, sources[i], table) for hypothesis in own)
    return found


def _empty(model: Any, source: Source) -> Translation:
    attends = getattr(model, "attention", "none") != "none"
    attention = np.zeros((0, len(source.words) + 1), np.float32) if attends else None
    return Translation("", 0.0, (), np.zeros(0, np.float32), attention)


def _translation(hypothesis: Hypothesis, source: Source, table: TextTable) -> Translation:
    """A hypothesis as words. A word of several tokens has the product of their probabilities, and their mean alignment.

    An unknown token becomes the source word that it attends to most, or <unk> for a model without attention.
    """
    ids = hypothesis.tokens.tolist()
    attention = None if hypothesis.attention is None else hypothesis.attention.float().numpy()
    aligned = None if attention is None else source.by_word(attention)  # (T, m), still a row a token
    words: list[tuple[str, list[int]]] = []
    copied = []
    for start, end, unknown in _runs(ids):
        if unknown:
            word = SPECIALS[UNKNOWN] if aligned is None else source.words[int(aligned[start, :-1].argmax())]
            copied.append(len(words))
            words.append((word, [start]))
        else:
            words += [(word, [start + p for p in places]) for word, places in table.words(ids[start:end])]
    probabilities = [float(hypothesis.log_probs[places].sum().exp()) for _, places in words]
    rows = None
    if aligned is not None:
        rows = np.stack([aligned[places].mean(0) for _, places in words]) if words else aligned[:0]
    text = " ".join(word for word, _ in words) if copied else table.decode(ids)
    names = tuple(word for word, _ in words)
    return Translation(text, hypothesis.score, names, np.array(probabilities, np.float32), rows, tuple(copied))


def _runs(ids: Sequence[int]) -> list[tuple[int, int, bool]]:
    """(start, end, unknown) of each stretch of known tokens, and of each unknown one."""
    runs: list[tuple[int, int, bool]] = []
    start = 0
    for i, token in enumerate(ids):
        if token == UNKNOWN:
            runs += [(start, i, False)] if i > start else []
            runs.append((i, i + 1, True))
            start = i + 1
    return runs + ([(start, len(ids), False)] if len(ids) > start else [])
