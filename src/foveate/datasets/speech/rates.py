"""Sampling rates that a header may name wrongly, found by the speed of speech."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from foveate.errors import listed

if TYPE_CHECKING:
    from foveate.datasets.speech import Utterance

LONG_ENOUGH = 8  # characters of a transcript whose speed tells something


def rate_notes(utterances: Sequence[Utterance]) -> list[str]:
    """A sentence on recordings whose header seems to name a wrong rate: at that of the others their text would fit."""
    rates = Counter(one.rate for one in utterances if one.frames is None)
    if len(rates) < 2:
        return []
    usual = max(rates, key=lambda rate: (rates[rate], rate))
    paces = [len(one.text) / one.seconds for one in utterances if one.rate == usual and len(one.text) >= LONG_ENOUGH]
    if len(paces) < 2:
        return []
    pace = float(np.median(paces))
    wrong = []
    for one in utterances:
        factor = one.rate / usual
        if one.rate == usual or len(one.text) < LONG_ENOUGH or abs(np.log2(factor)) < 0.8:
            continue
        ratio = len(one.text) / one.seconds / pace
        if abs(np.log2(ratio / factor)) < 0.4 < abs(np.log2(ratio)):
            wrong.append(one)
    if not wrong:
        return []
    first = wrong[0]
    return [
        f"{listed([one.name for one in wrong], 'recording')}: the header says {first.rate:g} Hz, at which the text is "
        f"said {len(first.text) / first.seconds / pace:.1f} times as fast as in the others; at their {usual:g} Hz it "
        "would be as fast: if the header is wrong, write the file again with the right rate"
    ]
