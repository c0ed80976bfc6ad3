"""Co-localisation by spatial transformers (Jaderberg et al. 2015, appendix): your own pictures, digits and cows.

What each cost and reached stands in results/<recipe>.json.
"""

from __future__ import annotations

from typing import Literal

from foveate.datasets.common_digits import CommonDigits
from foveate.datasets.pasture import Pasture
from foveate.engine import Optim, Recipe
from foveate.models.spatial.colocalise import Config
from foveate.registry import recipe


@recipe(
    "colocalise_digits_{kind}",
    kind={
        "translated": "translated digit, on an empty canvas,",
        "cluttered": "cluttered digit, among pieces of others,",
    },
)
def digits(kind: Literal["translated", "cluttered"]) -> Recipe:
    """Co-localisation of the {about_kind} that all images share, by a random encoder; --data.digits 3,7 finds two.

    foveate train colocalise_digits_cluttered --data MNIST --data.digits 3
    """
    return Recipe(
        model="colocalise",
        config=Config(),
        data=CommonDigits(patches=16 if kind == "cluttered" else 0),
        optim=Optim(lr=3e-3),
        epochs=2,
        batch_size=64,
    )


@recipe("colocalise")
def own() -> Recipe:
    """Co-localisation of what all pictures in your own folder hold, without labels, compared by an ImageNet backbone.

    foveate train colocalise --data PATH
    """
    return Recipe(
        model="colocalise",
        config=_on_photographs(),
        optim=Optim(lr=2e-3),
        epochs=40,
        batch_size=32,
    )


@recipe("colocalise_cows")
def cows() -> Recipe:
    """Co-localisation of cows in the synthetic Pasture data set, compared by an ImageNet backbone.

    foveate train colocalise_cows
    """
    return Recipe(
        model="colocalise",
        config=_on_photographs(),
        data=Pasture(train=900, val=280, test=280),
        optim=Optim(lr=2e-3),
        epochs=10,
        batch_size=32,
    )


def _on_photographs() -> Config:
    return Config(in_channels=3, image_size=(128, 128), scale=0.5, view=(4, 4), encoder="tf_efficientnet_lite0")
