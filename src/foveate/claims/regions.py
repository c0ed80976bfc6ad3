"""Soft attention over a grid and a spatial transformer, told where to look: which regions can they reach, and learn to?

Shapes: pictures (N, 1, SIDE, SIDE); regions (N, 6), an affine map's rows from the region's own coordinates in -1..1 to
the picture's; what stands in a region (N, TEXELS^2), row by row. L = CELLS^2 cells of D features.

What is learned from is noise, and so is what stands in the region, so that nothing helps but to read it. Both readers
are given the region in the same six numbers and the same decoder's depth, and have as many weights. Noise is hard on
the transformer: a pixel says nothing of its neighbours, so that gradients point to a region only from nearby.

    soft attention   z = sum_i p_i f_i,  p = softmax(MLP(region)),  f = CNN(picture)    (Xu et al. 2015, 4.2)
    transformer      z = sample(picture, A_theta(G)),  theta = MLP(region)              (Jaderberg et al. 2015, 3)
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from functools import cache
from statistics import fmean

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.claims import Claim
from foveate.claims.cost import weights
from foveate.claims.fitting import fit
from foveate.models.spatial.spatial_transformer import regress
from foveate.ops.sample import Affine, bilinear_sample
from foveate.registry import claim

SECTION = "Show, Attend and Tell; Soft Attention; Hard Attention"
SIDE, CELLS, TEXELS = 32, 4, 2  # a cell is 8x8 pixels, a texel of a region as large as a cell 4x4
CELL, TEXEL = SIDE // CELLS, SIDE // CELLS // TEXELS
SCALES = (0.75, 1.5)  # of an arbitrary region, against a cell
FEATURES, HIDDEN, VIEW = 64, 256, (8, 8)
TRAIN, TEST, STEPS = 20_000, 2000, 1500
FINE, COVERED = 128, 300  # pixels a side where areas are compared, and for how many regions


@dataclass(frozen=True)
class Regions:
    """Pictures, where to look in each, and what stands there."""

    images: Tensor
    places: Tensor
    values: Tensor


@claim("soft_attention_is_bound_to_its_grid")
def soft_attention_is_bound_to_its_grid() -> Claim:
    """How well the pixels that are attended to can cover a region: weighted cells, and a transformer's view.

    Of all weightings of the cells the one with the largest overlap is taken; it follows from the region alone. The
    transformer has the region for its theta, and the pixels that it reads are those that its view has a gradient to.
    Nothing is learned. Regions lie anywhere, turned by anything, at 0.75 to 1.5 times a cell's side.
    """
    return Claim(
        section=SECTION,
        claim="Soft attention is bound to its fixed grid and cannot attend to arbitrary regions; a spatial transformer "
        "can.",
        effect="{:.0f} points of overlap (intersection over union) between the best weighting of the cells, which "
        "covers arbitrary regions to {:.0f} %, and a transformer, to {:.0f} %; cells of the grid are covered to "
        "{:.0f} % and {:.0f} %",
        measure=_soft_attention_is_bound_to_its_grid,
        holds=25.0,  # a quarter of the region: no rounding between pixels
        partly=5.0,
    )


def _soft_attention_is_bound_to_its_grid(seed: int) -> tuple[float, ...]:
    cells, anywhere = (_overlaps(draw(COVERED, on_grid, seed).places) for on_grid in (True, False))
    return anywhere[1] - anywhere[0], *anywhere, *cells


def _overlaps(places: Tensor) -> tuple[float, float]:
    """Of the best weighting of the cells and of a transformer with regions (N, 6), in percent, a mean over them."""
    cells, views = [], []
    for place in places:
        inside = _texels(place[None], FINE)[2][0]
        cells.append(best_overlap(inside))
        read = read_by_transformer(place)
        views.append(float((read & inside).sum() / (read | inside).sum()))
    return 100 * fmean(cells), 100 * fmean(views)


def best_overlap(inside: Tensor) -> float:
    """The largest overlap of any weights of the cells with a region (S, S), bool.

    Weights w in 0..1 cover w_i of each pixel of cell i, of which a share a_i lies inside:

        overlap = sum_i w_i a_i / sum_i (a_i + w_i (1 - a_i))

    is largest with each weight 0 or 1, and 1 where a_i is largest.
    """
    side = inside.shape[-1] // CELLS
    share = F.avg_pool2d(inside[None].double(), side).flatten().sort(descending=True).values
    return float((share.cumsum(0) / (share.sum() + (1 - share).cumsum(0))).max())


def read_by_transformer(place: Tensor) -> Tensor:
    """The pixels of a fine picture, (FINE, FINE) bool, that a view of the region (6,) reads with half its weight."""
    picture = torch.zeros(1, 1, FINE, FINE, requires_grad=True)
    view = bilinear_sample(picture, Affine()(place[None], (FINE, FINE)))
    (weight,) = torch.autograd.grad(view.sum(), picture)
    usual = weight.sum() / (place[0] * place[4] - place[1] * place[3]).abs() / FINE**2  # were it spread evenly
    return weight[0, 0] > usual / 2


@claim("transformer_learns_to_reach_regions")
def transformer_learns_to_reach_regions() -> Claim:
    """What a soft attention and a transformer of equal size, both trained, miss of a region that they are told to read.

    Half of the regions that they learn from, and are tested on, are cells of the attention's grid; the others lie
    anywhere, turned by anything, at 0.75 to 1.5 times a cell's side. What counts is how much more of these than of
    cells is lost to the attention, or how much more than to the transformer, whichever is less: neither an attention
    that has learned nothing nor a transformer that reads no better speaks for the claim. Beside the trained transformer
    stands one whose theta is simply what it is told.
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
    readers = reader("soft", seed), reader("transformer", seed), Placed()
    cells, anywhere = (
        [missed(one, draw(TEST, on_grid, seed + 1_000_000)) for one in readers] for on_grid in (True, False)
    )
    soft, transformer, placed = zip(cells, anywhere, strict=True)
    return min(soft[1] - soft[0], soft[1] - transformer[1]), *soft, *transformer, *placed


def draw(count: int, on_grid: bool, seed: int) -> Regions:
    """Some pictures with one region each: a cell of the grid, or anywhere in the picture."""
    dice = torch.Generator().manual_seed(seed)
    if on_grid:
        cells = torch.randint(CELLS, (count, 2), generator=dice)
        centre = (2 * cells + 1) / CELLS - 1
        half, turn = torch.full((count,), 1 / CELLS), torch.zeros(count)
    else:
        half = (SCALES[0] + (SCALES[1] - SCALES[0]) * torch.rand(count, generator=dice)) / CELLS
        turn = 2 * math.pi * torch.rand(count, generator=dice)
        room = 1 - math.sqrt(2) * half  # its corners stay in the picture
        centre = (2 * torch.rand(count, 2, generator=dice) - 1) * room[:, None]
    cos, sin = half * turn.cos(), half * turn.sin()
    places = torch.stack([cos, -sin, centre[:, 0], sin, cos, centre[:, 1]], 1)
    around = torch.randn(count, SIDE // TEXEL, SIDE // TEXEL, generator=dice)
    values = torch.randn(count, TEXELS, TEXELS, generator=dice)
    images = [_paint(*some) for some in zip(*(x.split(1000) for x in (around, values, places)), strict=True)]
    return Regions(torch.cat(images), places, values.flatten(1))


def _paint(around: Tensor, values: Tensor, places: Tensor) -> Tensor:
    """Texels everywhere, and over them those of the region -> (N, 1, SIDE, SIDE)."""
    images = around.repeat_interleave(TEXEL, 1).repeat_interleave(TEXEL, 2)
    row, column, inside = _texels(places, SIDE)
    which = (row * TEXELS + column).flatten(1)
    texels = values.flatten(1).gather(1, which).unflatten(1, (SIDE, SIDE))
    return torch.where(inside, texels, images)[:, None]


def _texels(places: Tensor, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """Which of the region's texels each pixel of a picture shows, row and column, and whether any: (N, side, side)."""
    steps = (2 * torch.arange(side) + 1) / side - 1
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    matrix = places.unflatten(1, (2, 3))
    # Each pixel in the region's own coordinates, (N, 2, side^2); the linear part's inverse is its transpose, scaled.
    offset = torch.stack([x.flatten(), y.flatten()]) - matrix[:, :, 2:]
    own = matrix[:, :, :2].mT @ offset / matrix[:, :, 0].square().sum(1)[:, None, None]
    column, row = ((own + 1) / 2 * TEXELS).floor().long().unflatten(2, (side, side)).unbind(1)
    inside = (column >= 0) & (column < TEXELS) & (row >= 0) & (row < TEXELS)
    return row.clamp(0, TEXELS - 1), column.clamp(0, TEXELS - 1), inside


class SoftReader(nn.Module):
    """Features of a fixed grid of cells, their sum weighted by where to look, and a decoder."""

    def __init__(self) -> None:
        super().__init__()
        # A cell's features are its own pixels', and its neighbours', so that no region ends at its cell's border.
        self.own = nn.Conv2d(1, FEATURES, CELL, CELL)
        self.around = nn.Sequential(nn.ReLU(), nn.Conv2d(FEATURES, FEATURES, 3, padding=1))
        self.attend = nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, CELLS**2))
        self.decode = decoder(FEATURES, HIDDEN)

    def forward(self, image: Tensor, place: Tensor) -> Tensor:
        """Pictures and where to look in each -> what stands there."""
        own = self.own(image)
        cells = (own + self.around(own)).flatten(2)  # (N, D, L)
        weight = self.attend(place).softmax(1)
        context = torch.einsum("ndl,nl->nd", cells, weight)
        answer: Tensor = self.decode(torch.cat([context, place], 1))
        return answer


class TransformerReader(nn.Module):
    """A region read by a spatial transformer, and a decoder. hidden: of the decoder."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.generate = Affine()
        self.localise = nn.Sequential(nn.Linear(6, 64), nn.ReLU(), regress(64, self.generate))
        self.decode = decoder(math.prod(VIEW), hidden)

    def forward(self, image: Tensor, place: Tensor) -> Tensor:
        """Pictures and where to look in each -> what stands there."""
        view = bilinear_sample(image, self.generate(self.localise(place), VIEW))
        answer: Tensor = self.decode(torch.cat([view.flatten(1), place], 1))
        return answer


class Placed(nn.Module):
    """A transformer that reads where it is told, without learning anything: how far a transformer reaches."""

    def forward(self, image: Tensor, place: Tensor) -> Tensor:
        """Pictures and where to look in each -> what stands there, the mean over each texel."""
        view = bilinear_sample(image, Affine()(place, VIEW))
        return F.adaptive_avg_pool2d(view, TEXELS).flatten(1)


def decoder(inputs: int, hidden: int) -> nn.Sequential:
    """What was read, and where -> what stands there."""
    return nn.Sequential(
        nn.Linear(inputs + 6, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(),
        nn.Linear(hidden, TEXELS**2),
    )  # fmt: skip


def build(kind: str) -> nn.Module:
    """The soft reader, or the transformer whose decoder is as wide as to have the soft one's weights."""
    soft = SoftReader()
    if kind == "soft":
        return soft
    return TransformerReader(bisect_left(range(1024), weights(soft), key=lambda hidden: weights(_unfilled(hidden))))


def _unfilled(hidden: int) -> nn.Module:
    with torch.device("meta"):
        return TransformerReader(hidden)


@cache
def reader(kind: str, seed: int) -> nn.Module:
    """One of the two, trained on cells and arbitrary regions alike; once a process."""
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
    """The share of the content's variance that a reader's answers leave unexplained, in percent, all of it at most."""
    with torch.inference_mode():
        several = zip(regions.images.split(500), regions.places.split(500), strict=True)
        answers = torch.cat([model(images, places) for images, places in several])
    error = (answers - regions.values).square().mean()
    return min(100.0, 100 * float(error / regions.values.var()))
