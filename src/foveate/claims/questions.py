"""Questions about the Pasture data set: the benefit of a second hop, and the place of the attended evidence.

SMem-VQA is trained by its recipe, on fewer scenes, with two hops and with one. Trunk, neck, questions and steps are the
same.
"""

from __future__ import annotations

from typing import Any

import torch

from foveate.claims import NEW_SEEDS, Claim, cached
from foveate.claims.trained import train_quietly
from foveate.datasets.pasture import Pasture
from foveate.metrics.questions import QuestionScores
from foveate.recipes import resolve
from foveate.registry import claim

SECTION = "Attention in Other Domains: visual question answering"
TRAIN, TEST, EPOCHS = 1000, 300, 6
RECIPE = "ask_attend_answer_pasture"
RELATION = "relation"  # the kind that relates two things


@claim("two_hops_relate_two_things")
def two_hops_relate_two_things() -> Claim:
    """Compare the accuracy of two hops and of one, on questions that relate two things, and on all.

    Half of the answers are yes, whatever the question, so that words alone are right half of the time.
    """
    return Claim(
        section=SECTION,
        claim="Where a question relates two things, looking twice beats looking once.",
        effect="{:+.1f} points of accuracy on questions that relate two things, {:.1f} instead of {:.1f} %; {:+.1f} "
        "points on all questions",
        measure=_two_hops_relate_two_things,
        holds=3.0,
        partly=1.0,
        seeds=NEW_SEEDS,
        long=True,
    )


def _two_hops_relate_two_things(seed: int) -> tuple[float, ...]:
    two, one = answers(seed, 2), answers(seed, 1)
    after, before = (100 * of_kind(scores, RELATION) for scores in (two, one))
    return after - before, after, before, 100 * (two.accuracy - one.accuracy)


@claim("evidence_is_where_the_asked_object_is")
def evidence_is_where_the_asked_object_is() -> Claim:
    """Measure the share of the last hop's attention on the pixels that a question is about, over that by chance."""
    return Claim(
        section=SECTION,
        claim="The attended evidence is where the object is that the question asks about.",
        effect="{:.1f} times as much attention lies on what is asked about as if it were spread evenly: {:.1f} % of it "
        "on {:.1f} % of the picture; {:.1f} times in the first hop",
        measure=_evidence_is_where_the_asked_object_is,
        holds=3.0,
        partly=1.5,
        seeds=NEW_SEEDS,
        long=True,
    )


def _evidence_is_where_the_asked_object_is(seed: int) -> tuple[float, ...]:
    scores = answers(seed, 2)
    if not scores.attention_questions:
        return 0.0, 0.0, 0.0, 0.0
    chance = scores.attention_chance
    mass, first = scores.attention_mass, scores.first_attention_mass
    return mass / chance, 100 * mass, 100 * chance, first / chance


def of_kind(scores: QuestionScores, kind: str) -> float:
    """The accuracy of one kind of question."""
    return scores.per_kind[scores.kinds.index(kind)]


@cached
def answers(seed: int, hops: int) -> QuestionScores:
    """The scores of a network that was trained on fewer scenes, over test scenes; cached for the process.

    The seed also determines the data set.
    """
    data: dict[str, Any] = {"train": TRAIN, "val": 10, "test": TEST, "seed": seed}
    settings = {f"data.{name}": value for name, value in data.items()} | {"config.hops": hops, "seed": seed}
    recipe = resolve(RECIPE, overrides=settings | {"epochs": EPOCHS})
    predictor = train_quietly(recipe)
    source: Pasture = recipe.data
    asked = source.open("test", "questions")
    metrics: Any = predictor.family.metrics(asked, whole=False)
    with torch.inference_mode():
        for _ in predictor.family.score(predictor.runner, asked, range(len(asked)), metrics):
            pass
    scores: QuestionScores = metrics.compute()
    return scores
