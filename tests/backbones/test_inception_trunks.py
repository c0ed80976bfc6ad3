"""Inception trunks: the published maps and widths, what padding changes, how they start."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from foveate.backbones import STRIDES, InceptionResNetPyramid, InceptionV4Pyramid, create_backbone
from foveate.backbones.inception import (
    LEAST,
    Branches,
    ConvNorm,
    InceptionPyramid,
    ResidualBranches,
)
from foveate.errors import ConfigError

SLIM = {"width": 0.125, "modules": (1, 1, 1)}
TRUNKS = {
    "v4": (InceptionV4Pyramid, {}),
    "resnet": (InceptionResNetPyramid, {}),
    "resnet as printed": (InceptionResNetPyramid, {"variant": "paper"}),
}


def build(name: str, **more: object) -> InceptionPyramid:
    torch.manual_seed(0)
    cls, fields = TRUNKS[name]
    trunk: InceptionPyramid = cls(**(SLIM | fields | more)).eval()
    return trunk


def on_paper(name: str, **more: object) -> InceptionPyramid:
    """At full size, shapes alone."""
    cls, fields = TRUNKS[name]
    with torch.device("meta"):
        trunk: InceptionPyramid = cls(**(fields | more)).eval()
    return trunk


# Sizes


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        ("v4", (192, 384, 1024, 1536)),
        ("resnet", (192, 320, 1088, 1536)),
        ("resnet as printed", (192, 384, 1152, 2144)),
    ],
)
def test_the_published_maps(name: str, channels: tuple[int, ...]) -> None:
    """Figures 3, 9 and 15: 299 pixels become 71, 35, 17 and 8; the channels stand beside them."""
    trunk = on_paper(name, valid=True)
    features = trunk(torch.empty(2, 3, 299, 299, device="meta"))
    assert [tuple(f.shape) for f in features] == [
        (2, c, side, side) for c, side in zip(channels, (71, 35, 17, 8), strict=True)
    ]
    assert trunk.channels == channels


@pytest.mark.parametrize("name", TRUNKS)
@pytest.mark.parametrize("size", [(64, 96), (61, 99), (1, 33)])
def test_padded_features_lie_at_their_strides_whatever_the_size(name: str, size: tuple[int, int]) -> None:
    trunk = build(name)
    with torch.inference_mode():
        features = trunk(torch.randn(2, 3, *size))
    for feature, channels, stride in zip(features, trunk.channels, STRIDES, strict=True):
        assert feature.shape == (2, channels, *(-(-side // stride) for side in size))


@pytest.mark.parametrize("name", TRUNKS)
def test_padding_changes_the_borders_alone(name: str) -> None:
    """The same weights in both; an image moved by three pixels lies for padded layers as it does for valid ones.

    Valid layers read around pixels 2i + 1 where padded ones read around 2i. Three pixels make up for all that the stem
    does: (2i + 1) + 3 = 2 (i + 2); one more for the second convolution, (2m + 1) + 3 = 2 (m + 2), one more.
    The fork behind it adds (2q + 1) + 3 = 2 (q + 2).
    """
    valid, padded = (build(name, valid=v).double() for v in (True, False))
    assert valid.state_dict().keys() == padded.state_dict().keys()
    padded.load_state_dict(valid.state_dict())
    image = torch.randn(1, 3, 203, 187, dtype=torch.float64)
    moved = F.pad(image, (3, 3, 3, 3))
    with torch.inference_mode():
        for mine, theirs, shift in zip(valid(image)[:2], padded(moved)[:2], (3, 2), strict=True):
            height, width = mine.shape[-2:]
            there = theirs[..., shift : shift + height, shift : shift + width]
            middle = (..., slice(6, -6), slice(6, -6))
            torch.testing.assert_close(mine[middle], there[middle])
            assert not torch.allclose(mine, there)


@pytest.mark.parametrize("name", TRUNKS)
def test_valid_layers_need_75_pixels(name: str) -> None:
    trunk = build(name, valid=True)
    with torch.inference_mode():
        assert trunk(torch.randn(1, 3, LEAST, LEAST))[-1].shape[-2:] == (1, 1)
    expected = (
        r"an image of 96x74 pixels; valid convolutions need at least 75 a side: enlarge it "
        r"\(--config.image_size\), or pad every convolution with --config.valid false"
    )
    with pytest.raises(ConfigError, match=expected):
        trunk(torch.randn(1, 3, 96, 74))


# Width and modules


def test_widths_are_multiples_of_eight() -> None:
    def widths(width: float) -> list[int]:
        return [
            m.out_channels
            for m in on_paper("resnet", width=width, modules=(1, 1, 1)).stem.modules()
            if isinstance(m, nn.Conv2d)
        ]

    assert widths(1.0) == [32, 32, 64, 80, 192]
    assert widths(0.5) == [16, 16, 32, 40, 96]
    assert widths(0.25) == [8, 8, 16, 24, 48]  # 80 / 4 = 20 lies between two multiples: up
    assert widths(0.01) == [8, 8, 8, 8, 8]


@pytest.mark.parametrize("name", TRUNKS)
def test_modules_that_make_no_trunk(name: str) -> None:
    for fields in ({"modules": (1, 1)}, {"modules": (1, 0, 1)}, {"width": 0.0}):
        with pytest.raises(
            ConfigError, match=r"do not define inception_\w+; give three numbers of modules, each at least 1"
        ):
            build(name, **fields)


def test_variants_that_do_not_exist() -> None:
    with pytest.raises(ConfigError, match="variant is 'v1'; expected released or paper"):
        build("resnet", variant="v1")
    with pytest.raises(ConfigError, match="the paper's variant has no public weights; set variant to released"):
        build("resnet as printed", pretrained=True)


# Blocks


def test_branches_lie_side_by_side_in_order() -> None:
    branches = Branches([nn.Identity(), nn.ReLU()])
    x = torch.randn(1, 2, 3, 3)
    assert torch.equal(branches(x), torch.cat([x, x.relu()], 1))


def test_average_pooling_does_not_average_the_padding() -> None:
    pool = build("v4").a[1][3][0]  # type: ignore[index]
    assert torch.equal(pool(torch.ones(1, 1, 4, 4)), torch.ones(1, 1, 4, 4))


def test_a_residual_is_scaled_and_added() -> None:
    """Figure 20; the released network's last block has neither a scale nor a ReLU (block8 without activation)."""
    released = build("resnet", modules=(1, 1, 2), scaling=(0.3, 0.1, 0.2))
    first, plain, last = released.a[2], released.c[1], released.c[2]  # type: ignore[index]
    for block, scale, relu in ((first, 0.3, True), (plain, 0.2, True), (last, 1.0, False)):
        assert isinstance(block, ResidualBranches)
        x = torch.randn(1, block.up.out_channels, 5, 5)
        expected = x + scale * F.conv2d(block.branches(x), block.up.weight, block.up.bias)
        torch.testing.assert_close(block(x), expected.relu() if relu else expected)
        assert (expected < 0).any()
    printed = build("resnet as printed", modules=(1, 1, 2)).c
    assert [block.relu for block in printed[1:]] == [True, True]  # type: ignore[index]
    assert [block.scale for block in printed[1:]] == [0.2, 0.2]  # type: ignore[index]


# The start


def test_inception_v4_starts_as_he_has_it() -> None:
    trunk = build("v4", width=0.5)
    for module in trunk.modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 10_000:
            variance = 2 / module.weight[0].numel()
            assert module.weight.var().item() == pytest.approx(variance, rel=0.05)
            assert module.weight.abs().max().item() <= 2 * math.sqrt(1.3 * variance)
            assert module.bias is None


def test_inception_resnet_v2_starts_as_xavier_has_it() -> None:
    trunk = build("resnet", width=0.5)
    for module in trunk.modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 10_000:
            area = math.prod(module.kernel_size)
            bound = math.sqrt(6 / (area * (module.in_channels + module.out_channels)))
            assert 0.99 * bound < module.weight.abs().max().item() <= bound
            assert module.weight.var().item() == pytest.approx(bound**2 / 3, rel=0.05)
            assert module.bias is None or not module.bias.any()


@pytest.mark.parametrize("name", TRUNKS)
def test_batch_norm_is_as_released(name: str) -> None:
    trunk = build(name, momentum=3e-4)
    norms = [m for m in trunk.modules() if isinstance(m, nn.BatchNorm2d)]
    assert {(m.eps, m.momentum) for m in norms} == {(0.001, 0.0003)}
    assert len(norms) == sum(isinstance(m, ConvNorm) for m in trunk.modules())


def test_names_make_pyramids() -> None:
    with torch.device("meta"):
        for name, cls in (("inception_v4", InceptionV4Pyramid), ("inception_resnet_v2", InceptionResNetPyramid)):
            trunk = create_backbone(name, in_channels=5)
            assert isinstance(trunk, cls)
            assert trunk.width == 1 and trunk.modules_a_stage == cls.published and not trunk.valid
            assert trunk.preprocessing.mean == trunk.preprocessing.std == (0.5,) * 5
            assert trunk(torch.empty(1, 5, 97, 61))[-1].shape[-2:] == (4, 2)
