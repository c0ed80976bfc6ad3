"""Hard attention that skips work: a scout looks at a small copy of a large picture, and a few windows of it are read.

Shapes: pictures (B, 1, S, S) in 0..1; a grid of g x g cells of CELL pixels a side; Q glimpses of WINDOW pixels a side.

    everywhere   a convolutional network over the whole picture, soft attention over its grid, a class
    glimpses     the scout on a copy SMALLER times as small -> LOOKS cells, the likeliest that are not neighbours; the
                 same network on the windows around them, and of what it says the surest, a class
    small        the same network over a copy COARSER times as small, a class: what can be had for as little work

Each picture shows one of ten digits, as likely at one place as at another, among scraps of other digits and noise. All
three learn on pictures of SIDE pixels a side, and are tested on larger ones, of FAR.
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

SIDE, FAR, CELL, WINDOW = 256, 512, 16, 40
LOOKS = 8  # at test time
SMALLER, COARSER = 8, 4
# Steps of learning: on pictures with less around the digit, then on large ones. What sees less of a large picture makes
# more steps there, for the same cost of training; and the one on small copies, which learns slowest, everywhere.
CLOSE = 96
STEPS = {"everywhere": (600, 150), "glimpse": (600, 900), "small": (2400, 600)}
TEST, BATCH, DRAWS = 40, 32, 4  # batches of AT_ONCE pictures; pictures; cells drawn for each
AT_ONCE = 50
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
        "for 16 pictures at once); {:.1f} % are missed by soft attention everywhere ({:.1f} million), {:.1f} % by "
        "eight glimpses ({:.2f} million, {:.0f} % of them to choose), {:.1f} % on a small copy ({:.1f} million); a "
        "glimpse holds the middle of the digit in {:.0f} % of pictures, and anywhere would in {:.1f} %",
        measure=_hard_attention_skips_work,
        holds=2.0,  # what is done to save should save half
        partly=1.1,
        long=True,
    )


def _hard_attention_skips_work(seed: int) -> tuple[float, ...]:
    everywhere, glimpser, small = trained(seed)
    full, few, less, held = tested(everywhere, glimpser, small, seed)
    many = draw(16, FAR, seed).image
    one = many[:1]
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
        less, adds[2] / 1e6, held, 100 * LOOKS * (WINDOW / FAR) ** 2,
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

    def draw(self, image: Tensor) -> HardRead:
        """DRAWS cells of each picture, (B, Q); their values are left to be read."""
        scores = self.scout(image).flatten(1)[:, None].expand(-1, DRAWS, -1)
        return hard_read(scores, scores.new_zeros(len(image), scores.shape[-1], 0), sample=True)

    def choose(self, image: Tensor) -> Tensor:
        """The LOOKS likeliest cells of each picture, (B, Q), of those that are likelier than their neighbours."""
        scores = self.scout(image)[:, None]
        peaks = scores == F.max_pool2d(scores, 3, stride=1, padding=1)
        return scores.masked_fill(~peaks, -torch.inf).flatten(1).topk(LOOKS, 1).indices

    def read(self, image: Tensor, choice: Tensor) -> Tensor:
        """What is in the windows around these cells: choices (B, Q) -> logits (B, Q, 10)."""
        cells = (image.shape[-2] // CELL, image.shape[-1] // CELL)
        seen = glimpse(image, choice, cells, WINDOW)
        return self.reader(seen.flatten(0, 1)).unflatten(0, choice.shape)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 1, S, S) -> of each digit the log-probability (B, 10) by the glimpse that is surest of it.

        A mean would be of scraps for the most part.
        """
        return self.read(image, self.choose(image)).log_softmax(2).amax(1)

    def loss(self, pictures: Pictures) -> Tensor:
        """What the glimpses miss, and REINFORCE for where they went; a picture's other glimpses are the baseline."""
        chosen = self.draw(pictures.image)
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
def tested(everywhere: Reader, glimpser: Glimpser, small: Reader, seed: int) -> tuple[float, float, float, float]:
    """Percent of digits that each of them misses on FAR pictures, and that are in one of the glimpses."""
    counts = torch.zeros(4)
    for batch in range(TEST):
        pictures = draw(AT_ONCE, FAR, 1_000_000 + seed * TEST + batch)
        for i, network in enumerate((everywhere, glimpser, small)):
            counts[i] += (network(pictures.image).argmax(1) != pictures.label).sum()
        counts[3] += held(glimpser, pictures).sum()
    full, few, less, within = (100 * counts / (TEST * AT_ONCE)).tolist()
    return full, few, less, within


def held(glimpser: Glimpser, pictures: Pictures) -> Tensor:
    """(B,) bool: whether some window holds the digit's middle."""
    size = (pictures.image.shape[-2], pictures.image.shape[-1])
    cells = (size[0] // CELL, size[1] // CELL)
    middles = torch.stack(cell_centres(glimpser.choose(pictures.image), cells, size), 2)
    return ((middles - pictures.middle[:, None]).abs().amax(2) <= WINDOW // 2).any(1)
