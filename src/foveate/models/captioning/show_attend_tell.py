"""Show, Attend and Tell: at each word the network looks at the picture again, where it is worth it.

Xu, Ba, Kiros, Cho, Courville, Salakhutdinov, Zemel and Bengio, ICML 2015.

Shapes: B pictures, a grid of h x w = P places of D features each; L words, V in the vocabulary; H of the state, E of an
embedding.

    a_i, i = 1..P: the features, from an earlier convolutional layer                (section 3.1.1)
    h_0 = tanh(W_h mean_i a_i + b), c_0 alike                                       (section 3.1.2)
    e_ti = f_att(a_i, h_{t-1}), alpha_t = softmax(e_t)                              (equations 4 and 5)
    z_t = sum_i alpha_ti a_i                      soft: the expectation            (section 4.2)
        = a_s, s drawn from alpha_t                hard: one place                  (section 4.1)
    z_t <- beta_t z_t, beta_t = sigmoid(f_beta(h_{t-1}))                            (section 4.2.1)
    h_t, c_t = LSTM([E y_{t-1}, z_t], h_{t-1}, c_{t-1})                             (equations 1 to 3)
    p(y_t) ~ exp(L_o tanh(E y_{t-1} + L_h h_t + L_z z_t))                           (equation 7)

Soft attention is trained by its likelihood. Hard attention is trained by REINFORCE: a choice s_t is made likelier by
what it brought: the log-likelihood of y_t above what reading softly would have brought, and that of the words after it
above a moving average b. The entropy of alpha is rewarded; half of the pictures are read softly, so that the variance
stays low. Each word has a b of its own: an article is likelier than a noun wherever one looked. Both add
lambda sum_i (1 - sum_t alpha_ti)^2, which asks that every place be looked at.

`Config()` has the paper's sizes. Departures: features are batch-normalised, since backbones differ in scale; b is one a
word of the vocabulary, not one for all, and as right, since no choice changes what the true word is; what reading
softly brings takes its place for y_t itself, since that does not depend on s_t either, and says more; the paper's
reward is the whole sentence, of which the words before y_t cannot depend on s_t (the same gradient on average, with
less noise); entropy is rewarded of pictures that are read softly, too. As in the published code: the tanh of
equation 7; the gate and the penalty with hard attention, too.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.backbones import FeatureGrid, GridNorm
from foveate.errors import ConfigError
from foveate.ops.attend import Additive, hard_read, soft_read
from foveate.ops.losses import share_of_weight
from foveate.records import IGNORE, CaptionBatch, CaptionOutput
from foveate.registry import model
from foveate.text import PAD, START
from foveate.values import require_choices


@dataclass(frozen=True)
class Config:
    """What makes one captioner that attends. The defaults are the paper's, on VGG-16.

    vocabulary: V, the four special tokens included.
    in_channels: C of the pictures.
    backbone, pretrained: where features come from, and whether it starts from ImageNet weights.
    strides: of the backbone's features; several are read side by side.
    image_size: (height, width) that pictures are stretched to.
    embed, hidden: E and H. attend: width of the network that scores places; 0 is D.
    dropout: on the state's way to the words, and on embeddings.
    attention: 'soft' or 'hard'.
    doubly_stochastic: lambda.
    reinforce, entropy: lambda_r and lambda_e, with hard attention the weights of REINFORCE and of the entropy.
    baseline, softly: with hard attention, the share of the old in the moving average, and of the pictures that are read
        softly.
    warmup: with hard attention, batches at first of which every picture is read softly: where a look shows nothing
        yet, words learn to do without it.
    credit: how much of a choice's reward comes from the words after the one it was made for, a factor a word; below 1
        less is left to chance, and what a choice does to later words counts for less.
    scheduled_sampling: how often a word in training follows the model's own last word instead of the true one.
    """

    vocabulary: int = 10000
    in_channels: int = 3
    backbone: str = "vgg16"
    pretrained: bool = False
    strides: tuple[int, ...] = (16,)
    image_size: tuple[int, int] = (224, 224)
    embed: int = 512
    hidden: int = 1024
    attend: int = 0
    dropout: float = 0.5
    attention: Literal["soft", "hard"] = "soft"
    doubly_stochastic: float = 1.0
    reinforce: float = 1.0
    entropy: float = 0.002
    baseline: float = 0.9
    softly: float = 0.5
    warmup: int = 0
    credit: float = 1.0
    scheduled_sampling: float = 0.0

    def __post_init__(self) -> None:
        require_choices(self)
        if min(self.vocabulary - 4, self.in_channels, self.embed, self.hidden) < 1 or min(self.attend, self.warmup) < 0:
            raise ConfigError(
                f"vocabulary {self.vocabulary} must be at least 5 (four tokens are special), in_channels "
                f"{self.in_channels}, embed {self.embed} and hidden {self.hidden} at least 1, attend {self.attend} and "
                f"warmup {self.warmup} at least 0"
            )
        for name in ("dropout", "baseline", "softly", "credit", "scheduled_sampling"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected 0..1")


class Memory(NamedTuple):
    """What is known of a picture before the first word."""

    places: Tensor  # a, (B, P, D)
    keys: Tensor  # what the scores need of them, (B, P, A)


class State(NamedTuple):
    """What a sentence carries along."""

    h: Tensor  # (B, H)
    c: Tensor  # (B, H)


class Glance(NamedTuple):
    """What one look brought."""

    z: Tensor  # (B, D), gated
    expected: Tensor  # (B, D), gated: what reading softly brings, where a place is drawn, else z
    alpha: Tensor  # (B, P)
    log_prob: Tensor  # (B,): of the choice, where one was drawn, else 0
    entropy: Tensor  # (B,): of alpha; 0 with soft attention


@model("show_attend_tell")
class ShowAttendTell(nn.Module):
    """Show, Attend and Tell: captions with soft or hard attention on a grid of features."""

    of_training = ("mean_log_prob", "batches")
    mean_log_prob: Tensor
    batches: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.backbone = FeatureGrid(config.backbone, config.in_channels, config.pretrained, config.strides)
        self.preprocessing = dataclasses.replace(
            self.backbone.preprocessing, size=config.image_size, crop=1.0, stretch=True
        )
        places, hidden, embed = self.backbone.channels, config.hidden, config.embed
        self.norm = GridNorm(places)
        self.start = nn.Linear(places, 2 * hidden)
        self.score = Additive(hidden, places, config.attend or places)
        self.gate = nn.Linear(hidden, 1)
        self.embed = nn.Embedding(config.vocabulary, embed, padding_idx=PAD)
        self.lstm = nn.LSTMCell(embed + places, hidden)
        self.L_h, self.L_z = nn.Linear(hidden, embed), nn.Linear(places, embed)
        self.L_o = nn.Linear(embed, config.vocabulary)
        self.dropout = nn.Dropout(config.dropout)
        self.register_buffer("mean_log_prob", torch.zeros(config.vocabulary))  # b: of each word
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))  # learned from
        nn.init.uniform_(self.embed.weight, -0.1, 0.1)
        nn.init.zeros_(self.embed.weight[PAD].detach())

    def remark(self, batches: int) -> str:
        """What is to be said before a training of so many batches, '' for nothing."""
        if self.config.attention != "hard" or batches > self.config.warmup:
            return ""
        return f"all {batches} batches are read softly, since warmup is {self.config.warmup}; lower it, or train longer"

    def encode(self, image: Tensor) -> Tensor:
        """(B, C, H, W), normalised -> features (B, D, h, w). Nothing here learns while `backbone` is frozen."""
        features: Tensor = self.backbone(image)
        return features

    def begin(self, features: Tensor) -> tuple[Memory, State]:
        """(B, D, h, w) -> what a search starts from."""
        a = self.norm(features.flatten(2)).mT
        h, c = torch.tanh(self.start(a.mean(1))).chunk(2, 1)
        return Memory(a, self.score.project(a)), State(h, c)

    def step(self, memory: Memory, state: State, tokens: Tensor) -> tuple[Tensor, State, Tensor]:
        """The last tokens (B,) -> logits of the next (B, V), the state, and alpha (B, P)."""
        glance = self._look(memory, state)
        logits, state = self._tell_one(self.embed(tokens), glance.z, state)
        return logits, state, glance.alpha

    def _look(self, memory: Memory, state: State, softly: Tensor | None = None) -> Glance:
        """softly: (B, 1) bool, which pictures are read softly though attention is hard; None looks as at test time."""
        # e_ti = f_att(a_i, h_{t-1})
        e = self.score(state.h, memory.keys)
        none = e.new_zeros(e.shape[0])
        beta = torch.sigmoid(self.gate(state.h))
        if self.config.attention == "soft":
            z, alpha = soft_read(e, memory.places)
            z = beta * z
            return Glance(z, z, alpha, none, none)
        read = hard_read(e, memory.places, sample=softly is not None)
        if softly is None:
            z = beta * read.value
            return Glance(z, z, read.weights, none, read.entropy)
        expected = (read.weights[:, None] @ memory.places)[:, 0]
        z = torch.where(softly, expected, read.value)
        log_prob = read.log_prob.masked_fill(softly[:, 0], 0.0)
        return Glance(beta * z, beta * expected, read.weights, log_prob, read.entropy)

    def _tell_one(self, y: Tensor, z: Tensor, state: State) -> tuple[Tensor, State]:
        """The last word (B, E) and what was seen (B, D) -> logits of the next word (B, V), and the state."""
        state = State(*self.lstm(torch.cat([y, z], 1), state))
        # p(y_t) ~ exp(L_o tanh(E y_{t-1} + L_h h_t + L_z z_t))
        return self.L_o(self.dropout(torch.tanh(y + self.L_h(self.dropout(state.h)) + self.L_z(z)))), state

    def _tell(self, features: Tensor, tokens: Tensor) -> tuple[Tensor, Glance, Tensor]:
        """Of each word given the true ones before: logits (B, L, V), glances, stacked along dimension 1, and with hard
        attention in training its log-probability (B, L) if this one were read softly."""
        memory, state = self.begin(features)
        hard = self.training and self.config.attention == "hard"
        softly = torch.rand_like(features[:, :1, 0, 0]) < self._share_read_softly() if hard else None
        last = torch.full_like(tokens[:, 0], START)
        logits, glances, if_soft = [], [], []
        for t in range(tokens.shape[1]):
            y = self.dropout(self.embed(last))
            glance = self._look(memory, state, softly)
            if hard:
                with torch.no_grad():
                    said, _ = self._tell_one(y, glance.expected, state)
                if_soft.append(-F.cross_entropy(said.float(), tokens[:, t], reduction="none"))
            said, state = self._tell_one(y, glance.z, state)
            logits.append(said)
            glances.append(glance)
            last = tokens[:, t]
            if self.training and self.config.scheduled_sampling:
                own = logits[-1].detach().softmax(1).multinomial(1)[:, 0]
                last = torch.where(
                    torch.rand(last.shape, device=last.device) < self.config.scheduled_sampling, own, last
                )
        seen = Glance(*(torch.stack(parts, 1) for parts in zip(*glances, strict=True)))
        told = torch.stack(logits, 1)
        return told, seen, torch.stack(if_soft, 1) if hard else told.new_zeros(tokens.shape)

    def _share_read_softly(self) -> Tensor:
        return torch.where(self.batches <= self.config.warmup, 1.0, self.config.softly)

    def forward(self, image: Tensor, tokens: Tensor) -> CaptionOutput:
        """Pictures (B, C, H, W), normalised, and their words (B, L) -> logits (B, L, V), attention (B, L, h, w)."""
        features = self.encode(image)
        logits, glances, _ = self._tell(features, tokens)
        return CaptionOutput(logits, glances.alpha.unflatten(2, features.shape[-2:]))

    def loss(self, batch: CaptionBatch) -> dict[str, Tensor]:
        """Of a word, on average: its negative log-likelihood `words`, and what attention adds."""
        features = batch["features"] if "features" in batch else self.encode(batch["image"])
        tokens = batch["tokens"]
        hard = self.config.attention == "hard"
        if self.training and hard:
            self.batches += 1
        logits, glances, if_soft = self._tell(features, tokens)
        target = tokens.masked_fill(tokens == PAD, IGNORE)
        there = (tokens != PAD).float()
        count = share_of_weight(target).float()
        nll = F.cross_entropy(logits.float().transpose(1, 2), target, ignore_index=IGNORE, reduction="none")
        words = nll.sum() / count
        # lambda sum_i (1 - sum_t alpha_ti)^2
        seen = (glances.alpha * there[..., None]).sum(1)
        penalty = self.config.doubly_stochastic * ((1 - seen) ** 2).sum() / count
        told = {"words": words.detach(), "penalty": penalty.detach()}
        if not hard:
            return {"loss": words + penalty} | told
        reward = self._reward(-nll.detach(), if_soft, tokens)
        reinforce = -(reward * glances.log_prob * there).sum() / count
        entropy = (glances.entropy * there).sum() / count
        loss = words + penalty + self.config.reinforce * reinforce - self.config.entropy * entropy
        return {"loss": loss} | told | {"entropy": entropy.detach()}

    def _reward(self, log_probs: Tensor, if_soft: Tensor, tokens: Tensor) -> Tensor:
        """Log-likelihoods of the words, as they were read and if each had been read softly (B, L) -> what each choice
        brought: to its own word above reading softly, and, with less credit, to those after it above b."""
        there = tokens != PAD
        brought = (log_probs - if_soft) * there
        above = (log_probs - self.mean_log_prob[tokens]) * there
        if self.training:
            # b <- 0.9 b + 0.1 log p, for the words that were there; log p for those that are met first
            said = tokens[there]
            times = torch.bincount(said, minlength=len(self.mean_log_prob))
            total = torch.zeros_like(self.mean_log_prob).index_add(0, said, log_probs[there])
            share = torch.where(self.mean_log_prob == 0, 1.0, 1 - self.config.baseline) * (times > 0)
            self.mean_log_prob.lerp_(total / times.clamp(min=1), share)
        rewards: list[Tensor] = []
        later = torch.zeros_like(above[:, 0])
        for t in reversed(range(above.shape[1])):
            # R_t = log p(y_t) - log p_soft(y_t) + credit A_{t+1}, A_t = log p(y_t) - b + credit A_{t+1}
            rewards.insert(0, brought[:, t] + self.config.credit * later)
            later = above[:, t] + self.config.credit * later
        return torch.stack(rewards, 1)
