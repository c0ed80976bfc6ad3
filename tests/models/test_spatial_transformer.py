"""Spatial transformer: it starts by changing nothing, can stand anywhere, and learns to put right what was moved."""

import json
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import foveate
from foveate.errors import ConfigError
from foveate.models.spatial.spatial_transformer import STD, SpatialTransformer, regress
from foveate.onnx import OPSET
from foveate.ops.sample import Affine, Attention, Projective, ThinPlateSpline, bilinear_sample, lattice, pixel_centres
from foveate.records import ClassTable, TransformerOutput
from foveate.store import load_model, save_model

TRANSFORMS = {"none": 0, "affine": 6, "attention": 3, "projective": 8, "tps": 32}
SMALL = {"widths": (4, 6), "localise_widths": (4,), "hidden": 12, "localise_hidden": 8}


def build(**more):
    torch.manual_seed(0)
    return foveate.create("spatial_transformer", **more)


def size_of(module):
    return sum(p.numel() for p in module.parameters())


def unsettle(model, spread=0.05):
    """Move every weight: zeros hide what stands behind them."""
    torch.manual_seed(1)
    for parameter in model.parameters():
        parameter.data += spread * torch.randn_like(parameter)
    return model


def batch(size=(28, 28), channels=1, count=4):
    torch.manual_seed(2)
    return {
        "image": torch.rand(count, channels, *size) / STD,
        "label": torch.arange(count) % 10,
        "names": ["x"] * count,
    }


def multiply_adds(module, *inputs):
    """Of convolutions and linear layers, for one image."""
    found = []

    def count(layer, _, out):
        found.append(layer.weight[0].numel() * out[0].numel())

    layers = [m for m in module.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    handles = [layer.register_forward_hook(count) for layer in layers]
    module.eval()(*inputs)
    for handle in handles:
        handle.remove()
    return sum(found)


# --- the layer


def transformer(family=Affine, channels=3, size=(), background=0.0):
    generate = ThinPlateSpline(lattice(3)) if family is ThinPlateSpline else family()
    localise = nn.Sequential(nn.AdaptiveAvgPool2d(3), nn.Flatten(), regress(9 * channels, generate))
    return SpatialTransformer(localise, generate, size, background)


@pytest.mark.parametrize("family", [Affine, Attention, Projective, ThinPlateSpline])
def test_it_starts_as_the_identity(family):
    layer, x = transformer(family), torch.randn(2, 3, 7, 9)
    out = layer(x)
    assert isinstance(out, TransformerOutput)
    torch.testing.assert_close(out.theta, layer.generate.identity().expand(2, -1))
    torch.testing.assert_close(out.grid.flatten(1, 2), pixel_centres((7, 9)).expand(2, -1, -1), rtol=0, atol=1e-5)
    torch.testing.assert_close(out.output, x, rtol=0, atol=1e-4)


def test_its_three_parts_are_localisation_grid_and_sampler():
    layer, x = unsettle(transformer(size=(4, 5), background=0.3), 0.2), torch.randn(2, 3, 7, 9)
    out = layer(x)
    assert torch.equal(out.theta, layer.localise(x))
    assert torch.equal(out.grid, layer.generate(out.theta, (4, 5)))
    assert torch.equal(out.output, bilinear_sample(x, out.grid, 0.3))
    assert "size=(4, 5), background=0.3" in repr(layer)


class Stacked(nn.Module):
    """One transformer behind another, on the maps in the middle of a network, and two side by side behind them."""

    def __init__(self):
        super().__init__()
        self.before, self.after = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(6, 2, 3)
        self.first, self.second = transformer(Affine), transformer(ThinPlateSpline, size=(6, 6))
        self.left, self.right = transformer(Attention), transformer(Projective)

    def forward(self, x):
        x = self.second(self.first(self.before(x)).output).output
        return self.after(torch.cat([self.left(x).output, self.right(x).output], 1))


def test_it_stands_in_the_middle_in_series_and_in_parallel():
    model = unsettle(Stacked())
    model(torch.randn(2, 1, 10, 12)).square().sum().backward()
    dead = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not dead
    assert {name.split(".")[0] for name, _ in model.named_parameters()} == {
        "before", "after", "first", "second", "left", "right",
    }  # fmt: skip


def test_theta_of_another_family_is_refused():
    layer = SpatialTransformer(nn.Sequential(nn.Flatten(), nn.Linear(4, 6)), Projective())
    with pytest.raises(ConfigError, match=r"Projective takes theta of shape \(B, 8\), got \(2, 6\)"):
        layer(torch.zeros(2, 1, 2, 2))


# --- the classifier


@pytest.mark.parametrize("size", [28, 42])
@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("network", ["cnn", "mlp"])
def test_every_variant_has_the_papers_400_000_parameters(network, transform, size):
    model = build(network=network, transform=transform, image_size=(size, size))
    assert 350_000 <= size_of(model) <= 450_000
    assert size_of(model.transformers) < 0.35 * size_of(model)  # the mlp at 42x42 reads 1764 pixels into 64 units


@pytest.mark.parametrize("network", ["cnn", "mlp"])
@pytest.mark.parametrize(
    "more",
    [
        {"image_size": (60, 60)},
        {"image_size": (60, 60), "view": (28, 28)},
        {"image_size": (60, 60), "transform": "none"},
        {"image_size": (42, 42), "transformers": 2, "in_channels": 2, "num_classes": 19},  # the addition of digits
    ],
)
def test_so_have_the_papers_larger_tasks(network, more):
    # Fully connected, a wide localisation network alone would be all that an image of 3528 values leaves room for.
    model = build(network=network, localise_hidden=32 if network == "mlp" else 64, **more)
    assert 350_000 <= size_of(model) <= 460_000
    widths = [layer.out_features for layer in model.classify if isinstance(layer, nn.Linear)]
    assert min(widths[:-1]) >= 32


def test_a_given_width_is_kept():
    first = next(layer for layer in build(hidden=50).classify if isinstance(layer, nn.Linear))
    assert first.out_features == 50


def test_transform_none_has_no_transformers_whatever_the_other_fields():
    """So that `--config.transform none` alone takes them out of any recipe."""
    model = build(transform="none", transformers=2, view=(9, 9), **SMALL)
    assert not model.transformers
    assert model(torch.zeros(1, 1, 28, 28)).logits.shape == (1, 10)


def test_localisation_works_at_half_the_size():
    """At the mean of each four pixels: how they are dealt among the four is not seen."""
    localise = unsettle(build(**SMALL)).eval().transformers[0].localise
    image = torch.rand(1, 1, 28, 28)
    means = nn.functional.avg_pool2d(image, 2).repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(localise(image), localise(means))
    assert not torch.allclose(localise(image), localise(image.roll(1, 3)), atol=1e-4)


def test_dropout_is_for_training():
    model = build(dropout=0.5, **SMALL)
    image = torch.rand(4, 1, 28, 28)
    assert not torch.equal(model(image).logits, model(image).logits)
    model.eval()
    assert torch.equal(model(image).logits, model(image).logits)
    steady = build(**SMALL)
    assert torch.equal(steady(image).logits, steady(image).logits)


def test_convolutions_begin_as_he_has_it():
    """With the responses' gradients kept in size: a variance of 2 over the number of weights that leave a channel."""
    for layer in build(widths=(64, 128, 128)).features:
        if isinstance(layer, nn.Conv2d):
            leaving = layer.out_channels * layer.weight[0, 0].numel()
            assert layer.weight.var().item() == pytest.approx(2 / leaving, rel=0.15)


def test_multiply_adds():
    image = torch.zeros(1, 1, 28, 28)
    model, bare = build(), build(transform="none")
    localise = model.transformers[0].localise
    # 7x7 x 1 x 24 x 25, 4x4 x 24 x 48 x 9, 4x4 x 48 x 64, 64 x 6
    assert multiply_adds(localise, image) == 29_400 + 165_888 + 49_152 + 384
    assert multiply_adds(localise, image) < 0.15 * multiply_adds(bare, image)
    assert multiply_adds(model, image) < 2.7e6
    # A view smaller than the image makes the classifier cheaper.
    large = torch.zeros(1, 1, 60, 60)
    assert multiply_adds(build(image_size=(60, 60), view=(28, 28)), large) < 0.4 * multiply_adds(
        build(image_size=(60, 60), transform="none"), large
    )


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("network", ["cnn", "mlp"])
def test_forward_returns_the_transforms(network, transform):
    model = build(network=network, transform=transform, num_classes=7, in_channels=2, **SMALL).eval()
    out = model(torch.rand(3, 2, 28, 28))
    assert out.logits.shape == (3, 7)
    if transform == "none":
        assert out.transforms == ()
        return
    (result,) = out.transforms
    assert result.theta.shape == (3, TRANSFORMS[transform])
    assert result.grid.shape == (3, 28, 28, 2)
    assert result.output.shape == (3, 2, 28, 28)


def test_before_training_it_is_the_bare_classifier():
    model, bare = build(**SMALL).eval(), build(transform="none", **SMALL).eval()
    bare.features, bare.classify = model.features, model.classify
    image = torch.rand(3, 1, 28, 28)
    torch.testing.assert_close(model(image).logits, bare(image).logits, rtol=1e-4, atol=1e-4)


def test_views_are_the_channels_that_the_classifier_reads():
    model = unsettle(build(transformers=2, in_channels=2, image_size=(20, 24), view=(10, 12), **SMALL)).eval()
    image = torch.rand(3, 2, 20, 24)
    out = model(image)
    assert len(out.transforms) == 2
    assert not torch.equal(out.transforms[0].theta, out.transforms[1].theta)
    both = torch.cat([transform.output for transform in out.transforms], 1)
    assert both.shape == (3, 4, 10, 12)
    torch.testing.assert_close(out.logits, model.classify(model.features(both)))


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("network", ["cnn", "mlp"])
def test_every_parameter_learns(network, transform):
    transformers = 1 if transform == "none" else 2
    model = unsettle(build(network=network, transform=transform, transformers=transformers, **SMALL)).train()
    model.loss(batch())["loss"].backward()
    assert not [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]


def test_a_batch_of_one_can_be_trained_on():
    assert build(**SMALL).train().loss(batch(count=1))["loss"].isfinite()
    dense = build(dense_norm=True, **SMALL)
    assert dense.eval().loss(batch(count=1))["loss"].isfinite()
    tiny = build(network="cnn", transform="none", image_size=(8, 8))
    localising = build(**SMALL | {"localise_widths": (4,) * 4})  # 14x14, halved four times
    for model, data in ((dense, batch(count=1)), (tiny, batch((8, 8), count=1)), (localising, batch(count=1))):
        with pytest.raises(ConfigError, match="need more than one image in a batch; got 1, give a"):
            model.train().loss(data)
        assert model.eval().loss(data)["loss"].isfinite()


@pytest.mark.parametrize("network", ["cnn", "mlp"])
def test_dense_norm_normalises_fully_connected_layers(network):
    without, model = (build(network=network, dense_norm=norm, **SMALL) for norm in (False, True))
    hidden = [m for m in model.modules() if isinstance(m, nn.BatchNorm1d)]
    # One layer classifies and one localises in the CNN, two and three in the MLP.
    assert len(hidden) == {"cnn": 2, "mlp": 5}[network]
    assert not [m for m in without.modules() if isinstance(m, nn.BatchNorm1d)]
    normalised = []
    for norm in hidden:
        norm.register_forward_hook(lambda _, __, out: normalised.append(out))
    model.train()(batch(count=64)["image"])
    for out in normalised:
        torch.testing.assert_close(out.mean(0), torch.zeros(out.shape[1]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_dead_transformer_is_seen_in_the_loss(bad):
    """Its view is background, from which the classifier could be trained without a sign of it."""
    model = build(**SMALL).train()
    model.transformers[0].localise[-1].bias.data[2] = bad
    assert model.loss(batch())["loss"].isnan()


def test_loss_is_cross_entropy_weighted_by_class():
    model, data = build(**SMALL).eval(), batch()
    logits = model(data["image"]).logits
    torch.testing.assert_close(model.loss(data)["loss"], F.cross_entropy(logits, data["label"]))
    weights = torch.linspace(0.1, 2, 10)
    weighted = model.loss(data | {"class_weights": weights})["loss"]
    torch.testing.assert_close(weighted, F.cross_entropy(logits, data["label"], weights))
    assert list(model.loss(data)) == ["loss"]


@pytest.mark.parametrize("background", [0.0, 0.6])
def test_the_background_is_an_image_value(background):
    """Outside lies what preprocessing makes of that value: zooming out of such an image shows no border."""
    model = build(background=background, in_channels=3, transform="attention", **SMALL).eval()
    model.transformers[0].localise[-1].bias.data.copy_(torch.tensor([3.0, 0.4, 0]))
    flat = model.preprocessing(torch.full((1, 3, 28, 28), background))
    torch.testing.assert_close(model(flat).transforms[0].output, flat)
    assert model.preprocessing.size == (28, 28)
    assert bool((model.preprocessing(torch.zeros(1, 3, 28, 28)) == 0).all())


def test_it_learns_to_turn_upright():
    """Trained to turn bars of any angle level, it predicts the angle of each."""
    torch.manual_seed(0)
    model = build(image_size=(16, 16), localise_widths=(8, 16))
    transform = model.transformers[0].train()
    x, y = pixel_centres((16, 16)).view(16, 16, 2).unbind(-1)

    def draw(angle):
        c, s = angle.cos()[:, None, None], angle.sin()[:, None, None]
        along, across = c * x + s * y, c * y - s * x
        return (-(across / 0.25).square() - (along / 0.7).pow(4)).exp()[:, None] / STD

    level = draw(torch.zeros(1))
    optimizer = torch.optim.Adam(transform.parameters(), lr=5e-3)
    for _ in range(120):
        optimizer.zero_grad()
        (transform(draw((torch.rand(64) * 2 - 1) * math.pi / 3)).output - level).square().mean().backward()
        optimizer.step()
    angle = torch.linspace(-1, 1, 100)
    theta = transform.eval()(draw(angle)).theta
    found = torch.atan2(theta[:, 3], theta[:, 0])
    assert angle.abs().mean() > 0.5
    assert (found - angle).abs().mean() < 0.1


def test_folder_round_trip_is_exact(tmp_path):
    classes = ClassTable(tuple("0123456789"))
    model = unsettle(build(transform="tps", transformers=2, view=(14, 14), **SMALL)).eval()
    save_model(tmp_path / "model", model, "spatial_transformer", {"classes": classes}, "classification")
    loaded = load_model(tmp_path / "model")
    assert json.loads((tmp_path / "model/config.json").read_text())["config"]["view"] == [14, 14]
    assert loaded.preprocessing == model.preprocessing
    image = torch.rand(2, 1, 28, 28)
    assert torch.equal(model(image).logits, loaded.model.eval()(image).logits)


@pytest.mark.parametrize(("network", "transform"), [("cnn", "affine"), ("mlp", "projective"), ("cnn", "tps")])
def test_exports_to_onnx(network, transform, tmp_path):
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    # Odd sizes, where pooling and padding go wrong first.
    model = build(network=network, transform=transform, image_size=(27, 31), view=(13, 14), background=0.4, **SMALL)
    model = unsettle(model).eval()

    class Logits(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, image):
            out = self.model(image)
            return out.logits, out.transforms[0].theta

    program = torch.onnx.export(
        Logits().eval(), (torch.rand(2, 1, 27, 31),), dynamo=True, opset_version=OPSET, verbose=False,
        input_names=["image"], output_names=["logits", "theta"], dynamic_shapes=({0: "batch"},),
    )  # fmt: skip
    program.save(str(tmp_path / "model.onnx"), external_data=False)
    session = runtime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    for count in (1, 5):
        image = torch.rand(count, 1, 27, 31, generator=torch.Generator().manual_seed(count))
        logits, theta = session.run(None, {"image": image.numpy()})
        out = model(image)
        assert (out.transforms[0].theta - out.transforms[0].theta[:1]).abs().max() > 1e-5 or count == 1
        np.testing.assert_allclose(theta, out.transforms[0].theta.detach().numpy(), rtol=0, atol=1e-5)
        np.testing.assert_allclose(logits, out.logits.detach().numpy(), rtol=0, atol=1e-4)


# --- errors


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"network": "fcn"}, "network is 'fcn'; expected one of cnn, mlp"),
        ({"transform": "afine"}, "transform is 'afine'; expected one of none, affine, attention, projective, tps"),
        ({"widths": (0, 8)}, r"widths \(0, 8\) and localise_widths \(24, 48\); expected 1 or more channels each"),
        ({"transformers": 0}, r"transformers 0 must be at least 1; transform='none' is a network without"),
        ({"background": 128}, r"background 128 is not a pixel value; expected 0\.\.1, 0 is black"),
        ({"image_size": 28}, "image_size is 28; expected 2 values separated by commas, each a whole number"),
        ({"image_size": (28, 0)}, r"image_size is \(28, 0\); expected \(height, width\), each 1 or more"),
        ({"view": (28,)}, r"view is \(28,\); expected \(height, width\), each 1 or more"),
        ({"view": (0, 9)}, r"view is \(0, 9\); expected \(height, width\)"),
        ({"widths": ()}, r"a CNN of widths \(\) and localise_widths .* expected one or more widths in both"),
        ({"hidden": -1}, "hidden -1 must be 0 or more"),
        ({"dropout": 1.0}, "dropout 1.0 at least 0 and below 1"),
        ({"control_points": 1}, "control_points is 1; expected the side of a lattice, 2 or more"),
    ],
)
def test_configs_that_mean_nothing_are_refused(config, message):
    with pytest.raises(ConfigError, match=message):
        build(**config)


def test_images_of_another_size_are_refused():
    with pytest.raises(ConfigError, match=r"images of shape \(2, 1, 32, 28\) for a network built for \(B, 1, 28, 28\)"):
        build(**SMALL)(torch.zeros(2, 1, 32, 28))
    with pytest.raises(ConfigError, match=r"images of shape \(1, 28, 28\) for a network built for \(B, 1, 28, 28\)"):
        build(**SMALL)(torch.zeros(1, 28, 28))


def test_where_the_rest_has_all_the_parameters_the_classifier_is_narrow():
    model = foveate.create("spatial_transformer", network="mlp", image_size=(64, 64), view=(4, 4), localise_hidden=128)
    assert [m.out_features for m in model.classify if isinstance(m, nn.Linear)] == [32, 32, 10]
