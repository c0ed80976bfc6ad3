"""What is recorded of a run is what the pages need, and is not overwritten."""

from __future__ import annotations

import json
import re
import shutil

import pytest
import torch
from doc_pages import camvid, script

import foveate
from foveate.registry import entries


def test_a_recorded_run_holds_what_the_pages_need(example_run, extended, tmp_path):
    recorder = script("record_result")
    assert recorder.main([str(example_run)], tmp_path) == 0
    text = (tmp_path / "pyramid_sum_pasture.json").read_text()
    result = json.loads(text)
    assert set(result) == {
        "recipe", "command", "data", "split", "seed", "commit", "clean", "python", "packages", "instructions",
        "threads", "minutes", "peak_memory_mib", "hardware", "parameters", "scores",
    }  # fmt: skip
    environment = json.loads((example_run / "environment.json").read_text())
    assert all(result[key] == environment[key] for key in ("commit", "clean", "python", "packages", "threads"))
    assert result["packages"]["torch"] == torch.__version__.partition("+")[0]
    assert str(example_run.parent) not in text
    assert result["split"] == "val" and result["seed"] == 0
    assert result["parameters"] == sum(p.numel() for p in foveate.load(example_run).model.parameters())
    scores = json.loads((example_run / "evaluation.json").read_text())
    assert result["scores"]["images"] == 2
    assert result["scores"]["mean_iou"] == pytest.approx(scores["mean_iou"], abs=1e-6)
    assert {"boundary_iou", "trimap_iou", "per_class"} <= set(result["scores"])
    page = script("generate").results_page({"pyramid_sum_pasture": result | {"clean": False}})
    (line,) = [line for line in page.splitlines() if "| with changes |" in line]
    assert f"`{result['command']}` | 0 | {result['commit'][:10]} | with changes | A | {result['threads']} |" in line
    assert result["command"] in page and f"{result['scores']['mean_iou']:.3f}" in page


def test_the_score_that_ranks_a_family_is_recorded():
    kept = script("record_result").KEPT
    families = [entry.load() for entry in entries("task").values()]
    assert [family.name for family in families if family.monitor not in kept] == []


def test_a_record_of_clips_counts_them(generate):
    scores = {"bleu4": 0.5, "cider_d": 1.0, "event_accuracy": 0.7, "order_accuracy": 0.9, "clips": 200}
    result = next(iter(camvid((0.3, (0.2, 0.4)), (0.35, (0.3, 0.5)), (0.4, (0.35, 0.5))).values()))
    page = generate.results_page({"clips": result | {"scores": scores}})
    assert "## Video" in page and "scored on 200 clips" in page and "## Captioning" not in page


def test_a_record_of_another_run_is_not_overwritten(example_run, extended, tmp_path, capsys):
    recorder = script("record_result")
    assert recorder.main([str(example_run)], tmp_path) == recorder.main([str(example_run)], tmp_path) == 0
    file = tmp_path / "pyramid_sum_pasture.json"
    older = json.loads(file.read_text()) | {"commit": "0123"}
    file.write_text(json.dumps(older))
    assert recorder.main([str(example_run)], tmp_path) == 1
    complaint = capsys.readouterr().err
    assert "holds another run (commit '0123', now " in complaint
    assert json.loads(file.read_text()) == older
    (other,) = re.findall(r"or a NAME of its own, as (pyramid_sum_pasture_\w{7})\n", complaint)
    assert recorder.main([str(example_run), other], tmp_path) == 0
    both = [json.loads((tmp_path / f"{name}.json").read_text())["commit"] for name in ("pyramid_sum_pasture", other)]
    assert both[0] == "0123" and both[1].startswith(other.rpartition("_")[2])
    assert recorder.main([str(example_run), "--replace"], tmp_path) == 0
    assert json.loads(file.read_text())["commit"] != "0123" and "timing" not in json.loads(file.read_text())
    assert recorder.main([str(example_run), "--disturbed"], tmp_path) == 0
    assert json.loads(file.read_text())["timing"] == "minutes measured beside other work"


def test_recorded_commands_hold_no_place_of_this_machine():
    command = script("record_result").portable_command
    assert (
        command("foveate train fcn8s_camvid --data /data/x --out '/a b/c' --resume --optim.lr 1e-3", "camvid")
        == "foveate train fcn8s_camvid --data CAMVID --optim.lr 1e-3"
    )
    assert command("foveate train fcn8s --data=/x --out=/y --init /runs/z", "voc") == (
        "foveate train fcn8s --data VOC --init RUN"
    )
    assert command("foveate train mnc_nuclei --data /x", "folders") == "foveate train mnc_nuclei --data DSB2018"
    assert command("foveate train st_cnn_affine_mnist_rts --data /x", "distorted_mnist").endswith("--data MNIST")


def test_an_unfinished_or_unevaluated_run_is_not_recorded(example_run, extended, tmp_path, capsys):
    recorder = script("record_result")
    copy = tmp_path / "copy"
    shutil.copytree(example_run, copy)
    (copy / "evaluation.json").unlink()
    assert recorder.main([str(copy)], tmp_path / "out") == 1
    assert "was not evaluated; run: foveate evaluate" in capsys.readouterr().err
    shutil.copy(example_run / "evaluation.json", copy)
    recipe = json.loads((copy / "recipe.json").read_text())
    (copy / "recipe.json").write_text(json.dumps(recipe | {"epochs": 3}))
    assert recorder.main([str(copy)], tmp_path / "out") == 1
    assert "has 1 of 3 epochs" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
