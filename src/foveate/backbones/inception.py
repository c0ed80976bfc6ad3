"""Building blocks of the Inception trunks: tables of modules in the paper's terms, and the layers built from them.

Szegedy, Ioffe, Vanhoucke, Alemi, "Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning"
(2016). In its figures a convolution marked V is "valid" (no padding, the map shrinks), any other keeps the map's size.

Shapes: B images, C channels, H x W pixels.

A trunk ends in (B, c, h, w) with h = 8 for H = 299, as published (`valid=True`), or with ceil(H / 32) rows and columns
for any size (`valid=False`: layers marked V are padded, too). The weights are the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, fx, nn

from foveate.backbones.weights import adapt_input_channels
from foveate.deferred import timm
from foveate.errors import ConfigError, ModelError
from foveate.records import Preprocessing
from foveate.remote import quiet_hub

# Values of the authors' release: batch norm's epsilon, and one minus the decay of its running statistics.
EPSILON = 1e-3
RELEASED_MOMENTUM = 3e-4
# Channels are multiples of this at any width; all published ones are.
MULTIPLE = 8
# The smallest side of which valid convolutions leave a pixel: 75 -> 37 -> 35 -> 17 -> 15 -> 7 -> 3 -> 1.
LEAST = 75


@dataclass(frozen=True)
class Conv:
    """One convolution of a figure, with batch norm and ReLU.

    channels: number of output channels at width 1.
    kernel: side, or (height, width).
    stride: in pixels.
    valid: marked V in the figure, i.e. unpadded.
    """

    channels: int
    kernel: int | tuple[int, int] = 1
    stride: int = 1
    valid: bool = False

    @property
    def sides(self) -> tuple[int, int]:
        """Return height and width of the kernel."""
        return self.kernel if isinstance(self.kernel, tuple) else (self.kernel, self.kernel)


@dataclass(frozen=True)
class Pool:
    """A 3x3 pooling.

    kind: 'max' has stride 2 and is marked V; 'average' keeps the size and does not average padding.
    """

    kind: str


@dataclass(frozen=True)
class Fork:
    """Parallel branches on one input, their outputs concatenated."""

    chains: tuple[Chain, ...]


@dataclass(frozen=True)
class Residual:
    """x + scale * linear1x1(fork(x)), then ReLU unless it is left out (sections 3.2 and 3.3, figure 20)."""

    fork: Fork
    scale: float
    relu: bool = True


Layer = Conv | Pool | Fork | Residual
Chain = tuple[Layer, ...]
MAX, AVERAGE = Pool("max"), Pool("average")


def fork(*chains: Chain) -> Fork:
    """Build a Fork of chains."""
    return Fork(chains)


class ConvNorm(nn.Module):
    """Convolution without bias, batch norm, ReLU.

    The release's batch norm shifts but does not scale. Here it scales, too, initialised to one, as in all PyTorch ports
    of its weights, whose parameter counts include the scales.
    """

    def __init__(self, inside: int, layer: Conv, channels: int, padded: bool, momentum: float) -> None:
        super().__init__()
        kernel_height, kernel_width = layer.sides
        padding = (kernel_height // 2, kernel_width // 2) if padded else 0
        self.conv = nn.Conv2d(inside, channels, (kernel_height, kernel_width), layer.stride, padding, bias=False)
        self.norm = nn.BatchNorm2d(channels, EPSILON, momentum)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, channels, h', w') for x (B, c, h, w)."""
        return torch.relu(self.norm(self.conv(x)))


class Branches(nn.ModuleList):
    """Parallel modules, their outputs concatenated along the channels."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, the sum of the branches' channels, h', w') for x (B, c, h, w)."""
        return torch.cat([branch(x) for branch in self], 1)


class ResidualBranches(nn.Module):
    """Parallel branches whose projected and scaled output is added to their input."""

    def __init__(self, channels: int, branches: nn.Module, inner: int, scale: float, relu: bool) -> None:
        super().__init__()
        self.branches = branches
        self.up = nn.Conv2d(inner, channels, 1)  # linear: neither batch norm nor ReLU
        self.scale = scale
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, c, h, w) for x (B, c, h, w)."""
        x = x + self.scale * self.up(self.branches(x))
        return torch.relu(x) if self.relu else x


@dataclass(frozen=True)
class Builder:
    """Builds modules from tables.

    width: factor on every layer's channels, which are then rounded to a multiple of MULTIPLE.
    valid: True leaves layers marked V unpadded.
    momentum: of the batch norms' running statistics.
    """

    width: float
    valid: bool
    momentum: float

    def chain(self, inside: int, layers: Chain) -> tuple[nn.Module, int]:
        """Build the layers in sequence, a single one as itself, and return them with the channels that come out."""
        modules = []
        for layer in layers:
            module, inside = self._layer(inside, layer)
            modules.append(module)
        return (modules[0] if len(modules) == 1 else nn.Sequential(*modules)), inside

    def _layer(self, inside: int, layer: Layer) -> tuple[nn.Module, int]:
        if isinstance(layer, Conv):
            channels = self._scaled(layer.channels)
            padded = not (layer.valid and self.valid)
            return ConvNorm(inside, layer, channels, padded, self.momentum), channels
        if isinstance(layer, Pool):
            if layer.kind == "average":
                return nn.AvgPool2d(3, 1, padding=1, count_include_pad=False), inside
            return nn.MaxPool2d(3, 2, padding=0 if self.valid else 1), inside
        if isinstance(layer, Fork):
            built = [self.chain(inside, chain) for chain in layer.chains]
            return Branches(module for module, _ in built), sum(channels for _, channels in built)
        branches, inner = self._layer(inside, layer.fork)
        return ResidualBranches(inside, branches, inner, layer.scale, layer.relu), inside

    def _scaled(self, channels: int) -> int:
        return max(1, math.floor(channels * self.width / MULTIPLE + 0.5)) * MULTIPLE


class InceptionPyramid(nn.Module):
    """A trunk in four stages, which end at strides 4, 8, 16 and 32.

    A subclass defines the stages, and the names of the tensors in timm's checkpoints.
    """

    timm_name: ClassVar[str]
    published: ClassVar[tuple[int, int, int]]  # numbers of modules of the network with public weights

    def __init__(
        self, in_channels: int, stages: tuple[Chain, Chain, Chain, Chain], builder: Builder, modules: tuple[int, ...]
    ) -> None:
        super().__init__()
        if len(modules) != 3 or min(modules) < 1 or not 0 < builder.width < math.inf:
            raise ConfigError(
                f"modules {modules} and width {builder.width:g} do not define {self.timm_name}; give three numbers "
                f"of modules, each at least 1, e.g. {','.join(map(str, self.published))}, and a finite width above 0"
            )
        self.modules_a_stage = tuple(modules)
        self.in_channels, self.valid, self.width = in_channels, builder.valid, builder.width
        widths, inside, built = [], in_channels, []
        for stage in stages:
            module, inside = builder.chain(inside, stage)
            built.append(module)
            widths.append(inside)
        self.stem, self.a, self.b, self.c = built
        self.channels: tuple[int, ...] = tuple(widths)
        self.preprocessing = Preprocessing((0.5,) * in_channels, (0.5,) * in_channels)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return four feature maps, finest first, for images (B, C, H, W).

        Raises ConfigError for another shape, and below LEAST pixels a side, if valid.
        """
        require_images(image, self.in_channels, LEAST if self.valid else 0)
        features = [self.stem(image)]
        for stage in (self.a, self.b, self.c):
            features.append(stage(features[-1]))
        return features

    def from_timm(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the trunk's tensors in timm's state dict under this module's names."""
        raise NotImplementedError

    def load_timm(self, state: Mapping[str, Tensor]) -> None:
        """Load the trunk of timm's state dict; loading the classifier is left to the model.

        The first convolution is adapted to other numbers of input channels. Raises ModelError, before anything is
        changed, if the weights are of another architecture or size.
        """
        theirs, own = self.from_timm(state), self.state_dict()
        first = "stem.0.conv.weight"
        if first not in theirs:
            raise ModelError(
                f"the weights are not those of timm's {self.timm_name}; found {', '.join(list(state)[:3])} ...: give a "
                "checkpoint of it, or a run folder"
            )
        counters = {name for name in own if name.endswith("num_batches_tracked")}  # not in every checkpoint
        theirs[first] = adapt_input_channels(theirs[first], own[first].shape[1])
        missing = own.keys() - counters - theirs.keys()
        unexpected = [n for n, t in theirs.items() if n not in own or own[n].shape != t.shape]
        if missing or unexpected:
            name = unexpected[0] if unexpected else min(missing)
            raise ModelError(
                f"the weights are not those of this {self.timm_name}: {name} has shape {_shape(theirs, name)}, here "
                f"{_shape(own, name)}; public ones are for width 1 and modules {','.join(map(str, self.published))}"
            )
        self.load_state_dict(theirs, strict=False)

    def imagenet_weights(self) -> dict[str, Tensor]:
        """Return timm's state dict with ImageNet weights, from its cache or the hub.

        Raises ConfigError if this trunk is not the published one, ModelError without a network connection.
        """
        if self.width != 1 or self.modules_a_stage != self.published:
            published = ",".join(map(str, self.published))
            raise ConfigError(
                f"ImageNet weights of {self.timm_name} are for width 1 and modules {published}; this one has width "
                f"{self.width:g} and modules {','.join(map(str, self.modules_a_stage))}: set --config.width 1 "
                f"--config.modules {published}, or drop pretrained"
            )
        try:
            with quiet_hub():
                state: dict[str, Tensor] = timm.create_model(self.timm_name, pretrained=True).state_dict()
        except (RuntimeError, OSError) as error:
            raise ModelError(
                f"ImageNet weights of '{self.timm_name}' could not be loaded ({type(error).__name__}); connect to the "
                "internet once, or train from scratch with --config.pretrained false"
            ) from error
        return state


def require_classifier(config: Any) -> None:
    """Raise ConfigError for values of a classifier's `Config` that do not fit: what both classifiers have in common."""
    if config.num_classes < 1 or not 0 <= config.dropout < 1 or not 0 <= config.label_smoothing < 1:
        raise ConfigError(
            f"num_classes {config.num_classes} must be at least 1, dropout {config.dropout:g} and label_smoothing "
            f"{config.label_smoothing:g} at least 0 and below 1"
        )
    if config.in_channels < 1 or not 0 <= config.norm_momentum <= 1:
        raise ConfigError(
            f"in_channels {config.in_channels} must be at least 1, norm_momentum {config.norm_momentum:g} in 0..1"
        )
    if not 0 < config.crop <= 1:
        raise ConfigError(f"crop is {config.crop:g}; expected a share above 0 and at most 1, e.g. 0.875")
    least = LEAST if config.valid else 1
    if len(config.image_size) != 2 or min(config.image_size) < least:
        raise ConfigError(
            f"image_size {config.image_size}; expected a height and a width of at least {least}"
            + (", or set valid to false to pad every convolution" if config.valid else "")
        )


@torch.no_grad()
def load_classifier(head: nn.Linear, state: Mapping[str, Tensor], name: str, trunk: str) -> str:
    """Load the linear layer `name` of a state dict if it has as many classes; return a description of what was loaded.

    head: the layer to load into.
    trunk: name of the network that the state dict is of, for the description.
    """
    weight, bias = state.get(f"{name}.weight"), state.get(f"{name}.bias")
    if weight is None or bias is None:
        return f"{trunk}: the trunk (the weights have no classifier)"
    if weight.shape != head.weight.shape:
        return f"{trunk}: the trunk (its classifier has {len(weight)} classes, this model {head.out_features})"
    head.weight.copy_(weight)
    head.bias.copy_(bias)
    return f"{trunk}: every layer"


def require_images(image: Tensor, channels: int, least: int) -> None:
    """Raise ConfigError for an input that is not (B, C, H, W), or has too few pixels a side for valid convolutions.

    channels: C, the network's number of input channels.
    least: smallest side in pixels.
    """
    if torch.compiler.is_exporting():  # an exported file has no errors of ours; the check would fix its sizes
        return
    if image.ndim != 4 or image.shape[1] != channels:
        raise ConfigError(
            f"images of shape {tuple(image.shape)} for a network of {channels} channels; give it (B, {channels}, H, "
            "W), or set in_channels"
        )
    height, width = image.shape[-2:]
    if min(height, width) < least:
        raise ConfigError(
            f"an image of {height}x{width} pixels; valid convolutions need at least {least} a side: enlarge it "
            "(--config.image_size), or pad every convolution with --config.valid false"
        )


fx.wrap("require_images")  # one node of a traced graph: a condition on a size cannot be traced


def initialise_he(trunk: nn.Module) -> None:
    """Initialise as Inception-v4's release: He's normal, truncated at two deviations, of variance 2 / fan-in.

    The release compensates the truncation by a factor of 1.3 on the variance. A trunk's convolutions have no biases.
    """
    for module in trunk.modules():
        if isinstance(module, nn.Conv2d):
            _truncated_normal(module.weight, math.sqrt(1.3 * 2 / module.weight[0].numel()))


@torch.no_grad()
def _truncated_normal(weight: Tensor, deviation: float) -> None:
    """Fill with normal values; those beyond two deviations are drawn again. Faster than nn.init.trunc_normal_."""
    values = weight.normal_(0, deviation).view(-1)
    if values.is_meta:
        return
    beyond = (values.abs() > 2 * deviation).nonzero()[:, 0]
    while len(beyond):
        values[beyond] = torch.empty_like(values[beyond]).normal_(0, deviation)
        beyond = beyond[values[beyond].abs() > 2 * deviation]


def initialise_xavier(module: nn.Module) -> None:
    """Initialise as Inception-ResNet-v2's release and both classifiers: Xavier's uniform weights, biases 0."""
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def _shape(state: Mapping[str, Tensor], name: str) -> str:
    return str(tuple(state[name].shape)) if name in state else "none (it is missing)"
