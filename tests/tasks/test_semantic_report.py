"""The report of semantic segmentation: classes, confusion, outlines, and examples with words for each."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image
from report_stand_ins import EVIL, elements, evaluation, headings, image, text_of, write
from torchvision import tv_tensors

from foveate.errors import DataError
from foveate.records import ClassTable, SemanticPrediction
from foveate.tasks.semantic.figures import MAX_WIDTH, SemanticExample, example_section
from foveate.tasks.semantic.report import TEXT, report
from foveate.visualize.report import ReportPart
from foveate.visualize.report.classes import class_summary

CLASSES = ClassTable(("sky", "grass", "cow"))
SCORES = {
    "mean_iou": 0.512345,
    "pixel_accuracy": 0.8125,
    "mean_accuracy": 0.7,
    "frequency_weighted_iou": 0.65,
    "boundary_iou": 0.41,
    "trimap_iou": {"1": 0.3, "4": 0.4, "16": None},
    "per_class": {"sky": 0.9, "grass": 0.1246, "cow": None},
    "per_class_boundary_iou": {"sky": 0.5, "grass": 0.25, "cow": None},
    "samples": 7,
}
CONFUSION = np.array([[90, 10, 0], [30, 10, 0], [0, 0, 0]])


def sample(name="a.png", size=(60, 80), seed=0):
    """The upper half is sky, the lower is grass."""
    rng = np.random.default_rng(seed)
    mask = np.zeros(size, np.uint8)
    mask[size[0] // 2 :] = 1
    pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    return {"name": name, "image": image(pixels), "mask": tv_tensors.Mask(torch.from_numpy(mask))}


def model(sample):
    """The true labels, but for three rows of cow at the top."""
    mask = sample["mask"].numpy().copy()
    mask[:3] = 2
    return SemanticPrediction(mask, CLASSES)


def scored(dataset=None, own=(0.9, 0.2), classes=CLASSES, confusion=CONFUSION, json=SCORES, **more):
    dataset = [sample("a.png"), sample("b.png")] if dataset is None else dataset
    scores = {"confusion": confusion, "absent": (2,), "samples": 7}
    return evaluation(model, dataset, scores, own, {"classes": classes}, json=json, **more)


def example(name, iou, size=(60, 80), seed=0):
    one = sample(name, size, seed)
    pixels = one["image"].permute(1, 2, 0).numpy()
    return SemanticExample(name, pixels, one["mask"].numpy(), model(one).mask, iou)


def examples_page(tmp_path, examples, classes=CLASSES):
    return write(tmp_path, ReportPart(TEXT, [example_section(examples, classes)]), {})


def test_scores_and_classes(tmp_path):
    page = write(tmp_path, report(scored()), SCORES)
    words = text_of(page)
    for part in (
        "Segmentation report",
        "the area where prediction and truth agree, divided by",
        "The longer the bar, the better prediction and truth agree.",
        "gave 81.2 % of the pixels in 7 val pictures the right label",
        "Classes 3: sky, grass, cow",
        "not in these pictures",
        "Each dot is one class.",
        "scored at its own size, in one pass (above 1.5 megapixels: in overlapping tiles), without flips",
        "Not in these pictures, and left out of every mean: cow.",
    ):
        assert part in words
    assert "strongest at <b>sky</b> (IoU 0.90) and weakest at <b>grass</b> (0.12)." in page
    assert headings(page) == ["notes", "training", "classes", "confusion", "boundaries", "pictures", "again"]


def test_classes_of_the_same_score_are_all_counted():
    def told(*scores):
        return class_summary({"per_class": dict(zip(("sky", "grass", "cow"), scores, strict=True))}, CLASSES, TEXT)

    assert told(0.9, 0.001, 0.0) == (
        "It is strongest at <b>sky</b> (IoU 0.90) and weakest at <b>grass</b> and 1 other class (0.00)."
    )
    assert told(0.5, 0.5, 0.5) == "All 3 classes have the IoU 0.50."


def test_every_score_stands_on_the_page_exactly(tmp_path):
    page = write(tmp_path, report(scored()), SCORES)
    values = {float(attributes.get("value", "nan")) for attributes in elements(page, "data")}
    assert {0.512345, 0.8125, 0.7, 0.65, 0.41, 0.9, 0.1246, 0.5, 0.25} <= values
    labels = " ".join(svg.get("aria-label", "") for svg in elements(page, "svg"))
    assert "1 pixels: 0.300, 4 pixels: 0.400" in labels


def test_the_size_and_the_options_are_told():
    class Flipped:
        def describe(self):
            return "flip"

    notes = report(scored(size=(24, 32), options=Flipped())).notes
    assert notes[0] == "Each picture was scored resized to 32x24 pixels, with flip."


def test_nothing_unescaped_gets_in(tmp_path):
    classes = ClassTable((EVIL, "b" + EVIL, "cow"))
    scores = SCORES | {"per_class": {EVIL: 0.5, "b" + EVIL: 0.25}}
    made = scored([sample(EVIL)], (0.5,), classes=classes, json=scores)
    page = write(tmp_path, report(made), scores)
    assert "<script" not in page and len(elements(page, "img")) == page.count("<img") == 4
    assert EVIL in text_of(page)


def test_examples_are_best_and_worst_with_words_for_each(tmp_path):
    names = [example("mid.png", 0.5), example("worst.png", 0.1), example("best.png", 0.9), example("lost.png", None)]
    images = elements(examples_page(tmp_path, names), "img")
    order = [i["alt"].split(":")[0] for i in images if i["alt"].endswith(": the picture")]
    assert order == ["best.png", "mid.png", "lost.png", "worst.png"]
    assert all(i["alt"] and i["width"] and i["height"] for i in images)
    # Rows 0..2 of 60 are wrong, 30 rows and more from the contour.
    assert "best.png: 5.0 % of the pixels are wrong, 0 % of those close to an outline" in [i["alt"] for i in images]
    for one in images:
        kind, encoded = one["src"].split(",")
        assert kind == "data:image/jpeg;base64"
        with Image.open(io.BytesIO(base64.b64decode(encoded))) as decoded:
            decoded.load()
            assert decoded.width <= MAX_WIDTH


def test_examples_come_from_the_evaluation_best_first(tmp_path):
    dataset = [sample(f"{i}.png", seed=i) for i in range(4)]
    page = write(tmp_path, report(scored(dataset, (0.2, float("nan"), 0.7, 0.4))), SCORES)
    order = [i["alt"].split(":")[0] for i in elements(page, "img") if i["alt"].endswith(": the picture")]
    assert order == ["2.png", "3.png", "0.png"]


def test_images_of_sixteen_bits_are_shown(tmp_path):
    one = sample() | {"image": image(np.full((60, 80, 3), 0.5, np.float32))}
    page = write(tmp_path, report(scored([one], (0.5,))), SCORES)
    assert len(elements(page, "img")) == 4


def test_twelve_images_of_pure_noise_stay_below_three_megabytes(tmp_path):
    noisy = [example(f"{i}.png", i / 12, (360, 480), seed=i) for i in range(12)]
    for one in noisy:
        one.prediction = np.random.default_rng(1).integers(0, 3, one.truth.shape, dtype=np.uint8)
    assert len(examples_page(tmp_path, noisy).encode()) < 3_000_000


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 2), (500, 700)])
def test_images_of_any_size_are_embedded(tmp_path, size):
    images = elements(examples_page(tmp_path, [example("odd.png", 0.5, size)]), "img")
    assert len(images) == 4
    assert all(int(i["width"]) <= 480 and int(i["height"]) <= 640 for i in images)


def test_what_is_missing_is_left_out(tmp_path):
    scores = {"mean_iou": None, "per_class": {}}
    page = write(tmp_path, report(scored([], (), json=scores, confusion=np.zeros((3, 3), int))), scores, splits={})
    assert headings(page) == ["notes", "training", "classes", "confusion", "again"]
    words = text_of(page)
    assert "nan" not in words.lower() and "None" not in words
    assert "was trained and scored." in words and "Each dot" not in words and "strongest" not in words


def test_many_classes_get_a_list_instead_of_a_matrix(tmp_path):
    classes = ClassTable(tuple(f"class {i}" for i in range(31)))
    counts = np.eye(31, dtype=int) * 10
    counts[4, 9] = 30
    scores = SCORES | {"per_class": {"class 4": 0.25}}
    page = write(tmp_path, report(scored([], (), classes=classes, confusion=counts, json=scores)), scores)
    assert "75.0 % of class 4 taken for class 9" in text_of(page)
    assert not any(t.get("class") == "matrix" for t in elements(page, "table"))


def test_scores_of_other_classes_are_refused():
    with pytest.raises(
        DataError, match=r"confusion matrix of shape \(2, 2\) does not fit 3 classes; give one of shape \(3, 3\)"
    ):
        report(scored(confusion=np.zeros((2, 2))))
    with pytest.raises(DataError, match="a score of 'horse', which is not in the class table"):
        report(scored(json={"per_class": {"horse": 0.1}}))


def test_a_model_of_one_class_is_told() -> None:
    from types import SimpleNamespace

    from foveate.tasks import create_task

    task = create_task("semantic", {"classes": CLASSES}, None)

    def notes(*confusion: list[int]) -> list[str]:
        return task.score_notes(SimpleNamespace(confusion=np.array(confusion)))

    (note,) = notes([0, 90, 0], [0, 10, 0], [0, 0, 0])
    assert note.startswith("every pixel was given the class 'grass': the others are not learned yet")
    assert notes([0, 0, 0], [0, 10, 0], [0, 0, 0]) == []  # nothing else is true
    assert notes([90, 1, 0], [0, 10, 0], [0, 0, 0]) == []
