"""BLEU, ROUGE-L and CIDEr-D of one caption against its references, in parts that are summed over a data set.

A caption is a list of words, as `split_words` returns them. The scores are those of coco-caption except for its Java
tokenizer; the docstring of `split_words` lists the differences.
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
_BETA = 1.2  # ROUGE-L: weight of recall relative to precision
_SIGMA = 6.0  # CIDEr-D: standard deviation, in words, of the Gaussian length penalty
_TINY, _NEARLY_ZERO = 1e-15, 1e-9  # coco-caption's smoothing, so that BLEU is defined without any match


class Counted(NamedTuple):
    """Words of a caption and the counts of its n-grams of 1 to 4 words."""

    words: Sequence[str]
    grams: tuple[Counter[tuple[str, ...]], ...]

    @classmethod
    def of(cls, words: Sequence[str]) -> Counted:
        """Count the n-grams of a caption."""
        grams = (Counter(zip(*(words[i:] for i in range(n)), strict=False)) for n in range(1, ORDERS + 1))
        return cls(words, tuple(grams))


class References:
    """Reference captions of each image of a data set, split into words, and the n-gram weights of CIDEr-D.

    It can be built once and passed to the metrics of every epoch.

    texts: the references of each image; those without a word are left out.
    Raises DataError for no images, or an image without a reference that has a word.
    """

    def __init__(self, texts: Sequence[Sequence[str]]) -> None:
        if not len(texts):
            raise DataError("no references to score against; give a set with at least one picture")
        self.words = [[words for words in map(split_words, captions) if words] for captions in texts]
        empty = [index for index, captions in enumerate(self.words) if not captions]
        if empty:
            raise DataError(
                f"picture {empty[0]} has no reference with a word in it ({len(empty)} of {len(texts)} have none); "
                "leave it out of the set"
            )
        vocabulary = sorted({word for captions in self.words for words in captions for word in words})
        self.vocabulary = {word: i for i, word in enumerate(vocabulary)}
        frequency: Counter[tuple[str, ...]] = Counter()  # n-gram -> number of images whose references have it
        for captions in self.words:
            frequency.update({gram for words in captions for grams in Counted.of(words).grams for gram in grams})
        # log (|I| / df), and df is at least 1
        self.rarest = math.log(len(texts))
        self.weights = {gram: self.rarest - math.log(df) for gram, df in frequency.items()}

    def __len__(self) -> int:
        return len(self.words)


def bleu_counts(caption: Counted, references: Sequence[Counted]) -> np.ndarray:
    """Return the counts (10,) of BLEU: matches of order 1..4, n-grams of order 1..4, words, closest reference length.

    The matches of an n-gram are clipped to its largest count in one reference (Papineni et al., "BLEU", 2002, section
    2.1.1). Of two references equally close in length the shorter is taken.
    """
    matches = [
        sum(
            min(count, max(reference.grams[n].get(gram, 0) for reference in references))
            for gram, count in grams.items()
        )
        for n, grams in enumerate(caption.grams)
    ]
    length = len(caption.words)
    possible = [max(0, length - n) for n in range(ORDERS)]
    closest = min((abs(len(reference.words) - length), len(reference.words)) for reference in references)[1]
    return np.array([*matches, *possible, length, closest], float)


def bleu(counts: np.ndarray) -> tuple[float, ...]:
    """Compute BLEU-1..4 from the sum of `bleu_counts` over a data set."""
    matches, possible, (length, reference_length) = counts[:ORDERS], counts[ORDERS : 2 * ORDERS], counts[2 * ORDERS :]
    # BLEU-n = BP (p_1 ... p_n)^(1/n), BP = exp(1 - r / c) if the captions are shorter than their references
    precisions = (matches + _TINY) / (possible + _NEARLY_ZERO)
    means = np.cumprod(precisions) ** (1 / np.arange(1, ORDERS + 1))
    ratio = float((length + _TINY) / (reference_length + _NEARLY_ZERO))
    brevity = math.exp(1 - 1 / ratio) if ratio < 1 else 1.0
    return tuple((brevity * means).tolist())


def longest_common(left: Sequence[str], right: Sequence[str]) -> int:
    """Return the length of the longest common subsequence.

    A row of the usual table is encoded as one number, whose bit i is 0 where the entry grows at position i of `left`
    (Hyyro, "Bit-parallel LCS-length computation revisited", 2004); this is several times faster than the table.
    """
    positions: dict[str, int] = {}
    for i, word in enumerate(left):
        positions[word] = positions.get(word, 0) | 1 << i
    all_ones = row = (1 << len(left)) - 1
    for word in right:
        matches = row & positions.get(word, 0)
        row = (row + matches | row - matches) & all_ones
    return len(left) - row.bit_count()


def rouge_l(caption: Counted, references: Sequence[Counted]) -> float:
    """Compute ROUGE-L (Lin 2004, section 3), 0..1, with the best precision and the best recall over references.

    F = (1 + beta^2) R P / (R + beta^2 P); the two may come from different references, as in coco-caption.
    """
    common = [longest_common(caption.words, reference.words) for reference in references]
    precision = max(common) / max(len(caption.words), 1)
    recall = max(n / len(reference.words) for n, reference in zip(common, references, strict=True))
    if not precision:
        return 0.0
    return (1 + _BETA**2) * recall * precision / (recall + _BETA**2 * precision)


def cider_d(caption: Counted, references: Sequence[Counted], corpus: References) -> float:
    """Compute CIDEr-D of one caption (Vedantam et al., "CIDEr", 2015, section 7), 0..10; 0 in a corpus of one image.

    For each order n, with g_k = h_k log(|I| / df_k) over n-grams k, c the caption and s_1 .. s_m its references:
    CIDEr-D_n = 10 / m sum_j exp(-(l(c) - l(s_j))^2 / (2 sigma^2)) min(g(c), g(s_j)) . g(s_j) / (|g(c)| |g(s_j)|);
    CIDEr-D is their mean over n. h_k are plain counts, as in the authors' code: the paper's equation 1 divides them by
    their sum over the caption, which changes min() where lengths differ.
    """
    total, weights = 0.0, corpus.weights
    for n, h_c in enumerate(caption.grams):
        g_c = {gram: count * weights.get(gram, corpus.rarest) for gram, count in h_c.items()}
        norm_c = math.sqrt(sum([value * value for value in g_c.values()]))
        for reference in references:
            h_s = reference.grams[n]
            product = 0.0
            for gram in g_c.keys() & h_s.keys():
                g_s = h_s[gram] * weights[gram]
                product += min(g_c[gram], g_s) * g_s
            if product:  # then neither norm is 0
                norm_s = math.sqrt(sum([(count * weights[gram]) ** 2 for gram, count in h_s.items()]))
                length = math.exp(-((len(caption.words) - len(reference.words)) ** 2) / (2 * _SIGMA**2))
                total += length * product / (norm_c * norm_s)
    return 10 * total / (ORDERS * len(references))
