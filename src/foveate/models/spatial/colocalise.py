"""Co-localisation: spatial transformers that find the object common to a set of images, without labels.

Jaderberg, Simonyan, Zisserman and Kavukcuoglu, "Spatial Transformer Networks", NeurIPS 2015, appendix
("Co-localisation").

Shapes: B images I of C channels, H x W pixels; U their features, D' x H' x W'; T transformers, each with a window on U
that is sampled at h x w positions: D = D' h w values.

    theta_n = f_loc(U_n),  U_n = e(I_n)
    e_n = T_theta(U_n)                         the features in image n's window, of length 1
    r_n                                        the same for a window of this size elsewhere in image n
    L = mean over n, m != n of max(0, |e_n - e_m|^2 - |e_n - r_n|^2 + alpha)

The supervision is an assumption: of all windows, those on the common object are the most similar from image to image,
more similar than an object is to its surroundings. No label and no box is used. Where the assumption does not hold, the
loss prefers whatever else the images have in common.

Departures from the paper:

- Its e is a digit classifier's activations, trained with labels, on the window cropped from the image. Ours never saw a
  label of the objects: it is either 'random', convolutions that keep their random initial weights (Saxe et al., "On
  Random Weights and Unsupervised Feature Learning", 2011: with pooling, they already discriminate patterns), or a
  backbone with ImageNet weights. As e is convolutional, windows are cropped from the features: one forward pass serves
  all windows, and f_loc too.
- The features are scaled to length 1. Otherwise all empty windows are alike, and alpha = 1 has no meaning.
- Its f_loc predicts the window's size, too, and ends in fully connected layers. Ours ends in a map of scores, one per
  position, and the window's centre is the mean position under their softmax: what it learns of an object at one
  position holds at all. The size is given: left to the loss, it shrinks until windows hold mere texture.
- Windows that all avoid the object are a local minimum of L, too: backgrounds look alike. So the scores are initialised
  to the saliency of each window in its image (Itti, Koch and Niebur, "A Model of Saliency-Based Visual Attention",
  1998); f_loc may unlearn it.
- r is the window farthest from the predicted one, of a few drawn at random. A window in the middle overlaps with most
  others, and would seem less different from them than one in a corner.
- Several common objects: one transformer for each. None attends where an earlier one does (inhibition of return, from
  the same model of attention), and the overlap of two windows is penalised: RepBox of Wang et al., "Repulsion Loss:
  Detecting Pedestrians in a Crowd", CVPR 2018, equation 6, with sigma = 0, which is their intersection over union.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.backbones import create_backbone
from foveate.errors import ConfigError
from foveate.ops.sample import Attention, bilinear_sample
from foveate.records import ColocalisationBatch, ColocalisationOutput, Preprocessing, TransformerOutput
from foveate.registry import model

RANDOM = "random"
# 0..1 becomes 0..3.3: a black background stays 0, and digits have about unit variance.
STD = 0.3
LEVEL = 2  # index of the backbone's features that are used: those at stride 16
KERNEL = 5
ROUNDING = 1e-4  # tolerance of positions in -1..1, much less than a cell
TAKEN = 1e4  # subtracted from the scores of positions in another window; finite, in case no other is left


@dataclass(frozen=True)
class Config:
    """Configuration of the co-localiser. The defaults are for the paper's data, digits of 28x28 on 84x84.

    num_classes: number of kinds of objects that every image holds, usually 1 or 2. Every kind adds a window.
    in_channels: C, the number of channels of the images; 1 for grey. The data decides it in training.
    image_size: (height, width) in pixels, 16 or more each, to which images are resized after a central crop; (84, 84)
        in the paper. Larger images show smaller objects, and cost more.
    transformers: T, the number of windows; 0 stands for one per kind of objects.
    scale: side of a window as a share of the image's, between 0 and 1 (exclusive); 1/3 for digits of 28 on 84.
    view: (h, w), the grid of positions at which the features of a window are sampled, usually (4, 4) to (7, 7); more
        compares finer detail.
    encoder: e: 'random' convolutions, or the name of a backbone, of which the features at stride 16 are used.
    pretrained: start the backbone from ImageNet weights, as is usual, since its features are not trained; without
        effect on 'random'.
    widths: number of channels of each of the random encoder's convolutions, a pooling after each; usually (16, 32).
        More compare more, and coarsen the map.
    localise_widths: number of channels of each of the localisation network's convolutions, usually two or three of 32;
        more cost more.
    margin: alpha, the margin of the triplet loss, above 0, usually 1; features have length 1. A larger one goes on
        separating windows that differ already.
    random_windows: number of windows drawn at random in each image, the farthest of which is r; 1 or more, usually 16.
        More make r farther.
    repulsion: weight of the overlap of two windows in one image, 0 or more, usually 1; more drives windows apart.
    """

    num_classes: int = 1
    in_channels: int = 1
    image_size: tuple[int, int] = (84, 84)
    transformers: int = 0
    scale: float = 1 / 3
    view: tuple[int, int] = (7, 7)
    encoder: str = RANDOM
    pretrained: bool = True
    widths: tuple[int, ...] = (16, 32)
    localise_widths: tuple[int, ...] = (32, 32)
    margin: float = 1.0
    random_windows: int = 16
    repulsion: float = 1.0

    def __post_init__(self) -> None:
        if self.num_classes < 1 or self.in_channels < 1 or self.transformers < 0:
            raise ConfigError(
                f"num_classes {self.num_classes} and in_channels {self.in_channels} must be at least 1, transformers "
                f"{self.transformers} at least 0 (0 makes one per kind of objects)"
            )
        if not 0 < self.scale < 1:
            raise ConfigError(f"scale is {self.scale}; expected a window's share of the image's side, e.g. 0.33")
        for name, size, least in (("image_size", self.image_size, 16), ("view", self.view, 1)):
            if len(size) != 2 or min(size) < least:
                raise ConfigError(f"{name} is {tuple(size)}; expected (height, width), each {least} or more")
        if not self.widths or not self.localise_widths or min(*self.widths, *self.localise_widths) < 1:
            raise ConfigError(
                f"widths {self.widths} and localise_widths {self.localise_widths}; expected one or more numbers of "
                "channels in both"
            )
        if not self.margin > 0 or not self.repulsion >= 0 or self.random_windows < 1:
            raise ConfigError(
                f"margin {self.margin} must be above 0, repulsion {self.repulsion} 0 or more, random_windows "
                f"{self.random_windows} at least 1"
            )


class Encoder(nn.Module):
    """The feature extractor e, whose features are compared.

    It is frozen: always in evaluation mode and without gradients.

    net: (B, C, H, W) -> (B, D', H', W'), or a pyramid of them.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net.requires_grad_(False)
        self.train(False)

    def forward(self, image: Tensor) -> Tensor:
        """Return features U (B, D', H', W') of images (B, C, H, W), normalised."""
        features = self.net(image)
        u: Tensor = features if isinstance(features, Tensor) else features[LEVEL]
        return u

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode whatever `mode` is, so that batch statistics do not change."""
        return super().train(False)


class Localiser(nn.Module):
    """The localisation network f_loc: a feature map -> theta of T windows, each entirely inside the image.

    channels: D', the number of channels of the features.
    widths: number of channels of each of its convolutions.
    transformers: T, the number of windows.
    scale: side of a window as a share of the image's.
    """

    def __init__(self, channels: int, widths: tuple[int, ...], transformers: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.norm = nn.BatchNorm2d(channels, affine=False)  # the magnitude of features varies with the encoder
        layers: list[nn.Module] = []
        for before, after in pairwise((channels, *widths)):
            convolution = nn.Conv2d(before, after, KERNEL, padding=KERNEL // 2, bias=False)
            layers += [convolution, nn.BatchNorm2d(after), nn.ReLU()]
        # No bias: the softmax is invariant to a constant.
        self.score = nn.Sequential(*layers, nn.Conv2d(widths[-1], transformers, 1, bias=False))
        # Weight of the saliency, which has deviation 1. At 1 a window starts between two objects, at 6 on one of them.
        self.trust = nn.Parameter(torch.full((transformers, 1, 1), 6.0))

    def forward(self, features: Tensor) -> Tensor:
        """Return theta (B, T, 3) for features (B, D', H', W'): s, t_x, t_y of equation 2.

        Raises ConfigError for a map of a single position.
        """
        if features.shape[-2:].numel() == 1:
            raise ConfigError(
                "features of 1x1 have only one position for a window; give a larger image_size or fewer widths"
            )
        features = self.norm(features)
        return self.attend(self.score(features) + self.trust * saliency(features, self.scale))

    def attend(self, scores: Tensor) -> Tensor:
        """Return theta (B, T, 3) for scores (B, T, H', W'): a window's centre is the mean under their softmax."""
        scores = scores.to(torch.promote_types(scores.dtype, torch.float32))  # exact geometry, as in `ops.sample`
        height, width = scores.shape[-2:]
        y, x = (((2 * torch.arange(n, device=scores.device) + 1) / n - 1).to(scores) for n in (height, width))
        # A window's centre is no nearer to an edge than half its side. Cells half a cell beyond are admitted, so that
        # every position can be reached, and the tolerance is for the rounding of a cell that ends exactly there.
        reach = 1 - self.scale
        inside = (y.abs() <= reach + 1 / height + ROUNDING)[:, None] & (x.abs() <= reach + 1 / width + ROUNDING)
        centres: list[Tensor] = []
        for score in scores.unbind(1):
            for other in centres:  # inhibition of return: no centre of a window inside another
                horizontal, vertical = ((x - other[:, :1]).abs() < self.scale, (y - other[:, 1:]).abs() < self.scale)
                score = score - TAKEN * (vertical[:, :, None] & horizontal[:, None])
            attention = score.masked_fill(~inside, -torch.inf).flatten(1).softmax(1).unflatten(1, (height, width))
            centre = torch.stack([(attention.sum(1) * x).sum(1), (attention.sum(2) * y).sum(1)], 1)
            centres.append(centre.clamp(-reach, reach))
        t = torch.stack(centres, 1)
        return torch.cat([torch.full_like(t[:, :, :1], self.scale), t], 2)


def saliency(features: Tensor, scale: float) -> Tensor:
    """Return the saliency (B, 1, H', W') of windows: their features' (B, D', H', W') difference from the image's mean.

    It is the squared distance, averaged over the window around each position, standardised to mean 0 and deviation 1 in
    every image.

    scale: side of a window as a share of the image's.
    """
    difference = (features - features.mean((2, 3), keepdim=True)).square().mean(1, keepdim=True)
    kernel = [round((n * scale - 1) / 2) * 2 + 1 for n in features.shape[-2:]]  # the nearest odd numbers of cells
    averaged = F.avg_pool2d(difference, kernel, 1, [k // 2 for k in kernel], count_include_pad=False)
    deviation = averaged.std((2, 3), keepdim=True, correction=0)
    return (averaged - averaged.mean((2, 3), keepdim=True)) / (deviation + 1e-6)


def triplet_hinge(found: Tensor, elsewhere: Tensor, margin: float) -> Tensor:
    """Return the loss L, a scalar, for the features (B, D) of B images' windows, found and elsewhere.

    Raises ConfigError for fewer than two images.
    """
    near, far = distances(found, elsewhere)
    others = ~torch.eye(len(found), dtype=torch.bool, device=found.device)
    return (near - far[:, None] + margin)[others].clamp(min=0).mean()


def distances(found: Tensor, elsewhere: Tensor) -> tuple[Tensor, Tensor]:
    """Return |e_n - e_m|^2 (B, B) and |e_n - r_n|^2 (B,), for features (B, D) of both.

    Raises ConfigError for fewer than two images.
    """
    if len(found) < 2:
        raise ConfigError(f"co-localisation compares images; got a batch of {len(found)}, give 2 or more")
    exact = torch.promote_types(found.dtype, torch.float32)  # under autocast, too: the loss is reported to four digits
    found, elsewhere = found.to(exact), elsewhere.to(exact)
    # By differences, not by products, so that nearly equal windows keep their gradients.
    return (found[:, None] - found).square().sum(2), (found - elsewhere).square().sum(1)


def sample_windows(theta: Tensor, count: int, generator: torch.Generator | None = None) -> Tensor:
    """Draw the farthest of `count` windows at random positions for each window of theta (B, T, 3): (B, T, 3).

    count: number of windows drawn for each.
    generator: random generator of any device; None is torch's own of theta's.
    """
    with torch.no_grad():
        s, centre = theta.split([1, 2], 2)
        place = generator.device if generator else theta.device
        unit = torch.rand(count, *centre.shape, generator=generator, device=place, dtype=theta.dtype).to(theta.device)
        sampled = (2 * unit - 1) * (1 - s)
        # Farthest by the larger of both distances: squares cease to overlap at 2 s.
        farthest = (sampled - centre).abs().amax(3).argmax(0)[None, :, :, None]
        return torch.cat([s, sampled.take_along_dim(farthest, 0)[0]], 2)


def repulsion(theta: Tensor) -> Tensor:
    """Return the mean IoU of two windows of an image, for theta (B, T, 3) of one size; 0 where T is 1."""
    pairs = list(combinations(range(theta.shape[1]), 2))
    if not pairs:
        return theta.new_zeros(())
    first, second = (theta[:, list(side)] for side in zip(*pairs, strict=True))
    shared = (1 - (first - second)[..., 1:].abs() / (2 * first[..., :1])).clamp(min=0).prod(2)
    return (shared / (2 - shared)).mean()


@model("colocalise")
class Colocaliser(nn.Module):
    """Co-localisation: spatial transformers that find the objects common to images, without labels or boxes."""

    task: ClassVar[str] = "colocalisation"
    losses_of_a_set: ClassVar[tuple[str, ...]] = ("contrast",)

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        channels = config.in_channels
        if config.encoder == RANDOM:
            self.preprocessing = Preprocessing((0.0,) * channels, (STD,) * channels, tuple(config.image_size))
            self.encode, width = Encoder(_random_encoder(channels, config.widths)), config.widths[-1]
        else:
            backbone = create_backbone(config.encoder, channels, config.pretrained)
            own = backbone.preprocessing
            self.preprocessing = Preprocessing(own.mean, own.std, tuple(config.image_size))
            self.encode, width = Encoder(backbone), backbone.channels[LEVEL]
        transformers = config.transformers or config.num_classes
        self.localise = Localiser(width, config.localise_widths, transformers, config.scale)
        self.generate = Attention()
        # Size of a window's output in `forward`: as many pixels as it covers.
        self.shown = tuple(max(1, round(side * config.scale)) for side in config.image_size)

    def forward(self, image: Tensor) -> ColocalisationOutput:
        """Return each transformer's window and its pixels, for images (B, C, H, W), normalised and of image_size.

        Raises ConfigError for images of another size.
        """
        outputs = []
        for theta in self.localise(self._features(image)).unbind(1):
            grid = self.generate(theta, self.shown)
            outputs.append(TransformerOutput(theta, grid, bilinear_sample(image, grid)))
        return ColocalisationOutput(tuple(outputs))

    def compare(self, image: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Return theta (B, T, 3), e (T, B, D), and r (T, B, D) of newly drawn windows, for images (B, C, H, W).

        generator: random generator for the windows, as in `sample_windows`.
        """
        features = self._features(image)
        theta = self.localise(features)
        found, elsewhere = (
            torch.stack([self._contents(features, one) for one in windows.unbind(1)])
            for windows in (theta, sample_windows(theta, self.config.random_windows, generator))
        )
        return theta, found, elsewhere

    def loss(self, batch: ColocalisationBatch) -> dict[str, Tensor]:
        """Return the triplet loss, a mean over transformers, and the overlap of their windows.

        Raises as `triplet_hinge`.
        """
        theta, found, elsewhere = self.compare(batch["image"])
        margin = self.config.margin
        triplet = torch.stack([triplet_hinge(e, r, margin) for e, r in zip(found, elsewhere, strict=True)]).mean()
        overlap = repulsion(theta)
        return {"loss": triplet + self.config.repulsion * overlap, "triplet": triplet, "overlap": overlap}

    def _features(self, image: Tensor) -> Tensor:
        """Compute features U (B, D', H', W'). Raises ConfigError for images of another size."""
        expected = (self.config.in_channels, *self.config.image_size)
        if tuple(image.shape[1:]) != expected:
            raise ConfigError(
                f"images of shape {tuple(image.shape[1:])} for a network built for {expected}; resize them, or set "
                "in_channels and image_size"
            )
        features: Tensor = self.encode(image)
        return features

    def _contents(self, features: Tensor, theta: Tensor) -> Tensor:
        """Sample U (B, D', H', W') in the windows theta (B, 3): (B, D), of length 1; 0 where all values are 0."""
        height, width = self.config.view
        return F.normalize(bilinear_sample(features, self.generate(theta, (height, width))).flatten(1), dim=1)


def _random_encoder(channels: int, widths: tuple[int, ...]) -> nn.Sequential:
    """Build random convolutions: (B, C, H, W) -> (B, D', H / 2^n, W / 2^n)."""
    layers: list[nn.Module] = []
    for before, after in pairwise((channels, *widths)):
        convolution = nn.Conv2d(before, after, KERNEL, padding=KERNEL // 2)
        nn.init.kaiming_normal_(convolution.weight)
        nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
        layers += [convolution, nn.MaxPool2d(2, ceil_mode=True), nn.ReLU()]
    return nn.Sequential(*layers)
