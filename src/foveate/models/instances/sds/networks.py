"""The network that sees a crop in the small form of SDS; at paper size it is `CaffeNet`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from foveate.backbones import create_backbone
from foveate.records import Preprocessing


class Pooled(nn.Module):
    """Features of a crop by any backbone, for a CPU: the means of its two coarsest maps, and one layer.

    backbone, in_channels, pretrained: as for `create_backbone`. hidden: features of the layer.
    """

    def __init__(self, backbone: str, in_channels: int, pretrained: bool, hidden: int) -> None:
        super().__init__()
        self.net = create_backbone(backbone, in_channels, pretrained)
        self.preprocessing: Preprocessing = self.net.preprocessing
        self.project = nn.Linear(sum(self.net.channels[-2:]), hidden)
        self.dropout = nn.Dropout()

    def forward(self, crops: Tensor) -> Tensor:
        """Return the features (R, hidden) of crops (R, C, S, S)."""
        pooled = torch.cat([one.mean((2, 3)) for one in self.net(crops)[-2:]], 1)
        features: Tensor = self.dropout(torch.relu(self.project(pooled)))
        return features
