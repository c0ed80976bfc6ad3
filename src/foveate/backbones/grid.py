"""Feature maps of one resolution, for models that attend to locations of an image."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.backbones.named import WRITTEN_HERE, Pyramid, create_backbone, create_cut
from foveate.backbones.timm import STRIDES
from foveate.backbones.vgg import VGG16Pyramid
from foveate.errors import ConfigError


class FeatureGrid(nn.Module):
    """A backbone's features at one stride, or at several, the coarser ones interpolated to the finest.

    name: as for `create_backbone`. With 'vgg16', stride 16 is conv5_3, before its pooling, as captioning systems use
        it.
    in_channels: C, the number of channels of the images.
    pretrained: start from ImageNet weights.
    strides: of 4, 8, 16 and 32, finest first.

    `channels` is D, the total over all strides. Raises ConfigError for other strides, and what `create_backbone`
    raises.
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
            self.net = create_cut(name, in_channels, pretrained, strides[-1])
        self.strides = strides
        self.levels = [STRIDES.index(stride) for stride in strides]
        self.channels = sum(self.net.channels[level] for level in self.levels)
        self.preprocessing = self.net.preprocessing

    def forward(self, image: Tensor) -> Tensor:
        """Return features (B, D, h, w) for images (B, C, H, W), with h and w about H and W over the finest stride."""
        features = self.net(image)
        finest, *others = (features[level] for level in self.levels)
        size = finest.shape[-2:]
        resized = (F.interpolate(x, size, mode="bilinear", align_corners=False) for x in others)
        return torch.cat([finest, *resized], 1)

    def extra_repr(self) -> str:
        """Return the text that `print(model)` shows in the brackets."""
        return f"strides={self.strides}"


class GridNorm(nn.BatchNorm1d):
    """Batch norm over locations (B, D, P), without scale and shift.

    Linear layers follow, so it needs none, and features of a frozen backbone then need no gradient. Raises ConfigError
    in training for a single value, which has no deviation.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, affine=False)

    def forward(self, input: Tensor) -> Tensor:
        """Return features (B, D, P), normalised."""
        if self.training and input[:, 0].numel() == 1:
            raise ConfigError(
                "cannot normalise a batch of one image with one location; give a larger image_size or batch_size"
            )
        normalised: Tensor = super().forward(input)
        return normalised
