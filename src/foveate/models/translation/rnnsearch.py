"""RNNsearch: a gated recurrent decoder that attends to the annotations of a bidirectional encoder.

Bahdanau, Cho and Bengio, "Neural Machine Translation by Jointly Learning to Align and Translate", ICLR 2015; and the
scores and the order of Luong, Pham and Manning, "Effective Approaches to Attention-based Neural Machine Translation",
EMNLP 2015.

Shapes: B pairs; S source and T target tokens, the end of each among them; D the size of an annotation, 2 H of two
directions; Z units of the decoder, E the size of an embedding, V target tokens.

    h_j = [forward h_j; backward h_j], two gated units over E x_j               (appendix A.2.1)
    s_0 = tanh(W_s backward h_1)                                                 (appendix A.2.2)
    e_ij = v^T tanh(W_a s_{i-1} + U_a h_j), alpha_i = softmax(e_i)               (appendix A.1.2, equation 6)
    c_i = sum_j alpha_ij h_j                                                     (equation 5)
    t~_i = U_o s_{i-1} + V_o E y_{i-1} + C_o c_i, t_i = max of each pair         (appendix A.2.2)
    p(y_i) ~ exp(W_o t_i + b)
    s_i = (1 - z_i) s_{i-1} + z_i s~_i, of E y_i, c_i and s_{i-1}                (appendix A.2.2)

This is the order of the authors' code (github.com/lisa-groundhog/GroundHog): the state that attends has read y_{i-1}
and c_{i-1} already, and no update comes before the first word, where E y_0 is 0. With `query` 'current' the order and
the output are Luong's:

    s_i = gated unit of E y_{i-1}, h~_{i-1} (`input_feeding`) and s_{i-1}
    alpha_i = softmax(score(s_i, h_j)), c_i = sum_j alpha_ij h_j
    h~_i = tanh(W_c [c_i; s_i]), p(y_i) ~ exp(W_o h~_i + b)                      (Luong et al., equations 5 and 6)

`score` 'none' is the paper's model without attention, RNNencdec: c_i is the last state of an encoder that reads forward
alone. `PAPER` is the paper's RNNsearch-50.

Departures from the paper. In brackets the field or option that takes each back:

- Weights start uniformly, within 1 / sqrt(inputs), embeddings within 0.1; the paper's v of 0 attends evenly for the
  first hundreds of steps (`initial` 'paper').
- The loss is a mean over words; a sum over words and a mean over sentences in the paper (`average` 'sentences').
- Embeddings, t_i and the annotations that are scored are dropped in training, and labels smoothed (`dropout` 0,
  `smoothing` 0).
- Word vectors of the output are those of the input (`tie` False).
- A search ranks by the mean log-probability of a token; by the sum in the authors' code (option `length_penalty` 0).
- The paper lets <unk> be written; the search leaves it out (option `copy_unknown`, which writes the source's word).

These hold with every configuration:

- The authors' code has a linear layer of the size of an embedding between t_i and W_o, to save time; the paper has
  none, and neither has this.
- A translation of S source tokens has 2 to 3 S + 10 tokens, the ends counted; in the authors' code S / 2 to 3 S, and
  the search keeps a beam less for each sentence that has ended.
- With `query` 'current': one layer of gated units, where Luong's have four of LSTM; the decoder starts as above instead
  of from the encoder's last state; the source's end is attended, and biases are there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.errors import ConfigError
from foveate.ops.attend import Additive, Bilinear, Dot, PredictedPosition, Score, local_read, soft_read
from foveate.ops.gated import GatedEncoder, GatedUnit
from foveate.ops.losses import share_of_weight, token_targets
from foveate.ops.padding import valid_mask
from foveate.records import IGNORE, TranslationBatch, TranslationOutput, TranslationPreprocessing
from foveate.registry import model
from foveate.text import PAD, START
from foveate.values import require_choices


@dataclass(frozen=True)
class Config:
    """Configuration of RNNsearch. The defaults suit some ten thousand pairs; `PAPER` has the paper's values.

    source_vocabulary: number of source tokens, 5 or more; the data decides it in training.
    target_vocabulary: number of target tokens V, 5 or more; the data decides it in training.
    embed: size E of an embedding, usually 256 to 620.
    hidden: units H of each direction of the encoder, usually 256 to 1000.
    state: units Z of the decoder; 0 for as many as `hidden`. A score of 'dot' or 'scaled_dot' needs 2 hidden.
    attend: units of the hidden layer of the score 'additive', and of the predicted position; usually as `hidden`.
    maxout: units of t_i after the maximum, usually about hidden / 2; with `tie` it must be `embed`.
    score: additive (Bahdanau's), dot, general or scaled_dot (Luong's, Vaswani's); none for the model without attention.
    query: previous (Bahdanau's order) or current (Luong's).
    input_feeding: with `query` 'current', true to read h~ of the last step beside the last word.
    window: D, positions to each side of a predicted one that are read (Luong's local-p), usually 10; 0 reads all.
    tie: true to let the output's word vectors be those of the target's embedding; saves parameters.
    dropout: share of embeddings, annotations and t_i that is dropped in training, 0..1; usually 0.1 to 0.5.
    smoothing: share of each label that is spread over all tokens, 0..1; usually 0 or 0.1.
    average: the loss is a mean over words, or over sentences, as in the paper.
    initial: uniform, or as in the paper: recurrent matrices orthogonal, W_a and U_a from N(0, 0.001^2), v and biases 0,
        the others from N(0, 0.01^2).
    """

    source_vocabulary: int = 30000
    target_vocabulary: int = 30000
    embed: int = 256
    hidden: int = 256
    state: int = 0
    attend: int = 256
    maxout: int = 256
    score: Literal["additive", "dot", "general", "scaled_dot", "none"] = "additive"
    query: Literal["previous", "current"] = "previous"
    input_feeding: bool = True
    window: int = 0
    tie: bool = True
    dropout: float = 0.2
    smoothing: float = 0.1
    average: Literal["words", "sentences"] = "words"
    initial: Literal["uniform", "paper"] = "uniform"

    def __post_init__(self) -> None:
        require_choices(self)
        for name, least in (
            ("source_vocabulary", 5), ("target_vocabulary", 5), ("embed", 1), ("hidden", 1), ("state", 0),
            ("attend", 1), ("maxout", 1), ("window", 0),
        ):  # fmt: skip
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}; give {least} or more")
        for name in ("dropout", "smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected 0 or more, below 1")
        if self.score in ("dot", "scaled_dot") and self.units != self.annotation:
            raise ConfigError(
                f"score '{self.score}' multiplies states of {self.units} units with annotations of "
                f"{self.annotation}; set state to {self.annotation}, or score to general"
            )
        if self.tie and self.output != self.embed:
            name = "maxout" if self.query == "previous" else "state"
            raise ConfigError(
                f"tie is true, but the output layer reads {self.output} units and an embedding has {self.embed}; set "
                f"{name} to {self.embed}, or tie to false"
            )
        if self.window and self.score == "none":
            raise ConfigError(f"window is {self.window}, but score 'none' attends to nothing; set window to 0")

    @property
    def units(self) -> int:
        """Z, the units of the decoder."""
        return self.state or self.hidden

    @property
    def annotation(self) -> int:
        """D, the size of an annotation, and of the context."""
        return self.hidden if self.score == "none" else 2 * self.hidden

    @property
    def output(self) -> int:
        """Units that the output layer reads."""
        return self.maxout if self.query == "previous" else self.units


# Section 4.2 and appendix B.1.
PAPER = Config(
    embed=620, hidden=1000, attend=1000, maxout=500, tie=False, dropout=0.0, smoothing=0.0, average="sentences",
    initial="paper",
)  # fmt: skip


class Memory(NamedTuple):
    """The source as the decoder needs it at each step."""

    annotations: Tensor  # h, (B, S, D)
    keys: Tensor  # their projection for the scores, (B, S, A)
    valid: Tensor  # (B, S) bool, False in the padding


class State(NamedTuple):
    """State of the decoder after some tokens."""

    s: Tensor  # (B, Z)
    read: Tensor  # c, (B, D), of the last step; h~, (B, Z), with the query 'current'


@model("rnnsearch")
class RNNSearch(nn.Module):
    """RNNsearch: translation by a gated recurrent network with attention over the source."""

    task: ClassVar[str] = "translation"

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.preprocessing = TranslationPreprocessing()
        embed, units, context = config.embed, config.units, config.annotation
        current, attends = config.query == "current", config.score != "none"
        self.source_embed = nn.Embedding(config.source_vocabulary, embed, padding_idx=PAD)
        self.target_embed = nn.Embedding(config.target_vocabulary, embed, padding_idx=PAD)
        self.encoder = GatedEncoder(embed, config.hidden, both=attends)
        self.start = nn.Linear(config.hidden, units)  # W_s
        self.score = _score(config)
        self.position = PredictedPosition(units, config.attend) if config.window else None
        self.unit = GatedUnit(embed, units)
        read = units if current else context
        self.C = nn.Linear(read, 3 * units, bias=False) if not current or config.input_feeding else None
        if current:
            self.W_c = nn.Linear(context + units, units)
        else:
            self.U_o = nn.Linear(units, 2 * config.maxout)
            self.V_o = nn.Linear(embed, 2 * config.maxout, bias=False)
            self.C_o = nn.Linear(context, 2 * config.maxout, bias=False)
        self.W_o = None if config.tie else nn.Linear(config.output, config.target_vocabulary, bias=False)
        self.b_o = nn.Parameter(torch.zeros(config.target_vocabulary))
        self.dropout = nn.Dropout(config.dropout)
        self._initialise()

    @torch.no_grad()
    def _initialise(self) -> None:
        for table in (self.source_embed, self.target_embed):
            nn.init.uniform_(table.weight, -0.1, 0.1)
        if self.config.initial == "paper":
            for name, weight in self.named_parameters():
                if weight.ndim < 2 or name.endswith("score.v.weight"):
                    nn.init.zeros_(weight)
                elif ".U_gates." in name or (".U." in name and not name.startswith("score")):
                    for square in weight.split(weight.shape[1]):
                        nn.init.orthogonal_(square)
                else:
                    nn.init.normal_(weight, std=0.001 if name.startswith("score") else 0.01)
        for table in (self.source_embed, self.target_embed):
            table.weight[PAD] = 0.0

    @property
    def attention(self) -> str:
        """Return the kind of attention: 'soft', or 'none'."""
        return "none" if self.score is None else "soft"

    def encode(self, source: Tensor) -> Memory:
        """Compute the annotations of sentences (B, S), <end> last and <pad> after it."""
        lengths = (source != PAD).sum(1)
        h = self.encoder(self.dropout(self.source_embed(source)), lengths)
        valid = valid_mask(lengths, source.shape[1])
        return Memory(h, h if self.score is None else self.score.project(self.dropout(h)), valid)

    def begin(self, memory: Memory) -> State:
        """Return the decoder's state before the first token."""
        h = memory.annotations
        if self.score is None:
            last = self._last(memory)
            # s_0 = tanh(W_s c)
            return State(torch.tanh(self.start(last)), self._first_read(last))
        # s_0 = tanh(W_s backward h_1)
        return State(torch.tanh(self.start(h[:, 0, self.config.hidden :])), self._first_read(h[:, 0]))

    def _first_read(self, like: Tensor) -> Tensor:
        size = self.config.units if self.config.query == "current" else self.config.annotation
        return like.new_zeros(like.shape[0], size)

    def _last(self, memory: Memory) -> Tensor:
        """Return the last annotation of each sentence, (B, D)."""
        last = memory.valid.sum(1) - 1
        return memory.annotations.gather(1, last[:, None, None].expand(-1, 1, memory.annotations.shape[2]))[:, 0]

    def step(self, memory: Memory, state: State, tokens: Tensor) -> tuple[Tensor, State, Tensor | None]:
        """Decode one step: the last tokens (B,) -> logits of the next (B, V), the state, and alpha (B, S) or None."""
        y = self._embed(tokens)
        state, context, alpha = self._advance(memory, state, self.unit.W(y), tokens == START)
        return self._logits(state.s, y, context), state, alpha

    def _embed(self, tokens: Tensor) -> Tensor:
        """Return E y_{i-1}, which is 0 before the first word in the paper's order."""
        y: Tensor = self.target_embed(tokens)
        return y if self.config.query == "current" else y.masked_fill((tokens == START)[..., None], 0.0)

    def _advance(self, memory: Memory, state: State, x: Tensor, first: Tensor) -> tuple[State, Tensor, Tensor | None]:
        """Return the state that has read the last word, the context that it attends to (B, D), and alpha (B, S).

        x: (B, 3 Z), what the unit makes of the last word's embedding. first: (B,), True before the first word.
        """
        s = self.unit(x if self.C is None else x + self.C(state.read), state.s)
        if self.config.query == "previous":
            s = torch.where(first[:, None], state.s, s)
        context, alpha = self._attend(memory, s)
        return State(s, context if self.config.query == "previous" else self._joined(s, context)), context, alpha

    def _attend(self, memory: Memory, s: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the context c (B, D) and alpha (B, S); without attention the last annotation."""
        if self.score is None:
            return self._last(memory), None
        # e_ij = a(s_{i-1}, h_j)
        e = self.score(s, memory.keys)
        if self.position is None:
            return soft_read(e, memory.annotations, memory.valid)
        position = self.position(s, memory.valid.sum(1))
        return local_read(e, memory.annotations, position, self.config.window, memory.valid)

    def _joined(self, s: Tensor, context: Tensor) -> Tensor:
        # h~_i = tanh(W_c [c_i; s_i])
        return torch.tanh(self.W_c(torch.cat([context, s], -1)))

    def _logits(self, s: Tensor, y: Tensor, context: Tensor) -> Tensor:
        """Return the logits (..., V) of s (..., Z), E y (..., E) and c (..., D)."""
        if self.config.query == "current":
            return self._output(self._joined(s, context))
        # t~_i = U_o s_{i-1} + V_o E y_{i-1} + C_o c_i, t_ij = max(t~_i,2j-1, t~_i,2j)
        pairs = self.U_o(s) + self.V_o(y) + self.C_o(context)
        return self._output(pairs.unflatten(-1, (-1, 2)).amax(-1))

    def _output(self, t: Tensor) -> Tensor:
        # p(y_i) ~ exp(W_o t_i + b)
        return F.linear(self.dropout(t), self.target_embed.weight if self.W_o is None else self.W_o.weight, self.b_o)

    def _decode(self, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Return s (B, T, Z), E y (B, T, E), c (B, T, D) and alpha (B, T, S) or None, with teacher forcing."""
        memory = self.encode(source)
        state = self.begin(memory)
        last = torch.cat([torch.full_like(target[:, :1], START), target[:, :-1]], 1)
        y = self.dropout(self._embed(last))
        x, first = self.unit.W(y), last == START
        states, contexts, alphas = [], [], []
        for t in range(target.shape[1]):
            state, context, alpha = self._advance(memory, state, x[:, t], first[:, t])
            states.append(state.s)
            contexts.append(context)
            if alpha is not None:
                alphas.append(alpha)
        return torch.stack(states, 1), y, torch.stack(contexts, 1), torch.stack(alphas, 1) if alphas else None

    def forward(self, source: Tensor, target: Tensor) -> TranslationOutput:
        """Return logits (B, T, V) and alpha (B, T, S), with teacher forcing.

        source: (B, S), target: (B, T), the tokens of both sides, <end> last and <pad> after it.
        """
        s, y, context, alpha = self._decode(source, target)
        return TranslationOutput(self._logits(s, y, context), alpha)

    def loss(self, batch: TranslationBatch) -> dict[str, Tensor]:
        """Return the cross-entropy of the target tokens, as a mean over tokens or over sentences (`average`)."""
        target = batch["target_tokens"]
        s, y, context, _ = self._decode(batch["source_tokens"], target)
        labels = token_targets(target, PAD)
        taught = labels != IGNORE  # the output layer, the largest part, is not computed for padding
        logits = self._logits(s[taught], y[taught], context[taught])
        smoothing = self.config.smoothing if self.training else 0.0
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        total = F.cross_entropy(logits, labels[taught], reduction="sum", label_smoothing=smoothing)
        counted = labels if self.config.average == "words" else labels[:, :1]  # a first token for each sentence
        return {"loss": total / share_of_weight(counted).to(total.dtype)}


def _score(config: Config) -> Score | None:
    units, context = config.units, config.annotation
    if config.score == "none":
        return None
    if config.score == "additive":
        return Additive(units, context, config.attend, bias=False)
    return Bilinear(units, context) if config.score == "general" else Dot(scaled=config.score == "scaled_dot")
