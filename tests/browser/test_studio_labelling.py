"""Labels in the studio as a person draws them: from a new folder, undone, by keys alone, as objects."""

from __future__ import annotations

import json

import numpy as np
import pytest
from studio_tab import HEIGHT, WIDTH, complaints, enter, on_disk, open_image, own, write_images

pytestmark = pytest.mark.browser

CLASSES = ("sky", "grass", "ball")


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
