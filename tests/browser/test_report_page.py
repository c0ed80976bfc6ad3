"""The report as a reader meets it: in a real browser, on a phone and on a desk, by day and by night."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from foveate.records import ClassTable
from foveate.visualize.report import ExamplePicture, Report, write_report

pytestmark = pytest.mark.browser

SIZES = {"phone": (375, 812), "desk": (1280, 900)}
FACTS = ("pixel_accuracy", "mean_accuracy", "frequency_weighted_iou", "boundary_iou")
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
EVIL = "<script>document.title = 'broken'</script>"
LONG = "a_class_with_a_very_long_name_that_has_no_place_to_break_at_all"
CLASSES = ClassTable(
    (
        "sky",
        "grass",
        "road",
        EVIL,
        LONG,
        "bird",
        "cow",
        "tree",
    ),
)


def chromium() -> str:
    found = os.environ.get("FOVEATE_CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if not found or not Path(found).is_file():
        pytest.fail(
            f"no Chromium {f'at {found}' if found else 'on the path'}; install the packages chromium and "
            "chromium-driver, or set FOVEATE_CHROMIUM to the browser's file"
        )
    return found


def chromedriver(browser: str) -> str:
    found = os.environ.get("FOVEATE_CHROMEDRIVER") or shutil.which("chromedriver")
    if not found:
        pytest.fail(
            f"no chromedriver beside {browser}; install chromium-driver, or set FOVEATE_CHROMEDRIVER to its file"
        )
    return found


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    binary = chromium()
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(service=Service(chromedriver(binary)), options=options)
    yield driver
    driver.quit()


def drawn_example(seed: int) -> ExamplePicture:
    """A scene of bands and a disc, labelled with some mistakes."""
    rng = np.random.default_rng(seed)
    height, width = (120, 160) if seed % 2 else (200, 140)
    rows, columns = np.mgrid[:height, :width]
    truth = (rows > height * 0.4).astype(np.uint8) + (rows > height * 0.7)
    truth[(rows - 40) ** 2 + (columns - 20 - 9 * seed) ** 2 < 150] = 3 + seed % 5
    truth[:, -4:] = 255
    prediction = np.roll(truth, (2, 3), (0, 1))
    prediction[prediction == 255] = 0
    image = np.array(CLASSES.colors, np.uint8)[np.minimum(truth, 7)] // 2 + rng.integers(0, 90, (height, width, 1))
    return ExamplePicture(f"scene_{seed:03d}.png", image.astype(np.uint8), truth, prediction, 0.9 - seed * 0.07)


def drawn_report() -> Report:
    count = len(CLASSES)
    rng = np.random.default_rng(7)
    confusion = rng.integers(0, 400, (count, count)) + np.eye(count, dtype=int) * 9000
    confusion[5] = confusion[:, 5] = 0
    ious = [None if i == 5 else float(v) for i, v in enumerate(rng.random(count))]
    edges = [None if v is None else v * 0.8 for v in ious]
    steps = np.arange(1, 26)
    return Report(
        title="Pasture, first run",
        recipe="fcn8s_pasture",
        command="foveate train fcn8s_pasture --out runs/pasture --optim.lr 0.0005 --schedule.epochs 25 --seed 1",
        data="pasture scenes of 160x120 pixels, drawn from seed 1",
        classes=CLASSES,
        scores={
            "mean_iou": 0.71234567,
            "pixel_accuracy": 0.93456789,
            "mean_accuracy": 0.8123,
            "frequency_weighted_iou": 0.8765,
            "boundary_iou": 0.54321,
            "trimap_iou": {"1": 0.41, "2": 0.47, "4": 0.55, "8": 0.62, "16": 0.68},
            "per_class": dict(zip(CLASSES.names, ious, strict=True)),
            "per_class_boundary_iou": dict(zip(CLASSES.names, edges, strict=True)),
            "absent_classes": ["bird"],
            "images": 64,
        },
        confusion=confusion,
        splits={"train": 1024, "val": 64},
        history=[
            {"epoch": int(e), "train_loss": 2 / e, "val_loss": 2.2 / e, "mean_iou": 0.72 * (1 - 0.9**e),
             "pixel_accuracy": 0.94 * (1 - 0.6**e), "lr": 1e-3 * (1 - e / 26)}
            for e in map(float, steps)
        ],
        settings={"model": {"name": "fcn8s"}, "optim": {"lr": 5e-4, "a": {"deep": {"and_long": "x" * 90}}}},
        environment={"python": "3.12", "torch": "2.9"},
        minutes=2.4,
        examples=[drawn_example(seed) for seed in range(6)],
        notes=["Measured on whole pictures at one scale."],
        files={"Best weights": "runs/pasture/model"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The report on a local server, so that a request it made would be seen."""
    folder = tmp_path_factory.mktemp("page")
    write_report(drawn_report(), folder / "report.html")

    class Quiet(SimpleHTTPRequestHandler):
        def __init__(self, *args, **kwargs) -> None:
            super().__init__(*args, directory=str(folder), **kwargs)

        def log_message(self, *args) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/report.html"
        server.shutdown()


@pytest.fixture(scope="module", params=[(size, scheme) for size in SIZES for scheme in ("light", "dark")], ids="-".join)
def page(request: pytest.FixtureRequest, browser, address: str):
    """The browser with the report open at one size and colour scheme, and all its folds opened."""
    size, scheme = request.param
    width, height = SIZES[size]
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == "phone"}
    metrics |= {"screenWidth": width, "screenHeight": height}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    browser.get_log("browser"), browser.get_log("performance")  # of earlier tests
    browser.get(address)
    browser.execute_script("document.querySelectorAll('details').forEach(fold => fold.open = true)")
    return browser


def test_nothing_is_complained_about_and_nothing_fetched(page, address: str) -> None:
    assert page.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    sent = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert [url for url in sent if not url.startswith("data:")] == [address]
    assert page.title == "Pasture, first run – Foveate report"


def test_the_page_never_scrolls_sideways(page) -> None:
    # A phone widens its viewport to what overflows, so the width asked for is what counts.
    width = page.execute_script("return screen.width")
    assert width in {width for width, _ in SIZES.values()}
    assert page.execute_script("return document.documentElement.scrollWidth") <= width
    beyond = page.execute_script("""
        const inBox = node => node.closest('.scroll') !== null;
        return [...document.querySelectorAll('body *')]
            .filter(node => !inBox(node) && node.getBoundingClientRect().right > screen.width + 1)
            .map(node => node.outerHTML.slice(0, 120));
    """)
    assert beyond == []


def test_every_picture_is_decoded_and_described(page) -> None:
    pictures = page.execute_script("""
        return Promise.all([...document.images].map(async image => {
            await image.decode();
            return [image.naturalWidth, image.getBoundingClientRect().width, image.alt];
        }));
    """)
    assert len(pictures) == 24
    assert all(natural > 0 and shown > 100 and alt for natural, shown, alt in pictures)


def test_headings_stand_in_order(page) -> None:
    levels = page.execute_script("return [...document.querySelectorAll('h1,h2,h3')].map(h => [h.tagName, h.innerText])")
    assert levels[0] == ["H1", "Pasture, first run"]
    titles = [text for level, text in levels if level == "H2"]
    assert titles == [
        "Before you quote the score",
        "What was trained on what",
        "How it learnt",
        "Class by class",
        "What it mistakes for what",
        "At the outlines",
        "Pictures",
        "Do it again",
    ]
    assert [text for level, text in levels if level == "H3"][:3] == ["Loss", "Score", "Learning rate"]


def test_the_values_on_the_page_are_the_scores(page) -> None:
    report = drawn_report()
    hero = page.execute_script("const d = document.querySelector('.big data'); return [d.value, d.innerText]")
    assert hero == [repr(report.scores["mean_iou"]), "0.712"]
    facts = page.execute_script("return [...document.querySelectorAll('.top .facts data')].map(d => Number(d.value))")
    assert facts == [
        report.scores[k] for k in ("pixel_accuracy", "mean_accuracy", "frequency_weighted_iou", "boundary_iou")
    ]
    rows = page.execute_script("""
        return [...document.querySelectorAll('#classes ~ .card tbody tr')].map(row => {
            const bar = row.querySelector('.fill'), score = row.querySelector('data');
            const wide = node => node.getBoundingClientRect().width;
            const share = bar && wide(bar) / wide(row.querySelector('.track'));
            return [row.querySelector('th').innerText.trim(), score && Number(score.value), share];
        });
    """)
    known = {name: value for name, value in report.scores["per_class"].items() if value is not None}
    assert [name for name, _, _ in rows] == [*sorted(known, key=known.__getitem__, reverse=True), "bird"]
    for name, value, share in rows[:-1]:
        assert value == known[name]
        assert share == pytest.approx(known[name], abs=0.02)  # the bar is as long as it says
    matrix = page.execute_script("""
        const cells = row => [...row.querySelectorAll('td')].map(cell => cell.innerText);
        return [...document.querySelectorAll('.matrix tbody tr')].map(cells);
    """)
    shares = report.confusion / np.maximum(report.confusion.sum(axis=1, keepdims=True), 1) * 100
    for i, row in enumerate(matrix):
        for j, text in enumerate(row):
            assert text == ("–" if i == 5 else f"{shares[i, j]:.0f}" if shares[i, j] >= 0.5 else "·")


CONTRAST = """
    const channels = color => {
        const parts = color.match(/[\\d.]+/g).map(Number);
        const rgb = color.startsWith('color(') ? parts.slice(0, 3).map(v => v * 255) : parts.slice(0, 3);
        return [rgb, parts.length > 3 ? parts[3] : 1];
    };
    const luminance = rgb => {
        const [r, g, b] = rgb.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = node => {
        for (; node; node = node.parentElement) {
            const [rgb, alpha] = channels(getComputedStyle(node).backgroundColor);
            if (alpha > 0) return rgb;
        }
        return [255, 255, 255];
    };
    const result = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const node = walker.currentNode.parentElement;
        if (!walker.currentNode.data.trim() || node.tagName === 'title' || !node.getClientRects().length) continue;
        const style = getComputedStyle(node);
        const text = luminance(channels(node.closest('svg') ? style.fill : style.color)[0]);
        const paper = luminance(behind(node.closest('svg') ? node.closest('svg').parentElement : node));
        const ratio = (Math.max(text, paper) + 0.05) / (Math.min(text, paper) + 0.05);
        result.push([ratio, walker.currentNode.data.trim().slice(0, 40), node.className.baseVal ?? node.className]);
    }
    return result;
"""


def test_all_text_has_contrast_and_size_enough(page) -> None:
    texts = page.execute_script(CONTRAST)
    assert len(texts) > 150
    assert [entry for entry in texts if entry[0] < 4.5] == []
    smallest = page.execute_script("""
        return Math.min(...[...document.querySelectorAll('.chart text')].map(text => {
            const svg = text.closest('svg');
            const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
            return parseFloat(getComputedStyle(text).fontSize) * scale;
        }));
    """)
    assert smallest >= 10


def test_text_of_others_is_shown_not_run(page) -> None:
    assert EVIL in page.execute_script("return document.body.innerText")
    assert page.execute_script("return document.scripts.length") == 0
    assert "broken" not in page.title
