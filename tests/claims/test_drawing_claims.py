"""Claims about DRAW: windows that move and grow, rest or jump from pixel to pixel, and the verdicts on them."""

from __future__ import annotations

import pytest
import torch
from stand_ins import examined
from torch import Tensor

from foveate.claims import drawing
from foveate.registry import find

GENERATOR = torch.Generator().manual_seed(0)


def windows(growth: float = 0.5, whole: bool = False) -> Tensor:
    """(12, 50, 5): centres anywhere or on whole pixels, strides that vary by `growth` of their mean."""
    centre = 5 + 20 * torch.rand(12, 50, 2, generator=GENERATOR)
    centre = centre.round() if whole else centre
    stride = 3 * (1 + growth * torch.tensor([1.0, -1.0]).repeat(6)[:, None].expand(-1, 50))
    rest = torch.ones(12, 50, 2)
    return torch.cat([centre, stride[..., None], rest], -1)


@pytest.mark.parametrize(
    ("given", "verdict"),
    [({}, "holds"), ({"growth": 0.15}, "holds partly"), ({"growth": 0.0}, "does not hold"),
     ({"whole": True}, "does not hold")],
)  # fmt: skip
def test_a_window_has_to_grow_and_to_leave_the_pixels(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, float], verdict: str
) -> None:
    class Drawn:
        write = windows(**given)  # type: ignore[arg-type]

        def noise(self, count: int, generator: object) -> None: ...

        def generate(self, noise: object) -> Drawn:
            return self

    monkeypatch.setattr(drawing, "trained", lambda seed, attention: (Drawn(), 0.0))
    assert examined("window_is_on_no_grid") == verdict
    change, moved, on_pixel = drawing.movement(windows(**given))  # type: ignore[arg-type]
    assert moved > 1
    if given == {}:
        assert change == pytest.approx(0.5, abs=1e-6) and on_pixel < 8  # of 1,200 numbers anywhere, 4 in 100
    if "whole" in given:
        assert (change, on_pixel) == (0.0, 100.0)


@pytest.mark.parametrize(
    ("attending", "whole", "verdict"),
    [(88.0, 92.0, "holds"), (88.0, 88.5, "holds partly"), (90.0, 90.0, "does not hold"), (95.0, 90.0, "does not hold")],
)
def test_attention_has_to_lower_the_bound_in_as_much_time(
    monkeypatch: pytest.MonkeyPatch, attending: float, whole: float, verdict: str
) -> None:
    steps = []

    def trained(seed: int, attention: bool, count: int = drawing.STEPS) -> tuple[None, float]:
        steps.append((attention, count))
        return None, attending if attention else whole

    monkeypatch.setattr(drawing, "trained", trained)
    monkeypatch.setattr(drawing, "times_as_long", lambda slow, fast: 1.5)
    monkeypatch.setattr(drawing, "_training_step", lambda attention: attention)
    assert examined("attention_lowers_the_bound") == verdict
    assert set(steps) == {(True, drawing.STEPS), (False, round(1.5 * drawing.STEPS))}


def test_a_small_training_gives_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"TRAIN": 40, "TEST": 20, "BATCH": 8, "STEPS": 2}.items():
        monkeypatch.setattr(drawing, name, value)
    monkeypatch.setattr(
        drawing, "SMALL", drawing.SMALL | {"glimpses": 2, "hidden": 8, "latent": 3, "read": 3, "write": 3}
    )
    drawing.trained.cache_clear()
    for attention in (True, False):
        model, bound = drawing.trained(0, attention, 2)
        assert model.config.attention is attention and not model.training and 50 < bound < 2000
        assert drawing._training_step(attention)() is None
    drawing.trained.cache_clear()


def test_reading_costs_what_its_products_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    assert examined("reading_costs_two_products_more") == "holds"
    _, growth, convolved = find("claim", "reading_costs_two_products_more").load()().measure(0)
    assert 1 < growth < 2 and convolved == pytest.approx((196 / 96) ** 2)
    exact = drawing.multiply_adds

    def with_a_glance(network: object, image: Tensor) -> int:
        return exact(network, image) + (image.shape[-1] ** 2 if isinstance(network, drawing.DrawReader) else 0)  # type: ignore[arg-type]

    monkeypatch.setattr(drawing, "multiply_adds", with_a_glance)
    assert examined("reading_costs_two_products_more") == "does not hold"
