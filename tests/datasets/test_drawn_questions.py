"""Questions that are drawn: a red square's place, and the Pasture data set's, balanced by pairs."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch

from foveate.datasets.pasture import Pasture
from foveate.datasets.pasture.questions import KINDS, Candidate, paired
from foveate.datasets.spatial_questions import SQUARE, SpatialQuestions
from foveate.errors import ConfigError


def place(mask: np.ndarray) -> tuple[float, float]:
    rows, columns = np.nonzero(mask)
    return float(rows.mean()), float(columns.mean())


@pytest.mark.parametrize("kind", ["absolute", "relative"])
def test_the_answer_is_read_off_the_picture(kind: str) -> None:
    squares = SpatialQuestions(kind=kind, val=120).open("val")  # type: ignore[arg-type]
    answers = Counter()
    for index in range(len(squares)):
        sample = squares[index]
        image, asked = sample["image"].numpy().astype(int), sample["asked"].numpy()
        red = (image[0] == 255) & (image[1] == 0)
        assert np.array_equal(red, asked) and asked.sum() == SQUARE**2
        row, column = place(red)
        if kind == "relative":
            row, column = (a - b for a, b in zip((row, column), place(image.min(0) == 255), strict=True))
        else:
            row, column = row - 31.5, column - 31.5
        word = {True: ("top", "bottom"), False: ("left", "right")}[abs(row) > abs(column)]
        found = word[int((row if abs(row) > abs(column) else column) > 0)]
        assert sample["answers"] == ("yes" if f"on the {found} of the" in sample["question"] else "no",)
        assert (squares.question(index), squares.answers(index)) == (sample["question"], sample["answers"])
        answers[sample["answers"][0]] += 1
    assert 40 <= answers["yes"] <= 80


def test_a_drawing_is_a_function_of_its_key() -> None:
    one, other = SpatialQuestions(train=9).open("train"), SpatialQuestions(train=20).open("train")
    first, again, later = one.draw([(0, 3)])[0], other.draw([(1, 1), (0, 3)])[1], one.draw([(1, 3)])[0]
    assert torch.equal(first["image"], again["image"]) and first["question"] == again["question"]
    assert not torch.equal(first["image"], later["image"])
    assert torch.equal(one[3]["image"], first["image"])
    assert not torch.equal(SpatialQuestions(seed=1).open("train")[3]["image"], first["image"])
    with pytest.raises(ConfigError, match="kind is 'other'; expected both, absolute or relative"):
        SpatialQuestions(kind="other")  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def scenes() -> Pasture:
    return Pasture(height=64, width=64, train=60, val=2)


@pytest.fixture(scope="module")
def asked(scenes: Pasture) -> object:
    return scenes.open("train", "questions")


def test_words_alone_are_right_in_half_of_each_kind_at_most(asked) -> None:  # type: ignore[no-untyped-def]
    assert {one.kind for one in asked.asked} == set(KINDS)
    for kind in KINDS:
        counts: dict[str, Counter[str]] = {}
        for one in asked.asked:
            if one.kind == kind:
                counts.setdefault(one.question, Counter())[one.answer] += 1
        total = sum(c.total() for c in counts.values())
        assert total % 2 == 0
        assert sum(max(c.values()) for c in counts.values()) <= total / 2, kind


def test_a_smaller_set_is_in_a_larger_one(scenes: Pasture, asked) -> None:  # type: ignore[no-untyped-def]
    few = Pasture(height=64, width=64, train=25, val=2).open("train", "questions").asked
    assert few and not Counter(few) - Counter(asked.asked)
    assert all(one.scene <= other.scene for one, other in pairwise(asked.asked))


def test_samples_hold_the_scene_and_what_is_asked_about(scenes: Pasture, asked) -> None:  # type: ignore[no-untyped-def]
    pictures = scenes.open("train", "semantic")
    names = pictures.classes.names
    seen = set()
    for index, one in enumerate(asked.asked):
        if one.kind in seen and index % 7:
            continue
        seen.add(one.kind)
        sample, scene = asked[index], pictures[one.scene]
        assert torch.equal(sample["image"], scene["image"]) and sample["name"] == scene["name"]
        assert sample["answers"] == (one.answer,) and sample["question_kind"] == one.kind
        labels = {names[i] for i in scene["mask"][sample["asked"]].unique().tolist()}
        if one.kind == "exists":
            assert bool(labels) == (one.answer == "yes")
        if one.kind in ("exists", "count"):
            noun = {"bush": "tree", "people": "person"}.get(one.question.split()[-1], one.question.split()[-1])
            noun = one.question.split()[2] if one.kind == "count" else noun
            noun = {"bushes": "tree", "people": "person", "bush": "tree"}.get(noun, noun.removesuffix("s"))
            assert labels <= {noun}


def test_thirds_and_relations_are_true_of_the_masks(asked) -> None:  # type: ignore[no-untyped-def]
    checked = Counter()
    for index, one in enumerate(asked.asked):
        if one.kind not in ("where", "relation"):
            continue
        mask = asked[index]["asked"].numpy()
        rows, columns = np.nonzero(mask)
        box = ((columns.min() + columns.max() + 1) / 128, (rows.min() + rows.max() + 1) / 128)
        if one.kind == "where":
            value = box[0] if "left" in one.question else box[1]
            third = ("left", "middle", "right") if "left" in one.question else ("top", "middle", "bottom")
            assert one.answer == third[min(int(3 * value), 2)]
        elif len(one.masks) == 2:
            _, view = asked._drawn(one.scene)
            a, b = (next(s for s in view.things if s.mask == m) for m in one.masks)
            words = one.question.removeprefix(f"is the {a.noun} ").removesuffix(f" the {b.noun}")
            ahead = {"left of": a.center[0] < b.center[0], "right of": a.center[0] > b.center[0],
                     "above": a.center[1] < b.center[1], "below": a.center[1] > b.center[1]}  # fmt: skip
            assert one.answer == ("yes" if ahead[words] else "no")
        checked[one.kind] += 1
    assert min(checked["where"], checked["relation"]) > 4


def test_pairs_take_the_answer_that_waits_most_often() -> None:
    found = [Candidate(i, "count", "how many", answer, ()) for i, answer in enumerate("110203")]
    #        1, 1 wait; 0 takes the first 1; 2 takes the second; 0 waits; 3 takes the 0
    assert [(one.scene, one.answer) for one in paired(iter(found))] == [
        (0, "1"), (2, "0"), (1, "1"), (3, "2"), (4, "0"), (5, "3"),
    ]  # fmt: skip


def test_scenes_and_captions_are_as_without_questions(scenes: Pasture, asked) -> None:  # type: ignore[no-untyped-def]
    before = scenes.open("train", "captioning")
    assert torch.equal(before[1]["image"], scenes.open("train")[1]["image"])
    assert list(asked.training())[:4] == [(one.question, (one.answer,)) for one in asked.asked[:4]]
