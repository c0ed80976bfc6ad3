"""List the recipes, or the fields of one."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from foveate.cli.flags import Parser, add_format, print_entries
from foveate.errors import counted
from foveate.registry import Entry, entries, find

GROUPS = ("on your own data", "on a public data set that you have", "on generated data, which needs no file")
WIDTH = 118  # columns of a page of fields
MANY = 8  # recipes of one function that are listed as one line


def run(argv: list[str]) -> int:
    """`foveate recipes [RECIPE] [--format json]`."""
    parser = Parser("recipes", __doc__ or "")
    parser.add_argument("recipe", metavar="RECIPE", nargs="?", help="whose fields to list; all names without one")
    add_format(parser)
    args = parser.parse_args(argv)
    if args.recipe is None:
        return print_entries("recipe", args.format) if args.format == "json" else _list()
    entry = find("recipe", args.recipe)  # complains before torch is imported

    import json

    from foveate.engine.fields import to_json
    from foveate.recipes import resolve

    recipe = resolve(args.recipe)
    if args.format == "json":
        print(json.dumps(to_json(recipe), indent=2))
        return 0
    print("\n".join((*heading(entry, recipe.model), "", *field_lines(recipe))))
    return 0


def heading(entry: Entry, model: str) -> Iterator[str]:
    """The sentence of a recipe, its model, and the command that its docstring gives."""
    yield f"{entry.name}: {entry.summary}"
    yield f"model {model} (foveate models {model}); any field below is a flag of"
    command = next((line.strip() for line in entry.text.splitlines() if line.strip().startswith("foveate train")), "")
    yield f"  {command or f'foveate train {entry.name}'}"


def _list() -> int:
    """Print all recipes, those for the user's own data first."""
    found = entries("recipe").values()
    width = max(len(name) for name, _ in folded(list(found)))
    for number, title in enumerate(GROUPS):
        rows = [entry for entry in found if group_of(entry) == number]
        if rows:
            print(f"{title}:")
            print("\n".join(f"  {name:<{width}}  {summary}" for name, summary in folded(rows)), end="\n\n")
    print("foveate recipes NAME explains the fields of one")
    return 0


def group_of(entry: Entry) -> int:
    """The group of a recipe, by the line of its docstring that runs it: --data PATH is the user's own data."""
    data = re.search(r"--data (\w+)", entry.text)
    if data is None:
        return 2
    return 0 if data[1] == "PATH" else 1


def folded(found: Sequence[Entry]) -> list[tuple[str, str]]:
    """(name, summary) of recipes; MANY or more of one function are one line with their template and its choices."""
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in found:
        groups.setdefault((entry.module, entry.attribute), []).append(entry)
    lines = []
    for group in groups.values():
        if len(group) < MANY:
            lines += [(entry.name, entry.summary) for entry in group]
            continue
        name, summary, choices = group[0].name, group[0].summary, []
        for key, value in group[0].preset:
            values = list(dict.fromkeys(str(dict(other.preset)[key]) for other in group))
            whole = rf"(?<![a-z0-9]){re.escape(str(value))}(?![a-z0-9])"
            name, summary = (re.sub(whole, f"{{{key}}}", text) for text in (name, summary))
            choices.append(f"{key}: {', '.join(values)}")
        lines.append((name, f"{summary} {counted(len(group), 'recipe')}; {'; '.join(choices)}."))
    return sorted(lines)


def field_lines(recipe: Any) -> Iterator[str]:
    """Every field of a recipe as a flag with its value and type, and what it means below it."""
    from foveate.engine.fields import fields_of
    from foveate.values import describe, meanings

    for field, kind in fields_of(recipe).items():
        owner, value = None, recipe
        for part in field.split("."):
            owner, value = value, getattr(value, part)
        yield f"  --{field:<26}{_shown(value):<44} {describe(kind)}"
        yield from explained(meanings(type(owner)).get(field.rpartition(".")[2], ""))


def explained(text: str) -> Iterator[str]:
    """The meaning of a field, indented below its flag."""
    yield from textwrap.wrap(text, WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6)


def _shown(value: Any) -> str:
    """A value as a flag takes it."""
    if isinstance(value, tuple):
        return ",".join(str(one) for one in value)
    return "none" if value is None else str(value)
