"""Claims about video: scores of networks that were not trained, and worse ones that turn the verdict over."""

from __future__ import annotations

import numpy as np
import pytest
from stand_ins import examined

from foveate.claims import trained, video
from foveate.metrics.video import VideoMetrics, VideoScores
from foveate.records import Event
from foveate.registry import create_recipe, find

PHRASES = {"walk": ("cow walks",), "land": ("bird lands",)}
EVENTS = (Event("walk", 1, 3), Event("land", 5, 7))


def scores(right: int, frame: int | None = 1) -> VideoScores:
    """Of 100 clips of 16 frames whose order is told rightly in some, with attention on one frame, or on all alike."""
    references = [["a cow walks then a bird lands"]] * 100
    metrics = VideoMetrics(references, PHRASES)
    attention = np.full((7, 16), 1 / 16, np.float32)
    if frame is not None:
        attention[:] = 0
        attention[:4, frame], attention[4:, frame + 4] = 1, 1
    for i in range(100):
        text = "a cow walks then a bird lands" if i < right else "a cow walks after a bird lands"
        metrics.update(i, text, text.split(), attention, range(16), EVENTS)
    return metrics.compute()


@pytest.mark.parametrize(("frame", "verdict"), [(1, "holds"), (9, "does not hold"), (None, "does not hold")])
def test_attention_has_to_lie_within_the_event(
    monkeypatch: pytest.MonkeyPatch, frame: int | None, verdict: str
) -> None:
    monkeypatch.setattr(video, "described", lambda seed, order, attention: scores(100, frame))
    assert examined("attention_over_frames_finds_the_event") == verdict
    figures = find("claim", "attention_over_frames_finds_the_event").load()().measure(0)
    expected = {1: (8.0, 100.0, 12.5), 9: (0.0, 0.0, 12.5), None: (1.0, 12.5, 12.5)}[frame]
    assert figures == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("time", "bag", "mean", "verdict"),
    [
        (90, 55, 50, "holds"), (90, 50, 65, "holds"), (90, 75, 50, "holds partly"), (90, 50, 85, "does not hold"),
        (50, 50, 50, "does not hold"),
    ],
)  # fmt: skip
def test_the_better_set_of_frames_counts(
    monkeypatch: pytest.MonkeyPatch, time: int, bag: int, mean: int, verdict: str
) -> None:
    found = {(video.ORDERED, "soft"): scores(time), ("none", "soft"): scores(bag), ("none", "mean"): scores(mean)}
    monkeypatch.setattr(video, "described", lambda seed, order, attention: found[order, attention])
    assert examined("order_needs_more_than_a_bag_of_frames") == verdict
    figures = find("claim", "order_needs_more_than_a_bag_of_frames").load()().measure(0)
    assert figures == pytest.approx((time - max(bag, mean), time, bag, mean))


def test_the_arms_differ_in_order_and_attention_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    recipes = []

    class StopError(Exception):
        pass

    def train_recipe(recipe: object, out: object) -> None:
        recipes.append(recipe)
        raise StopError

    monkeypatch.setattr(trained, "train_recipe", train_recipe)
    for order, attention in ((video.ORDERED, "soft"), ("none", "mean")):
        with pytest.raises(StopError):
            video.described(5, order, attention)
    time, mean = recipes
    assert (time.config.order, time.config.attention, mean.config.order, mean.config.attention) == (
        "lstm", "soft", "none", "mean",
    )  # fmt: skip
    assert time.data == mean.data and (time.data.train, time.data.seed, time.seed) == (video.TRAIN, 5, 5)
    base = create_recipe(video.RECIPE)
    assert (time.model, time.text, time.optim, time.batch_size) == (base.model, base.text, base.optim, base.batch_size)
    assert mean.config.encoder == 2 * time.config.encoder == 2 * base.config.encoder  # of both directions
    same = {"order": "", "attention": "", "encoder": 0}
    assert vars(time.config) | same == vars(mean.config) | same == vars(base.config) | same
