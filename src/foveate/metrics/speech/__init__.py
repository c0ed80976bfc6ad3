"""Scores of transcripts: word and character error rates, with the alignments that they count.

    WER = (substitutions + insertions + deletions) / words that were said

over all recordings together, so that long ones count for more; it may exceed 1. CER is the same of characters, blanks
included.

Shapes: P tokens written, R tokens said.
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

    said: str | None
    written: str | None

    @property
    def is_error(self) -> bool:
        """True for all but a match."""
        return self.said != self.written


@dataclass(frozen=True)
class Errors:
    """Errors of one alignment. said: R."""

    substitutions: int
    insertions: int
    deletions: int
    said: int

    @property
    def count(self) -> int:
        """The edit distance."""
        return self.substitutions + self.insertions + self.deletions

    @property
    def rate(self) -> float:
        """Errors for each token that was said; of an empty truth 0 or, with insertions, inf."""
        if self.said:
            return self.count / self.said
        return float("inf") if self.count else 0.0


def align(said: Sequence[str], written: Sequence[str]) -> list[Pair]:
    """Return an alignment with the fewest errors (Levenshtein 1966); of several, one with the most substitutions."""
    rows, columns = len(said), len(written)
    # cost[i][j]: errors between said[:i] and written[:j]
    cost = [list(range(columns + 1))]
    for i, one in enumerate(said, start=1):
        above, row = cost[-1], [i]
        for j, other in enumerate(written, start=1):
            row.append(min(above[j - 1] + (one != other), above[j] + 1, row[-1] + 1))
        cost.append(row)
    pairs: list[Pair] = []
    i, j = rows, columns
    while i or j:
        if i and j and cost[i][j] == cost[i - 1][j - 1] + (said[i - 1] != written[j - 1]):
            pairs.append(Pair(said[i - 1], written[j - 1]))
            i, j = i - 1, j - 1
        elif i and cost[i][j] == cost[i - 1][j] + 1:
            pairs.append(Pair(said[i - 1], None))
            i -= 1
        else:
            pairs.append(Pair(None, written[j - 1]))
            j -= 1
    return pairs[::-1]


def count_errors(pairs: Sequence[Pair]) -> Errors:
    """Return the errors of an alignment by kind."""
    insertions = sum(pair.said is None for pair in pairs)
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
    by_length: words of a recording -> (word error rate, recordings). confusions: (said, written) -> times, of wrong
    words, None on one side; the most frequent first.
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
        content = [self.sums.tolist(), [[said, written, n] for (said, written), n in self.confusions.items()]]
        return torch.frombuffer(bytearray(json.dumps(content).encode()), dtype=torch.uint8)

    def merge(self, state: Tensor) -> None:
        """Add the counts of another counter, whose `state` this is."""
        sums, confusions = json.loads(state.cpu().numpy().tobytes().decode())
        self.sums += torch.tensor(sums, dtype=torch.float64)
        self.confusions.update({(said, written): n for said, written, n in confusions})

    def update(
        self, said: str, written: str, in_span: tuple[float, int] = (0.0, 0), monotone: bool | None = None
    ) -> float:
        """Count one recording; returns its own word error rate.

        in_span: (sum over words of the share of attention in their span, number of these words). monotone: None where
        it is not counted.
        """
        said, written = scored_text(said), scored_text(written)
        pairs = align(said.split(), written.split())
        words = count_errors(pairs)
        characters = count_errors(align(list(said), list(written)))
        self.confusions.update((pair.said, pair.written) for pair in pairs if pair.is_error)
        own = torch.zeros_like(self.sums)
        own[:4] = torch.tensor([words.substitutions, words.insertions, words.deletions, words.said])
        own[4:8] = torch.tensor([characters.count, characters.said, words.count > 0, 1])
        own[8:10] = torch.tensor(in_span, dtype=torch.float64)
        if monotone is not None:
            own[10:12] = torch.tensor([float(monotone), 1.0])
        place = next(i for i, (low, high) in enumerate(BUCKETS) if not high or words.said <= high)
        own[12 + 3 * place : 15 + 3 * place] = torch.tensor([words.count, words.said, 1])
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
            errors, said, recordings = values[12 + 3 * i : 15 + 3 * i]
            if recordings:
                key = f"{low} to {high}" if high else f"{low} or more"
                lengths[key] = (errors / max(said, 1), int(recordings))
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
            tuple((said, written, n) for (said, written), n in ranked),
        )
