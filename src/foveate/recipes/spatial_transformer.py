"""Classifiers with and without spatial transformers (Jaderberg et al. 2015): on your own classes, on distorted MNIST.

What each cost and reached stands in results/<recipe>.json.
"""

from __future__ import annotations

from typing import Literal

from foveate.datasets.distorted_mnist import SIDES, DistortedMNIST, Kind
from foveate.engine import Optim, Recipe
from foveate.models.spatial.spatial_transformer import Config
from foveate.registry import recipe
from foveate.transforms import ClassificationAugment

Model = Literal[
    "mlp", "cnn", "st_mlp_affine", "st_mlp_projective", "st_mlp_tps", "st_cnn_affine", "st_cnn_projective", "st_cnn_tps"
]  # fmt: skip
# A transformer cuts a view of a digit's size out of a larger canvas: the classifier is as good, and cheaper.
VIEW = (28, 28)
EPOCHS = 36
MLP_EPOCHS = 60  # an MLP's epochs are cheaper, and it needs more of them
# Networks overfit to fifty thousand digits, so that in training these are warped as if others had written them.
HAND = 0.7


@recipe("spatial_transformer")
def spatial_transformer() -> Recipe:
    """Spatial transformer on your own images in folders by class, resized to 64x64: an affine one before a CNN.

    foveate train spatial_transformer --data PATH
    """
    return Recipe(
        model="spatial_transformer",
        config=Config(
            in_channels=3, image_size=(64, 64), view=(48, 48), widths=(32, 64, 128, 128), hidden=256, dropout=0.3
        ),
        augment=ClassificationAugment(),
        optim=Optim(lr=2e-3),
        epochs=40,
        batch_size=32,
        ema=0.99,
    )


@recipe(
    "{model}_mnist_{kind}",
    model=(
        "mlp", "cnn", "st_mlp_affine", "st_mlp_projective", "st_mlp_tps", "st_cnn_affine", "st_cnn_projective",
        "st_cnn_tps",
    ),
    kind=("r", "rts", "p", "e", "clutter", "addition", "rts_hard", "p_hard"),
)  # fmt: skip
def mnist(model: Model, kind: Kind) -> Recipe:
    """Network {model} on distorted MNIST ({kind}): 400 thousand parameters as in the paper, new distortions each epoch.

    foveate train st_cnn_affine_mnist_rts --data MNIST
    """
    network: Literal["mlp", "cnn"] = "mlp" if "mlp" in model else "cnn"
    name = model.rpartition("_")[2] if model.startswith("st_") else "none"
    transformers = 2 if kind == "addition" and name != "none" else 1  # one for each digit
    config = Config(
        network=network,
        transform=name,  # type: ignore[arg-type]
        transformers=transformers,
        image_size=(SIDES[kind], SIDES[kind]),
        view=() if name == "none" else VIEW,
        # More units here would leave an MLP, or a network with two transformers, too few weights to classify with.
        localise_hidden=32 if network == "mlp" or transformers == 2 else 64,
        # Without it, the first epochs on sums do not lower the loss, and an MLP behind a transformer learns at half the
        # speed.
        dense_norm=network == "mlp" or kind == "addition",
    )
    return Recipe(
        model="spatial_transformer",
        config=config,
        data=DistortedMNIST(kind=kind, hand=HAND),
        optim=Optim(lr=3e-3, weight_decay=0.01),
        epochs=_epochs(network, name, kind),
        batch_size=256,
        ema=0.998,
        validate_every=5,
    )


def _epochs(network: str, transform: str, kind: str) -> int:
    """As many as about twelve minutes on two cores allow."""
    if network == "mlp":
        return MLP_EPOCHS
    if kind == "addition":  # two digits to draw
        return 30
    return 24 if (transform, kind) == ("none", "clutter") else EPOCHS  # 60x60, and nothing to shrink it
