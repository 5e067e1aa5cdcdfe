"""The node's clock on MicroPython: set by a real SNTP server over UDP, or told what to add."""

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
    """Unknown before, right after; `offset` is what to add to what it said before."""
    program = f"""
import asyncio
time.lose_rtc()
from node import sntp
from node.clock import Clock
sntp._WAIT_MS = sntp._WAY_MS = 20_000
clock = Clock({address(server)!r}, lambda *words: print("log", *words))
print("unknown", clock.known(), clock.error_ms, clock.offset, clock.unix_ms() // 86_400_000)
clock.on_known = lambda offset: print("told", offset, clock.known())
clock.on_step = lambda: print("step")
clock.on_back = lambda: print("back")
async def main():
    early, uptime_ms = clock.unix_ms(), clock.uptime_ms()
    await asyncio.sleep_ms(1500)
    asyncio.create_task(clock.run())
    while not clock.known():
        await asyncio.sleep_ms(5)
    print("known", clock.unix_ms(), early + clock.offset * 1000, clock.uptime_ms() - uptime_ms, clock.error_ms)
asyncio.run(main())
"""
    with Board(program, tmp_path) as board:
        assert board.line("unknown") == "False None None 10957", "2000-01-01 is what a dead clock says"
        served = serve_time(server, OFFSET_S)
        offset, known = board.line("told").split()
        assert known == "True", "the clock is set before it is told"
        board.line("step")
        unix_ms, early_ms, since_ms, error_ms = (int(word) for word in board.line("known").split())
        # From the question until the clock was looked at, by the board: what the answer's way may hide.
        took_s = (early_ms + since_ms) / 1000 - int(offset) - served.asked
        assert -0.05 <= unix_ms / 1000 - (served.at + OFFSET_S) <= took_s + 0.05
        wrong_s = int(offset) - (served.at + OFFSET_S - served.asked)
        assert -1.05 - took_s / 2 <= wrong_s <= 0.05, "in whole seconds"
        assert abs(unix_ms - early_ms - since_ms) < 1100, "to a whole second"
        assert error_ms == 0, "a clock that was not set was not wrong"


@pytest.mark.parametrize(("off_ms", "steps"), [(0, False), (-7_000, True), (3_600_000, True), (-1_500, True)])
def test_a_known_clock_tells_how_wrong_it_was(server: socket.socket, tmp_path: Path, off_ms: int, steps: bool) -> None:
    """In milliseconds; what is within a tenth of a second is left alone. What was said before stays as it was said."""
    program = f"""
import asyncio
from node import clock as module, sntp
sntp._WAIT_MS = sntp._WAY_MS = 6_000
clock = module.Clock({address(server)!r}, lambda name, text: print("log", text))
clock.on_known = lambda offset: print("log told", offset)
async def main():
    asyncio.create_task(clock.run())
    while clock.error_ms is None:
        await asyncio.sleep_ms(5)
    print("error", clock.error_ms, module.rtc_ms(), clock.offset)
asyncio.run(main())
"""
    with Board(program, tmp_path) as board:
        served = serve_time(server, off_ms / 1000)
        if steps:
            assert board.line("log").startswith("corrected by ")
        error_ms, unix_ms, offset = (int(word) for word in board.line("error").split())
        now = time.time()
        there, back = served.at - served.asked, now - served.at
        assert abs(error_ms - off_ms) <= 1000 * max(there, back) + 10, "as far as a busy machine lets it tell"
        right = unix_ms / 1000 - (off_ms / 1000 if steps else 0)
        assert served.asked - 0.05 <= right <= now + there + 0.05
        assert offset == 0


BEGIN = int(time.time()) - 40 * 86_400

TOLD = """
from node import clock as module
from node.scratch import Scratch
def log(name, text):
    print("log", text)
def made(boot=1):
    clock = module.Clock(None, log, Scratch(), boot)
    clock.on_known = lambda offset: print("told", offset)
    clock.on_step = lambda: print("step")
    clock.on_back = lambda: print("back")
    return clock
"""


def told(folder: Path, program: str) -> list[str]:
    """What a program prints whose board's time hardly takes any."""
    return run(fast(folder, BEGIN, speed=10_000_000) + TOLD + program, folder)


def test_a_clock_that_is_ahead_stands_still_until_it_is_right(tmp_path: Path) -> None:
    """For up to two minutes; for more a new boot is to begin, and until then it stands still too."""
    program = """
clock = made()
began = clock.unix_ms()
clock.correct(-120_000)
print(clock.unix_ms() == began, module.rtc_ms() - began)
time.sleep_ms(119_999)
print(clock.unix_ms() - began)
time.sleep_ms(11_001)
print(clock.unix_ms() - began)
clock.correct(-120_001)
print(clock.unix_ms() - began, module.rtc_ms() - began)
clock.correct(600_000)
print(clock.unix_ms() == module.rtc_ms())
"""
    assert told(tmp_path, program) == [
        *("log corrected by -120000 ms", "step", "True -120000"),
        *("0", "11000"),
        *("log corrected by -120001 ms", "back", "step", "11000 -109001"),
        *("log corrected by 600000 ms", "step", "True"),
    ]


def test_what_the_way_there_and_back_may_hide_is_left_alone(tmp_path: Path) -> None:
    """A tenth of a second, ahead or behind; it is told all the same."""
    program = """
clock = made()
for offset_ms in (100, -100, 101, -101):
    before = module.rtc_ms()
    clock.correct(offset_ms)
    print(clock.error_ms, module.rtc_ms() - before)
"""
    assert [line for line in told(tmp_path, program) if line[-1].isdigit()] == [
        "100 0",
        "-100 0",
        "101 101",
        "-101 -101",
    ]


def test_within_a_boot_time_never_goes_back(tmp_path: Path) -> None:
    """Whatever it is told, and the clock is what it was told as soon as that is not back."""
    program = """
import random
random.seed(7)
clock = module.Clock(None, lambda *words: None)
wrong = backs = ahead = 0
def back():
    global backs
    backs += 1
clock.on_back = back
before = clock.unix_ms()
for n in range(2_000):
    clock.correct(random.randrange(-200_000, 200_000))
    time.sleep_ms(random.randrange(0, 20_000))
    now, rtc = clock.unix_ms(), module.rtc_ms()
    wrong += now < before or now != max(before, rtc)
    ahead += now > rtc
    before = now
print(wrong, backs > 10, ahead > 100)
"""
    assert told(tmp_path, program) == ["0 True True"]


@pytest.mark.parametrize("moment", [1_735_689_599, 4_102_444_800, 0, -5_000_000_000])
def test_a_time_that_cannot_be_is_refused(tmp_path: Path, moment: int) -> None:
    """From before there was this firmware, or after it: the clock stays as it is, known or not."""
    program = f"""
def refused(clock):
    rtc = module.rtc_ms()
    try:
        clock.correct({moment} * 1000 - rtc)
        print("taken")
    except ValueError as error:
        print("not believed" in str(error), module.rtc_ms() == rtc, clock.error_ms, clock.offset)
refused(made())
time.lose_rtc()
refused(module.Clock(None, log))
"""
    assert told(tmp_path, program) == ["True True None 0", "True True None None"]


def test_the_drift_is_what_the_clock_loses_between_two_corrections(tmp_path: Path) -> None:
    """In ppm, after an hour at least: of less time the way's jitter would make a drift."""
    program = """
clock = made()
clock.log = lambda *words: None
clock.on_step = lambda: None
def after(hours, offset_ms):
    time.sleep_ms(int(hours * 3_600_000))
    clock.correct(offset_ms)
    print(clock.error_ms, clock.drift_ppm)
after(0, 7_000)
after(0.99, 500)
after(6, 432)
after(0.5, -300)
after(2, -288)
after(1, 0)
"""
    assert told(tmp_path, program) == ["7000 None", "500 None", "432 20", "-300 20", "-288 -40", "0 0"]


def test_what_a_correction_left_is_not_counted_as_drift_again(tmp_path: Path) -> None:
    """A clock that loses 36 ms in an hour is behind by twice that after two, because so little is not corrected."""
    program = """
clock = made()
clock.correct(0)
for hour in range(6):
    time.sleep_ms(3_600_000)
    time.drift(-36_000)
    clock.correct(36 * (hour % 3 + 1))
    print(clock.error_ms, clock.drift_ppm)
"""
    lines = [line for line in told(tmp_path, program) if line != "step"]
    once = ["36 10", "72 10", "log corrected by 108 ms", "108 10"]
    assert lines == once * 2


def test_the_first_correction_after_power_came_is_no_drift(tmp_path: Path) -> None:
    """The clock began in 2000; from then on it is right."""
    program = """
time.lose_rtc()
clock = made()
clock.correct(800_000_000_500)
time.sleep_ms(7_200_000)
clock.correct(144)
print(clock.error_ms, clock.drift_ppm, clock.offset)
"""
    assert told(tmp_path, program) == [
        *("log corrected by 800000000500 ms", "told 800000000", "step"),
        *("log corrected by 144 ms", "step", "144 20 800000000"),
    ]


def test_era_and_offset_are_kept_over_a_reset_and_not_over_a_loss_of_power(tmp_path: Path) -> None:
    """So that a later boot can date what an earlier one measured while the time was not known."""

    def board(boot: int, program: str, known: bool = False) -> list[str]:
        begin = "" if known else "time.lose_rtc()\n"
        begin += f"clock = made({boot})\nprint(clock.era, clock.offset, clock.known())\n"
        return told(tmp_path, begin + program)

    set_right = "clock.log = lambda *words: None\nclock.correct(800_000_000_999)\nprint(clock.era, clock.offset)\n"
    assert board(5, "") == ["5 None False"]
    assert board(6, set_right) == ["5 None False", "told 800000000", "step", "5 800000000"]
    assert board(7, "clock.correct(0)", known=True) == ["5 800000000 True", "step"]
    (tmp_path / "rtc.bin").unlink()
    assert board(8, set_right.replace("800_", "810_")) == ["8 None False", "told 810000000", "step", "8 810000000"]


def test_a_reset_while_the_clock_is_being_set(tmp_path: Path) -> None:
    """The offset is kept before the clock is set, and is not told a second time: another one would be wrong."""
    program = """
import machine
time.lose_rtc()
clock = made(5)
class Reset:
    def datetime(self, fields):
        raise SystemExit
machine.RTC = Reset
try:
    clock.correct(800_000_000_000)
except SystemExit:
    print("reset", module.rtc_ms() // 86_400_000)
"""
    assert told(tmp_path, program) == ["reset 10957"]
    program = """
time.lose_rtc()
time.sleep_ms(5_000)
clock = made(6)
print(clock.era, clock.offset, clock.known())
clock.correct(800_000_000_000)
print(clock.era, clock.offset, clock.known())
"""
    assert told(tmp_path, program) == [
        *("5 800000000 False", "log corrected by 800000000000 ms", "step", "5 800000000 True")
    ]


ASKED = """
import asyncio
from node import clock, sntp
sntp._WAIT_MS, sntp._WAY_MS = PATIENCE, WAY
def unix_ms():
    return clock.Clock().unix_ms()
try:
    print("offset", asyncio.run(sntp.offset_ms(SERVER, unix_ms)))
except (OSError, ValueError) as error:
    print(type(error).__name__, error)
"""


def asking(server: socket.socket, folder: Path, wait_ms: int = 10_000, way_ms: int = 10_000) -> Board:
    """A board that asks once."""
    program = ASKED.replace("SERVER", repr(address(server))).replace("PATIENCE", str(wait_ms))
    return Board(program.replace(", WAY", f", {way_ms}"), folder)


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
    with asking(server, tmp_path) as board:
        serve(server, lambda question: spoil(answer(question, time.time())))
        assert board.line("ValueError") == message


def test_the_same_bytes_unspoilt_are_taken(server: socket.socket, tmp_path: Path) -> None:
    """So that the refusals above are of what was spoilt."""
    with asking(server, tmp_path) as board:
        served = serve_time(server)
        offset_ms = int(board.line("offset"))
        assert abs(offset_ms) <= 1000 * max(served.at - served.asked, time.time() - served.at) + 10


def test_an_answer_that_took_too_long_is_refused(server: socket.socket, tmp_path: Path) -> None:
    """It would be wrong by up to half of that."""

    def late(question: bytes) -> bytes:
        time.sleep(0.05)
        return answer(question, time.time())

    with asking(server, tmp_path, way_ms=10) as board:
        serve(server, late)
        text = board.line("ValueError the answer took")
        assert int(text.removesuffix(" ms")) > 10


def test_silence_is_an_os_error(server: socket.socket, tmp_path: Path) -> None:
    """The question was heard, nobody answers."""
    with asking(server, tmp_path, wait_ms=300) as board:
        server.recvfrom(100)
        assert "no answer" in board.line("OSError")


def test_the_clock_asks_again_after_half_a_minute(server: socket.socket, tmp_path: Path) -> None:
    """A server that is away, or that speaks nonsense, is no reason to stay in the year 2000."""
    program = (
        fast(tmp_path, int(time.time()) - 3600, speed=100)
        + f"""
import asyncio
time.lose_rtc()
from node import clock as module, sntp
sntp._WAIT_MS = sntp._WAY_MS = 20_000
clock = module.Clock({address(server)!r}, lambda name, text: print("log", clock.uptime_ms(), text))
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
        failed_ms, _, text = board.line("log").partition(" ")
        assert "no time from" in text
        serve_time(server)
        assert int(board.line("known")) - int(failed_ms) >= 30_000


@pytest.mark.parametrize("boundary", [1 << 30, 1 << 31])
def test_uptime_passes_the_wrap_of_the_ticks(tmp_path: Path, boundary: int) -> None:
    """Twelve and twenty-five days on, in steps of an hour."""
    program = fast(tmp_path, BEGIN, speed=10_000_000)
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
