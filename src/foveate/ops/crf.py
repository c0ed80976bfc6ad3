"""Dense CRF: aligns class probabilities with the edges of the image.

Shapes: p and Q (K, H, W), class probabilities; I (C, H, W), the image; K classes, C channels, H x W pixels. i and j are
pixels, x_i is the position of a pixel, and l_i is its label.

A labelling of the whole image has an energy: the cost of disagreeing with p, and that of each *pair* of pixels
disagreeing with one another, which is high if they are near and of similar colour:

    E(l)    = sum_i -log p_i(l_i) + sum_{i<j} [l_i != l_j] k(i, j)                          equations 1 and 2
    k(i, j) = w1 exp(-|x_i - x_j|^2 / 2 theta_alpha^2 - |I_i - I_j|^2 / 2 theta_beta^2)     appearance
            + w2 exp(-|x_i - x_j|^2 / 2 theta_gamma^2)                                      smoothness; equation 3

[l_i != l_j] is the Potts model. The distribution exp(-E) / Z is approximated by independent pixels, prod_i Q_i(l_i),
which are found by fixed-point iteration: every pixel receives messages from all others, and is updated.

Source: Krähenbühl and Koltun, "Efficient Inference in Fully Connected CRFs with Gaussian Edge Potentials" (2011).
Departures from it:

- A pixel receives messages from a window around it, not from the whole image, so no permutohedral lattice is needed:
  Teichmann and Cipolla, "Convolutional CRFs for Semantic Segmentation" (2018). The window of the appearance kernel may
  be a coarse grid (`dilation`), which reaches further at the same cost.
- Each kernel is normalised to k(i, j) / sqrt(n_i n_j) with n_i = sum_j k(i, j) over the window, j = i included, as the
  authors' own code does by default. The weights then mean the same for every window, and at the image's edge.
- No class is initially less likely than FLOOR, since an overconfident network could never be overruled otherwise.
- |I_i - I_j|^2 is 3 / C times the sum over channels: a grey image is refined as its RGB copy is.
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
    """Refine class probabilities with an image, by mean field inference in a dense CRF.

    The defaults were chosen on CamVid, 480x360, for the coarse predictions of FCN. w2 and theta_gamma are the paper's.

    iterations: rounds of mean field; little changes after 5.
    appearance: w1, weight of the same label for near pixels of similar colour; 0 or more.
    smoothness: w2, weight of the same label for adjacent pixels, whatever their colour; 0 or more.
    theta_alpha: range of the appearance kernel, a standard deviation in pixels.
    theta_beta: tolerance for colours, a standard deviation in levels of 0..255.
    theta_gamma: range of the smoothness kernel, a standard deviation in pixels; it is cut off at three times that.
    radius: the appearance window is a grid of (2 radius + 1)^2 pixels; time and memory grow with their number.
    dilation: distance in pixels between neighbours of this grid; the window extends radius * dilation pixels to each
        side.

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
        """Return refined probabilities (K, H, W), float32: algorithm 1.

        probabilities: (K, H, W), which sum to one over the classes.
        image: (C, H, W) on the same device, uint8, or floating point within 0..1; any number of channels.

        Raises ConfigError for other shapes or values.
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
            # sum_l' m_i(l') is the same for all l, and so cancels with Z_i: m_i(l) remains of -c_i(l).
            q = (evidence + message).softmax(0)
        return q

    def _appearance(self, levels: Tensor) -> Filter:
        """Build the appearance kernel, without its weight. It is computed once, and used in each iteration."""
        channels, height, width = levels.shape
        kernels: list[tuple[Slices, Slices, Tensor]] = []
        for dy, dx in self._half_window():
            if dy >= height or abs(dx) >= width:
                continue
            # All pairs of pixels, dy rows and dx columns apart, within the image.
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
        """Yield one of each two opposite offsets (dy, dx) of the window: they share a kernel, as k(i, j) = k(j, i)."""
        for dy in range(self.radius + 1):
            for dx in range(-self.radius, self.radius + 1):
                if (dy, dx) > (0, 0):
                    yield dy * self.dilation, dx * self.dilation

    def _smoothness(self, levels: Tensor) -> Filter:
        """Build the smoothness kernel, without its weight: blurring horizontally, and then vertically."""
        radius = math.ceil(3 * self.theta_gamma)
        steps = torch.arange(-radius, radius + 1, device=levels.device)
        gaussian = (-(steps / self.theta_gamma).square() / 2).exp()

        def apply(q: Tensor) -> Tensor:
            taps = gaussian.expand(len(q), 1, 1, -1)
            horizontal = F.conv2d(q[None], taps, padding=(0, radius), groups=len(q))
            blurred = F.conv2d(horizontal, taps.mT, padding=(radius, 0), groups=len(q))
            return blurred[0] - q  # the Gaussian is 1 at its centre, where j = i

        return apply


def _normalised(apply: Filter, levels: Tensor) -> Filter:
    """Return the filter of k(i, j) / sqrt(n_i n_j)."""
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
