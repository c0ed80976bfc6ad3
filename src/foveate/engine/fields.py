"""Recipe fields by dotted name: typed overrides from flags, and JSON both ways."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from foveate.engine.recipe import FIXED
from foveate.errors import ConfigError, first_names, unknown
from foveate.registry import current_field, entries, fields_beside, find, make_config, nearest_field
from foveate.values import parse


def fields_of(record: Any, prefix: str = "") -> dict[str, Any]:
    """Dotted name -> type, for every leaf field of a dataclass value and the dataclass values in it.

    Left out are fields marked as FIXED, which say which recipe it is, and those that no text can stand for.
    """
    found: dict[str, Any] = {}
    hints = typing.get_type_hints(type(record))
    for field in dataclasses.fields(record):
        if field.metadata == FIXED:
            continue
        value = getattr(record, field.name)
        if dataclasses.is_dataclass(value):
            found |= fields_of(value, f"{prefix}{field.name}.")
        elif hints[field.name] is not Any:
            found[prefix + field.name] = hints[field.name]
    return found


def override(record: Any, changes: Mapping[str, Any]) -> Any:
    """The record with some fields changed; text is parsed to the field's type.

    Raises ConfigError for a name that does not exist (the nearest is named) or a value of another type.
    """
    known = fields_of(record)
    changes = {current_field(name, known): value for name, value in changes.items()}
    for name in changes:
        if name not in known:
            raise ConfigError(unknown_field(name, known))
    return _replace(record, {name: parse(f"--{name}", value, known[name]) for name, value in changes.items()})


def unknown_field(name: str, known: Collection[str], joint: str = ".") -> str:
    """The message for a field that does not exist: `nearest_field`, else the fields of that part, else the spelling.

    joint: what stands for the dot in the message.
    """
    spelled = name.replace(".", joint)
    if near := nearest_field(name, known):
        return f"unknown field '{spelled}'; the nearest is '{near.replace('.', joint)}'"
    if parts := [field.replace(".", joint) for field in known if field.startswith(f"{name}.")]:
        return f"unknown field '{spelled}'; its fields are {first_names(parts)}"
    if beside := fields_beside(name, known):
        return f"unknown field '{spelled}'; {beside}"
    return unknown("field", spelled, [field.replace(".", joint) for field in known])


def keyword_changes(record: Any, keywords: Mapping[str, Any], own: Collection[str]) -> dict[str, Any]:
    """Changes for `override` from Python keywords, in which two underscores stand for a dot.

    own: further arguments of the function that takes them. Raises ConfigError for a name that does not exist.
    """
    known = fields_of(record)
    changes = {keyword.replace("__", "."): value for keyword, value in keywords.items()}
    for name in changes:
        if current_field(name, known) not in known:
            raise ConfigError(unknown_field(name, [*known, *own], "__"))
    return changes


def _replace(record: Any, values: Mapping[str, Any]) -> Any:
    """All at once, a record at a time: fields that must fit each other are only checked together."""
    own = {name: value for name, value in values.items() if "." not in name}
    for head in dict.fromkeys(name.partition(".")[0] for name in values if "." in name):
        below = {name.partition(".")[2]: value for name, value in values.items() if name.startswith(f"{head}.")}
        own[head] = _replace(getattr(record, head), below)
    return dataclasses.replace(record, **own)


def to_json(recipe: Any) -> dict[str, Any]:
    """A recipe as plain JSON values, with its family; its data source is named by its dataset."""
    data = {f.name: _plain(getattr(recipe, f.name)) for f in dataclasses.fields(recipe)} | {"task": recipe.task}
    if recipe.data is not None:
        data["data"] = {"dataset": dataset_name(recipe.data), **data["data"]}
    return data


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, (tuple, list)):
        return [_plain(v) for v in value]
    return str(value) if isinstance(value, Path) else value


def dataset_name(source: Any) -> str:
    """The registered name of a data source's class."""
    for name, entry in entries("dataset").items():
        if entry.attribute == type(source).__name__ and entry.module == type(source).__module__:
            return name
    raise ConfigError(f"{type(source).__name__} is not a registered dataset; mark its class with @dataset(...)")


def upgraded(recipe: Mapping[str, Any]) -> Mapping[str, Any]:
    """The content of a recipe.json, in which its data source may rename what an earlier version wrote."""
    data = recipe.get("data")
    return find("dataset", data["dataset"]).load().upgraded(recipe) if data else recipe


def open_source(data: Mapping[str, Any]) -> Any:
    """The data source that `to_json` wrote."""
    cls = find("dataset", data["dataset"]).load()
    source_fields = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items() if k != "dataset"}
    return cls(**source_fields)


def restore(base: Any, data: Mapping[str, Any]) -> Any:
    """A recipe like `base` with the values that `to_json` wrote. Names of version 0.1.0 are mapped to today's."""
    if data.get("model", base.model) != base.model:  # trained with `--model`
        base = dataclasses.replace(base, model=data["model"], config=make_config(data["model"]))
    changes: dict[str, Any] = {}
    for field in dataclasses.fields(base):
        if field.name not in data:
            if field.name == "options" and base.options is not None:  # written before they were stored
                changes["options"] = type(base.options).from_json(None)
            continue
        value, own = data[field.name], getattr(base, field.name)
        if field.name == "data":
            changes["data"] = open_source(value) if value else None
        elif dataclasses.is_dataclass(own) and value is not None:
            changes[field.name] = override(own, dotted(value))
        else:
            changes[field.name] = tuple(value) if isinstance(value, list) else value
    return dataclasses.replace(base, **changes)


def dotted(values: Mapping[str, Any]) -> dict[str, Any]:
    """Nested values under dotted names: {"a": {"b": 1}} -> {"a.b": 1}."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        inner = dotted(value) if isinstance(value, Mapping) else {"": value}
        found |= {f"{name}.{key}" if key else name: one for key, one in inner.items()}
    return found
