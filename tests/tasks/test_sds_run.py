"""SDS from a folder to files: what is fitted after training is kept, and detections are regions of the image."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from test_instances import nuclei

import foveate
from foveate.cli import main
from foveate.errors import ConfigError
from foveate.metrics.instances import InstanceMetrics
from foveate.ops.regions import RegionSet
from foveate.predictor import Predictor
from foveate.records import Preprocessing, RegionOutput
from foveate.records.instances import encode_mask, instances_of
from foveate.tasks.instances.detect import best_proposals, detections

SMALL = [
    "--config.backbone", "test_efficientnet", "--config.pretrained", "false", "--config.side", "32",
    "--config.context", "4", "--config.hidden", "16", "--config.proposals", "80",
    "--epochs", "2", "--batch_size", "2", "--validate_every", "2", "--workers", "0",
]  # fmt: skip


def test_regions_are_detections_as_they_are() -> None:
    atoms = torch.tensor([[0, 0, 1, 2], [0, 0, 1, 2], [3, 3, 1, 2]])
    members = torch.tensor([[True, False, False, True], [False, True, True, False]])
    boxes = torch.tensor([[0.0, 0.0, 2.0, 3.0], [2.0, 0.0, 4.0, 3.0]])
    output = RegionOutput(boxes, torch.tensor([1, 0]), torch.tensor([0.9, 0.4]), members, atoms)
    first, second = detections(output, (3, 4), (10, 20))
    assert (first.window, first.label, first.score) == ((10, 20, 12, 23), 1, pytest.approx(0.9))
    assert first.mask.all() and second.mask.all() and second.window == (12, 20, 14, 23)
    hole = output._replace(
        members=members | torch.tensor([[False, False, True, False]] * 2),
        boxes=torch.tensor([[0.0, 0.0, 4.0, 3.0], [2.0, 0.0, 4.0, 3.0]]),
    )
    (first, _) = detections(hole, (3, 4))
    assert first.mask.tolist() == [[True, True, False, True]] * 3


def test_the_best_proposals_by_hand() -> None:
    truth = instances_of(
        (4, 6),
        [encode_mask(np.ones((4, 3), bool), (4, 6)), encode_mask(np.ones((4, 2), bool), (4, 6), 4)],
        [0, 0],
        crowd=[False, True],
    )
    columns = torch.arange(6).expand(4, -1)
    members = torch.tensor([[True, True, False, False, False, False], [False, True, True, True, True, True]])
    regions = RegionSet(torch.zeros(2, 4), columns, members, torch.arange(6)[None], torch.zeros(2).long())
    network = SimpleNamespace(regions=lambda image: regions)
    found = best_proposals(network, torch.zeros(3, 4, 6), Preprocessing.centred(3), truth)
    assert found.tolist() == [pytest.approx(8 / 12)]  # the first region, two of three columns; a crowd is left out
    empty = SimpleNamespace(regions=lambda image: regions.select(torch.zeros(0).long()))
    assert best_proposals(empty, torch.zeros(3, 4, 6), Preprocessing.centred(3), truth).tolist() == [0.0]
    metrics = InstanceMetrics(1)
    metrics.update(truth, truth)
    metrics.best_proposals(np.array([0.6, 0.5]))
    other = InstanceMetrics(1)
    other.merge(metrics.state())
    other.best_proposals(np.array([0.8, 0.9]))
    scores = other.compute()
    assert (scores.proposals_recall50, scores.proposals_recall70) == (0.75, 0.5)


def test_from_a_folder_to_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FOVEATE_CACHE", str(tmp_path / "cache"))
    data, run = nuclei(tmp_path / "data"), tmp_path / "run"
    assert main(["train", "sds_nuclei", "--data", str(data), "--out", str(run), *SMALL]) == 0
    assert len(list((tmp_path / "cache" / "regions").iterdir())) == 7  # once an image, of four and three
    model = Predictor.open(run).runner
    assert bool(model.fitted) and model.machines.abs().sum() > 0  # type: ignore[operator, union-attr]
    assert main(["evaluate", str(run), "--json", str(tmp_path / "scores.json")]) == 0
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert {"ap", "ap_r50", "ap_r70", "recall50_touching"} <= set(scores) and scores["ap_r50"] > 0.3
    assert 0.5 < scores["proposals_recall70"] <= scores["proposals_recall50"] <= 1
    assert "mask_iou_true_boxes" not in scores
    assert "match some region proposal" in (run / "report.html").read_text(encoding="utf-8")
    out = tmp_path / "out"
    assert main(["predict", str(run), str(data / "val/images"), "--out", str(out), "--score", "0"]) == 0
    written = {p.name for p in out.iterdir()}
    assert {"0.png", "0.json", "0_overlay.jpg", "objects.csv", "images.csv", "objects.json"} <= written
    with (out / "objects.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["image"] == "0.png"]
    assert len(rows) >= 3 and int(np.array(Image.open(out / "0.png")).max()) <= len(rows)
    # The result is that of the model itself, and that of tiles where one tile holds the image.
    with torch.inference_mode():
        predictor = Predictor.open(run)
        image = torch.from_numpy(np.array(Image.open(data / "val/images/0.png")).transpose(2, 0, 1).copy())
        found = predictor.runner(predictor.preprocessing(image)[None])  # type: ignore[misc]
    assert len(found.scores) == len(rows)
    assert sorted(int(float(r["area"])) for r in rows) == sorted(found.members[:, found.atoms].sum((1, 2)).tolist())
    capsys.readouterr()
    assert main(["export", str(run), "--out", str(tmp_path / "cells.onnx")]) != 0
    told = capsys.readouterr().err
    assert "this model has no ONNX export: its region proposals come from trees of segments" in told
    assert not (tmp_path / "cells.onnx").exists()


def test_recipes_that_augment_images_are_refused(tmp_path: Path) -> None:
    data = nuclei(tmp_path / "data")
    with pytest.raises(ConfigError, match="recipe 'mnc_nuclei' augments its images, but sds takes each as it is"):
        foveate.train("mnc_nuclei", data=str(data), model="sds", out=tmp_path / "run")
