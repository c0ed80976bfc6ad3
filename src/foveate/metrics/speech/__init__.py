"""Scores of transcripts: word and character error rates, with the alignments that they count.

    WER = (substitutions + insertions + deletions) / words that were said

over all recordings together, so that long ones count for more; it may exceed 1. CER is the same of characters, blanks
included.

Shapes: P tokens written, R tokens of the reference.
"""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from foveate.errors import DataError

BUCKETS = ((1, 2), (3, 5), (6, 10), (11, 20), (21, 40), (41, 0))  # words of a recording, for errors by length; 0: more


class Pair(NamedTuple):
    """One step of an alignment: what was said and what was written; None on one side is a deletion or an insertion."""

    reference: str | None
    written: str | None

    @property
    def is_error(self) -> bool:
        """True for all but a match."""
        return self.reference != self.written


@dataclass(frozen=True)
class Errors:
    """Errors of one alignment. reference: R."""

    substitutions: int
    insertions: int
    deletions: int
    reference: int

    @property
    def count(self) -> int:
        """The edit distance."""
        return self.substitutions + self.insertions + self.deletions

    @property
    def rate(self) -> float:
        """Errors for each token that was said; of an empty truth 0 or, with insertions, inf."""
        if self.reference:
            return self.count / self.reference
        return float("inf") if self.count else 0.0


def align(reference: Sequence[str], written: Sequence[str]) -> list[Pair]:
    """Return an alignment with the fewest errors (Levenshtein 1966); of several, one with the most substitutions."""
    rows, columns = len(reference), len(written)
    # An insertion or deletion costs 1 more than a substitution: too little, in all, to make up for one error.
    error = rows + columns + 1
    gap = error + 1
    # cost[i][j]: that of reference[:i] against written[:j]
    cost = [[gap * j for j in range(columns + 1)]]
    for i, one in enumerate(reference, start=1):
        above, row = cost[-1], [gap * i]
        for j, other in enumerate(written, start=1):
            row.append(min(above[j - 1] + (error if one != other else 0), above[j] + gap, row[-1] + gap))
        cost.append(row)
    pairs: list[Pair] = []
    i, j = rows, columns
    while i or j:
        if i and j and cost[i][j] == cost[i - 1][j - 1] + error * (reference[i - 1] != written[j - 1]):
            pairs.append(Pair(reference[i - 1], written[j - 1]))
            i, j = i - 1, j - 1
        elif i and cost[i][j] == cost[i - 1][j] + gap:
            pairs.append(Pair(reference[i - 1], None))
            i -= 1
        else:
            pairs.append(Pair(None, written[j - 1]))
            j -= 1
    return pairs[::-1]


def count_errors(pairs: Sequence[Pair]) -> Errors:
    """Return the errors of an alignment by kind."""
    insertions = sum(pair.reference is None for pair in pairs)
    deletions = sum(pair.written is None for pair in pairs)
    errors = sum(pair.is_error for pair in pairs)
    return Errors(errors - insertions - deletions, insertions, deletions, len(pairs) - insertions)


def scored_text(text: str) -> str:
    """Return a text as it is compared: composed letters (NFC), and one blank between words."""
    return " ".join(unicodedata.normalize("NFC", text).split())


@dataclass(frozen=True)
class SpeechScores:
    """Scores of transcripts; all are shares.

    wer, cer: word and character error rate. sentence_errors: share of recordings with an error.
    recordings: their number. substitutions, insertions, deletions: of words, for each word that was said.
    attention_in_span: share of a correctly written word's attention within its true span; nan where spans are unknown.
    monotone: share of the recordings without an error whose attention never steps back by more than one cell.
    by_length: words of a recording -> (word error rate, recordings). confusions: (reference, written) -> times, of
    wrong words, None on one side; the most frequent first.
    """

    wer: float
    cer: float
    sentence_errors: float
    recordings: int
    substitutions: float
    insertions: float
    deletions: float
    attention_in_span: float
    monotone: float
    by_length: dict[str, tuple[float, int]]
    confusions: tuple[tuple[str | None, str | None, int], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The scores by name."""
        names = ("wer", "cer", "sentence_errors", "substitutions", "insertions", "deletions")
        scores: dict[str, Any] = {name: getattr(self, name) for name in names}
        for name in ("attention_in_span", "monotone"):
            value = getattr(self, name)
            scores[name] = None if value != value else value
        scores["recordings"] = self.recordings
        scores["by_length"] = {key: {"wer": wer, "recordings": n} for key, (wer, n) in self.by_length.items()}
        scores["confusions"] = [{"said": a, "written": b, "times": n} for a, b, n in self.confusions]
        return scores


class SpeechMetrics:
    """Counts of errors over recordings."""

    def __init__(self) -> None:
        # word errors by kind, words, character errors, characters, wrong recordings, recordings; then of each bucket
        self.sums = torch.zeros(6 + 2 + 4 + 3 * len(BUCKETS), dtype=torch.float64)
        self.confusions: Counter[tuple[str | None, str | None]] = Counter()

    def state(self) -> Tensor:
        """All counts as the bytes of a JSON list, (n,) uint8; confusions are counted by their words."""
        content = [self.sums.tolist(), [[reference, written, n] for (reference, written), n in self.confusions.items()]]
        return torch.frombuffer(bytearray(json.dumps(content).encode()), dtype=torch.uint8)

    def merge(self, state: Tensor) -> None:
        """Add the counts of another counter, whose `state` this is."""
        sums, confusions = json.loads(state.cpu().numpy().tobytes().decode())
        self.sums += torch.tensor(sums, dtype=torch.float64)
        self.confusions.update({(reference, written): n for reference, written, n in confusions})

    def update(
        self, reference: str, written: str, in_span: tuple[float, int] = (0.0, 0), monotone: bool | None = None
    ) -> float:
        """Count one recording; returns its own word error rate.

        in_span: (sum over words of the share of attention in their span, number of these words). monotone: None where
        it is not counted.
        """
        reference, written = scored_text(reference), scored_text(written)
        pairs = align(reference.split(), written.split())
        words = count_errors(pairs)
        characters = count_errors(align(list(reference), list(written)))
        self.confusions.update((pair.reference, pair.written) for pair in pairs if pair.is_error)
        own = torch.zeros_like(self.sums)
        own[:4] = torch.tensor([words.substitutions, words.insertions, words.deletions, words.reference])
        own[4:8] = torch.tensor([characters.count, characters.reference, words.count > 0, 1])
        own[8:10] = torch.tensor(in_span, dtype=torch.float64)
        if monotone is not None:
            own[10:12] = torch.tensor([float(monotone), 1.0])
        place = next(i for i, (low, high) in enumerate(BUCKETS) if not high or words.reference <= high)
        own[12 + 3 * place : 15 + 3 * place] = torch.tensor([words.count, words.reference, 1])
        self.sums += own
        return words.rate

    def compute(self) -> SpeechScores:
        """The scores. Raises DataError if nothing was counted."""
        values = self.sums.tolist()
        substitutions, insertions, deletions, words, wrong, characters, sentences, count = values[:8]
        if not count or not words:
            raise DataError("no recording was scored; give at least one with a transcript")
        lengths = {}
        for i, (low, high) in enumerate(BUCKETS):
            errors, reference, recordings = values[12 + 3 * i : 15 + 3 * i]
            if recordings:
                key = f"{low} to {high}" if high else f"{low} or more"
                lengths[key] = (errors / max(reference, 1), int(recordings))
        ranked = sorted(self.confusions.items(), key=lambda item: (-item[1], str(item[0])))
        return SpeechScores(
            (substitutions + insertions + deletions) / words,
            wrong / max(characters, 1),
            sentences / count,
            int(count),
            substitutions / words,
            insertions / words,
            deletions / words,
            values[8] / values[9] if values[9] else float("nan"),
            values[10] / values[11] if values[11] else float("nan"),
            lengths,
            tuple((reference, written, n) for (reference, written), n in ranked),
        )
