"""Images that are nearly the same, by perceptual hashes, so that no image of a test was seen in training.

The hash is Zauner's pHash ("Implementation and Benchmarking of Perceptual Image Hash Functions", 2010, section 3.2.1):
the signs of the lowest 8 x 8 coefficients of the cosine transform of a 32 x 32 grey image against their median. It
stays under scaling, compression and brightness, and changes under cropping and mirroring. Pairs of near hashes are
kept if the small images themselves correlate.

Shapes: N images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.fft import dctn

SIDE, LOW = 32, 8  # of the small image, and of the coefficients that are kept
FLAT = 2.0  # grey values: images with a smaller standard deviation have no structure to compare
NEAR = 8  # of 64 bits, at most, in which near-duplicates differ
ALIKE = 0.96  # the least correlation of their small images
_BLOCK = 1024  # rows of the table of distances that are computed at once


@dataclass(frozen=True)
class Fingerprint:
    """The hash of an image, (64,) bool, and its small image, (32, 32) uint8; None for an image without structure."""

    bits: np.ndarray
    small: np.ndarray


def fingerprint(pixels: np.ndarray) -> Fingerprint | None:
    """The fingerprint of an image (H, W, 3) uint8; None for one of hardly any structure."""
    grey = Image.fromarray(np.ascontiguousarray(pixels)).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    small = np.asarray(grey)
    return None if small.std() < FLAT else _of_small(small)


def flipped(one: Fingerprint) -> tuple[Fingerprint, Fingerprint, Fingerprint]:
    """The fingerprints of the image flipped left to right, top to bottom, and both, which is half a turn."""
    return _of_small(one.small[:, ::-1]), _of_small(one.small[::-1]), _of_small(one.small[::-1, ::-1])


def _of_small(small: np.ndarray) -> Fingerprint:
    """The fingerprint of a small image, (32, 32) uint8."""
    low = dctn(small.astype(np.float32), norm="ortho")[:LOW, :LOW].ravel()
    return Fingerprint(low > np.median(low[1:]), small)  # without the mean, which is brightness


def near_duplicates(first: Sequence[Fingerprint], second: Sequence[Fingerprint]) -> list[tuple[int, int, float]]:
    """(index in `first`, index in `second`, correlation) of near-duplicates between two sets, the likest first."""
    if not first or not second:
        return []
    signs = [np.where(np.stack([one.bits for one in many]), 1, -1).astype(np.float32) for many in (first, second)]
    found = []
    for start in range(0, len(first), _BLOCK):
        distances = (LOW * LOW - signs[0][start : start + _BLOCK] @ signs[1].T) // 2
        for i, j in np.argwhere(distances <= NEAR).tolist():
            likeness = float(np.corrcoef(first[start + i].small.ravel(), second[j].small.ravel())[0, 1])
            if likeness >= ALIKE:
                found.append((start + i, j, likeness))
    return sorted(found, key=lambda one: -one[2])
