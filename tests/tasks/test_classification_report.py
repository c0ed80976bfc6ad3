"""The report of classification: calibration, mean images, and examples with their most likely classes."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image
from report_stand_ins import EVIL, elements, evaluation, headings, image, text_of, write

from foveate.records import ClassificationPrediction, ClassTable, TransformView
from foveate.tasks.classification.report import class_means, report

CLASSES = ClassTable(("cat", "dog", "hen"))
SCORES = {
    "top1": 0.75,
    "top5": 1.0,
    "error_percent": 25.0,
    "mean_accuracy": 0.7125,
    "calibration_error": 0.0625,
    "per_class": {"cat": 1.0, "dog": 0.5, "hen": None},
    "calibration": [[0, 0.0, 0], [2, 1.0, 1], [4, 3.6, 4]],
    "samples": 6,
}
CONFUSION = np.array([[3, 0, 0], [1, 2, 0], [0, 0, 0]])


def sample(name, label, value=100, size=(8, 8)):
    return {"name": name, "label": label, "image": image(np.full((*size, 1), value, np.uint8))}


def plain(sample, views=()):
    """Always a cat."""
    seen = sample["image"].permute(1, 2, 0).numpy()
    return ClassificationPrediction(np.array([0.7, 0.25, 0.05], np.float32), CLASSES, seen, views)


def transforming(sample):
    """A transformer that halves the brightness, and one inside the network."""
    grid = np.stack(np.meshgrid(np.linspace(-1, 1, 4), np.linspace(-1, 1, 4)), -1).astype(np.float32)
    output = np.full((4, 4, 1), float(sample["image"].float().mean()) / 255 / 2, np.float32)
    return plain(sample, (TransformView(grid, output), TransformView(grid, None)))


DATASET = [sample("a.png", 0, 100), sample("b.png", 1, 60), sample("c.png", 0, 200)]


def scored(model=plain, dataset=DATASET, own=(0.7, 0.25, 0.6), json=SCORES):
    scores = {"confusion": CONFUSION, "absent": (2,), "samples": 6}
    return evaluation(model, dataset, scores, own, {"classes": CLASSES}, json=json)


def test_scores_classes_and_calibration(tmp_path):
    page = write(tmp_path, report(scored()), SCORES)
    words = text_of(page)
    for part in (
        "Classification report",
        "gave 75.00 % of 6 val pictures the right class",
        "Classes 3: cat, dog, hen",
        "Calibration",
        "1 picture",
        "Not in these pictures, and left out of every mean: hen.",
    ):
        assert part in words
    assert "strongest at <b>cat</b> (accuracy 1.00) and weakest at <b>dog</b> (0.50)." in page
    labels = " ".join(svg.get("aria-label", "") for svg in elements(page, "svg"))
    assert "0.50 sure: 0.50 right, 0.90 sure: 1.00 right" in labels  # an empty bin has no point
    assert headings(page) == ["notes", "training", "classes", "confusion", "calibration", "pictures", "again"]
    assert {0.75, 1.0, 25.0, 0.7125, 0.0625} <= {float(d["value"]) for d in elements(page, "data")}


def test_examples_are_best_and_worst(tmp_path):
    page = write(tmp_path, report(scored()), SCORES)
    images = elements(page, "img")
    assert [i["alt"] for i in images] == ["a.png: a cat, right", "c.png: a cat, right", "b.png: a dog, taken for cat"]
    words = text_of(page)
    assert "True class: dog; taken for cat." in words
    assert words.index("Best results") < words.index("c.png") < words.index("Worst results") < words.index("b.png")
    assert all(int(i["width"]) > 0 and int(i["height"]) > 0 for i in images)


def test_mean_images_are_those_of_their_class():
    cat, dog = class_means(scored(transforming, [*DATASET[1:], DATASET[0]]))  # a dog comes first
    assert (cat.name, dog.name) == ("cat", "dog")
    assert cat.before == pytest.approx(np.full((8, 8, 1), 150 / 255))
    assert cat.after == pytest.approx(np.full((4, 4, 1), 150 / 255 / 2), abs=1e-6)
    assert dog.before == pytest.approx(np.full((8, 8, 1), 60 / 255))


def test_mean_images_are_shown_before_and_after(tmp_path):
    page = write(tmp_path, report(scored(transforming)), SCORES)
    assert "transformer" in headings(page) and "Effect of the spatial transformer" in text_of(page)
    images = {i["alt"]: i for i in elements(page, "img")}
    for name, value in (("mean cat before", 150), ("mean cat after", 75), ("mean dog after", 30)):
        one = images[f"{name} the transformer"]
        with Image.open(io.BytesIO(base64.b64decode(one["src"].split(",")[1]))) as decoded:
            assert abs(int(np.asarray(decoded).mean()) - value) <= 2


def test_without_a_transformer_on_the_image_there_are_no_means():
    def inner(sample):  # a transformer inside the network
        return plain(sample, (TransformView(np.zeros((4, 4, 2), np.float32), None),))

    assert class_means(scored(plain)) == class_means(scored(inner)) == []


def test_images_of_several_sizes_have_no_mean():
    assert class_means(scored(transforming, [sample("a", 0), sample("b", 0, size=(8, 9))])) == []


def test_what_is_missing_is_left_out(tmp_path):
    scores = {"top1": None, "per_class": {}, "calibration": None}
    page = write(tmp_path, report(scored(dataset=[], own=(), json=scores)), scores)
    assert headings(page) == ["notes", "training", "classes", "confusion", "again"]
    words = text_of(page)
    assert "nan" not in words.lower() and "None" not in words


def test_nothing_unescaped_gets_in(tmp_path):
    page = write(tmp_path, report(scored(dataset=[sample(EVIL, 0)], own=(0.5,))), SCORES)
    assert "<script" not in page and page.count("<img") == 1
    assert EVIL in text_of(page)
