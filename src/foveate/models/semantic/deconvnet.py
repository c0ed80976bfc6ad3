"""DeconvNet: a convolutional encoder and a mirrored decoder with unpooling.

Noh, Hong and Han, "Learning Deconvolution Network for Semantic Segmentation", ICCV 2015.

Shapes: B images, C channels, H x W pixels, K classes; level l is (B, c_l, H / 2^l, W / 2^l).

    encode   [conv-bn-relu x depth_l, pool -> switches_l] for l = 1 ... 5, then fc6 (7 x 7), fc7 (1 x 1)   (section 3.1)
    decode   deconv-fc6 (7 x 7), then [unpool by switches_l, deconv-bn-relu x depth_l] for l = 5 ... 1    (section 3.2)
    logits   a 1 x 1 convolution

`Config()` is the published network, VGG-16 and its mirror image, for inputs of 224 x 224, with the initial weights of
the authors' code (github.com/HyeonwooNoh/DeconvNet): the encoder from a VGG-16 that was trained on ImageNet
(`pretrained`, or `load_foreign`), all else from N(0, 0.01). It is trained on crops around single objects first and on
harder crops after that (`transforms.ObjectCrops`), and at test time aggregates its predictions over object proposals
(`tasks.semantic.proposals`).

Departures from the paper:

- Convolutions have no bias: batch norm, which follows all but the last, would subtract it. (A bias of loaded weights
  is taken into the batch norm's mean.)
- Images of any size are taken: padded to whole cells of the coarsest map, and the logits cropped.
- Images are RGB, normalised as the encoder's weights expect; in the release BGR, with only the mean subtracted. The
  batch norm after the first convolution makes up for the scale.
- Proposals are selective search's (`ops.proposals`), since edge boxes need a trained model.
- The second stage's crops are windows drawn around an object, not proposals that overlap it by half or more.
- The published training was not run here, so no score of it is known: neither ImageNet's VGG-16 nor the extended Pascal
  VOC is at hand.
- The small recipes differ in sizes and schedule, start from PyTorch's weights (`initial_std` 0) and see whole images.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.backbones.vgg import imagenet_vgg16
from foveate.backbones.weights import adapt_input_channels, adapt_preprocessing
from foveate.errors import ConfigError, ModelError, counted
from foveate.ops.region_losses import PixelLoss, of_a_set, pixel_loss
from foveate.ops.unpool import pool, unpool, unpool_fixed
from foveate.records import Preprocessing, SemanticBatch, SemanticOutput
from foveate.registry import model
from foveate.values import require_choices


@dataclass(frozen=True)
class Config:
    """Configuration of DeconvNet. The defaults are the published network's.

    num_classes: K, the number of classes; 21 for Pascal VOC. The data decides it in training.
    in_channels: C, the number of channels of the images; 3 for RGB. The data decides it in training.
    widths: number of channels of each level, finest first; (64, 128, 256, 512, 512) in the paper, a quarter of it
        trains on a CPU. Each level halves the map and doubles the stride.
    depths: number of convolutions of each level, finest first; as many values as `widths`, usually 1 to 3. More enlarge
        the receptive field, and cost more.
    head_channels: number of channels of fc6 and fc7, usually 128 to 4096; more holds more of the whole object, and has
        most of the weights.
    head_kernel: side of fc6's filters in pixels of the coarsest map. Smaller images are padded until that map has this
        size.
    switches: True unpools each value to the position of the maximum it came from; False unpools to the corner of each
        window, for comparison.
    initial_std: standard deviation of the initial weights, from a normal distribution, with batch norms that shift by
        0.001 at first, 0.01 in the authors' code; 0 leaves PyTorch's own.
    pretrained: start encoder, fc6 and fc7 from torchvision's VGG-16 of ImageNet; the default sizes only.
    loss: the loss of a training: cross_entropy is the paper's; dice, tversky and focal are for classes of very
        different size, and cross_entropy+dice adds two (`ops.region_losses`).
    """

    num_classes: int = 21
    in_channels: int = 3
    widths: tuple[int, ...] = (64, 128, 256, 512, 512)
    depths: tuple[int, ...] = (2, 2, 3, 3, 3)
    head_channels: int = 4096
    head_kernel: int = 7
    switches: bool = True
    initial_std: float = 0.01
    pretrained: bool = False
    loss: PixelLoss = "cross_entropy"

    def __post_init__(self) -> None:
        require_choices(self)
        if len(self.widths) != len(self.depths) or not self.widths or min(self.widths + self.depths) < 1:
            raise ConfigError(
                f"widths {self.widths} and depths {self.depths}; expected one value of each per level, all 1 or more"
            )
        if min(self.num_classes, self.in_channels, self.head_channels, self.head_kernel) < 1:
            raise ConfigError(
                f"num_classes {self.num_classes}, in_channels {self.in_channels}, head_channels {self.head_channels} "
                f"and head_kernel {self.head_kernel} must be at least 1"
            )
        if self.initial_std < 0:
            raise ConfigError(f"initial_std is {self.initial_std}; expected 0.01, or 0 for PyTorch's weights")


@model("deconvnet")
class DeconvNet(nn.Module):
    """DeconvNet: an encoder and its mirror image, linked by the pooling switches."""

    task: ClassVar[str] = "semantic"
    # Runtimes may take different maxima of a window whose values are equal up to rounding.
    unchecked_share: ClassVar[float] = 0.01

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.losses_of_a_set = of_a_set(config.loss)
        self.preprocessing = Preprocessing.centred(config.in_channels)
        self.encoder, self.decoder = nn.ModuleList(), nn.ModuleList()
        below = config.in_channels
        for level, (width, depth) in enumerate(zip(config.widths, config.depths, strict=True)):
            self.encoder.append(nn.Sequential(*(_conv(below if i == 0 else width, width) for i in range(depth))))
            # The mirror image: the last layer of a level outputs the width of the next finer level.
            above = below if level else width
            self.decoder.append(
                nn.Sequential(*(_deconv(width, above if i == depth - 1 else width) for i in range(depth)))
            )
            below = width
        head, kernel = config.head_channels, config.head_kernel
        self.fc6 = nn.Sequential(nn.Conv2d(below, head, kernel, bias=False), nn.BatchNorm2d(head), nn.ReLU())
        self.fc7 = nn.Sequential(nn.Conv2d(head, head, 1, bias=False), nn.BatchNorm2d(head), nn.ReLU())
        self.deconv_fc6 = nn.Sequential(
            nn.ConvTranspose2d(head, below, kernel, bias=False), nn.BatchNorm2d(below), nn.ReLU()
        )
        self.score = nn.Conv2d(config.widths[0], config.num_classes, 1)
        if config.initial_std:
            self._initialise(config.initial_std)
        if config.pretrained:
            self.load_foreign(imagenet_vgg16())

    def forward(self, image: Tensor) -> SemanticOutput:
        """Return logits (B, K, H, W) for images (B, C, H, W), normalised.

        H and W are arbitrary: images are padded to whole cells of the coarsest map, small ones until fc6 fits, and the
        logits are cropped.
        """
        height, width = image.shape[-2:]
        cell = 2 ** len(self.encoder)
        min_side = cell * self.config.head_kernel
        bottom, right = max(-height % cell, min_side - height), max(-width % cell, min_side - width)
        x = F.pad(image, (0, right, 0, bottom))
        switches, sizes = [], []
        for encode in self.encoder:
            x = encode(x)
            sizes.append((x.shape[-2], x.shape[-1]))
            x, switch = pool(x)
            switches.append(switch)
        x = self.deconv_fc6(self.fc7(self.fc6(x)))
        for decode in reversed(self.decoder):
            size, switch = sizes.pop(), switches.pop()
            x = decode(unpool(x, switch, size) if self.config.switches else unpool_fixed(x, size))
        return SemanticOutput(self.score(x)[..., :height, :width])

    def _initialise(self, std: float) -> None:
        """Draw the initial weights of the release: N(0, std), biases of 0, batch norms of scale 1 and shift 0.001."""
        for layer in self.modules():
            if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.normal_(layer.weight, std=std)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
            elif isinstance(layer, nn.BatchNorm2d):
                nn.init.constant_(layer.bias, 0.001)

    def load_foreign(self, state: Mapping[str, Tensor]) -> str:
        """Load torchvision's state dict of vgg16 or vgg16_bn into the encoder, fc6 and fc7.

        Of vgg16_bn the batch norms are taken, too; those of fc6 and fc7, which it has not, stay as they are. Returns a
        description of what was loaded. Raises ModelError if it is neither, or does not fit this config.
        """
        layers: list[Any] = [layer for level in self.encoder for layer in level.children()]
        numbers = sorted({int(key.split(".")[1]) for key in state if key.startswith("features.")})
        convolutions = [n for n in numbers if state.get(f"features.{n}.weight", torch.empty(0)).ndim == 4]
        if not convolutions or "classifier.0.weight" not in state:
            raise ModelError(
                "weights recognised neither as torchvision's vgg16 nor as its vgg16_bn (features.0.weight ... "
                f"classifier.0.weight); found {', '.join(list(state)[:3]) or 'nothing'} ..."
            )
        if len(convolutions) != len(layers):
            raise ModelError(
                f"the weights have {counted(len(convolutions), 'convolution')}, this encoder {len(layers)}; "
                f"build it with the "
                "default widths and depths"
            )
        with_norms = any(key.endswith("running_mean") for key in state)
        try:
            with torch.no_grad():
                for layer, n in zip(layers, convolutions, strict=True):
                    _take(layer, state, f"features.{n}", f"features.{n + 1}" if with_norms else "")
                for layer, n in ((self.fc6, 0), (self.fc7, 3)):
                    _take(layer, state, f"classifier.{n}", "")
        except (KeyError, RuntimeError) as error:
            raise ModelError(
                f"the weights do not fit this DeconvNet: {error}; compare the config's sizes with the file"
            ) from error
        self.preprocessing = adapt_preprocessing(Preprocessing(), self.config.in_channels, True)
        norms = " with their batch norms" if with_norms else ""
        return f"torchvision's VGG-16: 13 convolutions{norms}, fc6 and fc7"

    def loss(self, batch: SemanticBatch) -> dict[str, Tensor]:
        """Return the pixel-wise loss, cross-entropy in the paper (section 4.3) as 'loss'."""
        logits = self(batch["image"]).logits
        return {"loss": pixel_loss(self.config.loss, logits, batch["mask"], batch.get("class_weights"))}


def _conv(below: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(below, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())


def _deconv(width: int, above: int) -> nn.Sequential:
    return nn.Sequential(nn.ConvTranspose2d(width, above, 3, padding=1, bias=False), nn.BatchNorm2d(above), nn.ReLU())


def _take(layer: nn.Sequential, state: Mapping[str, Tensor], source: str, norm: str) -> None:
    """Copy a convolution, or a fully connected layer, and the batch norm called `norm`, if any.

    The bias b moves to the batch norm's mean: (W x + b) - mean = W x - (mean - b). Raises ModelError for values that
    are not finite.
    """
    convolution: Any = layer[0]
    own: Any = layer[1]
    weight, bias = state[f"{source}.weight"], state[f"{source}.bias"]
    if not (weight.isfinite().all() and bias.isfinite().all()):
        raise ModelError(f"{source} has values that are not finite; give a file with the classifier's layers, too")
    if weight.ndim == 4:
        weight = adapt_input_channels(weight, convolution.in_channels)
    convolution.weight.copy_(weight.view(convolution.weight.shape))
    if norm:
        for part in ("weight", "bias", "running_var"):
            getattr(own, part).copy_(state[f"{norm}.{part}"])
    mean = state[f"{norm}.running_mean"] if norm else torch.zeros_like(bias)
    own.running_mean.copy_(mean - bias)
