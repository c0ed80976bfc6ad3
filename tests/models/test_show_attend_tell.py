"""Tests of Show, Attend and Tell's own parts: its penalty, its reward and its warm-up, by hand."""

from __future__ import annotations

import pytest
import torch

import foveate
from foveate.errors import ConfigError
from foveate.text import END, PAD, UNKNOWN

A, B = 4, 5  # two words
SMALL = {"backbone": "test_efficientnet", "image_size": (32, 32), "vocabulary": 8, "embed": 6, "hidden": 8, "attend": 4}


def build(**more):
    torch.manual_seed(0)
    return foveate.create("show_attend_tell", **(SMALL | {"dropout": 0.0} | more)).train()


def batch(model, tokens, seed=1):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(len(tokens), model.backbone.channels, 2, 3, generator=generator)
    return {"features": features, "tokens": torch.tensor(tokens), "names": [""] * len(tokens)}


def test_the_reward_is_a_words_gain_over_soft_attention_and_that_of_later_words_over_their_averages():
    model = build(attention="hard", credit=0.5, baseline=0.9)
    model.mean_log_prob[A], model.mean_log_prob[B], model.mean_log_prob[END] = -2.0, -1.0, -0.5
    tokens = torch.tensor([[A, B, END], [A, END, PAD]])
    log_probs = torch.tensor([[-1.0, -3.0, -0.5], [-4.0, -1.5, -9.0]])
    soft_log_prob = torch.tensor([[-1.5, -2.75, -0.5], [-4.25, -2.0, -7.0]])
    rewards = model._reward(log_probs, soft_log_prob, tokens)
    # Above soft attention: 0.5, -0.25, 0 and 0.25, 0.5. Above average: 1, -2, 0 and -2, -1. Nothing after <end>.
    assert rewards.tolist() == [[0.5 + 0.5 * -2, -0.25 + 0.5 * 0, 0.0], [0.25 + 0.5 * -1, 0.5, 0.0]]
    # A occurs twice, with -2.5 on average; END with -1; the averages of other words do not change.
    expected = {A: -2.05, B: -1.2, END: -0.55}
    assert {w: model.mean_log_prob[w].item() for w in expected} == pytest.approx(expected)
    assert not model.mean_log_prob[[PAD, 1, 3, 6, 7]].any()


def test_an_unknown_word_has_no_reward_and_no_average():
    model = build(attention="hard", credit=0.5, baseline=0.9)
    model.mean_log_prob[A], model.mean_log_prob[END] = -2.0, -0.5
    # The words' own losses leave <unk> out: its log-likelihood as decoded is 0, with soft attention it is not.
    rewards = model._reward(
        torch.tensor([[-1.0, 0.0, -1.5]]), torch.tensor([[-1.5, -7.0, -1.0]]), torch.tensor([[A, UNKNOWN, END]])
    )
    # <end> is 0.5 below soft attention and 1 below its average, discounted by 0.5 a word, through <unk>.
    assert rewards.tolist() == [[0.5 + 0.5 * 0.5 * -1, 0.5 * -1, -0.5]]
    assert model.mean_log_prob[UNKNOWN] == 0


def test_averages_stay_as_they_are_when_nothing_is_learned():
    model = build(attention="hard").eval()
    model._reward(torch.full((1, 2), -3.0), torch.zeros(1, 2), torch.tensor([[A, END]]))
    assert not model.mean_log_prob.any()


def test_log_probabilities_with_soft_attention_do_not_depend_on_the_samples():
    """For the first word, before which nothing was sampled; images read with soft attention have it twice."""
    model = build(attention="hard", softly=0.5)
    model.batches += 1  # beyond the warm-up
    data = batch(model, [[A, B, END]] * 16)
    logits, steps, soft_log_prob = model._decode(data["features"], data["tokens"])
    soft = build()
    soft.load_state_dict(model.state_dict())
    expected, _, _ = soft._decode(data["features"], data["tokens"])
    first = expected[:, 0].log_softmax(1)[:, A]
    assert torch.allclose(soft_log_prob[:, 0], first, atol=1e-5) and not soft_log_prob.requires_grad
    read_softly = (steps.log_prob == 0).all(1)
    assert 0 < read_softly.sum() < 16
    log_prob = logits.log_softmax(2).gather(2, data["tokens"][..., None])[..., 0]
    assert torch.allclose(soft_log_prob[read_softly], log_prob[read_softly], atol=1e-5)
    assert ((soft_log_prob - log_prob)[~read_softly].abs() > 1e-4).any(1).all()


@pytest.mark.parametrize("kind", ["soft", "hard"])
def test_the_penalty_asks_for_attention_to_every_location(kind):
    """lambda sum_i (1 - sum_t alpha_ti)^2 over the valid words, a word on average."""
    model = build(attention=kind, doubly_stochastic=0.3, entropy=0.0, reinforce=0.0, softly=1.0)
    data = batch(model, [[A, B, END], [B, END, PAD]])
    losses = model.loss(data)
    _, steps, _ = model._decode(data["features"], data["tokens"])
    alpha = steps.alpha.detach()
    penalty = ((1 - alpha[0].sum(0)) ** 2).sum() + ((1 - alpha[1, :2].sum(0)) ** 2).sum()
    assert losses["penalty"].item() == pytest.approx(0.3 * penalty.item() / 5, rel=1e-5)
    assert losses["loss"].item() == pytest.approx(losses["words"].item() + losses["penalty"].item(), rel=1e-5)


def test_during_the_warm_up_hard_attention_is_soft():
    """Every image, so that nothing is sampled and nothing reinforced; then half of them."""
    model, soft = build(attention="hard", warmup=2, entropy=0.0), build()
    soft.load_state_dict(model.state_dict())
    data = batch(model, [[A, B, END]] * 16)
    for step in (1, 2, 3):
        torch.manual_seed(step)
        loss = model.loss(data)["loss"].item()
        assert (loss == pytest.approx(soft.loss(data)["loss"].item(), rel=1e-5)) == (step <= 2)
    assert model.batches == 3


def test_invalid_configs_raise():
    with pytest.raises(ConfigError, match="attention is 'firm'; expected one of soft, hard"):
        build(attention="firm")
    with pytest.raises(ConfigError, match=r"credit is 1.5; expected 0..1"):
        build(credit=1.5)


def test_a_training_that_ends_before_its_warm_up_has_a_remark():
    assert build(attention="hard", warmup=100).remark(100) == (
        "all 100 batches are trained with soft attention, since warmup is 100; lower it, or train longer"
    )
    assert build(attention="hard", warmup=100).remark(101) == build(warmup=100).remark(50) == ""


@pytest.mark.parametrize("name", ["show_attend_tell", "show_and_tell"])
def test_a_single_value_is_not_normalised(name):
    fields = {k: v for k, v in SMALL.items() if k != "attend" or name == "show_attend_tell"}
    model = foveate.create(name, **fields).train()
    with pytest.raises(
        ConfigError, match="cannot normalise a batch of one image with one location; give a larger image_size"
    ):
        model.begin(torch.randn(1, model.backbone.channels, 1, 1))
    model.begin(torch.randn(1, model.backbone.channels, 1, 2))
