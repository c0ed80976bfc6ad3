"""The only place where a model, its data and its schedule meet. One function a family of like recipes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foveate.engine import Recipe
from foveate.engine.fields import override
from foveate.registry import create_recipe


def resolve(name: str, data: str | Path | None = None, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """The recipe of a name, on the user's data if given, with some fields changed. Raises ConfigError or DataError."""
    recipe: Recipe = dataclasses.replace(create_recipe(name), name=name)
    if data is not None:
        from foveate.datasets import recognise

        path = Path(data).absolute()
        # Data that is generated from other files (distorted digits) is generated from these; else the format is found.
        generated = recipe.data.made_from(path) if recipe.data is not None else None
        recipe = dataclasses.replace(recipe, data=generated or recognise(path, recipe.task))
    changed: Recipe = override(recipe, overrides or {})
    return changed
