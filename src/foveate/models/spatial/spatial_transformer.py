"""Spatial transformer: a layer that crops and warps its input, and an image classifier built on it.

Jaderberg, Simonyan, Zisserman and Kavukcuoglu, "Spatial Transformer Networks", NeurIPS 2015.

Shapes: B images, C channels, H x W pixels, K classes; T transformers, each with P parameters and an output of h x w.

    theta = f_loc(U)              the localisation network                                    (section 3.1)
    grid = T_theta(G)             where in U each pixel of the regular grid G is sampled      (section 3.2)
    V = sample(U, grid)           bilinear, differentiable in U and in theta                  (section 3.3)

`SpatialTransformer` consists of these three steps and can be placed anywhere in a network, after or beside others of
its kind. The classifier has T of them side by side on the image and concatenates their outputs as channels (section 4.1
and the addition of digits in the appendix). Its coordinates and transformations are those of `ops.sample`.

"mlp" is the fully connected network that the paper calls FCN. As there, every variant has about 400 000 parameters.

Departures from the paper:

- Convolutions of "cnn" have stride 2 and batch norm, where the paper has large ones with pooling and without. On 28x28
  an image takes 1.9 million multiply-adds to classify, 0.24 million to localise.
- The localisation network of "cnn" sees the image at half its size.
- Fully connected layers may be batch-normalised (`dense_norm`), which the paper does without: in trainings of 6 000 to
  12 000 steps instead of its 150 000, sums of digits are not learned otherwise.
- The recipes train by AdamW with a falling learning rate and averaged weights, where the paper has SGD at 0.01 and a
  tenth of it after every 50 000 steps, and on digits that are slightly bent first (`--data.hand 0` turns it off).
- The recipes output views of 28x28 from larger images, too (`view`).
- Two transformers look at sums of digits in the recipes; the paper's table has one and two.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from foveate.errors import ConfigError
from foveate.ops.losses import label_cross_entropy
from foveate.ops.sample import Affine, Attention, Projective, ThinPlateSpline, Transform, bilinear_sample, lattice
from foveate.records import ClassificationBatch, ClassificationOutput, Preprocessing, TransformerOutput
from foveate.registry import model
from foveate.values import require_choices

# 0..1 becomes 0..3.3: a black background stays 0, and digits have about unit variance.
STD = 0.3
# The number of parameters of every network of section 4.1, and the minimal width of its hidden layers.
PARAMETERS, NARROWEST = 400_000, 32


@dataclass(frozen=True)
class Config:
    """Configuration of the classifier. The defaults are an ST-CNN with affine transformations, as in section 4.1.

    num_classes: K, the number of classes; 10 for digits. The data decides it in training.
    in_channels: C, the number of channels of the images; 1 for grey. The data decides it in training.
    image_size: (height, width) in pixels to which images are resized, after a central crop of this aspect ratio;
        usually 28 to 64 a side. Larger images show more, and cost more.
    network: 'cnn', or 'mlp' for fully connected layers alone, in the classifier and in the localisation network.
    transform: 'affine', 'attention' (zoom and shift), 'projective', 'tps' (thin plate spline), or 'none': the
        classifier without transformers, for comparison, which ignores the fields that describe them.
    transformers: T, the number of transformers side by side on the image, usually 1, or one for each object that
        matters; each adds a view to classify.
    view: (h, w), the size in pixels of each transformer's output; () is image_size. A smaller one makes the classifier
        cheaper.
    control_points: side of the spline's lattice, 2 or more; the paper's 4 makes 16 points, 32 parameters.
    widths: number of channels of each of the CNN's convolutions, which halve the sides: 5x5, then 3x3; usually 32 to
        128. More distinguish more, and cost more.
    hidden: number of units of the classifier's fully connected layers, one in the CNN and two in the MLP; 0 chooses the
        number that brings the whole network to 400 000 parameters, but at least 32.
    localise_widths: number of channels of each of the localisation network's convolutions, as `widths`; usually fewer.
    localise_hidden: number of units of the localisation network's fully connected layers, one in the CNN, three in the
        MLP; usually 32 to 64. More find poses more exactly, and leave less to the classifier if `hidden` is 0.
    dense_norm: apply batch norm to fully connected layers, too, as to convolutions always; true trains MLPs and sums of
        digits faster.
    background: value of the pixels outside of the image, 0..1; 0 is black, as in MNIST. A value unlike the images' own
        shows as an edge.
    dropout: probability of dropping a unit before the last layer, 0 or more and below 1; 0 to 0.5 is usual, more
        against overfitting.
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
            raise ConfigError(f"background {self.background:g} is not a pixel value; expected 0..1, 0 is black")
        for name, size in (("image_size", self.image_size), ("view", self.view or self.image_size)):
            if len(size) != 2 or min(size) < 1:
                raise ConfigError(f"{name} is {tuple(size)}; expected (height, width), each 1 or more")
        if self.network == "cnn" and not (self.widths and self.localise_widths and min(self.image_size) > 1):
            raise ConfigError(
                f"a CNN of widths {self.widths} and localise_widths {self.localise_widths} on {self.image_size}; "
                "expected one or more widths in both and images of 2x2 or more (network='mlp' has no convolutions)"
            )
        if self.network == "cnn" and min(*self.widths, *self.localise_widths) < 1:
            raise ConfigError(
                f"widths {self.widths} and localise_widths {self.localise_widths}; expected 1 or more channels each"
            )
        if self.control_points < 2:
            raise ConfigError(
                f"control_points is {self.control_points}; expected the side of a lattice, 2 or more (4 in the paper)"
            )
        if self.hidden < 0 or self.localise_hidden < 1 or not 0 <= self.dropout < 1:
            raise ConfigError(
                f"hidden {self.hidden} must be 0 or more, localise_hidden {self.localise_hidden} at least 1, dropout "
                f"{self.dropout} at least 0 and below 1"
            )


class SpatialTransformer(nn.Module):
    """Spatial transformer layer: localisation network, grid generator and sampler (figure 2).

    localise: the localisation network, (B, C, H, W) -> theta (B, P). End it with `regress` to start from the identity.
    transform: the grid generator, which defines P.
    size: (h, w), the size in pixels of the output; () keeps the map's own.
    background: value outside of the map, in the map's own units.
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
        """Return theta, the grid and the output (B, C, h, w) for maps (B, C, H, W).

        Raises ConfigError where theta is not (B, P).
        """
        height, width = self.size or x.shape[-2:]
        theta = self.localise(x)
        grid = self.generate(theta, (height, width))
        return TransformerOutput(theta, grid, bilinear_sample(x, grid, self.background))

    def extra_repr(self) -> str:
        """Return the text that `print(model)` shows in the brackets."""
        return f"size={self.size or 'of the input'}, background={self.background:g}"


def regress(features: int, transform: Transform) -> nn.Linear:
    """Build the last layer of a localisation network, (B, features) -> (B, P), initialised to the identity."""
    layer = nn.Linear(features, transform.count)
    nn.init.zeros_(layer.weight)
    layer.bias.data.copy_(transform.identity())
    return layer


def _transform(config: Config) -> Transform:
    """Build the grid generator that the config names."""
    if config.transform == "tps":
        return ThinPlateSpline(lattice(config.control_points))
    return {"affine": Affine, "attention": Attention, "projective": Projective}[config.transform]()


def _localisation(config: Config, transform: Transform) -> nn.Sequential:
    """Build the localisation network, (B, C, H, W) -> theta (B, P); in the CNN it sees a quarter of the pixels."""
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
    """Build strided convolutions with batch norm and ReLU, 5x5, then 3x3."""
    layers: list[nn.Module] = []
    for i, (before, after) in enumerate(pairwise((channels, *widths))):
        side = 5 if i == 0 else 3
        convolution = nn.Conv2d(before, after, side, stride=2, padding=side // 2, bias=False)
        nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
        layers += [convolution, nn.BatchNorm2d(after), nn.ReLU()]
    return layers


def _strided(height: int, width: int, widths: tuple[int, ...]) -> int:
    """Return the number of values per image that `_convolutions` outputs."""
    for _ in widths:
        height, width = -(-height // 2), -(-width // 2)
    return widths[-1] * height * width


def _needs_two(config: Config) -> bool:
    """Return True if a batch norm sees one value per image, so that a batch of one has no deviation."""
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
    """Build fully connected layers with ReLU, and batch norm if `norm`."""
    layers: list[nn.Module] = []
    for before, after in pairwise((inputs, *widths)):
        linear = nn.Linear(before, after)
        nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.BatchNorm1d(after), nn.ReLU()] if norm else [linear, nn.ReLU()]
    return layers


def _widest(inputs: int, layers: int, classes: int, budget: int) -> int:
    """Return the width at which one or two hidden layers and the last one have about `budget` weights."""
    # a width^2 + b width = budget
    if budget <= 0:  # the other layers alone have more
        return NARROWEST
    a, b = layers - 1, inputs + layers + classes
    width = budget / b if a == 0 else (math.sqrt(b * b + 4 * a * budget) - b) / (2 * a)
    return max(round(width), NARROWEST)


@model("spatial_transformer")
class SpatialTransformerClassifier(nn.Module):
    """Spatial transformer classifier: it warps its image to a canonical pose before it classifies it."""

    task: ClassVar[str] = "classification"

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
        used = sum(parameter.numel() for parameter in self.parameters())
        hidden = config.hidden or _widest(inputs, layers, classes, PARAMETERS - used)
        self.classify = nn.Sequential(
            nn.Flatten(),
            *_dense(inputs, (hidden,) * layers, config.dense_norm),
            nn.Dropout(config.dropout),
            nn.Linear(hidden, classes),
        )

    def forward(self, image: Tensor) -> ClassificationOutput:
        """Return logits (B, K) and each transformer's output, for images (B, C, H, W), normalised and of image_size.

        Raises ConfigError for images of another size.
        """
        if image.ndim != 4 or tuple(image.shape[1:]) != (self.config.in_channels, *self.config.image_size):
            raise ConfigError(
                f"images of shape {tuple(image.shape)} for a network built for "
                f"(B, {', '.join(map(str, (self.config.in_channels, *self.config.image_size)))}); resize them, or set "
                "in_channels and image_size"
            )
        transforms = tuple(transformer(image) for transformer in self.transformers)
        views = torch.cat([transform.output for transform in transforms], 1) if transforms else image
        return ClassificationOutput(self.classify(self.features(views)), transforms)

    def loss(self, batch: ClassificationBatch) -> dict[str, Tensor]:
        """Return the cross-entropy, weighted by class if the batch has class weights; nan where a theta is not finite.

        Raises ConfigError for a batch of one where a norm sees one value per image.
        """
        if self.training and len(batch["image"]) < 2 and _needs_two(self.config):
            raise ConfigError(
                "dense_norm, and batch norm of 1x1 maps, need more than one image in a batch; got 1, give a batch_size "
                "above 1"
            )
        output = self(batch["image"])
        # The sampler reads background where theta is nan; without this the loss would hide that a transformer diverged.
        invalid = sum((0 * transform.theta.sum() for transform in output.transforms), output.logits.new_zeros(()))
        return {"loss": label_cross_entropy(output.logits + invalid, batch["label"], batch.get("class_weights"))}
