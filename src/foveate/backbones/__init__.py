"""Backbones that return feature pyramids.

Every backbone takes (B, C, H, W) and returns its features at strides 4, 8, 16 and 32, finest first, each (B, c, ceil(H
/ stride), ceil(W / stride)) up to its own padding; `channels` has the four c, `preprocessing` the normalisation of
images that it was trained with.
"""

from __future__ import annotations

from foveate.backbones.grid import FeatureGrid, GridNorm
from foveate.backbones.inception_resnet import InceptionResNetPyramid
from foveate.backbones.inception_v4 import InceptionV4Pyramid
from foveate.backbones.named import create_backbone
from foveate.backbones.timm import STRIDES, TimmPyramid
from foveate.backbones.vgg import VGG16Pyramid

__all__ = [
    "STRIDES",
    "FeatureGrid",
    "GridNorm",
    "InceptionResNetPyramid",
    "InceptionV4Pyramid",
    "TimmPyramid",
    "VGG16Pyramid",
    "create_backbone",
]
