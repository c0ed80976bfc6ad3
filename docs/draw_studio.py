"""Draw docs/assets/studio_*.png: the pages of the studio on scenes of the pasture, in Chromium.

python docs/draw_studio.py

Three scenes are labelled by the truth, and one of the rest has pre-labels that are a little wrong. Needs the extra
`studio`, selenium, Chromium and chromedriver.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from chromium import open_browser
from PIL import Image

from foveate.datasets.classes import write_classes
from foveate.datasets.pasture import CLASSES, Pasture
from foveate.studio.folder import Folder
from foveate.studio.prelabels import place_of
from foveate.studio.serve import serve
from foveate.studio.tiles import tiles_to_json

ASSETS = Path(__file__).resolve().parent / "assets"
HEIGHT, WIDTH, COUNT = 288, 416, 12
SIZE = (1280, 800)


def main() -> int:
    """Draw them."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        truths = write_folder(Path("meadow"))
        said: list[str] = []
        stop = threading.Event()
        given = {"port": 0, "say": said.append}
        thread = threading.Thread(target=serve, args=(Path("meadow"), stop), kwargs=given)
        thread.start()
        while not said:
            time.sleep(0.05)
        try:
            draw(said[0].split(": ", 1)[1], truths)
        finally:
            stop.set()
            thread.join()
    return 0


def write_folder(photos: Path) -> list[np.ndarray]:
    """Scenes as images, with classes, a run and its pre-labels; returns the true masks."""
    photos.mkdir()
    scenes = Pasture(height=HEIGHT, width=WIDTH, test=COUNT).open("test")
    truths = []
    for number in range(COUNT):
        Image.fromarray(scenes[number]["image"].numpy().transpose(1, 2, 0)).save(photos / f"meadow_{number + 1:02}.png")
        truths.append(scenes[number]["mask"].numpy())
    write_classes(photos / "classes.txt", CLASSES)
    run = Path("runs") / "meadow-1"
    (run / "model").mkdir(parents=True)
    (run / "model" / "config.json").write_text("{}")
    recipe = {
        "name": "fcn8s",
        "task": "semantic",
        "model": "fcn",
        "epochs": 30,
        "data": {"path": str(photos.resolve())},
    }
    (run / "recipe.json").write_text(json.dumps(recipe))
    folder = Folder(photos)
    place = place_of(folder, run.name)
    place.mkdir(parents=True)
    doubts = {}
    for number, image in enumerate(sorted(folder.pictures.values(), key=lambda one: one.path.name)):
        if image.id in folder.validation():
            continue
        paint = np.roll(truths[number], 2, 1).astype(np.uint16) + 1
        objects = [{**described(name), "number": label + 1, "score": None} for label, name in enumerate(CLASSES.names)]
        doubts[image.id] = round(0.04 + 0.015 * number, 3)
        prelabel = {
            "run": run.name, "model_sha256": "0" * 64, "objects": objects, "tiles": tiles_to_json(paint),
            "outlines": [], "confidence": 1 - doubts[image.id], "doubt": doubts[image.id], "captions": [],
        }  # fmt: skip
        (place / f"{image.id}.json").write_text(json.dumps({"version": image.version(), "prelabel": prelabel}))
    (place / "index.json").write_text(json.dumps({"doubts": doubts}))
    return truths


def described(label: str) -> dict[str, Any]:
    """An object of a class, without its number."""
    return {"label": label, "group": None, "flags": {}, "source": "mask", "description": ""}


def draw(address: str, truths: list[np.ndarray]) -> None:
    """Label three scenes through the API, and photograph the gallery and the label page."""
    browser = open_browser(*SIZE)
    try:
        browser.get(address)
        ready(browser)
        pictures = call(browser, "GET", "pictures", None)["pictures"]
        for number, (seconds, origin) in enumerate([(118.0, None), (104.0, None), (61.0, None)]):
            objects = [{**described(name), "number": label + 1} for label, name in enumerate(CLASSES.names)]
            body = {"objects": objects, "tiles": tiles_to_json(truths[number].astype(np.uint16) + 1), "outlines": [],
                    "state": "done", "seconds": seconds, "strokes": 9, "origin": origin}  # fmt: skip
            call(browser, "PUT", f"pictures/{pictures[number]['id']}/labels", body)
        home = address.split("?")[0]
        photograph(browser, home, "gallery")
        left = next(one for one in pictures[4:] if not one["validation"])
        browser.get(f"{home}label/{left['id']}")
        ready(browser)
        time.sleep(2)
        browser.execute_script(
            "window.foveate.choose('grass'); window.foveate.takeClass(); window.foveate.use('brush')"
        )
        time.sleep(2)
        browser.save_screenshot(str(ASSETS / "studio_label.png"))
    finally:
        browser.quit()
    for name in ("gallery", "label"):
        file = ASSETS / f"studio_{name}.png"
        Image.open(file).convert("RGB").save(file, optimize=True)
        print(f"drew {file.name}")


def photograph(browser: Any, url: str, name: str) -> None:
    """A page as a file."""
    browser.get(url)
    ready(browser)
    time.sleep(2)
    browser.save_screenshot(str(ASSETS / f"studio_{name}.png"))


def ready(browser: Any) -> None:
    """Wait for a page."""
    while "?t=" in browser.current_url or not browser.execute_script("return document.body?.dataset.ready"):
        time.sleep(0.1)


def call(browser: Any, method: str, path: str, body: Any) -> Any:
    """A request of the page itself."""
    code = """
        const [method, path, body, done] = arguments;
        const headers = {'Content-Type': 'application/json', 'If-Match': '"none"'};
        fetch(`/api/1/${path}`, {method, ...(body ? {headers, body: JSON.stringify(body)} : {})})
            .then(answer => answer.json()).then(done);
    """
    return browser.execute_async_script(code, method, path, body)


if __name__ == "__main__":
    sys.exit(main())
