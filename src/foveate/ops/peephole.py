"""An LSTM with peepholes, whose gradients may be clipped inside of back-propagation.

Shapes: B sequences, T steps, N inputs, M units.

    i = sigma(W_xi x + W_hi h_(t-1) + w_ci c_(t-1) + b_i)        (equation 7)
    f = sigma(W_xf x + W_hf h_(t-1) + w_cf c_(t-1) + b_f)        (equation 8)
    c = f c_(t-1) + i tanh(W_xc x + W_hc h_(t-1) + b_c)          (equation 9)
    o = sigma(W_xo x + W_ho h_(t-1) + w_co c + b_o)              (equation 10)
    h = o tanh(c)                                                (equation 11)

Peepholes w_c are diagonal: each gate sees its own cell, the output gate the new one.

Source: Graves, "Generating Sequences With Recurrent Neural Networks" (2013), section 2.1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

INITIAL = 0.1  # weights start in U(-0.1, 0.1)


class PeepholeLSTM(nn.Module):
    """One layer. Gates are stored in torch's order: input, forget, cell, output.

    inputs: N. units: M. clip: largest absolute derivative of the loss by a gate's pre-activation, 0 for no limit; it
    bounds what flows back through each step, unlike a bound on the norm of the whole gradient.
    """

    def __init__(self, inputs: int, units: int, clip: float = 0.0) -> None:
        super().__init__()
        self.units, self.clip = units, clip
        self.input = nn.Linear(inputs, 4 * units)
        self.recurrent = nn.Linear(units, 4 * units, bias=False)
        self.peepholes = nn.Parameter(torch.empty(3, units))  # of the gates i, f, o
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -INITIAL, INITIAL)

    def step(self, projected: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        """One step. projected: W x + b (B, 4 M), as `input` gives it. hidden, cell: (B, M). Returns the next ones."""
        to_input, to_forget, to_cell, to_output = (projected + self.recurrent(hidden)).chunk(4, -1)
        peep_input, peep_forget, peep_output = self.peepholes
        i = self._clipped(to_input + peep_input * cell).sigmoid()
        f = self._clipped(to_forget + peep_forget * cell).sigmoid()
        cell = f * cell + i * self._clipped(to_cell).tanh()
        o = self._clipped(to_output + peep_output * cell).sigmoid()
        return o * cell.tanh(), cell

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """(B, T, N) -> h (B, T, M) and the last (hidden, cell). state: the first ones, zeros if None."""
        zeros = x.new_zeros(len(x), self.units)
        hidden, cell = (zeros, zeros) if state is None else state
        found = []
        for projected in self.input(x).unbind(1):
            hidden, cell = self.step(projected, hidden, cell)
            found.append(hidden)
        return torch.stack(found, 1), (hidden, cell)

    def _clipped(self, x: Tensor) -> Tensor:
        """x itself, a pre-activation, whose derivative is bounded: also on its way to the cell, through a peephole."""
        if self.clip and x.requires_grad:
            x.register_hook(lambda gradient: gradient.clamp(-self.clip, self.clip))
        return x
