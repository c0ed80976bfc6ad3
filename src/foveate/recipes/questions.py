"""Recipes for questions about images: on your own, on drawn ones, the Pasture data set, and as published.

What each cost and reached stands in results/<recipe>.json.
"""

from __future__ import annotations

from foveate.datasets.pasture import Pasture
from foveate.datasets.spatial_questions import SIDE, SpatialQuestions
from foveate.engine import Optim, Recipe
from foveate.models.questions.ask_attend_answer import Config
from foveate.registry import recipe
from foveate.tasks.questions.tables import QuestionTables

LITE = "tf_efficientnet_lite0"
WORD_INIT = 1.7  # word vectors of about unit variance
POSITION_INIT, EVIDENCE_INIT = 0.3, 0.01  # so that Q and S_att start at the same scale


@recipe("ask_attend_answer")
def ask_attend_answer() -> Recipe:
    """Xu and Saenko (2015), "Ask, Attend and Answer", on your own questions, from ImageNet features.

    foveate train ask_attend_answer --data PATH
    """
    return Recipe(
        model="ask_attend_answer",
        config=Config(
            backbone=LITE, pretrained=True, image_size=(224, 224), hidden=256, max_words=30, pad="masked",
            word_init=WORD_INIT, position_init=POSITION_INIT, evidence_init=EVIDENCE_INIT,
        ),
        text=QuestionTables(),
        features=True,
        freeze=("backbone",),
        optim=Optim(lr=1e-3, weight_decay=0.1, clip=5.0),
        epochs=20,
        batch_size=64,
        ema=0.99,
    )  # fmt: skip


@recipe("ask_attend_answer_synthetic")
def ask_attend_answer_synthetic() -> Recipe:
    """Xu and Saenko (2015), "Ask, Attend and Answer", on drawn questions about the place of a red square.

    foveate train ask_attend_answer_synthetic
    """
    return Recipe(
        model="ask_attend_answer",
        config=Config(
            backbone="plain", strides=(16,), image_size=(SIDE, SIDE), hidden=128, max_words=12, pad="masked",
            dropout=0.0, word_init=WORD_INIT,
        ),
        data=SpatialQuestions(),
        text=QuestionTables(),
        optim=Optim(lr=2e-3, weight_decay=0.0, clip=5.0),
        epochs=12,
        batch_size=64,
    )  # fmt: skip


@recipe("ask_attend_answer_pasture")
def ask_attend_answer_pasture() -> Recipe:
    """Xu and Saenko (2015), "Ask, Attend and Answer", on questions about the synthetic Pasture data set.

    foveate train ask_attend_answer_pasture
    """
    return Recipe(
        model="ask_attend_answer",
        config=Config(
            backbone=LITE, pretrained=True, strides=(4, 8, 16, 32), grid=16, image_size=(160, 160), hidden=128,
            max_words=16, pad="masked", neck=1, word_init=WORD_INIT, position_init=POSITION_INIT, evidence_init=0.02,
            dropout=0.0,
        ),
        data=Pasture(height=160, width=160, train=20000, val=300),
        text=QuestionTables(),
        features=True,
        freeze=("backbone",),
        optim=Optim(lr=3e-3, weight_decay=0.02, clip=5.0),
        epochs=16,
        validate_every=4,
        batch_size=64,
        ema=0.99,
    )  # fmt: skip


@recipe("ask_attend_answer_daquar")
def ask_attend_answer_daquar() -> Recipe:
    """Xu and Saenko (2015), "Ask, Attend and Answer", on DAQUAR's questions about rooms (Malinowski and Fritz 2014).

    foveate train ask_attend_answer_daquar --data DAQUAR

    The folder holds a table with the columns image, question, answer, and the images. An answer of several words or
    several things is one answer.
    """
    return Recipe(
        model="ask_attend_answer",
        config=Config(
            backbone=LITE, pretrained=True, image_size=(224, 224), hidden=256, max_words=30, pad="masked",
            word_init=WORD_INIT, position_init=POSITION_INIT, evidence_init=EVIDENCE_INIT, dropout=0.5,
        ),
        text=QuestionTables(least=2),
        features=True,
        freeze=("backbone",),
        optim=Optim(lr=1e-3, weight_decay=0.1, clip=5.0),
        epochs=24,
        batch_size=64,
        ema=0.99,
    )  # fmt: skip


@recipe("ask_attend_answer_vqa")
def ask_attend_answer_vqa() -> Recipe:
    """Xu and Saenko (2015), "Ask, Attend and Answer", on VQA, with the sizes of the paper and the schedule of its code.

    foveate train ask_attend_answer_vqa --data VQA

    The code weighs the loss by 20 and learns at 1e-3, ten times that in new layers and twenty times in their biases;
    here the rates, the clip and the decay are those of the loss as it is. Its rate falls by a fifth ten times, here to
    a tenth after 9 of 10 steps. It is meant for a GPU.
    """
    return Recipe(
        model="ask_attend_answer",
        config=Config(pretrained=True, normalize=False),
        text=QuestionTables(least=3, answers_least=23),
        optim=Optim(
            name="sgd", lr=0.2, weight_decay=2.5e-5, momentum=0.9, backbone_lr=0.1, bias_lr=2.0, schedule="step",
            step=0.9, warmup=0.0, clip=0.5,
        ),
        epochs=60,
        batch_size=50,
    )  # fmt: skip
