"""Clips of the Pasture data set: the frames that words attend to, and what it takes to tell the order of two events.

Video attention is trained by its recipe, on fewer clips, as it is, without the LSTM that reads the frames, and with the
mean of all frames in place of attention. Trunk, differences of frames, clips and steps are the same.
"""

from __future__ import annotations

from typing import Any

import torch

from foveate.claims import Claim, cached
from foveate.claims.trained import train_quietly
from foveate.datasets.pasture import Pasture
from foveate.engine.loading import SuitedDataset
from foveate.metrics.video import VideoScores
from foveate.recipes import resolve
from foveate.registry import claim

SECTION = "Attention in Other Domains: video captioning"
TRAIN, TEST, EPOCHS = 1200, 300, 12
ORDERED, WIDTH = "lstm", 192  # how the recipe tells the order of frames, and how wide its features then are
RECIPE = "video_attention_pasture"


@claim("attention_over_frames_finds_the_event")
def attention_over_frames_finds_the_event() -> Claim:
    """Measure the share of the attention of an event's words on the frames of its interval, over that by chance."""
    return Claim(
        section=SECTION,
        claim="Attention over frames finds the event that a word tells of.",
        effect="{:.1f} times as much attention lies within the interval of the event as if it were spread evenly: "
        "{:.1f} % of it on {:.1f} % of the frames",
        measure=_attention_over_frames_finds_the_event,
        holds=3.0,
        partly=1.5,
        long=True,
    )


def _attention_over_frames_finds_the_event(seed: int) -> tuple[float, ...]:
    scores = described(seed, ORDERED, "soft")
    if not scores.attended:
        return 0.0, 0.0, 0.0
    return scores.attention_ratio, 100 * scores.attention_mass, 100 * scores.attention_chance


@claim("order_needs_more_than_a_bag_of_frames")
def order_needs_more_than_a_bag_of_frames() -> Claim:
    """Compare the order that sentences tell of two events, with an LSTM over the frames, and of a set of frames.

    The set is read by attention, or as its mean; the better of the two counts. Orders are balanced, so that a guess is
    right half of the time.
    """
    return Claim(
        section=SECTION,
        claim="The order of two events needs more than a bag of frames.",
        effect="{:+.1f} points of order accuracy by an LSTM over the frames: {:.1f} % instead of {:.1f} % by "
        "attention over a set of frames and {:.1f} % by their mean",
        measure=_order_needs_more_than_a_bag_of_frames,
        holds=20.0,
        partly=10.0,
        long=True,
    )


def _order_needs_more_than_a_bag_of_frames(seed: int) -> tuple[float, ...]:
    ordered, bag, mean = (
        100 * described(seed, order, attention).order_accuracy
        for order, attention in ((ORDERED, "soft"), ("none", "soft"), ("none", "mean"))
    )
    return ordered - max(bag, mean), ordered, bag, mean


@cached
def described(seed: int, order: str, attention: str) -> VideoScores:
    """The scores of a network that was trained on fewer clips, over test clips; cached for the process.

    The seed also determines the data set.
    """
    data: dict[str, Any] = {"train": TRAIN, "val": 10, "test": TEST, "seed": seed}
    settings = {f"data.{name}": value for name, value in data.items()} | {"seed": seed, "config.order": order}
    settings |= {"config.attention": attention, "epochs": EPOCHS}
    if order != ORDERED:  # a layer as wide as both directions of the LSTM
        settings["config.encoder"] = WIDTH
    recipe = resolve(RECIPE, overrides=settings)
    predictor = train_quietly(recipe)
    source: Pasture = recipe.data
    clips = source.open("test", "video")
    family: Any = predictor.family
    metrics = family.metrics(clips)
    with torch.inference_mode():
        for _ in family.score(predictor.runner, SuitedDataset(clips, family, RECIPE), range(len(clips)), metrics):
            pass
    scores: VideoScores = metrics.compute()
    return scores
