"""DeconvNet's inference: scores of object proposals, each seen at 224 pixels, aggregated by their maximum.

Noh, Hong and Han, "Learning Deconvolution Network for Semantic Segmentation", ICCV 2015, equation 3 and section 5.1;
the authors' code is at github.com/HyeonwooNoh/DeconvNet.

Shapes: C channels, H x W pixels, K classes, P boxes.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from foveate.errors import DataError
from foveate.records import Preprocessing

Network = Callable[[Tensor], Tensor]
# Boxes are a fifth larger than the proposals, and seen at 224 pixels (section 5.1).
MARGIN, SIDE = 1.2, 224
LEAST = 112  # the authors' code passes over boxes with a smaller side


def on_proposals(network: Network, image: Tensor, boxes: Tensor) -> Tensor:
    """Class probabilities (K, H, W) of a normalised image (C, H, W), from the whole and from boxes (P, 4), XYXY.

    Equation 3 of Noh, Hong and Han (2015): each pixel's score is the largest that any view gives it. The paper counts a
    view that does not reach the pixel as 0; here it does not count.
    """
    height, width = image.shape[-2:]
    scores = network(image[None])[0].float()
    for x0, y0, x1, y1 in _enlarged(boxes, height, width).tolist():
        crop = image[None, :, y0:y1, x0:x1]
        seen = F.interpolate(crop, (SIDE, SIDE), mode="bilinear", align_corners=False, antialias=True)
        answer = F.interpolate(network(seen).float(), (y1 - y0, x1 - x0), mode="bilinear", align_corners=False)[0]
        torch.maximum(scores[:, y0:y1, x0:x1], answer, out=scores[:, y0:y1, x0:x1])
    return scores.softmax(0)


def on_proposals_as_released(
    network: Network, preprocessing: Preprocessing, image: Tensor, boxes: Tensor, limit: int
) -> Tensor:
    """Class probabilities (K, H, W) of an image (C, H, W) from the first `limit` boxes that are large enough.

    The rules of the authors' code: the whole image is no view; boxes reach beyond the image, where it is black; those
    with a side under 112 pixels are passed over; scores start at 0, so a view counts where its score is positive, and a
    pixel in no box is of class 0. The code reads its boxes from a file; that they are squares, 1.2 times the proposals'
    longer side, is the paper's rule for the crops of its training.

    Raises DataError if no box is large enough.
    """
    height, width = image.shape[-2:]
    squares = _squares(boxes)
    scores: Tensor | None = None
    for x0, y0, x1, y1 in squares[squares[:, 2] - squares[:, 0] >= LEAST][:limit].tolist():
        left, top, right, bottom = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
        crop = F.pad(image[:, top:bottom, left:right], (left - x0, x1 - right, top - y0, y1 - bottom))
        seen = F.interpolate(
            preprocessing(crop)[None], (SIDE, SIDE), mode="bilinear", align_corners=False, antialias=True
        )
        answer = F.interpolate(network(seen).float(), (y1 - y0, x1 - x0), mode="bilinear", align_corners=False)[0]
        if scores is None:
            scores = answer.new_zeros(len(answer), height, width)
        inside = scores[:, top:bottom, left:right]
        torch.maximum(inside, answer[:, top - y0 : bottom - y0, left - x0 : right - x0], out=inside)
    if scores is None:
        raise DataError(
            f"none of the {len(boxes)} proposals in an image of {width}x{height} pixels has a side of {LEAST}, as the "
            "release's rules ask; leave out --proposal-rules release for small images"
        )
    return scores.softmax(0)


def _squares(boxes: Tensor) -> Tensor:
    """Boxes (P, 4) as squares of MARGIN times their longer side around the same centre, in whole pixels."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    side = ((boxes[:, 2:] - boxes[:, :2]).amax(1, keepdim=True) * MARGIN).round().clamp(min=1)
    low = (centre - side / 2).round()
    return torch.cat([low, low + side], 1).long()


def _enlarged(boxes: Tensor, height: int, width: int) -> Tensor:
    """Boxes (P, 4) with MARGIN times the sides, inside the image, in whole pixels; each at least one."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]) / 2 * MARGIN
    limit = torch.tensor([width, height])
    low = (centre - half).floor().clamp(min=0).minimum(limit - 1)
    high = (centre + half).ceil().minimum(limit).maximum(low + 1)
    return torch.cat([low, high], 1).long()
