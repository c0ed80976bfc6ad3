"""The report as a reader meets it: in a real browser, on a phone and on a desk, by day and by night."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest

from foveate.records import ClassTable
from foveate.tasks.semantic.boundaries import boundary_section
from foveate.tasks.semantic.figures import SemanticExample, example_section
from foveate.tasks.semantic.report import TEXT
from foveate.visualize.report import Report, ReportPart, write_report
from foveate.visualize.report.classes import class_row, class_section, class_strip, class_summary, confusion_section
from foveate.visualize.report.listing import script

pytestmark = pytest.mark.browser

VIEWPORTS = [(size, scheme) for size in ("phone", "desk") for scheme in ("light", "dark")]
FACTS = ("pixel_accuracy", "mean_accuracy", "frequency_weighted_iou", "boundary_iou")
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


def drawn_example(seed: int) -> SemanticExample:
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
    return SemanticExample(f"scene_{seed:03d}.png", image.astype(np.uint8), truth, prediction, 0.9 - seed * 0.07)


def drawn_confusion() -> np.ndarray:
    count = len(CLASSES)
    rng = np.random.default_rng(7)
    confusion = rng.integers(0, 400, (count, count)) + np.eye(count, dtype=int) * 9000
    confusion[5] = confusion[:, 5] = 0
    return confusion


def drawn_report() -> Report:
    rng = np.random.default_rng(7)
    ious = [None if i == 5 else float(v) for i, v in enumerate(rng.random(len(CLASSES)))]
    edges = [None if v is None else v * 0.8 for v in ious]
    steps = np.arange(1, 26)
    scores = {
        "mean_iou": 0.71234567,
        "pixel_accuracy": 0.93456789,
        "mean_accuracy": 0.8123,
        "frequency_weighted_iou": 0.8765,
        "boundary_iou": 0.54321,
        "trimap_iou": {"1": 0.41, "2": 0.47, "4": 0.55, "8": 0.62, "16": 0.68},
        "per_class": dict(zip(CLASSES.names, ious, strict=True)),
        "per_class_boundary_iou": dict(zip(CLASSES.names, edges, strict=True)),
        "absent_classes": ["bird"],
        "samples": 64,
    }
    confusion = drawn_confusion()
    sections = [
        class_section(scores, CLASSES, confusion, TEXT),
        confusion_section(scores, CLASSES, confusion, TEXT),
        boundary_section(scores, CLASSES),
        example_section([drawn_example(seed) for seed in range(6)], CLASSES),
    ]
    part = ReportPart(
        TEXT,
        sections,
        class_strip(scores, CLASSES, TEXT),
        class_summary(scores, CLASSES, TEXT),
        [class_row(CLASSES)],
        ["Measured on whole pictures at one scale."],
    )
    return Report(
        title="Pasture, first run",
        recipe="fcn8s_pasture",
        command="foveate train fcn8s_pasture --out runs/pasture --optim.lr 0.0005 --schedule.epochs 25 --seed 1",
        data="pasture scenes of 160x120 pixels, drawn from seed 1",
        scores=scores,
        part=part,
        splits={"train": 1024, "val": 64},
        history=[
            {"epoch": int(e), "train_loss": 2 / e, "val_loss": 2.2 / e, "mean_iou": 0.72 * (1 - 0.9**e),
             "pixel_accuracy": 0.94 * (1 - 0.6**e), "lr": 1e-3 * (1 - e / 26)}
            for e in map(float, steps)
        ],
        settings={"model": {"name": "fcn8s"}, "optim": {"lr": 5e-4, "a": {"deep": {"and_long": "x" * 90}}}},
        environment={"python": "3.12", "torch": "2.9"},
        minutes=2.4,
        files={"Best weights": "runs/pasture/model"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def address(serve, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("page")
    write_report(drawn_report(), folder / "report.html")
    with serve(folder) as root:
        yield f"{root}/report.html"


@pytest.fixture(scope="module", params=VIEWPORTS, ids="-".join)
def page(request: pytest.FixtureRequest, browser, open_page, address: str):
    """The browser with the report open at one size and colour scheme, and all its folds opened."""
    open_page(address, *request.param)
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
    assert width in (375, 1280)
    assert page.execute_script("return document.documentElement.scrollWidth") <= width
    beyond = page.execute_script("""
        const inBox = node => node.closest('.scroll') !== null;
        return [...document.querySelectorAll('body *')]
            .filter(node => !inBox(node) && node.getBoundingClientRect().right > screen.width + 1)
            .map(node => node.outerHTML.slice(0, 120));
    """)
    assert beyond == []


def test_every_link_of_the_contents_is_in_view(page) -> None:
    outside = page.execute_script("""
        const links = [...document.querySelectorAll('.contents a')];
        return links.map(link => link.getBoundingClientRect())
            .filter(box => box.left < 0 || box.right > document.documentElement.clientWidth || !box.width).length
            + (links.length < 4);
    """)
    assert outside == 0


def test_a_heading_that_is_jumped_to_is_not_below_the_contents(page) -> None:
    hidden = page.execute_script("""
        const bar = document.querySelector('.contents');
        return [...bar.querySelectorAll('a')].filter(link => {
            link.click();
            const heading = document.querySelector(link.getAttribute('href'));
            return heading.getBoundingClientRect().top < bar.getBoundingClientRect().bottom;
        }).map(link => link.textContent);
    """)
    assert hidden == []


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
        "Model and data",
        "Learning curves",
        "Scores by class",
        "Confusion between classes",
        "Scores near outlines",
        "Examples",
        "Reproduce this run",
    ]
    assert [text for level, text in levels if level == "H3"][:3] == ["Loss", "Score", "Learning rate"]


def test_the_values_on_the_page_are_the_scores(page) -> None:
    report, confusion = drawn_report(), drawn_confusion()
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
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1) * 100
    for i, row in enumerate(matrix):
        for j, text in enumerate(row):
            assert text == ("–" if i == 5 else f"{shares[i, j]:.0f}" if shares[i, j] >= 0.5 else "·")


def test_all_text_has_contrast_and_size_enough(page, contrast: str) -> None:
    texts = page.execute_script(contrast)
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
    assert page.execute_script("return [...document.scripts].map(one => one.text)") == [script()]
    assert "broken" not in page.title
