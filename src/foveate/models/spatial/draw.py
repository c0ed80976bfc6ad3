"""DRAW: a recurrent network that reads an image in glimpses and draws it on a canvas, step by step.

Gregor, Danihelka, Graves, Rezende and Wierstra, "DRAW: A Recurrent Neural Network For Image Generation", ICML 2015.

Shapes: B images, C channels, H x W pixels; T glimpses; Z latent numbers a glimpse; M units; N x N filters a window.

    x^_t = x - sigma(c_(t-1))                                  the error image            (equation 3)
    r_t = read(x, x^_t, h_dec_(t-1))                           two patches                (equation 4)
    h_enc_t = LSTM(h_enc_(t-1), [r_t, h_dec_(t-1)])                                       (equation 5)
    z_t ~ Q(z | h_enc_t) = N(mu(h_enc_t), sigma(h_enc_t)^2)    with fresh noise each step (equations 1, 2, 6)
    h_dec_t = LSTM(h_dec_(t-1), z_t)                                                      (equation 7)
    c_t = c_(t-1) + write(h_dec_t)                                                        (equation 8)
    loss = -log D(x | c_T) + sum_t 1/2 sum_z (mu_t^2 + sigma_t^2 - log sigma_t^2 - 1)     (equations 9 to 12)

To generate, z_t is drawn from N(0, I), and the encoder takes no part. The windows of `read` and `write` are those of
`ops.filterbank`; without attention, read = [x, x^_t] and write is a linear layer (section 3.1). The last term of the
KL is printed as T / 2 in the paper, which holds for one latent number a step; it is 1/2 for each of them.

Departures from the paper:

- The forget gates' biases start at 1, and the canvas starts at the logits of the training images' mean, clipped to
  0.01..0.99; both are learned. The paper states no initial values.
- Grey and colour images may have a discretised logistic distribution over their 256 values (`pixels` discrete), whose
  bound is in nats. The paper takes intensities as probabilities (`pixels` intensity), whose cross-entropy is not the
  log-likelihood of any image.
- The recipes train by AdamW without decay, with a falling learning rate and a bound on the norm of the gradient; all
  but `draw_mnist_paper`, `draw_svhn` and `draw_cifar` are smaller than the paper's networks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.errors import ConfigError
from foveate.ops.filterbank import PARAMETERS, Window, filterbank, place_window, read_window, write_window
from foveate.records import Binarisation, DrawingBatch, DrawingOutput, DrawingPreprocessing, PixelKind
from foveate.registry import model
from foveate.values import require_choices

DARKEST = 0.01  # probabilities of the first canvas stay this far from 0 and 1
LEVELS = 256  # values of a pixel of a discrete image
START_SCALE = 0.1  # of the discretised logistic distribution, in units of the whole range of values


@dataclass(frozen=True)
class Config:
    """Sizes of DRAW. The defaults are the paper's for MNIST (its table 3).

    in_channels: C, 1 for grey or 3 for colour; the data decides it in training.
    image_size: (H, W) in pixels, to which images are resized after a central crop of this shape; 28 to 64 a side.
    crop: share of a side that the central crop keeps, above 0 and at most 1; less cuts away a margin.
    pixels: 'binary' draws black or white, as for digits; 'discrete' grey or colour of 256 values; 'intensity' takes
        values as probabilities, as the paper does for colour.
    binarise: of binary pixels: 'dynamic' samples each image again in every epoch, which prevents overfitting; 'static'
        samples it once, as the binarised MNIST of published figures was.
    attention: read and write through windows; false reads and writes whole images.
    glimpses: T, steps of reading and writing; 16 to 64. More draw finer, and cost in proportion.
    hidden: M, units of the encoder and of the decoder; 256 to 800.
    latent: Z, latent numbers of a step; 16 to 200.
    read: N of the read window, 2 to 12; larger windows see more at once.
    write: N of the write window, 5 to 12; larger windows write more at once.
    """

    in_channels: int = 1
    image_size: tuple[int, int] = (28, 28)
    crop: float = 1.0
    pixels: PixelKind = "binary"
    binarise: Binarisation = "dynamic"
    attention: bool = True
    glimpses: int = 64
    hidden: int = 256
    latent: int = 100
    read: int = 2
    write: int = 5

    def __post_init__(self) -> None:
        require_choices(self)
        if self.in_channels not in (1, 3):
            raise ConfigError(f"in_channels is {self.in_channels}; expected 1 for grey or 3 for colour images")
        for name in ("glimpses", "hidden", "latent", "read", "write"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected 1 or more")
        if len(self.image_size) != 2 or min(self.image_size) < 2:
            raise ConfigError(f"image_size is {tuple(self.image_size)}; expected (height, width), each 2 or more")
        if not 0 < self.crop <= 1:
            raise ConfigError(f"crop is {self.crop:g}; expected a share above 0 and at most 1")


# Sizes of the paper's other data sets (table 3); 54x54 pixels are cut out of SVHN's 64x64.
SVHN = Config(3, (54, 54), 54 / 64, "intensity", glimpses=32, hidden=800, latent=100, read=12, write=12)
CIFAR = Config(3, (32, 32), 1.0, "intensity", glimpses=64, hidden=400, latent=200, read=5, write=5)


@model("draw")
class Draw(nn.Module):
    """DRAW: draws images on a canvas through a window that moves, grows and shrinks."""

    task: ClassVar[str] = "drawing"

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        channels, hidden, pixels = config.in_channels, config.hidden, config.in_channels * math.prod(config.image_size)
        self.preprocessing = DrawingPreprocessing.of(
            config.image_size, channels, config.pixels, config.binarise, config.crop
        )
        read = 2 * (channels * config.read**2 if config.attention else pixels)
        self.encoder = nn.LSTMCell(read + hidden, hidden)
        self.posterior = nn.Linear(hidden, 2 * config.latent)  # mu and log sigma
        self.decoder = nn.LSTMCell(config.latent, hidden)
        self.patch = nn.Linear(hidden, channels * config.write**2 if config.attention else pixels)
        if config.attention:
            self.read_place = nn.Linear(hidden, PARAMETERS)
            self.write_place = nn.Linear(hidden, PARAMETERS)
        # c_0 and h_0 are learned (section 2.1); an LSTM starts from (h, c).
        self.canvas = nn.Parameter(torch.zeros(channels, *config.image_size))
        self.encoder_start = nn.Parameter(torch.zeros(2, hidden))
        self.decoder_start = nn.Parameter(torch.zeros(2, hidden))
        if config.pixels == "discrete":
            self.log_scale = nn.Parameter(torch.full((channels, 1, 1), math.log(START_SCALE)))
        for cell in (self.encoder, self.decoder):
            nn.init.zeros_(cell.bias_hh)
            nn.init.zeros_(cell.bias_ih)
            nn.init.ones_(cell.bias_ih[hidden : 2 * hidden])  # gates in torch's order: input, forget, cell, output

    @torch.no_grad()
    def begin_from(self, mean: Tensor) -> None:
        """Start the canvas from the mean (C, H, W) of the training images, in 0..1."""
        self.canvas.copy_(mean.clamp(DARKEST, 1 - DARKEST).logit())

    def noise(self, batch: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw standard normal noise for the latent numbers of all steps, (T, B, Z), on the model's device."""
        shape = (self.config.glimpses, batch, self.config.latent)
        return torch.randn(shape, generator=generator, device=generator.device if generator else self.canvas.device).to(
            self.canvas
        )

    def forward(self, image: Tensor, noise: Tensor | None = None) -> DrawingOutput:
        """Read and draw images (B, C, H, W) in 0..1.

        noise: (T, B, Z), standard normal; None draws it. Raises ConfigError for images of another shape.
        """
        expected = (self.config.in_channels, *self.config.image_size)
        if image.ndim != 4 or tuple(image.shape[1:]) != expected:
            raise ConfigError(
                f"images of shape {tuple(image.shape)} for a model built for (B, {', '.join(map(str, expected))}); "
                "resize them, or set image_size and in_channels"
            )
        noise = self.noise(len(image)) if noise is None else noise
        return self._draw(noise, image)

    def generate(self, noise: Tensor) -> DrawingOutput:
        """Draw images from noise (T, B, Z); z_t is the noise itself."""
        return self._draw(noise, None)

    def _draw(self, noise: Tensor, image: Tensor | None) -> DrawingOutput:
        batch = noise.shape[1]
        canvas = self.canvas.expand(batch, -1, -1, -1)
        encoder = [state.expand(batch, -1) for state in self.encoder_start]
        decoder = [state.expand(batch, -1) for state in self.decoder_start]
        canvases = [canvas]
        reads: list[Tensor | None] = []
        writes: list[Tensor | None] = []
        means, log_stds = [], []
        for t in range(len(noise)):
            z = noise[t]
            if image is not None:
                error = image - canvas.sigmoid()  # x^ = x - sigma(c)
                glimpse, window = self._read(torch.cat([image, error], 1), decoder[0])
                encoder = list(self.encoder(torch.cat([glimpse, decoder[0]], 1), (encoder[0], encoder[1])))
                mean, log_std = self.posterior(encoder[0]).chunk(2, 1)
                z = mean + log_std.exp() * noise[t]
                means.append(mean)
                log_stds.append(log_std)
                reads.append(window)
            canvas, *decoder, window = self.step(canvas, decoder[0], decoder[1], z)
            canvases.append(canvas)
            writes.append(window)
        written = torch.stack(writes).detach() if self.config.attention else None  # type: ignore[arg-type]
        if image is None:
            return DrawingOutput(tuple(canvases), written)
        seen = torch.stack(reads).detach() if self.config.attention else None  # type: ignore[arg-type]
        return DrawingOutput(tuple(canvases), written, seen, torch.stack(means), torch.stack(log_stds), noise)

    def step(
        self, canvas: Tensor, hidden: Tensor, cell: Tensor, z: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Decode the latent numbers z (B, Z) of a step, and write on the canvas (B, C, H, W).

        hidden, cell: the decoder's state (B, M). Returns the next canvas, hidden and cell, and the window (B, 5).
        """
        hidden, cell = self.decoder(z, (hidden, cell))
        written, window = self._write(hidden)
        return canvas + written, hidden, cell, window

    def _read(self, images: Tensor, state: Tensor) -> tuple[Tensor, Tensor | None]:
        """Read patches of x and x^, (B, 2 C, H, W) -> (B, R), where the decoder's state (B, M) says."""
        if not self.config.attention:
            return images.flatten(1), None
        window = place_window(self.read_place(state), self.config.image_size, self.config.read)
        banks = filterbank(window, self.config.image_size, self.config.read)
        # read = gamma [F_Y x F_X^T, F_Y x^ F_X^T]
        return read_window(images, banks).flatten(1) * window.intensity[:, None], _numbers(window)

    def _write(self, state: Tensor) -> tuple[Tensor, Tensor | None]:
        """Write a patch on an empty canvas, (B, M) -> (B, C, H, W)."""
        channels, size = self.config.in_channels, self.config.image_size
        if not self.config.attention:
            return self.patch(state).unflatten(1, (channels, *size)), None
        count = self.config.write
        window = place_window(self.write_place(state), size, count)
        banks = filterbank(window, size, count)
        # write = 1 / gamma' F_Y'^T w F_X'
        patch = self.patch(state) / window.intensity[:, None]
        return write_window(patch.unflatten(1, (channels, count, count)), banks), _numbers(window)

    def expected(self, canvas: Tensor) -> Tensor:
        """The expected image (B, C, H, W) in 0..1 of a canvas."""
        return canvas.sigmoid()

    def nll(self, canvas: Tensor, image: Tensor) -> Tensor:
        """The negative log-likelihood -log D(x | c) of images (B, C, H, W) in 0..1, in nats (B,).

        For 'intensity' it is the cross-entropy with intensities as probabilities instead.
        """
        if self.config.pixels == "discrete":
            return _discretised_logistic(image, canvas.sigmoid(), self.log_scale).flatten(1).sum(1)
        return F.binary_cross_entropy_with_logits(canvas, image, reduction="none").flatten(1).sum(1)

    def loss(self, batch: DrawingBatch) -> dict[str, Tensor]:
        """Return the variational bound in nats as 'loss', and its parts; means over the batch.

        Binary pixels are sampled from intensities at each call.
        """
        image = batch["image"]
        if self.config.pixels == "binary":  # 0 and 1 stay as they are
            image = torch.bernoulli(image)
        output = self(image)
        reconstruction = self.nll(output.canvases[-1], image).mean()
        divergence = output.kl().sum(0).mean()
        return {"loss": reconstruction + divergence, "reconstruction": reconstruction, "kl": divergence}

    def importance_bound(self, image: Tensor, samples: int, generator: torch.Generator | None = None) -> Tensor:
        """The importance-weighted bound -log 1/k sum_k p(x, z_k) / q(z_k | x) on the negative log-likelihood (B,).

        samples: k; 1 is the variational bound with a sampled KL, and more give a lower bound in expectation. Source:
        Burda, Grosse and Salakhutdinov, "Importance Weighted Autoencoders" (2015), equation 8.
        """
        weights = []
        for _ in range(samples):
            output = self(image, self.noise(len(image), generator))
            weights.append(output.log_ratio() - self.nll(output.canvases[-1], image))
        return math.log(samples) - torch.stack(weights).logsumexp(0)


def _numbers(window: Window) -> Tensor:
    """A window as (B, 5): x, y, stride, sigma, intensity."""
    return torch.stack([window.x, window.y, window.stride, window.variance.sqrt(), window.intensity], 1)


def _discretised_logistic(image: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """-log P(x) of values k / 255 under a logistic distribution whose outermost cells reach to infinity.

    P(x) = S((x + 1/510 - mu) / s) - S((x - 1/510 - mu) / s), S the sigmoid. Source: Salimans et al., "PixelCNN++"
    (2017), section 2.1.
    """
    scale, half = log_scale.exp(), 0.5 / (LEVELS - 1)
    upper, lower = (image + half - mean) / scale, (image - half - mean) / scale
    # log (S(u) - S(l)) = log S(u) + log S(-l) + log (1 - exp(l - u)), exactly
    inside = F.logsigmoid(upper) + F.logsigmoid(-lower) + torch.log(-torch.expm1(lower - upper))
    cut = torch.where(image < half, F.logsigmoid(upper), torch.where(image > 1 - half, F.logsigmoid(-lower), inside))
    return -cut
