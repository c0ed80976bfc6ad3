"""Two tabs, a server or a browser that dies, a full disk, a page that is closed too early: no stroke is lost."""

from __future__ import annotations

import contextlib
import json
import shutil

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
    expected = mine if choice == "mine" else theirs
    if choice == "mine":
        tab.find("dialog [data-answer=mine]").click()
        tab.saved()
    else:
        with tab.reloading():
            tab.find("dialog [data-answer=theirs]").click()
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


def rename_class(tab: Tab, old: str, new: str) -> None:
    """Rename a class, as another tab does it."""
    code = """
        const [old, name, done] = arguments;
        const api = async (method, body, etag) => fetch('/api/1/classes', {
            method, headers: {'Content-Type': 'application/json', 'If-Match': etag}, body,
        });
        (async () => {
            const answer = await fetch('/api/1/classes');
            const {classes, unlabelled} = await answer.json();
            const renamed = classes.map((one) => (one.name === old ? {...one, name, was: old} : one));
            const body = JSON.stringify({classes: renamed, unlabelled});
            done((await api('PUT', body, answer.headers.get('ETag'))).status);
        })();
    """
    assert tab.browser.execute_async_script(code, old, new) == 200


def test_a_class_that_is_renamed_elsewhere_costs_an_open_page_nothing(tab, running, photos):
    server = running(photos)
    draw_saved_stroke(tab, server)
    rename_class(tab, "sky", "cloud")
    tab.drag((60, 90), (200, 90))
    tab.saved()
    seen = tab.seen()
    assert (seen == "sky").any(), "this page has the earlier name until it is loaded again"
    np.testing.assert_array_equal(on_disk(photos), np.where(seen == "sky", "cloud", seen))
    tab.script("window.foveate.parts.saver.send = async () => {}")  # a stroke that stays in the journal
    tab.drag((60, 130), (200, 130))
    tab.until(
        lambda: tab.script("const {saver, labels} = window.foveate.parts; return saver.journaled === labels.version"),
        "the journal",
    )
    kept = tab.seen()
    rename_class(tab, "cloud", "heaven")
    image = tab.browser.current_url
    tab.browser.get("about:blank")
    tab.browser.get(image)
    tab.until(lambda: tab.script("return document.querySelector('dialog')"), "the question")
    assert "which have changed since" not in tab.text("dialog"), "the studio knows the new name"
    tab.find("dialog [data-answer=mine]").click()
    tab.ready()
    tab.saved()
    np.testing.assert_array_equal(on_disk(photos), np.where(kept == "sky", "heaven", kept))


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


def kill_chromium(tab: Tab) -> None:
    """End the driver and every process of the browser at once, as a power cut does."""
    import psutil

    service = tab.browser.service.process
    processes = [psutil.Process(service.pid), *psutil.Process(service.pid).children(recursive=True)]
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    service.wait()
    psutil.wait_procs(processes, 30)


def press_and_move(tab: Tab, *points: tuple[float, float]) -> None:
    """Begin a stroke that is not ended."""
    from selenium.webdriver.common.actions.action_builder import ActionBuilder

    builder = ActionBuilder(tab.browser, duration=20)
    first, *rest = tab.places(list(points))
    builder.pointer_action.move_to_location(*first).pointer_down()
    for point in rest:
        builder.pointer_action.move_to_location(*point)
    builder.perform()


def test_a_browser_that_is_killed_costs_the_stroke_that_is_being_drawn_alone(running, launching, photos):
    """Five times: a stroke that is acknowledged, one that is not, and one in which Chromium is killed."""
    server = running(photos)
    expected = None
    for turn in range(5):
        tab = launching()
        enter(tab, server)
        open_image(tab, server)
        y = 20 + 40 * turn
        tab.keys("b", str(1 + turn % 3))
        tab.drag((30, y), (140, y))
        tab.saved()
        acknowledged = tab.seen()
        assert expected is None or (acknowledged[expected != ""] != "").all()
        server.kill()
        tab.drag((180, y), (290, y))
        tab.until(lambda tab=tab: "kept in this browser" in tab.text("#saved"), "the mark")
        kept = tab.seen()
        assert (kept != acknowledged).any()
        press_and_move(tab, (30, y + 12), (290, y + 12))
        kill_chromium(tab)
        np.testing.assert_array_equal(on_disk(photos), acknowledged)
        assert not list(photos.rglob("*unfinished*"))
        server.start()
        tab = launching()
        enter(tab, server)
        assert "not on the disk, of 1 image" in tab.until(lambda tab=tab: tab.text("#notes"), "the note")
        found = tab.browser.execute_async_script(
            "fetch('/api/1/pictures').then(a => a.json()).then(({pictures}) => arguments[0](pictures[0].id))"
        )
        tab.browser.get(f"{server.url}/label/{found}")
        tab.find("dialog [data-answer=yes]").click()
        tab.ready()
        tab.saved()
        np.testing.assert_array_equal(tab.seen(), kept)
        np.testing.assert_array_equal(on_disk(photos), kept)
        expected = kept
        kill_chromium(tab)
        server.kill()
        server.start()
    assert own(photos)["strokes"] == 10 and not list(photos.rglob("*unfinished*"))


def test_a_full_disk_costs_no_stroke(tab, running, photos, small_disk):
    folder = small_disk.path / "photos"
    shutil.copytree(photos, folder)
    server = running(folder)
    draw_saved_stroke(tab, server)
    before = on_disk(folder)
    small_disk.fill()
    tab.keys("2")
    tab.drag((60, 180), (200, 180))
    tab.until(lambda: "No space left on device" in tab.text("#saved"), "the mark")
    assert "kept in this browser" in tab.text("#saved")
    np.testing.assert_array_equal(on_disk(folder), before)
    assert not list(folder.rglob("*unfinished*"))
    small_disk.free()
    tab.saved()
    np.testing.assert_array_equal(on_disk(folder), tab.seen())
    server.kill()
