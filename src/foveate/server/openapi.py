"""openapi.json (version 3.1), from the table of addresses, the families' options and the types of their replies."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, NotRequired, Protocol, get_args, get_origin

from foveate.server.bodies import MAX_SEED, MOST_INPUTS, all_flags, describe_flag
from foveate.server.models import Served
from foveate.server.problem import MEDIA_TYPE, PROBLEMS
from foveate.tasks.base import Task
from foveate.tasks.inputs import Input
from foveate.tasks.replies import SVG, Media
from foveate.values import meanings
from foveate.version import __version__

_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean"}


class Address(Protocol):
    """A row of the table of addresses."""

    @property
    def method(self) -> str: ...  # noqa: D102
    @property
    def path(self) -> str: ...  # noqa: D102
    @property
    def handler(self) -> str: ...  # noqa: D102
    @property
    def summary(self) -> str: ...  # noqa: D102
    @property
    def of_model(self) -> bool: ...  # noqa: D102


def describe(endpoints: Sequence[Address], models: Sequence[Served]) -> dict[str, Any]:
    """The description of a server."""
    paths: dict[str, Any] = {}
    for one in endpoints:
        for path, served in _expanded(one, models):
            operation: dict[str, Any] = {"summary": one.summary, "operationId": _operation_id(one, path)}
            parameters = [
                {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
                for name in re.findall(r"{(\w+)}", path)
            ]
            if one.method == "POST" and served is not None:
                parameters += _query(served.predictor.family)
                operation["requestBody"] = _request(served.predictor.family, one.handler == "hugging_face")
            if parameters:
                operation["parameters"] = parameters
            operation["responses"] = _responses(one, served)
            paths.setdefault(path, {})[one.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "Foveate", "version": __version__, "summary": "Segmentation and attention models"},
        "paths": paths,
        "components": {
            "schemas": {"Problem": _problem()},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _expanded(one: Address, models: Sequence[Served]) -> Iterable[tuple[str, Served | None]]:
    """The paths of an address, each with its model."""
    if one.of_model:
        return [(one.path.replace("{name}", served.name), served) for served in models]
    if one.method == "POST":
        return [(one.path, models[0])] if len(models) == 1 else []
    return [(one.path, None)]


def _operation_id(one: Address, path: str) -> str:
    return re.sub(r"\W+", "_", f"{one.method.lower()}{path}").strip("_")


def _responses(one: Address, served: Served | None) -> dict[str, Any]:
    kinds = {"page": "text/html", "icon": "image/svg+xml", "static": "text/css", "metrics_text": "text/plain"}
    schema: dict[str, Any] = {"type": "object"}
    content: dict[str, Any] = {kinds.get(one.handler, "application/json"): {"schema": schema}}
    if one.handler in kinds:
        content = {kinds[one.handler]: {"schema": {"type": "string"}}}
    if one.method == "POST" and served is not None:
        family = served.predictor.family
        if one.handler == "predict":
            reply = answer_schema(family)
            several = {"type": "object", "properties": {"results": {"type": "array", "items": {"type": "object"}}}}
            content = {"application/json": {"schema": {"anyOf": [reply, several] if family.inputs else [reply]}}}
            content |= {kind: {} for kind in _kinds(family.Reply)}
        else:
            content = {"application/json": {}}
    return {
        "200": {"description": "The answer", "content": content},
        "default": {
            "description": "A problem",
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        },
    }


def _query(family: Task) -> list[dict[str, Any]]:
    """The parameters of a request to a family."""
    found = []
    for flag in [flag for some in all_flags(family) for flag in some if flag.served is not False]:
        about = describe_flag(family, flag)
        schema: dict[str, Any] = {"type": {"text": "string"}.get(about["kind"], about["kind"])}
        if "choices" in about:
            schema["enum"] = about["choices"]
        if "largest" in about and schema["type"] != "string":
            schema["maximum"] = about["largest"]
        found.append({"name": flag.name, "in": "query", "description": flag.help, "schema": schema})
    if not family.inputs:
        whole = {"count": (1, MOST_INPUTS, "samples to generate"), "seed": (0, MAX_SEED, "of the noise")}
        for name, (least, most, words) in whole.items():
            schema = {"type": "integer", "minimum": least, "maximum": most}
            found.append({"name": name, "in": "query", "description": words, "schema": schema})
    return found


def _request(family: Task, hugging_face: bool) -> dict[str, Any]:
    """The body of a request to a family."""
    inputs = family.inputs
    properties: dict[str, Any] = {one.key: _input(one) for one in inputs}
    for one in inputs:
        if one.parts_key:
            properties[one.parts_key] = {"type": "array", "items": {"type": "string", "contentEncoding": "base64"}}
    single: dict[str, Any] = {"type": "object", "properties": properties | {"name": {"type": "string"}}}
    single["required"] = [one.key for one in inputs if not one.parts_key]
    forms = [single]
    if inputs and not hugging_face:
        rows = {
            "type": "array",
            "minItems": 1,
            "maxItems": MOST_INPUTS,
            "items": {"anyOf": [_input(inputs[0]), single]},
        }
        forms.append({"type": "object", "properties": {f"{inputs[0].key}s": rows}, "required": [f"{inputs[0].key}s"]})
    if hugging_face:
        forms = [{"type": "object", "properties": {"inputs": {}, "parameters": {"type": "object"}}}]
    content: dict[str, Any] = {"application/json": {"schema": {"anyOf": forms}}}
    if inputs and not inputs[0].is_text:
        content["application/octet-stream"] = {}
    return {"required": bool(inputs), "content": content}


def _input(one: Input) -> dict[str, Any]:
    if one.is_text:
        return {"type": "string", "description": f"the {one.noun}"}
    return {"type": "string", "contentEncoding": "base64", "description": f"a file of the {one.noun}"}


def _problem() -> dict[str, Any]:
    texts = ("title", "detail", "request_id")
    properties: dict[str, Any] = {name: {"type": "string"} for name in texts}
    properties |= {"status": {"type": "integer"}, "code": {"type": "string", "enum": sorted(PROBLEMS)}}
    return {"type": "object", "properties": properties, "required": sorted(properties)}


def answer_schema(family: Task) -> dict[str, Any]:
    """The answer to one input of a family, as JSON Schema."""
    seconds = {stage: {"type": "number"} for stage in ("wait", "decode", "run", "encode")}
    common: dict[str, Any] = {
        "model": {"type": "string", "description": "the name that the model is served under"},
        "name": {"type": "string", "description": "what the request calls the input"},
        "height": {"type": "integer", "description": "of the image, in pixels, upright"},
        "width": {"type": "integer", "description": "of the image, in pixels, upright"},
        "seconds": {"type": "object", "properties": seconds},
        "note": {"type": "string", "description": "a remark on how the input was taken"},
    }
    own = schema_of(family.Reply)
    return {
        "type": "object",
        "properties": common | own.get("properties", {}),
        "required": ["model", "name", "seconds", *own.get("required", [])],
    }


def schema_of(kind: Any) -> dict[str, Any]:
    """The JSON Schema of a type: TypedDicts, lists, dicts, plain values and files. Raises TypeError for others."""
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated and args[0] is Media:
        coded = {} if args[1] == SVG else {"contentEncoding": "base64"}
        return {"type": "string", "contentMediaType": args[1]} | coded
    if kind in _PLAIN:
        return {"type": _PLAIN[kind]}
    if kind is dict:
        return {"type": "object"}
    if origin is list:
        return {"type": "array", "items": schema_of(args[0])}
    if origin is dict:
        return {"type": "object", "additionalProperties": schema_of(args[1])}
    if typing.is_typeddict(kind):
        return _object(kind)
    raise TypeError(f"{kind} has no JSON Schema; use TypedDict, list, dict, plain values and Annotated[Media, kind]")


def _object(kind: Any) -> dict[str, Any]:
    words: Mapping[str, str] = meanings(kind)
    properties, required = {}, []
    for name, hint in typing.get_type_hints(kind, include_extras=True).items():
        optional = get_origin(hint) is NotRequired
        schema = schema_of(get_args(hint)[0] if optional else hint)
        properties[name] = schema | ({"description": words[name]} if name in words else {})
        required += [] if optional else [name]
    return {"type": "object", "properties": properties, "required": required}


def _kinds(kind: Any) -> list[str]:
    """The media types of files at the top of a reply, which are sent alone if a client prefers them."""
    if not typing.is_typeddict(kind):
        return []
    found = []
    for hint in typing.get_type_hints(kind, include_extras=True).values():
        inner = get_args(hint)[0] if get_origin(hint) is NotRequired else hint
        inner = get_args(inner)[0] if get_origin(inner) is list else inner
        if get_origin(inner) is Annotated:
            found.append(get_args(inner)[1])
    return list(dict.fromkeys(found))
