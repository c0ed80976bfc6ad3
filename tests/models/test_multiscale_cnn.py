"""Multi-scale CNN: the paper's sizes, one set of weights for all scales, features in their place."""

import pytest
import torch
from torch.nn import functional as F

import foveate
from foveate.errors import ConfigError

SMALL = {"num_classes": 3, "widths": (4, 6, 8), "hidden": 16}


def build(**more):
    torch.manual_seed(0)
    return foveate.create("multiscale_cnn", **(SMALL | more)).eval()


def test_the_papers_sizes():
    """Section 5.1: 7x7 filters to 16, 64 and 256 features; three scales; 768 features into 1024 hidden units."""
    model = foveate.create("multiscale_cnn", num_classes=33)
    counted = {name: p.numel() for name, p in model.named_parameters() if name.endswith("weight")}
    assert counted == {
        "f.0.weight": 3 * 16 * 49,
        "f.3.weight": 16 * 64 * 49,
        "f.6.weight": 64 * 256 * 49,
        "classifier.1.weight": 768 * 1024,
        "classifier.3.weight": 1024 * 33,
    }


def test_more_scales_cost_no_more_filters():
    one, three = build(scales=1), build(scales=3)
    assert sum(p.numel() for p in one.f.parameters()) == sum(p.numel() for p in three.f.parameters())
    assert three.classifier[1].in_channels == 3 * one.classifier[1].in_channels


def test_forward_is_the_formula():
    """Equations 4 and 8 written out, on an image of whole cells."""
    from foveate.ops.pyramid import laplacian, normalize_locally, rgb_to_yuv

    model = build()
    image = torch.randn(1, 3, 32, 48)
    levels = [normalize_locally(x) for x in laplacian(rgb_to_yuv(image), 3)]
    assert [tuple(x.shape[-2:]) for x in levels] == [(32, 48), (16, 24), (8, 12)]
    maps = [F.interpolate(model.f(x), (8, 12), mode="bilinear") for x in levels]
    expected = F.interpolate(model.classifier(torch.cat(maps, 1)), (32, 48), mode="bilinear")
    torch.testing.assert_close(model(image).logits, expected)


def test_brightness_and_contrast_do_not_matter():
    """Every level is normalised locally, so an affine change of the whole image is not seen."""
    model = build().double()
    image = torch.randn(1, 3, 48, 48, dtype=torch.float64)
    torch.testing.assert_close(model(image).logits, model(3 * image + 1).logits, rtol=1e-6, atol=1e-6)


def test_the_coarse_scales_see_further():
    image = torch.randn(1, 3, 400, 400, requires_grad=True)
    reach = []
    for scales in (1, 2, 3):
        (grad,) = torch.autograd.grad(build(scales=scales)(image).logits[0, 0, 200, 200], image)
        rows = grad.abs().sum((0, 1, 3)).nonzero()
        reach.append(int(rows.max() - rows.min()))
    assert reach[0] < 0.8 * reach[1] < 0.8 * 0.8 * reach[2]


def test_with_a_backbone():
    model = build(backbone="resnet18", in_channels=4)
    assert model(torch.randn(1, 4, 50, 70)).logits.shape == (1, 3, 50, 70)
    assert model.classifier[1].in_channels == 3 * (128 + 256)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"scales": 0}, "scales 0, num_classes 3, in_channels 3 and hidden 16 must be at least 1"),
        ({"kernel": 4}, "expected three widths of 1 or more and an odd kernel"),
        ({"kernel": -1}, "kernel -1; expected three widths"),
        ({"widths": (0, 8, 8)}, r"widths \(0, 8, 8\) and kernel"),
        ({"dropout": 2.0}, "dropout is 2.0; expected 0 or more and below 1"),
        ({"pretrained": True}, "the paper's network has no ImageNet weights; set --config.backbone"),
    ],
)
def test_invalid_configs_raise(fields, text):
    with pytest.raises(ConfigError, match=text):
        build(**fields)
