"""DeconvNet: VGG-16 and its mirror image, joined by switches."""

import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models.vgg import cfgs, make_layers

import foveate
from foveate.errors import ConfigError, ModelError
from foveate.ops.unpool import unpool
from foveate.records import Preprocessing

SMALL = {"num_classes": 3, "widths": (4, 6, 8), "depths": (1, 2, 1), "head_channels": 8, "head_kernel": 3}


def build(**more):
    torch.manual_seed(0)
    return foveate.create("deconvnet", **(SMALL | more)).eval()


def test_the_papers_network_layer_by_layer():
    """Table 2 of the paper's supplement, by shapes: VGG-16's 13 convolutions, fc6, fc7, and the mirror image."""
    with torch.device("meta"):
        model = foveate.create("deconvnet")
    encoder = [tuple(p.shape) for n, p in model.encoder.named_parameters() if p.ndim == 4]
    widths = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    assert encoder == [(b, a, 3, 3) for a, b in itertools.pairwise(widths)]
    assert model.fc6[0].weight.shape == (4096, 512, 7, 7)
    assert model.fc7[0].weight.shape == (4096, 4096, 1, 1)
    assert model.deconv_fc6[0].weight.shape == (4096, 512, 7, 7)
    decoder = [tuple(m.weight.shape) for level in reversed(model.decoder) for m in level.modules()
               if isinstance(m, nn.ConvTranspose2d)]  # fmt: skip
    back = [512, 512, 512, 512, 512, 512, 256, 256, 256, 128, 128, 64, 64, 64]
    assert decoder == [(a, b, 3, 3) for a, b in itertools.pairwise(back)]
    assert model.score.weight.shape == (21, 64, 1, 1)


def test_one_pixel_in_the_middle_at_224():
    with torch.device("meta"):
        model = foveate.create("deconvnet").eval()
        x = torch.zeros(1, 3, 224, 224)
        for level in model.encoder:
            x = nn.functional.max_pool2d(level(x), 2)
        assert x.shape == (1, 512, 7, 7)
        assert model.fc6(x).shape == (1, 4096, 1, 1)
        assert model.deconv_fc6(model.fc6(x)).shape == (1, 512, 7, 7)


def test_forward_is_the_formula():
    """One level, written out with torch's own pooling and unpooling."""
    model = build(widths=(4,), depths=(2,)).double()
    image = torch.randn(2, 3, 12, 16, dtype=torch.float64)
    x = model.encoder[0](image)
    x, where = nn.functional.max_pool2d(x, 2, return_indices=True)
    x = model.deconv_fc6(model.fc7(model.fc6(x)))
    x = model.decoder[0](nn.functional.max_unpool2d(x, where, 2))
    torch.testing.assert_close(model(image).logits, model.score(x))


def test_the_whole_network_is_the_formula_from_its_tensors():
    """Written out in plain functions from the state dict: two levels, batch norm with its running statistics."""
    model = build(widths=(4, 6), depths=(1, 2)).double()
    for name, tensor in model.state_dict().items():
        if name.endswith(("running_mean", "bias")):
            tensor.copy_(0.3 * torch.randn_like(tensor))  # so that ReLUs cut
        elif name.endswith("running_var"):
            tensor.copy_(torch.rand_like(tensor) + 0.5)
    state = model.state_dict()

    def layer(x, name, operator, **fields):
        x = operator(x, state[f"{name}.0.weight"], **fields)
        parts = (state[f"{name}.1.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        return F.relu(F.batch_norm(x, *parts))

    image = torch.randn(2, 3, 16, 24, dtype=torch.float64)
    x = layer(image, "encoder.0.0", F.conv2d, padding=1)
    x, first = F.max_pool2d(x, 2, return_indices=True)
    for i in (0, 1):
        x = layer(x, f"encoder.1.{i}", F.conv2d, padding=1)
    x, second = F.max_pool2d(x, 2, return_indices=True)
    x = layer(layer(x, "fc6", F.conv2d), "fc7", F.conv2d)
    x = F.max_unpool2d(layer(x, "deconv_fc6", F.conv_transpose2d), second, 2)
    for i in (0, 1):
        x = layer(x, f"decoder.1.{i}", F.conv_transpose2d, padding=1)
    x = layer(F.max_unpool2d(x, first, 2), "decoder.0.0", F.conv_transpose2d, padding=1)
    expected = F.conv2d(x, state["score.weight"], state["score.bias"])
    torch.testing.assert_close(model(image).logits, expected, rtol=1e-9, atol=1e-9)


def narrow(norms):
    """VGG-16 in torchvision's layout with an eighth of the channels, 16 units, and random weights and statistics."""
    torch.manual_seed(0)
    widths = [w if w == "M" else w // 8 for w in cfgs["D"]]
    classifier = nn.Sequential(nn.Linear(64 * 49, 16), nn.ReLU(), nn.Dropout(), nn.Linear(16, 16))
    network = nn.Sequential()
    network.features, network.classifier = make_layers(widths, batch_norm=norms), classifier
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.normal_(module.bias)
        elif isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.normal_(module.bias)
    return network.eval()


def of_vgg():
    """DeconvNet of the same widths."""
    return build(widths=(8, 16, 32, 64, 64), depths=(2, 2, 3, 3, 3), head_channels=16, head_kernel=7)


def encoded(model, image):
    """Return pool5."""
    x = image
    for level in model.encoder:
        x = nn.functional.max_pool2d(level(x), 2)
    return x


def test_an_encoder_from_vgg16_with_batch_norm_is_that_network():
    theirs, model = narrow(norms=True), of_vgg()
    before = model.deconv_fc6[0].weight.clone()
    assert model.load_foreign(theirs.state_dict()) == (
        "torchvision's VGG-16: 13 convolutions with their batch norms, fc6 and fc7"
    )
    image = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        pool5 = theirs.features(image)
        torch.testing.assert_close(encoded(model, image), pool5, rtol=1e-4, atol=1e-4)
        fc6, norm = model.fc6[0], model.fc6[1]
        expected = theirs.classifier[0](pool5.flatten(1))  # the bias is in the batch norm's mean
        torch.testing.assert_close(fc6(pool5).flatten(1) - norm.running_mean, expected, rtol=1e-4, atol=1e-4)
        x = torch.randn(2, 16)
        fc7, norm = model.fc7[0], model.fc7[1]
        torch.testing.assert_close(fc7(x[..., None, None]).flatten(1) - norm.running_mean, theirs.classifier[3](x))
    assert torch.equal(model.deconv_fc6[0].weight, before)
    assert model.preprocessing == Preprocessing()


def test_an_encoder_from_plain_vgg16_is_that_network_with_batch_norms_between():
    """In training batch norm takes its own batch's statistics, so biases make no difference; afterwards they do."""
    theirs, model = narrow(norms=False), of_vgg()
    assert model.load_foreign(theirs.state_dict()) == "torchvision's VGG-16: 13 convolutions, fc6 and fc7"
    model.load_foreign(theirs.state_dict())  # twice is once
    image = torch.randn(2, 3, 64, 64)
    for training in (False, True):
        x = image
        for layer in theirs.features:
            x = layer(x)
            if isinstance(layer, nn.Conv2d):
                fresh = nn.BatchNorm2d(x.shape[1]).train(training)
                nn.init.constant_(fresh.bias, 0.001)
                x = fresh(x)
        with torch.no_grad():
            torch.testing.assert_close(encoded(model.train(training), image), x, rtol=1e-3, atol=1e-3)


def test_weights_that_do_not_fit_are_refused():
    state = narrow(norms=False).state_dict()
    with pytest.raises(ModelError, match=r"neither as torchvision's vgg16 nor as its vgg16_bn .*; found a \.\.\."):
        of_vgg().load_foreign({"a": torch.zeros(2)})
    with pytest.raises(ModelError, match="the weights have 13 convolutions, this encoder 4; build it with the default"):
        build().load_foreign(state)
    with pytest.raises(ModelError, match=r"classifier\.0 has values that are not finite; give a file with the "):
        of_vgg().load_foreign(state | {"classifier.0.weight": torch.full((16, 64 * 49), torch.nan)})
    wider = build(widths=(16, 16, 32, 64, 64), depths=(2, 2, 3, 3, 3), head_channels=16, head_kernel=7)
    with pytest.raises(ModelError, match=r"the weights do not fit this DeconvNet: .*; compare the config's sizes with"):
        wider.load_foreign(state)


def test_initial_weights_are_the_releases():
    model = foveate.create("deconvnet", **(SMALL | {"widths": (16, 32), "depths": (1, 2), "head_channels": 64}))
    for layer in model.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            deviation = layer.weight.detach().std(correction=0).item()
            assert deviation == pytest.approx(0.01, rel=6 / layer.weight.numel() ** 0.5)
            assert layer.bias is None or not layer.bias.any()
        elif isinstance(layer, nn.BatchNorm2d):
            assert (layer.weight == 1).all() and torch.allclose(layer.bias, torch.tensor(0.001))
    assert build(initial_std=0.0).fc6[1].bias.abs().max() == 0
    with pytest.raises(ConfigError, match=r"initial_std is -1.0; expected 0.01, or 0 for PyTorch's weights"):
        build(initial_std=-1)


def test_without_switches_the_answer_is_another():
    model = build().double().train()  # trained statistics, or the signal fades
    fixed = build(switches=False).double().train()
    image = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    assert not torch.allclose(model(image).logits, fixed(image).logits, atol=1e-2)


def test_unpooled_maps_are_sparse():
    """Section 3.2.1: of each 2 x 2 window one value is left."""
    x = torch.rand(1, 2, 4, 4) + 0.1
    _, switches = nn.functional.max_pool2d(torch.randn(1, 2, 8, 8), 2, return_indices=True)
    assert (unpool(x, switches, (8, 8)) != 0).float().mean() == 0.25


@pytest.mark.parametrize("size", [(24, 24), (7, 90), (33, 50)])
def test_small_and_odd_images(size):
    assert build()(torch.randn(1, 3, *size)).logits.shape == (1, 3, *size)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"depths": (1, 2)}, r"widths \(4, 6, 8\) and depths \(1, 2\); expected one value of each per level"),
        ({"head_kernel": 0}, "head_kernel 0 must be at least 1"),
    ],
)
def test_invalid_configs_raise(fields, text):
    with pytest.raises(ConfigError, match=text):
        build(**fields)
