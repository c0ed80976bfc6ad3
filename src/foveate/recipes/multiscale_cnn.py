"""Multi-scale CNNs (Farabet et al. 2013): on your own images, the Pasture data set and CamVid.

What each cost and reached stands in results/<recipe>.json.
"""

from __future__ import annotations

from foveate.datasets.pasture import Pasture
from foveate.engine import Optim, Recipe
from foveate.models.semantic.multiscale_cnn import Config
from foveate.registry import recipe
from foveate.transforms import SemanticAugment

BACKBONE = "tf_efficientnet_lite0"  # its ImageNet weights install as a package


@recipe("multiscale_cnn")
def multiscale_cnn() -> Recipe:
    """Multi-scale CNN on your own labelled images, from ImageNet weights.

    foveate train multiscale_cnn --data PATH
    """
    return Recipe(
        model="multiscale_cnn",
        config=Config(backbone=BACKBONE, pretrained=True, hidden=256),
        augment=SemanticAugment(crop=(256, 320)),
        optim=Optim(lr=2e-3, backbone_lr=0.3),
        epochs=25,
        batch_size=8,
        ema=0.99,
        validate_every=5,
    )


@recipe("multiscale_cnn_pasture")
def multiscale_cnn_pasture() -> Recipe:
    """Multi-scale CNN on the synthetic Pasture data set at 128x128, with a narrower version of the paper's network.

    foveate train multiscale_cnn_pasture
    """
    return Recipe(
        model="multiscale_cnn",
        config=Config(widths=(16, 32, 64), hidden=256),
        data=Pasture(train=1000, val=50, test=100),
        augment=SemanticAugment(crop=(), color=0.0),
        optim=Optim(lr=2e-3),
        epochs=6,
        batch_size=4,
        ema=0.99,
        validate_every=3,
    )


@recipe("multiscale_cnn_camvid")
def multiscale_cnn_camvid() -> Recipe:
    """Multi-scale CNN on CamVid at 480x360, from random weights, with a narrower version of the paper's network.

    foveate train multiscale_cnn_camvid --data CAMVID
    """
    return Recipe(
        model="multiscale_cnn",
        config=Config(widths=(16, 32, 64), hidden=256),
        augment=SemanticAugment(scale=(0.75, 1.5), crop=(256, 320)),
        optim=Optim(lr=2e-3),
        epochs=17,
        batch_size=4,
        ema=0.99,
        validate_every=17,
    )


@recipe("multiscale_cnn_imagenet_camvid")
def multiscale_cnn_imagenet_camvid() -> Recipe:
    """Multi-scale CNN on CamVid, 11 classes at 480x360, from ImageNet weights.

    foveate train multiscale_cnn_imagenet_camvid --data CAMVID
    """
    return Recipe(
        model="multiscale_cnn",
        config=Config(backbone=BACKBONE, pretrained=True, hidden=256),
        augment=SemanticAugment(scale=(0.75, 2.0), crop=(256, 320)),
        optim=Optim(lr=2e-3, backbone_lr=0.3),
        epochs=16,
        batch_size=8,
        ema=0.99,
        validate_every=8,
    )
