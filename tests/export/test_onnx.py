from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from timm.layers import Conv2dSame
from torch import Tensor, nn

import foveate
from foveate.cli import export as verb
from foveate.errors import ConfigError, ModelError, OutputError
from foveate.export import OPSET, TOLERANCE, export_onnx
from foveate.onnx import OnnxFile, metadata_of, write_graph
from foveate.onnx.logits import CHECKED_SIZES
from foveate.predictor import Predictor
from foveate.records import ClassificationOutput, ClassTable, Preprocessing, SemanticOutput
from foveate.store import save_model
from foveate.tasks import create_task

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

CLASSES = ClassTable(("sky", "gräs", "cow"), ((10, 20, 30), (40, 50, 60), (70, 80, 90)), ignore_index=11)
PREPROCESSING = Preprocessing((0.4, 0.5, 0.6), (0.2, 0.25, 0.3))


class StandIn(nn.Module):
    """The parts that make export hard: padding that depends on the size, upsampling, cropping back."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.down = nn.Sequential(
            Conv2dSame(3, 6, 3, stride=2, bias=False),
            nn.BatchNorm2d(6),
            nn.ReLU6(),
            Conv2dSame(6, 6, 5, stride=2, groups=2),
        )
        self.up = nn.ConvTranspose2d(6, 3, 8, stride=4, padding=2)

    def forward(self, image: Tensor) -> SemanticOutput:
        return SemanticOutput(self.up(self.down(image * 3))[..., : image.shape[-2], : image.shape[-1]])


def open_stand_in(model: nn.Module | None = None) -> Predictor:
    task = create_task("semantic", {"classes": CLASSES}, PREPROCESSING)
    return Predictor(task, (model or StandIn()).eval(), "standin", Path("m"), torch.device("cpu"), "torch")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "standin.onnx"
    report = export_onnx(open_stand_in(), path)
    assert report.path == path
    assert report.opset == OPSET
    assert report.sizes == CHECKED_SIZES
    assert report.difference < 1e-5
    assert report.bytes == path.stat().st_size
    assert [p.name for p in path.parent.iterdir()] == ["standin.onnx"]  # one file, no second one for the weights
    return path


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (64, 96), (97, 131), (250, 201), (33, 160)])
def test_equals_pytorch_at_any_size_and_batch(exported: Path, size: tuple[int, int]) -> None:
    model, file = StandIn().eval(), Predictor.open(exported)
    for batch in (1, 3):
        image = torch.randn(batch, 3, *size)
        with torch.inference_mode():
            assert torch.allclose(file.runner(image).logits, model(image).logits, atol=1e-5)


def test_carries_everything_a_reader_needs(exported: Path) -> None:
    proto = onnx.load(exported)
    stored = {prop.key: json.loads(prop.value) for prop in proto.metadata_props}
    assert stored["foveate.tables"] == {"classes": CLASSES.to_json()}
    assert stored["foveate.classes"] == CLASSES.to_json()  # read by version 0.1.0
    assert stored["foveate.preprocessing"] == PREPROCESSING.to_json()
    assert stored["foveate.model"] == "standin"
    assert stored["foveate.task"] == "semantic"
    assert stored["foveate.version"] == foveate.__version__
    (image,), (logits,) = proto.graph.input, proto.graph.output
    assert (image.name, logits.name) == ("image", "logits")
    dims = [d.dim_param or d.dim_value for d in image.type.tensor_type.shape.dim]
    assert dims == ["batch", 3, "height", "width"]
    assert {entry.domain: entry.version for entry in proto.opset_import}[""] == OPSET
    opened = Predictor.open(exported)
    assert (opened.classes, opened.preprocessing, opened.name) == (CLASSES, PREPROCESSING, "standin")


def test_names_no_source_file(exported: Path) -> None:
    content = exported.read_bytes()
    assert b".py" not in content
    assert str(Path(foveate.__file__).parent).encode() not in content


def test_predicts_as_pytorch_does(exported: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (75, 110, 3), dtype=np.uint8)
    settings: list[dict[str, Any]] = [{}, {"flip": True, "scales": (0.75, 1.0)}, {"tile": 64}]
    for options in settings:
        ours, theirs = open_stand_in().predict(pixels, **options), Predictor.open(exported).predict(pixels, **options)
        assert (ours.mask == theirs.mask).mean() > 0.999


def test_same_padding_stays_one_operator(exported: Path) -> None:
    nodes = onnx.load(exported).graph.node
    assert [n.op_type for n in nodes if n.op_type == "Pad"] == []
    paddings = [a.s for n in nodes if n.op_type == "Conv" for a in n.attribute if a.name == "auto_pad"]
    assert paddings.count(b"SAME_UPPER") == 2


def test_the_model_is_left_as_it_was(tmp_path: Path) -> None:
    model = StandIn().eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    image = torch.randn(1, 3, 20, 30)
    answer = model(image).logits
    export_onnx(open_stand_in(model), tmp_path / "a.onnx")
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert torch.equal(model(image).logits, answer)


def test_fcn_from_a_run_folder(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    fcn = foveate.create("fcn32s", num_classes=3, backbone="test_efficientnet", head_channels=8, head_kernel=1)
    for parameter in fcn.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.5)
    save_model(tmp_path / "run" / "model", fcn, "fcn32s", {"classes": CLASSES}, "semantic")
    out = tmp_path / "new" / "fcn.onnx"
    assert verb.run([str(tmp_path / "run"), "--format", "onnx", "--out", str(out)]) == 0
    printed = capfd.readouterr()
    assert "checked against PyTorch at 131x97 and 201x250" in printed.out
    assert printed.err == ""  # the exporter's chatter stays away
    pixels = np.random.default_rng(0).integers(0, 256, (90, 130, 3), dtype=np.uint8)
    ours, theirs = foveate.load(tmp_path / "run", device="cpu").predict(pixels), foveate.load(out).predict(pixels)
    assert (ours.mask == theirs.mask).mean() > 0.999
    with pytest.raises(ModelError, match=r"fcn\.onnx is an exported file already"):
        export_onnx(out, tmp_path / "again.onnx")


def change_graphs(predictor: Predictor, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """Replace fields of the `Graphs` that the predictor's task gives."""
    graphs = predictor.family.graphs
    monkeypatch.setattr(predictor.family, "graphs", lambda model: dataclasses.replace(graphs(model), **changes))


def test_a_file_that_differs_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for difference in (0.5, float("nan")):
        predictor = open_stand_in()
        change_graphs(predictor, monkeypatch, difference=lambda model, runner, d=difference: d)
        path = tmp_path / "bad.onnx"
        path.write_bytes(b"the file before")
        with pytest.raises(ModelError, match=r"the exported standin differs from PyTorch by .* nothing was written"):
            export_onnx(predictor, path)
        assert path.read_bytes() == b"the file before"
        assert [p.name for p in tmp_path.iterdir()] == ["bad.onnx"]


def measure(model: nn.Module, path: Path) -> float:
    """The difference between a model and an exported file."""
    task = create_task("semantic", {"classes": CLASSES}, PREPROCESSING)
    return task.graphs(model).difference(model, task.open(OnnxFile.open(path, "cpu")))


def test_the_check_measures_the_difference(exported: Path) -> None:
    model = StandIn().eval()
    assert measure(model, exported) < 1e-5
    with torch.no_grad():
        model.up.bias += 1.0  # type: ignore[operator]
    assert measure(model, exported) > TOLERANCE


def test_one_answer_that_is_no_number_is_a_difference(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even in the last of the compared images."""
    model = StandIn().eval()
    task = create_task("semantic", {"classes": CLASSES}, PREPROCESSING)
    runner = task.open(OnnxFile.open(exported, "cpu"))
    for bad in (1, 2):
        monkeypatch.setattr(runner, "forward", lambda x, bad=bad: broken(model(x).logits, x.shape[0] == bad))
        assert not task.graphs(model).difference(model, runner) <= TOLERANCE


def broken(logits: Tensor, now: bool) -> SemanticOutput:
    logits = logits.clone()
    logits[0, 0, 0, 0] = float("nan") if now else logits[0, 0, 0, 0]
    return SemanticOutput(logits)


def test_an_output_of_another_shape_is_refused(exported: Path) -> None:
    class Smaller(StandIn):
        def forward(self, image: Tensor) -> SemanticOutput:
            return SemanticOutput(super().forward(image).logits[:, :2])

    with pytest.raises(
        ModelError, match=r"gives an output of shape \(1, 3, 97, 131\), PyTorch \(1, 2, 97, 131\); nothing"
    ):
        measure(Smaller().eval(), exported)


def test_a_model_that_cannot_be_exported(tmp_path: Path) -> None:
    class Stubborn(nn.Module):
        def forward(self, image: Tensor) -> SemanticOutput:
            raise RuntimeError("no")

    with pytest.raises(ModelError, match=r"standin cannot be exported"):
        export_onnx(open_stand_in(Stubborn()), tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []


def test_bad_places(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model\.pt is not a name for an ONNX file"):
        export_onnx(open_stand_in(), tmp_path / "model.pt")
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match=r"cannot write .*a\.onnx"):
        export_onnx(open_stand_in(), tmp_path / "file" / "a.onnx")


@pytest.mark.parametrize("module", ["onnx", "onnxscript", "onnxruntime"])
def test_missing_extra(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match=r"not installed: pip install 'foveate\[export\]'"):
        export_onnx(open_stand_in(), tmp_path / "a.onnx")


SYSTEMS = {
    "patch_cnn": {"widths": (8, 8), "kernels": (3, 3), "fc_kernel": 3, "hidden": 16},
    "multiscale_cnn": {"scales": 2, "widths": (4, 8, 16), "hidden": 16},
    "recurrent_cnn": {"widths": (8, 8), "iterations": 2},
    "deconvnet": {"widths": (16, 32), "depths": (1, 1), "head_channels": 64, "head_kernel": 3},
}


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_semantic_system_exports(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = foveate.create(name, num_classes=3, **SYSTEMS[name]).train()
    with torch.no_grad():
        model(torch.randn(2, 3, 96, 96))  # statistics that keep the signal alive
    save_model(tmp_path / "model", model.eval(), name, {"classes": CLASSES}, "semantic")
    report = export_onnx(tmp_path / "model", tmp_path / "model.onnx")
    assert report.difference < 1e-5
    image = torch.randn(1, 3, 61, 90)
    with torch.no_grad():
        expected = model(image).logits.argmax(1)
    assert (Predictor.open(report.path).runner(image).logits.argmax(1) == expected).float().mean() > 0.999


def test_unchecked_share_leaves_out_a_small_share_of_the_logits(tmp_path: Path) -> None:
    """A file that is wrong in one logit of many passes only for a model that chooses between values."""

    class Chooses(StandIn):
        unchecked_share = 0.01

    def wrong_in_one(model: nn.Module) -> float:
        path = tmp_path / "a.onnx"
        (graph,) = open_stand_in(model).family.graphs(model).graphs
        write_graph(graph, metadata_of("semantic", "standin", {"classes": CLASSES}, PREPROCESSING), "standin", path)
        original = model.forward

        def wrong_once(image: Tensor) -> SemanticOutput:
            logits = original(image).logits.clone()
            logits[0, 0, 0, 0] += 1000.0
            return SemanticOutput(logits)

        model.forward = wrong_once  # type: ignore[method-assign]
        return measure(model, path)

    assert wrong_in_one(StandIn().eval()) > 0.5
    assert wrong_in_one(Chooses().eval()) < 1e-3


def test_a_classifier_is_exported_at_its_own_size(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    class Classifier(StandIn):
        def forward(self, image: Tensor) -> ClassificationOutput:  # type: ignore[override]
            return ClassificationOutput(super().forward(image).logits.mean((2, 3)))

    task = create_task("classification", {"classes": CLASSES}, dataclasses.replace(PREPROCESSING, size=(20, 28)))
    predictor = Predictor(task, Classifier().eval(), "standin", Path("m"), torch.device("cpu"), "torch")
    report = export_onnx(predictor, tmp_path / "a.onnx")
    assert report.sizes == ((20, 28),)
    (image,) = onnx.load(report.path).graph.input
    assert [d.dim_param or d.dim_value for d in image.type.tensor_type.shape.dim] == ["batch", 3, 20, 28]
    opened = Predictor.open(report.path)
    pixels = np.random.default_rng(0).integers(0, 256, (75, 110, 3), dtype=np.uint8)
    assert np.allclose(opened.predict(pixels).probabilities, predictor.predict(pixels).probabilities, atol=1e-5)
    answer = opened.runner(torch.randn(3, 3, 20, 28))
    assert isinstance(answer, ClassificationOutput)
    assert (tuple(answer.logits.shape), answer.transforms) == ((3, 3), ())
