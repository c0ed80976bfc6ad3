"""The page of a comparison at four widths, by day and by night, with long names and many classes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from foveate.engine.compare import Compared
from foveate.engine.comparison import write_comparison
from foveate.records import ClassTable

pytestmark = pytest.mark.browser

WIDTHS = (360, 768, 1280, 1920)
LONG = "a_run_with_a_very_long_name_that_has_no_place_to_break_at_all"


def compared(name: str, count: int, score: float) -> Compared:
    names = tuple(f"class {k:03d} with a rather long name" for k in range(count))
    task = SimpleNamespace(
        title="semantic segmentation", monitor="mean_iou", headline=("mean_iou", "pixel_accuracy"), own_score="",
        greater_is_better=True, noun=lambda count: "picture" if count == 1 else "pictures", inputs=(),
        tables={"classes": ClassTable(names)}, preprocessing=None, answer=lambda model, samples, options: [None],
        draw_frame=lambda prediction, sample: Image.new("RGB", (480, 360), (90, 120, 60)),
    )  # fmt: skip
    evaluation: Any = SimpleNamespace(
        task=task, samples=[(0, score), (1, score / 2)], split="val", source="Folders", options=None,
        dataset=_Samples(), loaded=SimpleNamespace(model=None, name="model"),
    )  # fmt: skip
    scores = {"mean_iou": score, "pixel_accuracy": 0.9, "per_class": dict.fromkeys(names, score)}
    scores["intervals"] = {"mean_iou": (score - 0.1, score + 0.1)}
    history = [{"epoch": k, "mean_iou": score * k / 5, "val_loss": 1 / k, "train_loss": 2 / k} for k in range(1, 6)]
    return Compared(name, "multiscale_cnn_imagenet_camvid", 12.5, history, evaluation, scores, (0.1, 0.05, 0.15))


class _Samples:
    def __getitem__(self, index: int) -> dict[str, str]:
        return {"name": self.name(index)}

    def name(self, index: int) -> str:
        return f"{LONG}_{index}.png"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, serve: Any) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("comparison")
    write_comparison([compared(n, 150, s) for n, s in (("first", 0.5), (LONG, 0.4), ("c", 0.3))], folder / "page.html")
    with serve(folder) as root:
        yield f"{root}/page.html"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_it_fits_every_width_and_is_readable(
    browser: Any, open_page: Any, address: str, contrast: str, width: int, scheme: str
) -> None:
    open_page(address, "phone" if width < 500 else "desk", scheme)
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500, "screenWidth": width,
               "screenHeight": 900}  # fmt: skip
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    table = browser.execute_script(
        "const box = document.querySelector('.card.scroll'), score = box.querySelector('td.best'); "
        "return [getComputedStyle(box).overflowX, box.scrollWidth > box.clientWidth, "
        "score.getBoundingClientRect().right <= box.getBoundingClientRect().right]"
    )
    assert table == ["auto", width < 1280, True]  # wider than a small screen, it scrolls by itself, the score in view
    faint = [text for text in browser.execute_script(contrast) if text[0] < 4.5]
    assert not faint
    tops = browser.execute_script(
        "return [...document.querySelectorAll('.charts > *')].map(node => node.getBoundingClientRect().top)"
    )
    assert len(tops) == 3 and (width < 1280 or max(tops) - min(tops) < 1)  # cards of a row are aligned
    heights = browser.execute_script(
        "return [...document.querySelectorAll('.card.scroll')].map(node => node.getBoundingClientRect().height)"
    )
    assert max(heights) <= 740  # 150 classes scroll in their own box
    broken = browser.execute_script(
        "return [...document.querySelectorAll('.compared thead th')].filter(node => { "
        "const range = document.createRange(); range.selectNodeContents(node); "
        "return ['difference', 'minutes'].includes(node.innerText) && range.getClientRects().length > 1; }).length"
    )
    assert not broken  # one word stands on one line
    assert not [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
