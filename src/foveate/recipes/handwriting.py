"""Recipes for handwriting (Graves 2013): on your own strokes, on words, and on letters that the package draws."""

from __future__ import annotations

import dataclasses

from foveate.datasets.handwriting.stroke_letters import StrokeLetters
from foveate.engine import Optim, Recipe
from foveate.models.spatial.handwriting import Config
from foveate.registry import recipe
from foveate.transforms.handwriting import HandwritingAugment

# For minutes on a CPU: smaller layers, and the mean over points, whose gradient is bounded by its norm.
SMALL = Config(units=128, loss="point", clip_output=0.0, clip_gates=0.0)
ADAM = Optim(lr=3e-3, weight_decay=0.0, clip=5.0)


@recipe("handwriting")
def handwriting() -> Recipe:
    """Handwriting of your own: strokes with texts, in JSON, .npz, InkML or as IAM-OnDB has them.

    foveate train handwriting --data PATH
    """
    return Recipe(
        model="handwriting",
        config=dataclasses.replace(SMALL, units=192),
        augment=HandwritingAugment(),
        optim=ADAM,
        epochs=40,
        batch_size=32,
        validate_every=2,
    )


@recipe("handwriting_words")
def handwriting_words() -> Recipe:
    """Handwriting of words, of whose points every third is kept.

    foveate train handwriting_words --data WORDS
    """
    return Recipe(
        model="handwriting",
        config=dataclasses.replace(SMALL, keep=3),
        augment=HandwritingAugment(skip=2),
        optim=ADAM,
        epochs=50,
        batch_size=32,
        validate_every=5,
    )


@recipe("handwriting_prediction_words")
def handwriting_prediction_words() -> Recipe:
    """Handwriting without texts, on the same words: the prediction network.

    foveate train handwriting_prediction_words --data WORDS
    """
    return dataclasses.replace(handwriting_words(), config=dataclasses.replace(SMALL, keep=3, text=False))


@recipe("handwriting_letters")
def handwriting_letters() -> Recipe:
    """Handwriting of invented words in the package's own letters, six hands.

    foveate train handwriting_letters
    """
    return Recipe(
        model="handwriting",
        config=dataclasses.replace(SMALL, units=96, layers=2),
        data=StrokeLetters(),
        optim=ADAM,
        epochs=30,
        batch_size=32,
        validate_every=3,
    )


@recipe("handwriting_paper")
def handwriting_paper() -> Recipe:
    """Handwriting as published: three layers of 400, RMSProp on one line at a time, derivatives clipped on their way.

    foveate train handwriting_paper --data IAM

    Go on with adaptive weight noise from the best network: --init RUN --config.weight_noise 0.075. It is meant for a
    GPU, or for patience.
    """
    optim = Optim(name="rmsprop", lr=1e-4, momentum=0.9, weight_decay=0.0, schedule="constant", warmup=0.0, clip=0.0)
    return Recipe(model="handwriting", config=Config(), optim=optim, epochs=50, batch_size=1, early_stop=10)
