"""Listen, Attend and Spell in claims: trained in this process on samples that are drawn, and scored."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from foveate.claims.fitting import fit
from foveate.metrics.speech import SpeechScores
from foveate.models.speech.listen_attend_spell import ListenAttendSpell
from foveate.records import SpeechBatch, SpeechSample
from foveate.tasks.speech.task import SpeechTask
from foveate.text import END, CharacterTable

PEAK_LR, CLIP = 2e-3, 1.0  # as in the recipes


def train_speller(
    model: ListenAttendSpell,
    table: CharacterTable,
    draw: Callable[[Sequence[tuple[int, int]]], Sequence[SpeechSample]],
    samples: int,
    steps: int,
    *,
    seed: int,
    batch: int,
    done: Callable[[SpeechTask, int], bool] = lambda task, step: False,
) -> SpeechTask:
    """Train a network with so many steps, and return its task, by which it writes.

    draw: function from keys (epoch, index) to samples, for indices 0..samples-1; the epoch counts passes of `samples`.
    done: called after each step with the task and the number of steps made; True ends the training.
    """
    task = SpeechTask({"text": table}, model.preprocessing)
    made = itertools.count()

    def loss(rows: Tensor) -> Tensor:
        epoch = next(made) * batch // samples
        drawn = draw([(epoch, row) for row in rows.tolist()])
        return model.loss(batched(task, drawn))["loss"]

    for step in fit(model, loss, samples, steps, seed=seed, batch=batch, peak=PEAK_LR, clip=CLIP):
        if done(task, step):
            break
    model.eval()
    return task


def batched(task: SpeechTask, samples: Sequence[SpeechSample]) -> SpeechBatch:
    """Samples with the tokens of their transcripts as one batch."""
    tokens = [torch.tensor([*task.text.encode(sample["transcript"]), END]) for sample in samples]
    return task.collate([{**sample, "tokens": own} for sample, own in zip(samples, tokens, strict=True)])


def spelled(model: ListenAttendSpell, task: SpeechTask, samples: Sequence[SpeechSample]) -> SpeechScores:
    """The scores of a network on samples, searched with two beams."""
    metrics = task.metrics(samples)  # type: ignore[arg-type]
    options: Any = task.make_options({"beams": 2, "cut": 0.0})
    for start in range(0, len(samples), task.batch_size):
        some = samples[start : start + task.batch_size]
        for number, (sample, found) in enumerate(zip(some, task.answer(model, some, options), strict=True)):
            task.count(metrics, start + number, sample, found)
    return metrics.compute()
