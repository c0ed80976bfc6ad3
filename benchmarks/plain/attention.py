"""What the plain decoders share: attention, padded sequences, and the cross-entropy of their tokens."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from foveate.text import PAD, START, UNKNOWN


class Read(NamedTuple):
    """What a decoder attends to."""

    states: Tensor  # (B, S, D)
    keys: Tensor  # (B, S, A)
    mask: Tensor  # (B, S) bool


def attend(scores: Tensor, read: Read) -> tuple[Tensor, Tensor]:
    """The context (B, D) of scores (B, S), and the attention (B, S)."""
    alpha = scores.masked_fill(~read.mask, -torch.inf).softmax(-1)
    return (alpha[:, None] @ read.states)[:, 0], alpha


def run_rnn(rnn: nn.RNNBase, x: Tensor, lengths: Tensor) -> Tensor:
    """The outputs (B, T, D) of a recurrent network for padded sequences."""
    packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
    return pad_packed_sequence(rnn(packed)[0], batch_first=True, total_length=x.shape[1])[0]


def shifted(tokens: Tensor) -> Tensor:
    """The token before each, START before the first."""
    return torch.cat([torch.full_like(tokens[:, :1], START), tokens[:, :-1]], 1)


def cross_entropy(logits: Tensor, tokens: Tensor) -> Tensor:
    """The mean over tokens; padding and unknown ones are not taught."""
    return F.cross_entropy(logits.flatten(0, 1), tokens.masked_fill(tokens == UNKNOWN, PAD).flatten(), ignore_index=PAD)
