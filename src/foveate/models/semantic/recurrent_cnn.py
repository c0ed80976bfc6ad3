"""Recurrent CNN: a network applied repeatedly, to a smaller image and to its own previous prediction.

Pinheiro and Collobert, "Recurrent Convolutional Neural Networks for Scene Labeling", ICML 2014.

Shapes: B images, C channels, H x W pixels, K classes; instance p has inputs at stride 2^(p - 1) and outputs at stride
2^p.

    I^1 = the image in YUV, Y^0 = 0
    Y^p = f([Y^(p-1), I^p]; W)       the same f and W for each instance                         (section 3.2)
    I^(p+1) = I^p at half the size, which is that of Y^p
    loss = L(Y^1) + L(Y^2) + L(Y^3)                                                             (section 3)

Each instance doubles the receptive field without adding weights.

Departures from the paper:

- The image is locally normalised, as Farabet et al. (2013) do (`normalize`; the paper does not).
- A tanh follows the second convolution, too (`second_tanh`; the paper names one after the first alone).
- All instances are trained together from the start. The paper trains in two stages: fewer instances first, then all of
  them from these weights (`--config.iterations 2`, then `--init` with 3).
- Convolutions are padded to keep their size, where the paper cuts patches.
- f reads Y^(p-1) as probabilities, which are bounded.
- Logits are interpolated to the image's size, where the paper interlaces shifted passes (`ops.dense.shift_and_stitch`).
- AdamW, averaged weights and augmentation in the recipes, where the paper uses plain stochastic gradients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.errors import ConfigError
from foveate.ops.pyramid import normalize_locally, rgb_to_yuv
from foveate.ops.region_losses import PixelLoss, of_a_set, pixel_loss
from foveate.records import Preprocessing, SemanticBatch, SemanticOutput
from foveate.registry import model
from foveate.values import require_choices


@dataclass(frozen=True)
class Config:
    """Configuration of the recurrent CNN.

    num_classes: K, the number of classes; 21 for Pascal VOC. The data decides it in training.
    in_channels: C, the number of channels of the images; 3 are taken to be RGB and converted to YUV. The data decides
        it in training.
    widths: number of channels of f's two hidden layers, usually (25, 50). More distinguish more textures, and cost
        more.
    kernel: side of their filters in pixels, usually 6 to 8; larger ones enlarge the receptive field, and cost more.
    iterations: number of instances, in training and in inference, usually 2 or 3; trained weights run with any number.
        More enlarge the receptive field, and cost more.
    normalize: True normalises the image locally before the first instance; False, as in the paper, leaves it as it is.
    second_tanh: True puts a tanh after the second convolution as after the first; False is the paper's network.
    loss: the loss of a training: cross_entropy is the paper's; dice, tversky and focal are for classes of very
        different size, and cross_entropy+dice adds two (`ops.region_losses`).
    """

    num_classes: int = 21
    in_channels: int = 3
    widths: tuple[int, int] = (25, 50)
    kernel: int = 8
    iterations: int = 3
    normalize: bool = True
    second_tanh: bool = True
    loss: PixelLoss = "cross_entropy"

    def __post_init__(self) -> None:
        require_choices(self)
        if self.iterations < 1:
            raise ConfigError(f"iterations is {self.iterations}; expected 1 or more")
        if min(self.num_classes, self.in_channels, self.kernel) < 1 or len(self.widths) != 2 or min(self.widths) < 1:
            raise ConfigError(
                f"num_classes {self.num_classes}, in_channels {self.in_channels} and kernel {self.kernel} must be at "
                f"least 1, and widths {self.widths} two such numbers"
            )


@model("recurrent_cnn")
class RecurrentCNN(nn.Module):
    """Recurrent CNN: shared weights, applied to ever smaller images and to the previous prediction."""

    task: ClassVar[str] = "semantic"

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.losses_of_a_set = of_a_set(config.loss)
        self.preprocessing = Preprocessing.centred(config.in_channels)
        first, second = config.widths
        small, large = (config.kernel - 1) // 2, config.kernel // 2
        # A filter of even side shifts its output by half a pixel; the second shifts it back.
        self.pad = nn.ZeroPad2d((small, large, small, large))
        # f's first layer over [Y, I] is the sum of one over I and one over Y.
        self.image_filters = nn.Conv2d(config.in_channels, first, config.kernel)
        self.label_filters = nn.Conv2d(config.num_classes, first, config.kernel, bias=False)
        self.f = nn.Sequential(
            nn.Tanh(),
            nn.MaxPool2d(2),
            nn.ZeroPad2d((large, small, large, small)),
            nn.Conv2d(first, second, config.kernel),
            nn.Tanh() if config.second_tanh else nn.Identity(),
            nn.Conv2d(second, config.num_classes, 1),
        )
        self.register_load_state_dict_pre_hook(_rename)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.xavier_uniform_(layer.weight, nn.init.calculate_gain("tanh"))
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def forward(self, image: Tensor, iterations: int | None = None) -> SemanticOutput:
        """Return logits (B, K, H, W) of the last iteration for images (B, C, H, W); `steps` has those of each.

        image: (B, C, H, W), normalised. H and W are arbitrary.

        iterations: number of iterations; None is the config's. Raises ConfigError if it is less than 1.
        """
        count = self.config.iterations if iterations is None else iterations
        if count < 1:
            raise ConfigError(f"iterations is {count}; expected 1 or more")
        height, width = image.shape[-2:]
        cell = 2**count
        colours = rgb_to_yuv(image) if self.config.in_channels == 3 else image
        first = normalize_locally(colours) if self.config.normalize else colours
        scaled = F.pad(first, (0, -width % cell, 0, -height % cell), mode="replicate")
        size = (scaled.shape[-2], scaled.shape[-1])
        logits: Tensor | None = None
        steps: list[Tensor] = []
        for _ in range(count):
            features = self.image_filters(self.pad(scaled))
            if logits is not None:  # Y^0 = 0 contributes nothing
                features = features + self.label_filters(self.pad(logits.softmax(1)))
            logits = self.f(features)
            scaled = F.avg_pool2d(scaled, 2)
            upsampled = F.interpolate(logits, size, mode="bilinear", align_corners=False)
            steps.append(upsampled[..., :height, :width])
        return SemanticOutput(steps[-1], tuple(steps))

    def loss(self, batch: SemanticBatch) -> dict[str, Tensor]:
        """Return the sum over iterations of the pixel-wise loss as 'loss'; 'step1' ... are its parts."""
        steps = self(batch["image"]).steps
        parts = [pixel_loss(self.config.loss, logits, batch["mask"], batch.get("class_weights")) for logits in steps]
        named = {f"step{i}": part.detach() for i, part in enumerate(parts, start=1)}
        return {"loss": torch.stack(parts).sum(), **named}


def _rename(model: nn.Module, state: dict[str, Tensor], prefix: str, *rest: Any) -> None:
    """Give weights that version 0.1.0 wrote their names of today."""
    for old, new in (("look", "image_filters"), ("listen", "label_filters")):
        for key in [key for key in state if key.startswith(f"{prefix}{old}.")]:
            state[f"{prefix}{new}{key.removeprefix(prefix + old)}"] = state.pop(key)
