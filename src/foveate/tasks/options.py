"""Options of a family: settings of `predict`, `evaluate` and `generate`, as flags and as keyword arguments alike."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self, get_type_hints

from foveate.errors import ConfigError
from foveate.values import parse, require_choices

if TYPE_CHECKING:
    from foveate.tasks.base import Task

PREDICT, EVALUATE, GENERATE = "predict", "evaluate", "generate"
VERBS = (PREDICT, EVALUATE, GENERATE)
# Names with another meaning: flags and arguments of these verbs, and parameters of `Predictor`'s methods.
RESERVED = frozenset({
    "run", "inputs", "out", "format", "every", "count", "csv", "device", "data", "split", "json", "max_pixels", "seed",
    "help", "debug", "self", "given", "options", "name", "progress", "batch_size", "runtime", "precision", "ray",
})  # fmt: skip


def option(
    default: Any,
    help: str,
    metavar: str = "",
    verbs: tuple[str, ...] = (PREDICT, EVALUATE),
    served: bool | float = True,
) -> Any:
    """A field of an `Options` class.

    help: its line in `--help`. metavar: the name of its value there. verbs: the verbs that have it.
    served: False for an option that `foveate serve` does not take, since it is about files of the machine; or the
        largest number that it takes, of an option that costs time.
    """
    about = {"help": help, "metavar": metavar, "verbs": verbs, "served": served}
    return dataclasses.field(default=default, metadata=about)


@dataclass(frozen=True)
class Options:
    """Base of every family's options, and the options of a family that has none.

    stored: True if a model is stored with its options (a recipe's `options`): they are then what `predict`, `evaluate`
        and exported files do unless they are told otherwise.
    earlier: values of fields, other than today's defaults, for models that were written before options were stored.
    """

    stored: ClassVar[bool] = False
    earlier: ClassVar[Mapping[str, Any]] = {}

    def __post_init__(self) -> None:
        require_choices(self)

    def describe(self) -> str:
        """The options that differ from their defaults, in words; '' for none."""
        changed = [f for f in dataclasses.fields(self) if getattr(self, f.name) != f.default]
        values = [(f.name, getattr(self, f.name)) for f in changed]
        return " + ".join(name if value is True else f"{name} {value}" for name, value in values)

    def to_json(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any] | None) -> Self:
        """The inverse of `to_json`; None is a model that was written before options were stored. Raises ConfigError."""
        hints = get_type_hints(cls)
        values = cls.earlier if data is None else data
        if unknown_names := set(values) - {f.name for f in dataclasses.fields(cls)}:
            raise ConfigError(f"options {', '.join(sorted(unknown_names))} are not known; update foveate")
        return cls(**{name: parse(f"options.{name}", value, hints[name]) for name, value in values.items()})


@dataclass(frozen=True)
class Flag:
    """One option, as the command line sees it. kind: its type. served: see `option`."""

    name: str
    kind: Any
    default: Any
    help: str
    metavar: str
    served: bool | float = True

    @property
    def text(self) -> str:
        """The flag itself: --max-words for the field max_words."""
        return flag_text(self.name)


def flag_text(name: str) -> str:
    """The flag of a name: --max-words for max_words."""
    return f"--{name.replace('_', '-')}"


def input_flags(task: type[Task], verb: str) -> dict[str, str]:
    """Flag -> name of every input after the first, which `predict` takes from flags."""
    return {flag_text(one.name): one.name for one in task.inputs[1:]} if verb == PREDICT else {}


def flags(options: type[Options], verb: str) -> list[Flag]:
    """The options that a verb has, in the order of the fields."""
    hints = get_type_hints(options)
    return [
        Flag(
            f.name,
            hints[f.name],
            f.default,
            f.metadata.get("help", ""),
            f.metadata.get("metavar", ""),
            f.metadata.get("served", True),
        )
        for f in dataclasses.fields(options)
        if verb in f.metadata.get("verbs", (PREDICT, EVALUATE))
    ]


def make_options(task: type[Task] | Task, given: Mapping[str, Any], verb: str) -> Options:
    """A family's options from keyword arguments or from the text of flags.

    task: the family: a `Task`, whose own options stand for those that are not given, or its class. verb: the one of
    VERBS whose options they are.
    Raises ConfigError for an option that it does not have, naming those that it has, and for a value that does not fit.
    """
    known = {flag.name: flag for flag in flags(task.Options, verb)}
    for name in given:
        if name not in known:
            raise ConfigError(no_such_option(task, name.replace("_", "-"), verb))
    # None stands for the default, also of an option that has another one.
    chosen = {name: value for name, value in given.items() if value is not None}
    values = {name: parse(known[name].text, value, known[name].kind) for name, value in chosen.items()}
    own = getattr(task, "options", None)  # of an instance
    made: Options = dataclasses.replace(own, **values) if isinstance(own, Options) else task.Options(**values)
    return made


def no_such_option(task: type[Task] | Task, name: str, verb: str) -> str:
    """The message for an option that a family does not have, or has for another verb alone."""
    for other in VERBS:
        if f"--{name}" in [flag.text for flag in flags(task.Options, other)]:
            return f"--{name} is an option of foveate {other}, not of foveate {verb}; leave it out"
    family = task if isinstance(task, type) else type(task)
    own = [*input_flags(family, verb), *(flag.text for flag in flags(task.Options, verb))]
    return f"models for {task.title} have no option --{name}; " + (
        f"theirs are {', '.join(own)}" if own else "they have none: leave it out"
    )
