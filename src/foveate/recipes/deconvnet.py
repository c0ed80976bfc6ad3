"""DeconvNets (Noh, Hong and Han 2015): on your own images, the Pasture data set, CamVid and Pascal VOC.

What each cost and reached stands in results/<recipe>.json.
"""

from __future__ import annotations

from typing import Literal

from foveate.datasets.pasture import Pasture
from foveate.engine import Optim, Recipe
from foveate.models.semantic.deconvnet import Config
from foveate.registry import recipe
from foveate.transforms import ObjectCrops, SemanticAugment

# A quarter of the paper's widths, and half its depth: it trains on a CPU.
SMALL = Config(initial_std=0.0, widths=(16, 32, 64, 96, 128), depths=(1, 1, 2, 2, 2), head_channels=256, head_kernel=3)


@recipe("deconvnet")
def deconvnet() -> Recipe:
    """DeconvNet on your own labelled images, from random weights, with a small network.

    foveate train deconvnet --data PATH
    """
    return Recipe(
        model="deconvnet",
        config=SMALL,
        augment=SemanticAugment(crop=(288, 352)),
        optim=Optim(lr=3e-3),
        epochs=60,
        batch_size=8,
        ema=0.99,
        validate_every=5,
    )


@recipe("deconvnet_pasture")
def deconvnet_pasture() -> Recipe:
    """DeconvNet on the synthetic Pasture data set at 128x128, with a small network of three levels.

    foveate train deconvnet_pasture
    """
    return Recipe(
        model="deconvnet",
        config=Config(initial_std=0.0, widths=(16, 48, 96), depths=(1, 1, 1), head_channels=128, head_kernel=3),
        data=Pasture(train=1000, val=50, test=100),
        augment=SemanticAugment(crop=(), color=0.0),
        optim=Optim(lr=3e-3),
        epochs=10,
        batch_size=4,
        ema=0.99,
        validate_every=10,
    )


@recipe("deconvnet_camvid")
def deconvnet_camvid() -> Recipe:
    """DeconvNet on CamVid, 11 classes at 480x360, from random weights, with a small network of four levels.

    foveate train deconvnet_camvid --data CAMVID
    """
    return Recipe(
        model="deconvnet",
        config=Config(initial_std=0.0, widths=(16, 48, 96, 128), depths=(1, 1, 1, 1), head_channels=256, head_kernel=3),
        augment=SemanticAugment(scale=(0.75, 1.33), crop=(256, 320)),
        optim=Optim(lr=3e-3),
        epochs=19,
        batch_size=4,
        ema=0.99,
        validate_every=19,
    )


@recipe(
    "deconvnet_{stage}_voc",
    stage={"easy": "easy stage, on centred crops of objects", "hard": "hard stage after it, on looser crops"},
)
def deconvnet_voc(stage: Literal["easy", "hard"]) -> Recipe:
    """DeconvNet on Pascal VOC, the release's {about_stage}.

    foveate train deconvnet_easy_voc --data VOCdevkit
    foveate train deconvnet_hard_voc --data VOCdevkit --config.pretrained false --init runs/deconvnet_easy_voc
    foveate predict runs/deconvnet_hard_voc PICTURES --proposals 50 --proposal-rules release --out DIR

    The release takes 20,000 and 40,000 steps of 64 crops, eight at a time, and divides the learning rate by ten every
    9,000 and 10,000; an epoch here shows each of the 1,464 training pictures once. Its pictures are more: those of
    Hariharan et al. (2011), and in the second stage 2.7 million crops from proposals. It is meant for a GPU.
    """
    easy = stage == "easy"
    return Recipe(
        model="deconvnet",
        config=Config(pretrained=True),
        augment=ObjectCrops(
            stage=stage, square=True, others="background" if easy else "keep", spare=26, color=0.0
        ),
        optim=Optim(
            name="sgd", lr=0.01, momentum=0.9, weight_decay=5e-4, schedule="step", step=0.45 if easy else 0.25,
            warmup=0.0, clip=0.0,
        ),
        epochs=874 if easy else 1748,
        batch_size=8,
        accumulate=8,
        validate_every=50,
    )  # fmt: skip
