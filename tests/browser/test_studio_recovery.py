"""Two tabs on one image, a server that dies, and a page that is closed too early: no stroke is lost."""

from __future__ import annotations

import json

import numpy as np
import pytest
from studio_tab import Server, Tab, enter, on_disk, open_image, own

pytestmark = pytest.mark.browser


def draw_saved_stroke(tab: Tab, server: Server) -> str:
    """Draw a stroke of the first class on the first image, and wait until it is on the disk; returns the image's id."""
    enter(tab, server)
    image = open_image(tab, server)
    tab.keys("b", "1")
    tab.drag((60, 40), (200, 40))
    tab.saved()
    return image


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
    draw_saved_stroke(tab, server)
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
    image = draw_saved_stroke(tab, server)
    server.kill()
    tab.drag((60, 90), (200, 90))
    tab.until(lambda: "kept in this browser" in tab.text("#saved"), "the mark")
    seen = tab.seen()
    tab.browser.get("about:blank")
    server.start()
    enter(tab, server)
    assert "not on the disk, of 1 image" in tab.until(lambda: tab.text("#notes"), "the note")
    tab.browser.get(f"{server.url}/label/{image}")
    tab.find("dialog [data-answer=yes]").click()
    tab.ready()
    tab.saved()
    np.testing.assert_array_equal(tab.seen(), seen)
    np.testing.assert_array_equal(on_disk(photos), seen)
    assert own(photos)["strokes"] == 2


@pytest.mark.parametrize("choice", ["mine", "theirs"])
def test_strokes_of_a_closed_page_and_a_file_that_changed_are_both_kept(tab, running, photos, choice):
    server = running(photos)
    image = draw_saved_stroke(tab, server)
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
    tab.browser.get(f"{server.url}/label/{image}")
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
