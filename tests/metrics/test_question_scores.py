"""Accuracy of answers as the VQA challenge computes it, by kind, beside the question alone; and attention."""

import numpy as np
import pytest
import torch

from foveate.errors import ConfigError, DataError
from foveate.metrics.questions import QuestionAlone, QuestionMetrics, answer_accuracy, usual_answer
from foveate.text.answers import normal, vqa_normal


@pytest.mark.parametrize(("matches", "expected"), [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (10, 1.0)])
def test_ten_people(matches, expected):
    answers = ["red"] * matches + [f"other {i}" for i in range(10 - matches)]
    assert answer_accuracy("red", answers) == pytest.approx(expected)


def by_leaving_one_out(given, answers):
    """The definition: min(1, matches / 3) of every set that lacks one of the answers, on average."""
    sets = [answers[:i] + answers[i + 1 :] for i in range(len(answers))]
    return float(np.mean([min(1, sum(one == given for one in own) / min(3, len(own))) for own in sets]))


@pytest.mark.parametrize("people", [2, 3, 4, 7, 10])
def test_any_number_of_people(people):
    for matches in range(people + 1):
        answers = ["red"] * matches + [f"other {i}" for i in range(people - matches)]
        assert answer_accuracy("red", answers) == pytest.approx(by_leaving_one_out("red", answers))


def test_one_answer_is_right_or_wrong():
    assert answer_accuracy("A  Red Bus", ["a red bus"]) == 1.0
    assert answer_accuracy("red bus", ["a red bus"]) == 0.0  # articles count where people do not differ
    assert answer_accuracy("red bus", ["a red bus"] * 3) == 0.0
    with pytest.raises(DataError, match="a question without a true answer cannot be scored"):
        answer_accuracy("red", [])


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("A red, bus!", "red bus"), ("Two", "2"), ("none", "0"), ("ten o'clock", "10 o'clock"),
        ("dont know", "don't know"),
        ("3.5", "3.5"), ("yes.", "yes"), ("t-shirt", "t shirt"), ("left - right", "left right"), ("1,000", "1000"),
        ("the  sky", "sky"), ("and/or", "and or"), ("youve", "you've"),
    ],
)  # fmt: skip
def test_answers_are_compared_as_the_challenge_does(answer, expected):
    assert vqa_normal(answer) == expected


def test_people_who_differ_only_in_articles_agree():
    assert answer_accuracy("the bus", ["bus"] * 5 + ["a bus"] * 3 + ["car"] * 2) == 1.0
    assert normal("  The\tBus ") == "the bus"
    assert usual_answer(["car", "Bus", "bus", "car", "tree"]) == "car"  # of equal ones the first


def test_the_question_alone_knows_what_is_usual():
    training = [("What colour is it?", ["red"])] * 2 + [("what colour is it", ["blue"])] + [("what colour", ["pink"])]
    training += [("is there a cow", ["yes"])] * 3 + [("is there a bird", ["no"])] * 4
    alone = QuestionAlone(training)
    assert alone.answer("What colour is it") == "red"  # the same words
    assert alone.answer("is there a tree") == "no"  # the same two first words
    assert alone.answer("why") == "no"  # the most frequent of all
    assert QuestionAlone([]).answer("why") == ""
    assert QuestionAlone([("why", ["so"]), ("why", ["because"])]).answer("why") == "because"  # the first by alphabet
    several = QuestionAlone([*training, *[("is it raining", ["yes"])] * 9])
    assert several.answer("is there a tree") == "no"  # one word in common is none


def test_scores_by_kind_and_without_the_picture():
    alone = QuestionAlone([("is it red", ["no"])])
    metrics = QuestionMetrics(("exists", "colour", ""), alone)
    metrics.update("is it red", "exists", "yes", ["yes"], 0.9)
    metrics.update("is it red", "exists", "yes", ["no"], 0.6)
    metrics.update("is it red", "colour", "red", ["blue", "red"], 0.5, known=False)
    metrics.update("is it red", "", "no", ["no"], 0.3, sure=False)
    scores = metrics.compute()
    assert scores.accuracy == pytest.approx((1 + 0 + 0.5 + 0) / 4)
    assert scores.usual_answer == pytest.approx(1 / 4)
    assert dict(zip(scores.kinds, scores.per_kind, strict=True)) == {"exists": 0.5, "colour": 0.5}
    assert scores.counts == (2, 1) and scores.questions == 4
    assert scores.question_alone == pytest.approx((0 + 1 + 0 + 1) / 4)
    assert scores.alone_per_kind == (0.5, 0.0)
    assert (scores.answered, scores.accuracy_of_answered) == (0.75, 0.5)
    assert scores.unknown_answers == 0.25
    # |accuracy - confidence| of each bin: 0.9 and 1, 0.6 and 0, 0.5 and 0.5, 0.3 and 1
    assert scores.calibration_error == pytest.approx((0.1 + 0.6 + 0.0 + 0.7) / 4)
    assert scores.bins[8].tolist() == pytest.approx([1, 0.6, 0])  # 0.6 is the end of (8/15, 9/15]
    assert np.isnan(scores.attention_mass)
    plain = scores.to_json()
    assert plain["attention_mass"] is None and plain["per_kind"] == {"exists": 0.5, "colour": 0.5}


def test_attention_on_what_is_asked_about():
    metrics = QuestionMetrics(("where",))
    asked = np.zeros((4, 6), bool)
    asked[0:2, 0:3] = True  # the first cell of 2 x 2
    asked[2, 3] = True  # a sixth of the last one
    attention = np.array([[[0.5, 0.2], [0.1, 0.2]], [[0.1, 0.1], [0.2, 0.6]]])
    metrics.update("q", "where", "a", ["a"], 1.0, attention=attention, asked=asked)
    metrics.update("q", "where", "a", ["a"], 1.0, attention=attention, asked=np.zeros((4, 6), bool))  # about nothing
    scores = metrics.compute()
    assert scores.first_attention_mass == pytest.approx(0.5 + 0.2 / 6)
    assert scores.attention_mass == pytest.approx(0.1 + 0.6 / 6)
    assert scores.attention_chance == pytest.approx(7 / 24) and scores.attention_questions == 1
    assert scores.mass_per_kind == (pytest.approx(0.2 / (7 / 24)),)


def test_parts_that_are_merged_are_the_whole():
    rng = np.random.default_rng(0)
    whole, parts = QuestionMetrics(("a", "b")), [QuestionMetrics(("a", "b")) for _ in range(2)]
    for i in range(20):
        maps = rng.random((2, 3, 3))
        row = ("q", "ab"[i % 2], "xy"[i % 3 > 0], ["x"], float(rng.random()))
        more = {"attention": maps / maps.sum((1, 2), keepdims=True), "asked": rng.random((6, 6)) > 0.5}
        for metrics in (whole, parts[i % 4 == 0]):
            metrics.update(*row, **more)
    parts[0].merge(parts[1].state())
    assert torch.equal(parts[0].state(), whole.state()) or torch.allclose(parts[0].state(), whole.state())
    with pytest.raises(ConfigError, match="merge metrics of the same questions"):
        whole.merge(torch.zeros(3))
    with pytest.raises(DataError, match="no question was scored"):
        QuestionMetrics(("a",)).compute()
    with pytest.raises(DataError, match="a question of kind 'c'; the set has a, b"):
        whole.update("q", "c", "x", ["x"], 1.0)
