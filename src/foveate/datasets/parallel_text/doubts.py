"""Notes on pairs of sentences that may be no translations of each other."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np

from foveate.errors import counted

_TIMES = 2  # as many words shared with the other side of train, from which sides are exchanged
_BLOCK = 100  # pairs whose lengths are compared; of true pairs their correlation is 0.5 and more
_OUT_OF_STEP = 0.1  # correlation of lengths below which lines are out of step
_FEWEST = 3  # pairs that say something about all
_VARIED = 0.2  # deviation of the lengths over their mean, below which their correlation means nothing


def are_exchanged(train: Sequence[tuple[str, str]], other: Sequence[tuple[str, str]]) -> bool:
    """True if both sides of some pairs share far more words with the other side of train than with their own."""
    known = [_words(pair[side] for pair in train) for side in (0, 1)]
    found = [_words(pair[side] for pair in other) for side in (0, 1)]
    own = [len(found[side] & (known[side] - known[1 - side])) for side in (0, 1)]
    crossed = [len(found[side] & (known[1 - side] - known[side])) for side in (0, 1)]
    return all(across > _TIMES * straight for across, straight in zip(crossed, own, strict=True))


def _words(sentences: Iterable[str]) -> set[str]:
    return {word for sentence in sentences for word in sentence.lower().split()}


def out_of_step(pairs: Sequence[tuple[str, str]]) -> int:
    """The place of the first pair of a block whose sides do not grow and shrink together; -1 if there is none."""
    for start in range(0, len(pairs) - _BLOCK + 1, _BLOCK):
        lengths = np.array([[len(one), len(two)] for one, two in pairs[start : start + _BLOCK]], float).T
        is_varied = (lengths.std(1) > _VARIED * lengths.mean(1)).all()
        if is_varied and np.corrcoef(lengths)[0, 1] < _OUT_OF_STEP:
            return start
    return -1


def pair_notes(pairs: Sequence[tuple[str, str]], files: Sequence[str], lines: Sequence[int]) -> list[str]:
    """Notes on the pairs of a split: lines out of step, equal sides, and numbers or ids in front of sentences.

    files: names of the files of both sides, or of the table. lines: of the pairs, counted from 1.
    """
    notes = []
    if (place := out_of_step(pairs)) >= 0:
        notes.append(
            f"{files[0]}: from line {lines[place]} on, long sentences stand beside short ones as often as not; check "
            "that a line is the translation of the line beside it"
        )
    same = sum(source == target for source, target in pairs)
    if len(pairs) >= _FEWEST and 2 * same > len(pairs):
        notes.append(
            f"{' and '.join(files)}: {same} of {counted(len(pairs), 'pair')} are the same on both sides, as if one "
            "were a copy of the other"
        )
    for side, file in enumerate((files[0], files[-1])):
        if marks := _in_front([pair[side] for pair in pairs]):
            shown = ", ".join(f"'{mark}'" for mark in marks[:3])
            notes.append(
                f"{file}: the sentences begin with numbers or ids ({shown}), which are learned as text; remove them, "
                "or put them into a column of a table"
            )
    return notes


def _in_front(sentences: Sequence[str]) -> list[str]:
    """Text before a tab, or rising numbers in front, of all sentences; [] for others."""
    if len(sentences) < _FEWEST:
        return []
    if all("\t" in sentence for sentence in sentences):
        return [sentence.partition("\t")[0] for sentence in sentences]
    found = [match for sentence in sentences if (match := re.match(r"\(?(\d+)[.):]?\s", sentence))]
    rising = all(int(one[1]) < int(other[1]) for one, other in pairwise(found))
    return [match[0].strip() for match in found] if rising and len(found) == len(sentences) else []
