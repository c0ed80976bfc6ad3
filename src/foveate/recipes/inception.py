"""Inception-v4 and Inception-ResNet-v2 (Szegedy et al. 2016), slim, on your own folders of classes.

The authors train the whole networks on ImageNet, with RMSProp (decay 0.9, epsilon 1), a learning rate of 0.045 that
falls by 0.94 every two epochs, and averaged weights. These are sized to start from nothing on a few thousand pictures
and a CPU: a quarter of the width, fewer modules, padded layers, AdamW, and averaged weights as well.
"""

from __future__ import annotations

from foveate.engine import Optim, Recipe
from foveate.models.classification import inception_resnet
from foveate.models.classification import inception_v4 as v4
from foveate.registry import recipe
from foveate.transforms import ClassificationAugment


@recipe("inception_v4")
def inception_v4() -> Recipe:
    """Slim Inception-v4 on your own images in a folder for each class, at 96x96, from random weights.

    foveate train inception_v4 --data PATH

    With a network, start from the whole one that ImageNet taught:

    foveate train inception_v4 --data PATH --config.pretrained true --config.width 1 --config.modules 4,7,3
        --config.image_size 299,299 --config.valid true --optim.lr 0.0003
    """
    config = v4.Config(width=0.25, modules=(2, 3, 1), valid=False, norm_momentum=0.1, image_size=(96, 96))
    return _slim("inception_v4", config)


@recipe("inception_resnet_v2")
def inception_resnet_v2() -> Recipe:
    """Slim Inception-ResNet on your own images in a folder for each class, at 96x96, from random weights.

    foveate train inception_resnet_v2 --data PATH

    With a network, start from the whole one that ImageNet taught:

    foveate train inception_resnet_v2 --data PATH --config.pretrained true --config.width 1 --config.modules 10,20,10
        --config.image_size 299,299 --config.valid true --optim.lr 0.0003
    """
    config = inception_resnet.Config(width=0.25, modules=(3, 5, 3), valid=False, norm_momentum=0.1, image_size=(96, 96))
    return _slim("inception_resnet_v2", config)


def _slim(model: str, config: v4.Config | inception_resnet.Config) -> Recipe:
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
