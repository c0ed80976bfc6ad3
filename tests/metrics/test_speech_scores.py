"""Word and character error rates: parity with jiwer, hand-computed alignments, and sums over recordings."""

import itertools
import math
import random

import pytest

from foveate.errors import DataError
from foveate.metrics.speech import Errors, SpeechMetrics, align, count_errors, scored_text

jiwer = pytest.importorskip("jiwer")


def random_texts(count=1000):
    rng = random.Random(0)
    words = ["one", "two", "too", "three", "tree", "a", "oh", "nine", "mine", "b"]
    for _ in range(count):
        reference = [rng.choice(words) for _ in range(rng.randint(1, 9))]
        written = [word for word in reference if rng.random() > 0.15]
        written = [rng.choice(words) if rng.random() < 0.2 else word for word in written]
        for _ in range(rng.randint(0, 2)):
            written.insert(rng.randint(0, len(written)), rng.choice(words))
        yield " ".join(reference), " ".join(written)


def test_a_thousand_pairs_as_jiwer_counts_them():
    metrics = SpeechMetrics()
    references, writtens = [], []
    for reference, written in random_texts():
        own = count_errors(align(reference.split(), written.split()))
        theirs = jiwer.process_words(reference, written)
        assert own.count == theirs.substitutions + theirs.insertions + theirs.deletions
        assert own.insertions - own.deletions == theirs.insertions - theirs.deletions
        assert own.rate == pytest.approx(theirs.wer)
        assert metrics.update(reference, written) == own.rate
        references.append(reference)
        writtens.append(written)
    scores = metrics.compute()
    assert scores.wer == pytest.approx(jiwer.wer(references, writtens))
    assert scores.cer == pytest.approx(jiwer.cer(references, writtens))
    wrong = sum(a != b for a, b in zip(references, writtens, strict=True))
    assert scores.sentence_errors == wrong / 1000
    assert scores.wer == pytest.approx(scores.substitutions + scores.insertions + scores.deletions)


def test_an_alignment_by_hand():
    pairs = align(["one", "two", "three", "four"], ["one", "too", "four", "five"])
    shown = [(pair.reference, pair.written) for pair in pairs]
    assert shown[0] == ("one", "one")
    errors = count_errors(pairs)
    assert (errors.substitutions, errors.insertions, errors.deletions, errors.reference) == (3, 0, 0, 4)
    pairs = align(["a", "b", "c"], ["x", "a", "b", "c"])
    assert [(p.reference, p.written) for p in pairs] == [(None, "x"), ("a", "a"), ("b", "b"), ("c", "c")]
    pairs = align(["a", "b", "c"], ["a", "c"])
    assert [(p.reference, p.written) for p in pairs] == [("a", "a"), ("b", None), ("c", "c")]


def test_of_equal_alignments_that_with_the_most_substitutions_is_taken():
    """'a b a' becomes 'b c a b' by two substitutions and an insertion; or by two insertions and a deletion."""
    assert count_errors(align("aba", "bcab")) == Errors(2, 1, 0, 3)
    for reference, written in itertools.product(("".join(t) for t in itertools.product("ab", repeat=4)), repeat=2):
        errors = count_errors(align(reference, written[:3]))
        backwards = count_errors(align(reference[::-1], written[:3][::-1]))
        turned = count_errors(align(written[:3], reference))
        assert errors == backwards == Errors(turned.substitutions, turned.deletions, turned.insertions, 4)


def test_laws_of_the_distance():
    for reference, written in list(random_texts(60)):
        a, b = reference.split(), written.split()
        distance = count_errors(align(a, b)).count
        assert distance == count_errors(align(b, a)).count == count_errors(align(a[::-1], b[::-1])).count
        assert abs(len(a) - len(b)) <= distance <= max(len(a), len(b))
        assert [p.reference for p in align(a, b) if p.reference is not None] == a
        assert [p.written for p in align(a, b) if p.written is not None] == b
    assert count_errors(align([], ["a"])).rate == math.inf and count_errors(align([], [])).rate == 0


def test_texts_are_compared_in_composed_letters_with_single_blanks():
    assert scored_text(" cafe\u0301  au\nlait ") == "caf\u00e9 au lait"
    metrics = SpeechMetrics()
    assert metrics.update("cafe\u0301 noir", "caf\u00e9  noir") == 0
    assert metrics.update("Yes", "yes") == 1  # case counts


def test_parts_of_a_set_add_up_and_lengths_and_confusions_are_kept():
    pairs = list(random_texts(40))
    whole, parts = SpeechMetrics(), [SpeechMetrics(), SpeechMetrics()]
    for i, (reference, written) in enumerate(pairs):
        whole.update(reference, written, (0.5, 1), i % 2 == 0)
        parts[i % 2].update(reference, written, (0.5, 1), i % 2 == 0)
    parts[0].merge(parts[1].state())
    a, b = whole.compute(), parts[0].compute()
    assert a.to_json() == b.to_json()
    assert a.attention_in_span == 0.5 and a.monotone == 0.5
    assert sum(n for _, n in a.by_length.values()) == 40
    errors = sum(count_errors(align(s.split(), w.split())).count for s, w in pairs)
    assert sum(n for _, _, n in a.confusions) == errors
    assert [n for _, _, n in a.confusions] == sorted((n for _, _, n in a.confusions), reverse=True)


def test_every_score_of_three_recordings_by_hand():
    metrics = SpeechMetrics()
    metrics.update("one two", "one two", (0.9, 2), True)
    metrics.update("one two three", "one too three four", (0.5, 1), None)  # a wrong word, and one too many
    metrics.update("a b c d e f", "a b c d e", (0.0, 0), False)
    scores = metrics.compute()
    assert (scores.substitutions, scores.insertions, scores.deletions) == pytest.approx((1 / 11, 1 / 11, 1 / 11))
    assert scores.by_length == {"1 to 2": (0.0, 1), "3 to 5": (pytest.approx(2 / 3), 1), "6 to 10": (1 / 6, 1)}
    assert scores.attention_in_span == pytest.approx(1.4 / 3)  # a mean over words
    assert scores.monotone == 0.5  # of the two recordings that count
    assert scores.sentence_errors == pytest.approx(2 / 3)
    metrics.update("g", "g h i", (0.0, 0))
    scores = metrics.compute()
    assert (scores.substitutions, scores.insertions, scores.deletions) == pytest.approx((1 / 12, 3 / 12, 1 / 12))
    assert scores.to_json()["by_length"]["1 to 2"] == {"wer": pytest.approx(2 / 3), "recordings": 2}


def test_nothing_counted():
    with pytest.raises(DataError, match="no recording was scored; give at least one with a transcript"):
        SpeechMetrics().compute()
