"""SCD41: Sensirion's check bytes and words, and the driver against the chip."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.firmware.board import fast
from tests.firmware.importer import load
from tests.micropython import run

sensirion = load("drivers.sensirion")
driver = load("drivers.scd41")


def words(*values: int) -> bytearray:
    """Each with its check byte."""
    buffer = bytearray(3 * len(values))
    for i, value in enumerate(values):
        sensirion.put_word(buffer, 3 * i, value)
    return buffer


@pytest.mark.parametrize(("data", "crc"), [("beef", 0x92), ("0000", 0x81), ("01f4", 0x33), ("6667", 0xA2)])
def test_check_bytes_of_the_datasheet(data: str, crc: int) -> None:
    """SCD4x 3.12, and the words of its examples."""
    assert sensirion.crc8(bytes.fromhex(data), 0, 2) == crc


def test_the_datasheets_measurement() -> None:
    """Example of 3.5.2: 500 ppm, 25 Cel, 37 %RH."""
    co2, cel, humidity = driver.decode(bytes.fromhex("01f4336667a25eb93c"))
    assert co2 == 500
    assert cel == pytest.approx(25, abs=0.005)
    assert humidity == pytest.approx(37, abs=0.005)


@given(st.lists(st.integers(0, 0xFFFF), min_size=3, max_size=3), st.integers(0, 71))
def test_a_flipped_bit_is_found_wherever_it_is(values: list[int], bit: int) -> None:
    """In a word or in a check byte."""
    good = words(*values)
    assert [sensirion.word(good, i) for i in range(3)] == values
    driver.decode(good)
    good[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ValueError, match=f"word {bit // 24}"):
        driver.decode(good)


class Bus:
    """An I2C bus whose chip answers these bytes to everything."""

    def __init__(self, answers: list[bytes]) -> None:
        self.answers = answers

    def writeto(self, address: int, data: bytes) -> None:
        assert address == 0x62

    def readfrom_into(self, address: int, buffer: bytearray) -> None:
        buffer[:] = self.answers.pop(0)


@given(st.binary(min_size=3, max_size=3), st.binary(min_size=9, max_size=9))
def test_random_bytes_are_a_reading_only_with_all_check_bytes(flag: bytes, data: bytes) -> None:
    """In the flag too; and what is read then is what stands there."""
    crcs = [
        sensirion.crc8(each, at, at + 2) == each[at + 2] for each, at in ((flag, 0), *((data, at) for at in (0, 3, 6)))
    ]
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(driver, "sleep_ms", lambda ms: None)
            found = driver.SCD41(Bus([flag, data])).read()
    except ValueError:
        assert not all(crcs)
    else:
        assert crcs[0]
        if found is None:
            assert not (flag[0] << 8 | flag[1]) & 0x7FF
        else:
            assert all(crcs)
            assert found[0] == data[0] << 8 | data[1]


ATTACHED = """
from time import sleep_ms
import world as hardware
from chips.scd41 import SCD41 as Chip
from drivers.scd41 import PERIOD_MS, POWER_UP_MS, SCD41, STOP_MS
from machine import I2C, Pin
surroundings = [612.0, 21.5, 55.0]
chip = Chip(lambda: world.now // 1000, lambda: surroundings)
hardware.attach_i2c(22, 21, chip)
bus = I2C(0, scl=Pin(22), sda=Pin(21))
sensor = SCD41(bus)
def told(action, *args):
    try:
        print(action(*args))
    except (OSError, ValueError) as error:
        print(type(error).__name__, error.args[0])
sleep_ms(POWER_UP_MS)
sensor.stop()
sleep_ms(STOP_MS)
sensor.start()
"""


def on_the_board(folder: Path, program: str) -> list[str]:
    return run(fast(folder, int(time.time()) - 86_400) + ATTACHED + program, folder)


def test_the_driver_measures_the_surroundings(tmp_path: Path) -> None:
    """On MicroPython: nothing before the first period, then each measurement once.

    After an hour: the air within needs two minutes for 63 % of a step.
    """
    printed = on_the_board(
        tmp_path,
        """
print(sensor.read())
for values in (surroundings, [1950.0, -8.0, 88.0]):
    surroundings[:] = values
    for _ in range(2):
        sleep_ms(3_600_000)
        found = sensor.read()
    print(*found)
    print(sensor.read())
""",
    )
    assert (printed[0], printed[2], printed[4]) == ("None", "None", "None")
    for line, (co2, cel, humidity) in ((printed[1], (612, 21.5, 55)), (printed[3], (1950, -8, 88))):
        found = [float(word) for word in line.split()]
        assert found[0] == pytest.approx(co2, abs=5)
        assert found[1] == pytest.approx(cel, abs=0.06)
        assert found[2] == pytest.approx(humidity, abs=0.25)


def test_a_board_that_was_reset_finds_the_chip_measuring(tmp_path: Path) -> None:
    """Its start is refused then; `stop` first and it goes, whatever the chip was doing."""
    printed = on_the_board(
        tmp_path,
        """
sleep_ms(PERIOD_MS)
again = SCD41(bus)
told(again.start)
again.stop()
told(again.start)
sleep_ms(STOP_MS)
told(again.start)
sleep_ms(PERIOD_MS)
print(len(again.read()))
""",
    )
    assert printed == ["OSError 19", "OSError 19", "None", "3"]


def test_faults_are_errors_and_pass(tmp_path: Path) -> None:
    """A garbled answer is a ValueError, silence an OSError; the next good answer is taken."""
    printed = on_the_board(
        tmp_path,
        """
sleep_ms(PERIOD_MS)
chip.bad_crc = True
told(sensor.read)
chip.bad_crc = False
print(len(sensor.read()))
chip.dead = True
for action in (sensor.stop, sensor.start, sensor.read):
    told(action)
told(sensor.set_pressure, 100_000)
chip.dead = False
sleep_ms(PERIOD_MS)
print(len(sensor.read()))
""",
    )
    assert printed == ["ValueError check byte of word 0 is wrong", "3", *["OSError 19"] * 4, "3"]


def test_the_pressure_reaches_the_chip(tmp_path: Path) -> None:
    """In hPa, with its check byte, while it measures."""
    printed = on_the_board(
        tmp_path,
        """
sensor.set_pressure(98_765)
bus.writeto(0x62, b"\\xe0\\x00")
sleep_ms(1)
print(int.from_bytes(bus.readfrom(0x62, 3)[:2], "big"))
""",
    )
    assert printed == ["987"]
