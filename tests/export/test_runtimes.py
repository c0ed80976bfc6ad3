"""Exported files in OpenVINO beside ONNX Runtime: equal answers, and one clear line where something is missing."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import foveate
from foveate import cli
from foveate.datasets.pasture import Pasture
from foveate.engine import evaluate_run
from foveate.errors import ConfigError, ModelError
from foveate.export import export_onnx
from foveate.onnx import Graph, OnnxFile, default_runtime, metadata_of, open_session, runtimes, write_graph
from foveate.predictor import Predictor
from foveate.store import save_model
from foveate.text import END, SPECIALS, Vocabulary

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
pytest.importorskip("openvino")

DATA = Pasture(height=40, width=56, val=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder of an FCN, and its exported file."""
    torch.manual_seed(0)
    classes = DATA.open("val", "semantic").classes
    fcn = foveate.create(
        "fcn8s", num_classes=len(classes), backbone="test_efficientnet", head_channels=8, head_kernel=1, skip_channels=4
    )
    for parameter in fcn.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.5)
    folder = tmp_path_factory.mktemp("fcn")
    save_model(folder / "model", fcn, "fcn8s", {"classes": classes}, "semantic")
    export_onnx(folder, folder / "fcn.onnx")
    return folder


def pixels(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_logits_are_those_of_pytorch(folder: Path) -> None:
    model, file = Predictor.open(folder, "cpu"), Predictor.open(folder / "fcn.onnx", runtime="openvino")
    assert (file.runtime, file.precision, file.computed_in) == ("openvino", "float32", "OpenVINO")
    for batch, height, width in ((1, 33, 47), (2, 64, 96), (1, 33, 47)):
        image = torch.randn(batch, 3, height, width)
        with torch.inference_mode():
            expected, found = model.runner(image).logits, file.runner(image).logits
        assert found.shape == expected.shape
        assert float((found - expected).abs().max()) < 1e-4 * float(expected.abs().max())


def test_both_runtimes_read_the_same_of_a_file(folder: Path) -> None:
    ours, theirs = (OnnxFile.open(folder / "fcn.onnx", "cpu", runtime=name) for name in ("onnxruntime", "openvino"))
    assert ours.about == theirs.about
    for kind in ("get_inputs", "get_outputs"):
        (x,), (y,) = (getattr(file.session, kind)() for file in (ours, theirs))
        assert x.name == y.name
        assert [side if isinstance(side, int) else None for side in x.shape] == y.shape


def test_an_answer_is_not_overwritten_by_the_next(folder: Path) -> None:
    session = open_session(folder / "fcn.onnx", "cpu", "openvino")
    first = session.run(["logits"], {"image": np.zeros((1, 3, 32, 32), np.float32)})[0]
    before = first.copy()
    session.run(["logits"], {"image": np.ones((1, 3, 32, 32), np.float32)})
    assert (first == before).all()


def test_a_captioner_gives_the_same_captions(tmp_path: Path) -> None:
    torch.manual_seed(1)
    table = Vocabulary((*SPECIALS, "a", "the", "cow", "sky", "grass"))
    model = foveate.create(
        "show_attend_tell", vocabulary=len(table), backbone="test_efficientnet", image_size=(64, 96), embed=8,
        hidden=12, attend=6,
    )  # fmt: skip
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.startswith("backbone"):
                nn.init.normal_(parameter, std=0.7)
        model.L_o.bias[END] += 0.7
    save_model(tmp_path / "model", model, "show_attend_tell", {"text": table}, "captioning")
    export_onnx(tmp_path, tmp_path / "captions.onnx")
    ours, theirs = (Predictor.open(tmp_path / "captions.onnx", runtime=name) for name in ("onnxruntime", "openvino"))
    for seed in range(3):
        image = pixels(50 + seed, 70)
        assert ours.predict(image).text == theirs.predict(image).text != ""


def test_bf16_is_near_and_is_not_float32(folder: Path) -> None:
    if "BF16" not in runtimes.openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this CPU does not compute in bf16")
    exact = Predictor.open(folder / "fcn.onnx", runtime="openvino")
    coarse = Predictor.open(folder / "fcn.onnx", runtime="openvino", precision="bf16")
    assert coarse.computed_in == "OpenVINO (bf16)"
    image = torch.randn(1, 3, 64, 64)
    expected, found = exact.runner(image).logits, coarse.runner(image).logits
    difference = float((found - expected).abs().max()) / float(expected.abs().max())
    assert 1e-5 < difference < 0.1


def test_bf16_is_refused_where_the_cpu_has_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Core:
        def get_property(self, device: str, name: str) -> Any:
            return {"OPTIMIZATION_CAPABILITIES": ["FP32", "INT8"], "FULL_DEVICE_NAME": "Old CPU"}[name]

    monkeypatch.setattr(runtimes, "openvino_core", Core)
    with pytest.raises(ConfigError, match=r"this CPU \(Old CPU\) does not compute in bf16; leave --precision at float"):
        Predictor.open(folder / "fcn.onnx", runtime="openvino", precision="bf16")


def test_signals_are_handled_after_files_are_closed(folder: Path) -> None:
    """Cores that are freed in the order of their making leave the thread with an unmapped stack for signal handlers."""
    program = """
import os, signal, sys
from pathlib import Path
from foveate.onnx import open_session

signal.signal(signal.SIGUSR1, lambda number, frame: print("handled"))
first = open_session(Path(sys.argv[1]), "cpu", "openvino")
second = open_session(Path(sys.argv[1]), "cpu", "openvino")
del first
del second
os.kill(os.getpid(), signal.SIGUSR1)
"""
    command = [sys.executable, "-c", program, str(folder / "fcn.onnx")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"runtime": "openvinno"}, "unknown runtime 'openvinno'; the nearest is 'openvino'"),
        ({"runtime": "openvino", "precision": "bf17"}, "unknown precision 'bf17'; the nearest is 'bf16'"),
        ({"precision": "bf16"}, "ONNX Runtime computes in float32; for bf16 give --runtime openvino as well"),
        ({"runtime": "openvino", "device": "cuda"}, "device 'cuda' is not available to OpenVINO here; use auto or cpu"),
    ],
)
def test_what_does_not_exist_is_refused(folder: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Predictor.open(folder / "fcn.onnx", **settings)


def test_a_runtime_that_is_not_installed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_runtime() == "onnxruntime"
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "openvino", None)
        with pytest.raises(ModelError, match=r"fcn\.onnx needs OpenVINO, which is not installed: pip install 'foveate"):
            Predictor.open(folder / "fcn.onnx", runtime="openvino")
        assert Predictor.open(folder / "fcn.onnx").runtime == "onnxruntime"
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert Predictor.open(folder / "fcn.onnx").runtime == "openvino"  # the only one there is


def test_a_damaged_file_names_the_runtime(tmp_path: Path, folder: Path) -> None:
    file = tmp_path / "bad.onnx"
    file.write_bytes((folder / "fcn.onnx").read_bytes()[:3000])
    with pytest.raises(ModelError, match=r"bad\.onnx cannot be loaded by OpenVINO: .*; export the model again"):
        OnnxFile.open(file, "cpu", runtime="openvino")
    file.write_bytes(b"")
    with pytest.raises(ModelError, match=r"bad\.onnx cannot be loaded by OpenVINO"):
        OnnxFile.open(file, "cpu", runtime="openvino")


def test_an_input_that_openvino_cannot_run_is_one_line(folder: Path) -> None:
    session = open_session(folder / "fcn.onnx", "cpu", "openvino")
    for shape in ((1, 5, 32, 32), (3, 32, 32)):
        with pytest.raises(ModelError) as caught:
            session.run(["logits"], {"image": np.zeros(shape, np.float32)})
        assert f"fcn.onnx takes 'image' of shape (None, 3, None, None), but {shape} was given" in str(caught.value)


def test_threads_share_a_session(folder: Path) -> None:
    for runtime in ("onnxruntime", "openvino"):
        session = open_session(folder / "fcn.onnx", "cpu", runtime, workers=3)
        images = [np.full((1, 3, 32 + i, 32), i / 8, np.float32) for i in range(8)]
        expected = [session.run(["logits"], {"image": image})[0] for image in images]
        with ThreadPoolExecutor(3) as threads:
            found = list(threads.map(lambda image: session.run(["logits"], {"image": image})[0], images))  # noqa: B023
        assert all((a == b).all() for a, b in zip(expected, found, strict=True))


def test_a_family_whose_answers_differ_there_is_refused(tmp_path: Path) -> None:
    table = Vocabulary((*SPECIALS, "a"))
    graph = Graph(nn.ReLU(), (torch.zeros(2, 3),), ({0: "batch"},), ("x",), ("y",))
    about = metadata_of("translation", "rnnsearch", {"source": table, "target": table}, None)
    write_graph(graph, about, "rnnsearch", tmp_path / "m.onnx")
    with pytest.raises(ModelError) as caught:
        Predictor.open(tmp_path / "m.onnx", runtime="openvino")
    text = str(caught.value)
    assert "m.onnx: models for translation are not run in OpenVINO, where their answers are not known" in text
    assert "use --runtime onnxruntime (OpenVINO is for captioning, image classification, " in text


def test_a_run_folder_has_no_runtime(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"is not an exported file, and PyTorch runs it; --runtime and --precision"):
        Predictor.open(folder, runtime="openvino")
    with pytest.raises(ConfigError, match=r"is not an exported file; leave out --runtime and --precision"):
        evaluate_run(folder / "model", source=DATA, runtime="openvino")


def test_an_exported_file_is_scored_like_its_model(folder: Path) -> None:
    expected = evaluate_run(folder / "model", source=DATA)
    for runtime in ("onnxruntime", "openvino"):
        found = evaluate_run(folder / "fcn.onnx", source=DATA, runtime=runtime)
        assert found.scores.mean_iou == pytest.approx(expected.scores.mean_iou, abs=1e-3)
        assert [name for name, _ in found.samples] == [name for name, _ in expected.samples]
    with pytest.raises(ConfigError, match=r"is an exported file, which does not record its data; give some with"):
        evaluate_run(folder / "fcn.onnx")


def test_predict_says_which_runtime_it_used(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(pixels(30, 40)).save(tmp_path / "a.png")
    words = ["predict", str(folder / "fcn.onnx"), str(tmp_path / "a.png"), "--out", str(tmp_path / "out")]
    assert cli.main([*words, "--runtime", "openvino"]) == 0
    assert " in OpenVINO" in capsys.readouterr().out
    summary = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert summary["model"]["runtime"] == "openvino"
    assert cli.main([*words, "--runtime", "tensorrt"]) == 1
    assert capsys.readouterr().err == "foveate: unknown runtime 'tensorrt'; known: onnxruntime, openvino\n"


def test_bench_of_an_exported_file(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("foveate.engine.bench.REPEATS", 1)
    alone = ["bench", str(folder / "fcn.onnx")]
    assert cli.main(alone) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("fcn8s on one made-up picture of 3x512x512, cpu, ")
    assert "\n  ONNX Runtime   " in printed
    assert printed.endswith(f"note: {alone[1]} does not record its data; --data PATH measures a picture of your own\n")
    assert cli.main([*alone, "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["input"], found["made_up"]) == ("3x512x512", True) and found["onnxruntime"]["milliseconds"] > 0
    sample = DATA.open("val", "semantic")[0]
    for kind, pixel in (("images", sample["image"].permute(1, 2, 0)), ("labels", sample["mask"])):
        (tmp_path / "val" / kind).mkdir(parents=True)
        Image.fromarray(pixel.numpy()).save(tmp_path / "val" / kind / "a.png")
    (tmp_path / "classes.txt").write_text("\n".join(DATA.open("val", "semantic").classes.names) + "\n")
    words = ["bench", str(folder / "fcn.onnx"), "--data", str(tmp_path), "--runtime", "openvino"]
    assert cli.main([*words[:-1], "tensorrt"]) == 1
    assert capsys.readouterr().err == "foveate: unknown runtime 'tensorrt'; known: onnxruntime, openvino\n"
    assert cli.main(words) == 0
    assert "\n  OpenVINO       " in capsys.readouterr().out
    assert cli.main([*words, "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["openvino"]["milliseconds"] > 0
    assert (found["input"], found["made_up"]) == ("3x40x56", False)
