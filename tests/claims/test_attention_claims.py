"""Claims about attention and its reinforcement: they hold, and with a wrong operator in its place they do not."""

from __future__ import annotations

import pytest
import torch
from stand_ins import examined

from foveate.claims import attention, reinforce
from foveate.models.captioning import show_attend_tell
from foveate.models.captioning.show_attend_tell import ShowAttendTell
from foveate.ops.attend import SoftRead, hard_read, soft_read
from foveate.text import PAD


def unnormalised(scores, values, mask=None):
    """A gate a place instead of shares of one whole."""
    weights = scores.sigmoid()
    return SoftRead((weights[:, None] @ values)[:, 0], weights)


def plain_mean(scores, values, mask=None):
    """Right weights that nothing is read with."""
    return soft_read(scores, values)._replace(value=values.mean(1))


def likeliest(scores, values, mask=None):
    """What hard attention reads, with soft attention's weights."""
    return SoftRead(hard_read(scores, values, sample=False).value, soft_read(scores, values).weights)


@pytest.mark.parametrize("wrong", [unnormalised, plain_mean, likeliest])
def test_weights(wrong, monkeypatch):
    assert examined("attention_weights_are_shares") == "holds"
    monkeypatch.setattr(show_attend_tell, "soft_read", wrong)
    assert examined("attention_weights_are_shares") == "does not hold"


def test_the_replay_is_the_model():
    """With soft attention, and with hard attention at its likeliest place."""
    for kind in ("soft", "hard"):
        model = attention.captioner(3, attention=kind).eval()
        image, tokens = torch.randn(2, 3, 48, 48, dtype=torch.float64), torch.randint(4, 12, (2, 4))

        def read(alpha, places, t, kind=kind):
            where = alpha if kind == "soft" else (alpha == alpha.amax(1, keepdim=True)).double()
            return torch.einsum("bp,bpd->bd", where, places)

        logits, alpha = attention.replay(model, model.encode(image), tokens, read)
        output = model(image, tokens)
        assert torch.allclose(logits, output.logits, atol=1e-12)
        assert torch.allclose(alpha, output.attention.flatten(2), atol=1e-12)


def straight_through(scores, values, mask=None, *, sample):
    """The argmax, with soft attention's gradient, as if it were the sum: no influence, but something is sent back."""
    read, soft = hard_read(scores, values, sample=sample), soft_read(scores, values).value
    return read._replace(value=read.value + soft - soft.detach())


def not_quite(scores, values, mask=None, *, sample):
    """A sharp softmax: it looks like the maximum, but has a gradient."""
    return hard_read(scores, values, sample=sample)._replace(value=soft_read(9 * scores, values).value)


@pytest.mark.parametrize(
    ("operator", "wrong"), [("hard_read", straight_through), ("hard_read", not_quite), ("soft_read", likeliest)]
)
def test_gradients_of_argmax(operator, wrong, monkeypatch):
    assert examined("argmax_passes_no_gradient") == "holds"
    monkeypatch.setattr(attention, operator, wrong)
    assert examined("argmax_passes_no_gradient") == "does not hold"


def test_influence_is_counted_by_hand():
    """z = alpha_1 v for values 0 and v: dz / ds_1 = v alpha_1 alpha_0, and its opposite for s_0."""
    scores, values = torch.zeros(1, 2, dtype=torch.float64), torch.tensor([[[0.0], [8.0]]], dtype=torch.float64)
    one = torch.ones(1, 1, dtype=torch.float64)
    gradient, nudged = attention._influence(lambda s, v: soft_read(s, v).value, scores, values, one)
    assert gradient.tolist() == [[-2, 2]]
    assert torch.allclose(nudged, gradient, atol=1e-8)
    assert attention._influence(lambda s, v: v[:, 0], scores, values, one)[0].tolist() == [[0, 0]]


def skipping(scores, values, mask=None):
    """Reads the places only that have a weight worth the name."""
    weights = soft_read(scores, values).weights
    there = weights[0] > 1e-3
    grown = torch.zeros(400, 400) if bool(there.all()) else torch.zeros(1, 1)
    grown @ grown  # work that is worth noticing beside a trunk
    return SoftRead((weights[:, None, there] @ values[:, there])[:, 0], weights)


def test_what_soft_attention_saves(monkeypatch):
    assert examined("soft_attention_saves_nothing") == "holds"
    share, uniform, sharp = attention._soft_attention_saves_nothing(0)
    assert (
        share == 100 and uniform == pytest.approx(1 / 48) and sharp > 0.5
    )  # everywhere alike, and at one of 48 places
    monkeypatch.setattr(show_attend_tell, "soft_read", skipping)
    assert examined("soft_attention_saves_nothing") == "does not hold"


def test_what_hard_attention_saves_on_a_grid(monkeypatch):
    assert examined("hard_attention_skips_work_on_a_grid") == "does not hold"
    fewer, word, caption, whole = attention._hard_attention_skips_work_on_a_grid(0)
    # A: places x width of the scores' layer (512) is v's part, D x 512 that of the query; 196 x 512 is what is read.
    query, scores, read = 1024 * 512, 196 * 512, 196 * 512
    lstm, gate, out = 4 * 1024 * (512 + 512 + 1024), 1024, 512 * (1024 + 512 + 10000)
    assert word == pytest.approx((query + scores + read + lstm + gate + out) / 1e6)
    assert fewer == pytest.approx(1 + read / (query + scores + lstm + gate + out))
    assert 1 < caption < fewer and 15 < whole < 16  # VGG-16's convolutions are 15.3 billion

    def dear(scores, values, mask=None):
        values.mT @ values @ values.mT
        return soft_read(scores, values)

    monkeypatch.setattr(show_attend_tell, "soft_read", dear)
    assert examined("hard_attention_skips_work_on_a_grid") == "holds"


def short_sighted(self, log_probs, if_soft, tokens):
    """What a look brought is its own word, whatever comes of it."""
    return (log_probs - self.mean_log_prob[tokens]) * (tokens != PAD)


def scaled(self, log_probs, if_soft, tokens):
    """Rewards divided by their own size, which depends on what was drawn."""
    rewards = reward(self, log_probs, if_soft, tokens)
    return rewards / rewards.abs().mean()


def slightly(self, log_probs, if_soft, tokens):
    """A thousandth of a thousandth too large: three digits more than float32 tells."""
    return reward(self, log_probs, if_soft, tokens) * (1 + 1e-6)


def beyond(self, log_probs, if_soft, tokens):
    """A look is also praised for the words before it: right on average, if noisier."""
    return short_sighted(self, log_probs, if_soft, tokens).sum(1, keepdim=True).expand_as(log_probs)


reward = ShowAttendTell._reward


def of_the_likeliest(scores, values, mask=None, *, sample):
    """A choice that was drawn, and the log-probability of another."""
    read = hard_read(scores, values, sample=sample)
    return read._replace(log_prob=hard_read(scores, values, sample=False).log_prob)


def test_reinforcement_is_unbiased(monkeypatch):
    monkeypatch.setattr(reinforce, "PLACES", 2)
    assert examined("reinforce_is_unbiased") == "holds"
    assert reinforce._reinforce_is_unbiased(0)[0] > 11  # in float64; in float32 it would be five or six
    for wrong in (short_sighted, scaled, slightly):
        monkeypatch.setattr(ShowAttendTell, "_reward", wrong)
        assert examined("reinforce_is_unbiased") == "does not hold"
    monkeypatch.setattr(ShowAttendTell, "_reward", beyond)
    assert examined("reinforce_is_unbiased") == "holds"  # Xu et al.'s own, whose reward is the whole sentence
    monkeypatch.setattr(show_attend_tell, "hard_read", of_the_likeliest)
    assert examined("reinforce_is_unbiased") == "does not hold"


@pytest.fixture
def short(monkeypatch):
    """Trainings that take a second."""
    for name, value in (("IMAGES", 200), ("EARLY", 30), ("STEPS", 40), ("NUM_SAMPLES", 12)):
        monkeypatch.setattr(reinforce, name, value)


def test_baseline(short, monkeypatch):
    assert examined("baseline_steadies_reinforce") == "holds"

    def without(self, log_probs, if_soft, tokens):
        self.mean_log_prob.zero_()
        return reward(self, log_probs, if_soft, tokens)

    monkeypatch.setattr(ShowAttendTell, "_reward", without)
    assert examined("baseline_steadies_reinforce") == "does not hold"


def test_the_control_of_the_baseline_is_none_at_all(short, monkeypatch):
    variance, seen = reinforce._variance, []

    def watched(model, batch, baseline):
        seen.append((baseline.clone(), model.mean_log_prob.clone()))
        return variance(model, batch, baseline)

    monkeypatch.setattr(reinforce, "_variance", watched)
    reinforce._baseline_steadies_reinforce(0)
    assert len(seen) == 4
    for (without, average), (with_one, same) in (seen[:2], seen[2:]):
        assert not without.any() and average.any()
        assert torch.equal(with_one, average) and torch.equal(same, average)


def test_the_variance_is_that_of_the_draws_alone(short):
    model = attention.captioner(0, attention="hard", **reinforce.SIZES).float().train()
    features, tokens = reinforce.rows(model.backbone.channels, 0)
    assert features.shape == (200, 48, 1, 3) and tokens.shape == (200, 4)
    batch = {"features": features[:4], "tokens": tokens[:4], "names": []}
    before = torch.get_rng_state()
    average = torch.full_like(model.mean_log_prob, -2.0)
    found = reinforce._variance(model, batch, average)
    assert found == reinforce._variance(model, batch, average) > 0
    assert torch.equal(before, torch.get_rng_state())
    with torch.no_grad():
        model.score.v.weight.mul_(1e6)  # one place is all that is ever drawn
    assert reinforce._variance(model, batch, average) < 1e-9 * found


def test_rows_say_their_symbols_in_order(short):
    features, tokens = reinforce.rows(12, 1)
    assert (tokens[:, -1] == 2).all() and tokens[:, :-1].min() == 4 and tokens[:, :-1].max() == 9
    # Rows that begin alike share their first place, but for the noise.
    same = tokens[:, 0] == tokens[0, 0]
    spread = (features[:, :, 0, 0] - features[0, :, 0, 0]).square().mean(1)
    assert spread[same].max() < spread[~same].min()
