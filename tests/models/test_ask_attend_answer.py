"""SMem-VQA against the paper's equations, and the laws that follow from them."""

import math

import pytest
import torch

from foveate.errors import ConfigError
from foveate.models.questions.ask_attend_answer import AskAttendAnswer, Config, Embedding
from foveate.text import PAD

SIZES = {"vocabulary": 12, "num_answers": 3, "backbone": "plain", "strides": (16,), "image_size": (32, 48),
         "hidden": 5, "max_words": 6, "normalize": False, "dropout": 0.0, "word_init": 1.0}  # fmt: skip
PLACES, CHANNELS = 2 * 3, 128


def build(**more):
    torch.manual_seed(0)
    model = AskAttendAnswer(Config(**(SIZES | more))).double().eval()
    for name, parameter in model.named_parameters():
        if not name.startswith("backbone") and name != "embed.weight":
            torch.nn.init.normal_(parameter, std=0.4)
    return model


def inputs(count=2, words=4):
    generator = torch.Generator().manual_seed(3)
    features = torch.randn(count, CHANNELS, 2, 3, generator=generator, dtype=torch.float64)
    tokens = torch.randint(4, 12, (count, words), generator=generator)
    tokens[1:, 2:] = PAD
    return features, tokens


def by_hand(model, features, tokens):
    """Equations 1 to 10, one place and one word at a time."""
    config = model.config
    size, logits, maps = config.hidden, [], []

    def embedded(part, S, place):
        return [
            sum(S[m, place].item() * part.W[m, n].item() for m in range(CHANNELS)) + part.b[place, n].item()
            for n in range(size)
        ]

    for S, ids in zip(features.flatten(2), tokens.tolist(), strict=True):
        words = ids + [PAD] * (config.max_words - len(ids))
        vectors = [[0.0] * size if w == PAD else model.embed.weight[w].tolist() for w in words]
        if config.pad == "masked":
            vectors = [v for v, w in zip(vectors, words, strict=True) if w != PAD]
        keys = [embedded(model.A, S, place) for place in range(PLACES)]
        best = [max(sum(a * b for a, b in zip(v, key, strict=True)) for v in vectors) for key in keys]
        a = [math.exp(s) / sum(math.exp(other) for other in best) for s in best]
        evidence = [embedded(model.E, S, place) for place in range(PLACES)]
        fused = [
            sum(a[p] * evidence[p][n] for p in range(PLACES))
            + sum(model.W_Q[t].item() * v[n] for t, v in enumerate(vectors))
            + model.b_Q[n].item()
            for n in range(size)
        ]
        own = [a]
        if config.hops == 2:
            scores = [sum(x * y for x, y in zip(evidence[p], fused, strict=True)) for p in range(PLACES)]
            a2 = [math.exp(s) / sum(math.exp(other) for other in scores) for s in scores]
            second = [embedded(model.E2, S, place) for place in range(PLACES)]
            fused = [fused[n] + sum(a2[p] * second[p][n] for p in range(PLACES)) for n in range(size)]
            own.append(a2)
        maps.append(own)
        logits.append(
            [
                sum(max(fused[n], 0.0) * model.W_P.weight[k, n].item() for n in range(size)) + model.W_P.bias[k].item()
                for k in range(config.num_answers)
            ]
        )
    return torch.tensor(logits, dtype=torch.float64), torch.tensor(maps, dtype=torch.float64)


@pytest.mark.parametrize("hops", [1, 2])
@pytest.mark.parametrize("pad", ["zero", "masked"])
def test_the_equations(hops, pad):
    model = build(hops=hops, pad=pad)
    features, tokens = inputs()
    with torch.no_grad():
        out = model.answer(features, tokens)
    logits, maps = by_hand(model, features, tokens)
    torch.testing.assert_close(out.logits, logits, rtol=0, atol=1e-12)
    torch.testing.assert_close(out.attention.flatten(2), maps, rtol=0, atol=1e-12)
    assert (out.winner == -1).any() == (pad == "zero")  # the paths of both are tried


def test_two_hops_without_the_second_evidence_are_one_hop():
    two, one = build(), build(hops=1)
    one.load_state_dict(two.state_dict(), strict=False)
    with torch.no_grad():
        two.E2.W.zero_(), two.E2.b.zero_()
        features, tokens = inputs()
        assert torch.equal(two.answer(features, tokens).logits, one.answer(features, tokens).logits)


def test_the_best_word_is_found_by_trying_all():
    model = build(pad="masked")
    features, tokens = inputs()
    with torch.no_grad():
        out = model.answer(features, tokens)
        for b, words in enumerate((4, 2)):
            correlation = out.correlation[b, :words].flatten(1)
            winner = out.winner[b].flatten()
            for place in range(PLACES):
                column = correlation[:, place].tolist()
                assert int(winner[place]) == column.index(max(column))
            torch.testing.assert_close(out.attention[b, 0].flatten(), correlation.max(0)[0].softmax(0))


def test_padding_that_takes_part_keeps_scores_from_falling_below_zero():
    """The paper's padding differs from leaving it out exactly where every word's correlation is negative."""
    zero, masked = build(pad="zero"), build(pad="masked")
    masked.load_state_dict(zero.state_dict())
    features, tokens = inputs()
    with torch.no_grad():
        ours, theirs = zero.answer(features, tokens), masked.answer(features, tokens)
        lowest = ours.correlation.masked_fill((tokens == PAD)[..., None, None], -torch.inf).amax(1)
        assert (lowest < 0).any() and (lowest > 0).any()
        assert torch.equal(ours.winner == -1, lowest < 0) and (theirs.winner >= 0).all()
        expected = lowest.clamp(min=0).flatten(1).softmax(1)
        torch.testing.assert_close(ours.attention[:, 0].flatten(1), expected)
        assert not torch.allclose(ours.logits, theirs.logits)
        full = torch.randint(4, 12, (2, 6))  # no padding is left
        torch.testing.assert_close(zero.answer(features, full).logits, masked.answer(features, full).logits)


def test_a_repeated_word_changes_no_place():
    model = build(pad="masked")
    features, tokens = inputs(1)
    with torch.no_grad():
        once = model.answer(features, tokens).attention[:, 0]
        twice = model.answer(features, torch.cat([tokens, tokens[:, 1:2]], 1)).attention[:, 0]
    assert torch.equal(once, twice)


def test_places_that_change_with_their_biases_change_the_maps_alike():
    model, moved = build(), build()
    order = torch.tensor([4, 2, 0, 5, 1, 3])
    with torch.no_grad():
        for part in (moved.A, moved.E, moved.E2):
            part.b.copy_(part.b[order])
        features, tokens = inputs()
        out = model.answer(features, tokens)
        other = moved.answer(features.flatten(2)[..., order].unflatten(2, (2, 3)), tokens)
    torch.testing.assert_close(other.logits, out.logits)
    torch.testing.assert_close(other.attention.flatten(2), out.attention.flatten(2)[..., order])


def test_without_biases_a_place_the_network_cannot_tell_places_apart():
    features, tokens = inputs()
    order = torch.tensor([4, 2, 0, 5, 1, 3])
    moved = features.flatten(2)[..., order].unflatten(2, (2, 3))
    with torch.no_grad():
        one = build(place_biases=False)
        torch.testing.assert_close(one.answer(moved, tokens).logits, one.answer(features, tokens).logits)
        each = build()
        assert not torch.allclose(each.answer(moved, tokens).logits, each.answer(features, tokens).logits)


def test_the_maximum_gives_its_gradient_to_one_word_a_place():
    model = build(pad="masked", hops=1)
    features, tokens = inputs(1)
    vectors = model.embed(tokens).detach().requires_grad_()
    keys = model.A(features.flatten(2).mT).detach()
    best, winner = model._best_word(vectors @ keys.mT, tokens)
    best[0, 2].backward()
    assert vectors.grad[0].abs().sum(1).nonzero().flatten().tolist() == [int(winner[0, 2])]


def test_the_first_hop_learns_from_the_second():
    """With a last layer that reads the second hop alone, W_A still has a gradient: through O."""
    model = build()
    features, tokens = inputs()
    parameters = dict(model.named_parameters())
    evidence = model.E(features.flatten(2).mT)
    out = model.answer(features, tokens)
    second = (out.attention[:, 1].flatten(1)[:, None] @ evidence.detach())[:, 0]
    (gradient,) = torch.autograd.grad(second.square().sum(), parameters["A.W"])
    assert gradient.abs().max() > 0


def test_gradients_agree_with_differences():
    model = build(hidden=3)
    features, tokens = inputs()
    features = features[:, :, :, :3].requires_grad_()
    assert torch.autograd.gradcheck(lambda x: model.answer(x, tokens).logits, (features,), fast_mode=True)


def test_the_paper_has_one_bias_a_place_and_these_sizes():
    config = Config()
    assert (config.hidden, config.max_words, config.dropout, config.hops) == (1000, 25, 0.4, 2)
    model = AskAttendAnswer(config)
    assert model.A.b.shape == model.E.b.shape == model.E2.b.shape == (49, 1000)
    assert model.E.W.shape == (1024, 1000) and model.W_Q.shape == (25,) and model.W_P.weight.shape == (1031, 1000)
    new = [model.A.W, model.E.W, model.E2.W, model.W_Q, model.embed.weight, model.W_P.weight]
    assert all(0.07 < weight.abs().max().item() <= 0.08 for weight in new)


@pytest.mark.parametrize(("init", "low", "high"), [(0.08, 30, 70), (0.01, 0.5, 9)])
def test_how_far_scores_spread_at_the_start(init, low, high):
    """Both hops' scores of 1,280 features of deviation 1, words of deviation 1 and N = 256 (`evidence_init`)."""
    torch.manual_seed(0)
    S, V = torch.randn(64, 49, 1280), torch.randn(64, 9, 256)
    A, E = (Embedding(1280, 256, 49, init) for _ in range(2))
    first = (V @ A(S).mT).max(1).values
    evidence = E(S)
    O = (first.softmax(-1)[:, None] @ evidence)[:, 0] + 0.3 * V.sum(1)  # noqa: E741 - the paper's name
    second = (evidence @ O[..., None])[..., 0]
    assert all(low < scores.abs().mean() < high for scores in (first, second)), (
        first.abs().mean(),
        second.abs().mean(),
    )


def test_a_small_configuration_hears_the_question_from_the_start():
    """Q is a bag of words, and the evidence starts small."""
    torch.manual_seed(0)
    config = Config(**SIZES, position_init=0.3, evidence_init=0.01)
    model = AskAttendAnswer(config)
    assert torch.equal(model.W_Q, torch.full((6,), 0.3))
    assert all(0 < embedding.W.abs().max().item() <= 0.01 for embedding in (model.A, model.E, model.E2))
    assert 0.01 < model.W_P.weight.abs().max().item() <= 0.08


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("vocabulary", 4, "vocabulary 4 must be at least 5"),
        ("num_answers", 1, "num_answers 1 at least 2"),
        ("hops", 3, "hops"),
        ("pad", "none", "pad"),
        ("dropout", 1.0, "dropout is 1.0"),
        ("word_init", 0.0, "word_init 0.0 and evidence_init 0.08; expected 0..1, 0 or more, more than 0"),
        ("evidence_init", -0.1, "evidence_init -0.1; expected"),
    ],
)
def test_sizes_that_make_no_network_are_refused(field, value, words):
    with pytest.raises(ConfigError, match=words):
        Config(**{field: value})


def test_a_single_place_that_cannot_be_normalised_is_refused():
    model = build(normalize=True, image_size=(16, 16)).train()
    features = torch.randn(1, CHANNELS, 1, 1, dtype=torch.float64)
    with pytest.raises(ConfigError, match="cannot normalise a batch of one image with one location"):
        model.answer(features, torch.tensor([[5, 6], [7, 8]]), torch.tensor([0, 0]))


def test_dropout_of_normalised_features_and_of_the_last_layer():
    """Half of the values are dropped and the others doubled, in training alone."""
    model = build(dropout=0.5, normalize=True, position_init=0.3)
    seen = []
    model.dropout.register_forward_hook(lambda _, given, out: seen.append((given[0], out)))
    features, tokens = 5 + 3 * torch.randn(64, CHANNELS, 2, 3, dtype=torch.float64), torch.randint(4, 12, (64, 4))
    with torch.no_grad():
        for training in (False, True):
            seen.clear()
            logits = model.train(training).answer(features, tokens).logits
            (S, dropped), (fused, last) = seen
            assert S.shape == features.shape and fused.shape == (64, 5) and (fused >= 0).all()
            torch.testing.assert_close(logits, model.W_P(last))
            if not training:
                assert torch.equal(S, dropped) and torch.equal(fused, last)
                continue
            torch.testing.assert_close(S.mean((0, 2, 3)), torch.zeros(CHANNELS, dtype=torch.float64))
            assert abs(float((dropped == 0).double().mean()) - 0.5) < 0.01
            torch.testing.assert_close(dropped[dropped != 0], 2 * S[dropped != 0])
            torch.testing.assert_close(last[last != 0], 2 * fused[last != 0])
    assert AskAttendAnswer(Config(**(SIZES | {"dropout": 0.3}))).dropout.p == 0.3


def test_images_are_stretched_whole_and_a_neck_is_convolutions_with_relu():
    model = build(neck=2, image_size=(48, 32))
    assert (model.preprocessing.size, model.preprocessing.crop, model.preprocessing.stretch) == ((48, 32), 1.0, True)
    first, norm, _, second, *_, last = model.neck
    assert [layer.kernel_size for layer in model.neck if isinstance(layer, torch.nn.Conv2d)] == [(1, 1), (3, 3), (3, 3)]
    x = torch.randn(1, CHANNELS, 2, 3, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(model.neck[:4](x), second(norm(first(x)).clamp(min=0)))
        assert model.neck(x).min() >= 0 and isinstance(last, torch.nn.ReLU)


def test_what_is_not_used_does_not_learn_and_counting_places_leaves_the_backbone_in_training():
    blind = AskAttendAnswer(Config(**(SIZES | {"blind": True})))
    assert not any(parameter.requires_grad for parameter in blind.backbone.parameters())
    seeing = AskAttendAnswer(Config(**SIZES))
    assert all(parameter.requires_grad for parameter in seeing.backbone.parameters())
    assert seeing.backbone.training and not seeing.embed.weight[PAD].any()
