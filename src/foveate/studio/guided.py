"""The guided filter: planes smoothed along the image, so that their borders lie on its edges.

He, Sun and Tang, "Guided image filtering", ECCV 2010, with a guide of three colours (section 2, equations 14 to 16).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.ndimage import uniform_filter


def guided(planes: np.ndarray, image: np.ndarray, radius: int, variance: float) -> Iterator[np.ndarray]:
    """Each of the planes (K, h, w), filtered; the image's border is repeated beyond it.

    image: (h, w, 3) in 0..1. In each window of 2 radius + 1 pixels a side, a plane is fitted by a linear function of
    the image, and each pixel takes the mean of the fits of its windows. variance: of the image in a window; far below
    it a plane is smoothed as by a box, far above it follows the image.
    """

    def mean(plane: np.ndarray) -> np.ndarray:
        return np.asarray(uniform_filter(plane, 2 * radius + 1, mode="nearest"))

    colors = image.transpose(2, 0, 1)
    means = np.stack([mean(color) for color in colors])
    # S = cov(I, I) + variance, (h, w, 3, 3)
    covariance = np.empty((*image.shape[:2], 3, 3))
    for i in range(3):
        for j in range(i, 3):
            covariance[..., i, j] = covariance[..., j, i] = mean(colors[i] * colors[j]) - means[i] * means[j]
    inverse = np.linalg.inv(covariance + variance * np.eye(3)).transpose(2, 3, 0, 1)
    for plane in planes:
        middle = mean(plane)
        both = np.stack([mean(color * plane) for color in colors]) - means * middle
        # a = S^-1 cov(I, p), b = mean p - a mean I
        slopes = [(row * both).sum(0) for row in inverse]
        offset = middle - sum(slope * one for slope, one in zip(slopes, means, strict=True))
        # q = mean(a) I + mean(b)
        yield mean(offset) + sum(mean(slope) * color for slope, color in zip(slopes, colors, strict=True))
