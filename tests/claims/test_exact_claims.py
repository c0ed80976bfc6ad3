"""Claims without a training: they hold, and with a wrong operator in its place they do not."""

from __future__ import annotations

import pytest
import torch
from stand_ins import examined, worked
from torch import nn
from torch.nn import functional as F

from foveate.claims import shift_and_stitch as stitching
from foveate.claims import sliding_window, upconv
from foveate.claims.exact import digits
from foveate.models.semantic import patch_cnn
from foveate.ops import dense


def test_digits_that_agree():
    one = torch.tensor([100.0, -3.0], dtype=torch.float64)
    assert digits(one, one) == 16
    assert digits(one + torch.tensor([0.0, 1e-4]), one) == pytest.approx(6)  # relative to the largest value
    assert digits(2 * one, one) == pytest.approx(0)
    assert digits(one[:1], one) == 0


def dense_without_holes(network, x):
    """À trous with its strides dropped, but its filters not spread; brought to the right size."""
    layers = [type(m)(m.kernel_size, 1) if isinstance(m, nn.MaxPool2d) else m for m in network]
    wrong = nn.Sequential(*layers)(x)
    right = dense.atrous(network, x)
    return wrong[..., : right.shape[-2], : right.shape[-1]]


def test_one_pass(monkeypatch):
    assert examined("one_pass_is_every_patch") == "holds"
    monkeypatch.setattr(patch_cnn, "atrous", dense_without_holes)
    assert examined("one_pass_is_every_patch") == "does not hold"


def test_fully_connected_layers(monkeypatch):
    assert examined("fully_connected_is_convolutional") == "holds"

    def transposed(classifier, patch):
        """The map's rows taken for its columns."""
        network = dense.convolutionalize(classifier, patch)
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d) and layer.kernel_size == (5, 5) and layer.in_channels == 16:
                layer.weight = nn.Parameter(layer.weight.mT.contiguous())
        return network

    monkeypatch.setattr(sliding_window, "convolutionalize", transposed)
    assert examined("fully_connected_is_convolutional") == "does not hold"


def test_patches_cost(monkeypatch):
    monkeypatch.setattr(sliding_window, "times_as_long", worked)
    create = sliding_window.create_model
    small = {"widths": (8, 16, 32), "hidden": 32}
    monkeypatch.setattr(sliding_window, "create_model", lambda name, **fields: create(name, **fields, **small))
    assert examined("patches_are_expensive") == "holds"
    (saving,) = sliding_window._patches_are_expensive(0)
    # One pass pads the image by a patch less a stride: 24 x 24 answers from the pixels of less than two images.
    patches, side = 24 * 24 * 60**2, 192 + 60 - 8
    assert 0.5 < saving / (patches / side**2) < 2
    monkeypatch.setattr(sliding_window, "_patch_by_patch", lambda model, image, step: model(image))
    assert examined("patches_are_expensive") == "does not hold"


def test_patches_are_those_of_the_one_pass():
    """The two that are timed give the same answers."""
    torch.manual_seed(0)
    model = sliding_window.create_model("patch_cnn", num_classes=3, widths=(8, 16, 32), hidden=32).double().eval()
    image = torch.randn(1, 3, 64, 72, dtype=torch.float64)
    with torch.inference_mode():
        patches = sliding_window._patch_by_patch(model, image, model.config.stride)
        whole = model(image).logits
    assert patches.shape == (1, 3, 8, 9)
    found = F.interpolate(patches, whole.shape[-2:], mode="nearest")
    assert patches.flatten(2).unique(dim=2).shape[2] > 50 and found.shape == whole.shape


def test_strides(monkeypatch):
    assert examined("strides_shrink_the_output") == "holds"
    right = sliding_window._three_layers
    monkeypatch.setattr(sliding_window, "_three_layers", lambda stride: right(1))
    assert examined("strides_shrink_the_output") == "does not hold"


def unflipped(self, x):
    """A convolution over the spread input, which would have to turn the filter around first."""
    stride, size = self.stride, self.weight.shape[-1]
    wide = x.new_zeros(*x.shape[:2], stride * (x.shape[-2] - 1) + 1, stride * (x.shape[-1] - 1) + 1)
    wide[..., ::stride, ::stride] = x
    return F.conv2d(wide, self.weight.transpose(0, 1), padding=size - 1)


def overwriting(x, weight, stride):
    """Stamps that replace what they fall on."""
    side = weight.shape[-1]
    out = x.new_zeros(1, weight.shape[1], stride * (x.shape[-2] - 1) + side, stride * (x.shape[-1] - 1) + side)
    for i in range(x.shape[-2]):
        for j in range(x.shape[-1]):
            at = (..., slice(stride * i, stride * i + side), slice(stride * j, stride * j + side))
            out[at] = torch.einsum("bc,cdkl->bdkl", x[:, :, i, j], weight)
    return out


@pytest.mark.parametrize("name", ["upconv_is_the_backward_pass", "upconv_stamps_and_sums"])
def test_an_unflipped_filter_is_no_transposed_convolution(name, monkeypatch):
    assert examined(name) == "holds"
    monkeypatch.setattr(upconv.UpConv, "forward", unflipped)
    assert examined(name) == "does not hold"


def test_stamps_that_do_not_sum(monkeypatch):
    monkeypatch.setattr(upconv, "stamp", overwriting)
    assert examined("upconv_stamps_and_sums") == "does not hold"


def test_an_inverse_would_refute_the_claim(monkeypatch):
    assert examined("upconv_is_no_inverse") == "holds"
    for seed in range(3):
        missed, solved = upconv._upconv_is_no_inverse(seed)
        assert 50 < missed < 70 and solved < 1e-9  # an inverse exists: the transpose is not it
    x = torch.tensor([3.0, 4.0])
    assert upconv._error(torch.zeros(2), x) == 100 and upconv._error(1.1 * x, x) == pytest.approx(10)

    def inverse(y, weight, stride, padding):
        side = stride * y.shape[-1]
        eye = torch.eye(side * side, dtype=y.dtype).view(-1, 1, side, side)
        matrix = F.conv2d(eye, weight, stride=stride, padding=padding).flatten(1).T
        return (torch.linalg.pinv(matrix) @ y.flatten()).view(1, 1, side, side)

    monkeypatch.setattr(upconv.F, "conv_transpose2d", inverse)
    assert examined("upconv_is_no_inverse") == "does not hold"


def test_shifts(monkeypatch):
    assert examined("shifts_give_every_pixel") == "holds"
    monkeypatch.setattr(
        stitching,
        "shift_and_stitch",
        lambda network, image, stride: dense.shift_and_stitch(network, image, stride).mT.mT.flip(-1),
    )
    assert examined("shifts_give_every_pixel") == "does not hold"
    monkeypatch.undo()
    monkeypatch.setattr(stitching, "atrous", dense_without_holes)
    assert examined("shifts_give_every_pixel") == "does not hold"
