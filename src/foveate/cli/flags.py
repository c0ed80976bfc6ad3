"""Command lines that answer with one clear line."""

from __future__ import annotations

import argparse
import difflib
import json
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, NoReturn

from foveate.errors import ConfigError, unknown
from foveate.registry import Kind, entries

if TYPE_CHECKING:
    from foveate.tasks.inference import Inference


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
    for a flag without a value, naming the own flag that it may stand for.
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
                if difflib.get_close_matches(name, own, n=1):
                    raise ConfigError(unknown("flag", name, own))
                raise ConfigError(f"{name} has no value; give one, as in {name} VALUE")
            value = rest.pop(0)
        fields[name.removeprefix("--")] = value
    return mine, fields


def require_known(fields: Iterable[str], known: Iterable[str], own: Iterable[str]) -> None:
    """Raise ConfigError for a flag that is neither a recipe's field nor the verb's own, naming the nearest of both."""
    flags = [f"--{name}" for name in known] + sorted(own)
    for name in fields:
        if f"--{name}" not in flags:
            raise ConfigError(unknown("flag", f"--{name}", flags))


def add_inference(parser: Parser) -> None:
    """The flags that say how a picture is looked at: those of tasks.inference.Inference."""
    group = parser.add_argument_group("how each picture is looked at")
    group.add_argument("--flip", action="store_true", help="average with the mirrored picture")
    group.add_argument(
        "--scales", type=_numbers, default=(1.0,), metavar="LIST", help="average over sizes: 0.75,1,1.25"
    )
    group.add_argument(
        "--proposals", type=int, default=0, metavar="N", help="look at N object proposals (DeconvNet's way)"
    )
    group.add_argument("--crf", action="store_true", help="refine with a dense CRF")
    group.add_argument(
        "--superpixels",
        default="none",
        metavar="KIND",
        help="refine on superpixels: felzenszwalb, slic, or a tree of them",
    )
    group.add_argument(
        "--beams", type=_beams, default=0, metavar="N", help="captions: sentences to follow at once (default 5)"
    )


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(word) for word in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}'; expected numbers separated by commas, as in 0.75,1,1.25") from None


def _beams(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"'{text}'; expected how many sentences to follow, 1 or more")
    return int(text)


def inference(args: argparse.Namespace) -> Inference:
    """What `add_inference` has read. Raises ConfigError."""
    from foveate.tasks.inference import Inference

    return Inference(args.flip, args.scales, args.proposals, args.crf, args.superpixels, args.beams)


def add_format(parser: Parser) -> None:
    """The flag of the verbs that list."""
    parser.add_argument(
        "--format", choices=("text", "json"), default="text", help="json is for machines (default text)"
    )


def print_entries(kind: Kind, style: str) -> int:
    """Print the names of a kind, one a line or as JSON."""
    found = entries(kind)
    if style == "json":
        rows = [{"name": e.name, "summary": e.summary, "module": e.module} for e in found.values()]
        print(json.dumps(rows, indent=2))
        return 0
    width = max((len(name) for name in found), default=0)
    for entry in found.values():
        print(f"  {entry.name:<{width}}  {entry.summary}")
    return 0
