"""Claims about handwriting: windows that follow the strokes, lag behind them or rest, and the verdicts on them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from stand_ins import examined

from foveate.claims import handwriting, trained
from foveate.datasets.handwriting.letters import STROKES
from foveate.datasets.handwriting.stroke_letters import StrokeLetters
from foveate.metrics.handwriting import HandwritingScores
from foveate.records import HandwritingPrediction, HandwritingSample
from foveate.registry import create_recipe, find

PIECES = StrokeLetters(train=0, val=0, test=12).open("test", "handwriting")


def scores(nats: float = 0.0, stops: float = 100.0) -> HandwritingScores:
    return HandwritingScores(nats, 30 * nats, 0.1, stops, 900, 30)


def predictions(late: int = 0, rests: bool = False) -> tuple[HandwritingPrediction, ...]:
    """Windows on the letter of the point, on that of the point `late` earlier, or on the first letter all the time."""
    found = []
    for i in range(len(PIECES)):
        sample = PIECES[i]
        text, strokes = sample["transcript"], np.asarray(sample["strokes"])
        letter = handwriting.letter_of_points(text, strokes)[1:]
        seen = np.roll(letter, late)
        seen[:late] = 0
        window = np.zeros((len(letter), len(text) + 1), np.float32)
        window[np.arange(len(letter)), 0 if rests else seen] = 1
        window[:, -1] = 9  # the place after the text is no letter
        found.append(HandwritingPrediction(strokes, text, window))
    return tuple(found)


def test_points_belong_to_the_letters_whose_strokes_they_are_in() -> None:
    """'it' has a body and a dot, then a stem and a bar, each with as many points as its stroke has."""
    lengths = [5, 2, 4, 3]
    lifted = np.concatenate([[0] * (n - 1) + [1] for n in lengths])
    strokes = np.stack([np.arange(len(lifted)), np.zeros(len(lifted)), lifted], 1)
    assert [len(STROKES[letter]) for letter in "it"] == [2, 2]
    assert handwriting.letter_of_points("it", strokes).tolist() == [0] * 7 + [1] * 7
    assert handwriting.letter_of_points("i t", strokes).tolist() == [0] * 7 + [2] * 7
    for i in range(len(PIECES)):  # real ones begin with the first letter and end with the last
        text = PIECES[i]["transcript"]
        letters = handwriting.letter_of_points(text, np.asarray(PIECES[i]["strokes"]))
        assert (np.diff(letters) >= 0).all()
        assert (letters[0], letters[-1]) == (0, len(text) - 1)


@pytest.mark.parametrize(
    ("given", "verdict"),
    [({}, "holds"), ({"late": 4}, "holds partly"), ({"late": 12}, "does not hold"), ({"rests": True}, "does not hold")],
)
def test_the_window_has_to_be_on_the_letter(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, int], verdict: str
) -> None:
    monkeypatch.setattr(
        handwriting,
        "scored",
        lambda seed, text: handwriting.Scored(scores(), predictions(**given)),  # type: ignore[arg-type]
    )
    assert examined("window_weighs_the_letter_that_is_written") == verdict
    own, before, after = find("claim", "window_weighs_the_letter_that_is_written").load()().measure(0)
    assert after == 0 and own + before <= 100 + 1e-9
    if not given:
        assert (own, before) == (100.0, 0.0)


@pytest.mark.parametrize(
    ("reading", "blind", "verdict"),
    [
        (-1.2, -1.0, "holds"),
        (-1.05, -1.0, "holds partly"),
        (-1.0, -1.0, "does not hold"),
        (-0.9, -1.1, "does not hold"),
    ],
)
def test_the_text_has_to_lower_the_loss(
    monkeypatch: pytest.MonkeyPatch, reading: float, blind: float, verdict: str
) -> None:
    monkeypatch.setattr(
        handwriting, "scored", lambda seed, text: handwriting.Scored(scores(reading if text else blind), ())
    )
    assert examined("text_window_lowers_the_loss") == verdict


@pytest.mark.parametrize(("stops", "verdict"), [(99.0, "holds"), (93.0, "holds partly"), (60.0, "does not hold")])
def test_writing_has_to_end_by_itself(monkeypatch: pytest.MonkeyPatch, stops: float, verdict: str) -> None:
    monkeypatch.setattr(handwriting, "scored", lambda seed, text: handwriting.Scored(scores(stops=stops), ()))
    assert examined("writing_stops_after_the_text") == verdict


def test_the_two_networks_differ_in_the_text_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    recipes = []

    class StopError(Exception):
        pass

    def train_recipe(recipe: object, out: object) -> None:
        recipes.append(recipe)
        raise StopError

    monkeypatch.setattr(trained, "train_recipe", train_recipe)
    for text in (True, False):
        with pytest.raises(StopError):
            handwriting.scored(7, text)
    reading, blind = recipes
    assert (reading.config.text, blind.config.text) == (True, False)
    assert reading.data == blind.data and (reading.data.seed, reading.seed, reading.epochs) == (7, 7, 20)
    base = create_recipe(handwriting.RECIPE)
    assert vars(reading.config) == vars(base.config) == vars(blind.config) | {"text": True}
    assert reading.optim == blind.optim == base.optim


@pytest.mark.parametrize(
    ("errors", "spreads", "true", "expected"),
    [
        ((20.0, 10.0, 5.0), (0.8, 0.6, 0.4), 3.0, 0.5),  # of the errors three quarters, of the spread a half
        ((20.0, 10.0, 18.0), (0.8, 0.6, 0.2), 3.0, 0.1),
        ((20.0, 10.0, 5.0), (0.8, 0.8, 0.8), 3.0, 0.0),  # no variety is lost
        ((5.0, 10.0, 20.0), (0.8, 0.6, 0.4), 3.0, -3.0),  # less legible
        ((20.0, 10.0, 5.0), (0.8, 0.6, 0.4), 30.0, 0.0),  # the reader cannot read
        ((0.0, 0.0, 0.0), (0.8, 0.6, 0.4), 3.0, 0.0),  # nothing to gain
    ],
)
def test_bias_has_to_take_from_both(
    errors: tuple[float, ...], spreads: tuple[float, ...], true: float, expected: float
) -> None:
    assert handwriting.taken_away(errors, spreads, true) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("legible", "narrow", "reads", "verdict"),
    [(True, True, True, "holds"), (False, True, True, "does not hold"), (True, False, True, "does not hold"),
     (True, True, False, "does not hold")],
)  # fmt: skip
def test_legibility_and_variety_are_measured_on_what_is_written(
    monkeypatch: pytest.MonkeyPatch, legible: bool, narrow: bool, reads: bool, verdict: str
) -> None:
    """A writer whose points are noise that bias makes smaller, and a reader that errs by the bias it is told."""

    def written(predictor: object, texts: list[str], bias: float, seed: int) -> list[HandwritingSample]:
        generator = np.random.default_rng(seed)
        width = 1 / (1 + bias) if narrow else 1.0
        name = f"{bias if legible else 0.0:g}"
        return [
            HandwritingSample(
                strokes=torch.from_numpy(
                    np.concatenate([100 * (1 + width * generator.normal(0, 0.3, (20, 2))), np.zeros((20, 1))], 1)
                ).float(),
                transcript=text, name=name,
            )
            for text in texts
        ]  # fmt: skip

    class Reader:
        def read(self, pieces: list[HandwritingSample]) -> Any:
            wrong = {"0": 0.2, "1": 0.1, "3": 0.05}.get(pieces[0]["name"], 0.04 if reads else 0.5)
            return type("Scores", (), {"cer": wrong})

    monkeypatch.setattr(handwriting, "writer", lambda seed, text: None)
    monkeypatch.setattr(handwriting, "written", written)
    monkeypatch.setattr(handwriting, "train_reader", lambda pieces, seed, steps: Reader())
    monkeypatch.setattr(handwriting, "READ_PIECES", 3)
    assert examined("bias_trades_variety_for_legibility") == verdict
    figures = find("claim", "bias_trades_variety_for_legibility").load()().measure(0)[1:]
    assert list(figures[:4]) == pytest.approx([20.0, 10.0, 5.0, 4.0] if legible and reads else [
        20.0, 10.0 if legible else 20.0, 5.0 if legible else 20.0, 4.0 if reads else 50.0,
    ])  # fmt: skip
    if narrow:  # deviations fall with the width of the noise
        assert figures[5] / figures[4] == pytest.approx(1 / 2, rel=0.2)
        assert figures[6] / figures[4] == pytest.approx(1 / 4, rel=0.2)


def test_spread_is_the_deviation_from_the_mean_way() -> None:
    """Two lines that part to both sides deviate as far as half of their distance, less that of their middles."""
    straight = np.array([[0, 0, 0], [100, 0, 0], [100, 0, 1]], np.float32)
    assert handwriting.spread([straight, straight]) == 0
    shifted = straight.copy()
    shifted[0, :2] = 900  # where a piece begins does not count
    assert handwriting.spread([straight, shifted]) == pytest.approx(0, abs=1e-9)
    up, down = (np.array([[0, 0, 0], [0, sign * 200, 1]], np.float32) for sign in (1, -1))
    # Places of +-(t - 1/2) 200 around their mean of 0: the deviation is 200 times that of t, 1 / sqrt(12).
    places = np.linspace(-0.5, 0.5, handwriting.PLACES)
    assert handwriting.spread([up, down]) == pytest.approx(2 * np.sqrt((places**2).mean()))


def test_biases_share_the_noise_of_each_text(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = []

    def write(runner: object, texts: list[list[int]], preprocessing: object, generators: Any, bias: float) -> list[Any]:
        seeds.append([generator.initial_seed() for generator in generators])
        return [type("Written", (), {"strokes": np.full((2, 3), bias, np.float32)}) for _ in texts]

    monkeypatch.setattr(handwriting, "write", write)
    characters = type("Table", (), {"encode": staticmethod(lambda text: [4] * len(text))})
    family = type("Family", (), {"characters": characters, "preprocessing": None})
    predictor: Any = type("Predictor", (), {"family": family, "runner": None})
    plain, neat = (handwriting.written(predictor, ["on", "on", "off"], bias, 6) for bias in (0.0, 3.0))
    assert seeds[0] == seeds[1] == [6_000_000, 6_000_001, 6_000_002]
    assert [one["transcript"] for one in plain] == ["on", "on", "off"] and neat[0]["strokes"].mean() == 3
