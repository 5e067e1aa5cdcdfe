"""The operators' pages in a real browser, over a real gateway, broker and database."""

import re
from collections.abc import Iterator

import pytest
import urllib3
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect

from gateway.forward.senml import encode_pack
from gateway.web.console.plot import POINTS as PLOT_POINTS
from gateway.web.users import Users
from sim_hardware.servers import InfluxDB, wait_until
from tests.gateway.hooked import Hook
from tests.gateway.streets import pack
from tests.system.evening import LEAKING, MINUTES, PASSWORD, USER, Evening, evening
from tests.system.gateway_process import SECONDS, Publisher

MILLIS = SECONDS * 1000
POINTS = "getElement(document.querySelector('[data-test=chart]').id.slice(1)).chart.getOption().series[0].data.length"
"""Of the first line of the chart on a page."""
PAGES = (
    "/",
    "/incidents",
    "/nodes",
    f"/nodes/riverside/{LEAKING}",
    f"/series?quantity=flow&node={LEAKING}&last=24h&compare=1d&expected=1",
    "/told",
    "/weeks",
    "/ledger",
    "/letters",
    "/login",
)
WANTED = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


@pytest.fixture(scope="module")
def hook() -> Iterator[Hook]:
    """Whom the gateway tells."""
    with Hook() as server:
        yield server


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory, influx: InfluxDB, hook: Hook) -> Iterator[Evening]:
    name = "console"
    duty = f'[[notify]]\nname = "duty"\nvia = "webhook"\nurl = "{hook.url}"\n'
    with urllib3.PoolManager() as pool:
        assert pool.request("POST", f"{influx.url}/query", fields={"q": f"CREATE DATABASE {name}"}).status == 200
    with evening(tmp_path_factory.mktemp("console"), influx, name, duty) as found:
        yield found


@pytest.fixture
def page(browser: Browser, city: Evening) -> Iterator[Page]:
    """A stranger's: nothing of an earlier visit, and any error of the page's own is one of the test."""
    errors: list[str] = []
    asked: list[str] = []
    context = browser.new_context(base_url=city.base, viewport={"width": 1280, "height": 800})
    context.set_default_timeout(MILLIS)
    page = context.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    yield page
    context.close()
    assert errors == []
    outside = [url for url in asked if not url.startswith((city.base, "data:", city.base.replace("http", "ws")))]
    assert outside == [], "a console in a cabinet has no Internet"


def log_in(page: Page) -> None:
    page.get_by_label("Name").fill(USER)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()


def chart(page: Page) -> Locator:
    expect(page.locator("[data-test=chart] canvas").first).to_be_visible()
    return page.locator("[data-test=chart]").first


def test_a_stranger_finds_the_leak_and_its_evening(page: Page, city: Evening, browser: Browser) -> None:
    """Opens the console, sees what is worst, reads when it began, takes note of it; others see that, and the feed."""
    page.goto("/")
    leak = page.locator(".incidents a", has_text="burst")
    expect(leak).to_contain_text(LEAKING)
    expect(page.locator(f"#n-riverside-{LEAKING}")).to_have_class("node s-critical")
    leak.click()
    expect(page.locator("h1")).to_contain_text(LEAKING)
    expect(page.locator("dl.facts")).to_contain_text(re.compile(r"Began\s*Mon 23 Nov 2026, 19:1\d"))
    expect(chart(page).locator("[aria-label]").or_(chart(page))).to_have_attribute("aria-label", re.compile("burst"))

    context = browser.new_context(base_url=city.base)
    other = context.new_page()
    other.goto("/")
    expect(other.locator(".incidents a", has_text="burst")).to_contain_text("nobody has taken note")

    page.get_by_text("Log in to acknowledge").click()
    log_in(page)
    page.get_by_label("Note").fill("the plumber is on her way")
    page.get_by_role("button", name="Acknowledge").click()
    expect(page.locator("dl.facts")).to_contain_text(f"by {USER}", timeout=MILLIS)
    expect(page.locator("dl.facts")).to_contain_text("the plumber is on her way")
    expect(other.locator(".incidents a", has_text="burst")).to_contain_text(f"{USER} knows", timeout=MILLIS)
    context.close()

    (incident,) = [each for each in city.gateway.cli_json("incidents", "--open") if each["node"] == LEAKING]
    assert incident["acknowledged"]["by"] == USER
    feed = city.get("/cap/feed.atom").data.decode()
    assert incident["id"] in feed
    document = city.get(f"/cap/{incident['id']}.xml").data.decode()
    assert "<status>Actual</status>" in document
    assert "urn:oasis:names:tc:emergency:cap:1.2" in document


def test_a_series_is_shown_compared_and_zoomed(page: Page, city: Evening) -> None:
    """What is looked at closely is asked for anew, in finer steps."""
    count = 2 * PLOT_POINTS
    packs = (pack("air-0099", MINUTES - n / 4, {"pm2_5": 10.0 + n % 5}) for n in range(count, 0, -1))
    with Publisher(city.broker) as publisher:
        publisher.send(("ganglion/v1/riverside/air-0099/telemetry", encode_pack(each)) for each in packs)
    city.gateway.wait_for("more packs", lambda ledger: ledger.received > count and not ledger.waiting)
    wait_until(lambda: b"was heard" not in city.get("/nodes/riverside/air-0099").data, SECONDS, "the console's look")
    page.goto("/series?quantity=pm2_5&node=air-0099&last=7d")
    expect(page.locator(".note").first).to_contain_text("thinned: means of")
    found = chart(page)
    before = page.evaluate(POINTS)
    box = found.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + box["height"] / 2)
    for _ in range(6):
        page.mouse.wheel(0, -400)
    page.wait_for_function(f"({POINTS}) > {before}", timeout=MILLIS)
    page.goto(f"/series?quantity=flow&node={LEAKING}&last=24h")
    chart(page)
    page.get_by_label("Compare with").select_option("1d")
    page.get_by_role("button", name="Show").click()
    chart(page)
    page.goto("/series?quantity=flwo")
    expect(page.get_by_role("alert")).to_contain_text("flow")
    page.goto("/series?quantity=flow&node=water-004")
    expect(page.get_by_role("alert")).to_contain_text("water-0004")


def test_new_words_reach_an_open_page(page: Page, city: Evening) -> None:
    """Without a reload: a node that goes changes on the map."""
    page.goto("/")
    symbol = page.locator("#n-riverside-air-0009")
    expect(symbol).to_have_class("node s-ok")
    with Publisher(city.broker) as publisher:
        publisher.send([("ganglion/v1/riverside/air-0009/status", b'{"online":false}')])
    expect(symbol).to_have_class("node s-offline", timeout=MILLIS)
    expect(page.locator(".counts")).to_contain_text("offline")


@pytest.mark.parametrize("path", PAGES)
def test_a_page_can_be_used_by_everybody(page: Page, path: str) -> None:
    """No rule of WCAG 2.2 AA that axe can check is broken; on a phone nothing is wider than the screen."""
    page.goto(path)
    page.locator("h1").first.wait_for()
    found = Axe().run(page, options={"runOnly": WANTED})
    broken = [(each["id"], [node["html"][:200] for node in each["nodes"]]) for each in found.response["violations"]]
    assert broken == []
    page.set_viewport_size({"width": 390, "height": 800})
    page.wait_for_function("document.documentElement.scrollWidth <= 390")


def test_by_keyboard_alone(page: Page) -> None:
    """Over the menu to the worst incident, and into it."""
    page.goto("/")
    page.locator(".incidents a").first.wait_for()
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_text("Skip to the content")
    page.keyboard.press("Enter")
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.closest('.incidents')?.textContent.includes('burst')"):
            break
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_contain_text("at riverside")


def test_dead_letters_are_taken_in_again(page: Page) -> None:
    """Those that are still bad stay, and the page says so."""
    page.goto("/letters")
    expect(page.locator("table")).to_contain_text("json")
    page.get_by_text("Log in to replay").click()
    log_in(page)
    page.get_by_role("button", name="Take in again").click()
    expect(page.get_by_text("0 taken in, 1 still refused")).to_be_visible()


def test_a_week_is_a_page(page: Page) -> None:
    """From the list to the report, which needs nothing from elsewhere."""
    page.goto("/weeks")
    page.get_by_role("link", name="html").first.click()
    expect(page.locator("h1")).to_contain_text("2026-W48", timeout=MILLIS)
    expect(page.locator("body")).to_contain_text("burst")


def test_who_may_act(page: Page, city: Evening) -> None:
    """A wrong password is refused; a session that was ended elsewhere acts no more."""
    page.goto("/login?to=/incidents")
    page.get_by_label("Name").fill(USER)
    page.get_by_label("Password").fill("not the password")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("do not belong together")
    log_in(page)
    expect(page).to_have_url(f"{city.base}/incidents")
    (cookie,) = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], "value" in cookie) == (True, "Strict", True)
    page.goto("/letters")
    button = page.get_by_role("button", name="Take in again")
    button.wait_for()
    Users(city.gateway.folder / "data").change(USER, PASSWORD)
    button.click()
    expect(page.get_by_text("your session has ended")).to_be_visible()


def test_who_has_logged_in_sees_who_tried_to(page: Page) -> None:
    """And what was asked for, by whom; a stranger does not."""
    page.goto("/login")
    page.get_by_label("Name").fill("mallory")
    page.get_by_label("Password").fill("not the password")
    page.get_by_role("button", name="Log in").click()
    page.goto("/audit")
    expect(page.locator("table")).to_have_count(0)
    page.get_by_text("Log in to see it").click()
    log_in(page)
    page.get_by_role("link", name="refused log-ins").click()
    expect(page.locator("tbody tr").first).to_contain_text("(no user)")
    assert "mallory" not in page.content()


def test_pages_of_others_get_nothing(city: Evening) -> None:
    """Neither by a name of their own that leads here, nor by a form, nor into a frame."""
    assert city.get("/", Host="evil.example").status == 421
    with urllib3.PoolManager(retries=False) as pool:
        for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            fields = {"name": USER, "password": PASSWORD}
            answer = pool.request("POST", f"{city.base}/login", fields=fields, headers=headers, redirect=False)
            assert answer.status == 403
            assert "set-cookie" not in answer.headers
        upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
                   "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Origin": "https://evil.example"}  # fmt: skip
        socket = "/_nicegui_ws/socket.io/?EIO=4&transport=websocket"
        assert pool.request("GET", f"{city.base}{socket}", headers=upgrade).status == 403
    answer = city.get("/login?to=//evil.example/")
    assert "evil" not in answer.data.decode()
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


def test_a_test_message_and_a_drill(page: Page, city: Evening, hook: Hook) -> None:
    """Sent from the page; the drill is marked on its page and in what the target hears."""
    page.goto("/told")
    page.get_by_text("Log in to test it").click()
    log_in(page)
    expect(page.locator("table")).to_contain_text("duty")
    page.get_by_role("button", name="Send it").click()
    expect(page.get_by_text("duty: ")).to_be_visible()
    page.get_by_label("Node").fill("water-0001")
    page.get_by_role("button", name="Begin").click()
    page.get_by_role("link", name="burst").click()
    expect(page.locator("h1")).to_contain_text("DRILL")
    wait_until(lambda: any(b"EXERCISE" in each.body and b"water-0001" in each.body for each in hook.posted), SECONDS,
               "the message of the drill")  # fmt: skip
    page.goto("/nodes/riverside/water-0001")
    expect(page.locator("table .badge", has_text="DRILL").first).to_be_visible()
    page.goto("/told")
    page.get_by_role("button", name="End it", exact=True).click()
    expect(page.get_by_text("The drill has ended")).to_be_visible()
