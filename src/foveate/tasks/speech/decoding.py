"""Transcripts from a model: beam search over its speller, words with their times, and long recordings in parts.

Shapes: B recordings, U cells of the listener, L tokens, W words.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from foveate.ops.padding import pad
from foveate.ops.search import Hypothesis, beam_search
from foveate.records import Sound, SpeechPrediction, Transcript
from foveate.sounds import cuts_at_silence
from foveate.tasks.base import Runner, device_of
from foveate.tasks.searching import checked_step
from foveate.tasks.speech.language import read_language_model
from foveate.tasks.speech.options import SpeechOptions
from foveate.text import TextTable

TAILS = 0.05  # share of a word's attention that lies before its time, and as much after it
AT_ONCE = 16  # parts that are read together


def padded(values: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Recordings (T,) or (T, D) as one tensor, filled up with zeros, and their lengths (B,)."""
    return pad(list(values)), torch.tensor([len(one) for one in values])


@torch.no_grad()
def transcribe(
    runner: Runner, sounds: Sequence[Sound], names: Sequence[str], table: TextTable, options: SpeechOptions
) -> list[SpeechPrediction]:
    """The transcripts of each recording, best first; long ones are cut and their parts read one by one.

    Raises ConfigError for more beams than characters, ModelError for a table that is not the model's.
    """
    options.require(table)
    model: Any = runner
    parts: list[Tensor] = []
    starts: list[list[float]] = []  # of each recording, the seconds at which its parts start
    for sound in sounds:
        places = [0, len(sound.values)]
        if options.cut and sound.seconds > options.cut and not sound.is_features:
            places = cuts_at_silence(sound, options.cut)
        parts += [sound.values[a:b] for a, b in itertools.pairwise(places)]
        starts.append([a / sound.rate for a in places[:-1]])
    rate = sounds[0].rate
    found: list[list[Transcript]] = []
    counts: list[int] = []
    for first in range(0, len(parts), AT_ONCE):
        some = parts[first : first + AT_ONCE]
        hypotheses, cells = _search(model, some, rate, table, options)
        counts += cells
        found += [
            [_transcript(one, table, model, count) for one in own] for own, count in zip(hypotheses, cells, strict=True)
        ]
    predictions = []
    at = 0
    for sound, name, own in zip(sounds, names, starts, strict=True):
        several, cells = found[at : at + len(own)], counts[at : at + len(own)]
        at += len(own)
        centres = [
            start + model.cell_first + model.cell_step * np.arange(n) for start, n in zip(own, cells, strict=True)
        ]
        best = [transcripts[0] for transcripts in several]
        transcripts = tuple(several[0]) if len(own) == 1 else (_joined(best, own, cells, options.length_penalty),)
        predictions.append(SpeechPrediction(transcripts, sound.seconds, np.concatenate(centres), tuple(own[1:]), name))
    return predictions


def _search(
    model: Any, parts: Sequence[Tensor], rate: float, table: TextTable, options: SpeechOptions
) -> tuple[list[list[Hypothesis]], list[int]]:
    """The hypotheses of each part, and its number of cells."""
    audio, lengths = padded(parts)
    device = device_of(model)
    memory, state = model.begin(audio.to(device), lengths.to(device))
    cells = memory.mask.sum(1).tolist()
    longest = [options.longest(length / rate) for length in lengths.tolist()]
    fusion = None
    if options.language and options.language_weight:
        language = read_language_model(options.language, table)
        fusion = language.fusion(len(parts), options.language_weight, device)
    return beam_search(
        checked_step(model, table), memory, state, max_length=longest, fusion=fusion, **options.rules()
    ), cells


def _transcript(hypothesis: Hypothesis, table: TextTable, model: Any, cells: int) -> Transcript:
    """A hypothesis as words. A word has the product of its tokens' probabilities, and the time that they attend to."""
    ids = hypothesis.tokens.tolist()
    assert hypothesis.attention is not None
    attention = hypothesis.attention[:, :cells].float().numpy()
    spelled = table.words(ids)
    probabilities = [float(hypothesis.log_probs[places].sum().exp()) for _, places in spelled]
    times = word_times([attention[places].sum(0) for _, places in spelled], model.cell_step, model.cell_first)
    return Transcript(
        table.decode(ids),
        hypothesis.score,
        tuple(word for word, _ in spelled),
        np.array(probabilities, np.float32),
        times,
        tuple(table.names[i] for i in ids),
        attention,
        np.zeros(len(ids), int),
    )


def word_times(attention: Sequence[np.ndarray], step: float, first: float) -> np.ndarray:
    """Return the seconds (W, 2) from and to that the attention (U,) of each word lies in.

    They leave out TAILS of it at either end. Words that would overlap meet in the middle, and no word starts before
    the one in front of it. step, first: seconds from one cell to the next, and of the middle of the first.
    """
    times = np.zeros((len(attention), 2))
    for row, weights in zip(times, attention, strict=True):
        reached = np.cumsum(weights) / max(float(weights.sum()), 1e-12)
        low, high = np.searchsorted(reached, TAILS), np.searchsorted(reached, 1 - TAILS)
        last = len(weights) - 1
        row[0] = first + step * (min(int(low), last) - 0.5)
        row[1] = first + step * (min(int(high), last) + 0.5)
    times = times.clip(min=0)
    for before, after in itertools.pairwise(times):
        if after[0] < before[1]:
            middle = min(max((before[1] + after[0]) / 2, before[0]), max(after[1], before[0]))
            before[1] = after[0] = middle
            after[1] = max(after[1], middle)
    return times


def _joined(
    parts: Sequence[Transcript], starts: Sequence[float], cells: Sequence[int], length_penalty: float
) -> Transcript:
    """The transcripts of parts that follow each other as one, whose score is that of all their tokens.

    A part of T tokens with the score s has the sum s T^length_penalty (`ops.search.beam_search`).
    """
    longest = max(cells)
    maps = [np.pad(one.attention, ((0, 0), (0, longest - count))) for one, count in zip(parts, cells, strict=True)]
    first = [np.full(len(one.tokens), at) for one, at in zip(parts, np.cumsum([0, *cells]), strict=False)]
    total = sum(one.score * len(one.tokens) ** length_penalty for one in parts)
    count = sum(len(one.tokens) for one in parts)
    return Transcript(
        " ".join(one.text for one in parts if one.text),
        total / max(count, 1) ** length_penalty,
        tuple(word for one in parts for word in one.words),
        np.concatenate([one.probabilities for one in parts]),
        np.concatenate([one.times + start for one, start in zip(parts, starts, strict=True)]),
        tuple(token for one in parts for token in one.tokens),
        np.concatenate(maps),
        np.concatenate(first),
    )
