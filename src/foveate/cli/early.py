"""Checks of names and flags before torch is imported, so that a mistyped line is answered at once.

Fields are read from the source, without importing it: for each part of a recipe, the fields of all classes that it may
be of. What passes here may still be refused once the recipe is known.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from foveate.cli.flags import Parser, unknown_flag
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
FOLDERS = {folder: part for part, folders in reversed(PARTS.items()) for folder in folders}


def check_line(parser: Parser, args: Any, fields: Mapping[str, str], own: Collection[str], instead: bool) -> None:
    """Raise ConfigError for a line of a verb that trains, where its names or flags do not exist.

    fields: the flags that are none of the verb's `own`. instead: a flag of the line names the recipe.
    """
    if args.recipe is None and not instead:
        parser.error("the following arguments are required: RECIPE")
    check_names(args.recipe, args.model)
    check_fields(fields, own, args.recipe, args.model)


def check_names(recipe: str | None, model: str | None) -> None:
    """Raise ConfigError for a recipe or a model that there is not, naming the nearest."""
    if recipe is not None and recipe not in entries("model"):  # of a model, `resolve` says how it is trained
        find("recipe", recipe)
    if model is not None:
        find("model", model)


def check_fields(
    fields: Mapping[str, str], own: Collection[str], recipe: str | None = None, model: str | None = None
) -> None:
    """Raise ConfigError for a flag that is no field of any recipe, naming the nearest that this recipe has.

    own: the verb's own flags. recipe, model: those of the line. Where other packages add models or data sets, nested
    fields are left unchecked.
    """
    for name in fields:
        head, _, rest = name.partition(".")
        if head in PARTS:
            if _others_add_names() or "." in rest or rest in part_fields(head) or rest in RENAMED_FIELDS:
                continue
        elif name in recipe_fields() or RENAMED_FIELDS.get(name) in recipe_fields():
            continue
        flags = [*(f"--{field}" for field in recipe_fields()), *sorted(own)]
        parts = recipe_parts(recipe, model)
        nested = [f"--{part}.{field}" for part, names in parts.items() for field in sorted(names)]
        raise ConfigError(unknown_flag(name, flags, nested))


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


def recipe_parts(recipe: str | None, model: str | None = None) -> dict[str, set[str]]:
    """Part -> its fields in a recipe, by the classes that its function names; nothing of a recipe elsewhere.

    model: trained in place of the recipe's own.
    """
    named = list(_named_classes(recipe)) if recipe is not None else []
    if model is not None and model in entries("model"):
        named = [one for one in named if one[0].split(".")[1] != "models"]
        named.append((entries("model")[model].module, "Config"))
    inner = {kind for one in named for _, kind in _all_fields(*one).values()}  # classes that are fields of others
    found: dict[str, set[str]] = {}
    for module, name in named:
        folder = module.split(".")[1]
        part = "options" if folder == "tasks" and name.endswith("Options") else FOLDERS.get(folder, "")
        if part and name not in inner:
            found.setdefault(part, set()).update(_leaves(module, name))
    return found


def _leaves(module: str, name: str) -> Iterator[str]:
    """The dotted names of the fields of a class, and of the classes that some of them are."""
    for field, (home, kind) in _all_fields(module, name).items():
        below = list(_leaves(home, kind))
        yield from (f"{field}.{one}" for one in below) if below else [field]


def _named_classes(recipe: str) -> Iterator[tuple[str, str]]:
    """(module, name) of what the function of a recipe, and what it calls of its own module, take from elsewhere."""
    entry = entries("recipe").get(recipe)
    own: dict[str, ast.stmt] = {}
    if entry is None or entry.point is not None:
        return
    imported = _imports(entry.module)
    for line in _body(entry.module):
        if isinstance(line, ast.FunctionDef):
            own[line.name] = line
        elif isinstance(line, ast.Assign):
            own.update((target.id, line) for target in line.targets if isinstance(target, ast.Name))
    waiting = [entry.attribute]
    for name in waiting:  # grows
        line = own.get(name, ast.Pass())
        # Not the types of arguments, which the recipe need not have.
        body = ast.Module(line.body, []) if isinstance(line, ast.FunctionDef) else line
        for node in ast.walk(body):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in imported:
                yield ".".join(imported[node.value.id]), node.attr
            elif isinstance(node, ast.Name) and node.id in imported:
                yield imported[node.id]
            elif isinstance(node, ast.Name) and node.id in own and node.id not in waiting:
                waiting.append(node.id)


def _all_fields(module: str, name: str) -> dict[str, tuple[str, str]]:
    """Field -> (module, name) of its type, of a class with its bases, or of the class of a value."""
    for node in _body(module):
        if isinstance(node, ast.ClassDef) and node.name == name:
            bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
            inherited = {k: v for base in bases for k, v in _all_fields(module, base).items()}
            return inherited | {field: (module, kind) for field, kind in _fields(node).items()}
        if isinstance(node, ast.Assign) and [name] == [one.id for one in node.targets if isinstance(one, ast.Name)]:
            made = node.value.func if isinstance(node.value, ast.Call) else None
            return _all_fields(module, made.id) if isinstance(made, ast.Name) else {}
    elsewhere, name = _imports(module).get(name, ("", ""))
    return _all_fields(elsewhere, name) if elsewhere else {}


def _imports(module: str) -> dict[str, tuple[str, str]]:
    """Name -> the module and the name in it, of what a module of this package imports from others of it."""
    lines = (node for node in _body(module) if isinstance(node, ast.ImportFrom))
    return {
        one.asname or one.name: (str(line.module), one.name)
        for line in lines
        for one in line.names
        if str(line.module).startswith("foveate.")
    }


@cache
def _body(module: str) -> list[ast.stmt]:
    """The statements of a module of this package; none where it is no file."""
    path = ROOT.joinpath(*module.split(".")[1:])
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(path.read_text(encoding="utf-8")).body if path.is_file() else []


def _classes(path: Path) -> Iterator[ast.ClassDef]:
    yield from (n for n in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(n, ast.ClassDef))


def _fields(node: ast.ClassDef) -> dict[str, str]:
    """Field -> its type, as they are written in a class."""
    lines = [line for line in node.body if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)]
    found = {ast.unparse(line.target): ast.unparse(line.annotation) for line in lines}
    return {name: kind for name, kind in found.items() if not kind.startswith("ClassVar")}
