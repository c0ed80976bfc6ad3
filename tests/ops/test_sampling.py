"""Drawn sentences against the distributions that they are drawn from."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from table_model import END, START, Table, check, repeats, written
from torch import Tensor

from foveate.errors import ConfigError
from foveate.ops.search import Hypothesis, greedy, sample


def draw(model: Table, *inputs: int, seed: int = 0, **settings: Any) -> list[list[Hypothesis]]:
    settings = {"start": START, "end": END, "max_length": 6, **settings}
    return sample(model.step, *model.begin(*inputs), generator=torch.Generator().manual_seed(seed), **settings)


def shares(found: list[Hypothesis], vocabulary: int) -> Tensor:
    first = torch.tensor([int(h.tokens[0]) for h in found])
    return torch.bincount(first, minlength=vocabulary) / len(found)


SAMPLES = 1500
CASES: list[tuple[dict[str, Any], Callable[[Tensor], Tensor]]] = [
    ({}, lambda p: p),
    ({"temperature": 0.5}, lambda p: p**2),
    ({"temperature": 3.0}, lambda p: p ** (1 / 3)),
    ({"top_k": 2}, lambda p: p * (p >= p.sort(descending=True)[0][1])),
    ({"top_p": 0.6}, lambda p: p * (p >= p.sort(descending=True)[0][nucleus(p, 0.6) - 1])),
    ({"forbidden": (2,)}, lambda p: p.index_fill(0, torch.tensor([2]), 0.0)),
    ({"min_length": 2}, lambda p: p.index_fill(0, torch.tensor([END]), 0.0)),
    ({"top_k": 99, "top_p": 1.0}, lambda p: p),
]


def nucleus(p: Tensor, share: float) -> int:
    """How many of the likeliest it takes to reach the share."""
    total, count = 0.0, 0
    for chance in sorted(p.tolist(), reverse=True):
        if total >= share:
            break
        total, count = total + chance, count + 1
    return count


@pytest.mark.parametrize(("settings", "expected"), CASES, ids=[str(s) for s, _ in CASES])
def test_tokens_are_drawn_as_often_as_they_should_be(
    settings: dict[str, Any], expected: Callable[[Tensor], Tensor]
) -> None:
    model = Table(2, 5, seed=16)
    model.table /= 2
    for which, found in enumerate(draw(model, samples=SAMPLES, **{"max_length": 2, **settings})):
        history = torch.tensor(model.histories([END]))
        p = expected(model.logits(torch.tensor([which]), history)[0].softmax(0))
        p = p / p.sum()
        spread = (p * (1 - p) / SAMPLES).sqrt()
        drawn = shares(found, 5)
        assert ((drawn - p).abs() <= 4 * spread).all(), (drawn, p)
        assert not drawn[p == 0].any()


def test_sentences_are_drawn_as_often_as_they_should_be() -> None:
    model = Table(1, 3, seed=17)
    found = draw(model, samples=SAMPLES, max_length=2)[0]
    for tokens in [[END], [1, END], [2, END], [1, 2], [2, 2]]:
        p = math.exp(sum(model.log_probs(0, tokens)))
        share = written(found).count(tokens) / SAMPLES
        assert abs(share - p) <= 4 * math.sqrt(p * (1 - p) / SAMPLES), tokens


@pytest.mark.parametrize("rules", [{}, {"no_repeat_ngram": 1}, {"min_length": 3, "forbidden": (1,), "top_p": 0.9}])
def test_what_is_drawn_carries_the_models_own_numbers(rules: dict[str, Any]) -> None:
    model = Table(3, 6, seed=18)
    for which, found in enumerate(draw(model, samples=50, temperature=1.7, top_k=4, **rules)):
        assert {h.ended for h in found} == {True, False} or rules.get("no_repeat_ngram")
        assert len({tuple(s) for s in written(found)}) > 10
        for h in found:
            check(model, which, h)
            assert h.ended or len(h.tokens) == 6
            assert len(h.tokens) >= rules.get("min_length", 0)
            assert not repeats(h.tokens.tolist(), 1) or "no_repeat_ngram" not in rules
            assert 1 not in h.tokens.tolist() or "forbidden" not in rules


def test_the_surest_draw_is_greedy() -> None:
    model = Table(10, 6, seed=19)
    best = written(greedy(model.step, *model.begin(), start=START, end=END, max_length=6))
    for settings in ({"top_k": 1}, {"temperature": 1e-12}, {"temperature": math.ulp(0.0)}, {"top_p": 1e-9}):
        assert [found[0].tokens.tolist() for found in draw(model, **settings)] == best, settings


def test_a_generator_fixes_the_draw() -> None:
    model = Table(3, 6, seed=20)
    assert [written(f) for f in draw(model, samples=5)] == [written(f) for f in draw(model, samples=5)]
    assert [written(f) for f in draw(model, samples=5)] != [written(f) for f in draw(model, samples=5, seed=1)]


def test_a_draw_stands_where_nothing_may_follow() -> None:
    model = Table(2, 4, seed=21)
    for which, found in enumerate(draw(model, samples=5, max_length=8, min_length=6, no_repeat_ngram=1)):
        for h in found:
            assert sorted(h.tokens.tolist()) == [1, 2, 3]
            check(model, which, h)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"samples": 0}, "cannot draw 0 sentences; give 1 or more samples"),
        ({"temperature": 0.0}, "cannot draw at a temperature of 0.0; give one above 0, or search greedily"),
        ({"temperature": math.inf}, "cannot draw at a temperature of inf"),
        ({"top_k": -1}, "cannot draw from the -1 most probable tokens; give a top_k of 1 or more, or 0 for all"),
        ({"top_p": 0.0}, "cannot draw from a share of 0.0; give a top_p above 0 and at most 1"),
        ({"top_p": 1.1}, "cannot draw from a share of 1.1"),
        ({"max_length": 0}, "cannot decode sentences of at most 0 tokens"),
        ({"end": 6}, r"token 6 \(end\) is not in the model's vocabulary of 6"),
    ],
)
def test_draws_that_do_not_fit(settings: dict[str, Any], message: str) -> None:
    model = Table(2, 6)
    with pytest.raises(ConfigError, match=message):
        sample(model.step, *model.begin(), **{"start": START, "end": END, **settings})
