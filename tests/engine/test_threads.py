"""The number of threads of a training: chosen by a measurement, kept in the run, and without effect on the result."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from foveate.engine import trial
from foveate.engine.fields import to_json
from foveate.engine.prepare import prepare
from foveate.engine.recipe import Recipe
from foveate.engine.run import RunFolder
from foveate.engine.train import as_started, train_recipe
from foveate.engine.trial import fastest_threads, fit_threads, using_threads
from foveate.store import load_model

Tiny = Callable[..., Recipe]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ({8: 1.0, 4: 0.8, 2: 0.7, 1: 0.69}, 2),  # one thread gains less than a tenth
        ({8: 1.0, 4: 0.95}, 8),
        ({6: 1.0, 3: 0.5, 1: 0.1}, 1),
        ({2: 1.0, 1: 0.9}, 1),
        ({2: 1.0, 1: 0.92}, 2),
        ({1: 1.0}, 1),
    ],
)
def test_halves_are_taken_as_long_as_each_gains_a_tenth(seconds: dict[int, float], expected: int) -> None:
    asked: list[int] = []

    def measured(threads: int) -> float:
        asked.append(threads)
        return seconds[threads]

    assert fastest_threads(max(seconds), measured) == expected
    assert asked == list(seconds), "what cannot matter any more is not measured"


def test_the_fastest_step_after_the_first_counts(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    now, lasting = [0.0], iter([0.125, 4.0, 2.0, 3.0, 1.0])
    monkeypatch.setattr("foveate.engine.trial.time.monotonic", lambda: now[0])
    monkeypatch.setattr(trial, "THREAD_SECONDS", 100.0)

    class Steps:
        learner = SimpleNamespace(recipe=tiny())

        def step(self, batch: Any, lr: float) -> None:
            now[0] += next(lasting)

    assert trial._fastest(Steps(), None) == 2.0, "of the second to the fourth"  # type: ignore[arg-type]


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Two threads, of which one is faster; the threads of each measurement."""
    measured: list[int] = []

    def fastest(steps: Any, batch: Any) -> float:
        steps.step(batch, 1.0)  # as large as a step can be, and forgotten
        measured.append(torch.get_num_threads())
        return float(measured[-1])

    monkeypatch.setattr(trial, "_fastest", fastest)
    monkeypatch.setattr(trial, "LONG", 4)
    torch.set_num_threads(2)
    return measured


def test_a_run_takes_them_and_says_so(
    tiny: Tiny, tmp_path: Path, two_threads: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    run = RunFolder(train_recipe(tiny(), out=tmp_path / "run"))
    assert two_threads == [2, 1]
    output = capsys.readouterr().out
    assert "using 1 of 2 threads (measured faster); pass --threads 2 to use all\n" in output
    assert "device: cpu (1 thread)" in output
    assert run.recipe().threads == 1 and run.read_json("environment.json")["threads"] == 1
    assert torch.get_num_threads() == 2, "they are the training's alone"
    # The measurement's own steps leave no trace.
    train_recipe(tiny(threads=1), out=tmp_path / "told")
    assert two_threads == [2, 1], "what was given is not measured"
    measured, told = (load_model(RunFolder(tmp_path / name).last).model.state_dict() for name in ("run", "told"))
    torch.testing.assert_close(measured, told, rtol=0, atol=0)


def test_a_resumed_run_keeps_them(tiny: Tiny, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    run.write_json("recipe.json", to_json(tiny(threads=3)))
    assert as_started(tiny(), run, None)["threads"] == 3
    assert as_started(tiny(threads=2), run, None)["threads"] == 2, "another machine may have fewer"


def test_nothing_is_measured_where_it_is_not_worth_it(
    tiny: Tiny, two_threads: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = prepare(tiny(epochs=2))  # four steps
    assert fit_threads(prepared).threads == 1
    two_threads.clear()
    assert fit_threads(dataclasses.replace(prepared, recipe=tiny(epochs=1))).threads == 0
    assert fit_threads(dataclasses.replace(prepared, recipe=tiny(devices=2))).threads == 0
    with using_threads(1):
        assert fit_threads(prepared).threads == 0
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert fit_threads(prepared).threads == 0
    assert two_threads == []


def test_zero_leaves_threads_as_they_are() -> None:
    torch.set_num_threads(2)
    with using_threads(0):
        assert torch.get_num_threads() == 2
    with using_threads(1):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2


def test_a_measurement_computes_in_the_recipes_precision(tiny: Tiny) -> None:
    for precision, dtype in (("float32", torch.float32), ("bf16", torch.bfloat16)):
        prepared = prepare(tiny(precision=precision))
        steps = trial._Steps(prepared, prepared.batches())
        seen: list[torch.dtype] = []
        conv = next(m for m in steps.learner.model.modules() if isinstance(m, torch.nn.Conv2d))
        conv.register_forward_hook(lambda module, args, output, seen=seen: seen.append(output.dtype))
        steps.step(next(iter(steps)), 0.0)
        assert dtype in seen
