"""Starting from what another training learned, also with other classes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from foveate.engine.run import RunFolder
from foveate.errors import ModelError
from foveate.records import Table
from foveate.store import load_model, read_tensors


def counted(config: Any) -> str:
    """The field of a model's Config that says how many classes, or words, it can tell."""
    return "vocabulary" if hasattr(config, "vocabulary") else "num_classes"


@torch.no_grad()
def start_from(model: nn.Module, source: str | Path, classes: Table) -> str:
    """Copy what fits from a run, a model folder or a weight file; returns what was taken, in words.

    Tensors of the same name and shape are copied. Where only the number of classes differs, the rows of classes
    with the same name are carried over; the others keep their initial values, and so do those that the model names in
    `of_training`: what it knows of a training's course. Raises ModelError if nothing fits.
    """
    path = Path(source)
    if path.is_file():
        loader = getattr(model, "load_foreign", None)
        if loader is None:
            raise ModelError(f"{path} is a weight file, but {type(model).__name__} reads only runs; give a run folder")
        return str(loader(read_tensors(path)))
    folder = RunFolder(path).best if (path / "model").is_dir() else path
    loaded = load_model(folder)
    theirs, own = loaded.model.state_dict(), model.state_dict()
    shared = [(i, loaded.classes.names.index(n)) for i, n in enumerate(classes.names) if n in loaded.classes.names]
    axes = {} if classes.names == loaded.classes.names else _class_axes(model)
    whole: set[str] = set()
    for name in (own.keys() & theirs.keys()) - set(getattr(model, "of_training", ())):
        if axes.get(name):
            _carry(own[name], theirs[name], axes[name], shared)
        elif own[name].shape == theirs[name].shape:
            own[name].copy_(theirs[name])
            whole.add(name)
    if not whole:
        raise ModelError(
            f"nothing in {folder} ({loaded.name}) fits this model; start from a run with the same backbone"
        )
    if all(name in whole for name in own if name.startswith("backbone.")):
        # A backbone expects the values that it learned on. Their size is this model's own affair.
        size, crop, stretch = (getattr(model.preprocessing, name) for name in ("size", "crop", "stretch"))
        model.preprocessing = dataclasses.replace(loaded.preprocessing, size=size, crop=crop, stretch=stretch)  # type: ignore[assignment]
    kind = "words" if counted(model.config) == "vocabulary" else "classes"
    words = f"{len(whole)} of {len(own)} tensors of {loaded.name}"
    return words + (f", and {len(shared)} of {len(classes)} {kind} by name" if axes else "")


def _class_axes(model: Any) -> dict[str, list[int]]:
    """The axes of each tensor that count classes: those that grow when there is one class more."""
    changes: dict[str, Any] = {(field := counted(model.config)): getattr(model.config, field) + 1}
    if hasattr(model.config, "pretrained"):
        changes["pretrained"] = False
    more = dataclasses.replace(model.config, **changes)
    with torch.device("meta"):  # shapes alone
        grown = type(model)(more).state_dict()
    return {
        name: [axis for axis, size in enumerate(tensor.shape) if size != grown[name].shape[axis]]
        for name, tensor in model.state_dict().items()
    }


def _carry(mine: Tensor, theirs: Tensor, axes: Sequence[int], shared: Sequence[tuple[int, int]]) -> None:
    """Copy the entries of shared classes (own index, their index) along every class axis, if the other axes agree."""
    others = [axis for axis in range(mine.ndim) if axis not in axes]
    if not shared or mine.ndim != theirs.ndim or any(mine.shape[a] != theirs.shape[a] for a in others):
        return
    axis, *rest = axes
    own_rows, their_rows = (torch.tensor(rows) for rows in zip(*shared, strict=True))
    part, source = mine.index_select(axis, own_rows), theirs.index_select(axis, their_rows)
    if rest:
        _carry(part, source, rest, shared)
    else:
        part = source
    mine.index_copy_(axis, own_rows, part)
