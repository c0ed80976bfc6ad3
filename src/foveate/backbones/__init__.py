"""Image feature pyramids: what the segmentation models stand on.

Every backbone takes (B, C, H, W) and returns its features at strides 4, 8, 16 and 32, finest first, each
(B, c, ceil(H / stride), ceil(W / stride)) up to its own padding; `channels` says the four c, `preprocessing` what input
it was trained on.
"""

from __future__ import annotations

from foveate.backbones.timm import STRIDES, TimmPyramid
from foveate.backbones.vgg import VGG16Pyramid

__all__ = ["STRIDES", "TimmPyramid", "VGG16Pyramid", "create_backbone"]


def create_backbone(
    name: str, in_channels: int = 3, pretrained: bool = False, caffe_padding: bool = False
) -> VGG16Pyramid | TimmPyramid:
    """The pyramid of a name: 'vgg16' is written here, any other is timm's.

    Raises ConfigError for an unknown name, or one without features at strides 4, 8, 16 and 32; ModelError when
    ImageNet weights are asked for and neither an installed package nor the hub has them.
    """
    if name == "vgg16":
        return VGG16Pyramid(in_channels, pretrained, caffe_padding)
    return TimmPyramid(name, in_channels, pretrained)
