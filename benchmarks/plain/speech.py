"""A pyramid of torch's LSTMs over log-mel features, and an LSTM cell that spells, with attention by dot products."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from foveate.ops.log_mel import LogMel
from foveate.records import SoundFormat
from foveate.text import PAD
from plain.attention import Read, attend, cross_entropy, run_rnn, shifted


@dataclass(frozen=True)
class Config:
    """Sizes, and halvings of the time (`pyramid`); the vocabulary and the rate are the data's."""

    vocabulary: int = 5
    rate: float = 8000.0
    features: int = 0
    hidden: int = 128
    pyramid: int = 2
    dropout: float = 0.2


class PlainSpeech(nn.Module):
    """A pyramid of torch's LSTMs over log-mel features, and one LSTM cell that spells."""

    task: ClassVar[str] = "speech"

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config, self.log_mel = config, LogMel(int(config.rate), 40, 0.025, 0.01, 60.0)
        hidden, self.halvings = config.hidden, 2**config.pyramid
        sizes = [40] + [4 * hidden] * config.pyramid
        self.listen = nn.ModuleList(nn.LSTM(n, hidden, batch_first=True, bidirectional=True) for n in sizes)
        self.embed = nn.Embedding(config.vocabulary, 64, PAD)
        self.cell = nn.LSTMCell(64 + 2 * hidden, 2 * hidden)
        self.query, self.key = nn.Linear(2 * hidden, hidden), nn.Linear(2 * hidden, hidden)
        self.output = nn.Linear(4 * hidden, config.vocabulary)
        self.dropout = nn.Dropout(config.dropout)
        shortest = self.log_mel.window + (max(self.halvings, 2) - 1) * self.log_mel.hop
        self.preprocessing = SoundFormat(config.rate, config.features, shortest)
        self.cell_step, self.cell_first = 0.01 * self.halvings, 0.005 * (self.halvings - 1) + 0.0125

    def begin(self, audio: Tensor, lengths: Tensor) -> tuple[Read, tuple[Tensor, Tensor, Tensor]]:
        x, count = self.log_mel(audio), self.log_mel.count(lengths)
        inside = (torch.arange(x.shape[1], device=x.device) < count[:, None])[..., None]
        mean = (x * inside).sum(1, keepdim=True) / count[:, None, None]
        deviation = (((x - mean) * inside).square().sum(1, keepdim=True) / count[:, None, None]).sqrt()
        x = run_rnn(self.listen[0], (x - mean) / (deviation + 1e-3) * inside, count)
        for layer in list(self.listen)[1:]:
            count = count // 2
            pairs = x[:, : x.shape[1] // 2 * 2].reshape(len(x), x.shape[1] // 2, -1)
            x = run_rnn(layer, self.dropout(pairs), count)
        mask = torch.arange(x.shape[1], device=x.device) < count[:, None]
        zeros = x.new_zeros(len(x), 2 * self.config.hidden)
        return Read(x, self.key(x), mask), (zeros, zeros, zeros)

    def step(self, read: Read, state: tuple[Tensor, Tensor, Tensor], tokens: Tensor) -> tuple[Tensor, Any, Tensor]:
        h, c, context = state
        h, c = self.cell(torch.cat([self.embed(tokens), context], 1), (h, c))
        context, alpha = attend((read.keys @ self.query(h)[..., None])[..., 0], read)
        return self.output(self.dropout(torch.cat([h, context], 1))), (h, c, context), alpha

    def loss(self, batch: Any) -> dict[str, Tensor]:
        (read, state), tokens = self.begin(batch["audio"], batch["audio_lengths"]), batch["tokens"]
        outputs = []
        for last in shifted(tokens).unbind(1):
            logits, state, _ = self.step(read, state, last)
            outputs.append(logits)
        return {"loss": cross_entropy(torch.stack(outputs, 1), tokens)}
