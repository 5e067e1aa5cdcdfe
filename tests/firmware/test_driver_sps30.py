"""SPS30: frames good and bad, floats that cannot be, garbage on the line, and the driver against the chip."""

import math
import struct
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_hardware.chips.sps30 import stuffed
from tests.firmware.board import fast
from tests.firmware.importer import load
from tests.micropython import run

driver = load("drivers.sps30")

VALUES = (6.5, 10.25, 11.0, 12.75, 36.0, 42.0, 43.0, 44.0, 44.5, 0.5)
"""Masses up to 1, 2.5, 4 and 10 um, five counts, typical size: all exact in 24 bits."""
GOOD = (6.5, 10.25, 12.75)
NOTHING_NEW = stuffed(b"\x00\x03\x00\x00")


def answer(values: Sequence[float] = VALUES, command: int = 3, state: int = 0) -> bytes:
    """A whole frame with a right check code."""
    data = struct.pack(f">{len(values)}f", *values)
    return stuffed(bytes((0, command, state, len(data))) + data)


class Bytes:
    """A UART that holds bytes, and gives at most `most` of them at once."""

    def __init__(self, held: bytes = b"", most: int = 256) -> None:
        self.held = held
        self.most = most
        self.written = b""

    def any(self) -> int:
        return len(self.held)

    def readinto(self, buffer: bytearray, n: int | None = None) -> int | None:
        taken = self.held[: min(len(buffer) if n is None else n, self.most)]
        self.held = self.held[len(taken) :]
        buffer[: len(taken)] = taken
        return len(taken) or None

    def write(self, data: bytes) -> int:
        self.written += data
        return len(data)


def reading(*parts: bytes) -> tuple[tuple[float, ...] | None, int]:
    """What the driver makes of bytes that arrive in these parts after it has asked; and how many it threw away."""
    uart = Bytes()
    sensor = driver.SPS30(uart)
    sensor.ask()
    found = None
    for part in parts:
        uart.held += part
        found = found or sensor.read()
    return found, sensor.garbled


def test_requests_are_those_of_the_datasheet() -> None:
    """With their check codes, and stuffed where they must be."""
    bodies = {
        "START": "0000020103",
        "STOP": "000100",
        "READ": "000300",
        "SLEEP": "001000",
        "CLEAN": "005600",
        "INFORMATION": "00D00103",
        "CLEAR": "00D20101",
    }
    for name, body in bodies.items():
        assert getattr(driver, name) == stuffed(bytes.fromhex(body)), name
    exactly = {"START": "7E0000020103F97E", "READ": "7E000300FC7E", "WAKE": "FF7E007D3100EE7E"}
    for name, request in exactly.items():
        assert getattr(driver, name).hex().upper() == request


def test_an_answer_is_read() -> None:
    """PM1, PM2.5 and PM10 of the ten; PM4 is left out."""
    assert reading(answer()) == (GOOD, 0)
    assert reading(NOTHING_NEW) == (None, 0)
    assert reading() == (None, 0)
    assert reading(answer([0.0] * 10)) == ((0, 0, 0), 0), "clean air is a reading"
    assert reading(answer([1000.0] * 10)) == ((1000, 1000, 1000), 0)


@pytest.mark.parametrize("at", [0, 1, 3])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -0.001, 1000.1, 3e38])
def test_values_that_cannot_be_are_refused(at: int, value: float) -> None:
    """Though the check code is right; the whole reading, and it is counted."""
    assert reading(answer([*VALUES[:at], value, *VALUES[at + 1 :]])) == (None, 1)


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0])
def test_values_that_nobody_uses_may_be_anything(value: float) -> None:
    """PM4, counts and size."""
    assert reading(answer([*VALUES[:2], value, VALUES[3], *[value] * 6])) == (GOOD, 0)


@pytest.mark.parametrize(
    "data",
    [VALUES[:9], (*VALUES, 1.0), (1.0,)],
    ids=["short", "long", "one"],
)
def test_another_form_is_refused(data: tuple[float, ...]) -> None:
    """So many values or none; the frame is whole, and is counted."""
    assert reading(answer(data)) == (None, 1)


def test_an_answer_to_another_request_is_no_reading() -> None:
    assert reading(answer(command=4)) == (None, 1)


@pytest.mark.parametrize(("state", "message"), [(0x43, "refuses: state 0x43"), (0x80, "fault"), (0xC3, "fault")])
def test_the_state_is_believed(state: int, message: str) -> None:
    """Also when values come with it."""
    with pytest.raises(OSError, match=message):
        reading(answer(state=state))
    with pytest.raises(OSError, match=message):
        reading(stuffed(bytes((0, 3, state, 0))))


@pytest.mark.parametrize("cut", range(len(answer()) + 1))
def test_a_split_answer_is_put_together(cut: int) -> None:
    """Wherever the line pauses, between the two bytes of a stuffed one too."""
    whole = answer()
    assert reading(whole[:cut], whole[cut:]) == (GOOD, 0)


@pytest.mark.parametrize("cut", range(2, len(answer()) - 1))
def test_a_truncated_answer_is_no_reading(cut: int) -> None:
    """And the next one is whole again."""
    found, garbled = reading(answer()[:cut], answer())
    assert found == GOOD
    assert garbled == 1
    assert reading(answer()[:cut] + b"\x7e") == (None, 1)


def test_the_bytes_between_may_be_stuffed() -> None:
    """Each of the four, in values and check code."""
    for pattern in ("7E7D1113", "11111111", "137E7D11"):
        values = (1.5, 2.5, *struct.unpack(">f", bytes.fromhex(pattern)), 3.5, *VALUES[4:])
        assert reading(answer(values)) == ((1.5, 2.5, 3.5), 0)


@given(st.integers(1, len(answer()) - 2), st.integers(1, 255))
def test_a_changed_byte_is_never_another_reading(at: int, flip: int) -> None:
    """Sum and length find every single one."""
    whole = answer()
    spoilt = whole[:at] + bytes((whole[at] ^ flip,)) + whole[at + 1 :]
    try:
        assert reading(spoilt)[0] is None
    except OSError as error:
        raise AssertionError("a spoilt state was believed") from error


_pieces = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([b"\x7e", b"\x7d", answer()[:20], answer()[20:], NOTHING_NEW, b"\xff" * 100]),
)


@given(st.lists(_pieces, max_size=8), st.integers(1, 64))
def test_garbage_is_never_a_reading_and_the_next_answer_is(garbage: list[bytes], most: int) -> None:
    """It never fails and never waits; a question begins anew, whatever was on the line."""
    uart = Bytes(most=most)
    sensor = driver.SPS30(uart)
    for piece in garbage:
        uart.held += piece
        try:
            assert sensor.read() in (None, GOOD)
        except OSError:
            pytest.fail("garbage was taken for a state")
    uart.held += b"\x00" * 7
    sensor.ask()
    assert uart.held == b""
    assert uart.written == driver.READ
    uart.held += answer()
    assert sensor.read() == GOOD


ATTACHED = """
from time import sleep_ms
import world as hardware
from chips.sps30 import SPS30 as Chip
from drivers import sps30
from machine import UART
surroundings = [12.0, 31.0, 52.0]
chip = Chip(lambda: world.now // 1000, lambda: surroundings)
hardware.attach_uart(17, 16, chip)
uart = UART(2, sps30.BAUD, tx=17, rx=16)
sensor = sps30.SPS30(uart)
def begin():
    for request in sps30.WAKE_UP:
        sensor.send(request)
        sleep_ms(sps30.ANSWER_MS)
    sensor.check()
def read():
    sensor.ask()
    sleep_ms(sps30.ANSWER_MS)
    return sensor.read()
def told(action):
    try:
        print(action())
    except OSError as error:
        print(*error.args)
"""


def on_the_board(folder: Path, program: str) -> list[str]:
    return run(fast(folder, int(time.time()) - 86_400) + ATTACHED + program, folder)


def test_the_driver_reads_the_surroundings(tmp_path: Path) -> None:
    """On MicroPython: once a second what is around; nothing twice."""
    *rows, rest = on_the_board(
        tmp_path,
        """
begin()
sleep_ms(sps30.WARM_UP_MS)
for _ in range(20):
    sleep_ms(1000)
    print(*read())
print(read(), sensor.garbled)
""",
    )
    assert rest == "None 0"
    assert len(rows) == 20
    for row in rows:
        for found, real in zip(row.split(), (12, 31, 52), strict=True):
            assert float(found) == pytest.approx(real, abs=0.4 + 0.02 * real)


def test_it_starts_a_chip_whatever_it_was_doing(tmp_path: Path) -> None:
    """Idle, measuring floats or whole numbers, asleep: after the same requests it measures floats."""
    printed = on_the_board(
        tmp_path,
        """
for before in (b"", sps30.START, b"\\x7e\\x00\\x00\\x02\\x01\\x05\\xf7\\x7e", sps30.SLEEP):
    chip.receive(b"\\x7e\\x00\\xd3\\x00\\x2c\\x7e")
    chip.receive(before)
    sleep_ms(3000)
    begin()
    sleep_ms(2000)
    print(len(read()))
sensor.send(sps30.INFORMATION)
sleep_ms(sps30.ANSWER_MS)
print(sensor.check())
""",
    )
    assert printed == ["3"] * 4 + [repr(b"4E1AD1BB796C64C5\0")]


def test_faults_of_the_line_and_the_chip(tmp_path: Path) -> None:
    """Each is told, none is a reading; a chip that lost its power refuses, and works again once it is started."""
    printed = on_the_board(
        tmp_path,
        """
told(sensor.check)
begin()
sleep_ms(2000)
chip.bad_crc = True
told(read)
chip.bad_crc = False
sleep_ms(1000)
told(lambda: len(read()))
chip.dead = True
told(read)
told(begin)
chip.dead = False
chip.receive(b"\\x7e\\x00\\xd3\\x00\\x2c\\x7e")
sleep_ms(2000)
told(read)
begin()
sleep_ms(2000)
chip.broken = 1 << 4
told(read)
chip.broken = 0
sensor.send(sps30.CLEAR)
sleep_ms(1000)
told(lambda: len(read()))
print(sensor.garbled)
""",
    )
    assert printed == [
        "110 no answer",
        "None",
        "3",
        "None",
        "110 no answer",
        "5 the chip refuses: state 0x43",
        "5 the chip reports a fault of its fan or laser",
        "3",
        "1",
    ]
