"""Scores of captions of clips: those of captioning, and of the events that the captions describe.

Shapes: M clips, T words, K frames. Only counts and sums are stored.

    captions    BLEU-1..4, ROUGE-L and CIDEr-D as `metrics.captioning` has them; and the share of captions that are one
                of their clip's references, word for word
    events      a caption names the kinds of events of which it holds a phrase. Accuracy: right ones over the larger of
                the numbers of true and of named ones, summed over clips, so that one that is invented counts as one
                that is missing.
    order       of two events, one after the other, both named by the caption: the share in which it tells their true
                order. `order_of` reads it from then, before, after and while.
    attention   of the words that name a true event: the share of their attention on frames within the event's
                interval, and the share of the frames that are within, which is that of attention that is spread evenly.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from foveate.errors import ConfigError
from foveate.metrics.captioning import CaptioningMetrics, References
from foveate.metrics.plain import number_or_none
from foveate.metrics.sums import add, flatten
from foveate.records import Event
from foveate.text import split_words

# Scores that are those of captioning.
KEPT = (
    "bleu1", "bleu2", "bleu3", "bleu4", "rouge_l", "cider_d", "attention_entropy_share", "mean_length", "distinct",
    "vocabulary_used",
)  # fmt: skip
TOGETHER = frozenset({"while", "as", "same", "during"})


class Named(NamedTuple):
    """A kind of event that a caption names: by its plain words from `start` to the one before `end`."""

    kind: str
    start: int
    end: int


def plain_words(words: Sequence[str]) -> tuple[list[str], list[int]]:
    """Words as `split_words` has them, and the place among those displayed of each: 'left,' is left."""
    pairs = [(plain, place) for place, word in enumerate(words) for plain in split_words(word)]
    return [plain for plain, _ in pairs], [place for _, place in pairs]


def named_events(words: Sequence[str], phrases: Mapping[str, Iterable[str]]) -> list[Named]:
    """The events that plain words describe, in their order; of phrases that overlap the longest counts."""
    every = [(tuple(split_words(phrase)), kind) for kind, own in phrases.items() for phrase in own]
    every.sort(key=lambda pair: -len(pair[0]))
    taken = [False] * len(words)
    found = []
    for phrase, kind in every:
        for start in range(len(words) - len(phrase) + 1):
            end = start + len(phrase)
            if tuple(words[start:end]) == phrase and not any(taken[start:end]):
                taken[start:end] = [True] * len(phrase)
                found.append(Named(kind, start, end))
    return sorted(found, key=lambda one: one.start)


def order_of(words: Sequence[str], first: Named, second: Named) -> str:
    """The order in which a caption puts two events, `first` being the one it names first: 'as told', 'reversed',
    'together', or '' for none.

    'before B, A' and 'B after A' are reversed; 'A then B', 'A before B' and 'after A, B' are as told. words: plain.
    """
    lead, between = set(words[: first.start]), set(words[first.end : second.start])
    if between & TOGETHER or lead & TOGETHER:
        return "together"
    if "after" in between or "before" in lead:
        return "reversed"
    return "as told" if between & {"then", "before"} or lead & {"after", "first"} else ""


@dataclass(frozen=True)
class VideoScores:
    """Scores over a whole data set; nan where a score is not defined, as those of events that are not known.

    bleu1, bleu2, bleu3, bleu4, rouge_l, exact: 0..1. cider_d: 0..10.
    event_accuracy, order_accuracy: 0..1, see the module. events, orders: the numbers of true events, and of clips whose
        order counts.
    attention_mass, attention_chance: shares of the attention, and of the frames, within the interval of an event;
        means over `attended` words' events. attention_ratio: their quotient.
    attention_entropy_share: mean over all words, 0: on one frame, 1: evenly over all.
    mean_length: words a caption. distinct: number of different captions / number of clips.
    vocabulary_used: share of the references' different words that occur in the captions. clips: number scored.
    by_event: kind -> (true ones, named rightly, named wrongly).
    """

    bleu1: float
    bleu2: float
    bleu3: float
    bleu4: float
    rouge_l: float
    cider_d: float
    exact: float
    event_accuracy: float
    order_accuracy: float
    attention_mass: float
    attention_chance: float
    attention_ratio: float
    attention_entropy_share: float
    mean_length: float
    distinct: float
    vocabulary_used: float
    events: int
    orders: int
    attended: int
    clips: int
    by_event: Mapping[str, tuple[int, int, int]]

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON; a score that is not defined is None."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        plain = {name: number_or_none(v) for name, v in values.items()}
        kinds = {kind: dict(zip(("true", "right", "wrong"), n, strict=True)) for kind, n in self.by_event.items()}
        return plain | {"by_event": kinds}


class VideoMetrics:
    """Accumulates scores one clip at a time.

    references: captions of each of the M clips. phrases: kind of event -> phrases; {} where events are not known.
    Raises DataError for a clip without a reference that has a word.
    """

    def __init__(self, references: Sequence[Sequence[str]] | References, phrases: Mapping[str, Sequence[str]]) -> None:
        self.captions = CaptioningMetrics(references)
        self.phrases = phrases
        self._exact = np.zeros(1)
        self._events = np.zeros(5)  # true, right, the larger of true and named; orders, right orders
        self._attention = np.zeros(3)  # events, mass, chance
        self._kinds = np.zeros((len(phrases), 3))

    def update(
        self,
        index: int,
        text: str,
        words: Sequence[str],
        attention: np.ndarray,
        numbers: Sequence[int],
        events: Sequence[Event] | None,
    ) -> float:
        """Add the caption of one clip and return its CIDEr-D.

        index: of the clip, 0..M-1. text: the caption. words: its T words as they are displayed, one for each row of
        attention (T, K). numbers: of the K frames in the whole clip. events: that happen; None if they are not known.
        Raises what `CaptioningMetrics.update` raises, ConfigError for a kind of event without phrases.
        """
        cider = self.captions.update(index, text, words, attention[:, None] if len(attention) else None)
        plain = split_words(text)
        self._exact += plain in self.captions.references.words[index]
        if events is not None:
            self._count(words, attention, np.asarray(numbers), events)
        return cider

    def _count(self, words: Sequence[str], attention: np.ndarray, numbers: np.ndarray, events: Sequence[Event]) -> None:
        kinds = list(self.phrases)
        truth = {event.kind: event for event in events}
        if unknown := sorted(set(truth) - set(kinds)):
            raise ConfigError(f"no phrases for the event '{unknown[0]}'; expected one of {', '.join(kinds)}")
        plain, places = plain_words(words)
        found = named_events(plain, self.phrases)
        named = {one.kind: one for one in reversed(found)}  # of one that is named twice the first
        right = [kind for kind in truth if kind in named]
        self._events[:3] += len(truth), len(right), max(len(truth), len(named))
        for kind in {*truth, *named}:
            self._kinds[kinds.index(kind)] += kind in truth, kind in truth and kind in named, kind not in truth
        if len(events) == 2 and len(right) == 2:
            early, late = sorted(truth.values(), key=lambda event: event.start)
            if early.end <= late.start:
                first, second = sorted((named[early.kind], named[late.kind]), key=lambda one: one.start)
                said = order_of(plain, first, second)
                expected = "as told" if first.kind == early.kind else "reversed"
                self._events[3:] += 1, said == expected
        for kind in right:
            event, one = truth[kind], named[kind]
            inside = (numbers >= event.start) & (numbers < event.end)
            if inside.any():
                mean = attention[places[one.start : one.end]].mean(0)
                self._attention += 1, float(mean[inside].sum()), float(inside.mean())

    def state(self) -> Tensor:
        """All sums as one flat float64 tensor; those of several processes may be added for `merge`."""
        return torch.cat([flatten(self._parts()), self.captions.state()])

    def merge(self, state: Tensor) -> None:
        """Add the sums of other metrics with the same references and phrases. Raises ConfigError."""
        own = sum(part.size for part in self._parts())
        self.captions.merge(state[own:])
        add(self._parts(), state[:own], same="phrases")

    def _parts(self) -> tuple[np.ndarray, ...]:
        return self._exact, self._events, self._attention, self._kinds

    def compute(self) -> VideoScores:
        """The scores of all captions added so far. Raises DataError if there are none."""
        captions = self.captions.compute()
        true, right, larger, orders, in_order = self._events.tolist()
        attended, mass, chance = self._attention.tolist()
        kept = {name: getattr(captions, name) for name in KEPT}
        return VideoScores(
            **kept,
            exact=float(self._exact[0]) / captions.images,
            event_accuracy=right / larger if larger else math.nan,
            order_accuracy=in_order / orders if orders else math.nan,
            attention_mass=mass / attended if attended else math.nan,
            attention_chance=chance / attended if attended else math.nan,
            attention_ratio=mass / chance if chance else math.nan,
            events=int(true),
            orders=int(orders),
            attended=int(attended),
            clips=captions.images,
            by_event={
                kind: (int(a), int(b), int(c)) for kind, (a, b, c) in zip(self.phrases, self._kinds, strict=True)
            },
        )
