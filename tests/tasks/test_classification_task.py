"""The classification task: what the network gets, what is counted, what is answered."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torchvision import tv_tensors

from foveate.errors import ConfigError, DataError
from foveate.metrics.classification import ClassificationMetrics
from foveate.pictures.fitting import fit
from foveate.records import (
    ClassificationOutput,
    ClassificationPrediction,
    ClassTable,
    Preprocessing,
    TransformerOutput,
    TransformView,
)
from foveate.tasks.classification.task import ClassificationOptions, ClassificationTask
from foveate.tasks.options import make_options
from foveate.tasks.views import corners
from foveate.visualize.clips import poses

CLASSES = ClassTable(("dark", "grey", "light"))
PLAIN = Preprocessing((0.0,), (1.0,), (4, 6))


class Bright(nn.Module):
    """Says 'light' the surer, the lighter the picture's left half."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([-8.0, 0.0, 8.0]))

    def forward(self, x):
        mean = x[..., : x.shape[-1] // 2].mean((1, 2, 3)) - 0.5
        grid = torch.zeros(len(x), 2, 2, 2)
        look = TransformerOutput(torch.zeros(len(x), 6), grid, x[..., :2, :2])
        return ClassificationOutput(mean[:, None] * self.weight, (look,))


def sample(value, label, size=(4, 6), name="x"):
    return {"image": tv_tensors.Image(torch.full((1, *size), value, dtype=torch.uint8)), "label": label, "name": name}


class Six:
    classes, channels = CLASSES, 1

    def __len__(self):
        return 6

    def __getitem__(self, index):
        return sample(51 * index, min(index // 2, 2), name=str(index))


def test_a_batch_is_normalised_and_keeps_its_order():
    task = ClassificationTask({"classes": CLASSES}, Preprocessing((0.5,), (0.25,), (4, 6)))
    batch = task.collate([sample(255, 2, name="a"), sample(0, 0, name="b")])
    assert batch["image"].shape == (2, 1, 4, 6)
    assert batch["image"].dtype == torch.float32
    assert batch["image"][:, 0, 0, 0].tolist() == [2, -2]
    assert batch["label"].tolist() == [2, 0]
    assert batch["names"] == ["a", "b"]
    assert "class_weights" not in batch


def test_an_exported_file_moves_pictures_over_the_model_s_own_background():
    model = Bright()
    model.config = SimpleNamespace(background=1.0)
    task = ClassificationTask({"classes": CLASSES}, PLAIN)
    (graph,) = task.graphs(model).graphs
    session = SimpleNamespace(
        get_inputs=lambda: [SimpleNamespace(name="image")], get_outputs=lambda: [SimpleNamespace(name="logits")]
    )
    about = json.loads(json.dumps(graph.metadata))

    def run(names, inputs):
        return [model(inputs["image"]).logits]

    for stored, corner in ((about, 255), ({}, 0)):  # earlier versions wrote none
        exported = task.open(SimpleNamespace(path="x.onnx", session=session, about=stored, run=run))
        (found,) = task.answer(exported, [sample(128, 0)], ClassificationOptions(clip="move"))
        assert {int(frame.seen[0, 0, 0]) for frame in found.motion} >= {corner}
    (found,) = task.answer(model, [sample(128, 0)], ClassificationOptions(clip="move"))
    assert 255 in {int(frame.seen[0, 0, 0]) for frame in found.motion}


def test_pictures_of_other_sizes_are_brought_to_the_networks():
    batch = ClassificationTask({"classes": CLASSES}, PLAIN).collate(
        [sample(9, 0), sample(9, 0, (40, 60)), sample(9, 0, (7, 5))]
    )
    assert batch["image"].shape == (3, 1, 4, 6)
    torch.testing.assert_close(batch["image"], torch.full((3, 1, 4, 6), 9 / 255))


def test_without_a_size_all_must_have_one():
    task = ClassificationTask({"classes": CLASSES}, Preprocessing((0.0,), (1.0,)))
    assert task.collate([sample(1, 0)])["image"].shape == (1, 1, 4, 6)
    with pytest.raises(DataError, match=r"6x4 pixels and other sizes in one batch; give the model an image_size"):
        task.collate([sample(1, 0), sample(1, 0, (5, 5))])


def test_fit_takes_the_middle():
    """Columns 0..19 of a 10x20 picture, to 5x5: the middle ten columns, two to a pixel."""
    image = torch.arange(20.0).expand(1, 10, 20) / 20
    seen = fit(image, Preprocessing((0.0,), (1.0,), (5, 5)))
    # Antialiased bilinear by 2 weighs 1 3 3 1; a ramp stays a ramp inside.
    torch.testing.assert_close(seen[0, 2, 1:4], torch.tensor([7.5, 9.5, 11.5]) / 20)
    half = fit(image, Preprocessing((0.0,), (1.0,), (5, 5), crop=0.5))
    torch.testing.assert_close(half[0, 2], torch.arange(8.0, 13.0) / 20)
    whole = fit(image, Preprocessing((0.0,), (1.0,), (5, 5), stretch=True))
    torch.testing.assert_close(whole[0, 2, 1:4], torch.tensor([5.5, 9.5, 13.5]) / 20)


def test_fit_leaves_what_fits():
    image = torch.randint(0, 256, (1, 4, 6), dtype=torch.uint8)
    assert fit(image, PLAIN) is image
    assert fit(image, Preprocessing((0.0,), (1.0,))) is image
    assert fit(torch.zeros(1, 99, 7, dtype=torch.uint8), PLAIN).dtype == torch.uint8


def test_in_training_a_picture_of_the_networks_size_is_cropped_already():
    """By augmentation, or by `validation_sample`."""
    task = ClassificationTask({"classes": CLASSES}, Preprocessing((0.0,), (1.0,), (4, 6), crop=0.5))
    pixels = torch.arange(24, dtype=torch.uint8).reshape(1, 4, 6)
    one = {"image": tv_tensors.Image(pixels), "label": 0, "name": "x"}
    assert task.collate([one])["image"].mul(255).round().equal(pixels[None].float())
    cropped = task.validation_sample(one)
    assert cropped["image"].equal(fit(pixels, task.preprocessing)) and not cropped["image"].equal(pixels)
    assert (cropped["label"], cropped["name"]) == (0, "x")


def test_scores_and_each_pictures_own(monkeypatch):
    monkeypatch.setattr(ClassificationTask, "batch_size", 4)  # and the rest in a second turn
    task, model = ClassificationTask({"classes": CLASSES}, PLAIN), Bright()
    metrics = task.metrics(None)
    own = list(task.score(model, Six(), range(6), metrics))
    assert [index for index, _ in own] == list(range(6))
    by_hand = [((51 * i / 255 - 0.5) * torch.tensor([-8.0, 0, 8.0])).softmax(0)[min(i // 2, 2)] for i in range(6)]
    assert [p for _, p in own] == pytest.approx([float(p) for p in by_hand], abs=1e-5)
    # 0, 1, 2 are called dark, 3, 4, 5 light.
    assert metrics.compute().confusion.tolist() == [[2, 0, 0], [1, 0, 1], [0, 0, 2]]


def test_an_answer_holds_what_was_seen_and_where_it_looked():
    task = ClassificationTask({"classes": CLASSES}, PLAIN)
    (answer,) = task.answer(Bright().requires_grad_(False), [sample(204, 0, (8, 12))], ClassificationOptions())
    assert answer.name == "x"
    assert answer.top(1)[0][0] == "light"
    assert sum(p for _, p in answer.top(9)) == pytest.approx(1)
    assert answer.seen.shape == (4, 6, 1)
    assert answer.seen.dtype == np.uint8
    assert answer.transforms[0].grid.shape == (2, 2, 2)
    assert answer.transforms[0].output == pytest.approx(np.full((2, 2, 1), 0.8), abs=1e-6)
    dark, grey, light = (round(float(p), 6) for p in (torch.tensor([-8.0, 0, 8]) * 0.3).softmax(0))
    top = [{"class": "light", "probability": light}, {"class": "grey", "probability": grey}]
    record = task.record(answer)
    assert record.pop("transforms") == record.pop("looks") == [{"corners": [[0.0, 0.0]] * 4}]
    assert record == {"class": "light", "top": [*top, {"class": "dark", "probability": dark}]}
    answer.transforms = ()
    assert task.record(answer) == record


def test_flip_averages_probabilities():
    task, model = ClassificationTask({"classes": CLASSES}, PLAIN), Bright().requires_grad_(False)
    image = torch.zeros(1, 4, 6, dtype=torch.uint8)
    image[..., :3] = 255
    samples = [{"image": image, "label": 2, "name": "a"}, {"image": image.flip(-1), "label": 2, "name": "b"}]
    one, other = (answer.probabilities for answer in task.answer(model, samples, ClassificationOptions()))
    assert one[2] > 0.9 > 0.1 > other[2]
    both = task.answer(model, samples[:1], ClassificationOptions(flip=True))[0].probabilities
    assert both == pytest.approx((one + other) / 2, abs=1e-6)
    samples[0]["image"][..., 0] = 0  # the transforms that are shown are those of the image, not of its mirror image
    (answer,) = task.answer(model, samples[:1], ClassificationOptions(flip=True))
    assert answer.transforms[0].output[:, :, 0].tolist() == [[0, 1], [0, 1]]
    samples[0]["image"][..., 0] = 255
    with torch.no_grad():
        scored = list(task.score(model, samples[:1], [0], task.metrics(None), ClassificationOptions(flip=True)))
    assert scored == [(0, pytest.approx(float(both[2]), abs=1e-6))]


@pytest.mark.parametrize("motion", ["turn", "move"])
def test_a_picture_in_motion_is_answered_as_its_frames_are(motion):
    """With the same options, and the model's own background outside of the image."""
    task, model = ClassificationTask({"classes": CLASSES}, PLAIN), Bright().requires_grad_(False)
    model.config = SimpleNamespace(background=0.5)
    one = sample(0, 0)
    one["image"][..., :2] = 255
    (answer,) = task.answer(model, [one], ClassificationOptions(flip=True, clip=motion))
    frames = poses(one["image"].as_subclass(torch.Tensor) / 255, motion, 0.5)
    expected = task.answer(
        model, [{"image": frame, "label": 0, "name": ""} for frame in frames], ClassificationOptions(flip=True)
    )
    assert len(answer.motion) == len(frames)
    for found, own in zip(answer.motion, expected, strict=True):
        assert found.probabilities == pytest.approx(own.probabilities, abs=1e-6)
    assert not task.answer(model, [one], ClassificationOptions())[0].motion


@pytest.mark.parametrize(
    ("size", "x", "y"),
    [
        ((4, 6), 4.0, 2.0),  # the mean of the last grid is (0.5, 0.25): 1.5 / 2 * 6 - 0.5 and 1.25 / 2 * 4 - 0.5
        ((8, 12), 8.5, 4.5),  # an image of twice the network's size: 1.5 / 2 * 12 - 0.5 and 1.25 / 2 * 8 - 0.5
        ((4, 10), 6.0, 2.0),  # of which the network is given columns 2 to 7
    ],
)
def test_the_last_window_is_located_in_pixels_of_the_image(size, x, y):
    task, metrics = ClassificationTask({"classes": CLASSES}, PLAIN), ClassificationMetrics(3)
    views = tuple(TransformView(np.array([[corner, (1.0, 0.5)]]), None) for corner in ((-1.0, -1.0), (0.0, 0.0)))
    prediction = ClassificationPrediction(
        np.array([0.2, 0.5, 0.3], np.float32), CLASSES, np.zeros((4, 6, 1), np.uint8), views
    )
    one = task.prepare(sample(0, 2, size) | {"centre": (x, y + 6)})
    assert task.count(metrics, 0, one, prediction) == pytest.approx(0.3)
    scores = metrics.compute()
    assert (scores.window_error_px, scores.window_near) == (6.0, 1.0)  # 6 pixels are near


def test_an_audit_by_hand():
    task, model = ClassificationTask({"classes": CLASSES}, PLAIN), Bright().requires_grad_(False)
    dark, grey, light = (float(p) for p in (torch.tensor([-8.0, 0, 8]) * 0.3).softmax(0))
    found = task.audit(model, sample(204, 0), ClassificationOptions())
    assert found.doubt == pytest.approx(-sum(p * math.log(p) for p in (dark, grey, light)) / math.log(3), abs=1e-5)
    (suspect,) = found.suspects
    assert (suspect.given, suspect.likely) == ("dark", "light")
    assert (suspect.probability, suspect.given_probability) == pytest.approx((light, dark), abs=1e-6)
    assert found.confidence == {"dark": (pytest.approx(dark, abs=1e-6), 1)}
    assert task.audit(model, sample(204, 2), ClassificationOptions()).suspects == []


def test_an_option_of_another_family_is_refused():
    message = r"^models for image classification have no option --crf; theirs are --flip$"
    with pytest.raises(ConfigError, match=message):
        make_options(ClassificationTask, {"flip": True, "crf": True}, "evaluate")


def test_answers_to_a_batch_are_those_to_each_image():
    """Images of several sizes and types, in their order."""
    task = ClassificationTask({"classes": CLASSES}, Preprocessing((0.0,), (1.0,)))
    samples = [sample(51 * i, 0, (4, 6) if i < 4 else (5, 8), name=str(i)) for i in range(6)]
    samples[1]["image"] = samples[1]["image"].float() / 255
    model = Bright().requires_grad_(False)
    together = task.answer(model, samples, ClassificationOptions())
    assert [answer.name for answer in together] == list("012345")
    for one, answer in zip(samples, together, strict=True):
        (alone,) = task.answer(model, [one], ClassificationOptions())
        assert answer.probabilities == pytest.approx(alone.probabilities, abs=1e-6)
        assert (answer.seen == alone.seen).all()
        assert (answer.transforms[0].output == alone.transforms[0].output).all()


@pytest.mark.parametrize(
    ("kind", "weights"), [("median", [2 / 3, 2, 0]), ("log", [1 / math.log(1.77), 1 / math.log(1.27), 0])]
)
def test_rare_classes_weigh_more(kind, weights):
    """Shares 3/4, 1/4, 0: their median over present classes is 1/2."""
    task = ClassificationTask({"classes": CLASSES}, PLAIN)
    task.weigh_classes([sample(0, 0)] * 6 + [sample(0, 1)] * 2, kind)
    assert task.collate([sample(0, 0)])["class_weights"].tolist() == pytest.approx(weights)


def test_corners_go_clockwise_from_the_upper_left():
    """Of an upright grid and of one turned by a quarter: the first corner is where the view's first pixel was read."""
    y, x = np.meshgrid(np.linspace(-0.5, 0.25, 3), np.linspace(-1, 1, 5), indexing="ij")
    upright = np.stack([x, y], -1)
    assert corners(upright) == [[-1.0, -0.5], [1.0, -0.5], [1.0, 0.25], [-1.0, 0.25]]
    turned = np.rot90(upright, axes=(0, 1))
    assert corners(turned) == [[1.0, -0.5], [1.0, 0.25], [-1.0, 0.25], [-1.0, -0.5]]
