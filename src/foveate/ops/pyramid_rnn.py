"""Recurrent layers over sequences of unequal lengths, and the pyramid of them that halves time in every layer.

Shapes: B sequences of L steps, of which the first `lengths` (B,) are the sequence and the others are padding; D values
a step, H units in each direction.

No result depends on the padding: a backward pass starts at the last step of the sequence. Padding comes out as zeros.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from foveate.errors import ConfigError
from foveate.ops.padding import reverse, valid_mask


class BidirectionalLSTM(nn.Module):
    """A bidirectional LSTM over padded sequences: (B, L, D) and lengths (B,) -> (B, L, 2 H).

    input_size: D.
    hidden: H, the units in each direction.

    Equal to `nn.LSTM(bidirectional=True)` on packed sequences. On a CPU the backward pass over a packed sequence costs
    the square of its length, that over a padded one does not.
    """

    def __init__(self, input_size: int, hidden: int) -> None:
        super().__init__()
        self.onward = nn.LSTM(input_size, hidden, batch_first=True)
        self.returning = nn.LSTM(input_size, hidden, batch_first=True)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return the outputs of both directions; lengths None: all sequences are L long."""
        if lengths is None:
            return torch.cat([self.onward(x)[0], self.returning(x.flip(1))[0].flip(1)], 2)
        after = reverse(self.returning(reverse(x, lengths))[0], lengths)
        both = torch.cat([self.onward(x)[0], after], 2)
        return both * valid_mask(lengths, x.shape[1])[..., None]


class PyramidLSTM(nn.Module):
    """A layer of a pyramidal bidirectional LSTM: it reads two neighbouring steps at once, so that L becomes L // 2.

    input_size: D, the size of a step.
    hidden: H, the units in each direction.

    Of an odd number of steps the last one is not read.

    Source: Chan, Jaitly, Le and Vinyals, "Listen, Attend and Spell" (2015), section 3.1, equation 5.
    """

    def __init__(self, input_size: int, hidden: int) -> None:
        super().__init__()
        self.rnn = BidirectionalLSTM(2 * input_size, hidden)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Return (B, L // 2, 2 H) and lengths // 2, for x (B, L, D) and lengths (B,), or None where all are L long.

        Raises ConfigError for fewer than two steps.
        """
        pairs = x.shape[1] // 2
        if pairs < 1:
            raise ConfigError(f"a sequence of {x.shape[1]} steps; a layer that halves it needs two or more")
        # h_i^j = BLSTM(h_{i-1}^j, [h_2i^{j-1}, h_{2i+1}^{j-1}])
        joined = x[:, : 2 * pairs].reshape(x.shape[0], pairs, 2 * x.shape[2])
        if lengths is None:
            return self.rnn(joined), None
        lengths = lengths // 2
        if int(lengths.min()) < 1:
            raise ConfigError("a sequence of one step; a layer that halves it needs two or more")
        return self.rnn(joined, lengths), lengths


def normalize_over_time(x: Tensor, lengths: Tensor | None = None, floor: float = 1e-2) -> Tensor:
    """Return x (B, L, D) with mean 0 and deviation 1 of every value over the steps of its sequence; padding becomes 0.

    floor: added to the deviation, so that a constant value stays 0.
    """
    if lengths is None:
        centred = x - x.mean(1, keepdim=True)
        return centred / (centred.square().mean(1, keepdim=True).sqrt() + floor)
    mask = valid_mask(lengths, x.shape[1])[..., None]
    count = lengths.clamp(min=1)[:, None, None].to(x.dtype)
    centred = (x - (x * mask).sum(1, keepdim=True) / count) * mask
    return centred / ((centred.square().sum(1, keepdim=True) / count).sqrt() + floor)
