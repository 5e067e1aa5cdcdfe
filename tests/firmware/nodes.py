"""Whole nodes for the tests: the firmware's own `main.build`, with chips hung on the pins by hand."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from gateway.ingest.decode import decode_packs
from gateway.records import Pack, Stream
from tests.firmware.board import fast
from tests.firmware.peers import Heard, Subscriber

BEGIN = int(time.time()) // 3600 * 3600 - 86_400
"""A whole hour of yesterday."""

POWER_ON, HARD, WATCHDOG = 1, 2, 3
"""Causes of a reset, as `machine.reset_cause()` tells."""

SPEED = 300
"""A minute in a fifth of a second: the broker keeps up, and so does the outbox."""

CHIPS = {
    "traffic": """
from chips.loop import LoopPair
def every(gap_us, mm_s, mm):
    # Two seconds after each whole gap: never at the end of a window.
    return lambda after: (((after - 2_000_000) // gap_us + 1) * gap_us + 2_000_000, mm_s, mm)
for pins, vehicles in zip(board.LOOPS, (every(6_000_000, 13_889, 4_500), every(20_000_000, 10_000, 12_000))):
    pair = LoopPair(pins, vehicles, start_us=world.now)
    for pin, level in pair.levels():
        hardware.line(pin).drive(level)
    hardware.attach_pins(pair)
""",
    "water": """
from chips.reed import ReedMeter
hardware.line(board.REED).drive(1)
hardware.attach_pins(ReedMeter(board.REED, lambda us: (600_000, us + 60_000_000), start_us=world.now))
""",
    "air": """
from chips.bme280 import BME280
from chips.pms5003 import PMS5003
from chips.scd41 import SCD41
bus = board.I2C["scl"], board.I2C["sda"]
pms = PMS5003(ms, lambda: (12.0, 31.0, 52.0))
scd = SCD41(ms, lambda: (612.0, 23.0, 50.0))
bme = BME280(ms, lambda: (21.5, 101_300, 55.0))
hardware.attach_uart(board.PARTICLES["tx"], board.PARTICLES["rx"], pms)
hardware.attach_i2c(*bus, scd)
hardware.attach_i2c(*bus, bme)
""",
}

DETECTORS = """
class Detectors:
    def __init__(self, pins, late_us):
        self.pins = pins
        self.start = world.now + 1_000_000 + late_us
        self.n = 0
        self.edges = []
    def next_us(self):
        if not self.edges or self.n < VEHICLES and self.start + self.n * 300_000 <= self.edges[0][0]:
            if self.n == VEHICLES:
                return None
            at = self.start + self.n * 300_000
            self.n += 1
            for pin, after in zip(self.pins, (0, 160_000)):
                self.edges += [(at + after, pin, 0), (at + after + 180_000, pin, 1)]
            self.edges.sort()
        return self.edges[0][0]
    def fire(self):
        return self.edges.pop(0)[1:]
"""
"""Both loops of a lane for a program on a board, with `VEHICLES` put in. Each vehicle is 2.5 m long and goes at 25 m/s,
one each 300 ms, closer than anyone drives: 180 ms over a loop, 160 ms from one to the other."""

_NODE = """
import asyncio
import world as hardware
from boards import esp32_devkit as board
def ms():
    return world.now // 1000
CHIPS
import main
node = main.build()
print("boot", node.boot)
async def life():
    asyncio.create_task(node.run())
LIFE
asyncio.run(life())
print("end")
"""

FOREVER = "    await asyncio.sleep_ms(1 << 40)\n"
_WITHOUT_A_CLOCK = "time.lose_rtc()\nfrom world import world\n"


def node_program(folder: Path, kind: str, begin: int | None = BEGIN, life: str = FOREVER, cause: int = POWER_ON) -> str:
    """A node that is switched on at `begin` and lives fast; None: in the present, and does not know the time.

    `life` is the body of a coroutine that runs beside it, and ends it; `cause` is what the chip says of its reset.
    """
    head = _WITHOUT_A_CLOCK if begin is None else fast(folder, begin, SPEED)
    head += f"world.reset_cause = {cause}\n"
    return head + _NODE.replace("CHIPS", CHIPS[kind]).replace("LIFE", life)


def until_acknowledged(packs: int) -> str:
    """The life of a node until its broker has so many packs."""
    return f"""
    while node.outbox.acked < {packs}:
        await asyncio.sleep_ms(500)
    print("dropped", node.outbox.dropped)
"""


def split(heard: Heard) -> list[Pack]:
    """The packs of a node's message, as the gateway takes them: several, when many waited for the connection."""
    _, _, site, node, stream = heard.topic.split("/")
    assert stream in ("telemetry", "event", "health")
    found = decode_packs(site, node, cast(Stream, stream), heard.payload, now=time.time(), kind=node.partition("-")[0])
    assert all(isinstance(pack, Pack) for pack in found), found
    return cast(list[Pack], found)


def decoded(heard: Heard) -> Pack:
    """The only pack of a node's message."""
    (pack,) = split(heard)
    return pack


def packs(subscriber: Subscriber, stream: str) -> Iterator[Pack]:
    """A node's packs of one stream as they come."""
    while True:
        heard = subscriber.next()
        if heard.topic.endswith(f"/{stream}"):
            yield from split(heard)


def values(pack: Pack) -> dict[str, float]:
    """By the name in the pack."""
    return {f"{each.channel}/{each.quantity}".lstrip("/"): each.value for each in pack.readings}
