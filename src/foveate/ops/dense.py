"""Dense answers from a network that was made for one patch: convolutionalising, à trous, shift-and-stitch.

Shapes: x (B, C, H, W); R the side of the patch that one answer sees; f the network's stride, the layers' product.

A classifier of R x R patches, slid over a picture, computes the same filters again and again. Three steps avoid that:

1. `convolutionalize`: its fully connected layers are convolutions in disguise. As convolutions they answer on every
   R x R patch at once, but only at every f-th pixel, since pooling has thrown the others away.
2. `shift_and_stitch`: shift the picture in all f x f ways, answer each, and interlace the answers.
3. `atrous`: or never throw any away: run every strided layer at stride 1, and spread the filters behind it by the
   stride that is missing ("à trous", with holes). It equals 2 exactly, where no layer pads, and shares what the shifts
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
# Layers without a kernel that mix pixels: their answers change with the size of the map.
SEES_MORE_THAN_A_PIXEL = (
    nn.Linear,
    nn.Flatten,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.InstanceNorm2d,
)


def shift_and_stitch(network: Callable[[Tensor], Tensor], image: Tensor, stride: int) -> Tensor:
    """The network's answer at every pixel, from stride x stride passes over shifted pictures.

    network: (B, C, H, W) -> (B, K, h, w), one answer each `stride` pixels, e.g. h = (H - R) // stride + 1.
    Returns (B, K, H', W'), H' being the sum of h over the shifts: H - R + 1 for a network that pads nothing.
    Raises ConfigError where `stride` is not the network's, and where the picture is too small to be shifted: its sides
    are to be R + stride - 1 or more.
    """
    if stride < 1:
        raise ConfigError(f"cannot shift by a stride of {stride}; give the network's own, 1 or more")
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
            f"a picture of shape {tuple(image.shape)} does not pass through the network when it is shifted by up to "
            f"{stride - 1} pixels ({error}); give a larger one, or pad it"
        ) from error
    height = sum(row[0].shape[-2] for row in passes)
    width = sum(answer.shape[-1] for answer in passes[0])
    stitched = first.new_empty(*first.shape[:2], height, width)
    for dy, row in enumerate(passes):
        for dx, answer in enumerate(row):
            stitched[..., dy::stride, dx::stride] = answer
    return stitched


def _require_stride(network: Callable[[Tensor], Tensor], image: Tensor, answer: Tensor, stride: int) -> None:
    """n answers, n - 1 strides apart: without the first (n - 1) strides of pixels exactly one is left."""
    for axis in (-2, -1):
        length, count = image.shape[axis], answer.shape[axis]
        start = stride * (count - 1)
        left = 0
        if start < length:
            try:
                left = network(image.narrow(axis, start, length - start)).shape[axis]
            except RuntimeError:  # too small for it
                left = 0
        if left != 1:
            raise ConfigError(
                f"{stride} is not the network's stride: it answers {count} times along {length} pixels; "
                "give the product of its layers' strides"
            )


def atrous(network: nn.Module, x: Tensor) -> Tensor:
    """Run a chain of layers without its strides, its filters spread instead: one answer a pixel, same weights.

    network: a Sequential (others may be nested in it) of convolutions, max and average pools, and layers that look at
    each pixel alone. (B, C, H, W) -> (B, K, H - R + 1, W - R + 1) where no layer pads. Raises ConfigError for a layer
    that has a window or changes the size, and is none of these, and for a pool whose windows depend on the border.
    """
    holes = (1, 1)  # how far apart the pixels stand that were neighbours before strides were dropped
    for layer in _chain(network):
        if getattr(layer, "ceil_mode", False) or getattr(layer, "divisor_override", None):
            raise ConfigError(f"{layer} cannot run à trous; give a pool with neither ceil_mode nor divisor_override")
        if isinstance(layer, nn.Conv2d):
            if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
                raise ConfigError(f"{layer} cannot run à trous; give its padding in numbers, of zeros")
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
                raise ConfigError(f"{layer} cannot run à trous; give a pool that counts what it pads, or pads nothing")
            height, width = _pair(layer.kernel_size)
            mean = x.new_full((1, 1, height, width), 1 / (height * width))
            alone = x.flatten(0, 1)[:, None]  # each channel for itself
            x = F.conv2d(alone, mean, None, 1, _times(layer.padding, holes), holes).unflatten(0, x.shape[:2])[:, :, 0]
        elif (
            hasattr(layer, "kernel_size") or hasattr(layer, "output_size") or isinstance(layer, SEES_MORE_THAN_A_PIXEL)
        ):
            raise ConfigError(
                f"{type(layer).__name__} cannot run à trous; expected convolutions, max or average pools, and layers "
                "that look at each pixel alone (convolutionalize turns fully connected layers into convolutions)"
            )
        else:
            size = x.shape[-2:]
            x = layer(x)
            if x.shape[-2:] != size:  # padding, upsampling ...: it would have to know the holes
                raise ConfigError(
                    f"{layer} cannot run à trous: it changes the map's size from {tuple(size)} to "
                    f"{tuple(x.shape[-2:])}; expected convolutions, pools, and layers that look at each pixel alone"
                )
            continue
        holes = _times(layer.stride, holes)
    return x


def total_stride(network: nn.Module) -> int:
    """f, the product of the strides of a chain of layers; the same along both axes, or ConfigError."""
    stride = (1, 1)
    for layer in _chain(network):
        stride = _times(getattr(layer, "stride", 1), stride)
    if stride[0] != stride[1]:
        raise ConfigError(f"the network strides by {stride[0]} down and by {stride[1]} to the right; expected the same")
    return stride[0]


def _chain(module: nn.Module) -> Iterator[nn.Module]:
    if isinstance(module, nn.Sequential):
        for child in module:
            yield from _chain(child)
    elif any(True for _ in module.children()):
        raise ConfigError(f"{type(module).__name__} is no chain of layers; give a Sequential of them")
    else:
        yield module


def _pair(value: int | tuple[int, ...] | None) -> Pair:
    return (value[0], value[1]) if isinstance(value, tuple) else (value or 0, value or 0)


def _times(value: int | tuple[int, ...] | str, holes: Pair) -> Pair:
    assert not isinstance(value, str)
    down, right = _pair(value)
    return down * holes[0], right * holes[1]


def convolutionalize(classifier: nn.Module, patch: tuple[int, int, int]) -> nn.Module:
    """The same network with its fully connected layers as convolutions: (B, C, H, W) -> (B, K, h, w), H and W free.

    classifier: (B, C, R, R) -> (B, K), anything that torch.fx can trace: chains, and also residual networks.
    patch: (C, R, R), what it was made for; there the answer is the classifier's own, as (B, K, 1, 1).

    A fully connected layer over a C x h x w map is a convolution with an h x w window; over a vector, one with a 1x1
    window. Global average pooling becomes average pooling of the map's size at R. Weights are copied. Raises
    ConfigError for a layer that mixes places in another way.
    """
    training = classifier.training
    traced = fx.symbolic_trace(copy.deepcopy(classifier).eval())
    weight = next(classifier.parameters())
    ShapeProp(traced).propagate(torch.zeros(1, *patch, dtype=weight.dtype, device=weight.device))
    windows: dict[fx.Node, Pair] = {}  # what gave a vector -> the h x w map, at R, that stands in its place
    for node in list(traced.graph.nodes):
        source = node.args[0] if node.args and isinstance(node.args[0], fx.Node) else None
        before, after = _shape(source), _shape(node)
        layer = traced.get_submodule(str(node.target)) if node.op == "call_module" else None
        if len(before) == 4 and isinstance(layer, (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)):
            _replace(traced, node, _sliding(layer, before[2:], after[2:]))
        elif len(before) == 4 and len(after) == 2 and node.target in ("mean", torch.mean):
            windows[_replace(traced, node, nn.AvgPool2d(_pair(before[2:]), 1))] = (1, 1)
        elif len(before) == 4 and len(after) == 2:  # flattened, by whatever name: the map stays a map
            windows[_replace(traced, node, nn.Identity())] = (before[2], before[3])
        elif source in windows and isinstance(layer, nn.Linear):
            windows[_replace(traced, node, _as_convolution(layer, windows[source]))] = (1, 1)
        elif source in windows and isinstance(layer, nn.BatchNorm1d) and windows[source] == (1, 1):
            windows[_replace(traced, node, _as_norm2d(layer))] = (1, 1)
        elif isinstance(layer, (nn.Linear, nn.BatchNorm1d)):
            raise ConfigError(
                f"{layer} ({node.target}) looks at {tuple(before)}, which is no flattened map; only classifiers whose "
                "fully connected layers follow a flattening can be convolutionalised"
            )
        elif source in windows:  # it looks at each value alone: dropout, ReLU ...
            windows[node] = windows[source]
    traced.graph.eliminate_dead_code()
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced.train(training)


def _shape(node: fx.Node | None) -> tuple[int, ...]:
    meta: Any = None if node is None else node.meta.get("tensor_meta")
    return tuple(meta.shape) if hasattr(meta, "shape") else ()


def _replace(traced: fx.GraphModule, node: fx.Node, layer: nn.Module) -> fx.Node:
    """Put a layer into a node's place, which is remembered to have given what the node gave."""
    name = f"{node.name}_dense"
    traced.add_submodule(name, layer)
    with traced.graph.inserting_after(node):
        fresh = traced.graph.call_module(name, (node.args[0],))
    fresh.meta = dict(node.meta)
    node.replace_all_uses_with(fresh)
    return fresh


def _sliding(layer: nn.Module, size: tuple[int, ...], out: tuple[int, ...]) -> nn.Module:
    """Adaptive pooling of a map of this size, as the sliding window that it is there."""
    if size == out:
        return nn.Identity()
    if out != (1, 1):
        raise ConfigError(
            f"adaptive pooling from {size} to {out} is no sliding window; give patches of the size it was made for"
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
