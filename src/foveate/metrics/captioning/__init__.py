"""How well sentences describe pictures, and whether attention falls on what they name.

Shapes: M pictures, T words, maps of h x w cells, N masks of H x W pixels. Counts and sums are all that is kept.

    BLEU-1..4  of the whole set, coco-caption's definition: closest reference length, its smoothing constants
    ROUGE-L    coco-caption's: beta 1.2, the best precision and the best recall over references; mean over pictures
    CIDEr-D    n-grams of 1 to 4 words, sigma 6, weights from the references of the whole set; mean over pictures; not
               defined (nan) for a set of one picture, where every weight is 0

All are computed on `foveate.text.split_words`, which says how it differs from the Penn Treebank tokenizer of
coco-caption, so published figures are near but not the same. METEOR is not offered: its scorer is a Java program, and
a port without WordNet's synonyms and its paraphrase table would be another score under the same name. SPICE needs
Java, too.

The attention scores are defined in `foveate.metrics.captioning.attention`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from foveate.errors import ConfigError, DataError
from foveate.metrics.captioning.attention import SMALL as SMALL
from foveate.metrics.captioning.attention import check_maps, on_objects, spread
from foveate.metrics.captioning.sentences import Counted, bleu, bleu_counts, cider_d, rouge_l
from foveate.metrics.captioning.sentences import References as References
from foveate.text import split_words


@dataclass(frozen=True)
class CaptioningScores:
    """Scores over a whole set; nan where a score is not defined.

    bleu1 to bleu4, rouge_l: 0..1. cider_d: 0..10.
    attention_hit, attention_mass: over words whose objects cover less than 15 % of the picture; attention_chance and
        attention_mass_chance are those of a uniform map, over the same words; attention_words, how many these are.
        Not defined without masks, or of a model without attention.
    attention_entropy: mean over all words, in nats; attention_entropy_share: of log(h w), 0..1.
    attention_change: mean over sentences of how much of the attention moves from word to word, 0..1.
    mean_length: words a sentence. distinct: different sentences / pictures. vocabulary_used: the share of the
        references' different words that the sentences use.
    images: how many pictures were scored.
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
        """Plain numbers, for JSON; a score that is not defined is None. classes: ignored, sentences have none."""
        return {name: None if math.isnan(value) else value for name, value in asdict(self).items()}


class CaptioningMetrics:
    """Counts pictures one at a time.

    references: what people said of each of the M pictures, all of the set's in every process, since CIDEr-D weighs
    n-grams by how many pictures have them. Raises DataError for a picture without a reference that has a word.
    """

    def __init__(self, references: Sequence[Sequence[str]] | References) -> None:
        self.references = references if isinstance(references, References) else References(references)
        self._sentences = np.zeros(13)  # pictures, ROUGE-L, CIDEr-D, and the ten of bleu_counts
        self._objects = np.zeros(5)
        self._spread = np.zeros(5)
        self._words = np.zeros(len(self.references.vocabulary))  # how often each word of the references was said
        # What was said of each picture, as a number: a set of sentences cannot be summed over processes, but these can.
        self._marks = np.zeros(len(self.references))

    def update(
        self,
        index: int,
        text: str,
        words: Sequence[str] = (),
        attention: ArrayLike | None = None,
        masks: ArrayLike | None = None,
        named: Mapping[str, Sequence[int]] | None = None,
    ) -> float:
        """Count what was said of one picture; returns its own CIDEr-D.

        index: the picture, 0..M-1; each is counted once. text: the sentence.
        words, attention: as the sentence is divided for the eye, and (T, h, w), a map for each.
        masks, named: (N, H, W) bool, over the part of the picture that the maps cover, and word in lower case -> the
            masks that it may be about.

        Raises ConfigError for an index beyond the set or counted before, DataError for maps or masks that do not fit.
        """
        if not 0 <= index < len(self.references):
            raise ConfigError(f"picture {index} of a set of {len(self.references)}; give an index of its references")
        if self._marks[index]:
            raise ConfigError(f"picture {index} was counted before; count each once, or start new metrics")
        name = f"picture {index}"
        maps = None if attention is None else np.asarray(attention, float)
        if maps is not None:
            check_maps(maps, words, name)
            if masks is not None and named is not None:
                self._objects += on_objects(maps, words, np.asarray(masks), named, name)
            self._spread += spread(maps)
        said = Counted.of(split_words(text))
        others = [Counted.of(other) for other in self.references.words[index]]
        cider = cider_d(said, others, self.references)
        self._sentences += [1, rouge_l(said, others), cider, *bleu_counts(said, others)]
        for word in said.words:
            if (place := self.references.vocabulary.get(word)) is not None:
                self._words[place] += 1
        self._marks[index] = _mark(said.words)
        return cider

    def state(self) -> Tensor:
        """All sums as one flat float64 tensor; states of several processes may be summed, and merged.

        The processes must have counted different pictures of the same set.
        """
        return torch.from_numpy(np.concatenate(self._parts()))

    def merge(self, state: Tensor) -> None:
        """Add the sums of metrics with the same references.

        Raises ConfigError if they cannot be the same, or a picture was counted in both.
        """
        expected = sum(part.size for part in self._parts())
        if tuple(state.shape) != (expected,):
            raise ConfigError(
                f"cannot merge sums of shape {tuple(state.shape)} into metrics that hold ({expected},); "
                "merge metrics of the same references"
            )
        sums, start = state.cpu().double().numpy(), 0
        for part in self._parts():
            part += sums[start : start + part.size]
            start += part.size
        if self._sentences[0] != np.count_nonzero(self._marks):
            raise ConfigError(
                f"{int(self._sentences[0])} sentences for {np.count_nonzero(self._marks)} pictures; "
                "count each picture in one process only"
            )

    def _parts(self) -> tuple[np.ndarray, ...]:
        return self._sentences, self._objects, self._spread, self._words, self._marks

    def compute(self) -> CaptioningScores:
        """The scores of everything counted so far. Raises DataError if that is nothing."""
        images, rouge, cider = self._sentences[:3].tolist()
        if not images:
            raise DataError("no sentence was scored; count at least one picture")
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
            distinct=len(np.unique(self._marks[self._marks > 0])) / images,
            vocabulary_used=float((self._words > 0).mean()),
            images=int(images),
        )


def _mark(said: Sequence[str]) -> float:
    """A number of 52 bits for a sentence, never 0: as much as a float64 holds exactly."""
    digest = hashlib.blake2b(" ".join(said).encode(), digest_size=8).digest()
    return float(int.from_bytes(digest, "big") >> 12 or 1)


def _mean(sums: np.ndarray[Any, Any], count: float) -> list[Any]:
    return (sums / count).tolist() if count else [math.nan] * len(sums)
