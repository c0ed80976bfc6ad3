"""`foveate compare`, `--seeds`, `foveate bench` and `foveate info`."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from foveate import cli
from foveate.cli.info import EXTRAS
from foveate.datasets.pasture import Pasture
from foveate.engine.bench import measure
from foveate.engine.compare import table_text
from foveate.engine.evaluate import evaluate_run
from foveate.engine.recipe import Recipe
from foveate.engine.several import list_runs
from foveate.engine.train import train_recipe
from foveate.errors import ModelError
from foveate.models.semantic.fcn import Config
from foveate.recipes import resolve

Complaint = Callable[..., str]
CONFIG = Config(stride=8, backbone="test_efficientnet", head_channels=8, head_kernel=1, dropout=0.0)


def recipe(**changes: object) -> Recipe:
    base = dataclasses.replace(
        resolve("fcn8s_pasture"), config=CONFIG, data=Pasture(height=32, width=40, train=6, val=4, test=3),
        augment=None, epochs=1, batch_size=2, freeze=(),
    )  # fmt: skip
    return dataclasses.replace(base, **changes)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("runs")
    return train_recipe(recipe(), out=folder / "first"), train_recipe(recipe(seed=1, epochs=2), out=folder / "second")


def test_runs_become_a_table_and_a_page(
    runs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, table = tmp_path / "page.html", tmp_path / "table.csv"
    words = [*map(str, runs), "--split", "test", "--format", "csv", "--out", str(table), "--html", str(page)]
    assert cli.main(["compare", *words]) == 0
    printed = capsys.readouterr().out
    first, second = csv.DictReader(io.StringIO(table.read_text()))
    assert table.read_text() in printed
    from foveate.engine.evaluate import evaluate_run

    scored = [evaluate_run(run, split="test") for run in runs]
    for row, evaluation in zip((first, second), scored, strict=True):
        assert float(row["mean_iou"]) == pytest.approx(evaluation.scores.mean_iou)
        low, high = evaluation.scores.intervals["mean_iou"]
        assert (float(row["interval_low"]), float(row["interval_high"])) == pytest.approx((low, high))
    own = [[score for _, score in one.samples] for one in scored]
    assert first["difference"] == ""
    assert float(second["difference"]) == pytest.approx(sum(b - a for a, b in zip(*own, strict=True)) / 3)
    text = page.read_text()
    assert text.count("<img") == 3 * 2  # every image, predicted by both
    assert "pasture/test/000001" in text
    assert text.count("<polyline") + text.count("<path") >= 2  # a curve of each
    assert "<script" not in text


def test_one_run_is_a_row_of_its_own(runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["compare", str(runs[0]), "--format", "csv"]) == 0
    (row,) = csv.DictReader(capsys.readouterr().out.splitlines())
    assert row["run"] == runs[0].name and "difference" not in row
    scored = evaluate_run(runs[0]).to_json()
    assert float(row["mean_iou"]) == scored["mean_iou"]
    assert [float(row["interval_low"]), float(row["interval_high"])] == scored["intervals"]["mean_iou"]


def test_a_run_is_called_after_its_folder_from_within_it(
    runs: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(runs[0])
    assert cli.main(["compare", ".", str(runs[1]), "--format", "csv"]) == 0
    assert [row["run"] for row in csv.DictReader(capsys.readouterr().out.splitlines())] == ["first", "second"]
    assert cli.main(["evaluate", "."]) == 0
    assert "<h1>first</h1>" in (runs[0] / "report.html").read_text()


def test_tables_in_markdown_and_latex() -> None:
    rows = [
        {"run": "a_b", "recipe": "r", "mean_iou": 0.51234, "interval": [0.5, 0.6], "difference": None},
        {"run": "c", "recipe": "r", "mean_iou": None, "interval": None, "difference": -0.25},
    ]
    assert table_text(rows, "markdown") == (
        "| run | recipe | mean IoU | 95 % interval | difference |\n| --- | --- | --- | --- | --- |\n"
        "| a_b | r | 0.512 | 0.500 to 0.600 | – |\n| c | r | – | – | -0.250 |\n"
    )
    latex = table_text(rows, "latex").splitlines()
    assert latex[0] == r"\begin{tabular}{llrrr}"
    assert r"a\_b & r & 0.512 & 0.500 to 0.600 & -- \\" in latex
    odd = [
        {"run": "a|b", "batch_size": "8", "mean_iou": 0.5},
        {"run": "50% {x}^2 ~$1 #2 \\", "batch_size": "4", "mean_iou": 1.0},
    ]
    assert table_text(odd, "markdown", ["batch_size"]).splitlines()[::2] == [
        "| run | batch_size | mean IoU |", r"| a\|b | 8 | 0.500 |"
    ]  # fmt: skip
    assert (
        table_text(odd, "latex", ["batch_size"])
        .splitlines()[5]
        .startswith(r"50\% \{x\}\textasciicircum{}2 \textasciitilde{}\$1 \#2 \textbackslash{} & 4")
    )


def test_runs_that_cannot_be_compared_are_refused(
    runs: tuple[Path, Path], tmp_path: Path, complaint: Complaint
) -> None:
    first, second = map(str, runs)
    page = str(tmp_path / "page.html")
    assert complaint("compare", first, "--html", page).startswith("a page compares two runs or more")
    assert complaint("compare", first, first) == "a run is named twice; name each once"
    assert complaint("compare", first, f"{second}x").endswith(f"the nearest is {second}")

    def changed(change: Callable[[dict], None], file: str) -> str:
        twin = tmp_path / "twin"
        shutil.rmtree(twin, ignore_errors=True)
        shutil.copytree(second, twin)
        content = json.loads((twin / file).read_text())
        change(content)
        (twin / file).write_text(json.dumps(content))
        return complaint("compare", first, str(twin))

    told = changed(lambda data: data["val"].pop(), "data.json")
    assert told.endswith(
        "rank their epochs on different samples (4 and 3; first difference: pasture/val/000003); a difference of their "
        "scores would be one of the data"
    )
    told = changed(lambda data: data["digests"].update(val=["0"]), "data.json")
    assert "were scored against different labels of the same samples" in told
    told = changed(lambda tables: tables["classes"]["names"].reverse(), "tables.json")
    assert "have different classes" in told


def test_seeds_give_a_mean_and_a_range_and_go_on(
    smallest: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], complaint: Complaint
) -> None:
    small = ["--data.height", "32", "--data.width", "32", "--data.train", "4", "--data.val", "2", "--data.test", "2"]
    words = ["train", "fcn8s_pasture", *smallest, *small, "--out", str(tmp_path / "all"), "--no-report", "--seed", "5"]
    assert cli.main([*words, "--seeds", "2"]) == 0
    told = capsys.readouterr().out.splitlines()
    found = json.loads((tmp_path / "all" / "seeds.json").read_text())
    scores = list(found["scores"].values())
    assert list(found["scores"]) == ["5", "6"]
    assert scores[0] != scores[1]
    assert found["mean"] == pytest.approx(sum(scores) / 2)
    assert found["standard_deviation"] == pytest.approx(abs(scores[0] - scores[1]) / 2**0.5)
    assert told[-1] == f"next: foveate compare {tmp_path}/all/seed5 {tmp_path}/all/seed6"
    weights = (tmp_path / "all" / "seed5" / "model" / "model.safetensors").stat().st_mtime_ns
    assert cli.main([*words, "--seeds", "3"]) == 0  # two are there
    assert (tmp_path / "all" / "seed5" / "model" / "model.safetensors").stat().st_mtime_ns == weights
    assert json.loads((tmp_path / "all" / "seeds.json").read_text())["scores"]["6"] == scores[1]
    assert complaint(*words, "--seeds", "1").startswith("--seeds is 1; give 2 or more")


def test_multiply_adds_are_those_of_the_formula() -> None:
    from foveate.tasks.options import Options

    class Family:
        options = Options()

        def answer(self, runner: torch.nn.Module, samples: list, options: object) -> list:
            return [runner(sample) for sample in samples]

    network = torch.nn.Conv2d(3, 8, 3, padding=1, bias=False)
    cost = measure(Family(), network, torch.zeros(1, 3, 10, 12))  # type: ignore[arg-type]
    assert cost.multiply_adds == 10 * 12 * 8 * 3 * 9
    assert cost.parameters == 8 * 3 * 9
    assert cost.fastest <= cost.milliseconds <= cost.slowest


def test_info_knows_every_extra() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    (whole,) = extras["all"]
    names = whole.removeprefix("foveate[").removesuffix("]").split(",")
    needed = {re.split(r"[\[<>=]", one)[0].replace("-", "_") for name in names for one in extras[name]}
    assert needed <= set(EXTRAS)


def test_runs_are_listed_by_recipe_seed_and_commit(
    runs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], complaint: Complaint
) -> None:
    """Two runs of one recipe under other seeds or commits are both there, and told from one another."""
    for number, run in enumerate(runs):
        shutil.copytree(run, tmp_path / "all" / f"group{number}" / "run")
    for name, about in (("other", {"commit": "c0ffee" * 7, "clean": True}), ("changed", {"clean": False})):
        shutil.copytree(runs[0], tmp_path / "all" / name)
        file = tmp_path / "all" / name / "environment.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | about))
    old = tmp_path / "all" / "old"  # as 0.1.0 left them
    shutil.copytree(runs[0], old, ignore=lambda *_: ["progress.json"])
    (tmp_path / "all" / "damaged").mkdir()
    (tmp_path / "all" / "damaged" / "recipe.json").write_text("{")
    assert cli.main(["results", str(tmp_path / "all"), "--format", "csv"]) == 0
    printed = capsys.readouterr()
    assert printed.err.startswith(f"note: {tmp_path / 'all' / 'damaged'} is left out: ")
    rows = {
        Path(row["run"]).relative_to(tmp_path / "all").as_posix(): row
        for row in csv.DictReader(io.StringIO(printed.out))
    }
    assert list(rows) == ["changed", "group0/run", "group1/run", "old", "other"]
    commit = json.loads((runs[0] / "environment.json").read_text())["commit"] or ""
    assert rows["other"]["commit"] == "c0ffeec"
    assert rows["changed"]["commit"] == (f"{commit[:7]} with changes" if commit else "")
    assert {(row["recipe"], row["model"]) for row in rows.values()} == {("fcn8s_pasture", "fcn8s")}
    assert [rows[f"group{i}/run"]["seed"] for i in (0, 1)] == ["0", "1"]
    assert rows["group1/run"]["epochs"] == "2 of 2"
    best = json.loads((runs[1] / "progress.json").read_text())["best"]
    assert (rows["group1/run"]["score"], float(rows["group1/run"]["value"])) == ("mean_iou", best["value"])
    assert (rows["old"]["score"], rows["old"]["value"]) == ("", "")
    assert cli.main(["results", str(runs[0])]) == 0  # a run itself
    assert f"| {runs[0]} | fcn8s_pasture | fcn8s | pasture | 0 |" in capsys.readouterr().out
    (found,), _ = list_runs(runs[1])
    assert (found["kept"], found["scored on"]) == (str(best["epoch"]), "validation")
    recipe = json.loads((old / "recipe.json").read_text())
    (old / "recipe.json").write_text(json.dumps(recipe | {"overfit": 8, "data": {"path": "/data/cells"}}))
    (found,), _ = list_runs(old)
    assert (found["data"], found["scored on"]) == ("cells", "its 8 training samples")
    assert complaint("results", str(tmp_path / "none")).startswith(
        f"no run in {tmp_path / 'none'}; foveate train writes"
    )


def test_bench_and_info_say_what_there_is(
    runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_export(run: Path, out: Path) -> None:
        raise ModelError("models of this kind have no ONNX export")

    monkeypatch.setattr("foveate.engine.bench.REPEATS", 1)
    monkeypatch.setattr("foveate.export.export_onnx", no_export)
    assert cli.main(["bench", str(runs[0]), "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["input"] == "3x32x40"
    assert found["pytorch"]["parameters"] > 10_000
    assert found["pytorch"]["multiply_adds"] > 100_000
    assert found["onnxruntime"] is None
    assert cli.main(["bench", str(runs[0])]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("fcn8s on one picture of 3x32x40, cpu, 1 thread\n") and "note: " not in printed
    assert "ONNX Runtime   none: models of this kind have no ONNX export\n" in printed
    model = runs[0] / "model"
    assert cli.main(["bench", str(model)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("fcn8s on one made-up picture of 3x512x512, cpu, 1 thread\n")
    assert printed.endswith(f"note: {model} does not record its data; --data PATH measures a picture of your own\n")
    assert cli.main(["info"]) == 0
    told = capsys.readouterr().out
    assert f"\ntorch               {torch.__version__.partition('+')[0]}" in told
    assert cli.main(["info", "--format", "json"]) == 0
    assert "onnxruntime" in json.loads(capsys.readouterr().out)["extras"]
