"""Where windows lie in the picture itself, what a batch holds, and that boxes never reach the model."""

from __future__ import annotations

import pytest
import torch

import foveate
from foveate.datasets.pasture import Pasture
from foveate.errors import ConfigError
from foveate.pictures.fitting import fit
from foveate.records import ClassTable, Preprocessing
from foveate.tasks.colocalisation.task import ColocalisationTask
from foveate.tasks.fitting import place
from foveate.tasks.options import Options, make_options

PLAIN = Preprocessing((0.0,), (1.0,), size=(20, 20))


@pytest.mark.parametrize("size", [(20, 20), (40, 40), (40, 70), (61, 33)])
def test_windows_are_placed_where_the_network_saw_them(size: tuple[int, int]) -> None:
    """A bright square in the picture is in the window, on the picture and on what the network sees of it."""
    image = torch.zeros(1, *size)
    (box,) = place(torch.tensor([[-0.5, -0.25, 0.25, 0.5]]), size, PLAIN).round().int().tolist()
    image[:, box[1] : box[3], box[0] : box[2]] = 1
    seen = fit(image, PLAIN)[0]
    # -0.5..0.25 of 20 are 5..12.5, -0.25..0.5 are 7.5..15.
    assert seen[8:15, 5:12].min() > 0.4
    seen[7:16, 4:14] = 0
    assert seen.max() < 0.5


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
