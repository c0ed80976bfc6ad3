"""Scores of captions of clips: events, order and attention by hand."""

import math

import numpy as np
import pytest
import torch

from foveate.errors import ConfigError, DataError
from foveate.metrics.captioning import CaptioningMetrics
from foveate.metrics.video import Named, VideoMetrics, named_events, order_of
from foveate.records import Event

PHRASES = {
    "walk": ("cow walks left", "cow goes left"),
    "land": ("bird lands", "bird lands on the ground"),
    "dark": ("it gets dark",),
}
WALK, LAND = Event("walk", 2, 6), Event("land", 8, 12)
CAPTION = "a cow walks left then a bird lands on the ground"


def score(text, events, references=(CAPTION,), attention=None, numbers=range(16), metrics=None, index=0):
    words = text.split()
    metrics = metrics or VideoMetrics([list(references)], PHRASES)
    if attention is None:
        attention = np.full((len(words), len(numbers)), 1 / len(numbers), np.float32)
    metrics.update(index, text, words, attention, numbers, events)
    return metrics


class TestEvents:
    def test_the_longest_phrase_counts_and_where_it_stands_is_known(self):
        words = CAPTION.split()
        assert named_events(words, PHRASES) == [Named("walk", 1, 4), Named("land", 6, 11)]
        assert named_events(["a", "bird", "lands", "now"], PHRASES) == [Named("land", 1, 3)]
        assert named_events(["cow", "walks", "to", "the", "left"], PHRASES) == []

    @pytest.mark.parametrize(
        ("text", "accuracy"),
        [
            (CAPTION, 1.0),
            ("a cow goes left", 0.5),  # one is missing
            ("a cow goes left then it gets dark", 0.5),  # one is taken for another
            ("a cow goes left then a bird lands then it gets dark", 2 / 3),  # one is invented
            ("a cow", 0.0),
        ],
    )
    def test_accuracy(self, text, accuracy):
        assert score(text, (WALK, LAND)).compute().event_accuracy == pytest.approx(accuracy)

    def test_words_of_byte_pairs_have_case_and_marks_that_do_not_count(self):
        attention = np.zeros((9, 16), np.float32)
        attention[:, 15] = 1
        attention[1:4, 3] = attention[7:, 10] = 1  # 'cow walks left,' and 'bird LANDS.', which follow each other
        attention[1:4, 15] = attention[7:, 15] = 0
        scores = score("A cow walks left, and then a bird LANDS.", (WALK, LAND), attention=attention).compute()
        assert (scores.event_accuracy, scores.order_accuracy, scores.attention_mass) == (1.0, 1.0, 1.0)
        # A word that is displayed as one and read as two has one row of attention.
        joined = score("a cow walks/left", (WALK,), attention=attention[[0, 1, 2]]).compute()
        assert (joined.event_accuracy, joined.attention_mass) == (1.0, 1.0)

    def test_every_kind_is_counted(self):
        by_event = score("a cow goes left then it gets dark", (WALK, LAND)).compute().by_event
        assert by_event == {"walk": (1, 1, 0), "land": (1, 0, 0), "dark": (0, 0, 1)}

    def test_an_event_without_phrases_is_refused(self):
        with pytest.raises(ConfigError, match="no phrases for the event 'swim'"):
            score("a cow", (Event("swim", 0, 3),))


class TestOrder:
    @pytest.mark.parametrize(
        ("text", "order"),
        [
            ("a cow walks left then a bird lands", "as told"),
            ("a cow walks left before a bird lands", "as told"),
            ("first a cow walks left and a bird lands", "as told"),
            ("after a cow walks left a bird lands", "as told"),
            ("a cow walks left after a bird lands", "reversed"),
            ("before a cow walks left a bird lands", "reversed"),
            ("a cow walks left while a bird lands", "together"),
            ("a cow walks left and at the same time a bird lands", "together"),
            ("while a cow walks left a bird lands", "together"),
            ("a cow walks left and a bird lands", ""),
        ],
    )
    def test_the_order_that_a_sentence_tells(self, text, order):
        words = text.split()
        assert order_of(words, *named_events(words, PHRASES)) == order

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("a cow walks left then a bird lands", 1.0),
            ("a bird lands after a cow walks left", 1.0),
            ("before a bird lands a cow walks left", 1.0),
            ("a bird lands then a cow walks left", 0.0),
            ("a bird lands while a cow walks left", 0.0),
            ("a bird lands and a cow walks left", 0.0),
            ("a bird lands", math.nan),  # does not count: only one is named
        ],
    )
    def test_accuracy(self, text, expected):
        found = score(text, (WALK, LAND)).compute()
        assert found.order_accuracy == pytest.approx(expected, nan_ok=True)
        assert found.orders == (0 if math.isnan(expected) else 1)

    def test_events_that_overlap_have_no_order(self):
        assert score(CAPTION, (WALK, Event("land", 4, 9))).compute().orders == 0


def test_attention_within_the_interval_of_the_event_by_hand():
    numbers = [1, 3, 5, 7, 9, 11, 13, 15]
    words = CAPTION.split()
    attention = np.zeros((len(words), 8), np.float32)
    attention[:, 7] = 1.0
    attention[1:4] = 0
    attention[1, 1] = attention[2, 2] = 1.0  # frames 3 and 5 are in 2..5; of 'left' nothing is
    attention[3, 0] = 1.0
    found = score(CAPTION, (WALK, LAND), attention=attention, numbers=numbers).compute()
    assert found.attended == 2
    assert found.attention_mass == pytest.approx((2 / 3 + 0) / 2)
    assert found.attention_chance == pytest.approx(2 / 8)  # 3, 5; 9, 11
    assert found.attention_ratio == pytest.approx(4 / 3)
    # Frames that are read may all be outside: then nothing is measured.
    assert score(CAPTION, (WALK,), numbers=[0, 7]).compute().attended == 0


def test_the_end_of_an_interval_is_outside_and_of_an_event_named_twice_the_first_counts():
    words = ["a", "cow", "walks", "left", "and", "a", "cow", "goes", "left"]
    attention = np.zeros((len(words), 4), np.float32)
    attention[:5, 1], attention[5:, 2] = 1.0, 1.0
    found = score(" ".join(words), (WALK,), attention=attention, numbers=[0, 2, 6, 8]).compute()
    assert (found.attended, found.attention_mass, found.attention_chance) == (1, 1.0, 0.25)  # frame 2 of 2..5


def test_without_events_their_scores_are_not_defined():
    found = score(CAPTION, None).compute()
    assert math.isnan(found.event_accuracy) and math.isnan(found.order_accuracy) and math.isnan(found.attention_ratio)
    data = found.to_json()
    assert data["event_accuracy"] is None and data["bleu4"] == pytest.approx(1.0) and data["exact"] == 1.0


def test_captions_are_scored_as_those_of_images_and_states_add_up():
    references = [["a cow walks left", "the cow goes left"], ["a bird lands"], ["it gets dark"]]
    texts = ["a cow goes left", "a bird lands", "a cow walks left"]
    events = [(WALK,), (LAND,), (Event("dark", 1, 3),)]
    whole, plain = VideoMetrics(references, PHRASES), CaptioningMetrics(references)
    parts = [VideoMetrics(references, PHRASES) for _ in range(2)]
    for i, (text, own) in enumerate(zip(texts, events, strict=True)):
        for metrics in (whole, parts[i % 2]):
            score(text, own, metrics=metrics, index=i)
        plain.update(i, text)
    merged = VideoMetrics(references, PHRASES)
    for part in parts:
        assert part.state().dtype == torch.float64
        merged.merge(part.state())
    a, b, c = whole.compute(), merged.compute(), plain.compute()
    assert a == b
    assert (a.bleu4, a.cider_d, a.rouge_l) == pytest.approx((c.bleu4, c.cider_d, c.rouge_l))
    assert a.exact == pytest.approx(1 / 3) and a.event_accuracy == pytest.approx(2 / 3) and a.clips == 3
    with pytest.raises(DataError, match="no caption was scored"):
        VideoMetrics(references, PHRASES).compute()
