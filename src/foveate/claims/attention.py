"""Attention on a grid: its weights, the gradient through it, and its cost.

Shapes: B images, P grid cells of D features each; L words, V in the vocabulary; alpha (B, L, P).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from foveate.claims import Claim
from foveate.claims.exact import DIGITS, digits
from foveate.ops.attend import hard_read, soft_read
from foveate.registry import claim, create_model
from foveate.text import START

SECTION = "Show, Attend and Tell; Soft Attention; Hard Attention"
TRUNK = "test_efficientnet"  # timm's backbone for tests: these claims are about the decoder only
SMALL: dict[str, Any] = {"vocabulary": 12, "backbone": TRUNK, "embed": 6, "hidden": 8, "attend": 7, "dropout": 0.0}
NUDGE = 1e-6
EVERYWHERE, NEARLY = 99.9, 90.0  # thresholds in percent of points: "almost everywhere", and most points


@claim("attention_weights_are_shares")
def attention_weights_are_shares() -> Claim:
    """Compare a small Show, Attend and Tell in float64 with its equations, with z summed cell by cell.

    The weights are those that the model returns. With them, its logits are computed again from its parts; they agree
    only if z is the sum of the features with these weights. The smaller number of digits decides.
    """
    return Claim(
        section=SECTION,
        claim="The context vector z is a weighted sum of the grid's features, and the weights are a distribution.",
        effect="{:.1f} digits agree: {:.1f} of the weights' sums with 1, {:.1f} of the words' scores with those of a z "
        "added up place by place; the largest weight of a word is {:.2f} on average, of {:.0f} places",
        measure=_attention_weights_are_shares,
        holds=DIGITS,
        partly=DIGITS,
        law=True,
    )


def _attention_weights_are_shares(seed: int) -> tuple[float, ...]:
    model = captioner(seed).eval()
    image = torch.randn(2, 3, 48, 64, dtype=torch.float64)
    model.score.v.weight.data.mul_(100.0)  # the features of an untrained trunk differ little between cells
    tokens = torch.randint(4, model.config.vocabulary, (2, 5))
    with torch.no_grad():
        output = model(image, tokens)
        weights = output.attention.flatten(2)

        def weighted_sum(alpha: Tensor, places: Tensor, t: int) -> Tensor:
            # z = sum_i alpha_i a_i
            z = torch.zeros_like(places[:, 0])
            for i in range(places.shape[1]):
                z = z + weights[:, t, i, None] * places[:, i]
            return z

        logits, _ = replay(model, model.encode(image), tokens, weighted_sum)
    sums = weights.sum(2)
    shares, words = digits(sums, torch.ones_like(sums)), digits(logits, output.logits)
    largest = float(weights.amax(2).mean())
    return min(shares, words), shares, words, largest, weights.shape[2]


def captioner(seed: int, **config: Any) -> Any:
    """Create a small Show, Attend and Tell in float64, with random weights that attend unevenly to the grid."""
    torch.manual_seed(seed)
    model = create_model("show_attend_tell", **SMALL | config)
    nn.init.normal_(model.score.v.weight, std=0.5)
    return model.double()


def replay(
    model: Any, features: Tensor, tokens: Tensor, read: Callable[[Tensor, Tensor, int], Tensor]
) -> tuple[Tensor, Tensor]:
    """Compute Xu et al. (2015), equations 1 to 7 with a model's weights: logits (B, L, V) and alpha (B, L, P).

    read: function from alpha (B, P), the cells' features (B, P, D) and the index of the word, 0..L-1, to z (B, D).
    """
    memory, (h, c) = model.begin(features)
    last = torch.full_like(tokens[:, 0], START)
    logits, weights = [], []
    for t in range(tokens.shape[1]):
        alpha = model.score(h, memory.keys).softmax(1)
        z = torch.sigmoid(model.gate(h)) * read(alpha, memory.places, t)
        y = model.embed(last)
        h, c = model.lstm(torch.cat([y, z], 1), (h, c))
        logits.append(model.L_o(torch.tanh(y + model.L_h(h) + model.L_z(z))))
        weights.append(alpha)
        last = tokens[:, t]
    return torch.stack(logits, 1), torch.stack(weights, 1)


@claim("argmax_passes_no_gradient")
def argmax_passes_no_gradient() -> Claim:
    """Compare autograd's gradients of random scores over a 7x7 grid with finite differences of one millionth.

    The smaller of two shares decides: that of the scores whose change leaves the feature at the largest weight
    unchanged and whose gradient through it is zero, and that of the scores whose change alters the weighted sum and
    whose gradient through it is not zero.
    """
    return Claim(
        section=SECTION,
        claim="The gradient of the feature at the largest weight is zero almost everywhere, so that nothing can be "
        "learned by back-propagation; that of the weighted sum is not.",
        effect="{:.2f} %: {:.2f} % of scores have no influence through the argmax, {:.2f} % have through the weighted "
        "sum, where {:.1f} digits of the gradient agree with the nudges",
        measure=_argmax_passes_no_gradient,
        holds=EVERYWHERE,
        partly=NEARLY,
        law=True,
    )


def _argmax_passes_no_gradient(seed: int) -> tuple[float, ...]:
    generator = torch.Generator().manual_seed(seed)
    rows, places = 400, 49
    scores = torch.randn(rows, places, dtype=torch.float64, generator=generator)
    values = torch.randn(rows, places, 4, dtype=torch.float64, generator=generator)
    weight = torch.randn(rows, 4, dtype=torch.float64, generator=generator)
    hard, hard_difference = _influence(lambda s, v: hard_read(s, v, sample=False).value, scores, values, weight)
    soft, soft_difference = _influence(lambda s, v: soft_read(s, v).value, scores, values, weight)
    zero = 100 * float(((hard == 0) & (hard_difference == 0)).double().mean())
    nonzero = 100 * float(((soft != 0) & (soft_difference != 0)).double().mean())
    return min(zero, nonzero), zero, nonzero, digits(soft, soft_difference)


def _influence(
    read: Callable[[Tensor, Tensor], Tensor], scores: Tensor, values: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor]:
    """Return d<z, weight> / d scores, (N, P), by autograd and by central differences."""
    scores = scores.clone().requires_grad_()
    y = (read(scores, values) * weight).sum()
    gradient = torch.autograd.grad(y, scores)[0] if y.requires_grad else torch.zeros_like(scores)
    nudged = torch.zeros_like(gradient)
    with torch.no_grad():
        for i in range(scores.shape[1]):
            nudge = torch.zeros_like(scores)
            nudge[:, i] = NUDGE
            difference = read(scores + nudge, values) - read(scores - nudge, values)
            nudged[:, i] = (difference * weight).sum(1) / (2 * NUDGE)
    return gradient, nudged


@claim("soft_attention_saves_nothing")
def soft_attention_saves_nothing() -> Claim:
    """Compare the cost of one word of a small Show, Attend and Tell, trunk included, for uniform and sharp attention.

    The same weights are used twice: with the scores multiplied by 0, so that attention is uniform, and by 1000, so that
    it falls on one cell only.
    """
    return Claim(
        section=SECTION,
        claim="Soft attention saves no computation: the whole input is processed at every step, wherever it looks.",
        effect="{:.1f} % of the multiply-adds of looking everywhere alike are made to look at one place; the largest "
        "weights are {:.3f} and {:.3f}",
        measure=_soft_attention_saves_nothing,
        holds=EVERYWHERE,
        partly=NEARLY,
        law=True,
    )


def _soft_attention_saves_nothing(seed: int) -> tuple[float, ...]:
    image = torch.randn(1, 3, 96, 128, dtype=torch.float64)
    word = torch.tensor([5])
    uniform, sharp = captioner(seed).eval(), captioner(seed).eval()

    def attend(model: Any) -> Tensor:
        alpha: Tensor = model.step(*model.begin(model.encode(image)), word)[2]
        return alpha

    with torch.no_grad():
        uniform.score.v.weight.zero_()
        sharp.score.v.weight.mul_(1000.0)
        cost = _adds(lambda: attend(uniform)), _adds(lambda: attend(sharp))
        largest = float(attend(uniform).max()), float(attend(sharp).max())
    return 100 * cost[1] / cost[0], *largest


def _adds(run: Callable[[], object]) -> int:
    """Count the multiply-adds that torch dispatches."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() // 2


@claim("hard_attention_skips_work_on_a_grid")
def hard_attention_skips_work_on_a_grid() -> Claim:
    """Compare the cost of a word with soft and with hard attention in Show, Attend and Tell as published, on VGG-16.

    Both are given the grid of features, so that only attention itself is compared: every cell is scored, then all
    cells are read, or one.
    """
    return Claim(
        section=SECTION,
        claim="Hard attention saves computation, since it picks out a small part of the input: in the captioner with "
        "hard attention that the lecture shows.",
        effect="{:.3f} times fewer multiply-adds a word than with soft attention, of {:.1f} million; with the trunk, "
        "{:.4f} times fewer for a caption of twelve words, of {:.1f} billion",
        measure=_hard_attention_skips_work_on_a_grid,
        holds=2.0,  # a saving of half
        partly=1.1,
        law=True,
    )


def _hard_attention_skips_work_on_a_grid(seed: int) -> tuple[float, ...]:
    trunk, begin, word = zip(*(_published(attention) for attention in ("soft", "hard")), strict=True)
    captions = [t + b + 12 * w for t, b, w in zip(trunk, begin, word, strict=True)]
    return word[0] / word[1], word[0] / 1e6, captions[0] / captions[1], captions[0] / 1e9


def _published(attention: str) -> tuple[int, int, int]:
    """Return multiply-adds of the published captioner: of its trunk, before the first word, and of each word."""
    with torch.device("meta"), torch.no_grad():
        model = create_model("show_attend_tell", attention=attention).eval()
        image, last = torch.zeros(1, 3, 224, 224), torch.zeros(1, dtype=torch.int64)
        features = model.encode(image)
        start = model.begin(features)
        return (
            _adds(lambda: model.encode(image)),
            _adds(lambda: model.begin(features)),
            _adds(lambda: model.step(*start, last)),
        )
