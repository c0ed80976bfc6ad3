"""Beam search against enumeration and against a plain search in Python lists."""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

import pytest
import torch
from table_model import DEPTH, END, START, Table, check, repeats, written
from torch import Tensor, nn

from foveate.errors import ConfigError, ModelError
from foveate.ops.search import Hypothesis, beam_search, greedy, sample


class Settings(NamedTuple):
    beams: int = 5
    n_best: int = 1
    max_length: int = 6
    min_length: int = 0
    length_penalty: float = 1.0
    no_repeat_ngram: int = 0
    forbidden: tuple[int, ...] = ()

    def allow(self, tokens: list[int]) -> bool:
        short = tokens[-1] == END and len(tokens) < self.min_length
        again = self.no_repeat_ngram > 0 and repeats(tokens, self.no_repeat_ngram)
        return not (short or again or tokens[-1] in self.forbidden)


def run(model: Table, settings: Settings, *inputs: int, **more: Any) -> list[list[Hypothesis]]:
    return beam_search(model.step, *model.begin(*inputs), start=START, end=END, **settings._asdict(), **more)


def plain_search(model: Table, which: int, settings: Settings) -> list[tuple[bool, list[int]]]:
    """The search as its docstring says it, one input, in lists, without ever stopping early."""
    living: list[tuple[float, list[int]]] = [(0.0, [])]
    pool: list[tuple[bool, float, list[int]]] = []
    for length in range(1, settings.max_length + 1):
        longer = []
        for total, tokens in living:
            history = torch.tensor([model.histories([*tokens, END])[-1]])
            log_p = model.logits(torch.tensor([which]), history).log_softmax(1)[0].tolist()
            longer += [(total + log_p[v], [*tokens, v]) for v in range(model.vocabulary)]
        longer = [(total, tokens) for total, tokens in longer if settings.allow(tokens) and total > -math.inf]
        if not longer:
            break
        best = sorted(longer, reverse=True)[: settings.beams]
        pool += [(True, total / length**settings.length_penalty, s) for total, s in best if s[-1] == END]
        living = [(total, tokens) for total, tokens in best if tokens[-1] != END]
    pool += [(False, total / max(len(s), 1) ** settings.length_penalty, s) for total, s in living]
    return [(ended, s) for ended, _, s in sorted(pool, reverse=True)[: settings.n_best]]


# --- what it finds


@pytest.mark.parametrize("penalty", [0.0, 0.6, 1.0, 2.0])
@pytest.mark.parametrize("reach", ["probability 0", "forbidden"])
def test_a_wide_beam_finds_what_enumeration_finds(penalty: float, reach: str) -> None:
    """Four tokens of 130 can be written, so that 128 beams hold all 4 * 3^3 sentences of the greatest length."""
    few, length, n_best = 4, 4, 12
    forbidden: tuple[int, ...] = ()
    model = Table(3, 130, seed=1)
    if reach == "forbidden":
        forbidden = tuple(range(few, 130))
    else:
        model.change = lambda logits: logits.index_fill(1, torch.arange(few, 130), -math.inf)
    settings = Settings(128, n_best, length, length_penalty=penalty, forbidden=forbidden)
    for which, found in enumerate(run(model, settings)):
        every = [
            [*s, END] for size in range(length) for s in itertools.product(range(1, few), repeat=size)
        ]  # all that end
        assert len(every) == 1 + 3 + 9 + 27
        ranked = sorted(every, key=lambda s: sum(model.log_probs(which, s)) / len(s) ** penalty, reverse=True)
        assert written(found) == ranked[:n_best]
        for h in found:
            check(model, which, h, penalty)
        # Narrower beams never beat the optimum, and this model's is not always found by one beam.
        for beams in (1, 2, 5, 20):
            (narrow,) = run(model, settings._replace(beams=beams, n_best=1), which)[0]
            assert narrow.score <= found[0].score + 1e-12 or not narrow.ended


SETTINGS = [
    Settings(beams=1),
    Settings(beams=2, n_best=2),
    Settings(n_best=3, length_penalty=0.0),
    Settings(n_best=5, length_penalty=0.7, max_length=8),
    Settings(n_best=1, length_penalty=2.0, max_length=8),
    Settings(beams=4, n_best=4, min_length=4),
    Settings(beams=4, n_best=2, min_length=6, no_repeat_ngram=1),
    Settings(beams=4, n_best=2, max_length=8, no_repeat_ngram=2, forbidden=(1, 3)),
    Settings(beams=6, n_best=6, max_length=1),
]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_equals_a_plain_search_that_never_stops_early(settings: Settings, scale: float) -> None:
    model = Table(6, 7, seed=2, scale=scale)
    for which, found in enumerate(run(model, settings)):
        assert [(h.ended, h.tokens.tolist()) for h in found] == plain_search(model, which, settings)
        for h in found:
            check(model, which, h, settings.length_penalty)


@pytest.mark.parametrize("settings", SETTINGS)
def test_an_input_does_not_notice_the_others(settings: Settings) -> None:
    # The first ends at once and the last never: searches of all lengths lie in one batch.
    model = Table(5, 7, seed=3)
    model.table[0, :, END] += 9
    model.table[4, :, END] = -math.inf
    together = run(model, settings)
    again = run(model, settings, 4, 2, 0, 1, 3)
    for which, found in enumerate(together):
        (alone,) = run(model, settings, which)
        for other in (alone, again[(4, 2, 0, 1, 3).index(which)]):
            assert written(found) == written(other)
            assert [h.score for h in found] == [h.score for h in other]
            assert all(torch.equal(a.log_probs, b.log_probs) for a, b in zip(found, other, strict=True))
            assert all(torch.equal(a.attention, b.attention) for a, b in zip(found, other, strict=True))  # type: ignore[arg-type]


def test_the_length_penalty_by_hand() -> None:
    # p(END) = 0.5 at once; or the word 2 with 0.5, and then END with 0.9.
    first, second = torch.tensor([0.5, 0.0, 0.5]).log(), torch.tensor([0.9, 0.1, 0.0]).log()

    def step(memory: Tensor, state: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, None]:
        return torch.where(tokens[:, None] == START, first, second), state, None

    def best(penalty: float) -> Hypothesis:
        (found,) = beam_search(
            step, torch.zeros(1), None, start=START, end=END, beams=2, n_best=1, length_penalty=penalty
        )
        return found[0]

    assert best(0.0).tokens.tolist() == [END]
    assert best(0.0).score == pytest.approx(math.log(0.5))
    assert best(1.0).tokens.tolist() == [2, END]
    assert best(1.0).score == pytest.approx((math.log(0.5) + math.log(0.9)) / 2)
    # log 0.45 / 2^a = log 0.5 at a = 0.2040
    assert best(0.203).tokens.tolist() == [END]
    assert best(0.205).tokens.tolist() == [2, END]
    assert best(1.0).attention is None


def test_sums_are_compared_as_precisely_as_the_model_gives_them() -> None:
    # 2 and then END is likelier than END at once, by less than float32 can tell.
    for percent in range(5, 45, 2):
        likely = torch.tensor(percent / 100, dtype=torch.float64)
        end = likely * (1 + 1e-10) / (1 - likely)
        first = torch.stack([likely, 0 * likely, 1 - likely]).log()
        second = torch.stack([end, 1 - end, 0 * end]).log()

        def step(memory: Tensor, state: None, tokens: Tensor, p: tuple[Tensor, Tensor] = (first, second)) -> Any:
            return torch.where(tokens[:, None] == START, *p), state, None

        found = beam_search(step, torch.zeros(1), None, start=START, end=END, beams=3, length_penalty=0.0)
        assert found[0][0].tokens.tolist() == [2, END], percent


@pytest.mark.parametrize("length", [1, 7])
def test_one_beam_is_the_argmax_at_every_step(length: int) -> None:
    model = Table(20, 6, seed=4)
    found = greedy(model.step, *model.begin(), start=START, end=END, max_length=length)
    ends = 0
    for which, h in enumerate(found):
        tokens: list[int] = []
        while len(tokens) < length and END not in tokens:
            history = torch.tensor([model.histories([*tokens, END])[-1]])
            tokens.append(int(model.logits(torch.tensor([which]), history).argmax()))
        assert h.tokens.tolist() == tokens
        check(model, which, h)
        ends += h.ended
    assert 0 < ends < 20  # both kinds were met


# --- rules


def test_a_model_that_never_ends_gives_what_is_written() -> None:
    model = Table(2, 6, seed=5)
    model.table[..., END] = -math.inf
    for which, found in enumerate(run(model, Settings(beams=4, n_best=4, max_length=5))):
        assert len(found) == 4
        assert [h.ended for h in found] == [False] * 4
        assert [len(h.tokens) for h in found] == [5] * 4
        assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)
        for h in found:
            check(model, which, h)


def test_a_sentence_that_ended_stands_before_better_ones_that_did_not() -> None:
    model = Table(1, 6, seed=6)
    model.table[..., END] = -3.0
    found = run(model, Settings(beams=6, n_best=6, max_length=3))[0]
    ended = [h.ended for h in found]
    assert ended == sorted(ended, reverse=True)
    assert set(ended) == {True, False}
    assert max(h.score for h in found if not h.ended) > min(h.score for h in found if h.ended)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_no_n_tokens_in_a_row_are_written_twice(size: int) -> None:
    model = Table(4, 5, seed=7)
    model.table[..., 2] += 9  # a model that stammers
    model.table[..., END] -= 3
    free = run(model, Settings(beams=3, n_best=3, max_length=8))
    bound = run(model, Settings(beams=3, n_best=3, max_length=8, no_repeat_ngram=size))
    assert all(repeats(h.tokens.tolist(), size) for found in free for h in found)
    assert not any(repeats(h.tokens.tolist(), size) for found in bound for h in found)
    for which, found in enumerate(bound):
        for h in found:
            check(model, which, h)


def test_where_nothing_may_follow_the_sentence_stands_unfinished() -> None:
    model = Table(3, 4, seed=8)
    rules = Settings(beams=2, n_best=2, max_length=8, min_length=6, no_repeat_ngram=1)
    for which, found in enumerate(run(model, rules)):
        assert {frozenset(h.tokens.tolist()) for h in found} == {frozenset({1, 2, 3})}
        for h in found:
            assert not h.ended
            check(model, which, h)
    # ... even before the first token.
    for found in run(model, Settings(beams=2, n_best=2, min_length=2, forbidden=(1, 2, 3))):
        assert [(h.tokens.tolist(), h.score, h.ended) for h in found] == [([], 0.0, False)]
        assert found[0].attention is not None
        assert found[0].attention.shape == (0, 1 + DEPTH)


@pytest.mark.parametrize("least", [0, 1, 3, 6])
def test_the_least_length_counts_the_end(least: int) -> None:
    model = Table(4, 6, seed=9)
    model.table[..., END] += 8
    for which, found in enumerate(run(model, Settings(min_length=least, max_length=6))):
        assert len(found[0].tokens) == max(least, 1)
        check(model, which, found[0])


def test_forbidden_tokens_are_never_written() -> None:
    model = Table(4, 8, seed=10)
    model.table[..., 1] += 9
    model.table[..., 3] += 9
    free = run(model, Settings(n_best=5))
    assert all({1, 3} <= {token for h in found for token in h.tokens.tolist()} for found in free)
    for which, found in enumerate(run(model, Settings(n_best=5, forbidden=(1, 3)))):
        assert len(found) == 5
        for h in found:
            assert not {1, 3} & set(h.tokens.tolist())
            check(model, which, h)  # the log-probabilities are not scaled up for those left out


class NoRepeats(Settings):
    """No token after itself, and none of two after a third: a rule on the whole sentence."""

    def allow(self, tokens: list[int]) -> bool:
        return super().allow(tokens) and tokens[-1] not in self.banned_after(tokens[:-1])

    @staticmethod
    def banned_after(tokens: list[int]) -> list[int]:
        return [*tokens[-1:], *([4, 5] if 2 in tokens else [])]


@pytest.mark.parametrize("beams", [1, 4])
def test_tokens_that_may_not_follow_others(beams: int) -> None:
    """As the plain search has it under the same rule; drawn sentences keep to it, too."""
    model = Table(6, 7, seed=3)
    settings = NoRepeats(beams=beams, n_best=beams, max_length=7)
    free = run(model, Settings(*settings))
    found = run(model, Settings(*settings), banned_after=settings.banned_after)
    drawn = sample(model.step, *model.begin(), start=START, end=END, samples=20, max_length=7,
                   banned_after=settings.banned_after)  # fmt: skip
    for which, (own, others) in enumerate(zip(found, drawn, strict=True)):
        assert [(h.ended, h.tokens.tolist()) for h in own] == plain_search(model, which, settings)
        for h in (*own, *others):
            check(model, which, h)  # the log-probabilities are not scaled up for those left out
            assert all(settings.allow(h.tokens[: t + 1].tolist()) for t in range(len(h.tokens)))
    assert [written(own) for own in free] != [written(own) for own in found]
    best = greedy(model.step, *model.begin(), start=START, end=END, max_length=7, banned_after=settings.banned_after)
    if beams == 1:
        assert written(best) == [h.tokens.tolist() for (h,) in found]


# --- what it does with a model


def test_the_bound_saves_steps() -> None:
    model = Table(3, 6, seed=11)
    model.table[..., END] += 4
    settings = Settings(beams=3, n_best=1, max_length=30)
    run(model, settings)
    exact = len(model.seen)
    assert exact < 30
    # With a plain sum the bound is the living sum itself: nothing goes on that is behind already.
    model.seen.clear()
    run(model, settings._replace(length_penalty=0.0))
    assert len(model.seen) < exact


def test_a_longer_sentence_that_scores_more_is_waited_for() -> None:
    # Twice END or 2, with even chances, then END for sure. A token of [END] and of [2, END] costs log 2, and one of
    # [2, 2, END] two thirds of that; but when it is met, two sentences have ended, as many as there are beams.
    even, sure = torch.tensor([0.5, 0.0, 0.5]).log(), torch.tensor([1.0, 0.0, 0.0]).log()

    def step(memory: None, state: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, None]:
        return torch.where(state[:, None] < 2, even, sure), state + 1, None

    found = beam_search(step, None, torch.zeros(1), start=START, end=END, beams=2)
    assert found[0][0].tokens.tolist() == [2, 2, END]


def test_memory_is_repeated_once_and_never_touched() -> None:
    model = Table(3, 6, seed=12)
    run(model, Settings(beams=4, max_length=5))
    memories = [memory for memory, _ in model.seen]
    assert memories[0].tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert len(memories) > 1
    assert all(memory is memories[0] for memory in memories)


class Pair(NamedTuple):
    h: Tensor
    c: list[Tensor]


def test_memory_and_state_are_trees() -> None:
    model = Table(3, 6, seed=13)
    which, history = model.begin()

    def step(memory: Any, state: Any, tokens: Tensor) -> tuple[Tensor, Any, Tensor]:
        (h, (c,)), nothing = state
        assert isinstance(state[0], Pair)
        assert memory["nothing"] is None and nothing is None
        assert torch.equal(h, c.sum(1))  # all leaves follow the same sentences
        logits, c, look = model.step(memory["which"][0], c, tokens)
        return logits, (Pair(c.sum(1), [c]), None), look

    memory, state = {"which": (which,), "nothing": None}, (Pair(history.sum(1), [history]), None)
    found = beam_search(step, memory, state, start=START, end=END, max_length=6)
    assert [written(f) for f in found] == [written(f) for f in run(model, Settings(max_length=6))]


class Speller(nn.Module):
    """A small recurrent network with attention, as a captioning model is built."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.cell, self.out = nn.Embedding(9, 6), nn.GRUCell(11, 8), nn.Linear(8, 9)
        self.query = nn.Linear(8, 5, bias=False)

    def step(self, memory: Tensor, state: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        alpha = (memory @ self.query(state)[..., None]).squeeze(-1).softmax(1)
        z = (alpha[:, None] @ memory)[:, 0]
        state = self.cell(torch.cat([self.embed(tokens), z], 1), state)
        return 4 * self.out(state), state, alpha.unflatten(1, (2, 2))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_recurrent_network_scored_again_word_by_word(dtype: torch.dtype) -> None:
    model = Speller().to(dtype)
    memory, state = torch.randn(5, 4, 5, dtype=dtype), torch.zeros(5, 8, dtype=dtype)
    found = beam_search(model.step, memory, state, start=START, end=END, n_best=3, max_length=12)
    drawn = sample(model.step, memory, state, start=START, end=END, samples=2, max_length=12)
    tight = dtype == torch.float64
    for b, hypotheses in enumerate(found + drawn):
        for h in hypotheses:
            row, tokens = state[:1], [START, *h.tokens.tolist()]
            assert h.log_probs.dtype == (dtype if tight else torch.float32)
            assert not h.log_probs.requires_grad
            for t in range(len(h.tokens)):
                logits, row, alpha = model.step(memory[b % 5, None], row, torch.tensor([tokens[t]]))
                log_p = logits.to(h.log_probs.dtype).log_softmax(1)[0, tokens[t + 1]]
                torch.testing.assert_close(h.log_probs[t], log_p, atol=1e-12 if tight else 0.1, rtol=0)
                assert h.attention is not None
                torch.testing.assert_close(h.attention[t], alpha[0], atol=1e-12 if tight else 0.02, rtol=0)


def test_rows_that_are_over_are_fed_end_and_may_break() -> None:
    model = Table(2, 6, seed=14)
    plain = run(model, Settings(max_length=6))

    def breaks(memory: Tensor, state: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits, state, look = model.step(memory, state, tokens)
        return logits.masked_fill((tokens == END)[:, None], math.nan), state, look

    found = beam_search(breaks, *model.begin(), start=START, end=END, max_length=6)
    assert any((tokens == END).any() for _, tokens in model.seen)  # the case is a real one
    assert [written(f) for f in found] == [written(f) for f in plain]
    drawn = sample(breaks, *model.begin(), start=START, end=END, samples=30, max_length=6)
    for which, hypotheses in enumerate(drawn):
        for h in hypotheses:
            check(model, which, h)


def test_an_input_that_is_done_is_fed_nothing_but_end() -> None:
    model = Table(2, 6, seed=14)
    model.table[0, :, END] += 30
    for search, rows in ((beam_search, {"beams": 3}), (sample, {"samples": 3})):
        model.seen.clear()
        search(model.step, *model.begin(), start=START, end=END, **rows)  # type: ignore[operator]
        fed = torch.stack([tokens for _, tokens in model.seen[1:]])
        assert len(fed) > 1
        assert (fed[:, :3] == END).all()
        assert (fed[0, 3:] != END).any()


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_scores_that_are_no_numbers_are_named(bad: float) -> None:
    def step(memory: Tensor, state: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, None]:
        logits = torch.zeros(len(tokens), 6)
        logits[1, 3] = bad if int(state[0]) else 0.0
        return logits, state + 1, None

    for search in (beam_search, sample):
        with pytest.raises(ModelError, match="the model's scores for token 2 are nan or infinite; its weights are dam"):
            search(step, None, torch.zeros(2), start=START, end=END, min_length=3)  # type: ignore[operator]


def test_a_model_may_be_searched_in_inference_mode() -> None:
    model = Table(2, 6, seed=15)
    with torch.inference_mode():
        found = run(model, Settings(n_best=2))
    assert [written(f) for f in found] == [written(f) for f in run(model, Settings(n_best=2))]


# --- errors


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beams": 0}, "cannot search with 0 beams; give 1 or more"),
        ({"beams": -2}, "cannot search with -2 beams; give 1 or more"),
        ({"beams": 7}, r"cannot search with 7 beams over a vocabulary of 6 tokens; give 1..6"),
        ({"beams": 3, "n_best": 4}, r"cannot return 4 sentences of 3 beams; give n_best in 1..3"),
        ({"n_best": 0}, "cannot return 0 sentences of 5 beams"),
        ({"max_length": 0}, "cannot decode sentences of at most 0 tokens; give a max_length of 1 or more"),
        ({"max_length": 3, "min_length": 4}, "min_length 4 is above max_length 3; give a min"),
        ({"min_length": -1}, "min_length is -1; give 1 or more, or 0 for no such rule"),
        ({"no_repeat_ngram": -1}, "no_repeat_ngram is -1; give 1 or more"),
        ({"length_penalty": -0.5}, r"cannot divide by length\^-0.5; give a length_penalty of 0 or more"),
        ({"length_penalty": math.nan}, r"cannot divide by length\^nan"),
        ({"forbidden": (1, END)}, "token 0 is the end token and is forbidden, too; leave it out of `forbidden`"),
        ({"forbidden": (6,)}, r"token 6 \(forbidden\) is not in the model's vocabulary of 6; give one of 0..5, from"),
        ({"forbidden": (-1,)}, r"token -1 \(forbidden\) is not in"),
        ({"end": 6}, r"token 6 \(end\) is not in the model's vocabulary of 6"),
    ],
)
def test_settings_that_do_not_fit(settings: dict[str, Any], message: str) -> None:
    model = Table(2, 6)
    with pytest.raises(ConfigError, match=message):
        beam_search(model.step, *model.begin(), **{"start": START, "end": END, **settings})


def test_models_that_do_not_fit() -> None:
    def give(logits: Tensor, look: Tensor | None = None) -> Any:
        return lambda memory, state, tokens: (logits, state, look)

    kwargs: dict[str, Any] = {"start": START, "end": END, "beams": 2}
    rows = torch.zeros(3, 1)
    with pytest.raises(ConfigError, match=r"the step gave logits of shape \(3, 5\) for 6 tokens; give \(6, V\)"):
        beam_search(give(torch.zeros(3, 5)), rows, None, **kwargs)
    with pytest.raises(
        ConfigError, match=r"the step gave attention of shape \(3, 4\) for 6 tokens; give \(6, \.\.\.\)"
    ):
        beam_search(give(torch.zeros(6, 5), torch.zeros(3, 4)), rows, None, **kwargs)
    with pytest.raises(
        ConfigError, match=r"memory and state of a search have \[2, 3\] rows; give tensors with one row"
    ):
        beam_search(give(torch.zeros(6, 5)), rows, torch.zeros(2), **kwargs)
    with pytest.raises(ConfigError, match="memory and state of a search have no rows"):
        beam_search(give(torch.zeros(6, 5)), None, (), **kwargs)
    with pytest.raises(
        ConfigError, match="the memory or state of a search holds a str; give tensors, None, and tuples"
    ):
        beam_search(give(torch.zeros(6, 5)), rows, ("h",), **kwargs)
