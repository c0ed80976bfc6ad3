"""The claim about reading in clutter: networks that were not trained, what turns the verdict over, images and costs."""

from __future__ import annotations

import pytest
import torch
from stand_ins import examined
from torch import Tensor, nn

from foveate.claims import clutter
from foveate.claims.digits import GLYPH
from foveate.registry import find


@pytest.mark.parametrize(
    ("reading", "convolving", "verdict"),
    [
        (0.05, 0.20, "holds"),
        (0.05, 0.07, "holds partly"),
        (0.05, 0.05, "does not hold"),  # no gain
        (0.20, 0.05, "does not hold"),  # the convolutional network is better
        (0.30, 0.60, "does not hold"),  # reading is not accurate itself
    ],
)
def test_reading_has_to_be_accurate_and_better(
    monkeypatch: pytest.MonkeyPatch, reading: float, convolving: float, verdict: str
) -> None:
    monkeypatch.setattr(clutter, "trained", lambda network, seed: network)
    monkeypatch.setattr(clutter, "missed", lambda network, seed: reading if network is clutter.Reading else convolving)
    assert examined("reading_beats_convolution_in_clutter") == verdict
    gain, own, _, other, _ = find("claim", "reading_beats_convolution_in_clutter").load()().measure(0)
    assert (own, other) == pytest.approx((100 * reading, 100 * convolving))
    assert gain == pytest.approx(100 * (convolving - reading) if reading <= 0.1 else min(0, own - other), abs=1e-9) or (
        own > 10 and gain <= 0
    )


def test_the_networks_cost_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clutter, "trained", lambda network, seed: network)
    monkeypatch.setattr(clutter, "missed", lambda network, seed: 0.0)
    _, _, reading, _, convolving = find("claim", "reading_beats_convolution_in_clutter").load()().measure(0)
    assert convolving == pytest.approx(reading, rel=clutter.EQUAL)
    # By hand: convolutions of stride 2 on 100, 48 and 22 pixels a side, and the classes.
    a, b, c = clutter.WIDTHS
    by_hand = 48**2 * 25 * a + 22**2 * 25 * a * b + 10**2 * 9 * b * c + 10 * c
    assert convolving == pytest.approx(by_hand / 1e6)
    n, units = clutter.READER.read, clutter.READER.hidden
    products = n * 100 * 100 + n * n * 100
    linear = (n * n + units) * 4 * units + units * (5 + 10)
    assert reading == pytest.approx(clutter.READER.glimpses * (products + linear) / 1e6)


def test_a_digit_lies_whole_over_pieces_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """With digits that are white squares of 10, and others that are grey ones: the canvas can be counted."""

    def glyphs(labels: Tensor, generator: torch.Generator) -> Tensor:
        squares = torch.zeros(len(labels), GLYPH, GLYPH)
        squares[:, 9:19, 9:19] = 1.0 if len(labels) == 40 else 0.25
        return squares

    monkeypatch.setattr(clutter, "glyphs", glyphs)
    images, labels = clutter.draw(40, 100, 8, torch.Generator().manual_seed(0))
    assert images.shape == (40, 1, 100, 100) and labels.min() >= 0 and labels.max() <= 9
    white = images == 1
    assert (white.sum((1, 2, 3)) >= 100).all()  # the digit is whole
    grey = ((images > 0) & ~white).sum((1, 2, 3))
    assert grey.float().mean() > 20 and (grey <= 8 * 64).all()
    corners = torch.stack([one[0].nonzero()[0] for one in white])
    assert corners.float().std(0).min() > 10  # anywhere on the canvas
    bare, _ = clutter.draw(40, 100, 0, torch.Generator().manual_seed(0))
    assert (bare.sum((1, 2, 3)) == 100).all()


def test_images_grow_over_the_first_half(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clutter, "STEPS", 100)
    assert [clutter.growing(step) for step in (0, 25, 50, 99)] == [(40, 0), (70, 4), (100, 8), (100, 8)]


def test_both_are_trained_on_the_same_images(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[Tensor]] = []
    draw = clutter.draw

    def drawn(*given: object) -> tuple[Tensor, Tensor]:
        found = draw(*given)  # type: ignore[arg-type]
        seen[-1].append(found[0])
        return found

    monkeypatch.setattr(clutter, "draw", drawn)
    for name, value in {"STEPS": 3, "TRAIN_BATCH": 2, "TEST_BATCHES": 1, "TEST_BATCH": 3}.items():
        monkeypatch.setattr(clutter, name, value)
    for network in (clutter.Reading, clutter.Convolving):
        seen.append([])
        model = clutter.trained(network, 5)
        before = network().state_dict()
        assert not model.training and 0 <= clutter.missed(model, 5) <= 1
        assert any(not torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [one.shape[-1] for one in seen[0]] == [40, 80, 100, 100]
    assert all(torch.equal(a, b) for a, b in zip(*seen, strict=True))


def test_errors_are_counted() -> None:
    class Sure(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return torch.eye(10)[torch.zeros(len(image), dtype=torch.int64)]

    assert clutter.missed(Sure(), 0) == pytest.approx(0.9, abs=0.03)  # one class of ten is right
