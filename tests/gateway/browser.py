"""What a browser makes of a page."""

from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page


def violations(page: Page) -> list[str]:
    """What axe finds against WCAG 2.2 AA and good practice: rule and element."""
    options = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
    found: dict[str, Any] = Axe().run(page, options=options).response
    return [f"{each['id']}: {node['html']}" for each in found["violations"] for node in each["nodes"]]
