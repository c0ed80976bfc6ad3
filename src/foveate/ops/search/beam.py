"""Beam search, all inputs and beams in one step.

Shapes as in the folder: B inputs, K beams, N = B K rows, V tokens, t decoded so far.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from foveate.errors import ConfigError, counted
from foveate.ops.search.rules import BannedAfter, Rules
from foveate.ops.search.shared import (
    Found,
    Fusion,
    Hypothesis,
    Step,
    check_step,
    count_inputs,
    finish,
    log_probabilities,
    repeat,
    select,
)


@torch.no_grad()
def beam_search(
    step: Step,
    memory: Any,
    state: Any,
    *,
    start: int,
    end: int,
    beams: int = 5,
    n_best: int = 1,
    max_length: int | Sequence[int] = 30,
    min_length: int | Sequence[int] = 0,
    length_penalty: float = 1.0,
    coverage_penalty: float = 0.0,
    positions: Tensor | None = None,
    fusion: Fusion | None = None,
    no_repeat_ngram: int = 0,
    forbidden: Sequence[int] = (),
    banned_after: BannedAfter | None = None,
) -> list[list[Hypothesis]]:
    """Return for each input up to `n_best` sentences, best first: those that ended by score, then those that did not.

    start: the token fed first.
    end: the token that ends a sentence.
    beams: K, the number of sentences that are continued per input; 1 is greedy search. More search wider and cost more.
    n_best: number of sentences to return per input, at most as many as beams.
    max_length: largest number of tokens, the end token included; one for each input, or one for all. If nothing has
        ended by then, unfinished sentences are returned.
    min_length: smallest number of tokens, the end token included; one for each input, or one for all.
    length_penalty: exponent of the length in the score, 0 or more; see below.
    coverage_penalty: beta, the weight of the penalty for positions that were attended to less than once in all; 0 or
        more, usually 0 to 0.4. It needs the attention of the step.
    positions: (B, P) bool, the positions of the attention that are to be covered, as those that are not padding; None
        for all.
    fusion: a second model over the same tokens, whose log-probabilities are added; None for none.
    no_repeat_ngram: n, so that no n consecutive tokens occur twice; 0 for no such rule.
    forbidden: tokens that are never decoded, e.g. those for padding, start and unknown words.
    banned_after: a function from the tokens of one sentence, decoded so far, to those that may not follow them; None
        for no such rule.

    At each length an input keeps its `beams` most probable continuations. Those that end move to its pool; the others
    are continued at the next length, where `beams` are kept again. A sentence of T tokens, the end token included,
    scores

        score = sum_t log p(y_t | y_<t, x) / T^length_penalty

    so that 0 is the plain sum, which favours short sentences, and 1 the mean. With a second model, log p + weight * log
    p_second stands for log p here, and the beams are chosen by it, too (shallow fusion: Gulcehre et al., "On Using
    Monolingual Corpora in Neural Machine Translation" (2015), section 4.1). The coverage penalty

        beta * sum_i log min(sum_t alpha_ti, 1)

    is added to the score of whole sentences (Wu et al., "Google's Neural Machine Translation System" (2016), equation
    14), where a position without any attention counts as one with the smallest positive number.

    An input is done when none of its live sentences can still get into the `n_best` of its pool: log-probabilities and
    the coverage penalty are at most 0, so a live sum s can reach s / max_length^length_penalty at best. This bound is
    exact for every length_penalty of 0 or more. (Xu et al.'s published code is done as soon as `beams` sentences have
    ended, and may miss a longer one that scores more.)

    An input's result does not depend on the others in the batch, except for rounding in the model itself.

    Raises ConfigError for settings that do not fit each other or the model, ModelError if the model's scores are nan.
    """
    inputs, device = count_inputs(memory, state)
    longest, shortest = (
        _each_input(name, length, inputs) for name, length in (("max_length", max_length), ("min_length", min_length))
    )
    rules = Rules(end, longest, shortest, no_repeat_ngram, tuple(forbidden), banned_after)
    rules.check()
    _check_settings(beams, n_best, length_penalty, coverage_penalty)
    second = None if fusion is None else fusion.repeated(inputs, beams)
    memory, state = repeat(memory, beams), repeat(state, beams)
    attentions: list[Tensor] = []
    first = torch.arange(inputs, device=device)[:, None] * beams  # (B, 1): an input's first row
    tokens = torch.full((inputs, beams), start, device=device)
    # For the live sentences, (B, K, t): tokens, the rows that held them, and log-probabilities.
    decoded = rows = tokens[..., None][..., :0]
    log_probs = torch.zeros(inputs, beams, 0, device=device)
    # (B, K): the sum of a live sentence, else -inf. All start equal, so all but one start dead.
    sums = torch.full((inputs, beams), -math.inf, device=device).index_fill(1, first.new_zeros(1), 0.0)
    pools = _Pools(inputs, n_best, device)
    limits = torch.tensor(longest, device=device)
    coverage = _Coverage(coverage_penalty, positions, inputs, beams)

    def rank() -> Tensor:
        """Return the scores (B, K) of the decoded sentences."""
        return sums / max(decoded.shape[2], 1) ** length_penalty + coverage.penalties(sums)

    def keep(mask: Tensor, ended: bool) -> None:
        """Move the decoded sentences of the mask (B, K) to their inputs' pools."""
        pools.add(mask, ended, rank(), decoded, log_probs, rows)

    for length in range(1, max(longest) + 1):
        logits, state, attention = step(memory, state, tokens.flatten())
        check_step(logits, attention, inputs * beams)
        if second is not None:
            second_logits, second = second.advance(tokens.flatten(), logits)
        vocabulary = logits.shape[1]
        if length == 1:
            rules.check_vocabulary(vocabulary)
            if beams > vocabulary:
                raise ConfigError(
                    f"cannot search with {beams} beams over a vocabulary of {vocabulary} tokens; give 1..{vocabulary}"
                )
        alive = sums > -math.inf
        log_p = log_probabilities(logits, alive.flatten(), length)
        pools.worst = pools.worst.to(log_p.dtype)
        ranked = log_p
        if second is not None:
            assert fusion is not None
            ranked = log_p + fusion.weight * log_probabilities(second_logits, alive.flatten(), length).to(log_p.dtype)
        # The best K of an input have at most K in any row.
        ranked, candidates = rules.mask_forbidden(ranked, decoded.flatten(0, 1)).topk(beams, 1)  # (N, K)
        log_p = log_p.gather(1, candidates)
        total = ranked.view(inputs, beams, beams) + sums[..., None]
        # A dead row's log-probabilities may be nan.
        top, index = total.masked_fill(~alive[..., None], -math.inf).flatten(1).topk(beams)  # (B, K)
        exhausted = (top[:, :1] == -math.inf) & alive
        if bool(exhausted.any()):
            keep(exhausted, ended=False)
        if attention is not None:
            attentions.append(attention)
        parent = index // beams
        token, token_log_p = (x.view(inputs, -1).gather(1, index) for x in (candidates, log_p))
        row = first + parent
        decoded = torch.cat([_follow(decoded, parent), token[..., None]], 2)
        rows = torch.cat([_follow(rows, parent), row[..., None]], 2)
        log_probs = torch.cat([_follow(log_probs, parent), token_log_p[..., None]], 2)
        sums = top
        coverage.follow(row.flatten(), attention)
        ended = (token == end) & (top > -math.inf)
        accepted = ended & (rank() > pools.worst[:, None])
        if bool(accepted.any()):
            keep(accepted, ended=True)
        sums = sums.masked_fill(ended, -math.inf)
        done = sums.amax(1) / limits**length_penalty <= pools.worst
        sums = sums.masked_fill(done[:, None], -math.inf)
        over = limits <= length
        if bool(over.any()):
            keep((sums > -math.inf) & over[:, None], ended=False)
            sums = sums.masked_fill(over[:, None], -math.inf)
        if bool((sums == -math.inf).all()):
            break
        tokens = token.masked_fill(sums == -math.inf, end)
        state = select(state, row.flatten())
        if second is not None:
            second = second.selected(row.flatten())
    return finish(pools.found, attentions)


def greedy(
    step: Step,
    memory: Any,
    state: Any,
    *,
    start: int,
    end: int,
    max_length: int = 30,
    min_length: int = 0,
    no_repeat_ngram: int = 0,
    forbidden: Sequence[int] = (),
    banned_after: BannedAfter | None = None,
) -> list[Hypothesis]:
    """Return for each input the sentence whose every token is the most probable next one: `beam_search` with one beam.

    Raises ConfigError and ModelError as it does.
    """
    hypotheses = beam_search(
        step,
        memory,
        state,
        start=start,
        end=end,
        beams=1,
        max_length=max_length,
        min_length=min_length,
        no_repeat_ngram=no_repeat_ngram,
        forbidden=forbidden,
        banned_after=banned_after,
    )
    return [best for (best,) in hypotheses]


def _check_settings(beams: int, n_best: int, length_penalty: float, coverage_penalty: float) -> None:
    if beams < 1:
        raise ConfigError(f"cannot search with {beams} beams; give 1 or more")
    if not 1 <= n_best <= beams:
        raise ConfigError(f"cannot return {n_best} sentences of {beams} beams; give n_best in 1..{beams}")
    if not (length_penalty >= 0 and math.isfinite(length_penalty)):
        raise ConfigError(f"cannot divide by length^{length_penalty}; give a length_penalty of 0 or more")
    if not (coverage_penalty >= 0 and math.isfinite(coverage_penalty)):
        raise ConfigError(f"coverage_penalty is {coverage_penalty}; give 0 or more")


class _Pools:
    """The best `n_best` sentences of each input that are no longer continued; those that ended come first.

    worst: (B,), the score that a further sentence has to exceed; -inf while a pool has room.
    """

    def __init__(self, inputs: int, n_best: int, device: torch.device) -> None:
        self.n_best = n_best
        self.found: list[list[Found]] = [[] for _ in range(inputs)]
        self.worst = torch.full((inputs,), -math.inf, device=device)

    def add(self, mask: Tensor, ended: bool, scores: Tensor, decoded: Tensor, log_probs: Tensor, rows: Tensor) -> None:
        """Add the sentences of a mask (B, K). decoded, log_probs, rows: (B, K, t), of all sentences."""
        parts = (x[mask].cpu() for x in (decoded, log_probs, rows))
        owners = mask.nonzero()[:, 0].tolist()
        for b, score, *found in zip(owners, scores[mask].tolist(), *parts, strict=True):
            self.found[b].append(Found(ended, score, *found))
        for b in set(owners):
            self.found[b] = sorted(self.found[b], key=lambda f: (f.ended, f.score), reverse=True)[: self.n_best]
            if ended and len(self.found[b]) == self.n_best:
                self.worst[b] = self.found[b][-1].score


class _Coverage:
    """Attention that each live sentence has paid to each position so far, (N, P), and the penalty for it.

    Nothing is summed where the weight is 0.
    """

    def __init__(self, weight: float, positions: Tensor | None, inputs: int, beams: int) -> None:
        self.weight, self.shape = weight, (inputs, beams)
        if positions is not None and (positions.dtype != torch.bool or positions.shape[:1] != (inputs,)):
            raise ConfigError(
                f"positions of {positions.dtype} and shape {tuple(positions.shape)}; give a boolean mask ({inputs}, P)"
            )
        self.positions = None if positions is None else positions.flatten(1).repeat_interleave(beams, 0)
        self.paid: Tensor | None = None

    def follow(self, rows: Tensor, attention: Tensor | None) -> None:
        """Add the attention (N, ...) of a step, and keep what its sentences (N,) have paid."""
        if not self.weight:
            return
        if attention is None:
            raise ConfigError("coverage_penalty needs attention, and the step gave none; leave it at 0")
        step = attention.flatten(1).to(torch.promote_types(attention.dtype, torch.float32))
        if self.positions is not None and step.shape != self.positions.shape:
            raise ConfigError(
                f"attention over {step.shape[1]} positions, but `positions` are {self.positions.shape[1]}; give a mask "
                "of the attention's size"
            )
        self.paid = (step if self.paid is None else self.paid + step)[rows]

    def penalties(self, like: Tensor) -> Tensor:
        """Return beta * sum_i log min(sum_t alpha_ti, 1) of each sentence, (B, K), in the type of `like`."""
        if self.paid is None:
            return torch.zeros_like(like)
        # cp = beta sum_i log(min(sum_t alpha_ti, 1))
        logs = self.paid.clamp(torch.finfo(self.paid.dtype).tiny, 1.0).log()
        if self.positions is not None:
            logs = logs.masked_fill(~self.positions, 0.0)
        return (self.weight * logs.sum(1)).view(self.shape).to(like.dtype)


def _each_input(name: str, length: int | Sequence[int], inputs: int) -> tuple[int, ...]:
    """Return the length of each input. Raises ConfigError for another number of lengths than inputs."""
    if isinstance(length, int):
        return (length,) * inputs
    if len(length) != inputs:
        raise ConfigError(
            f"{counted(len(length), 'value')} of {name} for {counted(inputs, 'input')}; give one for each or for all"
        )
    return tuple(length)


def _follow(x: Tensor, parent: Tensor) -> Tensor:
    """Return the rows (B, K, t) of the parents (B, K)."""
    return x.gather(1, parent[..., None].expand(-1, -1, x.shape[2]))
