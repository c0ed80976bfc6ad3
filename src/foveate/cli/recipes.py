"""List the recipes, or the fields of one."""

from __future__ import annotations

from foveate.cli.flags import Parser, print_entries


def run(argv: list[str]) -> int:
    """`foveate recipes [RECIPE] [--format json]`."""
    if not argv or argv[0].startswith("-"):
        return print_entries("recipe", argv, __doc__ or "")
    parser = Parser("recipes", __doc__ or "")
    parser.add_argument("recipe", metavar="RECIPE")
    name = parser.parse_args(argv).recipe

    from foveate.engine.fields import describe, fields_of
    from foveate.recipes import resolve

    recipe = resolve(name)
    for field, kind in fields_of(recipe).items():
        value = recipe
        for part in field.split("."):
            value = getattr(value, part)
        print(f"  --{field:<26}{value!s:<44}{describe(kind)}")
    return 0
