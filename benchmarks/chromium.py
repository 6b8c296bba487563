"""A headless Chromium that draws WebGL on the CPU: what exports/viewer.html is tested and measured with."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def missing() -> str | None:
    """What is not there to start it with, and how to get it; None where all is."""
    try:
        import selenium  # noqa: F401
    except ModuleNotFoundError:
        return "needs the package selenium: pip install -e '.[dev]'"
    if not any(map(shutil.which, _BROWSERS)) or not shutil.which("chromedriver"):
        return "needs Chromium and its driver: apt-get install chromium chromium-driver"
    return None


@contextmanager
def chromium(
    width: int = 1280, height: int = 800, webgl: bool = True, media: dict[str, str] | None = None
) -> Iterator[Any]:
    """A selenium driver; its pages are `width` x `height` px.

    Args:
        webgl: False: a browser without it.
        media: media features as the page sees them, such as {"prefers-color-scheme": "dark"}.
    """
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = next(filter(None, map(shutil.which, _BROWSERS)))
    drawing = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader") if webgl else ("--disable-3d-apis",)
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars", *drawing):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
        )
        features = [{"name": name, "value": value} for name, value in (media or {}).items()]
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        driver.set_script_timeout(60)
        yield driver
    finally:
        driver.quit()


def open_viewer(driver: Any, page: Path) -> None:
    """Load exports/viewer.html from the disk, and wait until all of it is there."""
    from selenium.webdriver.support.ui import WebDriverWait

    driver.get(page.resolve().as_uri())
    WebDriverWait(driver, 60).until(lambda d: d.execute_script("return Boolean(window.viewer && window.viewer.loaded)"))
