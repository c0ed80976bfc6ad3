"""Command lines that answer with one clear line."""

from __future__ import annotations

import argparse
import difflib
import functools
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from foveate.errors import ConfigError, first_names, unknown
from foveate.registry import ELSEWHERE, Kind, entries, fields_beside, nearest_field

if TYPE_CHECKING:
    from foveate.tasks.base import Task


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
            raise ConfigError(unknown_flag(stray[1].removeprefix("--"), known))
        pair = re.search(r"unrecognized arguments: ([a-z][\w.]*)=(\S+)", message)
        if pair:
            raise ConfigError(f"'{pair[1]}={pair[2]}' is no flag; write --{pair[1]} {pair[2]}")
        raise ConfigError(f"{message}; see {self.prog} --help")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """The arguments, none of them empty, which is what a shell makes of a variable that is not set.

        An empty path would be the current folder, and an empty --data the run's own data. Raises ConfigError.
        """
        found, rest = super().parse_known_args(args, namespace)
        for action in self._actions:
            value = getattr(found, action.dest, None)
            if "" in (value if isinstance(value, list) else [value]) and value != action.default:
                name = action.option_strings[0] if action.option_strings else str(action.metavar or action.dest)
                raise ConfigError(f"{name} is empty; give a value, or leave it out")
        return found, rest


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
                if name.removeprefix("--").replace("-", "_") in ELSEWHERE:  # no field here; the caller says what is
                    fields[name.removeprefix("--")] = ""
                    continue
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
            raise ConfigError(unknown_flag(name, flags))


# What other tools give by a flag, and verbs that take RUN by its place.
PLACES = {"model", "weights", "checkpoint", "source", "input"}


def unknown_flag(name: str, flags: list[str], more: Sequence[str] = ()) -> str:
    """The message for a flag that does not exist: `nearest_field`, else the fields of that part, else the spelling.

    more: flags that are not compared by their spelling.
    """
    known = [flag.removeprefix("--") for flag in (*flags, *more)]
    if near := nearest_field(name, known):
        return f"unknown flag '--{name}'; the nearest is '--{near}'"
    if parts := [flag for flag in (*flags, *more) if flag.startswith(f"--{name}.")]:
        return f"unknown flag '--{name}'; its fields are {first_names(parts)}"
    if beside := fields_beside(name, known):
        return f"unknown flag '--{name}'; {beside}"
    if "." in (elsewhere := ELSEWHERE.get(name.replace("-", "_"), "")):
        return f"unknown flag '--{name}'; it is '--{elsewhere}' in recipes that have one"
    if alike := difflib.get_close_matches(name, [flag.removeprefix("--") for flag in flags], n=1):
        return f"unknown flag '--{name}'; the nearest is '--{alike[0]}'"
    return f"unknown flag '--{name}'; known: {', '.join(flags[:12])}{', ...' if len(flags) > 12 else ''}"


def parse_with_options(parser: Parser, argv: list[str]) -> tuple[argparse.Namespace, Any, dict[str, Any]]:
    """Parse the line of a verb that takes RUN, and the further inputs and the options of the run's family.

    Returns the verb's own arguments, the class of the family's task, and the given options as text, by name. Raises
    ConfigError for an option that the family does not have, naming those that it has.
    """
    check_first(argv)

    from foveate.predictor import peek_family
    from foveate.tasks.options import flags, input_flags, no_such_option

    verb = parser.prog.split()[-1]
    own = {option for action in parser._actions for option in action.option_strings}
    for word in argv:
        name = word.partition("=")[0]
        if name.startswith("--") and name not in own and name not in _known_options():
            if name.removeprefix("--") in PLACES:
                raise ConfigError(f"unknown flag '{name}'; a run and its inputs have none: foveate {verb} RUN ...")
            raise ConfigError(unknown_flag(name.removeprefix("--"), [*own, *_known_options()]))
    run = _first_positional(parser, argv)
    if run is None:  # --help, or a line without RUN, of which argparse complains
        parser.epilog = _all_options(verb)
        return parser.parse_args(argv), None, {}
    if not run:
        raise ConfigError("RUN is empty; give a run folder, a model folder or an exported .onnx file")
    family = peek_family(Path(run))
    options = {flag.text: flag for flag in flags(family.Options, verb)}
    inputs = input_flags(family, verb)
    for word in argv:
        name = word.partition("=")[0]
        if name.startswith("--") and name not in own | options.keys() | inputs.keys():
            raise ConfigError(no_such_option(family, name.removeprefix("--"), verb))
    for text, name in inputs.items():
        parser.add_argument(text, dest=_dest(name), metavar="VALUE", help=_input_help(family, name))
    group = parser.add_argument_group(f"options of models for {family.title}")
    for flag in options.values():
        kind: dict[str, Any] = {"action": "store_true"} if flag.kind is bool else {"metavar": flag.metavar or "VALUE"}
        group.add_argument(flag.text, dest=flag.name, default=None, help=flag.help, **kind)
    args = parser.parse_intermixed_args(argv)  # inputs may follow flags
    given = {flag.name: value for flag in options.values() if (value := getattr(args, flag.name)) is not None}
    return args, family, given


def check_first(argv: list[str]) -> None:
    """Raise ModelError, before torch is imported, where a line begins with a run that does not exist."""
    from foveate.cli.early import check_run

    if argv and not argv[0].startswith("-") and not any(word.startswith("--") for word in argv):
        check_run(argv[0])


def given_inputs(args: argparse.Namespace, family: type[Task]) -> dict[str, str]:
    """The inputs after the first that a line gives by flags, by name."""
    found = {one.name: getattr(args, _dest(one.name)) for one in family.inputs[1:]}
    return {name: value for name, value in found.items() if value is not None}


def _dest(name: str) -> str:
    return f"input {name}"  # no option can be called so


def _input_help(family: type[Task], name: str) -> str:
    noun = next(one.noun for one in family.inputs if one.name == name)
    return f"the {noun} for each {family.inputs[0].noun} (or give a table with a column for each input)"


def _first_positional(parser: Parser, argv: list[str]) -> str | None:
    """The first word that is neither a flag nor the value of one."""
    without_value = {o for action in parser._actions if action.nargs == 0 for o in action.option_strings}
    with_value = {o for action in parser._actions if action.nargs != 0 for o in action.option_strings}
    words = iter(argv)
    for word in words:
        if not word.startswith("-") or word == "-":
            return word
        if "=" in word or word in without_value:
            continue
        if word in with_value or not _known_options().get(word, False):
            next(words, None)
    return None


@functools.cache
def _known_options() -> dict[str, bool]:
    """The options and further inputs of all families, of every verb -> True if they take no value."""
    from foveate.tasks import all_tasks
    from foveate.tasks.options import PREDICT, VERBS, flags, input_flags

    options = {f.text: f.kind is bool for task in all_tasks() for verb in VERBS for f in flags(task.Options, verb)}
    return options | {text: False for task in all_tasks() for text in input_flags(task, PREDICT)}


def _all_options(verb: str) -> str:
    """The options of every family, as the end of a help page."""
    from foveate.tasks import all_tasks
    from foveate.tasks.options import flags, input_flags

    lines = []
    for task in all_tasks():
        lines.append(f"options of models for {task.title}:")
        for text, name in input_flags(task, verb).items():
            lines.append(f"  {text + ' VALUE':<22}{_input_help(task, name)}")
        for flag in flags(task.Options, verb):
            value = "" if flag.kind is bool else f" {flag.metavar or 'VALUE'}"
            lines.append(f"  {flag.text + value:<22}{flag.help}")
        if lines[-1].endswith(":"):
            lines[-1] += " none"
    return "\n".join(lines)


def add_recipe(parser: Parser, instead: str) -> None:
    """The arguments of the verbs that train a recipe. instead: flags that may stand in place of its name."""
    parser.add_argument(
        "recipe", metavar="RECIPE", nargs="?", help=f"one of `foveate recipes`; not needed with {instead}"
    )
    parser.add_argument("--config", metavar="FILE", help="fields from a recipe.json or a YAML file; flags win over it")
    parser.add_argument("--data", metavar="PATH", help="your labelled data, in any recognised format")
    parser.add_argument("--model", metavar="NAME", help="train this model under the recipe's data and schedule")
    parser.add_argument("--init", metavar="RUN", help="start from another run, or from a public weight file")
    parser.add_argument("--time", metavar="TIME", help="train each run for 25m, 2h or 90s (and report then)")
    parser.add_argument("--max-pixels", type=int, metavar="N", help="accept images of up to N pixels")


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


def add_runtime(parser: Parser) -> None:
    """The flags of the verbs that run exported files."""
    parser.add_argument("--runtime", metavar="NAME", help="of an exported file: onnxruntime (default) or openvino")
    parser.add_argument(
        "--precision", metavar="NAME", default="float32", help="of OpenVINO's computations: float32 (default) or bf16"
    )
