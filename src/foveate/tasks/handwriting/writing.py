"""Writing of texts by a handwriting model: sampling, the stopping rule, priming, and laying out in lines.

Shapes: R pieces that are written together; texts of at most U characters; T points.

A runner is a model with `step(point (R, 3), text, characters, state)` and `begin(R)`, in PyTorch or exported.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from foveate.errors import ConfigError
from foveate.ops.mixture import mixture_of, sample
from foveate.ops.padding import pad
from foveate.ops.window import is_written
from foveate.records import HandwritingPreprocessing, HandwritingState
from foveate.tasks.handwriting.strokes import restore
from foveate.tasks.parts import device_of
from foveate.text.characters import BLANK, split_characters
from foveate.text.splitting import SPECIALS, UNKNOWN

SLOWEST, SPARE = 3.0, 60  # a text may take SLOWEST times the usual points of its length, and SPARE more
ROWS = 64  # pieces that are written together
LINE_HEIGHT = 1.3  # of the highest piece
EXAMPLE = "any words"


@dataclass
class Written:
    """One piece: offsets (T, 3) in the units of the training files, the window (T, U + 1), and if the rule ended it."""

    strokes: np.ndarray
    window: np.ndarray | None
    finished: bool


@dataclass
class Prime:
    """Real strokes to go on from: normalised points (T, 3), and the characters that they write."""

    strokes: Tensor
    text: list[int]


def require_writable(text: str, table: Any) -> list[str]:
    """The words of a text. Raises ConfigError for an empty text, or characters that the model has never seen."""
    words = text.split()
    if not words:
        raise ConfigError("the text is empty; give one or more characters to write")
    if unknown := unknown_in(text, table):
        known = "".join(sorted(name for name in table.names[4:] if name != BLANK))
        plural = len(unknown) > 1
        raise ConfigError(
            f"the character{'s' * plural} {', '.join(map(repr, unknown))} {'are' if plural else 'is'} in none of "
            f"the training texts, so the model cannot write {'them' if plural else 'it'}; it writes {known}"
        )
    return words


def unknown_in(text: str, table: Any) -> list[str]:
    """The characters of a text that no training text has, each once; a blank is none of them."""
    found = zip(split_characters(text), table.encode(text), strict=True)
    return list(dict.fromkeys(c for c, token in found if token == UNKNOWN and c != BLANK))


def example_text(table: Any) -> str:
    """A text that a model with these characters can write."""
    letters = [name for name in table.names[len(SPECIALS) :] if name != BLANK and not name.isspace()]
    return EXAMPLE if not unknown_in(EXAMPLE, table) else "".join(letters[:5])


def parts_of(words: Sequence[str], table: Any, longest: int) -> list[str]:
    """Words joined into parts that are written in one go: as many as fit into the longest training text.

    Each is a part of its own where the model has never seen a blank.
    """
    if BLANK not in table.names:
        return list(words)
    parts: list[str] = []
    for word in words:
        if parts and len(parts[-1]) + 1 + len(word) <= longest:
            parts[-1] += BLANK + word
        else:
            parts.append(word)
    return parts


@torch.no_grad()
def write(
    runner: Any,
    texts: Sequence[list[int]] | None,
    preprocessing: HandwritingPreprocessing,
    generators: Sequence[torch.Generator],
    bias: float = 0.0,
    points: int = 0,
    prime: Prime | None = None,
    progress: Callable[[float], None] | None = None,
) -> list[Written]:
    """Write texts, each with the noise of its own generator, so that no piece depends on the others.

    texts: ids of characters of each piece; None for a network without texts, which writes `points` points.
    bias: b of the mixture. prime: strokes that are read first; the text that follows them is written.
    """
    found: list[Written] = []
    for start in range(0, len(generators), ROWS):
        some = None if texts is None else [list(prime.text if prime else []) + t for t in texts[start : start + ROWS]]
        found += _write_together(runner, some, preprocessing, generators[start : start + ROWS], bias, points, prime)
        if progress is not None:
            progress(len(found) / len(generators))
    return found


def _write_together(
    runner: Any,
    texts: Sequence[list[int]] | None,
    preprocessing: HandwritingPreprocessing,
    generators: Sequence[torch.Generator],
    bias: float,
    points: int,
    prime: Prime | None,
) -> list[Written]:
    rows = len(generators)
    text = lengths = None
    limits = [points] * rows
    if texts is not None:
        text = pad([torch.tensor(one) for one in texts])
        lengths = torch.tensor([len(one) for one in texts])
        ahead = len(prime.text) if prime else 0
        limits = [round(SLOWEST * preprocessing.pace * (len(one) - ahead + 1)) + SPARE for one in texts]
    longest = max(limits)
    uniform, normal = torch.zeros(2, longest, rows, 2)
    for row, (limit, generator) in enumerate(zip(limits, generators, strict=True)):  # as many as if it were alone
        uniform[:limit, row] = torch.rand(limit, 2, generator=generator)
        normal[:limit, row] = torch.randn(limit, 2, generator=generator)
    state: HandwritingState = runner.begin(rows)
    device = device_of(runner)
    given = [None if x is None else x.to(device) for x in (text, lengths)]
    point = torch.zeros(rows, 3)
    for known in prime.strokes[1:] if prime else ():
        _, _, state = runner.step(point.to(device), *given, state)
        point = known.expand(rows, 3)
    done = torch.zeros(rows, dtype=torch.bool)
    ends, finished = limits[:], [texts is None] * rows
    strokes, windows = [], []
    for step in range(longest):
        mixture, window, state = runner.step(point.to(device), *given, state)
        mixture, window = mixture.float().cpu(), window.float().cpu()
        if lengths is not None:
            for row in (is_written(window, lengths) & ~done).nonzero()[:, 0].tolist():
                ends[row], finished[row] = step, True
                done[row] = True
        done |= torch.tensor([step >= limit for limit in limits])
        if done.all():
            break
        point = sample(mixture_of(mixture, bias), uniform[step], normal[step])
        strokes.append(point)
        windows.append(window)
    drawn = torch.stack(strokes, 1) if strokes else torch.zeros(rows, 0, 3)
    seen = torch.stack(windows, 1) if lengths is not None and windows else None
    pieces = []
    for row in range(rows):
        count = min(ends[row], drawn.shape[1])
        offsets = restore_with_start(drawn[row, :count], preprocessing)
        own = None if seen is None or lengths is None else seen[row, :count, : int(lengths[row]) + 1].numpy()
        pieces.append(Written(offsets, own, finished[row]))
    return pieces


def restore_with_start(points: Tensor, preprocessing: HandwritingPreprocessing) -> np.ndarray:
    """Normalised points (T, 3) -> offsets (T + 1, 3) that begin at (0, 0), the last of which lifts the pen."""
    offsets = torch.cat([torch.zeros(1, 3), restore(points, preprocessing)])
    offsets[-1, 2] = 1
    found: np.ndarray = offsets.numpy()
    return found


def lay_out(pieces: Sequence[np.ndarray], texts: Sequence[str], width: int) -> np.ndarray:
    """Pieces of offsets side by side, in lines of at most `width` characters -> offsets (T, 3) of all of them.

    Pieces are aligned by the median of their heights, which lies amid the small letters; the distance between two is
    the mean width of a character.
    """
    at = [np.concatenate([p[:, :2].cumsum(0), p[:, 2:]], 1) for p in pieces]
    for piece in at:
        piece[:, 0] -= piece[:, 0].min()
        piece[:, 1] -= np.median(piece[:, 1])
    across = sum(float(np.ptp(piece[:, 0])) for piece in at) / max(1, sum(map(len, texts)))
    down = LINE_HEIGHT * max(float(np.ptp(piece[:, 1])) for piece in at)
    left, line, used = 0.0, 0, 0
    for piece, text in zip(at, texts, strict=True):
        if used and used + 1 + len(text) > width:
            left, line, used = 0.0, line + 1, 0
        piece[:, :2] += [left, line * down]
        left += float(np.ptp(piece[:, 0])) + across
        used += len(text) + (1 if used else 0)
    points = np.concatenate(at)
    offsets: np.ndarray = np.diff(points[:, :2], axis=0, prepend=points[:1, :2])
    return np.concatenate([offsets, points[:, 2:]], 1).astype(np.float32)
