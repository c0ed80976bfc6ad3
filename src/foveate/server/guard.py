"""A guard around an ASGI application: it decides who may ask, and how large and how slow a body may be.

A page of another site can send requests to a server on this machine. It cannot read the answers, as no CORS header is
ever sent, but a request that changes something, or keeps the model busy, must not get through either:

    Host            a loopback name or one that was allowed: against DNS rebinding
    Origin          on other methods than GET and HEAD the server's own, if there is one
    Sec-Fetch-Site  on these methods 'same-origin' or 'none', if there is one
    Content-Type    on these methods none that a form could send, which makes a browser ask first

Every answer carries security headers and a request id.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
import secrets
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from foveate.server.problem import Problem, problem_of, request_id_of

log = logging.getLogger("foveate.server")

LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
SECURITY_HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
SAFE_METHODS = frozenset({"GET", "HEAD"})
CONTENT_TYPES = re.compile(r"application/(json|octet-stream)|(image|audio|video)/[\w.+-]+")
BYTES_PER_SECOND = 50_000  # the least rate of a body
GRACE = 5.0  # seconds that a body may take beside it
PATIENCE = 0.5  # seconds without a byte, after which the rest of a refused body is not waited for
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^:\[\]/@\s]+)(?::(\d{1,5}))?")
_DEFAULT_PORTS = {"http": "80", "https": "443"}


class Launch:
    """Tokens that open a page in a browser, each once, and the cookie that they are exchanged for.

    port: of the server; it is part of the cookie's name, as cookies do not tell ports apart. announce: called with each
    new token, the first included; a token that was used is followed by another, so that a second browser can come in.
    """

    def __init__(self, port: int, announce: Callable[[str], None] = lambda token: None) -> None:
        self.cookie_name = f"foveate-{port}"
        self._session = secrets.token_urlsafe(32)
        self._announce = announce
        self.token = ""
        self._renew()

    def _renew(self) -> None:
        self.token = secrets.token_urlsafe(24)
        self._announce(self.token)

    def exchange(self, token: str) -> bool:
        """True for the present token, which is used up by it."""
        if not _equal(token, self.token):
            return False
        self._renew()
        return True

    def admits(self, cookies: str) -> bool:
        """True if a Cookie header holds the session's cookie."""
        try:
            morsel = SimpleCookie(cookies).get(self.cookie_name)
        except CookieError:
            return False
        return morsel is not None and _equal(morsel.value, self._session)

    def opened(self, path: str) -> Response:
        """The page that sets the cookie and goes on to a path of the server.

        It is no redirect: after one, a browser that came from another site would not send a SameSite=Strict cookie.
        """
        target = "".join(c for c in path if c.isalnum() or c in "/-_.") or "/"
        target = "/" + target.lstrip("/")  # '//name' would be another host
        page = (
            f'<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url={target}"><title>Foveate'
        )
        response = HTMLResponse(page + f'</title><a href="{target}">Go on</a>')
        response.set_cookie(self.cookie_name, self._session, path="/", httponly=True, samesite="strict")
        return response


@dataclass(frozen=True)
class Policy:
    """Limits of a server.

    hosts: names under which it may be asked, beside those of loopback, in lower case and without a port.
    token: what `Authorization: Bearer` must give; None asks for none. launch: of a server that is opened in a browser,
        whose cookie does as well. open_paths: need neither. A path that ends in '/' stands for all below it.
    max_bytes: of a body. bytes_per_second, grace: the least rate of a body, and seconds that it may take beside.
    observe: called with the scope, the status and the seconds of each answer.
    """

    hosts: frozenset[str] = frozenset()
    token: str | None = None
    launch: Launch | None = None
    open_paths: tuple[str, ...] = ("/healthz", "/readyz")
    max_bytes: int = 20_000_000
    bytes_per_second: float = BYTES_PER_SECOND
    grace: float = GRACE
    observe: Callable[[Scope, int, float], None] | None = None

    def is_open(self, path: str) -> bool:
        """True for a path that needs no token."""
        return any(
            path == one or (one != "/" and one.endswith("/") and path.startswith(one)) for one in self.open_paths
        )


class Guard:
    """The ASGI application around another one; see the module."""

    def __init__(self, app: ASGIApp, policy: Policy) -> None:
        self.app, self.policy = app, policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # no web socket is offered
            await send({"type": "websocket.close", "code": 1008})
            return
        scope.setdefault("state", {})["request_id"] = secrets.token_hex(8)
        body = _Body(scope, receive, self.policy)
        answer = _Answer(scope, send, body, self.policy)
        try:
            app = self._admit(scope) or self.app
            body.check_length()
            await app(scope, body.receive, answer.send)
        except Exception as error:
            problem = problem_of(error)
            if answer.started:  # the application has answered for it, and logged it
                return
            if problem.code == "internal":
                log.error("request %s failed", request_id_of(scope), exc_info=error)
            await problem.response(scope)(scope, receive, answer.send)

    def _admit(self, scope: Scope) -> ASGIApp | None:
        """None to hand a request on, or the answer that is given in its place. Raises Problem."""
        headers = Headers(scope=scope)
        host = require_host(headers, self.policy.hosts)
        if scope["method"] not in SAFE_METHODS:
            require_own_page(headers, host)
            require_content_type(headers)
        return self._require_token(scope, headers)

    def _require_token(self, scope: Scope, headers: Headers) -> ASGIApp | None:
        token, launch = self.policy.token, self.policy.launch
        if (token is None and launch is None) or self.policy.is_open(scope["path"]):
            return None
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if token is not None and scheme.lower() == "bearer" and _equal(given.strip(), token):
            return None
        if launch is None:
            raise Problem(
                "token",
                "no valid token came; send the header 'Authorization: Bearer TOKEN' with the token of the server",
                {"WWW-Authenticate": "Bearer"},
            )
        admitted = launch.admits(headers.get("cookie", ""))
        tokens = parse_qs(scope["query_string"].decode("latin-1")).get("t", [])
        if scope["method"] == "GET" and tokens and (launch.exchange(tokens[-1]) or admitted):
            return launch.opened(scope["path"])
        if not admitted:
            raise Problem(
                "token",
                "this browser has not been let in; open the address with ?t= that the server printed last (each works "
                "once)",
            )
        return None


def require_host(headers: Headers, hosts: frozenset[str]) -> str:
    """The Host header in lower case, whose name must be one of loopback or of `hosts`. Raises Problem."""
    given = headers.getlist("host")
    host = given[0].lower() if len(given) == 1 else ""
    match = _HOST.fullmatch(host)
    if match is None or match[1] not in LOOPBACK | hosts:
        raise Problem(
            "host",
            f"the host name is '{host[:100]}'; expected {' or '.join(sorted(LOOPBACK | hosts))}: start the server with "
            "--allow-host NAME to serve another one",
        )
    return host


def require_own_page(headers: Headers, host: str) -> None:
    """Raise Problem for a request that a page of another origin sent."""
    origin = headers.get("origin")
    if origin is not None and not _same_origin(origin, host):
        raise Problem("origin", f"the request came from the page '{origin[:100]}'; only pages of {host} may send it")
    site = headers.get("sec-fetch-site")
    if site is not None and site.lower() not in ("same-origin", "none"):
        raise Problem("origin", f"the request came from a page of another origin ({site[:40]}); open the server's own")


def _same_origin(origin: str, host: str) -> bool:
    """True if an Origin header is of the host that was asked, on the same port."""
    scheme, separator, authority = origin.lower().partition("://")
    if not separator or scheme not in _DEFAULT_PORTS:
        return False
    return authority.removesuffix(f":{_DEFAULT_PORTS[scheme]}") == host.removesuffix(f":{_DEFAULT_PORTS[scheme]}")


def require_content_type(headers: Headers) -> None:
    """Raise Problem for a content type that a form could send; without an Origin there may be none."""
    given = headers.get("content-type")
    if given is None:
        if headers.get("origin") is None:
            return
        raise Problem("content-type", "no content type came; send application/json, or that of the file (image/png)")
    kind = given.partition(";")[0].strip().lower()
    if CONTENT_TYPES.fullmatch(kind) is None:
        raise Problem(
            "content-type",
            f"the content type is '{kind[:60]}'; send application/json, application/octet-stream, or that of an image, "
            "sound or video (image/png)",
        )


class _Body:
    """The body of a request: counted, and timed while somebody waits for it."""

    def __init__(self, scope: Scope, receive: Receive, policy: Policy) -> None:
        self._receive, self.policy = receive, policy
        headers = Headers(scope=scope)
        self.length = headers.get("content-length")
        self.asks_first = headers.get("expect", "").lower() == "100-continue"  # it sends nothing before it is read
        self.size, self.waited, self.complete = 0, 0.0, False

    def check_length(self) -> None:
        """Raise Problem for a declared length that is too large, before anything is read."""
        if self.length is not None and self.length.isdigit() and int(self.length) > self.policy.max_bytes:
            raise self._too_large(f"{int(self.length):,}")

    def _too_large(self, size: str) -> Problem:
        return Problem(
            "too-large", f"the body has {size} bytes; at most {self.policy.max_bytes:,} are taken: send less"
        )

    async def receive(self) -> Message:
        """The next message. Raises Problem for a body that is too large or too slow."""
        if self.complete:  # the application waits for the client to go away
            return await self._receive()
        message = await self._next()
        if self.size > self.policy.max_bytes:
            raise self._too_large(f"more than {self.policy.max_bytes:,}")
        return message

    async def _next(self) -> Message:
        allowed = self.policy.grace + self.size / self.policy.bytes_per_second
        begin = time.monotonic()
        try:
            message = await asyncio.wait_for(self._receive(), max(0.0, allowed - self.waited))
        except TimeoutError:
            raise Problem(
                "slow-body",
                f"{self.size:,} bytes of the body came in {allowed:.0f} s; at least "
                f"{self.policy.bytes_per_second:,.0f} a second are expected: send it again over a faster connection",
                {"Connection": "close"},
            ) from None
        self.waited += time.monotonic() - begin
        self.size += len(message.get("body", b""))
        self.complete = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    async def discard(self) -> bool:
        """Read what is left, so that the client hears the answer; False if it is too much or too slow."""
        if self.asks_first and not self.size:
            return False
        try:
            while not self.complete and self.size <= 2 * self.policy.max_bytes:
                await asyncio.wait_for(self._next(), PATIENCE)
        except (Problem, TimeoutError):
            return False
        return self.complete


class _Answer:
    """The answer to a request: with the headers that all have."""

    def __init__(self, scope: Scope, send: Send, body: _Body, policy: Policy) -> None:
        self.scope, self._send, self.body, self.policy = scope, send, body, policy
        self.started = False
        self.begin = time.monotonic()

    async def send(self, message: Message) -> None:
        """Send a message of the application."""
        if message["type"] == "http.response.start":
            self.started = True
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)  # a page with a policy of its own keeps it
            headers["x-request-id"] = request_id_of(self.scope)
            if message["status"] >= 400 and "connection" not in headers and not await self.body.discard():
                headers["connection"] = "close"
            if self.policy.observe is not None:
                self.policy.observe(self.scope, message["status"], time.monotonic() - self.begin)
        await self._send(message)


def _equal(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())


def gunzip(data: bytes, max_bytes: int) -> bytes:
    """Decompress a gzip body of at most `max_bytes` bytes. Raises Problem for more, and for anything else."""
    engine = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        found = engine.decompress(data, max_bytes + 1)
    except zlib.error as error:
        raise Problem("bad-request", f"the body is no gzip ({error}); compress it again or send it plain") from error
    if len(found) > max_bytes:
        raise Problem("too-large", f"the body has more than {max_bytes:,} bytes when it is unpacked; send less")
    if not engine.eof or engine.unused_data:
        raise Problem("bad-request", "the gzip body is cut short or has something behind it; compress it again")
    return found
