"""Class names that may be one, spelt in two ways."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

_UNSCORED = re.compile(r"_*(void|ignored?|unlabell?ed|don'?t[ _]care|no[ _]?data)_*")


def near_names(counts: Mapping[str, int]) -> list[tuple[str, str]]:
    """(rare name, common name) of every two that may be one, spelt in two ways; counts: name -> its occurrences.

    They differ in capitals, blanks, hyphens and underscores alone, or the rare one, with at most a fifth of the
    occurrences, in one letter: another, one too few or too many, or two exchanged. Of names of three letters only an s
    at the end counts. Another first letter makes another word ('food', 'hood'), and so does a letter or a Roman number
    that stands alone ('grade a', 'grade b'; 'type I', 'type II').
    """
    ranked = sorted(counts, key=lambda name: (-counts[name], name))
    plain = {name: re.sub(r"[\s_-]+", "", name).casefold() for name in ranked}
    places: dict[str, list[int]] = {}  # of names by their letters, all or but one: near names have such in common
    found = []
    for place, rare in enumerate(ranked):
        one = plain[rare]
        parts = {one, *(one[:i] + one[i + 1 :] for i in range(len(one)))}
        for other in sorted({near for part in parts for near in places.get(part, ())}):
            common = ranked[other]
            few = counts[rare] * 5 <= counts[common]
            if one == plain[common] or (few and _is_one_letter(one, plain[common]) and not _is_letter(rare, common)):
                found.append((rare, common))
                break
        for part in parts:
            places.setdefault(part, []).append(place)
    return found


def spelling_note(names: Sequence[str]) -> list[str]:
    """A note on classes whose names differ in capitals, blanks, hyphens and underscores alone."""
    found = near_names(dict.fromkeys(names, 1))
    if not found:
        return []
    shown = ", ".join(f"'{one}' beside '{other}'" for one, other in found[:3]) + (", ..." if len(found) > 3 else "")
    return [f"classes that may be one, spelt in two ways: {shown}; each is a class of its own"]


def says_unscored(name: str) -> bool:
    """True for names of pixels that are usually not scored, as void."""
    return _UNSCORED.fullmatch(name.strip().lower()) is not None


def _is_letter(one: str, other: str) -> bool:
    """True for names that differ in a word of one letter or in a Roman number, such as those of sides and of grades."""
    words = [re.split(r"[\s_-]+", name.casefold()) for name in (one, other)]
    differing = set(words[0]) ^ set(words[1])
    return len(words[0]) == len(words[1]) > 1 and all(re.fullmatch(r"\w|[ivx]+", word) for word in differing)


def _is_one_letter(one: str, other: str) -> bool:
    """True for words that differ in one letter, though not the first, or in the order of two neighbours."""
    short, long = sorted((one, other), key=len)
    if len(long) - len(short) > 1 or len(short) < 3:
        return False
    if len(short) == 3:
        return long == short + "s"
    start = _shared(short, long)
    end = _shared(short[start:][::-1], long[start:][::-1])
    here, there = short[start : len(short) - end], long[start : len(long) - end]
    if not f"{here}{there}".isalpha():  # names that differ in a number are different classes
        return False
    if len(here) == len(there) == 1:
        return start > 0
    return len(there) == 1 or (len(here) == len(there) == 2 and here == there[::-1])


def _shared(one: str, other: str) -> int:
    """Number of first letters that two words share."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
