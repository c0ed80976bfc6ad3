"""Video attention: an LSTM decoder with soft attention over the frames of a clip, again for every word.

Yao, Torabi, Cho, Ballas, Pal, Larochelle and Courville, "Describing Videos by Exploiting Temporal Structure" (ICCV
2015).

Shapes: B clips of K frames, C channels, H x W pixels; D values a frame; L tokens, V in the vocabulary.

    v_i, i = 1..K: the frames' features; here [CNN of frame i, motion around it, its place in time]     (sections 3, 5)
    h_0, c_0 = tanh(W mean_i v_i + b)
    e_ti = u^T tanh(W h_{t-1} + U v_i + b), alpha_t = softmax(e_t)                               (section 4.1)
    z_t = sum_i alpha_ti v_i                                                                      (section 4.1)
    z_t <- beta_t z_t, beta_t = sigmoid(w^T h_{t-1} + b)                                          the selector
    h_t, c_t = LSTM([E y_{t-1}, z_t], h_{t-1}, c_{t-1})                                           (equations 3 to 6)
    p(y_t) = softmax(W tanh(L_h h_t + E y_{t-1} + L_z z_t) + b)                                   (equation 7)

The loss is the negative log-likelihood of the words plus lambda / K sum_i (1 - sum_t alpha_ti)^2, which asks for the
attention paid to each frame to add up to 1.

`Config()` has the sizes of the authors' code (github.com/yaoli/arctic-capgen-vid): 28 frames, GoogLeNet's last
features, an LSTM of 3518 units. Soft attention reads its frames as a set: a model with `order` 'none' writes the same
sentence whatever their order. Two ways to tell it are options: the place of each frame in time, `order` 'time', and a
bidirectional LSTM over the frames, 'lstm', which the authors' code has, too.

Departures from the paper and its code. In brackets the field that takes each back:

- The paper's motion features come from a 3-D CNN on histograms of gradients, flow and motion boundaries, trained on
  actions. Here it is a small 3-D CNN on the frames that learns with the rest, or differences of frames (`motion`).
- Frames after the end of a clip shorter than K are masked; the code reads zeros there.
- The penalty does not count words after the end of a sentence; in the code it does. `coverage` 'share' asks for L / K
  at each frame in place of 1, which K frames and L words can reach.
- Dropout scales what it keeps in training; the code scales in prediction.
- The token `<unk>` is not learned as a word to write; it is in the code.
- `encoder` and `normalize` are not the paper's; they are 0 and False in `Config()`.
- The decay of all weights, 1e-4 of their squares, is the optimiser's, and spares biases.

As in the code, and not in the paper: the selector, the mean as initial state, dropout in the gates, a first word that
is read after zeros.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.backbones import FeatureGrid, GridNorm
from foveate.errors import ConfigError
from foveate.ops.attend import Additive, soft_read
from foveate.ops.frames import WAVES, MotionCNN, differences, time_code
from foveate.ops.losses import exact_logits, share_of_weight, token_targets
from foveate.ops.padding import valid_mask
from foveate.ops.pyramid_rnn import BidirectionalLSTM
from foveate.records import IGNORE, ClipFormat, Preprocessing, VideoBatch, VideoOutput
from foveate.registry import model
from foveate.text import PAD, START, UNKNOWN
from foveate.values import require_choices


@dataclass(frozen=True)
class Config:
    """Configuration of video attention. The defaults are those of the authors' code.

    vocabulary: V, the number of tokens, including the four special ones; 5 or more. The data decides it in training.
    in_channels: C, the number of channels of a frame. The data decides it in training.
    features: the number of values of a frame where clips are given as features; 0 for images. The data decides it in
        training.
    frames: K, the largest number of frames that are read of a clip, equally spaced; usually 16 to 32. More see shorter
        events, and cost as much more.
    backbone: name of the CNN that reads each frame, as for `create_backbone`; 'plain' for drawn clips.
    pretrained: start the backbone from ImageNet weights, as is usual. False starts from random weights.
    stride: of the backbone's features, 4, 8, 16 or 32.
    pool: 'mean' or 'max' over the places of a frame's features; the largest value finds what is small.
    image_size: (height, width) in pixels to which frames are resized, without keeping their aspect ratio.
    motion: 'none'; 'difference', each frame beside its difference from the frame before; or 'convolution', the features
        of a small 3-D CNN beside those of the frame.
    motion_size: features of the 3-D CNN, usually 32 to 128; with `motion` 'convolution' only.
    order: 'none'; 'time', the place of each frame in time as part of its features; or 'lstm', a bidirectional LSTM over
        the frames.
    encoder: width of a layer with ReLU over the features of each frame; with `order` 'lstm' the units of each
        direction; 0: no such layer.
    normalize: batch-normalise the frames' features; False reads them as the backbone gives them.
    attention: 'soft', or 'mean' of all frames at every word, the paper's basic model.
    selector: True scales what is read of the frames for each word by beta.
    embed: E, the size of a word embedding, usually 128 to 512.
    hidden: H, the number of LSTM units, usually 256 to 1024; the code's number was found by random search.
    attend: A, the width of the hidden layer of the score; 0 stands for the size of a frame's features.
    start_token: True reads a learned vector before the first word; False, as in the code, reads zeros.
    dropout: probability of dropping a unit in the output layer and after `encoder`, 0..1, usually 0.5.
    gate_dropout: the same of the pre-activations of the input, forget and output gate, drawn for each word.
    doubly_stochastic: lambda, the weight of the penalty on attention that does not add up; 0 or more. The code's is
        0.70602, of a sum over batches of 64.
    coverage: what attention adds up to at each frame: 'one', as in the code, or 'share', words over frames.
    average: 'sentences', as in the code, or 'words', what the loss is a mean over. With sentences, long ones count for
        more.
    init: recurrent weights start orthogonal, all others but the CNNs' from N(0, init^2), biases from 0; 0 for PyTorch's
        distributions.
    """

    vocabulary: int = 10000
    in_channels: int = 3
    features: int = 0
    frames: int = 28
    backbone: str = "googlenet"
    pretrained: bool = False
    stride: int = 32
    pool: Literal["mean", "max"] = "mean"
    image_size: tuple[int, int] = (224, 224)
    motion: Literal["none", "difference", "convolution"] = "none"
    motion_size: int = 64
    order: Literal["none", "time", "lstm"] = "none"
    encoder: int = 0
    normalize: bool = False
    attention: Literal["soft", "mean"] = "soft"
    selector: bool = True
    embed: int = 468
    hidden: int = 3518
    attend: int = 0
    start_token: bool = False
    dropout: float = 0.5
    gate_dropout: float = 0.5
    doubly_stochastic: float = 64 * 0.70602
    coverage: Literal["one", "share"] = "one"
    average: Literal["words", "sentences"] = "sentences"
    init: float = 0.01

    def __post_init__(self) -> None:
        require_choices(self)
        if self.vocabulary < 5:
            raise ConfigError(f"vocabulary {self.vocabulary} must be at least 5: four tokens are special")
        for name in ("in_channels", "frames", "motion_size", "embed", "hidden"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected 1 or more")
        for name in ("features", "encoder", "attend", "doubly_stochastic", "init"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected 0 or more")
        for name in ("dropout", "gate_dropout"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected 0..1")
        if self.order == "lstm" and not self.encoder:
            raise ConfigError("order is 'lstm', whose number of units is encoder, which is 0; give --config.encoder N")
        if self.features and self.motion == "convolution":
            raise ConfigError(
                "motion is 'convolution', which reads frames, but clips are given as features; give 'difference' or "
                "'none'"
            )


class Memory(NamedTuple):
    """Features of a clip as the decoder needs them at each step."""

    frames: Tensor  # v, (B, K, D)
    keys: Tensor  # their projection for the scores, (B, K, A)
    mask: Tensor  # (B, K) bool, True within the clip


class State(NamedTuple):
    """State of the decoder after some tokens."""

    h: Tensor  # (B, H)
    c: Tensor  # (B, H)


@model("video_attention")
class VideoAttention(nn.Module):
    """Video attention: captions of clips with soft attention over frames."""

    task: ClassVar[str] = "video"

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        channels = config.in_channels * (2 if config.motion == "difference" else 1)
        self.backbone: FeatureGrid | None = None
        self.motion: MotionCNN | None = None
        image = Preprocessing.centred(config.in_channels)
        if config.features:
            size = channels // config.in_channels * config.features
        else:
            self.backbone = FeatureGrid(config.backbone, channels, config.pretrained, (config.stride,))
            size = self.backbone.channels
            image = self.backbone.preprocessing
            image = dataclasses.replace(
                image, mean=image.mean[: config.in_channels], std=image.std[: config.in_channels],
                size=config.image_size, crop=1.0, stretch=True,
            )  # fmt: skip
        if config.motion == "convolution":
            self.motion = MotionCNN(config.in_channels, config.motion_size)
            size += config.motion_size
        self.preprocessing = ClipFormat(config.frames, config.features, image)
        self.norm = GridNorm(size) if config.normalize else None
        size += 2 * len(WAVES) if config.order == "time" else 0
        self.encoder: nn.Module | None = None
        if config.order == "lstm":
            self.encoder, size = BidirectionalLSTM(size, config.encoder), 2 * config.encoder
        elif config.encoder:
            self.encoder, size = nn.Sequential(nn.Linear(size, config.encoder), nn.ReLU()), config.encoder
        hidden, embed = config.hidden, config.embed
        self.start = nn.Linear(size, 2 * hidden)
        self.score = Additive(hidden, size, config.attend or size)
        self.gate = nn.Linear(hidden, 1) if config.selector else None
        self.embed = nn.Embedding(config.vocabulary, embed, padding_idx=PAD)
        self.lstm = nn.LSTMCell(embed + size, hidden)
        self.L_h, self.L_z = nn.Linear(hidden, embed), nn.Linear(size, embed)
        self.output = nn.Linear(embed, config.vocabulary)
        self.dropout = nn.Dropout(config.dropout)
        if config.init:
            self._initialise(config.init)

    @property
    def no_cache_reason(self) -> str:
        """Return the reason why features cannot be kept while the backbone is frozen; '' if they can."""
        return "its 3-D CNN, which learns, reads the frames" if self.motion is not None else ""

    @property
    def feature_kind(self) -> str:
        """Return how features are made of the backbone's, which tells kept ones apart."""
        return f"{self.config.pool} of places"

    def _initialise(self, std: float) -> None:
        """Draw the weights of all layers but the CNNs as the code does."""
        for name, parameter in self.named_parameters():
            if name.startswith(("backbone.", "motion.")):
                continue
            if parameter.ndim < 2:
                nn.init.zeros_(parameter)
            elif "weight_hh" in name:
                for gate in parameter.detach().chunk(4):
                    nn.init.orthogonal_(gate)
            else:
                nn.init.normal_(parameter, 0.0, std)
        nn.init.zeros_(self.embed.weight[PAD].detach())

    def encode(self, clips: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Compute the frames' features: (B, K, C, H, W), normalised -> (B, K, D).

        lengths: (B,) frames of each clip; None: all are K long. Nothing learns while `backbone` is frozen and `motion`
        is not 'convolution'.
        """
        assert self.backbone is not None
        count, frames = clips.shape[:2]
        x = torch.cat([clips, differences(clips)], 2) if self.config.motion == "difference" else clips
        x = x.flatten(0, 1)
        if self.training and lengths is not None:
            # Padding would be counted in the statistics of batch norms.
            inside = valid_mask(lengths, frames).flatten()
            pooled = self._pooled(self.backbone(x[inside]))
            v = pooled.new_zeros(len(x), pooled.shape[1]).index_put((inside,), pooled)
        else:
            v = self._pooled(self.backbone(x))
        v = v.view(count, frames, v.shape[1])
        if self.motion is None:
            return v
        return torch.cat([v, self.motion(clips, _mask(clips, lengths))], 2)

    def _pooled(self, features: Tensor) -> Tensor:
        """Return (N, D) for features (N, D, h, w)."""
        return features.amax((2, 3)) if self.config.pool == "max" else features.mean((2, 3))

    def begin(self, features: Tensor, lengths: Tensor | None = None) -> tuple[Memory, State]:
        """Return what the decoder reads, and its initial state, for features (B, K, D).

        features: as `encode` gives them; or as clips are given, of a model of features.
        """
        mask = _mask(features, lengths)
        v = features
        if self.config.features and self.config.motion == "difference":
            v = torch.cat([v, differences(v)], 2)
        if self.norm is not None:
            v = v.new_zeros(v.shape).index_put((mask,), self.norm(v[mask])) if self.training else self._normed(v)
        if self.config.order == "time":
            v = torch.cat([v, time_code(mask, v.dtype)], 2)
        if isinstance(self.encoder, BidirectionalLSTM):
            v = self.dropout(self.encoder(v, lengths))
        elif self.encoder is not None:
            v = self.dropout(self.encoder(v))
        v = v * mask[..., None]
        # h_0, c_0 = tanh(W mean_i v_i + b)
        mean = v.sum(1) / mask.sum(1, keepdim=True).clamp(min=1)
        h, c = torch.tanh(self.start(mean)).chunk(2, 1)
        return Memory(v, self.score.project(v), mask), State(h, c)

    def _normed(self, v: Tensor) -> Tensor:
        assert self.norm is not None
        return self.norm(v.flatten(0, 1)).view(v.shape)

    def step(self, memory: Memory, state: State, tokens: Tensor) -> tuple[Tensor, State, Tensor]:
        """Decode one step: the last tokens (B,) -> logits of the next (B, V), the state, and alpha (B, K)."""
        y, z, state, alpha = self._advance(memory, state, tokens)
        return self._logits(y, z, state.h), state, alpha

    def _advance(self, memory: Memory, state: State, tokens: Tensor) -> tuple[Tensor, Tensor, State, Tensor]:
        """Return E y_{t-1} (B, E), z_t (B, D), the next state, and alpha_t (B, K)."""
        y: Tensor = self.embed(tokens)
        y = y if self.config.start_token else y.masked_fill((tokens == START)[:, None], 0.0)
        # e_ti = u^T tanh(W h_{t-1} + U v_i + b); equal scores read the mean
        e = self.score(state.h, memory.keys)
        e = 0 * e if self.config.attention == "mean" else e
        z, alpha = soft_read(e, memory.frames, memory.mask)
        if self.gate is not None:
            z = torch.sigmoid(self.gate(state.h)) * z
        return y, z, self._lstm(torch.cat([y, z], 1), state), alpha

    def _lstm(self, x: Tensor, state: State) -> State:
        """Return the state of the LSTM after x (B, E + D); in training with dropout in its gates."""
        if not (self.training and self.config.gate_dropout):
            return State(*self.lstm(x, state))
        cell = self.lstm
        gates = F.linear(x, cell.weight_ih, cell.bias_ih) + F.linear(state.h, cell.weight_hh, cell.bias_hh)
        i, f, candidate, o = gates.chunk(4, 1)
        i, f, o = (torch.sigmoid(F.dropout(gate, self.config.gate_dropout)) for gate in (i, f, o))
        c = f * state.c + i * torch.tanh(candidate)
        return State(o * torch.tanh(c), c)

    def _logits(self, y: Tensor, z: Tensor, h: Tensor) -> Tensor:
        """Return the logits (..., V) of the next word."""
        # p(y_t) = softmax(W tanh(L_h h_t + E y_{t-1} + L_z z_t) + b)
        logits: Tensor = self.output(self.dropout(torch.tanh(self.L_h(self.dropout(h)) + y + self.L_z(z))))
        return logits

    def forward(self, clips: Tensor, tokens: Tensor, lengths: Tensor | None = None) -> VideoOutput:
        """Return logits (B, L, V) and attention (B, L, K), each word given the true ones before it.

        clips: (B, K, C, H, W), normalised; or features (B, K, D), of a model of features. tokens: (B, L).
        lengths: as for `encode`.
        """
        features = clips if self.config.features else self.encode(clips, lengths)
        return self._decode(*self.begin(features, lengths), tokens)

    def _decode(self, memory: Memory, state: State, tokens: Tensor) -> VideoOutput:
        last = torch.full_like(tokens[:, 0], START)
        read, maps = [], []
        for t in range(tokens.shape[1]):
            y, z, state, alpha = self._advance(memory, state, last)
            read.append((y, z, state.h))
            maps.append(alpha)
            last = tokens[:, t]
        y, z, h = (torch.stack(parts, 1) for parts in zip(*read, strict=True))
        return VideoOutput(self._logits(y, z, h), torch.stack(maps, 1))

    def loss(self, batch: VideoBatch) -> dict[str, Tensor]:
        """Return the loss and its parts, each averaged over sentences, or over words (`average`).

        `words` is the negative log-likelihood and `penalty` the doubly stochastic attention penalty.
        """
        tokens, lengths = batch["tokens"], batch["clip_lengths"]
        features = batch["features"] if "features" in batch else self.encode(batch["clips"], lengths)
        memory, state = self.begin(features, lengths)
        if "clip_of" in batch:
            clip_of = batch["clip_of"]
            memory = Memory(*(x.index_select(0, clip_of) for x in memory))
            state = State(*(x.index_select(0, clip_of) for x in state))
        output = self._decode(memory, state, tokens)
        target = token_targets(tokens, PAD, UNKNOWN)
        counted = target if self.config.average == "words" else tokens[:, :1]  # a first token for each sentence
        count = share_of_weight(counted).float()
        nll = F.cross_entropy(exact_logits(output.logits).transpose(1, 2), target, ignore_index=IGNORE, reduction="sum")
        words = nll / count
        # lambda / K sum_i (1 - sum_t alpha_ti)^2, over the frames and words that there are
        written, mask = (tokens != PAD).float(), memory.mask
        frames = mask.sum(1).clamp(min=1)
        goal = (written.sum(1) / frames)[:, None] if self.config.coverage == "share" else 1.0
        missing = ((goal - (output.attention * written[..., None]).sum(1)) ** 2 * mask).sum(1) / frames
        penalty = self.config.doubly_stochastic * missing.sum() / count
        return {"loss": words + penalty, "words": words.detach(), "penalty": penalty.detach()}


def _mask(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Return the mask (B, K) of clips (B, K, ...)."""
    if lengths is None:
        return torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
    return valid_mask(lengths, x.shape[1])
