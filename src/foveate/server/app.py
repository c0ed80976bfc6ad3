"""The application behind `foveate serve`: one table of addresses, from which routes and openapi.json are made."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from importlib import resources
from typing import Any, NamedTuple

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Scope

from foveate.server import metrics as prometheus
from foveate.server.guard import Guard, Policy
from foveate.server.models import Models, Served
from foveate.server.openapi import describe
from foveate.server.predict import JSON, PredictJob
from foveate.server.problem import HANDLERS, Problem
from foveate.server.work import Ticket, Work

CLIENT_GONE = 499  # the status that is counted for a request whose client has gone; nobody receives it
STATIC = {"page.js": "text/javascript", "show.js": "text/javascript", "style.css": "text/css"}
# Addresses that need no token: the page holds no data, and asks for the token itself.
OPEN = ("/", "/favicon.ico", "/static/", "/healthz", "/readyz")


class Endpoint(NamedTuple):
    """An address. handler: a method of `Service`. of_model: it is described for each model on its own."""

    method: str
    path: str
    handler: str
    summary: str
    of_model: bool = False


ENDPOINTS = (
    Endpoint("GET", "/", "page", "A page on which to try the models in a browser"),
    Endpoint("GET", "/favicon.ico", "icon", "The icon of the page"),
    Endpoint("GET", "/static/{file}", "static", "Files of the page"),
    Endpoint("GET", "/healthz", "healthz", "200 while the process lives"),
    Endpoint("GET", "/readyz", "readyz", "200 when every model has answered once; 503 before, and while stopping"),
    Endpoint("GET", "/metrics", "metrics_text", "Counters for Prometheus"),
    Endpoint("GET", "/openapi.json", "openapi", "This description"),
    Endpoint("GET", "/v1/models", "list_models", "All models"),
    Endpoint("GET", "/v1/models/{name}", "one_model", "A model: task, classes, inputs, options, limits", True),
    Endpoint("POST", "/v1/models/{name}/predict", "predict", "Answer one input, or up to 16", True),
    Endpoint("POST", "/v1/predict", "predict", "The same, where one model is served"),
    Endpoint("POST", "/hf/{name}", "hugging_face", "The same in the form of Hugging Face's inference client", True),
)


class Service:
    """The handlers of all addresses."""

    def __init__(self, models: Models, work: Work, counters: prometheus.Metrics, max_pixels: int) -> None:
        self.models, self.work, self.metrics, self.max_pixels = models, work, counters, max_pixels
        folder = resources.files("foveate.server") / "static"
        self._page = (folder / "index.html").read_bytes()
        self._icon = (folder / "icon.svg").read_bytes()
        self._static = {name: (folder / name).read_bytes() for name in STATIC}

    def app(self, policy: Policy) -> ASGIApp:
        """The guarded application. policy: whose `observe` and open paths are the service's."""
        routes = [
            Route(one.path, self._handler(one.handler), methods=[one.method], name=one.handler) for one in ENDPOINTS
        ]
        return Guard(Starlette(routes=routes, exception_handlers=HANDLERS), policy)

    def _handler(self, name: str) -> Callable[[Request], Awaitable[Response]]:
        handler: Callable[[Request], Awaitable[Response]] = getattr(self, name)
        return handler

    def observe(self, scope: Scope, status: int, seconds: float) -> None:
        """Count an answer."""
        self.metrics.count_request(scope["state"].get("model", ""), status)

    @property
    def ready(self) -> bool:
        """True when every model has answered, and the server is not stopping."""
        return self.models.ready and not self.work.draining

    async def page(self, request: Request) -> Response:
        """The page, which asks for everything else."""
        return Response(self._page, media_type="text/html")

    async def icon(self, request: Request) -> Response:
        """The icon of the page."""
        return Response(self._icon, media_type="image/svg+xml")

    async def static(self, request: Request) -> Response:
        """A file of the page."""
        name = request.path_params["file"]
        if name not in STATIC:
            raise Problem("not-found", f"the page has no file '{name[:60]}'")
        return Response(self._static[name], media_type=STATIC[name])

    async def healthz(self, request: Request) -> Response:
        """200 while the process lives."""
        return _json({"status": "alive"})

    async def readyz(self, request: Request) -> Response:
        """200 when every model has answered once."""
        if self.work.draining:
            raise Problem("draining", "the server is stopping; ask another one")
        if not self.models.ready:
            raise Problem("loading", "the models are being loaded; ask again in a moment", {"Retry-After": "2"})
        return _json({"status": "ready"})

    async def metrics_text(self, request: Request) -> Response:
        """Counters for Prometheus."""
        text = self.metrics.text(self.ready, self.work.depth, self.work.rejected)
        return Response(text, headers={"content-type": prometheus.MEDIA_TYPE})

    async def openapi(self, request: Request) -> Response:
        """The description of all addresses."""
        return _json(describe(ENDPOINTS, list(self.models)))

    async def list_models(self, request: Request) -> Response:
        """All models that are loaded, and whether these are all."""
        return _json({"models": [served.about() for served in self.models], "ready": self.models.ready})

    async def one_model(self, request: Request) -> Response:
        """One model."""
        return _json(self._served(request).about())

    async def predict(self, request: Request) -> Response:
        """Answer one input, or several."""
        return await self._answer(request, hugging_face=False)

    async def hugging_face(self, request: Request) -> Response:
        """Answer in Hugging Face's form."""
        return await self._answer(request, hugging_face=True)

    def _served(self, request: Request) -> Served:
        served = self.models.find(request.path_params.get("name"))
        request.scope["state"]["model"] = served.name
        return served

    async def _answer(self, request: Request, hugging_face: bool) -> Response:
        served = self._served(request)
        if (coding := request.headers.get("content-encoding", "identity").lower()) != "identity":
            raise Problem("content-type", f"the body is coded as '{coding[:40]}'; send it as it is")
        try:
            with self.work.admit() as ticket:
                body = await _read(request, ticket)
                size = len(body)
                job = PredictJob(
                    served.name,
                    served.predictor,
                    body,
                    request.headers.get("content-type", ""),
                    request.scope["query_string"],
                    "" if hugging_face else request.headers.get("accept", ""),
                    self.metrics,
                    self.max_pixels,
                    hugging_face,
                )
                del body
                answer = await ticket.answer(job, request.receive)
        except ClientDisconnect:
            return Response(status_code=CLIENT_GONE)
        self.metrics.count_bytes(served.name, size)
        headers = {"foveate-note": answer.note.encode("ascii", "replace").decode()} if answer.note else {}
        if self.work.draining:
            headers["connection"] = "close"
        return Response(answer.body, media_type=answer.kind, headers=headers)


async def _read(request: Request, ticket: Ticket) -> bytes:
    """The body, whose bytes are counted as they come."""
    chunks = []
    async for chunk in request.stream():
        ticket.hold(len(chunk))
        chunks.append(chunk)
    return b"".join(chunks)


def _json(value: Any) -> Response:
    return Response(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"), media_type=JSON)
