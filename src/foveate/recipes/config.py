"""A training from a file: the recipe.json of a run, or YAML or JSON with the fields that differ from a recipe's."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

import yaml

from foveate.engine import Recipe
from foveate.engine.fields import dotted, fields_of, open_source, override, unknown_field, upgraded
from foveate.errors import ConfigError
from foveate.recipes import on_data, resolve
from foveate.values import parse_json

NAMES = {"name", "recipe", "task"}  # keys beside the recipe's fields; "task" is read from the model
WHOLE = {"model", "config", "data", "epochs", "seed", "optim"}  # every recipe.json has them


def chosen(name: str | None, data: str | Path | None, model: str | None, config: str | Path | None) -> Recipe:
    """The recipe that a line names, by its name, by a file, or by both. Raises ConfigError, DataError."""
    if config is not None:
        return from_file(config, name, data, model)
    return resolve(name or "", data, model=model)


def from_file(
    path: str | Path, name: str | None = None, data: str | Path | None = None, model: str | None = None
) -> Recipe:
    """The recipe that a file describes.

    name, data, model: as the command gives them, which win over the file. The file is a mapping: `recipe` (or `name`)
    is the recipe that it starts from, `data` a path or what recipe.json holds, every other key a field, nested or
    dotted. Raises ConfigError for a file that cannot be read, and for an unknown field or value; DataError.
    """
    content = _read(Path(path))
    named = str(content.pop("recipe", None) or content.get("name") or "")
    if name is not None and named and name != named:
        raise ConfigError(f"{path} is for recipe '{named}', and the command names '{name}'; leave one of them out")
    if not (name or named):
        raise ConfigError(f"{path} does not name a recipe; add a line such as 'recipe: fcn8s'")
    source = content.get("data")
    try:
        if isinstance(source, Mapping) and "dataset" in source:
            content = dict(upgraded(content))
            source = content["data"]
            opened = open_source(source)
        recipe = resolve(name or named, model=model or content.get("model"))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(f"{path}: its data or its model cannot be read ({error}); repair it") from error
    if content.keys() >= WHOLE and "options" not in content and recipe.options is not None:
        # Written before options were stored: the run had those of its time.
        recipe = dataclasses.replace(recipe, options=type(recipe.options).from_json(None))
    if isinstance(source, Mapping) and "dataset" in source:
        recipe = dataclasses.replace(recipe, data=opened)
    elif isinstance(source, Mapping) and recipe.data is None:
        raise ConfigError(f"{path}: recipe '{recipe.name}' has no data of its own to change; give data: PATH")
    elif isinstance(source, str) and data is None:
        recipe = on_data(recipe, source)
    if data is not None:
        recipe = on_data(recipe, data)
    changes: dict[str, Any] = {}
    for key, value in content.items():
        head = key.partition(".")[0]
        if key in NAMES or key == "model" or (key == "data" and not _is_plain(source)):
            continue
        if head not in {field.name for field in dataclasses.fields(recipe)}:
            raise ConfigError(f"{path}: {unknown_field(key, [*fields_of(recipe), 'recipe', 'data'])}")
        part = getattr(recipe, head)
        if value is None and (part is None or dataclasses.is_dataclass(part)):
            without: Any = {head: None}
            recipe = dataclasses.replace(recipe, **without)
        elif isinstance(value, Mapping) and part is None:
            raise ConfigError(f"{path}: recipe '{recipe.name}' has no {head}; leave {head} out")
        elif isinstance(value, Mapping):
            inner = {f"{key}.{name}": one for name, one in dotted(value).items()}
            _require_once(path, inner.keys() & changes.keys())
            changes |= inner
        else:
            _require_once(path, {key} & changes.keys())
            changes[key] = value
    if model is not None:  # the fields of another model's config are not this one's
        changes = {key: value for key, value in changes.items() if not key.startswith("config.")}
    try:
        changed: Recipe = override(recipe, changes)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    return changed


def _require_once(path: str | Path, again: Set[str]) -> None:
    if again:
        raise ConfigError(f"{path} gives {min(again)} twice; leave one of them out")


def _is_plain(source: Any) -> bool:
    """True if a file's `data` holds fields of the recipe's own data, rather than a path or a whole source."""
    return isinstance(source, Mapping) and "dataset" not in source


class _Loader(yaml.SafeLoader):
    """YAML as `yaml.safe_load` reads it, which of two lines with one key would keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """See `yaml.SafeLoader`. Raises yaml.YAMLError for a key that comes twice."""
        keys = [key.value for key, _ in node.value]
        for number, key in enumerate(keys):
            if key in keys[:number]:
                line = node.value[number][0].start_mark.line + 1
                raise yaml.YAMLError(f"'{key}' comes twice, again in line {line}; leave one of them out")
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--config {path} cannot be read ({error}); give a recipe.json or a YAML file") from error
    try:
        content = parse_json(text) if path.suffix.lower() == ".json" else yaml.load(text, _Loader)
    except Exception as error:  # besides its own errors, PyYAML lets those of its constructors through
        reason = " ".join(str(error).split())
        raise ConfigError(f"--config {path} is not {path.suffix.lstrip('.') or 'YAML'}: {reason}") from error
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise ConfigError(f"--config {path} holds no fields; expected lines such as 'recipe: fcn8s' and 'epochs: 10'")
    return content
