"""Pictures in the list of all samples of a report: which samples, and what is drawn of them."""

from __future__ import annotations

import base64
import io

import numpy as np
import torch
from PIL import Image
from report_stand_ins import evaluation, image
from torchvision import tv_tensors

from foveate.records import ClassTable, SemanticPrediction
from foveate.tasks.evaluation import NUM_EXAMPLES
from foveate.tasks.inputs import IMAGE
from foveate.tasks.reporting import input_pictures
from foveate.tasks.semantic.report import MOST_CLASSES, report
from foveate.visualize.overlay import ERROR_COLORS, WRONG_FAR, overlay
from foveate.visualize.report.record import Picture

CLASSES = ClassTable(("sky", "grass"))
SCORES = {"confusion": np.array([[9, 1], [0, 10]]), "absent": (), "samples": 3}
JSON = {"per_class": {"sky": 0.5, "grass": 0.5}, "per_class_boundary_iou": {}, "trimap_iou": {}, "samples": 3}


def sample(number: int, size: tuple[int, int] = (320, 320)) -> dict:
    """A grey square; the upper half is sky."""
    mask = np.zeros(size, np.uint8)
    mask[size[0] // 2 :] = 1
    pixels = np.full((*size, 3), 10 * number, np.uint8)
    return {"name": f"{number}.png", "image": image(pixels), "mask": tv_tensors.Mask(torch.from_numpy(mask))}


class Model:
    """The truth, but grass everywhere; counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, sample: dict) -> SemanticPrediction:
        self.calls += 1
        return SemanticPrediction(np.ones_like(sample["mask"].numpy()), CLASSES)


def scored(own: tuple[float, ...], model: Model, classes: ClassTable = CLASSES):
    dataset = [sample(number, (320, 320)) for number in range(len(own))]
    return evaluation(model, dataset, SCORES, own, {"classes": classes}, json=JSON)


def pixels(picture: Picture) -> np.ndarray:
    with Image.open(io.BytesIO(base64.b64decode(picture.source.split(",")[1]))) as decoded:
        return np.asarray(decoded.convert("RGB")).astype(int)


def test_semantic_pictures_are_truth_prediction_and_errors() -> None:
    part = report(scored((0.5, 0.25), Model()))
    assert list(part.pictures) == [1, 0]
    truth, prediction, errors = part.pictures[1]
    assert [one.title for one in part.pictures[1]] == ["Truth", "Prediction", "Errors"]
    assert (truth.width, truth.height) == (320, 320)
    drawn = sample(1)["image"].permute(1, 2, 0).numpy()
    for picture, labels in ((truth, sample(1)["mask"].numpy()), (prediction, np.ones((320, 320), np.uint8))):
        assert np.abs(pixels(picture) - overlay(drawn, labels, CLASSES))[[20, 300], 160].max() < 8
    assert np.abs(pixels(errors)[20, 160] - ERROR_COLORS[WRONG_FAR]).max() < 8
    assert errors.alt == "50.0 % of the pixels are wrong, 3 % of those close to an outline"


def test_columns_are_accuracy_and_the_iou_of_each_class() -> None:
    assert list(report(scored((0.5,), Model())).columns) == [
        ("pixel_accuracy", "Pixel accuracy"),
        ("iou sky", "IoU sky"),
        ("iou grass", "IoU grass"),
    ]
    many = ClassTable(tuple(f"class {k}" for k in range(MOST_CLASSES + 1)))
    made = scored((0.5,), Model(), many)
    made.scores.confusion = np.eye(len(many), dtype=int)
    made.scores.json = JSON | {"per_class": {}}
    assert list(report(made).columns) == [("pixel_accuracy", "Pixel accuracy")]


def test_no_sample_is_answered_twice_for_examples_and_list() -> None:
    model, count = Model(), 2 * NUM_EXAMPLES + 2
    part = report(scored(tuple(k / 100 for k in range(count)), model))
    assert model.calls == count and len(part.pictures) == count


def test_a_family_of_images_lists_its_inputs_and_any_other_none() -> None:
    made = scored((0.5, float("nan"), 0.25), Model())
    assert input_pictures(made) == {}
    made.task.inputs = (IMAGE,)
    pictures = input_pictures(made)
    assert list(pictures) == [2, 0, 1]
    for place, (picture,) in pictures.items():
        assert picture.title == "Picture" and np.abs(pixels(picture) - 10 * place).max() < 3
