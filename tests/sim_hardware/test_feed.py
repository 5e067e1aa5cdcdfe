"""The city's feed: what CPython writes is what a board reads, and what its chips are told."""

import struct
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim_hardware.city.city import FIELDS, STUCK, Floats
from sim_hardware.city.feed import RING, Feed
from tests.sim_hardware.program import FOLLOW, START, pace, printed

PLACES = 3
MINUTE_US = 60_000_000
BEGIN_US = START * 1_000_000


def fields(minute: int) -> Floats:
    """Numbers that say what they are of: minute, place and field; exact in 32 bits."""
    return 1000.0 * minute + 100 * np.arange(PLACES)[:, None] + np.arange(FIELDS) + 0.25


def read(folder: Path, slot: int, program: str) -> list[Any]:
    """A program on a board at this place, which reads its `surroundings`."""
    return printed(
        f"""
import street
from world import world
surroundings = street.Surroundings("feed", {PLACES}, {RING}, {slot})
def minute(n):
    return surroundings.at({BEGIN_US} + n * {MINUTE_US})
"""
        + program,
        folder,
    )


# the ring ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slot", range(PLACES))
def test_a_board_reads_its_own_place(tmp_path: Path, slot: int) -> None:
    """Every field of every minute of the ring, at its first and its last microsecond."""
    feed = Feed(tmp_path / "feed", PLACES)
    for minute in range(RING):
        feed.write(START + 60 * minute, fields(minute))
    rows = read(
        tmp_path,
        slot,
        f"""
for n in range({RING}):
    first, last = minute(n), surroundings.at({BEGIN_US} + (n + 1) * {MINUTE_US} - 1)
    assert first == last, n
    print(first)
""",
    )
    assert rows == [tuple(fields(minute)[slot]) for minute in range(RING)]


def test_numbers_are_of_32_bits(tmp_path: Path) -> None:
    """A pressure and a small share alike are rounded to the nearest, not cut."""
    wanted = np.array([[101_312.34, 0.06, -12.3456789, *[0.0] * 9]] * PLACES)
    Feed(tmp_path / "feed", PLACES).write(START, wanted)
    (row,) = read(tmp_path, 0, "print(minute(0))")
    assert row == struct.unpack("<12f", struct.pack("<12f", *wanted[0]))


def test_what_is_not_written_or_written_over_is_not_known(tmp_path: Path) -> None:
    """The future, the past before the start, and minutes that the ring has forgotten."""
    feed = Feed(tmp_path / "feed", PLACES)
    for minute in range(RING + 3):
        feed.write(START + 60 * minute, fields(minute))
    (known,) = read(
        tmp_path, 1, f"print([n for n in range(-{RING}, {3 * RING}) if minute(n) is not None and minute(n)[0]])"
    )
    assert known == list(range(3, RING + 3))


def test_a_board_sees_what_is_written_while_it_runs(tmp_path: Path) -> None:
    """None until then. A minute that it has read it keeps, even when the ring has gone on."""
    feed = Feed(tmp_path / "feed", PLACES)
    feed.write(START, fields(0))
    record = struct.pack("<I12f", START // 60 + 1, *range(12))
    # The second minute is put in by the program itself, at the place that the layout tells.
    at = ((START // 60 + 1) % RING * PLACES + 2) * len(record)
    over = struct.pack("<I12f", START // 60 + RING, *range(12))
    rows = read(
        tmp_path,
        2,
        f"""
def put(at, record):
    with open("feed", "r+b") as f:
        f.seek(at)
        f.write(record)
print((minute(1), minute(0)[0]))
put({at}, {record!r})
print((minute(1)[3], minute(1)[11]))
print(minute(0)[0])
put({(START // 60 % RING * PLACES + 2) * len(record)}, {over!r})
print((minute(0)[0], minute({RING})[3], minute(0)))
""",
    )
    assert rows == [(None, 200.25), (3.0, 11.0), 200.25, (200.25, 3.0, None)]


def test_a_late_city_is_bridged(tmp_path: Path) -> None:
    """`now` gives the last minute that was known, and this one as soon as it is."""
    feed = Feed(tmp_path / "feed", PLACES)
    feed.write(START, fields(0))
    feed.write(START + 120, fields(2))
    rows = read(
        tmp_path,
        0,
        f"""
for n in (0, 1, 2):
    world.now = {BEGIN_US} + n * {MINUTE_US} + 1
    print(surroundings.now()[0])
""",
    )
    assert rows == [0.25, 0.25, 2000.25]


# chips ------------------------------------------------------------------------------------------------------------

BOARD = """
class board:
    LOOPS = ((32, 33), (25, 26))
    REED = 27
    PARTICLES = {"id": 2, "tx": 17, "rx": 16}
    I2C = {"id": 0, "scl": 22, "sda": 21}
from machine import *
import street
"""


def furnished(folder: Path, kind: str, minutes: list[list[float]], program: str) -> list[Any]:
    """A program on a board of this kind, which lives very fast through a city of such minutes."""
    feed = Feed(folder / "feed", 1)
    for minute, given in enumerate(minutes):
        fields = [*given, *[0.0] * (FIELDS - 2 - len(given)), 1.0, STUCK * (kind == "air" and minute > 30)]
        feed.write(START + 60 * minute, np.array([fields]))
    pace(folder, 5_000)
    furnish = f"""
world.now = world.boot = begin = {BEGIN_US}
surroundings = street.Surroundings("feed", 1, {RING}, 0)
street.furnish({kind!r}, board, surroundings, seed=7)
"""
    return printed(FOLLOW + BOARD + furnish + program, folder)


def test_traffic(tmp_path: Path) -> None:
    """Each lane's own flow, speed and lengths, within what chance allows; a jam slows down the vehicles to come."""
    free, jam = [720.0, 50.0, 360.0, 72.0, 0.06, 0.04], [600.0, 9.0, 600.0, 9.0, 0.06, 0.04]
    rows = furnished(
        tmp_path,
        "traffic",
        [free] * 40 + [jam] * 20,
        """
assert all(Pin(pin).value() == 1 for pair in board.LOOPS[:2] for pin in pair)
seen = {pin: [] for pair in board.LOOPS[:2] for pin in pair}
for pin in seen:
    Pin(pin).irq(lambda pin: seen[pin.number].append(world.now - begin), Pin.IRQ_FALLING)
for minutes in (40, 18):
    time.sleep(60 * minutes)
    for first, second in board.LOOPS[:2]:
        n = len(seen[second])
        took = sorted(b - a for a, b in zip(seen[first][:n], seen[second]))
        print((len(seen[first]), took[0], took[n // 2], took[-1]))
        seen[first], seen[second] = seen[first][n:], []
""",
    )
    # (volume, least, median and most time from loop to loop, 4 m apart, in us)
    for (volume, fastest, median, slowest), expected, speed in zip(
        rows, (480, 240, 180, 180), (50, 72, 9, 9), strict=True
    ):
        assert volume == pytest.approx(expected, abs=4 * expected**0.5)
        at_speed = 4 * 3.6 / speed * 1_000_000
        assert median == pytest.approx(at_speed, rel=0.1)
        if speed != 9:  # the first of the jam may still be of the minute before
            assert 0.75 * at_speed < fastest < slowest < 1.4 * at_speed


def test_water(tmp_path: Path) -> None:
    """A closed contact for each litre, with bounces; none while nobody draws."""
    still, closings = furnished(
        tmp_path,
        "water",
        [[0.0, 12.0]] * 10 + [[1200.0, 12.0]] * 40,
        """
reed, changes = Pin(board.REED), [-30_000]
assert reed.value() == 1
def edge(pin):
    if world.now - begin - changes[-1] >= 30_000:  # not a bounce
        changes.append(world.now - begin)
reed.irq(edge)
time.sleep(600)
print(len(changes) - 1)
time.sleep(1800)
print(changes[1::2])
""",
    )
    assert still == 0
    assert len(closings) in (600, 601)
    assert {round((b - a) / 1000) for a, b in pairwise(closings)} == {3_000}


AIR = [8.0, 14.0, 24.0, 610.0, 16.5, 55.0, 100_900.0]


def test_air(tmp_path: Path) -> None:
    """The three chips tell the city's air, each on its own bus."""
    particles, carbon, climate = furnished(
        tmp_path,
        "air",
        [AIR] * 10,
        """
from chips.bme280 import CALIBRATION, humidity, pressure, temperature
uart = UART(2, 9600, tx=17, rx=16)
bus = I2C(0, scl=Pin(22), sda=Pin(21))
time.sleep_ms(30)
bus.writeto(0x62, b"\\x21\\xb1")
bus.writeto(0x76, b"\\xf2\\x01\\xf4\\x25")
time.sleep(40)
uart.read()
time.sleep(2)
frame = uart.read(32)
assert frame[:4] == b"BM\\x00\\x1c"
print([frame[n] << 8 | frame[n + 1] for n in (10, 12, 14)])
bus.writeto(0x62, b"\\xec\\x05")
time.sleep_ms(1)
words = bus.readfrom(0x62, 9)
a, b, c = (words[n] << 8 | words[n + 1] for n in (0, 3, 6))
print([a, 175 * b / 65536 - 45, 100 * c / 65536])
data = bus.readfrom_mem(0x76, 0xF7, 8)
cel, fine = temperature(CALIBRATION, data[3] << 12 | data[4] << 4 | data[5] >> 4)
pa = pressure(CALIBRATION, data[0] << 12 | data[1] << 4 | data[2] >> 4, fine)
print([cel, pa, humidity(CALIBRATION, data[6] << 8 | data[7], fine)])
""",
    )
    assert particles == [pytest.approx(value, abs=2.2) for value in AIR[:3]]
    assert carbon == [pytest.approx(610, abs=5), pytest.approx(16.5, abs=0.1), pytest.approx(55, abs=0.3)]
    assert climate == [pytest.approx(16.5, abs=0.1), pytest.approx(100_900, abs=6), pytest.approx(55, abs=0.4)]


def test_the_city_makes_particle_counters_stick(tmp_path: Path) -> None:
    """From the minute that it says on; until then frames differ."""
    before, after = furnished(
        tmp_path,
        "air",
        [AIR] * 50,
        """
uart = UART(2, 9600, tx=17, rx=16)
def frames(n):
    found = set()
    for _ in range(n):
        uart.read()
        time.sleep(2)
        found.add(uart.read(32))
    return len(found)
time.sleep(60)
print(frames(20))
time.sleep(31 * 60)
print(frames(20))
""",
    )
    assert before > 10
    assert after == 1
