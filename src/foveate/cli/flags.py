"""Command lines that answer with one clear line."""

from __future__ import annotations

import argparse
import json
import re
from typing import NoReturn

from foveate.errors import ConfigError, unknown
from foveate.registry import Kind, entries


class Parser(argparse.ArgumentParser):
    """argparse, whose complaints are ConfigErrors that name the nearest flag; flags are never abbreviated."""

    def __init__(self, verb: str, description: str) -> None:
        super().__init__(
            prog=f"foveate {verb}", description=description, allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage."""
        stray = re.search(r"unrecognized arguments: (--[\w.-]+)", message)
        if stray:
            known = [option for action in self._actions for option in action.option_strings]
            raise ConfigError(unknown("flag", stray[1], known))
        raise ConfigError(f"{message}; see {self.prog} --help")


def split_fields(argv: list[str], own: set[str]) -> tuple[list[str], dict[str, str]]:
    """Separate `--field value` and `--field=value` pairs from a verb's own arguments.

    own: the verb's own flags, such as '--data'. Returns the verb's arguments, and the rest by name. Raises ConfigError
    for a flag without a value.
    """
    mine: list[str] = []
    fields: dict[str, str] = {}
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        name, given, value = word.partition("=")
        if not name.startswith("--") or name in own:
            mine.append(word)
            continue
        if not given:
            if not rest or rest[0].startswith("--"):
                raise ConfigError(f"{name} has no value; give one, as in {name} VALUE")
            value = rest.pop(0)
        fields[name.removeprefix("--")] = value
    return mine, fields


def print_entries(kind: Kind, argv: list[str], description: str) -> int:
    """Print the names of a kind, for people or, with `--format json`, for machines."""
    parser = Parser(f"{kind}s", description)
    parser.add_argument("--format", choices=("text", "json"), default="text")
    args = parser.parse_args(argv)
    found = entries(kind)
    if args.format == "json":
        print(json.dumps([{"name": e.name, "summary": e.summary, "module": e.module} for e in found.values()], indent=2))
        return 0
    for entry in found.values():
        print(f"  {entry.name:<20} {entry.summary}")
    return 0
