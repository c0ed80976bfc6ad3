"""Co-localisation: find the object that pictures have in common, from the pictures alone.

Jaderberg, Simonyan, Zisserman and Kavukcuoglu, "Spatial Transformer Networks", NeurIPS 2015, appendix
("Co-localisation").

Shapes: B pictures I of C channels, H x W pixels; U their features, D' x H' x W'; T transformers, each with a window on
U that is read at h x w places: D = D' h w numbers.

    theta_n = f_loc(U_n),  U_n = e(I_n)
    e_n = T_theta(U_n)                         what the window of picture n holds, of length 1
    r_n                                        the same for a window of this size elsewhere in picture n
    L = mean over n, m != n of max(0, |e_n - e_m|^2 - |e_n - r_n|^2 + alpha)

The supervision is an assumption: of all windows, those on the common object are the ones that look alike from picture
to picture, more alike than an object and what lies around it. No label and no box is used. Where the assumption does
not hold, the loss prefers what else the pictures share.

Departures from the paper:

- Its e is a digit classifier's activations, trained with labels, on the window cut from the picture. Ours never saw a
  label of the objects: 'random' convolutions stay as they were thrown (Saxe et al., "On Random Weights and Unsupervised
  Feature Learning", 2011: with pooling, they already tell patterns apart), or e is a backbone with ImageNet weights. As
  e is convolutional, the window is cut from the features: one look at the picture serves all windows, and f_loc too.
- The features are scaled to length 1. Otherwise all empty windows are alike, and alpha = 1 means nothing.
- Its f_loc chooses the window's size, too, and ends in fully connected layers. Ours ends in a map of scores, one a
  place, whose softmax says where the middle of the window is on average: what it learns of an object at one place, it
  knows at all. The size is given: left to the loss, it shrinks until windows hold mere texture.
- Windows that all avoid the object are a valley of L, too: backgrounds look alike. So the scores begin with what
  stands out in its picture (Itti, Koch and Niebur, "A Model of Saliency-Based Visual Attention", 1998); f_loc may
  unlearn it.
- r is the farthest from the window of a few thrown at random. A window in the middle overlaps with most others, and
  would seem less unlike them than one in a corner.
- Several common objects: a transformer for each. None looks where an earlier one does (inhibition of return, from the
  same model of attention), and the overlap of two windows costs: RepBox of Wang et al., "Repulsion Loss: Detecting
  Pedestrians in a Crowd", CVPR 2018, equation 6, with sigma = 0, which is their intersection over union.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.backbones import create_backbone
from foveate.errors import ConfigError
from foveate.ops.sample import Attention, bilinear_sample
from foveate.records import ColocalisationBatch, ColocalisationOutput, Preprocessing, TransformerOutput
from foveate.registry import model

RANDOM = "random"
# 0..1 becomes 0..3.3: a black background stays 0, and digits come near to unit variance.
STD = 0.3
LEVEL = 2  # of a backbone's features: those at stride 16
KERNEL = 5
ROUNDING = 1e-4  # of places in -1..1, and much less than a cell
TAKEN = 1e4  # off the score of a place that another window holds; finite, should nothing else be left


@dataclass(frozen=True)
class Config:
    """What makes one co-localiser. The defaults are the paper's: digits of 28x28 on 84x84.

    num_classes: how many kinds of objects every picture holds.
    in_channels: C of the pictures.
    image_size: (height, width) of the pictures; others are brought to it.
    transformers: T; 0: one for each kind of objects.
    scale: the side of a window, as a share of the picture's.
    view: (h, w).
    encoder: e; 'random', or any backbone, of which the features at stride 16 are taken.
    pretrained: the backbone has ImageNet weights.
    widths: channels of the random encoder's convolutions, a pooling after each.
    localise_widths: channels of the convolutions that localise.
    margin: alpha.
    thrown: how many windows are thrown in each picture, the farthest of which is r.
    repulsion: weight of the overlap of two windows in one picture.
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
    thrown: int = 16
    repulsion: float = 1.0

    def __post_init__(self) -> None:
        if self.num_classes < 1 or self.in_channels < 1 or self.transformers < 0:
            raise ConfigError(
                f"num_classes {self.num_classes} and in_channels {self.in_channels} must be at least 1, transformers "
                f"{self.transformers} at least 0, which makes one for each kind of objects"
            )
        if not 0 < self.scale < 1:
            raise ConfigError(f"scale is {self.scale}; expected a window's share of the picture's side, e.g. 0.33")
        for name, size, least in (("image_size", self.image_size, 16), ("view", self.view, 1)):
            if len(size) != 2 or min(size) < least:
                raise ConfigError(f"{name} is {tuple(size)}; expected (height, width), each {least} or more")
        if not self.widths or not self.localise_widths or min(*self.widths, *self.localise_widths) < 1:
            raise ConfigError(
                f"widths {self.widths} and localise_widths {self.localise_widths}; expected one number of channels or "
                "more in both"
            )
        if not self.margin > 0 or not self.repulsion >= 0 or self.thrown < 1:
            raise ConfigError(
                f"margin {self.margin} must be above 0, repulsion {self.repulsion} 0 or more, thrown {self.thrown} at "
                "least 1"
            )


class Encoder(nn.Module):
    """e: what windows are compared by. It never learns, whatever is asked of it.

    net: (B, C, H, W) -> (B, D', H', W'), or a pyramid of them.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net.requires_grad_(False)
        self.train(False)

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, H, W), normalised -> U (B, D', H', W')."""
        features = self.net(image)
        u: Tensor = features if isinstance(features, Tensor) else features[LEVEL]
        return u

    def train(self, mode: bool = True) -> Self:
        """The statistics of norms stay, too."""
        return super().train(False)


class Localiser(nn.Module):
    """f_loc: a map of features -> theta of T windows, each wholly in the picture.

    channels: D'. widths: of its convolutions. scale: a window's share of the picture's side.
    """

    def __init__(self, channels: int, widths: tuple[int, ...], transformers: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.norm = nn.BatchNorm2d(channels, affine=False)  # features come in any size
        layers: list[nn.Module] = []
        for before, after in pairwise((channels, *widths)):
            convolution = nn.Conv2d(before, after, KERNEL, padding=KERNEL // 2, bias=False)
            layers += [convolution, nn.BatchNorm2d(after), nn.ReLU()]
        # The softmax does not see a constant.
        self.score = nn.Sequential(*layers, nn.Conv2d(widths[-1], transformers, 1, bias=False))
        # In what stands out, of deviation 1. At 1, a window begins between two things, at 6 on one of them.
        self.trust = nn.Parameter(torch.full((transformers, 1, 1), 6.0))

    def forward(self, features: Tensor) -> Tensor:
        """(B, D', H', W') -> theta (B, T, 3): s, t_x, t_y of equation 2. Raises ConfigError for a map of one place."""
        if features.shape[-2:].numel() == 1:
            raise ConfigError("features of 1x1 leave nothing to choose from; give a larger image_size or fewer widths")
        features = self.norm(features)
        return self.attend(self.score(features) + self.trust * stands_out(features, self.scale))

    def attend(self, scores: Tensor) -> Tensor:
        """Scores of places (B, T, H', W') -> theta (B, T, 3), each window's middle being the mean under its softmax."""
        scores = scores.to(torch.promote_types(scores.dtype, torch.float32))  # geometry is exact, as in `ops.sample`
        height, width = scores.shape[-2:]
        y, x = (((2 * torch.arange(n, device=scores.device) + 1) / n - 1).to(scores) for n in (height, width))
        # A window's middle is not nearer to an edge than half its side; but for half a cell, so that all can be said,
        # and for what rounding does to a cell that ends just there.
        reach = 1 - self.scale
        fits = (y.abs() <= reach + 1 / height + ROUNDING)[:, None] & (x.abs() <= reach + 1 / width + ROUNDING)
        middles: list[Tensor] = []
        for score in scores.unbind(1):
            for other in middles:  # inhibition of return: no middle of a window within another
                across, down = ((x - other[:, :1]).abs() < self.scale, (y - other[:, 1:]).abs() < self.scale)
                score = score - TAKEN * (down[:, :, None] & across[:, None])
            attention = score.masked_fill(~fits, -torch.inf).flatten(1).softmax(1).unflatten(1, (height, width))
            middle = torch.stack([(attention.sum(1) * x).sum(1), (attention.sum(2) * y).sum(1)], 1)
            middles.append(middle.clamp(-reach, reach))
        t = torch.stack(middles, 1)
        return torch.cat([torch.full_like(t[:, :, :1], self.scale), t], 2)


def stands_out(features: Tensor, scale: float) -> Tensor:
    """How unlike its picture's mean each window of features (B, D', H', W') is -> (B, 1, H', W').

    The squared distance, averaged over the window around each place; of mean 0 and deviation 1 in every picture.
    """
    unlike = (features - features.mean((2, 3), keepdim=True)).square().mean(1, keepdim=True)
    kernel = [round((n * scale - 1) / 2) * 2 + 1 for n in features.shape[-2:]]  # the nearest odd numbers of cells
    around = F.avg_pool2d(unlike, kernel, 1, [k // 2 for k in kernel], count_include_pad=False)
    deviation = around.std((2, 3), keepdim=True, correction=0)
    return (around - around.mean((2, 3), keepdim=True)) / (deviation + 1e-6)


def triplet_hinge(found: Tensor, elsewhere: Tensor, margin: float) -> Tensor:
    """What the windows found in B pictures hold, and others of the same pictures, (B, D) each -> L, a scalar.

    Raises ConfigError for fewer than two pictures.
    """
    near, far = distances(found, elsewhere)
    others = ~torch.eye(len(found), dtype=torch.bool, device=found.device)
    return (near - far[:, None] + margin)[others].clamp(min=0).mean()


def distances(found: Tensor, elsewhere: Tensor) -> tuple[Tensor, Tensor]:
    """(B, D) twice -> |e_n - e_m|^2 (B, B) and |e_n - r_n|^2 (B,). Raises ConfigError for fewer than two pictures."""
    if len(found) < 2:
        raise ConfigError(f"co-localisation compares pictures, and a batch of {len(found)} has no two; give 2 or more")
    exact = torch.promote_types(found.dtype, torch.float32)  # under autocast, too: it is told to four digits
    found, elsewhere = found.to(exact), elsewhere.to(exact)
    # Differences, not products: nearly equal windows keep their gradients.
    return (found[:, None] - found).square().sum(2), (found - elsewhere).square().sum(1)


def throw(theta: Tensor, count: int, generator: torch.Generator | None = None) -> Tensor:
    """For each window of theta (B, T, 3), the farthest of `count` like it at random places of the picture (B, T, 3).

    generator: what to draw from, on theta's device; None is torch's own.
    """
    with torch.no_grad():
        s, middle = theta.split([1, 2], 2)
        unit = torch.rand(count, *middle.shape, generator=generator, device=theta.device, dtype=theta.dtype)
        thrown = (2 * unit - 1) * (1 - s)
        # By the larger of both distances: 2 s is where squares cease to overlap.
        farthest = (thrown - middle).abs().amax(3).argmax(0)[None, :, :, None]
        return torch.cat([s, thrown.take_along_dim(farthest, 0)[0]], 2)


def repulsion(theta: Tensor) -> Tensor:
    """Windows (B, T, 3) of one size -> the mean intersection over union of two of a picture; 0 where T is 1."""
    pairs = list(combinations(range(theta.shape[1]), 2))
    if not pairs:
        return theta.new_zeros(())
    first, second = (theta[:, list(side)] for side in zip(*pairs, strict=True))
    shared = (1 - (first - second)[..., 1:].abs() / (2 * first[..., :1])).clamp(min=0).prod(2)
    return (shared / (2 - shared)).mean()


@model("colocalise")
class Colocaliser(nn.Module):
    """Co-localisation: spatial transformers that find what pictures have in common, without labels or boxes."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        channels = config.in_channels
        if config.encoder == RANDOM:
            self.preprocessing = Preprocessing((0.0,) * channels, (STD,) * channels, tuple(config.image_size))
            self.encode, width = Encoder(_thrown(channels, config.widths)), config.widths[-1]
        else:
            backbone = create_backbone(config.encoder, channels, config.pretrained)
            own = backbone.preprocessing
            self.preprocessing = Preprocessing(own.mean, own.std, tuple(config.image_size))
            self.encode, width = Encoder(backbone), backbone.channels[LEVEL]
        transformers = config.transformers or config.num_classes
        self.localise = Localiser(width, config.localise_widths, transformers, config.scale)
        self.generate = Attention()
        # What is shown of a window: as many pixels as it covers.
        self.shown = tuple(max(1, round(side * config.scale)) for side in config.image_size)

    def forward(self, image: Tensor) -> ColocalisationOutput:
        """(B, C, H, W), normalised and of image_size -> where each transformer looks, and what is to be seen there.

        Raises ConfigError for pictures of another size.
        """
        looks = []
        for theta in self.localise(self._features(image)).unbind(1):
            grid = self.generate(theta, self.shown)
            looks.append(TransformerOutput(theta, grid, bilinear_sample(image, grid)))
        return ColocalisationOutput(tuple(looks))

    def compare(self, image: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Pictures as `forward` takes them -> theta (B, T, 3), e (T, B, D), and r (T, B, D) of windows thrown anew.

        generator: what windows are thrown from, as in `throw`.
        """
        features = self._features(image)
        theta = self.localise(features)
        found, elsewhere = (
            torch.stack([self._contents(features, one) for one in windows.unbind(1)])
            for windows in (theta, throw(theta, self.config.thrown, generator))
        )
        return theta, found, elsewhere

    def loss(self, batch: ColocalisationBatch) -> dict[str, Tensor]:
        """The triplet loss, a mean over transformers, and the overlap of their windows. Raises as `triplet_hinge`."""
        theta, found, elsewhere = self.compare(batch["image"])
        margin = self.config.margin
        triplet = torch.stack([triplet_hinge(e, r, margin) for e, r in zip(found, elsewhere, strict=True)]).mean()
        overlap = repulsion(theta)
        return {"loss": triplet + self.config.repulsion * overlap, "triplet": triplet, "overlap": overlap}

    def _features(self, image: Tensor) -> Tensor:
        expected = (self.config.in_channels, *self.config.image_size)
        if tuple(image.shape[1:]) != expected:
            raise ConfigError(
                f"pictures of shape {tuple(image.shape[1:])} for a network made for {expected}; resize them, or set "
                "in_channels and image_size"
            )
        features: Tensor = self.encode(image)
        return features

    def _contents(self, features: Tensor, theta: Tensor) -> Tensor:
        """U (B, D', H', W'), theta (B, 3) -> what the windows hold, (B, D), of length 1; 0 where that is nothing."""
        height, width = self.config.view
        return F.normalize(bilinear_sample(features, self.generate(theta, (height, width))).flatten(1), dim=1)


def _thrown(channels: int, widths: tuple[int, ...]) -> nn.Sequential:
    """Random convolutions: (B, C, H, W) -> (B, D', H / 2^n, W / 2^n)."""
    layers: list[nn.Module] = []
    for before, after in pairwise((channels, *widths)):
        convolution = nn.Conv2d(before, after, KERNEL, padding=KERNEL // 2)
        nn.init.kaiming_normal_(convolution.weight)
        nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
        layers += [convolution, nn.MaxPool2d(2, ceil_mode=True), nn.ReLU()]
    return nn.Sequential(*layers)
