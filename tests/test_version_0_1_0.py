"""What version 0.1.0 wrote to disk still opens and answers the same.

The files, and the script that made them, are in tests/data/version_0_1_0. They are not to be made anew: where one of
these tests fails, the code has to learn to read what users have.
"""

from __future__ import annotations

import csv
import json
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import foveate
from foveate.cli import main
from foveate.engine import evaluate_run, train_recipe
from foveate.engine.report import report_run

DATA = Path(__file__).parent / "data" / "version_0_1_0"
# Family -> the name of its data set in 0.1.0's recipe.json.
FAMILIES = {
    "semantic": "pasture",
    "classification": "pasture_classes",
    "captioning": "pasture_captions",
    "colocalisation": "pasture_cows",
}
EXPORTED = {"semantic": "labels.onnx", "classification": "classes.onnx", "captioning": "captions.onnx"}
# Of an evaluation, what is no score: a time, and words for people, which may change.
NO_SCORES = {"seconds", "data", "model", "inference"}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def family(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def run(family: str, tmp_path: Path) -> Path:
    """A copy of the family's run folder, in a place that 0.1.0 never saw."""
    return Path(shutil.copytree(DATA / family / "run", tmp_path / "moved" / family))


every_family = pytest.mark.parametrize("family", FAMILIES, indirect=True)
exported_families = pytest.mark.parametrize("family", EXPORTED, indirect=True)


def expected(family: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DATA / family / "expected.json").read_text(encoding="utf-8"))
    return found


def answers(family: str, predictor: Any, image: np.ndarray) -> dict[str, Any]:
    """The counterpart of `answers` in the recording script."""
    found = predictor.predict(image)
    if family == "semantic":
        return {"mask": found.mask, "mask_flip": predictor.predict(image, flip=True).mask}
    if family == "classification":
        flipped = predictor.predict(image, flip=True).probabilities
        return {"probabilities": found.probabilities, "probabilities_flip": flipped}
    if family == "captioning":
        best = found.sentences[0]
        assert best.text == found.text
        return {
            "text": found.text,
            "score": best.score,
            "probabilities": best.probabilities,
            "attention": best.attention,
            "text_greedy": predictor.predict(image, beams=1).text,
        }
    return {"boxes": found.boxes}


def assert_answers(family: str, path: Path, source: str, tolerance: float) -> None:
    """path: what to load. source: 'folder' or 'onnx', whose answers were recorded."""
    with np.load(DATA / family / "expected.npz") as file:
        image = file["image"]
        recorded = {k.removeprefix(f"{source}."): file[k] for k in file.files if k.startswith(f"{source}.")}
    got = answers(family, foveate.load(path, device="cpu"), image)
    assert got.keys() == recorded.keys()
    for name, value in recorded.items():
        if value.dtype.kind == "f":
            assert np.shape(got[name]) == value.shape, name
            np.testing.assert_allclose(got[name], value, rtol=0, atol=tolerance, err_msg=name)
        elif value.dtype.kind == "U":
            assert got[name] == str(value), name
        else:
            np.testing.assert_array_equal(got[name], value, err_msg=name)


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_files_are_those_of_0_1_0(family: str) -> None:
    recipe = json.loads((DATA / family / "run" / "recipe.json").read_text(encoding="utf-8"))
    assert (recipe["task"], recipe["data"]["dataset"]) == (family, FAMILIES[family])
    environment = json.loads((DATA / family / "run" / "environment.json").read_text(encoding="utf-8"))
    assert environment["packages"]["foveate"] == "0.1.0"


@every_family
@pytest.mark.parametrize("place", ["", "model"])
def test_a_run_and_its_model_folder_answer_as_they_did(family: str, run: Path, place: str) -> None:
    assert_answers(family, run / place, "folder", 1e-5)


@exported_families
def test_an_exported_file_answers_as_it_did(family: str) -> None:
    pytest.importorskip("onnxruntime")
    assert_answers(family, DATA / family / EXPORTED[family], "onnx", 1e-4)


@every_family
def test_a_run_has_the_scores_that_it_had(family: str, run: Path) -> None:
    """The data are found by the name that recipe.json has for them, and drawn as they were."""
    got = json.loads(json.dumps(evaluate_run(run).to_json()))
    for name, value in expected(family)["scores"].items():
        if name not in NO_SCORES:
            assert_same_numbers(got[name], value, name)


def assert_same_numbers(got: Any, wanted: Any, name: str) -> None:
    if isinstance(wanted, dict):
        assert list(got) == list(wanted), name
        for key, value in wanted.items():
            assert_same_numbers(got[key], value, f"{name}.{key}")
    elif isinstance(wanted, list):
        assert len(got) == len(wanted), name
        for i, value in enumerate(wanted):
            assert_same_numbers(got[i], value, f"{name}[{i}]")
    elif isinstance(wanted, (int, float)):
        assert got == pytest.approx(wanted, rel=0, abs=1e-6, nan_ok=True), name
    else:
        assert got == wanted, name


@every_family
def test_a_report_is_written_of_a_run(family: str, run: Path) -> None:
    assert report_run(run) == run / "report.html"
    assert "</html>" in (run / "report.html").read_text(encoding="utf-8")
    assert (run / "evaluation.json").is_file()


@pytest.mark.parametrize("family", ["semantic"], indirect=True)
@pytest.mark.parametrize("how", ["command", "recipe"])
def test_a_run_that_was_stopped_is_finished(run: Path, how: str) -> None:
    """It was stopped after the first of two epochs; the second one ends as it would have ended then."""
    before = rows(run)
    assert [row["epoch"] for row in before] == ["1"]
    if how == "command":  # as it was given then, and is noted in environment.json
        words = shlex.split(json.loads((run / "environment.json").read_text(encoding="utf-8"))["command"])
        words[words.index("--out") + 1] = str(run)
        assert main([*words[1:], "--resume"]) == 0
    else:
        from foveate.engine.run import RunFolder

        assert train_recipe(RunFolder(run).recipe(), out=run, resume=True) == run
    after = rows(run)
    assert [row["epoch"] for row in after] == ["1", "2"]
    assert {name: after[0][name] for name in before[0]} == before[0]
    got = {name: float(after[1][name]) for name in expected("semantic")["resumed"]}
    assert got == pytest.approx(expected("semantic")["resumed"], rel=0, abs=1e-4)
    assert evaluate_run(run).to_json()["mean_iou"] == pytest.approx(got["mean_iou"], abs=1e-6)
