"""A browser that reaches nothing but this machine, and what it makes of a page."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = "/usr/bin/chromium"
_ARGUMENTS = ["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


def violations(page: Page) -> list[str]:
    """What axe finds against WCAG 2.2 AA and good practice: rule and element."""
    options = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
    found: dict[str, Any] = Axe().run(page, options=options).response
    return [f"{each['id']}: {node['html']}" for each in found["violations"] for node in each["nodes"]]


def shoot(url: str, path: Path, *, width: int = 1000, dark: bool = False) -> None:
    """A picture of a whole page, as PNG."""
    with chromium() as browser:
        scheme: Any = "dark" if dark else "light"
        page = browser.new_page(viewport={"width": width, "height": 600}, color_scheme=scheme)
        page.goto(url)
        page.screenshot(path=path, full_page=True)
