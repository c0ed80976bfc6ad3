"""Images as a drawing model takes them: fitted, in 0..1, and binarised under seeds that depend on the image alone."""

from __future__ import annotations

import zlib

import torch
from torch import Tensor

from foveate.pictures.fitting import fit
from foveate.records import DrawingPreprocessing

# Seeds of binarisation: of a static training, and of validation and evaluation under a dynamic one.
STATIC_SEED, FIXED_SEED = 1, 0


def fitted(image: Tensor, preprocessing: DrawingPreprocessing) -> Tensor:
    """An image (C, H, W), uint8 or float in 0..1 -> (C, h, w) float32 in 0..1 of the model's size."""
    resized = fit(image.as_subclass(Tensor), preprocessing)
    return preprocessing(resized).clamp(0, 1)


def seed_of(image: Tensor, seed: int) -> int:
    """A seed that is a function of an image's pixels and of `seed`."""
    return zlib.crc32(image.contiguous().numpy().tobytes(), seed)


def binarised(image: Tensor, seed: int) -> Tensor:
    """Sample each pixel of an image in 0..1, which is its probability of being 1; the same for the same image."""
    generator = torch.Generator().manual_seed(seed_of(image, seed))
    return torch.bernoulli(image, generator=generator)


def latent_noise(image: Tensor, shape: tuple[int, int], seed: int) -> Tensor:
    """Standard normal noise of a shape (T, Z), the same for the same image."""
    generator = torch.Generator().manual_seed(seed_of(image, seed))
    return torch.randn(shape, generator=generator)
