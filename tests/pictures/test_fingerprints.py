"""Near-duplicates are found through scaling, compression and brightness, and other images are not taken for such."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from scipy import ndimage

from foveate.pictures.fingerprints import Fingerprint, fingerprint, near_duplicates


def picture(seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal((90, 120, 3))
    smooth = ndimage.gaussian_filter(noise, (9, 9, 0))
    return np.uint8(255 * (smooth - smooth.min()) / np.ptp(smooth))


def changed(pixels: np.ndarray) -> np.ndarray:
    """Half the size, JPEG of low quality, brighter."""
    file = io.BytesIO()
    Image.fromarray(pixels).resize((60, 45)).save(file, format="JPEG", quality=30)
    decoded = np.asarray(Image.open(file), float)
    return np.uint8(np.clip(decoded * 0.9 + 25, 0, 255))


def prints(images: list[np.ndarray]) -> list[Fingerprint]:
    found = [fingerprint(image) for image in images]
    assert all(one is not None for one in found)
    return [one for one in found if one is not None]


def test_changed_copies_are_found_and_nothing_else() -> None:
    train = [picture(k) for k in range(40)]
    test = [picture(k) for k in range(100, 140)] + [changed(train[7]), train[3], changed(train[30])]
    found = near_duplicates(prints(train), prints(test))
    assert {(i, j) for i, j, _ in found} == {(7, 40), (3, 41), (30, 42)}
    assert found[0][:2] == (3, 41) and found[0][2] > 0.9999  # the likest first


def test_flat_images_have_no_fingerprint_and_mirrored_ones_another() -> None:
    assert fingerprint(np.full((40, 40, 3), 90, np.uint8)) is None
    one = picture(5)
    assert not near_duplicates(prints([one]), prints([one[:, ::-1].copy()]))
    assert near_duplicates([], prints([one])) == []
