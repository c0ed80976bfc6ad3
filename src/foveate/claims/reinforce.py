"""Reinforcement of hard attention: that its gradient is right on average, and how much a baseline steadies it.

Shapes: P places of D features each; L words, for each of which one place is drawn: P^L ways s to look.

    L(w) = sum_s p(s) nll(s), p(s) = prod_t alpha_t(s_t)       what is minimised, by enumeration
    g(s) = d nll(s) + sum_t (R_t(s) - b) d log alpha_t(s_t)     what one draw of the model's own loss sends back
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from foveate.claims import Claim
from foveate.claims.attention import SECTION, captioner, replay
from foveate.claims.exact import digits
from foveate.claims.fitting import fit
from foveate.records import CaptionBatch
from foveate.registry import claim
from foveate.text import END, PAD, START

# Reinforcement and nothing else: the entropy bonus is an aim of its own, and pictures that are read softly need none.
ONLY_HARD = {"attention": "hard", "entropy": 0.0, "softly": 0.0, "doubly_stochastic": 0.0}
SINGLE = 4.0  # digits: the model's loss is in float32, of which rounding leaves five or six; a wrong one shares one
PLACES = 3


@claim("reinforce_is_unbiased")
def reinforce_is_unbiased() -> Claim:
    """A small Show, Attend and Tell with hard attention, three places, and a sentence of three words.

    Its own loss is drawn until each of the 27 ways to look came at least once. The mean of these gradients, each
    weighed with how likely it is, is what the estimator expects, without sampling error. It is compared with the
    gradient of the expected loss, in float64, for which all ways to look are enumerated. Twice: without a baseline, and
    with one. The weight of which the fewest digits agree decides.
    """
    return Claim(
        section=SECTION,
        claim="Reinforcement trains hard attention: its gradient is that of the expected loss, on average.",
        effect="{:.1f} digits of the mean gradient agree with that of the enumerated expectation: {:.1f} without a "
        "baseline, {:.1f} with one; of the {:.0f} ways to look, the rarest has a chance of {:.1f} %",
        measure=_reinforce_is_unbiased,
        holds=SINGLE,
        partly=SINGLE,
    )


def _reinforce_is_unbiased(seed: int) -> tuple[float, ...]:
    model, exactly = captioner(seed, **ONLY_HARD).float().train(), captioner(seed, **ONLY_HARD).train()
    features = torch.randn(1, model.backbone.channels, 1, PLACES)
    # The padding is looked from as well; it must not matter.
    tokens = torch.tensor([[7, 5, END, PAD]])
    ways = list(itertools.product(range(PLACES), repeat=3))
    chances, losses = zip(*(_look_so(exactly, features.double(), tokens[:, :3], way) for way in ways), strict=True)
    chance, loss = torch.stack(chances), torch.stack(losses)
    expected = (chance * loss).sum()
    exact = torch.autograd.grad(expected, _weights(exactly))
    batch: CaptionBatch = {"features": features, "tokens": tokens, "names": [""]}
    throws = _throws_of_each(model, batch, loss.detach())
    agreed = []
    # Without a baseline, and with the one that the moving average would settle at: the log-likelihood of a word.
    for baseline in (0.0, -expected.item()):
        means = [torch.zeros_like(w) for w in exact]
        for way, throw in enumerate(throws):
            torch.set_rng_state(throw)
            model.mean_log_prob.fill_(baseline)
            sent = torch.autograd.grad(model.loss(batch)["loss"], _weights(model))
            for mean, one in zip(means, sent, strict=True):
                mean += chances[way].detach() * one
        # Normalised over one picture, features are 0 on average, so that nothing arrives at the weights of h_0.
        there = [(mean, one) for mean, one in zip(means, exact, strict=True) if one.abs().max() > 1e-9]
        agreed.append(min(digits(mean, one) for mean, one in there))
    return min(agreed), *agreed, len(ways), 100 * float(chance.detach().min())


def _weights(model: Any) -> list[Tensor]:
    """All that learns behind the features."""
    return [weight for name, weight in model.named_parameters() if not name.startswith("backbone.")]


def _look_so(model: Any, features: Tensor, tokens: Tensor, way: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """How likely it is to look at these places, and the negative log-likelihood of a word if one does."""
    logits, alpha = replay(model, features, tokens, lambda alpha, places, t: places[:, way[t]])
    chance = torch.stack([alpha[0, t, place] for t, place in enumerate(way)]).prod()
    return chance, F.cross_entropy(logits[0], tokens[0])


def _throws_of_each(model: Any, batch: CaptionBatch, losses: Tensor) -> list[Tensor]:
    """For each way to look, known by its loss, a state of the random numbers from which the model looks so."""
    found: dict[int, Tensor] = {}
    with torch.no_grad():
        while len(found) < len(losses):
            throw = torch.get_rng_state()
            found[int((losses - model.loss(batch)["words"]).abs().argmin())] = throw
    return [found[way] for way in range(len(losses))]


SYMBOLS, WORDS, PICTURES, STEPS = 6, 3, 4000, 600
SIZES = {"vocabulary": 4 + SYMBOLS, "embed": 24, "hidden": 48, "attend": 24, "doubly_stochastic": 0.0}
DRAWS = 100
EARLY = 40  # steps after which the moving average has settled, and little else


@claim("baseline_steadies_reinforce")
def baseline_steadies_reinforce() -> Claim:
    """Small captioners with hard attention learn to name the symbols of a row, one place a word, as in the paper.

    Half of the pictures are read softly, entropy is rewarded. Twice on the way, after a few steps and at the end, the
    gradient of the scores' weights is drawn for one batch again and again, all of it read hard: with the moving average
    as it stands, and without it, by the same throws. The smaller of the two ratios of variances decides.
    """
    return Claim(
        section=SECTION,
        claim="A moving average that is taken off the reward lowers the variance of hard attention's gradient.",
        effect="{:.2f} times less variance with the moving average, where it helps less: {:.2f} times early, {:.2f} "
        "times at the end, when {:.0f} % of looks fall on the word's place ({:.0f} % by chance) and a word has a "
        "log-likelihood of {:.2f}",
        measure=_baseline_steadies_reinforce,
        holds=2.0,  # as much as twice the pictures would bring
        partly=1.1,
    )


def _baseline_steadies_reinforce(seed: int) -> tuple[float, ...]:
    model = captioner(seed, attention="hard", **SIZES).float()
    features, tokens = rows(model.backbone.channels, seed)
    some: CaptionBatch = {"features": features[:16], "tokens": tokens[:16], "names": []}
    steadier: list[float] = []
    for step in fit(model, _of(model, features, tokens), PICTURES, STEPS, seed=seed):
        if step in (EARLY, STEPS):
            average = model.mean_log_prob.clone()
            steadier.append(_variance(model, some, 0 * average) / _variance(model, some, average))
    with torch.no_grad():
        found = _on_place(model, features[:400], tokens[:400])
    return min(steadier), *steadier, 100 * found, 100 / WORDS, float(model.mean_log_prob[tokens].mean())


def rows(channels: int, seed: int) -> tuple[Tensor, Tensor]:
    """Features (N, D, 1, WORDS) of rows of symbols, each with its place; sentences (N, WORDS + 1) that name them."""
    dice = torch.Generator().manual_seed(seed)
    symbols = torch.randint(SYMBOLS, (PICTURES, WORDS), generator=dice)
    look = torch.randn(SYMBOLS, channels, generator=dice)[symbols]
    place = torch.randn(WORDS, channels, generator=dice)
    noise = torch.randn(PICTURES, WORDS, channels, generator=dice)
    features = (look + place + 0.3 * noise).mT[:, :, None]
    return features, F.pad(symbols + 4, (0, 1), value=END)


def _of(model: Any, features: Tensor, tokens: Tensor) -> Callable[[Tensor], Tensor]:
    def loss(batch: Tensor) -> Tensor:
        of: Tensor = model.loss({"features": features[batch], "tokens": tokens[batch], "names": []})["loss"]
        return of

    return loss


def _variance(model: Any, batch: CaptionBatch, baseline: Tensor) -> float:
    """Of the gradient of the scores' weights over what may be drawn for one batch, all of it read hard, summed."""
    twin = captioner(0, **SIZES | ONLY_HARD).float().train()
    twin.load_state_dict(model.state_dict())
    weights = list(twin.score.parameters())
    gradients = []
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for _ in range(DRAWS):
            twin.mean_log_prob.copy_(baseline)
            found = torch.autograd.grad(twin.loss(batch)["loss"], weights)
            gradients.append(torch.cat([one.flatten() for one in found]))
    return float(torch.stack(gradients).double().var(0).sum())


def _on_place(model: Any, features: Tensor, tokens: Tensor) -> float:
    """The share of looks, at the likeliest place, that fall on the symbol which the word names."""
    memory, state = model.begin(features)
    last = torch.full_like(tokens[:, 0], START)
    right = []
    for t in range(WORDS):
        _, state, alpha = model.step(memory, state, last)
        right.append(alpha.argmax(1) == t)
        last = tokens[:, t]
    return float(torch.stack(right).float().mean())
