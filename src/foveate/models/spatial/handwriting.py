"""Handwriting: an LSTM that writes a text with a pen, point by point, through a window that slides over the text.

Graves, "Generating Sequences With Recurrent Neural Networks", 2013.

Shapes: B pieces of handwriting of T points, each (dx, dy, 1 where the pen is lifted after it); texts of at most U of A
characters; N layers of M units; K Gaussians of the window; J components of the mixture.

    h1_t = LSTM(x_t, w_(t-1), h1_(t-1))                                       (equation 52)
    (alpha^, beta^, kappa^) = W h1_t + b,  alpha = exp(alpha^), ...           (equations 48 to 51)
    w_t = sum_u sum_k alpha_k exp(-beta_k (kappa_k - u)^2) c_u                (equations 46, 47)
    hn_t = LSTM(x_t, h(n-1)_t, w_t, hn_(t-1)),  n > 1                         (equation 53)
    y_t = b + sum_n W_n hn_t                                                  the mixture of x_(t+1) (equation 17)
    loss = -sum_t log Pr(x_(t+1) | y_t)                                       (equation 26)

Without the text it is the prediction network (section 4), which writes what looks like writing. Mixture, window and
LSTM are `ops.mixture`, `ops.window` and `ops.peephole`.

Derivatives are clipped inside of back-propagation, those by y to +-100, those by the pre-activations of gates and of
the window to +-10; the values are meant for the loss summed over one piece (`loss` sequence). Adaptive weight noise
(`weight_noise`, section 4.2) gives every weight a mean m and a deviation s, and one sample a batch:

    dm = g + k (m - p) / v,   ds = g^2 s + k (s / v - 1 / s),   p = mean m,   v = mean(s^2 + (m - p)^2)

with g the derivative by the sampled weight and k one over the number of training pieces.

Departures from the paper:

- The bias of kappa^ starts such that the window moves one character in as many points as a character has in training.
  At zero it would move one character a point, and leave the text long before it is written.
- Offsets recorded on a grid are spread evenly over its cells, since a mixture may narrow around repeated values without
  end; the recordings of the paper are not.
- A text has the four special tokens of a character table beside its characters.
- The recipes of words read every third point of a stroke, and its ends (`keep` 1).
- The recipes take the mean over points as loss, bound the norm of the whole gradient, and train by AdamW without decay;
  `handwriting_paper` has the published way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from foveate.errors import ConfigError
from foveate.ops.losses import share_of_weight
from foveate.ops.mixture import expectation, mixture_of, nll
from foveate.ops.peephole import INITIAL, PeepholeLSTM
from foveate.ops.window import read_text, weights
from foveate.records import IGNORE, HandwritingBatch, HandwritingOutput, HandwritingPreprocessing, HandwritingState
from foveate.registry import model
from foveate.values import require_choices

POINT = 3  # numbers of a point


@dataclass(frozen=True)
class Config:
    """Sizes of a handwriting network. The defaults are the paper's synthesis network, with 3.7 million weights.

    vocabulary: A, number of characters; the data decides it in training.
    sequences: pieces of handwriting to train on, for weight noise; the data decides it.
    text: write a given text; false is the prediction network, which has no window.
    layers: N, 1 to 3; more write more regularly, and cost in proportion.
    units: M of each layer; 100 to 400.
    gaussians: K of the window, 1 to 10.
    components: J of the mixture, 5 to 20.
    keep: every keep-th point of a stroke is read, with its ends; 1 to 4. Fewer points are faster to learn, and rounder.
    loss: 'sequence' sums over a piece of handwriting, as the paper does; 'point' is the mean over all points.
    clip_output: largest absolute derivative by an output, 0 for no limit; the paper's 100 is for 'sequence'.
    clip_gates: the same for pre-activations of gates and window; the paper's is 10.
    weight_noise: deviation that all weights start with, 0 for none; the paper has 0.075, from the weights of a network
        trained without it (`--init RUN`). It is for `loss` sequence, and for batches of one piece: g^2 is that of a
        piece.
    """

    vocabulary: int = 61
    sequences: int = 1
    text: bool = True
    layers: int = 3
    units: int = 400
    gaussians: int = 10
    components: int = 20
    keep: int = 1
    loss: Literal["sequence", "point"] = "sequence"
    clip_output: float = 100.0
    clip_gates: float = 10.0
    weight_noise: float = 0.0

    def __post_init__(self) -> None:
        require_choices(self)
        for name in ("vocabulary", "sequences", "layers", "units", "gaussians", "components", "keep"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected 1 or more")
        for name in ("clip_output", "clip_gates", "weight_noise"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is {getattr(self, name):g}; expected 0 or more")
        if self.weight_noise and self.loss != "sequence":
            raise ConfigError(
                "weight_noise weighs its cost against the loss summed over a piece, not against the mean over points; "
                "give --config.loss sequence, or leave weight_noise out"
            )


@model("handwriting")
class Handwriting(nn.Module):
    """Handwriting: recurrent layers, a window over the text, and a mixture of Gaussians that places the pen."""

    task: ClassVar[str] = "handwriting"

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.preprocessing = HandwritingPreprocessing(keep=config.keep)
        read = config.vocabulary if config.text else 0
        self.layers = nn.ModuleList(
            PeepholeLSTM(POINT + read + (config.units if number else 0), config.units, config.clip_gates)
            for number in range(config.layers)
        )
        self.output = nn.Linear(config.layers * config.units, 6 * config.components + 1)
        linears = [self.output]
        if config.text:
            self.window = nn.Linear(config.units, 3 * config.gaussians)
            linears.append(self.window)
        for linear in linears:
            nn.init.uniform_(linear.weight, -INITIAL, INITIAL)
            nn.init.zeros_(linear.bias)
        self.begin_at(self.preprocessing.pace)
        if config.weight_noise:
            means = dict(self.named_parameters())
            self.deviations = nn.ParameterDict({
                _key(name): nn.Parameter(torch.full_like(mean, config.weight_noise)) for name, mean in means.items()
            })  # fmt: skip

    @property
    def entry_offsets(self) -> dict[str, int]:
        """Tensor -> places before the characters among the inputs: a layer reads the point, the window, then below."""
        names = [f"layers.{number}.input.weight" for number in range(self.config.layers)]
        return dict.fromkeys([*names, *(f"deviations.{_key(name)}" for name in names)], POINT)

    @torch.no_grad()
    def begin_at(self, pace: float) -> None:
        """Let the window move one character in `pace` points at first."""
        if self.config.text:
            self.window.bias[2 * self.config.gaussians :] = -math.log(pace)

    def begin(self, batch: int) -> HandwritingState:
        """The state before the first point: zeros."""
        config, like = self.config, self.output.weight
        layers = like.new_zeros(batch, config.layers, config.units)
        read = like.new_zeros(batch, config.vocabulary if config.text else 0)
        return HandwritingState(layers, layers, read, like.new_zeros(batch, config.gaussians))

    def forward(
        self,
        strokes: Tensor,
        text: Tensor | None = None,
        characters: Tensor | None = None,
        state: HandwritingState | None = None,
    ) -> HandwritingOutput:
        """Read points (B, T, 3) and give the distribution of the point after each of them.

        text: (B, U) int64, and its lengths (B,); the prediction network takes none. state: before the first point, as
        `begin` or an output gives it; None begins. Raises ConfigError for a text that is missing or too many.
        """
        if (text is not None) != self.config.text:
            raise ConfigError(
                f"a network with text {self.config.text} was given {'a' if text is not None else 'no'} text; the "
                "synthesis network takes one, the prediction network none"
            )
        state = self.begin(len(strokes)) if state is None else state
        lowest, phi, kappa, read, last = self._lowest(strokes, text, characters, state)
        below, outputs, states = lowest, [lowest], [last]
        for number, layer in enumerate(self.layers[1:], start=1):
            inputs = torch.cat([strokes, read, below], 2)
            below, after = layer(inputs, (state.hidden[:, number], state.cell[:, number]))
            outputs.append(below)
            states.append(after)
        mixture = self.output(torch.cat(outputs, 2))
        _clip(mixture, self.config.clip_output)
        hidden, cell = (torch.stack(parts, 1) for parts in zip(*states, strict=True))
        after = HandwritingState(hidden, cell, read[:, -1], kappa[:, -1])
        return HandwritingOutput(mixture, phi, kappa, after)

    def step(
        self, point: Tensor, text: Tensor | None, characters: Tensor | None, state: HandwritingState
    ) -> tuple[Tensor, Tensor, HandwritingState]:
        """Read one point (B, 3): the mixture (B, 6 J + 1) of the next, the window (B, U + 1), and the next state."""
        output = self(point[:, None], text, characters, state)
        return output.mixture[:, 0], output.window[:, 0], output.state

    def _lowest(
        self, strokes: Tensor, text: Tensor | None, characters: Tensor | None, state: HandwritingState
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, tuple[Tensor, Tensor]]:
        """The first layer with the window -> h1, phi, kappa and w of every point, and the last (hidden, cell)."""
        layer: Any = self.layers[0]
        hidden, cell = state.hidden[:, 0], state.cell[:, 0]
        if text is None or characters is None:
            found, last = layer(strokes, (hidden, cell))
            empty = strokes.new_zeros(*strokes.shape[:2], 0)
            return found, empty, state.kappa[:, None].expand(-1, strokes.shape[1], -1), empty, last
        # W [x, w] + b in two parts, the first for all points at once.
        of_point, of_read = layer.input.weight.split([POINT, self.config.vocabulary], 1)
        projected = nn.functional.linear(strokes, of_point, layer.input.bias)
        read, kappa = state.read, state.kappa
        hiddens, phis, kappas, reads = [], [], [], []
        for point in projected.unbind(1):
            hidden, cell = layer.step(point + read @ of_read.mT, hidden, cell)
            parameters = self.window(hidden)
            _clip(parameters, self.config.clip_gates)
            alpha, beta, step = parameters.exp().chunk(3, 1)
            kappa = kappa + step
            phi = weights(alpha, beta, kappa, text.shape[1])
            read = read_text(phi, text, characters, self.config.vocabulary)
            hiddens.append(hidden)
            phis.append(phi)
            kappas.append(kappa)
            reads.append(read)
        found, phi, kappa, read = (torch.stack(parts, 1) for parts in (hiddens, phis, kappas, reads))
        return found, phi, kappa, read, (hidden, cell)

    def loss(self, batch: HandwritingBatch) -> dict[str, Tensor]:
        """Return the negative log-likelihood as 'loss' (`Config.loss`), and 'nats_per_point', its mean over points.

        In training, offsets are spread over the cells of their grid, and weights are sampled where they have noise.
        """
        strokes = batch["strokes"]
        if self.training:
            strokes = spread(strokes, self.preprocessing)
        inputs: tuple[Any, ...] = (strokes[:, :-1],)
        if self.config.text:
            inputs += (batch["transcript"], batch["transcript_lengths"])
        cost = strokes.new_zeros(())
        if self.config.weight_noise and self.training:
            sampled, cost = self._sampled()
            output = torch.func.functional_call(self, sampled, inputs)
        else:
            output = self(*inputs)
        scored = torch.arange(strokes.shape[1] - 1, device=strokes.device) < batch["stroke_lengths"][:, None] - 1
        losses = nll(mixture_of(output.mixture), strokes[:, 1:]).masked_fill(~scored, 0)
        total, count = losses.sum(), share_of_weight(scored.long().where(scored, IGNORE)).to(losses.dtype)
        loss = total / (len(strokes) if self.config.loss == "sequence" else count)
        return {"loss": loss + cost, "nats_per_point": total.detach() / count}

    def score(self, batch: HandwritingBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Scores of every point but the first: nats (B, T - 1), squared error of the mean (B, T - 1), and phi."""
        strokes = batch["strokes"]
        text = (batch["transcript"], batch["transcript_lengths"]) if self.config.text else ()
        output = self(strokes[:, :-1], *text)
        mixture = mixture_of(output.mixture)
        error = (expectation(mixture) - strokes[:, 1:, :2]).square().sum(-1)
        return nll(mixture, strokes[:, 1:]), error, output.window

    def _sampled(self) -> tuple[dict[str, Tensor], Tensor]:
        """A sample of every weight, and the cost of their distribution: its derivatives are the terms with k above."""
        means = {n: p for n, p in self.named_parameters() if not n.startswith("deviations.")}
        deviations = {name: self.deviations[_key(name)] for name in means}
        count = sum(mean.numel() for mean in means.values())
        with torch.no_grad():
            prior = sum(mean.sum() for mean in means.values()) / count
            variance = (
                sum(
                    (s.square() + (m - prior).square()).sum()
                    for m, s in zip(means.values(), deviations.values(), strict=True)
                )
                / count
            )
        cost = sum(
            (((m - prior).square() + s.square()) / (2 * variance) - s.abs().log()).sum()
            for m, s in zip(means.values(), deviations.values(), strict=True)
        )
        sampled = {name: _Noisy.apply(means[name], deviations[name]) for name in means}
        return sampled, cost / self.config.sequences


class _Noisy(torch.autograd.Function):
    """m + s noise, whose derivative by s is taken as g^2 s, as the paper does: the noise's own would be g noise."""

    @staticmethod
    def forward(ctx: Any, mean: Tensor, deviation: Tensor) -> Tensor:
        ctx.save_for_backward(deviation)
        return mean + deviation * torch.randn_like(mean)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        (deviation,) = ctx.saved_tensors
        return gradient, gradient.square() * deviation


def spread(
    strokes: Tensor, preprocessing: HandwritingPreprocessing, generator: torch.Generator | None = None
) -> Tensor:
    """Add uniform noise of one cell of the grid to normalised offsets (..., T, 3); nothing for offsets on no grid."""
    cells = strokes.new_tensor([step / std for step, std in zip(preprocessing.grid, preprocessing.std, strict=True)])
    if not cells.any():
        return strokes
    noise = torch.rand(strokes[..., :2].shape, generator=generator, device=strokes.device, dtype=strokes.dtype) - 0.5
    return torch.cat([strokes[..., :2] + noise * cells, strokes[..., 2:]], -1)


def _clip(x: Tensor, limit: float) -> None:
    """Bound the derivative of the loss by x."""
    if limit and x.requires_grad:
        x.register_hook(lambda gradient: gradient.clamp(-limit, limit))


def _key(name: str) -> str:
    return name.replace(".", "__")  # names of a ParameterDict have no dots
