"""Multi-task network cascade: boxes, then their masks, then their classes, each stage reading the one before.

Dai, He and Sun, "Instance-aware Semantic Segmentation via Multi-task Network Cascades" (2015), winner of COCO's
segmentation challenge of that year. Sampling, weights and sizes that the paper leaves open are the released code's.

Shapes: B images, C channels, H x W pixels; a map of D features at a stride; R boxes, m x m cells of a mask, K classes.

    features = backbone(image)                                             (B, D, h, w)
    boxes    = proposals(features)                                         stage 1, (R, 4), section 3.1
    F_roi    = maxpool2(warp(features, boxes))                             (R, D, 14, 14), "RoI warping layers"
    mask     = sigmoid(fc(relu(fc(F_roi))))                                stage 2, (R, m, m), section 3.2
    F_mask   = F_roi * mask                                                section 3.3, equation 3
    class    = fc(box path(F_roi) ++ mask path(F_mask))                    stage 3, (R, K + 1), section 3.3
    stages 4 and 5 repeat 2 and 3, same weights, on the boxes that stage 3 regressed ("Cascades with more stages")

    L = L_rpn + sum over the stages of (2 L_mask + L_class + L_box + L_mask_class)         equations 1, 2, 4 and 5

Gradients flow through boxes and masks into the stages before (`end_to_end`).

Departures from the released code:

- The warp follows the paper's equation; the release rounds a box's scaled corners to whole cells first.
- The box of stages 4 and 5 is regressed by the best class other than background, at test as in training; the release
  takes the best of all at test, so that background boxes move by deltas that were never trained.
- The gradients of boxes are those of the equations; the release passes them as if corners were centres and sides.
  Both clip them at 1 / 512 where they reach deltas: the targets of later stages do not move with the boxes, and without
  the limit their losses move boxes away from the objects.
- Deltas are divided by their deviations in stage 3 and multiplied again before its boxes are used, in training too.
- Sampled boxes do not overwrite the labels of the anchors that they came from.
- A box is right - left wide; the release counts the pixels of both edges. An anchor that is positive as a true box's
  best regresses to this box; in the release to the one that it overlaps most.
- With `pretrained`, the convolutions alone start from ImageNet; in the release both layers of the two paths do, too.
- Images are normalised by mean and deviation; the release subtracts the mean of values up to 255, and its learning
  rates belong to that scale.
- Crowds are neither objects nor background in the losses; the release has none.
- Gradients reach the masks of all boxes through F_mask; in the release those of boxes with an object alone.
- An anchor has one logit with a sigmoid, where the release has two with a softmax, which is the same function.
- Boxes that score below `score_floor` for a class do not vote on its masks; in the release all of them do.
- Votes are averaged as probabilities (its GPU code; its CPU code averages thresholded masks).

With `width` above 0, for a CPU: the backbone's maps at strides 4 to 32 are joined into one of `width` features at
`stride`, and small fully connected layers follow. This is ours.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.backbones import STRIDES, VGG16Pyramid, create_backbone
from foveate.deferred import torchvision_ops
from foveate.errors import ConfigError
from foveate.models.instances.detector import (
    DEVIATIONS,
    ROI_SIZE,
    box_path,
    in_parts,
    join_maps,
    joining_layers,
    ranked,
    sample_boxes,
)
from foveate.models.instances.proposals import ProposalConfig, RegionProposals, smooth_l1
from foveate.ops.boxes import clip, decode, encode
from foveate.ops.roi import crop_masks, crop_region, roi_warp_max
from foveate.records import Preprocessing
from foveate.records.instances import InstanceBatch, InstanceOutput
from foveate.registry import model
from foveate.values import require_choices

MASK_THRESHOLD = 0.4  # of predicted and of true masks, as released
BOX_GRADIENT = 1 / 512  # largest gradient of a delta that comes from the stages behind it, as released


@dataclass(frozen=True)
class Config:
    """Configuration of a multi-task network cascade. The defaults are the paper's VGG-16 network with five stages.

    num_classes: K, classes of objects; 20 for Pascal VOC. Background is no class of its own.
    stages: 3, or 5, which refines boxes, masks and classes once more with the same weights.
    backbone: 'vgg16', or any timm network with features at strides 4, 8, 16 and 32.
    in_channels: C, the number of channels of the images; 3 for RGB.
    pretrained: start the backbone from ImageNet weights.
    width: 0 reads the backbone's map at `stride` (the paper's conv5_3); above 0 joins its maps into one of this many
        features, 64 to 256.
    stride: pixels between two cells of the map that is read: 16 in the paper; 4 or 8 for small objects.
    proposals: stage 1, see `ProposalConfig`.
    rois: boxes of an image that stages 2 and 3 train on; 64.
    mask_size: m, cells along each side of a mask; 28 in the paper, 21 in the release.
    mask_hidden: units of the mask's hidden layer; 256.
    hidden: units of each of the two layers of the box and the mask path; 4096, or 256 on a CPU.
    mask_weight: weight of the mask loss; 2 in the release.
    end_to_end: pass gradients from later stages through boxes and masks into earlier ones; False trains each stage on
        what the one before happens to give.
    score_floor: detections with a lower score are dropped; 0.001 ranks nearly all, as AP wants.
    nms_iou: IoU of boxes above which the worse detection of a class goes; 0.3.
    detections: detections of an image that stay; 100 in the release, 400 where images are crowded.
    """

    num_classes: int = 20
    stages: Literal[3, 5] = 5
    backbone: str = "vgg16"
    in_channels: int = 3
    pretrained: bool = False
    width: int = 0
    stride: Literal[4, 8, 16, 32] = 16
    proposals: ProposalConfig = field(default_factory=ProposalConfig)
    rois: int = 64
    mask_size: int = 28
    mask_hidden: int = 256
    hidden: int = 4096
    mask_weight: float = 2.0
    end_to_end: bool = True
    score_floor: float = 0.001
    nms_iou: float = 0.3
    detections: int = 100

    def __post_init__(self) -> None:
        require_choices(self)
        least = min(self.num_classes, self.in_channels, self.rois, self.mask_size, self.mask_hidden, self.hidden)
        if least < 1 or self.width < 0 or self.detections < 1:
            raise ConfigError(
                "num_classes, in_channels, rois, mask_size, mask_hidden, hidden and detections must be at least 1, "
                f"width at least 0; got {self.num_classes}, {self.in_channels}, {self.rois}, {self.mask_size}, "
                f"{self.mask_hidden}, {self.hidden}, {self.detections}, {self.width}"
            )


class Stage(NamedTuple):
    """Output of stages 2 and 3 on the boxes of one image."""

    boxes: Tensor  # (R, 4), as they came in
    masks: Tensor  # (R, m, m) logits
    classes: Tensor  # (R, K + 1) logits, class 0 is background
    mask_classes: Tensor  # (R, K + 1) logits of the classifier of masks
    deltas: Tensor  # (R, K + 1, 4), divided by their deviations


@model("mnc")
class MNC(nn.Module):
    """Multi-task network cascade: boxes, masks and classes of objects, each stage on the one before."""

    task: ClassVar[str] = "instances"

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.max_detections: int = config.detections
        self.backbone: nn.Module
        if config.backbone == "vgg16":
            self.backbone = VGG16Pyramid(config.in_channels, config.pretrained, pooled=False)
        else:
            self.backbone = create_backbone(config.backbone, config.in_channels, config.pretrained)
        self.preprocessing: Preprocessing = self.backbone.preprocessing
        channels: tuple[int, ...] = self.backbone.channels
        if config.width:
            self.lateral, self.join = joining_layers(channels, config.stride, config.width)
        features = config.width or channels[STRIDES.index(config.stride)]
        self.proposals = RegionProposals(features, config.stride, config.proposals)
        m, k, n = config.mask_size, config.num_classes + 1, config.hidden
        squeeze = nn.Linear(features * ROI_SIZE**2, config.mask_hidden)
        self.mask = nn.Sequential(nn.Flatten(), squeeze, nn.ReLU(), nn.Linear(config.mask_hidden, m * m))
        self.box_path, self.mask_path = box_path(features, n), box_path(features, n)
        self.classify, self.classify_mask = nn.Linear(2 * n, k), nn.Linear(2 * n, k)
        self.regress = nn.Linear(2 * n, 4 * k)
        for name, deviation in (("mask", 0.001), ("regress", 0.001), ("classify", 0.01), ("classify_mask", 0.01)):
            for layer in getattr(self, name).modules():
                if isinstance(layer, nn.Linear):
                    nn.init.normal_(layer.weight, 0, deviation)
                    nn.init.zeros_(layer.bias)
        self.register_buffer("deviations", torch.tensor(DEVIATIONS), persistent=False)
        self.deviations: Tensor
        # The score from which an object counts as found, chosen on the validation images.
        self.register_buffer("score_threshold", torch.tensor(0.5))
        self.score_threshold: Tensor

    def features(self, image: Tensor) -> Tensor:
        """Return the map (B, D, h, w) of images (B, C, H, W) of any size; it covers them, padded to whole cells."""
        height, width = image.shape[-2:]
        maps: list[Tensor] = self.backbone(F.pad(image, (0, -width % 32, 0, -height % 32)))
        if not self.config.width:
            return maps[STRIDES.index(self.config.stride)]
        return join_maps(self.lateral, self.join, maps)

    def stage(self, features: Tensor, boxes: Tensor) -> Stage:
        """Stages 2 and 3 on the boxes (R, 4) of one image with the map (D, h, w)."""
        config = self.config
        if not config.end_to_end:
            boxes = boxes.detach()
        roi = roi_warp_max(features, boxes, ROI_SIZE, config.stride)
        masks = self.mask(roi).unflatten(1, (config.mask_size, config.mask_size))
        seen = (masks if config.end_to_end else masks.detach()).sigmoid()
        inside = F.interpolate(seen[:, None], size=(ROI_SIZE, ROI_SIZE), mode="bilinear", align_corners=False)
        joined = torch.cat([self.box_path(roi), self.mask_path(roi * inside)], 1)
        deltas = self.regress(joined).unflatten(1, (-1, 4)).float()
        classes, mask_classes = self.classify(joined).float(), self.classify_mask(joined).float()
        return Stage(boxes, masks.float(), classes, mask_classes, deltas)

    def stage_in_parts(self, features: Tensor, boxes: Tensor) -> Stage:
        """`stage` on a part of the boxes at a time."""
        parts = [self.stage(features, part) for part in in_parts(boxes)]
        return Stage(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))

    def refine(self, stage: Stage, size: tuple[int, int]) -> Tensor:
        """The boxes (R, 4) of the next stage: regressed by the best class other than background, and clipped."""
        best = stage.classes[:, 1:].argmax(1) + 1
        deltas = stage.deltas.gather(1, best[:, None, None].expand(-1, 1, 4))[:, 0]
        return clip(decode(deltas * self.deviations, stage.boxes), size)

    # Answering

    def forward(self, image: Tensor) -> InstanceOutput:
        """Detections of one image (1, C, H, W), normalised, of any size."""
        size = (image.shape[-2], image.shape[-1])
        features = self.features(image)
        found = self.proposals(features)
        boxes = self.proposals.propose(found.scores[0], found.deltas[0], found.anchors, size)
        stages = [self.stage_in_parts(features[0], boxes)]
        if self.config.stages == 5:
            stages.append(self.stage_in_parts(features[0], self.refine(stages[0], size)))
        return self._detections(stages, size)

    def _detections(self, stages: list[Stage], size: tuple[int, int]) -> InstanceOutput:
        """Rank the boxes of all stages class by class by the classifier of masks, and mark those that stay."""
        config = self.config
        # The masks of stage 2 belong to the boxes that came in.
        boxes = torch.cat([clip(stage.boxes, size) for stage in stages])
        masks = torch.cat([stage.masks for stage in stages]).sigmoid()
        scores = torch.cat([stage.mask_classes for stage in stages]).softmax(1)[:, 1:]
        which, label = (scores > config.score_floor).nonzero().unbind(1)
        score = scores[which, label]
        order, stay = ranked(boxes[which], label, score, size, config.nms_iou, config.detections)
        which, label, score = which[order], label[order], score[order]
        kept = torch.zeros_like(score, dtype=torch.bool).index_fill(0, stay, True)
        return InstanceOutput(boxes[which], label, score, masks[which], kept)

    # Training

    def loss(self, batch: InstanceBatch) -> dict[str, Tensor]:
        """Return the sum of all losses as 'loss', and each as the mean over the images, without gradients."""
        features = self.features(batch["image"])
        found = self.proposals(features)
        score, shift = self.proposals.loss(found, batch["boxes"], batch["image_sizes"], batch["crowds"])
        totals: dict[str, Tensor] = {"rpn_class": score, "rpn_box": shift}
        limit = BOX_GRADIENT / len(batch["boxes"])
        for index, truth in enumerate(batch["boxes"]):
            size = batch["image_sizes"][index]
            deltas = bounded(found.deltas[index], limit)
            proposed = self.proposals.propose(found.scores[index], deltas, found.anchors, size)
            chosen = sample_boxes(torch.cat([proposed, truth]), truth, batch["crowds"][index], self.config.rois)
            stage = self.stage(features[index], chosen)
            losses = self._stage_loss(stage, batch, index)
            if self.config.stages == 5:
                shifted = stage._replace(deltas=bounded(stage.deltas, limit))
                again = torch.cat([self.refine(shifted, size), truth])
                second = self._stage_loss(self.stage(features[index], again), batch, index)
                losses = {name: value + second[name] for name, value in losses.items()}
            for name, value in losses.items():
                totals[name] = totals.get(name, value * 0) + value / len(batch["boxes"])
        loss = sum((self.config.mask_weight if name == "mask" else 1.0) * value for name, value in totals.items())
        assert isinstance(loss, Tensor)
        return {"loss": loss, **{name: value.detach() for name, value in totals.items()}}

    def _stage_loss(self, stage: Stage, batch: InstanceBatch, index: int) -> dict[str, Tensor]:
        """The losses of stages 2 and 3 for one image."""
        truth, labels, masks = batch["boxes"][index], batch["labels"][index], batch["masks"][index]
        boxes = stage.boxes
        if not len(boxes):
            zero = stage.masks.sum() * 0
            return dict.fromkeys(("mask", "class", "box", "mask_class"), zero)
        target = torch.zeros(len(boxes), dtype=torch.int64, device=boxes.device)  # 0 is background
        mask_target = target.clone()
        mask_loss = box_loss = stage.masks.sum() * 0
        if len(truth):
            best, owner = torchvision_ops.box_iou(boxes.detach(), truth).max(1)
            positive = (best >= 0.5).nonzero()[:, 0]
            owner = owner[positive]
            target[positive] = labels[owner] + 1
            if len(positive):
                # Targets are read inside the boxes as they are; they carry no gradient.
                goal = crop_masks(masks[owner], boxes[positive].detach(), self.config.mask_size) > MASK_THRESHOLD
                counts = crop_region(batch["crowds"][index], boxes[positive].detach(), self.config.mask_size) <= 0.5
                if counts.any():
                    found = stage.masks[positive]
                    mask_loss = F.binary_cross_entropy_with_logits(found[counts], goal[counts].float())
                found = stage.masks[positive].detach().sigmoid() > MASK_THRESHOLD
                good = mask_overlap(found & counts, goal & counts) >= 0.5
                mask_target[positive[good]] = target[positive[good]]
                own = stage.deltas[positive, target[positive]]
                aim = encode(truth[owner], boxes[positive].detach()) / self.deviations
                box_loss = smooth_l1(own, aim, 1.0).sum() / len(boxes)
        return {
            "mask": mask_loss,
            "class": F.cross_entropy(stage.classes, target),
            "box": box_loss,
            "mask_class": F.cross_entropy(stage.mask_classes, mask_target),
        }


def bounded(deltas: Tensor, limit: float) -> Tensor:
    """Return the deltas unchanged; their gradient is clipped to -limit .. limit, element by element."""
    if not deltas.requires_grad:
        return deltas
    deltas = deltas.view_as(deltas)
    deltas.register_hook(lambda gradient: gradient.clamp(-limit, limit))
    return deltas


def mask_overlap(found: Tensor, truth: Tensor) -> Tensor:
    """Return intersection over union of pairs of masks (R, m, m) bool, (R,); 0 of two empty ones."""
    shared, either = (found & truth).flatten(1).sum(1), (found | truth).flatten(1).sum(1)
    return shared / either.clamp(min=1)
