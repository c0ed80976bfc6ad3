"""The only place where a model, its data and its schedule meet. One function a family of like recipes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foveate.engine import Recipe
from foveate.engine.fields import override
from foveate.errors import ConfigError
from foveate.registry import create_recipe, entries, find, make_config


def resolve(
    name: str,
    data: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    model: str | None = None,
) -> Recipe:
    """The recipe of a name, on the user's data if given, with some fields changed.

    model: a registered model of the recipe's family that is trained instead of its own, with the recipe's data,
    augmentation and schedule, and the defaults of its own Config; nothing of it is frozen.
    Raises ConfigError or DataError.
    """
    recipe: Recipe = dataclasses.replace(_create(name), name=name)
    if model is not None:
        recipe = _with_model(recipe, model)
    if data is not None:
        recipe = on_data(recipe, data)
    changed: Recipe = override(recipe, overrides or {})
    return changed


def on_data(recipe: Recipe, data: str | Path) -> Recipe:
    """The recipe on the user's data. Raises DataError."""
    from foveate.datasets import recognise

    path = Path(data).absolute()
    # Data that is generated from other files (distorted digits) is generated from these; else the format is found.
    generated = recipe.data.made_from(path) if recipe.data is not None else None
    return dataclasses.replace(recipe, data=generated or recognise(path, recipe.task))


def _create(name: str) -> Recipe:
    """A recipe by name. Raises ConfigError, which says how to train a model that has no recipe of its own."""
    if name in entries("recipe") or name not in entries("model"):
        recipe: Recipe = create_recipe(name)
        return recipe
    family = find("model", name).load().task
    usable = [other for other in entries("recipe") if _family(other) == family]
    raise ConfigError(
        f"'{name}' is a model without a recipe of its own; train it under the schedule of a recipe for {family}, as in "
        f"foveate train {usable[0] if usable else 'RECIPE'} --model {name} --data PATH"
    )


def _family(recipe: str) -> str:
    task: str = create_recipe(recipe).task
    return task


def _with_model(recipe: Recipe, model: str) -> Recipe:
    changed = dataclasses.replace(recipe, model=model, config=make_config(model), freeze=(), features=False)
    if changed.task != recipe.task:
        raise ConfigError(
            f"model '{model}' is for {changed.task}, but recipe '{recipe.name}' trains models for {recipe.task}; "
            f"choose a recipe for {changed.task}, see `foveate recipes`"
        )
    return changed
