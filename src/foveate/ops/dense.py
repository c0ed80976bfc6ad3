"""Dense outputs from a patch classifier: convolutionalising, à trous and shift-and-stitch.

Shapes: x (B, C, H, W); R the side of the patch that one output sees; f the network's stride, the product of its
layers'.

A classifier of R x R patches, applied as a sliding window, computes the same filters again and again. Three steps avoid
that:

1. `convolutionalize`: its fully connected layers are equivalent to convolutions. As convolutions they return an output
  for every R x R patch in one pass, but only at every f-th pixel, since pooling has discarded the others.
2. `shift_and_stitch`: shift the image in all f x f ways, run the network on each, and interlace the outputs.
3. `atrous`: alternatively discard nothing: run every strided layer at stride 1, and dilate the filters after it by the
  stride that was removed ("à trous", with holes). It equals 2 exactly, where no layer pads, and shares what the shifts
  would compute twice.

Sources: Sermanet et al., "OverFeat" (2014), section 3.3; Long, Shelhamer and Darrell, "Fully Convolutional Networks for
Semantic Segmentation" (2015), sections 3.1 and 3.2.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn import functional as F

from foveate.errors import ConfigError

Pair = tuple[int, int]
# Layers without a kernel that mix pixels: their outputs depend on the size of the map.
MIXES_PIXELS = (
    nn.Linear,
    nn.Flatten,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.InstanceNorm2d,
)


def shift_and_stitch(network: Callable[[Tensor], Tensor], image: Tensor, stride: int) -> Tensor:
    """Return the network's output at every pixel, from stride x stride passes over shifted images.

    network: (B, C, H, W) -> (B, K, h, w), one output every `stride` pixels, e.g. h = (H - R) // stride + 1.
    image: (B, C, H, W), each side R + stride - 1 pixels or more.
    stride: f, the network's stride in pixels.

    Returns (B, K, H', W'), H' being the sum of h over the shifts: H - R + 1 for a network that pads nothing. Raises
    ConfigError where `stride` is not the network's, and where the image is too small to be shifted.
    """
    if stride < 1:
        raise ConfigError(f"cannot shift by a stride of {stride}; give the network's stride, 1 or more")
    try:
        first = network(image)
        _require_stride(network, image, first, stride)
        passes = [
            [first if dy == dx == 0 else network(image[..., dy:, dx:]) for dx in range(stride)] for dy in range(stride)
        ]
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise ConfigError(
            f"an image of shape {tuple(image.shape)} is too small for the network when it is shifted by up to "
            f"{stride - 1} pixels ({error}); give a larger one, or pad it"
        ) from error
    height = sum(row[0].shape[-2] for row in passes)
    width = sum(output.shape[-1] for output in passes[0])
    stitched = first.new_empty(*first.shape[:2], height, width)
    for dy, row in enumerate(passes):
        for dx, output in enumerate(row):
            stitched[..., dy::stride, dx::stride] = output
    return stitched


def _require_stride(network: Callable[[Tensor], Tensor], image: Tensor, output: Tensor, stride: int) -> None:
    """Raise ConfigError unless the network has this stride.

    n outputs span n - 1 strides: without the first (n - 1) strides of pixels exactly one is left.
    """
    for axis in (-2, -1):
        length, count = image.shape[axis], output.shape[axis]
        start = stride * (count - 1)
        remaining = 0
        if start < length:
            try:
                remaining = network(image.narrow(axis, start, length - start)).shape[axis]
            except RuntimeError:  # too small for it
                remaining = 0
        if remaining != 1:
            raise ConfigError(
                f"{stride} is not the network's stride: it has {count} outputs along {length} pixels; "
                "give the product of its layers' strides"
            )


def atrous(network: nn.Module, x: Tensor) -> Tensor:
    """Run a sequence of layers without strides and with dilated filters: one output per pixel, same weights.

    network: a Sequential (others may be nested in it) of convolutions, max and average pools, and pixel-wise layers.
    x: (B, C, H, W).

    Returns (B, K, H - R + 1, W - R + 1) where no layer pads. Raises ConfigError for a layer that has a window or
    changes the size, and is none of these, and for a pool whose windows depend on the border.
    """
    holes = (1, 1)  # distance between pixels that were neighbours before strides were removed
    for layer in _layers(network):
        if getattr(layer, "ceil_mode", False) or getattr(layer, "divisor_override", None):
            raise ConfigError(f"{layer} cannot run à trous; use a pool with neither ceil_mode nor divisor_override")
        if isinstance(layer, nn.Conv2d):
            if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
                raise ConfigError(f"{layer} cannot run à trous; use padding in numbers, of zeros")
            x = F.conv2d(
                x,
                layer.weight,
                layer.bias,
                1,
                _times(layer.padding, holes),
                _times(layer.dilation, holes),
                layer.groups,
            )
        elif isinstance(layer, nn.MaxPool2d):
            x = F.max_pool2d(x, layer.kernel_size, 1, _times(layer.padding, holes), _times(layer.dilation, holes))
        elif isinstance(layer, nn.AvgPool2d):
            if layer.padding not in (0, (0, 0)) and not layer.count_include_pad:
                raise ConfigError(f"{layer} cannot run à trous; use a pool with count_include_pad, or without padding")
            height, width = _pair(layer.kernel_size)
            mean = x.new_full((1, 1, height, width), 1 / (height * width))
            maps = x.flatten(0, 1)[:, None]  # each channel separately
            x = F.conv2d(maps, mean, None, 1, _times(layer.padding, holes), holes).unflatten(0, x.shape[:2])[:, :, 0]
        elif hasattr(layer, "kernel_size") or hasattr(layer, "output_size") or isinstance(layer, MIXES_PIXELS):
            raise ConfigError(
                f"{type(layer).__name__} cannot run à trous; expected convolutions, max or average pools, and "
                "pixel-wise layers (convolutionalize turns fully connected layers into convolutions)"
            )
        else:
            size = x.shape[-2:]
            x = layer(x)
            if x.shape[-2:] != size:  # padding, upsampling ...: would have to take the holes into account
                raise ConfigError(
                    f"{layer} cannot run à trous: it changes the map's size from {tuple(size)} to "
                    f"{tuple(x.shape[-2:])}; expected convolutions, pools, and pixel-wise layers"
                )
            continue
        holes = _times(layer.stride, holes)
    return x


def _layers(module: nn.Module) -> Iterator[nn.Module]:
    if isinstance(module, nn.Sequential):
        for child in module:
            yield from _layers(child)
    elif any(True for _ in module.children()):
        raise ConfigError(f"{type(module).__name__} is not a sequence of layers; give an nn.Sequential")
    else:
        yield module


def _pair(value: int | tuple[int, ...] | None) -> Pair:
    return (value[0], value[1]) if isinstance(value, tuple) else (value or 0, value or 0)


def _times(value: int | tuple[int, ...] | str, holes: Pair) -> Pair:
    assert not isinstance(value, str)
    down, right = _pair(value)
    return down * holes[0], right * holes[1]


def convolutionalize(classifier: nn.Module, patch: tuple[int, int, int]) -> nn.Module:
    """Replace a network's fully connected layers by convolutions: (B, C, H, W) -> (B, K, h, w), with any H and W.

    classifier: (B, C, R, R) -> (B, K), anything that torch.fx can trace: sequences of layers, and also residual
        networks.
    patch: (C, R, R), the input that it is made for; there the output is the classifier's own, as (B, K, 1, 1).

    A fully connected layer over a C x h x w map is a convolution with an h x w window; over a vector, one with a 1x1
    window. Global average pooling becomes average pooling of the map's size at R. Weights are copied. Raises
    ConfigError for a layer that mixes positions in another way.
    """
    training = classifier.training
    traced = fx.symbolic_trace(copy.deepcopy(classifier).eval())
    weight = next(classifier.parameters())
    ShapeProp(traced).propagate(torch.zeros(1, *patch, dtype=weight.dtype, device=weight.device))
    windows: dict[fx.Node, Pair] = {}  # node whose output was a vector -> size of the map, at R, that replaces it
    for node in list(traced.graph.nodes):
        source = node.args[0] if node.args and isinstance(node.args[0], fx.Node) else None
        before, after = _shape(source), _shape(node)
        layer = traced.get_submodule(str(node.target)) if node.op == "call_module" else None
        if len(before) == 4 and isinstance(layer, (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)):
            _replace(traced, node, _sliding(layer, before[2:], after[2:]))
        elif len(before) == 4 and len(after) == 2 and node.target in ("mean", torch.mean):
            windows[_replace(traced, node, nn.AvgPool2d(_pair(before[2:]), 1))] = (1, 1)
        elif len(before) == 4 and len(after) == 2:  # any kind of flattening: keep the map
            windows[_replace(traced, node, nn.Identity())] = (before[2], before[3])
        elif source in windows and isinstance(layer, nn.Linear):
            windows[_replace(traced, node, _as_convolution(layer, windows[source]))] = (1, 1)
        elif source in windows and isinstance(layer, nn.BatchNorm1d) and windows[source] == (1, 1):
            windows[_replace(traced, node, _as_norm2d(layer))] = (1, 1)
        elif isinstance(layer, (nn.Linear, nn.BatchNorm1d)):
            raise ConfigError(
                f"{layer} ({node.target}) has an input of shape {tuple(before)}, not a flattened map; only classifiers "
                "whose fully connected layers follow a flattening can be convolutionalised"
            )
        elif source in windows:  # an element-wise layer: dropout, ReLU ...
            windows[node] = windows[source]
    traced.graph.eliminate_dead_code()
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced.train(training)


def _shape(node: fx.Node | None) -> tuple[int, ...]:
    meta: Any = None if node is None else node.meta.get("tensor_meta")
    return tuple(meta.shape) if hasattr(meta, "shape") else ()


def _replace(traced: fx.GraphModule, node: fx.Node, layer: nn.Module) -> fx.Node:
    """Replace a node by a layer, which keeps the metadata of the node's output."""
    name = f"{node.name}_dense"
    traced.add_submodule(name, layer)
    with traced.graph.inserting_after(node):
        replacement = traced.graph.call_module(name, (node.args[0],))
    replacement.meta = dict(node.meta)
    node.replace_all_uses_with(replacement)
    return replacement


def _sliding(layer: nn.Module, size: tuple[int, ...], out: tuple[int, ...]) -> nn.Module:
    """Build the sliding window that is equivalent to adaptive pooling of a map of this size."""
    if size == out:
        return nn.Identity()
    if out != (1, 1):
        raise ConfigError(
            f"adaptive pooling from {size} to {out} is not a sliding window; give patches of the size that the "
            "classifier was made for"
        )
    return nn.MaxPool2d(size, 1) if isinstance(layer, nn.AdaptiveMaxPool2d) else nn.AvgPool2d(_pair(size), 1)


def _as_norm2d(layer: nn.BatchNorm1d) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(layer.num_features, layer.eps, layer.momentum, layer.affine, layer.track_running_stats)
    norm.load_state_dict(layer.state_dict())
    return norm.to(layer.weight.dtype)


def _as_convolution(layer: nn.Linear, window: Pair) -> nn.Conv2d:
    channels = layer.in_features // operator.mul(*window)
    conv = nn.Conv2d(channels, layer.out_features, window, bias=layer.bias is not None)
    with torch.no_grad():
        conv.weight.copy_(layer.weight.view_as(conv.weight))
        if layer.bias is not None and conv.bias is not None:
            conv.bias.copy_(layer.bias)
    return conv.to(layer.weight)
