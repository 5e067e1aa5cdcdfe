"""SGP41: what it is told and what it tells, spoilt words, and the driver against the chip."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_hardware.chips.sensirion import crc8
from tests.firmware.board import fast
from tests.firmware.importer import load
from tests.micropython import run

driver = load("drivers.sgp41")


class Bus:
    """An I2C bus with one chip that answers what the test says, and remembers what it was told."""

    def __init__(self, answer: bytes = b"") -> None:
        self.answer = answer
        self.told = b""

    def writeto(self, address: int, data: bytes) -> None:
        assert address == 0x59
        self.told = bytes(data)

    def readfrom_into(self, address: int, buffer: bytearray) -> None:
        assert address == 0x59
        buffer[:] = self.answer[: len(buffer)]


def words(*values: int) -> bytes:
    """Each with its check byte."""
    parts = [value.to_bytes(2, "big") for value in values]
    return b"".join(part + bytes((crc8(part),)) for part in parts)


@pytest.mark.parametrize(
    ("humidity", "cel", "told"),
    [
        (None, None, "8000A2666693"),
        (50, 25, "8000A2666693"),
        (0, -45, "000081000081"),
        (100, 130, "FFFFACFFFFAC"),
        (-3, -60, "000081000081"),
        (104.2, 200, "FFFFACFFFFAC"),
    ],
)
def test_compensation_is_told_as_in_the_datasheet(humidity: float | None, cel: float | None, told: str) -> None:
    """Table 11: its default, its least and its most; what is beyond is the most there is."""
    bus = Bus()
    driver.SGP41(bus).measure(humidity, cel)
    assert bus.told == bytes.fromhex("2619" + told)


def test_conditioning_is_told_the_defaults() -> None:
    bus = Bus()
    driver.SGP41(bus).condition()
    assert bus.told == bytes.fromhex("26128000A2666693")


@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.integers(0, 47))
def test_ticks_are_read_and_a_flipped_bit_is_found(voc: int, nox: int, bit: int) -> None:
    """VOC first; in a word or in a check byte."""
    good = words(voc, nox)
    assert driver.SGP41(Bus(good)).read() == (voc, nox)
    spoilt = bytearray(good)
    spoilt[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ValueError, match=f"word {bit // 24}"):
        driver.SGP41(Bus(bytes(spoilt))).read()


@given(st.binary(min_size=6, max_size=6))
def test_random_bytes_are_a_reading_only_with_both_check_bytes(data: bytes) -> None:
    """And what is read then is what stands there."""
    right = crc8(data[:2]) == data[2] and crc8(data[3:5]) == data[5]
    try:
        found = driver.SGP41(Bus(data)).read()
    except ValueError:
        assert not right
    else:
        assert right
        assert found == (data[0] << 8 | data[1], data[3] << 8 | data[4])


ATTACHED = """
from time import sleep_ms
import world as hardware
from chips.sgp41 import SGP41 as Chip
from drivers import sgp41
from machine import I2C, Pin
surroundings = [1.0, 1.0]
chip = Chip(lambda: world.now // 1000, lambda: surroundings)
hardware.attach_i2c(22, 21, chip)
sensor = sgp41.SGP41(I2C(0, scl=Pin(22), sda=Pin(21)))
sleep_ms(1)
def told(action):
    try:
        print(action())
    except (OSError, ValueError) as error:
        print(type(error).__name__, error.args[0])
"""


def on_the_board(folder: Path, program: str) -> list[str]:
    return run(fast(folder, int(time.time()) - 86_400) + ATTACHED + program, folder)


def test_the_driver_measures_the_surroundings(tmp_path: Path) -> None:
    """On MicroPython: conditioned, then clean air, then gas; the climate reaches the chip."""
    clean, gas, rest = on_the_board(
        tmp_path,
        """
sensor.heater_off()
sensor.condition()
sleep_ms(9_000)
for _ in range(60):
    sensor.measure()
    sleep_ms(1000)
for values in (surroundings, [4.0, 2.0]):
    surroundings[:] = values
    sensor.measure(80, -10)
    sleep_ms(sgp41.MEASURE_MS)
    print(*sensor.read())
print(chip.damaged, *chip.compensation)
""",
    )
    assert [int(each) for each in clean.split()] == pytest.approx([30_000, 15_000], abs=15)
    assert [int(each) for each in gas.split()] == pytest.approx([30_000 - 2_773, 15_000 + 1_040], abs=15)
    assert rest == f"False {round(0.8 * 65535)} {round(35 * 65535 / 175)}"


def test_self_test_and_faults(tmp_path: Path) -> None:
    """Pixels that fail are named; a garbled answer is a ValueError, silence an OSError; too early is silence."""
    printed = on_the_board(
        tmp_path,
        """
for broken in (0, 3):
    chip.broken = broken
    sensor.test()
    sleep_ms(sgp41.TEST_MS)
    told(sensor.tested)
told(sensor.read)
sensor.measure()
told(sensor.read)
sleep_ms(sgp41.MEASURE_MS)
chip.bad_crc = True
told(sensor.read)
chip.bad_crc = False
chip.dead = True
for action in (sensor.condition, sensor.measure, sensor.read, sensor.heater_off, sensor.test, sensor.tested):
    told(action)
chip.dead = False
sensor.measure()
sleep_ms(sgp41.MEASURE_MS)
told(lambda: len(sensor.read()))
""",
    )
    assert printed == [
        "0",
        "3",
        "OSError 19",
        "OSError 19",
        "ValueError check byte of word 0 is wrong",
        *["OSError 19"] * 6,
        "2",
    ]
