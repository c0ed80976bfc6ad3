"""Patch CNNs, the sliding window: on your own images, the Pasture data set and CamVid.

What each cost and reached stands in results/<recipe>.json.
"""

from __future__ import annotations

from foveate.datasets.pasture import Pasture
from foveate.engine import Optim, Recipe
from foveate.models.semantic.patch_cnn import Config
from foveate.registry import recipe
from foveate.transforms import SemanticAugment


@recipe("patch_cnn")
def patch_cnn() -> Recipe:
    """Patch CNN on your own labelled images, from random weights: each pixel by the patch around it.

    foveate train patch_cnn --data PATH
    """
    return Recipe(
        model="patch_cnn",
        config=Config(),
        augment=SemanticAugment(crop=(288, 352)),
        optim=Optim(lr=3e-3),
        epochs=60,
        batch_size=8,
        ema=0.99,
        validate_every=5,
    )


@recipe("patch_cnn_pasture")
def patch_cnn_pasture() -> Recipe:
    """Patch CNN on the synthetic Pasture data set at 192x192.

    foveate train patch_cnn_pasture
    """
    return Recipe(
        model="patch_cnn",
        config=Config(),
        data=Pasture(height=192, width=192, train=800, val=50, test=100),
        augment=SemanticAugment(crop=(), color=0.0),
        optim=Optim(lr=3e-3),
        epochs=6,
        batch_size=16,
        ema=0.98,
        validate_every=3,
    )


@recipe("patch_cnn_camvid")
def patch_cnn_camvid() -> Recipe:
    """Patch CNN on CamVid, 11 classes at 480x360, from random weights: each pixel by the patch around it.

    foveate train patch_cnn_camvid --data CAMVID
    """
    return Recipe(
        model="patch_cnn",
        config=Config(),
        augment=SemanticAugment(scale=(0.75, 1.5), crop=(288, 352)),
        optim=Optim(lr=3e-3),
        epochs=34,
        batch_size=8,
        ema=0.99,
        validate_every=17,
    )
