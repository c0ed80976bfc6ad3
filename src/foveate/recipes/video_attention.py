"""Video attention on your own clips, on clips of the Pasture data set, on features of real videos, and as published.

What each cost and reached stands in results/<recipe>.json.
"""

from __future__ import annotations

from foveate.datasets.pasture import Pasture
from foveate.datasets.videos.features import VideoFeatures
from foveate.engine import Optim, Recipe
from foveate.models.captioning.video_attention import Config
from foveate.registry import recipe
from foveate.tasks.captioning.options import CaptioningOptions
from foveate.text import Tokens

LITE = "tf_efficientnet_lite0"


@recipe("video_attention")
def video_attention() -> Recipe:
    """Yao et al. (2015), "Describing Videos by Exploiting Temporal Structure", on your clips, from ImageNet features.

    foveate train video_attention --data PATH
    """
    return Recipe(
        model="video_attention",
        config=Config(
            frames=20, backbone=LITE, pretrained=True, image_size=(192, 192), order="time", encoder=256,
            normalize=True, embed=256, hidden=512, attend=256, start_token=True, gate_dropout=0.0,
            doubly_stochastic=0.0, average="words", init=0.0,
        ),
        text=Tokens(),
        options=CaptioningOptions(),
        features=True,
        freeze=("backbone",),
        optim=Optim(lr=1e-3, weight_decay=0.01, clip=5.0),
        epochs=20,
        batch_size=32,
        ema=0.99,
    )  # fmt: skip


@recipe("video_attention_pasture")
def video_attention_pasture() -> Recipe:
    """Yao et al. (2015), "Describing Videos by Exploiting Temporal Structure", on drawn clips of the Pasture data set.

    foveate train video_attention_pasture

    Differences of frames go into the network beside the frames, and a bidirectional LSTM reads the frames' features.
    """
    return Recipe(
        model="video_attention",
        config=Config(
            frames=16, backbone="plain", stride=16, pool="max", image_size=(64, 64), motion="difference", order="lstm",
            encoder=96, normalize=True, embed=96, hidden=192, attend=128, start_token=True, dropout=0.2,
            gate_dropout=0.0, doubly_stochastic=0.0, average="words", init=0.0,
        ),
        data=Pasture(height=96, width=96, train=6000, val=200, captions=3),
        text=Tokens(tokens="words", least=1),
        options=CaptioningOptions(beams=3),
        optim=Optim(lr=2e-3, weight_decay=0.01, clip=1.0),
        epochs=24,
        batch_size=48,
        ema=0.995,
        validate_every=6,
    )  # fmt: skip


@recipe("video_attention_ucf14")
def video_attention_ucf14() -> Recipe:
    """Yao et al. (2015), "Describing Videos by Exploiting Temporal Structure", on features of actions (UCF101).

    foveate train video_attention_ucf14 --data UCF14

    The folder holds features.npz and classes.txt. Two clips of different classes are joined, and their caption is both
    classes, 'archery then biking': so the true frames of each are known. --data.join 1 leaves each clip alone.
    """
    return Recipe(
        model="video_attention",
        config=Config(
            frames=50, order="time", encoder=128, normalize=True, embed=64, hidden=128, attend=64, start_token=True,
            dropout=0.3, gate_dropout=0.0, doubly_stochastic=0.0, average="words", init=0.0,
        ),
        data=VideoFeatures(join=2),
        text=Tokens(tokens="words", least=1),
        options=CaptioningOptions(beams=3),
        optim=Optim(lr=2e-3, weight_decay=0.01, clip=1.0),
        epochs=20,
        batch_size=32,
        ema=0.99,
        validate_every=5,
    )  # fmt: skip


@recipe("video_attention_paper")
def video_attention_paper() -> Recipe:
    """Yao et al. (2015), "Describing Videos by Exploiting Temporal Structure", at the sizes of the authors' code.

    foveate train video_attention_paper --data PATH

    The backbone is frozen, as there. It is meant for a GPU and a corpus as MSVD.
    """
    return Recipe(
        model="video_attention",
        config=Config(pretrained=True),
        text=Tokens(tokens="words", least=1, size=20000),
        options=CaptioningOptions(max_length=30),
        features=True,
        freeze=("backbone",),
        optim=Optim(name="adadelta", lr=1.0, weight_decay=2e-4, schedule="constant", warmup=0.0, clip=10.0),
        epochs=100,
        batch_size=64,
        early_stop=20,
    )
