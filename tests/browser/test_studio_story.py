"""The whole way in Chromium: a new folder, labels, a training, its pre-labels, an export, and a server that answers."""

from __future__ import annotations

import io
import os
import shlex
import subprocess
import sys
import time
import urllib.request

import numpy as np
import pytest
from PIL import Image
from studio_tab import HEIGHT, WIDTH, Tab, complaints, enter, on_disk, open_image, own, write_images

pytestmark = pytest.mark.browser

CLASSES = ("sky", "grass", "ball")
LABELLED = 4
MOST_MINUTES = 15


def label(tab: Tab) -> None:
    """Sky and grass by two scribbles, the ball by box-cut, some sky by the brush, some grass by a polygon."""
    tab.keys("p", "2")
    tab.click((10, 210), (300, 210), (300, 230), (10, 230))
    tab.keys("n", "b", "1")
    tab.drag((40, 40), (200, 60))
    tab.keys("f", "1")
    tab.drag((20, 15), (120, 15))
    tab.keys("2")
    tab.drag((8, 132), (8, 236))
    proposed = "return window.foveate.parts.tool.tiles !== null"
    tab.until(lambda: tab.script(proposed), "the fill")
    tab.keys("n", "g", "3")
    tab.drag((180, 122), (270, 210))
    tab.until(lambda: tab.script(proposed), "the cut")
    tab.keys("n")
    tab.until(lambda: (tab.seen() == "ball").any(), "the ball")
    tab.saved()


def ended(tab: Tab, kind: str) -> None:
    """Wait for the end of a job that the page shows."""
    end = time.monotonic() + 60 * MOST_MINUTES
    code = "return document.querySelector(`[data-job=${arguments[0]}] [role=status]`)?.textContent ?? ''"
    text = tab.until(lambda: tab.script(code, kind), kind)
    while time.monotonic() < end and not text.startswith("finished"):
        assert not text.startswith(("failed", "was ended", "stopped")), tab.text("body")
        time.sleep(0.5)
        text = tab.script(code, kind)
    assert text.startswith("finished"), text


def test_from_a_new_folder_to_a_served_model(tab, running, tmp_path):
    from selenium.webdriver.common.keys import Keys

    photos = write_images(tmp_path / "photos", 10)
    before = {path: path.read_bytes() for path in photos.rglob("*")}
    server = running(photos)
    enter(tab, server)
    assert {path: path.read_bytes() for path in photos.rglob("*")} == before, "nothing has changed yet"
    swatches = "return document.querySelectorAll('#class-strip .swatch').length"
    for count, name in enumerate(CLASSES, 1):
        tab.find("#new-class").send_keys(name, Keys.ENTER)
        tab.until(lambda n=count: tab.script(swatches) == n, name)
    open_image(tab, server)
    for number in range(LABELLED):
        label(tab)
        tab.chord(Keys.CONTROL, key=Keys.ENTER)
        tab.until(lambda n=number: tab.text("#name") == f"IMG_{n + 1}.png", "the next image")
        tab.ready()
        found = on_disk(photos, number)
        assert own(photos, number)["state"] == "done" and (found != "").all() and (found == "ball").sum() > 2000
    inspected = subprocess.run(
        [sys.executable, "-m", "foveate", "datasets", "inspect", photos], capture_output=True, text=True, check=True
    )
    assert "3 train, 1 val pictures" in inspected.stdout and "6 without a label left out" in inspected.stdout
    tab.open(f"{server.url}/train")
    command = tab.text("#command")
    assert command.startswith("foveate train fcn8s --data ")
    assert command.endswith(" --out runs/photos-1 --epochs 200"), "of three pictures an epoch is one step"
    tab.find("#epochs").send_keys("1")
    tab.find("#start").click()
    ended(tab, "train")
    tab.find("#prelabel").click()  # offered without loading the page again
    ended(tab, "prelabel")
    listed = tab.browser.execute_async_script(
        "fetch('/api/1/pictures?order=doubt').then(a => a.json()).then(({pictures}) => arguments[0](pictures))"
    )
    proposed = [one for one in listed if one["prelabelled"]]
    assert proposed and not any(one["validation"] for one in proposed)
    assert all(one["doubt"] is None for one in listed if one["validation"])
    waiting = next(one for one in proposed if one["state"] == "untouched")
    tab.open(f"{server.url}/label/{waiting['id']}")
    tab.until(lambda: not tab.script("return document.getElementById('suggestions').hidden"), "the pre-labels")
    tab.find("#take-all").click()
    tab.saved()
    number = int(waiting["name"][4:-4])
    assert (on_disk(photos, number) != "").mean() > 0.9 and own(photos, number)["origin"]["run"] == "photos-1"
    tab.open(f"{server.url}/ship")
    tab.find("#export").click()
    ended(tab, "export")
    line = tab.until(lambda: tab.text("#serve"), "the line that serves it")
    assert complaints(tab.browser) == []
    mask = answer_of(shlex.split(line), photos / "IMG_9.png", tmp_path)
    assert mask.shape == (HEIGHT, WIDTH) and set(np.unique(mask)) <= {0, 1, 2}
    assert {path: path.read_bytes() for path in before} == before, "images are never touched"


def answer_of(words, picture, folder) -> np.ndarray:
    """The mask that the served model gives a picture. words: the line that the page shows."""
    assert words[:2] == ["foveate", "serve"], words
    command = [sys.executable, "-m", "foveate", *words[1:], "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder, env=dict(os.environ)) as served:
        try:
            url = served.stdout.readline().strip()
            end = time.monotonic() + 60 * MOST_MINUTES
            while True:
                try:
                    urllib.request.urlopen(f"{url}/readyz")
                    break
                except OSError:
                    assert time.monotonic() < end, "never ready"
                    time.sleep(0.2)
            headers = {"Content-Type": "image/png", "Accept": "image/png"}
            request = urllib.request.Request(f"{url}/v1/predict", picture.read_bytes(), headers)
            return np.asarray(Image.open(io.BytesIO(urllib.request.urlopen(request).read())))
        finally:
            served.terminate()
            served.wait()
