"""A port for strangers, under many who say nothing."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest
import urllib3
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from gateway.config import Citizens
from gateway.web.strangers import Strangers, server
from sim_hardware.servers import free_port, wait_until

SECONDS = 20.0


@pytest.fixture
def port() -> Iterator[int]:
    """Of a server for strangers with one page."""
    port, loop = free_port(), asyncio.new_event_loop()
    app = Starlette(routes=[Route("/", lambda _: PlainTextResponse("news"))])
    running = server(Citizens(f"127.0.0.1:{port}"), app).run()

    def run() -> None:
        with contextlib.suppress(asyncio.CancelledError), asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(stopped())

    async def stopped() -> None:
        task.append(asyncio.create_task(running))
        await task[0]

    task: list[asyncio.Task[None]] = []
    thread = threading.Thread(target=run)
    thread.start()
    wait_until(lambda: _answers(port), SECONDS, "the server")
    yield port
    loop.call_soon_threadsafe(task[0].cancel)
    thread.join(SECONDS)


def _answers(port: int) -> bool:
    try:
        with urllib3.PoolManager(retries=False, timeout=2.0) as pool:
            return pool.request("GET", f"http://127.0.0.1:{port}/").data == b"news"
    except urllib3.exceptions.HTTPError:
        return False


def _silent(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), SECONDS)


def _ended(held: socket.socket) -> bool:
    with contextlib.suppress(ConnectionResetError):
        return held.recv(1) == b""
    return True


def test_no_more_are_held_than_there_is_room_for(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Strangers, "most", 5)
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(_silent(port)) for _ in range(6)]
        assert _ended(held[5])
        assert not _answers(port)
        held[0].close()
        wait_until(lambda: _answers(port), SECONDS, "room again")


@pytest.mark.parametrize("said", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / H"])
def test_nobody_holds_a_connection_for_nothing(port: int, said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Strangers, "patience", 0.2)
    with _silent(port) as held:
        held.sendall(said)
        wait_until(lambda: _ended(held), SECONDS, "the end of it")
