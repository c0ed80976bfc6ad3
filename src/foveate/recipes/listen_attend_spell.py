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


@recipe("listen_attend_spell_digits")
def listen_attend_spell_digits() -> Recipe:
    """Chan et al. (2015), "Listen, Attend and Spell", on strings of 1 to 7 words composed from single ones, as digits.

    foveate train listen_attend_spell_digits --data FSDD
    """
    return Recipe(
        model="listen_attend_spell",
        config=las.Config(
            window=0.03, hop=0.015, hidden=128, pyramid=2, speller=256, speller_layers=1, embed=64, attend=128, init=0.0, dropout=0.2,
            label_smoothing=0.05, warp=0.15, band_masks=2, band_width=6, low=60.0,
        ),
        data=WordStrings(train=3200, val=200, speed=0.15, ramp=6),
        text=Characters(),
        options=SpeechOptions(cut=6.0),
        optim=Optim(lr=2e-3, weight_decay=0.01, clip=1.0),
        epochs=20,
        validate_every=2,
        batch_size=32,
        ema=0.99,
    )  # fmt: skip
