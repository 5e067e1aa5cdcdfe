"""Attacks over HTTP on a real gateway with its pages: each fails, and the pages go on."""

import contextlib
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection

from gateway.process import FILES
from tests.system.attacked import COOKIE, EVIL, City, cookie_of
from tests.system.gateway_process import SECONDS

PLACES = (
    EVIL,
    "//evil.example",
    "/\\evil.example",
    "/\t/evil.example",
    "\t//evil.example",
    "javascript:alert(1)",
    "/%0d%0aX: y",
    "/\r\nX: y",
    "",
)
"""Where a login is to lead, if others have their way."""
FOREIGN: tuple[dict[str, str], ...] = (
    {"Origin": EVIL},
    {"Origin": "null"},
    {"Sec_Fetch_Site": "cross-site"},
    {"Origin": "https://127.0.0.1.evil.example"},
)
"""What a browser says for a page of others."""


@pytest.mark.parametrize(
    "path",
    [
        "/static/../../../../../../etc/passwd",
        "/static/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/static/..%2f..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/static//etc/passwd",
        "/static/..%5c..%5cetc%5cpasswd",
        "/static/%00/etc/passwd",
        "/_nicegui/3.18.0/static/..%2f..%2f..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/_nicegui/3.18.0/components/..%2f..%2f..%2fetc%2fpasswd",
        "/reports/..%2f..%2f..%2fetc%2fpasswd/2026-W47.html",
        "/reports/riverside/..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/cap/..%2f..%2fdata%2fcontrol.token.xml",
        "/api/v1/nodes/..%2f..%2f../etc%2fpasswd",
        "/api/v1/incidents/..%2f..%2fdata%2fcontrol.token",
        "/weeks/..%2f..%2fetc%2fpasswd",
        "/area/..%2f..%2fetc%2fpasswd/feed.atom",
        "/../data/control.token",
        "//etc/passwd",
        "/etc/passwd",
    ],
)
def test_no_path_leads_out_of_what_is_shown(attacked: City, path: str) -> None:
    token = (attacked.gateway.folder / "data" / "control.token").read_bytes().strip()
    for port in (attacked.console_port, attacked.citizens_port, attacked.gateway.port):
        asked = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {attacked.cookie}\r\nConnection: close\r\n\r\n"
        said = attacked.raw(port, asked.encode())
        assert re.match(rb"HTTP/1.1 (200|303|307|400|404|405|422) ", said), said[:100]
        assert b"root:x:0" not in said
        assert token not in said
        assert b"Traceback" not in said


@pytest.mark.parametrize("path", ["/", "/login", "/nodes", "/static/style.css", "/none", "/api/v1/nodes", "/reports"])
def test_every_answer_of_the_console_guards_itself(attacked: City, path: str) -> None:
    """Nobody frames it, nobody guesses its types, nobody keeps what is personal, and it does not say what it is."""
    for cookie in (attacked.cookie, ""):
        headers = attacked.ask(path, Cookie=cookie).headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert re.search("(object|default)-src 'none'", headers["content-security-policy"])
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["strict-transport-security"].startswith("max-age=")
        assert headers["referrer-policy"] in ("same-origin", "no-referrer")
        assert "camera=()" in headers["permissions-policy"]
        assert "server" not in headers
        kept = {"no-cache"} if path.startswith("/static/") else {"no-store", "private, max-age=15"}
        assert headers["cache-control"] in kept, path


def test_what_others_pages_send_is_refused(attacked: City) -> None:
    """Forms and web sockets: by their origin, whatever cookie the browser adds."""
    for headers in FOREIGN:
        assert attacked.log_in(**headers).status == 403
        assert attacked.ask("/logout", "POST", **headers).status == 403
    assert attacked.ask("/api/v1/nodes").status == 200, "nobody was logged out"
    with pytest.raises(InvalidStatus):
        attacked.socket(attacked.cookie, EVIL)
    with pytest.raises(InvalidStatus):
        attacked.socket("", attacked.console)
    for path, body in (("/push/subscribe", b"{}"), ("/push/unsubscribe", b'{"endpoint":"x"}')):
        answer = attacked.pool.request(
            "POST", attacked.citizens + path, body=body, headers={"Origin": EVIL, "Content-Type": "application/json"}
        )
        assert answer.status == 403
    acts = ("import", "dead-letters/replay", "incidents/a/acknowledge")
    for path in acts:  # which a page cannot give the token to
        url = f"http://127.0.0.1:{attacked.gateway.port}/api/v1/{path}"
        assert attacked.pool.request("POST", url, body=b"{}", headers={"Origin": EVIL}).status == 401


def test_nobody_is_logged_in_by_a_cookie_that_was_there_before(attacked: City) -> None:
    planted = "A" * 43
    answer = attacked.log_in(Cookie=f"{COOKIE}={planted}")
    flags = answer.headers["set-cookie"].lower()
    assert answer.status == 303
    assert planted not in answer.headers["set-cookie"]
    assert all(flag in flags for flag in ("secure", "httponly", "samesite=strict"))
    assert attacked.ask("/api/v1/nodes", Cookie=f"{COOKIE}={planted}").status == 401
    first = cookie_of(answer)
    second = cookie_of(attacked.log_in(Cookie=first))
    assert attacked.ask("/api/v1/nodes", Cookie=first).status == 401, "the session before has ended"
    assert attacked.ask("/api/v1/nodes", Cookie=second).status == 200


def _read_on(page: ClientConnection) -> None:
    while True:
        page.recv(SECONDS)


def test_a_logout_ends_what_is_open(attacked: City) -> None:
    cookie = cookie_of(attacked.log_in())
    with attacked.socket(cookie, attacked.console) as page:
        assert str(page.recv(SECONDS)).startswith("0{")
        assert attacked.ask("/logout", "POST", Cookie=cookie, Origin=attacked.console).status == 303
        with pytest.raises(ConnectionClosed):
            _read_on(page)
    assert attacked.ask("/nodes", Cookie=cookie).status == 303


def test_another_login_beside_does_not_hide_a_session(attacked: City) -> None:
    """A proxy's own: `Authorization: Basic`."""
    assert attacked.ask("/api/v1/nodes", Authorization="Basic YTpi").status == 200
    assert attacked.ask("/api/v1/nodes", Authorization="Bearer wrong", Cookie="").status == 401
    assert attacked.ask("/reports", Cookie="").status == 401


@pytest.mark.parametrize("to", PLACES)
def test_a_login_leads_nowhere_else(attacked: City, to: str) -> None:
    answer = attacked.log_in(to=to)
    assert answer.status == 303
    assert re.fullmatch(r"/([^/\\\s].*)?", answer.headers["location"]), answer.headers["location"]
    assert "x" not in answer.headers


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "[", "a b", ""])
def test_the_console_answers_to_its_own_name_alone(attacked: City, host: str) -> None:
    said = attacked.raw(attacked.console_port, f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    assert said.startswith((b"HTTP/1.1 421 ", b"HTTP/1.1 400 ")), said[:60]
    location = attacked.ask("/", Cookie="", X_Forwarded_Host="evil.example").headers["location"]
    assert location.startswith("/login")


def test_trying_passwords_is_slowed_and_keeps_nobody_out(attacked: City) -> None:
    """The address that tries is sent away; the same account is open to others all the while."""
    found = [attacked.log_in("wrong guess 1234", X_Forwarded_For="203.0.113.66").status for _ in range(2)]
    assert found == [403] * 2
    with ThreadPoolExecutor(8) as many:
        tries = [many.submit(attacked.log_in, "wrong guess 1234", X_Forwarded_For="203.0.113.66") for _ in range(12)]
        began = time.monotonic()
        assert attacked.log_in(X_Forwarded_For="198.51.100.7").status == 303
        assert time.monotonic() - began < SECONDS / 3
        statuses = [each.result().status for each in tries]
    assert 429 in statuses
    assert attacked.log_in(X_Forwarded_For="198.51.100.8").status == 303


def test_a_thousand_who_say_nothing_keep_nobody_out(attacked: City) -> None:
    """Half of a handshake at the console, nothing at all at the citizens' page."""
    with contextlib.ExitStack() as stack:
        for port in (attacked.console_port, attacked.citizens_port):
            for _ in range(1000):
                held = stack.enter_context(socket.create_connection(("127.0.0.1", port), SECONDS))
                if port == attacked.console_port:
                    held.sendall(b"\x16\x03\x01\x02\x00\x01")
        began = time.monotonic()
        assert attacked.ask("/nodes").status == 200
        assert attacked.pool.request("GET", f"{attacked.citizens}/").status == 200
        assert attacked.gateway.get("/readyz")[0] == 200
        assert time.monotonic() - began < SECONDS / 3
    assert FILES > 2 * 1000


def test_what_is_kept_is_the_gateways_alone(attacked: City) -> None:
    data = attacked.gateway.folder / "data"
    assert data.stat().st_mode & 0o077 == 0, "though it was open before"
    for path in data.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
