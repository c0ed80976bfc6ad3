"""Handwriting: what the window over the text is worth, the letters that it weighs, where writing ends, and its bias.

The synthesis and the prediction network are trained by one recipe on the package's own letters, whose strokes tell
which letter each point belongs to. Both are scored on test pieces of the same hands. What the synthesis network writes
is read by Listen, Attend and Spell on strokes (`claims.stroke_reader`), trained on true pieces of the same hands.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
import torch

from foveate.claims import Claim, cached
from foveate.claims.stroke_reader import train_reader
from foveate.claims.trained import train_quietly
from foveate.datasets.handwriting.letters import STROKES, UNIT
from foveate.engine.loading import SuitedDataset
from foveate.metrics.handwriting import HandwritingScores
from foveate.predictor import Predictor
from foveate.recipes import resolve
from foveate.records import HandwritingPrediction, HandwritingSample
from foveate.registry import claim
from foveate.tasks.handwriting.writing import write

SECTION = "Attending to Arbitrary Regions: handwriting"
RECIPE = "handwriting_letters"
EPOCHS = 20
BIASES = (0.0, 1.0, 3.0)
TEXTS, REPEATS = 60, 4  # test texts that are written with each bias, and samples of each
PLACES = 64  # along a piece, at which samples of a text are compared
READ_PIECES, READ_STEPS = 4000, 1200  # of the reader's training
READABLE = 20.0  # percent of character errors on true pieces up to which the reader can judge others


@claim("text_window_lowers_the_loss")
def text_window_lowers_the_loss() -> Claim:
    """Compare the negative log-likelihood of a point under the network with a window and under the one without text."""
    return Claim(
        section=SECTION,
        claim="A window over the text tells where the pen goes next.",
        effect="{:.3f} nats a point less: {:.3f} with the window over the text, {:.3f} without a text",
        measure=_text_window_lowers_the_loss,
        holds=0.1,
        partly=0.02,
        long=True,
    )


def _text_window_lowers_the_loss(seed: int) -> tuple[float, ...]:
    reading, blind = (scored(seed, text).scores.nats_per_point for text in (True, False))
    return blind - reading, reading, blind


@claim("window_weighs_the_letter_that_is_written")
def window_weighs_the_letter_that_is_written() -> Claim:
    """Count the points inside of strokes at which the window weighs the letter of the stroke more than any other."""
    return Claim(
        section=SECTION,
        claim="The window over the text is on the letter that is being written.",
        effect="the letter that is written has the largest weight at {:.1f} % of the points, the one before it at "
        "{:.1f} % and the one after it at {:.1f} %",
        measure=_window_weighs_the_letter_that_is_written,
        holds=85.0,
        partly=70.0,
        long=True,
    )


def _window_weighs_the_letter_that_is_written(seed: int) -> tuple[float, ...]:
    return weighed(scored(seed, True).predictions)


@claim("writing_stops_after_the_text")
def writing_stops_after_the_text() -> Claim:
    """Count the test texts whose writing ends by the rule of the window, without bias and before it is cut."""
    return Claim(
        section=SECTION,
        claim="Writing stops by itself when the text is written.",
        effect="{:.1f} % of the texts end by themselves",
        measure=_writing_stops_after_the_text,
        holds=98.0,
        partly=90.0,
        long=True,
    )


def _writing_stops_after_the_text(seed: int) -> tuple[float, ...]:
    return (scored(seed, True).scores.stop_percent,)


@claim("bias_trades_variety_for_legibility")
def bias_trades_variety_for_legibility() -> Claim:
    """Compare the character errors in reading what is written, and the spread of samples of a text, by bias.

    The first figure is the smaller one of two shares: of the character errors at bias 0 that are gone at bias 3, and of
    the spread at bias 0 that is gone at bias 3. It is 0 where the reader does not read true pieces.
    """
    return Claim(
        section=SECTION,
        claim="Bias trades variety for legibility.",
        effect="a bias of 3 takes away at least {:.2f} of either: {:.1f} % of the characters are read wrong without "
        "bias, {:.1f} % at bias 1, {:.1f} % at bias 3 and {:.1f} % of true pieces; samples of a text deviate by "
        "{:.2f}, {:.2f} and {:.2f} heights of a small letter",
        measure=_bias_trades_variety_for_legibility,
        holds=0.3,
        partly=0.1,
        long=True,
    )


def _bias_trades_variety_for_legibility(seed: int) -> tuple[float, ...]:
    predictor = writer(seed, True)
    source: Any = resolve(RECIPE, overrides={"data.seed": seed, "data.train": READ_PIECES}).data
    train, test = source.open("train", "handwriting"), source.open("test", "handwriting")
    reader = train_reader([train[i] for i in range(len(train))], seed, READ_STEPS)
    true = 100 * reader.read([test[i] for i in range(len(test))]).cer
    texts = [text for text in test.texts[:TEXTS] for _ in range(REPEATS)]
    errors, spreads = [], []
    for bias in BIASES:
        pieces = written(predictor, texts, bias, seed)
        errors.append(100 * reader.read(pieces).cer)
        samples = [piece["strokes"].numpy() for piece in pieces]
        spreads.append(fmean(spread(samples[i : i + REPEATS]) for i in range(0, len(samples), REPEATS)))
    return taken_away(errors, spreads, true), *errors, true, *spreads


def taken_away(errors: Sequence[float], spreads: Sequence[float], true: float) -> float:
    """The smaller share of errors and of spread, both by bias, that the last bias takes from the first.

    0 where there are none at first, and where more than READABLE percent of the characters of `true` are read wrong.
    """
    if true > READABLE or not (errors[0] and spreads[0]):
        return 0.0
    return min(1 - errors[-1] / errors[0], 1 - spreads[-1] / spreads[0])


def written(predictor: Predictor, texts: Sequence[str], bias: float, seed: int) -> list[HandwritingSample]:
    """Each text written once, with noise of its own that does not depend on the bias."""
    family: Any = predictor.family
    generators = [torch.Generator().manual_seed(seed * 10**6 + number) for number in range(len(texts))]
    tokens = [family.characters.encode(text) for text in texts]
    drawn = write(predictor.runner, tokens, family.preprocessing, generators, bias)
    return [
        HandwritingSample(strokes=torch.from_numpy(one.strokes), transcript=text, name=f"{number}")
        for number, (one, text) in enumerate(zip(drawn, texts, strict=True))
    ]


def spread(samples: Sequence[np.ndarray]) -> float:
    """The deviation of samples (T, 3) of one text from their mean, in heights of a small letter.

    Compared are PLACES at even distances along the pen's way, relative to their mean.
    """
    ways = []
    for strokes in samples:
        points = strokes[:, :2].cumsum(0)
        along = np.concatenate([[0.0], np.hypot(*np.diff(points, axis=0).T).cumsum()])
        places = np.linspace(0, along[-1], PLACES)
        way = np.stack([np.interp(places, along, points[:, axis]) for axis in range(2)], 1)
        ways.append(way - way.mean(0))
    away = np.stack(ways) - np.mean(ways, 0)
    return float(np.sqrt((away**2).sum(-1).mean()) / UNIT)


def weighed(predictions: Sequence[HandwritingPrediction]) -> tuple[float, float, float]:
    """Return the shares, in percent, of points whose own, previous or next letter has the largest weight.

    Points that the pen reaches in the air are left out.
    """
    own = before = after = count = 0
    for one in predictions:
        assert one.window is not None
        letter = letter_of_points(one.text, one.strokes)[1:]
        inside = one.strokes[:-1, 2] == 0
        best = one.window[:, : len(one.text)].argmax(1)[inside]
        letter = letter[inside]
        own += int((best == letter).sum())
        before += int((best == letter - 1).sum())
        after += int((best == letter + 1).sum())
        count += len(letter)
    return 100 * own / count, 100 * before / count, 100 * after / count


def letter_of_points(text: str, strokes: np.ndarray) -> np.ndarray:
    """Return the place in the text of the letter that each point (T, 3) writes, (T,), of the package's own letters."""
    owner = np.array([i for i, letter in enumerate(text) if letter != " " for _ in STROKES[letter]])
    stroke = np.concatenate([[0], np.cumsum(strokes[:-1, 2] > 0)]).astype(int)
    letters: np.ndarray = owner[stroke]
    return letters


class Scored(NamedTuple):
    """A trained network's scores on the test pieces, and its predictions of them."""

    scores: HandwritingScores
    predictions: tuple[HandwritingPrediction, ...]


@cached
def writer(seed: int, text: bool) -> Predictor:
    """Train the network with or without a text; cached for the process. The seed also determines the data set."""
    settings = {"seed": seed, "data.seed": seed, "config.text": text, "epochs": EPOCHS}
    return train_quietly(resolve(RECIPE, overrides=settings))


@cached
def scored(seed: int, text: bool) -> Scored:
    """The scores of a network with or without a text on the test pieces; cached for the process."""
    predictor = writer(seed, text)
    source: Any = resolve(RECIPE, overrides={"data.seed": seed}).data
    pieces = source.open("test", "handwriting")
    family: Any = predictor.family
    metrics = family.metrics(pieces)
    found: list[HandwritingPrediction] = []
    with torch.inference_mode():
        suited = SuitedDataset(pieces, family, RECIPE)
        for _ in family.score(predictor.runner, suited, range(len(pieces)), metrics):
            pass
        for start in range(0, len(pieces), family.batch_size):
            rows = range(start, min(start + family.batch_size, len(pieces)))
            found += family.answer(predictor.runner, [suited[i] for i in rows], family.make_options())
    return Scored(metrics.compute(), tuple(found))
