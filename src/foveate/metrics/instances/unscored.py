"""Pixels that are not scored, such as Pascal VOC's void: neither object nor background, and nothing there is wrong.

Kirillov, He, Girshick, Rother and Dollár, "Panoptic Segmentation" (2019), section 4.1: such pixels are taken out of
what was found before it is compared, and a detection that mostly lies on them is no error.
"""

from __future__ import annotations

import numpy as np

from foveate.records.instances import UNSCORED, Instances, encode_mask, instances_of, window_of

SHARE = 0.5  # of a detection on unscored pixels, above which it is left out unless it finds an object
OVERLAP = 0.5  # IoU from which it finds one


def without_unscored(truth: Instances, found: Instances) -> tuple[Instances, Instances]:
    """Return true and found objects of one image as they are compared: without the pixels that are not scored.

    The region of unscored pixels is a crowd with the label UNSCORED in `truth`, and none in what is returned.
    Detections that have no other pixel are left out, and those with more than half of their pixels there, except where
    their other pixels have an IoU of 0.5 or more with an object of their class. Boxes stay as they are.
    """
    region = truth.labels == UNSCORED
    if not region.any():
        return truth, found
    hidden = np.zeros(truth.size, bool)
    for index in np.flatnonzero(region).tolist():
        hidden |= truth.mask(index)
    real = truth.select(~region)
    masks, shares = [], []
    for number in range(len(found)):
        left, top, right, bottom = window_of(found.masks[number])
        part, under = found.mask(number)[top:bottom, left:right], hidden[top:bottom, left:right]
        masks.append(encode_mask(part & ~under, found.size, left, top))
        shares.append((part & under).sum() / max(1, part.sum()))
    rest = instances_of(found.size, masks, found.labels, found.scores, found.crowd, found.boxes)
    single = real.select(~real.crowd)
    same = rest.labels[:, None] == single.labels
    finds = (rest.overlaps(single) * same >= OVERLAP).any(1)
    return real, rest.select((rest.areas > 0) & ((np.array(shares) <= SHARE) | finds))
