"""The traffic counter: its settings, and its windows by loops and by radar on a real interpreter."""

import ast
import time
from pathlib import Path
from typing import Any

import pytest

from tests.firmware.board import fast
from tests.firmware.importer import load
from tests.micropython import run

traffic = load("sensors.traffic")
board = load("boards.esp32_devkit")
ConfigError = load("node.config").ConfigError


# settings ---------------------------------------------------------------------------------------------------------


def test_what_is_not_given_is_as_it_was() -> None:
    """Loops in two lanes."""
    found = traffic.check(board, {})
    assert (found["detector"], found["lanes"]) == ("loops", 2)
    assert traffic.check(board, {"detector": "radar", "line_m": 80})["line_m"] == 80
    assert [traffic.check(board, {"lanes": n})["lanes"] for n in (1, 4)] == [1, 4]


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"detector": "camera"}, "sensors.detector"),
        ({"detector": ["radar"]}, "sensors.detector"),
        ({"lanes": 0}, "sensors.lanes"),
        ({"lanes": 5}, "sensors.lanes"),
        ({"lanes": "2"}, "sensors.lanes"),
        ({"spacing_cm": 49}, "sensors.spacing_cm"),
        ({"loop_cm": 2.5}, "sensors.loop_cm"),
        ({"detector": "radar", "line_m": 9}, "sensors.line_m"),
        ({"detector": "radar", "line_m": 81}, "sensors.line_m"),
        ({"detector": "radar", "line_m": 31, "max_m": 50}, "sensors.line_m"),
        ({"detector": "radar", "max_m": 101}, "sensors.max_m"),
        ({"detector": "radar", "max_m": None}, "sensors.max_m"),
        ({"detector": "radar", "min_kmh": 0}, "sensors.min_kmh"),
        ({"detector": "radar", "direction": "left"}, "sensors.direction"),
        ({"detector": "radar", "forbidden": "both"}, "sensors.forbidden"),
        ({"detector": "radar", "forbidden": ["receding"]}, "sensors.forbidden"),
        ({"detector": "radar", "forbidden": "receding", "direction": "approaching"}, "sensors.forbidden"),
        ({"detector": "radar", "forbidden": "receding", "direction": "receding"}, "sensors.forbidden"),
        ({"line": 25}, "sensors.line"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_a_setting_that_cannot_be_is_named(given: dict[str, Any], key: str) -> None:
    """For the other detector's keys as well: they may be used tomorrow."""
    with pytest.raises(ConfigError, match=key.replace(".", r"\.")):
        traffic.check(board, given)


def test_a_board_without_a_radar() -> None:
    """It says so, before anything is switched on."""

    class Bare:
        LOOPS = ((32, 33),)

    assert traffic.check(Bare, {"lanes": 1})["lanes"] == 1
    with pytest.raises(ConfigError, match="radar"):
        traffic.check(Bare, {"lanes": 1, "detector": "radar"})


# loops ------------------------------------------------------------------------------------------------------------

LOOPS = """
import asyncio
import world as hardware
from boards import esp32_devkit as board
from chips.loop import LoopPair
from sensors import traffic
def every(gap_us, mm_s, mm):
    return lambda after: (((after - 2_000_000) // gap_us + 1) * gap_us + 2_000_000, mm_s, mm)
settings = {"lanes": 4}
SETTINGS
for pins, vehicles in zip(board.LOOPS, VEHICLES):
    pair = LoopPair(pins, every(*vehicles), start_us=world.now)
    for pin, level in pair.levels():
        hardware.line(pin).drive(level)
    hardware.attach_pins(pair)
sensor = traffic.build(board, settings, None)
async def life():
    for name, task in sensor.tasks:
        asyncio.create_task(task())
LIFE
asyncio.run(life())
"""


FOUR = "(6_000_000, 20_000, 4500), (1_000_000, 10_000, 2000), (10_000_000, 10_000, 18_000), (5_000_000, 5_000, 8000)"


def loops(folder: Path, life: str, vehicles: str = FOUR, settings: str = "") -> list[str]:
    program = LOOPS.replace("VEHICLES", f"({vehicles})").replace("LIFE", life).replace("SETTINGS", settings)
    # A whole minute: vehicles come 2 s after each whole gap.
    return run(fast(folder, int(time.time()) // 60 * 60 - 86_400) + program, folder)


def test_a_window_of_four_lanes(tmp_path: Path) -> None:
    """Volume, occupancy, speed and length classes of each."""
    rows = loops(
        tmp_path,
        """
    await asyncio.sleep_ms(60_000)
    sensor.close_window(60_000)
    await asyncio.sleep_ms(60_000)
    for reading in sensor.close_window(60_000):
        print(*reading)
""",
    )
    expected = [
        (10, 5.4, 72.0, "class_short"),
        (60, 40.0, 36.0, "class_motorcycle"),
        (6, 20.0, 36.0, "class_long"),
        (12, 40.0, 18.0, "class_medium"),
    ]
    assert len(rows) == 4 * 8
    values = {row.split()[0]: float(row.split()[2]) for row in rows}
    for n, (volume, occupancy, kmh, name) in enumerate(expected, 1):
        assert values[f"lane{n}/volume"] == volume
        assert values[f"lane{n}/occupancy"] == pytest.approx(occupancy, abs=0.1)
        assert values[f"lane{n}/speed"] == kmh
        classes = {key: value for key, value in values.items() if key.startswith(f"lane{n}/class")}
        assert {key: value for key, value in classes.items() if value} == {f"lane{n}/{name}": volume}
        assert values[f"lane{n}/wrong_way"] == 0
    assert [row.split()[1] for row in rows[:8]] == ["count", "%", "km/h"] + ["count"] * 5


def test_a_sample_takes_nothing_away(tmp_path: Path) -> None:
    """What the window has so far, and whether a vehicle is over the loop now; a speed that is not known is None."""
    first, over, free, window = loops(
        tmp_path,
        """
    print(sensor.sample()[:3])
    await asyncio.sleep_ms(20_500)
    print(sensor.sample()[16:20])
    await asyncio.sleep_ms(5_500)
    print(sensor.sample()[16:20])
    await asyncio.sleep_ms(34_000)
    print(sensor.close_window(60_000)[16:20])
""",
    )
    assert first == "[('lane1/volume', 'count', 0), ('lane1/occupancy', '%', 0.0), ('lane1/speed', 'km/h', None)]"
    assert "('lane3/volume', 'count', 2), ('lane3/occupancy', '%', 0.0), ('lane3/speed', 'km/h', 36.0)" in over
    assert "('lane3/volume', 'count', 3)" in free
    assert "('lane3/volume', 'count', 6)" in window


AGAINST = (
    "(20_000_000, -20_000, 4500), (30_000_000, -2_700, 4500), (20_000_000, 10_000, 4500), (60_000_000, -9_000, 12_000)"
)


def test_who_drives_against_a_lane(tmp_path: Path) -> None:
    """At 10 km/h and more, by interrupts: it is in the volume, not in speed and classes, and the next window is new."""
    *rows, sample = loops(
        tmp_path,
        """
    for _ in range(2):
        await asyncio.sleep_ms(60_000)
        for name, _, value in sensor.close_window(60_000):
            if value or "wrong_way" in name:
                print(name[4:], value)
    print(sensor.sample()[7])
""",
        AGAINST,
    )
    lanes = {
        1: {"volume": "3", "occupancy": "1.6", "wrong_way": "3"},
        2: {"volume": "2", "occupancy": "8.0", "wrong_way": "0"},
        3: {"volume": "3", "occupancy": "3.2", "speed": "36.0", "class_short": "3", "wrong_way": "0"},
        4: {"volume": "1", "occupancy": "2.6", "wrong_way": "1"},
    }
    once = [f"{lane}/{name} {value}" for lane, found in lanes.items() for name, value in found.items()]
    assert rows == once * 2
    assert sample == "('lane1/wrong_way', 'count', 0)"


def test_loops_far_apart_do_not_know_it(tmp_path: Path) -> None:
    """No car is over both at a time: the wrong way is absent, not 0."""
    rows = loops(
        tmp_path,
        """
    await asyncio.sleep_ms(60_000)
    print(*[value for name, _, value in sensor.close_window(60_000) if "wrong_way" in name])
""",
        AGAINST,
        "settings['spacing_cm'] = 451",
    )
    assert rows == ["None None None None"]


# radar ------------------------------------------------------------------------------------------------------------

RADAR = """
import asyncio
import time
import world as hardware
from boards import esp32_devkit as board
from chips.ld2451 import LD2451 as Chip, Lane
from chips.noise import Noise
from sensors import traffic
def ms():
    return world.now // 1000
def arrivals(gap_ms, seed):
    noise = Noise(seed)
    return lambda after: (after + 1000 * (gap_ms // 2 + noise.below(gap_ms)), 10_000 + noise.below(6_000), 4_500)
near, far = [Lane(arrivals(5_000, n), n == 1, 3.0 * n, 25.0, ms()) for n in (1, 2)]
chip = Chip(ms, lambda now: near(now) + far(now))
chip.drop, chip.ghosts = 100, 100
hardware.attach_uart(board.RADAR["tx"], board.RADAR["rx"], chip)
settings = {"detector": "radar"}
SETTINGS
sensor = traffic.build(board, settings, None)
def passed():
    found = near.passed, far.passed
    near.passed = far.passed = 0
    return found
async def window(rest=60_000):
    await asyncio.sleep_ms(rest)
    volumes = [value for name, unit, value in sensor.close_window(60_000) if unit == "count"]
    print(*passed(), *volumes)
async def keep():
    # As the supervisor does it.
    ((name, task),) = sensor.tasks
    wait = 1_000
    while True:
        try:
            await task()
        except OSError as error:
            print(name, "died:", error)
        await asyncio.sleep_ms(wait)
        wait = min(2 * wait, 8_000)
async def life():
    asyncio.create_task(keep())
LIFE
asyncio.run(life())
"""


def radar(folder: Path, life: str, settings: str = "") -> list[str]:
    program = RADAR.replace("SETTINGS", settings).replace("LIFE", life)
    return run(fast(folder, int(time.time()) - 86_400) + program, folder)


def windows(rows: list[str]) -> list[tuple[int | None, ...]]:
    """(really passed near, far, counted near, far) of each row."""
    return [tuple(None if word == "None" else int(word) for word in row.split()) for row in rows]


def test_windows_of_both_directions(tmp_path: Path) -> None:
    """Lane 1 approaches, lane 2 recedes; over ten minutes none is missed. No lengths, no occupancy: it sees neither."""
    *rows, readings = radar(
        tmp_path,
        """
    for _ in range(10):
        await window()
    await asyncio.sleep_ms(30_000)
    print(sensor.close_window(60_000))
""",
    )
    found = windows(rows)
    for near, far, counted_near, counted_far in found:
        assert abs(near - counted_near) <= 1, "one may be on the line"
        assert abs(far - counted_far) <= 1
    sums = [sum(column) for column in zip(*found, strict=True)]
    assert sums[0] > 90
    assert abs(sums[0] - sums[2]) <= 1
    assert abs(sums[1] - sums[3]) <= 1
    names = [(name, unit) for name, unit, _ in ast.literal_eval(readings)]
    assert names == [
        ("lane1/volume", "count"),
        ("lane1/speed", "km/h"),
        ("lane2/volume", "count"),
        ("lane2/speed", "km/h"),
    ]


def test_a_window_that_was_not_watched_has_no_volume(tmp_path: Path) -> None:
    """A dead radar: its task fails, is tried again until it is back, and what was not seen is None, never 0."""
    rows = radar(
        tmp_path,
        """
    await window()
    chip.dead = True
    await window()
    await window()
    print(sensor.sample()[0::2])
    await asyncio.sleep_ms(30_000)
    chip.dead = False
    await window(30_000)
    await window()
""",
    )
    deaths = [row for row in rows if row.startswith("radar died")]
    assert 2 <= len(deaths) <= 12
    assert all("the radar is silent" in row for row in deaths)
    assert "[('lane1/volume', 'count', None), ('lane2/volume', 'count', None)]" in rows
    found = windows([row for row in rows if row[0].isdigit()])
    assert [None in row for row in found] == [False, True, True, True, False]
    for row in (found[0], found[-1]):
        assert abs(row[0] - row[2]) <= 1
        assert abs(row[1] - row[3]) <= 1


def test_a_radar_that_repeats_itself_is_not_believed(tmp_path: Path) -> None:
    """The last report, over and over: within 10 s it is an error, and the volume is not known."""
    rows = radar(
        tmp_path,
        """
    await window()
    while not chip._last[6:]:
        await asyncio.sleep_ms(100)
    while len(chip._last) == 10:
        await asyncio.sleep_ms(100)
    chip.stuck = True
    await window()
    await window()
    await asyncio.sleep_ms(30_000)
    chip.stuck = False
    await window(30_000)
    await window()
""",
    )
    assert any("repeats itself" in row for row in rows)
    found = windows([row for row in rows if row[0].isdigit()])
    assert [None in row for row in found] == [False, True, True, True, False]


def test_a_quiet_radar_on_an_empty_road(tmp_path: Path) -> None:
    """It says nothing for 20 minutes, but answers: nothing passed, which is known. Its memory is written to once."""
    *rows, last = radar(
        tmp_path,
        """
    chip.quiet, chip.ghosts = True, 0
    chip._vehicles = lambda now: ()
    for _ in range(20):
        await window()
    print(chip.writes)
""",
    )
    assert set(windows(rows)) == {(0, 0, 0, 0)}
    assert last == "1"


def test_a_radar_that_was_changed_is_put_right(tmp_path: Path) -> None:
    """It was restarted by someone with other settings, and says nothing: it is asked, and told again."""
    assert radar(
        tmp_path,
        """
    chip.quiet, chip.ghosts = True, 0
    await asyncio.sleep_ms(1_000)
    chip._vehicles = lambda now: ()
    chip.detection = b"\\x14\\x00\\x70\\x05"
    await asyncio.sleep_ms(10_000)
    print(list(chip.detection))
""",
    ) == [str([100, 2, 5, 0])]


def test_a_busy_board_misses_nothing(tmp_path: Path) -> None:
    """The program stands still for two seconds at a time, as in a handshake: what waits in the buffer is in order."""
    found = windows(
        radar(
            tmp_path,
            """
    for _ in range(5):
        for _ in range(20):
            await asyncio.sleep_ms(1_000)
            time.sleep_ms(2_000)
        await window(0)
""",
        )
    )
    sums = [sum(column) for column in zip(*found, strict=True)]
    assert sums[0] > 45
    assert abs(sums[0] - sums[2]) <= 1
    assert abs(sums[1] - sums[3]) <= 1


@pytest.mark.parametrize(("direction", "lane"), [("approaching", 0), ("receding", 1)])
def test_one_direction(tmp_path: Path, direction: str, lane: int) -> None:
    """The other one's channel is absent: nobody looks there."""
    rows = radar(
        tmp_path,
        """
    for _ in range(3):
        await window()
    print(*[name for name, _, _ in sensor.sample()])
""",
        f"settings['direction'] = {direction!r}",
    )
    for *passed, counted in windows(rows[:-1]):
        assert abs(passed[lane] - counted) <= 1
    assert rows[-1] == f"lane{lane + 1}/volume lane{lane + 1}/speed"


@pytest.mark.parametrize(("forbidden", "lane"), [("approaching", 0), ("receding", 1)])
def test_a_forbidden_direction(tmp_path: Path, forbidden: str, lane: int) -> None:
    """Of a one-way street: its vehicles drive the wrong way; the other direction knows no wrong way."""
    rows = radar(
        tmp_path,
        """
    for _ in range(3):
        await asyncio.sleep_ms(60_000)
        print(*[value for name, _, value in sensor.close_window(60_000) if "volume" in name or "wrong" in name])
    print(*[name for name, _, _ in sensor.sample()])
    chip.dead = True
    await window()
    await window()
    print(*[value for name, _, value in sensor.sample() if "wrong" in name])
""",
        f"settings['forbidden'] = {forbidden!r}",
    )
    for row in windows(rows[:3]):
        volumes = [row[0], row[1 + (lane == 0)]]
        assert volumes[lane] == row[lane + 1] > 5
    names = [f"lane{n}/{name}" for n in (1, 2) for name in ("volume", "speed", "wrong_way")]
    names.remove(f"lane{2 - lane}/wrong_way")
    assert rows[3] == " ".join(names)
    assert rows[-1] == "None", "nobody looked"


def test_who_backs_up_does_not_drive_the_wrong_way(tmp_path: Path) -> None:
    """Below 10 km/h: counted, no more."""
    rows = radar(
        tmp_path,
        """
    chip._vehicles = far
    far._vehicles = lambda after: (after + 20_000_000, 2_300, 4_500)
    for _ in range(4):
        await asyncio.sleep_ms(60_000)
        print(*[value for name, _, value in sensor.close_window(60_000) if name in ("lane2/volume", "lane2/wrong_way")])
""",
        "settings['forbidden'] = 'receding'; chip.ghosts = 0",
    )
    found = windows(rows[2:])
    assert min(volume for volume, _ in found) >= 2
    assert {wrong for _, wrong in found} == {0}


def test_a_garbled_line(tmp_path: Path) -> None:
    """Every frame spoilt by one byte: nothing is counted that is none, and the task says what is wrong."""
    rows = radar(
        tmp_path,
        """
    await window()
    chip.garbled = True
    await window()
    await window()
""",
    )
    found = windows([row for row in rows if row[0].isdigit()])
    for near, far, counted_near, counted_far in found[1:]:
        assert counted_near is None or counted_near <= near
        assert counted_far is None or counted_far <= far
