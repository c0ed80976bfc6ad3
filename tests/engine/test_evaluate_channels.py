"""Evaluation gives a network the channels that it was made for, as prediction does, in every family."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import foveate
from foveate.datasets import recognise
from foveate.datasets.pasture import Pasture
from foveate.engine.evaluate import evaluate_run
from foveate.engine.loading import SuitedDataset
from foveate.errors import DataError
from foveate.metrics.segmentation import SegmentationMetrics
from foveate.predictor import Predictor
from foveate.records import ClassTable
from foveate.store import save_model
from foveate.text import SPECIALS, Vocabulary

WORDS = Vocabulary((*SPECIALS, "a", "cow", "stands"))


def folder_of(path: Path, name: str, task: str, tables: dict[str, Any], **config: Any) -> Path:
    torch.manual_seed(0)
    model: nn.Module = foveate.create(name, **config)
    save_model(path, model, name, tables, task)
    return path


def colours(path: Path, count: int, mode: str = "RGB") -> list[Path]:
    """Pictures with unlike channels."""
    random = np.random.default_rng(2)
    path.mkdir(parents=True, exist_ok=True)
    files = [path / f"{number}.png" for number in range(count)]
    for file in files:
        pixels = random.integers(0, 256, (28, 28, 3), dtype=np.uint8) // np.array([1, 4, 2], np.uint8)
        Image.fromarray(pixels).convert(mode).save(file)
    return files


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_grey_classifier_on_class_folders(tmp_path: Path, mode: str) -> None:
    table = ClassTable(("cat", "dog"))
    config: dict[str, Any] = {"num_classes": 2, "in_channels": 1, "image_size": (28, 28)}
    model = folder_of(
        tmp_path / "model", "spatial_transformer", "classification", {"classes": table},
        widths=(4, 8), localise_widths=(4,), **config,
    )  # fmt: skip
    files = {name: colours(tmp_path / "data" / "val" / name, 3, mode) for name in table.names}
    for name in table.names:
        colours(tmp_path / "data" / "train" / name, 1, mode)
    found = evaluate_run(model, source=recognise(tmp_path / "data"), split="val")
    predictor = Predictor.open(model, device="cpu")
    expected = [
        float(predictor.predict(file).probabilities[label])
        for label, name in enumerate(table.names)
        for file in files[name]
    ]
    assert [own for _, own in found.samples] == pytest.approx(expected, abs=1e-6)


def write_masks(root: Path, names: Sequence[str]) -> Path:
    for split in ("train", "val"):
        colours(root / split / "images", 2)
        (root / split / "masks").mkdir()
        for number in range(2):
            mask = np.zeros((28, 28), np.uint8)
            mask[number : number + 9] = 1
            Image.fromarray(mask).save(root / split / "masks" / f"{number}.png")
    (root / "classes.txt").write_text("\n".join(names) + "\n")
    return root


def test_a_grey_semantic_model_on_pictures_and_masks(tmp_path: Path) -> None:
    root = write_masks(tmp_path / "data", ("ground", "cell"))
    source = recognise(root)
    dataset = source.open("val")
    model = folder_of(
        tmp_path / "model", "fcn8s", "semantic", {"classes": dataset.classes}, num_classes=2, in_channels=1,
        backbone="test_efficientnet", head_channels=8, head_kernel=1,
    )  # fmt: skip
    found = evaluate_run(model, source=source)
    predictor = Predictor.open(model, device="cpu")
    total = SegmentationMetrics(2, boundaries=False)
    for index in range(2):
        mask = predictor.predict(root / "val" / "images" / f"{index}.png").mask
        total.update(mask, dataset[index]["mask"].numpy().astype(np.int64))
    assert found.scores.mean_iou == pytest.approx(total.compute().mean_iou)


def test_a_grey_captioner_on_photographs(tmp_path: Path) -> None:
    files = colours(tmp_path / "data", 4)
    lines = "".join(f"{file.name},a cow stands\n" for file in files)
    (tmp_path / "data" / "captions.csv").write_text(f"image,caption\n{lines}")
    model = folder_of(
        tmp_path / "model", "show_attend_tell", "captioning", {"text": WORDS}, in_channels=1, backbone="resnet18",
        image_size=(64, 64), embed=8, hidden=8, vocabulary=len(WORDS),
    )  # fmt: skip
    found = evaluate_run(model, source=recognise(tmp_path / "data"), split="train")
    predictor = Predictor.open(model, device="cpu")
    for sample, prediction, _ in found.examples():
        again = predictor.predict(tmp_path / "data" / sample["name"])
        assert sample["image"].shape[0] == 1
        assert (again.text, again.sentences[0].score) == (
            prediction.text,
            pytest.approx(prediction.sentences[0].score, abs=1e-5),
        )


def test_a_grey_colocaliser_on_colours(tmp_path: Path) -> None:
    source = Pasture(height=32, width=32, train=1, val=3, test=1)
    dataset = source.open("val", "colocalisation")
    model = folder_of(
        tmp_path / "model", "colocalise", "colocalisation", {"classes": dataset.classes},
        num_classes=len(dataset.classes), in_channels=1, image_size=(32, 32), view=(8, 8), widths=(4, 8),
        localise_widths=(8,),
    )  # fmt: skip
    found = evaluate_run(model, source=source, split="val")
    predictor = Predictor.open(model, device="cpu")
    for (index, _), (_, prediction, _) in zip(
        sorted(found.samples, key=lambda pair: -pair[1]), found.examples(), strict=True
    ):
        again = predictor.predict(dataset[index]["image"])
        np.testing.assert_allclose(again.boxes, prediction.boxes, atol=1e-3)


def test_a_colour_model_on_grey_samples() -> None:
    """A data set of one channel, as IDX files are, and a network that was made for three."""

    class Grey:
        channels = 1

        def __len__(self) -> int:
            return 1

        def __getitem__(self, index: int) -> dict[str, Any]:
            return {"image": torch.full((1, 2, 2), 51, dtype=torch.uint8), "name": "a"}

        def draw(self, keys: Sequence[tuple[int, int]]) -> list[dict[str, Any]]:
            return [self[index] for _, index in keys]

    from foveate.records import Preprocessing
    from foveate.tasks import create_task

    task = create_task("classification", {"classes": ClassTable(("a", "b"))}, Preprocessing())
    suited = SuitedDataset(Grey(), task, "net")
    assert suited[0]["image"].shape == (3, 2, 2) and (suited[0]["image"] == 51).all()
    assert suited.draw([(0, 0)])[0]["image"].shape == (3, 2, 2)
    assert suited.channels == 1


def test_other_numbers_of_channels_are_refused_by_name(tmp_path: Path) -> None:
    root = write_masks(tmp_path / "data", ("ground", "cell"))
    model = folder_of(
        tmp_path / "model", "fcn8s", "semantic", {"classes": recognise(root).open("val").classes}, num_classes=2,
        in_channels=5, backbone="test_efficientnet", head_channels=8, head_kernel=1,
    )  # fmt: skip
    with pytest.raises(DataError, match=r"0\.png has 3 channels; fcn8s was trained on 5"):
        evaluate_run(model, source=recognise(root))


def test_a_generated_set_is_left_as_it_is(tmp_path: Path) -> None:
    source = Pasture(height=32, width=32, train=2, val=2, test=1)
    model = folder_of(
        tmp_path / "model", "fcn8s", "semantic", {"classes": source.open("val").classes},
        num_classes=len(source.open("val").classes), backbone="test_efficientnet", head_channels=8, head_kernel=1,
    )  # fmt: skip
    found = evaluate_run(model, source=source, split="val")
    assert torch.equal(found.dataset[1]["image"], source.open("val")[1]["image"])
    assert json.dumps(found.to_json())
