"""List the models, or the fields of one."""

from __future__ import annotations

from foveate.cli.flags import Parser, add_format, print_entries


def run(argv: list[str]) -> int:
    """`foveate models [MODEL] [--format json]`."""
    parser = Parser("models", __doc__ or "")
    parser.add_argument("model", metavar="MODEL", nargs="?", help="whose fields to list; all names without one")
    add_format(parser)
    args = parser.parse_args(argv)
    if args.model is None:
        return print_entries("model", args.format)
    if args.format == "json":
        import dataclasses
        import json

        from foveate.registry import make_config

        print(json.dumps(dataclasses.asdict(make_config(args.model)), indent=2))
        return 0
    print(config_lines(args.model))
    return 0


def config_lines(model: str) -> str:
    """The fields of a model's Config as flags of `foveate train`, a line each: flag, default and type.

    Raises ConfigError for an unknown model.
    """
    from foveate.engine.fields import fields_of
    from foveate.registry import make_config
    from foveate.values import describe

    config = make_config(model)
    rows = [(f"--config.{name}", getattr(config, name), kind) for name, kind in fields_of(config).items()]
    return "\n".join(f"  {flag:<30}{value!s:<40} {describe(kind)}" for flag, value, kind in rows)
