"""What all chips have in common: how they are broken, that they run on MicroPython, and that they cost it little."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sim_hardware.chips.bme280 import BME280
from sim_hardware.chips.ds18b20 import DS18B20
from sim_hardware.chips.ld2451 import LD2451
from sim_hardware.chips.pms5003 import PMS5003
from sim_hardware.chips.scd41 import SCD41
from sim_hardware.chips.scd41_service import ServicedSCD41
from sim_hardware.chips.sgp41 import SGP41
from sim_hardware.chips.sps30 import SPS30
from sim_hardware.chips.sps30_i2c import SPS30OnI2C
from tests.sim_hardware.clock import Clock
from tests.sim_hardware.program import printed

CHIPS: list[Callable[..., Any]] = [
    *(BME280, DS18B20, LD2451, PMS5003, SCD41, ServicedSCD41, SGP41, SPS30, SPS30OnI2C),
]


@pytest.mark.parametrize("kind", CHIPS)
def test_each_is_broken_in_the_same_ways(kind: Callable[..., Any]) -> None:
    """So that whoever sets faults need not know which chip it is."""
    chip = kind(Clock(), lambda *_: ())
    assert (chip.drift, chip.stuck, chip.dead) == (1.0, False, False)


PROGRAM = """
import gc
from chips.bme280 import BME280
from chips.pms5003 import PMS5003
from chips.scd41 import SCD41

now = 0
clock = lambda: now
pms, scd, bme = PMS5003(clock, lambda: DUST), SCD41(clock, lambda: GAS), BME280(clock, lambda: CLIMATE)
DUST, GAS, CLIMATE = (12.0, 31.0, 52.0), (612.0, 21.5, 55.0), (21.5, 101300, 55.0)
now = 60_000
scd.write(b"\\x21\\xb1")


def particles():
    pms.transmit(now)


def carbon():
    global now
    scd.write(b"\\xec\\x05")
    now += 1
    scd.read(9)
    now -= 1


def climate():
    global now
    bme.write(b"\\xf2\\x01")
    bme.write(b"\\xf4\\x25")
    now += 10
    bme.write(b"\\xf7")
    bme.read(8)
    now -= 10


for read in (particles, carbon, climate):
    for _ in range(3):
        now += 5_000
        read()
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    for _ in range(10):
        now += 5_000
        read()
    print((gc.mem_alloc() - before) // 10)
    gc.enable()
"""


def test_a_reading_takes_little_of_the_heap(tmp_path: Path) -> None:
    """Bytes that are garbage afterwards: what is thrown away must be collected, ten thousand boards over."""
    particles, carbon, climate = printed(PROGRAM, tmp_path)
    assert particles <= 512
    assert carbon <= 1_024
    assert climate <= 3_500


def test_what_boards_do_not_load_runs_on_them_as_well(tmp_path: Path) -> None:
    """The same chip answers alike on both interpreters."""
    program = """
now = 0
from chips.scd41_service import ServicedSCD41
from chips.sps30_i2c import SPS30OnI2C

found = []
scd = ServicedSCD41(lambda: now, lambda: (500.0, 21.0, 50.0))
for command, ms, size in (("", 30, 0), ("202f", 1, 3), ("3682", 1, 9), ("21b1", 200_000, 0), ("ec05", 1, 9),
                          ("3f86", 500, 0), ("362f01a44d", 400, 3), ("3639", 10_000, 3)):
    if command:
        scd.write(bytes.fromhex(command))
    now += ms
    if size:
        found.append(scd.read(size))
sps = SPS30OnI2C(lambda: now, lambda: (5.0, 10.0, 20.0))
for command, ms, size in (("00100300ac", 30_000, 0), ("0202", 0, 3), ("0300", 0, 60), ("d002", 0, 12), ("d033", 0, 48)):
    sps.write(bytes.fromhex(command))
    now += ms
    if size:
        found.append(sps.read(size))
"""
    here: dict[str, Any] = {}
    exec(program.replace("from chips", "from sim_hardware.chips"), here)
    assert len(here["found"]) == 9
    assert printed(program + "print(found)\n", tmp_path) == [here["found"]]
