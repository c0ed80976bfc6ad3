"""Digits in clutter on 100x100 pixels, read through DRAW's window or by a convolutional network of equal cost.

Shapes: images (B, 1, S, S) in 0..1.

An image shows a digit of one of several typefaces, turned and scaled a little, anywhere on a black canvas among pieces
of other digits, as in section 4.1 of DRAW (Gregor et al. 2015). Both networks are trained with as many steps on the
same images, which grow from START to SIDE pixels a side, and from none to DISTRACTORS pieces, over the first half of
the training, since a reader finds little to start from on a large canvas. Their multiply-adds agree within EQUAL.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.claims import Claim
from foveate.claims.cost import multiply_adds
from foveate.claims.digits import FACES, GLYPH, glyph_table
from foveate.claims.drawing import SECTION
from foveate.claims.fitting import fit
from foveate.models.spatial.draw_reader import Config, DrawReader
from foveate.registry import claim

SIDE, START, DISTRACTORS, PIECE = 100, 40, 8, 8
TURN, SCALES = math.radians(15), (0.8, 1.1)  # of a digit
TRAIN_BATCH, STEPS = 64, 4500
TEST_BATCHES, TEST_BATCH = 20, 100
EQUAL = 0.1  # largest difference of the costs, relative to the reader's
ACCURATE = 10.0  # percent of errors up to which reading is accurate
READER = Config(glimpses=6, hidden=128, read=10, window_rate=0.3)
WIDTHS = (6, 11, 26)  # of the convolutional network, chosen so that the costs agree
PEAK_LR, CLIP = 1e-3, 1.0  # as in the recipe of the reader


@claim("reading_beats_convolution_in_clutter")
def reading_beats_convolution_in_clutter() -> Claim:
    """Compare the errors of the reader and of the convolutional network on unseen images of full size.

    The first figure is 0 where the reader errs on more than a tenth of the images.
    """
    return Claim(
        section=SECTION,
        claim="Reading by attention stays accurate in clutter on large images, where a convolutional network of equal "
        "cost falls behind.",
        effect="{:+.1f} points fewer errors: {:.1f} % by reading, of {:.2f} million multiply-adds, {:.1f} % by "
        "convolution, of {:.2f} million",
        measure=_reading_beats_convolution_in_clutter,
        holds=5.0,
        partly=1.0,
        long=True,
    )


def _reading_beats_convolution_in_clutter(seed: int) -> tuple[float, ...]:
    errors = [100 * missed(trained(network, seed), seed) for network in (Reading, Convolving)]
    image = torch.zeros(1, 1, SIDE, SIDE)
    costs = [multiply_adds(network().eval(), image) / 1e6 for network in (Reading, Convolving)]
    gain = errors[1] - errors[0]
    return gain if errors[0] <= ACCURATE else min(gain, 0.0), errors[0], costs[0], errors[1], costs[1]


class Reading(nn.Module):
    """DRAW's reader of small size: (B, 1, S, S) -> logits (B, 10) after the last glimpse."""

    def __init__(self) -> None:
        super().__init__()
        self.reader = DrawReader(READER)

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits."""
        logits: Tensor = self.reader(image).logits
        return logits

    def loss(self, image: Tensor, label: Tensor) -> Tensor:
        """Return the mean cross-entropy over the glimpses."""
        return self.reader.loss({"image": image, "label": label, "names": []})["loss"]


class Convolving(nn.Module):
    """Three convolutions of stride 2, the maximum over places, and a linear layer: (B, 1, S, S) -> logits (B, 10).

    The maximum lets a digit count wherever it is, so that the network does not have to learn each place by itself.
    """

    def __init__(self) -> None:
        super().__init__()
        sizes = zip((1, *WIDTHS), WIDTHS, (5, 5, 3), strict=False)
        self.convolutions = nn.ModuleList(nn.Conv2d(before, after, side, stride=2) for before, after, side in sizes)
        self.classify = nn.Linear(WIDTHS[-1], 10)

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits."""
        x = image
        for convolution in self.convolutions:
            x = F.relu(convolution(x))
        logits: Tensor = self.classify(x.amax((2, 3)))
        return logits

    def loss(self, image: Tensor, label: Tensor) -> Tensor:
        """Return the mean cross-entropy."""
        return F.cross_entropy(self(image), label)


def trained(network: type[Reading | Convolving], seed: int) -> Reading | Convolving:
    """Train a network; the seed also determines the images."""
    torch.manual_seed(seed)
    model = network()
    generator = torch.Generator().manual_seed(seed)
    steps = itertools.count()

    def loss(rows: Tensor) -> Tensor:  # every image is new: the rows say only how many
        return model.loss(*draw(len(rows), *growing(next(steps)), generator))

    for _ in fit(model, loss, TRAIN_BATCH, STEPS, seed=seed, batch=TRAIN_BATCH, peak=PEAK_LR, clip=CLIP):
        pass
    return model


def growing(step: int) -> tuple[int, int]:
    """(side, number of distractors) of the images after so many steps."""
    share = min(1.0, 2 * step / STEPS)
    return round(START + share * (SIDE - START)), int(share * DISTRACTORS)


def missed(model: nn.Module, seed: int) -> float:
    """The share of unseen images of full size that a network reads wrong."""
    generator = torch.Generator().manual_seed(seed + 1_000_000)
    wrong = 0
    with torch.inference_mode():
        for _ in range(TEST_BATCHES):
            images, labels = draw(TEST_BATCH, SIDE, DISTRACTORS, generator)
            wrong += int((model(images).argmax(1) != labels).sum())
    return wrong / (TEST_BATCHES * TEST_BATCH)


def draw(count: int, side: int, distractors: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Random images (count, 1, side, side) and the labels of their digits (count,)."""
    labels = torch.randint(10, (count,), generator=generator)
    digits = glyphs(labels, generator)
    others = glyphs(torch.randint(10, (count * max(distractors, 1),), generator=generator), generator)
    images = torch.zeros(count, side, side)
    cuts = torch.randint(GLYPH - PIECE + 1, (count, distractors, 2), generator=generator).tolist()
    laid = torch.randint(side - PIECE + 1, (count, distractors, 2), generator=generator).tolist()
    corners = torch.randint(side - GLYPH + 1, (count, 2), generator=generator).tolist()
    for i, image in enumerate(images):
        for j, ((v, u), (y, x)) in enumerate(zip(cuts[i], laid[i], strict=True)):
            image[y : y + PIECE, x : x + PIECE] += others[i * distractors + j, v : v + PIECE, u : u + PIECE]
        y, x = corners[i]
        below = image[y : y + GLYPH, x : x + GLYPH]
        below.copy_(torch.where(digits[i] > 0, digits[i], below))
    return images.clamp(max=1)[:, None], labels


def glyphs(labels: Tensor, generator: torch.Generator) -> Tensor:
    """Digits (N, GLYPH, GLYPH) with these labels (N,), each of a typeface, a turn and a scale of its own."""
    count = len(labels)
    tables = torch.stack([glyph_table(face) for face in FACES])
    chosen = tables[torch.randint(len(FACES), (count,), generator=generator), labels]
    turn = TURN * (2 * torch.rand(count, generator=generator) - 1)
    scale = SCALES[0] + (SCALES[1] - SCALES[0]) * torch.rand(count, generator=generator)
    cos, sin = turn.cos() / scale, turn.sin() / scale
    theta = torch.stack([torch.stack([cos, sin], 1), torch.stack([-sin, cos], 1)], 1)
    grid = F.affine_grid(F.pad(theta, (0, 1)), [count, 1, GLYPH, GLYPH], align_corners=False)
    return F.grid_sample(chosen[:, None], grid, align_corners=False)[:, 0]
