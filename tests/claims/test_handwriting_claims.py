"""Claims about handwriting: windows that follow the strokes, lag behind them or rest, and the verdicts on them."""

from __future__ import annotations

import numpy as np
import pytest
from stand_ins import examined

from foveate.claims import handwriting, trained
from foveate.datasets.handwriting.letters import STROKES
from foveate.datasets.handwriting.stroke_letters import StrokeLetters
from foveate.metrics.handwriting import HandwritingScores
from foveate.records import HandwritingPrediction
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
