"""The water meter of an emulated board in the city: its wheels are in a file, and turn on while the board is off."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim_hardware.city.city import FIELDS
from sim_hardware.city.feed import RING, Feed
from tests.sim_hardware.program import FOLLOW, START, pace, printed

BEGIN_US = START * 1_000_000
RECORD = "<qqqqq"
"""us of the last edge, place in the turn, mark passed last, turns forward, turns backward."""


def city(folder: Path, flow: list[float], cel: float = 12.0) -> Feed:
    """A feed that knows these minutes (l/h)."""
    feed = Feed(folder / "feed", 1)
    for minute, each in enumerate(flow):
        feed.write(START + 60 * minute, np.array([[each, cel, *[0.0] * (FIELDS - 4), 1.0, 0.0]]))
    return feed


def life(folder: Path, minute: float, program: str, pins: str = "") -> list[Any]:
    """A board that is switched on in that minute, and what it prints."""
    pace(folder, 5_000, START + int(60 * minute))
    return printed(
        FOLLOW
        + f"""
from machine import Pin
import time
import street
class board:
    REED = 27
    REED_B = 14
    ONEWIRE = 4
    {pins}
begin = {BEGIN_US}
world.now = world.boot = begin + {int(minute * 60_000_000)}
street.furnish("water", board, street.Surroundings("feed", 1, {RING}, 0), seed=7)
"""
        + program,
        folder,
    )


def wheels(folder: Path) -> tuple[int, int, int, int, int]:
    return struct.unpack(RECORD, (folder / "meter.bin").read_bytes())  # type: ignore[return-value]


def test_a_new_meter_is_in_the_file_at_once(tmp_path: Path) -> None:
    """Before a drop has run."""
    city(tmp_path, [0.0] * 5)
    life(tmp_path, 0, "")
    assert wheels(tmp_path)[2:] == (0, 0, 0)
    assert wheels(tmp_path)[0] == BEGIN_US


def test_turns_are_true_to_the_city(tmp_path: Path) -> None:
    """Forwards and backwards, and the levels of both contacts as the file tells the place."""
    city(tmp_path, [600.0] * 10 + [-600.0] * 6 + [0.0] * 20)
    (levels,) = life(tmp_path, 0, "time.sleep(20 * 60)\nprint((Pin(27).value(), Pin(14).value()))\n")
    us, place, over, forward, backward = wheels(tmp_path)
    assert (forward, backward) == (100, 60 - 1)
    assert us <= BEGIN_US + 16 * 60_000_000
    turn = 1_000 * 3_600_000_000
    first, second = place < turn * 0.4, turn * 0.25 <= place < turn * 0.65
    assert levels == (1 - first, 1 - second)
    assert over == 1, "back over the mark that is now before it"


def test_the_meter_turns_on_while_the_board_is_off(tmp_path: Path) -> None:
    """Ten minutes on, ten off, ten on: every litre of thirty minutes is a turn, and no edge is late."""
    city(tmp_path, [600.0] * 40)
    seen = """
edges = []
Pin(27).irq(lambda pin: edges.append(world.now))
time.sleep(600)
print([edges[0] - world.boot, len(edges)])
"""
    life(tmp_path, 0, seen)
    assert wheels(tmp_path)[3] == 100
    ((first, number),) = life(tmp_path, 20, seen)
    assert wheels(tmp_path)[3] == 300
    assert first > 0
    assert number == pytest.approx(100 * 10, abs=10), "of the ten minutes alone"


def test_a_killed_board_finds_its_meter_past_the_edge_it_died_at(tmp_path: Path) -> None:
    """The magnet has moved, and its contact shows it, though nobody saw the edge."""
    city(tmp_path, [600.0] * 10)
    die = """
import os
Pin(27).irq(lambda pin: os.system("kill -9 $PPID") if not pin.value() else None)
time.sleep(600)
"""
    with pytest.raises(AssertionError, match="ended with -9"):
        life(tmp_path, 0, die)
    us, place, over, forward, backward = wheels(tmp_path)
    assert place < 600_000
    assert (over, forward, backward) == (0, 1, 0)
    (levels,) = life(tmp_path, (us - BEGIN_US + 100_000) / 60_000_000, "print((Pin(27).value(), Pin(14).value()))\n")
    assert levels == (0, 1)


def test_what_the_feed_has_forgotten_ran_unseen(tmp_path: Path) -> None:
    """A board that was off for days: the meter goes on from what is still known, at once, and is not stuck."""
    feed = city(tmp_path, [600.0] * 10)
    life(tmp_path, 0, "time.sleep(300)\n")
    assert wheels(tmp_path)[3] == 50
    later = 3 * 1440
    for minute in range(later - RING // 2, later + RING // 2):
        feed.write(START + 60 * minute, np.array([[600.0, 12.0, *[0.0] * (FIELDS - 4), 1.0, 0.0]]))
    life(tmp_path, later, "time.sleep(300)\n")
    assert wheels(tmp_path)[3] == pytest.approx(50 + 10 * (RING // 2 + 5), abs=1)


def test_a_file_that_was_cut_is_a_new_meter(tmp_path: Path) -> None:
    """A board that was killed before it had written anything."""
    city(tmp_path, [600.0] * 10)
    (tmp_path / "meter.bin").write_bytes(b"\x01" * 39)
    life(tmp_path, 0, "time.sleep(60)\n")
    assert wheels(tmp_path)[3] == 10


def test_a_board_with_one_reed_and_no_bus(tmp_path: Path) -> None:
    """Pins that a board does not have are not needed."""
    city(tmp_path, [600.0] * 10)
    ((first, second),) = life(
        tmp_path, 0, "time.sleep(60)\nprint((14 in world.pins, 27 in world.pins))\n", "del REED_B, ONEWIRE"
    )
    assert (first, second) == (False, True)
    assert wheels(tmp_path)[3] == 10


def test_the_thermometer_tells_the_citys_temperature(tmp_path: Path) -> None:
    """And is not even loaded before its bus is opened."""
    city(tmp_path, [0.0] * 10, cel=6.5)
    before, after, (cel,) = life(
        tmp_path,
        0,
        """
import sys
print("chips.ds18b20" in sys.modules)
from drivers import ds18b20
sensor = ds18b20.DS18B20(ds18b20.bus(4))
print("chips.ds18b20" in sys.modules)
sensor.start()
time.sleep_ms(750)
print([sensor.read()])
""",
    )
    assert (before, after) == (False, True)
    assert cel == pytest.approx(6.5, abs=0.14)
