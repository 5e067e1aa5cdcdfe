"""A real port under those who say nothing, say it slowly, or say too much."""

import contextlib
import socket
import time
from collections.abc import Iterator

import msgspec
import pytest
import urllib3
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from gateway.buckets import Buckets, whose
from gateway.web.server import STRANGERS
from sim_hardware.servers import wait_until
from tests.gateway.served import Served, served

SECONDS = 20.0
FEW = msgspec.structs.replace(STRANGERS, most=5)
HASTE = msgspec.structs.replace(STRANGERS, quiet_seconds=0.2, answer_seconds=0.4, body_seconds=0.2)


async def _echo(request: Request) -> Response:
    return PlainTextResponse(f"{len(await request.body())} bytes")


APP = Starlette(
    routes=[Route("/", lambda _: PlainTextResponse("news")), Route("/echo", _echo, methods=["POST"])],
)


@pytest.fixture(scope="module")
def usual() -> Iterator[Served]:
    with served(APP, limits=STRANGERS) as server:
        yield server


def _port(server: Served) -> int:
    return int(server.url.rpartition(":")[2])


def _answers(server: Served) -> bool:
    with urllib3.PoolManager(retries=False, timeout=5.0) as pool:
        try:
            return pool.request("GET", f"{server.url}/").data == b"news"
        except urllib3.exceptions.HTTPError:
            return False


def _silent(server: Served) -> socket.socket:
    return socket.create_connection(("127.0.0.1", _port(server)), SECONDS)


def _ended(held: socket.socket) -> bool:
    with contextlib.suppress(ConnectionResetError):
        while held.recv(65536):
            continue
    return True


def _said(server: Served, what: bytes) -> bytes:
    """All that is answered until the end of the connection."""
    with _silent(server) as held:
        with contextlib.suppress(ConnectionError):  # it may be over before all is said
            held.sendall(what)
        found = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := held.recv(65536):
                found += piece
        return found


def test_who_is_silent_for_longest_makes_room() -> None:
    with served(APP, limits=FEW) as server, contextlib.ExitStack() as stack:
        held = [stack.enter_context(_silent(server)) for _ in range(5)]
        assert _answers(server)
        assert _ended(held[0])
        held[4].sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert held[4].recv(15) == b"HTTP/1.1 200 OK"


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"GET / HT",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / H",
        b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc",
        b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ],
)
def test_nobody_holds_a_connection_for_nothing(said: bytes) -> None:
    with served(APP, limits=HASTE) as server, _silent(server) as held:
        held.sendall(said)
        wait_until(lambda: _ended(held), SECONDS, "the end of it")


def test_a_question_told_letter_by_letter_is_not_waited_for() -> None:
    """Slowloris: each byte comes in time, the whole does not."""
    with served(APP, limits=HASTE) as server, _silent(server) as held:
        held.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n")
        began = time.monotonic()
        with pytest.raises(ConnectionError):  # noqa: PT012 - whichever letter it is
            while time.monotonic() - began < SECONDS:
                held.sendall(b"X-a: b\r\n")
                time.sleep(0.02)
        assert time.monotonic() - began < SECONDS / 2


def test_a_body_told_slowly_is_answered_with_408() -> None:
    with served(APP, limits=msgspec.structs.replace(HASTE, answer_seconds=30.0)) as server:
        said = _said(server, b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc")
    assert said.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET /?" + b"a=b&" * 10_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 40_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: a\r\n" * 8000 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 300_000, 431),
        (b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n", 413),
        (b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: " + b"9" * 18 + b"\r\n\r\n", 413),
        (
            b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n8000\r\n" + b"a" * 0x8000 + b"\r\n",
            413,
        ),
    ],
)
def test_what_is_too_large_is_refused_and_its_connection_ended(usual: Served, asked: bytes, status: int) -> None:
    said = _said(usual, asked)
    assert said.startswith(b"HTTP/1.1 %d " % status), said[:200]
    assert _answers(usual)


def test_what_is_no_http_is_refused(usual: Served) -> None:
    for nonsense in (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", b"GET / HTTP/9.9\r\n\r\n", b"\0" * 100 + b"\r\n\r\n"):
        assert _said(usual, nonsense + b"\r\n\r\n").startswith((b"HTTP/1.1 400 ", b""))
    assert _answers(usual)


@pytest.mark.parametrize(
    "lengths",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: +5\r\n",
    ],
)
def test_a_body_whose_end_two_readers_would_see_elsewhere_is_refused(usual: Served, lengths: bytes) -> None:
    """A second question hidden in it would pass a proxy unseen."""
    hidden = b"0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    said = _said(usual, b"POST /echo HTTP/1.1\r\nHost: a\r\n" + lengths + b"\r\n" + hidden)
    assert said.startswith(b"HTTP/1.1 400 "), said
    assert b"news" not in said


def test_every_answer_says_what_a_browser_may_do_with_it(usual: Served) -> None:
    for path in ("/", "/none", "/echo"):
        headers = usual.get(path).headers
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == "no-store"
        assert "camera=()" in headers["Permissions-Policy"]
        assert "Server" not in headers
        assert "Strict-Transport-Security" not in headers


def test_one_address_asks_so_often_and_no_more() -> None:
    """As a proxy of this machine tells who asks; others go on."""
    limits = msgspec.structs.replace(STRANGERS, rate=(0.001, 3.0))
    with served(APP, limits=limits) as server:
        said = [server.get("/", {"X-Forwarded-For": "203.0.113.7"}) for _ in range(4)]
        assert [each.status for each in said] == [200, 200, 200, 429]
        assert said[3].headers["Retry-After"] == "60"
        assert server.get("/", {"X-Forwarded-For": "203.0.113.8"}).status == 200
        assert [server.get("/").status for _ in range(5)] == [200] * 5
    with served(APP, limits=limits, key="http") as server:  # before which no proxy stands
        assert [server.get("/", {"X-Forwarded-For": "203.0.113.7"}).status for _ in range(5)] == [200] * 5


def test_the_table_of_addresses_is_bounded() -> None:
    now = [0.0]
    buckets = Buckets(1.0, 2.0, lambda: now[0], known=10)
    for number in range(100):
        assert buckets.take(f"10.0.0.{number}")
    assert len(buckets) == 10
    assert [buckets.take("a") for _ in range(3)] == [True, True, False]
    now[0] += 1.0
    assert [buckets.take("a") for _ in range(2)] == [True, False]
    assert buckets.left("never seen") == 2.0


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("127.0.0.9", ""),
        ("::1", ""),
        ("::ffff:127.0.0.1", ""),
        ("unix:", ""),
    ],
)
def test_by_what_an_address_is_counted(address: str, name: str) -> None:
    assert whose(address) == name
