"""Initialisation from another training, also with other classes or another vocabulary."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from foveate.engine.run import RunFolder
from foveate.errors import ModelError, counted
from foveate.public import refuse
from foveate.records import Table
from foveate.store import load_model, read_tensors


class Axis(NamedTuple):
    """An axis of a tensor that counts a table's entries: `extra` places, as of the background, then `step` an entry."""

    number: int
    table: str
    step: int
    extra: int

    def places(self, entries: Sequence[int]) -> list[int]:
        """The places of the extra ones and of some entries."""
        begin = (self.extra + entry * self.step for entry in entries)
        return [*range(self.extra), *(place for start in begin for place in range(start, start + self.step))]


@torch.no_grad()
def start_from(model: nn.Module, source: str | Path, tables: Mapping[str, Table], sizes: Mapping[str, Any]) -> str:
    """Copy the tensors that fit from a run, a model folder or a weight file; returns what was taken, in words.

    tables: of this model. sizes: of its family (`Task.sizes`): Config field -> the table that fixes it.
    Tensors of the same name and shape are copied. Where a table differs, the rows of entries with the same name are
    carried over; the others keep their initial values, and so do those that the model names in `of_training`, its state
    of a training's course. Raises ModelError if nothing fits.
    """
    path = Path(source)
    refuse(path, "--init")
    if path.is_file():
        loader = getattr(model, "load_foreign", None)
        if loader is None:
            raise ModelError(f"{path} is a weight file, but {type(model).__name__} reads only runs; give a run folder")
        return str(loader(read_tensors(path)))
    folder = RunFolder(path).best if (path / "model").is_dir() else path
    loaded = load_model(folder)
    theirs, own = loaded.model.state_dict(), model.state_dict()
    changed = {name: table for name, table in tables.items() if not _are_named_alike(loaded.tables.get(name), table)}
    shared = {name: _shared(table.names, _names(loaded.tables.get(name))) for name, table in changed.items()}
    axes = _table_axes(model, {field: name for field, name in sizes.items() if name in changed})
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
    normalises = hasattr(loaded.preprocessing, "mean")  # that of text holds facts on the training data alone
    if normalises and all(name in whole for name in own if name.startswith("backbone.")):
        _take_preprocessing(model, loaded.preprocessing)
    carried = [
        f"{len(rows)} of {counted(len(changed[name]), 'entry')} of {name} by name" for name, rows in shared.items()
    ]
    return ", and ".join([f"{len(whole)} of {len(own)} tensors of {loaded.name}", *(carried if axes else [])])


def _are_named_alike(theirs: Any, own: Any) -> bool:
    """True for the same names, or those that an earlier version gave to such classes."""
    return _names(theirs) in (own.names, getattr(own, "earlier", own).names)


def _names(table: Any) -> tuple[str, ...]:
    return () if table is None else tuple(table.names)


def _shared(own: Sequence[str], theirs: Sequence[str]) -> list[tuple[int, int]]:
    """(own index, their index) of every name that both tables have."""
    places = {name: index for index, name in enumerate(theirs)}
    return [(index, places[name]) for index, name in enumerate(own) if name in places]


def _take_preprocessing(model: Any, theirs: Any) -> None:
    """Normalise as the backbone was trained; size and intensities of the input stay this model's own."""
    own = ("size", "crop", "stretch", "window", "values")
    kept = {key: getattr(model.preprocessing, key) for key in own if hasattr(theirs, key)}
    model.preprocessing = dataclasses.replace(theirs, **kept)


def _table_axes(model: Any, fields: Mapping[str, str]) -> dict[str, list[Axis]]:
    """The axes of each tensor that count a table's entries: those that grow if the table has one entry more.

    fields: Config field -> table.
    """
    found: dict[str, list[Axis]] = {}
    for field, table in fields.items():
        if not hasattr(model.config, field):
            continue
        changes: dict[str, Any] = {field: getattr(model.config, field) + 1}
        if hasattr(model.config, "pretrained"):
            changes["pretrained"] = False
        with torch.device("meta"):  # shapes alone
            grown = type(model)(dataclasses.replace(model.config, **changes)).state_dict()
        for name, tensor in model.state_dict().items():
            steps = [(axis, grown[name].shape[axis] - size, size) for axis, size in enumerate(tensor.shape)]
            count = getattr(model.config, field)
            axes = [Axis(axis, table, step, size - step * count) for axis, step, size in steps if step]
            if axes:
                found.setdefault(name, []).extend(axes)
    return found


def _carry(mine: Tensor, theirs: Tensor, axes: Sequence[Axis], shared: Mapping[str, Sequence[tuple[int, int]]]) -> None:
    """Copy the entries that both tables have along every axis that counts entries, if the other axes agree."""
    counted = {axis.number for axis in axes}
    others = [axis for axis in range(mine.ndim) if axis not in counted]
    if mine.ndim != theirs.ndim or any(mine.shape[a] != theirs.shape[a] for a in others):
        return
    first, *rest = axes
    if not shared[first.table]:
        return
    axis = first.number
    own_rows, their_rows = (torch.tensor(first.places(rows)) for rows in zip(*shared[first.table], strict=True))
    if first.extra < 0 or int(their_rows.max()) >= theirs.shape[axis]:  # not counted as this model counts
        return
    part, source = mine.index_select(axis, own_rows), theirs.index_select(axis, their_rows)
    if rest:
        _carry(part, source, rest, shared)
    else:
        part = source
    mine.index_copy_(axis, own_rows, part)
