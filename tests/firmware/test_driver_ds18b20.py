"""DS18B20: what is a reading and what is none, and the driver against the chip on an emulated bus."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_hardware.chips import ds18b20 as chip
from tests.firmware.board import fast
from tests.firmware.importer import load
from tests.micropython import run

driver = load("drivers.ds18b20")


def scratchpad(raw: int, configuration: int = 0x7F, reserved: bytes = b"\xff\x0c\x10") -> bytes:
    data = (raw & 0xFFFF).to_bytes(2, "little") + bytes([0x4B, 0x46, configuration]) + reserved
    return data + bytes([chip.crc8(data)])


def test_check_bytes_of_others() -> None:
    """A ROM code of Maxim's application note 27, and a scratchpad as Linux printed it."""
    assert driver.crc8(bytes.fromhex("021cb801000000"), 7) == 0xA2
    assert driver.decode(bytes.fromhex("72014b467fff0e1057")) == 23.125


@pytest.mark.parametrize(
    ("raw", "cel"),
    [
        (0x07D0, 125.0),
        (0x0191, 25.0625),
        (0x00A2, 10.125),
        (0x0008, 0.5),
        (0x0000, 0.0),
        (0xFFF8, -0.5),
        (0xFF5E, -10.125),
        (0xFE6F, -25.0625),
        (0xFC90, -55.0),
    ],
)
def test_the_datasheets_table(raw: int, cel: float) -> None:
    """Temperature and data, its table 1, but for the +85 of power-on."""
    assert driver.decode(scratchpad(raw)) == cel


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (bytes.fromhex("50054b467fff0c101c"), "power-on"),
        (bytes(9), "scratchpad"),
        (b"\xff" * 9, "check byte"),
        (scratchpad(0x07FF), "range"),
        (scratchpad(0x07D1), "range"),
        (scratchpad(-55 * 16 - 1), "range"),
        (scratchpad(0x0191, configuration=0x00), "scratchpad"),
        (scratchpad(0x0191, configuration=0xFF), "scratchpad"),
    ],
    ids=["power-on", "held down", "nobody", "brown-out", "too hot", "too cold", "no chip", "another chip"],
)
def test_what_is_no_reading_is_refused(data: bytes, why: str) -> None:
    """A bus that is held down reads as zeros, and zero is their check byte; it would be 0 Cel."""
    with pytest.raises(ValueError, match=why):
        driver.decode(data)


@given(st.integers(-55 * 16, 125 * 16).filter(lambda raw: raw != 0x0550), st.integers(0, 71))
def test_one_wrong_bit_is_seen(raw: int, bit: int) -> None:
    data = bytearray(scratchpad(raw))
    assert driver.decode(data) == raw / 16
    data[bit >> 3] ^= 1 << (bit & 7)
    with pytest.raises(ValueError, match="check byte"):
        driver.decode(data)


@given(st.integers(-55 * 16, 125 * 16).filter(lambda raw: raw != 0x0550), st.integers(0, 3))
def test_bits_that_are_not_defined_do_not_count(raw: int, more: int) -> None:
    """At 9 + `more` bits the chip leaves the lowest of the 12 open (its figure of the configuration register)."""
    found = driver.decode(scratchpad(raw, configuration=more << 5 | 0x1F))
    step = 0.5 / 2**more
    assert found % step == 0
    assert found <= raw / 16 < found + step


ATTACHED = """
from time import sleep_ms
import onewire
import world as hardware
from chips.ds18b20 import DS18B20
from drivers import ds18b20
cel = 21.5
chip = DS18B20(lambda: world.now // 1000, lambda: cel)
onewire.attach(4, lambda: chip)
sensor = ds18b20.DS18B20(ds18b20.bus(4))
def told(action):
    try:
        print(action())
    except (OSError, ValueError) as error:
        print(type(error).__name__, error)
"""


def on_the_board(folder: Path, program: str) -> list[str]:
    return run(fast(folder, int(time.time()) - 86_400) + ATTACHED + program, folder)


def test_the_driver_measures_the_surroundings(tmp_path: Path) -> None:
    """On MicroPython: nothing of before the first conversion's end, then what it was at its end."""
    printed = on_the_board(
        tmp_path,
        """
told(sensor.read)
sensor.start()
sleep_ms(ds18b20.CONVERT_MS - 1)
told(sensor.read)
sleep_ms(1)
told(sensor.read)
for cel in (-18.25, 60.0):
    sensor.start()
    sleep_ms(ds18b20.CONVERT_MS)
    told(sensor.read)
""",
    )
    refused = "ValueError nothing measured since power-on"
    assert printed[:2] == [refused, refused]
    assert [float(line) for line in printed[2:]] == pytest.approx([21.5, -18.25, 60.0], abs=0.13)


def test_faults_are_errors_and_pass(tmp_path: Path) -> None:
    """Garbled, short-circuited, gone, and back from a brown-out; then the next good answer is taken."""
    printed = on_the_board(
        tmp_path,
        """
def measure():
    sensor.start()
    sleep_ms(ds18b20.CONVERT_MS)
    return sensor.read() > 0
for fault in ("bad_crc", "shorted", "dead"):
    setattr(chip, fault, True)
    told(measure)
    setattr(chip, fault, False)
    told(measure)
sensor.start()
chip.power_on()
sleep_ms(ds18b20.CONVERT_MS)
told(sensor.read)
told(measure)
""",
    )
    assert printed == [
        *("ValueError check byte is wrong", "True"),
        *("ValueError not a thermometer's scratchpad", "True"),
        *("OSError [Errno 19] ENODEV: no thermometer on the bus", "True"),
        *("ValueError nothing measured since power-on", "True"),
    ]


def test_a_bus_with_nobody_on_it(tmp_path: Path) -> None:
    """A cable that was never connected."""
    printed = on_the_board(tmp_path, "told(ds18b20.DS18B20(ds18b20.bus(5)).start)\n")
    assert printed == ["OSError [Errno 19] ENODEV: no thermometer on the bus"]
