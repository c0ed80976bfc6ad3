"""Speech: what the pyramid of the listener is worth, and the sound that a word's attention falls on.

Strings of one to three words are composed from recordings of a synthetic voice (`datasets.tone_words`), so that the
true span of every word is known. It is no speech: ten words of tones and noise, by speakers of other pitches and
resonances. Networks are scored on strings of a speaker that training does not have.

The flat listener, to which the pyramid is compared, has as many layers of as many units, and reads one cell at a time
where the pyramid reads two. Both are trained alike until unseen strings are spelled as well, and the multiply-adds of
these steps are compared.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from foveate.claims import Claim, cached
from foveate.claims.cost import multiply_adds
from foveate.claims.spelling import batched, spelled, train_speller
from foveate.datasets.tone_words import RATE, write_tone_words
from foveate.datasets.word_strings import WordStrings
from foveate.metrics.speech import SpeechScores
from foveate.models.speech.listen_attend_spell import Config, ListenAttendSpell
from foveate.ops.pyramid_rnn import BidirectionalLSTM
from foveate.records import SpeechSample
from foveate.registry import claim
from foveate.tasks.speech.task import SpeechTask
from foveate.text import Characters

SECTION = "Attention in Other Domains: speech recognition"
SPEAKERS, LONGEST, TRAIN, TEST = 10, 3, 1500, 200
STEPS, BATCH, RAMP = 1200, 24, 6  # of the pyramid; epochs in which strings grow from one word
LAYERS, MELS = 2, 40  # of the pyramid, above a first layer that keeps time
SIZES = {
    "mels": MELS, "low": 60.0, "hidden": 64, "pyramid": LAYERS, "speller": 128, "speller_layers": 1, "embed": 32,
    "attend": 64, "init": 0.0, "sampling": 0.0,
}  # fmt: skip
TYPICAL = (100, 10)  # frames and characters of a string of two words, on which costs are compared
LEARNED = 0.3  # nats a character of unseen strings, given those before it, up to which a network has learned to spell
EVERY, WATCHED = 25, 48  # steps from one look at these to the next; their number
READ = 50.0  # percent of word errors from which on attention is not judged


@claim("pyramid_trains_faster")
def pyramid_trains_faster() -> Claim:
    """Compare the multiply-adds until a pyramid, and a flat listener, spell unseen strings with LEARNED nats.

    A flat listener that never does counts with all its steps. The figure is 0 where the pyramid never does.
    """
    return Claim(
        section=SECTION,
        claim="The pyramid makes training faster at equal error.",
        effect="{:.2f} times fewer multiply-adds until unseen strings are spelled as well: {:.0f} steps instead of "
        f"{{:.0f}} (of {STEPS}) without halving time, each of which costs {{:.2f}} times as much",
        measure=_pyramid_trains_faster,
        holds=1.5,
        partly=1.1,
        long=True,
    )


def _pyramid_trains_faster(seed: int) -> tuple[float, ...]:
    pyramid, flat = heard(seed, True).steps, heard(seed, False).steps or STEPS
    ratio = cost(False) / cost(True)
    return ratio * flat / pyramid if pyramid else 0.0, pyramid, flat, ratio


@claim("attention_falls_on_the_sound")
def attention_falls_on_the_sound() -> Claim:
    """Measure the share of a word's attention that lies within its true span, for words that are written correctly.

    It is 0 where more than half of the words are wrong: few right ones would say little.
    """
    return Claim(
        section=SECTION,
        claim="The attention of a word that is written falls on its sound.",
        effect="{:.1f} % of the attention lies within the word's sound; spread evenly it would be {:.1f} %; {:.1f} % "
        "of the words are wrong",
        measure=_attention_falls_on_the_sound,
        holds=90.0,
        partly=75.0,
        long=True,
    )


def _attention_falls_on_the_sound(seed: int) -> tuple[float, ...]:
    found = heard(seed, True)
    wer = 100 * found.scores.wer
    return 100 * found.scores.attention_in_span if wer <= READ else 0.0, 100 * found.chance, wer


class FlatLayer(nn.Module):
    """A layer of the listener that reads one cell at a time, and keeps their number: (B, L, 2 H) -> (B, L, 2 H)."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.rnn = BidirectionalLSTM(2 * hidden, hidden)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Return the cells and their lengths; see `ops.pyramid_rnn.PyramidLSTM`."""
        return self.rnn(x, lengths), lengths


def listener(pyramid: bool, vocabulary: int, features: int = 0) -> ListenAttendSpell:
    """A network that halves time in LAYERS layers, or in none of them. features: values of a frame; 0 reads sound."""
    config = Config(vocabulary=vocabulary, features=features, rate=100 if features else RATE, **SIZES)  # type: ignore[arg-type]
    model = ListenAttendSpell(config)
    if not pyramid:
        model.pyramid = nn.ModuleList(FlatLayer(config.hidden) for _ in range(LAYERS))
        model.cell_step, model.cell_first = config.hop, config.window / 2
    return model


@cache
def cost(pyramid: bool) -> int:
    """Multiply-adds of one string; those of the spectrogram, which both have, are left out."""
    frames, characters = TYPICAL
    with torch.device("meta"):
        model = listener(pyramid, 30, MELS).eval()
        tokens = torch.zeros(1, characters, dtype=torch.int64)
        return multiply_adds(lambda audio: model(audio, tokens), torch.zeros(1, frames, MELS))


class Heard(NamedTuple):
    """Scores on unseen strings, the share of a string that a word's sound takes, and the steps of learning to spell.

    steps: until unseen strings are spelled with LEARNED nats a character; 0: never.
    """

    scores: SpeechScores
    chance: float
    steps: int


@cached
def heard(seed: int, pyramid: bool) -> Heard:
    """Train a network and let it write strings of an unseen speaker; cached for the process.

    The seed also determines the voices and the strings. The flat listener is trained no longer than until it spells.
    """
    with tempfile.TemporaryDirectory() as folder:
        write_tone_words(Path(folder), seed, SPEAKERS)
        source = WordStrings(folder, longest=LONGEST, seed=seed, train=TRAIN, val=TEST, ramp=RAMP)
        train, test = source.open("train"), source.open("val")
        table = Characters(least=1).learn(train.transcript(i) for i in range(len(train)))
        strings = [test[i] for i in range(len(test))]
        torch.manual_seed(seed)
        model = listener(pyramid, len(table))
        learned = 0

        def done(task: SpeechTask, step: int) -> bool:
            nonlocal learned
            if not learned and step % EVERY == 0 and nats(model, task, strings[:WATCHED]) <= LEARNED:
                learned = step
            return bool(learned) and not pyramid

        task = train_speller(model, table, train.draw, TRAIN, STEPS, seed=seed, batch=BATCH, done=done)
        return Heard(spelled(model, task, strings), chance(strings), learned)


def nats(model: ListenAttendSpell, task: SpeechTask, strings: Sequence[SpeechSample]) -> float:
    """The negative log-likelihood of a character of strings, given the true ones before it; leaves a model training."""
    model.eval()
    with torch.no_grad():
        found = float(model.loss(batched(task, strings))["characters"])
    model.train()
    return found


def chance(strings: Sequence[SpeechSample]) -> float:
    """The share of its string that the span of a word takes, on average over words."""
    shares = [(end - start) / sample["audio"].seconds for sample in strings for start, end in sample["spans"]]
    return sum(shares) / len(shares)
