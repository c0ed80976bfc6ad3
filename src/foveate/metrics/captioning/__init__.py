"""Captioning metrics: BLEU, ROUGE-L and CIDEr-D of captions, and scores of attention on the objects that they name.

Shapes: M images, T words, maps of h x w cells, N masks of H x W pixels. Only counts and sums are stored.

    BLEU-1..4  of the whole set, as coco-caption defines it: closest reference length, its smoothing constants
    ROUGE-L    as coco-caption defines it: beta 1.2, the best precision and the best recall over references; mean over
               images
    CIDEr-D    n-grams of 1 to 4 words, sigma 6, weights from the references of the whole set; mean over images; not
               defined (nan) for a set of one image, where every weight is 0

All are computed on the words of `foveate.text.split_words`, whose docstring lists the differences from the Penn
Treebank tokenizer of coco-caption; published scores are therefore close but not identical. METEOR is not offered: its
scorer is a Java program, and a port without WordNet's synonyms and its paraphrase table would be another score under
the same name. SPICE needs Java, too.

The attention scores are defined in `foveate.metrics.captioning.attention`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from foveate.errors import ConfigError, DataError, counted
from foveate.metrics.captioning.attention import MAX_OBJECT_SHARE as MAX_OBJECT_SHARE
from foveate.metrics.captioning.attention import check_maps, on_objects, spread
from foveate.metrics.captioning.sentences import Counted, bleu, bleu_counts, cider_d, rouge_l
from foveate.metrics.captioning.sentences import References as References
from foveate.metrics.plain import number_or_none
from foveate.metrics.sums import add, flatten
from foveate.text import split_words


@dataclass(frozen=True)
class CaptioningScores:
    """Captioning scores over a whole data set; nan where a score is not defined.

    bleu1, bleu2, bleu3, bleu4, rouge_l: 0..1.
    cider_d: 0..10.
    attention_hit, attention_mass: means over words whose objects cover less than 15 % of the image; not defined without
        masks, or for a model without attention.
    attention_chance, attention_mass_chance: the same for a uniform map, over the same words.
    attention_words: number of these words.
    attention_entropy: mean over all words, in nats.
    attention_entropy_share: the same as a share of log(h w), 0..1.
    attention_change: mean over captions of the share of attention that moves from word to word, 0..1.
    mean_length: words a caption.
    distinct: number of different captions / number of images.
    vocabulary_used: share of the references' different words that occur in the captions.
    images: number of images scored.
    """

    bleu1: float
    bleu2: float
    bleu3: float
    bleu4: float
    rouge_l: float
    cider_d: float
    attention_hit: float
    attention_chance: float
    attention_mass: float
    attention_mass_chance: float
    attention_words: int
    attention_entropy: float
    attention_entropy_share: float
    attention_change: float
    mean_length: float
    distinct: float
    vocabulary_used: float
    images: int

    def to_json(self, classes: object = None) -> dict[str, float | int | None]:
        """Return plain numbers for JSON; a score that is not defined is None. classes: ignored."""
        return {name: number_or_none(value) for name, value in asdict(self).items()}


class CaptioningMetrics:
    """Accumulates captioning scores one image at a time.

    references: reference captions of each of the M images. Every process needs those of the whole set, since CIDEr-D
        weights n-grams by the number of images whose references have them.
    Raises DataError for an image without a reference that has a word.
    """

    def __init__(self, references: Sequence[Sequence[str]] | References) -> None:
        self.references = references if isinstance(references, References) else References(references)
        self._sentences = np.zeros(13)  # images, ROUGE-L, CIDEr-D, and the ten of bleu_counts
        self._objects = np.zeros(5)
        self._spread = np.zeros(5)
        self._words = np.zeros(len(self.references.vocabulary))  # how often each reference word occurs in captions
        # A hash of each image's caption: unlike a set of captions, an array can be summed over processes.
        self._hashes = np.zeros(len(self.references))

    def update(
        self,
        index: int,
        text: str,
        words: Sequence[str] = (),
        attention: ArrayLike | None = None,
        masks: ArrayLike | None = None,
        named: Mapping[str, Sequence[int]] | None = None,
    ) -> float:
        """Add the caption of one image and return its CIDEr-D.

        index: index of the image, 0..M-1; each image is added once.
        text: the caption.
        words: the T words of the caption as they are displayed, one for each attention map.
        attention: (T, h, w), a map for each word.
        masks: (N, H, W) bool, over the part of the image that the maps cover.
        named: word in lower case -> indices of the masks that it may refer to.
        Raises ConfigError for an index out of range or added before, DataError for maps or masks of wrong shape.
        """
        if not 0 <= index < len(self.references):
            raise ConfigError(f"picture {index} of a set of {len(self.references)}; give an index of its references")
        if self._hashes[index]:
            raise ConfigError(f"picture {index} was counted before; count each once, or start new metrics")
        name = f"picture {index}"
        maps = None if attention is None else np.asarray(attention, float)
        if maps is not None:
            check_maps(maps, words, name)
            if masks is not None and named is not None:
                self._objects += on_objects(maps, words, np.asarray(masks), named, name)
            self._spread += spread(maps)
        caption = Counted.of(split_words(text))
        references = [Counted.of(reference) for reference in self.references.words[index]]
        cider = cider_d(caption, references, self.references)
        self._sentences += [1, rouge_l(caption, references), cider, *bleu_counts(caption, references)]
        for word in caption.words:
            if (word_id := self.references.vocabulary.get(word)) is not None:
                self._words[word_id] += 1
        self._hashes[index] = _hash(caption.words)
        return cider

    def state(self) -> Tensor:
        """Return all sums as one flat float64 tensor; the states of several processes may be summed for `merge`.

        The processes must have added different images of the same set.
        """
        return flatten(self._parts())

    def merge(self, state: Tensor) -> None:
        """Add the sums of other metrics with the same references.

        Raises ConfigError if the state's length differs, or an image was added in both.
        """
        add(self._parts(), state, same="references")
        if self._sentences[0] != np.count_nonzero(self._hashes):
            raise ConfigError(
                f"{counted(int(self._sentences[0]), 'sentence')} for "
                f"{counted(int(np.count_nonzero(self._hashes)), 'picture')}; "
                "count each picture in one process only"
            )

    def _parts(self) -> tuple[np.ndarray, ...]:
        return self._sentences, self._objects, self._spread, self._words, self._hashes

    def compute(self) -> CaptioningScores:
        """Compute the scores of all captions added so far. Raises DataError if there are none."""
        images, rouge, cider = self._sentences[:3].tolist()
        if not images:
            raise DataError("no caption was scored; add at least one picture")
        bleu1, bleu2, bleu3, bleu4 = bleu(self._sentences[3:])
        mass, mass_chance, hit, chance = _mean(self._objects[1:], self._objects[0])
        entropy, share = _mean(self._spread[1:3], self._spread[0])
        (change,) = _mean(self._spread[4:], self._spread[3])
        return CaptioningScores(
            bleu1=bleu1,
            bleu2=bleu2,
            bleu3=bleu3,
            bleu4=bleu4,
            rouge_l=rouge / images,
            cider_d=cider / images if len(self.references) > 1 else math.nan,
            attention_hit=hit,
            attention_chance=chance,
            attention_mass=mass,
            attention_mass_chance=mass_chance,
            attention_words=int(self._objects[0]),
            attention_entropy=entropy,
            attention_entropy_share=share,
            attention_change=change,
            mean_length=float(self._sentences[11] / images),
            distinct=len(np.unique(self._hashes[self._hashes > 0])) / images,
            vocabulary_used=float((self._words > 0).mean()),
            images=int(images),
        )


def _hash(words: Sequence[str]) -> float:
    """Return a hash of a caption, never 0, of 52 bits, which a float64 represents exactly."""
    digest = hashlib.blake2b(" ".join(words).encode(), digest_size=8).digest()
    return float(int.from_bytes(digest, "big") >> 12 or 1)


def _mean(sums: np.ndarray[Any, Any], count: float) -> list[Any]:
    return (sums / count).tolist() if count else [math.nan] * len(sums)
