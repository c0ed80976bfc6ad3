"""Hard attention that skips work: a scout looks at a small copy of a large picture, and one window of it is read.

Shapes: pictures (B, 1, S, S) in 0..1; a grid of g x g cells of CELL pixels a side; Q glimpses of WINDOW pixels a side.

    everywhere   a convolutional network over the whole picture, soft attention over its grid, a class
    glimpse      the scout on a copy SMALLER times as small -> a cell; the same network on the window around it, a class
    small        the same network over a copy COARSER times as small, a class: what can be had for as little work

Each picture shows one of ten digits, as likely at one place as at another, among scraps of other digits and noise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.claims import Claim
from foveate.claims.attention import SECTION
from foveate.claims.cost import multiply_adds, times_as_long
from foveate.claims.digits import FACES, GLYPH, INK, OTHER_FACES, glyph_table
from foveate.ops.attend import Additive, HardRead, hard_read, soft_read
from foveate.ops.glimpse import cell_centres, glimpse
from foveate.registry import claim

SIDE, CELL, WINDOW = 256, 16, 40
SMALLER, COARSER = 8, 4
# Steps of learning: on pictures with less around the digit, then on large ones. What sees less of a large picture makes
# more steps there, for the same cost of training; and the one on small copies, which learns slowest, everywhere.
CLOSE = 96
STEPS = {"everywhere": (600, 150), "glimpse": (600, 600), "small": (2400, 600)}
TEST, BATCH, DRAWS = 2000, 32, 4
SCRAP, SCRAPS = 7, 1 / 2000  # pixels a side; scraps a pixel
ENTROPY = 0.01  # its weight: so that the scout does not settle before the reader can read
EQUAL = 1.0  # points of error that are no difference


@claim("hard_attention_skips_work")
def hard_attention_skips_work() -> Claim:
    """A digit somewhere on a large picture, read in three ways by one small network; see the top of the file.

    The scout and the network behind it are trained by the digits' names alone, by reinforcement, and their work is
    counted together. If they miss at most a point more than soft attention everywhere, their saving decides: in
    multiply-adds, or in time for one picture, whichever is less, against the cheapest network that is as good, the one
    on small copies included. If they miss more, that is 0.
    """
    return Claim(
        section=SECTION,
        claim="Hard attention saves computation on a very large input, since only a small part of it is processed.",
        effect="{:.1f} times less work at equal quality: {:.1f} times fewer multiply-adds, {:.1f} times faster ({:.1f} "
        "for 16 pictures at once); {:.1f} % are missed by soft attention everywhere ({:.1f} million), {:.1f} % by one "
        "glimpse ({:.2f} million, {:.0f} % of them to choose it), {:.1f} % on a small copy ({:.1f} million); the "
        "glimpse holds the middle of the digit in {:.0f} % of pictures, and would anywhere in {:.1f} %",
        measure=_hard_attention_skips_work,
        holds=2.0,  # what is done to save should save half
        partly=1.1,
        long=True,
    )


def _hard_attention_skips_work(seed: int) -> tuple[float, ...]:
    everywhere, glimpser, small = trained(seed)
    pictures = draw(TEST, SIDE, seed + 1_000_000)
    full, few, less = (_missed(network, pictures) for network in (everywhere, glimpser, small))
    one, many = pictures.image[:1], pictures.image[:16]
    adds = [multiply_adds(network, one) for network in (everywhere, glimpser, small)]
    choosing = multiply_adds(glimpser.scout, one) / adds[1]
    with torch.inference_mode():
        faster = times_as_long(lambda: everywhere(one), lambda: glimpser(one), 51)
        faster_together = times_as_long(lambda: everywhere(many), lambda: glimpser(many))
        faster_than_small = times_as_long(lambda: small(one), lambda: glimpser(one), 51)
    saving = 0.0
    if few <= full + EQUAL:
        saving = min(adds[0] / adds[1], faster)
        if less <= full + EQUAL:
            saving = min(saving, adds[2] / adds[1], faster_than_small)
    return (
        saving, adds[0] / adds[1], faster, faster_together, full, adds[0] / 1e6, few, adds[1] / 1e6, 100 * choosing,
        less, adds[2] / 1e6, 100 * _held(glimpser, pictures), 100 * (WINDOW / SIDE) ** 2,
    )  # fmt: skip


@dataclass(frozen=True)
class Pictures:
    """Pictures (B, 1, S, S), the digit on each (B,), and the row and column of its middle (B, 2)."""

    image: Tensor
    label: Tensor
    middle: Tensor


def draw(count: int, side: int, seed: int) -> Pictures:
    """Some pictures, each with one digit; they are functions of all three numbers."""
    dice = torch.Generator().manual_seed(seed)

    def throw(most: int, *size: int) -> Tensor:
        return torch.randint(most, size, generator=dice)

    glyphs = torch.stack([glyph_table(face) for face in (*FACES, *OTHER_FACES)])
    # Grass, more or less: light and shadow, and a grain of one pixel.
    coarse = torch.rand(count, 1, side // 16, side // 16, generator=dice)
    image = 0.2 * F.interpolate(coarse, (side, side), mode="bilinear", align_corners=False)
    image += 0.2 * torch.rand(count, 1, side, side, generator=dice)
    scraps = round(SCRAPS * side**2)
    inside = GLYPH - INK // 2 - SCRAP + 1  # where a scrap may begin, and not be empty
    for _ in range(scraps):
        whole = glyphs[throw(len(glyphs), count), throw(10, count)]
        scrap = _cut(whole, INK // 4 + throw(inside - INK // 4, count, 2), SCRAP)
        _ink(image, scrap, throw(side - SCRAP + 1, count, 2))
    label, corner = throw(10, count), throw(side - GLYPH + 1, count, 2)
    _ink(image, glyphs[throw(len(glyphs), count), label], corner)
    return Pictures(image, label, corner + GLYPH // 2)


def _cut(whole: Tensor, corner: Tensor, side: int) -> Tensor:
    """Windows (B, s, s) of pictures (B, S, S) from their upper left corners (B, 2) on."""
    steps = torch.arange(side)
    row, column = corner[:, 0, None] + steps, corner[:, 1, None] + steps
    return whole[torch.arange(len(whole))[:, None, None], row[:, :, None], column[:, None, :]]


def _ink(image: Tensor, part: Tensor, corner: Tensor) -> None:
    """Lay parts (B, s, s) over pictures (B, 1, S, S), in place."""
    steps = torch.arange(part.shape[-1])
    row, column = corner[:, 0, None] + steps, corner[:, 1, None] + steps
    at = (torch.arange(len(image))[:, None, None], 0, row[:, :, None], column[:, None, :])
    image[at] += 0.6 * part


def convolution(inside: int, outside: int, stride: int) -> nn.Sequential:
    """3x3, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, stride, padding=1, bias=False), nn.BatchNorm2d(outside), nn.ReLU()
    )


class Reader(nn.Module):
    """A digit's name from a picture of any size: convolutions, soft attention over their grid, one layer.

    coarser: look at a copy that many times as small.
    """

    def __init__(self, coarser: int = 1) -> None:
        super().__init__()
        self.coarser = coarser
        self.trunk = nn.Sequential(
            convolution(1, 16, 2), convolution(16, 32, 2), convolution(32, 48, 2), convolution(48, 64, 2)
        )
        self.score = Additive(1, 64, 32)
        self.name = nn.Linear(64, 10)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 1, S, S) -> logits (B, 10)."""
        places = self.trunk(F.avg_pool2d(image, self.coarser) if self.coarser > 1 else image).flatten(2).mT
        ask = places.new_ones(len(image), 1)  # one question for all pictures
        scores = self.score(ask, self.score.project(places))
        return self.name(soft_read(scores, places).value)


class Scout(nn.Module):
    """Where to look: how promising each cell of a large picture is, from a small copy of it."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            convolution(1, 16, 1), convolution(16, 16, CELL // SMALLER), nn.Conv2d(16, 1, 3, padding=1)
        )

    def forward(self, image: Tensor) -> Tensor:
        """(B, 1, S, S) -> scores (B, g, g)."""
        scores: Tensor = self.layers(F.avg_pool2d(image, SMALLER))[:, 0]
        return scores


class Glimpser(nn.Module):
    """The scout chooses, and the reader reads what is there, and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.scout, self.reader = Scout(), Reader()

    def choose(self, image: Tensor, draws: int = 0) -> HardRead:
        """The likeliest cell of each picture, or several that are drawn, (B, Q); their values are left to be read."""
        scores = self.scout(image).flatten(1)[:, None].expand(-1, max(draws, 1), -1)
        nothing = scores.new_zeros(len(image), scores.shape[-1], 0)
        return hard_read(scores, nothing, sample=draws > 0)

    def read(self, image: Tensor, choice: Tensor) -> Tensor:
        """What is in the windows around these cells: choices (B, Q) -> logits (B, Q, 10)."""
        cells = (image.shape[-2] // CELL, image.shape[-1] // CELL)
        seen = glimpse(image, choice, cells, WINDOW)
        return self.reader(seen.flatten(0, 1)).unflatten(0, choice.shape)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 1, S, S) -> logits (B, 10)."""
        return self.read(image, self.choose(image).choice)[:, 0]

    def loss(self, pictures: Pictures) -> Tensor:
        """What the glimpses miss, and REINFORCE for where they went; a picture's other glimpses are the baseline."""
        chosen = self.choose(pictures.image, DRAWS)
        logits = self.read(pictures.image, chosen.choice)
        reward = -F.cross_entropy(
            logits.flatten(0, 1), pictures.label.repeat_interleave(DRAWS), reduction="none"
        ).unflatten(0, chosen.choice.shape)
        got = reward.detach()
        baseline = (got.sum(1, keepdim=True) - got) / (DRAWS - 1)
        reinforce = (got - baseline) * chosen.log_prob
        return -(reward + reinforce + ENTROPY * chosen.entropy).mean()


@cache
def trained(seed: int) -> tuple[Reader, Glimpser, Reader]:
    """All three; once a process."""
    torch.manual_seed(seed)
    everywhere, glimpser, small = Reader(), Glimpser(), Reader(COARSER)

    def named(network: Reader) -> Callable[[Pictures], Tensor]:
        return lambda pictures: F.cross_entropy(network(pictures.image), pictures.label)

    fit(everywhere, named(everywhere), seed, *STEPS["everywhere"])
    fit(glimpser, glimpser.loss, seed, *STEPS["glimpse"])
    fit(small, named(small), seed, *STEPS["small"])
    return everywhere, glimpser, small


def fit(network: nn.Module, loss: Callable[[Pictures], Tensor], seed: int, close: int, large: int) -> None:
    """AdamW on new pictures at every step, close ones first, in one cycle."""
    steps = close + large
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=steps)
    network.train()
    for step in range(steps):
        pictures = draw(BATCH, CLOSE if step < close else SIDE, seed * steps + step)
        optimizer.zero_grad()
        loss(pictures).backward()
        optimizer.step()
        schedule.step()
    network.eval()


@torch.inference_mode()
def _missed(network: nn.Module, pictures: Pictures) -> float:
    """Percent of digits that it names wrongly."""
    right = [
        network(image).argmax(1) == label
        for image, label in zip(pictures.image.split(50), pictures.label.split(50), strict=True)
    ]
    return 100 * (1 - float(torch.cat(right).float().mean()))


@torch.inference_mode()
def _held(glimpser: Glimpser, pictures: Pictures) -> float:
    """The share of pictures whose digit has its middle inside of the window."""
    held = []
    for image, middle in zip(pictures.image.split(50), pictures.middle.split(50), strict=True):
        size = (image.shape[-2], image.shape[-1])
        cells = (size[0] // CELL, size[1] // CELL)
        row, column = cell_centres(glimpser.choose(image).choice[:, 0], cells, size)
        far = (torch.stack([row, column], 1) - middle).abs().amax(1)
        held.append(far <= WINDOW // 2)
    return float(torch.cat(held).float().mean())
