"""Simultaneous detection and segmentation (Hariharan et al. 2014): on your own images, nuclei, Pasture, Pascal VOC."""

from __future__ import annotations

from foveate.datasets.pasture import Pasture
from foveate.engine import Optim, Recipe
from foveate.models.instances.sds import Config
from foveate.registry import recipe

BACKBONE = "tf_efficientnet_lite0"  # its ImageNet weights install as a package, and it is fast on a CPU
OPTIM = Optim(lr=5e-4, weight_decay=1e-4, backbone_lr=0.5, clip=5.0)


@recipe("sds")
def sds() -> Recipe:
    """Simultaneous detection and segmentation on your own images with objects, from ImageNet weights.

    foveate train sds --data PATH
    """
    return Recipe(
        model="sds",
        config=Config(
            backbone=BACKBONE, pretrained=True, side=96, context=7, hidden=256, proposals=500, fit_images=200
        ),
        optim=OPTIM,
        epochs=10,
        batch_size=2,
        validate_every=10,
    )


@recipe("sds_nuclei")
def sds_nuclei() -> Recipe:
    """Simultaneous detection and segmentation on nuclei in microscopy: small objects, hundreds in an image.

    foveate train sds_nuclei --data DSB2018
    """
    return Recipe(
        model="sds",
        config=Config(
            backbone=BACKBONE, pretrained=True, side=64, context=8, hidden=256, proposals=1200, largest=0.1,
            foreground=6, background=10, turn=True, fit_images=50,
        ),
        optim=OPTIM,
        epochs=3,
        batch_size=4,
        validate_every=3,
    )  # fmt: skip


@recipe("sds_pasture")
def sds_pasture() -> Recipe:
    """Simultaneous detection and segmentation on the objects of the Pasture data set.

    foveate train sds_pasture
    """
    return Recipe(
        model="sds",
        config=Config(
            backbone=BACKBONE, pretrained=True, side=64, context=8, hidden=256, proposals=400, foreground=6,
            background=10, fit_images=200,
        ),
        data=Pasture(height=128, width=128, train=400, val=200, test=200),
        optim=OPTIM,
        epochs=8,
        batch_size=4,
        validate_every=8,
    )  # fmt: skip


@recipe("sds_voc")
def sds_voc() -> Recipe:
    """Simultaneous detection and segmentation on Pascal VOC: two AlexNets, network C, and the released schedule.

    foveate train sds_voc --data VOCdevkit

    The release takes up to 100,000 steps of four images, 1e-3, ten times that in the last layer and twice in biases, a
    tenth of it after every 20,000; its networks start from ImageNet weights, these from none. It is meant for a GPU.
    """
    return Recipe(
        model="sds",
        config=Config(),
        optim=Optim(
            name="sgd", lr=1e-2, momentum=0.9, weight_decay=5e-4, backbone_lr=0.1, bias_lr=2.0, schedule="step",
            step=0.2, warmup=0.0, clip=0.0,
        ),
        epochs=274,
        batch_size=4,
        validate_every=274,
    )  # fmt: skip
