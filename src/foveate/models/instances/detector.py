"""Object detector: boxes with classes, from region proposals and two layers on the features inside each.

Girshick, "Fast R-CNN" (2015), with the proposals of Ren, He, Girshick and Sun, "Faster R-CNN" (2015). The warp, the
sampling of boxes and the small form are those of the multi-task network cascade, which reads its boxes with the same
functions.

Shapes: B images, maps of a backbone, the joined map of D features on h x w cells, R boxes, K classes.

    features = join(maps)                                                  (B, D, h, w)
    boxes    = proposals(features)                                         (R, 4)
    F_roi    = maxpool2(warp(features, boxes))                             (R, D, 14, 14)
    z        = relu(fc(relu(fc(maxpool2(F_roi)))))                         (R, n), the vector of a box: fc7
    class    = fc(z), (R, K + 1);  deltas = fc(z), (R, K + 1, 4)

    L = L_rpn + mean cross-entropy of classes + sum smooth-L1(deltas of the true class) / R
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.backbones import STRIDES
from foveate.deferred import torchvision_ops
from foveate.errors import ConfigError
from foveate.models.instances.proposals import ProposalConfig, ProposalOutput, RegionProposals, random_part, smooth_l1
from foveate.ops.boxes import clip, covered_share, decode, encode
from foveate.ops.roi import roi_warp_max

DEVIATIONS = (0.1, 0.1, 0.2, 0.2)  # of deltas: they are divided by these before they are learned
ROI_SIZE = 14  # side of F_roi
PART = 128  # boxes that are classified together in answering; their features stay near the processor


@dataclass(frozen=True)
class DetectorConfig:
    """Configuration of a detector. The defaults are those of VGG-16 in the papers.

    width: 0 reads the backbone's map at `stride` (the paper's conv5_3); above 0 joins its maps into one of this many
        features, 64 to 256.
    stride: pixels between two cells of the map that is read: 16 in the paper; 4 or 8 for small objects.
    proposals: see `ProposalConfig`.
    rois: boxes of an image that classes and deltas are trained on; 64.
    hidden: units of each of the two layers on a box; 4096, or 256 on a CPU.
    dropout: share of these units that training drops; 0.5 in the paper, 0 where they are few.
    score_floor: detections with a lower score are dropped; 0.001 ranks nearly all, as AP wants.
    nms_iou: IoU of boxes above which the worse detection of a class goes; 0.3.
    detections: detections of an image that stay; 100, or 400 where images are crowded.
    """

    width: int = 0
    stride: Literal[4, 8, 16, 32] = 16
    proposals: ProposalConfig = field(default_factory=ProposalConfig)
    rois: int = 64
    hidden: int = 4096
    dropout: float = 0.5
    score_floor: float = 0.001
    nms_iou: float = 0.3
    detections: int = 100

    def __post_init__(self) -> None:
        if min(self.rois, self.hidden, self.detections) < 1 or self.width < 0 or not 0 <= self.dropout < 1:
            raise ConfigError(
                f"rois {self.rois}, hidden {self.hidden} and detections {self.detections} must be at least 1, width "
                f"{self.width} at least 0, dropout {self.dropout} from 0 to below 1"
            )


class Detections(NamedTuple):
    """Boxes of one image that stay, the best first."""

    boxes: Tensor  # (R, 4), inside the image
    labels: Tensor  # (R,) int64, classes without background
    scores: Tensor  # (R,) 0..1


class Detector(nn.Module):
    """Region proposals, and the class and the exact place of each.

    channels: features of the backbone's maps at strides 4 to 32. num_classes: K, without background.
    """

    def __init__(self, channels: Sequence[int], num_classes: int, config: DetectorConfig) -> None:
        super().__init__()
        self.config = config
        if config.width:
            self.lateral, self.join = joining_layers(channels, config.stride, config.width)
        features = config.width or channels[STRIDES.index(config.stride)]
        self.proposals = RegionProposals(features, config.stride, config.proposals)
        self.path = box_path(features, config.hidden, config.dropout)
        self.classify = nn.Linear(config.hidden, num_classes + 1)
        self.regress = nn.Linear(config.hidden, 4 * (num_classes + 1))
        for layer, deviation in ((self.classify, 0.01), (self.regress, 0.001)):
            nn.init.normal_(layer.weight, 0, deviation)
            nn.init.zeros_(layer.bias)
        self.register_buffer("deviations", torch.tensor(DEVIATIONS), persistent=False)
        self.deviations: Tensor

    def features(self, maps: Sequence[Tensor]) -> Tensor:
        """Return the map (B, D, h, w) that boxes are found on, from the backbone's maps."""
        if not self.config.width:
            return maps[STRIDES.index(self.config.stride)]
        return join_maps(self.lateral, self.join, maps)

    def vectors(self, features: Tensor, boxes: Tensor) -> Tensor:
        """Return the vector of each box (R, 4) of one image, (R, n), from its map (D, h, w)."""
        roi = roi_warp_max(features, boxes.detach(), ROI_SIZE, self.config.stride)
        vectors: Tensor = self.path(roi)
        return vectors

    def detect(self, features: Tensor, size: tuple[int, int]) -> Detections:
        """Return the detections of one image of a size (height, width) with the map (1, D, h, w)."""
        found = self.proposals(features)
        boxes = self.proposals.propose(found.scores[0], found.deltas[0], found.anchors, size)
        vectors = torch.cat([self.vectors(features[0], part) for part in in_parts(boxes)])
        scores = self.classify(vectors).float().softmax(1)[:, 1:]
        deltas = self.regress(vectors).float().unflatten(1, (-1, 4))[:, 1:]
        which, label = (scores > self.config.score_floor).nonzero().unbind(1)
        # Each class moves the box in its own way.
        moved = clip(decode(deltas[which, label] * self.deviations, boxes[which]), size)
        order, stay = ranked(moved, label, scores[which, label], size, self.config.nms_iou, self.config.detections)
        stay = order[stay]
        return Detections(moved[stay], label[stay], scores[which, label][stay])

    def loss(
        self,
        features: Tensor,
        truth: Sequence[Tensor],
        labels: Sequence[Tensor],
        sizes: Sequence[tuple[int, int]],
        crowds: Sequence[Tensor],
    ) -> dict[str, Tensor]:
        """Return the losses 'rpn_class', 'rpn_box', 'class' and 'box', each the mean over the images.

        features: (B, D, h, w). truth: (N, 4) true boxes of each image, labels: (N,) their classes. sizes: (height,
        width) of each before padding. crowds: (H, W) bool, pixels of each that are neither object nor background.
        """
        found = self.proposals(features)
        score, shift = self.proposals.loss(found, truth, sizes, crowds)
        each = [
            self._box_loss(features[i], found, i, truth[i], labels[i], sizes[i], crowds[i]) for i in range(len(truth))
        ]
        classes, boxes = (torch.stack(values).mean() for values in zip(*each, strict=True))
        return {"rpn_class": score, "rpn_box": shift, "class": classes, "box": boxes}

    def _box_loss(
        self,
        features: Tensor,
        found: ProposalOutput,
        index: int,
        truth: Tensor,
        labels: Tensor,
        size: tuple[int, int],
        crowds: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """The losses of classes and of deltas in one image."""
        proposed = self.proposals.propose(found.scores[index], found.deltas[index], found.anchors, size)
        boxes = sample_boxes(torch.cat([proposed.detach(), truth]), truth, crowds, self.config.rois)
        vectors = self.vectors(features, boxes)
        logits, deltas = self.classify(vectors).float(), self.regress(vectors).float().unflatten(1, (-1, 4))
        zero = deltas.sum() * 0
        if not len(boxes):
            return logits.sum() * 0, zero
        target = torch.zeros(len(boxes), dtype=torch.int64, device=boxes.device)  # 0 is background
        shift = zero
        if len(truth):
            best, owner = torchvision_ops.box_iou(boxes, truth).max(1)
            positive = (best >= 0.5).nonzero()[:, 0]
            owner = owner[positive]
            target[positive] = labels[owner] + 1
            aim = encode(truth[owner], boxes[positive]) / self.deviations
            shift = zero + smooth_l1(deltas[positive, target[positive]], aim, 1.0).sum() / len(boxes)
        return F.cross_entropy(logits, target), shift


def joining_layers(channels: Sequence[int], stride: int, width: int) -> tuple[nn.ModuleList, nn.Conv2d]:
    """Return the layers of `join_maps`, for maps of these channels at strides 4 to 32, down to `stride`."""
    read = [count for own, count in zip(STRIDES, channels, strict=True) if own >= stride]
    return nn.ModuleList(nn.Conv2d(count, width, 1) for count in read), nn.Conv2d(width, width, 3, padding=1)


def join_maps(lateral: nn.ModuleList, join: nn.Module, maps: Sequence[Tensor]) -> Tensor:
    """Join a backbone's maps into one (B, width, h, w) at the finest stride that has a lateral layer.

    Coarse to fine: each map is projected to the width and added to the sum so far, which is enlarged to its size.
    """
    joined: Tensor | None = None
    for layer, one in zip(lateral[::-1], maps[::-1], strict=False):
        finer = layer(one)
        joined = finer if joined is None else finer + F.interpolate(joined, size=finer.shape[-2:], mode="nearest")
    return torch.relu(join(joined))


def in_parts(boxes: Tensor) -> Sequence[Tensor]:
    """Split boxes (R, 4), so that the memory of their features is bounded; one part where a graph is exported."""
    return [boxes] if torch.compiler.is_exporting() else boxes.split(PART)


def box_path(features: int, hidden: int, dropout: float = 0.0) -> nn.Sequential:
    """Return two layers on F_roi (R, D, 14, 14), pooled to 7 x 7: fc6 and fc7, each with ReLU and dropout, if any."""

    def after() -> Iterable[nn.Module]:
        return (nn.ReLU(), nn.Dropout(dropout)) if dropout else (nn.ReLU(),)

    path = nn.Sequential(
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(features * (ROI_SIZE // 2) ** 2, hidden), *after(),
        nn.Linear(hidden, hidden), *after(),
    )  # fmt: skip
    for layer in path:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    return path


def sample_boxes(boxes: Tensor, truth: Tensor, crowds: Tensor, count: int) -> Tensor:
    """Return at most `count` boxes of one image for training.

    30 % with an IoU of 0.5 or more with a true box; of the rest 85 % from 0.1 up to 0.5 and 15 % below 0.1. Where one
    kind is short, the others fill up. Boxes that lie on `crowds` (H, W) bool by more than half are left
    out, unless positive.
    """
    plain = boxes.detach()
    best = torchvision_ops.box_iou(plain, truth).amax(1) if len(truth) else plain.new_zeros(len(plain))
    usable = covered_share(plain, crowds) <= 0.5
    positive = random_part((best >= 0.5).nonzero()[:, 0], round(0.3 * count))
    rest = count - len(positive)
    near_all = (usable & (best >= 0.1) & (best < 0.5)).nonzero()[:, 0]
    far = random_part((usable & (best < 0.1)).nonzero()[:, 0], max(round(0.15 * rest), rest - len(near_all)))
    near = random_part(near_all, rest - len(far))
    return boxes[torch.cat([positive, near, far])]


def ranked(
    boxes: Tensor, labels: Tensor, scores: Tensor, size: tuple[int, int], nms_iou: float, count: int
) -> tuple[Tensor, Tensor]:
    """Return the order (R,) of detections by falling score, and the places (S,) in it of those that stay.

    boxes: (R, 4), inside an image of a size (height, width). Each class is suppressed by itself at an IoU of boxes
    above `nms_iou`; then the best `count` over all classes stay.
    """
    order = scores.sort(descending=True).indices  # ONNX has no stable sort
    # Classes are moved apart by more than the image, so that one call suppresses each by itself.
    apart = boxes[order] + (labels[order] * (max(size) + 1))[:, None]
    return order, torchvision_ops.nms(apart, scores[order], nms_iou)[:count]
