"""Records of drawing: images that a model generates step by step, from nothing but noise.

Shapes: B images of C channels, H x W pixels; T steps, each with Z latent numbers; S canvases.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypedDict

import numpy as np
from torch import Tensor

from foveate.deferred import tv_tensors
from foveate.records.base import Preprocessing
from foveate.records.prediction import Prediction

PixelKind = Literal["binary", "intensity", "discrete"]
Binarisation = Literal["dynamic", "static"]


class DrawingSample(TypedDict):
    """One image; whatever else a data set says of it is left aside."""

    image: tv_tensors.Image  # (C, H, W) uint8, or float in 0..1
    name: str


class DrawingBatch(TypedDict):
    """Input of a drawing model's `loss`."""

    image: Tensor  # (B, C, H, W) float32 in 0..1; 0 and 1 alone for binary pixels
    names: list[str]


class DrawingOutput(NamedTuple):
    """Output of a drawing model's `forward`, which has seen the image (training), or not (generation).

    Windows are (T, B, 5): x and y of the centre and the stride of the filters in pixels, their standard deviation in
    pixels, and the intensity. They are None without attention.
    """

    canvases: tuple[Tensor, ...]  # T + 1 of (B, C, H, W): c_0 and the canvas after each step, as logits
    write: Tensor | None  # windows
    read: Tensor | None = None  # windows; None where no image was read
    mean: Tensor | None = None  # (T, B, Z): mu of q(z_t | x, z_1..t-1)
    log_std: Tensor | None = None  # (T, B, Z): log sigma of the same
    noise: Tensor | None = None  # (T, B, Z): z_t = mu + sigma noise

    def kl(self) -> Tensor:
        """The divergence of the posterior of each step from N(0, I), in nats (T, B)."""
        assert self.mean is not None and self.log_std is not None
        # 1/2 sum_z (mu^2 + sigma^2 - log sigma^2 - 1)
        return 0.5 * (self.mean.square() + (2 * self.log_std).exp() - 2 * self.log_std - 1).sum(-1)

    def log_ratio(self) -> Tensor:
        """log p(z) - log q(z | x) of the latent numbers that were drawn, over all steps, in nats (B,)."""
        assert self.mean is not None and self.log_std is not None and self.noise is not None
        z = self.mean + self.log_std.exp() * self.noise
        return (0.5 * (self.noise.square() - z.square()) + self.log_std).sum((0, 2))


@dataclass(frozen=True)
class DrawingPreprocessing(Preprocessing):
    """Transformation of an image into a drawing model's input: 0..1, of the model's size and channels.

    pixels: 'binary' samples each pixel from its intensity; others keep intensities.
    binarise: of binary pixels in training: 'dynamic' samples again in every epoch, 'static' once for an image.
    """

    pixels: PixelKind = "binary"
    binarise: Binarisation = "dynamic"

    @classmethod
    def of(
        cls, size: tuple[int, int], channels: int, pixels: PixelKind, binarise: Binarisation, crop: float
    ) -> DrawingPreprocessing:
        """Images of this size and number of channels, in 0..1; `crop` as of `Preprocessing`."""
        return cls((0.0,) * channels, (1.0,) * channels, size, crop, pixels=pixels, binarise=binarise)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> DrawingPreprocessing:
        """The inverse of `to_json`."""
        plain = Preprocessing.from_json(data)
        return cls(**vars(plain), pixels=data["pixels"], binarise=data["binarise"])


@dataclass
class DrawingPrediction(Prediction):
    """An image that was drawn: generated, or drawn after an image that was read, with the bound on its likelihood.

    canvases: (S, H, W, C) float32 in 0..1, the expected pixels at the start and after each step; S is T + 1, or 1 where
        only the last was asked for.
    write, read: (T, 5) float32 windows as of `DrawingOutput`; None without attention, and `read` without an image.
    filters: of a window, a side: of the one that writes, and of the one that reads.
    image: (H, W, C) float32 in 0..1, the image that was read, as the model got it; None if it was generated.
    reconstruction: negative log-likelihood of the image under the last canvas, in nats. kl: (T,) of each step, in nats.
    """

    canvases: np.ndarray
    write: np.ndarray | None = None
    read: np.ndarray | None = None
    filters: tuple[int, int] = (1, 1)
    image: np.ndarray | None = None
    reconstruction: float = float("nan")
    kl: np.ndarray | None = None
    name: str = ""

    @property
    def bound(self) -> float:
        """The variational bound on the negative log-likelihood, reconstruction + KL, in nats; nan if generated."""
        return self.reconstruction + (float(self.kl.sum()) if self.kl is not None else float("nan"))
