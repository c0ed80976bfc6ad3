"""Letters as pen strokes: small letters, digits and marks, written by several hands.

A letter is a few strokes of control points (x, y), y upwards: the baseline is 0, small letters are 1 high, tall ones
about 1.9, and tails reach to -0.8. The pen moves along a smooth curve through the points.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Control points of each stroke, "x,y x,y ...", strokes apart by "/".
_STROKES = {
    "a": ".85,.85 .45,1 .08,.6 .12,.12 .45,0 .8,.4 .85,.9 .83,.25 1,.02",
    "b": ".1,1.9 .1,1 .1,.15 .45,0 .85,.3 .8,.85 .45,1 .12,.7",
    "c": ".8,.8 .45,1 .08,.55 .25,.05 .6,0 .85,.2",
    "d": ".8,.8 .4,1 .05,.5 .3,0 .7,.2 .85,.9 .85,1.9 .85,.9 .85,.2 1,0",
    "e": ".1,.5 .5,.52 .85,.65 .6,1 .2,.85 .08,.4 .4,0 .85,.2",
    "f": ".75,1.7 .5,1.9 .32,1.5 .3,.8 .3,0/.05,1 .65,1",
    "g": ".85,.85 .45,1 .08,.6 .15,.12 .5,.02 .82,.4 .85,.9 .85,0 .7,-.65 .3,-.78 .08,-.5",
    "h": ".1,1.9 .1,1 .1,0 .12,.6 .45,1 .75,.8 .78,.3 .8,0",
    "i": ".2,1 .2,.3 .3,0 .45,.05/.2,1.4 .22,1.42",
    "j": ".5,1 .5,.2 .45,-.55 .2,-.78 .02,-.55/.5,1.4 .52,1.42",
    "k": ".1,1.9 .1,1 .1,0/.75,1 .35,.6 .12,.45 .4,.4 .8,0",
    "l": ".2,1.9 .2,1 .2,.25 .4,0 .5,.1",
    "m": ".08,1 .1,.5 .1,0 .12,.6 .35,1 .52,.8 .54,.4 .54,0 .58,.6 .85,1 1,.8 1,.3 1.02,0",
    "n": ".1,1 .1,.5 .1,0 .12,.6 .45,1 .75,.8 .78,.3 .8,0",
    "o": ".45,1 .1,.7 .12,.2 .45,0 .8,.25 .82,.75 .45,1",
    "p": ".1,1 .1,.2 .1,-.8 .1,.2 .2,.85 .55,1 .85,.6 .7,.1 .35,0 .12,.2",
    "q": ".85,.85 .45,1 .08,.6 .15,.12 .5,.02 .8,.4 .85,.9 .85,0 .85,-.8",
    "r": ".1,1 .1,.5 .1,0 .12,.55 .35,.95 .65,.95",
    "s": ".75,.85 .4,1 .15,.75 .45,.5 .75,.25 .45,0 .1,.15",
    "t": ".35,1.6 .35,.8 .35,.2 .55,0 .75,.12/.05,1 .7,1",
    "u": ".1,1 .1,.4 .3,0 .6,.1 .8,.5 .82,1 .82,.4 .84,0",
    "v": ".05,1 .25,.5 .42,0 .62,.5 .82,1",
    "w": ".05,1 .2,.5 .3,0 .45,.4 .55,.8 .68,.4 .82,0 .95,.5 1.08,1",
    "x": ".08,1 .4,.5 .8,0/.8,1 .42,.5 .05,0",
    "y": ".08,1 .2,.5 .42,.1/.82,1 .6,.4 .35,-.4 .1,-.78",
    "z": ".1,1 .45,1 .8,1 .45,.5 .08,0 .45,0 .85,0",
    "0": ".45,1.8 .08,1.3 .1,.4 .45,0 .82,.4 .84,1.3 .45,1.8",
    "1": ".1,1.4 .4,1.8 .4,1 .4,0",
    "2": ".1,1.4 .4,1.8 .78,1.4 .5,.7 .08,0 .45,0 .85,0",
    "3": ".1,1.6 .5,1.8 .75,1.4 .4,.95 .8,.5 .5,0 .08,.2",
    "4": ".6,1.8 .3,1.1 .05,.5 .5,.5 .9,.5/.65,1 .65,.5 .65,0",
    "5": ".8,1.8 .2,1.8 .15,1 .55,1.05 .82,.6 .5,0 .08,.15",
    "6": ".7,1.75 .3,1.3 .08,.5 .4,0 .8,.35 .6,.85 .15,.6",
    "7": ".08,1.8 .45,1.8 .85,1.8 .55,.9 .35,0",
    "8": ".75,1.5 .45,1.8 .15,1.45 .45,1 .8,.45 .45,0 .1,.45 .45,1 .75,1.5",
    "9": ".8,1.3 .45,1.8 .1,1.35 .4,.9 .8,1.3 .75,.6 .55,0",
    ".": ".15,.02 .17,.05",
    ",": ".2,.1 .2,-.1 .08,-.3",
    "!": ".2,1.8 .2,1.1 .2,.5/.2,.02 .22,.05",
    "?": ".1,1.5 .4,1.8 .7,1.4 .4,.9 .38,.5/.38,.02 .4,.05",
    "-": ".1,.6 .35,.6 .6,.6",
    "'": ".15,1.8 .12,1.5",
}  # fmt: skip
STROKES = {
    letter: [np.array([[float(v) for v in point.split(",")] for point in stroke.split()]) for stroke in text.split("/")]
    for letter, text in _STROKES.items()
}
ALPHABET = "".join(sorted(STROKES))
SPACING, BLANK = 0.22, 0.75  # between letters, and of a blank
UNIT = 100.0  # of a small letter's height
STEP = 0.22  # between points


@dataclass(frozen=True)
class Hand:
    """One person's handwriting style.

    slant: shift to the right by height. size: of all letters. width: of letters by height. shake: deviation of control
    points, in heights of a small letter. spacing: factor on the distance of letters.
    """

    slant: float
    size: float
    width: float
    shake: float
    spacing: float

    @classmethod
    def drawn(cls, generator: np.random.Generator) -> Hand:
        """Draw a way of writing at random."""
        return cls(
            generator.uniform(-0.2, 0.5), generator.uniform(0.8, 1.2), generator.uniform(0.8, 1.2),
            generator.uniform(0.015, 0.04), generator.uniform(0.7, 1.4),
        )  # fmt: skip


def write(text: str, hand: Hand, generator: np.random.Generator) -> np.ndarray:
    """Points (N, 3) of a text: x, y downwards, and 1 where the pen is lifted after a point. Letters of ALPHABET."""
    strokes: list[np.ndarray] = []
    left = 0.0
    for letter in text:
        if letter == " ":
            left += BLANK * hand.spacing
            continue
        for stroke in STROKES[letter]:
            shaken = stroke + generator.normal(0, hand.shake, stroke.shape)
            strokes.append(_even(_curve(shaken * np.array([hand.width, 1])) + np.array([left, 0])))
        left += hand.width * max(stroke[:, 0].max() for stroke in STROKES[letter]) + SPACING * hand.spacing
    drift = generator.normal(0, 0.02)
    found = []
    for stroke in strokes:
        x, y = stroke.T
        lifted = np.zeros(len(stroke))
        lifted[-1] = 1
        found.append(np.stack([(x + hand.slant * y) * hand.size, -(y + drift * x) * hand.size, lifted / UNIT], 1))
    return (np.concatenate(found) * UNIT).astype(np.float32)


def _curve(points: np.ndarray, density: int = 8) -> np.ndarray:
    """A smooth curve (Catmull-Rom) through points (n, 2)."""
    if len(points) < 3:
        return points
    padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    t = np.linspace(0, 1, density, endpoint=False)[:, None]
    pieces = []
    for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        pieces.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))
    return np.concatenate([*pieces, points[-1:]])


def _even(curve: np.ndarray) -> np.ndarray:
    """Points at even distances along a curve, its ends included."""
    along = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(curve, axis=0).T))])
    places = np.linspace(0, along[-1], max(2, round(along[-1] / STEP) + 1))
    return np.stack([np.interp(places, along, curve[:, axis]) for axis in range(2)], 1)
