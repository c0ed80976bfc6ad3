"""A run's report.html: gathered here, drawn by `visualize`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from foveate.engine import fields
from foveate.engine.evaluate import Evaluation, evaluate_run
from foveate.engine.run import RunFolder
from foveate.engine.train import validation_split
from foveate.tasks import create_task
from foveate.visualize.report import Canonical, ExampleGuess, ExamplePicture, Report, write_report

SHOWN = 6  # best pictures, and as many worst
MEANT = 1000  # pictures that a class's mean is taken over


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
    report = Report(
        title=run.path.name,
        recipe=recipe.name,
        command=environment["command"],
        data=about["source"],
        classes=evaluation.classes,
        scores=evaluation.to_json(),
        confusion=evaluation.scores.confusion,
        splits={"train": len(about["train"]), chosen: len(about["val"]), evaluation.split: evaluation.scores.images},
        scored_split=evaluation.split,
        chosen_split=chosen,
        history=history,
        settings=settings,
        environment=_flat(environment) | {"seed": recipe.seed},
        minutes=sum(row["seconds"] for row in history) / 60 if history else None,
        examples=_examples(evaluation),
        canonical=_canonical(evaluation),
        family=evaluation.loaded.task,
        notes=_notes(evaluation, chosen, recipe.ema),
        files={"best model": str(run.best), "last model": str(run.last), "scores": str(run.evaluation)},
    )
    write_report(report, run.report)
    return run.report


def _examples(evaluation: Evaluation) -> list[Any]:
    """The best and the worst pictures by their own score, looked at again."""
    ranked = sorted((p for p in evaluation.pictures if np.isfinite(p[1])), key=lambda p: -p[1])
    chosen = ranked if len(ranked) <= 2 * SHOWN else ranked[:SHOWN] + ranked[-SHOWN:]
    loaded = evaluation.loaded
    task = create_task(loaded.task, loaded.classes, loaded.preprocessing)
    examples: list[Any] = []
    for index, own in chosen:
        sample = evaluation.dataset[index]
        image = sample["image"].as_subclass(Tensor)
        with torch.inference_mode():
            prediction = task.answer(loaded.model, image, evaluation.how)
        if loaded.task == "classification":
            truth = loaded.classes.names[sample["label"]]
            examples.append(ExampleGuess(sample["name"], truth, prediction, own))
            continue
        shown = (image * 255).byte() if image.is_floating_point() else image
        examples.append(
            ExamplePicture(sample["name"], shown.permute(1, 2, 0).numpy(), sample["mask"].numpy(), prediction, own)
        )
    return examples


def _canonical(evaluation: Evaluation) -> list[Canonical]:
    """The mean picture of each class, and of what the first spatial transformer makes of it, over some pictures."""
    loaded, dataset = evaluation.loaded, evaluation.dataset
    if loaded.task != "classification":
        return []
    task = create_task(loaded.task, loaded.classes, loaded.preprocessing)
    sums: dict[int, list[Any]] = {}
    for index in range(min(MEANT, len(dataset))):
        sample = dataset[index]
        with torch.inference_mode():
            prediction = task.answer(loaded.model, sample["image"].as_subclass(Tensor))
        if not prediction.looks or prediction.looks[0].output is None:
            return []
        entry = sums.setdefault(sample["label"], [0, 0.0, 0.0])
        entry[0] += 1
        entry[1] = entry[1] + prediction.seen / 255.0
        entry[2] = entry[2] + prediction.looks[0].output
    names = loaded.classes.names
    return [Canonical(names[label], a / n, b / n) for label, (n, a, b) in sorted(sums.items())]


def _notes(evaluation: Evaluation, chosen: str, ema: float) -> list[str]:
    kind = (
        f"The model was chosen on the {chosen} pictures, so these scores are a little kind: keep other pictures apart "
        "for the score you quote."
    )
    fair = f"The model was chosen on the {chosen} pictures; nothing was chosen by the {evaluation.split} pictures."
    said = evaluation.how.describe()
    manner = f"with {said}" if said else "in one pass, without flips, several scales or refinement"
    size = evaluation.loaded.preprocessing.size
    seen = f"brought to {size[1]}x{size[0]} pixels" if size else "at its own size"
    notes = [kind if evaluation.split == chosen else fair, f"Each picture was scored {seen}, {manner}."]
    if ema:
        notes.append(f"The weights are a running average over the steps (decay {ema:g}).")
    absent = [evaluation.classes.names[i] for i in evaluation.scores.absent]
    if absent:
        notes.append(f"Not in these pictures, and left out of every mean: {', '.join(absent)}.")
    return notes


def _flat(environment: dict[str, Any]) -> dict[str, Any]:
    packages = environment.get("packages", {})
    rest = {k: v for k, v in environment.items() if k not in ("packages", "command")}
    return {k: ", ".join(map(str, v)) if isinstance(v, list) else v for k, v in (rest | packages).items()}
