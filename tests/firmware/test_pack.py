"""What a node writes is what the gateway reads: the same names, units, values and limits."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ingest.decode import MAX_BYTES, Bad, decode_packs
from gateway.quantities import KINDS, QUANTITIES
from gateway.records import Pack, Stream
from tests.firmware.board import fast
from tests.firmware.importer import load
from tests.firmware.nodes import BEGIN, CHIPS
from tests.micropython import run

writer = load("node.pack")

NOW = 1_795_430_400

Reading = tuple[str, str, float | bool | None]
"""(name, unit, value), as sensors give it."""


def decode(payload: bytes, kind: str, stream: Stream = "telemetry") -> list[Pack]:
    """All packs of a message, none of which is refused."""
    packs = []
    for found in decode_packs("riverside", f"{kind}-1", stream, payload, now=NOW, kind=kind):
        assert not isinstance(found, Bad), found.refused
        packs.append(found)
    return packs


def write(kind: str, *windows: list[Reading]) -> bytes:
    """A message of one pack a minute."""
    packs = [(3, 1234 + n, NOW - 60 * n, writer.body(each).encode()) for n, each in enumerate(windows)]
    return bytes(writer.message("riverside", f"{kind}-1", packs))


def test_the_contracts_example() -> None:
    """To the byte."""
    body = writer.body([("pm2_5", "ug/m3", 12.3), ("co2", "ppm", 455)]).encode()
    assert writer.message("riverside", "air-0007", [(3, 1234, 1795430400, body)]) == (
        b'[{"bn":"riverside/air-0007/","bt":1795430400,"n":"boot","v":3},{"n":"seq","v":1234},'
        b'{"n":"pm2_5","u":"ug/m3","v":12.3},{"n":"co2","u":"ppm","v":455}]'
    )


def test_several_packs_in_one_message() -> None:
    """To the byte: each begins with a new time and its numbers, also one that is empty; only the first has the name."""
    packs = [(3, 9, 1795430340, b'{"n":"co2","u":"ppm","v":455}'), (3, 10, 1795430400, b""), (4, 0, 1795430460, b"")]
    message = writer.message("riverside", "air-1", packs)
    assert message == (
        b'[{"bn":"riverside/air-1/","bt":1795430340,"n":"boot","v":3},{"n":"seq","v":9},{"n":"co2","u":"ppm","v":455}'
        b',{"bt":1795430400,"n":"boot","v":3},{"n":"seq","v":10}'
        b',{"bt":1795430460,"n":"boot","v":4},{"n":"seq","v":0}]'
    )
    found = [(each.boot, each.seq, each.time, len(each.readings)) for each in decode(message, "air")]
    assert found == [(3, 9, 1795430340, 1), (3, 10, 1795430400, 0), (4, 0, 1795430460, 0)]


def test_the_head_of_a_pack_is_no_longer_than_is_reckoned_with() -> None:
    """The outbox fills a message by it, and the gateway refuses one that is too long."""
    packs = [(2**31, 2**31, 4_102_444_799, b"{}")]
    assert len(writer.message("s" * 32, "n" * 32, packs)) <= 2 + writer.HEAD_MAX
    assert writer.MESSAGE_MAX == MAX_BYTES


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0"),
        (12.3, "12.3"),
        (101325.0, "101325"),
        (-45.0, "-45"),
        (1 / 3, "0.3333333"),
        (1_234_567, "1234567"),
        (4_000_000_001, "4000000001"),
        (0.1 + 0.2, "0.3"),
        (99.99999999, "100"),
        (True, "true"),
        (False, "false"),
    ],
)
def test_numbers_are_written_short_and_whole_numbers_whole(value: float, said: str) -> None:
    """A register has more digits than a float32; a float has no more than it."""
    assert writer.body([("x", "", value)]) == f'{{"n":"x","{"vb" if isinstance(value, bool) else "v"}":{said}}}'


def test_a_missing_value_is_absent_and_a_window_without_readings_is_still_a_pack() -> None:
    """A gap in `seq` must mean that a pack was lost, so an empty one is sent too."""
    (pack,) = decode(write("air", [("pm10", "ug/m3", None), ("co2", "ppm", 0)]), "air")
    assert [(reading.quantity, reading.value) for reading in pack.readings] == [("co2", 0)]
    assert (pack.boot, pack.seq, pack.time) == (3, 1234, NOW)
    (pack,) = decode(write("air", [("pm10", "ug/m3", None)]), "air")
    assert (pack.boot, pack.seq, pack.readings) == (3, 1234, ())


@st.composite
def _windows(draw: st.DrawFn) -> tuple[str, list[list[Reading]]]:
    """Any readings of a kind that the table of quantities allows, of one window and more."""
    kind = draw(st.sampled_from(KINDS))
    possible = [each for each in QUANTITIES if each.measurement == kind]
    windows: list[list[Reading]] = []
    for _ in range(draw(st.integers(1, 3))):
        found: list[Reading] = []
        for quantity in draw(st.lists(st.sampled_from(possible), unique=True, max_size=15)):
            name = f"lane2/{quantity.name}" if quantity.per_lane else quantity.name
            value = st.booleans() if quantity.flag else st.floats(quantity.low, quantity.high)
            found.append((name, quantity.unit, draw(st.none() | value)))
        windows.append(found)
    return kind, windows


@given(_windows())
def test_every_quantity_arrives_as_it_was_given(given_windows: tuple[str, list[list[Reading]]]) -> None:
    """Numbers, to the seven digits that a board has, and flags, with and without a lane, each in its own pack."""
    kind, windows = given_windows
    packs = decode(write(kind, *windows), kind)
    assert [(pack.boot, pack.seq, pack.time) for pack in packs] == [
        (3, 1234 + n, NOW - 60 * n) for n in range(len(windows))
    ]
    for pack, readings in zip(packs, windows, strict=True):
        assert pack.measurement == kind
        names = [f"{each.channel}/{each.quantity}".lstrip("/") for each in pack.readings]
        assert names == [name for name, _, value in readings if value is not None]
        expected = [float(value) for _, _, value in readings if value is not None]
        assert [each.value for each in pack.readings] == pytest.approx(expected, rel=6e-7)


SENSORS = """
import asyncio
from node.health import readings as health
from node.clock import Clock
from node.net import Wifi
from node.outbox import Outbox
from node.pack import body, message
from node.scratch import Scratch
from node.supervisor import Supervisor
import world as hardware
from boards import esp32_devkit as board

def ms():
    return world.now // 1000

CHIPS
async def window(sensor):
    for _, task in sensor.tasks:
        asyncio.create_task(task())
    await asyncio.sleep_ms(60_000)
    return sensor.close_window(60_000)

def told(found):
    print("readings", [list(reading) for reading in found])
    print("pack", str(message("riverside", "KIND-1", [(1, 0, 1_795_430_400, body(found).encode())]), "utf-8"))

class Node:
    outbox, wifi, clock, supervisor = Outbox(), Wifi("city", "key"), Clock(), Supervisor(print)

sensor = __import__("sensors.KIND", None, None, ("",)).build(board, GIVEN, Scratch())
told(asyncio.run(window(sensor)))
asyncio.run(Node.wifi.join())
Node.clock.error_ms, Node.clock.drift_ppm = -2_345, 20
told(health(Node))
"""


THERMOMETER = """
from chips.ds18b20 import DS18B20
import onewire
thermometer = DS18B20(ms, lambda: 8.5)
onewire.attach(board.ONEWIRE, lambda: thermometer)
"""
GIVEN = {"traffic": {}, "water": {"temperature": True}, "air": {}}


@pytest.mark.parametrize("kind", KINDS)
def test_each_sensors_readings_are_the_gateways_quantities(tmp_path: Path, image: Path, kind: str) -> None:
    """On MicroPython, one window with every chip alive: nothing absent, units as in the table, and room to spare."""
    program = (
        f"import sys\nsys.path.insert(0, {str(image)!r})\n"
        + fast(tmp_path, BEGIN)
        + SENSORS.replace("KIND", kind)
        .replace("CHIPS", CHIPS[kind] + (THERMOMETER if kind == "water" else ""))
        .replace("GIVEN", repr(GIVEN[kind]))
    )
    lines = [line.partition(" ")[2] for line in run(program, tmp_path)]
    streams: tuple[Stream, ...] = ("telemetry", "health")
    for stream, said, payload in zip(streams, lines[::2], lines[1::2], strict=True):
        measurement = "health" if stream == "health" else kind
        units = {each.name: each.unit for each in QUANTITIES if each.measurement == measurement}
        given_readings = json.loads(said.replace("'", '"').replace("None", "null"))
        assert len(payload) < MAX_BYTES // 2
        (pack,) = decode(payload.encode(), kind, stream)
        assert pack.measurement == measurement
        assert len(pack.readings) == len(given_readings)
        for reading, (name, unit, value) in zip(pack.readings, given_readings, strict=True):
            assert unit == units[reading.quantity]
            assert f"{reading.channel}/{reading.quantity}".lstrip("/") == name
            assert reading.value == pytest.approx(value, rel=6e-7)
