"""REINFORCE for hard attention: its gradient is unbiased, and a baseline reduces its variance.

Shapes: P grid cells of D features each; L words, for each of which one cell is sampled: P^L attention sequences s.

    L(w) = sum_s p(s) nll(s), p(s) = prod_t alpha_t(s_t)       the expected loss, by enumeration
    g(s) = d nll(s) + sum_t (R_t(s) - b) d log alpha_t(s_t)     the gradient of the model's loss for one sample
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from foveate.claims import NEW_SEEDS, Claim
from foveate.claims.attention import SECTION, captioner, replay
from foveate.claims.exact import DIGITS, digits
from foveate.claims.fitting import fit
from foveate.records import CaptionBatch
from foveate.registry import claim
from foveate.text import END, PAD, START

# REINFORCE alone: the entropy bonus is another objective, and images read with soft attention need no REINFORCE.
ONLY_HARD = {"attention": "hard", "entropy": 0.0, "soft_share": 0.0, "doubly_stochastic": 0.0}
PLACES = 3  # grid cells


@claim("reinforce_is_unbiased")
def reinforce_is_unbiased() -> Claim:
    """Compare the mean REINFORCE gradient of a small Show, Attend and Tell with the gradient of the expected loss.

    The model has hard attention over three grid cells and writes a sentence of three words. Its loss is sampled until
    each of the 27 attention sequences has occurred at least once. The mean of their gradients, weighted with their
    probabilities, is the estimator's expectation without sampling error. It is compared with the gradient of the
    expected loss, for which all sequences are enumerated, once without and once with a baseline; both are in float64.
    The weight with the fewest common digits decides.
    """
    return Claim(
        section=SECTION,
        claim="Reinforcement trains hard attention: its gradient is that of the expected loss, on average.",
        effect="{:.1f} digits of the mean gradient agree with that of the enumerated expectation: {:.1f} without a "
        "baseline, {:.1f} with one; of the {:.0f} ways to look, the rarest has a chance of {:.1f} %",
        measure=_reinforce_is_unbiased,
        holds=DIGITS,
        partly=DIGITS,
        seeds=NEW_SEEDS,
        law=True,
    )


def _reinforce_is_unbiased(seed: int) -> tuple[float, ...]:
    model, exact_model = captioner(seed, **ONLY_HARD).train(), captioner(seed, **ONLY_HARD).train()
    features = torch.randn(1, model.backbone.channels, 1, PLACES, dtype=torch.float64)
    # The model attends at padding, too; that must have no effect.
    tokens = torch.tensor([[7, 5, END, PAD]])
    sequences = list(itertools.product(range(PLACES), repeat=3))
    probabilities, losses = zip(
        *(_sequence_loss(exact_model, features, tokens[:, :3], sequence) for sequence in sequences),
        strict=True,
    )
    probability, loss = torch.stack(probabilities), torch.stack(losses)
    expected = (probability * loss).sum()
    exact = torch.autograd.grad(expected, _weights(exact_model))
    batch: CaptionBatch = {"features": features, "tokens": tokens, "names": [""]}
    rng_states = _rng_state_of_each(model, batch, loss.detach())
    agreed = []
    # Without a baseline, and with the value to which the moving average would converge: a word's log-likelihood.
    for baseline in (0.0, -expected.item()):
        means = [torch.zeros_like(w) for w in exact]
        for index, rng_state in enumerate(rng_states):
            torch.set_rng_state(rng_state)
            model.mean_log_prob.fill_(baseline)
            gradients = torch.autograd.grad(model.loss(batch)["loss"], _weights(model))
            for mean, gradient in zip(means, gradients, strict=True):
                mean += probabilities[index].detach() * gradient
        # Features normalised over one image have a mean of 0, so that the gradient of the weights of h_0 is zero.
        nonzero = [(mean, gradient) for mean, gradient in zip(means, exact, strict=True) if gradient.abs().max() > 1e-9]
        agreed.append(min(digits(mean, gradient) for mean, gradient in nonzero))
    return min(agreed), *agreed, len(sequences), 100 * float(probability.detach().min())


def _weights(model: Any) -> list[Tensor]:
    """Return the trainable parameters except those of the backbone."""
    return [weight for name, weight in model.named_parameters() if not name.startswith("backbone.")]


def _sequence_loss(model: Any, features: Tensor, tokens: Tensor, sequence: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Return the probability of a sequence of attended cells, and a word's negative log-likelihood given it."""
    logits, alpha = replay(model, features, tokens, lambda alpha, places, t: places[:, sequence[t]])
    probability = torch.stack([alpha[0, t, place] for t, place in enumerate(sequence)]).prod()
    return probability, F.cross_entropy(logits[0], tokens[0])


def _rng_state_of_each(model: Any, batch: CaptionBatch, losses: Tensor) -> list[Tensor]:
    """Find for each attention sequence, identified by its loss, a random state from which the model samples it."""
    states: dict[int, Tensor] = {}
    with torch.no_grad():
        while len(states) < len(losses):
            rng_state = torch.get_rng_state()
            states[int((losses - model.loss(batch)["words"]).abs().argmin())] = rng_state
    return [states[index] for index in range(len(losses))]


SYMBOLS, WORDS, IMAGES, STEPS = 6, 3, 4000, 600
SIZES = {"vocabulary": 4 + SYMBOLS, "embed": 24, "hidden": 48, "attend": 24, "doubly_stochastic": 0.0}
NUM_SAMPLES = 100  # gradients whose variance is measured
EARLY = 40  # steps after which the moving average has converged, but little else


@claim("baseline_steadies_reinforce")
def baseline_steadies_reinforce() -> Claim:
    """Compare the variance of hard attention's gradient with and without a moving average as baseline.

    A small captioner with hard attention learns to name the symbols of a row, one cell a word, trained as in the paper:
    half of the images are read with soft attention, and entropy is rewarded. After a few steps and at the end, the
    gradient of the attention scores' weights is sampled repeatedly for one batch, with hard attention only: once with
    the current moving average and once without it, from the same random states. The smaller of the two ratios of
    variances decides.
    """
    return Claim(
        section=SECTION,
        claim="A moving average that is taken off the reward lowers the variance of hard attention's gradient.",
        effect="{:.2f} times less variance with the moving average, where it helps less: {:.2f} times early, {:.2f} "
        "times at the end, when {:.0f} % of looks fall on the word's place ({:.0f} % by chance) and a word has a "
        "log-likelihood of {:.2f}",
        measure=_baseline_steadies_reinforce,
        holds=2.0,  # the effect of a batch twice as large
        partly=1.1,
    )


def _baseline_steadies_reinforce(seed: int) -> tuple[float, ...]:
    model = captioner(seed, attention="hard", **SIZES).float()
    features, tokens = rows(model.backbone.channels, seed)
    batch: CaptionBatch = {"features": features[:16], "tokens": tokens[:16], "names": []}
    ratios: list[float] = []
    for step in fit(model, _loss(model, features, tokens), IMAGES, STEPS, seed=seed):
        if step in (EARLY, STEPS):
            average = model.mean_log_prob.clone()
            ratios.append(_variance(model, batch, 0 * average) / _variance(model, batch, average))
    with torch.no_grad():
        hit_rate = _hit_rate(model, features[:400], tokens[:400])
    return min(ratios), *ratios, 100 * hit_rate, 100 / WORDS, float(model.mean_log_prob[tokens].mean())


def rows(channels: int, seed: int) -> tuple[Tensor, Tensor]:
    """Draw random rows of symbols: features (N, D, 1, WORDS) of symbol and position; captions (N, WORDS + 1)."""
    generator = torch.Generator().manual_seed(seed)
    symbols = torch.randint(SYMBOLS, (IMAGES, WORDS), generator=generator)
    symbol_features = torch.randn(SYMBOLS, channels, generator=generator)[symbols]
    position_features = torch.randn(WORDS, channels, generator=generator)
    noise = torch.randn(IMAGES, WORDS, channels, generator=generator)
    features = (symbol_features + position_features + 0.3 * noise).mT[:, :, None]
    return features, F.pad(symbols + 4, (0, 1), value=END)


def _loss(model: Any, features: Tensor, tokens: Tensor) -> Callable[[Tensor], Tensor]:
    def loss(batch: Tensor) -> Tensor:
        batch_loss: Tensor = model.loss({"features": features[batch], "tokens": tokens[batch], "names": []})["loss"]
        return batch_loss

    return loss


def _variance(model: Any, batch: CaptionBatch, baseline: Tensor) -> float:
    """Return the variance, summed over the attention scores' weights, of the gradient for one batch.

    The gradients differ in the sampled attention; all images are read with hard attention.
    """
    twin = captioner(0, **SIZES | ONLY_HARD).float().train()
    twin.load_state_dict(model.state_dict())
    weights = list(twin.score.parameters())
    gradients = []
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for _ in range(NUM_SAMPLES):
            twin.mean_log_prob.copy_(baseline)
            sample = torch.autograd.grad(twin.loss(batch)["loss"], weights)
            gradients.append(torch.cat([gradient.flatten() for gradient in sample]))
    return float(torch.stack(gradients).double().var(0).sum())


def _hit_rate(model: Any, features: Tensor, tokens: Tensor) -> float:
    """Return the share of words whose most probable cell is that of the symbol which the word names."""
    memory, state = model.begin(features)
    last = torch.full_like(tokens[:, 0], START)
    hits = []
    for t in range(WORDS):
        _, state, alpha = model.step(memory, state, last)
        hits.append(alpha.argmax(1) == t)
        last = tokens[:, t]
    return float(torch.stack(hits).float().mean())
