"""Hypercolumns: the outline of an object from many layers at once, by logistic classifiers on a grid in its box.

Hariharan, Arbeláez, Girshick and Malik, "Hypercolumns for Object Segmentation and Fine-grained Localization" (2015).
Sizes, sampling and weights that the paper leaves open are the released code's.

Shapes: B images, C channels, H x W pixels; R boxes; L layers; K classes; a grid of G x G classifiers, S x S places of a
box.

    F_l(place)     layer l of the network, interpolated at a place of the box          the hypercolumn, section 3
    s_k(place)   = sum_l w_(l,k) . F_l(place) + b_k                                    classifier k of the box's class
    p(place)     = sum_k a_k(place) sigmoid(s_k(place))                                the grid, section 3
    a_k(place)     bilinear weight of the place between the nearest middles of the grid's cells; sum_k a_k = 1

    L = sum over boxes of min(area / reference^2, 1) mean log loss of p / boxes  +  the losses of the detector

A linear classifier and an interpolation commute, so each layer is classified where it is coarse, and what is
interpolated is the scores (section 3). The last layer, fc7 of the box, has no places: one vector a box.

Boxes and classes come from the `Detector` that is trained with the rest, or from any other run (`--boxes`).

Departures from the paper and the released code:

- The detector is Faster R-CNN on the same backbone, trained at once; the release fine-tunes Fast R-CNN on external
  proposals first, the paper takes the boxes of SDS, moves and widens them, and scores the outlined regions again.
- Layers are normalised by batch norm without scale and shift; the release multiplies them by 0.0027 and 0.063, which
  belong to its weights.
- Places of a box are the middles of its cells for the truth, too; the release reads the truth at points that include
  both ends.
- Training boxes are true ones whose sides are moved at random; the release draws detected boxes with an IoU of 0.7 or
  more. Classes of the image's objects are drawn evenly, then one of their boxes, as there.
- fc7's classifier learns at the rate of the others; a tenth of it in the release.
- fc6 and fc7 read the box by warping and pooling from 14 x 14 to 7 x 7 cells; the release pools directly.
- The mask is interpolated between its places in the image, and is not averaged over superpixels.
- The position of a place in its box is not a feature of the column; the grid of classifiers is what depends on it.
- With `pretrained`, the convolutions alone start from ImageNet; in the release fc6 and fc7 do, too.
- Crowds are neither objects nor background in the losses; the release has none.

With a timm backbone, for a CPU: layers at strides 4, 8 and 16 and the vector of the box, whose detector reads a joined
map with small fully connected layers. This is ours.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.backbones import STRIDES, VGG16Pyramid, create_backbone
from foveate.errors import ConfigError
from foveate.models.instances.detector import Detector, DetectorConfig
from foveate.ops.boxes import clip
from foveate.ops.roi import crop_masks, crop_region, roi_warp_one
from foveate.records import Preprocessing
from foveate.records.instances import InstanceBatch, InstanceOutput
from foveate.registry import model
from foveate.values import require_choices

LEAST_IOU = 0.7  # of a training box with its object
JITTER = 0.2  # largest move of a side of a training box, as a share of the box


@dataclass(frozen=True)
class Config:
    """Configuration of hypercolumns. The defaults are the released VGG-16 network: pool3, pool4 and fc7.

    num_classes: K, classes of objects; 20 for Pascal VOC. Background is no class of its own.
    in_channels: C, the number of channels of the images; 3 for RGB.
    backbone: 'vgg16', or any timm network with features at strides 4, 8, 16 and 32.
    pretrained: start the backbone from ImageNet weights.
    strides: strides of the maps that are read, of 4, 8, 16 and 32; (8, 16) are pool3 and pool4 of VGG-16, which has
        none at 4.
    vector: read the vector of the box (fc7), too. True with no strides reads the last layer alone.
    grid: G, classifiers along each side of a box; 5 in the release, 10 in the paper, 1 for a classifier everywhere.
    size: S, places along each side of a box; 50, or 28 for small objects.
    kernel: side of the window that the finest map is classified from; 3 in the release, 1 in the equations.
    boxes: boxes of an image that the outlines are trained on; 5 in the release.
    reference: side in pixels of the square from whose area on a box weighs 1 in the loss; smaller ones weigh less in
        proportion to their area. 224 in the release; 0 gives all boxes the same weight.
    mask_weight: weight of the log loss, a mean over places, beside the detector's losses; 2500 is the release's sum.
    end_to_end: let the outlines train the layers that they read, too; False trains the classifiers alone, as released.
    detector: see `DetectorConfig`.
    """

    num_classes: int = 20
    in_channels: int = 3
    backbone: str = "vgg16"
    pretrained: bool = False
    strides: tuple[int, ...] = (8, 16)
    vector: bool = True
    grid: int = 5
    size: int = 50
    kernel: int = 3
    boxes: int = 5
    reference: float = 224.0
    mask_weight: float = 2500.0
    end_to_end: bool = False
    detector: DetectorConfig = field(default_factory=DetectorConfig)

    def __post_init__(self) -> None:
        require_choices(self)
        if min(self.num_classes, self.in_channels, self.grid, self.size, self.boxes) < 1:
            raise ConfigError(
                "num_classes, in_channels, grid, size and boxes must be at least 1; got "
                f"{self.num_classes}, {self.in_channels}, {self.grid}, {self.size}, {self.boxes}"
            )
        if self.kernel < 1 or not self.kernel % 2 or self.reference < 0 or self.mask_weight <= 0:
            raise ConfigError(
                f"kernel {self.kernel} must be odd, reference {self.reference} at least 0, mask_weight "
                f"{self.mask_weight} above 0"
            )
        possible = STRIDES[1:] if self.backbone == "vgg16" else STRIDES
        if list(self.strides) != sorted(set(self.strides)) or not set(self.strides) <= set(possible):
            raise ConfigError(
                f"strides are {self.strides}; expected some of {', '.join(map(str, possible))}, finest first"
            )
        if not self.strides and not self.vector:
            raise ConfigError("no layer is left to read; give strides, or vector true")


class Outlines(NamedTuple):
    """Masks of the boxes of one image."""

    masks: Tensor  # (R, S, S) p, 0..1: the probability that a place of the box belongs to the object
    layers: Tensor  # (L, R, S, S): the part of each layer in the mixed score sum_k a_k s_k; maps first, then the vector


@model("hypercolumns")
class Hypercolumns(nn.Module):
    """Hypercolumns: outlines of detected objects from many layers, by a grid of logistic classifiers in each box."""

    task: ClassVar[str] = "instances"

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.max_detections: int = config.detector.detections
        self.backbone: nn.Module
        if config.backbone == "vgg16":
            self.backbone = VGG16Pyramid(config.in_channels, config.pretrained, pooled=False)
        else:
            self.backbone = create_backbone(config.backbone, config.in_channels, config.pretrained)
        self.preprocessing: Preprocessing = self.backbone.preprocessing
        self.detector = Detector(self.backbone.channels, config.num_classes, config.detector)
        channels = self._read_channels()
        classifiers = config.num_classes * config.grid**2
        self.norms = nn.ModuleList(nn.BatchNorm2d(count, affine=False) for count in channels)
        kernels = [config.kernel if level == 0 else 1 for level in range(len(channels))]
        self.score = nn.ModuleList(
            nn.Conv2d(count, classifiers, kernel, padding=kernel // 2, bias=False)
            for count, kernel in zip(channels, kernels, strict=True)
        )
        if config.vector:
            self.score_vector = nn.Linear(config.detector.hidden, classifiers, bias=False)
        self.bias = nn.Parameter(torch.zeros(config.num_classes, config.grid**2))
        for name, weight in self.named_parameters():
            if name.startswith("score"):
                nn.init.normal_(weight, 0, 0.01)
        self.register_buffer("mix", grid_weights(config.grid, config.size), persistent=False)
        self.mix: Tensor  # a, (G * G, S, S)
        # The score from which an object counts as found, chosen on the validation images.
        self.register_buffer("score_threshold", torch.tensor(0.5))
        self.score_threshold: Tensor

    def _read_channels(self) -> list[int]:
        own: tuple[int, ...] = self.backbone.channels  # type: ignore[assignment]
        if self.config.backbone == "vgg16":  # pool3 has the channels of conv3_3
            own = (0, *own[:3])
        return [own[STRIDES.index(stride)] for stride in self.config.strides]

    def layers(self, maps: list[Tensor]) -> list[Tensor]:
        """Return the maps that hypercolumns read, normalised, from the backbone's."""
        if self.config.backbone == "vgg16":
            maps = [maps[0], *(F.max_pool2d(one, 2, ceil_mode=True) for one in maps[:3])]
        read = [maps[STRIDES.index(stride)] for stride in self.config.strides]
        if not self.config.end_to_end:
            read = [one.detach() for one in read]
        return [norm(one) for norm, one in zip(self.norms, read, strict=True)]

    def maps(self, image: Tensor) -> list[Tensor]:
        """Return the backbone's maps of images (B, C, H, W) of any size; they cover them, padded to whole cells."""
        height, width = image.shape[-2:]
        maps: list[Tensor] = self.backbone(F.pad(image, (0, -width % 32, 0, -height % 32)))
        return maps

    def scores(self, layers: list[Tensor], features: Tensor, boxes: Tensor, labels: Tensor) -> list[Tensor]:
        """Return what each layer adds to s_k in the boxes (R, 4) of one image: (R, G * G, S, S), of the vector 1 x 1.

        layers: normalised maps (c, h, w) of the image. features: the detector's map (D, h, w). labels: (R,).
        """
        config = self.config
        count, cells = config.num_classes, config.grid**2
        which = labels
        chosen: Tensor | None = None
        if self.training and len(labels):  # the classifiers of classes that are not there need no map
            chosen, which = labels.unique(return_inverse=True)
        parts = []
        for stride, layer, score in zip(config.strides, layers, self.score, strict=True):
            weight = score.weight.unflatten(0, (count, cells))  # type: ignore[operator]
            weight = weight if chosen is None else weight[chosen]
            maps = F.conv2d(layer[None], weight.flatten(0, 1), padding=weight.shape[-1] // 2)[0]
            parts.append(roi_warp_one(maps.unflatten(0, (-1, cells)), which, boxes, config.size, stride))
        if config.vector:
            vectors = self.detector.vectors(features, boxes)
            vectors = vectors if config.end_to_end else vectors.detach()
            own = self.score_vector(vectors).unflatten(1, (count, cells))
            parts.append(own.gather(1, labels[:, None, None].expand(-1, 1, cells))[:, 0, :, None, None])
        return parts

    def probabilities(self, parts: list[Tensor], labels: Tensor) -> Tensor:
        """Return p, (R, S, S), from the scores of all layers: each classifier's sigmoid first, then their mixture."""
        bias = self.bias[labels][:, :, None, None]
        total = bias.expand(-1, -1, self.config.size, self.config.size)
        for part in parts:
            total = total + part
        return (self.mix * total.float().sigmoid()).sum(1)

    # Answering

    def forward(self, image: Tensor) -> InstanceOutput:
        """Detections of one image (1, C, H, W), normalised, of any size."""
        maps = self.maps(image)
        features = self.detector.features(maps)
        found = self.detector.detect(features, (image.shape[-2], image.shape[-1]))
        layers = [layer[0] for layer in self.layers(maps)]
        parts = self.scores(layers, features[0], found.boxes, found.labels)
        masks = self.probabilities(parts, found.labels)
        return InstanceOutput(found.boxes, found.labels, found.scores, masks, torch.ones_like(found.labels) > 0)

    def outline(self, image: Tensor, boxes: Tensor, labels: Tensor) -> Outlines:
        """Outline the objects of one image (1, C, H, W), normalised, in boxes (R, 4) of any source with labels (R,).

        Raises ConfigError for a box that has no part of the image, and for a label that is no class.
        """
        size = (image.shape[-2], image.shape[-1])
        inside = clip(boxes, size)
        empty = ((inside[:, 2:] - inside[:, :2]) <= 0).any(1)
        if bool(empty.any()):
            box = [round(v, 2) for v in boxes[empty][0].tolist()]
            raise ConfigError(f"box {box} has no part of the image of {size[1]} x {size[0]} pixels; leave it out")
        if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < self.config.num_classes:
            raise ConfigError(f"labels up to {int(labels.max())}; expected 0 to {self.config.num_classes - 1}")
        return self.draw(image, boxes, labels)

    def draw(self, image: Tensor, boxes: Tensor, labels: Tensor) -> Outlines:
        """Outline objects as `outline` does, but without checking boxes and labels, so that it can be exported."""
        maps = self.maps(image)
        layers = [layer[0] for layer in self.layers(maps)]
        parts = self.scores(layers, self.detector.features(maps)[0], boxes, labels)
        return Outlines(self.probabilities(parts, labels), torch.stack([(self.mix * part).sum(1) for part in parts]))

    # Training

    def loss(self, batch: InstanceBatch) -> dict[str, Tensor]:
        """Return the sum of all losses as 'loss', and each as the mean over the images, without gradients."""
        maps = self.maps(batch["image"])
        features = self.detector.features(maps)
        sizes, boxes, labels = batch["image_sizes"], batch["boxes"], batch["labels"]
        totals = self.detector.loss(features, boxes, labels, sizes, batch["crowds"])
        layers = self.layers(maps)
        masks = []
        for index, size in enumerate(sizes):
            chosen, owner = draw_boxes(boxes[index], labels[index], self.config.boxes, size)
            own = labels[index][owner]
            parts = self.scores([layer[index] for layer in layers], features[index], chosen, own)
            found = self.probabilities(parts, own)
            masks.append(self._log_loss(found, batch["masks"][index][owner], chosen, batch["crowds"][index]))
        totals["mask"] = torch.stack(masks).mean()
        loss = sum((self.config.mask_weight if name == "mask" else 1.0) * value for name, value in totals.items())
        assert isinstance(loss, Tensor)
        return {"loss": loss, **{name: value.detach() for name, value in totals.items()}}

    def _log_loss(self, found: Tensor, masks: Tensor, boxes: Tensor, crowds: Tensor) -> Tensor:
        """The log loss of p, (R, S, S), against the true masks (R, H, W): the mean over places, weighed by area.

        Places on `crowds` (H, W) do not count.
        """
        if not len(found):
            return found.sum()
        goal = (crop_masks(masks, boxes, self.config.size) > 0.5).float()
        counts = crop_region(crowds, boxes, self.config.size) <= 0.5
        losses = F.binary_cross_entropy(found, goal, reduction="none") * counts
        losses = losses.sum((1, 2)) / counts.sum((1, 2)).clamp(min=1)
        if self.config.reference:
            area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
            losses = losses * (area / self.config.reference**2).clamp(max=1)
        return losses.mean()


def grid_weights(grid: int, size: int) -> Tensor:
    """Return a, (grid * grid, size, size): the weight of each classifier at each place of a box; they sum to 1.

    Bilinear between the middles of the grid's cells, (y + 0.5) grid / size - 0.5, clamped at the outermost.
    """
    at = ((torch.arange(size, dtype=torch.float64) + 0.5) * grid / size - 0.5).clamp(0, grid - 1)
    along = (1 - (at - torch.arange(grid, dtype=torch.float64)[:, None]).abs()).clamp(min=0)  # (grid, size)
    return (along[:, None, :, None] * along[None, :, None, :]).flatten(0, 1).float()


def draw_boxes(truth: Tensor, labels: Tensor, count: int, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Draw `count` boxes near true ones (N, 4), with replacement; none of an image without objects.

    A class is drawn evenly, then one of its objects. Each side moves by up to JITTER of the box; a box that would have
    an IoU below LEAST_IOU with its object stays the true one. Returns boxes (count, 4) inside the image of a size
    (height, width), and the index (count,) of each one's object.
    """
    if not len(truth):
        return truth, labels
    chances = 1 / torch.bincount(labels)[labels].float()
    owner = torch.multinomial(chances, count, replacement=True)
    exact = truth[owner]
    sides = (exact[:, 2:] - exact[:, :2]).repeat(1, 2)
    strength = JITTER * torch.rand(count, 1, device=truth.device)
    moved = clip(exact + strength * sides * (2 * torch.rand(count, 4, device=truth.device) - 1), size)
    corner, end = torch.maximum(moved[:, :2], exact[:, :2]), torch.minimum(moved[:, 2:], exact[:, 2:])
    shared = (end - corner).clamp(min=0).prod(1)
    either = (moved[:, 2:] - moved[:, :2]).prod(1) + sides[:, :2].prod(1) - shared
    return torch.where((shared >= LEAST_IOU * either)[:, None], moved, exact), owner
