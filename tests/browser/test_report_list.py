"""The list of all samples in a report and the viewer of pictures: by mouse and by keyboard, at any width."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pytest

from foveate.records import ClassTable
from foveate.tasks.semantic.figures import SemanticExample, example_pictures, example_section
from foveate.tasks.semantic.report import TEXT
from foveate.visualize.report import Report, ReportPart, write_report
from foveate.visualize.report.classes import class_section

pytestmark = pytest.mark.browser

WIDTHS = (360, 768, 1280, 1920)
CLASSES = ClassTable(("sky", "grass", "cow"))
LONG = "a_folder_with_a_long_name/and_a_file_without_any_place_to_break_its_name_at.png"
SAMPLES = [
    ("scene_10.png", 0.5),
    ("scene_2.png", 0.75),
    (LONG, 0.125),
    ("lost.png", float("nan")),
    ("scene_1.png", 1.0),
]
VALUES = [{"grass": 0.25}, {"grass": None}, {"grass": 1.0}, {}, {"grass": 0.5}]
BY_SCORE = [LONG, "scene_10.png", "scene_2.png", "scene_1.png", "lost.png"]


def example(number: int) -> SemanticExample:
    truth = (np.mgrid[:120, :160][0] > 60).astype(np.uint8)
    image = np.full((120, 160, 3), 40 * number, np.uint8)
    return SemanticExample(SAMPLES[number][0], image, truth, np.roll(truth, 5, 0), 0.5)


@pytest.fixture(scope="module")
def address(serve, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("list")
    columns = [("grass", "IoU grass"), *((f"iou {k}", f"IoU class {k}") for k in range(12))]
    part = ReportPart(
        TEXT,
        [example_section([example(0)], CLASSES)],
        pictures={place: example_pictures(example(place), CLASSES) for place in (0, 1, 2)},
        columns=columns,
    )
    report = Report("Run", "fcn8s", "foveate train fcn8s", "photos", {}, part, samples=SAMPLES, own_score="Mean IoU",
                    values=VALUES, nouns=("picture", "pictures"))  # fmt: skip
    write_report(report, folder / "report.html")
    with serve(folder) as root:
        yield f"{root}/report.html"


@pytest.fixture
def page(browser, open_page, address: str):
    open_page(address, "desk", "light")
    return browser


def names(page) -> list[str]:
    return page.execute_script("return [...document.querySelectorAll('.listing tbody th')].map(cell => cell.innerText)")


def state(page) -> dict[str, str]:
    """The headings that the rows are sorted by."""
    return dict(page.execute_script("""
        return [...document.querySelectorAll('.listing [aria-sort]')].map(h => [h.innerText.trim(), h.ariaSort]);
    """))  # fmt: skip


def opened(page) -> dict | None:
    """The contents of the viewer; None while it is closed."""
    return page.execute_script("""
        const dialog = document.querySelector('dialog');
        const text = selector => dialog.querySelector(selector).innerText;
        return dialog.open ? {name: text('b'), score: text('.number'), place: text('.place'),
            titles: [...dialog.querySelectorAll('figcaption')].map(one => one.innerText),
            steps: !dialog.querySelector('.next').hidden} : null;
    """)


def focused(page) -> str:
    return page.execute_script("return document.activeElement.getAttribute('aria-label')")


def press(page, *keys: str) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    ActionChains(page).send_keys(*keys).perform()


def heading(page, text: str):
    return page.find_element("xpath", f"//table[@class='listing']//button[contains(., '{text}')]")


def test_headings_sort_by_click_and_by_keyboard(page) -> None:
    from selenium.webdriver.common.keys import Keys

    assert names(page) == BY_SCORE and state(page) == {"Mean IoU": "ascending"}
    heading(page, "Mean IoU").click()
    assert names(page) == [*BY_SCORE[3::-1], "lost.png"]  # what has no score comes last either way
    assert state(page) == {"Mean IoU": "descending"}
    page.execute_script("arguments[0].focus()", heading(page, "Picture"))
    press(page, Keys.ENTER)
    by_name = [LONG, "lost.png", "scene_1.png", "scene_2.png", "scene_10.png"]
    assert names(page) == by_name and state(page) == {"Picture": "ascending"}
    press(page, Keys.SPACE)
    assert names(page) == by_name[::-1] and state(page) == {"Picture": "descending"}
    press(page, Keys.TAB, Keys.TAB, Keys.ENTER)
    assert names(page)[:3] == ["scene_10.png", "scene_1.png", LONG] and state(page) == {"IoU grass": "ascending"}


def test_pictures_open_by_keyboard_and_close_with_escape(page) -> None:
    from selenium.webdriver.common.keys import Keys

    button = page.find_element("css selector", ".listing .enlarge")
    page.execute_script("arguments[0].focus()", button)
    assert focused(page) == f"Enlarge {LONG}"
    press(page, Keys.ENTER)
    assert opened(page) == {
        "name": LONG, "score": "0.125", "place": "1 of 3", "titles": ["Truth", "Prediction", "Errors"], "steps": True
    }  # fmt: skip
    assert focused(page) == "Close"
    press(page, Keys.TAB)
    assert page.execute_script("return document.activeElement.closest('dialog, body').tagName") in ("DIALOG", "BODY")
    press(page, Keys.ARROW_RIGHT)
    press(page, Keys.ESCAPE)
    assert opened(page) is None
    assert focused(page) == f"Enlarge {LONG}"


def test_the_viewer_steps_through_the_rows_in_their_order(page) -> None:
    from selenium.webdriver.common.keys import Keys

    heading(page, "Mean IoU").click()
    page.find_element("css selector", ".listing .enlarge").click()
    seen = []
    for _ in range(3):
        seen.append(opened(page)["name"])
        press(page, Keys.ARROW_RIGHT)
    assert seen == ["scene_2.png", "scene_10.png", LONG] and opened(page)["name"] == "scene_2.png"
    page.find_element("css selector", "dialog .back").click()
    assert opened(page)["name"] == LONG and opened(page)["place"] == "3 of 3"
    page.find_element("css selector", "dialog .close").click()
    assert opened(page) is None and focused(page) == "Enlarge scene_2.png"


def test_examples_are_enlarged_one_by_one(page) -> None:
    figure = page.find_element("css selector", "figure.example")
    small = page.execute_script("return arguments[0].querySelector('img').clientWidth", figure)
    figure.find_elements("css selector", ".enlarge")[2].click()
    assert opened(page)["titles"] == ["Prediction"] and opened(page)["place"] == "3 of 4"
    large = page.execute_script("return document.querySelector('dialog img').clientWidth")
    assert large > 2 * small
    page.execute_script("document.querySelector('dialog').dispatchEvent(new MouseEvent('click', {bubbles: true}))")
    assert opened(page) is None  # a click beside the content


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_it_fits_every_width_and_is_readable(browser, open_page, address, contrast, axe, width, scheme) -> None:
    open_page(address, "phone" if width < 500 else "desk", scheme)
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500, "screenWidth": width,
               "screenHeight": 900}  # fmt: skip
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    beyond = """
        return [...document.querySelectorAll('body *')]
            .filter(node => !node.closest('.scroll') && node.getBoundingClientRect().right > screen.width + 1)
            .map(node => node.outerHTML.slice(0, 120));
    """
    assert browser.execute_script(beyond) == []
    assert [entry for entry in browser.execute_script(contrast) if entry[0] < 4.5] == []
    browser.execute_script("document.querySelector('.listing .enlarge').click()")
    assert browser.execute_script(beyond) == []
    box, views = browser.execute_script("""
        const box = document.querySelector('dialog').getBoundingClientRect();
        return [[box.left, box.right, box.top, box.bottom],
            [...document.querySelectorAll('dialog img')].map(image => image.clientWidth)];
    """)
    assert box[0] >= 0 and box[1] <= width and box[2] >= 0 and box[3] <= 900
    assert len(views) == 3 and min(views) > 180
    assert axe(browser) == []
    assert browser.get_log("browser") == []


def test_contents_stay_and_their_links_show_the_heading_below(page) -> None:
    page.find_element("css selector", "nav a[href='#each']").click()
    page.execute_script("return new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    nav, title = page.execute_script("""
        return ['nav', '#each'].map(one => document.querySelector(one).getBoundingClientRect())
            .map(box => [box.top, box.bottom]);
    """)
    assert nav[0] == 0 and nav[1] <= title[0] < 120


@pytest.mark.parametrize("kind", [".facts > div", ".charts > *"])
def test_cards_of_a_row_are_of_one_height(page, kind: str) -> None:
    page.execute_script("scrollTo({top: 0, behavior: 'instant'})")
    boxes = page.execute_script(f"""
        return [...document.querySelectorAll({kind!r})].map(one => one.getBoundingClientRect())
            .map(box => [box.top, box.bottom]);
    """)
    rows: dict[float, set[float]] = {}
    for top, bottom in boxes:
        rows.setdefault(round(top), set()).add(round(bottom))
    assert all(len(ends) == 1 for ends in rows.values())


def test_without_scripts_the_list_is_readable(browser, open_page, address: str) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        open_page(address, "desk", "light")
        source = browser.execute_cdp_cmd("DOM.getDocument", {"depth": 0})["root"]["nodeId"]
        text = browser.execute_cdp_cmd("DOM.getOuterHTML", {"nodeId": source})["outerHTML"]
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    body = text[text.index('<table class="listing">') : text.index("</table>", text.index('class="listing"'))]
    assert re.findall(r'<th scope="row">([^<]+)</th><td>([^<]+)</td>', body) == [
        *((name, f"{dict(SAMPLES)[name]:.3f}") for name in BY_SCORE[:-1]),
        ("lost.png", "–"),
    ]
    assert body.count("<img ") == 9 and "<button" not in body
    assert (
        '<p class="hint faint" hidden="">' in text
        and "<dialog" in text
        and " open" not in text[text.index("<dialog") :][:80]
    )


def test_the_heading_of_a_long_class_table_stays(serve, browser, open_page, tmp_path_factory) -> None:
    classes = ClassTable(tuple(f"class {k}" for k in range(60)))
    scores = {"per_class": {name: k / 60 for k, name in enumerate(classes.names)}}
    part = ReportPart(TEXT, [class_section(scores, classes, np.eye(60, dtype=int), TEXT)])
    folder = tmp_path_factory.mktemp("classes")
    write_report(Report("Run", "fcn8s", "foveate train fcn8s", "photos", scores, part), folder / "report.html")
    with serve(folder) as root:
        open_page(f"{root}/report.html", "desk", "light")
        box, head, row = browser.execute_script("""
            const box = document.querySelector('[aria-labelledby=classes] .scroll'); box.scrollTop = 900;
            return [box, box.querySelector('thead th'), box.querySelector('tbody tr')]
                .map(one => one.getBoundingClientRect().top)""")
    assert row < box - 500 and abs(head - box) <= 3
