"""Captioning without, with soft and with hard attention: on your own images, the Pasture data set, and as released.

What each cost and reached stands in results/<recipe>.json.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

from foveate.datasets.pasture import Pasture
from foveate.engine import Optim, Recipe
from foveate.models.captioning import show_and_tell as once
from foveate.models.captioning import show_attend_tell as attend
from foveate.registry import recipe
from foveate.tasks.captioning.options import CaptioningOptions
from foveate.text import Tokens
from foveate.transforms import CaptionAugment

LITE = "tf_efficientnet_lite0"
# Many scenes, each seen a few times: on two thousand scenes the networks overfit before they describe new ones.
PASTURE = Pasture(train=8000, val=400)
PASTURE_EPOCHS = 6
# The coarser features add context to each location; hard attention reads a single location for each word.
PASTURE_STRIDES = (16, 32)


@recipe("show_attend_tell")
def show_attend_tell() -> Recipe:
    """Xu et al. (2015), "Show, Attend and Tell", on your own captioned photographs, from ImageNet features.

    foveate train show_attend_tell --data PATH
    """
    return Recipe(
        model="show_attend_tell",
        config=attend.Config(
            backbone=LITE, pretrained=True, strides=(32,), image_size=(320, 320), embed=256, hidden=512, attend=256,
            dropout=0.5, doubly_stochastic=0.05,
        ),
        augment=CaptionAugment(),
        text=Tokens(),
        options=CaptioningOptions(),
        features=True,
        freeze=("backbone",),
        optim=Optim(lr=1e-3, weight_decay=0.05, clip=5.0),
        epochs=20,
        batch_size=64,
        ema=0.995,
    )  # fmt: skip


@recipe("show_attend_tell_pasture")
def show_attend_tell_pasture() -> Recipe:
    """Xu et al. (2015), "Show, Attend and Tell", with soft attention, on the synthetic Pasture data set.

    foveate train show_attend_tell_pasture
    """
    return _attend_pasture("soft")


@recipe("show_attend_tell_hard_pasture")
def show_attend_tell_hard_pasture() -> Recipe:
    """Xu et al. (2015), "Show, Attend and Tell", with hard attention, on the synthetic Pasture data set.

    foveate train show_attend_tell_hard_pasture
    """
    return _attend_pasture("hard")


def _attend_pasture(attention: Literal["soft", "hard"]) -> Recipe:
    return Recipe(
        model="show_attend_tell",
        config=attend.Config(
            backbone=LITE, pretrained=True, strides=PASTURE_STRIDES, image_size=(128, 128), embed=192, hidden=256,
            attend=128, dropout=0.3, attention=attention,
            doubly_stochastic=0.0,  # ten words cannot attend to each of 64 locations
            credit=0.5,
            warmup=1250,  # two epochs
        ),
        data=PASTURE,
        text=Tokens(),
        options=CaptioningOptions(),
        features=True,
        freeze=("backbone",),
        optim=Optim(lr=2e-3, weight_decay=0.01, clip=5.0),
        epochs=PASTURE_EPOCHS,
        batch_size=64,
        ema=0.99,
    )  # fmt: skip


Captioned = Literal["flickr8k", "flickr30k", "coco"]


@recipe(
    "show_attend_tell_{data}",
    data={
        "flickr8k": "Flickr8k's photographs of people and animals",
        "flickr30k": "Flickr30k's photographs of everyday life",
        "coco": "COCO's photographs of common objects",
    },
)
def show_attend_tell_release(data: Captioned) -> Recipe:
    """Show, Attend and Tell (Xu et al. 2015) on {about_data}, with soft attention, as released, on VGG-19.

    foveate train show_attend_tell_coco --data COCO

    The release: RMSProp for Flickr8k and Adam for the others, at a fixed learning rate, 64 sentences of one length a
    step, neither augmentation nor clipping. Ours: torch's bias correction of Adam, the number of epochs, and the epoch
    that is kept, by CIDEr-D (by likelihood in the release, by BLEU in the paper). It is meant for a GPU.
    """
    return _release("soft", data)


@recipe(
    "show_attend_tell_hard_{data}",
    data={
        "flickr8k": "Flickr8k's photographs of people and animals",
        "flickr30k": "Flickr30k's photographs of everyday life",
        "coco": "COCO's photographs of common objects",
    },
)
def show_attend_tell_hard_release(data: Captioned) -> Recipe:
    """Show, Attend and Tell (Xu et al. 2015) on {about_data}, with hard attention, as released, on VGG-19.

    foveate train show_attend_tell_hard_coco --data COCO

    As `show_attend_tell_{data}` in everything but the attention.
    """
    return _release("hard", data)


def _release(attention: Literal["soft", "hard"], data: Captioned) -> Recipe:
    rmsprop = data == "flickr8k"
    return Recipe(
        model="show_attend_tell",
        config=dataclasses.replace(attend.RELEASE, pretrained=True, attention=attention),
        text=Tokens(least=1, size=10000),
        options=CaptioningOptions(),
        features=True,
        freeze=("backbone",),
        optim=Optim(
            name="rmsprop" if rmsprop else "adamw", lr=1e-4 if rmsprop else 2e-4, weight_decay=0.0, schedule="constant",
            warmup=0.0, clip=0.0,
        ),
        epochs=50,
        batch_size=64,
        early_stop=10,
    )  # fmt: skip


@recipe("show_and_tell_pasture")
def show_and_tell_pasture() -> Recipe:
    """Vinyals et al. (2015), "Show and Tell", as `show_attend_tell_pasture` in everything but the attention.

    foveate train show_and_tell_pasture
    """
    return Recipe(
        model="show_and_tell",
        config=once.Config(
            backbone=LITE, pretrained=True, strides=PASTURE_STRIDES, image_size=(128, 128), embed=256, hidden=416,
            dropout=0.3,
        ),
        data=PASTURE,
        text=Tokens(),
        options=CaptioningOptions(),
        features=True,
        freeze=("backbone",),
        optim=Optim(lr=2e-3, weight_decay=0.01, clip=5.0),
        epochs=PASTURE_EPOCHS,
        batch_size=64,
        ema=0.99,
    )  # fmt: skip
