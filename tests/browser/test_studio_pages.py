"""The studio as a person meets it: from a new folder to labels, keys alone, two tabs, and a server that dies."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

pytestmark = pytest.mark.browser

WIDTH, HEIGHT = 320, 240
PATIENCE = 60  # seconds for what takes a fraction of one on a quiet machine
CLASSES = ("sky", "grass", "ball")
PAGES = ("/", "/train", "/ship", "/help")


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


@pytest.fixture
def photos(tmp_path) -> Path:
    """Four images, and three classes."""
    folder = write_images(tmp_path / "photos")
    (folder / "classes.txt").write_text("sky #5f9fe8\ngrass #2f8f3f\nball #d8452f\nunlabelled: ignore\n")
    return folder


@pytest.fixture
def running() -> Iterator[Callable[..., Server]]:
    """running(folder): a server, ended after the test."""
    with ExitStack() as stack:

        def start(data: Path) -> Server:
            server = Server(data)
            stack.callback(lambda: server.process.is_alive() and server.kill())
            return server

        yield start


@pytest.fixture
def tab(browser) -> Iterator[Tab]:
    metrics = {"width": 1280, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    first = browser.current_window_handle
    browser.get_log("browser")
    yield Tab(browser)
    for handle in browser.window_handles:
        if handle != first:
            browser.switch_to.window(handle)
            browser.close()
    browser.switch_to.window(first)
    browser.get("about:blank")


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


def test_a_new_folder_becomes_labels(tab, running, tmp_path):
    from selenium.webdriver.common.keys import Keys

    photos = write_images(tmp_path / "photos")
    before = {path: path.read_bytes() for path in photos.iterdir()}
    server = running(photos)
    enter(tab, server)
    for count, name in enumerate(CLASSES, 1):
        tab.find("#new-class").send_keys(name, Keys.ENTER)
        tab.until(
            lambda n=count: len(tab.script("return document.querySelectorAll('#class-strip .swatch')")) == n, name
        )
    assert tab.text("#invitation") == "4 more images until a first model can be trained."
    open_image(tab, server)
    tab.keys("p", "2")
    tab.click((20, 150), (300, 150), (300, 230), (20, 230))
    tab.keys("n")
    tab.saved()
    assert json.loads((server.data / "IMG_0.json").read_text())["shapes"][0]["shape_type"] == "polygon"
    tab.keys("b", "1")
    tab.drag((40, 40), (200, 60), (280, 160))  # its end lies over the outline
    tab.saved()
    tab.keys("f", "1")
    tab.drag((20, 15), (120, 15))
    tab.keys("2")
    tab.drag((8, 132), (8, 236))
    proposed = "return window.foveate.parts.tool.tiles !== null"
    tab.until(lambda: tab.script(proposed), "the fill")
    tab.keys("n")
    tab.saved()
    assert (tab.seen() != "").all(), "every pixel has the class of a scribble"
    tab.keys("g", "3")
    tab.drag((180, 122), (270, 210))
    tab.until(lambda: tab.script(proposed), "the cut")
    tab.keys("n")
    tab.until(lambda: (tab.seen() == "ball").any(), "the ball")
    tab.saved()
    seen = tab.seen()
    found = seen == "ball"
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    ball = (rows - 165) ** 2 + (columns - 225) ** 2 < 35**2
    assert (found & ball).sum() / (found | ball).sum() > 0.8
    np.testing.assert_array_equal(on_disk(server.data), seen)
    assert own(server.data)["state"] == "draft" and own(server.data)["strokes"] == 4
    tab.find("#done").click()
    tab.until(lambda: "/label/" in tab.browser.current_url and tab.text("#name") == "IMG_1.png", "the next image")
    assert own(server.data)["state"] == "done"
    assert {path: path.read_bytes() for path in before} == before, "images are never touched"
    assert complaints(tab.browser) == []


def test_undo_and_redo_are_saved_too(tab, running, photos):
    from selenium.webdriver.common.keys import Keys

    server = running(photos)
    enter(tab, server)
    open_image(tab, server)
    tab.keys("p", "3")
    tab.click((100, 60), (180, 60), (140, 130))
    tab.keys("n")
    tab.saved()
    outline = tab.seen()
    tab.keys("b", "1")
    tab.drag((60, 90), (150, 90))
    tab.saved()
    painted = tab.seen()
    assert (painted == "sky").any() and (painted != outline).any()
    tab.chord(Keys.CONTROL, key="z")
    tab.saved()
    np.testing.assert_array_equal(tab.seen(), outline)
    np.testing.assert_array_equal(on_disk(photos), outline)
    shapes = json.loads((photos / "IMG_0.json").read_text())["shapes"]
    assert [shape["shape_type"] for shape in shapes] == ["polygon"], "an outline again"
    tab.chord(Keys.CONTROL, Keys.SHIFT, key="z")
    tab.saved()
    np.testing.assert_array_equal(tab.seen(), painted)
    np.testing.assert_array_equal(on_disk(photos), painted)


def test_undo_reaches_back_to_an_image_that_was_left(tab, running, photos):
    from selenium.webdriver.common.keys import Keys

    server = running(photos)
    enter(tab, server)
    open_image(tab, server)
    tab.keys("p", "3")
    tab.click((100, 60), (180, 60), (140, 130))
    tab.keys("n")
    outline = tab.seen()
    tab.keys("b", "1")
    tab.drag((60, 90), (150, 90))
    tab.saved()
    painted = tab.seen()
    tab.chord(Keys.CONTROL, key=Keys.ENTER)
    tab.until(lambda: tab.text("#name") == "IMG_1.png", "the next image")
    tab.ready()
    tab.keys("a")
    tab.until(lambda: tab.text("#name") == "IMG_0.png", "the first image")
    tab.ready()
    tab.chord(Keys.CONTROL, key="z")
    tab.saved()
    np.testing.assert_array_equal(tab.seen(), outline)
    np.testing.assert_array_equal(on_disk(photos), outline)
    tab.chord(Keys.CONTROL, key="z")
    tab.saved()
    assert (tab.seen() == "").all()
    for _ in range(2):
        tab.chord(Keys.CONTROL, Keys.SHIFT, key="z")
    tab.saved()
    np.testing.assert_array_equal(on_disk(photos), painted)
    tab.keys("d")
    tab.until(lambda: tab.text("#name") == "IMG_1.png", "the next image")
    data = json.loads((photos / "IMG_0.json").read_text())
    (photos / "IMG_0.json").write_text(json.dumps(data | {"other": 1}))
    tab.ready()
    tab.keys("a")
    tab.until(lambda: tab.text("#name") == "IMG_0.png", "the first image")
    tab.ready()
    tab.chord(Keys.CONTROL, key="z")
    tab.until(lambda: tab.text(".said") == "Nothing to undo.", "the word")
    np.testing.assert_array_equal(tab.seen(), painted)


def test_keys_alone_draw_a_polygon(tab, running, photos):
    from selenium.webdriver.common.keys import Keys

    server = running(photos)
    enter(tab, server)
    open_image(tab, server)
    tab.script("""
        const {view} = window.foveate.parts.stage;
        view.fit();
        view.zoomAt(view.width / 2, view.height / 2, 1 / view.scale);  // 100 %, so that a key is a pixel
        window.foveate.pointer = null;
    """)
    tab.keys("p", "3")
    tab.keys(Keys.ARROW_LEFT, Keys.ARROW_UP)
    at = tab.script("return window.foveate.parts.crosshair.at")
    tab.keys(Keys.ENTER)
    for direction, times in ((Keys.ARROW_RIGHT, 4), (Keys.ARROW_DOWN, 3), (Keys.ARROW_LEFT, 4)):
        for _ in range(times):
            tab.chord(Keys.SHIFT, key=direction)
        tab.keys(direction, Keys.ENTER)
    assert tab.text("#where").endswith("undecided")
    tab.keys(Keys.BACK_SPACE)
    tab.keys(Keys.ENTER, "n")
    tab.saved()
    (shape,) = json.loads((photos / "IMG_0.json").read_text())["shapes"]
    x, y = at["x"], at["y"]
    assert shape["label"] == "ball"
    assert shape["points"] == [[x, y], [x + 41, y], [x + 41, y + 31], [x, y + 31]]
    np.testing.assert_array_equal(on_disk(photos), tab.seen())
    tab.chord(Keys.CONTROL, key=Keys.ENTER)
    tab.until(lambda: tab.text("#name") == "IMG_1.png", "the next image")
    assert own(photos)["state"] == "done"


def test_objects_are_told_apart_and_joined(tab, running, photos):
    server = running(photos)
    enter(tab, server)
    open_image(tab, server)
    tab.keys("m", "b", "3")
    tab.drag((40, 40), (60, 40))
    tab.keys("n")
    tab.drag((120, 40), (140, 40))
    tab.saved()
    shapes = json.loads((photos / "IMG_0.json").read_text())["shapes"]
    assert [shape["label"] for shape in shapes] == ["ball", "ball"] and [shape["group_id"] for shape in shapes] == [
        None
    ] * 2
    tab.keys("v")
    tab.click((50, 40))
    tab.script(
        "document.querySelectorAll('#regions button')[1].dispatchEvent(new MouseEvent('click', {shiftKey: true}))"
    )
    tab.script("document.getElementById('stage').focus()")
    tab.keys("j")
    tab.saved()
    shapes = json.loads((photos / "IMG_0.json").read_text())["shapes"]
    assert [shape["group_id"] for shape in shapes] == [1, 1]
    tab.keys("1")
    tab.saved()
    assert {shape["label"] for shape in json.loads((photos / "IMG_0.json").read_text())["shapes"]} == {"sky"}


def test_decided_pixels_can_be_kept(tab, running, photos):
    server = running(photos)
    enter(tab, server)
    open_image(tab, server)
    tab.keys("p", "1")
    tab.click((40, 40), (160, 40), (160, 110), (40, 110))
    tab.keys("n", "k", "b", "2")
    before = tab.seen()
    tab.drag((20, 75), (200, 75))
    tab.saved()
    after = tab.seen()
    assert (after[before == "sky"] == "sky").all() and (after == "grass").any()
    assert json.loads((photos / "IMG_0.json").read_text())["shapes"][-1]["shape_type"] == "polygon", "still an outline"
    np.testing.assert_array_equal(on_disk(photos), after)
    tab.keys("k")


def other_tab(tab: Tab, address: str) -> str:
    """Open a further tab, and return the handle of the first."""
    first = tab.browser.current_window_handle
    tab.browser.switch_to.new_window("tab")
    tab.open(address)
    return first


@pytest.mark.parametrize("choice", ["mine", "theirs"])
def test_two_tabs_ask_which_version_stays(tab, running, photos, choice):
    server = running(photos)
    enter(tab, server)
    open_image(tab, server)
    tab.keys("b", "1")
    first = other_tab(tab, tab.browser.current_url)
    tab.keys("b", "2")
    tab.drag((60, 150), (200, 150))
    tab.saved()
    theirs = tab.seen()
    second = tab.browser.current_window_handle
    tab.browser.switch_to.window(first)
    tab.drag((60, 40), (200, 40))
    tab.find("dialog [data-answer=compare]").click()
    tab.find(".versions canvas")
    mine = tab.seen()
    assert (mine == "sky").any() and not (mine == "grass").any()
    tab.find(f"dialog [data-answer={choice}]").click()
    expected = mine if choice == "mine" else theirs
    if choice == "mine":
        tab.saved()
    else:
        tab.until(lambda: not tab.script("return document.querySelector('dialog')"), "the page again")
        tab.ready()
    np.testing.assert_array_equal(tab.seen(), expected)
    np.testing.assert_array_equal(on_disk(photos), expected)
    loser, labels = ("theirs", {"grass"}) if choice == "mine" else ("mine", {"sky"})
    kept = [json.loads(path.read_text()) for path in (photos / ".foveate").glob(f"IMG_0.json.{loser}-*")]
    assert [{shape["label"] for shape in one["shapes"]} for one in kept] == [labels], "the other version is kept, too"
    tab.browser.switch_to.window(second)
    tab.browser.close()
    tab.browser.switch_to.window(first)


def test_a_server_that_is_killed_costs_no_stroke(tab, running, photos):
    """What was acknowledged is on the disk; what was not is kept in the browser, and saved when the studio is back."""
    server = running(photos)
    enter(tab, server)
    open_image(tab, server)
    tab.keys("b", "1")
    tab.drag((60, 40), (200, 40))
    tab.saved()
    acknowledged = tab.seen()
    server.kill()
    np.testing.assert_array_equal(on_disk(photos), acknowledged)
    tab.keys("2")
    tab.drag((60, 180), (200, 180))
    tab.until(lambda: "kept in this browser" in tab.text("#saved"), "the mark")
    seen = tab.seen()
    server.start()
    first = tab.browser.current_window_handle
    tab.browser.switch_to.new_window("tab")
    enter(tab, server)  # the new address lets this browser in again, the older tab with it
    tab.browser.close()
    tab.browser.switch_to.window(first)
    tab.saved()
    np.testing.assert_array_equal(on_disk(photos), seen)
    assert not list(photos.rglob("*.unfinished"))


def test_strokes_of_a_closed_page_are_offered_again(tab, running, photos):
    server = running(photos)
    enter(tab, server)
    found = open_image(tab, server)
    tab.keys("b", "1")
    tab.drag((60, 40), (200, 40))
    tab.saved()
    server.kill()
    tab.drag((60, 90), (200, 90))
    tab.until(lambda: "kept in this browser" in tab.text("#saved"), "the mark")
    seen = tab.seen()
    tab.browser.get("about:blank")
    server.start()
    enter(tab, server)
    assert "not on the disk, of 1 image" in tab.until(lambda: tab.text("#notes"), "the note")
    tab.browser.get(f"{server.url}/label/{found}")
    tab.find("dialog [data-answer=yes]").click()
    tab.ready()
    tab.saved()
    np.testing.assert_array_equal(tab.seen(), seen)
    np.testing.assert_array_equal(on_disk(photos), seen)
    assert own(photos)["strokes"] == 2


@pytest.mark.parametrize("choice", ["mine", "theirs"])
def test_strokes_of_a_closed_page_and_a_file_that_changed_are_both_kept(tab, running, photos, choice):
    server = running(photos)
    enter(tab, server)
    found = open_image(tab, server)
    tab.keys("b", "1")
    tab.drag((60, 40), (200, 40))
    tab.saved()
    server.kill()
    tab.drag((60, 90), (200, 90))
    tab.until(lambda: "kept in this browser" in tab.text("#saved"), "the mark")
    mine = tab.seen()
    tab.browser.get("about:blank")
    theirs = json.loads((photos / "IMG_0.json").read_text())
    theirs["shapes"][0]["label"] = "grass"
    (photos / "IMG_0.json").write_text(json.dumps(theirs))
    server.start()
    enter(tab, server)
    tab.browser.get(f"{server.url}/label/{found}")
    tab.find(f"dialog [data-answer={choice}]").click()
    tab.ready()
    other = {"mine": "theirs", "theirs": "mine"}[choice]
    tab.until(lambda: list((photos / ".foveate").glob(f"IMG_0.json.{other}-*")), "the version that lost")
    (kept,) = [json.loads(path.read_text()) for path in (photos / ".foveate").glob(f"IMG_0.json.{other}-*")]
    if choice == "mine":
        tab.saved()
        np.testing.assert_array_equal(on_disk(photos), mine)
        assert kept == theirs
    else:
        assert json.loads((photos / "IMG_0.json").read_text()) == theirs
        (photos / "IMG_3.json").write_text(json.dumps(kept))
        np.testing.assert_array_equal(on_disk(photos, 3), mine)


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


def blind_and_seen(photos: Path) -> tuple[int, int]:
    """The numbers of an image of the validation fifth, and of one that is not."""
    from foveate.studio.folder import Folder

    folder = Folder(photos)
    names = {one.path.name: one.id in folder.validation() for one in folder.pictures.values()}
    numbers = {blind: int(name[4:-4]) for name, blind in names.items()}
    return numbers[True], numbers[False]


def test_pre_labels_are_taken_by_region_class_or_all(tab, running, photos):
    from selenium.webdriver.common.keys import Keys

    write_run(photos)
    blind, number = blind_and_seen(photos)
    server = running(photos)
    enter(tab, server)
    open_image(tab, server, blind)
    assert not tab.script("return document.getElementById('blind').hidden")
    open_image(tab, server, number)
    tab.until(lambda: not tab.script("return document.getElementById('suggestions').hidden"), "the pre-labels")
    assert (tab.seen() == "").all(), "nothing is taken by itself"
    tab.keys("1", "Y")  # of a class that the run does not see here
    tab.until(lambda: tab.text(".said") == "There is nothing to take.", "the word")
    assert tab.text("#state") == "untouched" and not (photos / f"IMG_{number}.json").exists()
    tab.keys("b", "1")
    tab.drag((220, 150), (230, 150))
    tab.saved()
    mine = tab.seen() == "sky"
    assert own(photos, number)["origin"] is None, "what is drawn by hand has no other origin"
    tab.keys("v")
    tab.click((20, 20))
    tab.keys("r")
    tab.saved()
    seen = tab.seen()
    assert (seen[10:30, 10:30] == "grass").all() and (seen[120:] == "grass").sum() == 0, "one region"
    tab.keys("3", "Y")
    tab.until(lambda: (tab.seen() == "ball").any(), "the class")
    assert not (tab.seen()[120:] == "grass").any()
    tab.keys("y")
    tab.until(lambda: (tab.seen()[120:] == "grass").any(), "all")
    tab.saved()
    seen = tab.seen()
    assert (seen[mine] == "sky").all(), "what was painted by hand stays"
    assert (seen[120:] != "").all() and not (seen[:120][~mine[:120]] == "sky").any()
    np.testing.assert_array_equal(on_disk(photos, number), seen)
    tab.chord(Keys.CONTROL, key=Keys.ENTER)
    tab.until(lambda: own(photos, number)["state"] == "done", "done")
    open_image(tab, server, number)
    assert tab.text("#skip") == "Reopen"
    decided = HEIGHT * WIDTH // 2 + 400
    kept = round((decided - int(mine[120:].sum())) / decided, 3)
    assert own(photos, number)["origin"] == {"run": "photos-1", "model_sha256": "0" * 64, "kept": kept}


def test_a_run_shows_its_curve_and_the_way_back(tab, running, photos):
    write_run(photos)
    (photos.parent / "runs" / "photos-1" / "samples.json").write_text(
        json.dumps([{"name": "IMG_2.png", "mean_iou": 0.2}, {"name": "IMG_1.png", "mean_iou": 0.4}])
    )
    server = running(photos)
    enter(tab, server)
    tab.open(f"{server.url}/train")
    assert "photos-1" in tab.until(lambda: tab.text("#runs-section table"), "the runs")
    assert tab.text("#command").startswith("foveate train ") and not tab.find("#start").is_enabled()
    tab.open(f"{server.url}/runs/photos-1")
    assert tab.script("return document.querySelector('.chart').getAttribute('aria-label')") == (
        "mean IoU of 3 epochs; best 0.520 in epoch 2"
    )
    worst = tab.browser.find_elements("css selector", ".images a")
    assert [one.find_element("css selector", ".name").text for one in worst] == ["IMG_2.png", "IMG_1.png"]
    worst[0].click()
    tab.until(lambda: tab.text("#name") == "IMG_2.png", "the worst image")
    assert complaints(tab.browser) == []


def test_an_export_of_the_terminal_is_seen(tab, running, photos):
    write_run(photos)
    (photos.parent / "runs" / "photos-1" / "model.onnx").write_bytes(b"onnx")
    server = running(photos)
    enter(tab, server)
    tab.open(f"{server.url}/ship")
    tab.until(lambda: "Exported in the terminal" in tab.text("#main"), "the export")
    assert "has model.onnx, which this page did not make" in tab.text("#main")
    assert "Not exported yet" not in tab.text("#main")


def test_a_file_that_cannot_be_read_blocks_its_image(tab, running, photos):
    (photos / "IMG_0.json").write_text('{"shapes": [{"label": "sky"')
    server = running(photos)
    enter(tab, server)
    found = tab.browser.execute_async_script(
        "fetch('/api/1/pictures').then(a => a.json()).then(({pictures}) => arguments[0](pictures[0]))"
    )
    assert found["state"] == "blocked"
    tab.browser.get(f"{server.url}/label/{found['id']}")
    tab.until(lambda: tab.script("return document.body.dataset.ready") == "failed", "the message")
    assert "IMG_0.json" in tab.text("#stage")
    assert (photos / "IMG_0.json").read_text() == '{"shapes": [{"label": "sky"'


@pytest.mark.parametrize("way", ["done", "next", "tool", "gallery", "at once"])
def test_a_proposal_is_taken_when_it_is_left(tab, running, photos, way):
    """A fill or a cut that is on the screen is work: going on takes it, and Esc alone drops it."""
    from selenium.webdriver.common.keys import Keys

    server = running(photos)
    enter(tab, server)
    open_image(tab, server)
    tab.keys("f", "1")
    tab.drag((20, 15), (120, 15))
    tab.keys("2")
    tab.drag((8, 132), (8, 236))
    if way != "at once":  # else the answer is on its way
        tab.until(lambda: tab.script("return window.foveate.parts.tool.tiles !== null"), "the fill")
    if way == "next":
        tab.keys("d")
    elif way == "tool":
        tab.keys("b")
    elif way == "gallery":
        tab.find("#back").click()
    else:
        tab.chord(Keys.CONTROL, key=Keys.ENTER)
    tab.until(lambda: (photos / "IMG_0.json").is_file(), "the labels")
    found = on_disk(photos)
    assert (found[15, 20:120] == "sky").all() and (found[132:236, 8] == "grass").all() and (found != "").all()
    if way in ("done", "at once"):
        tab.until(lambda: tab.text("#name") == "IMG_1.png", "the next image")
        assert own(photos)["state"] == "done"


def test_a_cut_is_taken_when_it_is_left_and_dropped_by_escape(tab, running, photos):
    from selenium.webdriver.common.keys import Keys

    server = running(photos)
    enter(tab, server)
    open_image(tab, server)
    tab.keys("g", "3")
    tab.drag((180, 122), (270, 210))
    tab.until(lambda: tab.script("return window.foveate.parts.tool.tiles !== null"), "the cut")
    tab.keys(Keys.ESCAPE, "d")
    tab.until(lambda: tab.text("#name") == "IMG_1.png", "the next image")
    assert not (photos / "IMG_0.json").exists()
    tab.ready()
    tab.keys("g", "3")
    tab.drag((180, 122), (270, 210))
    tab.keys("d")
    tab.until(lambda: tab.text("#name") == "IMG_2.png", "the next image")
    assert (on_disk(photos, 1) == "ball").any()


def test_a_caption_that_is_being_written_is_saved_when_the_image_is_left(tab, running, photos):
    from selenium.webdriver.common.keys import Keys

    server = running(photos)
    enter(tab, server)
    open_image(tab, server)
    tab.keys("b", "1")
    tab.drag((60, 40), (200, 40))
    tab.saved()
    tab.find("#texts summary").click()
    tab.find("#add-caption").click()
    tab.find("#captions input").send_keys("a ball")
    tab.chord(Keys.CONTROL, key=Keys.ENTER)
    tab.until(lambda: tab.text("#name") == "IMG_1.png", "the next image")
    assert "a ball" in (photos / "captions.csv").read_text()
    tab.ready()
    tab.until(lambda: tab.script("return window.foveate.texts.etag"), "the texts")
    (photos / "captions.csv").write_text("image,caption\nIMG_1.png,three balls\n")
    tab.find("#texts summary").click()
    tab.find("#add-caption").click()
    tab.find("#captions input").send_keys("a tree")
    tab.chord(Keys.CONTROL, key=Keys.ENTER)
    tab.until(lambda: "could not be saved" in tab.text(".said"), "the word")
    assert tab.text("#name") == "IMG_1.png" and "Changed elsewhere" in tab.text("#texts-state")


def test_captions_and_questions_are_rows_of_tables(tab, running, photos):
    from selenium.webdriver.common.keys import Keys

    server = running(photos)
    enter(tab, server)
    open_image(tab, server)
    tab.find("#texts summary").click()
    tab.find("#add-caption").click()
    tab.find("#captions input").send_keys("a ball on the grass", Keys.TAB)
    tab.until(lambda: tab.text("#texts-state") == "on disk", "the caption")
    tab.find("#add-question").click()
    question, answer = tab.browser.find_elements("css selector", "#questions input")
    question.send_keys("how many balls?", Keys.TAB)
    tab.until(lambda: tab.text("#texts-state") == "a question needs its answer", "the half question")
    answer.send_keys("one", Keys.TAB)
    tab.until(lambda: tab.text("#texts-state") == "on disk", "the question")
    with (photos / "captions.csv").open(newline="") as file:
        assert list(csv.reader(file))[1:] == [["IMG_0.png", "a ball on the grass"]]
    with (photos / "questions.csv").open(newline="") as file:
        assert list(csv.reader(file))[1:] == [["IMG_0.png", "how many balls?", "one"]]
    assert not (photos / "IMG_0.json").exists(), "texts are no labels"


SIZES = {"phone": (375, 812), "desk": (1280, 800)}
LOOKS = [(size, scheme) for size in SIZES for scheme in ("light", "dark")]


def look(tab: Tab, size: tuple[int, int], scheme: str) -> None:
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size[0] < 700}
    tab.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    tab.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)


TARGETS = """
    return [...document.querySelectorAll('button, a, input, select, summary')]
        .filter(one => one.getClientRects().length)
        .filter(one => !(one.tagName === 'A' && getComputedStyle(one).display === 'inline'))
        .map(one => [one.getBoundingClientRect(), one]).filter(([box]) => box.width < 23.5 || box.height < 23.5)
        .map(([box, one]) => `${one.outerHTML.slice(0, 80)} ${box.width}x${box.height}`);
"""


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_every_page_is_read_by_everybody(tab, running, photos, size, scheme, contrast, axe):
    """Contrast, targets, widths, and the rules of axe-core, on all pages; nothing is refused by their policy."""
    write_run(photos)
    server = running(photos)
    enter(tab, server)
    label = open_image(tab, server)
    pages = [*PAGES, "/runs/photos-1", f"/label/{label}"]
    for page in pages:
        look(tab, SIZES[size], scheme)
        tab.open(server.url + page)
        if page.startswith("/label"):
            tab.keys("p", "1")
            tab.click((60, 60), (120, 60), (100, 100))
            tab.keys("n")
            tab.saved()
        too_faint = [found for found in tab.script(contrast) if found[0] < 4.5]
        assert too_faint == [], page
        assert tab.script(TARGETS) == [], page
        wide = tab.script("return document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 0, f"{page} is {wide} px too wide"
        violations = axe(tab.browser)
        assert violations == [], page
    assert complaints(tab.browser) == []
    look(tab, (1280, 800), "light")


def test_the_label_page_at_twice_the_size(tab, running, photos):
    """At 200 % the window is half as wide and high in CSS pixels: nothing is lost."""
    server = running(photos)
    enter(tab, server)
    look(tab, (768, 480), "light")
    open_image(tab, server)
    for selector in ("#done", "#tools [data-tool=select]", "#saved", "#scale", "#new-class"):
        tab.find(selector)
        inside = (
            "const box = document.querySelector(arguments[0]).getBoundingClientRect(); return box.right <= innerWidth"
        )
        assert tab.script(inside, selector), selector
    assert tab.script("return document.getElementById('stage').clientHeight") > 150
    look(tab, (1280, 800), "light")
