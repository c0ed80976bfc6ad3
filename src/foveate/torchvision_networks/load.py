"""Opening of a network of torchvision: its weights, classes and preprocessing, as those of a model folder.

The weights are those of torchvision's `DEFAULT`, in the file of torch's hub cache; a file that is not there is
downloaded. Like every weight file, it is read as tensors only.
"""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlparse

import torch
from torchvision.models import get_model_builder, get_model_weights

from foveate.errors import ModelError
from foveate.records import ClassTable, Preprocessing
from foveate.registry import find
from foveate.store import LoadedModel, read_tensors
from foveate.torchvision_networks import FAMILIES, SOURCE, builder_of
from foveate.torchvision_networks.networks import TorchvisionMaskRCNN, TorchvisionSegmentation

BACKGROUND, UNUSED = "__background__", "N/A"  # in torchvision's lists of categories


def open_network(path: str | Path) -> LoadedModel:
    """A network by name, with its published weights.

    It answers with the family's options, but sees an image whole, since it resizes it to its own size.
    Raises ModelError for weights that are not here and cannot be downloaded, or that do not fit.
    """
    builder = builder_of(path)
    weights = _weights(builder)
    network = _network(builder, weights)
    categories = weights.meta["categories"]
    model: Any
    if FAMILIES[builder] == "semantic":
        transforms = weights.transforms()
        names = ["background" if name == BACKGROUND else name for name in categories]
        model = TorchvisionSegmentation(network, transforms.resize_size[0])
        preprocessing = Preprocessing(tuple(transforms.mean), tuple(transforms.std))
    else:
        labels = [label for label, name in enumerate(categories) if name not in (BACKGROUND, UNUSED)]
        names = [categories[label] for label in labels]
        model = TorchvisionMaskRCNN(network, labels)
        preprocessing = Preprocessing((0.0,) * 3, (1.0,) * 3)  # the network normalises by itself
    model.preprocessing = preprocessing
    family = FAMILIES[builder]
    options = find("task", family).load().Options(tile=0)
    tables = {"classes": ClassTable(tuple(names))}
    return LoadedModel(model, f"{SOURCE}/{builder}", family, tables, preprocessing, {"weights": str(weights)}, options)


def weights_file(path: str | Path) -> Path:
    """The place of a network's weights in torch's hub cache, whether they are there or not."""
    return _cached(_weights(builder_of(path)))


def _weights(builder: str) -> Any:
    return get_model_weights(builder).DEFAULT


def _cached(weights: Any) -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints" / PurePosixPath(urlparse(weights.url).path).name


def _network(builder: str, weights: Any) -> Any:
    """torchvision's network with its weights. Raises ModelError."""
    file = _cached(weights)
    if not file.is_file():
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # torch says there what it is about to do
                weights.get_state_dict(progress=sys.stderr.isatty(), check_hash=True, weights_only=True)
        except (OSError, RuntimeError) as error:  # RuntimeError: the file's hash is not the expected one
            reason = " ".join(str(error).split())[:120] or type(error).__name__
            raise ModelError(
                f"{SOURCE}/{builder}: its weights cannot be downloaded ({reason}); connect to the internet, or fetch "
                f"{weights.url} elsewhere and put it at {file}"
            ) from error
        print(f"note: downloaded {weights.url} to {file}", file=sys.stderr)
    read_tensors(file)  # refuses a file that could run code, which torchvision would read
    try:
        return get_model_builder(builder)(weights=weights)
    except RuntimeError as error:
        first = str(error).split("\n")[1].strip() if "\n" in str(error) else str(error)
        raise ModelError(
            f"{file} does not fit {SOURCE}/{builder}: {first}; delete it, and it is downloaded again"
        ) from error
