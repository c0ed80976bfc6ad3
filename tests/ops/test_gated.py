"""The gated unit against loops over single numbers, against `nn.GRUCell`, and its encoder against one row at a time."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from foveate.errors import ConfigError
from foveate.ops.gated import GatedEncoder, GatedUnit

LENGTHS = torch.tensor([3, 1, 5, 2])


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def by_hand(unit: GatedUnit, x: list[float], s: list[float]) -> list[float]:
    """One step as appendix A.1.1 has it, a number at a time: r multiplies the state before the matrix."""
    n = unit.hidden
    W, b = unit.W.weight.tolist(), unit.W.bias.tolist()
    gates, U = unit.U_gates.weight.tolist(), unit.U.weight.tolist()

    def inputs(row: int) -> float:
        return sum(w * v for w, v in zip(W[row], x, strict=True)) + b[row]

    z = [sigmoid(inputs(i) + sum(u * v for u, v in zip(gates[i], s, strict=True))) for i in range(n)]
    r = [sigmoid(inputs(n + i) + sum(u * v for u, v in zip(gates[n + i], s, strict=True))) for i in range(n)]
    reset = [a * v for a, v in zip(r, s, strict=True)]
    new = [math.tanh(inputs(2 * n + i) + sum(u * v for u, v in zip(U[i], reset, strict=True))) for i in range(n)]
    return [(1 - z[i]) * s[i] + z[i] * new[i] for i in range(n)]


def unit(seed: int = 0, inputs: int = 3, hidden: int = 4) -> GatedUnit:
    torch.manual_seed(seed)
    made = GatedUnit(inputs, hidden).double()
    for parameter in made.parameters():
        nn.init.normal_(parameter)
    return made


def test_a_step_by_hand() -> None:
    cell = unit()
    x, s = torch.randn(5, 3, dtype=torch.float64), torch.randn(5, 4, dtype=torch.float64)
    found = cell(cell.W(x), s)
    expected = torch.tensor(
        [by_hand(cell, a, b) for a, b in zip(x.tolist(), s.tolist(), strict=True)], dtype=torch.float64
    )
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)


def matched(cell: GatedUnit) -> nn.GRUCell:
    """`nn.GRUCell` with the same weights: its gates are r, z, n, and its z is the share of the old state."""
    n = cell.hidden
    other = nn.GRUCell(cell.W.in_features, n).double()
    z, r, new = cell.W.weight.split(n)
    bz, br, bn = cell.W.bias.split(n)
    uz, ur = cell.U_gates.weight.split(n)
    with torch.no_grad():
        other.weight_ih.copy_(torch.cat([r, -z, new]))
        other.bias_ih.copy_(torch.cat([br, -bz, bn]))
        other.weight_hh.copy_(torch.cat([ur, -uz, cell.U.weight]))
        other.bias_hh.zero_()
    return other


def test_it_is_grucell_where_the_reset_gate_is_open_and_not_elsewhere() -> None:
    cell = unit(1)
    x, s = torch.randn(6, 3, dtype=torch.float64), torch.randn(6, 4, dtype=torch.float64)
    assert (cell(cell.W(x), s) - matched(cell)(x, s)).abs().max() > 0.05
    with torch.no_grad():
        cell.W.bias[4:8] = 60.0  # r = 1
    torch.testing.assert_close(cell(cell.W(x), s), matched(cell)(x, s), atol=1e-10, rtol=0)


def one_at_a_time(encoder: GatedEncoder, x: Tensor, length: int) -> Tensor:
    """The annotations of one sequence, a step and a direction at a time."""
    found = []
    for cell, steps in zip(encoder.units, (range(length), reversed(range(length))), strict=False):
        s, states = [0.0] * encoder.hidden, {}
        for t in steps:
            s = by_hand(cell, x[t].tolist(), s)  # type: ignore[arg-type]
            states[t] = s
        found.append(torch.tensor([states[t] for t in range(length)], dtype=torch.float64))
    return torch.cat(found, 1)


@pytest.mark.parametrize("both", [True, False])
def test_the_encoder_one_row_at_a_time(both: bool) -> None:
    torch.manual_seed(2)
    encoder = GatedEncoder(3, 4, both).double()
    x = torch.randn(4, 5, 3, dtype=torch.float64)
    h = encoder(x, LENGTHS)
    assert h.shape == (4, 5, 8 if both else 4)
    for row, length in enumerate(LENGTHS.tolist()):
        torch.testing.assert_close(h[row, :length], one_at_a_time(encoder, x[row], length), atol=1e-12, rtol=0)
        assert not h[row, length:].any()
    torch.testing.assert_close(encoder(x[2:3, :5], LENGTHS[2:3]), h[2:3], atol=1e-12, rtol=0)
    other = x.clone()
    other[0, 3:] = 1e3  # padding
    torch.testing.assert_close(encoder(other, LENGTHS), h, atol=0, rtol=0)


def test_gradients() -> None:
    torch.manual_seed(3)
    encoder = GatedEncoder(2, 2).double()
    x = torch.randn(2, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: encoder(x, torch.tensor([3, 1])), (x,))


def test_sizes_that_do_not_fit() -> None:
    with pytest.raises(ConfigError, match="cannot build a gated unit of 3 inputs and 0 units; give 1 or more"):
        GatedUnit(3, 0)
