"""A server around untrained models, and files to send it."""

from __future__ import annotations

import asyncio
import contextlib
import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from starlette.testclient import TestClient
from untrained_models import BUILDERS as BUILDERS
from untrained_models import CLASSES as CLASSES

from foveate.server import listen
from foveate.server.app import OPEN, Service
from foveate.server.guard import Policy
from foveate.server.metrics import Metrics
from foveate.server.models import Models, load
from foveate.server.work import Work


class Server:
    """A server in this process: client, and what is inside."""

    def __init__(self, paths: dict[str, Path], policy: dict[str, Any], queue: int, deadline: float, start: bool):
        self.metrics, self.models = Metrics(), Models(paths)
        self.work = Work(queue, deadline)
        self.service = Service(self.models, self.work, self.metrics, 20_000_000)
        guard = Policy(open_paths=OPEN, observe=self.service.observe, **policy)
        self.client = TestClient(self.service.app(guard), base_url="http://127.0.0.1:8000")
        if start:
            self.start()

    def start(self) -> None:
        self.models.load_all(lambda name, path: load(name, path, "cpu", {"queue": self.work.limit}))
        self.work.start()

    def post(self, path: str, content: Any = None, **more: Any) -> Any:
        """A request as a client would make it: bytes with an image's type, an object as JSON."""
        if isinstance(content, bytes):
            more.setdefault("headers", {"content-type": "image/png"})
            return self.client.post(path, content=content, **more)
        return self.client.post(path, json=content, **more)


def noise(height: int = 40, width: int = 56, channels: int = 3, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def png(pixels: np.ndarray | None = None, **more: Any) -> bytes:
    """An image as the bytes of a file."""
    file = io.BytesIO()
    pixels = noise() if pixels is None else pixels
    Image.fromarray(pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels).save(
        file, format=more.pop("format", "PNG"), **more
    )
    return file.getvalue()


@contextlib.contextmanager
def listening(server: Server) -> Iterator[str]:
    """The address of a server that runs in a thread."""
    socket = listen.bind("127.0.0.1", 0)
    running = listen.Server(server.client.app, lambda: server.work.drain(5), 64)
    thread = threading.Thread(target=lambda: asyncio.run(running.serve(sockets=[socket])))
    thread.start()
    try:
        yield listen.address_of(socket)
    finally:
        running.should_exit = True
        thread.join(30)
        assert not thread.is_alive()
