"""Claims about spatial transformers: they hold, and with a wrong operator in its place they do not."""

from __future__ import annotations

import math

import pytest
import torch
from stand_ins import examined
from torch import nn
from torch.nn import functional as F

from foveate.claims import digits, regions, spatial
from foveate.claims.cost import multiply_adds, weights
from foveate.models.spatial import spatial_transformer
from foveate.ops.sample import bilinear_sample
from foveate.records import ClassificationOutput, Preprocessing, TransformerOutput


def nearest(x, grid, background=0.0):
    """Reads the nearest pixel, as hard attention would: no gradient reaches the grid."""
    return F.grid_sample(x, grid, mode="nearest", align_corners=False) + 0 * grid.sum()


def cut(x, grid, background=0.0):
    """Bilinear, and right; but the grid is a constant to it."""
    return bilinear_sample(x, grid.detach(), background)


def weak(x, grid, background=0.0):
    """Right forward; backward a tenth of a thousandth is missing."""
    return bilinear_sample(x, grid * (1 - 1e-4) + grid.detach() * 1e-4, background)


def test_gradients(monkeypatch):
    assert examined("transformer_passes_gradients") == "holds"
    for wrong in (nearest, cut, weak):
        monkeypatch.setattr(spatial_transformer, "bilinear_sample", wrong)
        torch.manual_seed(0)
        picture, theta, weights = spatial._digits_of_gradients(spatial.Affine())
        assert picture > 8  # the map's part is right in all of them
        assert max(theta, weights) < 5
    assert examined("transformer_passes_gradients") == "does not hold"


def test_a_part_without_gradient_shares_no_digit():
    x, y = torch.tensor([0.5], dtype=torch.float64), torch.tensor([2.0], dtype=torch.float64)
    assert spatial._agreement(lambda: (x**3).sum(), [x]) > 8
    assert spatial._agreement(lambda: (x**3).sum(), [x, y]) == 0  # y is not used
    assert spatial._agreement(lambda: (x.round() * y).sum(), [x]) == 0
    assert spatial._agreement(lambda: (x.detach() * y).sum(), [x]) == 0
    assert x.item() == 0.5 and not x.requires_grad


class Turner(nn.Module):
    """Reads off the first pixel how far a digit was turned, and off the second which it is."""

    preprocessing = Preprocessing((0.0,), (1.0,))

    def __init__(self, share: float = 1.0, wrong: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(5))
        self.share, self.wrong = share, wrong
        self.layer = nn.Conv2d(1, 4, 3)

    def forward(self, image: torch.Tensor) -> ClassificationOutput:
        self.layer(image)
        turns, labels = image[:, 0, 0, 0], image[:, 0, 0, 1].round().long()
        cos, sin, zero = (self.share * turns).cos(), (self.share * turns).sin(), torch.zeros_like(turns)
        theta = torch.stack([0.5 * cos, -0.5 * sin, zero, 0.5 * sin, 0.5 * cos, zero], 1)
        missed = torch.arange(len(labels)) % 100 < 100 * self.wrong
        logits = 9 * F.one_hot((labels + missed) % 10, 10).float()
        return ClassificationOutput(logits, (TransformerOutput(theta, theta, image),))


@pytest.fixture
def marked(monkeypatch):
    """Digits whose first pixels say what they are."""
    found = digits.draw(1000, digits.OTHER_FACES, 3)
    images = found.images.clone()
    images[:, 0, 0, 0], images[:, 0, 0, 1] = found.turns, found.labels
    monkeypatch.setattr(spatial, "unseen", lambda seed: digits.Digits(images, found.labels, found.turns, found.places))


def test_turning_back(marked, monkeypatch):
    for share, verdict in ((1.0, "holds"), (0.3, "holds partly"), (0.0, "does not hold"), (-1.0, "does not hold")):
        monkeypatch.setattr(spatial, "classifier", lambda transform, seed, share=share: Turner(share))
        assert examined("transformer_turns_digits_back") == verdict
    half, left, before, places, error = spatial._transformer_turns_digits_back(0)
    assert half < 1 and left > before
    assert before == pytest.approx(54.4, abs=1.5)  # of a uniform half turn: sqrt(-2 ln (2 / pi)) radians
    assert places == pytest.approx(0.5, rel=0.1)  # it zooms in twofold, on the middle of the image
    assert error == 0


def test_a_view_turned_by_its_theta_is_upright(monkeypatch):
    """The sign of the angle, on images: a theta that turns by as much as the digit was."""
    monkeypatch.setattr(digits, "STRETCH", 0.0)
    largest = digits.SIDE / math.sqrt(2) / digits.INK  # with no room to be anywhere but in the middle
    monkeypatch.setattr(digits, "SCALES", (largest, largest))
    turned = digits.draw(20, digits.FACES, 5)
    monkeypatch.setattr(digits, "TURN", 0.0)
    upright = digits.draw(20, digits.FACES, 5)
    assert torch.equal(turned.labels, upright.labels) and not upright.turns.any()
    cos, sin = turned.turns.cos(), turned.turns.sin()
    for sign in (1, -1):
        theta = torch.stack([cos, -sign * sin, 0 * cos, sign * sin, cos, 0 * cos], 1)
        assert torch.allclose(spatial.angle(3 * theta), sign * turned.turns, atol=1e-6)
        grid = F.affine_grid(theta.unflatten(1, (2, 3)), list(turned.images.shape), align_corners=False)
        back = F.grid_sample(turned.images, grid, align_corners=False)
        difference = float((back - upright.images).abs().mean() / upright.images.mean())
        assert difference < 0.25 if sign == 1 else difference > 0.5


def test_a_place_is_where_the_ink_is(monkeypatch):
    monkeypatch.setattr(digits, "TURN", 0.0)
    drawn = digits.draw(40, digits.FACES[:1], 7)
    round_ones = (drawn.labels == 0) | (drawn.labels == 8)  # whose ink is about its middle
    steps = (2 * torch.arange(digits.SIDE) + 1) / digits.SIDE - 1
    ink = drawn.images[round_ones, 0]
    middles = torch.stack([(ink.sum(axis) * steps).sum(1) / ink.sum((1, 2)) for axis in (1, 2)], 1)
    assert torch.allclose(middles, drawn.places[round_ones], atol=0.03)


def test_where_a_point_is_seen():
    places = torch.tensor([[0.3, -0.2], [0.5, 0.1]])
    theta = torch.tensor([[0.5, 0.1, 0.2, -0.1, 0.4, 0.0], [1.0, 0.0, 0.5, 0.0, 1.0, 0.1]])
    seen = spatial.position_in_view(theta, places)
    back = (theta.unflatten(1, (2, 3)) @ torch.cat([seen, torch.ones(2, 1)], 1)[..., None])[..., 0]
    assert torch.allclose(back, places, atol=1e-6)
    assert torch.allclose(seen[1], torch.zeros(2), atol=1e-6)


def test_spread():
    turns = torch.tensor([0.3, 0.3, -1.0, -1.0])
    assert spatial.spread(turns, torch.tensor([0, 0, 1, 1])) == pytest.approx(0, abs=1e-5)
    # Two opposite quarters: a resultant of cos(45 degrees).
    two = torch.tensor([0.0, math.pi / 2])
    assert spatial.spread(two, torch.zeros(2)) == pytest.approx(math.sqrt(math.log(2)))
    assert spatial.spread(two + math.pi, torch.zeros(2)) == pytest.approx(math.sqrt(math.log(2)))


def test_helping(marked, monkeypatch):
    networks = {"none": Turner(wrong=0.1), "affine": Turner(wrong=0.05)}
    monkeypatch.setattr(spatial, "classifier", lambda transform, seed: networks[transform])
    assert examined("transformer_helps_a_classifier") == "holds"
    gain, without, with_one, adds, learned = spatial._transformer_helps_a_classifier(0)
    assert gain == pytest.approx(without - with_one)
    assert (without, with_one) == pytest.approx((10, 5))
    assert adds == learned == 1
    networks["affine"] = networks["none"]
    assert examined("transformer_helps_a_classifier") == "does not hold"


@pytest.fixture
def tiny(monkeypatch):
    """Trainings that take a second."""
    for name, value in (("TRAIN", 64), ("TEST", 50), ("STEPS", 4)):
        monkeypatch.setattr(digits, name, value)
    for cached in (digits.classifier, digits.unseen):
        cached.cache_clear()
    yield
    for cached in (digits.classifier, digits.unseen):
        cached.cache_clear()


def test_a_sampler_that_ignores_the_grid_turns_nothing_back(tiny, monkeypatch):
    monkeypatch.setattr(spatial_transformer, "bilinear_sample", lambda x, grid, background: x)
    fewer, after, before, *_ = spatial._transformer_turns_digits_back(0)
    assert fewer == pytest.approx(1) and after == pytest.approx(before)
    assert examined("transformer_turns_digits_back") == "does not hold"


def test_the_classifier_behind_the_transformer_is_the_bare_one(tiny):
    bare, behind = (digits.classifier(transform, 0) for transform in ("none", "affine"))
    assert digits.classifier("none", 0) is bare
    for name in ("features", "classify"):
        one, other = (getattr(network, name).state_dict() for network in (bare, behind))
        assert {k: v.shape for k, v in one.items()} == {k: v.shape for k, v in other.items()}
    *_, adds, learned = spatial._transformer_helps_a_classifier(0)
    image = torch.zeros(1, 1, digits.SIDE, digits.SIDE)
    assert 1 < adds < 2 and 1 < learned < 2
    assert adds == pytest.approx(multiply_adds(behind, image) / multiply_adds(bare, image))
    assert learned == pytest.approx(weights(behind) / weights(bare))


def test_drawn_digits():
    found, again, other = (digits.draw(200, digits.FACES, seed) for seed in (1, 1, 2))
    assert found.images.shape == (200, 1, 42, 42)
    assert found.images.min() >= 0 and found.images.max() <= 1
    assert torch.equal(found.images, again.images) and not torch.equal(found.images, other.images)
    assert found.labels.unique().tolist() == list(range(10))
    assert found.turns.abs().max() <= math.pi / 2 < found.turns.abs().max() + 0.1
    edge = found.images.clone()
    edge[:, :, 1:-1, 1:-1] = 0
    assert edge.max() == 0  # nothing is cut off
    for face in (*digits.FACES, *digits.OTHER_FACES):
        glyphs = digits.glyph_table(face)
        rows, columns = ((glyphs > 0).any(axis).sum(1) for axis in (2, 1))
        assert torch.maximum(rows, columns).tolist() == [digits.INK] * 10
    assert not set(digits.FACES) & set(digits.OTHER_FACES)


class Grid(nn.Module):
    """The texels of the cell that the middle of the region lies in."""

    def forward(self, image, place):
        cells = F.avg_pool2d(image, regions.TEXEL)
        column, row = (((place[:, i] + 1) / 2 * regions.CELLS).long() for i in (2, 5))
        windows = F.unfold(cells, regions.TEXELS, stride=regions.TEXELS)  # (N, TEXELS^2, L)
        return windows[torch.arange(len(image)), :, row * regions.CELLS + column]


@pytest.fixture
def fewer(monkeypatch):
    monkeypatch.setattr(regions, "TEST", 400)


def on_the_grid(x, grid):
    """Reads whole cells, upright: the one in which a region's middle lies."""
    middle = grid.mean((1, 2), keepdim=True)
    cell = (((middle + 1) / 2 * regions.CELLS).floor() * 2 + 1) / regions.CELLS - 1
    size = (grid.shape[1], grid.shape[2])
    view = regions.Affine()(regions.Affine().identity()[None], size)
    return bilinear_sample(x, cell + view / regions.CELLS)


def test_reaching(monkeypatch):
    monkeypatch.setattr(regions, "COVERED", 40)
    assert examined("soft_attention_is_bound_to_its_grid") == "holds"
    _, soft, transformer, soft_cells, cells = regions._soft_attention_is_bound_to_its_grid(0)
    assert soft_cells == 100 and min(cells, transformer) > 95 and soft < 60
    monkeypatch.setattr(regions, "bilinear_sample", on_the_grid)
    assert examined("soft_attention_is_bound_to_its_grid") == "does not hold"


def test_the_best_weights():
    inside = torch.zeros(32, 32, dtype=torch.bool)
    inside[8:16, 16:24] = True
    assert regions.best_overlap(inside) == 1
    inside = inside.roll(4, 1)  # half in each of two cells: one of them covers 1/2 of 3/2, both 1 of 2
    assert regions.best_overlap(inside) == pytest.approx(1 / 2)
    inside = torch.zeros(32, 32, dtype=torch.bool)
    inside[8:16, 16:30] = True  # one cell, and three quarters of the next
    assert regions.best_overlap(inside) == pytest.approx(1.75 / 2)
    # No other weights do better.
    torch.manual_seed(0)
    inside = regions._texels(regions.draw(1, False, 3).places, 32)[2][0]
    best = regions.best_overlap(inside)
    for _ in range(300):
        cover = (torch.rand(4, 4) ** 3).repeat_interleave(8, 0).repeat_interleave(8, 1)
        cover = cover / cover.max()
        overlap = torch.minimum(cover, inside.float()).sum() / torch.maximum(cover, inside.float()).sum()
        assert overlap <= best + 1e-6


def test_learning_to_reach(fewer, monkeypatch):
    readers = {"soft": Grid(), "transformer": regions.OracleTransformer()}
    monkeypatch.setattr(regions, "reader", lambda kind, seed: readers[kind])
    assert examined("transformer_learns_to_reach_regions") == "holds"
    least, *soft, cells, anywhere, placed_cells, placed = regions._transformer_learns_to_reach_regions(0)
    assert max(soft[0], cells) < 1e-6 and anywhere < 25 < 60 < soft[1]
    assert (placed_cells, placed) == (cells, anywhere)
    assert least == soft[1] - anywhere
    monkeypatch.setattr(regions, "bilinear_sample", on_the_grid)
    assert examined("transformer_learns_to_reach_regions") == "does not hold"


class Silent(nn.Module):
    """Has learned nothing."""

    def forward(self, image, place):
        return torch.zeros(len(image), regions.TEXELS**2)


def test_what_learned_nothing_speaks_for_nobody(fewer, monkeypatch):
    for soft, transformer in ((Silent(), regions.OracleTransformer()), (Grid(), Silent())):
        readers = {"soft": soft, "transformer": transformer}
        monkeypatch.setattr(regions, "reader", lambda kind, seed, readers=readers: readers[kind])
        assert examined("transformer_learns_to_reach_regions") == "does not hold"
    assert regions.missed(Silent(), regions.draw(400, False, 0)) == pytest.approx(100, abs=0.2)


def test_a_region_is_painted_where_it_is_said_to_be():
    values = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    around = torch.zeros(1, 8, 8)
    upright = regions._paint(around, values, torch.tensor([[0.25, 0.0, 0.25, 0.0, 0.25, -0.25]]))[0, 0]
    # The cell in row 1 and column 2: rows 8 to 15, columns 16 to 23.
    assert upright[8:16:4, 16:24:4].tolist() == [[1, 2], [3, 4]]
    assert upright.sum() == 16 * 10
    # A quarter turn clockwise: what was left is up.
    turned = regions._paint(around, values, torch.tensor([[0.0, -0.25, 0.25, 0.25, 0.0, -0.25]]))[0, 0]
    assert turned[8:16:4, 16:24:4].tolist() == [[3, 1], [4, 2]]
    drawn = regions.draw(50, False, 0)
    corners = drawn.places.unflatten(1, (2, 3)) @ torch.tensor([[1.0, 1, -1, -1], [1, -1, 1, -1], [1, 1, 1, 1]])
    assert corners.abs().max() <= 1 + 1e-6
    assert torch.equal(drawn.images, regions.draw(50, False, 0).images)


def test_readers_are_equally_large_and_learn(monkeypatch):
    for name, value in (("TRAIN", 256), ("STEPS", 5)):
        monkeypatch.setattr(regions, name, value)
    regions.reader.cache_clear()
    soft, transformer = (regions.reader(kind, 0) for kind in ("soft", "transformer"))
    sizes = [regions.weights(one) for one in (soft, transformer)]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.01)
    for kind, model in (("soft", soft), ("transformer", transformer)):
        torch.manual_seed(0)
        untrained = regions.build(kind)
        for one, other in zip(model.parameters(), untrained.parameters(), strict=True):
            assert not torch.equal(one, other)
    assert regions.reader("soft", 0) is soft
    regions.reader.cache_clear()
