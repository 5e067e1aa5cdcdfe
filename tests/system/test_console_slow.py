"""The operators' pages while something that they need does not work, or somebody asks for nonsense."""

import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import urllib3
from playwright.sync_api import Browser, expect

from gateway.journal.store import Journal
from gateway.records import Incident, Pack, Reading
from gateway.web.console.shell import COOKIE
from gateway.web.users import FILE_NAME as USERS
from sim_hardware.servers import free_port, spawn, wait_until
from tests.system.gateway_process import NOBODY, SECONDS

NODE = "water-0001"
LEAK = f"burst.riverside.{NODE}.1"


class Hung(socketserver.ThreadingTCPServer):
    """A database that answers nothing until `let` is set, and then nothing it knows."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.let = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Answer(socketserver.StreamRequestHandler):
    server: Hung

    def handle(self) -> None:
        while self.rfile.readline().strip():
            pass
        if self.server.let.wait(SECONDS):
            body = b'{"results":[{"statement_id":0}]}'
            self.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


@pytest.fixture
def database() -> Iterator[Hung]:
    with Hung() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.let.set()
        server.shutdown()
        thread.join()


@contextmanager
def console(folder: Path, database: str) -> Iterator[str]:
    """Over a journal of one node that leaks; its address."""
    now = int(time.time())
    journal = Journal.open(folder / "data", 2**24)
    pack = Pack.of("riverside", NODE, "telemetry", "water", 1, 0, now, (Reading(now, "", "flow", 900.0),))
    journal.commit([pack], float(now))
    journal.found(1, [Incident(LEAK, "burst", "riverside", NODE, "", "critical", now - 60, None, "It pours.")])
    journal.close()
    port = free_port()
    config = folder / "ganglion.toml"
    config.write_text(
        f'sites = ["riverside"]\ndata_dir = "data"\n[mqtt]\nhost = "127.0.0.1"\nport = {NOBODY}\n'
        f'[influx]\nurl = "{database}"\napi = "v1"\n[console]\nlisten = "127.0.0.1:{port}"\n'
    )
    base = f"http://127.0.0.1:{port}"
    process = spawn([sys.executable, "-m", "gateway.cli.main", "console", "--config", str(config)],
                    folder / "console.log", cwd=Path.cwd())  # fmt: skip
    try:
        wait_until(lambda: "It pours" in _text(f"{base}/api/v1/incidents"), SECONDS, "the console")
        yield base
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()  # a question to the database is under way
            process.wait()


def _ask(url: str, method: str = "GET", *, body: str = "", **headers: str) -> urllib3.BaseHTTPResponse:
    with urllib3.PoolManager(retries=False, timeout=SECONDS) as pool:
        return pool.request(method, url, body=body, headers=headers, redirect=False)


def _text(url: str) -> str:
    try:
        return _ask(url).data.decode()
    except urllib3.exceptions.HTTPError:
        return ""


def test_a_page_comes_without_what_the_database_keeps_back(tmp_path: Path, database: Hung, browser: Browser) -> None:
    """An incident is read, and taken note of, while its chart cannot be drawn; the rest comes when it can."""
    with console(tmp_path, database.url) as base:
        for path in (f"/nodes/riverside/{NODE}", f"/series?quantity=flow&node={NODE}", "/weeks"):
            assert "This takes long to come" in _text(base + path), path
        page = browser.new_page()
        page.goto(f"{base}/incidents/{LEAK}")
        expect(page.locator("h1")).to_contain_text(f"Burst at riverside/{NODE}")
        expect(page.get_by_role("link", name="Log in to acknowledge")).to_be_visible()
        expect(page.get_by_text("This takes long to come")).to_be_visible()
        database.let.set()
        expect(page.get_by_text(f"flow of {NODE} around it")).to_be_visible(timeout=SECONDS * 1000)
        expect(page.get_by_text("This takes long to come")).to_have_count(0, timeout=SECONDS * 1000)
        page.close()


def test_accounts_that_cannot_be_used_hide_nothing(tmp_path: Path, database: Hung) -> None:
    """Who has logged in looks on like anybody else, and nobody is let in."""
    with console(tmp_path, database.url) as base:
        (tmp_path / "data" / USERS).write_bytes(b"no database " * 100)
        cookie = f"{COOKIE}=of-an-earlier-hour"
        page = _ask(f"{base}/incidents", Cookie=cookie)
        assert (page.status, "It pours" in page.data.decode()) == (200, True)
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        refused = _ask(f"{base}/login", "POST", body="name=ada&password=correct+horse+battery", **form)
        assert (refused.status, "accounts cannot be used" in refused.data.decode()) == (503, True)
        assert _ask(f"{base}/logout", "POST", Cookie=cookie).status == 303


def test_nonsense_is_answered(tmp_path: Path, database: Hung) -> None:
    """And fills no log with what strangers make of it."""
    with console(tmp_path, database.url) as base:
        assert "is no time" in _text(f"{base}/series?quantity=flow&begin=yesterday")
        assert _ask(f"{base}/", Host="[").status == 421
        assert _ask(f"{base}/logout", "POST", Origin="http://[").status == 403
        assert _ask(f"{base}/login?to=//[").status == 200
        assert "Traceback" not in (tmp_path / "console.log").read_text()


def test_pages_live_behind_a_proxy_with_a_certificate(tmp_path: Path, database: Hung) -> None:
    """Which need not tell of itself. A page of another site gets no socket."""
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "x3JJHMbDL1EzLkh9GBhXDw==",
    }
    with console(tmp_path, database.url) as base:
        host = base.removeprefix("http://")
        for transport, origin, status in (
            ("websocket", f"https://{host}", 101),
            ("websocket", base, 101),
            ("websocket", "https://evil.example", 403),
            ("polling", "https://evil.example", 400),
        ):
            headers = {"Origin": origin} | (upgrade if transport == "websocket" else {})
            answer = _ask(f"{base}/_nicegui_ws/socket.io/?EIO=4&transport={transport}", **headers)
            assert answer.status == status, (transport, origin)
            if status >= 400:
                assert "Access-Control-Allow-Origin" not in answer.headers
