"""The page of captions as a reader meets it: by mouse, by keyboard, on a phone and on a desk, by day and by night."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from PIL import Image

from foveate.records import CaptionPrediction, Sentence
from foveate.tasks.captioning.page import CaptionPage

pytestmark = pytest.mark.browser

WORDS = ("a", "brown", "cow", "stands", "next", "to", "an", "exceptionally-long-compound-of-words-without-any-blank")
VIEWPORTS = [(size, scheme) for size in ("phone", "desk") for scheme in ("light", "dark")]


def sentence(maps: bool = True) -> Sentence:
    """The attention of word i is on cell i of 2x4 alone."""
    attention = np.zeros((len(WORDS), 2, 4), np.float32)
    for i in range(len(WORDS)):
        attention[i, i // 4, i % 4] = 1
    probabilities = np.linspace(0.9, 0.2, len(WORDS)).astype(np.float32)
    return Sentence(" ".join(WORDS), -0.5, WORDS, probabilities, attention if maps else None)


@pytest.fixture(scope="module")
def address(serve, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("captions")
    sample = {"image": torch.full((3, 100, 200), 200, dtype=torch.uint8)}
    made = CaptionPage("show_attend_tell")
    for name, hard, maps in (("soft.jpg", False, True), ("hard.jpg", True, True), ("none.jpg", False, False)):
        made.add(name, CaptionPrediction((sentence(maps), sentence(maps)), hard=hard), sample)
    made.write(folder)
    with serve(folder) as root:
        yield f"{root}/captions.html"


@pytest.fixture(scope="module", params=VIEWPORTS, ids="-".join)
def page(request: pytest.FixtureRequest, browser, open_page, address: str):
    open_page(address, *request.param)
    return browser


def shown(page, number: int) -> np.ndarray:
    """(H, W) brightness of a figure's large picture as it stands on the screen."""
    view = page.find_elements("css selector", ".captioned .view")[number]
    page.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", view)
    page.execute_script("return Promise.all(document.getAnimations().map(a => a.finished)).then(() => 0)")
    picture = Image.open(io.BytesIO(base64.b64decode(view.screenshot_as_base64)))
    return np.asarray(picture.convert("L")).astype(float)


def cells(pixels: np.ndarray) -> list[float]:
    """The brightness at the middle of each of 2x4 cells."""
    height, width = pixels.shape
    return [pixels[round((r + 0.5) * height / 2), round((c + 0.5) * width / 4)] for r in range(2) for c in range(4)]


def rest(page) -> None:
    """Point at nothing, with the focus nowhere."""
    from selenium.webdriver.common.action_chains import ActionChains

    page.execute_script("document.activeElement.blur(); scrollTo({top: 0, behavior: 'instant'})")
    ActionChains(page).move_by_offset(0, 0).move_to_element(page.find_element("tag name", "h1")).perform()


def test_nothing_is_complained_about_and_nothing_fetched(page, address: str) -> None:
    assert page.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    sent = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert [url for url in sent if not url.startswith("data:")] == [address]
    assert page.execute_script("return document.scripts.length") == 0


@pytest.mark.parametrize("number", [0, 1], ids=["soft", "hard"])
def test_the_focus_on_a_word_lights_up_where_the_model_looked(page, number: int) -> None:
    rest(page)
    assert min(cells(shown(page, number))) > 190  # the picture as it is
    words = page.find_elements("css selector", ".captioned")[number].find_elements("css selector", ".word")
    assert [word.text for word in words] == list(WORDS)
    for i in (0, 2, 5, 7):
        page.execute_script("arguments[0].focus({preventScroll: true})", words[i])
        seen = cells(shown(page, number))
        assert int(np.argmax(seen)) == i
        assert seen[i] > 180 and sorted(seen)[-2] < 130
    rest(page)
    assert min(cells(shown(page, number))) > 190


def test_words_are_reached_by_the_tab_key_one_after_the_other(page) -> None:
    from selenium.webdriver.common.keys import Keys

    rest(page)
    words = page.find_elements("css selector", ".captioned:first-of-type .word")
    page.execute_script("arguments[0].focus()", words[0])
    for word in words[1:4]:
        page.switch_to.active_element.send_keys(Keys.TAB)
        assert page.switch_to.active_element == word


def test_a_word_that_is_pointed_at_goes_before_the_focus(page) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    rest(page)
    words = page.find_elements("css selector", ".captioned:first-of-type .word")
    page.execute_script("arguments[0].focus({preventScroll: true})", words[1])
    ActionChains(page).move_to_element(words[6]).perform()
    visible = """
        return Promise.all(document.getAnimations().map(a => a.finished)).then(() =>
            [...document.querySelectorAll('.captioned:first-of-type .map')].map(
                map => Number(getComputedStyle(map).opacity)));
    """
    assert page.execute_script(visible) == [0, 0, 0, 0, 0, 0, 1, 0]
    rest(page)
    assert page.execute_script(visible) == [0] * 8


def test_all_maps_are_seen_without_pointing(page) -> None:
    panels = page.execute_script("""
        return [...document.querySelectorAll('.captioned:first-of-type .maps li')].map(
            li => [li.innerText.trim(), li.querySelector('svg').getBoundingClientRect().width]);
    """)
    assert [word for word, _ in panels] == list(WORDS)
    assert all(width > 80 for _, width in panels)
    assert page.execute_script("return document.querySelectorAll('.captioned:last-of-type button').length") == 0


def test_the_page_never_scrolls_sideways_and_is_readable(page, contrast: str) -> None:
    assert page.execute_script("return document.documentElement.scrollWidth <= screen.width")
    texts = page.execute_script(contrast)
    assert len(texts) > 40
    assert [entry for entry in texts if entry[0] < 4.5] == []
