"""Errors of the package. Every message says what came, what was expected, and what to do."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path


class FoveateError(Exception):
    """Base of every error a user can cause; the command line prints it as one line."""


class DataError(FoveateError):
    """A file or folder of the user's data is missing, damaged or inconsistent."""


class ConfigError(FoveateError):
    """A name, flag or value is not one that exists or fits."""


class ModelError(FoveateError):
    """A model folder, checkpoint or weight file cannot be used."""


class TrainingError(FoveateError):
    """Training cannot start or cannot go on."""


class OutputError(FoveateError):
    """A result cannot be written."""


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """The message for a name that does not exist: the nearest one, else where the list is."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if near:
        return f"unknown {kind} '{name}'; the nearest is '{near[0]}'"
    listing = ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")
    return f"unknown {kind} '{name}'; known: {listing or 'none'}"


def counted(count: int, noun: str, nouns: str = "") -> str:
    """A number of things, for a message: '1 picture', '2 classes', '1,000 entries'; nouns: a plural of its own."""
    if count == 1:
        return f"1 {noun}"
    if not nouns:
        hissing = re.search("(s|x|sh|ch)$", noun) and not noun.endswith("och")  # an epoch is none
        nouns = f"{noun[:-1]}ies" if re.search("[^aeiou]y$", noun) else noun + "es" * bool(hissing)
        nouns += "s" * (nouns == noun)
    return f"{count:,} {nouns}"


def duration_text(seconds: float) -> str:
    """A duration that is read at a glance: '0.043 s', '8.4 s', '4 min 10 s', '2 h 5 min'."""
    whole = max(0, round(seconds))
    if whole < 1:
        return f"{round(float(f'{max(0.0, seconds):.2g}'), 4):g} s"
    if whole < 60:
        return f"{round(seconds, 1):g} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole < 600 else f"{round(whole / 60)} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def nearest_path(path: Path) -> Path | None:
    """The entry beside a missing path whose name is most like it."""
    if not path.parent.is_dir():
        return None
    near = difflib.get_close_matches(path.name, [p.name for p in path.parent.iterdir()], n=1)
    return path.parent / near[0] if near else None


def first_names(names: Sequence[str]) -> str:
    """The first three of some names, for a message: 'a.png, b.png, c.png, ...'."""
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def listed(names: Sequence[str], noun: str = "picture") -> str:
    """A number of things and the first three names, for a message: '12 pictures (a.png, b.png, c.png, ...)'."""
    return f"{counted(len(names), noun)} ({first_names(names)})"
