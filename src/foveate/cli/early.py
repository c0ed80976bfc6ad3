"""Checks of names and flags before torch is imported, so that a mistyped line is answered at once.

Fields are read from the source, without importing it: for each part of a recipe, the fields of all classes that it may
be of. What passes here may still be refused once the recipe is known.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path

from foveate.cli.flags import unknown_flag
from foveate.errors import ConfigError
from foveate.registry import RENAMED_FIELDS, ROOT, Kind, entries, find, no_such_run
from foveate.torchvision_networks import builder_of

RECIPE = ROOT / "engine" / "recipe.py"
# Part of a recipe -> the folders where the classes stand that it may be of.
PARTS = {
    "config": ("models",),
    "augment": ("transforms",),
    "data": ("datasets",),
    "text": ("text", "tasks"),
    "options": ("tasks",),
}


def check_names(recipe: str | None, model: str | None) -> None:
    """Raise ConfigError for a recipe or a model that there is not, naming the nearest."""
    if recipe is not None and recipe not in entries("model"):  # of a model, `resolve` says how it is trained
        find("recipe", recipe)
    if model is not None:
        find("model", model)


def check_fields(fields: Mapping[str, str], own: Collection[str]) -> None:
    """Raise ConfigError for a flag that is no field of any recipe, naming the nearest.

    own: the verb's own flags. Where other packages add models or data sets, nested fields are left unchecked.
    """
    for name in fields:
        head, _, rest = name.partition(".")
        if head in PARTS:
            if _others_add_names() or "." in rest or rest in part_fields(head) or rest in RENAMED_FIELDS:
                continue
        elif name in recipe_fields() or RENAMED_FIELDS.get(name) in recipe_fields():
            continue
        flags = [*(f"--{field}" for field in recipe_fields()), *sorted(own)]
        nested = [f"--{part}.{field}" for part in PARTS for field in sorted(part_fields(part))]
        if "." in name:
            raise ConfigError(unknown_flag(name, [*flags, *nested]))
        # Of the others, too many classes stand in the same folders.
        raise ConfigError(unknown_flag(name, flags, [f for f in nested if f.startswith(("--config.", "--augment."))]))


def _others_add_names() -> bool:
    """True if another package adds models, data sets, recipes or tasks, whose fields are not looked for here."""
    kinds: tuple[Kind, ...] = ("model", "dataset", "recipe", "task")
    return any(entry.point for kind in kinds for entry in entries(kind).values())


def check_run(path: str) -> None:
    """Raise ModelError for a run, model folder or file that does not exist, naming the nearest."""
    if not Path(path).exists() and not builder_of(path):
        raise no_such_run(Path(path))


@cache
def recipe_fields() -> tuple[str, ...]:
    """The fields that every recipe has, those of its optimiser with their prefix."""
    classes = {node.name: tuple(_fields(node)) for node in _classes(RECIPE)}
    parts = {*PARTS, "optim"}
    return (*(f for f in classes["Recipe"] if f not in parts), *(f"optim.{f}" for f in classes["Optim"]))


@cache
def part_fields(part: str) -> frozenset[str]:
    """The fields of all classes that a part of a recipe may be of."""
    files = (path for folder in PARTS[part] for path in (ROOT / folder).rglob("*.py"))
    return frozenset(name for path in files for node in _classes(path) for name in _fields(node))


def _classes(path: Path) -> Iterator[ast.ClassDef]:
    yield from (n for n in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(n, ast.ClassDef))


def _fields(node: ast.ClassDef) -> Iterator[str]:
    for line in node.body:
        if not isinstance(line, ast.AnnAssign) or ast.unparse(line.annotation).startswith("ClassVar"):
            continue
        if isinstance(line.target, ast.Name):
            yield line.target.id
