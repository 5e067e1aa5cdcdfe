"""PMS5003: frames good and bad, garbage on the line, and the driver against the chip."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.firmware.board import fast
from tests.firmware.importer import load
from tests.micropython import run

driver = load("drivers.pms5003")

FIELDS = (7, 11, 13, 6, 10, 12, 1_500, 420, 80, 9, 3, 1)
"""PM1, PM2.5, PM10 as by CF=1, the same in the atmosphere, counts of six sizes."""
GOOD = (6, 10, 12)
ANSWER = bytes.fromhex("424d0004e1010175")
"""The chip's answer to a command."""


def frame(*fields: int, version: int = 0x97, error: int = 0) -> bytes:
    """32 bytes with a right check code."""
    body = b"BM\x00\x1c" + b"".join(field.to_bytes(2, "big") for field in fields) + bytes((version, error))
    return body + sum(body).to_bytes(2, "big")


class Bytes:
    """A UART that holds bytes, and gives at most `most` of them at once."""

    def __init__(self, held: bytes = b"", most: int = 256) -> None:
        self.held = held
        self.most = most

    def any(self) -> int:
        return len(self.held)

    def read(self, n: int) -> bytes | None:
        taken = self.held[: min(n, self.most)]
        self.held = self.held[len(taken) :]
        return taken or None


def readings(*parts: bytes, most: int = 256) -> list[tuple[int, int, int]]:
    """What the driver makes of bytes that arrive in these parts, asked until it has nothing more after each."""
    uart = Bytes(most=most)
    sensor = driver.PMS5003(uart)
    found = []
    for part in parts:
        uart.held += part
        while (reading := sensor.read()) is not None:
            found.append(reading)
    return found


def test_a_frame_is_read_as_in_the_atmosphere() -> None:
    """Not as by CF=1, which stands before."""
    assert driver.decode(bytearray(frame(*FIELDS))) == GOOD
    assert driver.decode(frame(*FIELDS[:3], 0, 0, 0, *[0] * 6)) == (0, 0, 0), "clean air is a reading"
    assert driver.decode(frame(*[0xFFFF] * 12)) == (0xFFFF,) * 3


@pytest.mark.parametrize("at", range(32))
def test_a_changed_byte_spoils_the_frame(at: int) -> None:
    """Each of them, the check code's own too."""
    spoilt = bytearray(frame(*FIELDS))
    spoilt[at] ^= 0x10
    assert driver.decode(spoilt) is None


@pytest.mark.parametrize(
    "spoilt",
    [
        frame(*FIELDS, error=1),
        frame(*FIELDS[:6], 0, *FIELDS[7:]),
        frame(*FIELDS)[:31],
        frame(*FIELDS) + b"\0",
        b"",
    ],
    ids=["error code", "mass without particles", "short", "long", "empty"],
)
def test_what_cannot_be_believed_is_refused(spoilt: bytes) -> None:
    """Though its check code is right."""
    assert driver.decode(spoilt) is None


@pytest.mark.parametrize("most", [1, 7, 256])
@pytest.mark.parametrize("cut", [0, 1, 2, 3, 4, 5, 17, 31, 32])
def test_a_split_frame_is_put_together(cut: int, most: int) -> None:
    """Wherever the line pauses, and however little the UART gives at once."""
    whole = frame(*FIELDS)
    assert readings(whole[:cut], whole[cut:], whole, most=most) == [GOOD, GOOD]


@pytest.mark.parametrize(
    "rubbish",
    [
        ANSWER,
        b"B",
        b"BM",
        b"BBM\0",
        b"BM\x00\x1c",
        b"BM\x00\x1c" + b"\x42" * 20,
        frame(*FIELDS)[:31],
        frame(*FIELDS)[:12],
        frame(*FIELDS, error=1),
        bytes(range(256)),
    ],
    ids=repr,
)
def test_rubbish_costs_no_frame_that_follows(rubbish: bytes) -> None:
    """Half a frame, an answer to a command, or heads of frames that never come."""
    assert readings(rubbish + frame(*FIELDS), frame(*FIELDS))[-2:] == [GOOD, GOOD]


def test_thrown_away_frames_are_counted() -> None:
    """A wrong check code and an error code; an answer to a command is no frame."""
    uart = Bytes(ANSWER + frame(*FIELDS)[:31] + b"\xff" + frame(*FIELDS, error=2) + frame(*FIELDS))
    sensor = driver.PMS5003(uart)
    assert sensor.read() == GOOD
    assert sensor.garbled == 2


_pieces = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([b"B", b"BM", b"BM\x00\x1c", ANSWER, frame(*FIELDS)[:20], frame(*FIELDS)[20:]]),
)


@given(st.lists(_pieces, max_size=8), st.integers(1, 64))
def test_after_any_garbage_at_most_one_frame_is_lost(garbage: list[bytes], most: int) -> None:
    """It never fails and never waits: of two good frames one is found, and every frame after it."""
    uart = Bytes(most=most)
    sensor = driver.PMS5003(uart)
    for piece in garbage:
        uart.held += piece
        sensor.read()
    uart.held += frame(*FIELDS) * 4
    found = []
    while (reading := sensor.read()) is not None:
        found.append(reading)
    assert not uart.held
    assert found[-3:] == [GOOD] * 3


ATTACHED = """
from time import sleep_ms
import world as hardware
from chips.pms5003 import PMS5003 as Chip
from drivers.pms5003 import BAUD, PMS5003, WARM_UP_MS
from machine import UART
surroundings = [12.0, 31.0, 52.0]
chip = Chip(lambda: world.now // 1000, lambda: surroundings)
hardware.attach_uart(17, 16, chip)
uart = UART(2, BAUD, tx=17, rx=16)
sensor = PMS5003(uart)
sensor.start()
for _ in range(WARM_UP_MS // 1000):
    sleep_ms(1000)
    sensor.read()
"""


def on_the_board(folder: Path, program: str) -> list[str]:
    return run(fast(folder, int(time.time()) - 86_400) + ATTACHED + program, folder)


def test_the_driver_reads_the_surroundings(tmp_path: Path) -> None:
    """On MicroPython, from a chip that answers the start command and then sends a frame a second."""
    *rows, rest = on_the_board(
        tmp_path,
        """
for _ in range(20):
    sleep_ms(1000)
    print(*sensor.read())
print(sensor.read(), sensor.garbled)
""",
    )
    assert rest == "None 0"
    assert len(rows) == 20
    for row in rows:
        for found, real in zip(row.split(), (12, 31, 52), strict=True):
            assert int(found) == pytest.approx(real, abs=1.7 + 0.02 * real)


def test_faults_of_the_line_and_the_chip(tmp_path: Path) -> None:
    """Garbled frames are counted; half frames are completed; silence is None; a sleeping chip is woken."""
    printed = on_the_board(
        tmp_path,
        """
chip.bad_crc = True
sleep_ms(5000)
print(sensor.read(), sensor.garbled)
chip.bad_crc = False
sleep_ms(1000)
uart.read(10)
sleep_ms(1000)
print(len(sensor.read()), sensor.read())
chip.dead = True
sleep_ms(5000)
print(sensor.read(), sensor.garbled)
chip.dead = False
chip.receive(b"\\x42\\x4d\\xe4\\x00\\x00\\x01\\x73")
chip.receive(b"\\x42\\x4d\\xe1\\x00\\x00\\x01\\x70")
sleep_ms(2000)
sensor.read()
sleep_ms(5000)
print(sensor.read())
sensor.start()
sleep_ms(1500)
print(len(sensor.read()))
""",
    )
    assert printed == ["None 5", "3 None", "None 5", "None", "3"]
