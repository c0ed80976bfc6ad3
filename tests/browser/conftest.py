"""A real browser, pages served to it, and the sizes and schemes they are looked at in."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from studio_tab import Server, Tab, write_images

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver

SIZES = {"phone": (375, 812), "desk": (1280, 900)}
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


def launch(profile: Path) -> WebDriver:
    """A Chromium whose data lie in a folder, where a later one finds them."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    binary = chromium()
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(service=Service(chromedriver(binary)), options=options)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    driver = launch(tmp_path_factory.mktemp("profile"))
    yield driver
    driver.quit()


@pytest.fixture
def launching(tmp_path: Path) -> Iterator[Callable[[], Tab]]:
    """launching(): a further Chromium, of the same profile each time, ended after the test."""
    drivers: list[WebDriver] = []

    def start() -> Tab:
        drivers.append(launch(tmp_path / "profile"))
        metrics = {"width": 1280, "height": 800, "deviceScaleFactor": 1, "mobile": False}
        drivers[-1].execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        return Tab(drivers[-1])

    yield start
    for driver in drivers:
        if driver.service.process.poll() is None:  # else it was killed
            driver.quit()


@pytest.fixture(scope="session")
def serve() -> Callable[[Path], contextlib.AbstractContextManager[str]]:
    """serve(folder): while this lasts, the folder on a local server, so that a request a page made would be seen."""

    @contextlib.contextmanager
    def run(folder: Path) -> Iterator[str]:
        class Quiet(SimpleHTTPRequestHandler):
            def __init__(self, *args, **kwargs) -> None:
                super().__init__(*args, directory=str(folder), **kwargs)

            def log_message(self, *args) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield f"http://127.0.0.1:{server.server_address[1]}"
            server.shutdown()

    return run


@pytest.fixture(scope="session")
def open_page(browser) -> Callable[[str, str, str], None]:
    """open_page(address, size, scheme): as on a phone or a desk, by day or by night."""

    def look(address: str, size: str, scheme: str) -> None:
        width, height = SIZES[size]
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == "phone"}
        metrics |= {"screenWidth": width, "screenHeight": height}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        browser.get_log("browser"), browser.get_log("performance")  # of earlier tests
        browser.get(address)

    return look


@pytest.fixture
def contrast() -> str:
    """The script that lists every text with the ratio of its lightness to that of its ground."""
    return CONTRAST


@pytest.fixture(scope="session")
def axe() -> Callable[[object], list[str]]:
    """axe(browser): the violations of axe-core's rules on the page, those that are serious or worse."""
    script = Path(__file__).parents[2] / ".ci" / "js" / "node_modules" / "axe-core" / "axe.min.js"
    if not script.is_file():
        pytest.fail(f"no axe-core at {script}; install it with: npm ci --prefix .ci/js")
    source = script.read_text(encoding="utf-8")

    def violations(browser) -> list[str]:
        browser.execute_script(source)
        return browser.execute_async_script(AXE)

    return violations


AXE = """
    const done = arguments[0];
    axe.run({resultTypes: ['violations']}).then(({violations}) => done(violations
        .filter(one => one.impact === 'serious' || one.impact === 'critical')
        .map(one => `${one.id}: ${one.nodes.map(node => node.html.slice(0, 120)).join(' | ')}`)));
"""
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


@pytest.fixture
def photos(tmp_path) -> Path:
    """Four images, and three classes."""
    folder = write_images(tmp_path / "photos")
    (folder / "classes.txt").write_text("sky #5f9fe8\ngrass #2f8f3f\nball #d8452f\nunlabelled: ignore\n")
    return folder


@pytest.fixture
def running() -> Iterator[Callable[..., Server]]:
    """running(folder): a server, ended after the test."""
    with contextlib.ExitStack() as stack:

        def start(data: Path) -> Server:
            server = Server(data)
            stack.callback(lambda: server.process.is_alive() and server.kill())
            return server

        yield start


@pytest.fixture
def tab(browser) -> Iterator[Tab]:
    metrics = {"width": 1280, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    first = browser.current_window_handle
    browser.get_log("browser")
    yield Tab(browser)
    for handle in browser.window_handles:
        if handle != first:
            browser.switch_to.window(handle)
            browser.close()
    browser.switch_to.window(first)
    browser.get("about:blank")
