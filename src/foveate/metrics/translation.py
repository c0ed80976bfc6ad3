"""Translation metrics: BLEU, chrF and TER of sacreBLEU, with its signatures.

Papineni et al. (2002), Popović (2015) and Snover et al. (2006), as Post, "A Call for Clarity in Reporting BLEU Scores"
(2018), made them comparable: the references are the untouched text, and the signature names everything else. Only the
sums that the scores are made of are stored, so that those of several processes can be added.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from foveate.errors import ConfigError, DataError
from foveate.metrics.plain import number_or_none
from foveate.metrics.sums import add, flatten

BLEU_SUMS, CHRF_SUMS, TER_SUMS = 10, 18, 2  # numbers that each score is made of
BOUNDS = (5, 10, 15, 20, 30, 50)  # words of the longest sentence in each group of lengths but the last


def require_sacrebleu() -> None:
    """Raise ConfigError when the extra that scores translations is not installed."""
    try:
        import sacrebleu  # noqa: F401
    except ImportError:
        raise ConfigError(
            "scoring translations needs sacrebleu, which is not installed: pip install 'foveate[text]'"
        ) from None


@dataclass(frozen=True)
class TranslationScores:
    """Scores over a whole data set; nan where a score was not asked for.

    bleu, chrf: 0..100, larger is better. ter: edits for each word of the reference, smaller is better, seldom above 1.
    length_ratio: words of the translations for each word of the references. exact: share of translations that equal
    their reference. sentences: number of pairs. by_length: for each group of sentences by their words, (range, mean
    number of words, number of sentences, bleu). signatures: of sacreBLEU, by score.
    """

    bleu: float
    chrf: float
    ter: float
    length_ratio: float
    exact: float
    sentences: int
    by_length: tuple[tuple[str, float, int, float], ...] = ()
    signatures: tuple[tuple[str, str], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON; a score that was not computed is None."""
        names = ("range", "words", "sentences", "bleu")
        groups = [dict(zip(names, group, strict=True)) for group in self.by_length]
        values = asdict(self) | {"by_length": groups, "signatures": dict(self.signatures)}
        return {k: number_or_none(v) for k, v in values.items()}


class TranslationMetrics:
    """Sums over pairs of a translation and its reference.

    lower: True compares in lower case. characters: True takes each character for a word, for scripts that are written
    without blanks. ter: False leaves out TER, which takes long.
    Raises ConfigError if sacrebleu is not installed.
    """

    def __init__(self, lower: bool = False, characters: bool = False, ter: bool = True) -> None:
        require_sacrebleu()
        metrics: Any = importlib.import_module("sacrebleu.metrics")
        self.bleu: Any = metrics.BLEU(lowercase=lower, tokenize="char" if characters else "13a")
        self.chrf: Any = metrics.CHRF(lowercase=lower)
        self.ter: Any = (
            metrics.TER(case_sensitive=not lower, asian_support=characters, normalized=characters) if ter else None
        )
        # A row a group of lengths; the sums, then exact ones, words of the sentences, and pairs.
        self.sums = torch.zeros(len(BOUNDS) + 1, BLEU_SUMS + CHRF_SUMS + TER_SUMS + 3, dtype=torch.float64)

    def update(self, translation: str, reference: str, words: int) -> float:
        """Count one pair; returns the translation's own chrF, 0..100. words: of the sentence that was translated."""
        bleu, chrf = (
            metric._extract_corpus_statistics([translation], [[reference]])[0] for metric in (self.bleu, self.chrf)
        )
        ter = self.ter._extract_corpus_statistics([translation], [[reference]])[0] if self.ter else [0.0] * TER_SUMS
        exact = translation.strip() == reference.strip()
        if self.bleu.lowercase:
            exact = translation.strip().lower() == reference.strip().lower()
        group = sum(words > bound for bound in BOUNDS)
        self.sums[group] += torch.tensor([*bleu, *chrf, *ter, float(exact), float(words), 1.0], dtype=torch.float64)
        return float(self.chrf._compute_score_from_stats(chrf).score)

    def state(self) -> Tensor:
        """All sums as one flat float64 tensor; those of several processes may be added for `merge`."""
        return flatten([self.sums.numpy()])

    def merge(self, state: Tensor) -> None:
        """Add the sums of another counter. Raises ConfigError if the state's length differs."""
        add([self.sums.numpy()], state, same="kind")

    def _by_length(self) -> Iterator[tuple[str, float, int, float]]:
        """Yield (range, mean number of words, number of sentences, bleu) of each group that has sentences."""
        for group, row in enumerate(self.sums):
            words, count = row[-2:].tolist()
            if count:
                low = BOUNDS[group - 1] + 1 if group else 0
                name = f"{low} to {BOUNDS[group]}" if group < len(BOUNDS) else f"{low} and more"
                bleu = self.bleu._compute_score_from_stats([round(value) for value in row[:BLEU_SUMS].tolist()]).score
                yield name, words / count, round(count), float(bleu)

    def compute(self) -> TranslationScores:
        """Return the scores. Raises DataError if nothing was counted."""
        parts = self.sums.sum(0).split([BLEU_SUMS, CHRF_SUMS, TER_SUMS, 3])
        bleu, chrf = ([round(value) for value in part.tolist()] for part in parts[:2])
        exact, _, count = parts[3].tolist()
        if not count:
            raise DataError("no translation was scored; give at least one pair")
        ter = self.ter._compute_score_from_stats(parts[2].tolist()).score if self.ter else math.nan
        metrics = {"bleu": self.bleu, "chrf": self.chrf, **({"ter": self.ter} if self.ter else {})}
        return TranslationScores(
            bleu=float(self.bleu._compute_score_from_stats(bleu).score),
            chrf=float(self.chrf._compute_score_from_stats(chrf).score),
            ter=float(ter) / 100,
            length_ratio=bleu[0] / bleu[1] if bleu[1] else math.nan,
            exact=exact / count,
            sentences=round(count),
            by_length=tuple(self._by_length()),
            signatures=tuple((name, _signature(metric)) for name, metric in metrics.items()),
        )


def _signature(metric: Any) -> str:
    metric.num_refs = 1
    return str(metric.get_signature())
