"""Makes the pictures of the operators' pages: `python docs/screens.py docs/images`. Needs Chromium and the servers.

A day of the simulated city is played into a real gateway, and looked at in a real browser.
"""

import sys
import tempfile
from pathlib import Path

import urllib3
from playwright.sync_api import Browser, Page, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gateway.citizens.app import make_app
from sim_hardware.servers import InfluxDB
from tests.gateway.citizens_work import rich, with_figures
from tests.gateway.served import served
from tests.system.evening import LEAKING, PASSWORD, USER, evening

WIDE, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 780}
CHROMIUM = "/usr/bin/chromium"


def main(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as name, InfluxDB(Path(name) / "influx") as influx:
        with urllib3.PoolManager() as pool:
            pool.request("POST", f"{influx.url}/query", fields={"q": "CREATE DATABASE screens"})
        with evening(Path(name), influx, "screens", "", "exercise = true\n") as city, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            look(browser, city.base, folder)
            public(browser, Path(name) / "public", folder)
            browser.close()


def look(browser: Browser, base: str, folder: Path) -> None:
    """All of them."""
    page = browser.new_context(base_url=base, viewport=WIDE).new_page()
    page.goto("/")
    shoot(page, ".incidents", folder / "console-map.png")
    page.locator(".incidents a").first.click()
    page.get_by_text("Log in to acknowledge").click()
    page.get_by_label("Name").fill(USER)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("button", name="Acknowledge").wait_for()
    shoot(page, "[data-test=chart] canvas", folder / "console-incident.png", whole=True)
    page.goto(f"/series?quantity=flow&node={LEAKING}&last=24h")
    shoot(page, "[data-test=chart] canvas", folder / "console-series.png")
    page.goto(f"/nodes/riverside/{LEAKING}")
    shoot(page, "[data-test=chart] canvas", folder / "console-node.png", whole=True)
    page.set_viewport_size(PHONE)
    page.goto("/")
    shoot(page, ".incidents", folder / "console-phone.png")


def public(browser: Browser, data: Path, folder: Path) -> None:
    """The citizens' page, with one of everything that it can show."""
    data.mkdir()
    with served(with_figures(make_app(rich(data, link="")))) as site:
        page = browser.new_page(viewport={"width": 900, "height": 600})
        page.goto(site.url)
        shoot(page, "#push:not([hidden])", folder / "citizens.png", whole=True)


def shoot(page: Page, there: str, path: Path, *, whole: bool = False) -> None:
    """Once `there` is to be seen and the page is still."""
    page.locator(there).first.wait_for()
    page.wait_for_load_state("networkidle")
    page.screenshot(path=path, full_page=whole, animations="disabled")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
