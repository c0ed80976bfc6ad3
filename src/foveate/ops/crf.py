"""The dense CRF: class probabilities drawn onto the edges of the picture they were predicted from.

Shapes: p and Q (K, H, W), class probabilities; I (C, H, W), the picture; K classes, C channels, H x W pixels.
i and j are pixels, x_i is where a pixel is, and l_i is its label.

A labelling of the whole picture has an energy: what it costs to disagree with p, and what it costs each *pair* of
pixels to disagree with one another, which is much if they are near and alike:

    E(l)    = sum_i -log p_i(l_i) + sum_{i<j} [l_i != l_j] k(i, j)                          equations 1 and 2
    k(i, j) = w1 exp(-|x_i - x_j|^2 / 2 theta_alpha^2 - |I_i - I_j|^2 / 2 theta_beta^2)     appearance
            + w2 exp(-|x_i - x_j|^2 / 2 theta_gamma^2)                                      smoothness; equation 3

[l_i != l_j] is the Potts model. The distribution exp(-E) / Z is approximated by independent pixels, prod_i Q_i(l_i),
which are found by fixed-point iteration: every pixel listens to all others, and then makes up its mind anew.

Source: Krähenbühl and Koltun, "Efficient Inference in Fully Connected CRFs with Gaussian Edge Potentials" (2011).
Where this departs from it:

- A pixel listens to a window around it, not to the whole picture, so no permutohedral lattice is needed: Teichmann and
  Cipolla, "Convolutional CRFs for Semantic Segmentation" (2018). The window of the appearance kernel may be a coarse
  grid (`dilation`), which reaches further for the same price.
- Each kernel is normalised to k(i, j) / sqrt(n_i n_j) with n_i = sum_j k(i, j) over the window, j = i included, as
  the authors' own code does by default. The weights then mean the same for every window, and at the picture's edge.
- No class is less likely to begin with than FLOOR, or a network that is sure of itself could never be overruled.
- |I_i - I_j|^2 is 3 / C times the sum over channels: a grey picture is refined as its RGB copy is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from foveate.errors import ConfigError

FLOOR = 1e-5

# Q (K, H, W) -> (K, H, W): for each pixel i and class, sum_{j != i} k(i, j) Q_j.
Filter = Callable[[Tensor], Tensor]
Slices = tuple[slice, slice, slice]


@dataclass(frozen=True)
class CRF:
    """Refines class probabilities by the picture.

    The defaults were chosen on CamVid, 480x360, for the coarse predictions of FCN. w2 and theta_gamma are the paper's.

    iterations: rounds of mean field; after 5 little changes.
    appearance: w1, how much near pixels of like colour want the same label.
    smoothness: w2, how much adjacent pixels want the same label, whatever their colour.
    theta_alpha: how far the appearance kernel sees, in pixels.
    theta_beta: how far colours may differ and still be alike, in levels of 0..255.
    theta_gamma: how far the smoothness kernel sees, in pixels; it is cut at three times that.
    radius: the appearance window is a grid of (2 radius + 1)^2 pixels; time and memory grow with their number.
    dilation: pixels from one of them to the next; the window reaches radius * dilation pixels to each side.

    Raises ConfigError if a weight is negative, or anything else is not positive.
    """

    iterations: int = 5
    appearance: float = 3.0
    smoothness: float = 1.0
    theta_alpha: float = 20.0
    theta_beta: float = 5.0
    theta_gamma: float = 1.0
    radius: int = 4
    dilation: int = 3

    def __post_init__(self) -> None:
        for name in ("iterations", "radius", "dilation"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise ConfigError(f"a CRF with {name}={getattr(self, name)}; give a whole number of 1 or more")
        for name in ("theta_alpha", "theta_beta", "theta_gamma"):
            if not 0 < getattr(self, name) < math.inf:
                raise ConfigError(f"a CRF with {name}={getattr(self, name)}; give a deviation above 0")
        for name in ("appearance", "smoothness"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"a CRF with {name}={getattr(self, name)}; give a weight of 0 or more")

    @torch.no_grad()
    def __call__(self, probabilities: Tensor, image: Tensor) -> Tensor:
        """Refined probabilities (K, H, W), float32: algorithm 1.

        probabilities: (K, H, W), which sum to one over the classes.
        image: (C, H, W) on the same device, uint8, or floating point within 0..1; any number of channels.

        Raises ConfigError if shapes or values are others.
        """
        _check(probabilities, image)
        levels = image.float() if image.dtype == torch.uint8 else image.float() * 255
        appearance = _normalised(self._appearance(levels), levels)
        smoothness = _normalised(self._smoothness(levels), levels)
        evidence = probabilities.float().clamp_min(FLOOR).log()
        q = evidence.softmax(0)
        for _ in range(self.iterations):
            # Message passing:          m_i(l) = sum_{j != i} k(i, j) Q_j(l)
            message = self.appearance * appearance(q) + self.smoothness * smoothness(q)
            # Compatibility transform:  c_i(l) = sum_{l' != l} m_i(l') = sum_l' m_i(l') - m_i(l)
            # Local update, normalise:  Q_i(l) = exp(log p_i(l) - c_i(l)) / Z_i
            # sum_l' m_i(l') is the same for all l, and so disappears in Z_i: what is left of -c_i(l) is m_i(l).
            q = (evidence + message).softmax(0)
        return q

    def _appearance(self, levels: Tensor) -> Filter:
        """The appearance kernel, without its weight. It is computed once, and used in each iteration."""
        channels, height, width = levels.shape
        kernels: list[tuple[Slices, Slices, Tensor]] = []
        for dy, dx in self._half_window():
            if dy >= height or abs(dx) >= width:
                continue
            # All pairs of pixels, dy rows and dx columns apart, that lie within the picture.
            i = (slice(None), slice(0, height - dy), slice(max(0, -dx), width - max(0, dx)))
            j = (slice(None), slice(dy, height), slice(max(0, dx), width - max(0, -dx)))
            position = (dy**2 + dx**2) / self.theta_alpha**2
            colour = ((levels[j] - levels[i]) / self.theta_beta).square().sum(0) * (3 / channels)
            kernels.append((i, j, (-(position + colour) / 2).exp()))

        def apply(q: Tensor) -> Tensor:
            message = torch.zeros_like(q)
            for i, j, k in kernels:
                message[i].addcmul_(k, q[j])
                message[j].addcmul_(k, q[i])
            return message

        return apply

    def _half_window(self) -> Iterator[tuple[int, int]]:
        """One of each two opposite offsets (dy, dx) of the window: they share a kernel, as k(i, j) = k(j, i)."""
        for dy in range(self.radius + 1):
            for dx in range(-self.radius, self.radius + 1):
                if (dy, dx) > (0, 0):
                    yield dy * self.dilation, dx * self.dilation

    def _smoothness(self, levels: Tensor) -> Filter:
        """The smoothness kernel, without its weight: blurring across, and then down."""
        radius = math.ceil(3 * self.theta_gamma)
        steps = torch.arange(-radius, radius + 1, device=levels.device)
        gaussian = (-(steps / self.theta_gamma).square() / 2).exp()

        def apply(q: Tensor) -> Tensor:
            taps = gaussian.expand(len(q), 1, 1, -1)
            across = F.conv2d(q[None], taps, padding=(0, radius), groups=len(q))
            blurred = F.conv2d(across, taps.mT, padding=(radius, 0), groups=len(q))
            return blurred[0] - q  # the Gaussian is 1 at its centre, where j = i

        return apply


def _normalised(apply: Filter, levels: Tensor) -> Filter:
    """The filter of k(i, j) / sqrt(n_i n_j)."""
    n = 1 + apply(torch.ones_like(levels[:1]))  # k(i, i) = 1
    root = n.rsqrt()
    return lambda q: root * apply(root * q)


def _check(probabilities: Tensor, image: Tensor) -> None:
    shapes = probabilities.shape, image.shape
    if probabilities.ndim != 3 or image.ndim != 3 or shapes[0][1:] != shapes[1][1:] or 0 in (*shapes[0], *shapes[1]):
        raise ConfigError(
            f"a CRF got probabilities of shape {tuple(shapes[0])} and an image of shape {tuple(shapes[1])}; "
            "give (K, H, W) and (C, H, W) of the same size, of 1 or more"
        )
    # Each comparison is false for nan. The sum is loose for the sake of half precision.
    if not ((probabilities >= 0).all() and ((probabilities.float().sum(0) - 1).abs() < 1e-2).all()):
        raise ConfigError(
            "a CRF got class probabilities that are negative or do not sum to 1 in each pixel; "
            "give logits through softmax(0) first"
        )
    if image.dtype == torch.uint8:
        return
    if not image.is_floating_point():
        raise ConfigError(f"a CRF got an image of {image.dtype}; give uint8, or floating point within 0..1")
    low, high = (float(value) for value in image.aminmax())
    if not (low >= -1e-3 and high <= 1 + 1e-3):  # resizing may overshoot a little
        raise ConfigError(
            f"a CRF got an image with values from {low:g} to {high:g}; "
            "give uint8, or floating point within 0..1, before any normalisation"
        )
