"""Foveate: classic segmentation and attention systems in PyTorch, trained and used through one interface.

    import foveate

    run = foveate.train("fcn8s", data="photos/", out="runs/first")  # a run folder
    prediction = foveate.load(run).predict("photo.jpg")
    print(prediction.mask.shape)

    model = foveate.create("fcn8s", num_classes=11)  # a torch.nn.Module

`foveate --help` lists the commands of the shell. Importing this package does not import torch; its functions do.
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
    """Build a model, a `torch.nn.Module`, by name.

    name: one of `list_models()`.
    config: fields of the model's `Config`, such as num_classes=11; `foveate models NAME` lists them. Weights are
        random, but for those of a backbone with pretrained=True.
    Raises ConfigError for an unknown name or field, or a value that does not fit.
    """
    from foveate.registry import create_model

    return create_model(name, **config)


def load(path: str | Path, device: str = "auto", runtime: str | None = None, precision: str = "float32") -> Predictor:
    """Load a trained model as a `Predictor`, whose `predict` takes a path, a PIL image, an array or a tensor.

    path: a run folder, a model folder, an exported ONNX file, or a network of torchvision such as
        torchvision/fcn_resnet50, whose published weights are downloaded once.
    device: "auto" for CUDA or MPS if there is one, else the CPU; or "cpu", "cuda", "cuda:1", "mps".
    runtime: of an exported file, "onnxruntime" (the default) or "openvino".
    precision: of an exported file in OpenVINO, "float32" or "bf16".
    Raises ModelError for a path that is not a model, ConfigError for a device or runtime that is not available.
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
    """Train a recipe and return the path of its run folder, which `load` takes.

    recipe: one of `list_recipes()`.
    data: a folder of labelled data in any recognised format; None for recipes that generate their data.
    out: the run folder, by default `runs/<recipe>`.
    model: the name of another model of the same family, to be trained with the recipe's data and schedule.
    resume: continue a run that was stopped.
    init: a run, model folder or weight file whose weights the training starts from.
    seconds: time limit, from which the number of epochs is chosen.
    report: evaluate the best epoch at the end, and write `report.html` into the run folder; not with `overfit`, since
        scores of samples that were trained on say nothing about others.
    fields: any field of the recipe, nested ones with two underscores (`optim__lr=1e-3`).
    Raises FoveateError for data, fields or folders that cannot be used.
    """
    from foveate.engine import train_recipe
    from foveate.engine.fields import keyword_changes, override
    from foveate.engine.processes import is_first
    from foveate.engine.recipe import long_enough_check
    from foveate.recipes import resolve

    chosen = resolve(recipe, data=data, model=model)
    own = ("data", "out", "model", "resume", "init", "seconds", "report")
    changes = keyword_changes(chosen, fields, own)
    chosen = override(chosen, changes)
    if not resume:
        chosen = long_enough_check(chosen, changes)
    run = train_recipe(chosen, out=out, resume=resume, init=init, seconds=seconds)
    if report and not chosen.overfit and is_first():
        from foveate.engine.report import report_run

        report_run(run)
    return run


def list_models() -> list[str]:
    """Return the names of all models, for `create`."""
    from foveate.registry import entries

    return list(entries("model"))


def list_recipes() -> list[str]:
    """Return the names of all recipes, for `train`."""
    from foveate.registry import entries

    return list(entries("recipe"))
