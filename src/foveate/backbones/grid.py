"""One grid of features, for models that look at a picture place by place."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.backbones.named import WRITTEN_HERE, Pyramid, create_backbone
from foveate.backbones.timm import STRIDES, TimmPyramid
from foveate.backbones.vgg import VGG16Pyramid
from foveate.errors import ConfigError


class FeatureGrid(nn.Module):
    """A backbone's features at one stride, or at several, the coarser ones stretched over the finest.

    name: as for `create_backbone`. Of 'vgg16', stride 16 is conv5_3, before its pooling, as captioning systems read it.
    strides: of 4, 8, 16 and 32, finest first. channels: D, of all of them together.
    Raises ConfigError for strides that are not there, and what `create_backbone` raises.
    """

    def __init__(
        self, name: str, in_channels: int = 3, pretrained: bool = False, strides: tuple[int, ...] = (16,)
    ) -> None:
        super().__init__()
        if not strides or list(strides) != sorted(set(strides)) or not set(strides) <= set(STRIDES):
            raise ConfigError(f"strides are {strides}; expected one or more of 4, 8, 16 and 32, finest first")
        self.net: Pyramid
        if name == "vgg16":
            self.net = VGG16Pyramid(in_channels, pretrained, pooled=False)
        elif name in WRITTEN_HERE:
            self.net = create_backbone(name, in_channels, pretrained)
        else:
            self.net = TimmPyramid(name, in_channels, pretrained, coarsest=strides[-1])
        self.strides = strides
        self.levels = [STRIDES.index(stride) for stride in strides]
        self.channels = sum(self.net.channels[level] for level in self.levels)
        self.preprocessing = self.net.preprocessing

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, D, h, w), with h and w about H and W over the finest stride."""
        features = self.net(image)
        finest, *others = (features[level] for level in self.levels)
        size = finest.shape[-2:]
        stretched = (F.interpolate(x, size, mode="bilinear", align_corners=False) for x in others)
        return torch.cat([finest, *stretched], 1)

    def extra_repr(self) -> str:
        """What `print(model)` shows between the brackets."""
        return f"strides={self.strides}"


class GridNorm(nn.BatchNorm1d):
    """Batch norm over places (B, D, P), without scale and shift of its own: linear layers follow, and features of a
    frozen backbone need no gradient then. Raises ConfigError in training for a single value, which has no deviation."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, affine=False)

    def forward(self, input: Tensor) -> Tensor:
        """(B, D, P) -> the same, normalised."""
        if self.training and input[:, 0].numel() == 1:
            raise ConfigError(
                "a batch of one picture with one place cannot be normalised; give a larger image_size or batch_size"
            )
        normalised: Tensor = super().forward(input)
        return normalised
