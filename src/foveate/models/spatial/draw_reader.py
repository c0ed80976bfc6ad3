"""DRAW's reader: a classifier that reads an image through one window, glimpse after glimpse.

Gregor, Danihelka, Graves, Rezende and Wierstra, "DRAW: A Recurrent Neural Network For Image Generation", ICML 2015,
section 4.1: the generative network without its second half, trained to classify.

Shapes: B images, C channels, H x W pixels, K classes; T glimpses through N x N filters; M units.

    (g~_X, g~_Y, log sigma^2, log delta~, log gamma) = W h_(t-1)     the window                  (equation 21)
    r_t = gamma F_Y x F_X^T                                          what is read                (equation 27)
    h_t = LSTM(h_(t-1), r_t),   y = softmax of a linear layer of h_T

The cost of an image depends on its size by two small products a glimpse alone. The windows are the output's
`transforms`, as those of a spatial transformer: the grid of filter centres, and what was read there.

Departures from the paper:

- sigma is multiplied by delta / 2 (`tied`): filters of one pixel that stand nine pixels apart see one pixel in nine
  along each axis, and their gradient reaches two pixels far.
- A glimpse is divided by its deviation (`normalise`), since a digit fills little of a window over the whole image.
- The loss is the mean over all glimpses (`every_glimpse`), where the paper classifies after the last.
- The layer of the window starts at zero, so that the first window spans the image, and learns at a rate of its own
  (`window_rate`); the forget gate's bias starts at 1.
- The LSTM starts from zeros; DRAW's first states are learned.
- The recipe trains on canvases and clutter that grow (`datasets.cluttered_digits`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from foveate.errors import ConfigError
from foveate.ops.filterbank import PARAMETERS, filter_centres, filterbank, place_window, read_window
from foveate.ops.losses import label_cross_entropy
from foveate.records import ClassificationBatch, ClassificationOutput, Preprocessing, TransformerOutput
from foveate.registry import model

LEAST = 1e-3  # deviation of a glimpse that is empty, in 0..1


@dataclass(frozen=True)
class Config:
    """Sizes of a reader. The defaults are the paper's for digits in clutter.

    num_classes: K; the data decides it in training.
    in_channels: C; the data decides it in training.
    image_size: (H, W) in pixels to which images are resized after a central crop; () keeps their own size.
    glimpses: T, 4 to 16; more look longer.
    hidden: M, units of the LSTM; 128 to 256.
    read: N, filters a side; 8 to 12.
    tied: scale the filters' deviation by half of their distance; false is the paper's.
    normalise: divide each glimpse by its deviation; false is the paper's.
    every_glimpse: learn from the class after every glimpse; false learns from the last alone, as the paper does.
    window_rate: factor on the gradient of the window's parameters, above 0; below 1 keeps the window calm.
    """

    num_classes: int = 10
    in_channels: int = 1
    image_size: tuple[int, ...] = ()
    glimpses: int = 8
    hidden: int = 256
    read: int = 12
    tied: bool = True
    normalise: bool = True
    every_glimpse: bool = True
    window_rate: float = 1.0

    def __post_init__(self) -> None:
        for name in ("num_classes", "in_channels", "glimpses", "hidden", "read"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected 1 or more")
        if self.image_size and (len(self.image_size) != 2 or min(self.image_size) < 2):
            raise ConfigError(f"image_size is {self.image_size}; expected (height, width), each 2 or more, or ()")
        if not self.window_rate > 0:
            raise ConfigError(f"window_rate is {self.window_rate:g}; expected a factor above 0")


@model("draw_reader")
class DrawReader(nn.Module):
    """DRAW's reader: classifies an image by what it reads through a window that moves and zooms."""

    task: ClassVar[str] = "classification"

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        channels, hidden = config.in_channels, config.hidden
        self.preprocessing = Preprocessing((0.0,) * channels, (1.0,) * channels, size=tuple(config.image_size))
        self.recurrent = nn.LSTMCell(channels * config.read**2, hidden)
        self.place = nn.Linear(hidden, PARAMETERS)
        self.classify = nn.Linear(hidden, config.num_classes)
        nn.init.zeros_(self.place.weight)
        nn.init.zeros_(self.place.bias)
        for bias in (self.recurrent.bias_ih, self.recurrent.bias_hh):
            nn.init.zeros_(bias)
        nn.init.ones_(self.recurrent.bias_ih[hidden : 2 * hidden])  # gates in torch's order: input, forget, ...

    def forward(self, image: Tensor) -> ClassificationOutput:
        """Return logits (B, K) after the last glimpse, and the windows, for images (B, C, H, W) in 0..1."""
        logits, windows = self._read(image)
        return ClassificationOutput(logits[-1], tuple(windows))

    def _read(self, image: Tensor) -> tuple[list[Tensor], list[TransformerOutput]]:
        """Logits (B, K) after each glimpse, and the window of each."""
        config, (height, width) = self.config, (int(image.shape[2]), int(image.shape[3]))
        hidden = cell = image.new_zeros(len(image), config.hidden)
        logits, windows = [], []
        for _ in range(config.glimpses):
            parameters = _scaled_gradient(self.place(hidden), config.window_rate)
            window = place_window(parameters, (height, width), config.read, config.tied)
            patch = read_window(image, filterbank(window, (height, width), config.read))
            read = patch
            if config.normalise:
                read = patch / patch.flatten(1).std(1).clamp(min=LEAST)[:, None, None, None]
            hidden, cell = self.recurrent(read.flatten(1) * window.intensity[:, None], (hidden, cell))
            logits.append(self.classify(hidden))
            rows, columns = filter_centres(window, config.read)
            x, y = (2 * columns + 1) / width - 1, (2 * rows + 1) / height - 1  # pixel centres -> -1..1 over the edges
            grid = torch.stack([x[:, None].expand(-1, config.read, -1), y[..., None].expand(-1, -1, config.read)], -1)
            windows.append(TransformerOutput(parameters, grid, patch))
        return logits, windows

    def loss(self, batch: ClassificationBatch) -> dict[str, Tensor]:
        """Return the cross-entropy, the mean over glimpses or the last, weighted by class if weights are given."""
        logits, _ = self._read(batch["image"])
        chosen = logits if self.config.every_glimpse else logits[-1:]
        losses = [label_cross_entropy(one, batch["label"], batch.get("class_weights")) for one in chosen]
        return {"loss": torch.stack(losses).mean()}


def _scaled_gradient(x: Tensor, factor: float) -> Tensor:
    """x itself, whose derivative is multiplied by `factor`."""
    return x if factor == 1 else x * factor + (x * (1 - factor)).detach()
