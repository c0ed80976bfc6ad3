"""Initialisation from another training, also with other classes or another vocabulary."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from foveate.engine.run import RunFolder
from foveate.errors import ModelError, counted
from foveate.records import Preprocessing, Table, traits_of
from foveate.store import load_model, read_tensors
from foveate.tasks import find_task
from foveate.torchvision_networks import refuse

LEAST = 0.001  # share of a model's numbers, below which names and shapes agree by chance


class Axis(NamedTuple):
    """An axis of a tensor that counts a table's entries, `step` places an entry.

    extra: further places, as of the background. before: those of them that stand before the entries; the others follow.
    """

    number: int
    table: str
    step: int
    extra: int
    before: int

    def places(self, entries: Sequence[int], size: int) -> list[int]:
        """The places of the extra ones and of some entries on an axis of a size."""
        begin = (self.before + entry * self.step for entry in entries)
        rows = (place for start in begin for place in range(start, start + self.step))
        return [*range(self.before), *rows, *range(size - self.extra + self.before, size)]


@torch.no_grad()
def start_from(model: nn.Module, source: str | Path, tables: Mapping[str, Table], sizes: Mapping[str, Any]) -> str:
    """Copy the tensors that fit from a run, a model folder or a weight file; returns what was taken, in words.

    tables: of this model. sizes: of its family (`Task.sizes`): Config field -> the table that fixes it.
    Tensors of the same name and shape are copied. Where a table differs, the rows of entries with the same name are
    carried over; the others keep their initial values, and so do the model's `transient_buffers`. Its `entry_offsets`
    say where entries begin on an axis that counts them (see `ModelTraits`). Raises ModelError if next to nothing fits.
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
    taken: set[str] = set()  # whole or in part
    carried: Counter[str] = Counter()  # table -> tensors whose entries were carried over
    for name in (own.keys() & theirs.keys()) - set(traits_of(model).transient_buffers):
        if axes.get(name):
            if _carry(own[name], theirs[name], axes[name], shared):
                carried.update({axis.table for axis in axes[name]})
                taken.add(name)
        elif own[name].shape == theirs[name].shape:
            own[name].copy_(theirs[name])
            whole.add(name)
            taken.add(name)
    numbers = sum(own[name].numel() for name in taken)
    if numbers < LEAST * sum(tensor.numel() for tensor in own.values()):
        but = f" but {counted(len(taken), 'tensor')} with {counted(numbers, 'number')}" if taken else ""
        raise ModelError(
            f"nothing{but} in {folder} ({loaded.name}) fits this model; start from a run with the same backbone, or "
            "with layers of the same sizes"
        )
    if all(name in whole for name in own if name.startswith("backbone.")):
        _take_normalisation(model, loaded.preprocessing)
    counting = Counter(table for found in axes.values() for table in {axis.table for axis in found})
    by_name = [_entries(name, changed[name], shared[name], carried[name], count) for name, count in counting.items()]
    family = "" if getattr(model, "task", loaded.task) == loaded.task else f", for {find_task(loaded.task).title}"
    return ", and ".join([f"{len(whole)} of {len(own)} tensors of {loaded.name}{family}", *by_name])


def _entries(name: str, table: Table, shared: Sequence[Any], carried: int, tensors: int) -> str:
    """The entries of a table that were carried over, in words: 2 of 3 entries of classes by name."""
    count = len(shared) if carried else 0
    partly = f", in {carried} of {tensors} tensors" if 0 < carried < tensors else ""
    return f"{count} of {counted(len(table), 'entry')} of {name} by name{partly}"


def _are_named_alike(theirs: Any, own: Any) -> bool:
    """True for the same names, or those that an earlier version gave to such classes."""
    return _names(theirs) in (own.names, getattr(own, "earlier", own).names)


def _names(table: Any) -> tuple[str, ...]:
    return () if table is None else tuple(table.names)


def _shared(own: Sequence[str], theirs: Sequence[str]) -> list[tuple[int, int]]:
    """(own index, their index) of every name that both tables have."""
    places = {name: index for index, name in enumerate(theirs)}
    return [(index, places[name]) for index, name in enumerate(own) if name in places]


def _take_normalisation(model: Any, theirs: Any) -> None:
    """Normalise images, or the frames of clips, as the weights were trained; all else stays this model's own.

    That of other inputs, as of strokes, is what this model's training data say, and stays as it is.
    """
    mine: Any = getattr(model, "preprocessing", None)
    image, given = (getattr(one, "image", one) for one in (mine, theirs))
    if not isinstance(image, Preprocessing) or not isinstance(given, Preprocessing):
        return
    if len(image.mean) == len(given.mean):
        taken = dataclasses.replace(image, mean=given.mean, std=given.std)
        model.preprocessing = taken if image is mine else dataclasses.replace(mine, image=taken)


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
            extra = {axis: size - step * count for axis, step, size in steps}
            before = traits_of(model).entry_offsets.get(name)
            axes = [
                Axis(axis, table, step, extra[axis], extra[axis] if before is None else before)
                for axis, step, _ in steps
                if step
            ]
            if axes:
                found.setdefault(name, []).extend(axes)
    return found


def _carry(mine: Tensor, theirs: Tensor, axes: Sequence[Axis], shared: Mapping[str, Sequence[tuple[int, int]]]) -> bool:
    """Copy the entries that both tables have along every axis that counts entries, if the other axes agree.

    Returns False, with nothing copied, where they do not, or no entry is in both.
    """
    counted = {axis.number for axis in axes}
    others = [axis for axis in range(mine.ndim) if axis not in counted]
    if mine.ndim != theirs.ndim or any(mine.shape[a] != theirs.shape[a] for a in others):
        return False
    first, *rest = axes
    if not shared[first.table]:
        return False
    axis = first.number
    own_entries, their_entries = zip(*shared[first.table], strict=True)
    own_rows = torch.tensor(first.places(own_entries, mine.shape[axis]))
    their_rows = torch.tensor(first.places(their_entries, theirs.shape[axis]))
    if first.extra < 0 or int(their_rows.max()) >= theirs.shape[axis]:  # not counted as this model counts
        return False
    part, source = mine.index_select(axis, own_rows), theirs.index_select(axis, their_rows)
    if rest:
        if not _carry(part, source, rest, shared):
            return False
    else:
        part = source
    mine.index_copy_(axis, own_rows, part)
    return True
