"""The studio in a process of its own, and a tab of the browser on its pages."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

WIDTH, HEIGHT = 320, 240
PATIENCE = 60  # seconds for what takes a fraction of one on a quiet machine


def write_images(folder: Path, count: int = 4) -> Path:
    """Scenes of sky, grass and a ball, with some noise."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(3)
    for number in range(count):
        image = Image.new("RGB", (WIDTH, HEIGHT), (140, 180, 235))
        draw = ImageDraw.Draw(image)
        draw.rectangle((0, 120, WIDTH, HEIGHT), fill=(70, 140, 60))
        draw.ellipse((190, 130, 260, 200), fill=(220, 60, 40))
        noise = rng.integers(-8, 9, (HEIGHT, WIDTH, 3))
        noisy = np.clip(np.asarray(image, int) + noise, 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(folder / f"IMG_{number}.png")
    return folder


def serve_until_killed(data: Path, port: int, pipe: Any) -> None:
    from foveate.studio.serve import serve

    os.chdir(data.parent)  # where runs are
    serve(data, threading.Event(), port=port, say=pipe.send)


class Server:
    """The studio in a process of its own, which can be killed and started again on its port."""

    def __init__(self, data: Path, port: int | None = None) -> None:
        self.data = data
        if port is None:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.start()

    def start(self) -> None:
        context = multiprocessing.get_context("fork")  # torch is loaded already
        self.pipe, there = context.Pipe(duplex=False)
        self.process = context.Process(target=serve_until_killed, args=(self.data, self.port, there), daemon=True)
        self.process.start()
        there.close()
        assert self.pipe.poll(PATIENCE), "the studio did not say its address"
        self.address = self.pipe.recv().split(": ", 1)[1]

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.join()
        self.pipe.close()


class Tab:
    """A tab of the browser on one page of the studio."""

    def __init__(self, browser: Any) -> None:
        self.browser = browser

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            found = condition()
            if found:
                return found
            time.sleep(0.05)
        raise AssertionError(f"{what}: not within {PATIENCE} s; the page says {self.text('body')[:400]!r}")

    def open(self, url: str) -> None:
        self.browser.get(url)
        self.ready()

    def ready(self) -> None:
        state = self.until(lambda: self.script("return document.body?.dataset.ready"), "the page")
        assert state == "true", self.text("body")

    @contextlib.contextmanager
    def reloading(self) -> Iterator[None]:
        """Wait, after the block, for the page that its last step loads in place of this one."""
        self.script("window.earlier = true")
        yield
        self.until(lambda: not self.script("return window.earlier ?? false"), "the page again")
        self.ready()

    def script(self, code: str, *given: Any) -> Any:
        return self.browser.execute_script(code, *given)

    def find(self, selector: str) -> Any:
        return self.until(lambda: self.script("return document.querySelector(arguments[0])", selector), selector)

    def text(self, selector: str) -> str:
        return self.script("return document.querySelector(arguments[0])?.textContent ?? ''", selector)

    def keys(self, *keys: str) -> None:
        from selenium.webdriver import ActionChains

        ActionChains(self.browser).send_keys(*keys).perform()

    def chord(self, *held: str, key: str) -> None:
        from selenium.webdriver import ActionChains

        chain = ActionChains(self.browser)
        for one in held:
            chain.key_down(one)
        chain.send_keys(key)
        for one in reversed(held):
            chain.key_up(one)
        chain.perform()

    def places(self, points: list[tuple[float, float]]) -> list[tuple[int, int]]:
        """Points of the image in pixels of the window."""
        code = """
            const {stage} = window.foveate.parts;
            const box = stage.element.getBoundingClientRect();
            return arguments[0].map(([x, y]) => {
                const at = stage.view.toScreen(x, y);
                return [Math.round(box.left + at.x), Math.round(box.top + at.y)];
            });
        """
        return [tuple(point) for point in self.script(code, points)]

    def click(self, *points: tuple[float, float]) -> None:
        self._pointer([[point] for point in self.places(list(points))])

    def drag(self, *points: tuple[float, float]) -> None:
        self._pointer([self.places(list(points))])

    def _pointer(self, strokes: list[list[tuple[int, int]]]) -> None:
        from selenium.webdriver.common.actions.action_builder import ActionBuilder
        from selenium.webdriver.common.actions.mouse_button import MouseButton

        builder = ActionBuilder(self.browser, duration=20)
        pointer = builder.pointer_action
        for first, *rest in strokes:
            pointer.move_to_location(*first).pointer_down(MouseButton.LEFT)
            for point in rest:
                pointer.move_to_location(*point)
            pointer.pointer_up(MouseButton.LEFT)
            pointer.pause(0.4)  # two clicks at one place are not a double click
        builder.perform()

    def saved(self) -> None:
        """Wait until everything is on the disk."""
        code = "const {saver} = window.foveate.parts; return saver.state === 'saved' && !saver.pending"
        self.until(lambda: self.script(code), "saved")

    def seen(self) -> np.ndarray:
        """The label that the page shows at every pixel, (H, W), '' where nothing is decided."""
        code = """
            const {labels} = window.foveate.parts;
            const rows = [];
            for (let y = 0; y < labels.height; y += 1) {
                const row = [];
                for (let x = 0; x < labels.width; x += 1) row.push(labels.at(x, y)?.label ?? '');
                rows.push(row.join(','));
            }
            return rows;
        """
        return np.array([row.split(",") for row in self.script(code)])


def enter(tab: Tab, server: Server) -> None:
    """Open the gallery by the address that the terminal shows."""
    tab.browser.get(server.address)
    tab.until(lambda: "?t=" not in tab.browser.current_url, "the cookie")
    tab.ready()


def open_image(tab: Tab, server: Server, number: int = 0) -> str:
    """Open an image by its name; returns its id."""
    code = """
        const done = arguments[1];
        fetch('/api/1/pictures?limit=100').then(answer => answer.json())
            .then(({pictures}) => done(pictures.find(one => one.name === arguments[0]).id));
    """
    found = tab.browser.execute_async_script(code, f"IMG_{number}.png")
    tab.open(f"{server.url}/label/{found}")
    return found


def on_disk(folder: Path, number: int = 0) -> np.ndarray:
    """The label of every pixel in an image's file, as training would read it; '' where nothing is decided."""
    from foveate.datasets.labelme.json_files import read_shapes
    from foveate.datasets.labelme.shapes import rasterise

    file = folder / f"IMG_{number}.json"
    found = np.full((HEIGHT, WIDTH), "", dtype=object)
    for shape in read_shapes(file, json.loads(file.read_text())["shapes"]):
        found[rasterise(shape, HEIGHT, WIDTH, "here")] = shape.label
    return found.astype(str)


def own(folder: Path, number: int = 0) -> dict[str, Any]:
    """The studio's own entry in an image's file."""
    return json.loads((folder / f"IMG_{number}.json").read_text())["foveate"]


def complaints(browser: Any) -> list[str]:
    """What the browser's console holds against a page, such as a refusal of its policy."""
    return [entry["message"] for entry in browser.get_log("browser")]


def write_run(photos: Path) -> None:
    """A run that has pre-labels of grass and a ball, for all images but those of validation."""
    from foveate.studio import prelabels
    from foveate.studio.folder import Folder
    from foveate.studio.tiles import tiles_to_json

    run = photos.parent / "runs" / "photos-1"
    (run / "model").mkdir(parents=True)
    (run / "model" / "config.json").write_text("{}")
    recipe = {"name": "fcn8s", "task": "semantic", "model": "fcn", "epochs": 3, "data": {"path": str(photos)}}
    (run / "recipe.json").write_text(json.dumps(recipe))
    rows = ["epoch,train_loss,mean_iou", "1,1.5,0.31", "2,0.9,0.52", "3,0.7,0.48"]
    (run / "metrics.csv").write_text("\n".join(rows) + "\n")
    paint = np.zeros((HEIGHT, WIDTH), np.uint16)
    paint[120:] = 1
    paint[10:30, 10:30] = 1
    paint[140:180, 200:250] = 2
    entry = {"group": None, "flags": {}, "description": "", "source": "mask", "score": None}
    objects = [{"number": 1, "label": "grass", **entry}, {"number": 2, "label": "ball", **entry}]
    prelabel = {
        "run": "photos-1", "model_sha256": "0" * 64, "objects": objects, "tiles": tiles_to_json(paint), "outlines": [],
        "confidence": 0.9, "doubt": 0.1, "captions": [],
    }  # fmt: skip
    folder = Folder(photos)
    place = prelabels.place_of(folder, "photos-1")
    place.mkdir(parents=True)
    seen = [one for one in folder.pictures.values() if one.id not in folder.validation()]
    for image in seen:
        (place / f"{image.id}.json").write_text(json.dumps({"version": image.version(), "prelabel": prelabel}))
    (place / "index.json").write_text(json.dumps({"doubts": {image.id: 0.1 for image in seen}}))
