"""The server of the labelling page: what was acknowledged outlives kill -9, and it ends when it is told to."""

import contextlib
import hashlib
import os
import signal
import threading

import httpx
import numpy as np
import pytest
from labelling import CLASSES, HEIGHT, WIDTH

from foveate.errors import ConfigError
from foveate.server.listen import bind
from foveate.studio.document import parse
from foveate.studio.folder import Folder
from foveate.studio.serve import serve
from foveate.studio.store import Store
from foveate.studio.tiles import tiles_to_json


class Server:
    """A studio in a process of its own: a fork, which need not import everything again."""

    def __init__(self, data):
        read, write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                stop = threading.Event()
                signal.signal(signal.SIGTERM, lambda *_: stop.set())
                serve(data, stop, port=0, say=lambda line: os.write(write, f"{line}\n".encode()))
                code = 0
            finally:
                os._exit(code)
        os.close(write)
        with os.fdopen(read) as lines:
            address = next(line for line in lines if line.startswith("open: ")).removeprefix("open: ").strip()
        self.client = httpx.Client(base_url=address.partition("/?")[0], timeout=120)
        assert self.client.get(f"/?{address.partition('?')[2]}").status_code == 200

    def put(self, path, body, etag):
        return self.client.put(f"/api/1{path}", json=body, headers={"If-Match": etag})

    def kill(self, number=signal.SIGKILL):
        os.kill(self.pid, number)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def stroke(paint, rng):
    """A stroke of a random object."""
    x, y = int(rng.integers(0, WIDTH - 30)), int(rng.integers(0, HEIGHT - 30))
    paint[y : y + 30, x : x + 30] = int(rng.integers(1, 4))
    objects = [{"number": n, "label": label} for n, label in ((1, "sky"), (2, "road"), (3, "car"))]
    return {"objects": objects, "outlines": [], "tiles": tiles_to_json(paint, [(0, 0), (1, 0), (0, 1), (1, 1)])}


def test_every_acknowledged_stroke_outlives_kill_9(photos):
    """Twenty times: some strokes, then the server is killed while another one is under way."""
    rng = np.random.default_rng(0)
    store = Store(Folder(photos))
    store.save_classes("none", CLASSES)
    store.close()
    picture = next(iter(store.folder.pictures.values()))
    paint, etag = np.zeros((HEIGHT, WIDTH), np.uint16), '"none"'
    url = f"/pictures/{picture.id}/labels"
    for _ in range(20):
        server = Server(photos)
        for _ in range(int(rng.integers(1, 4))):
            answer = server.put(url, stroke(paint, rng), etag)
            assert answer.status_code == 200, answer.text
            etag = answer.headers["etag"]
        flying = paint.copy()
        body = stroke(flying, rng)
        sender = threading.Thread(target=lambda s=server, b=body, e=etag: _send(s, url, b, e))
        sender.start()
        threading.Event().wait(float(rng.random() * 0.01))
        server.kill()
        sender.join()
        content = picture.labels.read_bytes()
        found = parse(picture.labels, content, HEIGHT, WIDTH).layers.paint
        assert np.array_equal(found, paint) or np.array_equal(found, flying)
        paint, etag = found.copy(), f'"{hashlib.sha256(content).hexdigest()}"'
    again = Store(Folder(photos))
    assert again.masks.wait() and not again.masks.problems
    again.close()
    assert not [path for path in photos.rglob("*") if "unfinished" in path.name]


def _send(server, url, body, etag):
    with contextlib.suppress(httpx.HTTPError):
        server.put(url, body, etag)


def test_the_server_ends_with_0_and_leaves_no_lock_behind(photos):
    server = Server(photos)
    assert server.client.get("/api/1/project").json()["counts"]["pictures"] == 6
    with pytest.raises(ConfigError, match="is open in another studio"):
        serve(photos, threading.Event(), port=0)
    assert server.kill(signal.SIGTERM) == 0
    stop = threading.Event()
    stop.set()
    serve(photos, stop, port=0, say=lambda line: None)


def test_a_taken_port_is_not_replaced(photos):
    listener = bind("127.0.0.1", 0)
    port = listener.getsockname()[1]
    with pytest.raises(
        ConfigError, match=f"cannot listen on 127.0.0.1, port {port}: Address already in use; choose another --port"
    ):
        serve(photos, threading.Event(), port=port)
    listener.close()
    assert not (photos / ".foveate").exists()


def test_the_address_is_the_first_line_and_is_opened(photos):
    lines, opened, stop = [], [], threading.Event()

    def note(address):
        opened.append(address)
        stop.set()

    serve(photos, stop, port=0, say=lines.append, opened=note)
    assert lines[0].startswith("open: http://127.0.0.1:") and lines[0].endswith(opened[0].partition("?t=")[2])
    assert lines[1].startswith(f"6 pictures in {photos}")
    assert not (photos / ".foveate").exists(), "nothing is written before something is changed"
