"""What the tests of pages share: one Chromium, and what it asked for."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1300,900",
)


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A headless Chromium with its logs; the test is skipped where there is none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    binary = next((path for name in names if (path := shutil.which(name))), None)
    driver_path = shutil.which("chromedriver")
    if binary is None or driver_path is None:
        pytest.skip("no chromium and chromedriver on the PATH")
    webdriver = pytest.importorskip("selenium.webdriver", reason="no selenium")
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.binary_location = binary
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(driver_path))
    yield driver
    driver.quit()


@pytest.fixture
def fresh_chromium(chromium: Any) -> Any:
    """The Chromium as on its first page: a wide light screen, motion, scripts, empty logs."""
    chromium.get("about:blank")
    chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    features = [
        {"name": "prefers-color-scheme", "value": "light"},
        {"name": "prefers-reduced-motion", "value": "no-preference"},
    ]
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": features})
    chromium.get_log("performance")
    chromium.get_log("browser")
    return chromium


@pytest.fixture
def asked_for(fresh_chromium: Any) -> Any:
    """A function that returns the addresses which the Chromium has asked for since it was last called."""

    def addresses() -> list[str]:
        events = [json.loads(entry["message"])["message"] for entry in fresh_chromium.get_log("performance")]
        return [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]

    return addresses
