"""Claims about questions: scores of networks that were not trained, and worse ones that turn the verdict over."""

from __future__ import annotations

import numpy as np
import pytest
from stand_ins import examined

from foveate.claims import questions, trained
from foveate.metrics.questions import QuestionMetrics, QuestionScores
from foveate.registry import create_recipe, find

SHARE = np.zeros((8, 8), bool)
SHARE[:2, :4] = True  # an eighth of the picture: half of the cells of the upper row, of 4 x 4


def scores(right: int, cell: tuple[int, int] | None = (0, 0)) -> QuestionScores:
    """Of 100 questions that relate two things, with attention on one cell, or on all cells alike."""
    metrics = QuestionMetrics(("exists", questions.RELATION))
    attention = np.full((2, 4, 4), 1 / 16)
    if cell is not None:
        attention[:] = 0
        attention[:, cell[0], cell[1]] = 1
    for i in range(100):
        metrics.update("q", questions.RELATION, "yes" if i < right else "no", ["yes"], 1.0, True, attention, SHARE)
        metrics.update("q", "exists", "yes", ["yes"], 1.0)
    return metrics.compute()


def replace(monkeypatch: pytest.MonkeyPatch, two: QuestionScores, one: QuestionScores) -> None:
    monkeypatch.setattr(questions, "answers", lambda seed, hops: {2: two, 1: one}[hops])


@pytest.mark.parametrize(
    ("two", "one", "verdict"),
    [(80, 70, "holds"), (72, 70, "holds partly"), (70, 70, "does not hold"), (60, 70, "does not hold")],
)
def test_a_second_hop_has_to_gain_where_two_things_are_related(
    monkeypatch: pytest.MonkeyPatch, two: int, one: int, verdict: str
) -> None:
    replace(monkeypatch, scores(two), scores(one))
    assert examined("two_hops_relate_two_things") == verdict
    figures = find("claim", "two_hops_relate_two_things").load()().measure(0)
    assert figures == pytest.approx((two - one, two, one, (two - one) / 2))


@pytest.mark.parametrize(("cell", "verdict"), [((0, 0), "holds"), ((3, 3), "does not hold"), (None, "does not hold")])
def test_attention_has_to_lie_on_what_is_asked_about(
    monkeypatch: pytest.MonkeyPatch, cell: tuple[int, int] | None, verdict: str
) -> None:
    replace(monkeypatch, scores(50, cell), scores(50))
    assert examined("evidence_is_where_the_asked_object_is") == verdict
    figures = find("claim", "evidence_is_where_the_asked_object_is").load()().measure(0)
    expected = {(0, 0): (8.0, 100.0, 12.5, 8.0), (3, 3): (0.0, 0.0, 12.5, 0.0), None: (1.0, 12.5, 12.5, 1.0)}[cell]
    assert figures == pytest.approx(expected)


def test_the_arms_differ_in_the_hops_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    recipes = []

    class StopError(Exception):
        pass

    def train_recipe(recipe: object, out: object) -> None:
        recipes.append(recipe)
        raise StopError

    monkeypatch.setattr(trained, "train_recipe", train_recipe)
    for hops in (2, 1):
        with pytest.raises(StopError):
            questions.answers(5, hops)
    two, one = recipes
    assert (two.config.hops, one.config.hops) == (2, 1)
    assert two.data == one.data and (two.data.train, two.data.seed, two.seed) == (questions.TRAIN, 5, 5)
    base = create_recipe(questions.RECIPE)
    assert (two.model, two.text, two.optim, two.batch_size) == (base.model, base.text, base.optim, base.batch_size)
    assert {**vars(two.config), "hops": 0} == {**vars(one.config), "hops": 0} == {**vars(base.config), "hops": 0}
