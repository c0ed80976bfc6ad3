"""Milliseconds that a step of the brush takes on the label page, by the size of the image, and what a large image costs.

    python benchmarks/studio_large.py [--rounds N] [--megapixels M] [--json FILE]

Chromium opens the label page of a TIFF of M megapixels (40 unless stated), and of two smaller ones; the studio runs in
this process, on the loopback address. A step is one move of the pointer: the stroke's pixels, the tiles that they
touch, the part of the canvas that shows them, and a pixel read back, so that the browser has really drawn.
Needs the extra `studio`, selenium, Chromium and chromedriver.
"""

from __future__ import annotations

import re
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from common import SEED, Contender, Report, Target, arguments, compare, interleave, publish

import numpy as np  # isort: skip
import psutil
import tifffile
from selenium import webdriver

from foveate.studio.serve import serve

SMALL, MIDDLE = 0.17, 12.0  # megapixels
STEPS = 40  # of a round
MOST_STEP, MOST_OPEN, MOST_MEMORY, MOST_RATIO = 16.0, 2.0, 600.0, 2.0  # ms, s, MB, 1
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
STROKE = """
    const [scale, steps] = arguments;
    const {stage, desk, labels} = window.foveate.parts;
    const {view} = stage;
    if (scale) view.zoomAt(view.width / 2, view.height / 2, scale / view.scale);
    else view.fit();
    window.foveate.use('brush');
    window.foveate.settings.diameter = Math.max(8, Math.round(24 / view.scale));
    const tool = window.foveate.tool;
    const press = (i) => ({
        at: view.toImage(view.width * (0.3 + 0.4 * i / steps), view.height * (0.5 + 0.1 * Math.sin(i / 6))),
        shift: false, alt: false, double: false,
    });
    const flush = () => {
        cancelAnimationFrame(stage.frame);
        stage.draw();
        stage.base.getContext('2d').getImageData(0, 0, 1, 1);
    };
    stage.redraw();
    flush();
    tool.down(press(0));
    flush();
    const start = performance.now();
    for (let i = 1; i <= steps; i += 1) {
        tool.move(press(i));
        flush();
    }
    const mean = (performance.now() - start) / steps;  // the browser's clock has tenths of a millisecond
    tool.drop();
    return mean;
"""
SEEN = "return document.body.dataset.ready === 'true' && ![...window.foveate.parts.stage.picture.tiles.values()].includes(null)"


def write_image(path: Path, megapixels: float) -> None:
    """A TIFF of 3:2 with smooth colours and noise, written in strips."""
    height = round((megapixels * 1e6 / 1.5) ** 0.5)
    width = round(1.5 * height)
    rng = np.random.default_rng(SEED)
    rows, columns = np.linspace(0, 200, height)[:, None], np.linspace(0, 200, width)[None]
    image = np.empty((height, width, 3), np.uint8)
    for channel, base in enumerate((rows + 0 * columns, columns + 0 * rows, (rows + columns) / 2)):
        image[..., channel] = base
    image += rng.integers(0, 40, (height, width, 1), dtype=np.uint8)
    tifffile.imwrite(path, image, photometric="rgb")


def renderer_megabytes(driver: Any) -> float:
    """Resident memory of the largest renderer process."""
    children = psutil.Process(driver.service.process.pid).children(recursive=True)
    sizes = [p.memory_info().rss for p in children if any(part == "--type=renderer" for part in p.cmdline())]
    return max(sizes) / 1e6


def main() -> None:
    parser = arguments(__doc__ or "", rounds=7)
    parser.add_argument("--megapixels", type=float, default=40.0, help="of the large image (default 40)")
    options = parser.parse_args()
    sizes = {"small": SMALL, "middle": min(MIDDLE, options.megapixels), "large": options.megapixels}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "images"
        data.mkdir()
        for name, megapixels in sizes.items():
            write_image(data / f"{name}.tif", megapixels)
        (data / "classes.txt").write_text("thing\nunlabelled: ignore\n", encoding="utf-8")
        said: list[str] = []
        stop = threading.Event()
        thread = threading.Thread(target=serve, args=(data, stop), kwargs={"port": 0, "say": said.append})
        thread.start()
        while not said:
            time.sleep(0.05)
        chrome = webdriver.ChromeOptions()
        for flag in FLAGS:
            chrome.add_argument(flag)
        driver = webdriver.Chrome(options=chrome)
        try:
            report = measure(driver, said[0].split(": ", 1)[1], sizes, options.rounds)
        finally:
            driver.quit()
            stop.set()
            thread.join()
    publish(report, options.json)


def measure(driver: Any, address: str, sizes: dict[str, float], rounds: int) -> Report:
    metrics = {"width": 1280, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    driver.set_script_timeout(600)
    driver.get(address)
    origin = re.match(r"http://[^/]+", address).group()  # type: ignore[union-attr]
    while "?t=" in driver.current_url:
        time.sleep(0.05)
    names = "fetch('/api/1/pictures').then(a => a.json()).then(({pictures}) => arguments[0](pictures))"
    ids = {one["name"].removesuffix(".tif"): one["id"] for one in driver.execute_async_script(names)}
    tabs: dict[str, str] = {}
    seconds: dict[str, float] = {}
    for name in sizes:
        driver.switch_to.new_window("tab")
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        started = time.perf_counter()
        driver.get(f"{origin}/label/{ids[name]}")
        while not driver.execute_script(SEEN):
            time.sleep(0.01)
        seconds[name] = time.perf_counter() - started
        tabs[name] = driver.current_window_handle

    def step(name: str, scale: float) -> Contender:
        def run() -> float:
            driver.switch_to.window(tabs[name])
            return float(driver.execute_script(STROKE, scale, STEPS))

        return run

    tables = []
    for title, scale in (("whole image in sight", 0), ("at 100 %", 1)):
        figures = interleave({f"{sizes[name]:g} MP": step(name, scale) for name in sizes}, rounds)
        tables.append(compare(f"Step of the brush, {title}", "ms", figures, f"{sizes['small']:g} MP"))
    memory = renderer_megabytes(driver)
    large, middle = f"{sizes['large']:g} MP", f"{sizes['middle']:g} MP"
    slowest = max(table.row(large).median for table in tables)
    ratio = max(table.row(middle).relative for table in tables)
    report = Report("studio_large", {"rounds": rounds, "steps": STEPS, "window": "1280x800"}, tables)
    report.targets = [
        Target(f"a step at {large} within {MOST_STEP:g} ms", slowest, slowest <= MOST_STEP),
        Target(
            f"a step at {middle} within {MOST_RATIO:g} times that at {sizes['small']:g} MP", ratio, ratio <= MOST_RATIO
        ),
        Target(f"{large} seen whole within {MOST_OPEN:g} s", seconds["large"], seconds["large"] <= MOST_OPEN),
        Target(f"the largest renderer within {MOST_MEMORY:g} MB", memory, memory <= MOST_MEMORY),
    ]
    return report


if __name__ == "__main__":
    main()
