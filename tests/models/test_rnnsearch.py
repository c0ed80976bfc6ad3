"""RNNsearch against loops in float64 over its equations, the model without attention, and Luong's order."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from foveate.errors import ConfigError
from foveate.models.translation.rnnsearch import PAPER, Config, RNNSearch
from foveate.ops.search import beam_search, greedy
from foveate.text import END, PAD, START

SOURCE = torch.tensor([[5, 6, 7, END], [8, END, PAD, PAD], [9, 5, END, PAD]])
TARGET = torch.tensor([[4, 5, END], [6, 4, END], [7, END, PAD]])
KINDS: dict[str, dict[str, Any]] = {
    "additive": {},
    "general": {"score": "general"},
    "dot": {"score": "dot", "state": 8, "tie": False},
    "scaled dot": {"score": "scaled_dot", "state": 8, "tie": False},
    "local": {"window": 2},
    "none": {"score": "none"},
    "current": {"query": "current", "state": 6},
    "current, not fed": {"query": "current", "state": 6, "input_feeding": False, "score": "general"},
}


def build(seed: int = 0, **fields: Any) -> RNNSearch:
    torch.manual_seed(seed)
    sizes = {"source_vocabulary": 11, "target_vocabulary": 9, "embed": 6, "hidden": 4, "attend": 5, "maxout": 6}
    model = RNNSearch(Config(**(sizes | {"dropout": 0.0, "smoothing": 0.0} | fields))).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.7 * torch.randn_like(parameter))
        model.source_embed.weight[PAD] = model.target_embed.weight[PAD] = 0.0
    return model.eval()


def gated(unit: Any, x: Tensor, s: Tensor) -> Tensor:
    """The unit's step from W x, in the order of the paper."""
    n = unit.hidden
    z = torch.sigmoid(x[:n] + unit.U_gates.weight[:n] @ s)
    r = torch.sigmoid(x[n : 2 * n] + unit.U_gates.weight[n:] @ s)
    return (1 - z) * s + z * torch.tanh(x[2 * n :] + unit.U.weight @ (r * s))


def loop(model: RNNSearch, source: list[int], target: list[int]) -> tuple[Tensor, Tensor]:
    """Logits and alpha of one pair, as the docstring's equations have them, a token at a time."""
    c = model.config
    words = [model.source_embed.weight[i] for i in source]
    directions = []
    for unit, order in zip(model.encoder.units, (words, words[::-1]), strict=False):
        s, states = torch.zeros(c.hidden, dtype=torch.float64), []
        for x in order:
            s = gated(unit, unit.W.weight @ x + unit.W.bias, s)
            states.append(s)
        directions.append(states)
    back = directions[1][::-1] if len(directions) == 2 else []
    h = [torch.cat([f, b]) for f, b in zip(directions[0], back, strict=True)] if back else directions[0]
    first = back[0] if back else h[-1]
    s = torch.tanh(model.start.weight @ first + model.start.bias)
    read = torch.zeros(c.units if c.query == "current" else c.annotation, dtype=torch.float64)
    logits, alphas = [], []
    for i, last in enumerate([START, *target[:-1]]):
        y = model.target_embed.weight[last]
        if c.query == "previous" and i == 0:
            y = torch.zeros_like(y)
        else:
            x = model.unit.W.weight @ y + model.unit.W.bias
            s = gated(model.unit, x if model.C is None else x + model.C.weight @ read, s)
        if c.score == "none":
            context, alpha = h[-1], torch.zeros(len(h))
        else:
            e = torch.stack([energy(model, s, a) for a in h])
            alpha = e.softmax(0)
            if c.window:
                share = torch.sigmoid(model.position.v.weight @ torch.tanh(model.position.W.weight @ s))  # type: ignore[union-attr]
                p = len(h) * share
                places = torch.arange(len(h))
                alpha = e.masked_fill((places - p).abs() > c.window, -torch.inf).softmax(0)
                alpha = alpha * torch.exp(-((places - p) ** 2) / (2 * (c.window / 2) ** 2))
            context = sum(a * v for a, v in zip(alpha, h, strict=True))  # type: ignore[assignment]
        if c.query == "current":
            read = t = torch.tanh(model.W_c.weight @ torch.cat([context, s]) + model.W_c.bias)
        else:
            read = context
            pairs = model.U_o.weight @ s + model.U_o.bias + model.V_o.weight @ y + model.C_o.weight @ context
            t = torch.stack([torch.maximum(pairs[2 * j], pairs[2 * j + 1]) for j in range(c.maxout)])
        table = model.target_embed.weight if model.W_o is None else model.W_o.weight
        logits.append(table @ t + model.b_o)
        alphas.append(alpha)
    return torch.stack(logits), torch.stack(alphas)


def energy(model: RNNSearch, s: Tensor, a: Tensor) -> Tensor:
    score: Any = model.score
    kind = model.config.score
    if kind == "additive":
        return score.v.weight[0] @ torch.tanh(score.W.weight @ s + score.U.weight @ a)
    if kind == "general":
        return s @ score.W.weight @ a
    return s @ a / (len(s) ** 0.5 if kind == "scaled_dot" else 1)


@pytest.mark.parametrize("kind", KINDS)
def test_the_equations_a_token_at_a_time(kind: str) -> None:
    model = build(**KINDS[kind])
    out = model(SOURCE, TARGET)
    for b in range(len(SOURCE)):
        source, target = (side[b][side[b] != PAD].tolist() for side in (SOURCE, TARGET))
        logits, alpha = loop(model, source, target)
        torch.testing.assert_close(out.logits[b, : len(target)], logits, atol=1e-10, rtol=0)
        if out.attention is None:
            assert kind == "none" and model.attention == "none"
            continue
        torch.testing.assert_close(out.attention[b, : len(target), : len(source)], alpha, atol=1e-10, rtol=0)
        assert not out.attention[b, :, len(source) :].any()


def test_the_loss_by_hand() -> None:
    words, sentences = build(), build(average="sentences")
    log_p = words(SOURCE, TARGET).logits.log_softmax(2)
    total = -log_p.gather(2, TARGET[..., None])[..., 0][TARGET != PAD].sum()
    batch: Any = {"source_tokens": SOURCE, "target_tokens": TARGET, "names": ["a", "b", "c"]}
    torch.testing.assert_close(words.loss(batch)["loss"], total / 8)
    torch.testing.assert_close(sentences.loss(batch)["loss"], total / 3)
    # Smoothing, in training alone: (1 - eps) of the target's, and eps of all, evenly.
    smooth = build(smoothing=0.2)
    torch.testing.assert_close(smooth.loss(batch)["loss"], total / 8)
    every = -log_p.mean(2)[TARGET != PAD].sum()
    torch.testing.assert_close(smooth.train().loss(batch)["loss"], (0.8 * total + 0.2 * every) / 8)


def test_order_of_the_source_enters_by_the_encoder_alone() -> None:
    """Permuting the annotations permutes alpha, and changes nothing else."""
    model = build()
    memory = model.encode(SOURCE[:1])
    state = model.begin(memory)
    order = torch.tensor([2, 0, 3, 1])
    shuffled = type(memory)(*(x[:, order] for x in memory))
    logits, _, alpha = model.step(memory, state, torch.tensor([START]))
    others, _, permuted = model.step(shuffled, state, torch.tensor([START]))
    torch.testing.assert_close(others, logits, atol=1e-12, rtol=0)
    torch.testing.assert_close(permuted, alpha[:, order], atol=1e-12, rtol=0)  # type: ignore[index]


def test_beam_search_finds_what_enumeration_finds() -> None:
    """Three tokens of twelve can be written, so that 12 beams hold all 1 + 2 + 4 sentences of at most three."""
    model = build(seed=3, target_vocabulary=12)
    memory = model.encode(SOURCE)
    forbidden = (PAD, START, 3, *range(6, 12))  # 4 and 5 are left, and the end
    found = beam_search(
        model.step, memory, model.begin(memory), start=START, end=END, beams=12, n_best=7, max_length=3,
        forbidden=forbidden,
    )  # fmt: skip
    for b, own in enumerate(found):
        source = SOURCE[b][SOURCE[b] != PAD].tolist()
        scores = {}
        for tokens in ([*s, END] for n in range(3) for s in itertools.product((4, 5), repeat=n)):
            log_p = loop(model, source, tokens)[0].log_softmax(1)
            scores[tuple(tokens)] = float(log_p[range(len(tokens)), tokens].detach().mean())
        ranked = sorted(scores, key=scores.__getitem__, reverse=True)
        assert [tuple(h.tokens.tolist()) for h in own] == ranked
        assert [h.score for h in own] == pytest.approx([scores[s] for s in ranked], abs=1e-10)
    best = greedy(model.step, memory, model.begin(memory), start=START, end=END, max_length=6)
    one = beam_search(model.step, memory, model.begin(memory), start=START, end=END, beams=1, max_length=6)
    assert [h.tokens.tolist() for h in best] == [h.tokens.tolist() for (h,) in one]


def test_the_paper_starts_with_even_attention() -> None:
    fields = {"embed": 6, "hidden": 4, "attend": 5, "maxout": 3, "source_vocabulary": 11, "target_vocabulary": 9}
    torch.manual_seed(0)
    model = RNNSearch(Config(**(vars(PAPER) | fields)))  # type: ignore[arg-type]
    square = model.encoder.units[0].U.weight
    torch.testing.assert_close(square @ square.T, torch.eye(4), atol=1e-6, rtol=0)
    for gate in model.unit.U_gates.weight.split(4):
        torch.testing.assert_close(gate @ gate.T, torch.eye(4), atol=1e-6, rtol=0)
    assert model.score is not None
    assert not model.score.v.weight.any() and not model.unit.W.bias.any()
    assert 0 < float(model.score.U.weight.detach().abs().max()) < 0.006
    assert 0.004 < float(model.U_o.weight.detach().std()) < 0.02
    alpha = model(SOURCE, TARGET).attention
    assert alpha is not None
    torch.testing.assert_close(alpha[1, :, :2], torch.full((3, 2), 0.5))
    assert not model.source_embed.weight[PAD].any()


def test_a_copied_sentence_is_aligned_along_the_diagonal() -> None:
    """Trained to repeat its source, attention reads the token that is written next."""
    torch.manual_seed(0)
    sizes = {"source_vocabulary": 12, "target_vocabulary": 12, "embed": 24, "hidden": 24, "attend": 24, "maxout": 24}
    model = RNNSearch(Config(**sizes, tie=False, dropout=0.0, smoothing=0.0))  # type: ignore[arg-type]
    optimizer = torch.optim.Adam(model.parameters(), 0.01)

    def copied(count: int, length: int) -> Any:
        words = torch.randint(4, 12, (count, length))
        tokens = torch.cat([words, torch.full((count, 1), END)], 1)
        return {"source_tokens": tokens, "target_tokens": tokens, "names": [""] * count}

    for step in range(150):
        optimizer.zero_grad()
        model.loss(copied(32, 4 + step % 3))["loss"].backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    unseen = copied(40, 6)["source_tokens"]
    with torch.no_grad():
        out = model.eval()(unseen, unseen)
    assert out.attention is not None
    right = out.attention.argmax(2) == torch.arange(7)
    assert float(right[:, :6].double().mean()) > 0.9
    assert float(out.attention.diagonal(dim1=1, dim2=2)[:, :6].mean()) > 0.7


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"score": "dot"}, "score 'dot' multiplies states of 256 units with annotations of 512; set state to 512"),
        ({"maxout": 200}, "tie is true, but the output layer reads 200 units and an embedding has 256; set maxout to"),
        ({"query": "current", "state": 300}, "reads 300 units and an embedding has 256; set state to 256, or tie to f"),
        ({"score": "none", "window": 3}, "window is 3, but score 'none' attends to nothing; set window to 0"),
        ({"hidden": 0}, "hidden is 0; give 1 or more"),
        ({"dropout": 1.0}, "dropout is 1.0; expected 0 or more, below 1"),
        ({"score": "cosine"}, "score is 'cosine'; expected one of additive, dot, general, scaled_dot, none"),
    ],
)
def test_configs_that_do_not_fit(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Config(**fields)
