"""What a node writes is what the gateway reads: the same names, units, values and limits."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.decode import MAX_BYTES, decode_pack
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


def decode(payload: bytes, kind: str, stream: Stream = "telemetry") -> Pack:
    return decode_pack("riverside", f"{kind}-1", stream, payload, now=NOW, kind=kind)


def write(kind: str, readings: list[Reading], boot: int = 3, seq: int = 1234) -> bytes:
    return bytes(writer.pack("riverside", f"{kind}-1", NOW, boot, seq, writer.body(readings)))


def test_the_contracts_example() -> None:
    """To the byte."""
    assert writer.pack(
        *("riverside", "air-0007", 1795430400, 3, 1234),
        writer.body([("pm2_5", "ug/m3", 12.3), ("co2", "ppm", 455)]),
    ) == (
        b'[{"bn":"riverside/air-0007/","bt":1795430400,"n":"boot","v":3},{"n":"seq","v":1234},'
        b'{"n":"pm2_5","u":"ug/m3","v":12.3},{"n":"co2","u":"ppm","v":455}]'
    )


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
    pack = decode(write("air", [("pm10", "ug/m3", None), ("co2", "ppm", 0)]), "air")
    assert [(reading.quantity, reading.value) for reading in pack.readings] == [("co2", 0)]
    assert decode(write("air", [("pm10", "ug/m3", None)]), "air").readings == ()
    assert (pack.boot, pack.seq, pack.time) == (3, 1234, NOW)


@st.composite
def _readings(draw: st.DrawFn) -> tuple[str, list[Reading]]:
    """Any readings of a kind that the table of quantities allows."""
    kind = draw(st.sampled_from(KINDS))
    possible = [each for each in QUANTITIES if each.measurement == kind]
    found: list[Reading] = []
    for quantity in draw(st.lists(st.sampled_from(possible), unique=True)):
        name = f"lane2/{quantity.name}" if quantity.per_lane else quantity.name
        value = st.booleans() if quantity.flag else st.floats(quantity.low, quantity.high)
        found.append((name, quantity.unit, draw(st.none() | value)))
    return kind, found


@given(_readings())
def test_every_quantity_arrives_as_it_was_given(given_readings: tuple[str, list[Reading]]) -> None:
    """Numbers, to the seven digits that a board has, and flags, with and without a lane."""
    kind, readings = given_readings
    pack = decode(write(kind, readings), kind)
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
from node.pack import body, pack
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
    print("pack", str(pack("riverside", "KIND-1", 1_795_430_400, 1, 0, body(found)), "utf-8"))

sensor = __import__("sensors.KIND", None, None, ("",)).build(board, {})
told(asyncio.run(window(sensor)))
wifi = Wifi("city", "key")
asyncio.run(wifi.join())
clock = Clock()
clock.error_s = -2
told(health(Outbox(), clock, wifi))
"""


@pytest.mark.parametrize("kind", KINDS)
def test_each_sensors_readings_are_the_gateways_quantities(tmp_path: Path, image: Path, kind: str) -> None:
    """On MicroPython, one window with every chip alive: nothing absent, units as in the table, and room to spare."""
    program = (
        f"import sys\nsys.path.insert(0, {str(image)!r})\n"
        + fast(tmp_path, BEGIN)
        + SENSORS.replace("KIND", kind).replace("CHIPS", CHIPS[kind])
    )
    lines = [line.partition(" ")[2] for line in run(program, tmp_path)]
    streams: tuple[Stream, ...] = ("telemetry", "health")
    for stream, said, payload in zip(streams, lines[::2], lines[1::2], strict=True):
        measurement = "health" if stream == "health" else kind
        units = {each.name: each.unit for each in QUANTITIES if each.measurement == measurement}
        given_readings = json.loads(said.replace("'", '"').replace("None", "null"))
        assert len(payload) < MAX_BYTES // 2
        pack = decode(payload.encode(), kind, stream)
        assert pack.measurement == measurement
        assert len(pack.readings) == len(given_readings)
        for reading, (name, unit, value) in zip(pack.readings, given_readings, strict=True):
            assert unit == units[reading.quantity]
            assert f"{reading.channel}/{reading.quantity}".lstrip("/") == name
            assert reading.value == pytest.approx(value, rel=6e-7)
