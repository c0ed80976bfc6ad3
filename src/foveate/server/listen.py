"""Listening on an address, and stopping: uvicorn with this package's limits and signals."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from foveate.errors import ConfigError

HEADER_SECONDS = 10.0  # from a connection, or the answer before, to the end of a request's headers
KEEP_ALIVE_SECONDS = 5
SHUTDOWN_SECONDS = 3  # for answers that are being written when the server has drained


def is_loopback(host: str) -> bool:
    """True for a name or address that only this machine reaches."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens. port: 0 takes a free one. Raises ConfigError, with the reason."""
    if not 0 <= port <= 65535:
        raise ConfigError(f"--port is {port}; give a number from 0, which takes a free one, to 65535")
    host = host.strip("[]")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"--host {host}: no such name or address here; give one of this machine's") from error
    family, kind, protocol, _, address = found[0]
    listening = socket.socket(family, kind, protocol)
    try:
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):  # Windows, where SO_REUSEADDR would let two servers share a port
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(256)
    except OSError as error:
        listening.close()
        raise ConfigError(
            f"cannot listen on {host}, port {port}: {error.strerror or error}; choose another --port (0 takes a free "
            "one), or another --host"
        ) from error
    return listening


def address_of(listening: socket.socket) -> str:
    """The address of a server: http://127.0.0.1:8000."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Protocol(H11Protocol):
    """HTTP/1.1 with a limit on the time that a request's headers may take, against clients that never end them."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait_for_headers()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._wait_for_headers()

    def _wait_for_headers(self) -> None:
        before = self.cycle

        def check() -> None:
            idle = self.cycle is before and (before is None or before.response_complete)
            if idle and not self.transport.is_closing():
                self.transport.close()

        self.loop.call_later(HEADER_SECONDS, check)


class Server(uvicorn.Server):
    """A server that drains before it stops.

    on_stop: awaited at the first SIGTERM or SIGINT, while requests are still read and answered; a second signal stops
    at once.
    """

    def __init__(self, app: ASGIApp, on_stop: Callable[[], Awaitable[None]], most_connections: int) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=_Protocol,
                ws="none",
                loop="asyncio",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                limit_concurrency=most_connections,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=SHUTDOWN_SECONDS,
            )
        )
        self._on_stop = on_stop
        self._signals = 0
        self._stopping: asyncio.Task[None] | None = None

    def ask_to_stop(self) -> None:
        """Drain and stop; asked a second time, stop at once. To be called in the event loop's thread."""
        self._signals += 1
        if self._signals > 1:
            self.force_exit = self.should_exit = True
        else:
            self._stopping = asyncio.ensure_future(self._drain())

    async def _drain(self) -> None:
        try:
            await self._on_stop()
        finally:
            self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take the signals; uvicorn's own way closes the listener at once, and ends with the signal's exit code."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()

        def handle(number: int, frame: Any) -> None:
            loop.call_soon_threadsafe(self.ask_to_stop)

        names = [signal.SIGINT, signal.SIGTERM, *([signal.SIGBREAK] if hasattr(signal, "SIGBREAK") else [])]
        before = {number: signal.signal(number, handle) for number in names}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
