"""Starting from what another training learned, also with other classes."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from foveate.engine.run import RunFolder
from foveate.errors import ModelError
from foveate.records import ClassTable
from foveate.store import load_model, read_tensors


def start_from(model: nn.Module, source: str | Path, classes: ClassTable) -> str:
    """Copy what fits from a run, a model folder or a weight file; returns what was taken, in words.

    Tensors of the same name and shape are copied. Where only the number of classes differs, the rows of classes
    with the same name are carried over; the others keep their initial values. Raises ModelError if nothing fits.
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
    copied, partly = 0, 0
    with torch.no_grad():
        for name, tensor in own.items():
            if name not in theirs:
                continue
            if theirs[name].shape == tensor.shape and loaded.classes.names == classes.names:
                tensor.copy_(theirs[name])
                copied += 1
            elif _per_class(tensor, len(classes)) and _per_class(theirs[name], len(loaded.classes)):
                if theirs[name].shape[1:] == tensor.shape[1:]:
                    for mine, other in shared:
                        tensor[mine] = theirs[name][other]
                    partly += 1
            elif theirs[name].shape == tensor.shape:
                tensor.copy_(theirs[name])
                copied += 1
    if not copied:
        raise ModelError(f"nothing in {folder} ({loaded.name}) fits this model; start from a run with the same backbone")
    words = f"{copied} of {len(own)} tensors of {loaded.name}"
    return words + (f", and {len(shared)} of {len(classes)} classes by name" if partly else "")


def _per_class(tensor: Tensor, classes: int) -> bool:
    return tensor.ndim > 0 and tensor.shape[0] == classes
