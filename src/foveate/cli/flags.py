"""Command lines that answer with one clear line."""

from __future__ import annotations

import argparse
import re
from typing import NoReturn

from foveate.errors import ConfigError, unknown


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
