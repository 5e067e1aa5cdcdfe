# A board on a bench: no city around it, but chips that always measure the same, and a console that a person may use.
#
# It begins as the ESP32 port does: mounts its flash and runs main.py from there. When that ends, or is interrupted, the
# REPL follows. What stands around it is told by `bench.json` (sim_hardware/bench/board.py).

import time  # noqa: I001 - first of all: asyncio binds its clock when `time` imports it, and only then

import json
import os
import sys

import flash
import names
import world as _world
from world import world

_POWER_ON = 1
_FLASH = "vfs.lfs2"


def on(cause, run_main):
    """Switch the board on in its folder, the current one; `cause` as `machine.reset_cause` will tell it."""
    world.folder = os.getcwd()
    world.reset_cause = cause
    names.learn()
    with open("bench.json") as f:
        bench = json.load(f)
    if cause == _POWER_ON:
        try:
            os.remove("rtc.bin")
        except OSError:
            pass  # there was none
    time.lose_rtc()  # no board on a bench has a battery
    world.link_up = bench["wifi"]
    flash.mount(_FLASH, bench["blocks"])
    _CHIPS[bench["kind"]](bench["pins"])
    try:
        print("rst:%d" % cause)  # who hears it may interrupt from now on (sim_hardware/bench/board.py): only here
        if run_main and "main.py" in os.listdir():
            with open("main.py") as f:
                exec(f.read(), {"__name__": "__main__"})  # a reset goes through: the process ends with its cause
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - whatever ended the program, the console is next
        sys.print_exception(error)
    _console()


def _console():
    os.putenv("MICROPYINSPECT", "1")


def _ms():
    return world.now // 1000


def _every(gap_us, mm_s, mm):
    return lambda after: ((after // gap_us + 1) * gap_us, mm_s, mm)


def _traffic(pins):
    from chips.loop import LoopPair

    for i, pair in enumerate(pins["LOOPS"][:2]):
        street = _every((4 + 3 * i) * 1_000_000, 13_889, 4_500)
        _world.attach_pins(LoopPair(pair, street, start_us=world.now))


def _water(pins):
    from chips.reed import ReedMeter

    flow = 3_600_000  # ml/h: a litre a second
    _world.attach_pins(ReedMeter(pins["REED"], lambda us: (flow, us + 60_000_000), start_us=world.now))


def _air(pins):
    from chips.bme280 import BME280
    from chips.pms5003 import PMS5003
    from chips.scd41 import SCD41

    bus = pins["I2C"]["scl"], pins["I2C"]["sda"]
    _world.attach_uart(pins["PARTICLES"]["tx"], pins["PARTICLES"]["rx"], PMS5003(_ms, lambda: (12.0, 31.0, 52.0)))
    _world.attach_i2c(*bus, SCD41(_ms, lambda: (612.0, 23.0, 50.0)))
    _world.attach_i2c(*bus, BME280(_ms, lambda: (21.5, 101_300, 55.0)))


_CHIPS = {"traffic": _traffic, "water": _water, "air": _air}
