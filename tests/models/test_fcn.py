"""FCN against torchvision's VGG-16, and against the released networks rewritten with plain functions."""

import pytest
import torch
from torch.nn import functional as F
from torchvision.models.vgg import cfgs, make_layers

import foveate
from foveate.backbones.weights import packaged_weights
from foveate.errors import ConfigError, ModelError
from foveate.models.semantic.fcn import FCN, Config
from foveate.ops.losses import lovasz_softmax
from foveate.ops.upconv import bilinear_kernel
from foveate.records import Preprocessing

WIDTH = 8  # of fc6 and fc7 here; 4096 in the paper


def vgg_state(generator):
    """A state dict with torchvision's names and layout for VGG-16, its classifier WIDTH wide."""
    features = make_layers(cfgs["D"])
    state = {f"features.{k}": v for k, v in features.state_dict().items()}
    state["classifier.0.weight"] = torch.randn(WIDTH, 512 * 7 * 7, generator=generator) / 160
    state["classifier.0.bias"] = torch.randn(WIDTH, generator=generator)
    state["classifier.3.weight"] = torch.randn(WIDTH, WIDTH, generator=generator)
    state["classifier.3.bias"] = torch.randn(WIDTH, generator=generator)
    return features, state


def test_paper_sizes():
    with torch.device("meta"):
        model = FCN(Config())
    assert tuple(model.fc6.weight.shape) == (4096, 512, 7, 7)
    assert tuple(model.fc7.weight.shape) == (4096, 4096, 1, 1)
    trunk = sum(p.numel() for p in model.backbone.parameters())
    assert trunk == 14_714_688  # VGG-16 without its classifier
    assert model.dropout.p == 0.5
    assert [m.weight.shape[-1] for m in (model.up2["16"], model.up2["8"], model.up)] == [4, 4, 16]
    assert not any("up.weight" in n for n, _ in model.named_parameters()), "the last upsampling is fixed"


def test_fully_connected_layers_become_convolutions():
    """On a 224 x 224 image, the middle of the convolutional fc7 is torchvision's own classifier."""
    generator = torch.Generator().manual_seed(0)
    features, state = vgg_state(generator)
    model = FCN(Config(num_classes=3, head_channels=WIDTH, dropout=0.0)).eval()
    assert "torchvision" in model.load_foreign(state)
    image = torch.randn(1, 3, 224, 224, generator=generator)
    with torch.no_grad():
        flat = features(image).flatten(1)
        expected = F.linear(flat, state["classifier.0.weight"], state["classifier.0.bias"]).relu()
        expected = F.linear(expected, state["classifier.3.weight"], state["classifier.3.bias"]).relu()
        pools = model.backbone(image)
        found = model.fc7(model.fc6(pools[-1]).relu()).relu()
    assert found.shape[-2:] == (7, 7)
    torch.testing.assert_close(found[..., 3, 3], expected, rtol=1e-4, atol=1e-5)


def reference_fcn(state, image, at_once=False):
    """The released FCN-8s, from a state dict in pytorch-fcn's naming, on a BGR image. Written from the prototxt."""
    x, pools = F.pad(image, (99, 99, 99, 99)), {}
    for stage, depth in enumerate((2, 2, 3, 3, 3), start=1):
        for i in range(1, depth + 1):
            x = F.conv2d(x, state[f"conv{stage}_{i}.weight"], state[f"conv{stage}_{i}.bias"], padding=1).relu()
        x = F.max_pool2d(x, 2, ceil_mode=True)
        pools[stage] = x
    x = F.conv2d(x, state["fc6.weight"], state["fc6.bias"]).relu()
    x = F.conv2d(x, state["fc7.weight"], state["fc7.bias"]).relu()
    x = F.conv2d(x, state["score_fr.weight"], state["score_fr.bias"])
    up = F.conv_transpose2d(x, state["upscore2.weight"], stride=2)
    scale4, scale3 = (0.01, 0.0001) if at_once else (1, 1)
    skip = F.conv2d(pools[4] * scale4, state["score_pool4.weight"], state["score_pool4.bias"])
    x = up + skip[:, :, 5 : 5 + up.shape[2], 5 : 5 + up.shape[3]]
    up = F.conv_transpose2d(x, state["upscore_pool4.weight"], stride=2)
    skip = F.conv2d(pools[3] * scale3, state["score_pool3.weight"], state["score_pool3.bias"])
    x = up + skip[:, :, 9 : 9 + up.shape[2], 9 : 9 + up.shape[3]]
    x = F.conv_transpose2d(x, state["upscore8.weight"], stride=8)
    return x[:, :, 31 : 31 + image.shape[2], 31 : 31 + image.shape[3]]


def fcn8s_state(k, generator):
    def rand(*shape):
        fan_in = max(1, torch.Size(shape[1:]).numel())
        return torch.randn(*shape, generator=generator) * (2 / fan_in) ** 0.5

    state, width = {}, 3
    for stage, (depth, out) in enumerate(((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)), start=1):
        for i in range(1, depth + 1):
            state[f"conv{stage}_{i}.weight"], state[f"conv{stage}_{i}.bias"] = rand(out, width, 3, 3), rand(out) / 9
            width = out
    for name, out, inside, size in (
        ("fc6", WIDTH, 512, 7), ("fc7", WIDTH, WIDTH, 1), ("score_fr", k, WIDTH, 1),
        ("score_pool4", k, 512, 1), ("score_pool3", k, 256, 1),
    ):  # fmt: skip
        state[f"{name}.weight"], state[f"{name}.bias"] = rand(out, inside, size, size), rand(out)
    for name, size in (("upscore2", 4), ("upscore_pool4", 4), ("upscore8", 16)):
        state[f"{name}.weight"] = rand(k, k, size, size)
    return state


@pytest.mark.parametrize("at_once", [False, True])
def test_public_checkpoint_gives_the_same_scores(at_once):
    generator = torch.Generator().manual_seed(3)
    k = 5
    state = fcn8s_state(k, generator)
    model = FCN(Config(num_classes=k, stride=8, head_channels=WIDTH, caffe_padding=True, at_once=at_once)).eval()
    assert "pytorch-fcn" in model.load_foreign(state)
    rgb = torch.randint(0, 256, (1, 3, 70, 83), generator=generator, dtype=torch.uint8)
    bgr = rgb.flip(1).float() - torch.tensor([104.00698793, 116.66876762, 122.67891434]).view(1, 3, 1, 1)
    with torch.no_grad():
        expected = reference_fcn(state, bgr, at_once)
        found = model(model.preprocessing(rgb)).logits
    scale = expected.abs().max()
    torch.testing.assert_close(found / scale, expected / scale, rtol=0, atol=1e-4)


def test_foreign_weights_that_do_not_fit():
    model = FCN(Config(num_classes=3, head_channels=WIDTH))
    with pytest.raises(ModelError, match="recognised neither"):
        model.load_foreign({"stem.weight": torch.zeros(1)})
    _, state = vgg_state(torch.Generator())
    state["classifier.0.weight"] = state["classifier.0.weight"][:4]
    with pytest.raises(ModelError, match="do not fit this FCN"):
        model.load_foreign(state)
    timm = foveate.create("fcn8s", backbone="resnet18", head_channels=4, num_classes=2)
    with pytest.raises(ModelError, match="need backbone 'vgg16'"):
        timm.load_foreign(state)


def test_an_untrained_skip_changes_nothing():
    """Zero-initialised scores: staged training starts FCN-16s as FCN-32s, up to how the two upsample."""
    torch.manual_seed(0)
    coarse = FCN(Config(num_classes=3, stride=32, backbone="resnet18", head_channels=8, head_kernel=3)).eval()
    torch.nn.init.normal_(coarse.score.weight)
    fine = FCN(Config(num_classes=3, stride=16, backbone="resnet18", head_channels=8, head_kernel=3)).eval()
    missing = fine.load_state_dict(coarse.state_dict() | {"up.weight": fine.up.weight}, strict=False)
    assert all(k.startswith(("score_pool", "up2")) for k in missing.missing_keys)
    x = torch.randn(1, 3, 128, 128)
    with torch.no_grad():
        a, b = coarse(x).logits[..., 32:-32, 32:-32], fine(x).logits[..., 32:-32, 32:-32]
    assert (a.argmax(1) == b.argmax(1)).float().mean() > 0.97


def test_upsampling_starts_bilinear_and_classes_do_not_mix():
    model = FCN(Config(num_classes=3, backbone="resnet18", head_channels=8, head_kernel=3))
    weight = model.up2["16"].weight
    assert torch.equal(weight[1, 1], bilinear_kernel(2))
    assert weight[0, 1].abs().sum() == 0


def test_sum_is_the_mean_times_valid_pixels():
    torch.manual_seed(0)
    options = {"num_classes": 3, "backbone": "resnet18", "head_channels": 8, "head_kernel": 3, "dropout": 0.0}
    mean, total = FCN(Config(**options)).eval(), FCN(Config(**options, reduction="sum")).eval()
    total.load_state_dict(mean.state_dict())
    batch = {"image": torch.randn(1, 3, 64, 64), "mask": torch.randint(0, 3, (1, 64, 64)), "names": [""]}
    torch.testing.assert_close(total.loss(batch)["loss"], mean.loss(batch)["loss"] * 64 * 64)


def test_the_lovasz_term_is_that_of_every_fourth_row_and_column(monkeypatch):
    """Rows from the first drawn offset, columns from the second, of logits and mask alike; weighted by `lovasz`."""
    torch.manual_seed(0)
    options = {"num_classes": 3, "backbone": "resnet18", "head_channels": 8, "head_kernel": 3, "dropout": 0.0}
    model = FCN(Config(**options, lovasz=0.7)).eval()
    torch.nn.init.normal_(model.score.weight)
    batch = {"image": torch.randn(1, 3, 64, 64), "mask": torch.randint(0, 3, (1, 64, 64)), "names": [""]}
    logits = model(batch["image"]).logits
    monkeypatch.setattr(torch, "randint", lambda high, size: torch.tensor([1, 3]))
    losses = model.loss(batch)
    rows, columns = torch.arange(1, 64, 4), torch.arange(3, 64, 4)
    term = lovasz_softmax(logits[:, :, rows][..., columns], batch["mask"][:, rows][..., columns])
    other = lovasz_softmax(logits[:, :, columns][..., rows], batch["mask"][:, columns][..., rows])
    assert (term - other).abs() > 1e-3
    torch.testing.assert_close(losses["lovasz"], term)
    torch.testing.assert_close(losses["loss"], losses["cross_entropy"] + 0.7 * term)


def test_at_caffes_scale_a_vgg_sees_0_to_255_minus_the_mean_and_its_upsampling_is_fixed():
    """The release: the same pixel gives conv1_1 the same input, whatever the channels' order; no upsampling learns."""
    generator = torch.Generator().manual_seed(0)
    features, state = vgg_state(generator)
    options = {"num_classes": 3, "head_channels": WIDTH, "dropout": 0.0, "caffe_scale": True, "caffe_padding": True}
    model = FCN(Config(**options, learned_upsampling=False)).eval()
    assert "random weights, which do not train at the release's learning rates; give --init" in model.remark(1)
    assert model.load_foreign(state).endswith("fc6 and fc7, taken to be of Caffe's scale and in RGB order")
    assert model.remark(1) == ""
    image = torch.randint(0, 256, (3, 40, 40), generator=generator).to(torch.uint8)
    expected = image.float() - torch.tensor([122.67891434, 116.66876762, 104.00698793])[:, None, None]
    torch.testing.assert_close(model.preprocessing(image), expected, rtol=1e-5, atol=1e-4)
    with torch.no_grad():
        found = model.backbone.conv1_1(expected[None])[..., 99:-99, 99:-99]
        torch.testing.assert_close(found, features[0](expected[None]), rtol=1e-4, atol=1e-3)
    learned = {name for name, _ in model.named_parameters() if name.startswith("up")}
    assert not learned
    assert {n for n, _ in FCN(Config(**options)).named_parameters() if n.startswith("up")} == {
        "up2.16.weight", "up2.8.weight"
    }  # fmt: skip


def test_a_vgg_without_its_classifier_is_refused():
    _, state = vgg_state(torch.Generator().manual_seed(0))
    state["classifier.3.weight"] = torch.full((WIDTH, WIDTH), torch.nan)
    with pytest.raises(ModelError, match=r"classifier\.3 hold values that are not finite; give a file with the"):
        FCN(Config(num_classes=3, head_channels=WIDTH)).load_foreign(state)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"stride": 4}, "stride is 4; expected one of 32, 16, 8"),
        (
            {"backbone": "resnet18", "caffe_padding": True},
            "caffe_padding works with backbone 'vgg16' only, not with 'resnet18'",
        ),
        ({"head_kernel": 4}, "head_kernel 4 odd"),
        ({"caffe_scale": True, "pretrained": True}, "this scale cannot be downloaded whole, .* with --init FILE"),
        ({"backbone": "resnet81"}, "unknown backbone 'resnet81'; the nearest is 'resnet"),
    ],
)
def test_invalid_configs_raise(fields, text):
    with pytest.raises(ConfigError, match=text):
        FCN(Config(num_classes=2, **fields))


@pytest.mark.skipif(packaged_weights("tf_efficientnet_lite0") is None, reason="the weight package is not installed")
def test_packaged_weights_see_what_their_own_network_sees():
    """The installed Lite0 weights, in timm's network: same tensors in the same order, and features that vary."""
    model = foveate.create("fcn8s", backbone="tf_efficientnet_lite0", pretrained=True, num_classes=2, head_channels=8)
    assert model.preprocessing == Preprocessing((127 / 255,) * 3, (128 / 255,) * 3)
    other = foveate.create("fcn8s", backbone="tf_efficientnet_lite0", num_classes=2, head_channels=8)
    stem, untrained = (m.backbone.net.conv_stem.weight for m in (model, other))
    assert not torch.equal(stem, untrained)
    x = torch.randn(1, 3, 64, 64)
    features = model.eval().backbone(x)
    assert all(f.isfinite().all() and f.std() > 1e-3 for f in features)


@pytest.mark.parametrize("backbone", ["tf_efficientnet_lite0", "resnet18"])
@pytest.mark.parametrize("height", [45, 90, 120])
def test_scores_stay_in_place_whatever_the_size(backbone, height):
    """A strip of nothing below the image must not move the scores above it.

    TensorFlow's padding puts its extra row elsewhere for odd sizes: 360 rows halve to 45, and the grid would shift by
    half a cell against what training crops taught, four pixels at stride 8.
    """
    torch.manual_seed(0)
    model = FCN(Config(num_classes=2, backbone=backbone, head_channels=8, head_kernel=1, dropout=0.0)).eval()
    for module in (model.score, model.score_pool["16"], model.score_pool["8"]):
        torch.nn.init.normal_(module.weight)
    image = torch.zeros(1, 3, 128, 64)
    image[:, :, :height] = torch.randn(1, 3, height, 64)
    with torch.no_grad():
        whole, cut = model(image).logits[:, :, :height], model(image[:, :, :height]).logits
    middle = slice(0, height - 40) if height > 60 else slice(0, 8)
    shift = [(whole.roll(d, 2)[:, :, middle] - cut[:, :, middle]).abs().mean().item() for d in (-4, 0, 4)]
    assert shift[1] < 0.5 * min(shift[0], shift[2])
