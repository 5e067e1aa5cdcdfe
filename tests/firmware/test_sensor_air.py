"""The air station on MicroPython with its chips: what it tells, when it tells nothing, and what it never takes."""

import re
import time
from ast import literal_eval
from pathlib import Path
from typing import Any

import pytest

from tests.firmware.board import fast
from tests.firmware.importer import load
from tests.micropython import run

air = load("sensors.air")
ConfigError = load("node.config").ConfigError
ESP32 = load("boards.esp32_devkit")

FULL = {"particles": "sps30", "gas": True}
PARTICLES = ["pm1_0", "pm2_5", "pm10"]
CLIMATE = ["temperature", "pressure", "humidity"]
GAS = ["voc_index", "nox_index"]

STATION = """
import asyncio
import world as hardware
from world import world
from boards import esp32_devkit as board
from chips.bme280 import BME280
from chips.COUNTER import NAME as Counter
from chips.scd41 import SCD41
from chips.sgp41 import SGP41
dust, gas, co2, climate = [12.0, 31.0, 52.0], [1.0, 1.0], [612.0, 23.0, 50.0], [21.5, 101300, 55.0]
def ms():
    return world.now // 1000
bus = board.I2C["scl"], board.I2C["sda"]
pm, scd = Counter(ms, lambda: dust), SCD41(ms, lambda: co2)
bme, sgp = BME280(ms, lambda: climate), SGP41(ms, lambda: gas)
hardware.attach_uart(board.PARTICLES["tx"], board.PARTICLES["rx"], pm)
for chip in (scd, bme, sgp):
    hardware.attach_i2c(*bus, chip)
from sensors import air
station = air.build(board, SETTINGS, None)
begin = ms()
async def keep(name, start):
    # As the node's supervisor, but always a second later.
    while True:
        try:
            await start()
        except Exception as error:
            print(repr(("died", name, (ms() - begin) // 1000, type(error).__name__)))
        await asyncio.sleep_ms(1000)
def known(readings):
    return {name: value for name, unit, value in readings if value is not None}
async def until(s):
    await asyncio.sleep_ms(begin + s * 1000 - ms())
async def life():
    for name, start in station.tasks:
        asyncio.create_task(keep(name, start))
LIFE
asyncio.run(life())
"""


def lived(folder: Path, life: str, settings: Any = FULL) -> tuple[list[Any], list[Any]]:
    """A station's life: (chips whose tasks ended, as (name, seconds, error); what it prints, as values)."""
    name = settings.get("particles", "pms5003")
    program = STATION.replace("LIFE", life).replace("SETTINGS", repr(settings))
    program = program.replace("COUNTER", name).replace("NAME", name.upper())
    lines = run(fast(folder, int(time.time()) - 86_400) + program, folder, heap="600K")
    values = [literal_eval(line) for line in lines]
    died = [value for value in values if isinstance(value, tuple) and value[0] == "died"]
    return [value[1:] for value in died], [value for value in values if value not in died]


# settings ---------------------------------------------------------------------------------------------------------


def test_settings_are_completed() -> None:
    """The usual station has no gas sensor."""
    assert air.check(ESP32, {}) == {"particles": "pms5003", "co2": True, "climate": True, "gas": False}
    assert air.check(ESP32, {"particles": None, "gas": True}) == {
        "particles": None,
        "co2": True,
        "climate": True,
        "gas": True,
    }


@pytest.mark.parametrize(
    ("given", "message"),
    [
        *(
            ({"particles": each}, "sensors.particles must be one of pms5003, sps30, or null")
            for each in ("", "x", 1, [])
        ),
        *(
            ({key: each}, f"sensors.{key} must be true or false")
            for key in ("co2", "climate", "gas")
            for each in (None, 1, "true", {})
        ),
        ({"particels": "sps30"}, "unknown key sensors.particels"),
        ({"particles": None, "co2": False, "climate": False}, "sensors: of particles, co2, climate and gas"),
        ([], "sensors. must be an object"),
    ],
    ids=repr,
)
def test_what_is_wrong_is_named(given: Any, message: str) -> None:
    """With its key."""
    with pytest.raises(ConfigError, match=re.escape(message)):
        air.check(ESP32, given)


@pytest.mark.parametrize(
    ("settings", "drivers", "names"),
    [
        ({}, {"pms5003", "scd41", "bme280"}, [*PARTICLES, "co2", *CLIMATE]),
        ({"particles": "sps30", "co2": False}, {"sps30", "bme280"}, [*PARTICLES, *CLIMATE]),
        ({"particles": None, "climate": False}, {"scd41"}, ["co2"]),
        ({"particles": None, "climate": False, "co2": False, "gas": True}, {"sgp41", "gasindex"}, GAS),
        (FULL, {"sps30", "scd41", "bme280", "sgp41", "gasindex"}, [*PARTICLES, "co2", *CLIMATE, *GAS]),
    ],
)
def test_only_what_is_there_is_imported_and_told(
    tmp_path: Path, settings: dict[str, Any], drivers: set[str], names: list[str]
) -> None:
    """The heap is small; and what a station does not have is not in its packs."""
    program = f"""
import sys
from boards import esp32_devkit as board
from sensors import air
station = air.build(board, {settings!r}, None)
print([name[8:] for name in sys.modules if name.startswith("drivers.")])
print([name for name, unit, value in station.close_window(60_000)])
print([value for name, unit, value in station.sample()])
print([name for name, run in station.tasks])
print(station.on_event([]))
"""
    imported, told, values, tasks, event = (literal_eval(line) for line in run(program, tmp_path))
    assert set(imported) - {"sensirion"} == drivers
    assert told == names
    assert values == [None] * len(names)
    assert set(tasks) == drivers - {"gasindex"}
    assert event is None


# measuring --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("counter", ["pms5003", "sps30"])
def test_a_full_station_tells_its_surroundings(tmp_path: Path, counter: str) -> None:
    """Means of the window, newest values, nothing rejected; the climate reaches CO2 and gas; no pixel is damaged."""
    died, (window, newest, event, rejected, chips) = lived(
        tmp_path,
        """
    await until(540)
    station.close_window(60_000)
    await until(600)
    print(known(station.close_window(60_000)))
    print(known(station.sample()))
    gas[:] = [4.0, 1.0]
    await until(720)
    print(known(station.sample()))
    print(station.rejected)
    print((sgp.damaged, sgp.compensation, scd._settings[0xE000]))
""",
        {"particles": counter, "gas": True},
    )
    expected = {"pm1_0": 12, "pm2_5": 31, "pm10": 52, "co2": 612, "temperature": 21.5, "humidity": 55}
    expected |= {"pressure": 101_300, "voc_index": 100, "nox_index": 1}
    within = {"pm1_0": 1, "pm2_5": 1, "pm10": 1.5, "co2": 4, "pressure": 8, "voc_index": 6, "humidity": 0.5}
    for found in (window, newest):
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert found[name] == pytest.approx(value, abs=within.get(name, 0.2)), name
    assert died == []
    assert event["voc_index"] > 300
    assert event["nox_index"] == 1
    assert rejected == {counter: 0, "scd41": 0, "bme280": 0, "sgp41": 0}
    damaged, (humidity, cel), hectopascal = chips
    assert not damaged
    assert humidity / 65535 == pytest.approx(0.55, abs=0.01)
    assert cel / 65535 * 175 - 45 == pytest.approx(21.5, abs=0.3)
    assert hectopascal == pytest.approx(1013, abs=1)


@pytest.mark.parametrize("counter", ["pms5003", "sps30"])
def test_nothing_is_told_before_it_can_be_known(tmp_path: Path, counter: str) -> None:
    """Particles after 30 s, VOC after 8 + 45, NOx after 8 + 300; until then they are absent, from windows too."""
    moments = (25, 45, 52, 58, 300, 315)
    life = "".join(f"\n    await until({s})\n    print(sorted(known(station.sample())))" for s in moments)
    life += "\n    print(known(station.close_window(60_000))['pm2_5'])"
    _, (*names, pm2_5) = lived(tmp_path, life, {"particles": counter, "gas": True})
    quick = {"co2", *CLIMATE}
    absent = [{*PARTICLES, *GAS}, set(GAS), set(GAS), {"nox_index"}, {"nox_index"}, set()]
    for found, missing in zip(names, absent, strict=True):
        assert set(found) == quick | {*PARTICLES, *GAS} - missing
    assert pm2_5 == pytest.approx(31, abs=1), "the fan's first air is in the mean"


# faults -----------------------------------------------------------------------------------------------------------

OWN = {"pm": PARTICLES, "scd": ["co2"], "bme": CLIMATE, "sgp": GAS}
BACK = {"pms5003": 31, "sps30": 31, "scd": 5, "bme": 0, "sgp": 53}
"""Seconds from a new start until there can be values again."""


@pytest.mark.parametrize(
    ("chip", "counter"), [("pm", "pms5003"), ("pm", "sps30"), ("scd", "sps30"), ("bme", "sps30"), ("sgp", "sps30")]
)
def test_a_dead_chip_costs_its_own_readings_alone(tmp_path: Path, chip: str, counter: str) -> None:
    """Its task ends; half a minute later its values are no longer "now"; back they are after its whole warm-up."""
    died, (dead, early, back, window) = lived(
        tmp_path,
        f"""
    await until(400)
    {chip}.dead = True
    await until(450)
    station.close_window(60_000)
    print(sorted(known(station.sample())))
    {chip}.dead = False
    await until(450 + {max(BACK.get(chip, BACK[counter]) - 2, 0)})
    print(sorted(known(station.sample())))
    await until(830)
    print(sorted(known(station.sample())))
    print(known(station.close_window(60_000)))
""",
        {"particles": counter, "gas": True},
    )
    everything = {*PARTICLES, "co2", *CLIMATE, *GAS}
    name = {"pm": counter, "scd": "scd41", "bme": "bme280", "sgp": "sgp41"}[chip]
    assert {each[0] for each in died} == {name}
    assert 400 <= died[0][1] <= 415
    assert {each[2] for each in died} == {"OSError"}
    assert set(dead) == everything - {*OWN[chip]}
    assert set(early) == everything - {*OWN[chip]}, "before it was warm"
    assert set(back) == everything
    assert window["pm2_5"] == pytest.approx(31, abs=1.2)
    assert window["voc_index"] == pytest.approx(100, abs=8), "what was learnt of the place was lost"


@pytest.mark.parametrize(
    ("chip", "off"),
    [
        ("pm", "pm.receive(b'\\x7e\\x00\\xd3\\x00\\x2c\\x7e')"),
        ("scd", "scd.write(b'\\x3f\\x86')"),
    ],
)
def test_a_chip_that_forgot_to_measure_is_started_again(tmp_path: Path, chip: str, off: str) -> None:
    """One that lost its power alone is idle, and answers; without a new start it would be absent for ever."""
    died, (found,) = lived(
        tmp_path,
        f"""
    await until(100)
    {off}
    await until(250)
    print(known(station.sample()))
""",
    )
    assert [each[0] for each in died] == [{"pm": "sps30", "scd": "scd41"}[chip]]
    assert set(OWN[chip]) <= found.keys()


@pytest.mark.parametrize(
    ("counter", "chip", "impossible"),
    [
        ("pms5003", "pm", "pm.drift = 1000"),
        ("sps30", "pm", "dust[:] = [12.0, 31.0, 1100.0]"),
        ("sps30", "pm", "dust[:] = [1e30] * 3"),
        ("sps30", "scd", "scd.drift = 0"),
        ("sps30", "bme", "climate[0] = 95"),
        ("sps30", "bme", "climate[1] = 115_000"),
        ("sps30", "sgp", "gas[0] = 1e9"),
        ("sps30", "sgp", "gas[1] = 1e-9"),
        *(("sps30", chip, f"{chip}.bad_crc = True") for chip in ("pm", "scd", "sgp")),
        ("pms5003", "pm", "pm.bad_crc = True"),
    ],
)
def test_what_cannot_be_is_counted_and_never_taken(tmp_path: Path, counter: str, chip: str, impossible: str) -> None:
    """Out of the chip's range, absurd, or with a wrong check code: absent, and right again afterwards."""
    died, (before, during, counted, after) = lived(
        tmp_path,
        f"""
    await until(400)
    print(known(station.close_window(60_000)))
    {impossible}
    await until(406)
    station.close_window(60_000)
    await until(460)
    print(known(station.close_window(60_000)))
    print(station.rejected)
    dust[:], gas[:], co2[0], climate[:] = [12.0, 31.0, 52.0], [1.0, 1.0], 612.0, [21.5, 101300, 55.0]
    pm.bad_crc = scd.bad_crc = sgp.bad_crc = False
    pm.drift = scd.drift = 1
    await until(560)
    station.close_window(60_000)
    await until(900)
    print(known(station.close_window(60_000)))
""",
        {"particles": counter, "gas": True},
    )
    name = {"pm": counter, "scd": "scd41", "bme": "bme280", "sgp": "sgp41"}[chip]
    assert during.keys() == before.keys() - {*OWN[chip]}
    assert counted[name] >= 4
    assert all(count == 0 for other, count in counted.items() if other != name)
    assert {each[0] for each in died} <= {name}
    assert after.keys() == before.keys()
    for quantity in ("pm2_5", "co2", "temperature", "pressure", "voc_index"):
        assert after[quantity] == pytest.approx(before[quantity], rel=0.12), quantity


def test_a_noisy_line_costs_readings_and_never_tells_a_wrong_one(tmp_path: Path) -> None:
    """One bit in every third answer of the chips that have check codes is wrong, for ten minutes."""
    for counter in ("pms5003", "sps30"):
        died, ((lowest, highest), rejected) = lived(
            tmp_path,
            """
    from chips.noise import Noise
    noise = Noise(5)
    def noisy(real):
        def answer(n):
            data = real(n)
            if not data or noise.below(3):
                return data
            at = noise.below(len(data))
            return data[:at] + bytes((data[at] ^ 1 << noise.below(8),)) + data[at + 1:]
        return answer
    for chip in (scd, sgp):
        chip.read = noisy(chip.read)
    pm.transmit = noisy(pm.transmit)
    lowest, highest = {}, {}
    for _ in range(600):
        await asyncio.sleep_ms(1000)
        for name, value in known(station.sample()).items():
            lowest[name] = min(value, lowest.get(name, value))
            highest[name] = max(value, highest.get(name, value))
    print((lowest, highest))
    print(station.rejected)
""",
            {"particles": counter, "gas": True},
        )
        for name, low, high in (
            ("pm1_0", 9, 15),
            ("pm2_5", 27, 35),
            ("pm10", 47, 57),
            ("co2", 606, 618),
            ("voc_index", 60, 160),
            ("nox_index", 1, 2),
        ):
            assert low <= lowest[name] <= highest[name] <= high, name
        assert all(rejected[name] > 20 for name in (counter, "scd41", "sgp41"))
        assert {each[2] for each in died} <= {"OSError"}


def test_the_heap_of_a_full_station(tmp_path: Path, image: Path) -> None:
    """All four chips, compiled as on a board: 36 KiB of the 64-bit interpreter, whose objects are twice a board's."""
    program = f"""
import sys
sys.path.insert(0, {str(image)!r})
import gc
import machine, asyncio, struct
machine.I2C, machine.UART  # the emulation's
from boards import esp32_devkit as board
from node import config
gc.collect()
before = gc.mem_alloc()
from sensors import air
station = air.build(board, {FULL!r}, None)
gc.collect()
print(gc.mem_alloc() - before)
"""
    (line,) = run(program, tmp_path)
    assert int(line) < 36 * 1024
