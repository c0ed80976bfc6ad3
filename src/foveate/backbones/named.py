"""Backbones by name."""

from __future__ import annotations

from typing import TypeAlias

from foveate.backbones.googlenet import GoogLeNetPyramid
from foveate.backbones.inception_resnet import InceptionResNetPyramid
from foveate.backbones.inception_v4 import InceptionV4Pyramid
from foveate.backbones.plain import PlainPyramid
from foveate.backbones.timm import TimmPyramid
from foveate.backbones.vgg import VGG16Pyramid
from foveate.errors import ConfigError

WRITTEN_HERE = ("vgg16", "inception_v4", "inception_resnet_v2")
Pyramid: TypeAlias = (
    VGG16Pyramid | InceptionV4Pyramid | InceptionResNetPyramid | GoogLeNetPyramid | PlainPyramid | TimmPyramid
)


def create_backbone(name: str, in_channels: int = 3, pretrained: bool = False, caffe_padding: bool = False) -> Pyramid:
    """Create the feature pyramid of a name.

    name: 'vgg16', 'inception_v4' or 'inception_resnet_v2', implemented here; 'googlenet', which is torchvision's;
        'plain', a small one for training from nothing; or the name of a timm model.
    in_channels: C, the number of channels of the images.
    pretrained: start from ImageNet weights.
    caffe_padding: pad as FCN's release does; for 'vgg16' only.

    Raises ConfigError for an unknown name, or one without features at strides 4, 8, 16 and 32; ModelError when ImageNet
    weights are asked for and neither an installed package nor the hub has them.
    """
    if name == "vgg16":
        return VGG16Pyramid(in_channels, pretrained, caffe_padding)
    if name == "inception_v4":
        return InceptionV4Pyramid(in_channels, pretrained)
    if name == "inception_resnet_v2":
        return InceptionResNetPyramid(in_channels, pretrained)
    return create_cut(name, in_channels, pretrained)


def create_cut(name: str, in_channels: int = 3, pretrained: bool = False, coarsest: int = 32) -> Pyramid:
    """Create one of the backbones that are built up to a stride alone: 'googlenet', 'plain', or a timm model.

    coarsest: the last stride that is needed. Raises what `create_backbone` raises.
    """
    if name == "googlenet":
        return GoogLeNetPyramid(in_channels, pretrained, coarsest)
    if name == "plain":
        if pretrained:
            raise ConfigError("the backbone 'plain' has no ImageNet weights; give --config.pretrained false")
        return PlainPyramid(in_channels, coarsest)
    return TimmPyramid(name, in_channels, pretrained, coarsest)
