"""Who comes in, at the console and at the gateway's own interface, is in the log; secrets are not, floods neither."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import msgspec
import pytest
import urllib3
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette

from gateway.audit.asker import Asker
from gateway.audit.log import segments
from gateway.audit.reading import last_of
from gateway.audit.witness import MOST, Sparing
from gateway.config import Config, Console, Http
from gateway.control import token as tokens
from gateway.control.api import make_routes
from gateway.control.caller import Caller, ControlError
from gateway.control.door import Door
from gateway.journal.access import JournalAccess
from gateway.web.console import door
from gateway.web.console.shell import Console as Desk
from gateway.web.seat import Seat
from tests.gateway.commandline import CommandLine
from tests.gateway.served import Served, served

PASSWORD = "correct horse battery"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("doors")
    CommandLine(folder, 1)
    (folder / "data").mkdir()
    return folder / "data"


@pytest.fixture(scope="module")
def console(data: Path) -> Iterator[Served]:
    """The console's door, without its pages."""
    desk = Desk(Seat(Config(("riverside",), str(data), console=Console())))
    desk.users.add("ada", PASSWORD, 0.0)
    app = FastAPI()
    patch = pytest.MonkeyPatch()
    patch.setattr(door, "WRONG_SECONDS", 0.0)
    door.register(app, desk)
    with served(app) as server:
        yield server
    patch.undo()
    desk.seat.close()


def log_in(console: Served, name: str, password: str) -> urllib3.BaseHTTPResponse:
    body = urlencode({"name": name, "password": password}, errors="surrogatepass").encode()
    with urllib3.PoolManager(retries=False) as pool:
        return pool.request("POST", f"{console.url}/login", body=body, headers=FORM, redirect=False)


def acts(data: Path, act: str = "") -> list[tuple[str, str, str]]:
    return [(each.act, each.who, each.came) for each in last_of(data, 1000, act)]


def written(data: Path) -> bytes:
    return b"".join(path.read_bytes() for path in segments(data))


def test_log_ins_log_outs_and_who_was_refused(console: Served, data: Path) -> None:
    good = log_in(console, "ada", PASSWORD)
    assert good.status == 303
    assert log_in(console, "ada", "wrong password!").status == 403
    assert log_in(console, "mallory", PASSWORD).status == 403
    cookie = good.headers["Set-Cookie"].partition(";")[0]
    console.post("/logout", b"", {"Cookie": cookie})
    console.post("/logout", b"", {"Cookie": cookie})  # nobody's any more
    assert acts(data) == [
        ("login.ok", "ada", "127.0.0.1"),
        ("login.refused", "ada", "127.0.0.1"),
        ("login.refused", "(no user)", "127.0.0.1"),
        ("logout", "ada", "127.0.0.1"),
    ]
    for secret in (PASSWORD, "wrong password!", "mallory", cookie.partition("=")[2]):
        assert secret.encode() not in written(data)


@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text("qwxyz", min_size=12, max_size=40), st.booleans())
def test_no_password_is_ever_written(console: Served, data: Path, password: str, swapped: bool) -> None:
    """Nor one that was typed where the name belongs."""
    assert log_in(console, *((password, "ada") if swapped else ("ada", password))).status == 403
    assert password.encode() not in written(data)


def test_nobody_gets_in_whom_the_log_cannot_have(console: Served, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gateway.audit.asker.record", full)
    answer = log_in(console, "ada", PASSWORD)
    assert (answer.status, "Set-Cookie" in answer.headers) == (503, False)


def test_a_session_that_ended_by_its_time_is_told(console: Served, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert log_in(console, "ada", PASSWORD).status == 303
    monkeypatch.setattr("gateway.web.console.door.time.time", lambda: 4e9)
    assert log_in(console, "ada", PASSWORD).status == 303
    assert ("session.end", "ada", "") in acts(data, "session")


async def test_guessing_does_not_fill_the_log(tmp_path: Path) -> None:
    """A thousand a minute are twenty entries, and one that says how many more, and from where."""
    now = 0.0
    sparing = Sparing(tmp_path, lambda: now, seconds=0.05)
    for number in range(1000):
        await sparing.witness("login.refused", who="(no user)", came=f"192.0.2.{number % 2}")
    assert len(last_of(tmp_path, 1000)) == MOST
    async with asyncio.timeout(10):
        while sparing._tasks:
            await asyncio.gather(*sparing._tasks)
    last = last_of(tmp_path, 1)[0]
    assert last.detail == {"more": 980, "seconds": 0.05, "from": {"192.0.2.0": 490, "192.0.2.1": 490}}
    now = 60.0
    await sparing.witness("login.refused", who="ada")
    assert last_of(tmp_path, 1)[0].who == "ada"


async def test_patience_does_not_fill_the_log_either(tmp_path: Path) -> None:
    """Twenty a minute for half an hour: one entry a minute beside them that say how many more."""
    now = 0.0
    sparing = Sparing(tmp_path, lambda: now, seconds=0.0)
    for minute in range(30):
        now = 60.0 * minute
        for _ in range(MOST):
            await sparing.witness("login.refused", who="(no user)", came="192.0.2.1")
        await asyncio.gather(*sparing._tasks)
    found = last_of(tmp_path, 10_000)
    assert sum(each.detail.get("more", 1) for each in found) == 30 * MOST
    assert len(found) <= MOST + 2 * 30


async def test_what_was_counted_is_told_when_the_program_ends(tmp_path: Path) -> None:
    sparing = Sparing(tmp_path, lambda: 0.0)
    for _ in range(MOST + 3):
        await sparing.witness("login.refused", who="(no user)", came="192.0.2.1")
    (task,) = sparing._tasks
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert last_of(tmp_path, 1)[0].detail["more"] == 3


def test_users_are_made_by_somebody(data: Path) -> None:
    cli = CommandLine(data.parent, 1)
    cli.invoke("users", "add", "bob", typed="another battery staple\n")
    cli.invoke("users", "password", "bob", typed="a third battery staple\n")
    cli.invoke("users", "remove", "bob")
    found = last_of(data, 3, "user")
    assert [(each.act, each.of) for each in found] == [
        ("user.add", "bob"),
        ("user.password", "bob"),
        ("user.remove", "bob"),
    ]
    assert all("@" in each.who and each.who.endswith(" cli") for each in found)
    assert b"staple" not in written(data)


async def test_the_gateways_interface_knows_for_whom(tmp_path: Path) -> None:
    """The console and commands say it; whoever has no token is refused, and that is told."""
    journal = await JournalAccess.open(tmp_path, 2**20)
    working = asyncio.create_task(journal.run())
    token = tokens.issue(tmp_path)
    try:
        with served(Starlette(routes=make_routes(journal, Door(token, tmp_path)))) as server:
            config = Config(("riverside",), str(tmp_path), http=Http(server.url.removeprefix("http://")))
            caller = Caller(config, lambda _: None, 1, 1, Asker(tmp_path, "ada", "192.0.2.9"))

            def ask() -> None:
                with pytest.raises(ControlError, match="no incident"):
                    caller.post("/api/v1/incidents/burst.1/acknowledge", b'{"by":"ada"}')
                server.post("/api/v1/dead-letters/replay", b"{}", {"Authorization": f"Bearer {token}"})
                # Who is not believed says neither who they are, nor from where, nor anything of any length.
                lies = {"Authorization": "Bearer no", "Ganglion-Who": "ada", "Ganglion-From": "192.0.2.1"}
                assert server.post("/api/v1/import", b"", lies).status == 401
                assert server.post(f"/api/v1/incidents/{'x' * 999}/acknowledge", b"", lies).status == 401

            await asyncio.to_thread(ask)
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        await journal.close()
    assert [(e.act, e.who, e.of, e.came) for e in last_of(tmp_path, 9)] == [
        ("incident.ack", "ada", "burst.1", "192.0.2.9"),
        ("letters.replay", "holder of the token", "", "127.0.0.1"),
        ("control.refused", "?", "/api/v1/import", "127.0.0.1"),
        ("control.refused", "?", "/api/v1/incidents/{name}/acknowledge", "127.0.0.1"),
    ]
    assert token.encode() not in written(tmp_path)
    assert json.loads(msgspec.json.encode(last_of(tmp_path, 1)[0]))["act"] == "control.refused"
