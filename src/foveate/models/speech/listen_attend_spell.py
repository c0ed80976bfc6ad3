"""Listen, Attend and Spell: a pyramid of bidirectional LSTMs, attention over its cells, and a speller of characters.

Chan, Jaitly, Le and Vinyals, "Listen, Attend and Spell" (2015); ICASSP 2016.

Shapes: B recordings of T samples, F frames of M bands; U cells of the listener, of E = 2 `hidden` values; L characters,
V in the table; S units of a layer of the speller, A the size of a score's vectors.

    x = log-mel features, mean 0 and deviation 1 in every band over the recording
    h^0 = BLSTM(x);  h^j_u = pBLSTM([h^{j-1}_2u, h^{j-1}_2u+1])                       (equations 4 and 5)
    s_i = LSTM(LSTM([E y_{i-1}, c_{i-1}])), c_0 = 0                                    (equation 7)
    e_iu = <phi(s_i), psi(h_u)>, alpha_i = softmax(e_i)                                (equations 9 and 10)
    c_i = sum_u alpha_iu h_u                                                           (equation 11)
    p(y_i | x, y_<i) = softmax(MLP([s_i, c_i]))                                        (equation 8)

phi, psi and the output have one hidden layer. At a share `sampling` of the characters, the one that is read next is
drawn from the model's own distribution in training (section 3.3), from the first step on.

`Config()` has the sizes of the paper where it states them; `embed` and `attend` are ours.

Departures from the paper:

- Characters are those of the training transcripts, case kept as it is written, in place of a fixed set.
- psi has no bias in its last layer: it adds the same to all scores of a step, and never has a gradient.
- Of an odd number of frames or cells the last one is dropped; the paper does not say what happens to it.
- Features are normalised over each recording; the paper does not say how.
- A language model takes part in the search, character by character, and its weighted log-probability is divided by the
  number of characters with the model's own. The paper ranks the 32 sentences of a finished search again, by
  log P(y | x) / |y| + lambda log P_LM(y) (section 3.4).
- `dropout`, `label_smoothing`, `warp`, `band_masks` and `ctc` are not the paper's; all are 0 in `Config()`. Its 20
  noisy copies of each recording are an augmentation of the data (`foveate.transforms`).
- Trained by one process with the recipe's optimiser, where the paper has asynchronous stochastic gradient descent.
- Recordings given as frames of features (`features`) are read in place of log-mel features.

A search ranks by the mean log-probability of a character, its end among them (section 3.4).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.errors import ConfigError
from foveate.ops.attend import Dot, soft_read
from foveate.ops.log_mel import LogMel, mask_bands, warp_bands
from foveate.ops.losses import share_of_weight, token_targets
from foveate.ops.padding import valid_mask
from foveate.ops.pyramid_rnn import BidirectionalLSTM, PyramidLSTM, normalize_over_time
from foveate.records import IGNORE, SoundFormat, SpeechBatch, SpeechOutput
from foveate.registry import model
from foveate.text import END, PAD, START, UNKNOWN

LEAST_FRAMES = 8  # of a recording, however small the pyramid


@dataclass(frozen=True)
class Config:
    """Configuration of Listen, Attend and Spell; the defaults are the paper's.

    vocabulary: V, the number of tokens, including the four special ones; 5 or more, usually 30 to 60 characters. The
        data decides it in training.
    rate: samples a second of the waveform, or frames a second of features; 16000 for speech, 8000 for telephones. The
        data decides it in training.
    features: D, the number of values of a frame where recordings are given as features; 0 for waveforms. The data
        decides it in training.
    mels: M, the number of mel bands of a waveform; 40 to 80 are usual.
    low: the lowest frequency in Hz of the bands, usually 0 to 100; hum lies below.
    window, hop: seconds that a frame is long, and from one frame to the next.
    hidden: units of each direction in every layer of the listener, usually 128 to 512.
    pyramid: layers that halve time, 0 or more; 3 leaves one cell of eight frames. More make cells coarser, and
        attention easier to learn.
    speller: S, units of a layer of the speller, usually 256 to 512.
    speller_layers: layers of the speller, usually 1 or 2.
    embed: size of a character's embedding, usually 32 to 256.
    attend: A, the size of phi(s) and psi(h), usually 128 to 512.
    sampling: share of the characters, 0..1, that training reads from its own distribution in place of the true one; 0.1
        in the paper. More prepares for its own mistakes, and learns more slowly.
    init: weights start from U(-init, init), usually 0.1; 0 for PyTorch's distributions.
    dropout: probability of dropping a unit between layers, 0..1, usually 0 to 0.3; more overfits later.
    label_smoothing: share of the target that is spread over all characters, 0..1, usually 0 to 0.1; more keeps the
        model less sure of itself.
    warp: largest relative change, 0..0.5, of the frequencies of a training recording, as if by another vocal tract;
        usually 0 to 0.2. More helps with voices that training does not have.
    band_masks: number of stretches of bands of a training recording that are hidden, usually 0 to 2.
    band_width: largest number of bands of such a stretch, usually an eighth to a quarter of the bands.
    ctc: share of the loss, 0..1, that connectionist temporal classification of the listener's cells has, usually 0 to
        0.5. It teaches the listener what was said before attention has found its way, which an hour of speech is too
        little for otherwise; more leaves less to the speller. Recordings with too few cells for their text have no part
        in it. Kim, Hori and Watanabe (2017), "Joint CTC-Attention based End-to-End Speech Recognition using Multi-task
        Learning".
    """

    vocabulary: int = 50
    rate: float = 16000
    features: int = 0
    mels: int = 40
    low: float = 0.0
    window: float = 0.025
    hop: float = 0.01
    hidden: int = 256
    pyramid: int = 3
    speller: int = 512
    speller_layers: int = 2
    embed: int = 256
    attend: int = 512
    sampling: float = 0.1
    init: float = 0.1
    dropout: float = 0.0
    label_smoothing: float = 0.0
    warp: float = 0.0
    band_masks: int = 0
    band_width: int = 8
    ctc: float = 0.0

    def __post_init__(self) -> None:
        sizes = ("mels", "hidden", "speller", "speller_layers", "embed", "attend", "band_width")
        for name in sizes:
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected 1 or more")
        if self.vocabulary < 5:
            raise ConfigError(f"vocabulary {self.vocabulary} must be at least 5: four tokens are special")
        for name in ("features", "pyramid", "init", "band_masks"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected 0 or more")
        for name, most in (("sampling", 1), ("dropout", 1), ("label_smoothing", 1), ("warp", 0.5), ("ctc", 1)):
            if not 0 <= getattr(self, name) <= most:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected 0..{most}")
        if self.rate <= 0:
            raise ConfigError(f"rate is {self.rate}; expected samples a second, such as 16000")


class Memory(NamedTuple):
    """The cells of a recording as the speller needs them at each step."""

    cells: Tensor  # h, (B, U, E)
    keys: Tensor  # psi(h), (B, U, A)
    mask: Tensor  # (B, U) bool, True within the recording


class State(NamedTuple):
    """State of the speller after some characters."""

    h: tuple[Tensor, ...]  # (B, S) of each layer
    c: tuple[Tensor, ...]  # (B, S) of each layer
    context: Tensor  # c_i, (B, E)


@model("listen_attend_spell")
class ListenAttendSpell(nn.Module):
    """Listen, Attend and Spell: speech to characters by attention over a pyramid of LSTMs."""

    task: ClassVar[str] = "speech"

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.log_mel = None if config.features else self._make_log_mel(config)
        cells, bands = 2 * config.hidden, config.features or config.mels
        self.listener = BidirectionalLSTM(bands, config.hidden)
        self.pyramid = nn.ModuleList(PyramidLSTM(cells, config.hidden) for _ in range(config.pyramid))
        self.embed = nn.Embedding(config.vocabulary, config.embed)
        sizes = [config.embed + cells] + [config.speller] * (config.speller_layers - 1)
        self.speller = nn.ModuleList(nn.LSTMCell(size, config.speller) for size in sizes)
        self.phi = nn.Sequential(
            nn.Linear(config.speller, config.attend), nn.ReLU(), nn.Linear(config.attend, config.attend)
        )
        self.psi = nn.Sequential(
            nn.Linear(cells, config.attend), nn.ReLU(), nn.Linear(config.attend, config.attend, bias=False)
        )
        self.score = Dot()
        self.output = nn.Sequential(
            nn.Linear(config.speller + cells, config.speller),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.speller, config.vocabulary),
        )
        self.dropout = nn.Dropout(config.dropout)
        self.classify = nn.Linear(cells, config.vocabulary) if config.ctc else None
        if config.init:
            for parameter in self.parameters():
                nn.init.uniform_(parameter, -config.init, config.init)
        halvings = 2**config.pyramid
        frames = max(halvings, LEAST_FRAMES)
        shortest = self.log_mel.window + (frames - 1) * self.log_mel.hop if self.log_mel is not None else frames
        self.preprocessing = SoundFormat(config.rate, config.features, shortest)
        # Seconds from one cell to the next, and of the middle of the first.
        hop, window = (1 / config.rate, 1 / config.rate) if config.features else (config.hop, config.window)
        self.cell_step, self.cell_first = halvings * hop, (halvings - 1) * hop / 2 + window / 2

    @staticmethod
    def _make_log_mel(config: Config) -> LogMel:
        if config.rate != int(config.rate):
            raise ConfigError(f"rate is {config.rate}; a waveform has a whole number of samples a second")
        return LogMel(int(config.rate), config.mels, config.window, config.hop, config.low)

    def listen(self, audio: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Return the cells h (B, U, E) and their number in each recording (B,), None where lengths are None.

        audio: (B, T) waveforms, or (B, T, D) features. lengths: (B,) samples or frames; None: all are T long.
        """
        x = audio
        if self.log_mel is not None:
            x = self.log_mel(audio)
            lengths = None if lengths is None else self.log_mel.count(lengths)
            if self.training and self.config.warp:
                x = warp_bands(x, self.config.warp, self.config.rate, self.config.low)
        x = normalize_over_time(x, lengths)
        if self.training and self.config.band_masks:
            x = mask_bands(x, self.config.band_masks, self.config.band_width)
        # h^j_u = pBLSTM(h^j_{u-1}, [h^{j-1}_2u, h^{j-1}_2u+1])
        h = self.listener(x, lengths)
        for layer in self.pyramid:
            h, lengths = layer(self.dropout(h), lengths)
        return h, lengths

    def begin(self, audio: Tensor, lengths: Tensor | None = None) -> tuple[Memory, State]:
        """Return what the speller reads, and its initial state; see `listen`."""
        h, counts = self.listen(audio, lengths)
        mask = torch.ones_like(h[..., 0], dtype=torch.bool) if counts is None else valid_mask(counts, h.shape[1])
        zeros = tuple(h.new_zeros(h.shape[0], self.config.speller) for _ in self.speller)
        return Memory(h, self.psi(h), mask), State(zeros, zeros, torch.zeros_like(h[:, 0]))

    def step(self, memory: Memory, state: State, tokens: Tensor) -> tuple[Tensor, State, Tensor]:
        """Spell one step: the last tokens (B,) -> logits of the next (B, V), the state, and alpha (B, U)."""
        s, state, alpha = self._attend(memory, state, tokens)
        return self.output(torch.cat([s, state.context], 1)), state, alpha

    def _attend(self, memory: Memory, state: State, tokens: Tensor) -> tuple[Tensor, State, Tensor]:
        """Return s_i (B, S), the next state with its context c_i, and alpha (B, U)."""
        # s_i = RNN(s_{i-1}, y_{i-1}, c_{i-1})
        below = torch.cat([self.embed(tokens), state.context], 1)
        h, c = [], []
        for i, cell in enumerate(self.speller):
            own_h, own_c = cell(below if i == 0 else self.dropout(below), (state.h[i], state.c[i]))
            h.append(own_h)
            c.append(own_c)
            below = own_h
        # e_iu = <phi(s_i), psi(h_u)>
        e = self.score(self.phi(below), memory.keys)
        # c_i = sum_u alpha_iu h_u
        context, alpha = soft_read(e, memory.cells, memory.mask)
        return below, State(tuple(h), tuple(c), context), alpha

    def forward(self, audio: Tensor, tokens: Tensor, lengths: Tensor | None = None) -> SpeechOutput:
        """Return logits (B, L, V) and attention (B, L, U), each character given the true ones before it.

        audio, lengths: as for `listen`. tokens: (B, L), the characters of each recording. With `sampling` some of the
        characters are the model's own in training.
        """
        return self._spell(*self.begin(audio, lengths), tokens)

    def _spell(self, memory: Memory, state: State, tokens: Tensor) -> SpeechOutput:
        """Return what `forward` does, of recordings that were listened to."""
        last = torch.full_like(tokens[:, 0], START)
        outputs, maps = [], []
        for i in range(tokens.shape[1]):
            s, state, alpha = self._attend(memory, state, last)
            outputs.append(torch.cat([s, state.context], 1))
            maps.append(alpha)
            last = tokens[:, i]
            if self.training and self.config.sampling:
                drawn = torch.rand(last.shape, device=last.device) < self.config.sampling
                own = self.output(outputs[-1].detach()).detach().float().softmax(1).multinomial(1)[:, 0]
                last = torch.where(drawn, own, last)
        return SpeechOutput(self.output(torch.stack(outputs, 1)), torch.stack(maps, 1))

    def loss(self, batch: SpeechBatch) -> dict[str, Tensor]:
        """Return the loss, the mean over characters of their negative log-likelihood, smoothed if the Config says so.

        `characters` is that without smoothing. With `ctc`, the loss has that share of `ctc`, which is a mean over
        characters, too.
        """
        tokens = batch["tokens"]
        memory, state = self.begin(batch["audio"], batch["audio_lengths"])
        logits = self._spell(memory, state, tokens).logits
        target = token_targets(tokens, PAD, UNKNOWN)
        log_p = F.log_softmax(logits.float(), -1)
        valid = target != IGNORE
        nll = -log_p.gather(2, target.masked_fill(~valid, 0)[..., None])[..., 0][valid]
        count = share_of_weight(target).float()
        spread = -log_p.mean(-1)[valid]
        smoothing = self.config.label_smoothing if self.training else 0.0
        loss = ((1 - smoothing) * nll.sum() + smoothing * spread.sum()) / count
        losses = {"loss": loss, "characters": (nll.sum() / count).detach()}
        if self.classify is not None:
            ctc = self._classification(memory, tokens) / count
            # L = lambda log p_ctc + (1 - lambda) log p_att
            losses |= {"loss": self.config.ctc * ctc + (1 - self.config.ctc) * loss, "ctc": ctc.detach()}
        return losses

    def _classification(self, memory: Memory, tokens: Tensor) -> Tensor:
        """Return -log p(text | cells), summed over recordings, of all ways to write the text in order over the cells.

        The table's padding is the blank. Recordings with fewer cells than characters have no part in it.
        """
        assert self.classify is not None
        log_p = F.log_softmax(self.classify(self.dropout(memory.cells)).float(), -1).transpose(0, 1)  # (U, B, V)
        characters = ((tokens != PAD) & (tokens != END)).sum(1)
        cells = memory.mask.sum(1)
        return F.ctc_loss(log_p, tokens, cells, characters, blank=PAD, reduction="sum", zero_infinity=True)
