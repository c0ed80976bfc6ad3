"""Notes on pairs of sentences that may be no translations of each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

_TIMES = 2  # as many words shared with the other side of train, from which sides are exchanged
_BLOCK = 100  # pairs whose lengths are compared; of true pairs their correlation is 0.5 and more
_OUT_OF_STEP = 0.1  # correlation of lengths below which lines are out of step
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
