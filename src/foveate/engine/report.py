"""A run's report.html: the frame comes from the run folder, the rest from the family (`Task.report`)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from foveate.engine import fields
from foveate.engine.evaluate import evaluate_run
from foveate.engine.prepare import validation_split
from foveate.engine.run import RunFolder
from foveate.errors import counted
from foveate.metrics import score_name
from foveate.tasks import find_task
from foveate.tasks.evaluation import Evaluation
from foveate.tasks.reporting import input_pictures
from foveate.visualize.report import Report, ReportText, write_report

FEW = 10  # samples, below which one more or less decides


def report_run(path: str | Path, evaluation: Evaluation | None = None) -> Path:
    """Write evaluation.json, samples.json (a row a sample) and report.html of a run, and return the report's path.

    evaluation: of the run's best model; made here if None.
    """
    run = RunFolder.existing(path)
    evaluation = evaluation or evaluate_run(path)
    scores = evaluation.to_json()
    run.write_json("evaluation.json", scores)
    rows = evaluation.rows()
    run.write_json("samples.json", rows)
    recipe, history, data = run.recipe(), run.history(), run.read_json("data.json")
    environment = run.read_json("environment.json")
    settings = fields.to_json(dataclasses.replace(recipe, data=None))
    settings.pop("data")
    chosen = "train" if recipe.overfit else validation_split(recipe.data)
    part = evaluation.task.report(evaluation)
    if not part.pictures:
        part = dataclasses.replace(part, pictures=input_pictures(evaluation))
    report = Report(
        title=run.path.resolve().name,
        recipe=recipe.name,
        command=environment["command"],
        data=data["source"],
        scores=scores,
        part=part,
        splits={"train": len(data["train"]), chosen: len(data["val"]), evaluation.split: len(evaluation.samples)},
        scored_split=evaluation.split,
        chosen_split=chosen,
        history=history,
        settings=settings,
        environment=_flat(environment) | {"seed": recipe.seed},
        minutes=sum(row["seconds"] for row in history) / 60 if history else None,
        notes=[
            *_size_note(len(evaluation.samples), evaluation.task.noun(1), evaluation.task.noun(2)),
            _split_note(evaluation.split, chosen, evaluation.task.noun(2)),
            *_interval_note(scores, evaluation),
            *_average_note(recipe.ema),
            *(f"{note[0].upper()}{note[1:]}" for note in evaluation.notes()),
        ],
        files={"best model": str(run.best), "last model": str(run.last), "scores": str(run.evaluation)},
        samples=[(evaluation.dataset.name(index), score) for index, score in evaluation.samples],
        own_score=part.own_score or _score_name(evaluation.task.own_score or evaluation.task.monitor, part.text),
        values=rows,
        greater_is_better=evaluation.task.greater_is_better,
        nouns=(evaluation.task.noun(), evaluation.task.noun(2)),
    )
    write_report(report, run.report)
    return run.report


def overfit_line(path: str | Path) -> str:
    """The outcome of `--overfit`, which has no report: a sentence with the first and the best epoch's figures."""
    run = RunFolder.existing(path)
    recipe, history = run.recipe(), run.history()
    family, count = find_task(recipe.task), len(run.read_json("data.json")["train"])
    scored = [row for row in history if math.isfinite(row.get(family.monitor, math.nan))]
    facts = [f"training loss {_change([row['train_loss'] for row in history], min)}"]
    if scored:
        best = max if family.greater_is_better else min
        facts.append(f"{family.monitor} {_change([row[family.monitor] for row in scored], best)}")
    return (
        f"overfitting check on {count} {family.training_noun(count)}: {', '.join(facts)}; no report is written, "
        f"since scores of {family.noun(2)} that were trained on say nothing about others"
    )


def _change(values: Sequence[float], best: Callable[..., float]) -> str:
    return f"{values[0]:.4f}" if len(values) == 1 else f"{values[0]:.4f} at first and {best(values):.4f} at best"


def _score_name(key: str, text: ReportText) -> str:
    """The name of a score in a heading: the one that the report gives it, or its key in words."""
    names = {one[0]: one[1] for one in (text.score, text.beside, text.chosen, *text.facts) if one}
    return names.get(key, score_name(key)[:1].upper() + score_name(key)[1:])


def _split_note(scored: str, chosen: str, samples: str) -> str:
    """A sentence on what the scored split was used for before."""
    if scored == chosen:
        return (
            f"The model was chosen on the {chosen} {samples}, so these scores are slightly optimistic: keep other "
            f"{samples} apart for the score you quote."
        )
    if scored == "train":
        return (
            f"The model was trained on these very {samples}: the scores say how well it remembers them, not how well "
            "it does on new ones."
        )
    return f"The model was chosen on the {chosen} {samples}; nothing was chosen by the {scored} {samples}."


def _size_note(count: int, noun: str, nouns: str) -> list[str]:
    """A sentence on a score of few samples; [] for enough."""
    if count >= FEW:
        return []
    return [
        f"This is the score of {counted(count, noun, nouns)}, and one more or less would change it much: measure on "
        "more of them, or cross-validate (foveate train --folds)."
    ]


def _interval_note(scores: dict[str, Any], evaluation: Evaluation) -> list[str]:
    """A sentence on how much the score depends on the samples that it was measured on; [] where it is not known."""
    monitor, noun, nouns = evaluation.task.monitor, evaluation.task.noun(1), evaluation.task.noun(2)
    bounds = scores["intervals"].get(monitor)
    if not bounds:
        return []
    count = len(evaluation.samples)
    few = f"; of so few {nouns} it is too narrow" if count < FEW else ""
    return [
        f"The 95 % interval of {score_name(monitor)} by bootstrap over the {counted(count, noun, nouns)} is "
        f"{bounds[0]:.3f} to {bounds[1]:.3f}: how much it depends on which of them are scored{few}."
    ]


def _average_note(ema: float) -> list[str]:
    return [f"The weights are a running average over the steps (decay {ema:g})."] if ema else []


def _flat(environment: dict[str, Any]) -> dict[str, Any]:
    packages = environment.get("packages", {})
    rest = {k: v for k, v in environment.items() if k not in ("packages", "command")}
    return {k: ", ".join(map(str, v)) if isinstance(v, list) else v for k, v in (rest | packages).items()}
