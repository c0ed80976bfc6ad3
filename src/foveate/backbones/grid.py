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
    """A backbone's features at one stride, or at several, on one grid.

    Coarser features are interpolated to the grid. Those that are r times finer are folded: the r x r locations of a
    cell become channels (`pixel_unshuffle`), so that nothing of them is lost.

    name: as for `create_backbone`. With 'vgg16', stride 16 is conv5_3, before its pooling, as captioning systems use
        it.
    in_channels: C, the number of channels of the images.
    pretrained: start from ImageNet weights.
    strides: of 4, 8, 16 and 32, finest first.
    grid: stride of the grid, one of `strides`; 0: the finest.

    `channels` is D, the total over all strides. Raises ConfigError for other strides, and what `create_backbone`
    raises.
    """

    def __init__(
        self,
        name: str,
        in_channels: int = 3,
        pretrained: bool = False,
        strides: tuple[int, ...] = (16,),
        grid: int = 0,
    ) -> None:
        super().__init__()
        if not strides or list(strides) != sorted(set(strides)) or not set(strides) <= set(STRIDES):
            raise ConfigError(f"strides are {strides}; expected one or more of 4, 8, 16 and 32, finest first")
        if grid and grid not in strides:
            raise ConfigError(
                f"the grid's stride is {grid}; expected one of the strides {strides}, or 0 for the finest"
            )
        self.net: Pyramid
        if name == "vgg16":
            self.net = VGG16Pyramid(in_channels, pretrained, pooled=False)
        elif name in WRITTEN_HERE:
            self.net = create_backbone(name, in_channels, pretrained)
        else:
            self.net = create_cut(name, in_channels, pretrained, strides[-1])
        self.strides, self.grid = strides, grid or strides[0]
        self.levels = [STRIDES.index(stride) for stride in strides]
        self.folds = [max(self.grid // stride, 1) for stride in strides]
        self.channels = sum(self.net.channels[i] * r**2 for i, r in zip(self.levels, self.folds, strict=True))
        self.preprocessing = self.net.preprocessing

    def forward(self, image: Tensor) -> Tensor:
        """Return features (B, D, h, w) for images (B, C, H, W), with h and w about H and W over the grid's stride."""
        features = self.net(image)
        h, w = features[STRIDES.index(self.grid)].shape[-2:]
        resized = (
            F.interpolate(features[i], (r * h, r * w), mode="bilinear", align_corners=False)
            for i, r in zip(self.levels, self.folds, strict=True)
        )
        return torch.cat([F.pixel_unshuffle(x, r) for x, r in zip(resized, self.folds, strict=True)], 1)

    def extra_repr(self) -> str:
        """Return the text that `print(model)` shows in the brackets."""
        return f"strides={self.strides}, grid={self.grid}"


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
