"""The multi-task network cascade (Dai et al. 2015): on your own images, nuclei, and the Pasture data set."""

from __future__ import annotations

from foveate.datasets.pasture import Pasture
from foveate.engine import Optim, Recipe
from foveate.models.instances.mnc import Config
from foveate.models.instances.proposals import dense_proposals
from foveate.registry import recipe
from foveate.transforms.instances import InstanceAugment

BACKBONE = "tf_efficientnet_lite0"  # its ImageNet weights install as a package, and it is fast on a CPU


def _config(scales: tuple[float, ...], ratios: tuple[float, ...]) -> Config:
    return Config(
        backbone=BACKBONE, pretrained=True, width=64, stride=4, mask_size=21, hidden=256, detections=400,
        proposals=dense_proposals(scales, ratios),
    )  # fmt: skip


@recipe("mnc")
def mnc() -> Recipe:
    """The multi-task network cascade on your own images with objects, from ImageNet weights.

    foveate train mnc --data PATH
    """
    return Recipe(
        model="mnc",
        config=_config((4.0, 8.0, 16.0, 32.0, 64.0), (0.5, 1.0, 2.0)),
        augment=InstanceAugment(scale=(0.6, 1.6), crop=(384, 384)),
        optim=Optim(lr=4e-4, weight_decay=1e-4, clip=5.0),
        epochs=30,
        batch_size=2,
    )


@recipe("mnc_nuclei")
def mnc_nuclei() -> Recipe:
    """The multi-task network cascade on nuclei in microscopy: small objects, hundreds in an image, no up or down.

    foveate train mnc_nuclei --data DSB2018
    """
    return Recipe(
        model="mnc",
        config=_config((2.0, 4.0, 8.0, 16.0), (0.67, 1.0, 1.5)),
        augment=InstanceAugment(scale=(0.8, 1.25), crop=(256, 256), flip_vertical=True, quarter_turns=True, color=0.2),
        optim=Optim(lr=4e-4, weight_decay=1e-4, clip=5.0),
        epochs=12,
        batch_size=2,
        validate_every=6,
    )


@recipe("mnc_pasture")
def mnc_pasture() -> Recipe:
    """The multi-task network cascade on the trees, cows, people, birds and frisbees of the Pasture data set.

    foveate train mnc_pasture
    """
    return Recipe(
        model="mnc",
        config=_config((2.0, 4.0, 8.0, 16.0), (0.5, 1.0, 2.0)),
        data=Pasture(height=128, width=128, train=2000, val=200, test=200),
        augment=InstanceAugment(scale=(1.0, 1.0), crop=(), color=0.0),
        optim=Optim(lr=4e-4, weight_decay=1e-4, clip=5.0),
        epochs=6,
        batch_size=4,
        validate_every=2,
    )


@recipe("mnc_voc")
def mnc_voc() -> Recipe:
    """The multi-task network cascade on Pascal VOC, VGG-16 with five stages and the released schedule.

    foveate train mnc_voc --data VOCdevkit

    The release takes 25,000 steps of eight pictures, 1e-3, a tenth of it after 20,000; 137 epochs of the 1,464 training
    pictures are as many. It resizes pictures to a short side of 600 pixels; here they keep their size. It is meant for
    a GPU.
    """
    return Recipe(
        model="mnc",
        config=Config(pretrained=True),
        augment=InstanceAugment(scale=(1.0, 1.0), crop=(), color=0.0),
        optim=Optim(
            name="sgd", lr=1e-3, momentum=0.9, weight_decay=5e-4, schedule="step", step=0.8, warmup=0.0, clip=0.0
        ),
        epochs=137,
        batch_size=1,
        accumulate=8,
        freeze=("backbone.conv1_1", "backbone.conv1_2", "backbone.conv2_1", "backbone.conv2_2"),
    )  # fmt: skip
