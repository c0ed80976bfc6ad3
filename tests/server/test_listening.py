"""Connections: headers that never end, several requests on one, and a server that is told to stop twice."""

from __future__ import annotations

import asyncio
import socket
from urllib.parse import urlsplit

import httpx
import pytest
from served_models import listening

from foveate.server import listen


def connect(url: str) -> socket.socket:
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname, parts.port), timeout=30)


def test_headers_that_never_end_are_cut_off_and_a_slow_answer_is_not(serve, monkeypatch):
    monkeypatch.setattr(listen, "HEADER_SECONDS", 0.5)
    server = serve("semantic", start=False)
    real = server.service.healthz

    async def slow(request):
        await asyncio.sleep(1.5)
        return await real(request)

    for route in server.client.app.app.routes:
        if route.path == "/healthz":
            monkeypatch.setattr(route, "app", _as_app(slow))
    with listening(server) as url:
        with connect(url) as silent, connect(url) as dripping:
            dripping.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Endless: ")
            assert silent.recv(100) == b"" and dripping.recv(100) == b""  # or TimeoutError
        assert httpx.get(f"{url}/healthz", timeout=60).json() == {"status": "alive"}


def _as_app(handler):
    from starlette.routing import request_response

    return request_response(handler)


def test_a_connection_serves_several_requests(serve):
    with listening(serve("semantic", start=False)) as url, httpx.Client(base_url=url, timeout=60) as client:
        answers = [client.get("/healthz") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200] * 3
        assert "server" not in answers[0].headers


def test_told_twice_it_stops_at_once():
    async def main():
        forever = asyncio.Event()
        server = listen.Server(lambda *a: None, forever.wait, 8)
        server.ask_to_stop()
        await asyncio.sleep(0)
        assert not server.should_exit  # it drains
        server.ask_to_stop()
        assert server.should_exit and server.force_exit
        forever.set()
        await server._stopping

    asyncio.run(main())


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("localhost", True), ("[::1]", True), ("0.0.0.0", False), ("", False), ("a.example", False)],
)
def test_loopback(host, expected):
    assert listen.is_loopback(host) is expected
