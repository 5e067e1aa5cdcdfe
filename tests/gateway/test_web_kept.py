"""What the console keeps instead of making it again: answers below the library's address, and incidents."""

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from gateway.config import Http
from gateway.http import HttpServer
from gateway.journal.store import Journal
from gateway.records import Acknowledged, Incident
from gateway.web.console.kept import BELOW, Kept


def test_an_answer_is_made_once() -> None:
    """For each that takes it compressed or not; what is asked on a condition, or is not there, is asked anew."""
    asked: list[str] = []

    async def file(request: Request) -> Response:
        asked.append(request.url.path)
        return PlainTextResponse(f"{len(asked)}", 404 if "gone" in request.url.path else 200)

    app = Kept(Starlette(routes=[Route("/{path:path}", file)]))

    async def ask(path: str, **headers: str) -> str:
        headers = {"accept-encoding": "identity", **headers}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://here") as client:
            return (await client.get(path, headers=headers)).text

    async def all_of_them() -> list[str]:
        paths = [f"{BELOW}a.js", f"{BELOW}a.js", f"{BELOW}gone.js", f"{BELOW}gone.js", "/page", "/page"]
        found = [await ask(path) for path in paths]
        found.append(await ask(f"{BELOW}a.js", **{"accept-encoding": "gzip"}))
        found.append(await ask(f"{BELOW}a.js", **{"if-none-match": "x"}))
        found.append(await ask(f"{BELOW}a.js?v=1"))
        return [*found, await ask(f"{BELOW}a.js")]

    with ThreadPoolExecutor(1) as thread:  # a browser of other tests may have a loop in this one
        found = thread.submit(asyncio.run, all_of_them()).result()
    assert found == ["1", "1", "2", "3", "4", "5", "6", "7", "8", "1"]


def _incident(name: str, **more: object) -> Incident:
    return msgspec.structs.replace(
        Incident(name, "leak", "riverside", "water-0001", "", "warning", 1, None, "x"), **more
    )


def test_incidents_are_read_once_until_they_change(tmp_path: Path) -> None:
    """What a look finds is what the journal has, after any change; what has not changed is not read again."""
    journal = Journal.open(tmp_path, 2**20)
    journal.report([_incident(name) for name in "abc"])
    first = journal.incidents_numbered({})
    assert list(first.values()) == journal.incidents()
    journal.report([_incident("b", closed=5), _incident("d")])
    journal.acknowledge("a", Acknowledged("ada", 7))
    second = journal.incidents_numbered(first)
    assert [each.id for each in second.values()] == ["c", "b", "d", "a"]
    assert list(second.values()) == journal.incidents()
    assert [each for each in second.values() if any(each is old for old in first.values())] == [_incident("c")]
    journal.close()


def test_another_journal_is_read_anew(tmp_path: Path) -> None:
    """One that was restored has other incidents under numbers that were not seen."""
    found = []
    for folder, names in (("first", "ab"), ("second", "wxyz")):
        journal = Journal.open(tmp_path / folder, 2**20)
        journal.report([_incident(name) for name in names])
        found.append(journal)
    first, second = found
    seen = {9: _incident("gone")}
    assert list(second.incidents_numbered(seen).values()) == second.incidents()
    assert list(first.incidents_numbered(seen).values()) == first.incidents()
    first.close()
    second.close()


def test_answers_do_not_wait_for_each_other() -> None:
    """Of a connection that comes to the server, no small part is held back until another is acknowledged (Nagle)."""
    server = HttpServer(Http("127.0.0.1:0"), Starlette())
    try:
        with socket.create_connection(server._socket.getsockname()):
            accepted, _ = server._socket.accept()
            with accepted:
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    finally:
        server.close()
