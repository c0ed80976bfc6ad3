"""Inception-v4 and Inception-ResNet-v2 (Szegedy et al. 2016), slim, on your own folders of classes.

The authors train the whole networks on ImageNet, with RMSProp (decay 0.9, epsilon 1), a learning rate of 0.045 that
falls by 0.94 every two epochs, and averaged weights. These are sized to start from nothing on a few thousand pictures
and a CPU: a quarter of the width, fewer modules, padded layers, AdamW, and averaged weights as well.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from foveate.datasets.pasture import Pasture
from foveate.engine import Optim, Recipe
from foveate.models.classification import inception_resnet
from foveate.models.classification import inception_v4 as v4
from foveate.registry import recipe
from foveate.transforms import ClassificationAugment

Network = Literal["inception_v4", "inception_resnet_v2"]


@recipe("inception_v4")
def inception_v4() -> Recipe:
    """Slim Inception-v4 on your own images in folders by class, at 96x96, from random weights.

    foveate train inception_v4 --data PATH

    With a network, start from the whole one that ImageNet taught:

    foveate train inception_v4 --data PATH --config.pretrained true --config.width 1 --config.modules 4,7,3
        --config.image_size 299,299 --config.valid true --optim.lr 0.0003
    """
    return _slim("inception_v4", _config("inception_v4", (96, 96)))


@recipe("inception_resnet_v2")
def inception_resnet_v2() -> Recipe:
    """Slim Inception-ResNet-v2, with shortcuts, on your own images in folders by class, at 96x96, from random weights.

    foveate train inception_resnet_v2 --data PATH

    With a network, start from the whole one that ImageNet taught:

    foveate train inception_resnet_v2 --data PATH --config.pretrained true --config.width 1 --config.modules 10,20,10
        --config.image_size 299,299 --config.valid true --optim.lr 0.0003
    """
    return _slim("inception_resnet_v2", _config("inception_resnet_v2", (96, 96)))


@recipe(
    "{network}_omniglot",
    network={"inception_v4": "Inception-v4", "inception_resnet_v2": "Inception-ResNet-v2, with shortcuts,"},
)
def omniglot(network: Network) -> Recipe:
    """Slim {about_network} at 64x64 on Omniglot's characters (Lake et al. 2015), from 14 drawings of each.

    python benchmarks/omniglot_folders.py IMAGES.npz OMNIGLOT
    foveate train inception_v4_omniglot --data OMNIGLOT
    """
    # Strokes have neither colour nor a mirror image; hands differ in slant, proportions and size.
    augment = ClassificationAugment(scale=(0.7, 1.0), ratio=(0.8, 1.25), flip=False, rotate=15.0, color=0.0)
    return replace(_slim(network, _config(network, (64, 64), crop=1.0)), augment=augment, epochs=25)


@recipe(
    "{network}_pasture",
    network={"inception_v4": "Inception-v4", "inception_resnet_v2": "Inception-ResNet-v2, with shortcuts,"},
)
def pasture(network: Network) -> Recipe:
    """Slim {about_network} on the synthetic Pasture data set at 64x64: no cow, one or two in a scene.

    foveate train inception_v4_pasture
    """
    # The answer depends on the whole scene: an animal that a crop leaves out would still be in the label. Scenes have
    # their light and colours at random already.
    augment = ClassificationAugment(scale=(1.0, 1.0), ratio=(1.0, 1.0), color=0.0)
    return replace(
        _slim(network, _config(network, (64, 64), crop=1.0)),
        data=Pasture(height=64, width=64, train=8000, val=400, test=400, question="cows"),
        augment=augment,
        epochs=8,
        validate_every=2,
    )


def _config(network: Network, size: tuple[int, int], crop: float = 0.875) -> v4.Config | inception_resnet.Config:
    """A quarter of the width, half of the modules, padded layers, and batch norms that follow a short training."""
    if network == "inception_v4":
        return v4.Config(width=0.25, modules=(2, 3, 1), valid=False, norm_momentum=0.1, image_size=size, crop=crop)
    return inception_resnet.Config(
        width=0.25, modules=(3, 5, 3), valid=False, norm_momentum=0.1, image_size=size, crop=crop
    )


def _slim(model: Network, config: v4.Config | inception_resnet.Config) -> Recipe:
    return Recipe(
        model=model,
        config=config,
        augment=ClassificationAugment(),
        optim=Optim(lr=2e-3, weight_decay=0.05),
        epochs=40,
        batch_size=32,
        ema=0.99,
        validate_every=5,
    )
