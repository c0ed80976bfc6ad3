"""What the studio proposes, by region, class or image, and what becomes of it when it is left."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from studio_tab import HEIGHT, WIDTH, enter, on_disk, open_image, own, write_run

pytestmark = pytest.mark.browser


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
