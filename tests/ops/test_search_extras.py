"""Beam search with a second model, a coverage penalty, lengths of each input, and states of several layers."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from table_model import END, START, Table, written
from torch import Tensor, nn

from foveate.errors import ConfigError
from foveate.ops.search import Fusion, beam_search

FEW, LENGTH = 4, 4


def sentences() -> list[list[int]]:
    """Every sentence of at most LENGTH tokens over FEW tokens, END last."""
    return [[*s, END] for size in range(LENGTH) for s in itertools.product(range(1, FEW), repeat=size)]


def narrowed(inputs: int, seed: int) -> Table:
    """A model of 130 tokens of which FEW have a probability, so that 128 beams hold every sentence."""
    return Table(inputs, 130, seed, change=lambda x: x.index_fill(1, torch.arange(FEW, 130), -math.inf))


# --- a second model


@pytest.mark.parametrize("weight", [0.3, 1.0, 2.5])
def test_a_second_model_changes_the_order_as_enumeration_has_it(weight: float) -> None:
    first, second = narrowed(3, 1), narrowed(3, 2)
    fusion = Fusion(second.step, *second.begin(), weight)
    found = beam_search(
        first.step, *first.begin(), start=START, end=END, beams=128, n_best=12, max_length=LENGTH, fusion=fusion
    )
    plain = beam_search(first.step, *first.begin(), start=START, end=END, beams=128, n_best=12, max_length=LENGTH)
    assert [written(own) for own in found] != [written(own) for own in plain]
    for which, own in enumerate(found):

        def score(s: list[int], which: int = which) -> float:
            return (sum(first.log_probs(which, s)) + weight * sum(second.log_probs(which, s))) / len(s)

        ranked = sorted(sentences(), key=score, reverse=True)
        assert written(own) == ranked[:12]
        for h in own:
            tokens = h.tokens.tolist()
            assert h.score == pytest.approx(score(tokens), abs=1e-12)
            assert h.log_probs.tolist() == pytest.approx(first.log_probs(which, tokens), abs=1e-12)  # its own alone


def test_a_second_model_has_its_own_state_which_follows_the_beams() -> None:
    first, second = Table(4, 7, 3), Table(4, 7, 4)
    fusion = Fusion(second.step, *second.begin(), 0.7)
    found = beam_search(
        first.step,
        *first.begin(),
        start=START,
        end=END,
        beams=3,
        n_best=3,
        max_length=6,
        length_penalty=0,
        fusion=fusion,
    )
    for which, own in enumerate(found):
        for h in own:
            tokens = h.tokens.tolist()
            expected = sum(first.log_probs(which, tokens)) + 0.7 * sum(second.log_probs(which, tokens))
            assert h.score == pytest.approx(expected, abs=1e-12)


def test_a_second_model_that_knows_the_same_changes_nothing() -> None:
    model = Table(5, 7, 5)
    rules: dict[str, Any] = {"start": START, "end": END, "beams": 4, "n_best": 4, "max_length": 6}
    fusion = Fusion(model.step, *model.begin(), 1.0)
    plain = beam_search(model.step, *model.begin(), **rules)
    fused = beam_search(model.step, *model.begin(), **rules, fusion=fusion)
    assert [written(own) for own in fused] == [written(own) for own in plain]


# --- coverage


def attending(weights: Tensor) -> Any:
    """A step whose probabilities are even, and whose attention is that of the token fed: weights (V, P)."""

    def step(memory: Tensor, state: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return torch.zeros(len(tokens), len(weights), dtype=torch.float64), state, weights[tokens]

    return step


def test_the_coverage_penalty_by_hand() -> None:
    # Fed START, the step attends to the first of two positions with 0.9; fed 2, wholly to the second.
    weights = torch.tensor([[0.5, 0.5], [0.9, 0.1], [0.0, 1.0]], dtype=torch.float64)
    rules: dict[str, Any] = {"start": START, "end": END, "beams": 3, "n_best": 1, "max_length": 2, "forbidden": (1,)}
    step = attending(weights)

    def best(beta: float, **more: Any) -> Any:
        return beam_search(step, torch.zeros(1), None, **rules, coverage_penalty=beta, **more)[0][0]

    # [END]: log(1/3), mean; [2, END]: 2 log(1/3) / 2: equal, but the second covers both positions.
    assert best(0.5).tokens.tolist() == [2, END]
    assert best(0.5).score == pytest.approx(math.log(1 / 3) + 0.5 * math.log(0.9), abs=1e-6)
    # As a sum [END] leads by log 3; the penalties are log 0.9 + log 0.1 and log 0.9, so that beta log 10 makes it up.
    even = math.log(3) / math.log(10)
    assert best(even - 0.01, length_penalty=0).tokens.tolist() == [END]
    assert best(even + 0.01, length_penalty=0).tokens.tolist() == [2, END]
    # The second position is padding: nothing is left to cover there.
    only = torch.tensor([[True, False]])
    assert best(5.0, length_penalty=0, positions=only).tokens.tolist() == [END]
    assert best(5.0, length_penalty=0, positions=only).score == pytest.approx(math.log(1 / 3) + 5 * math.log(0.9))


@pytest.mark.parametrize("beta", [0.0, 0.4, 3.0])
def test_coverage_ranks_as_enumeration_does(beta: float) -> None:
    random = torch.Generator().manual_seed(0)
    model = narrowed(2, 6)
    alpha = torch.rand(130, 5, dtype=torch.float64, generator=random).softmax(1)

    def step(memory: Tensor, state: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits, state, _ = model.step(memory, state, tokens)
        return logits, state, alpha[tokens]

    found = beam_search(
        step, *model.begin(), start=START, end=END, beams=128, n_best=10, max_length=LENGTH, coverage_penalty=beta
    )
    for which, own in enumerate(found):

        def score(s: list[int], which: int = which) -> float:
            paid = alpha[[START, *s[:-1]]].sum(0).clamp(max=1)
            return sum(model.log_probs(which, s)) / len(s) + beta * float(paid.log().sum())

        assert written(own) == sorted(sentences(), key=score, reverse=True)[:10]
        assert [h.score for h in own] == pytest.approx([score(h.tokens.tolist()) for h in own], abs=1e-9)


# --- lengths of each input


def test_each_input_has_its_own_lengths_and_does_not_notice_the_others() -> None:
    model = Table(4, 6, 7)
    model.table[0, :, END] += 6
    model.table[3, :, END] = -math.inf
    longest, shortest = [6, 1, 3, 2], [3, 0, 3, 1]
    rules: dict[str, Any] = {"start": START, "end": END, "beams": 4, "n_best": 4}
    together = beam_search(model.step, *model.begin(), **rules, max_length=longest, min_length=shortest)
    for which, own in enumerate(together):
        (alone,) = beam_search(
            model.step, *model.begin(which), **rules, max_length=longest[which], min_length=shortest[which]
        )
        assert written(own) == written(alone)
        assert [h.score for h in own] == [h.score for h in alone]
        assert [h.ended for h in own] == [h.ended for h in alone]
        assert all(shortest[which] <= len(h.tokens) <= longest[which] for h in own)


# --- states of several layers


def test_a_network_of_two_layers_whose_context_is_carried() -> None:
    """`nn.LSTM`'s (layers, N, H) turned to rows first, beside a context; equal to scoring each sentence again."""
    torch.manual_seed(0)
    embed, lstm, out = nn.Embedding(7, 5), nn.LSTM(8, 6, 2), nn.Linear(6, 7)
    for module in (embed, lstm, out):
        module.double()

    def step(memory: Tensor, state: Any, tokens: Tensor) -> tuple[Tensor, Any, Tensor]:
        (h, c), context = state["layers"], state["context"]
        x = torch.cat([embed(tokens), context], 1)
        y, (h, c) = lstm(x[None], (h.transpose(0, 1).contiguous(), c.transpose(0, 1).contiguous()))
        alpha = (memory @ y[0, :, :3, None]).squeeze(-1).softmax(1)
        layers = (h.transpose(0, 1), c.transpose(0, 1))
        return 3 * out(y[0]), {"layers": layers, "context": (alpha[:, None] @ memory)[:, 0]}, alpha

    memory = torch.randn(3, 4, 3, dtype=torch.float64)
    zeros = torch.zeros(3, 2, 6, dtype=torch.float64)
    state = {"layers": (zeros, zeros), "context": memory.mean(1)}
    found = beam_search(step, memory, state, start=START, end=END, beams=3, n_best=3, max_length=7)
    for b, own in enumerate(found):
        for h in own:
            row: Any = {"layers": (zeros[:1], zeros[:1]), "context": memory[b : b + 1].mean(1)}
            for t, token in enumerate([START, *h.tokens[:-1].tolist()]):
                logits, row, alpha = step(memory[b : b + 1], row, torch.tensor([token]))
                expected = logits.log_softmax(1)[0, h.tokens[t]]
                torch.testing.assert_close(h.log_probs[t], expected, atol=1e-12, rtol=0)
                torch.testing.assert_close(h.attention[t], alpha[0], atol=1e-12, rtol=0)  # type: ignore[index]


# --- errors


def test_settings_that_do_not_fit() -> None:
    model, other = Table(2, 6), Table(3, 6)
    small = Table(2, 5)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"coverage_penalty": -1.0}, "coverage_penalty is -1.0; give 0 or more"),
        ({"max_length": [4]}, "1 value of max_length for 2 inputs; give one for each or for all"),
        ({"max_length": [4, 0]}, "cannot decode sentences of at most 0 tokens"),
        ({"min_length": [1, 9], "max_length": [4, 8]}, "min_length 9 is above max_length 8"),
        ({"fusion": Fusion(model.step, *model.begin(), 0.0)}, "the second model has a weight of 0.0; give one above 0"),
        ({"fusion": Fusion(other.step, *other.begin(), 1.0)}, "the second model has 3 rows, but the first one 2"),
        ({"fusion": Fusion(small.step, *small.begin(), 1.0)}, r"the second model gave logits of shape \(10, 5\), the "),
        ({"coverage_penalty": 1.0, "positions": torch.ones(2, 3)}, r"positions of torch.float32 and shape \(2, 3\)"),
        (
            {"coverage_penalty": 1.0, "positions": torch.ones(2, 3, dtype=torch.bool)},
            "attention over 9 positions, but `positions` are 3; give a mask of the attention's size",
        ),
    ]
    for settings, message in cases:
        with pytest.raises(ConfigError, match=message):
            beam_search(model.step, *model.begin(), **{"start": START, "end": END, **settings})
    with pytest.raises(ConfigError, match="coverage_penalty needs attention, and the step gave none; leave it at 0"):
        beam_search(
            lambda m, s, t: (torch.zeros(len(t), 6), s, None), torch.zeros(2), None, start=START, end=END,
            coverage_penalty=1.0,
        )  # fmt: skip
