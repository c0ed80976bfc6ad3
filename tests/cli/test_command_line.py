"""What every verb has in common: help, one line for an error, exit codes, and nothing heavy before it is needed."""

from __future__ import annotations

import importlib
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import foveate
from foveate import cli
from foveate.engine.recipe import Recipe
from foveate.errors import DataError
from foveate.registry import entries

VERBS = list(cli.verbs())


def stub(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """`foveate models` raises this."""

    def run(argv: list[str]) -> int:
        raise error

    monkeypatch.setattr(importlib.import_module("foveate.cli.models"), "run", run)


def test_help_lists_every_verb_with_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert {"models", "datasets", "recipes", "train", "evaluate", "predict", "export", "demo"} <= set(VERBS)
    for words in ([], ["--help"], ["-h"], ["help"]):
        assert cli.main(words) == 0
        told = capsys.readouterr().out
        for verb, line in cli.verbs().items():
            assert f"  {verb:<10} {line}" in told
            assert len(line) > 10


def test_help_costs_less_than_half_a_second() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    code = (
        "import sys; from foveate.cli import main; main(['--help']); "
        "assert not {'torch', 'numpy', 'PIL', 'lightning', 'timm', 'rich'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5


def test_ctrl_c_behind_the_last_line_shows_nothing_and_changes_no_exit_code() -> None:
    """While Python ends, as where a library removes its temporary files."""
    code = (
        "import atexit, os, signal, sys; from foveate.cli import program\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "atexit.register(lambda: (os.kill(os.getpid(), signal.SIGINT), print('removed', flush=True)))\n"
        "sys.argv[1:] = ['--version']\n"
        "program()"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.splitlines()[-1] == "removed"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main([verb, "--help"])
    assert left.value.code == 0
    told = capsys.readouterr().out
    assert told.startswith(f"usage: foveate {verb} ")
    module = importlib.import_module(f"foveate.cli.{verb}")
    assert (module.run.__doc__ or "").startswith(f"`foveate {verb}")


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"{foveate.__version__}\n"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "PASSIVE 3000"),
        ({"OMP_WAIT_POLICY": "passive"}, "passive 3000"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE None"),
        ({"GOMP_SPINCOUNT": "0"}, "PASSIVE 0"),
    ],
)
def test_threads_spin_for_a_moment_before_they_sleep(given: dict[str, str], expected: str) -> None:
    environment = {k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    code = (
        "import os, sys, foveate.cli; assert 'torch' not in sys.modules; "
        "print(os.environ['OMP_WAIT_POLICY'], os.environ.get('GOMP_SPINCOUNT'))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment | given, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected


def test_the_fields_of_a_model_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models", "patch_cnn"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines.pop(0).startswith("Patch CNN") and "foveate models patch_cnn --bibtex" in lines.pop(0)
    named = [line.split()[0] for line in lines if line.startswith("  --")]
    assert named[:3] == ["--config.num_classes", "--config.in_channels", "--config.widths"]
    (line,) = [line for line in lines if "--config.dense " in line]
    assert line.split(maxsplit=2) == ["--config.dense", "upsampled", "one of upsampled, atrous"]
    assert cli.main(["models", "patch_cnn", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["fc_kernel"] == 5
    for words in (["--model", "patch_cnn"], ["--model=patch_cnn"]):
        with pytest.raises(SystemExit):
            cli.main(["train", "fcn8s_pasture", *words, "--help"])
        assert set(lines) <= set(capsys.readouterr().out.splitlines())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("models fcn9s", "unknown model 'fcn9s'; the nearest is 'fcn"),
        ("trian", "unknown verb 'trian'; the nearest is 'train'"),
        ("zzz", "unknown verb 'zzz'; known: bench, cache, claims, compare"),
        ("train", "the following arguments are required: RECIPE; see foveate train --help"),
        ("train fcn8", "unknown recipe 'fcn8'; the nearest is 'fcn8s'"),
        ("train fcn8s_pasture --epoch 3", "unknown flag '--epoch'; the nearest is '--epochs'"),
        ("train fcn8s_pasture --optim.lrr 3", "unknown flag '--optim.lrr'; the nearest is '--optim.lr'"),
        ("train fcn8s_pasture --ouy runs/a", "unknown flag '--ouy'; the nearest is '--out'"),
        ("train fcn8s --dta photos", "unknown flag '--dta'; the nearest is '--data'"),
        ("train fcn8s_pasture --reusme", "unknown flag '--reusme'; the nearest is '--resume'"),
        ("train fcn8s_pasture --modle fcn16s", "unknown flag '--modle'; the nearest is '--model'"),
        ("train fcn8s_pasture --model fcn61s", "unknown model 'fcn61s'; the nearest is 'fcn16s'"),
        ("train fcn8s_pasture --model colocalise", "model 'colocalise' is for colocalisation, but recipe"),
        ("train fcn8s_pasture --epochs", "--epochs has no value; give one, as in --epochs VALUE"),
        ("train fcn8s_pasture --epochs --ema 0", "--epochs has no value; give one, as in --epochs VALUE"),
        ("train fcn8s_pasture --epochs many", "--epochs is 'many'; expected a whole number"),
        ("train fcn8s_pasture --optim.lr=fast", "--optim.lr is 'fast'; expected a number"),
        ("train fcn8s_pasture --optim.name adam", "--optim.name is 'adam'; expected one of adamw, sgd"),
        ("train fcn8s_pasture --augment.flip maybe", "--augment.flip is 'maybe'; expected true or false"),
        ("train fcn8s_pasture --epochs 0", "epochs is 0; expected 1 or more"),
        ("train fcn8s_pasture --max-pixels few", "argument --max-pixels: invalid int value: 'few'; see foveate train"),
        ("train fcn8s_pasture and more", "unrecognized arguments: and more; see foveate train --help"),
        ("train fcn8s", "recipe 'fcn8s' is for your own data: say where it is with --data PATH"),
        ("evaluate", "the following arguments are required: RUN; see foveate evaluate --help"),
        ("evaluate nowhere", "nowhere does not exist"),
        ("evaluate nowhere --jsn a", "unknown flag '--jsn'; the nearest is '--json'"),
        ("models --formt json", "unknown flag '--formt'; the nearest is '--format'"),
        ("models --format xml", "argument --format: invalid choice: 'xml'"),
        ("recipes fcn9s", "unknown recipe 'fcn9s'; the nearest is 'fcn"),
        ("datasets inspct x", "argument action: invalid choice: 'inspct'"),
        ("datasets inspect", "inspect needs a folder: foveate datasets inspect PATH"),
        ("datasets inspect nowhere", "nowhere: no such folder; check the path"),
        ("datasets inspect coco", "'coco' needs a folder: foveate datasets inspect PATH"),
        ("predict nowhere --out x", "nowhere does not exist"),
        ("export nowhere --out x.onnx --format tflite", "argument --format: invalid choice: 'tflite'"),
        ("demo --epoch 1 --out runs/x", "unknown f"),
    ],
)
def test_a_wrong_command_is_one_line_that_helps(
    words: str, expected: str, complaint: Callable[..., str], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert complaint(*words.split()).startswith(expected)
    assert not list(tmp_path.iterdir())


def test_a_demo_renews_no_run_of_another_recipe(complaint: Callable[..., str], tmp_path: Path) -> None:
    run = shutil.copytree(Path(__file__).parents[1] / "data/version_0_1_0/classification/run", tmp_path / "run")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    name = json.loads((run / "recipe.json").read_text())["name"]
    told = complaint("demo", "--out", str(run), "--epochs", "1")
    assert told == f"{run} is a run of {name}, which would be lost; choose another --out"
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_an_error_of_many_lines_becomes_one(monkeypatch: pytest.MonkeyPatch, complaint: Callable[..., str]) -> None:
    stub(monkeypatch, DataError("a.png: broken\n  in two\nways"))
    assert complaint("models") == "a.png: broken in two ways"


def test_what_nobody_foresaw_is_one_line_too(monkeypatch: pytest.MonkeyPatch, complaint: Callable[..., str]) -> None:
    stub(monkeypatch, ZeroDivisionError("by\nzero"))
    assert complaint("models") == "unexpected ZeroDivisionError: by zero (--debug shows where)"
    stub(monkeypatch, MemoryError())
    assert complaint("models") == "unexpected MemoryError: no message (--debug shows where)"


def test_debug_shows_where(monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (DataError("broken"), ZeroDivisionError()):
        stub(monkeypatch, error)
        with pytest.raises(type(error)):
            cli.main(["models", "--debug"])


def test_ctrl_c_leaves_with_its_own_code(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    stub(monkeypatch, KeyboardInterrupt())
    assert cli.main(["models"]) == 130
    assert capsys.readouterr().err.splitlines() == ["foveate: stopped"]  # `train` says more, in test_resume.py


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("train fcn8s", "a training goes on from its last finished epoch with --resume"),
        ("train fcn8s --folds 3", "the same line goes on, and keeps the runs that are there"),
        ("train fcn8s --seeds=3", "the same line goes on, and keeps the runs that are there"),
        ("sweep fcn8s --epochs 1,2", "the same line goes on, and keeps the runs that are there"),
    ],
)
def test_ctrl_c_says_how_to_go_on(
    line: str, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(argv: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(importlib.import_module(f"foveate.cli.{line.split()[0]}"), "run", stop)
    assert cli.main(line.split()) == 130
    assert capsys.readouterr().err == f"foveate: stopped; {told}\n"


def test_ctrl_c_during_the_imports_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """PyTorch cannot be imported a second time after its first import was broken off."""
    monkeypatch.setitem(sys.modules, "foveate.engine.processes", None)
    for error, code in ((KeyboardInterrupt(), 130), (RuntimeError("broken"), 1)):
        stub(monkeypatch, error)
        assert cli.main(["models"]) == code
        assert len(capsys.readouterr().err.splitlines()) == 1


def test_of_several_processes_one_speaks_for_all(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    for error, code in ((KeyboardInterrupt(), 130), (RuntimeError("connection closed by peer"), 1)):
        stub(monkeypatch, error)
        assert cli.main(["models"]) == code
        assert not capsys.readouterr().err
    stub(monkeypatch, DataError("a.png is broken"))  # only the process that read the file knows
    assert cli.main(["models"]) == 1
    assert capsys.readouterr().err == "foveate: a.png is broken\n"


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    code = "import sys; from foveate.cli import main; sys.exit(main(['recipes', 'fcn8s']))"
    command = f'"{sys.executable}" -c "{code}" | head -n 1'
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


# The verbs that list


@pytest.mark.parametrize("kind", ["model", "recipe", "dataset"])
def test_what_there_is_for_people_and_for_machines(kind: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([f"{kind}s", "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == list(entries(kind))
    assert all(row.keys() == {"name", "summary", "module"} for row in rows)
    assert cli.main([f"{kind}s"]) == 0
    lines = sorted(line for line in capsys.readouterr().out.splitlines() if line.startswith("  "))
    grid = [row for row in rows if kind == "recipe" and "_mnist_" in row["name"] and "draw" not in row["name"]]
    rows = [row for row in rows if row not in grid]  # one line for all of these
    lines = [line for line in lines if "{model}_mnist_{kind}" not in line]
    assert [line.split()[0] for line in lines] == [row["name"] for row in rows]
    assert len(grid) == (64 if kind == "recipe" else 0)
    assert all(row["summary"] in line for row, line in zip(rows, lines, strict=True))


def test_a_recipe_shows_every_field_with_its_value(capsys: pytest.CaptureFixture[str]) -> None:
    from foveate.engine.fields import fields_of, restore, to_json
    from foveate.recipes import resolve
    from foveate.registry import create_recipe

    recipe: Recipe = resolve("fcn8s_pasture")
    assert cli.main(["recipes", "fcn8s_pasture"]) == 0
    shown = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.startswith("  --")}
    assert list(shown) == [f"--{name}" for name in fields_of(recipe)]
    assert str(recipe.optim.lr) in shown["--optim.lr"]
    assert shown["--optim.name"].endswith("one of adamw, sgd, rmsprop, adadelta")
    for order in (["fcn8s_pasture", "--format", "json"], ["--format", "json", "fcn8s_pasture"]):
        assert cli.main(["recipes", *order]) == 0
        written = json.loads(capsys.readouterr().out)
        assert written == json.loads(json.dumps(to_json(recipe)))
        assert restore(create_recipe("fcn8s_pasture"), written) == recipe
