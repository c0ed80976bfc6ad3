"""Show and Tell: a CNN encoder and an LSTM decoder.

Vinyals, Toshev, Bengio and Erhan, "Show and Tell: A Neural Image Caption Generator", CVPR 2015.

Shapes: B images, a feature map of h x w locations with D channels; L tokens, V in the vocabulary; H hidden units, E the
size of an embedding.

    x_{-1} = W_i CNN(I)                    the image, fed once, as if it were a word              (equation 10)
    x_t = W_e S_t, t = 0..L-1              the words, S_0 the start token                         (equation 11)
    p_{t+1} = softmax(W LSTM(x_t))                                                                (equation 12)
    loss = -sum_t log p_t(S_t)                                                                    (equation 13)

CNN(I) is the mean over the locations of the feature map that an attention model would weight. `Config()` has the
paper's 512 units and vectors of 512.

Departures from the paper:

- Any backbone takes the place of its batch-normalised GoogLeNet, and its mean feature is batch-normalised.
- Captions are searched with a beam of 5, where the paper has 20 (`--beams 20`).
- The recipes train by AdamW with a falling learning rate and averaged weights, where the paper has stochastic gradients
  at a fixed rate; the backbone stays frozen, a model is trained once, and nothing is averaged over several of them.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from foveate.backbones import FeatureGrid, GridNorm
from foveate.errors import ConfigError
from foveate.ops.losses import share_of_weight, token_targets
from foveate.records import IGNORE, CaptionBatch, CaptionOutput
from foveate.registry import model
from foveate.text import PAD, START, UNKNOWN


@dataclass(frozen=True)
class Config:
    """Configuration of Show and Tell. The defaults are the paper's sizes, on VGG-16.

    vocabulary: V, the number of tokens, including the four special ones; 5 or more, usually a few thousand. The data
        decides it in training.
    in_channels: C, the number of channels of the images; 3 for RGB. The data decides it in training.
    backbone: name of the CNN encoder, as for `create_backbone`; 'vgg16' or any timm network with features at strides 4,
        8, 16 and 32.
    pretrained: start the backbone from ImageNet weights, as is usual: this needs fewer captions. False starts from
        random weights.
    strides: strides of the backbone's features that are used, of 4, 8, 16 and 32, finest first. Several are brought to
        the finest one's resolution and concatenated.
    image_size: (height, width) in pixels to which images are resized, without keeping their aspect ratio; usually (224,
        224). Larger images show smaller objects, and cost more.
    embed: E, the size of a word embedding and of the LSTM's input, usually 128 to 512, 512 in the paper; more holds
        more, and overfits sooner.
    hidden: H, the number of LSTM units, usually 256 to 1024, 512 in the paper; more remembers more, and overfits
        sooner.
    dropout: probability of dropping a unit, 0 or more and below 1, usually 0.3 to 0.5, more against overfitting.
        Applied to the word embeddings and to the hidden state before the output layer.
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
    """State of the decoder after some tokens."""

    h: Tensor  # (B, H)
    c: Tensor  # (B, H)


@model("show_and_tell")
class ShowAndTell(nn.Module):
    """Show and Tell: an LSTM decoder that receives the image once, before the first word."""

    task: ClassVar[str] = "captioning"

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
        """Compute features: (B, C, H, W), normalised -> (B, D, h, w).

        Nothing here learns while `backbone` is frozen.
        """
        features: Tensor = self.backbone(image)
        return features

    def begin(self, features: Tensor) -> tuple[None, State]:
        """Return the initial decoder state, after the image was fed: features (B, D, h, w) -> (None, State)."""
        # x_{-1} = W_i CNN(I)
        embedded = self.W_i(self.norm(features.flatten(2)).mean(2))
        _, (h, c) = self.lstm(embedded[:, None])
        return None, State(h[0], c[0])

    def step(self, memory: None, state: State, tokens: Tensor) -> tuple[Tensor, State, None]:
        """Decode one step: the last tokens (B,) -> logits of the next (B, V), the state, and None for attention."""
        out, (h, c) = self.lstm(self.W_e(tokens)[:, None], (state.h[None], state.c[None]))
        return self.W(out[:, 0]), State(h[0], c[0]), None

    def _decode(self, features: Tensor, tokens: Tensor) -> Tensor:
        """Return the logits (B, L, V) of each token given the true tokens before it (teacher forcing)."""
        _, state = self.begin(features)
        inputs = F.pad(tokens[:, :-1], (1, 0), value=START)
        out, _ = self.lstm(self.dropout(self.W_e(inputs)), (state.h[None], state.c[None]))
        return self.W(self.dropout(out))

    def forward(self, image: Tensor, tokens: Tensor) -> CaptionOutput:
        """Return logits (B, L, V) for images (B, C, H, W), normalised, and tokens (B, L), with teacher forcing."""
        return CaptionOutput(self._decode(self.encode(image), tokens))

    def loss(self, batch: CaptionBatch) -> dict[str, Tensor]:
        """Return the negative log-likelihood, averaged over the tokens but <unk>, which is no word to write."""
        features = batch["features"] if "features" in batch else self.encode(batch["image"])
        target = token_targets(batch["tokens"], PAD, UNKNOWN)
        logits = self._decode(features, batch["tokens"]).float()
        nll = F.cross_entropy(logits.transpose(1, 2), target, ignore_index=IGNORE, reduction="sum")
        return {"loss": nll / share_of_weight(target).float()}
