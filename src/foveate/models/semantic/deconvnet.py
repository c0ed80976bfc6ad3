"""DeconvNet: a convolutional encoder and a mirrored decoder with unpooling.

Noh, Hong and Han, "Learning Deconvolution Network for Semantic Segmentation", ICCV 2015.

Shapes: B images, C channels, H x W pixels, K classes; level l is (B, c_l, H / 2^l, W / 2^l).

    encode   [conv-bn-relu x depth_l, pool -> switches_l] for l = 1 ... 5, then fc6 (7 x 7), fc7 (1 x 1)   (section 3.1)
    decode   deconv-fc6 (7 x 7), then [unpool by switches_l, deconv-bn-relu x depth_l] for l = 5 ... 1    (section 3.2)
    logits   a 1 x 1 convolution

`Config()` is the paper's network, VGG-16 and its mirror image, for inputs of 224 x 224. The published system is trained
on crops of single objects first and on harder crops after that (`transforms.ObjectCrops`), and at test time aggregates
its predictions over object proposals (`tasks.proposals`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from foveate.errors import ConfigError
from foveate.ops.losses import pixel_cross_entropy
from foveate.ops.unpool import pool, unpool, unpool_fixed
from foveate.records import Preprocessing, SemanticBatch, SemanticOutput
from foveate.registry import model


@dataclass(frozen=True)
class Config:
    """Configuration of DeconvNet. The defaults are the paper's.

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
    """

    num_classes: int = 21
    in_channels: int = 3
    widths: tuple[int, ...] = (64, 128, 256, 512, 512)
    depths: tuple[int, ...] = (2, 2, 3, 3, 3)
    head_channels: int = 4096
    head_kernel: int = 7
    switches: bool = True

    def __post_init__(self) -> None:
        if len(self.widths) != len(self.depths) or not self.widths or min(self.widths + self.depths) < 1:
            raise ConfigError(
                f"widths {self.widths} and depths {self.depths}; expected one value of each per level, all 1 or more"
            )
        if min(self.num_classes, self.in_channels, self.head_channels, self.head_kernel) < 1:
            raise ConfigError(
                f"num_classes {self.num_classes}, in_channels {self.in_channels}, head_channels {self.head_channels} "
                f"and head_kernel {self.head_kernel} must be at least 1"
            )


@model("deconvnet")
class DeconvNet(nn.Module):
    """DeconvNet: an encoder and its mirror image, linked by the pooling switches."""

    task: ClassVar[str] = "semantic"
    # Which of two values of a window is the maximum may differ between runtimes if they are equal up to rounding: see
    # export.onnx.
    may_differ: ClassVar[float] = 0.01

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
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

    def loss(self, batch: SemanticBatch) -> dict[str, Tensor]:
        """Return the pixel-wise cross-entropy (section 4.3) as 'loss'."""
        logits = self(batch["image"]).logits
        return {"loss": pixel_cross_entropy(logits, batch["mask"], batch.get("class_weights"))}


def _conv(below: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(below, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())


def _deconv(width: int, above: int) -> nn.Sequential:
    return nn.Sequential(nn.ConvTranspose2d(width, above, 3, padding=1, bias=False), nn.BatchNorm2d(above), nn.ReLU())
