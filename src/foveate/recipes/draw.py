"""Recipes for DRAW (Gregor et al. 2015): on your own small pictures, and on MNIST; and the paper's sizes."""

from __future__ import annotations

import dataclasses

from foveate.datasets.cluttered_digits import ClutteredDigits
from foveate.engine import Optim, Recipe
from foveate.models.spatial.draw import CIFAR, SVHN, Config
from foveate.models.spatial.draw_reader import Config as ReaderConfig
from foveate.registry import recipe

# Fewer and smaller steps than the paper's 64 of 100 numbers, so that minutes on a CPU suffice.
SMALL = Config(glimpses=16, hidden=256, latent=16, read=5, write=5)
# beta1 of 0.5: the gradient of a bound under fresh noise and fresh pixels is new at every step.
ADAM = Optim(lr=2e-3, weight_decay=0.0, momentum=0.5, clip=5.0)


@recipe("draw")
def draw() -> Recipe:
    """DRAW on your own small pictures, grey or colour, in a folder; they are resized to 32x32.

    foveate train draw --data PATH
    """
    return Recipe(
        model="draw",
        config=dataclasses.replace(SMALL, in_channels=3, image_size=(32, 32), pixels="discrete", latent=32, write=8),
        optim=ADAM,
        epochs=100,
        batch_size=50,
        validate_every=5,
    )


@recipe("draw_mnist")
def draw_mnist() -> Recipe:
    """DRAW on binarised MNIST: 16 steps, read and written through windows of 5x5 filters.

    foveate train draw_mnist --data MNIST
    """
    return Recipe(model="draw", config=SMALL, optim=ADAM, epochs=24, batch_size=100, validate_every=4)


@recipe("draw_mnist_no_attention")
def draw_mnist_no_attention() -> Recipe:
    """DRAW on binarised MNIST without attention: whole images are read and written in each of 16 steps.

    foveate train draw_mnist_no_attention --data MNIST
    """
    return dataclasses.replace(draw_mnist(), config=dataclasses.replace(SMALL, attention=False))


@recipe("draw_mnist_long")
def draw_mnist_long() -> Recipe:
    """DRAW on binarised MNIST, trained for longer: 32 steps of 32 latent numbers.

    foveate train draw_mnist_long --data MNIST
    """
    config = dataclasses.replace(SMALL, glimpses=32, latent=32)
    return dataclasses.replace(draw_mnist(), config=config, epochs=60)


@recipe("draw_mnist_paper")
def draw_mnist_paper() -> Recipe:
    """DRAW on binarised MNIST at the paper's size: 64 steps of 100 latent numbers, 2x2 read and 5x5 written.

    foveate train draw_mnist_paper --data MNIST

    It is meant for a GPU. The images are binarised once, as for published figures.
    """
    config = Config(binarise="static")
    optim = Optim(lr=1e-3, weight_decay=0.0, clip=10.0)
    return Recipe(model="draw", config=config, optim=optim, epochs=200, batch_size=100, validate_every=10)


@recipe("draw_svhn")
def draw_svhn() -> Recipe:
    """DRAW on pictures as of Street View House Numbers at the paper's size: 54x54 out of 64x64, 12x12 windows.

    foveate train draw_svhn --data SVHN

    It is meant for a GPU. Intensities are taken as probabilities, as in the paper.
    """
    optim = Optim(lr=1e-3, weight_decay=0.0, clip=10.0)
    return Recipe(model="draw", config=SVHN, optim=optim, epochs=100, batch_size=100, validate_every=5)


@recipe("draw_cifar")
def draw_cifar() -> Recipe:
    """DRAW on pictures as of CIFAR at the paper's size: 32x32, 64 steps of 200 latent numbers, 5x5 windows.

    foveate train draw_cifar --data CIFAR

    It is meant for a GPU. Intensities are taken as probabilities, as in the paper.
    """
    optim = Optim(lr=1e-3, weight_decay=0.0, clip=10.0)
    return Recipe(model="draw", config=CIFAR, optim=optim, epochs=100, batch_size=100, validate_every=5)


@recipe("draw_omniglot")
def draw_omniglot() -> Recipe:
    """DRAW on drawn characters in folders by class, as of Omniglot, resized to 28x28; the classes are left aside.

    foveate train draw_omniglot --data OMNIGLOT
    """
    return dataclasses.replace(draw_mnist(), epochs=150, validate_every=10)


@recipe("draw_cluttered")
def draw_cluttered() -> Recipe:
    """DRAW's reader on digits among 8 distractors on 100x100: 8 glimpses through 12x12 filters, clutter that grows.

    foveate train draw_cluttered --data MNIST
    """
    return Recipe(
        model="draw_reader",
        config=ReaderConfig(window_rate=0.3),
        data=ClutteredDigits(grow=20),
        optim=Optim(lr=1e-3, weight_decay=0.0, clip=1.0),
        epochs=56,
        batch_size=100,
        validate_every=8,
    )
