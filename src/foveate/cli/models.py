"""List the models, or the fields of one."""

from __future__ import annotations

from foveate.cli.flags import Parser, add_format, print_entries
from foveate.errors import ConfigError
from foveate.registry import find


def run(argv: list[str]) -> int:
    """`foveate models [MODEL] [--bibtex] [--format json]`."""
    parser = Parser("models", __doc__ or "")
    parser.add_argument("model", metavar="MODEL", nargs="?", help="whose fields to list; all names without one")
    parser.add_argument("--bibtex", action="store_true", help="print the entry of its paper instead")
    add_format(parser)
    args = parser.parse_args(argv)
    if args.bibtex and args.model is None:
        raise ConfigError("--bibtex needs the name of a model: foveate models NAME --bibtex")
    if args.model is None:
        return print_entries("model", args.format)
    entry = find("model", args.model)  # complains before torch is imported
    if args.bibtex:
        from foveate.models.citations import bibtex

        print(bibtex(args.model) or f"{args.model} is a model of another package; see there for its paper")
        return 0
    if args.format == "json":
        import dataclasses
        import json

        from foveate.registry import make_config

        print(json.dumps(dataclasses.asdict(make_config(args.model)), indent=2))
        return 0
    print(entry.summary)
    print(f"its paper: foveate models {args.model} --bibtex; any field below is a flag of foveate train", end="\n\n")
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
