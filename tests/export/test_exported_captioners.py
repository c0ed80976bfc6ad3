from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import foveate
from foveate import cli
from foveate.cli import export as verb
from foveate.errors import ModelError, OutputError
from foveate.export import TOLERANCE, export_onnx
from foveate.onnx import OnnxFile, sibling_path, stepwise
from foveate.ops.search import beam_search, greedy
from foveate.predictor import Predictor
from foveate.store import save_model
from foveate.tasks import create_task
from foveate.tasks.captioning.decoding import generate_captions
from foveate.tasks.captioning.export import ExportedCaptioner
from foveate.tasks.captioning.options import CaptioningOptions
from foveate.text import END, START, Vocabulary

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

TABLE = Vocabulary(("<pad>", "<start>", "<end>", "<unk>", "a", "the", "cow", "sky", "grass", "bird", "über", "flies"))
SIZE = (64, 96)
KINDS = ("soft", "hard", "none")


def step_file(path: Path) -> Path:
    return sibling_path(path, ".step")


def build(kind: str, seed: int = 0) -> nn.Module:
    """A tiny captioner whose weights are large enough that each image gets a caption of its own."""
    torch.manual_seed(seed)
    small: dict[str, Any] = {
        "vocabulary": len(TABLE), "backbone": "test_efficientnet", "image_size": SIZE, "embed": 8, "hidden": 12,
    }  # fmt: skip
    if kind == "none":
        model = foveate.create("show_and_tell", **small)
    else:
        model = foveate.create("show_attend_tell", attention=kind, attend=6, **small)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.startswith("backbone"):
                nn.init.normal_(parameter, std=0.7)
        last: Any = model.W if kind == "none" else model.L_o
        last.bias[END] += 0.7  # so that some sentences end
    return model.eval()


class Pair(NamedTuple):
    model: nn.Module
    run: Path
    path: Path


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pair]:
    """A run folder and an export of each kind."""
    found = {}
    for kind in KINDS:
        root, model = tmp_path_factory.mktemp(kind), build(kind)
        name = "show_and_tell" if kind == "none" else "show_attend_tell"
        save_model(root / "run" / "model", model, name, {"text": TABLE}, "captioning")
        report = export_onnx(root / "run", root / "out" / "out.onnx")
        assert (report.path, report.beside) == (root / "out" / "out.onnx", (root / "out" / "out.step.onnx",))
        assert sorted(p.name for p in (root / "out").iterdir()) == ["out.onnx", "out.step.onnx"]
        assert report.bytes == sum(p.stat().st_size for p in (root / "out").iterdir())
        assert report.sizes == (SIZE,)
        assert report.difference < 1e-5
        found[kind] = Pair(model, root / "run", report.path)
    return found


@pytest.fixture(params=KINDS)
def pair(request: pytest.FixtureRequest, pairs: dict[str, Pair]) -> Pair:
    return pairs[request.param]


@pytest.fixture
def soft(pairs: dict[str, Pair], tmp_path: Path) -> Iterator[Path]:
    """A copy of the soft one's files that a test may damage."""
    for file in (pairs["soft"].path, step_file(pairs["soft"].path)):
        shutil.copy(file, tmp_path / file.name)
    yield tmp_path / "out.onnx"


def images(count: int) -> Tensor:
    """Noise around a colour of each image's own."""
    generator = torch.Generator().manual_seed(1)
    colours = 3 * torch.randn(count, 3, 1, 1, generator=generator)
    return colours + torch.randn(count, 3, *SIZE, generator=generator)


def test_the_same_captions_with_the_same_scores_and_attention(pair: Pair) -> None:
    """For many images at once, with one beam and with several."""
    exported = Predictor.open(pair.path)
    assert (exported.model, exported.runtime, exported.classes) == (None, "onnxruntime", TABLE)
    captions = set()
    for beams in (1, 4):
        ours = generate_captions(pair.model, {"image": images(7)}, TABLE, CaptioningOptions(beams=beams))
        theirs = generate_captions(exported.runner, {"image": images(7)}, TABLE, CaptioningOptions(beams=beams))
        for mine, other in zip(ours, theirs, strict=True):
            assert [s.text for s in mine] == [s.text for s in other]
            assert len(mine) == beams
            for a, b in zip(mine, other, strict=True):
                assert a.score == pytest.approx(b.score, abs=1e-5)
                assert np.allclose(a.probabilities, b.probabilities, atol=1e-4)
                assert (a.attention is None) == (b.attention is None)
                if a.attention is not None and b.attention is not None:
                    assert a.attention.shape[1:] == (4, 6)  # 64x96 at stride 16
                    assert np.allclose(a.attention, b.attention, atol=1e-4)
            captions.add(mine[0].text)
    assert len(captions) > 2  # the captions depend on the image, or this test could not fail


def test_predicts_a_photograph_as_the_run_does(pair: Pair) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    ours = foveate.load(pair.run, device="cpu").predict(pixels, beams=3)
    theirs = foveate.load(pair.path).predict(pixels, beams=3)
    assert [s.text for s in ours.sentences] == [s.text for s in theirs.sentences]
    assert [s.words for s in ours.sentences] == [s.words for s in theirs.sentences]


def test_the_command_line_draws_the_same(pair: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Strips, page and JSON are the same from the file as from the run, the cell of hard attention included."""
    pixels = np.random.default_rng(2).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    captions, files = [], []
    for number, source in enumerate((pair.run, pair.path)):
        out = tmp_path / str(number)
        arguments = ["predict", str(source), str(tmp_path / "photo.png"), "--out", str(out), "--beams", "2"]
        assert cli.main([*arguments, "--device", "cpu"]) == 0
        capsys.readouterr()
        (record,) = json.loads((out / "predictions.json").read_text())["pictures"]
        captions.append([record["caption"], *([word["word"], word.get("cell")] for word in record["words"])])
        files.append({p.name for p in out.rglob("*.*")})
    assert captions[0] == captions[1]
    assert files[0] == files[1]
    runner: Any = Predictor.open(pair.path).runner
    assert any(cell is not None for _, cell in captions[1][1:]) == (runner.attention == "hard" and len(captions[1]) > 1)


def test_runs_without_foveate(pair: Pair) -> None:
    """Greedy search by hand, on the two files alone, as the docs show it."""
    encoder, step = (onnxruntime.InferenceSession(str(p)) for p in (pair.path, step_file(pair.path)))
    names = [output.name for output in encoder.get_outputs()]
    image = images(3)
    tensors = dict(zip(names, encoder.run(names, {"image": image.numpy()}), strict=True))
    tokens, chosen = np.full(3, START), []
    for _ in range(5):
        outputs = [output.name for output in step.get_outputs()]
        answer = dict(zip(outputs, step.run(outputs, tensors | {"tokens": tokens}), strict=True))
        tensors |= {name: answer[f"next_{name}"] for name in names if name.startswith("state_")}
        tokens = answer["logits"].argmax(1)
        chosen.append(tokens)
    with torch.no_grad():
        memory, state = pair.model.begin(pair.model.encode(image))  # type: ignore[operator]
        found = greedy(pair.model.step, memory, state, start=START, end=END, max_length=5)  # type: ignore[arg-type]
    for row, hypothesis in zip(np.stack(chosen, 1), found, strict=True):
        assert row[: len(hypothesis.tokens)].tolist() == hypothesis.tokens.tolist()


def test_metadata_and_tensors_of_the_files(pair: Pair) -> None:
    attention = "none" if pair.run.parent.name.startswith("none") else pair.model.config.attention
    memory = {} if attention == "none" else {"memory_places": ["batch", 24, 48], "memory_keys": ["batch", 24, 6]}
    state = {"state_h": ["batch", 12], "state_c": ["batch", 12]}
    graphs = [onnx.load(file) for file in (pair.path, step_file(pair.path))]
    metadata = [{prop.key: json.loads(prop.value) for prop in graph.metadata_props} for graph in graphs]
    for about in metadata:
        assert about["foveate.task"] == "captioning"
        assert about["foveate.tables"] == {"text": TABLE.to_json()}
        assert about["foveate.classes"] == TABLE.to_json()  # read by version 0.1.0
        assert about["foveate.preprocessing"] == pair.model.preprocessing.to_json()  # type: ignore[operator, union-attr]
    encoder, step = (about["foveate.graph"] for about in metadata)
    assert (encoder["graph"], step["graph"]) == ("encoder", "step")
    assert encoder | {"graph": ""} == step | {"graph": ""}
    assert encoder["attention"] == attention
    assert encoder["memory"] == [[name, 3] for name in memory]
    assert encoder["state"] == [["state_h", 2], ["state_c", 2]]
    assert dims(graphs[0].graph.input) == {"image": ["batch", 3, *SIZE]}
    assert dims(graphs[0].graph.output) == memory | state
    assert dims(graphs[1].graph.input) == memory | state | {"tokens": ["batch"]}
    maps = {} if attention == "none" else {"attention": ["batch", 4, 6]}
    after = {f"next_{name}": shape for name, shape in state.items()}
    assert dims(graphs[1].graph.output) == {"logits": ["batch", len(TABLE)]} | after | maps


def dims(values: Any) -> dict[str, list[Any]]:
    return {x.name: [d.dim_param or d.dim_value for d in x.type.tensor_type.shape.dim] for x in values}


def test_the_runner_has_the_face_of_a_model(pair: Pair) -> None:
    runner: Any = Predictor.open(pair.path).runner
    assert isinstance(runner, ExportedCaptioner)
    features = runner.encode(images(2))
    memory, state = runner.begin(features)
    (best,), (other,) = beam_search(runner.step, memory, state, start=START, end=END, max_length=3)
    assert len(best.tokens) <= 3 and len(other.tokens) <= 3
    logits, _, attention = runner.step(memory, state, torch.tensor([START, START]))
    assert logits.shape == (2, len(TABLE))
    assert runner.attends == (runner.attention != "none")
    assert runner.attention == getattr(pair.model.config, "attention", "none")
    if not runner.attends:
        assert (attention, features.shape) == (None, (2,))
    else:
        assert attention is not None and attention.shape == (2, 24)
        assert torch.allclose(attention.sum(1), torch.ones(2))
        assert features.shape == (2, 4, 6)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, pairs: dict[str, Pair]) -> None:
    """Graphs of the model without attention are copied from its export."""
    path = pairs["none"].path
    sources = {"": path, ".step": step_file(path)}
    monkeypatch.setattr(
        "foveate.export.write_graph", lambda graph, about, name, path: shutil.copy(sources[graph.suffix], path)
    )


def test_the_verb_names_both_files(
    quick: None, pairs: dict[str, Pair], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, run, path = pairs["none"]
    assert verb.run([str(run), "--out", str(tmp_path / "a.onnx")]) == 0
    printed = capsys.readouterr().out
    assert f"exported: {tmp_path / 'a.onnx'} and {tmp_path / 'a.step.onnx'} (" in printed
    assert "checked against PyTorch at 96x64: largest difference " in printed
    with pytest.raises(ModelError, match=r"out\.onnx is an exported file already"):
        export_onnx(path, tmp_path / "b.onnx")


def test_both_files_or_none(
    quick: None, pairs: dict[str, Pair], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(graph: Any, about: Any, name: str, path: Path) -> None:
        if graph.suffix:
            raise ModelError("the step cannot be exported")
        path.write_bytes(b"x")

    (tmp_path / "a.onnx").write_bytes(b"before")
    predictor = Predictor.open(pairs["none"].run, device="cpu")
    with monkeypatch.context() as patch:
        patch.setattr("foveate.export.write_graph", half)
        with pytest.raises(ModelError, match="the step cannot be exported"):
            export_onnx(predictor, tmp_path / "a.onnx")
    original = predictor.family.graphs
    for difference in (0.5, float("nan")):
        predictor.family.graphs = lambda model, d=difference: dataclasses.replace(  # type: ignore[method-assign]
            original(model), difference=lambda model, runner: d
        )
        with pytest.raises(ModelError, match=r"the exported show_and_tell differs .* nothing was written"):
            export_onnx(predictor, tmp_path / "a.onnx")
    assert [p.name for p in tmp_path.iterdir()] == ["a.onnx"]
    assert (tmp_path / "a.onnx").read_bytes() == b"before"
    (tmp_path / "a.step.onnx").mkdir()
    predictor.family.graphs = original  # type: ignore[method-assign]
    with pytest.raises(
        OutputError, match=r"cannot write .*a\.step\.onnx: it is a folder; give another name with --out"
    ):
        export_onnx(predictor, tmp_path / "a.onnx")
    assert (tmp_path / "a.onnx").read_bytes() == b"before"


def measure(model: Any, path: Path) -> float:
    """The difference between a model and an exported pair."""
    task = create_task("captioning", {"text": TABLE}, model.preprocessing)
    return task.graphs(build("soft")).difference(model, task.open(OnnxFile.open(path, "cpu")))


@pytest.mark.parametrize("part", ["L_o", "score.v", "start", "lstm"])
def test_the_check_sees_every_part(pairs: dict[str, Pair], part: str) -> None:
    """Words, attention, the first state and the recurrence: an error in any of them is seen."""
    path = pairs["soft"].path
    model = build("soft")
    assert measure(model, path) < 1e-5
    with torch.no_grad():
        for parameter in model.get_submodule(part).parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0))
    assert measure(model, path) > TOLERANCE


def test_attention_alone_is_checked_too(pairs: dict[str, Pair]) -> None:
    """Maps that differ are seen even where all logits agree."""
    model: Any = build("soft")
    step = model.step
    model.step = lambda *given: (*step(*given)[:2], step(*given)[2].flip(1))
    assert measure(model, pairs["soft"].path) > TOLERANCE
    model.step = lambda *given: (*step(*given)[:2], None)
    with pytest.raises(ModelError, match=r"gives an output of shape \(1, 24\), PyTorch None; nothing was written"):
        measure(model, pairs["soft"].path)


def test_a_missing_step(soft: Path) -> None:
    step_file(soft).unlink()
    with pytest.raises(
        ModelError,
        match=r"out\.onnx needs out\.step\.onnx, which is not beside it; copy both files that `foveate export` wrote",
    ):
        Predictor.open(soft)


def test_the_step_alone(soft: Path) -> None:
    with pytest.raises(
        ModelError, match=r"out\.step\.onnx is the step of an exported captioner; give the file of its encoder"
    ):
        Predictor.open(step_file(soft))


def test_a_step_of_another_export(soft: Path, pairs: dict[str, Pair]) -> None:
    shutil.copy(step_file(pairs["hard"].path), step_file(soft))
    with pytest.raises(ModelError, match=r"out\.step\.onnx is not the step of out\.onnx, but of another export"):
        Predictor.open(soft)
    step_file(soft).write_bytes(b"no graph")
    with pytest.raises(ModelError, match=r"out\.step\.onnx cannot be loaded by ONNX Runtime"):
        Predictor.open(soft)


def rewrite(path: Path, change: Any) -> None:
    """Change the value of `foveate.graph` in a file: a function of its JSON, or a text; None takes it out."""
    proto = onnx.load(path)
    values = {prop.key: prop.value for prop in proto.metadata_props}
    if change is None:
        del values["foveate.graph"]
    else:
        text = values["foveate.graph"]
        values["foveate.graph"] = change if isinstance(change, str) else json.dumps(change(json.loads(text)))
    onnx.helper.set_model_props(proto, values)
    onnx.save(proto, path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (None, r"has no 'foveate\.graph' in its metadata; only files made by `foveate export` can be used"),
        ("{", r"has metadata that is not JSON"),
        ("[]", r"has a 'foveate\.graph' in its metadata that cannot be read \(TypeError.*export it again"),
        (lambda values: values | {"state": [["state_h", "two"]]}, r".* cannot be read \(ValueError"),
        (lambda values: {k: v for k, v in values.items() if k != "pair"}, r".* cannot be read \(KeyError: 'pair'\)"),
    ],
)
def test_damaged_metadata(soft: Path, change: Any, message: str) -> None:
    for file in (step_file(soft), soft):
        rewrite(file, change)
        with pytest.raises(ModelError, match=rf"{file.name} {message}"):
            Predictor.open(soft)


def test_metadata_that_names_other_tensors(soft: Path) -> None:
    def rename(values: dict[str, Any]) -> dict[str, Any]:
        return values | {"state": [["state_h", 2], ["state_cell", 2]]}

    for file in (soft, step_file(soft)):
        rewrite(file, rename)
    with pytest.raises(
        ModelError, match=r"out\.onnx has no state_cell of the kind its metadata names; export it again"
    ):
        Predictor.open(soft)


def test_tensors_are_named_after_their_place() -> None:
    class Inner(NamedTuple):
        h: Tensor
        none: None = None

    x = torch.zeros(1)
    tree = {"deep": Inner(x), "rows": [x, (x,)]}
    assert [name for name, _ in stepwise.named(("state", tree))] == [
        "state_deep_h",
        "state_rows_0",
        "state_rows_1_0",
    ]
    assert len(stepwise.leaves(tree)) == 3
