"""Three of torch's LSTMs with a window over the text and a mixture of Gaussians (Graves 2013), without peepholes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.records import HandwritingPreprocessing


@dataclass(frozen=True)
class Config:
    """Sizes as in the recipe; the vocabulary is the data's."""

    vocabulary: int = 5
    sequences: int = 1
    text: Literal[True] = True
    units: int = 128
    gaussians: int = 10
    components: int = 20
    keep: int = 3


class PlainHandwriting(nn.Module):
    """Three of torch's LSTMs with a window over the text and a mixture of Gaussians (Graves 2013)."""

    task: ClassVar[str] = "handwriting"

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config, self.preprocessing = config, HandwritingPreprocessing(keep=config.keep)
        units, characters = config.units, config.vocabulary
        self.first = nn.LSTMCell(3 + characters, units)
        self.window = nn.Linear(units, 3 * config.gaussians)
        self.second, self.third = (nn.LSTM(3 + characters + units, units, batch_first=True) for _ in range(2))
        self.output = nn.Linear(3 * units, 6 * config.components + 1)

    @torch.no_grad()
    def begin_at(self, pace: float) -> None:
        self.window.bias[2 * self.config.gaussians :] = -math.log(pace)

    def _mixture(self, strokes: Tensor, text: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """The parameters of the next points (B, T, 6 M + 1), and the window's weights (B, T, U)."""
        places = torch.arange(1.0, text.shape[1] + 1, device=text.device)
        letters = F.one_hot(text, self.config.vocabulary) * (places <= lengths[:, None])[..., None]
        h = c = strokes.new_zeros(len(strokes), self.config.units)
        read, kappa = strokes.new_zeros(len(strokes), self.config.vocabulary), strokes.new_zeros(len(strokes), 1)
        hiddens, reads, windows = [], [], []
        for point in strokes.unbind(1):
            h, c = self.first(torch.cat([point, read], 1), (h, c))
            alpha, beta, step = self.window(h).exp().chunk(3, 1)
            kappa = kappa + step
            phi = (alpha[..., None] * (-beta[..., None] * (kappa[..., None] - places) ** 2).exp()).sum(1)
            read = (phi[:, None] @ letters.to(phi.dtype))[:, 0]
            hiddens.append(h)
            reads.append(read)
            windows.append(phi)
        h1, read = torch.stack(hiddens, 1), torch.stack(reads, 1)
        h2 = self.second(torch.cat([strokes, read, h1], 2))[0]
        h3 = self.third(torch.cat([strokes, read, h2], 2))[0]
        return self.output(torch.cat([h1, h2, h3], 2)), torch.stack(windows, 1)

    def score(self, batch: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Nats and squared error of every point but the first (B, T - 1), and the window (B, T - 1, U + 1)."""
        strokes = batch["strokes"]
        y, phi = self._mixture(strokes[:, :-1], batch["transcript"], batch["transcript_lengths"])
        lifted, parts = y[..., 0], y[..., 1:].unflatten(-1, (6, -1)).unbind(-2)
        share, x, y, log_x, log_y, correlation = parts
        share, correlation = share.log_softmax(-1), correlation.tanh() * 0.999
        off_x = (strokes[:, 1:, :1] - x) / log_x.exp()
        off_y = (strokes[:, 1:, 1:2] - y) / log_y.exp()
        rest = 1 - correlation**2
        log_density = (
            -(off_x**2 + off_y**2 - 2 * correlation * off_x * off_y) / (2 * rest)
            - log_x - log_y - 0.5 * rest.log() - math.log(2 * math.pi)
        )  # fmt: skip
        nats = F.binary_cross_entropy_with_logits(lifted, strokes[:, 1:, 2], reduction="none")
        nats = nats - (share + log_density).logsumexp(-1)
        mean = torch.stack([(share.exp() * x).sum(-1), (share.exp() * y).sum(-1)], -1)
        return nats, (mean - strokes[:, 1:, :2]).square().sum(-1), F.pad(phi, (0, 1))

    def loss(self, batch: Any) -> dict[str, Tensor]:
        strokes = batch["strokes"]
        if self.training:  # uniform over the cells of the recordings' grid
            cells = [grid / std for grid, std in zip(self.preprocessing.grid, self.preprocessing.std, strict=True)]
            noise = (torch.rand_like(strokes[..., :2]) - 0.5) * strokes.new_tensor(cells)
            strokes = torch.cat([strokes[..., :2] + noise, strokes[..., 2:]], -1)
        nats, _, _ = self.score({**batch, "strokes": strokes})
        scored = torch.arange(nats.shape[1], device=nats.device) < batch["stroke_lengths"][:, None] - 1
        return {"loss": nats[scored].mean()}
