"""The public's page in a browser: readable by all, with and without JavaScript, and the way to Web Push."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from playwright.sync_api import Browser, expect

from gateway.citizens.app import make_app
from gateway.citizens.store import Store
from tests.gateway.browser import violations
from tests.gateway.citizens_work import rich, with_figures
from tests.gateway.pushing import Browser as Keys
from tests.gateway.served import Served, served

_SUBSCRIPTION = """
PushManager.prototype.subscribe = async function (options) {
  window.asked = options;
  const found = {
    endpoint: "https://push.example.com/mine",
    toJSON: () => ({ endpoint: found.endpoint, expirationTime: null, keys: KEYS }),
    unsubscribe: async () => { window.subscription = null; return true; },
  };
  return (window.subscription = found);
};
PushManager.prototype.getSubscription = async () => window.subscription || null;
"""
"""The push service of the browser's maker is not reached here: what it would answer."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Served]:
    with served(with_figures(make_app(rich(tmp_path, link="")))) as found:
        yield found


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1200])
def test_anybody_can_read_it(browser: Browser, site: Served, scheme: Any, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(site.url)
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.get_by_text("2\u202f880 litres on 22 November, 12 homes").is_visible()
    assert page.get_by_text("There is an exercise").is_visible()
    assert errors == []
    page.close()


def test_without_javascript_all_but_push_is_there(browser: Browser, site: Served) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(site.url)
    expect(page.get_by_role("heading", name="Burst water main: Harbour")).to_be_visible()
    expect(page.get_by_text("that alone needs JavaScript")).to_be_visible()
    expect(page.get_by_role("button", name="Tell me")).to_be_hidden()
    page.get_by_role("link", name="Look again").click()
    expect(page.get_by_role("heading", name="City news")).to_be_visible()
    context.close()


def test_who_clicks_is_told_and_who_stops_is_forgotten(browser: Browser, site: Served, tmp_path: Path) -> None:
    context = browser.new_context(permissions=["notifications"])
    context.add_init_script(_SUBSCRIPTION.replace("KEYS", msgspec.json.encode(Keys().keys).decode()))
    page = context.new_page()
    page.goto(site.url)
    store = Store(tmp_path)
    page.get_by_label("Or let your browser tell you of").select_option("Harbour")
    assert page.evaluate("window.asked === undefined")
    page.get_by_role("button", name="Tell me").click()
    expect(page.get_by_role("status")).to_have_text("You will be told of Harbour.")
    assert page.evaluate("window.asked.userVisibleOnly && window.asked.applicationServerKey.length") == 65
    assert [(each.endpoint, each.area) for each in store.subscriptions()] == [
        ("https://push.example.com/mine", "zone-harbour")
    ]
    assert violations(page) == []

    cdp = context.new_cdp_session(page)
    versions: list[dict[str, Any]] = []
    cdp.on("ServiceWorker.workerRegistrationUpdated", lambda event: versions.extend(event["registrations"]))
    cdp.send("ServiceWorker.enable")
    page.wait_for_function("navigator.serviceWorker.ready.then(() => true)")
    data = msgspec.json.encode({"title": "Traffic jam: Market Street", "body": "It stands.", "tag": "a"}).decode()
    cdp.send(
        "ServiceWorker.deliverPushMessage",
        {"origin": site.url, "registrationId": versions[0]["registrationId"], "data": data},
    )
    page.wait_for_function(
        "navigator.serviceWorker.ready.then((each) => each.getNotifications()).then((all) => all.length === 1)"
    )
    shown = page.evaluate(
        "navigator.serviceWorker.ready.then((each) => each.getNotifications())"
        ".then(([one]) => [one.title, one.body, one.tag])"
    )
    assert shown == ["Traffic jam: Market Street", "It stands.", "a"]

    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("status")).to_have_text("You will be told no more. What we kept is deleted.")
    assert store.subscriptions() == []
    store.close()
    context.close()
