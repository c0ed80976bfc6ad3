"""Model folders, and the one function that reads foreign tensors.

A model folder is `config.json` (model name, family, format version, config, preprocessing, tables, and the options of
families that store them) and `model.safetensors`, loaded strictly. Nothing in it can run code: a folder that holds a
pickle is refused.
"""

from __future__ import annotations

import dataclasses
import json
import pickle
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from foveate.disk import write_atomically as write_atomically
from foveate.errors import ConfigError, ModelError, counted
from foveate.records import ClassTable, Table
from foveate.registry import create_model, entries, find
from foveate.torchvision_networks import builder_of
from foveate.values import parse_json

FORMAT = 2
READABLE = (1, 2)  # 1, of version 0.1.0, has one table under "classes"
CHECKSUM = "foveate.crc32"  # in the metadata of model.safetensors
PICKLES = {".pt", ".pth", ".pkl", ".pickle", ".bin", ".ckpt"}


@dataclass
class LoadedModel:
    """The content of a model folder.

    task: the family's name. tables: the model's class tables and vocabularies by name. preprocessing: None for a model
    that has none. options: the family's `Options`, the model's defaults.
    """

    model: nn.Module
    name: str
    task: str
    tables: dict[str, Any]
    preprocessing: Any
    config: dict[str, Any]
    options: Any = None


def save_model(
    folder: Path, model: nn.Module, name: str, tables: Mapping[str, Table], task: str, options: Any = None
) -> None:
    """Write a model folder. The weights are replaced before the config, each atomically. Raises OutputError.

    options: the family's `Options` that are stored with the model; None for its defaults.
    """
    config = dataclasses.asdict(model.config)  # type: ignore[call-overload]
    if "pretrained" in config:
        config["pretrained"] = False  # the folder has the weights
    preprocessing: Any = getattr(model, "preprocessing", None)
    about = {
        "format": FORMAT,
        "model": name,
        "task": task,
        "config": config,
        "preprocessing": None if preprocessing is None else preprocessing.to_json(),
        "tables": {table: content.to_json() for table, content in tables.items()},
    }
    if options is None and task in entries("task"):
        options = find("task", task).load().Options()
    if options is not None and options.stored:
        about["options"] = options.to_json()
    tensors = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    write_atomically(folder / "model.safetensors", save(tensors, {CHECKSUM: _checksum(tensors)}))
    write_atomically(folder / "config.json", json.dumps(about, indent=2) + "\n")


def load_model(folder: str | Path) -> LoadedModel:
    """Read a model folder, strictly: every tensor must be there, and no other. Raises ModelError.

    folder: or the name of a network of torchvision (`foveate.torchvision_networks`).
    """
    if builder_of(folder):
        from foveate.torchvision_networks.load import open_network

        return open_network(folder)
    folder = Path(folder)
    about_file, weights_file = folder / "config.json", folder / "model.safetensors"
    pickles = sorted(p.name for p in folder.glob("*") if p.suffix.lower() in PICKLES) if folder.is_dir() else []
    if pickles:
        raise ModelError(
            f"{folder} holds a pickle ({pickles[0]}), which can run code when read: refused; "
            "a model folder has only config.json and model.safetensors"
        )
    if not folder.is_dir() and (folder.parent / "recipe.json").is_file():
        raise ModelError(f"run folder {folder.parent} has no {folder.name}/ yet; train it for at least one epoch first")
    if not folder.exists():
        raise ModelError(f"{folder} does not exist; give a run folder or a model folder")
    for file in (about_file, weights_file):
        if not file.is_file():
            raise ModelError(f"{folder} is not a model folder: {file.name} is missing")
    try:
        about = parse_json(about_file.read_text(encoding="utf-8"))
        if about["format"] not in READABLE:
            raise ModelError(f"{about_file} has format {about['format']}; this version reads {FORMAT}: update foveate")
        tables = read_tables(about)
        config = dict(about["config"])
        name, task = about["model"], about["task"]
        family = find("task", task).load()
        preprocessing = about["preprocessing"]
        if preprocessing is not None:
            preprocessing = family.Preprocessing.from_json(preprocessing)
        options = family.Options.from_json(about.get("options"))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, ConfigError) as error:
        raise ModelError(
            f"{about_file} is damaged ({type(error).__name__}: {error}); restore it, or take the run's last/"
        ) from error
    for field, table in family.sizes.items():
        if table in tables and field in config and config[field] != len(tables[table]):
            raise ModelError(
                f"{about_file} has {counted(len(tables[table]), 'entry', 'entries')} in its table '{table}' "
                f"for a model with {field} = "
                f"{config[field]}; take the file from the folder that its training wrote"
            )
    try:
        model = create_model(name, **config)
    except Exception as error:  # a network of senseless sizes fails in whichever layer comes first
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ModelError(f"{about_file} does not describe a model that can be built: {reason}") from error
    try:
        model.load_state_dict(_load_weights(weights_file), strict=True)
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"{weights_file} is damaged ({error}); restore it from a copy, or take the run's last/"
        ) from error
    except RuntimeError as error:
        first = str(error).split("\n")[1].strip() if "\n" in str(error) else str(error)
        raise ModelError(f"{weights_file} does not fit its config.json: {first}") from error
    if preprocessing is not None:
        model.preprocessing = preprocessing
    return LoadedModel(model, name, task, tables, preprocessing, config, options)


def read_tables(about: Mapping[str, Any]) -> dict[str, Any]:
    """The tables of a model by name, from the JSON of a model folder or of an exported file. Raises ConfigError.

    about: its "tables" maps a name to what the table's `to_json` wrote. Version 0.1.0 wrote one table under "classes",
    be it of classes or of a text.
    """
    if "tables" in about:
        return {name: _read_table(data) for name, data in about["tables"].items()}
    data = about["classes"]
    return {"text" if "kind" in data else "classes": _read_table(data)}


def _read_table(data: dict[str, Any]) -> Any:
    """The inverse of a table's `to_json`: a ClassTable, or the table of a text."""
    from foveate.text import table_from_json

    return table_from_json(data) if "kind" in data else ClassTable.from_json(data)


def _load_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file. Raises ModelError where they are not those that were saved."""
    tensors = load_file(path)
    with safe_open(path, "pt") as file:
        expected = (file.metadata() or {}).get(CHECKSUM)
    if expected is not None and expected != _checksum(tensors):
        raise ModelError(f"{path} is damaged (its tensors are not those that were saved); restore it from a copy")
    return tensors


def _checksum(tensors: Mapping[str, Tensor]) -> str:
    """CRC-32 over all tensors in order of their names: against damage, not against malice."""
    value = 0
    for name in sorted(tensors):
        value = zlib.crc32(tensors[name].reshape(-1).view(torch.uint8).numpy().data, zlib.crc32(name.encode(), value))
    return f"{value:08x}"


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a `.pth`, `.pt` or `.safetensors` file by name, read as tensors only. Raises ModelError.

    A checkpoint that keeps them under 'state_dict', 'model_state_dict' or 'model' is unwrapped.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelError(f"no weight file at {path}")
    content = _read_foreign(path, "fetch it again")
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    tensors = {k: v for k, v in content.items() if isinstance(v, Tensor)} if isinstance(content, dict) else {}
    if not tensors:
        raise ModelError(f"{path} holds no named tensors; expected a state dict")
    return tensors


def read_checkpoint(path: Path) -> dict[str, Any]:
    """All of a training's checkpoint, which holds tensors and plain values alone. Raises ModelError."""
    content = _read_foreign(path, "delete it to start this run over (its model/ and last/ can be read without it)")
    if not isinstance(content, dict):
        raise ModelError(f"{path} holds {type(content).__name__}, not a checkpoint; delete it to start this run over")
    return content


def _read_foreign(path: Path, remedy: str) -> Any:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path} is damaged, or holds more than tensors and is refused, since reading it could run code; "
            f"{remedy}, or save its tensors alone"
        ) from error
    except Exception as error:  # there is no end to the ways in which arbitrary bytes fail to be an archive
        raise ModelError(f"{path} is damaged or not a weight file ({type(error).__name__}); {remedy}") from error
