"""The studio's other pages, and how every page looks, for everybody."""

from __future__ import annotations

import csv
import json

import pytest
from studio_tab import Tab, complaints, enter, open_image, write_run

pytestmark = pytest.mark.browser


PAGES = ("/", "/train", "/ship", "/help")


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
    tab.find("#back").click()
    tab.until(lambda: "A question needs its answer" in tab.text(".said"), "the word")
    assert "/label/" in tab.browser.current_url, "half a question is not left behind without a word"
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
