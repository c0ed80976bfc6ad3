"""Parsing of values for typed fields, from text or plain Python values, with one clear error message."""

from __future__ import annotations

import inspect
import json
import math
import re
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from foveate.errors import ConfigError, counted


def parse_json(text: str | bytes, parse_constant: Callable[[str], Any] | None = None) -> Any:
    """Return what JSON text holds. Raises ValueError, with the reason, for all that cannot be read or kept as text.

    json.loads raises RecursionError for deep nesting, and lets half of a surrogate pair through, which no file can
    hold. Bytes are UTF-8. parse_constant: as of json.loads, called with NaN and Infinity.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8")  # json.loads takes the bytes of half a pair, too
    try:
        content = json.loads(text, parse_constant=parse_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if _SURROGATE.search(text):
        try:
            json.dumps(content, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            shown = ascii(error.object[error.start : error.end])
            raise ValueError(f"holds {shown}, half of a surrogate pair, which is no character") from None
    return content


_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def parse(name: str, value: Any, kind: Any) -> Any:
    """Return a value for a field of type `kind`, parsed from text or a plain Python value.

    name: the field's name, for the message. Raises ConfigError if the value does not fit the type.
    """
    try:
        return _parse(value, kind)
    except (ValueError, TypeError, KeyError, OverflowError):
        raise ConfigError(f"{name} is {value!r}; expected {describe(kind)}") from None


def _parse(value: Any, kind: Any) -> Any:
    origin, args = get_origin(kind), get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None or (value == "none" and type(None) in args):
            return None
        return _parse(value, next(a for a in args if a is not type(None)))
    if origin is Literal:
        for choice in args:
            if value == choice or str(value) == str(choice):
                return choice
        raise ValueError
    if origin is tuple:
        parts = [p for p in value.split(",") if p] if isinstance(value, str) else list(value)
        kinds = [args[0]] * len(parts) if args[-1] is Ellipsis else list(args)
        return tuple(_parse(p, k) for p, k in zip(parts, kinds, strict=True))
    if kind is bool:
        if isinstance(value, bool):
            return value
        return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[str(value).lower()]
    if kind is int and isinstance(value, float) and not value.is_integer():
        raise ValueError
    if kind in (int, float):
        number = kind(value)
        if isinstance(value, bool) or not math.isfinite(number):
            raise ValueError
        return number
    if kind is str:
        if not isinstance(value, (str, int, float, Path)):
            raise TypeError
        return str(value)
    return value


_FIELD = re.compile(r"^(?P<names>[a-z]\w*(?:, [a-z]\w*)*): (?P<words>.*)$")


def meanings(cls: type) -> dict[str, str]:
    """Field -> what the docstring of its class, or of a base, says of it.

    Lines are 'name: words', and go on where they are indented.
    """
    found: dict[str, str] = {}
    names: list[str] = []
    documented = [base for base in reversed(cls.__mro__) if base is not object]
    for line in "\n".join(inspect.cleandoc(base.__doc__ or "") + "\n" for base in documented).splitlines():
        if field := _FIELD.match(line):
            names = field["names"].split(", ")
            found |= dict.fromkeys(names, field["words"])
        elif line.startswith("    ") and names:
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
        else:
            names = []
    return found


def require_choices(record: Any) -> None:
    """Raise ConfigError if a field of a dataclass instance is not one of the choices of its Literal type."""
    for name, kind in typing.get_type_hints(type(record)).items():
        if get_origin(kind) is Literal:
            parse(name, getattr(record, name), kind)


def describe(kind: Any) -> str:
    """Return the description of a type for an error message."""
    origin, args = get_origin(kind), get_args(kind)
    if origin is Literal:
        return "one of " + ", ".join(map(str, args))
    if origin is tuple:
        count = "values" if args[-1] is Ellipsis else counted(len(args), "value")
        return f"{count} separated by commas, each {describe(args[0])}"
    if origin in (typing.Union, types.UnionType):
        return " or ".join("none" if a is type(None) else describe(a) for a in args)
    return {int: "a whole number", float: "a number", bool: "true or false", str: "text"}.get(kind, str(kind))
