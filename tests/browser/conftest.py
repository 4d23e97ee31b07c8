"""A real browser for the report's page: Chromium without a window, driven by Selenium."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

from search.data.dataset import find_test_images
from search.report import page
from tests.report import studies

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
WIDE, PHONE = (1280, 900), (390, 844)
PATIENCE = 240.0
"""Seconds that a page may take to draw all its charts; a machine under load needs tens."""


class Browser:
    """A browser with what the tests ask of it.

    Args:
        driver: Of the browser.
    """

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver
        self.run = driver.execute_script

    def show(
        self, path: Path, *, size: tuple[int, int] = WIDE, scheme: str = "light", until_drawn: bool = True
    ) -> None:
        """Opens a file on a screen of some size, in a scheme, and waits for its charts."""
        width, height = size
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": features})
        self.driver.get_log("browser"), self.driver.get_log("performance")
        self.driver.get(path.as_uri())
        if until_drawn:
            self.wait("return document.documentElement.dataset.charts !== undefined")

    def wait(self, script: str) -> None:
        """Waits until a script returns a true value."""
        end = time.monotonic() + PATIENCE
        while not self.run(script):
            assert time.monotonic() < end, f"never true: {script}; {self.complaints()}"
            time.sleep(0.1)

    def complaints(self) -> list[str]:
        """What the browser's console says since the page was opened."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """What the page asked for since it was opened, but for what lies in it."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        asked = [one["params"]["request"]["url"] for one in events if one["method"] == "Network.requestWillBeSent"]
        return [url for url in asked if not url.startswith(("data:", "blob:"))]

    def texts(self, selector: str) -> list[str]:
        """The texts of all visible elements that a selector finds."""
        script = (
            "return [...document.querySelectorAll(arguments[0])].filter((one) => one.offsetParent)"
            ".map((one) => one.textContent.trim().replace(/\\s+/g, ' '))"
        )
        found: list[str] = self.run(script, selector)
        return found


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One browser for all tests; each opens the page that it needs."""
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("chromium and chromedriver are not on the path (Debian: chromium, chromium-driver)")
    options = Options()
    options.binary_location = CHROMIUM
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.set_script_timeout(PATIENCE)
    driver.set_page_load_timeout(PATIENCE)
    yield Browser(driver)
    driver.quit()


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Writes the page of one of ``studies.boards()``, by name, with pictures of MNIST, and returns where it is."""
    folder = tmp_path_factory.mktemp("reports")
    known: dict[str, Any] = studies.boards()
    test = find_test_images(studies.MNIST_SHA256)
    assert test is not None

    def write(name: str) -> Path:
        path = folder / f"{name.replace(' ', '-')}.html"
        if not path.exists():
            text = page.render(studies.board(known[name]), known[name], {studies.MNIST_SHA256: test})
            path.write_text(text, encoding="utf-8")
        return path

    return write
