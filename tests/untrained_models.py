"""Untrained models of every family: what a predictor, a server or a page is tested on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import foveate
from foveate.models.spatial.draw import Config as DrawConfig
from foveate.models.spatial.draw import Draw
from foveate.models.spatial.handwriting import Config as HandwritingConfig
from foveate.models.spatial.handwriting import Handwriting
from foveate.records import ClassTable, HandwritingPreprocessing
from foveate.text import SPECIALS, CharacterTable, PieceTable, Vocabulary
from foveate.text.characters import Characters

CLASSES = ClassTable(("grass", "cow", "sky", "fence"), ((60, 120, 40), (120, 60, 20), (90, 150, 220), (200, 200, 80)))
WORDS = Vocabulary((*SPECIALS, "a", "cow", "dog", "grazes", "what", "is", "this"))
SOURCE, TARGET = (PieceTable((*SPECIALS, *(f" {side}{i}" for i in range(9)))) for side in "st")
LETTERS = CharacterTable((*SPECIALS, *"abcd "))
WRITTEN = Characters(least=1).learn(["ab ba", "cab"])
FITTED = HandwritingPreprocessing(std=(2.0, 3.0), pace=4.0, longest=5)
PROPOSALS = {
    "scales": (2.0, 4.0), "ratios": (1.0,), "cell": 4, "channels": 8, "pre_nms": (100, 100), "post_nms": (20, 30),
    "min_side": 3.0, "crossing": True,
}  # fmt: skip


def _semantic() -> tuple[Any, ...]:
    model = foveate.create("recurrent_cnn", widths=(8, 8), num_classes=4)
    return model, "recurrent_cnn", {"classes": CLASSES}, "semantic"


def _instances() -> tuple[Any, ...]:
    config = {
        "backbone": "test_efficientnet", "width": 8, "stride": 4, "hidden": 16, "mask_hidden": 16, "mask_size": 7,
        "rois": 16, "proposals": PROPOSALS,
    }  # fmt: skip
    model = foveate.create("mnc", num_classes=4, **config)
    model.score_threshold.fill_(0.0)
    return model, "mnc", {"classes": CLASSES}, "instances"


def _classification() -> tuple[Any, ...]:
    model = foveate.create(
        "spatial_transformer", num_classes=4, in_channels=3, image_size=(16, 20), widths=(4, 8), localise_widths=(4,)
    )
    return model, "spatial_transformer", {"classes": CLASSES}, "classification"


def _captioning() -> tuple[Any, ...]:
    model = foveate.create(
        "show_attend_tell", backbone="plain", image_size=(64, 64), embed=8, hidden=8, vocabulary=len(WORDS)
    )
    return model, "show_attend_tell", {"text": WORDS}, "captioning"


def _colocalisation() -> tuple[Any, ...]:
    table = ClassTable(("cow",))
    model = foveate.create(
        "colocalise", num_classes=1, in_channels=3, image_size=(32, 32), widths=(4,), localise_widths=(4,), view=(2, 2)
    )
    return model, "colocalise", {"classes": table}, "colocalisation"


def _translation() -> tuple[Any, ...]:
    model = foveate.create(
        "rnnsearch", embed=6, hidden=5, attend=4, maxout=6, dropout=0.0, source_vocabulary=len(SOURCE),
        target_vocabulary=len(TARGET),
    )  # fmt: skip
    return model, "rnnsearch", {"source": SOURCE, "target": TARGET}, "translation"


def _speech() -> tuple[Any, ...]:
    model = foveate.create(
        "listen_attend_spell", rate=8000, mels=12, hidden=5, pyramid=2, speller=7, embed=4, attend=6,
        vocabulary=len(LETTERS),
    )  # fmt: skip
    return model, "listen_attend_spell", {"text": LETTERS}, "speech"


def _questions() -> tuple[Any, ...]:
    answers = ClassTable(("yes", "no", "two"))
    model = foveate.create(
        "ask_attend_answer", backbone="plain", image_size=(32, 48), strides=(8,), hidden=10, max_words=7,
        vocabulary=len(WORDS), num_answers=3, dropout=0.0,
    )  # fmt: skip
    return model, "ask_attend_answer", {"text": WORDS, "answers": answers}, "questions"


def _handwriting() -> tuple[Any, ...]:
    model = Handwriting(HandwritingConfig(vocabulary=len(WRITTEN), units=8, layers=2, gaussians=2, components=2))
    model.preprocessing = FITTED
    model.begin_at(FITTED.pace)
    return model, "handwriting", {"characters": WRITTEN}, "handwriting"


def _drawing() -> tuple[Any, ...]:
    model = Draw(DrawConfig(image_size=(8, 10), glimpses=3, hidden=12, latent=4, read=3, write=4))
    return model, "draw", {}, "drawing"


def _video() -> tuple[Any, ...]:
    model = foveate.create(
        "video_attention", vocabulary=len(WORDS), backbone="plain", stride=8, image_size=(24, 24), frames=8, embed=6,
        hidden=8, attend=5, motion_size=4, init=0.0, gate_dropout=0.0, dropout=0.0,
    )  # fmt: skip
    return model, "video_attention", {"text": WORDS}, "video"


# Family -> what builds (model, its registered name, its tables, the family).
BUILDERS: dict[str, Callable[[], tuple[Any, ...]]] = {
    "semantic": _semantic, "instances": _instances, "classification": _classification, "captioning": _captioning,
    "colocalisation": _colocalisation, "translation": _translation, "speech": _speech, "questions": _questions,
    "handwriting": _handwriting, "drawing": _drawing, "video": _video,
}  # fmt: skip
