"""Listen, Attend and Spell on your own recordings, on strings of spoken digits, and on spelled words (AN4).

What each cost and reached stands in results/<recipe>.json.
"""

from __future__ import annotations

from foveate.datasets.word_strings import WordStrings
from foveate.engine import Optim, Recipe
from foveate.models.speech import listen_attend_spell as las
from foveate.registry import recipe
from foveate.tasks.speech.options import SpeechOptions
from foveate.text import Characters
from foveate.transforms.speech import SpeechAugment


@recipe("listen_attend_spell")
def listen_attend_spell() -> Recipe:
    """Chan et al. (2015), "Listen, Attend and Spell", on your own recordings with transcripts.

    foveate train listen_attend_spell --data PATH
    """
    return Recipe(
        model="listen_attend_spell",
        config=las.Config(
            hidden=192, pyramid=3, speller=384, speller_layers=1, embed=64, attend=192, init=0.0, dropout=0.2,
            label_smoothing=0.05, warp=0.1, band_masks=2, band_width=6,
        ),
        augment=SpeechAugment(),
        text=Characters(),
        options=SpeechOptions(),
        optim=Optim(lr=1e-3, weight_decay=0.01, clip=1.0),
        epochs=60,
        batch_size=16,
        ema=0.995,
        validate_every=3,
    )  # fmt: skip


@recipe("listen_attend_spell_paper")
def listen_attend_spell_paper() -> Recipe:
    """Chan et al. (2015), "Listen, Attend and Spell", at the paper's sizes, on your own recordings with transcripts.

    foveate train listen_attend_spell_paper --data PATH

    The rate is the paper's 0.2, which falls geometrically there; here along a cosine. It is meant for a GPU and for
    hundreds of hours of speech.
    """
    return Recipe(
        model="listen_attend_spell",
        config=las.Config(),
        augment=SpeechAugment(speed=0.0),
        text=Characters(),
        options=SpeechOptions(beams=32),
        optim=Optim(name="sgd", lr=0.2, weight_decay=0.0, momentum=0.0, warmup=0.0, clip=0.0),
        epochs=20,
        batch_size=32,
    )


@recipe("listen_attend_spell_an4")
def listen_attend_spell_an4() -> Recipe:
    """Chan et al. (2015), "Listen, Attend and Spell", on AN4: spelled words and numbers, as 13 mel cepstra a frame.

    foveate train listen_attend_spell_an4 --data AN4
    """
    return Recipe(
        model="listen_attend_spell",
        config=las.Config(
            features=13, rate=100, hidden=128, pyramid=2, speller=256, speller_layers=1, embed=32, attend=128, init=0.0,
            dropout=0.3, label_smoothing=0.05, sampling=0.1, ctc=0.3,
        ),
        augment=SpeechAugment(),
        text=Characters(),
        options=SpeechOptions(),
        optim=Optim(lr=2e-3, weight_decay=0.01, clip=1.0),
        epochs=60,
        batch_size=8,
        ema=0.99,
        validate_every=10,
    )  # fmt: skip


@recipe("listen_attend_spell_digits")
def listen_attend_spell_digits() -> Recipe:
    """Chan et al. (2015), "Listen, Attend and Spell", on strings of spoken digits, composed of recordings.

    foveate train listen_attend_spell_digits --data FSDD
    """
    return Recipe(
        model="listen_attend_spell",
        config=las.Config(
            low=60.0, hidden=128, pyramid=2, speller=256, speller_layers=1, embed=64, attend=128, init=0.0, dropout=0.2,
            warp=0.1,
        ),
        data=WordStrings(longest=5, train=3000, val=200, ramp=8),
        text=Characters(),
        options=SpeechOptions(cut=6.0),
        optim=Optim(lr=1.5e-3, weight_decay=0.0, clip=1.0),
        epochs=20,
        validate_every=10,
        batch_size=24,
        ema=0.99,
    )  # fmt: skip
