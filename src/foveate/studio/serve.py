"""The server of the labelling page: it binds, prints its address, and ends when it is told to."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn

from foveate.errors import ConfigError
from foveate.server.guard import LOOPBACK, Launch
from foveate.studio.app import application
from foveate.studio.folder import Folder
from foveate.studio.lock import FolderLock
from foveate.studio.studio import Studio

GRACE = 10  # seconds that answers may take after the end was asked for
MOST_CONNECTIONS = 100


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

    The first line that is said is the address. opened: called with it once. Raises DataError for a folder that cannot
    be labelled, ConfigError for a port or a folder that is taken.
    """
    listener = bind(host, port)
    try:
        shown = "127.0.0.1" if host in ("", "0.0.0.0", "::") else f"[{host}]" if ":" in host else host
        address = f"http://{shown}:{listener.getsockname()[1]}"
        lock = None if read_only else FolderLock(Folder(data).own, {"address": address})
        try:
            studio = Studio(data, run, read_only=read_only)
            try:
                _serve(studio, listener, address, stop, hosts | ({shown.lower()} - LOOPBACK), opened, say)
            finally:
                studio.close()
        finally:
            if lock is not None:
                lock.release()
    finally:
        listener.close()


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises ConfigError. A taken port is not replaced: a browser keeps its journal by it."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(MOST_CONNECTIONS)
    except (OSError, OverflowError) as error:
        taken = getattr(error, "errno", None) == errno.EADDRINUSE
        reason = "another program has the port" if taken else str(getattr(error, "strerror", None) or error)
        raise ConfigError(
            f"cannot listen on {host}:{port}: {reason}; stop it, or choose another one with --port"
        ) from error
    return listener


def _serve(
    studio: Studio,
    listener: socket.socket,
    address: str,
    stop: threading.Event,
    hosts: frozenset[str],
    opened: Callable[[str], Any] | None,
    say: Callable[[str], None],
) -> None:
    said: list[str] = []

    def announce(token: str) -> None:
        say(f"{'open' if not said else 'for another browser'}: {address}/?t={token}")
        said.append(token)

    launch = Launch(listener.getsockname()[1], announce)
    say(f"{len(studio.folder)} pictures in {studio.folder.root}; Ctrl-C ends the studio, trainings go on")
    config = uvicorn.Config(
        application(studio, launch, hosts),
        log_level=logging.WARNING,
        lifespan="off",
        proxy_headers=False,
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=GRACE,
        ws="none",
    )
    server = uvicorn.Server(config)
    sockets = [listener]
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets)), name="server", daemon=True)
    thread.start()
    if opened is not None:
        opened(f"{address}/?t={launch.token}")
    while thread.is_alive() and not stop.wait(0.2):
        pass
    server.should_exit = True
    thread.join(GRACE + 5)

