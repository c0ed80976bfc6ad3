"""Grey masks of 2 or 4 bits, whose stored values a PNG decoder stretches over 0..255: 1 of 4 bits becomes 17.

The stored values are the labels where all masks of a set have as many bits, as where a tool wrote them so. Beside masks
of 8 bits they are left stretched: programs that make PNG files smaller store 0 and 17 in 4 bits, and mean 17.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from foveate.datasets.classes import ClassList
from foveate.datasets.masks.advice import codes_of
from foveate.datasets.masks.layers import Layers
from foveate.datasets.masks.tally import Summary, Tally
from foveate.errors import DataError

BITS = {85: 2, 17: 4}  # of the step between stretched values


def as_stored(found: Tally, known: ClassList | None) -> Tally:
    """The sums of a set with the values that its files store, if these are its labels; else `found` itself.

    They are not in masks of black and white, which are two classes, nor where a class list has the stretched values.
    """
    steps = {file.step for file in found.files if file.values - {0} or file.colors}
    if len(steps) != 1 or (step := steps.pop()) == 1:
        return found
    stretched, stored = found.values, {value // step for value in found.values}
    if stretched <= {0, 255} and (known is None or (len(known.names) <= 2 and not known.values)):
        return found
    if known is not None and not stored <= (codes := set(codes_of(known))) and stretched <= codes:
        return found
    return Tally(tuple(summary_of(file, step) for file in found.files), step)


def summary_of(file: Summary, step: int) -> Summary:
    """The summary of a file with its values divided by the step of its set."""
    if step == 1:
        return file
    values, clear, solid = (frozenset(v // step for v in part) for part in (file.values, file.clear, file.solid))
    around = None if file.around is None else file.around // step
    grid = tuple(value // step for value in file.grid)
    return replace(file, values=values, clear=clear, solid=solid, grid=grid, around=around)


def values_of(layers: Layers, step: int) -> np.ndarray:
    """(H, W) values of a grey file, divided by the step of its set. Raises DataError for a file of other bits."""
    assert layers.values is not None
    if step == 1:
        return layers.values
    if layers.step != step and layers.values.any():
        raise DataError(f"{layers.path}: is not of {BITS[step]} bits, as the other masks are; save all masks alike")
    return np.asarray(layers.values // step)
