"""Soft attention over a grid and a spatial transformer for a given region: which regions can they read, and learn to?

Shapes: images (N, 1, SIDE, SIDE); regions (N, 6), rows of an affine map from the region's coordinates in -1..1 to those
of the image; contents of a region (N, TEXELS^2), row by row. L = CELLS^2 cells of D features.

Images and contents of regions are random noise, so that the contents can be predicted only by reading the region. Both
models are given the region as the same six numbers, and have decoders of the same depth and the same number of weights.
Noise is difficult for the transformer: pixels are independent of their neighbours, so that gradients point to a region
only from nearby.

    soft attention   z = sum_i p_i f_i,  p = softmax(MLP(region)),  f = CNN(image)    (Xu et al. 2015, 4.2)
    transformer      z = sample(image, A_theta(G)),  theta = MLP(region)              (Jaderberg et al. 2015, 3)
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from statistics import fmean

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.claims import Claim, cached
from foveate.claims.cost import weights
from foveate.claims.fitting import fit
from foveate.models.spatial.spatial_transformer import regress
from foveate.ops.sample import Affine, bilinear_sample
from foveate.registry import claim

SECTION = "Show, Attend and Tell; Soft Attention; Hard Attention"
SIDE, CELLS, TEXELS = 32, 4, 2  # a cell is 8x8 pixels, a texel of a region as large as a cell 4x4
CELL, TEXEL = SIDE // CELLS, SIDE // CELLS // TEXELS
SCALES = (0.75, 1.5)  # side of an arbitrary region relative to a cell
FEATURES, HIDDEN, VIEW = 64, 256, (8, 8)
TRAIN, TEST, STEPS = 20_000, 2000, 1500
FINE, COVERED = 128, 300  # side of the pixel grid on which areas are compared, and number of regions compared


@dataclass(frozen=True)
class Regions:
    """Images with one region each: the region's affine map and its contents."""

    images: Tensor
    places: Tensor
    values: Tensor


@claim("soft_attention_is_bound_to_its_grid")
def soft_attention_is_bound_to_its_grid() -> Claim:
    """Compare how well weighted cells and a transformer's view can cover a region.

    Of all weightings of the cells, the one with the largest overlap is taken; it is determined by the region. The
    transformer's theta is the region, and the pixels that it reads are those with a gradient from its view. Nothing is
    learned. Regions have random positions and rotations, and sides of 0.75 to 1.5 cells.
    """
    return Claim(
        section=SECTION,
        claim="Soft attention is bound to its fixed grid and cannot attend to arbitrary regions; a spatial transformer "
        "can.",
        effect="{:.0f} points of overlap (intersection over union) between the best weighting of the cells, which "
        "covers arbitrary regions to {:.0f} %, and a transformer, to {:.0f} %; cells of the grid are covered to "
        "{:.0f} % and {:.0f} %",
        measure=_soft_attention_is_bound_to_its_grid,
        holds=25.0,  # a quarter of the region: far above rounding to pixels
        partly=5.0,
        law=True,
    )


def _soft_attention_is_bound_to_its_grid(seed: int) -> tuple[float, ...]:
    cells, arbitrary = (_overlaps(draw(COVERED, on_grid, seed).places) for on_grid in (True, False))
    return arbitrary[1] - arbitrary[0], *arbitrary, *cells


def _overlaps(places: Tensor) -> tuple[float, float]:
    """Return the mean overlap with regions (N, 6), in percent, of the best weighting of the cells and a transformer."""
    cells, views = [], []
    for place in places:
        inside = _texels(place[None], FINE)[2][0]
        cells.append(best_overlap(inside))
        read = read_by_transformer(place)
        views.append(float((read & inside).sum() / (read | inside).sum()))
    return 100 * fmean(cells), 100 * fmean(views)


def best_overlap(inside: Tensor) -> float:
    """Return the largest overlap of any weights of the cells with a region, given as a mask (S, S) bool.

    Weights w in 0..1 cover w_i of each pixel of cell i, of which a share a_i lies inside:

        overlap = sum_i w_i a_i / sum_i (a_i + w_i (1 - a_i))

    The maximum has weights of 0 or 1, with 1 for the cells with the largest a_i.
    """
    side = inside.shape[-1] // CELLS
    share = F.avg_pool2d(inside[None].double(), side).flatten().sort(descending=True).values
    return float((share.cumsum(0) / (share.sum() + (1 - share).cumsum(0))).max())


def read_by_transformer(place: Tensor) -> Tensor:
    """Return a mask (FINE, FINE) of the pixels that a view of the region (6,) reads with over half the mean weight."""
    image = torch.zeros(1, 1, FINE, FINE, requires_grad=True)
    view = bilinear_sample(image, Affine()(place[None], (FINE, FINE)))
    (weight,) = torch.autograd.grad(view.sum(), image)
    mean_weight = weight.sum() / (place[0] * place[4] - place[1] * place[3]).abs() / FINE**2  # over the region's area
    return weight[0, 0] > mean_weight / 2


@claim("transformer_learns_to_reach_regions")
def transformer_learns_to_reach_regions() -> Claim:
    """Compare the errors of soft attention and a transformer of equal size, both trained to read a given region.

    Half of the regions of training and testing are cells of the attention's grid; the others have random positions and
    rotations, and sides of 0.75 to 1.5 cells. The deciding figure is the soft attention's error on these regions less
    its error on cells, or less the transformer's error, whichever is smaller: neither an untrained attention nor a
    transformer that reads no better supports the claim. A transformer whose theta is the given region is measured, too.
    """
    return Claim(
        section=SECTION,
        claim="By gradients alone a spatial transformer learns to read arbitrary regions, which soft attention cannot.",
        effect="{:.0f} points of an arbitrary region's content are lost to soft attention alone: it misses {:.0f} % of "
        "cells and {:.0f} % of arbitrary regions, a transformer of its size {:.0f} % and {:.0f} %, and one that is "
        "placed by hand {:.0f} % and {:.0f} %",
        measure=_transformer_learns_to_reach_regions,
        holds=25.0,
        partly=5.0,
        long=True,
    )


def _transformer_learns_to_reach_regions(seed: int) -> tuple[float, ...]:
    readers = reader("soft", seed), reader("transformer", seed), OracleTransformer()
    cells, arbitrary = (
        [missed(one, draw(TEST, on_grid, seed + 1_000_000)) for one in readers] for on_grid in (True, False)
    )
    soft, transformer, oracle = zip(cells, arbitrary, strict=True)
    return min(soft[1] - soft[0], soft[1] - transformer[1]), *soft, *transformer, *oracle


def draw(count: int, on_grid: bool, seed: int) -> Regions:
    """Draw `count` random images with one region each: a cell of the grid, or an arbitrary region inside the image."""
    generator = torch.Generator().manual_seed(seed)
    if on_grid:
        cells = torch.randint(CELLS, (count, 2), generator=generator)
        centre = (2 * cells + 1) / CELLS - 1
        half, angle = torch.full((count,), 1 / CELLS), torch.zeros(count)
    else:
        half = (SCALES[0] + (SCALES[1] - SCALES[0]) * torch.rand(count, generator=generator)) / CELLS
        angle = 2 * math.pi * torch.rand(count, generator=generator)
        margin = 1 - math.sqrt(2) * half  # keeps the corners inside the image
        centre = (2 * torch.rand(count, 2, generator=generator) - 1) * margin[:, None]
    cos, sin = half * angle.cos(), half * angle.sin()
    places = torch.stack([cos, -sin, centre[:, 0], sin, cos, centre[:, 1]], 1)
    background = torch.randn(count, SIDE // TEXEL, SIDE // TEXEL, generator=generator)
    values = torch.randn(count, TEXELS, TEXELS, generator=generator)
    images = [_paint(*batch) for batch in zip(*(x.split(1000) for x in (background, values, places)), strict=True)]
    return Regions(torch.cat(images), places, values.flatten(1))


def _paint(background: Tensor, values: Tensor, places: Tensor) -> Tensor:
    """Draw background texels and over them those of the region; returns (N, 1, SIDE, SIDE)."""
    images = background.repeat_interleave(TEXEL, 1).repeat_interleave(TEXEL, 2)
    row, column, inside = _texels(places, SIDE)
    index = (row * TEXELS + column).flatten(1)
    texels = values.flatten(1).gather(1, index).unflatten(1, (SIDE, SIDE))
    return torch.where(inside, texels, images)[:, None]


def _texels(places: Tensor, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return row and column of the region's texel at each pixel, and a mask of the pixels inside: (N, side, side)."""
    steps = (2 * torch.arange(side) + 1) / side - 1
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    matrix = places.unflatten(1, (2, 3))
    # Pixels in the region's coordinates, (N, 2, side^2); the inverse of the linear part is its scaled transpose.
    offset = torch.stack([x.flatten(), y.flatten()]) - matrix[:, :, 2:]
    local = matrix[:, :, :2].mT @ offset / matrix[:, :, 0].square().sum(1)[:, None, None]
    column, row = ((local + 1) / 2 * TEXELS).floor().long().unflatten(2, (side, side)).unbind(1)
    inside = (column >= 0) & (column < TEXELS) & (row >= 0) & (row < TEXELS)
    return row.clamp(0, TEXELS - 1), column.clamp(0, TEXELS - 1), inside


class SoftReader(nn.Module):
    """Soft attention: features of a fixed grid of cells, their sum weighted by a function of the region, a decoder."""

    def __init__(self) -> None:
        super().__init__()
        # A cell's features also depend on its neighbours, so that regions across cell borders can be read.
        self.own = nn.Conv2d(1, FEATURES, CELL, CELL)
        self.around = nn.Sequential(nn.ReLU(), nn.Conv2d(FEATURES, FEATURES, 3, padding=1))
        self.attend = nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, CELLS**2))
        self.decode = decoder(FEATURES, HIDDEN)

    def forward(self, image: Tensor, place: Tensor) -> Tensor:
        """Predict the contents of the regions `place` (N, 6) of the images."""
        own = self.own(image)
        cells = (own + self.around(own)).flatten(2)  # (N, D, L)
        weight = self.attend(place).softmax(1)
        context = torch.einsum("ndl,nl->nd", cells, weight)
        contents: Tensor = self.decode(torch.cat([context, place], 1))
        return contents


class TransformerReader(nn.Module):
    """Spatial transformer that samples the region, and a decoder.

    hidden: width of the decoder.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.generate = Affine()
        self.localise = nn.Sequential(nn.Linear(6, 64), nn.ReLU(), regress(64, self.generate))
        self.decode = decoder(math.prod(VIEW), hidden)

    def forward(self, image: Tensor, place: Tensor) -> Tensor:
        """Predict the contents of the regions `place` (N, 6) of the images."""
        view = bilinear_sample(image, self.generate(self.localise(place), VIEW))
        contents: Tensor = self.decode(torch.cat([view.flatten(1), place], 1))
        return contents


class OracleTransformer(nn.Module):
    """Spatial transformer without learned parameters whose theta is the given region."""

    def forward(self, image: Tensor, place: Tensor) -> Tensor:
        """Read the contents of the regions `place` (N, 6) of the images, as the mean over each texel."""
        view = bilinear_sample(image, Affine()(place, VIEW))
        return F.adaptive_avg_pool2d(view, TEXELS).flatten(1)


def decoder(inputs: int, hidden: int) -> nn.Sequential:
    """Build the network that predicts a region's contents from `inputs` features and the region."""
    return nn.Sequential(
        nn.Linear(inputs + 6, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(),
        nn.Linear(hidden, TEXELS**2),
    )  # fmt: skip


def build(kind: str) -> nn.Module:
    """Build the soft attention, or the transformer with a decoder of such width that both have as many weights."""
    soft = SoftReader()
    if kind == "soft":
        return soft
    return TransformerReader(bisect_left(range(1024), weights(soft), key=lambda hidden: weights(_on_meta(hidden))))


def _on_meta(hidden: int) -> nn.Module:
    with torch.device("meta"):
        return TransformerReader(hidden)


@cached
def reader(kind: str, seed: int) -> nn.Module:
    """Train one of the two on cells and arbitrary regions in equal numbers; cached for the process."""
    halves = [draw(TRAIN // 2, on_grid, seed) for on_grid in (True, False)]
    images, places, values = (
        torch.cat([getattr(half, name) for half in halves]) for name in ("images", "places", "values")
    )
    torch.manual_seed(seed)
    model = build(kind)

    def loss(batch: Tensor) -> Tensor:
        return F.mse_loss(model(images[batch], places[batch]), values[batch])

    for _ in fit(model, loss, TRAIN, STEPS, seed=seed):
        pass
    return model.eval()


def missed(model: nn.Module, regions: Regions) -> float:
    """Return the share of the contents' variance that a model leaves unexplained, in percent, at most 100."""
    with torch.inference_mode():
        batches = zip(regions.images.split(500), regions.places.split(500), strict=True)
        predictions = torch.cat([model(images, places) for images, places in batches])
    error = (predictions - regions.values).square().mean()
    return min(100.0, 100 * float(error / regions.values.var()))
