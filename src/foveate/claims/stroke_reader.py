"""A reader of handwriting: Listen, Attend and Spell on pen movements in place of sound.

Shapes: pieces of T points, each dx, dy and 1 where the pen is lifted after it.

A point takes the place of a frame of sound, its three values that of a spectrum. The reader normalises each of them
over the piece, so that size does not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from foveate.claims.spelling import spelled, train_speller
from foveate.errors import DataError
from foveate.metrics.speech import SpeechScores
from foveate.models.speech.listen_attend_spell import Config, ListenAttendSpell
from foveate.records import HandwritingSample, Sound, SpeechSample
from foveate.tasks.speech.task import SpeechTask
from foveate.text import Characters

RATE = 100  # points a "second"
BATCH = 32
SIZES = {
    "features": 3, "rate": RATE, "hidden": 64, "pyramid": 2, "speller": 128, "speller_layers": 1, "embed": 32,
    "attend": 64, "init": 0.0, "sampling": 0.0,
}  # fmt: skip


class StrokeReader(NamedTuple):
    """A trained reader."""

    model: ListenAttendSpell
    task: SpeechTask

    def read(self, pieces: Sequence[HandwritingSample]) -> SpeechScores:
        """The errors in reading pieces; `cer` is that of characters."""
        return spelled(self.model, self.task, [self.heard(piece) for piece in pieces])

    def heard(self, piece: HandwritingSample) -> SpeechSample:
        """A piece as the reader takes it; see `heard`."""
        return heard(piece, self.model.preprocessing.shortest)


def train_reader(
    pieces: Sequence[HandwritingSample],
    seed: int,
    steps: int,
    augment: Callable[[HandwritingSample], HandwritingSample] = lambda piece: piece,
    **sizes: Any,
) -> StrokeReader:
    """Train a reader on pieces with their texts.

    augment: changes a piece each time that it is read. sizes: fields of the Config other than SIZES.
    Raises DataError for a piece without a text.
    """
    if nameless := next((piece["name"] for piece in pieces if not piece["transcript"]), ""):
        raise DataError(f"{nameless}: no text; a reader is trained on pieces with their texts")
    table = Characters(least=1).learn(piece["transcript"] for piece in pieces)
    torch.manual_seed(seed)
    config: dict[str, Any] = SIZES | sizes | {"vocabulary": len(table)}
    model = ListenAttendSpell(Config(**config))
    shortest = model.preprocessing.shortest

    def draw(keys: Sequence[tuple[int, int]]) -> list[SpeechSample]:
        return [heard(augment(pieces[index]), shortest) for _, index in keys]

    task = train_speller(model, table, draw, len(pieces), steps, seed=seed, batch=BATCH)
    return StrokeReader(model, task)


def heard(piece: HandwritingSample, shortest: int) -> SpeechSample:
    """A piece as a recording of three values a point; points at rest follow one of fewer than `shortest` points."""
    values: Tensor = piece["strokes"].float()
    rest = values.new_zeros(max(0, shortest - len(values)), 3)
    sound = Sound(torch.cat([values, rest]), RATE)
    return SpeechSample(audio=sound, transcript=piece["transcript"], name=piece["name"])
