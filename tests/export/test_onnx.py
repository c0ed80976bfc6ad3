from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from timm.layers import Conv2dSame
from torch import Tensor, nn

import foveate
from foveate.cli import export as verb
from foveate.errors import ConfigError, ModelError, OutputError
from foveate.export import label_maps
from foveate.export.graph import OPSET, TOLERANCE
from foveate.export.label_maps import CHECKED_SIZES
from foveate.export.onnx import export_onnx
from foveate.predictor import Predictor, SemanticPredictor
from foveate.records import ClassTable, Preprocessing, SemanticOutput
from foveate.store import save_model

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
    model = (model or StandIn()).eval()
    cpu = torch.device("cpu")
    return SemanticPredictor(
        lambda x: model(x).logits, CLASSES, PREPROCESSING, "standin", Path("m"), cpu, "torch", model=model
    )


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
            assert torch.allclose(file.network(image), model(image).logits, atol=1e-5)


def test_carries_everything_a_reader_needs(exported: Path) -> None:
    proto = onnx.load(exported)
    stored = {prop.key: json.loads(prop.value) for prop in proto.metadata_props}
    assert stored["foveate.classes"] == CLASSES.to_json()
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


def test_predicts_as_pytorch_does(exported: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (75, 110, 3), dtype=np.uint8)
    for options in ({}, {"flip": True, "scales": (0.75, 1.0)}, {"tile": 64}):
        ours, theirs = open_stand_in().predict(pixels, **options), Predictor.open(exported).predict(pixels, **options)  # type: ignore[arg-type]
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
    save_model(tmp_path / "run" / "model", fcn, "fcn32s", CLASSES, "semantic")
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


def test_a_file_that_disagrees_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_maps, "write", lambda predictor, model, paths: paths[0].write_bytes(b"x"))
    for difference in (0.5, float("nan")):
        monkeypatch.setattr(label_maps, "disagreement", lambda *_, d=difference: d)
        path = tmp_path / "bad.onnx"
        path.write_bytes(b"the file before")
        with pytest.raises(ModelError, match=r"the exported standin differs from PyTorch by .* nothing was written"):
            export_onnx(open_stand_in(), path)
        assert path.read_bytes() == b"the file before"
        assert [p.name for p in tmp_path.iterdir()] == ["bad.onnx"]


def test_what_the_check_measures(exported: Path) -> None:
    model = StandIn().eval()
    assert label_maps.disagreement(open_stand_in(model), model, [exported]) < 1e-5
    with torch.no_grad():
        model.up.bias += 1.0  # type: ignore[operator]
    worst = label_maps.disagreement(open_stand_in(model), model, [exported])
    assert worst > TOLERANCE


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
    save_model(tmp_path / "model", model.eval(), name, CLASSES, "semantic")
    report = export_onnx(tmp_path / "model", tmp_path / "model.onnx")
    assert report.difference < 1e-5
    image = torch.randn(1, 3, 61, 90)
    with torch.no_grad():
        expected = model(image).logits.argmax(1)
    assert (Predictor.open(report.path).network(image).argmax(1) == expected).float().mean() > 0.999


def test_what_may_differ_is_a_small_share_of_a_model_that_says_so(tmp_path: Path) -> None:
    """A file that is off in one logit of many passes only for a model that chooses between values."""

    class Chooses(StandIn):
        may_differ = 0.01

    def off(model: nn.Module) -> float:
        predictor = open_stand_in(model)
        path = tmp_path / "a.onnx"
        label_maps.write(predictor, model, [path])
        original = model.forward

        def wrong_once(image: Tensor) -> SemanticOutput:
            logits = original(image).logits.clone()
            logits[0, 0, 0, 0] += 1000.0
            return SemanticOutput(logits)

        model.forward = wrong_once  # type: ignore[method-assign]
        return label_maps.disagreement(predictor, model, [path])

    assert off(StandIn().eval()) > 0.5
    assert off(Chooses().eval()) < 1e-3
