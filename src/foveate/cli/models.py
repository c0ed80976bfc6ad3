"""List the models."""

from __future__ import annotations

from foveate.cli.flags import Parser, add_format, print_entries


def run(argv: list[str]) -> int:
    """`foveate models [--format json]`."""
    parser = Parser("models", __doc__ or "")
    add_format(parser)
    return print_entries("model", parser.parse_args(argv).format)
