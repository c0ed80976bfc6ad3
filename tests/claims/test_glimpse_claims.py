"""The claim that hard attention skips work: networks that need no training stand in, and worse ones turn it over."""

from __future__ import annotations

import math

import pytest
import torch
from stand_ins import examined, worked
from torch import nn
from torch.nn import functional as F

from foveate.claims import glimpses
from foveate.claims.cost import multiply_adds
from foveate.claims.glimpses import CELL, WINDOW, Glimpser, Images, Reader
from foveate.ops.glimpse import glimpse


class Marked(Reader):
    """Runs as it would, and reads the digit off the brightest pixel; wrong for a share of the digits.

    windows: of each image, that come one after the other.
    """

    def __init__(self, reduction: int = 1, wrong: float = 0.0, windows: int = 1) -> None:
        super().__init__(reduction)
        self.wrong, self.windows = wrong, windows

    def forward(self, image):
        super().forward(image)
        brightest = image.flatten(1).amax(1)
        label = (10 * (brightest - 1)).round().long()  # 1.0 .. 1.9; below 1 there is none
        missed = torch.arange(len(image)) // self.windows % 50 < 50 * self.wrong
        return F.one_hot((label + missed) % 10, 10).float() * (label >= 0)[:, None]


class Pointer(nn.Module):
    """A scout that finds the bright pixel, with the work of the one that learns."""

    def __init__(self) -> None:
        super().__init__()
        self.scout = glimpses.Scout()

    def forward(self, image):
        self.scout(image)
        return F.max_pool2d(image, CELL)[:, 0] * 100


def glimpser(reader=None):
    found = Glimpser().eval()
    found.scout, found.reader = Pointer(), reader or Marked()
    return found.eval()


def marked(count, side, seed):
    """Dark images with one bright pixel that says which digit it is."""
    generator = torch.Generator().manual_seed(seed)
    label, centre = (
        torch.randint(10, (count,), generator=generator),
        torch.randint(side, (count, 2), generator=generator),
    )
    image = torch.zeros(count, 1, side, side)
    image[torch.arange(count), 0, centre[:, 0], centre[:, 1]] = 1 + label / 10
    return Images(image, label, centre)


@pytest.fixture
def stand_ins(monkeypatch):
    """Networks in the place of the trained ones: all of them right, but the one that sees small copies."""
    networks = {"everywhere": Marked().eval(), "glimpser": glimpser(), "small": Marked(4, wrong=0.2).eval()}
    monkeypatch.setattr(glimpses, "TEST_BATCHES", 1)
    monkeypatch.setattr(glimpses, "times_as_long", worked)
    monkeypatch.setattr(glimpses, "draw", marked)
    monkeypatch.setattr(glimpses, "trained", lambda seed: tuple(networks.values()))
    return networks


def test_work_is_skipped(stand_ins):
    assert examined("hard_attention_skips_work") == "holds"
    saving, fewer, faster, together, full, adds, one, few, choosing, small, _, held, anywhere = (
        glimpses._hard_attention_skips_work(0)
    )
    assert saving == pytest.approx(fewer) == pytest.approx(faster) == pytest.approx(together)
    assert (full, one, small, held) == pytest.approx((0, 0, 20, 100), abs=1e-4)
    # Convolutions: 256^2 x 9 x 16, 128^2 x 9 x 16 x 32, 64^2 x 9 x 32 x 48, 32^2 x 9 x 48 x 64; then attention, names.
    trunk = 256**2 * 144 + 128**2 * 4608 + 64**2 * 13824 + 32**2 * 27648
    head = 32 + 1024 * 64 * 32 + 1024 * 32 + 1024 * 64 + 640
    assert adds == pytest.approx((trunk + head) / 1e6)
    scout = 64**2 * 144 + 32**2 * 2304 + 32**2 * 144
    read = 8 * (20**2 * 144 + 10**2 * 4608 + 5**2 * 13824 + 3**2 * 27648 + 32 + 9 * (64 * 32 + 32 + 64) + 640)
    assert few == pytest.approx((scout + read) / 1e6) and choosing == pytest.approx(100 * scout / (scout + read))
    assert fewer == pytest.approx(adds / few) and few < adds / 14
    assert anywhere == pytest.approx(800 * 40**2 / 512**2)


def test_a_glimpse_elsewhere_is_no_equal(stand_ins, monkeypatch):
    def beside(image, choice, grid, size):
        return glimpse(image, (choice + grid[1] * grid[0] // 2) % (grid[0] * grid[1]), grid, size)

    monkeypatch.setattr(glimpses, "glimpse", beside)
    assert glimpses._hard_attention_skips_work(0)[0] == 0
    assert examined("hard_attention_skips_work") == "does not hold"


def test_what_is_no_difference(stand_ins):
    stand_ins["glimpser"] = glimpser(Marked(wrong=0.02, windows=glimpses.NUM_GLIMPSES))  # one of each fifty
    assert glimpses.tested(*stand_ins.values(), 0)[:2] == pytest.approx((0, 2))
    assert examined("hard_attention_skips_work") == "does not hold"
    stand_ins["everywhere"] = Marked(wrong=0.02).eval()
    assert examined("hard_attention_skips_work") == "holds"


def test_a_small_copy_that_is_as_good_is_the_rival(stand_ins):
    stand_ins["small"] = Marked(4).eval()  # its mark is read before it is made smaller
    saving, fewer, _, _, _, _, _, few, _, _, rival, _, _ = glimpses._hard_attention_skips_work(0)
    assert saving == pytest.approx(rival / few) and saving < 1 < fewer
    assert examined("hard_attention_skips_work") == "does not hold"


def test_all_windows_cost_more_than_the_whole(stand_ins, monkeypatch):
    """Hard attention that reads everything before it chooses saves nothing."""

    def all_of_them(self, image):
        cells = (image.shape[-2] // CELL) * (image.shape[-1] // CELL)
        every = torch.arange(cells).expand(len(image), cells)
        logits = self.read(image, every)
        chosen = self.choose(image)
        return logits.gather(1, chosen[..., None].expand(-1, -1, 10))[:, 0]

    monkeypatch.setattr(glimpses, "TEST_BATCH", 2)
    monkeypatch.setattr(Glimpser, "forward", all_of_them)
    assert examined("hard_attention_skips_work") == "does not hold"


def test_pictures():
    images = glimpses.draw(300, 64, 5)
    assert images.image.shape == (300, 1, 64, 64) and torch.equal(images.image, glimpses.draw(300, 64, 5).image)
    assert set(images.label.tolist()) == set(range(10))
    # A digit anywhere: its middle is as often in one third of where it can be as in another.
    low, high = 14, 64 - 14
    thirds = ((images.centre - low) * 3 // (high - low + 1)).flatten().bincount(minlength=3)
    assert thirds.sum() == 600 and thirds.min() > 150
    # It is bright there, and nowhere else is as much ink.
    ink = F.avg_pool2d(images.image, 20, stride=1)[:, 0].flatten(1).argmax(1)
    found = torch.stack([ink // 45, ink % 45], 1) + 10
    assert ((found - images.centre).abs().amax(1) <= 8).float().mean() > 0.8


def test_glimpses_go_where_it_is_likelier_than_around(monkeypatch):
    """By hand: the highest cell's neighbour is higher than all others, and is not chosen."""
    monkeypatch.setattr(glimpses, "NUM_GLIMPSES", 3)
    model = Glimpser().eval()
    scores = torch.tensor([[[9.0, 8, 0, 5], [7, 6, 0, 0], [0, 0, 0, 3], [1, 0, 2, 0], [4, 0, 0, 0]]])
    model.scout.forward = lambda image: scores
    assert model.choose(torch.zeros(1, 1, 80, 64)).tolist() == [[0, 3, 16]]


def test_the_surest_glimpse_names_the_digit(monkeypatch):
    model = Glimpser().eval()
    window_log_probs = torch.full((1, 3, 10), 0.1).log()
    window_log_probs[0, 0, 4] += 1.0  # two that lean to a four,
    window_log_probs[0, 1, 4] += 1.0
    window_log_probs[0, 2, 7] += 3.0  # and one that is sure of a seven
    monkeypatch.setattr(model, "read", lambda image, choice: window_log_probs)
    log_probs = model(torch.zeros(1, 1, 128, 128))[0]
    assert log_probs.argmax() == 7
    assert log_probs[7].exp() == pytest.approx(0.1 * math.e**3 / (0.9 + 0.1 * math.e**3), rel=1e-5)


def test_cut_and_ink_by_hand():
    whole = torch.arange(32.0).view(2, 4, 4)
    part = glimpses._crop(whole, torch.tensor([[0, 1], [2, 2]]), 2)
    assert part.tolist() == [[[1, 2], [5, 6]], [[26, 27], [30, 31]]]
    image = torch.zeros(2, 1, 3, 3)
    glimpses._paste(image, torch.ones(2, 1, 1), torch.tensor([[0, 2], [1, 0]]))
    assert image[0, 0].nonzero().tolist() == [[0, 2]] and image[1, 0].nonzero().tolist() == [[1, 0]]


def test_the_scout_is_reinforced_without_bias():
    """The gradient of its scores, on average over many draws, is that of the expected loss, by enumeration."""
    torch.manual_seed(0)
    model = Glimpser().eval()  # statistics that do not depend on what else was drawn
    images = marked(1, 48, 3)
    scores = model.scout(images.image).flatten(1)
    every = torch.arange(9)[None]
    nll = F.cross_entropy(model.read(images.image, every)[0], images.label.expand(9), reduction="none")
    chances = scores.softmax(1)[0]
    exact = (chances * nll.detach()).sum() + glimpses.ENTROPY * (chances * chances.log()).sum()
    weight = model.scout.layers[2].weight
    (expected,) = torch.autograd.grad(exact, weight)
    many = Images(images.image.expand(1000, -1, -1, -1), images.label.expand(1000), images.centre)
    (found,) = torch.autograd.grad(model.loss(many), weight)
    assert F.cosine_similarity(found.flatten(), expected.flatten(), 0) > 0.98
    assert float(found.norm() / expected.norm()) == pytest.approx(1, abs=0.25)


def test_each_network_is_trained_by_its_own_loss_and_as_long_as_is_said(monkeypatch):
    """The controls, soft attention everywhere and on small copies, learn from the digits as the glimpses do."""
    calls = []

    def fit(network, loss, seed, small_steps, large_steps):
        images = marked(4, 128, 0)
        calls.append((type(network).__name__, getattr(network, "reduction", 0), seed, (small_steps, large_steps)))
        if isinstance(network, Reader):
            expected = F.cross_entropy(network(images.image), images.label)
            assert torch.equal(loss(images), expected)
        else:
            assert loss == network.loss
        network.fitted = True

    monkeypatch.setattr(glimpses, "fit", fit)
    glimpses.trained.cache_clear()
    everywhere, glimpser, small = glimpses.trained(7)
    glimpses.trained.cache_clear()
    assert calls == [
        ("Reader", 1, 7, glimpses.STEPS["everywhere"]),
        ("Glimpser", 0, 7, glimpses.STEPS["glimpse"]),
        ("Reader", 4, 7, glimpses.STEPS["small"]),
    ]
    assert everywhere.fitted and glimpser.fitted and small.fitted
    weights = [sum(p.numel() for p in network.parameters()) for network in (everywhere, glimpser.reader, small)]
    assert len(set(weights)) == 1


def test_a_step_of_training_lowers_the_loss_of_every_network(monkeypatch):
    """`fit` itself: its weights move, on crops first and then on large images, new ones at each step."""
    sides = []
    draw = glimpses.draw
    monkeypatch.setattr(glimpses, "TRAIN_BATCH", 4)
    monkeypatch.setattr(
        glimpses, "draw", lambda count, side, seed: (sides.append((side, seed)), draw(count, side, seed))[1]
    )
    for network in (Reader(), Reader(4), Glimpser()):
        before = [p.clone() for p in network.parameters()]
        sides.clear()
        glimpses.fit(
            network, network.loss if isinstance(network, Glimpser) else lambda x, n=network: n(x.image).sum(), 3, 2, 1
        )
        assert sides == [(96, 9), (96, 10), (256, 11)] and not network.training
        assert all(not torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True) if a.numel() > 1)


def test_a_small_copy_is_the_mean_of_its_pixels():
    torch.manual_seed(0)
    small, whole = Reader(4).eval(), Reader().eval()
    whole.load_state_dict(small.state_dict())
    image = torch.rand(2, 1, 256, 256)
    copy = image.unflatten(3, (64, 4)).unflatten(2, (64, 4)).mean((3, 5))
    assert torch.allclose(small(image), whole(copy), atol=1e-6)


def test_training_is_a_function_of_the_seed(monkeypatch):
    monkeypatch.setattr(glimpses, "STEPS", {"everywhere": (2, 1), "glimpse": (1, 1), "small": (2, 1)})
    monkeypatch.setattr(glimpses, "TRAIN_BATCH", 4)
    monkeypatch.setattr(glimpses, "SIDE", 128)
    glimpses.trained.cache_clear()
    first = glimpses.trained(0)
    assert glimpses.trained(0) is first
    glimpses.trained.cache_clear()
    for one, again in zip(first, glimpses.trained(0), strict=True):
        assert not one.training
        assert all(torch.equal(a, b) for a, b in zip(one.parameters(), again.parameters(), strict=True))
    glimpses.trained.cache_clear()
    image = torch.rand(2, 1, 256, 256)
    assert [network(image).shape for network in first] == [(2, 10)] * 3
    assert multiply_adds(first[1], image[:1]) < multiply_adds(first[0], image[:1]) / 2
    assert first[1].choose(image).shape == (2, glimpses.NUM_GLIMPSES) and first[1].draw(image).choice.shape == (2, 4)
    assert WINDOW < 128
