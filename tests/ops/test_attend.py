"""Scores and reads against numbers by hand, torch's own attention and loops; masks, draws, precision and export."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.errors import ConfigError
from foveate.ops.attend import (
    Additive,
    Bilinear,
    Dot,
    HardRead,
    PredictedPosition,
    Score,
    SoftRead,
    attention_weights,
    hard_read,
    local_read,
    soft_read,
)

N, Q, L, D, E = 3, 4, 6, 5, 7
MASK = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 0, 1, 0, 0], [0, 0, 0, 0, 0, 1]]).bool()
SCORES: dict[str, Callable[[], Score]] = {
    "additive": lambda: Additive(D, E, 8),
    "additive, no bias": lambda: Additive(D, E, 8, bias=False),
    "dot": Dot,
    "scaled dot": lambda: Dot(scaled=True),
    "bilinear": lambda: Bilinear(D, E),
}


def random(*size: int, seed: int = 0) -> Tensor:
    return torch.randn(*size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def build(name: str) -> tuple[Score, int]:
    """A score with random weights, float64, and the size of keys that it takes."""
    torch.manual_seed(0)
    return SCORES[name]().double(), D if "dot" in name else E


def exact(a: Tensor, b: Tensor, atol: float = 1e-12) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=atol)


def read(kind: str, scores: Tensor, values: Tensor, mask: Tensor | None = None) -> SoftRead | HardRead:
    if kind == "soft":
        return soft_read(scores, values, mask)
    if kind.startswith("hard"):
        generator = torch.Generator(scores.device).manual_seed(0)
        return hard_read(scores, values, mask, sample=kind == "hard, drawn", generator=generator)
    position = torch.full(scores.shape[:-1], 2.3, dtype=torch.float64)
    return local_read(scores, values, position, 2, mask)


READS = ["soft", "hard", "hard, drawn", "local"]


# --- scores


def test_scores_by_hand() -> None:
    query, keys = torch.tensor([[1.0, 2.0]]), torch.tensor([[[3.0, -1.0], [0.5, 0.25]]])
    assert Dot()(query, keys).tolist() == [[1.0, 1.0]]
    exact(Dot(scaled=True)(query, keys), torch.full((1, 2), 1 / math.sqrt(2)), 1e-6)
    bilinear = Bilinear(2, 2)
    bilinear.W.weight.data = torch.tensor([[1.0, 0.0], [2.0, 4.0]])
    # W k: (3, 2) and (0.5, 2)
    assert bilinear(query, bilinear.project(keys)).tolist() == [[7.0, 4.5]]
    additive = Additive(2, 2, 1)
    additive.W.weight.data, additive.v.weight.data = torch.tensor([[0.5, 0.25]]), torch.tensor([[2.0]])
    additive.U.weight.data, additive.U.bias.data = torch.tensor([[0.0, 1.0]]), torch.tensor([0.1])
    # 2 tanh(1 + (-1 or 0.25) + 0.1)
    expected = torch.tensor([[2 * math.tanh(0.1), 2 * math.tanh(1.35)]])
    exact(additive(query, additive.project(keys)), expected, 1e-6)


@pytest.mark.parametrize("name", SCORES)
def test_scores_are_their_equations(name: str) -> None:
    score, size = build(name)
    query, keys = random(N, Q, D), random(N, L, size, seed=1)
    found = score(query, score.project(keys))
    for n in range(N):
        for i in range(Q):
            for j in range(L):
                q, k = query[n, i], keys[n, j]
                if isinstance(score, Additive):
                    bias = 0 if score.U.bias is None else score.U.bias
                    a = score.v.weight[0] @ torch.tanh(score.W.weight @ q + score.U.weight @ k + bias)
                elif isinstance(score, Bilinear):
                    a = q @ score.W.weight @ k
                else:
                    a = q @ k / (math.sqrt(D) if name == "scaled dot" else 1)
                exact(found[n, i, j], a)


@pytest.mark.parametrize("name", SCORES)
def test_one_query_a_row_is_one_of_many(name: str) -> None:
    score, size = build(name)
    query, keys = random(N, Q, D), score.project(random(N, L, size, seed=1))
    many = score(query, keys)
    assert many.shape == (N, Q, L)
    for i in range(Q):
        exact(score(query[:, i], keys), many[:, i])


@pytest.mark.parametrize("name", SCORES)
def test_scores_follow_the_order_of_queries_and_keys(name: str) -> None:
    score, size = build(name)
    query, keys = random(N, Q, D), random(N, L, size, seed=1)
    i, j = torch.randperm(Q), torch.randperm(L)
    exact(score(query[:, i], score.project(keys[:, j])), score(query, score.project(keys))[:, i][:, :, j])


@pytest.mark.parametrize("name", SCORES)
def test_gradients_of_scores(name: str) -> None:
    score, size = build(name)
    inputs = [random(2, 2, D).requires_grad_(), random(2, 3, size, seed=1).requires_grad_(), *score.parameters()]
    assert torch.autograd.gradcheck(lambda q, k, *_: score(q, score.project(k)), inputs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("numbers", [1, 100, 2**18])
def test_the_score_of_a_search_is_that_of_training(
    dtype: torch.dtype, numbers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without gradients it is computed a few rows at a time, and in float32 by another function of the same value."""
    monkeypatch.setattr("foveate.ops.attend.CHUNK_ELEMENTS", numbers)
    torch.manual_seed(0)
    score = Additive(5, 4, 6).to(dtype)
    for query in (torch.randn(7, 5, dtype=dtype) * 3, torch.randn(7, 3, 5, dtype=dtype) * 3):
        keys = score.project(torch.randn(7, 9, 4, dtype=dtype) * 20).detach()  # some far where tanh is 1
        expected = score(query, keys).detach()
        with torch.no_grad():
            found = score(query, keys)
        assert found.shape == expected.shape
        error = float((found - expected).abs().max()) / float(score.v.weight.detach().abs().sum())
        assert error <= {torch.float32: 5e-7, torch.float64: 1e-15, torch.bfloat16: 0.0}[dtype]
    with torch.no_grad():
        assert score(torch.randn(0, 5, dtype=dtype), torch.randn(0, 9, 6, dtype=dtype)).shape == (0, 9)


def test_the_scale_keeps_the_variance() -> None:
    query, keys = random(1, 400, 256), random(1, 400, 256, seed=1)
    assert Dot()(query, keys).std().item() == pytest.approx(16, rel=0.05)
    assert Dot(scaled=True)(query, keys).std().item() == pytest.approx(1, rel=0.05)


# --- weights


@pytest.mark.parametrize("mask", [None, MASK, MASK[:, None].expand(N, Q, L) & (random(N, Q, L, seed=3) > -1)])
def test_soft_attention_is_torchs(mask: Tensor | None) -> None:
    query, keys, values = random(N, Q, D), random(N, L, D, seed=1), random(N, L, E, seed=2)
    there = None if mask is None else mask if mask.ndim == 3 else mask[:, None].expand(N, Q, L)
    if there is not None:
        there = there | ~there.any(-1, keepdim=True)  # torch's own rows without any place are another matter
        mask = there if mask is not None and mask.ndim == 3 else mask
    look = soft_read(Dot(scaled=True)(query, keys), values, mask)
    exact(look.value, F.scaled_dot_product_attention(query, keys, values, attn_mask=there))
    exact(look.weights.sum(-1), torch.ones(N, Q, dtype=torch.float64))


def test_weights_by_hand() -> None:
    scores = torch.tensor([[math.log(1), math.log(2), math.log(5), math.log(9)]])
    exact(attention_weights(scores), torch.tensor([[1, 2, 5, 9]]) / 17, 1e-6)
    mask = torch.tensor([[True, True, True, False]])
    exact(attention_weights(scores, mask), torch.tensor([[1, 2, 5, 0]]) / 8, 1e-6)
    look = soft_read(scores, torch.tensor([[[8.0], [0.0], [16.0], [math.pi]]]), mask)
    exact(look.value, torch.tensor([[11.0]]), 1e-5)


def test_more_score_for_all_changes_nothing() -> None:
    scores = random(N, Q, L)
    exact(attention_weights(scores + 100 * random(N, Q, 1, seed=1), MASK), attention_weights(scores, MASK))


@pytest.mark.parametrize("kind", READS)
def test_reading_follows_the_order_of_queries_and_no_places(kind: str) -> None:
    scores, values = random(N, Q, L), random(N, L, D, seed=1)
    look = read(kind, scores, values, MASK)
    if kind != "hard, drawn":
        order = torch.randperm(Q)
        exact(read(kind, scores[:, order], values, MASK).value, look.value[:, order])
    if kind in ("soft", "hard"):  # these do not know where a place is
        order = torch.randperm(L)
        exact(read(kind, scores[..., order], values[:, order], MASK[:, order]).value, look.value)


@pytest.mark.parametrize("kind", [k for k in READS if k != "hard, drawn"])
def test_one_query_reads_as_one_of_many(kind: str) -> None:
    scores, values = random(N, Q, L), random(N, L, D, seed=1)
    many = read(kind, scores, values, MASK)
    for i in range(Q):
        for one, all_of_them in zip(read(kind, scores[:, i], values, MASK), many, strict=True):
            exact(one, all_of_them[:, i])


@pytest.mark.parametrize("kind", READS)
def test_masked_places_have_no_influence_and_no_gradient(kind: str) -> None:
    scores, values = random(N, Q, L).requires_grad_(), random(N, L, D, seed=1).requires_grad_()
    look = read(kind, scores, values, MASK)
    out = (look.value * random(N, Q, D, seed=2)).sum()
    if isinstance(look, HardRead):
        out = out + (look.log_prob * random(N, Q, seed=3)).sum() + look.entropy.sum()
    out.backward()
    assert scores.grad is not None and values.grad is not None
    assert not values.grad[~MASK].any() and values.grad[MASK].any()
    assert not scores.grad[~MASK[:, None].expand(N, Q, L)].any() and scores.grad.any()
    assert torch.isfinite(scores.grad).all()
    assert not look.weights[~MASK[:, None].expand(N, Q, L)].any()
    with torch.no_grad():
        for odd in (1e30, math.nan, math.inf, -math.inf):
            other = torch.where(MASK[:, None], scores, odd)
            for a, b in zip(read(kind, other, torch.where(MASK[..., None], values, 1e30), MASK), look, strict=True):
                assert torch.equal(a, b)


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
@pytest.mark.parametrize("kind", READS)
@pytest.mark.parametrize("how", ["mask", "-inf"])
def test_a_row_without_places_reads_zero(kind: str, how: str) -> None:
    scores, values = random(N, Q, L).requires_grad_(), random(N, L, D, seed=1).requires_grad_()
    mask = torch.ones(N, L, dtype=torch.bool)
    if how == "mask":
        mask[1] = False
        look = read(kind, scores, values, mask)
    else:
        look = read(kind, scores.masked_fill((torch.arange(N) == 1)[:, None, None], -math.inf), values)
    whole = read(kind, scores, values)
    for part, other in zip(look, whole, strict=True):
        assert not part[1].any()
        assert torch.equal(part[[0, 2]], other[[0, 2]])
    total = sum(part.sum() for part in look if part.requires_grad)
    assert isinstance(total, Tensor)
    with torch.autograd.detect_anomaly(check_nan=True):  # no nan on the way either, which it would stop at
        total.backward()
    assert scores.grad is not None and values.grad is not None
    assert not scores.grad[1].any() and not values.grad[1].any()
    assert torch.isfinite(scores.grad).all()


@pytest.mark.parametrize("kind", READS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_gives_numbers(kind: str, dtype: torch.dtype) -> None:
    # 1000 * 1000 * 5 is beyond float16, in either direction.
    query = (1000 * random(N, Q, D).sign()).to(dtype).requires_grad_()
    keys, values = (1000 * random(N, L, D, seed=1).sign()).to(dtype), random(N, L, D, seed=2).to(dtype)
    for score in (Dot(), Dot(scaled=True)):
        query.grad = None
        scores = score(query, keys)
        look = read(kind, scores, values, MASK & torch.tensor([[True], [True], [False]]))
        assert look.value.dtype == dtype
        assert look.weights.dtype == torch.float32
        for part in look:
            assert torch.isfinite(part).all()
        (look.value.sum() + look[-1].sum()).backward()
        assert query.grad is not None
        assert torch.isfinite(query.grad).all()
    assert torch.isinf(Dot()(query, keys)).any() or dtype == torch.bfloat16  # the case is a real one


def test_a_scaled_score_that_float16_can_hold_does_not_overflow_on_the_way() -> None:
    query, keys = torch.full((1, 4), 128.0).half(), torch.full((1, 1, 4), 128.0).half()
    assert Dot()(query, keys).tolist() == [[math.inf]]  # 65,536
    assert Dot(scaled=True)(query, keys).tolist() == [[32_768.0]]


def test_half_precision_weighs_as_precisely_as_its_scores() -> None:
    scores = random(N, Q, 196).half()
    exact(attention_weights(scores), attention_weights(scores.float()), 0.0)


@pytest.mark.parametrize("kind", READS)
def test_gradients_of_reads(kind: str) -> None:
    mask = MASK.clone()
    mask[2] = False

    def outputs(scores: Tensor, values: Tensor) -> tuple[Tensor, ...]:
        return tuple(part for part in read(kind, scores, values, mask) if part.requires_grad)

    inputs = (random(N, 2, L).requires_grad_(), random(N, L, 2, seed=1).requires_grad_())
    assert torch.autograd.gradcheck(outputs, inputs)


# --- hard


def test_hard_attention_by_hand() -> None:
    scores = torch.tensor([[math.log(1), math.log(2), math.log(5), math.log(9)]])
    values, mask = torch.tensor([[[8.0], [1.0], [16.0], [3.0]]]), torch.tensor([[True, True, True, False]])
    look = hard_read(scores, values, mask, sample=False)
    assert look.choice.tolist() == [2]
    assert look.value.tolist() == [[16.0]]
    assert look.log_prob.item() == pytest.approx(math.log(5 / 8))
    p = [1 / 8, 2 / 8, 5 / 8]
    assert look.entropy.item() == pytest.approx(-sum(x * math.log(x) for x in p))
    exact(hard_read(torch.zeros(1, 8), torch.zeros(1, 8, 1), sample=True).entropy, torch.tensor([math.log(8)]), 1e-6)


def test_places_are_drawn_as_often_as_alpha_says() -> None:
    draws = 20_000
    scores, values = 2 * random(N, L), random(N, L, D, seed=1)
    many = scores[:, None].expand(N, draws, L)
    look = hard_read(many, values, MASK, sample=True, generator=torch.Generator().manual_seed(0))
    alpha = attention_weights(scores, MASK)
    for n in range(N):
        share = torch.bincount(look.choice[n], minlength=L) / draws
        assert ((share - alpha[n]).abs() <= 4 * (alpha[n] * (1 - alpha[n]) / draws).sqrt()).all()
    exact(look.log_prob.exp(), alpha.gather(1, look.choice))
    exact(look.value, values[torch.arange(N)[:, None], look.choice])
    exact(look.weights, alpha[:, None].expand_as(look.weights))
    # The mean of what is read comes to what soft attention reads.
    exact(look.value.mean(1), soft_read(scores, values, MASK).value, 0.05)


def test_a_generator_fixes_the_draw() -> None:
    scores, values = random(N, 50, L), random(N, L, D, seed=1)

    def choice(seed: int) -> Tensor:
        return hard_read(scores, values, sample=True, generator=torch.Generator().manual_seed(seed)).choice

    assert torch.equal(choice(0), choice(0))
    assert not torch.equal(choice(0), choice(1))


def test_reinforce_is_the_gradient_of_the_expected_reward() -> None:
    """sum_i alpha_i R_i by enumeration, against the mean of R d log_prob over draws, with a baseline and without."""
    scores, values, reward = random(1, L), random(1, L, D, seed=1), random(L, seed=2)
    leaf = scores.clone().requires_grad_()
    (attention_weights(leaf)[0] @ reward).backward()
    draws = 20_000
    for baseline in (0.0, 1.0):
        many = scores.expand(draws, L).clone().requires_grad_()
        look = hard_read(many, values.expand(draws, L, D), sample=True, generator=torch.Generator().manual_seed(3))
        ((reward[look.choice] - baseline) * look.log_prob).sum().backward()
        assert many.grad is not None and leaf.grad is not None
        error = many.grad.std(0) / math.sqrt(draws)
        assert ((many.grad.mean(0) - leaf.grad[0]).abs() <= 4 * error).all()


def test_the_choice_itself_has_no_gradient_towards_the_scores() -> None:
    scores, values = random(N, Q, L).requires_grad_(), random(N, L, D, seed=1).requires_grad_()
    look = hard_read(scores, values, sample=False)
    towards_scores, towards_values = torch.autograd.grad(look.value.sum(), (scores, values), allow_unused=True)
    assert towards_scores is None
    expected = torch.zeros(N, L, dtype=torch.float64)
    expected.scatter_add_(1, look.choice, torch.ones(N, Q, dtype=torch.float64))
    exact(towards_values, expected[..., None].expand(N, L, D))


# --- local


def test_local_attention_by_hand() -> None:
    scores, values = torch.zeros(1, 6), torch.arange(6.0).view(1, 6, 1)
    # Places 0 and 1 are what is left of -1..1, half each, times exp(-2 s^2) as sigma = 1 / 2.
    look = local_read(scores, values, torch.tensor([0.0]), 1)
    exact(look.weights, torch.tensor([[0.5, 0.5 * math.exp(-2), 0, 0, 0, 0]]), 1e-6)
    # |s - 2.5| <= 2: places 1..4, a quarter each, times exp(-(s - 2.5)^2 / 2) as sigma = 1.
    look = local_read(scores, values, torch.tensor([2.5]), 2)
    near, far = math.exp(-0.125) / 4, math.exp(-1.125) / 4
    exact(look.weights, torch.tensor([[0, far, near, near, far, 0]]), 1e-6)
    assert look.value.item() == pytest.approx(5 * (near + far), rel=1e-5)
    # Place 2 is masked, and its weight goes to the others of the window.
    mask = torch.tensor([[True, True, False, True, True, True]])
    look = local_read(scores, values, torch.tensor([3.0]), 1, mask)
    exact(look.weights, torch.tensor([[0, 0, 0, 0.5, 0.5 * math.exp(-2), 0]]), 1e-6)
    # Beyond the end there is nothing to read.
    look = local_read(scores, values, torch.tensor([7.5]), 2)
    assert not look.weights.any() and not look.value.any()


def test_a_window_over_everything_is_soft_attention_times_a_gaussian() -> None:
    scores, values, position = random(N, Q, L), random(N, L, D, seed=1), torch.full((N, Q), 2.0).double()
    bell = torch.tensor([math.exp(-((s - 2) ** 2) / (2 * (L / 2) ** 2)) for s in range(L)], dtype=torch.float64)
    weights = soft_read(scores, values, MASK).weights * bell
    look = local_read(scores, values, position, L, MASK)
    exact(look.weights, weights)
    exact(look.value, weights @ values)


def test_positions_are_exact_in_half_precision() -> None:
    scores, values = torch.zeros(1, 600, dtype=torch.bfloat16), torch.zeros(1, 600, 1, dtype=torch.bfloat16)
    look = local_read(scores, values, torch.tensor([512], dtype=torch.bfloat16), 1)
    assert look.weights.nonzero()[:, 1].tolist() == [511, 512, 513]


def test_the_predicted_position() -> None:
    torch.manual_seed(0)
    predict = PredictedPosition(D, 3).double()
    query, lengths = random(N, Q, D), torch.tensor([6, 3, 1])
    found = predict(query, lengths)
    for n in range(N):
        for i in range(Q):
            raw = predict.v.weight[0] @ torch.tanh(predict.W.weight @ query[n, i])
            assert found[n, i].item() == pytest.approx(int(lengths[n]) / (1 + math.exp(-raw.item())), rel=1e-12)
    exact(predict(query[:, 2], lengths), found[:, 2])
    assert predict.bfloat16()(query.bfloat16(), lengths).dtype == torch.float32


def test_the_position_learns_through_the_gaussian() -> None:
    torch.manual_seed(0)
    predict = PredictedPosition(D, 3).double()
    query, scores, values = random(N, D).requires_grad_(), random(N, L), random(N, L, 2, seed=1)

    def value(q: Tensor, *weights: Tensor) -> Tensor:
        return local_read(scores, values, predict(q, torch.full((N,), L)), 2).value

    assert torch.autograd.gradcheck(value, (query, *predict.parameters()))
    grads = torch.autograd.grad(value(query).sum(), list(predict.parameters()))
    assert all(g.any() for g in grads)


# --- compiling and export


class Everything(nn.Module):
    """Each score and each read once, in one graph."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.additive, self.bilinear, self.dot = Additive(D, E, 8), Bilinear(D, E), Dot(scaled=True)
        self.position = PredictedPosition(D, 3)

    def forward(self, query: Tensor, keys: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        soft = soft_read(self.additive(query, self.additive.project(keys)), keys, mask)
        hard = hard_read(self.bilinear(query, self.bilinear.project(keys)), keys, mask, sample=False)
        position = self.position(query, mask.sum(1))
        return *soft, *hard, *local_read(self.dot(query, keys[..., :D]), keys, position, 2, mask)


def inputs(rows: int, places: int, *queries: int) -> tuple[Tensor, Tensor, Tensor]:
    mask = torch.rand(rows, places, generator=torch.Generator().manual_seed(1)) > 0.4
    mask[-1] = False
    return random(rows, *queries, D).float(), random(rows, places, E, seed=1).float(), mask


def test_it_compiles_to_one_graph() -> None:
    model = Everything()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    for a, b in zip(compiled(*inputs(N, L, Q)), model(*inputs(N, L, Q)), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.filterwarnings("ignore:# The axis name")  # that the two names were given once for several inputs
def test_it_exports_to_onnx_with_free_sizes() -> None:
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    model = Everything().eval()
    rows, places = torch.export.Dim("rows"), torch.export.Dim("places")
    program: Any = torch.onnx.export(
        model,
        inputs(3, 9),
        dynamo=True,
        dynamic_shapes=({0: rows}, {0: rows, 1: places}, {0: rows, 1: places}),
        verbose=False,
    )
    session = runtime.InferenceSession(program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"])
    for given in (inputs(3, 9), inputs(5, 4)):
        names = [node.name for node in session.get_inputs()]
        found = session.run(None, {name: x.numpy() for name, x in zip(names, given, strict=True)})
        with torch.no_grad():
            expected = model(*given)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b.numpy(), atol=1e-5)


# --- errors


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Dot()(torch.zeros(2, 3), torch.zeros(2, 5, 4)), "Dot got a query of size 3 and keys of size 4; give "),
        (
            lambda: Dot()(torch.zeros(2, 3), torch.zeros(3, 5, 3)),
            r"Dot got a query of shape \(2, 3\) and keys of shape",
        ),
        (lambda: Dot()(torch.zeros(3), torch.zeros(2, 5, 3)), r"give a query \(N, F\) or \(N, Q, F\) and keys \(N, L"),
        (
            lambda: Additive(3, 4, 5)(torch.zeros(2, 3), torch.zeros(2, 6, 4)),
            "3 and projected keys of size 4, and is bu",
        ),
        (lambda: Bilinear(3, 4)(torch.zeros(2, 4), torch.zeros(2, 6, 3)), "built for 3 and 3; give it what `project`"),
        (lambda: Additive(3, 4, 5).project(torch.zeros(2, 6, 3)), r"keys of shape \(2, 6, 3\); give keys \(N, L, 4\)"),
        (lambda: Bilinear(3, 4).project(torch.zeros(6, 4)), r"keys of shape \(6, 4\); give keys \(N, L, 4\)"),
        (lambda: Additive(3, 0, 5), "cannot build attention of size 0; give sizes of 1 or more"),
        (lambda: Bilinear(-1, 2), "cannot build attention of size -1"),
        (lambda: PredictedPosition(0, 2), "cannot build attention of size 0"),
        (
            lambda: PredictedPosition(3, 2)(torch.zeros(2, 3), torch.zeros(3)),
            r"query of shape \(2, 3\) and lengths of shape \(3,\); give a query \(N, 3\) or \(N, Q, 3\) and one length",
        ),
        (
            lambda: soft_read(torch.zeros(2, 5), torch.zeros(2, 4, 3)),
            r"scores of shape \(2, 5\) with values of shape \(2, 4, 3\); give scores \(N, Q, L\) or \(N, L\) and val",
        ),
        (
            lambda: hard_read(torch.zeros(2, 5), torch.zeros(2, 5, 3), torch.ones(2, 4).bool(), sample=False),
            r"scores of shape \(2, 5\) with a mask of torch.bool and shape \(2, 4\); give a boolean mask \(2, 5\) or",
        ),
        (
            lambda: attention_weights(torch.zeros(2, 3, 5), torch.ones(2, 5)),
            r"mask of torch.float32 and shape \(2, 5\); give a boolean mask .* True at valid positions",
        ),
        (
            lambda: attention_weights(torch.zeros(2, 5).long()),
            r"scores of torch.int64 and shape \(2, 5\); give floating",
        ),
        (
            lambda: local_read(torch.zeros(2, 5), torch.zeros(2, 5, 3), torch.zeros(2), 0),
            "cannot read within 0 positions of another; give a window of 1 or more",
        ),
        (
            lambda: local_read(torch.zeros(2, 4, 5), torch.zeros(2, 5, 3), torch.zeros(2), 1),
            r"scores of shape \(2, 4, 5\) with positions of shape \(2,\); give one position per query",
        ),
    ],
)
def test_errors(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        call()


def test_two_layers_for_the_keys_by_hand() -> None:
    """tanh(V (U k + b) + b'), once per input, which then adds to W q under the tanh of the score."""
    torch.manual_seed(0)
    score = Additive(3, 4, 5, layers=2).double()
    query, keys = torch.randn(2, 3, dtype=torch.float64), torch.randn(2, 6, 4, dtype=torch.float64)
    projected = torch.tanh((keys @ score.U.weight.T + score.U.bias) @ score.V.weight.T + score.V.bias)
    torch.testing.assert_close(score.project(keys), projected)
    expected = torch.tanh((query @ score.W.weight.T)[:, None] + projected) @ score.v.weight[0]
    torch.testing.assert_close(score(query, score.project(keys)), expected)
