"""Checks of a training's image files by their headers, and the sentences that are printed before it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from foveate.errors import DataError, listed
from foveate.pictures.intensities import HIGH, LOW, kind_of, mixed_depths, parse_window, window_text
from foveate.records import Preprocessing


def require_one_depth(datasets: Sequence[Any], window: str) -> None:
    """Raise DataError for files of several depths, unless the full range of each type is asked for.

    A set without files has no method `values`; it is of one depth.
    """
    if window == "full":
        return
    found: dict[str, list[str]] = defaultdict(list)
    for dataset in datasets:
        if hasattr(dataset, "values"):
            for index in range(len(dataset)):
                if values := dataset.values(index):
                    found[kind_of(values)].append(dataset.name(index))
    if len(found) > 1:
        raise DataError(mixed_depths(found))


def header_notes(datasets: Sequence[Any], noun: str = "picture") -> list[str]:
    """Remarks on the files of several sets, by their headers. noun: the name of one sample."""
    found: dict[str, list[str]] = defaultdict(list)
    for dataset in datasets:
        if hasattr(dataset, "file_notes"):
            for index in range(len(dataset)):
                for note in dataset.file_notes(index, decode=False):
                    found[note].append(dataset.name(index))
    return [f"{listed(names, noun)}: {note}" for note, names in found.items()]


def window_note(preprocessing: Any, setting: str) -> list[str]:
    """A sentence on the intensity window of a run; none for the full range of 8 bits."""
    if not isinstance(preprocessing, Preprocessing) or not preprocessing.window:
        return []
    learned = "" if parse_window(setting) else f" ({LOW:g} and {HIGH:g} % of the training images' values)"
    return [f"intensities {window_text(preprocessing.window)} ({preprocessing.values}) become black to white{learned}"]
