"""Hypercolumns (Hariharan et al. 2015): on your own images, nuclei, the Pasture data set, and Pascal VOC."""

from __future__ import annotations

from foveate.datasets.pasture import Pasture
from foveate.engine import Optim, Recipe
from foveate.models.instances.detector import DetectorConfig
from foveate.models.instances.hypercolumns import Config
from foveate.models.instances.proposals import dense_proposals
from foveate.registry import recipe
from foveate.transforms.instances import InstanceAugment

BACKBONE = "tf_efficientnet_lite0"  # its ImageNet weights install as a package, and it is fast on a CPU


def _config(scales: tuple[float, ...], ratios: tuple[float, ...]) -> Config:
    return Config(
        backbone=BACKBONE, pretrained=True, strides=(4, 8, 16), size=28, boxes=32, reference=0.0, mask_weight=2.0,
        end_to_end=True,
        detector=DetectorConfig(
            width=64, stride=4, hidden=256, dropout=0.0, detections=400,
            proposals=dense_proposals(scales, ratios),
        ),
    )  # fmt: skip


@recipe("hypercolumns")
def hypercolumns() -> Recipe:
    """Hypercolumns on your own images with objects, from ImageNet weights.

    foveate train hypercolumns --data PATH
    """
    return Recipe(
        model="hypercolumns",
        config=_config((4.0, 8.0, 16.0, 32.0, 64.0), (0.5, 1.0, 2.0)),
        augment=InstanceAugment(scale=(0.6, 1.6), crop=(384, 384)),
        optim=Optim(lr=4e-4, weight_decay=1e-4, clip=5.0),
        epochs=30,
        batch_size=2,
    )


@recipe("hypercolumns_nuclei")
def hypercolumns_nuclei() -> Recipe:
    """Hypercolumns on nuclei in microscopy: small objects, hundreds in an image, no up or down.

    foveate train hypercolumns_nuclei --data DSB2018
    """
    return Recipe(
        model="hypercolumns",
        config=_config((2.0, 4.0, 8.0, 16.0), (0.67, 1.0, 1.5)),
        augment=InstanceAugment(scale=(0.8, 1.25), crop=(256, 256), flip_vertical=True, quarter_turns=True, color=0.2),
        optim=Optim(lr=4e-4, weight_decay=1e-4, clip=5.0),
        epochs=8,
        batch_size=2,
        validate_every=4,
    )


@recipe("hypercolumns_pasture")
def hypercolumns_pasture() -> Recipe:
    """Hypercolumns on the trees, cows, people, birds and frisbees of the Pasture data set.

    foveate train hypercolumns_pasture
    """
    return Recipe(
        model="hypercolumns",
        config=_config((2.0, 4.0, 8.0, 16.0), (0.5, 1.0, 2.0)),
        data=Pasture(height=128, width=128, train=2000, val=200, test=200),
        augment=InstanceAugment(scale=(1.0, 1.0), crop=(), color=0.0),
        optim=Optim(lr=4e-4, weight_decay=1e-4, clip=5.0),
        epochs=6,
        batch_size=4,
        validate_every=2,
    )


@recipe("hypercolumns_voc")
def hypercolumns_voc() -> Recipe:
    """Hypercolumns on Pascal VOC: VGG-16's pool3, pool4 and fc7, as released.

    foveate train hypercolumns_voc --data VOCdevkit

    The release trains the classifiers for 10,000 steps of twenty pictures on a detector that does not change; here the
    detector is trained at the same time, and 137 epochs of the 1,464 training pictures are as many as 10,000 steps. It
    resizes pictures to a short side of 600 pixels; here they keep their size. It is meant for a GPU.
    """
    return Recipe(
        model="hypercolumns",
        config=Config(pretrained=True),
        augment=InstanceAugment(scale=(1.0, 1.0), crop=(), color=0.0),
        optim=Optim(name="sgd", lr=1e-3, momentum=0.9, weight_decay=1e-3, schedule="constant", warmup=0.0, clip=0.0),
        epochs=137,
        batch_size=1,
        accumulate=20,
        freeze=("backbone.conv1_1", "backbone.conv1_2", "backbone.conv2_1", "backbone.conv2_2"),
    )
