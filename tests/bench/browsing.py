"""How long a browser takes until somebody sees what they came for, by its own clock, from the start of the navigation.

Each visit is a stranger's: a fresh context without a cache. A moment counts when the frame after it is painted.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, BrowserContext, Page, Playwright, sync_playwright
from playwright.sync_api import Error as PlaywrightError

from tests.bench.stand import BenchError

PATIENCE_MS = 60_000
PHONE = "Pixel 5"
SLOWER = 4
"""How much slower a phone's processor is than this machine's."""
_WATCH = """(() => {
  const painted = (mark) => requestAnimationFrame(() => setTimeout(() => { window[mark] = performance.now(); }));
  const look = () => { if (%s) return; requestAnimationFrame(look); };
  requestAnimationFrame(look);
})();"""
_MAP = """(() => {
  const wrong = document.querySelector(".incidents a");
  const there = document.querySelectorAll("svg#map a.node").length >= %d && wrong && wrong.getClientRects().length
    && document.getElementById("map").getClientRects().length;
  if (there) painted("benchSeen");
  return there;
})()"""
_CHART = """(() => {
  const place = document.querySelector("[data-test=chart]");
  const chart = place && getElement(place.id.slice(1))?.chart;
  const series = chart?.getOption()?.series;
  if (!series?.some((each) => each.data?.length)) return false;
  window.benchChart = chart;
  chart.on("finished", () => painted("benchSeen"));
  chart.getZr().refresh();  // it may have finished before anybody listened
  return true;
})()"""
POINTS = "benchChart.getOption().series[0].data.length"
_WHEEL = """(() => {
  const before = %s;
  window.benchFine = null;
  window.addEventListener("wheel", () => {
    const began = performance.now();
    const look = () => {
      if (%s > before) setTimeout(() => { window.benchFine = performance.now() - began; });
      else requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  }, { once: true, capture: true });
})()"""


class Strangers:
    """Who opens pages of a console for the first time."""

    def __init__(self, playwright: Playwright, browser: Browser, base: str) -> None:
        self._playwright, self._browser, self._base = playwright, browser, base

    def first_view(self, nodes: int, *, phone: bool = False) -> float:
        """Seconds until the map with so many symbols and the list of incidents are there. Raises BenchError."""
        with self._page(_WATCH % (_MAP % nodes), phone=phone) as page:
            return self._seen(page, "/")

    def series(self, path: str) -> float:
        """Seconds until the chart of a page is drawn. Raises BenchError."""
        with self._page(_WATCH % _CHART) as page:
            return self._seen(page, path)

    def zoom(self, path: str) -> float:
        """Seconds from the wheel over a chart until it has finer points. Raises BenchError."""
        with self._page(_WATCH % _CHART) as page:
            self._seen(page, path)
            box = page.locator("[data-test=chart]").first.bounding_box()
            assert box is not None
            page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] / 2)
            page.evaluate(_WHEEL % (POINTS, POINTS))
            page.mouse.wheel(0, -400)
            for _ in range(7):
                page.mouse.wheel(0, -400)
            page.wait_for_function("window.benchFine !== null")
            return float(page.evaluate("benchFine")) / 1000

    def _seen(self, page: Page, path: str) -> float:
        page.goto(path, wait_until="commit")
        page.wait_for_function("window.benchSeen !== undefined", polling=20)
        return float(page.evaluate("benchSeen")) / 1000

    @contextmanager
    def _page(self, script: str, *, phone: bool = False) -> Iterator[Page]:
        """A stranger's, with a script that runs before those of the page."""
        context = self._context(phone=phone)
        errors: list[str] = []
        try:
            page = context.new_page()
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.add_init_script(script)
            if phone:
                context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
            yield page
            if errors:
                raise BenchError(f"the page has an error of its own: {errors[0]}")
        except PlaywrightError as error:
            raise BenchError(f"what was looked for did not come: {error}; errors of the page: {errors}") from error
        finally:
            context.close()

    def _context(self, *, phone: bool) -> BrowserContext:
        shape = dict(self._playwright.devices[PHONE]) if phone else {"viewport": {"width": 1280, "height": 800}}
        shape.pop("default_browser_type", None)
        context = self._browser.new_context(base_url=self._base, **shape)
        context.set_default_timeout(PATIENCE_MS)
        return context


@contextmanager
def strangers(base: str) -> Iterator[Strangers]:
    """With Debian's Chromium. Raises BenchError when it is not there."""
    path = shutil.which("chromium")
    if path is None:
        raise BenchError("needs chromium: `apt-get install chromium` brings it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield Strangers(playwright, browser, base)
        finally:
            browser.close()
