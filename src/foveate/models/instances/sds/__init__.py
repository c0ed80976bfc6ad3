"""Simultaneous detection and segmentation: region proposals, classified by what is in them and in their boxes.

Hariharan, Arbelaez, Girshick and Malik, "Simultaneous Detection and Segmentation" (2014). Sampling, weights and sizes
that the paper leaves open are the released code's.

Shapes: B images of C channels, H x W pixels; of each image R regions, which are sets of N atoms (`ops.regions`); crops
of S x S pixels; D features a region, K classes.

    regions  = proposals(image)                                            at most 2000, section 3.1
    box      = crop(image, region's box);  region = box * region's mask    section 3.2, background: mean colour
    features = box CNN(box) ++ region CNN(region)                          (R, D), network C of section 3.2
    L        = cross-entropy(W features, class of the object that the region overlaps by half)

and after training, on features of its own training images (`fit`):

    scores   = a linear support vector machine (SVM) a class               section 3.3
    survivors = the best regions of a class that share no pixel            section 3.3
    outlines = cells' and superpixels' logistic classifiers                section 3.4

Departures from the paper:

- Regions come from selective search's trees over graph-based segments (`ops.proposals`); the paper's are MCG's.
- The superpixels of the refinement are the leaves of the segmentation that a region grew from. Those of its second
  classifier's training are larger than 1 / 1875 of the image, which is 100 pixels of a Pascal VOC image. A superpixel
  that the region's widened box does not touch is never taken.
- The SVMs are fitted on at most `fit_images` images, evenly spread over the training set, whose features all fit in
  memory: every round looks at all negatives, where the release reads images one by one.
- A truth without a proposal that overlaps it by more than half is no example of the second round.
- Images are normalised by mean and deviation; the release subtracts the mean image of values up to 255.
- `caffenet` has no ImageNet weights that can be installed; the paper's networks start from them.
- Boxes are not regressed, and there are no SVMs for detection with boxes, as in the paper's appendix on them.
- Only network C is built: both networks are fine-tuned together from the start. The release begins with network B, two
  networks that were fine-tuned apart. With `crops` box, examples are chosen by the overlap of regions; the paper
  fine-tunes its box network by that of boxes.
- A detection's score is the sigmoid of its margin, which gives the same ranking.

The two networks share no layer, as in the paper and its release. Their inputs differ from the first pixel on, so shared
first layers would save weights but no time: each would still run twice a region. Speed comes from batches of regions.

With another `backbone`, for a CPU: the means of its two coarsest maps, and one layer of `hidden` units. This is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.backbones.caffenet import HIDDEN, SIDE, CaffeNet
from foveate.backbones.weights import adapt_preprocessing
from foveate.errors import ConfigError, ModelError
from foveate.models.instances.sds.crops import (
    Places,
    covered_cells,
    crop_image,
    crop_regions,
    masks_at,
    mirrored,
    places,
    turned,
    widened,
)
from foveate.models.instances.sds.fitting import (
    GOOD,
    GRID,
    Example,
    fit_refinement,
    fit_svms,
    refine_region,
    threshold_for,
    unrefined,
)
from foveate.models.instances.sds.networks import Pooled
from foveate.ops.boxes import covered_share
from foveate.ops.region_cache import RegionCache
from foveate.ops.regions import RegionSet
from foveate.ops.suppress import survivors
from foveate.records import Preprocessing
from foveate.records.instances import InstanceBatch, RegionOutput
from foveate.registry import model
from foveate.values import require_choices

CAFFENET = "caffenet"
FOREGROUND = 0.5  # overlap from which a region is an example of its object's class
CHUNK = 64  # regions that the networks see at once
REGIONS = RegionCache()  # of all models, as their proposals depend on the image and two fields of `Config` alone
BEST_REGIONS, MEAN_REGIONS = 10, 2  # of an image, in semantic output: at most, and on average


@dataclass(frozen=True)
class Config:
    """Configuration of SDS. The defaults are the paper's network C on AlexNet.

    num_classes: K, classes of objects; 20 for Pascal VOC. Background is no class of its own.
    in_channels: C, the number of channels of the images; 3 for RGB.
    backbone: 'caffenet', or any timm network with features at strides 4 to 32.
    pretrained: start both networks from ImageNet weights, which 'caffenet' does not have.
    side: S, side of the crops in pixels; 227, which 'caffenet' demands; 64 to 96 on a CPU.
    context: pixels of a crop around the region's box, on each side; 16 of 227.
    hidden: features of each network; 4096, which 'caffenet' demands; 256 on a CPU.
    crops: both, or one of the networks alone: 'box' sees the box as it is, 'region' without its background.
    head: 'svm' ranks by support vector machines that are fitted after training, 'softmax' by the layer that was
        trained; until they are fitted, the softmax answers for both.
    proposals: regions of an image, the best ones; 2000, or 300 to 1000 on a CPU.
    largest: largest region as a share of the image, 1 for any; where all objects are small, others only cost time.
    foreground, background: regions of an image that a step trains on, those that overlap an object by half or more,
        and others; 8 and 24.
    turn: train on crops that are turned by quarters and mirrored both ways, for images without an up; otherwise they
        are mirrored left-right.
    refine: correct the outline of each detection by superpixels.
    fit_images: images of the training set on which SVMs and refinement are fitted. Their features stay in memory,
        twice `proposals` times 4 bytes a feature for each image: 130 MB at paper size, 4 MB with 1000 proposals and
        512 features. The release reads 1000 in its first pass, and then all, from disk.
    detections: detections of an image that stay.
    """

    num_classes: int = 20
    in_channels: int = 3
    backbone: str = CAFFENET
    pretrained: bool = False
    side: int = SIDE
    context: int = 16
    hidden: int = HIDDEN
    crops: Literal["both", "box", "region"] = "both"
    head: Literal["svm", "softmax"] = "svm"
    proposals: int = 2000
    largest: float = 1.0
    foreground: int = 8
    background: int = 24
    turn: bool = False
    refine: bool = True
    fit_images: int = 100
    detections: int = 400

    def __post_init__(self) -> None:
        require_choices(self)
        names = (
            "num_classes", "in_channels", "side", "hidden", "proposals", "foreground", "background", "fit_images",
            "detections",
        )  # fmt: skip
        values = [getattr(self, name) for name in names]
        if min(values) < 1:
            raise ConfigError(f"{', '.join(names)} must be at least 1; got {', '.join(map(str, values))}")
        if not 0 <= 2 * self.context < self.side:
            raise ConfigError(f"context is {self.context} pixels on each side of crops of {self.side}; give fewer")
        if not 0 < self.largest <= 1:
            raise ConfigError(f"largest is {self.largest:g}; give a share of the image above 0, at most 1")
        if self.backbone == CAFFENET and (self.side, self.hidden) != (SIDE, HIDDEN):
            raise ConfigError(
                f"caffenet takes crops of {SIDE} pixels and has {HIDDEN} features; got side {self.side} and hidden "
                f"{self.hidden}: leave both out, or choose another backbone"
            )
        if self.backbone == CAFFENET and self.pretrained:
            raise ConfigError(
                "caffenet has no ImageNet weights that can be installed; set pretrained to false, or choose another "
                "backbone, e.g. tf_efficientnet_lite0"
            )


@model("sds")
class SDS(nn.Module):
    """Simultaneous detection and segmentation: regions classified by a network on the box and one on the region.

    The two networks share no layer, as in the paper (network C): see the module's docstring.
    """

    task: ClassVar[str] = "instances"
    # Proposals are computed once an image, and crops of them are mirrored and turned.
    takes_augmented: ClassVar[bool] = False
    no_export_reason: ClassVar[str] = "its region proposals come from trees of segments, which no ONNX graph can grow"

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.max_detections: int = config.detections
        names = ("box", "region") if config.crops == "both" else (config.crops,)
        networks = {
            name: CaffeNet(config.in_channels)
            if config.backbone == CAFFENET
            else Pooled(config.backbone, config.in_channels, config.pretrained, config.hidden)
            for name in names
        }
        self.preprocessing: Preprocessing = getattr(networks[names[0]], "preprocessing", None) or adapt_preprocessing(
            Preprocessing(), config.in_channels, False
        )
        self.backbone = nn.ModuleDict(networks)
        k, d = config.num_classes, config.hidden * len(names)
        self.classify = nn.Linear(d, k + 1)
        nn.init.normal_(self.classify.weight, 0, 0.01)
        nn.init.zeros_(self.classify.bias)
        # The SVMs, under the names that saved runs have.
        self.register_buffer("machines", torch.zeros(k, d))
        self.register_buffer("machine_biases", torch.zeros(k))
        self.register_buffer("cells", torch.zeros(k, d + GRID**2 + 1, GRID**2) if config.refine else torch.zeros(0))
        self.register_buffer("leaves", unrefined(k))
        self.register_buffer("fitted", torch.tensor(False))
        # The scores from which an object counts as found, and from which it is part of semantic output.
        self.register_buffer("score_threshold", torch.tensor(0.5))
        self.register_buffer("semantic_threshold", torch.tensor(0.5))
        self.machines: Tensor
        self.machine_biases: Tensor
        self.cells: Tensor
        self.leaves: Tensor
        self.fitted: Tensor
        self.score_threshold: Tensor
        self.semantic_threshold: Tensor

    # Features

    def regions(self, image: Tensor, keep: bool = False) -> RegionSet:
        """Return the region proposals of an image (C, H, W), normalised, on the CPU. keep: remember them on disk."""
        scales = (self.preprocessing.mean, self.preprocessing.std)
        mean, std = (torch.tensor(scale, device=image.device).view(-1, 1, 1) for scale in scales)
        # The same whole numbers for the same file, whatever rounding normalisation brought; 16 bits hold 8 exactly.
        values = ((image.float() * std + mean).clamp(0, 1) * 65535).round().to(torch.int32)
        pixels = values.permute(1, 2, 0).cpu().numpy().astype("uint16")
        return REGIONS.regions(pixels, self.config.proposals, self.config.largest, keep)

    def places(self, boxes: Tensor) -> Places:
        """Return the places of the image that crops of boxes (R, 4) show."""
        return places(widened(boxes, self.config.side, self.config.context), self.config.side)

    def crops(self, image: Tensor, at: Places, mask: Tensor) -> Tensor:
        """Return crops for the networks, (R, 2, C, S, S): the box as it is, and without the background of `mask`.

        image: (C, H, W), normalised. mask: (R, S, S) bool.
        """
        box = crop_image(image, Places(at.x.to(image.device), at.y.to(image.device)))
        return torch.stack([box, box * mask.to(image.device)[:, None]], 1)

    def crops_of(self, image: Tensor, regions: RegionSet) -> Tensor:
        """Return the crops (R, 2, C, S, S) of an image's regions."""
        at = self.places(regions.boxes)
        return self.crops(image, at, crop_regions(regions, at))

    def features(self, crops: Tensor) -> Tensor:
        """Return the features (R, D) of crops (R, 2, C, S, S)."""
        views = {"box": crops[:, 0], "region": crops[:, 1]}
        return torch.cat([network(views[name]) for name, network in self.backbone.items()], 1).float()

    def features_of(self, image: Tensor, regions: RegionSet) -> Tensor:
        """Return the features (R, D) of an image's regions, a few at a time."""
        parts = [image.new_zeros(0, self.classify.in_features)]
        for start in range(0, len(regions), CHUNK):
            rows = torch.arange(start, min(start + CHUNK, len(regions)))
            parts.append(self.features(self.crops_of(image, regions.select(rows))))
        return torch.cat(parts)

    def scores(self, features: Tensor) -> Tensor:
        """Return scores (R, K) in 0..1 of features (R, D): the sigmoid of an SVM's margin, or the softmax."""
        if self.config.head == "svm" and bool(self.fitted):
            return (features @ self.machines.T + self.machine_biases).sigmoid()
        return self.classify(features).softmax(1)[:, 1:]

    # Answering

    def forward(self, image: Tensor) -> RegionOutput:
        """Detections of one image (1, C, H, W), normalised, of any size."""
        regions = self.regions(image[0])
        features = self.features_of(image[0], regions)
        scores = self.scores(features)
        index, labels, best = survivors(regions.members, scores.cpu(), self.config.detections)
        members = regions.members[index]
        if self.config.refine and bool(self.fitted):
            members = self.refined(regions, index, labels, features.cpu())
        return RegionOutput(regions.boxes_of(members), labels, best, members, regions.atoms)

    def refined(self, regions: RegionSet, index: Tensor, labels: Tensor, features: Tensor) -> Tensor:
        """Return the atoms (R, N) of detections after the refinement of their outlines (section 3.4).

        index: (R,) regions. labels: (R,) classes. features: of all regions.
        """
        boxes, grid = self._grids(regions.select(index))
        cells, leaves = self.cells.cpu(), self.leaves.cpu()
        found = [
            refine_region(regions, i, features[i], grid[row], boxes[row], cells[label], leaves[label])
            for row, (i, label) in enumerate(zip(index.tolist(), labels.tolist(), strict=True))
        ]
        return torch.stack(found) if found else regions.members[:0]

    def _grids(self, regions: RegionSet) -> tuple[Tensor, Tensor]:
        """The widened boxes of regions (R, 4), and the cells of them that each region covers by more than half."""
        boxes = widened(regions.boxes, self.config.side, self.config.context)
        return boxes, covered_cells(crop_regions(regions, places(boxes, 4 * GRID)))

    def semantic(self, output: RegionOutput) -> Tensor:
        """Return a label map (H, W) int64 of detections: 0 is background, k + 1 class k.

        The best 10 regions of the image, where their score reaches a threshold that leaves 2 an image on average; of
        those that overlap, the better one is on top.
        """
        labels = torch.zeros(output.members.shape[1], dtype=torch.int64)
        chosen = (output.scores[:BEST_REGIONS] >= float(self.semantic_threshold)).nonzero()[:, 0]
        for index in chosen.flip(0).tolist():
            labels[output.members[index]] = output.labels[index] + 1
        return labels[output.atoms]

    # Training

    def loss(self, batch: InstanceBatch) -> dict[str, Tensor]:
        """Return the cross-entropy of regions sampled from each image. 0 where no image has both kinds of them."""
        crops, targets = [], []
        for index, (height, width) in enumerate(batch["image_sizes"]):
            image = batch["image"][index, :, :height, :width]
            regions = self.regions(image, keep=True)
            chosen, target = self._sample(regions, batch, index)
            if len(chosen):
                crops.append(self.crops_of(image, regions.select(chosen)))
                targets.append(target.to(image.device))
        if not crops:
            return {"loss": torch.stack([p.sum() for p in self.parameters()]).sum() * 0}
        seen = torch.cat(crops)
        if self.training:
            seen = turned(seen) if self.config.turn else mirrored(seen)
        return {"loss": F.cross_entropy(self.classify(self.features(seen)), torch.cat(targets))}

    def _sample(self, regions: RegionSet, batch: InstanceBatch, index: int) -> tuple[Tensor, Tensor]:
        """Regions (R,) of an image to train on, and their classes, 0 for background; none if it lacks either kind."""
        overlaps = regions.overlaps(batch["masks"][index].cpu())
        if not overlaps.numel():
            return torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64)
        best, owner = overlaps.max(1)
        positive = best >= FOREGROUND
        negative = ~positive & (covered_share(regions.boxes, batch["crowds"][index].cpu()) <= 0.5)
        good, bad = positive.nonzero()[:, 0], negative.nonzero()[:, 0]
        if not len(good) or not len(bad):
            return good[:0], good[:0]
        good = good[torch.randperm(len(good))[: self.config.foreground]]
        bad = bad[torch.randperm(len(bad))[: self.config.background]]
        labels = batch["labels"][index].cpu()[owner[good]] + 1
        return torch.cat([good, bad]), torch.cat([labels, torch.zeros_like(bad)])

    @torch.no_grad()
    def fit(self, batches: Sequence[InstanceBatch]) -> None:
        """Fit SVMs, refinement and the threshold of semantic output to training images.

        batches: one image each, of which `fit_images` are used. Nothing is changed where none has objects. Raises
        ModelError for features that are not finite.
        """
        count = min(self.config.fit_images, len(batches))
        examples = [self.example(batches[i * len(batches) // count]) for i in range(count)]
        if not any(len(example.labels) for example in examples):
            return
        if not all(torch.isfinite(example.features).all() for example in examples):
            raise ModelError("some features are not finite; train again with a lower --optim.lr")
        if self.config.head == "svm":
            weights, biases = fit_svms(examples, self.config.num_classes)
            self.machines.copy_(weights)
            self.machine_biases.copy_(biases)
        if self.config.refine:
            cells, leaves = fit_refinement(examples, self.config.num_classes)
            self.cells.copy_(cells)
            self.leaves.copy_(leaves)
        self.fitted.fill_(True)
        best = []
        for example in examples:
            scores = self.scores(example.features.to(self.machines.device)).cpu()
            best.append(survivors(example.regions.members, scores, BEST_REGIONS)[2])
        self.semantic_threshold.fill_(threshold_for(torch.cat(best), MEAN_REGIONS * len(examples)))

    @torch.no_grad()
    def example(self, batch: InstanceBatch) -> Example:
        """Return features, overlaps and cells of one image, for the fitting. batch: this image alone."""
        height, width = batch["image_sizes"][0]
        image = batch["image"][0, :, :height, :width].to(self.machines.device)
        masks, labels = batch["masks"][0].cpu(), batch["labels"][0].cpu()
        regions = self.regions(image, keep=True)
        regions = regions.select(covered_share(regions.boxes, batch["crowds"][0].cpu()) <= 0.5)
        overlaps = regions.overlaps(masks)
        best, owner = overlaps.max(1) if len(labels) else (torch.zeros(len(regions)), torch.zeros(len(regions)).long())
        good = (best >= GOOD).nonzero()[:, 0]
        boxes, grid = self._grids(regions.select(good))
        at = places(boxes, 4 * GRID)
        return Example(
            regions=regions, features=self.features_of(image, regions).cpu(), overlaps=overlaps,
            true_features=self._true_features(image, batch["boxes"][0].cpu(), masks).cpu(), labels=labels,
            good=good, owner=owner[good], boxes=boxes, grid=grid,
            target=covered_cells(masks_at(masks, owner[good], at)), shares=regions.shares(masks),
        )  # fmt: skip

    def _true_features(self, image: Tensor, boxes: Tensor, masks: Tensor) -> Tensor:
        """The features (G, D) of true objects with boxes (G, 4) and masks (G, H, W)."""
        parts = [image.new_zeros(0, self.classify.in_features)]
        for start in range(0, len(masks), CHUNK):
            rows = torch.arange(start, min(start + CHUNK, len(masks)))
            at = self.places(boxes[rows])
            parts.append(self.features(self.crops(image, at, masks_at(masks, rows, at))))
        return torch.cat(parts)
