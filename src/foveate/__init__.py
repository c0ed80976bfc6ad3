"""Foveate: the classic segmentation and attention systems, alive, faithful and tested.

    import foveate

    run = foveate.train("fcn8s", data="photos/", out="runs/first")
    prediction = foveate.load(run).predict("photo.jpg")

Nothing heavy is imported until it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from foveate.errors import FoveateError
from foveate.version import __version__

if TYPE_CHECKING:
    from pathlib import Path

    from foveate.predictor import Predictor

__all__ = ["FoveateError", "__version__", "create", "list_models", "list_recipes", "load", "train"]


def create(name: str, **config: Any) -> Any:
    """Build a model by name, untrained unless its config says otherwise.

    name: one of `list_models()`; config: fields of the model's Config, e.g. num_classes=11.
    Raises ConfigError for an unknown name or field.
    """
    from foveate.registry import create_model

    return create_model(name, **config)


def load(path: str | Path, device: str = "auto", runtime: str | None = None, precision: str = "float32") -> Predictor:
    """A Predictor from a run folder, a model folder, an exported ONNX file, or the name of a public network.

    A name such as torchvision/fcn_resnet50 takes the published weights, which are downloaded once.
    runtime, precision: of an exported file, see `Predictor.open`.
    """
    from foveate.predictor import Predictor

    return Predictor.open(path, device, runtime, precision)


def train(
    recipe: str,
    data: str | Path | None = None,
    out: str | Path | None = None,
    *,
    model: str | None = None,
    resume: bool = False,
    init: str | Path | None = None,
    seconds: float | None = None,
    report: bool = True,
    **fields: Any,
) -> Path:
    """Train a recipe and return its run folder.

    recipe: one of `list_recipes()`.
    data: the user's labelled data, in any recognised format.
    out: the run folder, by default `runs/<recipe>`.
    model: a registered model that is trained under the recipe's data, augmentation and schedule.
    resume: continue a stopped run.
    init: a run to initialise from.
    seconds: time of the training, from which the number of epochs follows.
    report: also score the best epoch, and write the run's report.html.
    fields: any recipe field, nested ones with two underscores (`optim__lr=1e-3`).
    Raises a FoveateError.
    """
    from foveate.engine import train_recipe
    from foveate.engine.processes import is_first
    from foveate.recipes import resolve

    flat = {key.replace("__", "."): value for key, value in fields.items()}
    chosen = resolve(recipe, data=data, overrides=flat, model=model)
    run = train_recipe(chosen, out=out, resume=resume, init=init, seconds=seconds)
    if report and not chosen.overfit and is_first():
        from foveate.engine.report import report_run

        report_run(run)
    return run


def list_models() -> list[str]:
    """Names of models, for `create`."""
    from foveate.registry import entries

    return list(entries("model"))


def list_recipes() -> list[str]:
    """Names of recipes, for `train`."""
    from foveate.registry import entries

    return list(entries("recipe"))
