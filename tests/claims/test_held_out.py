"""Claims are measured on samples that their networks were not trained on: of the test split, or of seeds of their own.

A control that is scored on its training samples would turn a verdict without an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from foveate.claims import (
    captions,
    cascade,
    digits,
    drawing,
    glimpses,
    handwriting,
    inception,
    questions,
    regions,
    segments,
    trained,
    video,
)
from foveate.datasets.pasture import Pasture
from foveate.datasets.pasture.dataset import PastureDataset
from foveate.recipes import resolve
from foveate.records import Preprocessing
from foveate.records.instances import instances_of
from foveate.registry import find
from foveate.tasks.captioning.task import CaptioningTask
from foveate.tasks.semantic.task import SemanticTask
from foveate.text import Words


class Family:
    """Scores nothing, and remembers the samples that it is given to score."""

    batch_size = 100

    def __init__(self) -> None:
        self.scored: list[str] = []

    def metrics(self, dataset: Any, whole: bool = True) -> Any:
        return SimpleNamespace(compute=lambda: None)

    def score(self, runner: Any, dataset: Any, indices: Iterable[int], metrics: Any) -> Iterator[Any]:
        self.scored += [dataset.name(index) for index in indices]
        return iter(())

    def answer(self, runner: Any, samples: list[Any], options: Any) -> list[Any]:
        self.scored += [sample["name"] for sample in samples]
        return []

    def make_options(self) -> None: ...

    def suit(self, sample: Any, model: str) -> tuple[Any, str]:
        return sample, ""


@pytest.mark.parametrize(
    ("module", "measure", "name"),
    [
        (video, lambda: video.described(0, "none", "mean"), "described"),
        (questions, lambda: questions.answers(0, 1), "answers"),
        (handwriting, lambda: handwriting.scored(0, False), "scored"),
    ],
    ids=["video", "questions", "handwriting"],
)
def test_networks_are_scored_on_the_test_split(
    module: Any, measure: Callable[[], Any], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = Family()
    for size in ("TRAIN", "TEST"):
        monkeypatch.setattr(module, size, 3, raising=False)
    monkeypatch.setattr(module, "train_quietly", lambda recipe: SimpleNamespace(runner=None, family=family))
    getattr(module, name).cache_clear()
    measure()
    getattr(module, name).cache_clear()
    assert len(set(family.scored)) >= 3 and all("/test/" in f"/{one}" for one in family.scored), family.scored[:3]


def test_test_scenes_are_drawn_as_those_of_training_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """As large, above all: a recipe says the size of its scenes."""
    opened: list[Pasture] = []
    trained_on: list[Pasture] = []
    open_ = Pasture.open
    monkeypatch.setattr(Pasture, "open", lambda self, *given: (opened.append(self), open_(self, *given))[1])

    def train(recipe: Any) -> Any:
        trained_on.append(recipe.data)
        family = Family() if recipe.task != "captioning" else CaptioningTask({"text": Words(1).learn(["a"])}, None)
        return SimpleNamespace(runner=None, family=family)

    for module, measure in (
        (video, lambda: video.described(5, "none", "mean")),
        (questions, lambda: questions.answers(5, 1)),
        (captions, lambda: captions.captioner(captions.WITH_ATTENTION, 5)),
    ):
        monkeypatch.setattr(module, "train_quietly", train)
        for size in ("TRAIN", "TEST"):
            monkeypatch.setattr(module, size, 3)
        measure()
    for kept in (video.described, questions.answers, captions.captioner):
        kept.cache_clear()
    assert len(opened) == 3 and opened == trained_on
    assert [(data.height, data.seed, data.test) for data in opened] == [(96, 5, 3), (160, 5, 3), (128, 5, 3)]


def test_scenes_of_claims_are_test_scenes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trained, "TEST", 2)
    family = SemanticTask({"classes": PastureDataset.classes}, Preprocessing.centred(3))
    monkeypatch.setattr(trained, "train_on_pasture", lambda *_, **__: SimpleNamespace(runner=None, family=family))
    trained.trained.cache_clear()
    scenes = trained.trained("fcn8s_pasture", 3, 1).scenes
    trained.trained.cache_clear()
    assert [scene["name"] for scene in scenes] == ["pasture/test/000000", "pasture/test/000001"]
    expected = Pasture(**trained.small_pasture(3)).open("test")[0]["image"]
    assert torch.equal(torch.as_tensor(scenes[0]["image"]), torch.as_tensor(expected))  # of the seed's own set
    cascade.scenes.cache_clear()
    found = cascade.scenes(3, 2)
    cascade.scenes.cache_clear()
    assert [sample["name"] for sample in found.samples] == ["pasture/test/000000", "pasture/test/000001"]
    assert len(found.truth) == len(found.visible) == 2


def test_machines_are_fitted_on_training_scenes_and_scored_on_others(monkeypatch: pytest.MonkeyPatch) -> None:
    class Names:
        preprocessing = Preprocessing.centred(3)

        def __init__(self, config: Any) -> None: ...

        def eval(self) -> Names:
            return self

        def example(self, batch: Any) -> str:
            (name,) = batch["names"]
            return str(name)

    monkeypatch.setattr(segments, "SDS", Names)
    monkeypatch.setattr(segments, "DATA", {"height": 32, "width": 32, "train": 3, "val": 1, "test": 2})
    segments.described.cache_clear()
    found = segments.described(0)
    segments.described.cache_clear()
    assert found.train == [f"pasture/train/{index:06d}" for index in range(3)]
    assert found.test == [f"pasture/test/{index:06d}" for index in range(2)] and len(found.truth) == 2


def test_a_cascade_is_trained_with_the_fields_of_its_arm(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    one = instances_of((8, 8), [], [])
    scene = cascade.Scenes([{}], [one], [np.zeros(0)])

    def train(recipe: str, seed: int, epochs: int, **fields: Any) -> Any:
        calls.append((recipe, seed, epochs, fields))
        family = SimpleNamespace(make_options=lambda given: None)
        return SimpleNamespace(family=family, answer=lambda *_: [SimpleNamespace(objects=one)])

    monkeypatch.setattr(cascade, "train_on_pasture", train)
    monkeypatch.setattr(cascade, "scenes", lambda seed, count=0: scene)
    for name in ("five_stages_beat_three", "end_to_end_beats_stage_by_stage"):
        find("claim", name).load()().measure(4)
        cascade.found.cache_clear()
    own = ("mnc_pasture", 4, cascade.EPOCHS)
    assert calls == [(*own, {}), (*own, {"config__stages": 3}), (*own, {}), (*own, {"config__end_to_end": False})]


def test_a_network_is_trained_to_its_end_and_validated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that what is kept is the last epoch, whatever the validation scenes say."""
    recipes: list[Any] = []
    monkeypatch.setattr(trained, "train_recipe", lambda recipe, out: recipes.append(recipe) or out)
    monkeypatch.setattr(trained.Predictor, "open", lambda *_, **__: None)
    trained.train_quietly(resolve("fcn8s_pasture", overrides={"epochs": 5}))
    assert (recipes[0].epochs, recipes[0].validate_every) == (5, 5)


def seeds_of_draws(monkeypatch: pytest.MonkeyPatch, module: Any) -> list[tuple[Any, ...]]:
    """What a module draws from here on; nothing is drawn."""
    calls: list[tuple[Any, ...]] = []
    images = torch.zeros(4, 1, 8, 8)

    def draw(*given: Any) -> Any:
        calls.append(given)
        return SimpleNamespace(images=images, labels=torch.zeros(4).long(), image=images, label=torch.zeros(4).long())

    monkeypatch.setattr(module, "draw", draw)
    return calls


def test_digits_and_regions_of_tests_have_seeds_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = range(3000)  # all that a claim could have
    calls = seeds_of_draws(monkeypatch, digits)
    digits.unseen.cache_clear()
    digits.unseen(7)
    digits.unseen.cache_clear()
    ((count, faces, seed),) = calls
    assert count == digits.TEST and faces == digits.OTHER_FACES and seed not in seeds
    assert not set(digits.OTHER_FACES) & set(digits.FACES)

    calls = seeds_of_draws(monkeypatch, drawing)
    model = SimpleNamespace(begin_from=lambda image: None)
    monkeypatch.setattr(drawing, "Draw", lambda config: model)
    monkeypatch.setattr(drawing, "fit", lambda *_, **__: ())
    monkeypatch.setattr(drawing, "_loss", lambda model, images: torch.tensor(1.0))
    drawing.trained.cache_clear()
    drawing.trained(7, True)
    drawing.trained.cache_clear()
    learned, tested = calls
    assert learned == (drawing.TRAIN, drawing.FACES, 7)
    assert tested[:2] == (drawing.TEST, drawing.FACES) and tested[2] - 7 >= 1000

    calls = seeds_of_draws(monkeypatch, regions)
    monkeypatch.setattr(regions, "reader", lambda kind, seed: kind)
    monkeypatch.setattr(regions, "missed", lambda model, regions: 50.0)
    regions._transformer_learns_to_reach_regions(7)
    assert {call[0] for call in calls} == {regions.TEST} and all(call[2] not in seeds for call in calls)
    assert {call[1] for call in calls} == {True, False}


def test_images_of_glimpses_are_new_in_the_test_and_larger(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = seeds_of_draws(monkeypatch, glimpses)
    monkeypatch.setattr(glimpses, "hits", lambda glimpser, images: torch.ones(4))
    network: Any = lambda image: torch.zeros(len(image), 10)  # noqa: E731
    glimpses.tested(network, network, network, 5)
    tested = set(calls)
    assert {call[:2] for call in tested} == {(glimpses.TEST_BATCH, glimpses.TEST_SIDE)}
    assert len(tested) == glimpses.TEST_BATCHES and glimpses.TEST_SIDE > glimpses.SIDE
    most = max(sum(steps) for steps in glimpses.STEPS.values())
    assert min(call[2] for call in tested) > (max(glimpses.NEW_SEEDS) + 1) * most  # more than any step of training


def test_curves_of_errors_are_those_of_test_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first step always the commonest class of the test: wrong for three of five."""
    labels = {"train": torch.tensor([0, 0, 0, 1]), "test": torch.tensor([0, 1, 2, 2, 3])}
    asked: list[tuple[int, str]] = []

    def objects(seed: int, split: str) -> tuple[torch.Tensor, torch.Tensor]:
        asked.append((seed, split))
        return torch.zeros(len(labels[split]), 3, 32, 32, dtype=torch.uint8), labels[split]

    monkeypatch.setattr(inception, "objects", objects)
    monkeypatch.setattr(inception, "EVAL_IMAGES", 1)
    monkeypatch.setattr(inception, "STEPS", 2 * inception.EVAL_EVERY)
    monkeypatch.setattr(inception, "fit", lambda *_, **__: iter((inception.EVAL_EVERY, 2 * inception.EVAL_EVERY)))
    seeds: list[int] = []
    create = inception.create_model
    monkeypatch.setattr(
        inception,
        "create_model",
        lambda *given, **fields: (seeds.append(torch.initial_seed()), create(*given, **fields))[1],
    )
    inception.curve.cache_clear()
    first, middle, last = inception.curve("inception_v4", 7)
    inception.curve.cache_clear()
    assert asked == [(7, "train"), (7, "test")] and first == pytest.approx(60) and seeds == [7]
    # All images are alike, so that they have one answer: of one image, and of all in the end.
    assert round(middle) in (0, 100) and round(last) in (60, 80)
