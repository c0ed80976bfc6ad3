"""Ranking of epochs: every order and every sentence is worked out by hand."""

import math

import pytest

from foveate.engine.ranking import Ranking

NAN, INF = math.nan, math.inf
LARGER, SMALLER = Ranking("score"), Ranking("score", greater_is_better=False)


def rows(*pairs):
    """(score, validation loss) of epochs 1, 2, ...; None: not measured."""
    names = ("score", "val_loss")
    return [
        {"epoch": epoch} | {name: value for name, value in zip(names, pair, strict=True) if value is not None}
        for epoch, pair in enumerate(pairs, start=1)
    ]


def best_epoch(ranking, history):
    """The epoch that is kept, found as training finds it: one row after the other."""
    best = None
    for row in history:
        if ranking.monitor in row and ranking.improves(row, best):
            best = row
    return best["epoch"]


@pytest.mark.parametrize(
    ("pairs", "larger", "smaller"),
    [
        pytest.param([(0.2, 1.0), (0.5, 3.0), (0.4, 0.5)], 2, 1, id="the score decides, not the loss"),
        pytest.param([(NAN, 0.1), (0.5, 3.0)], 2, 2, id="any number is better than none"),
        pytest.param([(0.5, 3.0), (NAN, 0.1)], 1, 1, id="a number is not given up for none"),
        pytest.param([(-5.0, 3.0), (NAN, 0.1)], 1, 1, id="nor is a negative one"),
        pytest.param([(0.5, 1.0), (0.5, 0.7), (0.5, 0.9)], 2, 2, id="equal scores: the lower loss"),
        pytest.param([(0.5, 0.7), (0.5, 0.7)], 2, 2, id="equal scores and losses: the later epoch"),
        pytest.param([(NAN, 0.9), (NAN, 0.6), (NAN, 0.8)], 2, 2, id="no score: the lower loss"),
        pytest.param([(NAN, NAN), (NAN, NAN), (NAN, NAN)], 3, 3, id="neither: the last epoch"),
        pytest.param([(0.5, NAN), (0.5, 9.0)], 2, 2, id="equal scores: any loss is better than none"),
        pytest.param([(0.5, 9.0), (0.5, NAN)], 1, 1, id="and is not given up for none"),
        pytest.param([(0.5, None), (0.5, None)], 2, 2, id="a family without a validation loss: the later epoch"),
        pytest.param([(0.3, 1.0), (None, None), (0.1, 2.0)], 1, 3, id="epochs that were not validated do not count"),
        pytest.param([(INF, 0.1), (0.5, 3.0)], 2, 2, id="an infinite score is no number"),
        pytest.param([(-INF, 0.1), (0.5, 3.0)], 2, 2, id="nor is a negative infinite one"),
        pytest.param([(0.0, 1.0), (-0.0, 2.0)], 1, 1, id="the sign of zero does not matter"),
    ],
)
def test_the_epoch_that_is_kept(pairs, larger, smaller):
    assert best_epoch(LARGER, rows(*pairs)) == larger
    assert best_epoch(SMALLER, rows(*pairs)) == smaller


@pytest.mark.parametrize("ranking", [LARGER, SMALLER])
def test_the_first_validated_epoch_is_kept_whatever_its_score(ranking):
    for score in (0.5, NAN, INF, -INF):
        assert ranking.improves({"epoch": 1, "score": score}, None)


def test_keys_by_hand():
    row = {"epoch": 1, "score": 0.25, "val_loss": 2.0}
    assert LARGER.key(row) == (0.25, -2.0)
    assert SMALLER.key(row) == (-0.25, -2.0)
    assert LARGER.key({"epoch": 1}) == SMALLER.key({"epoch": 1}) == (-INF, -INF)


@pytest.mark.parametrize(
    ("ranking", "pairs", "text"),
    [
        (LARGER, [(0.25, 1.0), (0.5, 2.0)], "epoch 2 of 2, by score: 0.5000"),
        (SMALLER, [(0.25, 1.0), (0.5, 2.0)], "epoch 1 of 2, by score: 0.2500"),
        (LARGER, [(0.125, 1.0)], "epoch 1 of 1, the only one (score 0.1250)"),
        (LARGER, [(NAN, 1.0)], "epoch 1 of 1, the only one (score nan)"),
        (LARGER, [(None, None), (0.5, 1.0)], "epoch 2 of 2, the only one that was validated (score 0.5000)"),
        (
            LARGER,
            [(0.5, 0.3), (0.5, 0.25), (0.1, 0.2)],
            "epoch 2 of 3, by score: 0.5000 (also that of epoch 1), then by validation loss: 0.2500",
        ),
        (
            SMALLER,
            [(0.1, 0.3), (0.5, 0.25), (0.1, 0.2), (0.1, 0.4)],
            "epoch 3 of 4, by score: 0.1000 (also that of epochs 1 and 4), then by validation loss: 0.2000",
        ),
        (
            LARGER,
            [(0.5, 0.3), (0.5, 0.3), (0.5, 0.4), (0.1, 0.2)],
            "epoch 2 of 4, by score: 0.5000 (also that of epochs 1 and 3), then by validation loss: 0.3000, then the "
            "last of these",
        ),
        (
            LARGER,
            [(0.5, NAN), (0.5, NAN), (0.1, NAN)],
            "epoch 2 of 3, by score: 0.5000 (also that of epoch 1), then the last of these",
        ),
        (
            LARGER,
            [(NAN, 0.3), (NAN, 0.3), (INF, 0.4)],
            "epoch 2 of 3, by validation loss: 0.3000, then the last of these (score is inf or nan in every epoch and "
            "cannot rank them)",
        ),
        (SMALLER, [(0.3, 1.0), (None, None), (0.1, 2.0)], "epoch 3 of 3, by score: 0.1000"),
        (
            LARGER,
            [(0.0, 0.9), (0.0, 0.625), (0.0, 0.8)],
            "epoch 2 of 3, by validation loss: 0.6250 (score is 0.0000 in every epoch and cannot rank them)",
        ),
        (
            SMALLER,
            [(NAN, 0.9), (NAN, 0.625)],
            "epoch 2 of 2, by validation loss: 0.6250 (score is nan in every epoch and cannot rank them)",
        ),
        (
            LARGER,
            [(NAN, NAN), (NAN, NAN)],
            "epoch 2 of 2, the last one (score is nan in every epoch and cannot rank them)",
        ),
        (
            LARGER,
            [(0.5, None), (0.5, None)],
            "epoch 2 of 2, the last one (score is 0.5000 in every epoch and cannot rank them)",
        ),
        (LARGER, [(NAN, 0.5), (0.25, 1.0)], "epoch 2 of 2, by score: 0.2500"),
        (LARGER, [(0.25, 1.0), (NAN, 0.5), (NAN, 0.4)], "epoch 1 of 3, by score: 0.2500"),
    ],
)
def test_a_run_says_which_epoch_was_kept_and_by_what(ranking, pairs, text):
    history = rows(*pairs)
    assert ranking.describe(history, best_epoch(ranking, history)) == text


def test_one_infinite_loss_does_not_rank():
    history = rows((0.5, INF), (0.5, 0.5), (0.5, NAN))
    assert best_epoch(LARGER, history) == 2
