"""The labelling page as an ASGI application: routes, their JSON, and static files."""

from __future__ import annotations

import gzip
import hashlib
import json
import mimetypes
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from foveate.errors import ConfigError, FoveateError
from foveate.server.guard import Guard, Launch, Policy, gunzip
from foveate.server.problem import HANDLERS, Problem, one_line
from foveate.studio.document import RefusedError
from foveate.studio.store import BlockedError, StaleError
from foveate.values import parse_json

STATIC = Path(__file__).with_name("static")
TOKENS = Path(__file__).parents[1] / "visualize" / "tokens.css"
ICON = Path(__file__).parents[1] / "server" / "static" / "icon.svg"
MEDIA_TYPES = {
    ".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".json": "application/json",
    ".png": "image/png", ".svg": "image/svg+xml", ".woff2": "font/woff2",
}  # fmt: skip
PAGES = {
    "/": "gallery.html",
    "/label/{id}": "label.html",
    "/train": "train.html",
    "/runs/{name}": "run.html",
    "/ship": "ship.html",
    "/help": "help.html",
}
REPORT_POLICY = (
    "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; sandbox"
)
MAX_BYTES = 64_000_000  # of a body, also of a compressed one
_SMALLEST = 1000  # bytes that are worth compressing


@dataclass(frozen=True)
class Ask:
    """A request as a route sees it: names in the path, the query, the body's JSON, the revision of If-Match."""

    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Any = None
    revision: str | None = None

    def required(self) -> str:
        """The revision. Raises Problem where none was sent."""
        if self.revision is None:
            raise Problem("no-revision", "no If-Match came; send the ETag of the version that was changed")
        return self.revision

    def object(self) -> dict[str, Any]:
        """The body, which must be a JSON object. Raises Problem."""
        if not isinstance(self.body, dict):
            raise Problem("bad-json", f"the body is {self.body!r:.60}; expected a JSON object")
        return self.body

    def number(self, name: str, default: int, low: int, high: int) -> int:
        """A whole number of the query. Raises Problem."""
        text = self.query.get(name, str(default))
        if not (text.isascii() and text.isdecimal() and len(text) < 10 and low <= int(text) <= high):
            raise refused("option", "query", f"{name} is '{text[:40]}'; expected a whole number of {low} to {high}")
        return int(text)


@dataclass(frozen=True)
class Answer:
    """The answer of a route: JSON or bytes. etag: the revision. cached: seconds for which a browser may keep it."""

    data: Any = None
    content: bytes | None = None
    media_type: str = "application/json"
    etag: str | None = None
    status: int = 200
    cached: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)


def refused(code: str, reason: str, detail: str) -> Problem:
    """A problem with its finer reason."""
    return Problem(code, detail, more={"reason": reason})


def problem(error: FoveateError) -> Problem | FoveateError:
    """An error of the package as a problem with its reason, where it has one."""
    if isinstance(error, StaleError):
        etag = f'"{error.current}"'
        more = {"etag": etag, "kept": error.kept or None, "whole": error.whole}
        return Problem("stale", one_line(error), {"ETag": etag}, more)
    if isinstance(error, BlockedError):
        return refused("conflict", "blocked", one_line(error))
    if isinstance(error, RefusedError):
        code = {"class-used": "conflict", "classes-changed": "conflict", "blind": "conflict"}.get(error.reason, "input")
        return refused(code, error.reason, one_line(error))
    return error


Handler = Callable[[Ask], Answer]


def endpoint(
    handlers: Mapping[str, Handler], read_only: bool, begin: Callable[[], None] = lambda: None
) -> Callable[[Request], Any]:
    """A route's function around the handlers of its methods, which run in a thread.

    begin: called before a method that may write.
    """

    def handled(method: str, ask: Ask) -> Answer:
        if method in ("PUT", "POST"):
            try:
                begin()
            except ConfigError as error:
                raise refused("conflict", "locked", one_line(error)) from error
        return handlers[method](ask)

    async def answer(request: Request) -> Response:
        if read_only and request.method not in ("GET", "HEAD"):
            raise Problem("read-only", "the studio was started with --read-only; start it without to change something")
        body = await _json(request) if request.method in ("PUT", "POST") else None
        ask = Ask(request.path_params, dict(request.query_params), body, _revision(request))
        try:
            method = "GET" if request.method == "HEAD" else request.method
            found = await run_in_threadpool(handled, method, ask)
        except FoveateError as error:
            raise problem(error) from error
        return _response(request, found)

    return answer


async def _json(request: Request) -> Any:
    data = await request.body()
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding == "gzip":
        data = await run_in_threadpool(gunzip, data, MAX_BYTES)
    elif encoding != "identity":
        raise Problem("bad-request", f"the body is encoded as '{encoding[:40]}'; send it plain or as gzip")
    try:
        return parse_json(data, _no_number)
    except ValueError as error:
        raise Problem("bad-json", f"the body is no JSON ({error}); send JSON in UTF-8") from error


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number of JSON")


def _revision(request: Request) -> str | None:
    given = request.headers.get("if-match")
    return None if given is None else given.strip().removeprefix("W/").strip('"')


def _response(request: Request, found: Answer) -> Response:
    headers = dict(found.headers)
    content, media_type = found.content, found.media_type
    if content is None:
        content = json.dumps(found.data, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
    etag = found.etag
    if etag is not None:
        headers["etag"] = f'"{etag}"'
        if found.cached:
            headers["cache-control"] = f"private, max-age={found.cached}" if found.cached > 1 else "private, no-cache"
            if request.headers.get("if-none-match", "").strip() == f'"{etag}"':
                return Response(status_code=304, headers=headers)
    texts = media_type.startswith("text/") or media_type == "application/json"
    if texts and len(content) >= _SMALLEST and "gzip" in request.headers.get("accept-encoding", ""):
        headers |= {"content-encoding": "gzip", "vary": "accept-encoding"}
        content = gzip.compress(content, 1, mtime=0)
    return Response(content, found.status, headers, media_type)


# Files


def static_file(ask: Ask) -> Answer:
    """A file of the folder `static`, which is looked up in its listing: no path of a request is ever opened."""
    name = ask.path["path"]
    if name == "tokens.css":
        return file_answer(TOKENS)
    known = {p.relative_to(STATIC).as_posix(): p for p in STATIC.rglob("*") if p.suffix in MEDIA_TYPES}
    if name not in known:
        raise refused("not-found", "page", f"there is no file '{name[:100]}'")
    return file_answer(known[name])


def file_answer(file: Path, cached: int = 1) -> Answer:
    """A file of the package."""
    try:
        content = file.read_bytes()
    except OSError:
        raise refused("not-found", "page", f"there is no {file.name}") from None
    media_type = MEDIA_TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    return Answer(content=content, media_type=media_type, etag=hashlib.sha256(content).hexdigest()[:32], cached=cached)


def application(studio: Any, launch: Launch, hosts: frozenset[str] = frozenset()) -> Guard:
    """The whole application. studio: a `foveate.studio.studio.Studio`."""
    paths: dict[str, dict[str, Handler]] = {}
    for (method, path), handler in studio.routes().items():
        paths.setdefault(f"/api/1{path}", {})[method] = handler
    paths |= {path: {"GET": _page(name)} for path, name in PAGES.items()}
    paths["/runs/{name}/report"] = {"GET": studio.report}
    paths["/favicon.ico"] = {"GET": lambda ask: file_answer(ICON)}
    paths["/static/{path:path}"] = {"GET": static_file}
    paths["/{path:path}"] = {"GET": _nothing}
    routes = [
        Route(path, endpoint(handlers, studio.read_only, studio.begin), methods=list(handlers))
        for path, handlers in paths.items()
    ]
    policy = Policy(hosts=hosts, launch=launch, open_paths=("/favicon.ico",), max_bytes=MAX_BYTES)
    return Guard(Starlette(routes=routes, exception_handlers=HANDLERS), policy)


def _nothing(ask: Ask) -> Answer:
    raise refused("not-found", "page", f"there is no page '/{ask.path['path'][:100]}'; go to / for the pictures")


def _page(name: str) -> Handler:
    return lambda ask: file_answer(STATIC / name)
