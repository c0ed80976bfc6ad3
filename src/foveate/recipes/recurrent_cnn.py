"""Recurrent CNNs (Pinheiro and Collobert 2014): on your own images, the Pasture data set and CamVid.

What each cost and reached stands in results/<recipe>.json.
"""

from __future__ import annotations

from foveate.datasets.pasture import Pasture
from foveate.engine import Optim, Recipe
from foveate.models.semantic.recurrent_cnn import Config
from foveate.registry import recipe
from foveate.transforms import SemanticAugment


@recipe("recurrent_cnn")
def recurrent_cnn() -> Recipe:
    """Recurrent CNN on your own labelled images, from random weights: a network that corrects its own labels.

    foveate train recurrent_cnn --data PATH
    """
    return Recipe(
        model="recurrent_cnn",
        config=Config(),
        augment=SemanticAugment(crop=(256, 320)),
        optim=Optim(lr=3e-3),
        epochs=40,
        batch_size=8,
        ema=0.99,
        validate_every=5,
    )


@recipe("recurrent_cnn_pasture")
def recurrent_cnn_pasture() -> Recipe:
    """Recurrent CNN on the synthetic Pasture data set at 128x128.

    foveate train recurrent_cnn_pasture
    """
    return Recipe(
        model="recurrent_cnn",
        config=Config(kernel=5, widths=(32, 96)),
        data=Pasture(train=1000, val=50, test=100),
        augment=SemanticAugment(crop=(), color=0.0),
        optim=Optim(lr=3e-3),
        epochs=7,
        batch_size=4,
        ema=0.99,
        validate_every=7,
    )


@recipe("recurrent_cnn_camvid")
def recurrent_cnn_camvid() -> Recipe:
    """Recurrent CNN on CamVid, 11 classes at 480x360, from random weights: a network that corrects its own labels.

    foveate train recurrent_cnn_camvid --data CAMVID
    """
    return Recipe(
        model="recurrent_cnn",
        config=Config(kernel=5, widths=(32, 96)),
        augment=SemanticAugment(scale=(0.5, 1.0), crop=(256, 320)),
        optim=Optim(lr=3e-3),
        epochs=11,
        batch_size=4,
        ema=0.99,
        validate_every=11,
    )
