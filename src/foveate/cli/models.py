"""List the models, or the fields of one."""

from __future__ import annotations

from foveate.cli.flags import Parser, add_format, print_entries
from foveate.registry import find


def run(argv: list[str]) -> int:
    """`foveate models [MODEL] [--format json]`."""
    parser = Parser("models", __doc__ or "")
    parser.add_argument("model", metavar="MODEL", nargs="?", help="whose fields to list; all names without one")
    add_format(parser)
    args = parser.parse_args(argv)
    if args.model is None:
        return print_entries("model", args.format)
    find("model", args.model)  # complains before torch is imported
    if args.format == "json":
        import dataclasses
        import json

        from foveate.registry import make_config

        print(json.dumps(dataclasses.asdict(make_config(args.model)), indent=2))
        return 0
    print(config_lines(args.model))
    return 0


def config_lines(model: str) -> str:
    """The fields of a model's Config as flags of `foveate train`: flag, default and type, and the meaning below.

    Raises ConfigError for an unknown model.
    """
    from foveate.cli.recipes import explained
    from foveate.engine.fields import fields_of
    from foveate.registry import make_config
    from foveate.values import describe, meanings

    config = make_config(model)
    words, lines = meanings(type(config)), []
    for name, kind in fields_of(config).items():
        owner, value = None, config
        for part in name.split("."):
            owner, value = value, getattr(value, part)
        lines.append(f"  {f'--config.{name}':<30}{value!s:<40} {describe(kind)}")
        lines += explained((words if owner is config else meanings(type(owner))).get(name.rpartition(".")[2], ""))
    return "\n".join(lines)
