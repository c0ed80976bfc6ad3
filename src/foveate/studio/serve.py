"""The server of the labelling page: it binds, prints its address, and stops on request."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from foveate.errors import counted
from foveate.server.guard import LOOPBACK, Launch
from foveate.server.listen import Server, address_of, bind
from foveate.studio.app import application
from foveate.studio.folder import Folder
from foveate.studio.lock import FolderLock
from foveate.studio.studio import Studio

MOST_CONNECTIONS = 100
GRACE = 10.0  # seconds that answers may take after the end was asked for
_ANY = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # addresses of all interfaces -> one that a browser here can open


def serve(
    data: str | Path,
    stop: threading.Event,
    *,
    run: Path | None = None,
    host: str = "127.0.0.1",
    port: int = 8400,
    hosts: frozenset[str] = frozenset(),
    read_only: bool = False,
    opened: Callable[[str], Any] | None = None,
    say: Callable[[str], None] = lambda line: print(line, flush=True),
) -> None:
    """Serve a folder until `stop` is set.

    The first line that is said is the address. opened: called with it once. hosts: further names that the page may be
    opened under. Raises DataError for a folder that cannot be labelled, ConfigError for a port or a folder that is
    taken: another port is never taken instead, since a browser keeps its journal by it.
    """
    listening = bind(host, port)
    try:
        name, bound = listening.getsockname()[:2]
        address = f"http://{_ANY[name]}:{bound}" if name in _ANY else address_of(listening)
        folder = Folder(data)
        lock = None if read_only else FolderLock(folder.root, folder.own, {"address": address})
        try:
            studio = Studio(data, run, read_only=read_only, begin=lock.begin if lock else None)
            said: list[str] = []

            def announce(token: str) -> None:
                say(f"{'for another browser' if said else 'open'}: {address}/?t={token}")
                said.append(token)

            launch = Launch(bound, announce)
            pictures = counted(len(studio.folder), "picture")
            say(f"{pictures} in {studio.folder.root}; Ctrl-C ends the studio, trainings go on")
            names = hosts | ({host.lower()} - LOOPBACK - set(_ANY))
            try:
                server = Server(application(studio, launch, names), _nothing, MOST_CONNECTIONS)
                begun = None if opened is None else functools.partial(opened, f"{address}/?t={launch.token}")
                _listen(server, listening, stop, begun)
            finally:
                studio.close()
        finally:
            if lock is not None:
                lock.release()
    finally:
        listening.close()


async def _nothing() -> None:
    """Wait for nothing before the end: no request is queued."""


def _listen(server: Server, listening: Any, stop: threading.Event, begun: Callable[[], Any] | None) -> None:
    """Answer in a thread of its own, until `stop` is set."""
    sockets = [listening]
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets)), name="server", daemon=True)
    thread.start()
    if begun is not None:
        begun()
    while thread.is_alive() and not stop.wait(0.2):
        pass
    server.should_exit = True
    thread.join(GRACE)
