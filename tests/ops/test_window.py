"""The soft window over a text, and the LSTM with peepholes below it."""

import math

import pytest
import torch
from torch import nn

from foveate.ops.peephole import PeepholeLSTM
from foveate.ops.window import is_written, read_text, weights


def random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_weights_equal_plain_loops():
    alpha, beta, kappa = random(2, 3), random(2, 3, seed=1), 5 * random(2, 3, seed=2)
    found = weights(alpha, beta, kappa, 4)
    assert found.shape == (2, 5)
    for b in range(2):
        for u in range(1, 6):
            expected = sum(
                alpha[b, k].item() * math.exp(-beta[b, k].item() * (kappa[b, k].item() - u) ** 2) for k in range(3)
            )
            assert found[b, u - 1].item() == pytest.approx(expected, abs=1e-12)


def test_reading_is_the_weighted_sum_of_one_hot_characters_and_padding_adds_nothing():
    phi = random(2, 5)
    text, lengths = torch.tensor([[3, 0, 3, 1], [2, 2, 0, 0]]), torch.tensor([4, 2])
    found = read_text(phi, text, lengths, 5)
    for b in range(2):
        one_hot = nn.functional.one_hot(text[b, : lengths[b]], 5).double()
        torch.testing.assert_close(found[b], phi[b, : lengths[b]] @ one_hot)
    other = text.clone()
    other[1, 2:] = 4
    assert torch.equal(read_text(phi, other, lengths, 5), found)


def test_a_text_is_written_when_the_place_after_it_weighs_most():
    lengths = torch.tensor([3, 3, 2, 3])
    phi = torch.tensor([
        [0.1, 0.2, 0.3, 0.4], [0.1, 0.2, 0.5, 0.4], [0.1, 0.2, 0.3, 0.1], [0.1, 0.2, 0.4, 0.4]
    ])  # fmt: skip
    assert is_written(phi, lengths).tolist() == [True, False, True, False]  # beyond the length, padding does not count


def test_gradients_of_the_window():
    text, lengths = torch.tensor([[1, 0, 2], [2, 1, 0]]), torch.tensor([3, 2])
    inputs = tuple(random(2, 2, seed=s).requires_grad_() for s in range(3))
    assert torch.autograd.gradcheck(lambda a, b, k: read_text(weights(a, b, k, 3), text, lengths, 4), inputs)


def test_without_peepholes_it_is_torchs_lstm():
    torch.manual_seed(0)
    layer, expected = PeepholeLSTM(3, 4).double(), nn.LSTM(3, 4, batch_first=True).double()
    with torch.no_grad():
        layer.peepholes.zero_()
        expected.weight_ih_l0.copy_(layer.input.weight)
        expected.bias_ih_l0.copy_(layer.input.bias)
        expected.weight_hh_l0.copy_(layer.recurrent.weight)
        expected.bias_hh_l0.zero_()
    x = random(2, 5, 3)
    found, (hidden, cell) = layer(x)
    reference, (h, c) = expected(x)
    torch.testing.assert_close(found, reference)
    torch.testing.assert_close((hidden, cell), (h[0], c[0]))


def test_peepholes_see_the_old_cell_and_the_output_gate_the_new_one():
    torch.manual_seed(0)
    layer = PeepholeLSTM(2, 3).double()
    x, h, c = random(1, 2), random(1, 3, seed=1), random(1, 3, seed=2)
    hidden, cell = layer.step(layer.input(x), h, c)
    gi, gf, gc, go = (layer.input(x) + h @ layer.recurrent.weight.T).chunk(4, 1)
    pi, pf, po = layer.peepholes
    i, f = torch.sigmoid(gi + pi * c), torch.sigmoid(gf + pf * c)
    new = f * c + i * torch.tanh(gc)
    torch.testing.assert_close(cell, new)
    torch.testing.assert_close(hidden, torch.sigmoid(go + po * new) * torch.tanh(new))


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_derivatives_of_gates_are_clipped_at_every_step(sign):
    torch.manual_seed(0)
    x = random(1, 6, 2)
    gradients = []
    for clip in (0.0, 1e-3):
        layer = PeepholeLSTM(2, 3, clip).double()
        layer.load_state_dict(PeepholeLSTM(2, 3).double().state_dict() | seeded(layer))
        given = x.clone().requires_grad_()
        (sign * 1e3 * layer(given)[0].sum()).backward()
        gradients.append((given.grad.clone(), layer.input.bias.grad.clone()))
    (free, bias_free), (clipped, bias_clipped) = gradients
    assert bias_clipped.abs().max() <= 6 * 1e-3 + 1e-12 < bias_free.abs().max()  # one clipped derivative a step
    assert clipped.abs().max() < free.abs().max()


def test_a_clipped_derivative_goes_through_the_peephole_too():
    """Two steps by hand: what reaches the first cell by the second step's peepholes has been clipped before."""
    layer = PeepholeLSTM(1, 1, 0.01).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
        layer.peepholes.fill_(3.0)
    cell = torch.tensor([[0.02]], dtype=torch.float64, requires_grad=True)
    projected = torch.tensor([[0.3, -0.2, 0.4, 0.1]], dtype=torch.float64)
    hidden, after = layer.step(projected, torch.zeros(1, 1, dtype=torch.float64), cell)
    (100 * hidden + 100 * after).sum().backward()
    # From here, the equations and their derivatives one number at a time.
    i, f = (1 / (1 + math.exp(-(g + 3 * 0.02))) for g in (0.3, -0.2))
    g = math.tanh(0.4)
    c = f * 0.02 + i * g
    o = 1 / (1 + math.exp(-(0.1 + 3 * c)))
    clipped = lambda d: max(-0.01, min(0.01, d))  # noqa: E731
    to_o = clipped(100 * math.tanh(c) * o * (1 - o))
    to_c = 100 + 100 * o * (1 - math.tanh(c) ** 2) + 3 * to_o
    to_i, to_f = clipped(to_c * g * i * (1 - i)), clipped(to_c * 0.02 * f * (1 - f))
    assert abs(to_i) == abs(to_f) == abs(to_o) == 0.01
    assert cell.grad.item() == pytest.approx(to_c * f + 3 * to_i + 3 * to_f, rel=1e-12)


def seeded(layer):
    generator = torch.Generator().manual_seed(5)
    return {
        name: torch.rand(value.shape, generator=generator, dtype=value.dtype)
        for name, value in layer.state_dict().items()
    }


def test_gradients_of_the_lstm():
    torch.manual_seed(0)
    layer = PeepholeLSTM(2, 2).double()
    x = random(1, 3, 2).requires_grad_()

    def run(x, peepholes):
        return torch.func.functional_call(layer, {"peepholes": peepholes}, (x,))[0]

    assert torch.autograd.gradcheck(run, (x, layer.peepholes))


def test_weights_of_the_lstm_start_evenly_up_to_a_tenth():
    layer = PeepholeLSTM(20, 30)
    for parameter in layer.parameters():
        assert 0.09 < parameter.abs().max() <= 0.1 and abs(parameter.mean()) < 0.02
