"""Spatial transformer: a layer that chooses where to look, and a digit classifier that stands on it.

Jaderberg, Simonyan, Zisserman and Kavukcuoglu, "Spatial Transformer Networks", NeurIPS 2015.

Shapes: B pictures, C channels, H x W pixels, K classes; T transformers, each with P parameters and views of h x w.

    theta = f_loc(U)              the localisation network                                    (section 3.1)
    grid = T_theta(G)             where in U each pixel of the regular grid G is read         (section 3.2)
    V = sample(U, grid)           bilinear, differentiable in U and in theta                  (section 3.3)

`SpatialTransformer` is these three and can be put anywhere into a network, behind or beside others of its kind. The
classifier has T of them side by side on the picture and reads their views as channels (section 4.1 and the addition of
digits in the appendix). Its coordinates and transformations are those of `ops.sample`.

"mlp" is the fully connected network that the paper calls FCN. As there, every variant has about 400 000 parameters.
Departures of "cnn": convolutions of stride 2 with batch norm, where the paper has large ones with pooling and without;
localisation looks at the picture at half its size. On 28x28 a picture takes 1.9 million multiply-adds to classify, 0.24
million to localise. Batch norm of fully connected layers (`dense_norm`), which the paper does without, is for trainings
of 6 000 to 12 000 steps instead of its 150 000, in which sums of digits are not learned otherwise. The recipes train
so, by AdamW with a falling rate and averaged weights instead of SGD at 0.01 and a tenth of it after every 50 000 steps,
and hand on views of 28x28 from larger pictures, too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from foveate.errors import ConfigError
from foveate.ops.losses import label_cross_entropy
from foveate.ops.sample import Affine, Attention, Projective, ThinPlateSpline, Transform, bilinear_sample, lattice
from foveate.records import ClassificationBatch, ClassificationOutput, Preprocessing, TransformerOutput
from foveate.registry import model
from foveate.values import require_choices

# 0..1 becomes 0..3.3: a black background stays 0, and digits come near to unit variance.
STD = 0.3
# The size of every network of section 4.1, and the least that its hidden layers may be squeezed to.
PARAMETERS, NARROWEST = 400_000, 32


@dataclass(frozen=True)
class Config:
    """What makes one spatial transformer classifier. The defaults are section 4.1's ST-CNN with affine transformations.

    num_classes: K.
    in_channels: C of the pictures.
    image_size: (height, width) of the pictures; others are brought to it.
    network: 'cnn', or 'mlp' for fully connected layers alone, in the classifier and in the localisation network.
    transform: 'affine', 'attention' (zoom and shift), 'projective', 'tps' (thin plate spline), or 'none': the bare
        classifier, to compare with, whatever is said of transformers below.
    transformers: T, how many look at the picture side by side.
    view: (h, w) of what each hands on; () is image_size. A smaller one makes the classifier cheaper.
    control_points: the side of the spline's lattice; the paper's 4 makes 16 points, 32 parameters.
    widths: channels of the CNN's convolutions, of which each halves the sides: 5x5, then 3x3.
    hidden: width of the classifier's fully connected layers, one in the CNN and two in the MLP; 0 chooses the one that
        brings the whole network to 400 000 parameters, but at least 32.
    localise_widths: channels of the convolutions that localise, as `widths`.
    localise_hidden: width of the fully connected layers that localise, one in the CNN and three in the MLP.
    dense_norm: whether fully connected layers are normalised over the batch, too, as convolutions always are.
    background: what lies around a picture, as a picture value in 0..1.
    dropout: in front of the last layer.
    """

    num_classes: int = 10
    in_channels: int = 1
    image_size: tuple[int, int] = (28, 28)
    network: Literal["cnn", "mlp"] = "cnn"
    transform: Literal["none", "affine", "attention", "projective", "tps"] = "affine"
    transformers: int = 1
    view: tuple[int, ...] = ()
    control_points: int = 4
    widths: tuple[int, ...] = (32, 64, 64)
    hidden: int = 0
    localise_widths: tuple[int, ...] = (24, 48)
    localise_hidden: int = 64
    dense_norm: bool = False
    background: float = 0.0
    dropout: float = 0.0

    def __post_init__(self) -> None:
        require_choices(self)
        if self.num_classes < 1 or self.in_channels < 1 or self.transformers < 1:
            raise ConfigError(
                f"num_classes {self.num_classes}, in_channels {self.in_channels} and transformers "
                f"{self.transformers} must be at least 1; transform='none' is a network without transformers"
            )
        if not 0 <= self.background <= 1:
            raise ConfigError(f"background {self.background:g} is no picture value; give one in 0..1, 0 being black")
        for name, size in (("image_size", self.image_size), ("view", self.view or self.image_size)):
            if len(size) != 2 or min(size) < 1:
                raise ConfigError(f"{name} is {tuple(size)}; expected (height, width), each 1 or more")
        if self.network == "cnn" and not (self.widths and self.localise_widths and min(self.image_size) > 1):
            raise ConfigError(
                f"a CNN of widths {self.widths} and localise_widths {self.localise_widths} on {self.image_size}; "
                "expected one width or more in both and pictures of 2x2 or more (network='mlp' has no convolutions)"
            )
        if self.network == "cnn" and min(*self.widths, *self.localise_widths) < 1:
            raise ConfigError(
                f"widths {self.widths} and localise_widths {self.localise_widths}; expected channels of 1 or more"
            )
        if self.control_points < 2:
            raise ConfigError(
                f"control_points is {self.control_points}; give the side of a lattice, 2 or more (the paper has 4)"
            )
        if self.hidden < 0 or self.localise_hidden < 1 or not 0 <= self.dropout < 1:
            raise ConfigError(
                f"hidden {self.hidden} must be 0 or more, localise_hidden {self.localise_hidden} at least 1, dropout "
                f"{self.dropout} at least 0 and below 1"
            )


class SpatialTransformer(nn.Module):
    """Look at a map where it is worth it: localisation network, grid generator, sampler (figure 2).

    localise: (B, C, H, W) -> theta (B, P). Let it end in `regress`, so that it starts by changing nothing.
    transform: the grid generator, which says P.
    size: (h, w) to hand on; () keeps the map's own.
    background: what lies around the map, in its own values.
    """

    def __init__(
        self, localise: nn.Module, transform: Transform, size: tuple[int, ...] = (), background: float = 0.0
    ) -> None:
        super().__init__()
        self.localise = localise
        self.generate = transform
        self.size = size
        self.background = background

    def forward(self, x: Tensor) -> TransformerOutput:
        """(B, C, H, W) -> theta, the grid and the view (B, C, h, w). Raises ConfigError where theta is not (B, P)."""
        height, width = self.size or x.shape[-2:]
        theta = self.localise(x)
        grid = self.generate(theta, (height, width))
        return TransformerOutput(theta, grid, bilinear_sample(x, grid, self.background))

    def extra_repr(self) -> str:
        """What `print(model)` shows between the brackets."""
        return f"size={self.size or 'as it came'}, background={self.background:g}"


def regress(features: int, transform: Transform) -> nn.Linear:
    """The last layer of a localisation network, (B, features) -> (B, P): at first the identity for every map."""
    layer = nn.Linear(features, transform.count)
    nn.init.zeros_(layer.weight)
    layer.bias.data.copy_(transform.identity())
    return layer


def _transform(config: Config) -> Transform:
    if config.transform == "tps":
        return ThinPlateSpline(lattice(config.control_points))
    return {"affine": Affine, "attention": Attention, "projective": Projective}[config.transform]()


def _localisation(config: Config, transform: Transform) -> nn.Sequential:
    """(B, C, H, W) -> theta (B, P), from a quarter of the pixels in the CNN."""
    height, width = config.image_size
    if config.network == "mlp":
        inputs, norm = config.in_channels * height * width, config.dense_norm
        layers = [nn.Flatten(), *_dense(inputs, (config.localise_hidden,) * 3, norm)]
    else:
        inputs = _strided(height // 2, width // 2, config.localise_widths)
        layers = [
            nn.AvgPool2d(2),
            *_convolutions(config.in_channels, config.localise_widths),
            nn.Flatten(),
            *_dense(inputs, (config.localise_hidden,), config.dense_norm),
        ]
    return nn.Sequential(*layers, regress(config.localise_hidden, transform))


def _convolutions(channels: int, widths: tuple[int, ...]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for i, (before, after) in enumerate(pairwise((channels, *widths))):
        side = 5 if i == 0 else 3
        convolution = nn.Conv2d(before, after, side, stride=2, padding=side // 2, bias=False)
        nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
        layers += [convolution, nn.BatchNorm2d(after), nn.ReLU()]
    return layers


def _strided(height: int, width: int, widths: tuple[int, ...]) -> int:
    """How many values `_convolutions` leaves of a picture."""
    for _ in widths:
        height, width = -(-height // 2), -(-width // 2)
    return widths[-1] * height * width


def _needs_two(config: Config) -> bool:
    """Whether a batch norm sees one value of each picture, so that a batch of one has no deviation."""
    if config.dense_norm:
        return True
    if config.network == "mlp":
        return False
    height, width = config.image_size
    if config.transform != "none":
        if _strided(height // 2, width // 2, config.localise_widths) == config.localise_widths[-1]:
            return True
        height, width = config.view or config.image_size
    return _strided(height, width, config.widths) == config.widths[-1]


def _dense(inputs: int, widths: tuple[int, ...], norm: bool) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for before, after in pairwise((inputs, *widths)):
        linear = nn.Linear(before, after)
        nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.BatchNorm1d(after), nn.ReLU()] if norm else [linear, nn.ReLU()]
    return layers


def _widest(inputs: int, layers: int, classes: int, budget: int) -> int:
    """The width at which one or two hidden layers and the last one have about `budget` weights."""
    # a width^2 + b width = budget
    if budget <= 0:  # the rest alone has more
        return NARROWEST
    a, b = layers - 1, inputs + layers + classes
    width = budget / b if a == 0 else (math.sqrt(b * b + 4 * a * budget) - b) / (2 * a)
    return max(round(width), NARROWEST)


@model("spatial_transformer")
class SpatialTransformerClassifier(nn.Module):
    """Spatial transformer: a classifier that moves, turns and bends its picture upright first."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        channels, classes = config.in_channels, config.num_classes
        height, width = config.image_size
        self.preprocessing = Preprocessing((0.0,) * channels, (STD,) * channels, size=(height, width))
        self.transformers = nn.ModuleList()
        if config.transform != "none":
            height, width = config.view or config.image_size
            channels *= config.transformers
            for _ in range(config.transformers):
                transform = _transform(config)
                localise = _localisation(config, transform)
                self.transformers.append(
                    SpatialTransformer(localise, transform, (height, width), config.background / STD)
                )
        self.features = nn.Sequential()
        inputs, layers = channels * height * width, 2
        if config.network == "cnn":
            self.features.extend(_convolutions(channels, config.widths))
            inputs, layers = _strided(height, width, config.widths), 1
        spent = sum(parameter.numel() for parameter in self.parameters())
        hidden = config.hidden or _widest(inputs, layers, classes, PARAMETERS - spent)
        self.classify = nn.Sequential(
            nn.Flatten(),
            *_dense(inputs, (hidden,) * layers, config.dense_norm),
            nn.Dropout(config.dropout),
            nn.Linear(hidden, classes),
        )

    def forward(self, image: Tensor) -> ClassificationOutput:
        """(B, C, H, W), normalised and of image_size -> logits (B, K), and what each transformer saw.

        Raises ConfigError for pictures of another size.
        """
        if image.ndim != 4 or tuple(image.shape[1:]) != (self.config.in_channels, *self.config.image_size):
            raise ConfigError(
                f"pictures of shape {tuple(image.shape)} for a network made for "
                f"(B, {', '.join(map(str, (self.config.in_channels, *self.config.image_size)))}); resize them, or set "
                "in_channels and image_size"
            )
        looks = tuple(transformer(image) for transformer in self.transformers)
        seen = torch.cat([look.output for look in looks], 1) if looks else image
        return ClassificationOutput(self.classify(self.features(seen)), looks)

    def loss(self, batch: ClassificationBatch) -> dict[str, Tensor]:
        """Cross-entropy, weighted by class where the batch says so; not a number where a theta is none.

        Raises ConfigError for a batch of one where something is normalised over pictures alone.
        """
        if self.training and len(batch["image"]) < 2 and _needs_two(self.config):
            raise ConfigError(
                "dense_norm, and norms of maps of one place, are over the pictures of a batch, and this one has 1; "
                "give a batch_size above 1"
            )
        output = self(batch["image"])
        # The sampler reads background where theta is not a number, and the network would go on without its transformer.
        dead = sum((0 * look.theta.sum() for look in output.transforms), output.logits.new_zeros(()))
        return {"loss": label_cross_entropy(output.logits + dead, batch["label"], batch.get("class_weights"))}
