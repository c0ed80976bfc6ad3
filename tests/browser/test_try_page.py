"""The page of `foveate serve` in a real browser: a picture, a text, nothing; a token; nothing refused by its policy."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from foveate.store import save_model

sys.path.insert(0, str(Path(__file__).parents[1] / "server"))
from served_models import BUILDERS, CLASSES, Server, listening, png  # isort: skip

pytestmark = pytest.mark.browser
TOKEN = "0123456789abcdef"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    root = tmp_path_factory.mktemp("models")
    paths = {}
    for family in ("semantic", "instances", "classification", "translation", "handwriting", "drawing"):
        torch.manual_seed(0)
        model, name, tables, task = BUILDERS[family]()
        save_model(root / family, model.eval(), name, tables, task)
        paths[family] = root / family
    server = Server(paths, {"token": TOKEN}, 8, 60.0, True)
    with listening(server) as url:
        yield url
    assert server.work.stop(10)


def wait(browser, script: str, *arguments: object) -> object:
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, 60).until(lambda driver: driver.execute_script(script, *arguments))


STATUS = "return document.getElementById('status').textContent"
STARTS = "const text = document.getElementById('status').textContent; return text.startsWith(arguments[0]) && text"


@pytest.fixture
def page(browser, open_page, address):
    """The page, with its token given."""
    open_page(address + "/", "desk", "light")
    wait(browser, STARTS, "This server wants its token")
    browser.find_element("id", "token").send_keys(TOKEN)
    browser.find_element("id", "use-token").click()
    wait(browser, STARTS, "Ready")
    yield browser
    complaints = [e for e in browser.get_log("browser") if e["level"] == "SEVERE" and "401" not in e["message"]]
    complaints = [e for e in complaints if "422" not in e["message"]]  # of the picture that is none
    assert not complaints


def choose(page, model: str) -> None:
    from selenium.webdriver.support.ui import Select

    Select(page.find_element("id", "model")).select_by_value(model)


def ask(page) -> str:
    page.find_element("id", "send").click()
    return str(wait(page, STARTS, "Answered in"))


def test_a_picture_its_mask_and_shares(page, tmp_path):
    (tmp_path / "a.png").write_bytes(png())
    choose(page, "semantic")
    page.find_element("id", "image").send_keys(str(tmp_path / "a.png"))
    page.execute_script("document.querySelector('details').open = true")
    page.find_element("id", "option-overlay").click()
    ask(page)
    sizes = wait(
        page,
        "const all = [...document.querySelectorAll('#answer img')]; "
        "return all.every(i => i.complete && i.naturalWidth) && all.map(i => [i.naturalWidth, i.naturalHeight])",
    )
    assert sizes[:2] == [[56, 40], [56, 40]] and len(sizes) == 3
    names = page.execute_script("return [...document.querySelectorAll('#answer td:first-child')].map(t => t.innerText)")
    assert names and set(names) <= set(CLASSES.names)


def test_objects_and_classes(page, tmp_path):
    (tmp_path / "a.png").write_bytes(png())
    for model, shown in (("instances", "#answer canvas"), ("classification", "#answer table")):
        choose(page, model)
        page.find_element("id", "image").send_keys(str(tmp_path / "a.png"))
        ask(page)
        assert page.find_elements("css selector", shown)


def test_a_text_and_nothing(page):
    choose(page, "translation")
    page.find_element("id", "text").send_keys("s1 s2 s3")
    ask(page)
    assert page.find_elements("css selector", "#answer li")
    choose(page, "drawing")
    page.execute_script("document.querySelector('details').open = true")
    page.find_element("id", "option-count").send_keys("2")
    ask(page)
    assert len(page.find_elements("css selector", "#answer .drawn")) == 2
    choose(page, "handwriting")
    page.find_element("id", "option-text").send_keys("ab")
    ask(page)
    assert page.find_elements("css selector", "#answer .written")


def test_a_file_that_is_no_picture_is_explained(page, tmp_path):
    (tmp_path / "a.png").write_bytes(b"plain text")
    choose(page, "semantic")
    page.find_element("id", "image").send_keys(str(tmp_path / "a.png"))
    page.find_element("id", "send").click()
    text = wait(page, STARTS, "The input cannot be used")
    assert text == "The input cannot be used: a.png: not a picture in a known format; replace or remove the file"


@pytest.mark.parametrize("size", ["phone", "desk"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_read_everywhere(browser, open_page, contrast, address, size, scheme):
    open_page(address + "/", size, scheme)
    wait(browser, STARTS, "This server wants its token")
    assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    assert all(ratio >= 4.5 for ratio, *_ in browser.execute_script(contrast))
