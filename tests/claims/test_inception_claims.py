"""Claims about the Inception networks: they hold, and with a wrong operator in its place they do not."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from stand_ins import examined
from torch import nn

import foveate
from foveate.backbones import inception as backbone
from foveate.backbones.inception import Conv, Pool, fork
from foveate.claims import asymmetric, cost, depth, fitting, inception


def test_asymmetric_filters(monkeypatch):
    monkeypatch.setattr(asymmetric, "_billions", lambda: (12.3, 24.6))  # takes a second, and decides nothing
    assert examined("asymmetric_filters_cost_less") == "holds"

    def filled(self, inside, layer, *rest):
        """Filters that are as high as they are wide."""
        kept(self, inside, replace(layer, kernel=max(layer.sides)), *rest)

    kept = backbone.ConvNorm.__init__
    monkeypatch.setattr(backbone.ConvNorm, "__init__", filled)
    assert examined("asymmetric_filters_cost_less") == "does not hold"


def test_what_a_pair_saves():
    """Inception-B's first, by hand: 192 -> 224 -> 256 channels."""
    pair = (Conv(224, (1, 7)), Conv(256, (7, 1)))
    assert (192, pair) in asymmetric._every_pair()
    square = asymmetric.squared(pair)
    assert square == (Conv(256, 7),)
    built = [asymmetric.BUILDER.chain(192, layers)[0].eval() for layers in (pair, square)]
    adds = [cost.multiply_adds(network, torch.zeros(1, 192, 5, 4)) for network in built]
    assert adds == [20 * (7 * 192 * 224 + 7 * 224 * 256), 20 * 49 * 192 * 256]
    norms = [2 * (224 + 256), 2 * 256]  # a scale and a shift a channel
    assert [cost.weights(network) for network in built] == [a // 20 + n for a, n in zip(adds, norms, strict=True)]


def test_pairs_are_found_in_chains_and_forks():
    one, other = (Conv(8, (1, 7)), Conv(4, (7, 1))), (Conv(6, (7, 1)), Conv(2, (1, 7)))
    short = (Conv(5, (1, 3)), Conv(5, (3, 1)))
    chain = (Conv(3), *one, fork((Pool("max"), *other), short), Conv(9), Conv(8, (1, 7)))
    assert list(asymmetric.pairs(1, chain)) == [(3, one), (4, other)]
    assert asymmetric._outside(1, chain[3]) == 7
    assert asymmetric.squared(chain) == (
        Conv(3), Conv(4, 7), fork((Pool("max"), Conv(2, 7)), short), Conv(9), Conv(8, (1, 7))
    )  # fmt: skip


def test_the_billions_of_the_trunk():
    published, squared = asymmetric._billions()
    # As in the model's own description: 12.3 billion; with a 7x7 in the place of each pair, twice that.
    assert (round(published, 1), round(squared, 1)) == (12.3, 24.6)
    assert not any(list(asymmetric.pairs(3, stage)) for stage in asymmetric._all_squared())


def test_the_trunk_that_is_counted_is_inception_v4s():
    with torch.device("meta"):
        model = foveate.create("inception_v4", num_classes=10)
        trunk = backbone.InceptionPyramid(3, asymmetric.STAGES, asymmetric.BUILDER, (4, 7, 3))
    shapes = [p.shape for p in trunk.parameters()]
    assert shapes == [p.shape for p in model.backbone.parameters()]


def test_steps_are_an_average_over_levels():
    # 80 -> 20 in a straight line over three points, then flat: half of the levels are reached by half of the time.
    assert inception.steps_taken([80, 50, 20, 20], 20) == pytest.approx(inception.EVAL_EVERY)
    assert inception.steps_taken([80, 20, 20, 20], 20) == pytest.approx(inception.EVAL_EVERY / 2)
    assert inception.steps_taken([80, 20, 0, 10], 20) == pytest.approx(
        inception.EVAL_EVERY / 2
    )  # below counts for nothing
    assert math.isnan(inception.steps_taken([80, 81, 80], 80))


def falling(pace: float, end: float) -> tuple[float, ...]:
    """A curve that comes down to its end at a pace."""
    return tuple(end + (75 - end) * math.exp(-pace * i) for i in range(30))


@pytest.mark.parametrize(
    ("plain", "residual", "faster", "equal"),
    [
        (falling(0.3, 30), falling(0.6, 30), "holds", "holds"),
        (falling(0.3, 30), falling(0.33, 30), "holds partly", "holds"),
        (falling(0.3, 30), falling(0.3, 30), "does not hold", "holds"),
        (falling(0.6, 30), falling(0.3, 30), "does not hold", "holds"),
        (falling(0.3, 30), falling(0.6, 25), "holds", "holds partly"),
        (falling(0.3, 23), falling(0.6, 30), "holds", "does not hold"),
    ],
)
def test_curves(plain, residual, faster, equal, monkeypatch):
    curves = dict(zip(inception.NETWORKS, (plain, residual), strict=True))
    monkeypatch.setattr(inception, "curve", lambda name, seed: curves[name])
    assert examined("residual_inception_converges_faster") == faster
    assert examined("residual_inception_ends_equal") == equal


@pytest.fixture
def tiny(monkeypatch):
    """Trainings that take a second or two."""
    monkeypatch.setattr(inception, "TRAIN", 6)
    monkeypatch.setattr(inception, "TEST", 6)
    monkeypatch.setattr(inception, "SIDE", 32)
    monkeypatch.setattr(inception, "STEPS", 6)
    monkeypatch.setattr(inception, "EVAL_EVERY", 2)
    monkeypatch.setattr(inception, "BATCH", 8)
    monkeypatch.setattr(
        inception, "NETWORKS",
        {"inception_v4": {"modules": (1, 1, 1)}, "inception_resnet_v2": {"modules": (1, 1, 1), "variant": "paper"}},
    )  # fmt: skip
    for cached in (inception.curve, inception.objects):
        cached.cache_clear()
    yield
    for cached in (inception.curve, inception.objects):
        cached.cache_clear()


def test_the_two_cost_about_the_same():
    """Figures of the module's comment."""
    image, adds, learned = torch.zeros(1, 3, inception.SIDE, inception.SIDE), [], []
    for name, fields in inception.NETWORKS.items():
        model = foveate.create(
            name, num_classes=4, width=0.25, valid=False, image_size=(inception.SIDE, inception.SIDE), **fields
        ).eval()
        adds.append(cost.multiply_adds(model, image) / 1e6)
        learned.append(cost.weights(model) / 1e6)
    assert [round(value, 1) for value in adds] == [25.2, 23.5]
    assert [round(value, 2) for value in learned] == [1.24, 1.26]


def test_only_the_network_differs(tiny, monkeypatch):
    one, other = (inception.curve(name, 0) for name in inception.NETWORKS)
    assert len(one) == len(other) == 4
    assert one[0] == other[0]
    assert one != other
    inception.curve.cache_clear()
    create = inception.create_model
    monkeypatch.setattr(
        inception, "create_model", lambda name, variant="", **fields: create("inception_v4", **fields)
    )  # no shortcuts
    assert inception.curve("inception_resnet_v2", 0) == one
    gain, *_ = inception._residual_inception_converges_faster(0)
    assert gain == 1 or math.isnan(gain)
    assert examined("residual_inception_converges_faster") == "does not hold"


def test_objects_are_what_the_scenes_hold(tiny):
    images, labels = inception.objects(0, "train")
    assert images.shape == (len(labels), 3, 32, 32) and images.dtype == torch.uint8
    assert set(labels.tolist()) == set(range(int(labels.max()) + 1))
    scenes = inception.Pasture(height=128, width=128, train=6, test=6, seed=0).open("train")
    visible = [scenes.instances(i)["masks"].flatten(1).sum(1) >= 16 for i in range(6)]
    assert len(labels) == sum(int(v.sum()) for v in visible)
    assert not torch.equal(images[:5], inception.objects(0, "test")[0][:5])


def test_the_average_follows():
    averaged, model = nn.BatchNorm1d(1), nn.BatchNorm1d(1)
    with torch.no_grad():
        model.weight.fill_(5.0), model.running_var.fill_(3.0), model.num_batches_tracked.fill_(7)
        inception._update_average(averaged.requires_grad_(False), model, 0.75)
    assert (averaged.weight.item(), averaged.running_var.item(), averaged.num_batches_tracked.item()) == (2, 1.5, 7)


@pytest.mark.parametrize("constant", [0.0, 3e-2])
def test_fitting(constant):
    torch.manual_seed(0)
    x = torch.randn(50, 3)
    target = x @ torch.tensor([1.0, -2.0, 0.5])
    drawn = []

    def train(seed):
        torch.manual_seed(0)
        model = nn.Linear(3, 1)
        losses = []

        def loss(batch):
            drawn.append(batch)
            losses.append((model(x[batch])[:, 0] - target[batch]).square().mean())
            return losses[-1]

        steps = fitting.fit(model, loss, 50, 60, seed=seed, batch=16, peak=6e-2, constant=constant)
        assert list(steps) == list(range(1, 61))
        assert not model.training
        return losses[0].item(), losses[-1].item(), model.weight

    first, last, weight = train(1)
    assert last < first / 2
    assert torch.equal(weight, train(1)[2])
    assert not torch.equal(weight, train(2)[2])
    assert {tuple(batch.shape) for batch in drawn} == {(16,)}


def test_times_are_compared_pair_by_pair(monkeypatch):
    """By hand, with a clock that the two runs move: the median of 3, 2 and 0.5; medians alone would say 3 / 2."""
    now, slow, fast = [0.0], iter([50.0, 3.0, 4.0, 1.0]), iter([50.0, 1.0, 2.0, 2.0])
    monkeypatch.setattr(cost.time, "perf_counter", lambda: now[0])

    def run(durations):
        now[0] += next(durations)

    assert cost.times_as_long(lambda: run(slow), lambda: run(fast), repeats=3) == 2  # the first pair is no measurement
    assert not list(slow) and not list(fast)


# Depth


def test_depth_is_the_longest_path():
    class Graph(nn.Module):
        def __init__(self):
            super().__init__()
            self.long = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU(), nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1))
            self.short = nn.Conv2d(1, 1, 1)
            self.head = nn.Linear(1, 1)

        def forward(self, x):
            joined = self.long(x) + self.short(x) + x
            return self.head(joined.mean((2, 3)))

    assert cost.depth(Graph()) == 3
    assert cost.depth(nn.ReLU()) == 0


def test_inception_v4_is_about_75_layers_deep(monkeypatch):
    """9 in the stem, 4 x 3, 3, 7 x 5, 4, 3 x 4 are 75, and the classifier; one Inception-B less is another depth."""
    assert depth._inception_v4_is_75_layers_deep(0) == (pytest.approx(100 * 75 / 76), 75, 175)
    assert examined("inception_v4_is_75_layers_deep") == "holds"
    create = depth.create_model
    monkeypatch.setattr(depth, "create_model", lambda name: create(name, modules=(4, 6, 3)))
    assert examined("inception_v4_is_75_layers_deep") == "holds partly"
    monkeypatch.setattr(depth, "create_model", lambda name: create(name, modules=(1, 1, 1)))
    assert examined("inception_v4_is_75_layers_deep") == "does not hold"


@pytest.mark.parametrize(
    ("fields", "layers"),
    [
        # 5 in the stem, 3 in the first module, 10 x 4, 3, 20 x 4, 3, 10 x 4 and the last
        ({}, 5 + 3 + 10 * 4 + 3 + 20 * 4 + 3 + 10 * 4 + 1),
        # as printed: Inception-v4's stem, 5 x 4, 3, 10 x 4, 3, 5 x 4
        ({"variant": "paper"}, 9 + 5 * 4 + 3 + 10 * 4 + 3 + 5 * 4),
    ],
)
def test_inception_resnet_v2_is_deeper(fields, layers):
    with torch.device("meta"):
        model = foveate.create("inception_resnet_v2", **fields)
    assert cost.depth(model) == layers + 1
