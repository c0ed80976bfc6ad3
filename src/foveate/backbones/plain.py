"""A plain trunk: 3x3 convolutions of stride 2 with batch norm and ReLU, for drawn images and training from nothing."""

from __future__ import annotations

from torch import Tensor, nn

from foveate.backbones.timm import STRIDES
from foveate.records import Preprocessing

WIDTHS = (16, 32, 64, 128, 128)  # at strides 2, 4, 8, 16 and 32


class PlainPyramid(nn.Module):
    """Five convolutions; the features are those of the last four.

    in_channels: C, the number of channels of the images.
    coarsest: the last stride that is needed; the convolutions beyond it are left out.
    """

    def __init__(self, in_channels: int = 3, coarsest: int = 32) -> None:
        super().__init__()
        widths = WIDTHS[: STRIDES.index(coarsest) + 2]
        self.channels = widths[1:]
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Conv2d(before, after, 3, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU())
            for before, after in zip((in_channels, *widths), widths, strict=False)
        )
        self.preprocessing = Preprocessing.centred(in_channels)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the features at strides 4, 8, 16 and 32 for images (B, C, H, W)."""
        features, x = [], image
        for layer in self.layers:
            x = layer(x)
            features.append(x)
        return features[1:]
