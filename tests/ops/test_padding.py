"""Padding: filling up, masks, and reversal within each length, against packed sequences."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from foveate.errors import ConfigError
from foveate.ops.padding import pad, reverse, valid_mask

LENGTHS = torch.tensor([3, 1, 5, 2])


def test_padding_and_mask_by_hand() -> None:
    padded = pad([torch.tensor([7, 8]), torch.tensor([9]), torch.tensor([], dtype=torch.int64)], 5)
    assert padded.tolist() == [[7, 8], [9, 5], [5, 5]]
    assert pad([torch.ones(1, 2), torch.ones(2, 2)]).tolist() == [[[1, 1], [0, 0]], [[1, 1], [1, 1]]]
    assert valid_mask(torch.tensor([2, 0, 1]), 2).tolist() == [[True, True], [False, False], [True, False]]


def test_reversal_by_hand_and_twice() -> None:
    x = torch.tensor([[1, 2, 3, 0], [1, 0, 0, 0], [1, 2, 3, 4]])
    lengths = torch.tensor([3, 1, 4])
    assert reverse(x, lengths).tolist() == [[3, 2, 1, 0], [1, 0, 0, 0], [4, 3, 2, 1]]
    wide = torch.randn(4, 5, 2, 3)
    assert torch.equal(reverse(reverse(wide, LENGTHS), LENGTHS), wide)
    assert torch.equal(reverse(wide, LENGTHS)[0, :, 1, 2], torch.cat([wide[0, :3, 1, 2].flip(0), wide[0, 3:, 1, 2]]))


def test_a_backward_network_equals_one_over_packed_sequences() -> None:
    torch.manual_seed(0)
    both = nn.GRU(3, 4, batch_first=True, bidirectional=True).double()
    back = nn.GRU(3, 4, batch_first=True).double()
    back.load_state_dict({k[:-8]: v for k, v in both.state_dict().items() if k.endswith("_reverse")})
    x = torch.randn(4, 5, 3, dtype=torch.float64)
    packed, _ = both(pack_padded_sequence(x, LENGTHS, batch_first=True, enforce_sorted=False))
    expected = pad_packed_sequence(packed, batch_first=True)[0][..., 4:]
    found = reverse(back(reverse(x, LENGTHS))[0], LENGTHS).masked_fill(~valid_mask(LENGTHS, 5)[..., None], 0.0)
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)
    straight = back(x.flip(1))[0].flip(1)  # which begins in the padding
    assert (straight - expected)[0, :3].abs().max() > 1e-2


def test_sequences_that_do_not_fit() -> None:
    with pytest.raises(ConfigError, match="cannot pad sequences of no kind; give one or more of one kind"):
        pad([])
    with pytest.raises(ConfigError, match=r"cannot pad sequences of torch.float32 \(2,\) and torch.float32 \(3,\)"):
        pad([torch.zeros(1, 2), torch.zeros(1, 3)])
