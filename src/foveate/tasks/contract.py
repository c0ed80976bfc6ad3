"""Check of a family's class against the contract (`base.Task`), before anything is done with it.

What a check here refuses would otherwise appear after an epoch of training, or not at all: a monitor that is not
logged, a score that replaces the epoch's number, an option that the command line takes for one of its own flags.
"""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from foveate.errors import ConfigError
from foveate.tasks.base import Count, Task
from foveate.tasks.evaluation import FACTS
from foveate.tasks.inputs import Input
from foveate.tasks.options import RESERVED, Options, flag_text

# Columns of metrics.csv that are no scores; those of the training losses begin with "train_".
COLUMNS = frozenset({"epoch", "lr", "train_seconds", "seconds", "peak_memory_mib", "val_loss"})
SAMPLE_KEYS = frozenset({"name", "index"})  # keys of every sample beside those of its inputs


def require_contract(family: str, cls: Any) -> None:
    """Raise ConfigError for a class that does not keep the contract, naming the first part that it breaks.

    family: the name that it is registered under.
    """
    if not (isinstance(cls, type) and issubclass(cls, Task)):
        raise ConfigError(
            f"the family '{family}' is registered with {cls!r}; derive a class from foveate.tasks.base.Task"
        )
    for problem in _problems(family, cls):
        raise ConfigError(f"the family '{family}' is registered with {cls.__name__}, {problem}")


def _problems(family: str, cls: type[Task]) -> Iterator[str]:
    """Parts that break the contract, each as the end of a sentence."""
    if missing := [name for name in ("name", "title", "monitor", "headline") if not hasattr(cls, name)]:
        yield f"which has no {' and no '.join(missing)}; give a value in the class"
    if missing := sorted(cls.__abstractmethods__):
        yield f"which does not define {', '.join(missing)}; see foveate.tasks.base.Task"
    for name in ("name", "title", "monitor"):
        if not isinstance(getattr(cls, name), str) or not getattr(cls, name).strip():
            yield f"whose {name} is {getattr(cls, name)!r}; give a text"
    if cls.name != family:
        yield f"which is named '{cls.name}'"
    yield from _wrong_scores(cls)
    yield from _wrong_inputs(cls)
    yield from _wrong_options(cls)
    yield from _wrong_parts(cls)
    if not isinstance(cls.sizes, Mapping) or not all(isinstance(v, (str, Count)) for v in cls.sizes.values()):
        yield f"whose sizes are {cls.sizes!r}; map fields of a Config to the name of a table or to a Count"
    if not _is_tuple_of(str, cls.endings):
        yield f"whose endings are {cls.endings!r}; give a tuple, as ('_overlay.jpg',)"


def _wrong_scores(cls: type[Task]) -> Iterator[str]:
    if not _is_tuple_of(str, cls.headline) or not cls.headline:
        yield f"whose headline is {cls.headline!r}; give the names of one score or more as a tuple, as ('accuracy',)"
    if cls.monitor not in cls.headline:
        yield (
            f"whose monitor '{cls.monitor}' is not in its headline ({', '.join(cls.headline)}); add it there, since "
            "epochs are ranked by a score that is logged"
        )
    for name in cls.headline:
        if name in COLUMNS | FACTS or name.startswith("train_"):
            yield f"whose headline has '{name}', the name of another value of an epoch; rename the score"
    known = _score_names(cls)
    for name in cls.headline:
        if known is not None and name not in known:
            yield f"whose headline has '{name}', which its scores lack; they have {', '.join(known)}"
    if not isinstance(cls.greater_is_better, bool):
        yield f"whose greater_is_better is {cls.greater_is_better!r}; give True or False"


def _score_names(cls: type[Task]) -> list[str] | None:
    """The names of a family's scores, by the return types of `metrics` and `compute`; None if these are not annotated.

    Scores of unknown type are checked when they are computed (`logged_scores`).
    """
    try:
        counter = typing.get_type_hints(cls.metrics)["return"]
        scores = typing.get_type_hints(counter.compute)["return"]
    except (NameError, KeyError, AttributeError, TypeError):  # not annotated, or with names that are not imported
        return None
    if not (isinstance(scores, type) and dataclasses.is_dataclass(scores)):
        return None
    fields = [field.name for field in dataclasses.fields(scores)]
    return fields + [name for name, value in inspect.getmembers(scores) if isinstance(value, property)]


def _wrong_inputs(cls: type[Task]) -> Iterator[str]:
    if not _is_tuple_of(Input, cls.inputs):
        yield f"whose inputs are {cls.inputs!r}; give a tuple of foveate.tasks.inputs.Input instances, as (IMAGE,)"
    names = [one.name for one in cls.inputs]
    if len(set(names)) < len(names):
        yield f"whose inputs are named {', '.join(names)}; give each its own name"
    for name in names:
        if name in SAMPLE_KEYS or not name.isidentifier():
            yield f"with an input named '{name}', which cannot be a key of its own in a sample; rename it"
    for name in names[1:]:  # flags of `foveate predict`
        if name in RESERVED:
            yield f"with an input named '{name}', whose flag {flag_text(name)} has another meaning; rename it"


def _wrong_options(cls: type[Task]) -> Iterator[str]:
    options = cls.Options
    if not (isinstance(options, type) and issubclass(options, Options)):
        yield f"whose Options are {options!r}; derive a dataclass from foveate.tasks.options.Options"
    undeclared = [name for name in inspect.get_annotations(options) if name not in options.__dataclass_fields__]
    if undeclared:
        yield f"whose {options.__name__} is no dataclass; mark it with @dataclass(frozen=True)"
    for field in dataclasses.fields(options):
        if field.default is dataclasses.MISSING:
            yield f"whose {options.__name__}.{field.name} has no default; declare it with foveate.tasks.options.option"
        if field.name in RESERVED or field.name in [one.name for one in cls.inputs[1:]]:
            yield (
                f"whose {options.__name__}.{field.name} has the flag {flag_text(field.name)}, which has another "
                "meaning; rename the option"
            )
        if field.default is True:
            yield f"whose {options.__name__}.{field.name} is True by default, so that no flag turns it off; invert it"


def _wrong_parts(cls: type[Task]) -> Iterator[str]:
    if not (isinstance(cls.Parts, type) and issubclass(cls.Parts, Options)):
        yield f"whose Parts are {cls.Parts!r}; derive a dataclass from foveate.tasks.options.Options"
    options, parts = ({field.name for field in dataclasses.fields(one)} for one in (cls.Options, cls.Parts))
    if twice := sorted(options & parts | {"name", "count", "seed"} & parts):
        yield f"whose {cls.Parts.__name__}.{twice[0]} has the name of another parameter of a request; rename it"


def _is_tuple_of(kind: type, values: Any) -> bool:
    return isinstance(values, tuple) and all(isinstance(value, kind) for value in values)


def logged_scores(task: Task, scores: Any) -> dict[str, float]:
    """The scores of an epoch that are logged, by name. Raises ConfigError for one that is missing or no number."""
    found = {}
    for name in task.headline:
        if not hasattr(scores, name):
            raise ConfigError(
                f"the headline of {task.title} has '{name}', which the computed {type(scores).__name__} lack; correct "
                "the headline or the scores"
            )
        value = getattr(scores, name)
        try:
            found[name] = float(value)
        except (TypeError, ValueError):
            raise ConfigError(
                f"the score '{name}' of {task.title} is {value!r}; give a number, or nan for none"
            ) from None
    return found
