"""The gated unit of Cho et al., and the encoder made of it that reads a sequence in one or both directions.

It is not `torch.nn.GRU`: there the reset gate multiplies after the matrix product, and the update gate is the share of
the old state instead of the new one.

Shapes: B sequences, L steps, E inputs, H units.

Source: Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder" (2014), section 2.3; Bahdanau, Cho and
Bengio, "Neural Machine Translation by Jointly Learning to Align and Translate" (2014), appendix A.1.1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from foveate.errors import ConfigError
from foveate.ops.padding import reverse, valid_mask


class GatedUnit(nn.Module):
    """Gated recurrent unit whose reset gate multiplies the state before the matrix product.

    inputs: E, the size of an input. hidden: H, the size of the state. Raises ConfigError for a size below 1.
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        if min(inputs, hidden) < 1:
            raise ConfigError(f"cannot build a gated unit of {inputs} inputs and {hidden} units; give 1 or more")
        self.hidden = hidden
        self.W = nn.Linear(inputs, 3 * hidden)  # of z, r and the candidate, in this order
        self.U_gates = nn.Linear(hidden, 2 * hidden, bias=False)  # of z and r
        self.U = nn.Linear(hidden, hidden, bias=False)

    def forward(self, x: Tensor, s: Tensor) -> Tensor:
        """Return the next state (B, H), for inputs that went through `W`, (B, 3 H), and the state s (B, H)."""
        return gated_step(x, s, s @ self.U_gates.weight.T, self.U.weight.T)


def gated_step(x: Tensor, s: Tensor, gates: Tensor, U: Tensor) -> Tensor:
    """Return the next state (..., H): x (..., 3 H) is W x + b, gates (..., 2 H) are U_zr s, and U is (..., H, H)."""
    hidden = s.shape[-1]
    # z = sigmoid(W_z x + U_z s), r = sigmoid(W_r x + U_r s)
    z, r = torch.sigmoid(x[..., : 2 * hidden] + gates).split(hidden, -1)
    # s~ = tanh(W x + U (r * s))
    candidate = torch.tanh(x[..., 2 * hidden :] + (r * s) @ U)
    # s <- (1 - z) * s + z * s~
    return s + z * (candidate - s)


class GatedEncoder(nn.Module):
    """Annotations of a sequence: the states of a gated unit that reads forward, beside those of one that reads back.

    inputs: E. hidden: H, units of each direction. both: False for the forward direction alone.
    """

    def __init__(self, inputs: int, hidden: int, both: bool = True) -> None:
        super().__init__()
        self.hidden, self.directions = hidden, 2 if both else 1
        self.units = nn.ModuleList(GatedUnit(inputs, hidden) for _ in range(self.directions))

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Return h (B, L, H) or (B, L, 2 H), 0 in the padding, for x (B, L, E) and the lengths (B,).

        The unit that reads backwards starts at each sequence's last step, with a state of 0, as the other at the first.
        """
        units: list[GatedUnit] = list(self.units)  # type: ignore[arg-type]
        read = [x, reverse(x, lengths)][: self.directions]
        # (L, D, B, 3 H): all inputs at once; both directions advance in one step
        inputs = torch.stack([unit.W(own) for unit, own in zip(units, read, strict=True)]).permute(2, 0, 1, 3)
        gates = torch.stack([unit.U_gates.weight.T for unit in units])
        weights = torch.stack([unit.U.weight.T for unit in units])
        s = x.new_zeros(self.directions, len(x), self.hidden)
        states = []
        for step in inputs:
            s = gated_step(step, s, torch.bmm(s, gates), weights)
            states.append(s)
        h = torch.stack(states, 2)  # (D, B, L, H)
        valid = valid_mask(lengths, x.shape[1])[..., None]
        own = [h[0], *(reverse(back, lengths) for back in h[1:])]
        return torch.cat(own, -1).masked_fill(~valid, 0.0)
