"""The node's clock on MicroPython, set by a real SNTP server over UDP."""

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.firmware.board import Board, fast
from tests.firmware.sntp import OFFSET_S, address, answer, listening, serve, serve_time
from tests.micropython import run


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """A UDP socket that waits for questions."""
    with listening() as sock:
        yield sock


def test_a_board_without_a_battery_is_set_right(server: socket.socket, tmp_path: Path) -> None:
    """Unknown before; after it right to a second; what happened before is stamped as if it had been known."""
    program = f"""
import asyncio
time.lose_rtc()
from node.clock import Clock
clock = Clock({address(server)!r}, lambda *words: print("log", *words))
print("unknown", clock.known(), clock.error_s, clock.unix_ms() // 86_400_000)
async def main():
    asyncio.create_task(clock.run())
    await asyncio.sleep_ms(1500)
    early = -(clock.uptime_ms() // 1000)
    print("ready")
    while not clock.known():
        await asyncio.sleep_ms(5)
    print("known", clock.unix_ms(), clock.stamp(early), clock.uptime_ms(), clock.error_s)
asyncio.run(main())
"""
    with Board(program, tmp_path) as board:
        assert board.line("unknown") == "False None 10957", "2000-01-01 is what a dead clock says"
        board.line("ready")
        serve_time(server, OFFSET_S)
        unix_ms, stamped, uptime_ms, error_s = (int(word) for word in board.line("known").split())
        now = time.time() + OFFSET_S
        assert abs(unix_ms / 1000 - now) < 1
        began = unix_ms / 1000 - uptime_ms / 1000
        assert 0 <= stamped - began <= 2.1, "1 second since boot, and a whole second"
        assert error_s == 0


@pytest.mark.parametrize(
    ("off_ms", "error_s", "steps"),
    [(-50, 0, False), (50, 0, False), (-7_000, -7, True), (3_600_000, 3600, True), (-300, 0, True)],
)
def test_a_known_clock_tells_how_wrong_it_was(
    server: socket.socket, tmp_path: Path, off_ms: int, error_s: int, steps: bool
) -> None:
    """In whole seconds; what is within a tenth of a second is left alone."""
    program = f"""
import asyncio
from node.clock import Clock
clock = Clock({address(server)!r}, lambda name, text: print("log", text))
async def main():
    asyncio.create_task(clock.run())
    while clock.error_s is None:
        await asyncio.sleep_ms(5)
    print("error", clock.error_s, clock.unix_ms())
asyncio.run(main())
"""
    with Board(program, tmp_path) as board:
        serve_time(server, off_ms / 1000)
        if steps:
            assert board.line("log").startswith("corrected by ")
        found, unix_ms = (int(word) for word in board.line("error").split())
        assert found == error_s
        assert abs(unix_ms / 1000 - time.time() - (off_ms / 1000 if steps else 0)) < 0.5


ASKED = """
import asyncio
from node import clock
clock._NTP_WAIT_MS = 300
def unix_ms():
    return clock.Clock().unix_ms()
try:
    print("offset", asyncio.run(clock.sntp_offset_ms(SERVER, unix_ms)))
except (OSError, ValueError) as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda good: good[:47], "not an answer to our question"),
        (lambda good: b"", "not an answer to our question"),
        (lambda good: good[:24] + bytes(8) + good[32:], "not an answer to our question"),
        (lambda good: b"\x23" + good[1:], "not an answer to our question"),
        (lambda good: b"\x25" + good[1:], "not an answer to our question"),
        (lambda good: good[:1] + b"\x00" + good[2:], "the server has no time itself"),
        (lambda good: good[:1] + b"\x10" + good[2:], "the server has no time itself"),
        (lambda good: b"\xe4" + good[1:], "the server has no time itself"),
    ],
    ids=["short", "empty", "other origin", "a question", "broadcast", "stratum 0", "stratum 16", "leap 3"],
)
def test_a_wrong_answer_is_refused(
    server: socket.socket, tmp_path: Path, spoil: Callable[[bytes], bytes], message: str
) -> None:
    """A kiss of death, an answer to another, half of one: never a time."""
    with Board(ASKED.replace("SERVER", repr(address(server))), tmp_path) as board:
        serve(server, lambda question: spoil(answer(question, time.time())))
        assert board.line("ValueError") == message


def test_the_same_bytes_unspoilt_are_taken(server: socket.socket, tmp_path: Path) -> None:
    """So that the refusals above are of what was spoilt."""
    with Board(ASKED.replace("SERVER", repr(address(server))), tmp_path) as board:
        serve_time(server)
        assert abs(int(board.line("offset"))) < 500


def test_silence_is_an_os_error(server: socket.socket, tmp_path: Path) -> None:
    """The question was heard, nobody answers."""
    with Board(ASKED.replace("SERVER", repr(address(server))), tmp_path) as board:
        server.recvfrom(100)
        assert "no answer" in board.line("OSError")


def test_the_clock_asks_again_after_half_a_minute(server: socket.socket, tmp_path: Path) -> None:
    """A server that is away, or that speaks nonsense, is no reason to stay in the year 2000."""
    program = (
        fast(tmp_path, int(time.time()) - 3600, speed=100)
        + f"""
import asyncio
time.lose_rtc()
from node import clock as module
clock = module.Clock({address(server)!r}, lambda name, text: print("log", text))
async def main():
    asyncio.create_task(clock.run())
    while not clock.known():
        await asyncio.sleep_ms(100)
    print("known", clock.uptime_ms())
asyncio.run(main())
"""
    )
    with Board(program, tmp_path) as board:
        serve(server, lambda question: b"nonsense")
        assert "no time from" in board.line("log")
        serve_time(server)
        assert int(board.line("known")) >= 30_000


@pytest.mark.parametrize("boundary", [1 << 30, 1 << 31])
def test_uptime_passes_the_wrap_of_the_ticks(tmp_path: Path, boundary: int) -> None:
    """Twelve and twenty-five days on, in steps of an hour."""
    program = fast(tmp_path, int(time.time()) - 40 * 86_400, speed=10_000_000)
    program += f"""
from node.clock import Clock
clock = Clock()
for hour in range({boundary // 3_600_000 + 2}):
    time.sleep_ms(3_600_000)
    if clock.uptime_ms() != (hour + 1) * 3_600_000:
        print("wrong in hour", hour, clock.uptime_ms())
print(clock.uptime_ms() > {boundary})
"""
    assert run(program, tmp_path) == ["True"]
