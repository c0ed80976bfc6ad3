"""Fully convolutional networks (Long et al. 2015): on your own images, the Pasture data set, CamVid, and as released.

What each cost and reached stands in results/<recipe>.json.
"""

from __future__ import annotations

from foveate.datasets.pasture import Pasture
from foveate.engine import Optim, Recipe
from foveate.models.semantic.fcn import Config, Stride
from foveate.registry import recipe
from foveate.transforms import SemanticAugment

# ImageNet weights of this one install as a package, and it is fast on a CPU.
BACKBONE = "tf_efficientnet_lite0"
# Its stem and first two stages find edges and textures, which photographs share. Keeping them as ImageNet left them
# saves three fifths of a step: they are most of the pixels.
EARLY = ("backbone.net.conv_stem", "backbone.net.bn1", "backbone.net.blocks.0", "backbone.net.blocks.1")


def _config(stride: Stride) -> Config:
    return Config(
        stride=stride, backbone=BACKBONE, pretrained=True, head_channels=256, head_kernel=3, skip_channels=96,
        dropout=0.1, lovasz=0.5,
    )  # fmt: skip


@recipe(
    "fcn{stride}s",
    stride={
        32: "without skips: coarse outlines",
        16: "with a skip from stride 16: finer outlines than FCN-32s",
        8: "with skips from strides 16 and 8: the finest outlines of the three",
    },
)
def fcn(stride: Stride) -> Recipe:
    """FCN-{stride}s on your own labelled images, from ImageNet weights, {about_stride}.

    foveate train fcn8s --data PATH
    """
    return Recipe(
        model=f"fcn{stride}s",
        config=_config(stride),
        augment=SemanticAugment(scale=(0.5, 2.0), crop=(288, 352)),
        optim=Optim(lr=3e-3, backbone_lr=0.3),
        epochs=30,
        batch_size=8,
        ema=0.99,
        freeze=EARLY,
    )


@recipe(
    "fcn{stride}s_pasture",
    stride={32: "a third of its stride", 16: "less than its stride", 8: "more than its stride"},
)
def fcn_pasture(stride: Stride) -> Recipe:
    """FCN-{stride}s on the synthetic Pasture data set at 192x192, whose birds of about ten pixels are {about_stride}.

    foveate train fcn8s_pasture
    """
    return Recipe(
        model=f"fcn{stride}s",
        config=_config(stride),
        data=Pasture(height=192, width=192, train=640, val=50, test=100),
        augment=SemanticAugment(crop=(), color=0.0),
        optim=Optim(lr=3e-3, backbone_lr=0.5),
        epochs=3,
        batch_size=16,
        ema=0.98,
        freeze=EARLY,
    )


@recipe(
    "fcn{stride}s_camvid",
    stride={32: "without skips", 16: "with a skip from stride 16", 8: "with skips from strides 16 and 8"},
)
def fcn_camvid(stride: Stride) -> Recipe:
    """FCN-{stride}s on CamVid, 11 classes at 480x360, from ImageNet weights, {about_stride}; else the three are alike.

    foveate train fcn8s_camvid --data CAMVID
    """
    return Recipe(
        model=f"fcn{stride}s",
        config=_config(stride),
        augment=SemanticAugment(scale=(0.75, 2.0), crop=(288, 352), color=0.3),
        optim=Optim(lr=3e-3, backbone_lr=0.3),
        epochs=22,
        batch_size=8,
        ema=0.99,
        freeze=EARLY,
        validate_every=11,
    )


@recipe("fcn8s_camvid_long")
def fcn_camvid_long() -> Recipe:
    """FCN-8s on CamVid for about two hours of two cores: five times the steps, all layers trained, more light.

    foveate train fcn8s_camvid_long --data CAMVID
    """
    return Recipe(
        model="fcn8s",
        config=_config(8),
        augment=SemanticAugment(scale=(0.5, 2.0), crop=(288, 352), color=0.5, gamma=0.5, rare=0.25),
        optim=Optim(lr=3e-3, backbone_lr=0.3),
        epochs=60,
        batch_size=8,
        ema=0.998,
        validate_every=20,
    )


@recipe("fcn8s_voc_lite")
def fcn_voc_lite() -> Recipe:
    """FCN-8s on Pascal VOC, or a part of it, from ImageNet's EfficientNet-Lite0: for a CPU.

    foveate train fcn8s_voc_lite --data VOC
    """
    return Recipe(
        model="fcn8s",
        config=_config(8),
        augment=SemanticAugment(scale=(0.5, 2.0), crop=(320, 320), color=0.3),
        optim=Optim(lr=2e-3, backbone_lr=0.3),
        epochs=50,
        batch_size=8,
        ema=0.99,
        freeze=EARLY,
        validate_every=10,
    )


@recipe(
    "fcn{stride}s_voc",
    stride={
        32: "the first of three stages, from VGG-16",
        16: "the second stage, from a run of the first",
        8: "the last stage, from a run of the second",
    },
)
def fcn_voc(stride: Stride) -> Recipe:
    """FCN-{stride}s on Pascal VOC as released, {about_stride}: one image a step, high momentum, the summed loss.

    foveate train fcn32s_voc --data VOCdevkit --init vgg16_caffe.pth
    foveate train fcn16s_voc --data VOCdevkit --init runs/fcn32s_voc
    foveate train fcn8s_voc  --data VOCdevkit --init runs/fcn16s_voc

    The learning rates belong to a VGG-16 of Caffe's scale, which the first stage needs as a file: docs/fcn.md. 68
    epochs of the 1,464 training pictures are the release's 100,000 steps, which it takes on the pictures of Hariharan
    et al. (2011). It is meant for a GPU.
    """
    return Recipe(
        model=f"fcn{stride}s",
        config=Config(
            stride=stride, caffe_padding=True, caffe_scale=True, learned_upsampling=False, reduction="sum"
        ),
        augment=None,
        optim=Optim(
            name="sgd", lr={32: 1e-10, 16: 1e-12, 8: 1e-14}[stride], momentum=0.99, weight_decay=5e-4, bias_lr=2.0,
            schedule="constant", warmup=0.0, clip=0.0,
        ),
        epochs=68,
        batch_size=1,
    )  # fmt: skip
