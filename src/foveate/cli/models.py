"""List the models."""

from __future__ import annotations

from foveate.cli.flags import print_entries


def run(argv: list[str]) -> int:
    """`foveate models [--format json]`."""
    return print_entries("model", argv, __doc__ or "")
