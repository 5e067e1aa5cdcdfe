"""Calibration: what a table may hold, what it does to readings, and that the gateway takes the result."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ingest.decode import decode_pack
from gateway.quantities import KINDS, QUANTITIES
from tests.firmware.importer import load
from tests.micropython import run

calibration = load("node.calibration")
correction = load("node.correction")
pack = load("node.pack")
ConfigError = load("node.config").ConfigError

TABLE = {"version": 3, "pm2_5": {"gain": 0.5, "offset": -2}, "humidity": {"gain": 1.1, "offset": 0}}
UNITS = {each.name: each.unit for each in QUANTITIES}
RANGES = {(kind, name): (low, high) for name, kinds, low, high in correction.QUANTITIES for kind in kinds}


NOW = 1_700_000_000


def sent(readings: list[tuple[str, str, Any]]) -> bytes:
    """As a node's message."""
    head = f'[{{"bn":"riverside/n-1/","bt":{NOW},"n":"boot","v":1}},{{"n":"seq","v":0}},'
    return (head + pack.body(readings) + "]").encode()


def test_a_table_is_completed() -> None:
    """Offset 0 and gain 1 where they are not given; nothing given is no calibration."""
    assert calibration.check({"version": 1, "co2": {"offset": 12.5}, "pm10": {"gain": 2}, "pressure": {}}, "air") == {
        "version": 1,
        "co2": {"offset": 12.5, "gain": 1},
        "pm10": {"offset": 0, "gain": 2},
        "pressure": {"offset": 0, "gain": 1},
    }
    assert calibration.check({}, "air") == calibration.check(None, "air") == {}
    assert calibration.check({"version": 0}, "air") == {"version": 0}, "a calibration that was taken back has a version"


VERSION = "calibration.version must be a whole number from 0 to 1000000000"
GAIN = "calibration.co2.gain must be a number from 0.1 to 10"
OFFSET = "calibration.co2.offset must be a finite number"
WRONG: list[tuple[str, str, str]] = [
    ("air", "[]", "calibration must be an object"),
    ("air", '"pm2_5"', "calibration must be an object"),
    ("air", '{"co2": {"gain": 1}}', VERSION),
    *(("air", f'{{"version": {each}}}', VERSION) for each in ("-1", "1.5", "true", '"1"', "null", "1000000001", "{}")),
    *(
        ("air", f'{{"version": 1, "co2": {{"gain": {each}}}}}', GAIN)
        for each in ("0", "0.09", "10.1", "-1", "true", '"1"', "null", "1e999", "NaN")
    ),
    *(
        ("air", f'{{"version": 1, "co2": {{"offset": {each}}}}}', OFFSET)
        for each in ("1e999", "-1e999", "NaN", "false", '"1"', "null", "[]", "1" + "0" * 400)
    ),
    ("air", '{"version": 1, "co2": 5}', "calibration.co2. must be an object"),
    ("air", '{"version": 1, "co2": {"gian": 1}}', "unknown key calibration.co2.gian"),
    ("air", '{"version": 1, "pm25": {}}', "calibration.pm25: what can be calibrated is pm1_0, pm2_5, pm10, co2, "),
    ("water", '{"version": 1, "pm2_5": {}}', "calibration.pm2_5: what can be calibrated is flow, flow_min, temp"),
    ("water", '{"version": 1, "volume": {}}', "calibration.volume: what can be calibrated is flow, "),
    ("water", '{"version": 1, "reverse_volume": {}}', "calibration.reverse_volume: "),
    ("traffic", '{"version": 1, "volume": {}}', "calibration.volume: what can be calibrated is occupancy, speed"),
    ("traffic", '{"version": 1, "class_long": {}}', "calibration.class_long: "),
    ("traffic", '{"version": 1, "lane1/speed": {}}', "calibration.lane1/speed: "),
]


@pytest.mark.parametrize(("kind", "text", "message"), WRONG)
def test_what_is_wrong_is_named(kind: str, text: str, message: str) -> None:
    """The key, and what it should be; counts are nobody's to correct."""
    with pytest.raises(ConfigError) as refused:
        calibration.check(json.loads(text), kind)
    assert str(refused.value).startswith(message)


def test_the_same_is_refused_on_micropython(tmp_path: Path) -> None:
    """Whose json, numbers and comparisons are its own."""
    readable = [each for each in WRONG if "NaN" not in each[1] and "1e999" not in each[1]]
    (tmp_path / "wrong.json").write_text(json.dumps([[kind, json.loads(text)] for kind, text, _ in readable]))
    printed = run(
        """
import json
from node import calibration, config
for kind, given in json.load(open("wrong.json")):
    try:
        print("taken", calibration.check(given, kind))
    except config.ConfigError as error:
        print(error)
try:
    calibration.check({"version": 1, "co2": {"offset": float("nan")}})
except config.ConfigError as error:
    print(error)
""",
        tmp_path,
        board=False,
    )
    wanted = [message for _, _, message in readable] + [OFFSET]
    assert all(line.startswith(message) for line, message in zip(printed, wanted, strict=True)), printed


def test_readings_are_corrected_by_their_quantity() -> None:
    """Gain, then offset; what is absent stays absent; the version comes as a reading of its own."""
    readings = [("pm2_5", "ug/m3", 31.0), ("pm10", "ug/m3", 40), ("humidity", "%RH", None), ("co2", "ppm", 455)]
    assert correction.apply(readings, calibration.check(TABLE, "air")) == [
        ("pm2_5", "ug/m3", 13.5),
        ("pm10", "ug/m3", 40),
        ("humidity", "%RH", None),
        ("co2", "ppm", 455),
        ("calibration", "", 3),
    ]
    speed = calibration.check({"version": 1, "speed": {"gain": 1.1}}, "traffic")
    lanes = [("lane1/speed", "km/h", 50.0), ("lane2/speed", "km/h", 20.0), ("lane1/volume", "count", 7)]
    assert [value for _, _, value in correction.apply(lanes, speed)] == [55, 22, 7, 1]


def test_without_a_table_nothing_is_touched() -> None:
    """And nothing is added."""
    readings = [("pm2_5", "ug/m3", 31.0)]
    assert correction.apply(readings, {}) is readings


def test_a_table_of_one_version_corrects_nothing() -> None:
    assert correction.apply([("co2", "ppm", 455)], {"version": 9}) == [("co2", "ppm", 455), ("calibration", "", 9)]


@given(
    place=st.sampled_from(sorted(RANGES)),
    share=st.floats(0, 1),
    gain=st.floats(0.1, 10),
    offset=st.one_of(st.floats(-3e38, 3e38), st.floats(-1e5, 1e5)),
    version=st.integers(0, 1_000_000_000),
)
def test_no_correction_makes_a_pack_that_is_refused(
    place: tuple[str, str], share: float, gain: float, offset: float, version: int
) -> None:
    """Whatever the table holds, what a node sends is decoded, of its own kind, with the version in it."""
    kind, name = place
    low, high = RANGES[place]
    value = low + share * (high - low)
    table = calibration.check({"version": version, name: {"gain": gain, "offset": offset}}, kind)
    full = "lane1/" + name if kind == "traffic" else name
    readings = correction.apply([(full, UNITS[name], value)], table)
    decoded = decode_pack("riverside", "n-1", "telemetry", sent(readings), now=NOW, kind=kind)
    assert decoded.measurement == kind
    found = {each.quantity: each.value for each in decoded.readings}
    assert found["calibration"] == pytest.approx(version, rel=1e-6)
    exact = min(max(value * gain + offset, low), high)
    assert found[name] == pytest.approx(exact, rel=1e-6, abs=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_the_version_does_not_confuse_the_kind(kind: str) -> None:
    """A pack with a reading of one kind alone is of that kind; one that holds nothing else needs the node's birth."""
    own = {"traffic": ("lane1/volume", "count"), "water": ("flow", "l/h"), "air": ("co2", "ppm")}[kind]
    for readings in ([], [(*own, 5)]):
        payload = sent(correction.apply(readings, {"version": 4}))
        known = "" if readings else kind
        decoded = decode_pack("riverside", "n-1", "telemetry", payload, now=NOW, kind=known)
        assert decoded.measurement == kind
        assert decoded.readings[-1].quantity == "calibration"
        assert decoded.readings[-1].channel == ""


def test_the_ranges_are_within_the_gateways() -> None:
    """Else a correction could make a pack that is refused; and each name is of a quantity of that kind."""
    for (kind, name), (low, high) in RANGES.items():
        (quantity,) = (each for each in QUANTITIES if (each.measurement, each.name) == (kind, name))
        assert quantity.low <= low < high <= quantity.high
        assert quantity.unit != "count"


def test_merge_makes_a_new_table() -> None:
    """One quantity anew, the others as they were; the old table stays, also when the new one is refused."""
    old = calibration.check(TABLE, "air")
    before = json.dumps(old)
    new = calibration.merge(old, "co2", 10, 1.02, 4, "air")
    assert new == {**old, "version": 4, "co2": {"offset": 10, "gain": 1.02}}
    assert calibration.merge(new, "co2", 0, 1, 5)["co2"] == {"offset": 0, "gain": 1}
    assert calibration.merge({}, "speed", 0, 1, 1, "traffic") == {"version": 1, "speed": {"offset": 0, "gain": 1}}
    wrong: list[tuple[Any, ...]] = [
        ("volume", 0, 1, 4),
        ("flow", 0, 1, 4),
        ("version", 0, 1, 4),
        (7, 0, 1, 4),
        (None, 0, 1, 4),
        ("co2", 0, 0, 4),
        ("co2", None, 1, 4),
        ("co2", 0, 1, None),
    ]
    for quantity, offset, gain, version in wrong:
        with pytest.raises(ConfigError):
            calibration.merge(old, quantity, offset, gain, version, "air")
    assert json.dumps(old) == before
