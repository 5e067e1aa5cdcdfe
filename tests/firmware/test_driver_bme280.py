"""BME280: Bosch's integers against Bosch's floating point, and the driver against the chip."""

import time
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sim_hardware.chips import bme280 as chip
from tests.firmware.board import fast
from tests.firmware.importer import load
from tests.micropython import run

driver = load("drivers.bme280")

NOT_MEASURED = 0x80000
DAY = 86_400


def registers(raw_p: int, raw_t: int, raw_h: int) -> bytes:
    """0xF7..0xFE."""
    return (raw_p << 4).to_bytes(3, "big") + (raw_t << 4).to_bytes(3, "big") + raw_h.to_bytes(2, "big")


def test_the_datasheets_example() -> None:
    """BMP280 datasheet 3.12, the same formulas: 25.08 Cel and 100653 Pa."""
    cel, pascal, _ = driver.decode(registers(415148, 519888, 30_000), chip.CALIBRATION)
    assert (cel, pascal) == (25.08, 100653)


@st.composite
def calibrations(draw: st.DrawFn) -> tuple[int, ...]:
    """Of chips as they are sold: each number in a range around that of the datasheet."""
    ranges = (
        *((26_000, 29_000), (25_500, 27_500), (-1_000, 50)),
        *((35_000, 39_000), (-11_000, -10_000), (2_900, 3_100), (2_000, 9_000), (-300, 300), (-7, -7)),
        *((9_900, 15_500), (-14_600, -10_200), (4_200, 6_000)),
        *((70, 80), (340, 390), (0, 5), (290, 350), (-50, 60), (25, 32)),
    )
    return tuple(draw(st.integers(low, high)) for low, high in ranges)


@given(calibrations(), st.floats(-40, 85), st.floats(30_000, 110_000), st.floats(0, 100))
def test_the_integers_agree_with_the_floating_formulas(
    calibration: tuple[int, ...], cel: float, pascal: float, humidity: float
) -> None:
    """Over the chip's whole range: 0.01 Cel, 3 Pa, 0.1 %RH."""
    exact = zip(chip.raw(calibration, cel, pascal, humidity), (0xFFFFF, 0xFFFFF, 0xFFFF), strict=True)
    raw_t, raw_p, raw_h = (min(max(round(value), 0), top) for value, top in exact)
    exact_cel, fine = chip.temperature(calibration, raw_t)
    assume(NOT_MEASURED not in (raw_t, raw_p))
    found = driver.decode(registers(raw_p, raw_t, raw_h), calibration)
    assert found[0] == pytest.approx(exact_cel, abs=0.01)
    assert found[1] == pytest.approx(chip.pressure(calibration, raw_p, fine), abs=3)
    assert found[2] == pytest.approx(min(max(chip.humidity(calibration, raw_h, fine), 0), 100), abs=0.1)


@given(calibrations(), st.tuples(*(st.integers(0, top) for top in (0xFFFFF, 0xFFFFF, 0xFFFF))))
def test_no_bytes_make_it_fail(calibration: tuple[int, ...], raws: tuple[int, int, int]) -> None:
    """Whatever a loose contact reads: a value or None, and humidity within its limits."""
    found = driver.decode(registers(*raws), calibration)
    assert (found is None) == (NOT_MEASURED in raws[:2])
    assert found is None or 0 <= found[2] <= 100


@pytest.mark.parametrize("calibration", [(0,) * 18, (27504, 26435, -1000) + (0,) * 15])
def test_a_chip_without_calibration_gives_nothing(calibration: tuple[int, ...]) -> None:
    """Rather than a division by zero."""
    assert driver.decode(registers(415148, 519888, 30_000), calibration) is None


_WORD, _HALF, _BYTE = st.integers(-32768, 32767), st.integers(-2048, 2047), st.integers(-128, 127)
_UNSIGNED, _COUNT = st.integers(0, 65535), st.integers(0, 255)


@given(
    st.tuples(
        *(_UNSIGNED, _WORD, _WORD, _UNSIGNED, *[_WORD] * 8),
        *(_COUNT, _WORD, _COUNT, _HALF, _HALF, _BYTE),
    )
)
def test_calibration_is_read_with_its_signs(calibration: tuple[int, ...]) -> None:
    """Among them H4 and H5, which share a register and have 12 bits each."""
    bus = chip.BME280(lambda: 0, lambda: (0, 0, 0), calibration)
    parts = []
    for register, length in ((0x88, 26), (0xE1, 7)):
        bus.write(bytes((register,)))
        parts.append(bus.read(length))
    assert driver.calibration(*parts) == calibration


ATTACHED = """
from time import sleep_ms
import world as hardware
from chips.bme280 import BME280 as Chip
from drivers.bme280 import BME280, MEASURE_MS
from machine import I2C, Pin
surroundings = [21.5, 101_300, 55.0]
chip = Chip(lambda: world.now // 1000, lambda: surroundings)
hardware.attach_i2c(22, 21, chip)
sensor = BME280(I2C(0, scl=Pin(22), sda=Pin(21)))
sleep_ms(2)
"""


def on_the_board(folder: Path, program: str) -> list[str]:
    return run(fast(folder, int(time.time()) - DAY) + ATTACHED + program, folder)


def test_the_driver_measures_the_surroundings(tmp_path: Path) -> None:
    """On MicroPython: nothing before the first measurement, then what is around, and what is around later.

    After ten seconds: the humidity within needs one for 63 % of a step.
    """
    before, first, second = on_the_board(
        tmp_path,
        """
sensor.start()
print(sensor.read())
for values in (surroundings, [-12.0, 87_000, 5.0]):
    surroundings[:] = values
    for _ in range(2):
        sensor.measure()
        sleep_ms(MEASURE_MS)
        found = sensor.read()
        sleep_ms(10_000)
    print(*found)
""",
    )
    assert before == "None"
    for line, (cel, pascal, humidity) in ((first, (21.5, 101_300, 55)), (second, (-12, 87_000, 5))):
        found = [float(word) for word in line.split()]
        assert found[0] == pytest.approx(cel, abs=0.05)
        assert found[1] == pytest.approx(pascal, abs=10)
        assert found[2] == pytest.approx(humidity, abs=0.4)


def test_a_calibration_that_was_garbled_is_not_kept(tmp_path: Path) -> None:
    """Nothing else would find it, and every value until the next boot would be wrong; the next start has it right."""
    printed = on_the_board(
        tmp_path,
        """
real, reads = chip.read, []
def read(n):
    data = real(n)
    reads.append(n)
    return b"\\xff" + data[1:] if len(reads) == 2 else data
chip.read = read
try:
    sensor.start()
except ValueError as error:
    print(error)
sensor.start()
sensor.measure()
sleep_ms(MEASURE_MS)
print(sensor.read()[0])
""",
    )
    assert printed[0] == "the calibration reads differently each time"
    assert float(printed[1]) == pytest.approx(21.5, abs=0.05)


def test_another_or_no_chip_is_told(tmp_path: Path) -> None:
    """Which address holds what, and that nobody answers, are errors of their own; a chip that comes back works."""
    printed = on_the_board(
        tmp_path,
        """
real = chip.read
chip.read = lambda n: b"\\x58" * n
try:
    sensor.start()
except ValueError as error:
    print(error)
chip.read = real
sensor.start()
chip.dead = True
for action in (sensor.start, sensor.measure, sensor.read):
    try:
        action()
    except OSError as error:
        print(error.errno)
chip.dead = False
sensor.measure()
sleep_ms(MEASURE_MS)
print(len(sensor.read()))
""",
    )
    assert printed == ["no BME280: the chip calls itself 0x58", "19", "19", "19", "3"]
