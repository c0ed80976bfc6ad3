"""Recurrent CNN: a network that looks again, at a smaller picture and at what it said before.

Pinheiro and Collobert, "Recurrent Convolutional Neural Networks for Scene Labeling", ICML 2014.

Shapes: B pictures, C channels, H x W pixels, K classes; instance p works at stride 2^(p - 1) and answers at stride 2^p.

    I^1 = the picture in YUV, locally normalised, Y^0 = 0
    Y^p = f([Y^(p-1), I^p]; W)       the same f and W every time                                (section 3.2)
    I^(p+1) = I^p at half the size, which is that of Y^p
    loss = L(Y^1) + L(Y^2) + L(Y^3)                                                             (section 3)

Each time a pixel's answer has seen twice as much of the picture, at no weight more. Departures: convolutions are padded
to keep their size, where the paper cuts patches; the picture is locally normalised, as Farabet et al. (2013) do; f
reads Y^(p-1) as probabilities, which are bounded; answers are interpolated to the picture, where the paper interlaces
shifted passes (`ops.dense.shift_and_stitch`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.errors import ConfigError
from foveate.ops.losses import pixel_cross_entropy
from foveate.ops.pyramid import normalize_locally, rgb_to_yuv
from foveate.records import Preprocessing, SemanticBatch, SemanticOutput
from foveate.registry import model


@dataclass(frozen=True)
class Config:
    """What makes one recurrent CNN.

    num_classes: K.
    in_channels: C of the pictures.
    widths: channels of f's two hidden layers.
    kernel: side of their filters.
    iterations: how many instances there are, in training and afterwards; trained weights run with any number.
    """

    num_classes: int = 21
    in_channels: int = 3
    widths: tuple[int, int] = (25, 50)
    kernel: int = 8
    iterations: int = 3

    def __post_init__(self) -> None:
        if self.iterations < 1:
            raise ConfigError(f"iterations is {self.iterations}; expected 1 or more: nothing is said before the first")
        if min(self.num_classes, self.in_channels, self.kernel) < 1 or len(self.widths) != 2 or min(self.widths) < 1:
            raise ConfigError(
                f"num_classes {self.num_classes}, in_channels {self.in_channels} and kernel {self.kernel} must be at "
                f"least 1, widths {self.widths} two such numbers"
            )


@model("recurrent_cnn")
class RecurrentCNN(nn.Module):
    """Recurrent CNN: shared weights look again at a smaller picture and at their own answer."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.preprocessing = Preprocessing.centred(config.in_channels)
        first, second = config.widths
        small, large = (config.kernel - 1) // 2, config.kernel // 2
        # An even filter leans to one side; the second leans back.
        self.pad = nn.ZeroPad2d((small, large, small, large))
        # f's first layer over [Y, I] is the sum of one over I and one over Y.
        self.look = nn.Conv2d(config.in_channels, first, config.kernel)
        self.listen = nn.Conv2d(config.num_classes, first, config.kernel, bias=False)
        self.f = nn.Sequential(
            nn.Tanh(),
            nn.MaxPool2d(2),
            nn.ZeroPad2d((large, small, large, small)),
            nn.Conv2d(first, second, config.kernel),
            nn.Tanh(),
            nn.Conv2d(second, config.num_classes, 1),
        )
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.xavier_uniform_(layer.weight, nn.init.calculate_gain("tanh"))
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def forward(self, image: Tensor, iterations: int | None = None) -> SemanticOutput:
        """(B, C, H, W), normalised -> logits (B, K, H, W) of the last iteration; `steps` has those of each.

        iterations: by default the config's. Raises ConfigError if it is less than 1.
        """
        count = self.config.iterations if iterations is None else iterations
        if count < 1:
            raise ConfigError(f"{count} iterations; expected 1 or more: nothing is said before the first")
        height, width = image.shape[-2:]
        cell = 2**count
        colours = rgb_to_yuv(image) if self.config.in_channels == 3 else image
        picture = F.pad(normalize_locally(colours), (0, -width % cell, 0, -height % cell), mode="replicate")
        size = (picture.shape[-2], picture.shape[-1])
        logits: Tensor | None = None
        steps: list[Tensor] = []
        for _ in range(count):
            seen = self.look(self.pad(picture))
            if logits is not None:  # Y^0 = 0 has nothing to add
                seen = seen + self.listen(self.pad(logits.softmax(1)))
            logits = self.f(seen)
            picture = F.avg_pool2d(picture, 2)
            wide = F.interpolate(logits, size, mode="bilinear", align_corners=False)
            steps.append(wide[..., :height, :width])
        return SemanticOutput(steps[-1], tuple(steps))

    def loss(self, batch: SemanticBatch) -> dict[str, Tensor]:
        """The sum over iterations of the pixel-wise cross-entropy; 'step1' ... are its parts."""
        steps = self(batch["image"]).steps
        parts = [pixel_cross_entropy(logits, batch["mask"], batch.get("class_weights")) for logits in steps]
        named = {f"step{i}": part.detach() for i, part in enumerate(parts, start=1)}
        return {"loss": torch.stack(parts).sum(), **named}
