"""A style: real strokes with their text, which a model reads before it goes on in the same hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from foveate.errors import ConfigError, DataError, counted
from foveate.records import HandwritingPreprocessing
from foveate.tasks.handwriting.strokes import normalise, thin
from foveate.tasks.handwriting.writing import Prime, require_writable
from foveate.values import parse_json

LEAST = 20  # points
OTHER_UNITS = 10.0  # factor between the sizes of the style's and of the training strokes, above which it is refused


def read_style(path: str, table: Any, preprocessing: HandwritingPreprocessing) -> Prime:
    """The first piece of a JSON file of strokes: {"text": ..., "points": [[x, y, up], ...]}, or a list of these.

    up is 1 where the pen is lifted after the point. Raises DataError for a file that is not of this form, too short to
    show a hand, or in other units than the training strokes, ConfigError for a text with characters that the model has
    never seen.
    """
    try:
        content = parse_json(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); give a JSON file of strokes") from error
    except ValueError as error:
        raise DataError(f"{path}: malformed JSON ({error}); repair it") from error
    entry = content[0] if isinstance(content, list) and content else content
    if not isinstance(entry, dict) or not isinstance(entry.get("text"), str) or "points" not in entry:
        raise DataError(f'{path}: expected {{"text": ..., "points": [[x, y, up], ...]}}, or a list of these')
    try:
        points = np.array(entry["points"], np.float64)
    except (ValueError, TypeError, OverflowError):
        points = np.zeros(())
    if points.ndim != 2 or points.shape[1] != 3:
        raise DataError(f"{path}: the points are {str(entry['points'])[:40]}; expected [[x, y, up], ...]")
    if not np.isfinite(points).all() or not np.isin(points[:, 2], (0, 1)).all():
        raise DataError(
            f"{path}: points with values that are not finite, or a pen bit other than 0 and 1; correct them"
        )
    if len(points) < LEAST:
        raise DataError(f"{path}: a style of {counted(len(points), 'point')}; give {LEAST} or more, a word or two")
    if points[:, 2].mean() > 0.5:
        raise DataError(
            f"{path}: the pen is lifted after {points[:, 2].mean():.0%} of the points; the third number is 1 where it "
            "is lifted after a point, not where it is down"
        )
    if not entry["text"].strip():
        raise DataError(f"{path}: the text of the style is empty; give what its strokes write")
    try:
        text = " ".join(require_writable(entry["text"], table))
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    offsets = np.concatenate([np.diff(points[:, :2], axis=0, prepend=points[:1, :2]), points[:, 2:]], 1)
    offsets[-1, 2] = 1
    strokes = normalise(thin(torch.from_numpy(offsets).float(), preprocessing.keep), preprocessing)
    size = float(strokes[1:, :2].square().mean().sqrt())
    if not 1 / OTHER_UNITS <= size <= OTHER_UNITS:
        raise DataError(
            f"{path}: its steps are {size:.3g} times as long as those of the training strokes, whose deviation is "
            f"{preprocessing.std[0]:.3g} and {preprocessing.std[1]:.3g}; scale the style to the same units"
        )
    return Prime(strokes, table.encode(text))
