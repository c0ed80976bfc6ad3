"""Attention on a grid: what its weights are, what gradient passes through it, and what it costs wherever it looks.

Shapes: B pictures, P places of D features each; L words, V in the vocabulary; alpha (B, L, P).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import foveate
from foveate.claims import Claim
from foveate.claims.cost import times_as_long
from foveate.claims.exact import DIGITS, digits
from foveate.ops.attend import hard_read, soft_read
from foveate.registry import claim
from foveate.text import START

SECTION = "Show, Attend and Tell; Soft Attention; Hard Attention"
TRUNK = "test_efficientnet"  # of timm, for its tests: these claims are about what stands on the trunk
SMALL: dict[str, Any] = {"vocabulary": 12, "backbone": TRUNK, "embed": 6, "hidden": 8, "attend": 7, "dropout": 0.0}
NUDGE = 1e-6
EVERYWHERE, NEARLY = 99.9, 90.0  # percent of points that are "almost everywhere", and that are most


@claim("attention_weights_are_shares")
def attention_weights_are_shares() -> Claim:
    """A small Show, Attend and Tell in float64, against its equations, with z added up place by place.

    The weights are those that the model reports. With them, its logits are computed again from its parts; they can only
    agree if z is what these weights make of the features. The fewer digits decide.
    """
    return Claim(
        section=SECTION,
        claim="The context vector z is a weighted sum of the grid's features, and the weights are a distribution.",
        effect="{:.1f} digits agree: {:.1f} of the weights' sums with 1, {:.1f} of the words' scores with those of a z "
        "added up place by place; the largest weight of a word is {:.2f} on average, of {:.0f} places",
        measure=_attention_weights_are_shares,
        holds=DIGITS,
        partly=DIGITS,
    )


def _attention_weights_are_shares(seed: int) -> tuple[float, ...]:
    model = captioner(seed).eval()
    image = torch.randn(2, 3, 48, 64, dtype=torch.float64)
    model.score.v.weight.data.mul_(100.0)  # a trunk without training tells places apart, but only just
    tokens = torch.randint(4, model.config.vocabulary, (2, 5))
    with torch.no_grad():
        output = model(image, tokens)
        weights = output.attention.flatten(2)

        def add_up(alpha: Tensor, places: Tensor, t: int) -> Tensor:
            # z = sum_i alpha_i a_i
            z = torch.zeros_like(places[:, 0])
            for i in range(places.shape[1]):
                z = z + weights[:, t, i, None] * places[:, i]
            return z

        logits, _ = replay(model, model.encode(image), tokens, add_up)
    sums = weights.sum(2)
    shares, words = digits(sums, torch.ones_like(sums)), digits(logits, output.logits)
    largest = float(weights.amax(2).mean())
    return min(shares, words), shares, words, largest, weights.shape[2]


def captioner(seed: int, **config: Any) -> Any:
    """A small Show, Attend and Tell with random weights, in float64; it prefers some places to others."""
    torch.manual_seed(seed)
    model = foveate.create("show_attend_tell", **SMALL | config)
    nn.init.normal_(model.score.v.weight, std=0.5)
    return model.double()


def replay(
    model: Any, features: Tensor, tokens: Tensor, read: Callable[[Tensor, Tensor, int], Tensor]
) -> tuple[Tensor, Tensor]:
    """Xu et al. (2015), equations 1 to 7 with a model's weights: logits (B, L, V) and alpha (B, L, P).

    read: alpha (B, P), the places (B, P, D) and the number of the word, 0..L-1 -> z (B, D).
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
    """Random scores over a 7x7 grid, each nudged by a millionth; and what autograd sends back to each.

    The fewer of two shares decides: of the scores whose nudges leave the feature at the largest weight as it is, and to
    which autograd sends nothing; and of those whose nudges change the weighted sum, and to which it sends something.
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
    )


def _argmax_passes_no_gradient(seed: int) -> tuple[float, ...]:
    dice = torch.Generator().manual_seed(seed)
    rows, places = 400, 49
    scores = torch.randn(rows, places, dtype=torch.float64, generator=dice)
    values = torch.randn(rows, places, 4, dtype=torch.float64, generator=dice)
    weight = torch.randn(rows, 4, dtype=torch.float64, generator=dice)
    hard, hard_nudged = _influence(lambda s, v: hard_read(s, v, sample=False).value, scores, values, weight)
    soft, soft_nudged = _influence(lambda s, v: soft_read(s, v).value, scores, values, weight)
    none = 100 * float(((hard == 0) & (hard_nudged == 0)).double().mean())
    some = 100 * float(((soft != 0) & (soft_nudged != 0)).double().mean())
    return min(none, some), none, some, digits(soft, soft_nudged)


def _influence(
    read: Callable[[Tensor, Tensor], Tensor], scores: Tensor, values: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor]:
    """d<z, weight> / d scores, each (N, P): as autograd has it, and by central differences."""
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
    """What one word of a small Show, Attend and Tell takes, its trunk included, by where it looks.

    The same weights twice: with the scores multiplied by 0, so that it looks everywhere alike, and by 1000, so that it
    looks at one place only.
    """
    return Claim(
        section=SECTION,
        claim="Soft attention saves no computation: the whole input is processed at every step, wherever it looks.",
        effect="{:.1f} % of the multiply-adds of looking everywhere alike are made to look at one place, which takes "
        "{:.2f} times as long; the largest weights are {:.3f} and {:.3f}",
        measure=_soft_attention_saves_nothing,
        holds=EVERYWHERE,
        partly=NEARLY,
    )


def _soft_attention_saves_nothing(seed: int) -> tuple[float, ...]:
    image = torch.randn(1, 3, 96, 128, dtype=torch.float64)
    word = torch.tensor([5])
    spread, sharp = captioner(seed).eval(), captioner(seed).eval()

    def look(model: Any) -> Tensor:
        alpha: Tensor = model.step(*model.begin(model.encode(image)), word)[2]
        return alpha

    with torch.no_grad():
        spread.score.v.weight.zero_()
        sharp.score.v.weight.mul_(1000.0)
        work = _adds(lambda: look(spread)), _adds(lambda: look(sharp))
        slower = times_as_long(lambda: look(sharp), lambda: look(spread))
        largest = float(look(spread).max()), float(look(sharp).max())
    return 100 * work[1] / work[0], slower, *largest


def _adds(run: Callable[[], object]) -> int:
    """How many multiply-adds are dispatched."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() // 2


@claim("hard_attention_skips_work_on_a_grid")
def hard_attention_skips_work_on_a_grid() -> Claim:
    """Show, Attend and Tell as published, on VGG-16: a word with soft attention, and with hard attention.

    The grid of features is given to both, so that only what attention itself does is compared: every place is scored,
    then all of them are read, or one.
    """
    return Claim(
        section=SECTION,
        claim="Hard attention saves computation, since it picks out a small part of the input: in the captioner with "
        "hard attention that the lecture shows.",
        effect="{:.3f} times fewer multiply-adds a word than with soft attention, of {:.1f} million; with the trunk, "
        "{:.4f} times fewer for a caption of twelve words, of {:.1f} billion",
        measure=_hard_attention_skips_work_on_a_grid,
        holds=2.0,  # what is done to save should save half
        partly=1.1,
    )


def _hard_attention_skips_work_on_a_grid(seed: int) -> tuple[float, ...]:
    trunk, begin, word = zip(*(_published(attention) for attention in ("soft", "hard")), strict=True)
    captions = [t + b + 12 * w for t, b, w in zip(trunk, begin, word, strict=True)]
    return word[0] / word[1], word[0] / 1e6, captions[0] / captions[1], captions[0] / 1e9


def _published(attention: str) -> tuple[int, int, int]:
    """Multiply-adds of the published captioner: of its trunk, before the first word, and of each word."""
    with torch.device("meta"), torch.no_grad():
        model = foveate.create("show_attend_tell", attention=attention).eval()
        image, last = torch.zeros(1, 3, 224, 224), torch.zeros(1, dtype=torch.int64)
        features = model.encode(image)
        start = model.begin(features)
        return (
            _adds(lambda: model.encode(image)),
            _adds(lambda: model.begin(features)),
            _adds(lambda: model.step(*start, last)),
        )
