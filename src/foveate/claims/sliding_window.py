"""Sliding window: a network applied to each patch of an image, or to the whole image at once.

Shapes: an image (1, C, H, W); patches (N, C, R, R); R the side of the receptive field, f the stride between outputs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from foveate.claims import Claim
from foveate.claims.cost import times_as_long
from foveate.claims.exact import DIGITS, digits
from foveate.ops.dense import convolutionalize
from foveate.registry import claim, create_model

SECTION = "Sliding Window Approach"


@claim("one_pass_is_every_patch")
def one_pass_is_every_patch() -> Claim:
    """Compare a patch CNN in float64 on the patch around each pixel with one pass over the whole image."""
    return Claim(
        section=SECTION,
        claim="Classifying a patch around every pixel and running the network once over the whole picture give the "
        "same answers.",
        effect="{:.1f} digits agree at every pixel",
        measure=_one_pass_is_every_patch,
        holds=DIGITS,
        partly=DIGITS,
        law=True,
    )


def _one_pass_is_every_patch(seed: int) -> tuple[float]:
    torch.manual_seed(seed)
    model = create_model(
        "patch_cnn", num_classes=4, widths=(8, 16), kernels=(5, 3), hidden=32, dense="atrous", prior=0.0
    )
    model.double().eval()
    image = torch.randn(1, 3, 24, 20, dtype=torch.float64)
    with torch.no_grad():
        return (digits(model(image).logits, _patch_by_patch(model, image, 1)),)


def _patch_by_patch(model: nn.Module, image: Tensor, step: int) -> Tensor:
    """Return logits (1, K, h, w) at every step-th pixel, each computed from its own patch."""
    rows, columns = torch.arange(0, image.shape[-2], step), torch.arange(0, image.shape[-1], step)
    row, column = torch.meshgrid(rows, columns, indexing="ij")
    logits = []
    for y, x in zip(row.flatten().split(64), column.flatten().split(64), strict=True):  # 64 patches at a time
        logits.append(model.classify(model.cut(image, torch.zeros_like(y), y, x)))  # type: ignore[operator]
    return torch.cat(logits).T.reshape(1, -1, len(rows), len(columns))


@claim("fully_connected_is_convolutional")
def fully_connected_is_convolutional() -> Claim:
    """Compare a classifier with fully connected layers in float64 on each patch with its convolutional form."""
    return Claim(
        section=SECTION,
        claim="A classifier can be run fully convolutionally: its fully connected layers become convolutions, and "
        "answer for every patch of a larger picture.",
        effect="{:.1f} digits agree with the classifier's own answer on every patch",
        measure=_fully_connected_is_convolutional,
        holds=DIGITS,
        partly=DIGITS,
        law=True,
    )


def _fully_connected_is_convolutional(seed: int) -> tuple[float]:
    torch.manual_seed(seed)
    side, stride = 28, 4  # 28 -> 24 -> 12 -> 10 -> 5
    classifier = nn.Sequential(
        nn.Conv2d(3, 8, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(16 * 5 * 5, 32), nn.ReLU(), nn.Linear(32, 10),
    ).double().eval()  # fmt: skip
    image = torch.randn(1, 3, side + 5 * stride, side + 3 * stride, dtype=torch.float64)
    patches = image.unfold(2, side, stride).unfold(3, side, stride)[0].permute(1, 2, 0, 3, 4)  # (h, w, C, R, R)
    with torch.no_grad():
        logits = classifier(patches.flatten(0, 1)).T.reshape(1, 10, *patches.shape[:2])
        return (digits(convolutionalize(classifier, (3, side, side))(image), logits),)


@claim("patches_are_expensive")
def patches_are_expensive() -> Claim:
    """Time the default patch CNN (R = 60, f = 8) on 192x192: 24 x 24 patches, and one pass with as many outputs."""
    return Claim(
        section=SECTION,
        claim="Running the network by itself on every patch is very expensive, and nobody does it.",
        effect="patch by patch takes {:.0f} times as long as one pass with answers at the same pixels",
        measure=_patches_are_expensive,
        holds=10.0,  # "very expensive", "way too slow": an order of magnitude
        partly=2.0,
        timed=True,
    )


def _patches_are_expensive(seed: int) -> tuple[float]:
    torch.manual_seed(seed)
    model = create_model("patch_cnn", num_classes=10).eval()
    image = torch.randn(1, 3, 192, 192)
    with torch.inference_mode():
        return (times_as_long(lambda: _patch_by_patch(model, image, model.config.stride), lambda: model(image), 3),)


@claim("strides_shrink_the_output")
def strides_shrink_the_output() -> Claim:
    """Compare the output sizes of a convolution and two poolings with stride two and with stride one, all padded."""
    return Claim(
        section=SECTION,
        claim="Pooling and strided convolutions make the output smaller than the input.",
        effect="{:.1f} times fewer answers along a side: one for {:.1f} pixels with strides of two, for {:.1f} without",
        measure=_strides_shrink_the_output,
        holds=2.0,  # the reduction by a single stride of two
        partly=1.1,
        law=True,
    )


def _strides_shrink_the_output(seed: int) -> tuple[float, float, float]:
    torch.manual_seed(seed)
    image = torch.randn(1, 3, 64, 64)
    pixels_per_output = [image.shape[-1] / _three_layers(stride)(image).shape[-1] for stride in (2, 1)]
    return pixels_per_output[0] / pixels_per_output[1], *pixels_per_output


def _three_layers(stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride, padding=1), nn.ReLU(), nn.MaxPool2d(3, stride, padding=1),
        nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, stride, padding=1),
    )  # fmt: skip
