"""The label page on a touch screen, and with keys that were changed on the page of keys."""

from __future__ import annotations

import numpy as np
import pytest
from studio_tab import enter, on_disk, open_image

pytestmark = pytest.mark.browser

VIEW = "const {view} = window.foveate.parts.stage; const a = view.toScreen(0, 0), b = view.toScreen(100, 0);"


@pytest.fixture
def fingers(tab):
    """fingers([points of the first], [points of the second], ...): press, move and lift them together."""
    command = tab.browser.execute_cdp_cmd
    metrics = {"width": 834, "height": 1112, "deviceScaleFactor": 1, "mobile": True}
    command("Emulation.setDeviceMetricsOverride", metrics)
    command("Emulation.setTouchEmulationEnabled", {"enabled": True, "maxTouchPoints": 2})

    def move(*paths):
        steps = [
            [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
            for points in zip(*paths, strict=True)
        ]
        command("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": steps[0]})
        for points in steps[1:]:
            command("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": points})
        command("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    yield move
    command("Emulation.setTouchEmulationEnabled", {"enabled": False})


def test_one_finger_draws_and_two_zoom_and_move(tab, running, photos, fingers):
    server = running(photos)
    enter(tab, server)
    open_image(tab, server)
    tab.keys("b", "2")
    fingers(tab.places([(60, 150), (120, 150), (200, 180)]))
    tab.saved()
    painted = tab.seen()
    assert painted[150, 90] == "grass" and painted[180, 200] == "grass", "the stroke follows the finger"
    assert (painted == "").mean() > 0.5
    np.testing.assert_array_equal(on_disk(photos), painted)
    before = tab.script(VIEW + "return b.x - a.x")
    fingers(tab.places([(140, 120), (120, 120), (100, 120)]), tab.places([(180, 120), (200, 120), (220, 120)]))
    wide = pytest.approx(3 * before, rel=0.1)
    tab.until(lambda: tab.script(VIEW + "return b.x - a.x") == wide, "fingers three times as far apart magnify so")
    left, top = tab.script(VIEW + "return [a.x, a.y]")
    (x0, y0), (x1, y1) = tab.places([(120, 120), (180, 120)])
    fingers([(x0 + 10 * i, y0 - 6 * i) for i in range(6)], [(x1 + 10 * i, y1 - 6 * i) for i in range(6)])
    moved = pytest.approx([left + 50, top - 30], abs=3)
    tab.until(lambda: tab.script(VIEW + "return [a.x, a.y]") == moved, "the image under the fingers")
    np.testing.assert_array_equal(tab.seen(), painted, "two fingers paint nothing")


def test_a_key_that_was_changed_works_on_the_label_page(tab, running, photos):
    server = running(photos)
    enter(tab, server)
    tab.open(f"{server.url}/help")
    change = "[aria-label='Change the key of: Brush']"

    def key() -> str:
        code = "return document.querySelector(arguments[0]).closest('tr').querySelector('kbd').textContent"
        return tab.script(code, change)

    tab.find(change).click()
    tab.keys("p")
    row = tab.script("return document.querySelector(arguments[0]).closest('tr').textContent", change)
    assert "P is the key of “Polygon”; press another key, or change that one first" in row
    tab.find(change).click()
    tab.keys("u")
    assert key() == "U"
    open_image(tab, server)
    tab.keys("u", "1")
    tab.drag((40, 40), (200, 60))
    tab.saved()
    assert (tab.seen() == "sky").any(), "U is the brush now"
    tab.open(f"{server.url}/help")
    tab.script("return document.querySelector('#main header button')").click()
    assert key() == "B"
