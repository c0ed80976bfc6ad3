"""BLEU, ROUGE-L and CIDEr-D of one sentence against its references, in parts that add up over a set.

A sentence is a list of words, as `split_words` finds them. The scores are coco-caption's, whose Java tokenizer is not
here; `split_words` says how it differs.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from foveate.errors import DataError
from foveate.text import split_words

ORDERS = 4  # n-grams of 1 to 4 words
_BETA = 1.2  # ROUGE-L: recall weighs this much more than precision
_SIGMA = 6.0  # CIDEr-D: how forgiving its Gaussian is of another length, in words
_TINY, _NEARLY_ZERO = 1e-15, 1e-9  # coco-caption's, so that BLEU is defined where nothing matches


class Counted(NamedTuple):
    """A sentence: its words, and how often it has each n-gram of 1 to 4 words."""

    words: Sequence[str]
    grams: tuple[Counter[tuple[str, ...]], ...]

    @classmethod
    def of(cls, words: Sequence[str]) -> Counted:
        """Count the n-grams of a sentence."""
        grams = (Counter(zip(*(words[i:] for i in range(n)), strict=False)) for n in range(1, ORDERS + 1))
        return cls(words, tuple(grams))


class References:
    """What people said of each picture of a set, split into words, and how common each n-gram is in it.

    texts: the references of each picture; those without a word are left out. It can be made once and given to the
    metrics of every epoch. Raises DataError for no pictures, or a picture without a reference that has a word.
    """

    def __init__(self, texts: Sequence[Sequence[str]]) -> None:
        if not len(texts):
            raise DataError("no references to score against; give a set with at least one picture")
        self.words = [[words for words in map(split_words, own) if words] for own in texts]
        empty = [index for index, own in enumerate(self.words) if not own]
        if empty:
            raise DataError(
                f"picture {empty[0]} has no reference with a word in it ({len(empty)} of {len(texts)} have none); "
                "leave it out of the set"
            )
        self.vocabulary = {word: i for i, word in enumerate(sorted({w for own in self.words for r in own for w in r}))}
        frequency: Counter[tuple[str, ...]] = Counter()  # in how many pictures' references an n-gram comes
        for own in self.words:
            frequency.update({gram for words in own for grams in Counted.of(words).grams for gram in grams})
        # log (|I| / df), and df is at least 1
        self.rarest = math.log(len(texts))
        self.weights = {gram: self.rarest - math.log(df) for gram, df in frequency.items()}

    def __len__(self) -> int:
        return len(self.words)


def bleu_counts(said: Counted, references: Sequence[Counted]) -> np.ndarray:
    """(10,): matches of order 1..4, n-grams of order 1..4, words, words of the reference of the closest length.

    A match of an n-gram counts as often as the reference that has it most (Papineni et al., "BLEU", 2002, section
    2.1.1). Of two references equally close in length the shorter is taken.
    """
    matches = [
        sum(min(count, max(other.grams[n].get(gram, 0) for other in references)) for gram, count in grams.items())
        for n, grams in enumerate(said.grams)
    ]
    length = len(said.words)
    possible = [max(0, length - n) for n in range(ORDERS)]
    closest = min((abs(len(other.words) - length), len(other.words)) for other in references)[1]
    return np.array([*matches, *possible, length, closest], float)


def bleu(counts: np.ndarray) -> tuple[float, ...]:
    """BLEU-1..4 from the sum of `bleu_counts` over a set."""
    matches, possible, (said, wanted) = counts[:ORDERS], counts[ORDERS : 2 * ORDERS], counts[2 * ORDERS :]
    # BLEU-n = BP (p_1 ... p_n)^(1/n), BP = exp(1 - r / c) where the sentences are shorter than their references
    precisions = (matches + _TINY) / (possible + _NEARLY_ZERO)
    means = np.cumprod(precisions) ** (1 / np.arange(1, ORDERS + 1))
    ratio = float((said + _TINY) / (wanted + _NEARLY_ZERO))
    brevity = math.exp(1 - 1 / ratio) if ratio < 1 else 1.0
    return tuple((brevity * means).tolist())


def longest_common(left: Sequence[str], right: Sequence[str]) -> int:
    """The length of the longest common subsequence.

    A row of the usual table is one number, of which bit i is 0 where the entry grows at place i of `left` (Hyyro,
    "Bit-parallel LCS-length computation revisited", 2004); several times faster than the table.
    """
    places: dict[str, int] = {}
    for i, word in enumerate(left):
        places[word] = places.get(word, 0) | 1 << i
    whole = row = (1 << len(left)) - 1
    for word in right:
        matches = row & places.get(word, 0)
        row = (row + matches | row - matches) & whole
    return len(left) - row.bit_count()


def rouge_l(said: Counted, references: Sequence[Counted]) -> float:
    """ROUGE-L (Lin 2004, section 3), 0..1, with the best precision and the best recall over references.

    F = (1 + beta^2) R P / (R + beta^2 P); the two may come from different references, as in coco-caption.
    """
    common = [longest_common(said.words, other.words) for other in references]
    precision = max(common) / max(len(said.words), 1)
    recall = max(n / len(other.words) for n, other in zip(common, references, strict=True))
    if not precision:
        return 0.0
    return (1 + _BETA**2) * recall * precision / (recall + _BETA**2 * precision)


def cider_d(said: Counted, references: Sequence[Counted], corpus: References) -> float:
    """CIDEr-D of one sentence (Vedantam et al., "CIDEr", 2015, section 7), 0..10; 0 in a corpus of one picture.

    For each order n, with g_k = h_k log(|I| / df_k) over n-grams k, c the sentence and s_1 .. s_m its references:
    CIDEr-D_n = 10 / m sum_j exp(-(l(c) - l(s_j))^2 / (2 sigma^2)) min(g(c), g(s_j)) . g(s_j) / (|g(c)| |g(s_j)|);
    CIDEr-D is their mean over n. h_k are plain counts, as in the authors' code: the paper's equation 1 divides them by
    their sum over the sentence, which changes min() where lengths differ.
    """
    total, weights = 0.0, corpus.weights
    for n, h_c in enumerate(said.grams):
        g_c = {gram: count * weights.get(gram, corpus.rarest) for gram, count in h_c.items()}
        norm_c = math.sqrt(sum([value * value for value in g_c.values()]))
        for other in references:
            h_s = other.grams[n]
            product = 0.0
            for gram in g_c.keys() & h_s.keys():
                g_s = h_s[gram] * weights[gram]
                product += min(g_c[gram], g_s) * g_s
            if product:  # then neither norm is 0
                norm_s = math.sqrt(sum([(count * weights[gram]) ** 2 for gram, count in h_s.items()]))
                length = math.exp(-((len(said.words) - len(other.words)) ** 2) / (2 * _SIGMA**2))
                total += length * product / (norm_c * norm_s)
    return 10 * total / (ORDERS * len(references))
