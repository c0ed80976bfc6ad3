"""Where windows lie in the picture itself, what a batch holds, and that boxes never reach the model."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import foveate
from foveate.datasets.pasture import Pasture
from foveate.errors import ConfigError
from foveate.pictures.fitting import fit
from foveate.records import ClassTable, ColocalisationOutput, Preprocessing, TransformerOutput
from foveate.tasks.colocalisation.task import ColocalisationTask
from foveate.tasks.fitting import place
from foveate.tasks.options import Options, make_options

PLAIN = Preprocessing((0.0,), (1.0,), size=(20, 20))


@pytest.mark.parametrize(
    ("size", "fields"),
    [
        *(((h, w), {}) for h, w in [(20, 20), (40, 40), (40, 70), (61, 33), (20, 27), (27, 20)]),
        ((40, 70), {"crop": 0.5}),
        ((40, 70), {"stretch": True}),
    ],
)
def test_windows_are_placed_where_the_network_saw_them(size: tuple[int, int], fields: dict[str, Any]) -> None:
    """A bright square in the picture is in the window, on the picture and on what the network sees of it."""
    image, preprocessing = torch.zeros(1, *size), dataclasses.replace(PLAIN, **fields)
    (box,) = place(torch.tensor([[-0.5, -0.25, 0.25, 0.5]]), size, preprocessing).round().int().tolist()
    image[:, box[1] : box[3], box[0] : box[2]] = 1
    seen = fit(image, preprocessing)[0]
    # -0.5..0.25 of 20 are 5..12.5, -0.25..0.5 are 7.5..15.
    assert seen[8:15, 5:12].min() > 0.4
    seen[7:16, 4:14] = 0
    assert seen.max() < 0.5


def test_a_crop_is_one_pixel_at_least() -> None:
    crop = dataclasses.replace(PLAIN, crop=0.3)
    assert place(torch.tensor([[-1.0, -1, 1, 1]]), (1, 11), crop).tolist() == [[5, 0, 6, 1]]


class Fixed(nn.Module):
    """Gives the windows (B, T, 3) that it was made with; the contents are the same in all, those elsewhere are not."""

    elsewhere = torch.tensor([[[-1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 0.0]]])

    def __init__(self, theta: Tensor) -> None:
        super().__init__()
        self.theta = theta

    def forward(self, image: Tensor) -> ColocalisationOutput:
        grid = torch.zeros(len(image), 2, 2, 2)
        return ColocalisationOutput(
            tuple(TransformerOutput(one, grid, image[..., :2, :2]) for one in self.theta.unbind(1))
        )

    def compare(self, image: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        return self.theta, torch.tensor([1.0, 0.0]).expand(2, 2, 2), self.elsewhere


def test_boxes_and_contrast_by_hand() -> None:
    """Of images of 40x80, of which the network sees the 40x40 in the middle, at half their size."""
    task = ColocalisationTask({"classes": ClassTable(("cow",))}, PLAIN)
    model = Fixed(torch.tensor([[[0.25, 0.5, -0.5], [0.5, 0.0, 0.0]], [[0.25, 0.0, 0.25], [0.5, -0.5, 0.5]]]))
    none = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0)}
    samples = [
        {"image": torch.full((1, 40, 80), value, dtype=torch.uint8), "name": str(value)} | none for value in (51, 204)
    ]
    first, second = task.answer(model, samples, Options())
    assert first.boxes.tolist() == [[45, 5, 55, 15], [30, 10, 50, 30]]
    assert second.boxes.tolist() == [[35, 20, 45, 30], [20, 20, 40, 40]]
    for answer, value in ((first, 0.2), (second, 0.8)):
        assert [view.output.mean() for view in answer.transforms] == pytest.approx([value, value])
    metrics = task.metrics(None)
    list(task.score(model, samples, range(2), metrics))
    assert metrics.compute().contrast == 1 - (-1 + 0 + 1 + 1) / 4


def test_a_batch_holds_no_boxes() -> None:
    task = ColocalisationTask({"classes": ClassTable(("cow",))}, Preprocessing((0.0,) * 3, (1.0,) * 3, size=(32, 32)))
    dataset = Pasture(48, 64, train=4, val=0, test=0).open("train", "colocalisation")
    batch = task.collate([dataset[0], dataset[1]])
    assert set(batch) == {"image", "names"}
    assert batch["image"].shape == (2, 3, 32, 32)


def test_scores_and_answers_agree_and_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ColocalisationTask, "batch_size", 4)  # and the rest in a second turn
    model = foveate.create(
        "colocalise", num_classes=1, in_channels=3, image_size=(32, 32), widths=(4,), localise_widths=(4,), view=(2, 2)
    ).eval()
    task = ColocalisationTask({"classes": ClassTable(("cow",))}, model.preprocessing)
    dataset = Pasture(32, 48, train=6, val=0, test=0).open("train", "colocalisation")

    def scored() -> tuple[list[tuple[int, float]], torch.Tensor]:
        metrics = task.metrics(dataset)
        with torch.no_grad():
            return list(task.score(model, dataset, range(len(dataset)), metrics)), metrics.state()

    before = torch.random.get_rng_state()
    rows, state = scored()
    assert [index for index, _ in rows] == list(range(len(dataset)))
    assert len(dataset) > 4
    assert torch.random.get_rng_state().equal(before)
    assert scored()[1].equal(state)
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    with torch.no_grad():
        next(task.score(model, dataset, range(len(dataset)), task.metrics(dataset)))
        assert torch.rand(2).equal(expected)  # whoever takes the scores has random numbers of his own
        for index, own in rows:
            sample = dataset[index]
            (answer,) = task.answer(model, [sample], Options())
            metrics = task.metrics(dataset)
            again = metrics.update(
                torch.from_numpy(answer.boxes), sample["boxes"].as_subclass(torch.Tensor), sample["labels"], (32, 48)
            )
            assert again == pytest.approx(own, nan_ok=True, abs=1e-4)


def test_scores_without_an_object_or_of_one_picture_say_what_is_undefined() -> None:
    task = ColocalisationTask({"classes": ClassTable(("cow",))}, PLAIN)
    metrics = task.metrics(None)
    window, none = torch.tensor([[2.0, 2, 10, 10]]), torch.zeros(0)
    metrics.update(window, torch.zeros(0, 4), none, (20, 20))
    expected = [("no boxes", "CorLoc, IoU and pointing"), ("only one picture", "the contrast")]
    assert list(task.undefined(metrics.compute())) == expected
    metrics.update(window, window, torch.tensor([0]), (20, 20))
    features = torch.nn.functional.normalize(torch.ones(2, 3), dim=1)
    metrics.compare(features, features)
    assert list(task.undefined(metrics.compute())) == []


def test_other_ways_of_looking_are_refused() -> None:
    task = ColocalisationTask({"classes": ClassTable(("cow",))}, PLAIN)
    with pytest.raises(ConfigError, match=r"co-localisation have no option --flip; they have none: leave it out"):
        make_options(ColocalisationTask, {"flip": True}, "predict")
    with pytest.raises(ConfigError, match="class_weights is 'balanced', but co-localisation has no class labels"):
        task.weigh_classes([], "balanced")
