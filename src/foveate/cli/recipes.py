"""List the recipes, or the fields of one."""

from __future__ import annotations

from foveate.cli.flags import Parser, add_format, print_entries


def run(argv: list[str]) -> int:
    """`foveate recipes [RECIPE] [--format json]`."""
    parser = Parser("recipes", __doc__ or "")
    parser.add_argument("recipe", metavar="RECIPE", nargs="?", help="whose fields to list; all names without one")
    add_format(parser)
    args = parser.parse_args(argv)
    if args.recipe is None:
        return print_entries("recipe", args.format)

    import json

    from foveate.engine.fields import fields_of, to_json
    from foveate.recipes import resolve
    from foveate.values import describe

    recipe = resolve(args.recipe)
    if args.format == "json":
        print(json.dumps(to_json(recipe), indent=2))
        return 0
    for field, kind in fields_of(recipe).items():
        value = recipe
        for part in field.split("."):
            value = getattr(value, part)
        print(f"  --{field:<26}{value!s:<44} {describe(kind)}")
    return 0
