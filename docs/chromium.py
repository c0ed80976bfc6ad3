"""Chromium for the scripts that photograph pages; needs chromium and chromedriver."""

from __future__ import annotations

from typing import Any

FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run")


def open_browser(width: int, height: int) -> Any:
    """A browser without a window, in the light scheme and without scroll bars, of a size in pixels."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for flag in FLAGS:
        options.add_argument(flag)
    browser = webdriver.Chrome(options=options)
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    media = {"features": [{"name": "prefers-color-scheme", "value": "light"}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    browser.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
    return browser
