"""A run's report.html: gathered here, what differs between families in `engine.gather`, drawn by `visualize`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from foveate.engine import fields
from foveate.engine.evaluate import Evaluation, evaluate_run
from foveate.engine.gather import gatherer
from foveate.engine.run import RunFolder
from foveate.engine.train import validation_split
from foveate.visualize.report import Report, write_report


def report_run(path: str | Path, evaluation: Evaluation | None = None) -> Path:
    """Write evaluation.json and report.html of a run; evaluates its best model first unless that was just done."""
    run = RunFolder.existing(path)
    evaluation = evaluation or evaluate_run(path)
    run.write_json("evaluation.json", evaluation.to_json())
    recipe, history, about = run.recipe(), run.history(), run.read_json("data.json")
    environment = run.read_json("environment.json")
    settings = fields.to_json(dataclasses.replace(recipe, data=None))
    settings.pop("data")
    chosen = validation_split(recipe.data)
    family = gatherer(evaluation)
    report = Report(
        title=run.path.name,
        recipe=recipe.name,
        command=environment["command"],
        data=about["source"],
        scores=evaluation.to_json(),
        splits={"train": len(about["train"]), chosen: len(about["val"]), evaluation.split: evaluation.scores.images},
        scored_split=evaluation.split,
        chosen_split=chosen,
        history=history,
        settings=settings,
        environment=_flat(environment) | {"seed": recipe.seed},
        minutes=sum(row["seconds"] for row in history) / 60 if history else None,
        examples=family.examples(),
        family=evaluation.loaded.task,
        notes=[*_notes(evaluation, chosen), family.manner(), *_averaged(recipe.ema), *family.notes()],
        files={"best model": str(run.best), "last model": str(run.last), "scores": str(run.evaluation)},
        **family.more(),
    )
    write_report(report, run.report)
    return run.report


def _notes(evaluation: Evaluation, chosen: str) -> list[str]:
    if evaluation.split == chosen:
        return [
            f"The model was chosen on the {chosen} pictures, so these scores are a little kind: keep other pictures "
            "apart for the score you quote."
        ]
    if evaluation.split == "train":
        return [
            "The model learnt from these very pictures: the scores say how well it remembers, not how well it sees."
        ]
    return [f"The model was chosen on the {chosen} pictures; nothing was chosen by the {evaluation.split} pictures."]


def _averaged(ema: float) -> list[str]:
    return [f"The weights are a running average over the steps (decay {ema:g})."] if ema else []


def _flat(environment: dict[str, Any]) -> dict[str, Any]:
    packages = environment.get("packages", {})
    rest = {k: v for k, v in environment.items() if k not in ("packages", "command")}
    return {k: ", ".join(map(str, v)) if isinstance(v, list) else v for k, v in (rest | packages).items()}
