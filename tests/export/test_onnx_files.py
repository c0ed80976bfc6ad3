"""Files of any family: their metadata, the files beside them, and a family that has neither images nor one table."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from foveate.cli import export as verb
from foveate.errors import ConfigError, ModelError
from foveate.onnx import (
    Graph,
    Graphs,
    LogitsRunner,
    OnnxFile,
    metadata_of,
    open_session,
    require_same_shape,
    sibling_path,
    worst,
    write_graph,
)
from foveate.records import ClassTable, Preprocessing, SemanticOutput
from foveate.tasks import find_task
from foveate.tasks.options import Options
from foveate.text import SPECIALS, Vocabulary
from foveate.version import __version__

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

CLASSES = ClassTable(("sky", "gräs"))
SOURCE, TARGET = Vocabulary((*SPECIALS, "a", "b", "c")), Vocabulary((*SPECIALS, "x"))
OLD = ("foveate.task", "foveate.model", "foveate.version", "foveate.classes", "foveate.preprocessing")  # of 0.1.0


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with one class table and a value of its own."""
    path = tmp_path_factory.mktemp("written") / "a.onnx"
    axes = {0: "batch", 2: "height", 3: "width"}
    graph = Graph(nn.ReLU(), (torch.zeros(2, 2, 8, 9),), (axes,), ("image",), ("logits",), metadata={"own": [1, "ü"]})
    write_graph(graph, metadata_of("semantic", "relu", {"classes": CLASSES}, Preprocessing()), "relu", path)
    return path


def change(source: Path, target: Path, **values: Any) -> Path:
    """A copy with other metadata: a text is written as it is, None takes a key out, all else becomes JSON."""
    proto = onnx.load(source)
    metadata = {prop.key: prop.value for prop in proto.metadata_props}
    for key, value in values.items():
        metadata[f"foveate.{key}"] = value if isinstance(value, str) else json.dumps(value)
        if value is None:
            del metadata[f"foveate.{key}"]
    onnx.helper.set_model_props(proto, metadata)
    onnx.save(proto, target)
    return target


def test_metadata_comes_back(written: Path) -> None:
    file = OnnxFile.open(written, "cpu")
    assert (file.path, file.device) == (written, "cpu")
    assert (file.task, file.model, file.version) == ("semantic", "relu", __version__)
    assert file.tables == {"classes": CLASSES}
    assert file.preprocessing is not None
    assert Preprocessing.from_json(file.preprocessing) == Preprocessing()
    assert file.value("own") == [1, "ü"]


def test_a_file_of_version_0_1_0_opens(written: Path, tmp_path: Path) -> None:
    old = change(written, tmp_path / "old.onnx", tables=None, own=None, version='"0.1.0"')
    assert {prop.key for prop in onnx.load(old).metadata_props} == set(OLD)
    file = OnnxFile.open(old)
    assert (file.task, file.model, file.version) == ("semantic", "relu", "0.1.0")
    assert file.tables == {"classes": CLASSES}
    text = change(old, tmp_path / "text.onnx", classes=SOURCE.to_json())
    assert OnnxFile.open(text).tables == {"text": SOURCE}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"task": None}, r"has no 'foveate\.task' in its metadata; only files made by `foveate export` can be used"),
        ({"preprocessing": None}, r"has no 'foveate\.preprocessing' in its metadata"),
        ({"tables": None, "classes": None}, r"has no 'foveate\.classes' in its metadata"),
        ({"own": "{"}, r"has metadata that is not JSON \(.*\); export it again"),
        ({"model": 3}, r"has a 'foveate\.model' in its metadata that is not a text; export it again"),
        ({"preprocessing": [1]}, r"has a 'foveate\.preprocessing' in its metadata that is not an object or null"),
    ],
)
def test_damaged_metadata(written: Path, tmp_path: Path, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=rf"bad\.onnx {message}"):
        OnnxFile.open(change(written, tmp_path / "bad.onnx", **values))


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ([1], r"AttributeError"),
        ({"classes": {"colors": []}}, r"KeyError: 'names'"),
        ({"classes": {"names": []}}, r"ConfigError: a class table needs at least one"),
        ({"text": {"kind": "runes"}}, r"ConfigError: unknown kind of text table 'runes'"),
    ],
)
def test_damaged_tables(written: Path, tmp_path: Path, tables: Any, message: str) -> None:
    file = OnnxFile.open(change(written, tmp_path / "bad.onnx", tables=tables))
    with pytest.raises(ModelError, match=rf"bad\.onnx has a 'foveate\.tables' .* cannot be read \({message}.*again"):
        _ = file.tables
    old = OnnxFile.open(change(written, tmp_path / "old.onnx", tables=None, classes={}))
    with pytest.raises(ModelError, match=r"old\.onnx has a 'foveate\.classes' .* cannot be read \(KeyError"):
        _ = old.tables


def test_a_value_that_is_missing(written: Path) -> None:
    with pytest.raises(ModelError, match=r"a\.onnx has no 'foveate\.graph' in its metadata; only files made by"):
        OnnxFile.open(written).value("graph")


def test_siblings(written: Path, tmp_path: Path) -> None:
    first = change(written, tmp_path / "b.c.onnx")
    assert sibling_path(first, ".step") == tmp_path / "b.c.step.onnx"
    assert sibling_path(first, "") == first
    with pytest.raises(ModelError, match=r"b\.c\.onnx needs b\.c\.step\.onnx, which is not beside it; copy both files"):
        OnnxFile.open(first).sibling(".step")
    change(written, tmp_path / "b.c.step.onnx", model='"beside"')
    elsewhere = change(written, tmp_path / "temporary.onnx", model='"elsewhere"')
    beside = OnnxFile.open(first, "cpu").sibling(".step")
    assert (beside.model, beside.device) == ("beside", "cpu")
    assert OnnxFile.open(first, siblings={".step": elsewhere}).sibling(".step").model == "elsewhere"
    (tmp_path / "b.c.step.onnx").write_bytes(b"no graph")
    with pytest.raises(ModelError, match=r"b\.c\.step\.onnx cannot be loaded by ONNX Runtime"):
        OnnxFile.open(first).sibling(".step")


def test_options_are_written_where_a_family_stores_them() -> None:
    tables, form = {"classes": CLASSES}, Preprocessing()
    for family, stored in (("semantic", False), ("captioning", True)):
        options = find_task(family).Options()
        about = metadata_of(family, "m", tables, form, options)
        assert ("options" in about) == options.stored == stored
        assert about.get("options") == (options.to_json() if stored else None)


def test_a_sibling_runs_as_its_file_does(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = change(written, tmp_path / "b.onnx")
    change(written, tmp_path / "b.step.onnx")
    session, opened = open_session(written, "cpu"), []
    monkeypatch.setattr("foveate.onnx.file.open_session", lambda *given: (opened.append(given), session)[1])
    second = OnnxFile.open(first, "cpu", runtime="openvino", precision="bf16", workers=3).sibling(".step")
    settings = ("cpu", "openvino", "bf16", 3)
    assert opened == [(first, *settings), (tmp_path / "b.step.onnx", *settings)]
    assert (second.device, second.runtime, second.precision, second.workers) == settings


def test_sessions_share_the_threads_of_torch_and_do_not_spin(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    for workers, threads in ((1, 8), (4, 2), (20, 1)):
        settings = open_session(written, "cpu", workers=workers).get_session_options()
        assert settings.intra_op_num_threads == threads
        assert settings.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_sessions_that_cannot_be_opened(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"device 'mps' is not available to ONNX Runtime here; use auto or cpu"):
        OnnxFile.open(written, "mps")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModelError, match=r"a\.onnx needs ONNX Runtime, which is not installed: pip install 'foveate"):
        open_session(written, "cpu")


def test_the_runner_returns_a_record(written: Path) -> None:
    runner = LogitsRunner(OnnxFile.open(written), SemanticOutput)
    assert list(runner.parameters()) == []
    image = torch.randn(3, 2, 5, 7).contiguous(memory_format=torch.channels_last).flip(-1)
    answer = runner(image)
    assert isinstance(answer, SemanticOutput)
    assert torch.equal(answer.logits, image.relu())
    assert answer.steps == ()


def test_a_runner_needs_one_input_and_logits(tmp_path: Path) -> None:
    graph = Graph(nn.ReLU(), (torch.zeros(2, 2),), ({0: "batch"},), ("image",), ("features",))
    write_graph(graph, metadata_of("semantic", "relu", {}, None), "relu", tmp_path / "a.onnx")
    with pytest.raises(
        ModelError, match=r"a\.onnx takes 1 input and gives features; expected one image and its logits"
    ):
        LogitsRunner(OnnxFile.open(tmp_path / "a.onnx"), SemanticOutput)


def test_the_worst_difference_is_nan_wherever_nan_is() -> None:
    assert worst([0.5, 2.0, 1.0]) == 2.0
    for place in range(3):
        differences = [0.5, 0.5, 0.5]
        differences[place] = float("nan")
        assert not worst(differences) <= 1e9


def test_shapes_that_differ() -> None:
    x = torch.zeros(2, 3)
    require_same_shape(x, x)
    require_same_shape(None, None)
    for exported, expected, message in (
        (x[:1], x, r"of shape \(1, 3\), PyTorch \(2, 3\)"),
        (None, x, r"None, PyTorch \(2, 3\)"),
        (x, None, r"\(2, 3\), PyTorch None"),
    ):
        with pytest.raises(ModelError, match=message):
            require_same_shape(exported, expected)


class Translator(nn.Module):
    """Two embeddings, each a graph: of source tokens, and of target tokens."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.source, self.target = nn.Embedding(len(SOURCE), 5), nn.Embedding(len(TARGET), 5)


class Translation:
    """A family of two vocabularies, without images or preprocessing."""

    name, title, preprocessing, options = "translation", "translation", None, Options()
    tables: Mapping[str, Any] = {"source": SOURCE, "target": TARGET}

    def graphs(self, model: Any) -> Graphs:
        def graph(part: nn.Module, suffix: str) -> Graph:
            tokens = torch.zeros(2, 4, dtype=torch.int64)
            return Graph(part, (tokens,), ({0: "batch", 1: "length"},), ("tokens",), ("vectors",), suffix, {"max": 9})

        def difference(model: Any, runner: Any) -> float:
            tokens = torch.tensor([[0, 4, 2]])
            with torch.no_grad():
                pairs = zip((model.source, model.target), (runner.source, runner.target), strict=True)
                return worst(float((ours(tokens) - theirs(tokens)).abs().max()) for ours, theirs in pairs)

        return Graphs((graph(model.source, ""), graph(model.target, ".target")), (), difference)

    def open(self, file: OnnxFile) -> Any:
        assert file.value("max") == 9
        target = file.sibling(".target")
        return SimpleNamespace(
            source=lambda tokens: file.run(["vectors"], {"tokens": tokens})[0],
            target=lambda tokens: target.run(["vectors"], {"tokens": tokens})[0],
        )


def open_translator(**changes: Any) -> Any:
    """A predictor of that family."""
    values = {"family": Translation(), "runner": Translator().eval(), "name": "translator", "path": Path("m")}
    return SimpleNamespace(**{**values, "task": "translation", "runtime": "torch", **changes})


def test_a_family_without_images(tmp_path: Path) -> None:
    from foveate.export import export_onnx

    report = export_onnx(open_translator(), tmp_path / "new" / "en.fr.onnx")
    assert (report.sizes, report.beside) == ((), (tmp_path / "new" / "en.fr.target.onnx",))
    assert report.difference < 1e-6
    assert sorted(p.name for p in report.path.parent.iterdir()) == ["en.fr.onnx", "en.fr.target.onnx"]
    assert report.bytes == sum(p.stat().st_size for p in report.path.parent.iterdir())
    file = OnnxFile.open(report.path)
    assert (file.tables, file.preprocessing) == ({"source": SOURCE, "target": TARGET}, None)
    assert "classes" not in file.about


def test_an_exported_file_is_not_exported_again(tmp_path: Path) -> None:
    from foveate.export import export_onnx

    with pytest.raises(ModelError, match=r"m is an exported file already; give the run or model folder it came from"):
        export_onnx(open_translator(runtime="onnxruntime"), tmp_path / "a.onnx")


def test_the_verb_prints_no_sizes_where_there_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import foveate.export

    monkeypatch.setattr(foveate.export.Predictor, "open", lambda source, device: open_translator())
    monkeypatch.setattr("foveate.predictor.peek_family", lambda path: find_task("semantic"))
    monkeypatch.setattr("foveate.predictor.example_options", lambda path: {})
    assert verb.run(["run", "--out", str(tmp_path / "a.onnx")]) == 0
    printed = capsys.readouterr().out
    assert "checked against PyTorch: largest difference " in printed
    assert f"next: foveate predict {tmp_path / 'a.onnx'} PICTURE --out DIR" in printed


def test_a_difference_keeps_all_files_out(tmp_path: Path) -> None:
    from foveate.export import export_onnx

    model = Translator().eval()

    class Wrong(Translation):
        def open(self, file: OnnxFile) -> Any:
            runner = super().open(file)
            return SimpleNamespace(source=runner.source, target=lambda tokens: runner.target(tokens) + 1)

    with pytest.raises(ModelError, match=r"the exported translator differs from PyTorch by .* nothing was written"):
        export_onnx(open_translator(family=Wrong(), runner=model), tmp_path / "a.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("share", "kept"), [(0.0009, True), (0.0011, False)])
def test_a_thousandth_of_the_largest_logit_is_allowed(share: float, kept: bool, tmp_path: Path) -> None:
    from foveate.export import export_onnx

    class Measured(Translation):
        def graphs(self, model: Any) -> Graphs:
            return dataclasses.replace(super().graphs(model), difference=lambda *_: share)

    translator = open_translator(family=Measured(), runner=Translator().eval())
    if kept:
        assert export_onnx(translator, tmp_path / "a.onnx").difference == share
    else:
        with pytest.raises(ModelError, match=r"differs from PyTorch by 0\.0011 of the largest logit, above 0\.001;"):
            export_onnx(translator, tmp_path / "a.onnx")
    assert (tmp_path / "a.onnx").exists() == kept


@pytest.mark.parametrize(("allowed", "wrong", "difference"), [(0.05, 5, 0.0), (0.05, 6, 0.5), (0.0, 1, 0.5)])
def test_the_share_of_logits_that_unchecked_share_is_left_out_and_no_more(
    allowed: float, wrong: int, difference: float
) -> None:
    """Of 100 logits of 2 some are 3."""
    from foveate.onnx.logits import _difference

    class Even(nn.Module):
        unchecked_share = allowed

        def __init__(self, wrong: int) -> None:
            super().__init__()
            self.wrong = wrong

        def forward(self, image: torch.Tensor) -> Any:
            logits = torch.full((100,), 2.0)
            logits[: self.wrong] = 3.0
            return SimpleNamespace(logits=logits.view(1, 1, 10, 10))

    assert _difference(Even(0), Even(wrong), torch.zeros(1, 3, 10, 10)) == difference
