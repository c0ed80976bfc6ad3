"""Tests of Show, Attend and Tell's own parts: its penalty, its reward and its warm-up, by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

import foveate
from foveate.errors import ConfigError
from foveate.models.captioning.show_attend_tell import RELEASE
from foveate.text import END, PAD, START, UNKNOWN

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
    model = build(attention="hard", soft_share=0.5)
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
    model = build(attention=kind, doubly_stochastic=0.3, entropy=0.0, reinforce=0.0, soft_share=1.0)
    data = batch(model, [[A, B, END], [B, END, PAD]])
    losses = model.loss(data)
    _, steps, _ = model._decode(data["features"], data["tokens"])
    alpha = steps.alpha.detach()
    penalty = ((1 - alpha[0].sum(0)) ** 2).sum() + ((1 - alpha[1, :2].sum(0)) ** 2).sum()
    assert losses["penalty"].item() == pytest.approx(0.3 * penalty.item() / 5, rel=1e-5)
    assert losses["loss"].item() == pytest.approx(losses["words"].item() + losses["penalty"].item(), rel=1e-5)


def test_entropy_is_rewarded():
    """A spread alpha lowers the loss: loss = ... - lambda_e H, with the gradient that makes alpha spread further."""
    losses = {}
    for weight in (0.0, 0.5):
        model = build(attention="hard", entropy=weight, softly=1.0)
        losses[weight] = model.loss(batch(model, [[A, B, END], [B, END, PAD]]))
    entropy = losses[0.5]["entropy"].item()
    assert entropy > 0
    assert losses[0.5]["loss"].item() == pytest.approx(losses[0.0]["loss"].item() - 0.5 * entropy, rel=1e-5)


def test_words_of_its_own_are_read_in_training_alone():
    """With scheduled sampling at 1 a training step never reads the true words; an evaluation always does."""
    model, plain = build(scheduled_sampling=1.0), build()
    plain.load_state_dict(model.state_dict())
    data = batch(model, [[A, B, A, B, A, END]] * 4)
    expected, _, _ = plain._decode(data["features"], data["tokens"])
    trained, _, _ = model._decode(data["features"], data["tokens"])
    evaluated, _, _ = model.eval()._decode(data["features"], data["tokens"])
    assert torch.equal(trained[:, 0], expected[:, 0])  # no word before the first
    assert not torch.allclose(trained[:, 1:], expected[:, 1:], atol=1e-4)
    assert torch.allclose(evaluated, plain.eval()._decode(data["features"], data["tokens"])[0])


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


def release(**more):
    """Build the released configuration at small sizes, with weights far from zero."""
    small = SMALL | {"attend": 0, "embed": 6, "hidden": 10, "backbone": "test_efficientnet"}
    model = foveate.create("show_attend_tell", **(dataclasses.asdict(RELEASE) | {"pretrained": False} | small | more))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model


def test_the_released_configuration_has_the_releases_parameters():
    """Counted from its equations: D = 512 places' features, 1800 units, vectors of 512, 10000 words."""
    with torch.device("meta"):
        model = foveate.create("show_attend_tell", **dataclasses.asdict(RELEASE))
    d, h, e, v = 512, 1800, 512, 10000
    start = d * d + d + 2 * (d * h + h)
    lstm = 4 * h * (e + h + d) + 4 * h
    scores = d * d + d + h * d + d * d + d + d  # without the constant, which the softmax does not see
    words = v * e + h * e + e + d * e + e + e * v + v
    own = sum(p.numel() for n, p in model.named_parameters() if not n.startswith("backbone."))
    assert own == start + lstm + scores + h + 1 + words + 4 * h  # torch's LSTM has a second bias
    assert model.preprocessing.size == (224, 224)
    assert model.encode(torch.zeros(1, 3, 224, 224, device="meta")).shape == (1, 512, 14, 14)


@pytest.mark.parametrize("kind", ["soft", "hard"])
def test_the_released_configuration_is_its_equations_in_numpy(kind):
    """A sentence of four words from one picture, written out place by place; hard attention reads softly, too."""
    model = release(attention=kind).double().eval()
    p = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    features = torch.randn(1, model.backbone.channels, 2, 3, dtype=torch.float64)
    a = features[0].flatten(1).T.numpy()  # (P, D)

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    def linear(name, x):
        return p[f"{name}.weight"] @ x + p.get(f"{name}.bias", 0)

    mean = np.maximum(linear("start_hidden", a.mean(0)), 0)
    h, c = np.split(np.tanh(linear("start", mean)), 2)
    keys = [np.tanh(linear("score.V", linear("score.U", place))) for place in a]
    memory, state = model.begin(features)
    for step, token in enumerate([START, A, B, A]):
        e = np.array([linear("score.v", np.tanh(linear("score.W", h) + key))[0] for key in keys])
        alpha = np.exp(e - e.max()) / np.exp(e - e.max()).sum()
        z = sigmoid(linear("gate", h)) * (alpha @ a)
        y = p["embed.weight"][token] if step else np.zeros(6)
        x = np.concatenate([y, z])
        gates = p["lstm.weight_ih"] @ x + p["lstm.bias_ih"] + p["lstm.weight_hh"] @ h + p["lstm.bias_hh"]
        i, f, g, o = np.split(gates, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        expected = linear("L_o", np.tanh(y + linear("L_h", h) + linear("L_z", z)))
        logits, state, attention = model.step(memory, state, torch.tensor([token]))
        np.testing.assert_allclose(attention[0].detach(), alpha, atol=1e-10)
        np.testing.assert_allclose(logits[0].detach(), expected, rtol=1e-9, atol=1e-9)


def test_hard_attention_reads_the_likeliest_place_or_softly_in_predictions_and_samples_in_training():
    for softly in (False, True):
        model = release(attention="hard", soft_inference=softly).eval()
        assert model.attention == ("soft" if softly else "hard")
        memory, state = model.begin(batch(model, [[A]])["features"])
        step = model._attend(memory, state)
        gate = torch.sigmoid(model.gate(state.h))
        expected = step.alpha @ memory.places[0] if softly else memory.places[0, step.alpha[0].argmax()][None]
        torch.testing.assert_close(step.z, gate * expected)
        model.train().batches += 1  # beyond the warm-up
        sampled = model._decode(batch(model, [[A, END]] * 64)["features"], torch.tensor([[A, END]] * 64))[1]
        assert (sampled.log_prob != 0).any()


def test_dropout_falls_where_the_release_has_it():
    """On the hidden layer of the initial state, on h and before the words; not on word vectors, nor on the first."""
    model = release(dropout=0.5)
    calls = []
    model.dropout.register_forward_hook(lambda _, args, __: calls.append(tuple(args[0].shape)))
    features = batch(model, [[A, END]] * 3)["features"]
    model._decode(features, torch.tensor([[A, END]] * 3))
    hidden, word = (3, 10), (3, 6)
    assert calls == [(3, model.backbone.channels), *[hidden, word] * 2]
    calls.clear()
    model.config = dataclasses.replace(model.config, drop_words=True)
    model._decode(features, torch.tensor([[A, END]] * 3))
    assert calls == [(3, model.backbone.channels), *[word, hidden, word] * 2]


def test_a_mean_over_sentences_is_a_sum_over_their_words():
    words, sentences = build(), build(average="sentences")
    data = batch(words, [[A, B, END], [B, END, PAD]])
    for name, value in words.loss(data).items():
        torch.testing.assert_close(sentences.loss(data)[name], value * 5 / 2)


@pytest.mark.parametrize("field", ["score_layers", "start_layers"])
def test_other_numbers_of_layers_are_refused(field):
    with pytest.raises(ConfigError, match=f"{field} is 3; expected one of 1, 2"):
        build(**{field: 3})
