"""Handwriting: what the window over the text is worth, the letters that it weighs, and where writing ends.

The synthesis and the prediction network are trained by one recipe on the package's own letters, whose strokes tell
which letter each point belongs to. Both are scored on test pieces of the same hands.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from foveate.claims import Claim, cached
from foveate.claims.trained import train_quietly
from foveate.datasets.handwriting.letters import STROKES
from foveate.engine.loading import SuitedDataset
from foveate.metrics.handwriting import HandwritingScores
from foveate.recipes import resolve
from foveate.records import HandwritingPrediction
from foveate.registry import claim

SECTION = "Attending to Arbitrary Regions: handwriting"
RECIPE = "handwriting_letters"
EPOCHS = 20


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
def scored(seed: int, text: bool) -> Scored:
    """Train the network with or without a text, and score it; cached for the process.

    The seed also determines the data set.
    """
    settings = {"seed": seed, "data.seed": seed, "config.text": text, "epochs": EPOCHS}
    recipe = resolve(RECIPE, overrides=settings)
    predictor = train_quietly(recipe)
    source: Any = recipe.data
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
