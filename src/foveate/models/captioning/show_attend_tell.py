"""Show, Attend and Tell: an LSTM decoder with soft or hard attention over the CNN features.

Xu, Ba, Kiros, Cho, Courville, Salakhutdinov, Zemel and Bengio, ICML 2015.

Shapes: B images, a feature map of h x w = P locations with D channels; L tokens, V in the vocabulary; H hidden units, E
the size of an embedding.

    a_i, i = 1..P: the features, from an earlier convolutional layer                (section 3.1.1)
    h_0 = tanh(W_h mean_i a_i + b), c_0 likewise                                    (section 3.1.2)
    e_ti = f_att(a_i, h_{t-1}), alpha_t = softmax(e_t)                              (equations 4 and 5)
    z_t = sum_i alpha_ti a_i                      soft: the expectation            (section 4.2)
        = a_s, s drawn from alpha_t                hard: one location               (section 4.1)
    z_t <- beta_t z_t, beta_t = sigmoid(f_beta(h_{t-1}))                            (section 4.2.1)
    h_t, c_t = LSTM([E y_{t-1}, z_t], h_{t-1}, c_{t-1})                             (equations 1 to 3)
    p(y_t) ~ exp(L_o tanh(E y_{t-1} + L_h h_t + L_z z_t))                           (equation 7)

Soft attention is trained by maximum likelihood. Hard attention is trained by REINFORCE: the reward of a sampled
location s_t is the log-likelihood of y_t minus the one that soft attention would have given, plus the log-likelihood of
the later words minus a moving average b, the baseline. The entropy of alpha is rewarded, and half of the images are
read with soft attention, which keeps the variance low. Each word of the vocabulary has its own b: an article is more
likely than a noun whatever location was sampled. Both kinds of attention add the penalty lambda sum_i (1 - sum_t
alpha_ti)^2, which asks for the attention paid to each location to add up to 1.

`RELEASE` is the configuration of the authors' code (github.com/kelvinxu/arctic-captions, `evaluate_coco.py`); the paper
states few sizes. `Config()` is smaller and has one layer where the release has two:

    U a_i -> tanh(V (U a_i + b) + b')                `score_layers` 2, in f_att(a_i, h) = v^T tanh(W h + U a_i)
    mean_i a_i -> dropout(relu(W_0 mean_i a_i + b))  `start_layers` 2, before h_0 and c_0

Departures from the paper and the release. In brackets the field that takes each back, as `RELEASE` does:

- Features are batch-normalised, since backbones differ in scale (`normalize` False).
- Scores and initial state have one layer (`score_layers`, `start_layers` 2).
- The first word is read after the vector of the token `<start>`, which is learned; after zeros in the release
  (`start_token` False).
- Word vectors are dropped, too (`drop_words` False).
- With hard attention a prediction reads the most probable location; the release reads softly (`soft_inference` True).
- The loss is a mean over words; over sentences in the release (`average` 'sentences').

These hold with every configuration:

- b is one a word of the vocabulary instead of one for all. The gradient is still unbiased, since no sampled location
  changes what the true word is.
- For y_t itself, the log-likelihood under soft attention takes the place of b. It does not depend on s_t either, and is
  a closer estimate.
- The paper's reward is the log-likelihood of the whole sentence. The words before y_t, which cannot depend on s_t, are
  left out here (the same gradient on average, with less noise). The release's default is that of y_t alone, over 10.
- Entropy is rewarded also for images that are read with soft attention.
- Images are read softly or not one by one, as in the paper; in the release, a whole batch at once.
- Weights start from PyTorch's distributions; in the release from N(0, 0.01), orthogonal where square, biases from zero.
- The token `<unk>` is not learned as a word to write; it is in the release.
- Images are stretched to the network's size; the release crops their centre.

As in the released code: the tanh of equation 7, and the gate and the penalty with hard attention, too.
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
from foveate.ops.attend import Additive, hard_read, soft_read
from foveate.ops.losses import exact_logits, share_of_weight, token_targets
from foveate.records import IGNORE, CaptionBatch, CaptionOutput
from foveate.registry import model
from foveate.text import PAD, START, UNKNOWN
from foveate.values import require_choices


@dataclass(frozen=True)
class Config:
    """Configuration of Show, Attend and Tell. The defaults are ours; `RELEASE` has the released code's.

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
    embed: E, the size of a word embedding, usually 128 to 512; more holds more, and overfits sooner.
    hidden: H, the number of LSTM units, usually 256 to 1024; more remembers more, and overfits sooner.
    attend: A, the width of the hidden layer of f_att, which scores locations, usually 128 to 512; 0 stands for D. More
        costs more at every word.
    normalize: batch-normalise the features; False, as in the release, reads them as the backbone gives them.
    score_layers: number of layers that features pass in f_att before the last one, 1 or 2 (the release's).
    start_layers: number of layers from the mean feature to h_0 and c_0, 1 or 2 (the release's).
    start_token: True reads a learned vector before the first word; False, as in the release, reads zeros.
    dropout: probability of dropping a unit, 0..1, usually 0.5; more overfits later, and learns more slowly. Applied to
        the word embeddings, to the hidden layer of the initial state and in the output layer.
    drop_words: False leaves the word embeddings whole.
    attention: 'soft' (weighted mean of all locations) or 'hard' (one location, sampled in training).
    doubly_stochastic: lambda, the weight of the penalty on attention that does not add up to 1 at each location, 0 or
        more, usually 0 to 1; more makes a caption attend to the whole image.
    reinforce: lambda_r, the weight of the REINFORCE term, 0 or more, usually 1; used with hard attention only. More
        lets rewards, and their noise, move attention faster.
    entropy: lambda_e, the weight of the entropy of alpha, 0 or more, usually about 0.002; used with hard attention
        only. More keeps attention from settling on a location early.
    baseline: decay of the moving average b, 0..1, the share of the old value, usually 0.9; used with hard attention
        only. More changes b more slowly.
    soft_share: share of the images of a training batch that are read with soft attention, 0..1, usually 0.5; used with
        hard attention only. More lowers the variance of the gradient, and trains the locations less.
    warmup: number of batches at the start of training in which every image is read with soft attention; used with hard
        attention only. While attention carries no information yet, the decoder would learn to ignore it.
    credit: discount of the reward, 0..1, a factor a word: how much the words after the current one count in the reward
        of its location. Below 1 the variance is lower, and the effect of a location on later words counts for less.
    soft_inference: True reads softly in predictions although attention is hard; without effect on soft attention.
    average: 'words' or 'sentences', what the loss is a mean over. With sentences, long ones count for more.
    scheduled_sampling: probability, 0..1, that a training step takes a word sampled from the model's own last
        prediction as input instead of the true one; 0 in the paper, up to 0.25 is usual. More prepares for its own
        mistakes, and learns more slowly.
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
    normalize: bool = True
    score_layers: Literal[1, 2] = 1
    start_layers: Literal[1, 2] = 1
    start_token: bool = True
    dropout: float = 0.5
    drop_words: bool = True
    attention: Literal["soft", "hard"] = "soft"
    doubly_stochastic: float = 1.0
    reinforce: float = 1.0
    entropy: float = 0.002
    baseline: float = 0.9
    soft_share: float = 0.5
    warmup: int = 0
    credit: float = 1.0
    soft_inference: bool = False
    average: Literal["words", "sentences"] = "words"
    scheduled_sampling: float = 0.0

    def __post_init__(self) -> None:
        require_choices(self)
        if min(self.vocabulary - 4, self.in_channels, self.embed, self.hidden) < 1 or min(self.attend, self.warmup) < 0:
            raise ConfigError(
                f"vocabulary {self.vocabulary} must be at least 5 (four tokens are special), in_channels "
                f"{self.in_channels}, embed {self.embed} and hidden {self.hidden} at least 1, attend {self.attend} and "
                f"warmup {self.warmup} at least 0"
            )
        for name in ("dropout", "baseline", "soft_share", "credit", "scheduled_sampling"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected 0..1")


# evaluate_coco.py and the defaults of capgen.py; the features are conv5_4 of VGG-19, 14 x 14 x 512. The release's
# penalty is a mean over the 196 places of a sum over its batches of 64.
RELEASE = Config(
    backbone="vgg19", embed=512, hidden=1800, normalize=False, score_layers=2, start_layers=2, start_token=False,
    drop_words=False, doubly_stochastic=64 / 196, entropy=0.0, soft_inference=True, average="sentences",
)  # fmt: skip


class Memory(NamedTuple):
    """Features of an image as the decoder needs them at each step."""

    places: Tensor  # a, the features at each location, (B, P, D)
    keys: Tensor  # their projection for the scores, (B, P, A)


class State(NamedTuple):
    """State of the decoder after some tokens."""

    h: Tensor  # (B, H)
    c: Tensor  # (B, H)


class AttentionStep(NamedTuple):
    """Result of one attention step, or of several, stacked along dimension 1."""

    z: Tensor  # (B, D), gated
    expected: Tensor  # (B, D), gated: the soft-attention z where a location was sampled, else z itself
    alpha: Tensor  # (B, P)
    log_prob: Tensor  # (B,): log-probability of the sampled location; 0 where none was sampled
    entropy: Tensor  # (B,): of alpha; 0 with soft attention


@model("show_attend_tell")
class ShowAttendTell(nn.Module):
    """Show, Attend and Tell: image captioning with soft or hard attention over a feature map."""

    task: ClassVar[str] = "captioning"
    transient_buffers: ClassVar[tuple[str, ...]] = ("mean_log_prob", "batches")
    mean_log_prob: Tensor
    batches: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.backbone = FeatureGrid(config.backbone, config.in_channels, config.pretrained, config.strides)
        self.preprocessing = dataclasses.replace(
            self.backbone.preprocessing, size=config.image_size, crop=1.0, stretch=True
        )
        channels, hidden, embed = self.backbone.channels, config.hidden, config.embed
        self.norm = GridNorm(channels) if config.normalize else nn.Identity()
        self.start_hidden = nn.Linear(channels, channels) if config.start_layers == 2 else None
        self.start = nn.Linear(channels, 2 * hidden)
        self.score = Additive(hidden, channels, config.attend or channels, layers=config.score_layers)
        self.gate = nn.Linear(hidden, 1)
        self.embed = nn.Embedding(config.vocabulary, embed, padding_idx=PAD)
        self.lstm = nn.LSTMCell(embed + channels, hidden)
        self.L_h, self.L_z = nn.Linear(hidden, embed), nn.Linear(channels, embed)
        self.L_o = nn.Linear(embed, config.vocabulary)
        self.dropout = nn.Dropout(config.dropout)
        self.register_buffer("mean_log_prob", torch.zeros(config.vocabulary))  # b, one for each word
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))  # trained on
        nn.init.uniform_(self.embed.weight, -0.1, 0.1)
        nn.init.zeros_(self.embed.weight[PAD].detach())

    @property
    def attention(self) -> str:
        """Return the kind of attention of a prediction, 'soft' or 'hard'."""
        return "soft" if self.config.soft_inference else self.config.attention

    def remark(self, batches: int) -> str:
        """Return a warning to print before a training of this many batches; '' if there is none."""
        if self.config.attention != "hard" or batches > self.config.warmup:
            return ""
        return (
            f"all {batches} batches are trained with soft attention, since warmup is {self.config.warmup}; lower it, "
            "or train longer"
        )

    def encode(self, image: Tensor) -> Tensor:
        """Compute features: (B, C, H, W), normalised -> (B, D, h, w). Nothing learns while `backbone` is frozen."""
        features: Tensor = self.backbone(image)
        return features

    def begin(self, features: Tensor) -> tuple[Memory, State]:
        """Return the projected features and the initial state of the decoder, for features (B, D, h, w)."""
        a = self.norm(features.flatten(2)).mT
        mean = a.mean(1)
        if self.start_hidden is not None:
            mean = self.dropout(torch.relu(self.start_hidden(mean)))
        h, c = torch.tanh(self.start(mean)).chunk(2, 1)
        return Memory(a, self.score.project(a)), State(h, c)

    def step(self, memory: Memory, state: State, tokens: Tensor) -> tuple[Tensor, State, Tensor]:
        """Decode one step: the last tokens (B,) -> logits of the next (B, V), the state, and alpha (B, P)."""
        step = self._attend(memory, state)
        logits, state = self._decode_step(self._embed(tokens), step.z, state)
        return logits, state, step.alpha

    def _embed(self, tokens: Tensor) -> Tensor:
        """Return E y_{t-1}, (B, E), for the last tokens (B,)."""
        y: Tensor = self.embed(tokens)
        return y if self.config.start_token else y.masked_fill((tokens == START)[:, None], 0.0)

    def _attend(self, memory: Memory, state: State, read_softly: Tensor | None = None) -> AttentionStep:
        """Compute attention for the next word from the hidden state.

        read_softly: (B, 1) bool, the images that are read with soft attention although attention is hard; locations are
            sampled for the others. None is inference: with hard attention, the most probable location is read, or all
            of them if `soft_inference`.
        """
        # e_ti = f_att(a_i, h_{t-1})
        e = self.score(state.h, memory.keys)
        zeros = e.new_zeros(e.shape[0])
        beta = torch.sigmoid(self.gate(state.h))
        if self.attention == "soft" and read_softly is None:
            z, alpha = soft_read(e, memory.places)
            z = beta * z
            return AttentionStep(z, z, alpha, zeros, zeros)
        read = hard_read(e, memory.places, sample=read_softly is not None)
        if read_softly is None:
            z = beta * read.value
            return AttentionStep(z, z, read.weights, zeros, read.entropy)
        expected = (read.weights[:, None] @ memory.places)[:, 0]
        z = torch.where(read_softly, expected, read.value)
        log_prob = read.log_prob.masked_fill(read_softly[:, 0], 0.0)
        return AttentionStep(beta * z, beta * expected, read.weights, log_prob, read.entropy)

    def _decode_step(self, y: Tensor, z: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the next word's logits (B, V) and the state, for the last word's embedding (B, E) and z (B, D)."""
        state = State(*self.lstm(torch.cat([y, z], 1), state))
        # p(y_t) ~ exp(L_o tanh(E y_{t-1} + L_h h_t + L_z z_t))
        return self.L_o(self.dropout(torch.tanh(y + self.L_h(self.dropout(state.h)) + self.L_z(z)))), state

    def _decode(self, features: Tensor, tokens: Tensor) -> tuple[Tensor, AttentionStep, Tensor]:
        """Decode with teacher forcing: features (B, D, h, w) and the true tokens (B, L) -> three results for each word.

        Returns logits (B, L, V); the attention steps, stacked along dimension 1; and, with hard attention in training,
        the true word's log-probability (B, L) if this one word were read with soft attention, else zeros.
        """
        memory, state = self.begin(features)
        hard = self.training and self.config.attention == "hard"
        soft_share = torch.where(self.batches <= self.config.warmup, 1.0, self.config.soft_share)
        read_softly = torch.rand_like(features[:, :1, 0, 0]) < soft_share if hard else None
        last = torch.full_like(tokens[:, 0], START)
        logits, steps, soft_log_probs = [], [], []
        for t in range(tokens.shape[1]):
            y = self._embed(last)
            y = self.dropout(y) if self.config.drop_words else y
            step = self._attend(memory, state, read_softly)
            if hard:
                with torch.no_grad():
                    word_logits, _ = self._decode_step(y, step.expected, state)
                soft_log_probs.append(-F.cross_entropy(exact_logits(word_logits), tokens[:, t], reduction="none"))
            word_logits, state = self._decode_step(y, step.z, state)
            logits.append(word_logits)
            steps.append(step)
            last = tokens[:, t]
            if self.training and self.config.scheduled_sampling:
                own = logits[-1].detach().softmax(1).multinomial(1)[:, 0]
                is_sampled = torch.rand(last.shape, device=last.device) < self.config.scheduled_sampling
                last = torch.where(is_sampled, own, last)
        attention = AttentionStep(*(torch.stack(parts, 1) for parts in zip(*steps, strict=True)))
        stacked = torch.stack(logits, 1)
        return stacked, attention, torch.stack(soft_log_probs, 1) if hard else stacked.new_zeros(tokens.shape)

    def forward(self, image: Tensor, tokens: Tensor) -> CaptionOutput:
        """Return logits (B, L, V) and attention maps (B, L, h, w), with teacher forcing.

        image: (B, C, H, W), normalised.
        tokens: (B, L), the words of each image's caption.
        """
        features = self.encode(image)
        logits, steps, _ = self._decode(features, tokens)
        return CaptionOutput(logits, steps.alpha.unflatten(2, features.shape[-2:]))

    def loss(self, batch: CaptionBatch) -> dict[str, Tensor]:
        """Return the loss and its parts, each averaged over the tokens, or over the sentences (`average`).

        `words` is the negative log-likelihood and `penalty` the doubly stochastic attention penalty; `entropy` is the
        entropy of alpha, with hard attention only.
        """
        features = batch["features"] if "features" in batch else self.encode(batch["image"])
        tokens = batch["tokens"]
        hard = self.config.attention == "hard"
        if self.training and hard:
            self.batches += 1
        logits, steps, soft_log_prob = self._decode(features, tokens)
        target = token_targets(tokens, PAD, UNKNOWN)  # no <unk>, which is no word to write
        valid_mask = (tokens != PAD).float()
        counted = target if self.config.average == "words" else tokens[:, :1]  # a first token for each sentence
        count = share_of_weight(counted).float()
        nll = F.cross_entropy(exact_logits(logits).transpose(1, 2), target, ignore_index=IGNORE, reduction="none")
        words = nll.sum() / count
        # lambda sum_i (1 - sum_t alpha_ti)^2
        coverage = (steps.alpha * valid_mask[..., None]).sum(1)
        penalty = self.config.doubly_stochastic * ((1 - coverage) ** 2).sum() / count
        metrics = {"words": words.detach(), "penalty": penalty.detach()}
        if not hard:
            return {"loss": words + penalty} | metrics
        reward = self._reward(-nll.detach(), soft_log_prob, tokens)
        reinforce = -(reward * steps.log_prob * valid_mask).sum() / count
        entropy = (steps.entropy * valid_mask).sum() / count
        loss = words + penalty + self.config.reinforce * reinforce - self.config.entropy * entropy
        return {"loss": loss} | metrics | {"entropy": entropy.detach()}

    def _reward(self, log_probs: Tensor, soft_log_prob: Tensor, tokens: Tensor) -> Tensor:
        """Compute the reward of each sampled location, (B, L), and update the moving averages b in training.

        log_probs: (B, L), the true words' log-likelihoods as they were decoded.
        soft_log_prob: (B, L), the same if this one word were read with soft attention.
        tokens: (B, L), the true words.

        The reward is the word's log-likelihood minus that with soft attention, plus that of later words minus b,
        discounted by `credit`.
        """
        valid_mask = token_targets(tokens, PAD, UNKNOWN) != IGNORE
        advantage = (log_probs - soft_log_prob) * valid_mask
        above = (log_probs - self.mean_log_prob[tokens]) * valid_mask
        if self.training:
            # b <- 0.9 b + 0.1 log p for the words of this batch; log p for those that occur for the first time
            valid_tokens = tokens[valid_mask]
            counts = torch.bincount(valid_tokens, minlength=len(self.mean_log_prob))
            total = torch.zeros_like(self.mean_log_prob).index_add(0, valid_tokens, log_probs[valid_mask])
            share = torch.where(self.mean_log_prob == 0, 1.0, 1 - self.config.baseline) * (counts > 0)
            self.mean_log_prob.lerp_(total / counts.clamp(min=1), share.to(total.dtype))
        rewards: list[Tensor] = []
        later = torch.zeros_like(above[:, 0])
        for t in reversed(range(above.shape[1])):
            # R_t = log p(y_t) - log p_soft(y_t) + credit A_{t+1}, A_t = log p(y_t) - b + credit A_{t+1}
            rewards.insert(0, advantage[:, t] + self.config.credit * later)
            later = above[:, t] + self.config.credit * later
        return torch.stack(rewards, 1)
