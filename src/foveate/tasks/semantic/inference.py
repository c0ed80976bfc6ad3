"""What is done with a network's answers before they become labels: views, proposals, refinement.

Shapes: C channels, H x W pixels, K classes, P boxes.

    picture -> views (flips, scales) or object proposals -> class probabilities (K, H, W)
            -> dense CRF -> superpixels or a segmentation tree -> labels (H, W)

All of it is optional, and works for every semantic model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from foveate.errors import ConfigError, unknown
from foveate.ops.crf import CRF
from foveate.ops.proposals import propose
from foveate.ops.superpixels import majority, purity_cover, segment_tree, superpixels
from foveate.records import Preprocessing
from foveate.tasks.tiling import check_scales, infer, labels_of, predict_mask

Segments = Literal["none", "felzenszwalb", "slic", "tree"]
Network = Callable[[Tensor], Tensor]
# DeconvNet's test time (Noh, Hong and Han 2015, section 5.1): boxes a fifth larger than the proposals, at 224 pixels.
MARGIN, SIDE = 1.2, 224


@dataclass(frozen=True)
class Inference:
    """How a picture is looked at.

    flip: average with the mirrored picture.
    scales: average over these sizes, 1.0 being the picture's own (multi-scale testing).
    proposals: look at this many object proposals, each resized to 224 pixels, beside the whole picture; each pixel
        takes the highest scores (DeconvNet's way). 0: none.
    crf: refine with a dense CRF (Krähenbühl and Koltun 2011).
    superpixels: none; felzenszwalb or slic gives each superpixel its majority; tree takes the optimal-purity cover of a
        segmentation tree (Farabet et al. 2013).
    beams: of a model that speaks, how many sentences it follows at once; 0: as many as its family does.
    """

    flip: bool = False
    scales: tuple[float, ...] = (1.0,)
    proposals: int = 0
    crf: bool = False
    superpixels: Segments = "none"
    beams: int = 0

    def __post_init__(self) -> None:
        check_scales(self.scales)
        if self.superpixels not in get_args(Segments):
            raise ConfigError(unknown("kind of superpixels", self.superpixels, get_args(Segments)))
        if self.proposals < 0:
            raise ConfigError(f"proposals is {self.proposals}; expected how many to look at, or 0 for none")
        if self.beams < 0:
            raise ConfigError(
                f"beams is {self.beams}; expected how many sentences to follow, or 0 for the usual number"
            )
        if self.proposals and (self.flip or self.scales != (1.0,)):
            raise ConfigError("proposals are views of their own; give either proposals, or scales and flip")

    @property
    def needs_whole_picture(self) -> bool:
        """Whether the picture must be seen whole, not in tiles."""
        return self.crf or self.superpixels != "none" or self.proposals > 0

    def describe(self) -> str:
        """In words, '' for one plain look."""
        words = [f"scales {', '.join(f'{s:g}' for s in self.scales)}"] if self.scales != (1.0,) else []
        words += ["flip"] * self.flip + [f"{self.proposals} proposals"] * (self.proposals > 0) + ["CRF"] * self.crf
        words += [f"superpixels ({self.superpixels})"] * (self.superpixels != "none")
        words += [f"{self.beams} beam{'s' * (self.beams > 1)}"] * (self.beams > 0)
        return " + ".join(words)


def predict_labels(network: Network, image: Tensor, preprocessing: Preprocessing, how: Inference) -> np.ndarray:
    """Labels (H, W) of one picture (C, H, W), uint8 or float in 0..1, on the network's device."""
    if how.beams:
        raise ConfigError(f"a label map is not searched with {how.describe()}; --beams is for models that speak")
    if not how.needs_whole_picture:
        return predict_mask(network, image, preprocessing, flip=how.flip, scales=how.scales)
    with torch.inference_mode():
        if how.proposals:
            boxes = propose(as_pixels(image), limit=how.proposals).boxes
            probabilities = on_proposals(network, preprocessing(image), boxes)
        else:
            probabilities = infer(network, image, preprocessing, flip=how.flip, scales=how.scales)
        if how.crf:
            probabilities = CRF()(probabilities, image)
        if how.superpixels != "none":
            probabilities = _on_segments(probabilities, as_pixels(image), how.superpixels)
        return labels_of(probabilities)


def on_proposals(network: Network, image: Tensor, boxes: Tensor) -> Tensor:
    """Class probabilities (K, H, W) of a normalised picture (C, H, W), seen whole and in boxes (P, 4), XYXY.

    Equation 3 of Noh, Hong and Han (2015): each pixel's score is the largest that any look gives it. The paper counts a
    look that does not reach the pixel as 0; here it does not count.
    """
    height, width = image.shape[-2:]
    scores = network(image[None])[0].float()
    for x0, y0, x1, y1 in _enlarged(boxes, height, width).tolist():
        crop = image[None, :, y0:y1, x0:x1]
        seen = F.interpolate(crop, (SIDE, SIDE), mode="bilinear", align_corners=False, antialias=True)
        answer = F.interpolate(network(seen).float(), (y1 - y0, x1 - x0), mode="bilinear", align_corners=False)[0]
        torch.maximum(scores[:, y0:y1, x0:x1], answer, out=scores[:, y0:y1, x0:x1])
    return scores.softmax(0)


def _enlarged(boxes: Tensor, height: int, width: int) -> Tensor:
    """Boxes (P, 4) with MARGIN times the sides, inside the picture, in whole pixels; each at least one."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]) / 2 * MARGIN
    limit = torch.tensor([width, height])
    low = (centre - half).floor().clamp(min=0).minimum(limit - 1)
    high = (centre + half).ceil().minimum(limit).maximum(low + 1)
    return torch.cat([low, high], 1).long()


def _on_segments(probabilities: Tensor, pixels: np.ndarray, kind: Segments) -> Tensor:
    segments = superpixels(pixels, "slic" if kind == "slic" else "felzenszwalb")
    if kind == "tree":
        return purity_cover(probabilities, segment_tree(pixels, segments))[1]
    return majority(probabilities, segments)


def as_pixels(image: Tensor) -> np.ndarray:
    """A picture (C, H, W) as scikit-image takes it, (H, W, C)."""
    return np.ascontiguousarray(image.permute(1, 2, 0).cpu().numpy())
