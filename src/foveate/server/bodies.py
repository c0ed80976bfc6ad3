"""Bodies of requests: a file's bytes, or JSON with inputs in it, and options in JSON or in the query.

    the bytes of a file                              one input
    {"image": base64, "name": "a.jpg"}               one input; {"text": ...}, {"audio": ...}, {"image", "question"}
    {"images": [base64 | {"name", "image"}, ...]}    several, each answered on its own; {"texts": [...]}
    {"inputs": ..., "parameters": {...}}             as Hugging Face's client sends it

All other keys of an object are options.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from foveate.errors import ConfigError, counted
from foveate.server.problem import Problem
from foveate.tasks.base import Task
from foveate.tasks.inputs import Input
from foveate.tasks.options import GENERATE, PREDICT, Flag, flags
from foveate.values import parse

MOST_INPUTS = 16  # of a request
MOST_VALUES = 8  # of an option that is a list
MOST_FIELDS = 50  # of a query
MAX_SEED = 2**63 - 1
LARGEST = 2**31 - 1  # of an option that is a whole number
# Parameters of Hugging Face's client -> the option that does it here.
PARAMETERS = {"top_k": "top", "num_beams": "beams", "max_new_tokens": "max_length", "threshold": "score"}


@dataclass
class Asked:
    """A request, read. inputs: by name, of each input, with what it is called; several: as a list, though it be of one.

    options: as text or plain values, those of the query over those of the body.
    """

    inputs: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    several: bool = False
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Chosen:
    """Options of a request, checked. options, parts: instances of the family's classes."""

    options: Any
    parts: Any
    count: int = 1
    seed: int = 0


def read_request(body: bytes, content_type: str, query: bytes, family: Task, hugging_face: bool = False) -> Asked:
    """A request, with its inputs still encoded. Raises Problem.

    content_type: '' if none came; then the first byte of the body tells a JSON object from a file.
    """
    asked = _read_body(body, content_type, family, hugging_face)
    asked.options |= read_query(query)
    if name := asked.options.pop("name", ""):
        asked.inputs = [(_name(name), given) for _, given in asked.inputs]
    texts = {one.key: one.name for one in family.inputs if one.is_text}
    for key in asked.options.keys() & texts.keys():  # beside the bytes of a file
        value = asked.options.pop(key)
        for _, given in asked.inputs:
            given[texts[key]] = value
    _require_inputs(asked, family)
    return asked


def read_query(query: bytes) -> dict[str, str]:
    """The fields of a query by name. Raises Problem for one that comes twice, and for too many."""
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict")
    except (ValueError, UnicodeDecodeError) as error:
        raise Problem(
            "bad-request", f"the query cannot be read ({error}); give name=value pairs, URL-encoded"
        ) from None
    fields: dict[str, str] = {}
    for key, value in pairs:
        if key in fields:
            raise Problem("option", f"the option '{key[:60]}' came twice; give it once")
        fields[key] = value
    return fields


def _read_body(body: bytes, content_type: str, family: Task, hugging_face: bool) -> Asked:
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/json" or (not kind and body.lstrip()[:1] == b"{") or not body:
        content = _json(body) if body else {}
        return _from_hugging_face(content, family) if hugging_face else _from_object(content, family)
    first = next(iter(family.inputs), None)
    if first is None or first.is_text:
        keys = _keys(family)
        raise Problem("content-type", f"models for {family.title} take JSON; send application/json with {keys}")
    return Asked([("", {first.name: body})])


def _json(body: bytes) -> dict[str, Any]:
    """A JSON object. Raises Problem for anything else."""
    try:
        content = json.loads(body.decode("utf-8"), object_pairs_hook=_once, parse_constant=_refuse)
        if re.search(rb"\\u[dD]", body):  # lone surrogates are no text
            json.dumps(content, ensure_ascii=False).encode("utf-8")
    except UnicodeError:
        raise Problem("bad-json", "the body is not UTF-8; encode the JSON as UTF-8") from None
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise Problem("bad-json", f"the body is not JSON ({reason[:200]}); send an object, such as {{...}}") from None
    if not isinstance(content, dict):
        raise Problem("bad-json", f"the body is {_kind(content)}; send an object, such as {{...}}")
    return content


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, _ in pairs if [k for k, _ in pairs].count(key) > 1)
        raise ValueError(f"the key '{twice[:60]}' comes twice")
    return found


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no number of JSON")


def _from_object(content: dict[str, Any], family: Task) -> Asked:
    inputs = {one.key: one for one in family.inputs}
    plural = f"{next(iter(inputs))}s" if inputs else ""
    own = {*inputs, *(one.parts_key for one in family.inputs), plural, "name"}
    options = {key: value for key, value in content.items() if key not in own}
    name = _name(content.get("name", ""))
    if plural and plural in content:
        rows = content[plural]
        if not isinstance(rows, list) or not 1 <= len(rows) <= MOST_INPUTS:
            came = counted(len(rows), "entry") if isinstance(rows, list) else _kind(rows)
            raise Problem("bad-json", f"'{plural}' holds {came}; give a list of 1 to {MOST_INPUTS}")
        shared = {key: content[key] for key in own - {plural, "name"} if key in content}
        return Asked([_row(row, shared, inputs, plural) for row in rows], True, options)
    given = _inputs(content, inputs.values())
    return Asked([(name, given)] if given or not inputs else [], False, options)


def _inputs(content: Mapping[str, Any], inputs: Iterable[Input]) -> dict[str, Any]:
    """The inputs of an object, by name."""
    found: dict[str, Any] = {}
    for one in inputs:
        if one.key in content:
            found[one.name] = _value(content[one.key], one, one.key)
        elif one.parts_key and one.parts_key in content:
            parts = content[one.parts_key]
            if not isinstance(parts, list) or not parts:
                raise Problem("bad-json", f"'{one.parts_key}' is {_kind(parts)}; give a list of base64 texts")
            found[one.name] = [_value(part, one, one.parts_key) for part in parts]
    return found


def _row(entry: Any, shared: Mapping[str, Any], inputs: Mapping[str, Input], plural: str) -> tuple[str, dict[str, Any]]:
    """An entry of a list: the first input alone, or an object with all. shared: inputs that stand beside the list."""
    first = next(iter(inputs))
    row: dict[str, Any] = dict(entry) if isinstance(entry, dict) else {first: entry}
    if strange := set(row) - {*inputs, *(one.parts_key for one in inputs.values()), "name"}:
        raise Problem(
            "bad-json", f"an entry of '{plural}' has the key '{min(strange)[:60]}'; it takes {', '.join(inputs)}, name"
        )
    row = {**shared, **row}
    return _name(row.get("name", "")), _inputs(row, inputs.values())


def _from_hugging_face(content: dict[str, Any], family: Task) -> Asked:
    if strange := set(content) - {"inputs", "parameters", "options"}:
        raise Problem("bad-json", f"the key '{min(strange)[:60]}' is not known; expected inputs and parameters")
    given, parameters = content.get("inputs", {}), content.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise Problem("bad-json", f"parameters is {_kind(parameters)}; give an object")
    chosen: dict[str, Any] = {
        PARAMETERS.get(key, str(key)): value for key, value in parameters.items() if value is not None
    }
    if isinstance(given, str) and family.inputs:
        given = {family.inputs[0].key: given}
    if not isinstance(given, dict):
        raise Problem("bad-json", f"inputs is {_kind(given)}; give one input, or an object with {_keys(family)}")
    return _from_object({**chosen, **given}, family)


def _value(value: Any, one: Input, key: str) -> Any:
    """An input of a JSON body: a text, or the bytes of a file from base64. Raises Problem. key: where it stood."""
    if not isinstance(value, str):
        raise Problem("bad-json", f"'{key}' is {_kind(value)}; give {'text' if one.is_text else 'base64 text'}")
    if one.is_text:
        return value
    try:
        data = base64.b64decode(re.sub(r"^data:[\w./+-]*;base64,", "", value), validate=True)
    except (binascii.Error, ValueError):
        raise Problem("bad-json", f"'{key}' is not base64; encode the bytes of the {one.noun}'s file") from None
    if not data:
        raise Problem("input", f"'{key}' is empty; give the bytes of a file as base64")
    return data


def _name(value: Any) -> str:
    """The name of an input in messages: one line of at most 100 characters."""
    if not isinstance(value, str):
        raise Problem("bad-json", f"'name' is {_kind(value)}; give text")
    return "".join(c if c.isprintable() else " " for c in value.replace("\\", "/").rpartition("/")[2])[:100]


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", str: "text", bool: "a boolean", type(None): "null"}
    return kinds.get(type(value), "a number")


def _keys(family: Task) -> str:
    """The keys of a request in words: {"image", "question"}."""
    keys = [one.key for one in family.inputs]
    return "{" + ", ".join(f'"{key}"' for key in keys) + "}" if keys else "options such as {}"


def _require_inputs(asked: Asked, family: Task) -> None:
    """Raise Problem for inputs that are missing."""
    if not family.inputs:
        return
    needed = {one.name: one for one in family.inputs}
    for _, given in asked.inputs or [("", {})]:
        if missing := [one for name, one in needed.items() if name not in given]:
            first, *_ = missing
            raise Problem(
                "input",
                f"no {first.noun} came; send " + ("" if first.is_text else "the bytes of a file, or ") + "JSON with "
                f"{_keys(family)}",
            )


# Options


def all_flags(family: Task) -> tuple[list[Flag], list[Flag]]:
    """The options that a family takes over HTTP, and the parts of its replies that can be asked for."""
    own = flags(family.Options, PREDICT if family.inputs else GENERATE)
    return own, flags(family.Parts, PREDICT)


def choose(given: Mapping[str, Any], family: Task) -> Chosen:
    """Options of a request, checked. Raises ConfigError, with the command line's own text."""
    options, parts = ({flag.name: flag for flag in some} for some in all_flags(family))
    known = {**options, **parts}
    rest = {name.replace("-", "_"): value for name, value in given.items()}
    count = seed = 0
    if not family.inputs:
        count = _whole("count", rest.pop("count", 1), 1, MOST_INPUTS)
        seed = _whole("seed", rest.pop("seed", 0), 0, MAX_SEED)
    if strange := [name for name in rest if name not in known]:
        own = [*known, *([] if family.inputs else ["count", "seed"])]
        raise ConfigError(
            f"models for {family.title} have no option '{strange[0][:60]}'; "
            + (f"theirs are {', '.join(own)}" if own else "they have none: leave it out")
        )
    values = {name: _option(known[name], value) for name, value in rest.items() if value is not None}
    for name in values:
        _require_served(known[name], values[name])
    verb = PREDICT if family.inputs else GENERATE
    made = family.make_options({name: value for name, value in values.items() if name in options}, verb)
    family.require(made)
    return Chosen(made, family.Parts(**{name: value for name, value in values.items() if name in parts}), count, seed)


def _option(flag: Flag, value: Any) -> Any:
    """The value of an option, from text or JSON."""
    if flag.served is False:
        raise ConfigError(f"{flag.text} is about files of this machine, and is not taken over HTTP; leave it out")
    if flag.kind is bool and value == "":  # ?overlay
        return True
    if isinstance(value, dict) or (isinstance(value, list) and any(isinstance(v, (dict, list)) for v in value)):
        raise ConfigError(f"{flag.text} is an object; give a plain value")
    return parse(flag.text, value, flag.kind)


def _require_served(flag: Flag, value: Any) -> None:
    """Raise ConfigError for a value that costs more than a server gives."""
    numbers: Sequence[Any] = value if isinstance(value, tuple) else (value,)
    if len(numbers) > MOST_VALUES:
        raise ConfigError(f"{flag.text} has {counted(len(numbers), 'value')}; at most {MOST_VALUES} are taken here")
    for number in numbers:
        if isinstance(number, int) and abs(number) > LARGEST:
            raise ConfigError(
                f"{flag.text} has {counted(len(str(number)), 'digit')}; give a number of at most {LARGEST:,}"
            )
        if flag.served is not True and number is not None and number > flag.served:
            raise ConfigError(f"{flag.text} is {number:g}; at most {flag.served:g} is taken here")


def _whole(name: str, value: Any, least: int, most: int) -> int:
    number: int = parse(f"--{name}", value, int)
    if not least <= number <= most:
        raise ConfigError(f"--{name} is {number}; give a whole number from {least} to {most}")
    return number


def describe_flag(family: Task, flag: Flag) -> dict[str, Any]:
    """An option for a client: name, help, kind, choices, largest value, and what the model does without it."""
    kinds = {bool: "boolean", int: "integer", float: "number", int | None: "integer", float | None: "number"}
    default = getattr(family.options, flag.name, flag.default)
    found = {"name": flag.name, "help": flag.help, "default": default, "kind": kinds.get(flag.kind, "text")}
    if choices := [one for one in getattr(flag.kind, "__args__", ()) if isinstance(one, str)]:
        found["choices"] = choices
    if flag.served is not True:
        found["largest"] = flag.served
    return found
