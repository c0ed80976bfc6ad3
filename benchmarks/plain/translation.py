"""GRUs of torch that translate, with additive attention and a linear output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from foveate.records import TranslationPreprocessing
from foveate.text import PAD
from plain.attention import Read, attend, cross_entropy, run_rnn, shifted


@dataclass(frozen=True)
class Config:
    """Sizes; the vocabularies are the data's."""

    source_vocabulary: int = 5
    target_vocabulary: int = 5
    embed: int = 256
    hidden: int = 256
    dropout: float = 0.3


class PlainTranslation(nn.Module):
    """GRUs that translate, with additive attention (Bahdanau et al. 2015) and torch's own gated unit."""

    task: ClassVar[str] = "translation"
    attention = "soft"

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config, self.preprocessing = config, TranslationPreprocessing()
        embed, hidden = config.embed, config.hidden
        self.source = nn.Embedding(config.source_vocabulary, embed, PAD)
        self.target = nn.Embedding(config.target_vocabulary, embed, PAD)
        self.encoder = nn.GRU(embed, hidden, batch_first=True, bidirectional=True)
        self.start = nn.Linear(2 * hidden, hidden)
        self.query, self.key, self.v = nn.Linear(hidden, hidden), nn.Linear(2 * hidden, hidden), nn.Linear(hidden, 1)
        self.decoder = nn.GRUCell(embed + 2 * hidden, hidden)
        self.output = nn.Linear(3 * hidden, config.target_vocabulary)
        self.dropout = nn.Dropout(config.dropout)

    def encode(self, source: Tensor) -> Read:
        mask = source != PAD
        states = run_rnn(self.encoder, self.dropout(self.source(source)), mask.sum(1))
        return Read(states, self.key(states), mask)

    def begin(self, read: Read) -> Tensor:
        return torch.tanh(self.start((read.states * read.mask[..., None]).sum(1) / read.mask.sum(1, keepdim=True)))

    def step(self, read: Read, hidden: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        hidden, context, alpha = self._advance(read, hidden, self.target(tokens))
        return self.output(torch.cat([hidden, context], 1)), hidden, alpha

    def _advance(self, read: Read, hidden: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        scores = self.v(torch.tanh(self.query(hidden)[:, None] + read.keys))[..., 0]
        context, alpha = attend(scores, read)
        return self.decoder(torch.cat([y, context], 1), hidden), context, alpha

    def loss(self, batch: Any) -> dict[str, Tensor]:
        read, tokens = self.encode(batch["source_tokens"]), batch["target_tokens"]
        hidden, outputs = self.begin(read), []
        for y in self.dropout(self.target(shifted(tokens))).unbind(1):
            hidden, context, _ = self._advance(read, hidden, y)
            outputs.append(torch.cat([hidden, context], 1))
        return {"loss": cross_entropy(self.output(self.dropout(torch.stack(outputs, 1))), tokens)}
