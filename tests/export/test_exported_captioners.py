from __future__ import annotations

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
from foveate.export import captions
from foveate.export.graph import TOLERANCE
from foveate.export.onnx import export_onnx
from foveate.ops.search import beam_search, greedy
from foveate.predictor import Predictor
from foveate.predictor.exported_captions import ExportedCaptioner, step_file
from foveate.store import save_model
from foveate.tasks.captioning import describe
from foveate.tasks.inference import Inference
from foveate.text import END, START, Vocabulary

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

TABLE = Vocabulary(("<pad>", "<start>", "<end>", "<unk>", "a", "the", "cow", "sky", "grass", "bird", "über", "flies"))
SIZE = (64, 96)
KINDS = ("soft", "hard", "none")


def build(kind: str, seed: int = 0) -> nn.Module:
    """A tiny captioner whose weights are large enough that pictures get captions of their own."""
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
        save_model(root / "run" / "model", model, name, TABLE, "captioning")
        report = export_onnx(root / "run", root / "out" / "say.onnx")
        assert (report.path, report.beside) == (root / "out" / "say.onnx", (root / "out" / "say.step.onnx",))
        assert sorted(p.name for p in (root / "out").iterdir()) == ["say.onnx", "say.step.onnx"]
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
    yield tmp_path / "say.onnx"


def pictures(count: int) -> Tensor:
    """Noise around a colour of each picture's own."""
    generator = torch.Generator().manual_seed(1)
    colours = 3 * torch.randn(count, 3, 1, 1, generator=generator)
    return colours + torch.randn(count, 3, *SIZE, generator=generator)


def test_the_same_sentences_with_the_same_scores_and_looks(pair: Pair) -> None:
    """Of many pictures at once, with one beam and with several."""
    exported = Predictor.open(pair.path)
    assert (exported.model, exported.runtime, exported.classes) == (None, "onnxruntime", TABLE)
    said = set()
    for beams in (1, 4):
        how = Inference(beams=beams)
        ours = describe(pair.model, {"image": pictures(7)}, TABLE, how)
        theirs = describe(exported.network, {"image": pictures(7)}, TABLE, how)
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
            said.add(mine[0].text)
    assert len(said) > 3  # the sentences depend on the picture, or this test could not fail


def test_predicts_a_photograph_as_the_run_does(pair: Pair) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    ours = foveate.load(pair.run, device="cpu").predict(pixels, beams=3)
    theirs = foveate.load(pair.path).predict(pixels, beams=3)
    assert [s.text for s in ours.sentences] == [s.text for s in theirs.sentences]
    assert [s.words for s in ours.sentences] == [s.words for s in theirs.sentences]


def test_the_command_line_draws_the_same(pair: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Strips, page and JSON come of the file as of the run, the one cell of a hard look included."""
    pixels = np.random.default_rng(2).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    told, files = [], []
    for number, source in enumerate((pair.run, pair.path)):
        out = tmp_path / str(number)
        words = ["predict", str(source), str(tmp_path / "photo.png"), "--out", str(out), "--beams", "2"]
        assert cli.main([*words, "--device", "cpu"]) == 0
        capsys.readouterr()
        (record,) = json.loads((out / "predictions.json").read_text())["pictures"]
        told.append([record["caption"], *([word["word"], word.get("cell")] for word in record["words"])])
        files.append({p.name for p in out.rglob("*.*")})
    assert told[0] == told[1]
    assert files[0] == files[1]
    kind = foveate.load(pair.path).attention  # type: ignore[attr-defined]
    assert kind == foveate.load(pair.run).attention  # type: ignore[attr-defined]
    assert any(cell is not None for _, cell in told[1][1:]) == (kind == "hard" and len(told[1]) > 1)


def test_runs_without_foveate(pair: Pair) -> None:
    """Greedy search by hand, on the two files alone, as the docs show it."""
    encoder, step = (onnxruntime.InferenceSession(str(p)) for p in (pair.path, step_file(pair.path)))
    names = [output.name for output in encoder.get_outputs()]
    image = pictures(3)
    known = dict(zip(names, encoder.run(names, {"image": image.numpy()}), strict=True))
    tokens, written = np.full(3, START), []
    for _ in range(5):
        outputs = [output.name for output in step.get_outputs()]
        answer = dict(zip(outputs, step.run(outputs, known | {"tokens": tokens}), strict=True))
        known |= {name: answer[f"next_{name}"] for name in names if name.startswith("state_")}
        tokens = answer["logits"].argmax(1)
        written.append(tokens)
    with torch.no_grad():
        memory, state = pair.model.begin(pair.model.encode(image))  # type: ignore[operator]
        found = greedy(pair.model.step, memory, state, start=START, end=END, max_length=5)  # type: ignore[arg-type]
    for row, hypothesis in zip(np.stack(written, 1), found, strict=True):
        assert row[: len(hypothesis.tokens)].tolist() == hypothesis.tokens.tolist()


def test_what_the_files_say_of_themselves(pair: Pair) -> None:
    attention = "none" if pair.run.parent.name.startswith("none") else pair.model.config.attention
    memory = {} if attention == "none" else {"memory_places": ["batch", 24, 48], "memory_keys": ["batch", 24, 6]}
    state = {"state_h": ["batch", 12], "state_c": ["batch", 12]}
    graphs = [onnx.load(file) for file in (pair.path, step_file(pair.path))]
    told = [{prop.key: json.loads(prop.value) for prop in graph.metadata_props} for graph in graphs]
    for about in told:
        assert about["foveate.task"] == "captioning"
        assert about["foveate.classes"] == TABLE.to_json()
        assert about["foveate.preprocessing"] == pair.model.preprocessing.to_json()  # type: ignore[operator, union-attr]
    encoder, step = (about["foveate.graph"] for about in told)
    assert (encoder["graph"], step["graph"]) == ("encoder", "step")
    assert encoder | {"graph": ""} == step | {"graph": ""}
    assert encoder["attention"] == attention
    assert encoder["memory"] == [[name, 3] for name in memory]
    assert encoder["state"] == [["state_h", 2], ["state_c", 2]]
    assert dims(graphs[0].graph.input) == {"image": ["batch", 3, *SIZE]}
    assert dims(graphs[0].graph.output) == memory | state
    assert dims(graphs[1].graph.input) == memory | state | {"tokens": ["batch"]}
    look = {} if attention == "none" else {"attention": ["batch", 4, 6]}
    after = {f"next_{name}": shape for name, shape in state.items()}
    assert dims(graphs[1].graph.output) == {"logits": ["batch", len(TABLE)]} | after | look


def dims(values: Any) -> dict[str, list[Any]]:
    return {x.name: [d.dim_param or d.dim_value for d in x.type.tensor_type.shape.dim] for x in values}


def test_the_runner_has_the_face_of_a_model(pair: Pair) -> None:
    runner: Any = Predictor.open(pair.path).network
    assert isinstance(runner, ExportedCaptioner)
    features = runner.encode(pictures(2))
    memory, state = runner.begin(features)
    (best,), (other,) = beam_search(runner.step, memory, state, start=START, end=END, max_length=3)
    assert len(best.tokens) <= 3 and len(other.tokens) <= 3
    logits, _, look = runner.step(memory, state, torch.tensor([START, START]))
    assert logits.shape == (2, len(TABLE))
    if runner.signature.attention == "none":
        assert (look, features.shape) == (None, (2,))
    else:
        assert look is not None and look.shape == (2, 24)
        assert torch.allclose(look.sum(1), torch.ones(2))
        assert features.shape == (2, 4, 6)


def test_the_verb_names_both_files(
    pairs: dict[str, Pair], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, run, path = pairs["none"]
    monkeypatch.setattr(captions, "write", lambda predictor, model, files: [f.write_bytes(b"x" * 10**6) for f in files])
    monkeypatch.setattr(captions, "disagreement", lambda *_: 1e-7)
    assert verb.run([str(run), "--out", str(tmp_path / "a.onnx")]) == 0
    said = capsys.readouterr().out
    assert f"exported: {tmp_path / 'a.onnx'} and {tmp_path / 'a.step.onnx'} (2.0 MB, " in said
    assert "checked against PyTorch at 96x64: largest difference 1.0e-07 of the largest logit" in said
    with pytest.raises(ModelError, match=r"say\.onnx is an exported file already"):
        export_onnx(path, tmp_path / "b.onnx")


def test_both_files_or_none(pairs: dict[str, Pair], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(predictor: Predictor, model: nn.Module, paths: list[Path]) -> None:
        paths[0].write_bytes(b"x")
        raise ModelError("the step cannot be exported")

    (tmp_path / "a.onnx").write_bytes(b"before")
    predictor = Predictor.open(pairs["soft"].run, device="cpu")
    with monkeypatch.context() as patch:
        patch.setattr(captions, "write", half)
        with pytest.raises(ModelError, match="the step cannot be exported"):
            export_onnx(predictor, tmp_path / "a.onnx")
    monkeypatch.setattr(captions, "write", lambda predictor, model, paths: [p.write_bytes(b"x") for p in paths])
    for difference in (0.5, float("nan")):
        monkeypatch.setattr(captions, "disagreement", lambda *_, d=difference: d)
        with pytest.raises(ModelError, match=r"the exported show_attend_tell differs .* nothing was written"):
            export_onnx(predictor, tmp_path / "a.onnx")
    assert [p.name for p in tmp_path.iterdir()] == ["a.onnx"]
    assert (tmp_path / "a.onnx").read_bytes() == b"before"
    (tmp_path / "a.step.onnx").mkdir()
    monkeypatch.setattr(captions, "disagreement", lambda *_: 0.0)
    with pytest.raises(
        OutputError, match=r"cannot write .*a\.step\.onnx: it is a folder; give another name with --out"
    ):
        export_onnx(predictor, tmp_path / "a.onnx")
    assert (tmp_path / "a.onnx").read_bytes() == b"before"


@pytest.mark.parametrize("part", ["L_o", "score.v", "start", "lstm"])
def test_what_the_check_sees(pairs: dict[str, Pair], part: str) -> None:
    """Words, attention, the first state and the recurrence: whatever is off in one of them is seen."""
    _, run, path = pairs["soft"]
    predictor = Predictor.open(run, device="cpu")
    assert predictor.model is not None
    files = captions.files(path)
    assert captions.disagreement(predictor, predictor.model, files) < 1e-5
    with torch.no_grad():
        for parameter in predictor.model.get_submodule(part).parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0))
    assert captions.disagreement(predictor, predictor.model, files) > TOLERANCE


def test_attention_alone_is_checked_too(pairs: dict[str, Pair]) -> None:
    """With no way from what is read to the words, only the maps tell."""
    _, run, path = pairs["soft"]
    predictor = Predictor.open(run, device="cpu")
    model: Any = predictor.model
    step = model.step
    model.step = lambda *given: (*step(*given)[:2], step(*given)[2].flip(1))
    assert captions.disagreement(predictor, model, captions.files(path)) > TOLERANCE


def test_a_missing_step(soft: Path) -> None:
    step_file(soft).unlink()
    with pytest.raises(
        ModelError,
        match=r"say\.onnx writes no sentences without say\.step\.onnx, which is not beside it; copy both files",
    ):
        Predictor.open(soft)


def test_the_step_alone(soft: Path) -> None:
    with pytest.raises(ModelError, match=r"say\.step\.onnx is the step of an exported captioner; give the file that"):
        Predictor.open(step_file(soft))


def test_a_step_of_another_export(soft: Path, pairs: dict[str, Pair]) -> None:
    shutil.copy(step_file(pairs["hard"].path), step_file(soft))
    with pytest.raises(ModelError, match=r"say\.step\.onnx is not the step of say\.onnx, but of another export"):
        Predictor.open(soft)
    step_file(soft).write_bytes(b"no graph")
    with pytest.raises(ModelError, match=r"say\.step\.onnx cannot be loaded by ONNX Runtime"):
        Predictor.open(soft)


def rewrite(path: Path, change: Any) -> None:
    """Change what `foveate.graph` says in a file: a function of its JSON, or a text; None takes it out."""
    proto = onnx.load(path)
    told = {prop.key: prop.value for prop in proto.metadata_props}
    if change is None:
        del told["foveate.graph"]
    else:
        text = told["foveate.graph"]
        told["foveate.graph"] = change if isinstance(change, str) else json.dumps(change(json.loads(text)))
    onnx.helper.set_model_props(proto, told)
    onnx.save(proto, path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (None, r"has no 'foveate\.graph' in its metadata; only files made by `foveate export` can be used"),
        ("{", r"has metadata that is not JSON"),
        ("[]", r"has a 'foveate\.graph' in its metadata that cannot be read \(TypeError.*export it again"),
        (lambda told: told | {"state": [["state_h", "two"]]}, r".* cannot be read \(ValueError"),
        (lambda told: {k: v for k, v in told.items() if k != "pair"}, r".* cannot be read \(KeyError: 'pair'\)"),
    ],
)
def test_damaged_metadata(soft: Path, change: Any, message: str) -> None:
    for file in (step_file(soft), soft):
        rewrite(file, change)
        with pytest.raises(ModelError, match=rf"{file.name} {message}"):
            Predictor.open(soft)


def test_metadata_that_names_other_tensors(soft: Path) -> None:
    def rename(told: dict[str, Any]) -> dict[str, Any]:
        return told | {"state": [["state_h", 2], ["state_cell", 2]]}

    for file in (soft, step_file(soft)):
        rewrite(file, rename)
    with pytest.raises(
        ModelError, match=r"say\.onnx has no state_cell of the kind its metadata names; export it again"
    ):
        Predictor.open(soft)


def test_tensors_are_called_after_their_place() -> None:
    class Inner(NamedTuple):
        h: Tensor
        none: None = None

    x = torch.zeros(1)
    tree = {"deep": Inner(x), "rows": [x, (x,)]}
    assert [name for name, _ in captions._named(("state", tree))] == ["state_deep_h", "state_rows_0", "state_rows_1_0"]
    assert len(captions._leaves(tree)) == 3
