"""The script that reads generated words: a tiny run and tiny strokes, its figures, and what it refuses."""

from __future__ import annotations

import importlib.util
import json
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from foveate import cli
from foveate.claims import stroke_reader
from foveate.datasets.handwriting.stroke_letters import StrokeLetters

FOLDER = Path(__file__).parent.parent / "benchmarks"
SMALL = shlex.split(
    "--config.units 10 --config.layers 1 --config.components 2 --config.gaussians 2 --config.keep 2 --epochs 1"
)


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty words in one undivided file, the first of which, of val, has a character that no other has."""
    letters = StrokeLetters(train=30, words=1).open("train")
    pieces = [np.concatenate([ink.points[:, :2], ink.points[:, 2:]], 1) for ink in letters.inks]
    texts = [text.replace("-", "o") for text in letters.texts]
    for i in (10, 20):  # every tenth is of val; these are as pieces of train, so that their characters are known
        pieces[i], texts[i] = pieces[i + 1], texts[i + 1]
    texts[0] += "\u00e9"
    offsets = np.cumsum([0, *map(len, pieces)])
    file = tmp_path_factory.mktemp("words") / "words.npz"
    np.savez(file, data=np.concatenate(pieces), offsets=offsets, text=np.array(texts))
    return file.parent


@pytest.fixture(scope="module")
def run(words: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "words"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    assert cli.main(["train", "handwriting", "--data", str(words), "--out", str(out), *SMALL]) == 0
    torch.set_num_threads(threads)
    return out


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(FOLDER)
    spec = importlib.util.spec_from_file_location("benchmarks_read_handwriting", FOLDER / "read_handwriting.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "SIZES", {"hidden": 4, "speller": 8, "attend": 4})
    return module


def test_real_and_generated_words_are_read_by_one_reader(
    script: Any, run: Path, words: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "found" / "read.json"
    status = script.main([str(run), "--data", str(words), "--steps", "2", "--bias", "2", "--json", str(file)])
    found = json.loads(file.read_text())
    printed = capsys.readouterr().out
    assert "note: 1 texts of val left out, which are empty or have unknown characters" in printed
    assert (found["pieces"], found["left_out"], found["keep"], found["bias"], found["steps"]) == (2, 1, 2, 2.0, 2)
    assert found["ratio"] == pytest.approx(found["cer_generated"] / found["cer_real"])
    assert status == (0 if found["ratio"] <= 1.5 else 1)
    assert f"ratio at bias 2, at most 1.5: {found['ratio']:.3f}" in printed
    assert found["machine"]["seed"] == 0


@pytest.mark.parametrize(
    ("real", "generated", "ratio"), [(0.1, 0.15, 1.5), (0.1, 0.3, 3.0), (0.0, 0.1, float("inf")), (0.0, 0.0, 1.0)]
)
def test_the_ratio_is_that_of_errors(script: Any, real: float, generated: float, ratio: float) -> None:
    assert script.Found(real, generated, 9, 0, 1).ratio == pytest.approx(ratio)


def test_the_reader_is_trained_on_train_and_reads_what_each_wrote(
    script: Any, run: Path, words: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from foveate.claims import handwriting
    from foveate.datasets import recognise
    from foveate.tasks.handwriting.strokes import thin

    read: list[Any] = []

    class Reader:
        def read(self, pieces: list[Any]) -> Any:
            read.append(pieces)
            return type("Scores", (), {"cer": 0.1 * len(read)})

    trained: list[Any] = []

    def train_reader(pieces: Any, seed: int, steps: int, augment: Any, **sizes: Any) -> Reader:
        trained.extend([pieces, augment(pieces[0])])
        return Reader()

    monkeypatch.setattr(stroke_reader, "train_reader", train_reader)
    found = script.compare(run, words, "val", 1.0, 3, 7)
    source: Any = recognise(str(words), "handwriting")
    train, val = source.open("train", "handwriting"), source.open("val", "handwriting")
    assert [one["name"] for one in trained[0]] == [train.name(i) for i in range(len(train))]
    assert len(trained[1]["strokes"]) < len(trained[0][0]["strokes"])  # thinned as the run thins
    real, generated = read
    assert [one["transcript"] for one in real] == [one["transcript"] for one in generated] == val.texts[1:]
    assert torch.equal(real[0]["strokes"], thin(val[1]["strokes"], 2))
    assert (found.real, found.generated, found.ratio) == pytest.approx((0.1, 0.2, 2.0))
    again = handwriting.written(script_predictor(run), val.texts[1:], 1.0, 3)
    assert all(torch.equal(a["strokes"], b["strokes"]) for a, b in zip(generated, again, strict=True))


def script_predictor(run: Path) -> Any:
    from foveate.predictor import Predictor

    return Predictor.open(run, device="cpu")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--bias", "-1"], "bias is -1 and steps 4000; give a bias of 0 or more, and 1 step or more"),
        (["--steps", "0"], "bias is 1 and steps 0; give a bias of 0 or more, and 1 step or more"),
        (["--split", "night"], "unknown split 'night'"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    script: Any, run: Path, words: Path, more: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert script.main([str(run), "--data", str(words), *more]) == 2
    assert f"read_handwriting: {message}" in capsys.readouterr().err
