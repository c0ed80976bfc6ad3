"""Region proposal network: boxes that may hold an object, from the features of the whole image.

Ren, He, Girshick and Sun, "Faster R-CNN: Towards Real-Time Object Detection with Region Proposal Networks" (2015),
section 3.1; sizes and sampling as in the released Python code.

Shapes: B images, a map of D features on h x w cells, A anchors a cell, N true boxes, P proposals.

    z = relu(conv3x3(features));  score = conv1x1(z), (B, 2 A, h, w);  deltas = conv1x1(z), (B, 4 A, h, w)
    L = mean cross-entropy of sampled anchors + sum smooth-L1(deltas - encode(truth, anchor)) of positive ones / sampled

Departures from the release:

- Boxes are not counted inclusively: a box is right - left wide.
- The score of an anchor is one logit with a sigmoid instead of two with a softmax, which is the same function.
- An anchor that is positive as a true box's best regresses to this box; there, to the one that it overlaps most.

Anchors that cross the image's border are left out of the loss, as there, unless `crossing` is set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.deferred import torchvision_ops
from foveate.errors import ConfigError
from foveate.ops.anchors import base_anchors, place_anchors
from foveate.ops.boxes import clip, covered_share, decode, encode, sides


@dataclass(frozen=True)
class ProposalConfig:
    """Configuration of a region proposal network. The defaults are the paper's.

    scales: sides of the square anchors in cells of `cell` pixels; the paper's 8, 16, 32 are 128, 256, 512 pixels.
        Choose them around the sizes of the objects.
    ratios: height / width of the anchors.
    cell: pixels that scale 1 stands for; 16 in the paper, whatever the map's stride.
    channels: width of the 3x3 convolution; 512 in the paper, 64 to 256 on a CPU.
    pre_nms: best boxes that enter suppression, in training and in answering; 12000 and 6000.
    post_nms: proposals of an image that survive it, in training and in answering; 300 in the MNC release, more where
        images are crowded.
    nms_iou: IoU above which the worse of two boxes is suppressed; 0.7.
    min_side: boxes with a shorter side are dropped, in pixels; 16 in the release, 3 or so where objects are small.
    anchors: anchors of an image in the loss, at most half of them positive; 256.
    sigma: smooth-L1 is quadratic below 1 / sigma^2; 3.
    crossing: let anchors that cross the border take part in the loss; needed where training crops cut objects.
    """

    scales: tuple[float, ...] = (8.0, 16.0, 32.0)
    ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    cell: int = 16
    channels: int = 512
    pre_nms: tuple[int, int] = (12000, 6000)
    post_nms: tuple[int, int] = (300, 300)
    nms_iou: float = 0.7
    min_side: float = 16.0
    anchors: int = 256
    sigma: float = 3.0
    crossing: bool = False

    def __post_init__(self) -> None:
        if min(*self.pre_nms, *self.post_nms, self.channels, self.anchors) < 1 or not 0 < self.nms_iou <= 1:
            raise ConfigError(
                f"pre_nms {self.pre_nms}, post_nms {self.post_nms}, channels {self.channels} and anchors "
                f"{self.anchors} must be at least 1, nms_iou {self.nms_iou} above 0 and at most 1"
            )


def dense_proposals(scales: tuple[float, ...], ratios: tuple[float, ...]) -> ProposalConfig:
    """Return proposals for small networks on crowded images: many boxes, anchors in cells of 4 pixels, on borders, too.

    scales, ratios: as in `ProposalConfig`. Of 2,000 boxes before suppression, a few large objects take all.
    """
    return ProposalConfig(
        scales=scales, ratios=ratios, cell=4, channels=64, pre_nms=(4000, 6000), post_nms=(500, 1000), min_side=3,
        crossing=True,
    )  # fmt: skip


class ProposalOutput(NamedTuple):
    """Scores and deltas of all anchors of a batch; anchors are ordered as `place_anchors` has them."""

    scores: Tensor  # (B, h w A) logits
    deltas: Tensor  # (B, h w A, 4)
    anchors: Tensor  # (h w A, 4)


class RegionProposals(nn.Module):
    """Region proposal network on one feature map.

    channels: D, features of the map. stride: pixels between two of its cells.
    """

    def __init__(self, channels: int, stride: int, config: ProposalConfig) -> None:
        super().__init__()
        self.config, self.stride = config, stride
        base = base_anchors(config.cell, config.scales, config.ratios)
        # The anchors stand around the middle of the map's own cell.
        self.register_buffer("base", base + (stride - config.cell) / 2, persistent=False)
        self.base: Tensor
        self.conv = nn.Conv2d(channels, config.channels, 3, padding=1)
        self.score = nn.Conv2d(config.channels, len(base), 1)
        self.delta = nn.Conv2d(config.channels, 4 * len(base), 1)
        for layer in (self.conv, self.score, self.delta):
            nn.init.normal_(layer.weight, 0, 0.01)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> ProposalOutput:
        """Score and shift the anchors of a map (B, D, h, w)."""
        z = torch.relu(self.conv(features))
        scores = self.score(z).permute(0, 2, 3, 1).flatten(1)
        deltas = self.delta(z).permute(0, 2, 3, 1).unflatten(-1, (-1, 4)).flatten(1, 3)
        anchors = place_anchors(self.base, (features.shape[2], features.shape[3]), self.stride)
        return ProposalOutput(scores.float(), deltas.float(), anchors)

    def propose(self, scores: Tensor, deltas: Tensor, anchors: Tensor, size: tuple[int, int]) -> Tensor:
        """Return the best boxes (P, 4) of one image of a size (height, width), the best first.

        scores: (hwA,), deltas: (hwA, 4). The choice of boxes has no gradient, the boxes themselves have.
        """
        config, training = self.config, self.training
        boxes = clip(decode(deltas, anchors), size)
        width, height = sides(boxes.detach())
        large = (width >= config.min_side) & (height >= config.min_side)
        ranked = torch.where(large, scores.detach().sigmoid(), -1.0).sort(descending=True).indices
        ranked = ranked[: config.pre_nms[0 if training else 1]]
        ranked = ranked[large[ranked]]
        kept = torchvision_ops.nms(boxes.detach()[ranked], scores.detach()[ranked], config.nms_iou)
        return boxes[ranked[kept[: config.post_nms[0 if training else 1]]]]

    def loss(
        self,
        output: ProposalOutput,
        truth: Sequence[Tensor],
        sizes: Sequence[tuple[int, int]],
        crowds: Sequence[Tensor],
    ) -> tuple[Tensor, Tensor]:
        """Return the losses of scores and of deltas, each the mean over the images.

        truth: (N, 4) true boxes of each image. sizes: (height, width) of each before padding. crowds: (H, W) bool,
        pixels of each that are neither object nor background.
        """
        totals = []
        for index, boxes in enumerate(truth):
            labels, matched = label_anchors(output.anchors, boxes, sizes[index], self.config.crossing, crowds[index])
            chosen = sample(labels, self.config.anchors, self.config.anchors // 2)
            positive = chosen[labels[chosen] == 1]
            score = F.binary_cross_entropy_with_logits(output.scores[index, chosen], labels[chosen].float())
            target = encode(boxes[matched[positive]], output.anchors[positive])
            shift = smooth_l1(output.deltas[index, positive], target, self.config.sigma).sum()
            totals.append(torch.stack([score if len(chosen) else shift * 0, shift / max(1, len(chosen))]))
        both = torch.stack(totals).mean(0)
        return both[0], both[1]


def label_anchors(
    anchors: Tensor, truth: Tensor, size: tuple[int, int], crossing: bool, crowds: Tensor
) -> tuple[Tensor, Tensor]:
    """Return labels (A,) of anchors, 1 object, 0 background, -1 neither, and the index (A,) of each one's true box.

    Positive: IoU of 0.7 or more with a true box, or the highest of any anchor with it. Negative: below 0.3 with all,
    and not by more than half on `crowds` (H, W) bool.
    """
    height, width = size
    inside = (anchors[:, :2] >= 0).all(1) & (anchors[:, 2] <= width) & (anchors[:, 3] <= height)
    # Padding is no part of the image: an anchor around a place outside of it is never used.
    centre = (anchors[:, :2] + anchors[:, 2:]) / 2
    used = (centre[:, 0] < width) & (centre[:, 1] < height) if crossing else inside
    labels = torch.full((len(anchors),), -1, dtype=torch.int64, device=anchors.device)
    matched = torch.zeros_like(labels)
    if not len(truth):
        labels[used] = 0
    else:
        overlaps = torchvision_ops.box_iou(truth, anchors) * used  # (N, A)
        best, matched = overlaps.max(0)
        labels[used & (best < 0.3)] = 0
        labels[used & (best >= 0.7)] = 1
        highest = overlaps.max(1).values.clamp(min=1e-6)
        ties = (overlaps == highest[:, None]).nonzero()
        labels[ties[:, 1]], matched[ties[:, 1]] = 1, ties[:, 0]
    labels[(labels == 0) & (covered_share(anchors, crowds) > 0.5)] = -1
    return labels, matched


def sample(labels: Tensor, count: int, positives: int) -> Tensor:
    """Return the indices of at most `count` random anchors, at most `positives` of them positive."""
    good, bad = (labels == 1).nonzero()[:, 0], (labels == 0).nonzero()[:, 0]
    good = random_part(good, positives)
    return torch.cat([good, random_part(bad, count - len(good))])


def random_part(indices: Tensor, count: int) -> Tensor:
    """Return at most `count` of the indices, at random."""
    return indices[torch.randperm(len(indices), device=indices.device)[:count]]


def smooth_l1(value: Tensor, target: Tensor, sigma: float) -> Tensor:
    """Return sigma^2 d^2 / 2 where |d| < 1 / sigma^2, and |d| - 1 / (2 sigma^2) elsewhere, d = value - target."""
    return F.smooth_l1_loss(value, target, reduction="none", beta=1 / sigma**2)
