"""Errors over HTTP: application/problem+json (RFC 9457) with the command line's own text.

A problem is `{status, code, title, detail, request_id}`. The detail has the form of every message of the package: what
came, what was expected, what to do.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ExceptionHandler, Scope

from foveate.errors import ConfigError, FoveateError, OutputError

log = logging.getLogger("foveate.server")

MEDIA_TYPE = "application/problem+json"
# Code -> (status, title). `serve` and `studio` use the same.
PROBLEMS: dict[str, tuple[int, str]] = {
    "bad-request": (400, "The request is malformed"),
    "bad-json": (400, "The body is no JSON of the expected form"),
    "token": (401, "A token is needed"),
    "host": (403, "This host name is not served"),
    "origin": (403, "Requests of other pages are refused"),
    "read-only": (403, "Nothing may be changed here"),
    "not-found": (404, "There is nothing here"),
    "method": (405, "The method is not allowed here"),
    "not-acceptable": (406, "The answer has no such form"),
    "slow-body": (408, "The body arrived too slowly"),
    "conflict": (409, "The request does not fit the present state"),
    "stale": (412, "Somebody else has changed it"),
    "too-large": (413, "The body is too large"),
    "content-type": (415, "The content type is not taken"),
    "input": (422, "The input cannot be used"),
    "option": (422, "The option cannot be used"),
    "no-revision": (428, "The revision is missing"),
    "queue-full": (429, "The queue is full"),
    "internal": (500, "The server failed"),
    "draining": (503, "The server is stopping"),
    "loading": (503, "The server is starting"),
    "deadline": (504, "The deadline has passed"),
    "disk": (507, "The result could not be written"),
}


class Problem(Exception):  # noqa: N818 - the name that RFC 9457 gives it
    """An error that is answered over HTTP.

    code: of PROBLEMS, which gives status and title. detail: what came, what was expected, what to do. headers: of the
    answer, such as Retry-After. more: further members of the body, such as the revision that is newer.
    """

    def __init__(
        self, code: str, detail: str, headers: Mapping[str, str] | None = None, more: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(detail)
        self.code, self.detail = code, detail
        self.status, self.title = PROBLEMS[code]
        self.headers, self.more = dict(headers or {}), dict(more or {})

    def to_json(self, request_id: str) -> dict[str, Any]:
        """The members of the body."""
        own = {"status": self.status, "code": self.code, "title": self.title, "detail": self.detail}
        return {**self.more, **own, "request_id": request_id}

    def response(self, scope: Scope) -> Response:
        """The answer to a request."""
        body = json.dumps(self.to_json(request_id_of(scope)), ensure_ascii=False, allow_nan=False)
        return Response(body.encode("utf-8", "replace"), self.status, self.headers, MEDIA_TYPE)


def request_id_of(scope: Scope) -> str:
    """The id that the guard gave a request; '' without a guard."""
    return str(scope.get("state", {}).get("request_id", ""))


def problem_of(error: Exception) -> Problem:
    """Any error as a problem: an error of the package with its own text, any other as 'internal' without its text."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, OutputError):
        return Problem("disk", one_line(error))
    if isinstance(error, ConfigError):
        return Problem("option", one_line(error))
    if isinstance(error, FoveateError):
        return Problem("input", one_line(error))
    if isinstance(error, MemoryError):
        return Problem("input", "the input takes more memory than there is; send a smaller one")
    if isinstance(error, HTTPException):
        return _of_router(error)
    return Problem("internal", "this is a fault of the server; its log has the traceback under the request's id")


def one_line(error: Exception) -> str:
    """The text of an error as the command line prints it."""
    return " ".join(str(error).split())


def _of_router(error: HTTPException) -> Problem:
    codes = {404: "not-found", 405: "method", 413: "too-large"}
    code = codes.get(error.status_code, "bad-request" if error.status_code < 500 else "internal")
    details = {
        404: "no such address; GET /openapi.json lists those that there are",
        405: f"the method is not allowed here; allowed: {(error.headers or {}).get('Allow', 'others')}",
    }
    return Problem(code, details.get(error.status_code, str(error.detail)), error.headers)


async def answer_error(request: Request, error: Exception) -> Response:
    """The answer to an error that a route raised; an unexpected one is logged with its traceback."""
    problem = problem_of(error)
    if problem.code == "internal":
        log.error("request %s failed", request_id_of(request.scope), exc_info=error)
    return problem.response(request.scope)


# For Starlette(exception_handlers=...).
HANDLERS: dict[Any, ExceptionHandler] = {
    Problem: answer_error,
    FoveateError: answer_error,
    HTTPException: answer_error,
    MemoryError: answer_error,
    Exception: answer_error,
}
