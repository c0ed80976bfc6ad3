"""Show and Tell: the network looks once, and then tells.

Vinyals, Toshev, Bengio and Erhan, "Show and Tell: A Neural Image Caption Generator", CVPR 2015.

Shapes: B pictures, a grid of h x w places of D features each; L words, V in the vocabulary; H of the state, E of an
embedding.

    x_{-1} = W_i CNN(I)                    the picture, shown once as if it were a word           (equation 10)
    x_t = W_e S_t, t = 0..L-1              the words, S_0 the start                               (equation 11)
    p_{t+1} = softmax(W LSTM(x_t))                                                                (equation 12)
    loss = -sum_t log p_t(S_t)                                                                    (equation 13)

CNN(I) is the mean of the grid that a model with attention would look at place by place. `Config()` has the paper's
sizes. Departures: the paper's batch-normalised GoogLeNet is here any backbone, with batch norm behind it; its search
follows 20 sentences, ours 5 (`--beams 20`).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from foveate.backbones import FeatureGrid, GridNorm
from foveate.errors import ConfigError
from foveate.ops.losses import share_of_weight
from foveate.records import IGNORE, CaptionBatch, CaptionOutput
from foveate.registry import model
from foveate.text import PAD, START


@dataclass(frozen=True)
class Config:
    """What makes one captioner that looks once. The defaults are the paper's, on VGG-16.

    vocabulary: V, the four special tokens included.
    in_channels: C of the pictures.
    backbone, pretrained: where features come from, and whether it starts from ImageNet weights.
    strides: of the backbone's features; several are read side by side.
    image_size: (height, width) that pictures are stretched to.
    embed, hidden: E and H.
    dropout: on embeddings, and on the state's way to the words.
    """

    vocabulary: int = 10000
    in_channels: int = 3
    backbone: str = "vgg16"
    pretrained: bool = False
    strides: tuple[int, ...] = (16,)
    image_size: tuple[int, int] = (224, 224)
    embed: int = 512
    hidden: int = 512
    dropout: float = 0.5

    def __post_init__(self) -> None:
        if min(self.vocabulary - 4, self.in_channels, self.embed, self.hidden) < 1 or not 0 <= self.dropout < 1:
            raise ConfigError(
                f"vocabulary {self.vocabulary} must be at least 5 (four tokens are special), in_channels "
                f"{self.in_channels}, embed {self.embed} and hidden {self.hidden} at least 1, dropout {self.dropout} "
                "at least 0 and below 1"
            )


class State(NamedTuple):
    """What a sentence carries along."""

    h: Tensor  # (B, H)
    c: Tensor  # (B, H)


@model("show_and_tell")
class ShowAndTell(nn.Module):
    """Show and Tell: captions from one look at the picture."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.backbone = FeatureGrid(config.backbone, config.in_channels, config.pretrained, config.strides)
        self.preprocessing = dataclasses.replace(
            self.backbone.preprocessing, size=config.image_size, crop=1.0, stretch=True
        )
        self.norm = GridNorm(self.backbone.channels)
        self.W_i = nn.Linear(self.backbone.channels, config.embed)
        self.W_e = nn.Embedding(config.vocabulary, config.embed, padding_idx=PAD)
        self.lstm = nn.LSTM(config.embed, config.hidden, batch_first=True)
        self.W = nn.Linear(config.hidden, config.vocabulary)
        self.dropout = nn.Dropout(config.dropout)
        nn.init.uniform_(self.W_e.weight, -0.1, 0.1)
        nn.init.zeros_(self.W_e.weight[PAD].detach())

    def encode(self, image: Tensor) -> Tensor:
        """(B, C, H, W), normalised -> features (B, D, h, w). Nothing here learns while `backbone` is frozen."""
        features: Tensor = self.backbone(image)
        return features

    def begin(self, features: Tensor) -> tuple[None, State]:
        """(B, D, h, w) -> what a search starts from: the state after the picture was shown."""
        # x_{-1} = W_i CNN(I)
        shown = self.W_i(self.norm(features.flatten(2)).mean(2))
        _, (h, c) = self.lstm(shown[:, None])
        return None, State(h[0], c[0])

    def step(self, memory: None, state: State, tokens: Tensor) -> tuple[Tensor, State, None]:
        """The last tokens (B,) -> logits of the next (B, V), and the state; there is no attention."""
        out, (h, c) = self.lstm(self.W_e(tokens)[:, None], (state.h[None], state.c[None]))
        return self.W(out[:, 0]), State(h[0], c[0]), None

    def _tell(self, features: Tensor, tokens: Tensor) -> Tensor:
        """Logits (B, L, V) of each word given the true ones before."""
        _, state = self.begin(features)
        before = F.pad(tokens[:, :-1], (1, 0), value=START)
        out, _ = self.lstm(self.dropout(self.W_e(before)), (state.h[None], state.c[None]))
        return self.W(self.dropout(out))

    def forward(self, image: Tensor, tokens: Tensor) -> CaptionOutput:
        """Pictures (B, C, H, W), normalised, and their words (B, L) -> logits (B, L, V)."""
        return CaptionOutput(self._tell(self.encode(image), tokens))

    def loss(self, batch: CaptionBatch) -> dict[str, Tensor]:
        """The negative log-likelihood of a word, on average."""
        features = batch["features"] if "features" in batch else self.encode(batch["image"])
        target = batch["tokens"].masked_fill(batch["tokens"] == PAD, IGNORE)
        logits = self._tell(features, batch["tokens"]).float()
        nll = F.cross_entropy(logits.transpose(1, 2), target, ignore_index=IGNORE, reduction="sum")
        return {"loss": nll / share_of_weight(target).float()}
