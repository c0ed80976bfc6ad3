"""Networks of torchvision with the interface of a family's model.

Shapes: B images of 3 channels, H x W pixels, K classes; R objects, N atoms of their masks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.roi_heads import paste_masks_in_image
from torchvision.models.detection.transform import resize_boxes
from torchvision.ops import masks_to_boxes
from torchvision.transforms.functional import resize

from foveate.records import Preprocessing, RegionOutput, SemanticOutput

MASK_THRESHOLD = 0.5  # of masks, as in torchvision's reference evaluation
SCORE_THRESHOLD = 0.5  # from which an object counts as found; torchvision leaves it to the caller


class TorchvisionSegmentation(nn.Module):
    """A network of `torchvision.models.segmentation`, which sees every image with a short side of a fixed length.

    torchvision resizes 8-bit values and rounds them to 8 bits again; here the normalised values are resized.
    """

    task: ClassVar[str] = "semantic"
    resizes_images: ClassVar[bool] = True
    no_export_reason: ClassVar[str] = "it resizes images in a way that no ONNX operator reproduces"
    preprocessing: Preprocessing

    def __init__(self, network: nn.Module, short_side: int) -> None:
        super().__init__()
        self.network, self.short_side = network, short_side

    def forward(self, image: Tensor) -> SemanticOutput:
        """Return logits (B, K, H, W) for images (B, 3, H, W), normalised. H and W are arbitrary."""
        logits = self.network(resize(image, [self.short_side], antialias=True))["out"]
        if logits.shape[-2:] != image.shape[-2:]:
            logits = F.interpolate(logits, image.shape[-2:], mode="bilinear", align_corners=False)
        return SemanticOutput(logits)


class TorchvisionMaskRCNN(nn.Module):
    """A Mask R-CNN of `torchvision.models.detection`, which normalises and resizes an image in 0..1 by itself.

    labels: torchvision's label of each class, without background and unused labels.
    """

    task: ClassVar[str] = "instances"
    no_export_reason: ClassVar[str] = "its masks are pasted into the image one by one"
    preprocessing: Preprocessing

    def __init__(self, network: MaskRCNN, labels: Sequence[int]) -> None:
        super().__init__()
        self.network = network
        self.max_detections: int = network.roi_heads.detections_per_img
        self.register_buffer("classes", torch.full((max(labels) + 1,), -1), persistent=False)
        self.classes: Tensor  # label -> class, -1 for none
        self.classes[torch.tensor(labels)] = torch.arange(len(labels))
        self.register_buffer("score_threshold", torch.tensor(SCORE_THRESHOLD), persistent=False)
        self.score_threshold: Tensor

    def forward(self, image: Tensor) -> RegionOutput:
        """Return the objects of one image (1, 3, H, W) in 0..1, the best first.

        These are the steps of torchvision's own forward; but masks are pasted one at a time, since all of a large image
        would fill the memory.
        """
        height, width = image.shape[-2:]
        images, _ = self.network.transform([image[0]])
        features = self.network.backbone(images.tensors)
        proposals, _ = self.network.rpn(images, features)
        (found,), _ = self.network.roi_heads(features, proposals, images.image_sizes)
        labels = self.classes[found["labels"]]
        pasted = resize_boxes(found["boxes"], images.image_sizes[0], [height, width])

        atoms = torch.zeros(height, width, dtype=torch.int64, device=image.device)
        members = torch.zeros(1, 0, dtype=torch.bool, device=image.device)
        exclusive = torch.tensor([0, 0, 1, 1], device=image.device)
        kept, boxes = [], []
        for index in range(len(labels)):
            one = slice(index, index + 1)
            mask = paste_masks_in_image(found["masks"][one], pasted[one], [height, width])[0, 0] > MASK_THRESHOLD
            if labels[index] < 0 or not mask.any():
                continue
            atoms, members = split_atoms(atoms, members, mask)
            kept.append(index)
            boxes.append(masks_to_boxes(mask[None])[0] + exclusive)
        which = torch.tensor(kept, dtype=torch.int64, device=image.device)
        tight = torch.stack(boxes) if boxes else pasted[:0]
        return RegionOutput(tight, labels[which], found["scores"][which], members.T, atoms)


def split_atoms(atoms: Tensor, members: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return atoms (H, W) that a further region does not cut, and the regions (N, R + 1) bool that hold each of them.

    atoms: (H, W) int64. members: (N, R) bool. mask: (H, W) bool, the pixels of the region.
    """
    outside, inside = atoms[mask].unique(return_inverse=True)
    split = atoms.masked_scatter(mask, inside + len(members))
    old = F.pad(members, (0, 1), value=False)
    new = F.pad(members[outside], (0, 1), value=True)
    return split, torch.cat([old, new])
