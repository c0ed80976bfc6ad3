"""Hard attention that saves computation: windows of a large image are selected on a small copy, and only they are read.

Shapes: images (B, 1, S, S) in 0..1; a grid of g x g cells of CELL pixels a side; Q glimpses of WINDOW pixels a side.

    everywhere   a convolutional network over the whole image, soft attention over its grid, and a classifier
    glimpses     a selection network (scout) on a copy reduced SCOUT_REDUCTION times selects NUM_GLIMPSES cells, the
                 most probable local maxima; the same network reads the windows around them, and for each digit the
                 most confident window counts
    small        the same network on a copy reduced SMALL_REDUCTION times: an alternative that is as cheap

Each image shows one of ten digits at a uniformly random position, among fragments of other digits and noise. All three
are trained on images of SIDE pixels a side, and tested on larger ones, of TEST_SIDE.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.claims import NEW_SEEDS, Claim, cached
from foveate.claims.attention import SECTION
from foveate.claims.cost import multiply_adds, times_as_long
from foveate.claims.digits import FACES, GLYPH, INK, OTHER_FACES, glyph_table
from foveate.ops.attend import Additive, HardRead, hard_read, soft_read
from foveate.ops.glimpse import cell_centres, glimpse
from foveate.registry import claim

SIDE, TEST_SIDE, CELL, WINDOW = 256, 512, 16, 40
NUM_GLIMPSES = 8  # at test time
SCOUT_REDUCTION, SMALL_REDUCTION = 8, 4
# Training steps on images of CROP_SIDE, then on images of SIDE. Networks that read less of a large image make more
# steps on large ones, for the same training cost; the one on small copies, which learns slowest, makes more on both.
CROP_SIDE = 96
STEPS = {"everywhere": (600, 150), "glimpse": (600, 900), "small": (2400, 600)}
TRAIN_BATCH, NUM_SAMPLES = 32, 4  # images of a training step; cells sampled for each
TEST_BATCHES, TEST_BATCH = 40, 50  # number of test batches; images in each
FRAGMENT, FRAGMENT_DENSITY = 7, 1 / 2000  # side in pixels; fragments a pixel
ENTROPY = 0.01  # weight of the entropy bonus, which keeps the scout from converging before the reader
EQUAL = 1.0  # largest difference in error, in points, that counts as equal


@claim("hard_attention_skips_work")
def hard_attention_skips_work() -> Claim:
    """Compare three ways to read a digit at a random position of a large image; see the module's docstring.

    The scout and the network after it are trained by reinforcement with the digits' labels alone, and their costs are
    added. If their error is at most one point above that of soft attention everywhere, their saving decides: in
    multiply-adds or in time for one image, whichever is less, compared with the cheapest network of equal error, the
    one on small copies included. Otherwise the saving counts as 0.
    """
    return Claim(
        section=SECTION,
        claim="Hard attention saves computation on a very large input, since only a small part of it is processed.",
        effect="{:.1f} times less work at equal quality: {:.1f} times fewer multiply-adds, {:.1f} times faster ({:.1f} "
        "for 16 pictures at once); {:.1f} % are missed by soft attention everywhere ({:.1f} million), {:.1f} % by "
        "eight glimpses ({:.2f} million, {:.0f} % of them to choose), {:.1f} % on a small copy ({:.1f} million); a "
        "glimpse holds the middle of the digit in {:.0f} % of pictures, and anywhere would in {:.1f} %",
        measure=_hard_attention_skips_work,
        holds=2.0,  # a saving of half
        partly=1.1,
        seeds=NEW_SEEDS,
        long=True,
        timed=True,
    )


def _hard_attention_skips_work(seed: int) -> tuple[float, ...]:
    everywhere, glimpser, small = trained(seed)
    full_error, glimpse_error, small_error, hit_rate = tested(everywhere, glimpser, small, seed)
    images = draw(16, TEST_SIDE, seed).image
    image = images[:1]
    adds = [multiply_adds(network, image) for network in (everywhere, glimpser, small)]
    scout_share = multiply_adds(glimpser.scout, image) / adds[1]
    with torch.inference_mode():
        faster = times_as_long(lambda: everywhere(image), lambda: glimpser(image), 51)
        faster_together = times_as_long(lambda: everywhere(images), lambda: glimpser(images))
        faster_than_small = times_as_long(lambda: small(image), lambda: glimpser(image), 51)
    saving = 0.0
    if glimpse_error <= full_error + EQUAL:
        saving = min(adds[0] / adds[1], faster)
        if small_error <= full_error + EQUAL:
            saving = min(saving, adds[2] / adds[1], faster_than_small)
    return (
        saving, adds[0] / adds[1], faster, faster_together, full_error, adds[0] / 1e6, glimpse_error, adds[1] / 1e6,
        100 * scout_share, small_error, adds[2] / 1e6, hit_rate, 100 * NUM_GLIMPSES * (WINDOW / TEST_SIDE) ** 2,
    )  # fmt: skip


@dataclass(frozen=True)
class Images:
    """Images (B, 1, S, S), labels (B,) of their digits, and row and column of the digits' centres (B, 2)."""

    image: Tensor
    label: Tensor
    centre: Tensor


def draw(count: int, side: int, seed: int) -> Images:
    """Draw random images of `side` pixels a side with one digit each; the result is determined by the arguments."""
    generator = torch.Generator().manual_seed(seed)

    def randint(high: int, *size: int) -> Tensor:
        return torch.randint(high, size, generator=generator)

    glyphs = torch.stack([glyph_table(face) for face in (*FACES, *OTHER_FACES)])
    # Background: smooth noise plus pixel noise.
    coarse = torch.rand(count, 1, side // 16, side // 16, generator=generator)
    image = 0.2 * F.interpolate(coarse, (side, side), mode="bilinear", align_corners=False)
    image += 0.2 * torch.rand(count, 1, side, side, generator=generator)
    fragments = round(FRAGMENT_DENSITY * side**2)
    limit = GLYPH - INK // 2 - FRAGMENT + 1  # exclusive upper bound of a fragment's corner in its digit
    for _ in range(fragments):
        digits = glyphs[randint(len(glyphs), count), randint(10, count)]
        fragment = _crop(digits, INK // 4 + randint(limit - INK // 4, count, 2), FRAGMENT)
        _paste(image, fragment, randint(side - FRAGMENT + 1, count, 2))
    label, corner = randint(10, count), randint(side - GLYPH + 1, count, 2)
    _paste(image, glyphs[randint(len(glyphs), count), label], corner)
    return Images(image, label, corner + GLYPH // 2)


def _crop(image: Tensor, corner: Tensor, side: int) -> Tensor:
    """Crop windows (B, s, s) of images (B, S, S), given their upper left corners (B, 2)."""
    steps = torch.arange(side)
    row, column = corner[:, 0, None] + steps, corner[:, 1, None] + steps
    return image[torch.arange(len(image))[:, None, None], row[:, :, None], column[:, None, :]]


def _paste(image: Tensor, patch: Tensor, corner: Tensor) -> None:
    """Add patches (B, s, s) to images (B, 1, S, S) at upper left corners (B, 2), in place."""
    steps = torch.arange(patch.shape[-1])
    row, column = corner[:, 0, None] + steps, corner[:, 1, None] + steps
    index = (torch.arange(len(image))[:, None, None], 0, row[:, :, None], column[:, None, :])
    image[index] += 0.6 * patch


def convolution(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    """Build a 3x3 convolution, batch norm and ReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False), nn.BatchNorm2d(out_channels), nn.ReLU()
    )


class Reader(nn.Module):
    """Classifier of the digit in an image of any size: convolutions, soft attention over their grid, a linear layer.

    reduction: factor by which the image is reduced first.
    """

    def __init__(self, reduction: int = 1) -> None:
        super().__init__()
        self.reduction = reduction
        self.trunk = nn.Sequential(
            convolution(1, 16, 2), convolution(16, 32, 2), convolution(32, 48, 2), convolution(48, 64, 2)
        )
        self.score = Additive(1, 64, 32)
        self.classify = nn.Linear(64, 10)

    def forward(self, image: Tensor) -> Tensor:
        """Classify images (B, 1, S, S); returns logits (B, 10)."""
        features = self.trunk(F.avg_pool2d(image, self.reduction) if self.reduction > 1 else image).flatten(2).mT
        query = features.new_ones(len(image), 1)  # the same query for all images
        scores = self.score(query, self.score.project(features))
        return self.classify(soft_read(scores, features).value)


class Scout(nn.Module):
    """Selection network: scores each cell of a large image, from a small copy of it."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            convolution(1, 16, 1), convolution(16, 16, CELL // SCOUT_REDUCTION), nn.Conv2d(16, 1, 3, padding=1)
        )

    def forward(self, image: Tensor) -> Tensor:
        """Score the cells of images (B, 1, S, S); returns (B, g, g)."""
        scores: Tensor = self.layers(F.avg_pool2d(image, SCOUT_REDUCTION))[:, 0]
        return scores


class Glimpser(nn.Module):
    """Hard attention: the scout selects cells, and the reader classifies only the windows around them."""

    def __init__(self) -> None:
        super().__init__()
        self.scout, self.reader = Scout(), Reader()

    def draw(self, image: Tensor) -> HardRead:
        """Sample NUM_SAMPLES cells of each image, (B, Q); their values are empty."""
        scores = self.scout(image).flatten(1)[:, None].expand(-1, NUM_SAMPLES, -1)
        return hard_read(scores, scores.new_zeros(len(image), scores.shape[-1], 0), sample=True)

    def choose(self, image: Tensor) -> Tensor:
        """Select the NUM_GLIMPSES most probable cells of each image, (B, Q), among the local maxima."""
        scores = self.scout(image)[:, None]
        peaks = scores == F.max_pool2d(scores, 3, stride=1, padding=1)
        return scores.masked_fill(~peaks, -torch.inf).flatten(1).topk(NUM_GLIMPSES, 1).indices

    def read(self, image: Tensor, choice: Tensor) -> Tensor:
        """Classify the windows around cells: choice (B, Q) -> logits (B, Q, 10)."""
        cells = (image.shape[-2] // CELL, image.shape[-1] // CELL)
        windows = glimpse(image, choice, cells, WINDOW)
        return self.reader(windows.flatten(0, 1)).unflatten(0, choice.shape)

    def forward(self, image: Tensor) -> Tensor:
        """Return for each digit its largest log-probability (B, 10) over the glimpses of images (B, 1, S, S).

        A mean would be dominated by windows without the digit.
        """
        return self.read(image, self.choose(image)).log_softmax(2).amax(1)

    def loss(self, images: Images) -> Tensor:
        """Compute the cross-entropy of the glimpses plus REINFORCE; the baseline is the mean of the other glimpses."""
        sampled = self.draw(images.image)
        logits = self.read(images.image, sampled.choice)
        reward = -F.cross_entropy(
            logits.flatten(0, 1), images.label.repeat_interleave(NUM_SAMPLES), reduction="none"
        ).unflatten(0, sampled.choice.shape)
        constant_reward = reward.detach()
        baseline = (constant_reward.sum(1, keepdim=True) - constant_reward) / (NUM_SAMPLES - 1)
        reinforce = (constant_reward - baseline) * sampled.log_prob
        return -(reward + reinforce + ENTROPY * sampled.entropy).mean()


@cached
def trained(seed: int) -> tuple[Reader, Glimpser, Reader]:
    """Train all three networks; cached for the process."""
    torch.manual_seed(seed)
    everywhere, glimpser, small = Reader(), Glimpser(), Reader(SMALL_REDUCTION)

    def classification_loss(network: Reader) -> Callable[[Images], Tensor]:
        return lambda images: F.cross_entropy(network(images.image), images.label)

    fit(everywhere, classification_loss(everywhere), seed, *STEPS["everywhere"])
    fit(glimpser, glimpser.loss, seed, *STEPS["glimpse"])
    fit(small, classification_loss(small), seed, *STEPS["small"])
    return everywhere, glimpser, small


def fit(network: nn.Module, loss: Callable[[Images], Tensor], seed: int, small_steps: int, large_steps: int) -> None:
    """Train with AdamW and one learning rate cycle on new images at every step, of CROP_SIDE first, then of SIDE."""
    steps = small_steps + large_steps
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=steps)
    network.train()
    for step in range(steps):
        images = draw(TRAIN_BATCH, CROP_SIDE if step < small_steps else SIDE, seed * steps + step)
        optimizer.zero_grad()
        loss(images).backward()
        optimizer.step()
        schedule.step()
    network.eval()


@torch.inference_mode()
def tested(everywhere: Reader, glimpser: Glimpser, small: Reader, seed: int) -> tuple[float, float, float, float]:
    """Return the three networks' errors on images of TEST_SIDE and the rate of digits in a glimpse, in percent."""
    counts = torch.zeros(4)
    for batch in range(TEST_BATCHES):
        images = draw(TEST_BATCH, TEST_SIDE, 1_000_000 + seed * TEST_BATCHES + batch)
        for i, network in enumerate((everywhere, glimpser, small)):
            counts[i] += (network(images.image).argmax(1) != images.label).sum()
        counts[3] += hits(glimpser, images).sum()
    full_error, glimpse_error, small_error, hit_rate = (100 * counts / (TEST_BATCHES * TEST_BATCH)).tolist()
    return full_error, glimpse_error, small_error, hit_rate


def hits(glimpser: Glimpser, images: Images) -> Tensor:
    """Return (B,) bool: True if some window contains the digit's centre."""
    size = (images.image.shape[-2], images.image.shape[-1])
    cells = (size[0] // CELL, size[1] // CELL)
    centres = torch.stack(cell_centres(glimpser.choose(images.image), cells, size), 2)
    return ((centres - images.centre[:, None]).abs().amax(2) <= WINDOW // 2).any(1)
