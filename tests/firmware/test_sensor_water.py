"""The water meter: what a window's pulses and samples come to, and what the whole sensor tells on an emulated board."""

import json
import struct
import time
from ast import literal_eval
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.firmware.board import Board, fast
from tests.firmware.importer import load, ticks_add
from tests.micropython import run

water = load("sensors.water")
Flow = load("sensors.meter").Flow
Mean = load("sensors.mean").Mean
ConfigError = load("node.config").ConfigError

WRAP = 1 << 30
MINUTE = 60_000


@pytest.mark.parametrize(
    ("litres", "pulses_at", "expected"),
    [
        (1, [], (0, 0.0, 0.0)),
        (1, [10_000, 20_000, 30_000, 40_000, 50_000, 60_000], (6, 360.0, 360.0)),
        (10, [10_000, 20_000, 30_000, 40_000, 50_000, 60_000], (6, 3600.0, 3600.0)),
        (1, [5_000, 10_000, 15_000], (3, 180.0, 80.0)),
        (1, [30_000], (1, 60.0, 60.0)),
        (100, [59_999], (1, 6000.0, 6000.0)),
    ],
    ids=["dry", "steady", "ten litres a pulse", "stopped", "one", "at the end"],
)
def test_a_first_window(litres: int, pulses_at: list[int], expected: tuple[int, float, float]) -> None:
    """(pulses, mean, least): the least is over the longest wait, which may still go on at the end."""
    flow = Flow(litres, 0)
    for at in pulses_at:
        flow.pulse(at)
    assert flow.close(MINUTE, MINUTE) == expected


@pytest.mark.parametrize("start", [0, WRAP - 90_000])
def test_a_slow_leak_is_least_flow_over_many_windows(start: int) -> None:
    """One pulse each ten minutes: the mean jumps between 0 and 60 l/h, the least is never above the 6 l/h that run."""
    flow = Flow(1, start)
    for minute in range(1, 61):
        if minute % 10 == 0:
            flow.pulse(ticks_add(start, minute * MINUTE - 1000))
        pulses, mean, least = flow.close(MINUTE, ticks_add(start, minute * MINUTE))
        assert (pulses, mean) == ((1, 60.0) if minute % 10 == 0 else (0, 0.0))
        assert least == 0.0 if not pulses else 5.9 < least < 6.2


def test_a_long_wait_is_of_its_own_window() -> None:
    """One slow minute does not hold the least flow of all that follow."""
    flow = Flow(1, 0)
    assert flow.close(MINUTE, MINUTE) == (0, 0.0, 0.0)
    found = []
    for window in (1, 2):
        for at in range(5_000, MINUTE + 1, 5_000):
            flow.pulse(window * MINUTE + at)
        found.append(flow.close(MINUTE, (window + 1) * MINUTE))
    assert found == [(12, 720.0, 55.4), (12, 720.0, 720.0)], "the first wait of the first lasted 65 s"


@pytest.mark.parametrize("days", [2, 7, 13, 40])
def test_a_holiday_is_longer_than_ticks_can_tell(days: int) -> None:
    """`wait` keeps the time since the last pulse at a day: the flow after it is that of one pulse a day."""
    flow = Flow(1, 0)
    flow.pulse(1000)
    now = 0
    for _ in range(days * 24):
        now = ticks_add(now, 3_600_000)
        flow.wait(now)
        flow.close(3_600_000, now)
    flow.pulse(now)
    assert flow.close(MINUTE, now)[2] == pytest.approx(1 / 24, abs=0.06)


@given(
    st.lists(st.lists(st.integers(0, MINUTE - 1), max_size=30).map(sorted), min_size=1, max_size=5),
    st.sampled_from([0, WRAP - 100_000]),
)
def test_no_pulse_is_lost_or_counted_twice_between_windows(windows: list[list[int]], start: int) -> None:
    """Each window has its own; the least flow is never above the mean, and neither is below zero."""
    flow = Flow(1, start)
    for i, pulses_at in enumerate(windows):
        for at in pulses_at:
            flow.pulse(ticks_add(start, i * MINUTE + at))
        pulses, mean, least = flow.close(MINUTE, ticks_add(start, (i + 1) * MINUTE))
        assert pulses == len(pulses_at)
        assert mean == pulses * 60
        assert 0 <= least <= mean


def test_a_mean_is_of_what_came_since_the_last() -> None:
    """Rounded as asked; None when nothing came, never 0."""
    mean = Mean()
    assert mean.take(1) is None
    for value in (1, 2, 2):
        mean.add(value)
    assert mean.take(2) == 1.67
    assert mean.take(2) is None
    mean.add(-0.25)
    assert mean.take(3) == -0.25


def test_the_flow_of_the_moment() -> None:
    """Unknown before two pulses; that between the last two; less while the next one is late."""
    flow = Flow(10, 0)
    assert flow.rate(5_000) is None
    flow.pulse(10_000)
    assert flow.rate(12_000) is None
    flow.pulse(22_000)
    assert flow.rate(22_001) == flow.rate(34_000) == 3000.0
    assert flow.rate(46_000) == 1500.0
    assert flow.close(MINUTE, MINUTE)[0] == 2, "asking changes nothing"


# settings ---------------------------------------------------------------------------------------------------------

PINS = SimpleNamespace(REED=27, REED_B=14, ONEWIRE=4, TAMPER=13)


@pytest.mark.parametrize(
    ("given_settings", "key"),
    [
        ({"litres_per_pulse": 5}, "litres_per_pulse"),
        ({"reeds": 3}, "reeds"),
        ({"reeds": "two"}, "reeds"),
        ({"reeds": 1.0}, "reeds"),
        ({"temperature": 1}, "temperature"),
        ({"tamper": "yes"}, "tamper"),
        ({"reed": 2}, "reed"),
    ],
)
def test_a_setting_that_cannot_be_is_named(given_settings: dict[str, object], key: str) -> None:
    with pytest.raises(ConfigError, match=rf"sensors\.{key}\b"):
        water.check(PINS, given_settings)


@pytest.mark.parametrize("wanted", [{"reeds": 2}, {"temperature": True}, {"tamper": True}])
def test_a_board_without_the_pin_is_told_before_it_begins(wanted: dict[str, object]) -> None:
    """And has no need of it otherwise."""
    bare = SimpleNamespace(REED=27)
    assert water.check(bare, {})["reeds"] == 1
    with pytest.raises(ConfigError, match=next(iter(wanted))):
        water.check(bare, wanted)
    assert water.check(PINS, wanted) == {**water.DEFAULTS, **wanted}


# on a board -------------------------------------------------------------------------------------------------------

BEGIN = int(time.time()) // 60 * 60 - 86_400

SENSOR = """
import asyncio
import time
import world as hardware
from boards import esp32_devkit as board
from chips.reed import ReedMeter
from node.scratch import Scratch
from sensors import water
begin = world.now
pipe = hardware.line

def attach(meter):
    for pin, level in meter.levels():
        pipe(pin).drive(level)
    hardware.attach_pins(meter)
    return meter

def switch_on(**settings):
    global sensor
    sensor = water.build(board, settings, Scratch())
    sensor.on_event = lambda readings: [print("event", repr(each)) for each in readings]

async def keep(name, task):
    while True:
        try:
            await task()
        except Exception as error:
            print("died", repr((name, repr(error))))
        await asyncio.sleep_ms(1000)

def live(seconds):
    "All tasks for so long, kept alive as by the node's supervisor."
    async def life():
        for name, task in sensor.tasks:
            asyncio.create_task(keep(name, task))
        await asyncio.sleep_ms(1000 * seconds)
    asyncio.run(life())
    asyncio.new_event_loop()

def tell(readings):
    print("readings", repr({name: (unit, value) for name, unit, value in readings}))
"""


def on_a_board(folder: Path, program: str, begin: int = BEGIN) -> list[tuple[str, Any]]:
    """What a program with a `sensor` said: (events, readings and deaths; their value) in order."""
    said = []
    for line in run(fast(folder, begin) + SENSOR + program, folder):
        word, _, rest = line.partition(" ")
        said.append((word, literal_eval(rest)))
    return said


def test_one_reed_tells_volume_and_flow_alone(tmp_path: Path) -> None:
    """As ever: nothing of a way back or of a temperature, and no event."""
    said = on_a_board(
        tmp_path,
        """
attach(ReedMeter(27, lambda us: (600_000, us + 60_000_000), start_us=begin))
switch_on()
live(60)
tell(sensor.close_window(60_000))
tell(sensor.sample())
""",
    )
    assert said == [
        (
            "readings",
            {"volume": ("l", 10), "flow": ("l/h", 600.0), "flow_min": ("l/h", pytest.approx(600, rel=0.01))}
            | {"temperature": ("Cel", None)},
        ),
        (
            "readings",
            {"volume": ("l", 10), "flow": ("l/h", 600.0), "flow_min": ("l/h", None), "temperature": ("Cel", None)},
        ),
    ]


def test_water_that_runs_backwards_is_told_and_counted_apart(tmp_path: Path) -> None:
    """Two reeds: one event for its beginning and one for its end; registers only grow; flow is what runs forwards."""
    said = on_a_board(
        tmp_path,
        """
def flow(us):
    minute = (us - begin) // 60_000_000
    return (-600_000 if 2 <= minute < 5 else 600_000), begin + (minute + 1) * 60_000_000
meter = attach(ReedMeter(27, flow, 10_000, start_us=begin, second=14))
switch_on(reeds=2, litres_per_pulse=10)
for _ in range(8):
    live(60)
    tell(sensor.close_window(60_000))
    print("turns", (meter.forward, meter.backward))
""",
    )
    events = [(at, value) for at, (word, value) in enumerate(said) if word == "event"]
    assert [value for _, value in events] == [("reverse_flow", "", True), ("reverse_flow", "", False)]
    windows = [value for word, value in said if word == "readings"]
    turns = [value for word, value in said if word == "turns"]
    assert [(w["volume"][1], w["reverse_volume"][1]) for w in windows] == [(10 * f, 10 * b) for f, b in turns]
    assert turns[1] == (2, 0)
    assert turns[4] == (2, 2), "thirty litres, of which the first turn only comes back to the mark"
    assert turns[7][0] >= 4
    assert [w["flow"][1] for w in windows[2:5]] == [0.0, 0.0, 0.0]


def test_a_way_back_is_told_again_after_a_reset_and_its_end_over_one(tmp_path: Path) -> None:
    """What is on is told by each boot that sees it; an end that falls into the reset is not missed."""

    def life(number: int, ml_h: int) -> list[Any]:
        program = metered(2, (ml_h,), 1 << 40) + "live(50)\n"
        return [value for _, value in on_a_board(tmp_path, program, BEGIN + 60 * number)]

    forwards, backwards = ("reverse_flow", "", False), ("reverse_flow", "", True)
    assert life(0, 600_000) == [], "forwards is what is expected"
    assert life(1, -600_000) == [backwards]
    assert life(2, -600_000) == [backwards]
    assert life(3, 600_000) == [backwards, forwards], "the last that was known, and then what is"
    assert life(4, 600_000) == []


THERMOMETER = """
from chips.ds18b20 import DS18B20
import onewire
cel = 12.0
chip = DS18B20(lambda: world.now // 1000, lambda: cel)
onewire.attach(4, lambda: chip)
attach(ReedMeter(27, lambda us: None, start_us=begin))
"""


def test_a_thermometer_tells_the_mean_and_frost(tmp_path: Path) -> None:
    """Frost begins at 3 °C and ends above 4 °C; between them nothing changes."""
    said = on_a_board(
        tmp_path,
        THERMOMETER
        + """
switch_on(temperature=True)
for cel in (12.0, 4.4, 3.5, 2.5, 3.5, 2.5, 3.5, 4.6, 3.5, -15.0):
    live(60)
    tell([each for each in sensor.close_window(60_000) if each[0] == "temperature"])
tell([each for each in sensor.sample() if each[0] == "temperature"])
""",
    )
    temperatures = [value["temperature"] for word, value in said if word == "readings"]
    assert [unit for unit, _ in temperatures] == ["Cel"] * 11
    wanted = [12.0, 4.4, 3.5, 2.5, 3.5, 2.5, 3.5, 4.6, 3.5, -15.0, -15.0]
    assert [cel for _, cel in temperatures] == pytest.approx(wanted, abs=0.2)
    order = [word if word == "readings" else value[2] for word, value in said]
    assert (
        order == ["readings"] * 3 + [True] + ["readings"] * 4 + [False] + ["readings"] * 2 + [True] + ["readings"] * 2
    )


def test_what_is_no_temperature_is_not_handed_on(tmp_path: Path) -> None:
    """Garbled answers are refused, and reported when they go on; absence is; so is what no pit can have."""
    said = on_a_board(
        tmp_path,
        THERMOMETER
        + """
def last(seconds):
    live(seconds)
    tell([each for each in sensor.close_window(60_000) + sensor.sample() if each[0] == "temperature"])
switch_on(temperature=True)
last(30)
chip.bad_crc = True
last(30)
last(90)
chip.bad_crc = False
last(30)
chip.dead = True
last(30)
chip.dead = False
last(30)
cel = -52.0
last(30)
print("refused", sensor.refused)
""",
    )
    deaths = [value for word, value in said if word == "died"]
    assert [name for name, _ in deaths][:1] == ["ds18b20"]
    assert "check byte" in deaths[0][1]
    assert all("no thermometer" in text for _, text in deaths[1:]), deaths
    assert len(deaths) > 2
    readings = [value["temperature"][1] for word, value in said if word == "readings"]
    assert readings[1:3] == [None, None]
    assert readings[4] is readings[6] is None
    assert [readings[i] for i in (0, 3, 5)] == pytest.approx([12.0] * 3, abs=0.2)
    assert not [value for word, value in said if word == "event"], "none of it is frost"
    assert said[-1][1] > 6


def test_a_lid_that_is_opened_is_told_and_that_it_is_shut(tmp_path: Path) -> None:
    """Also when it was open for half a second; not when it rattles. Over resets what is open is told again."""
    lid = """
attach(ReedMeter(27, lambda us: None, start_us=begin))
lid = pipe(13)
class Lid:
    moves = MOVES
    def next_us(self):
        return begin + self.moves[0][0] * 1000 if self.moves else None
    def fire(self):
        return 13, self.moves.pop(0)[1]
hardware.attach_pins(Lid())
lid.drive(START)
switch_on(tamper=True)
live(30)
"""

    def life(number: int, start: int, moves: list[tuple[int, int]]) -> list[Any]:
        program = lid.replace("MOVES", str(moves)).replace("START", str(start))
        return [value for _, value in on_a_board(tmp_path, program, BEGIN + 60 * number)]

    opened, shut = ("tamper", "", True), ("tamper", "", False)
    assert life(0, 0, []) == []
    assert life(1, 0, [(5_100, 1), (5_140, 0), (7_000, 1), (7_060, 0)]) == [], "it rattles"
    assert life(2, 0, [(5_100, 1), (5_600, 0)]) == [opened, shut]
    assert life(3, 0, [(5_100, 1)]) == [opened]
    assert life(4, 1, []) == [opened], "it is still open"
    assert life(5, 0, []) == [shut], "it was shut while nobody looked"
    assert life(6, 1, [(9_000, 0), (9_001, 1), (9_002, 0)]) == [opened, shut], "it was opened while nobody looked"


# over resets and losses of power ----------------------------------------------------------------------------------

METER = """
import struct
def keep_wheels(*state):
    file.seek(0)
    file.write(struct.pack("<qqqqq", *state))
try:
    file = open("meter.bin", "r+b")
    state = struct.unpack("<qqqqq", file.read(40))
except OSError:
    file, state = open("meter.bin", "w+b"), None
stop = STOP
def flow(us):
    minute = us // 60_000_000
    return None if us >= stop else (FLOWS[minute % len(FLOWS)], min((minute + 1) * 60_000_000, stop))
meter = attach(ReedMeter(27, flow, start_us=begin, second=14, state=state, keep=keep_wheels))
switch_on(reeds=REEDS)
"""


def metered(reeds: int, flows: tuple[int, ...], stop: int) -> str:
    words = {"REEDS": reeds, "FLOWS": flows, "STOP": stop * 1_000_000}
    program = METER
    for word, value in words.items():
        program = program.replace(word, str(value))
    return program


def wheels(folder: Path) -> tuple[int, int, int]:
    """(Unix seconds of the last edge, turns forward, turns backward)."""
    us, _, _, forward, backward = struct.unpack("<qqqqq", (folder / "meter.bin").read_bytes())
    return us // 1_000_000, forward, backward


@pytest.mark.parametrize(("reeds", "flows"), [(1, (300_000,)), (2, (300_000, 300_000, -300_000))])
def test_a_board_that_is_killed_again_and_again_counts_every_turn(
    tmp_path: Path, reeds: int, flows: tuple[int, ...]
) -> None:
    """Killed as by a watchdog, a dozen times at any moment; a second or two later it is back."""
    random = Random(7)
    begin = BEGIN
    for _ in range(12):
        life = fast(tmp_path, begin, 600) + SENSOR + metered(reeds, flows, 1 << 40) + "print('on')\n"
        with Board(life + "while True:\n    live(60)\n    sensor.close_window(60_000)\n", tmp_path) as board:
            board.line("on")
            time.sleep(random.uniform(0.05, 0.25))
        begin = wheels(tmp_path)[0] + 2
    said = on_a_board(
        tmp_path,
        metered(reeds, flows, begin + 20)
        + """
live(60)
print("counted", (sensor._register.forward, sensor._register.reverse))
print("turns", (meter.forward, meter.backward))
""",
        begin,
    )
    (counted,) = (value for word, value in said if word == "counted")
    (turns,) = (value for word, value in said if word == "turns")
    assert counted == turns
    assert turns[0] > 10
    assert (turns[1] > 0) == (reeds == 2)
    assert "register_restored" not in str(said), "RTC memory was there all the time"


def test_the_very_first_pulse_may_fall_into_a_reset(tmp_path: Path) -> None:
    """A new board knows its contact from the beginning: open, and after the reset closed, is a pulse."""
    said = []
    for number, level in enumerate((1, 0, 0)):
        life = f"pipe(27).drive({level})\nswitch_on()\nlive(3)\ntell(sensor.sample())\n"
        said += on_a_board(tmp_path, life, BEGIN + 60 * number)
    assert [value["volume"][1] for _, value in said] == [0, 1, 1]


def test_after_a_loss_of_power_the_last_window_stands_and_that_is_told_once(tmp_path: Path) -> None:
    """Ninety seconds with a window after sixty: thirty are missing. A new board tells nothing of the kind."""
    program = metered(1, (600_000,), 1 << 40)
    life = program + "live(60)\ntell(sensor.close_window(60_000))\nlive(30)\ntell(sensor.sample())\n"
    said = on_a_board(tmp_path, life)
    assert [(word, value["volume"][1]) for word, value in said] == [("readings", 10), ("readings", 15)]
    (tmp_path / "rtc.bin").unlink()
    (tmp_path / "meter.bin").unlink()
    said = on_a_board(tmp_path, program + "live(1)\ntell(sensor.sample())\n", BEGIN + 600)
    assert said[0] == ("event", ("register_restored", "", True))
    assert [value["volume"][1] for word, value in said if word == "readings"] == [10]
    (tmp_path / "meter.bin").unlink()
    said = on_a_board(tmp_path, program + "live(60)\ntell(sensor.sample())\n", BEGIN + 1200)
    assert [word for word, _ in said] == ["readings"]


def test_that_a_register_was_restored_is_told_by_the_boot_after_if_need_be(tmp_path: Path) -> None:
    """The board falls before anybody was told."""
    (tmp_path / "nvs-meter.json").write_text(json.dumps({"pulses": 40}))
    program = metered(1, (1,), 1 << 40)
    assert on_a_board(tmp_path, program) == []
    assert on_a_board(tmp_path, program + "live(1)\n") == [("event", ("register_restored", "", True))]
    assert on_a_board(tmp_path, program + "live(1)\n") == []


def test_a_flash_that_refuses_costs_no_window_and_is_heard_of(tmp_path: Path) -> None:
    """The readings are there, the task dies aloud, and a later checkpoint has it all."""
    said = on_a_board(
        tmp_path,
        metered(1, (600_000,), 1 << 40)
        + """
import esp32
commit = esp32.NVS.commit
def refuse(self):
    raise OSError(-4357)
esp32.NVS.commit = refuse
live(61)
tell(sensor.close_window(60_000))
live(61)
esp32.NVS.commit = commit
live(61)
print("kept", open("nvs-meter.json").read())
""",
    )
    assert [word for word, _ in said] == ["died", "readings", "died", "kept"]
    assert said[1][1]["volume"] == ("l", 10)
    assert said[0][1] == said[2][1] == ("register", "OSError(-4357,)")
    assert said[3][1]["pulses"] == pytest.approx(30, abs=1)
