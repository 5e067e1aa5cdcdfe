"""Line protocol: what is written is what InfluxDB reads back."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from gateway.config import Influx
from gateway.forward.influx_v1 import TargetV1
from gateway.forward.lines import incident_lines, line, pack_lines
from gateway.records import Earlier, Incident, Pack, Reading
from sim_hardware.servers import InfluxDB
from tests.gateway.conftest import NOW
from tests.gateway.databases import select

NAMES = ["plain", "a b", "a,b", "a=b", 'a"b', "a\\b", ",", "=", " ", "ünï", "a\\\\b", "\\n"]
TAGS = [*NAMES, "a\\,b", "a\\ b", "a\\=b", "\\ "]


def traffic_pack(*readings: Reading) -> Pack:
    return Pack.of("riverside", "traffic-0001", "telemetry", "traffic", 1, 0, NOW, readings)


def test_readings_of_one_time_and_channel_share_a_line() -> None:
    """Lanes are told apart by their tag, and so are times."""
    pack = traffic_pack(
        Reading(NOW, "lane1", "volume", 12.0),
        Reading(NOW, "lane2", "volume", 7.0),
        Reading(NOW, "lane1", "speed", 48.25),
        Reading(NOW - 60, "lane1", "volume", 3.0),
    )
    tags = b"node=traffic-0001,site=riverside"
    assert pack_lines(pack) == [
        b"traffic,channel=lane1,%s volume=12.0,speed=48.25 1795430400" % tags,
        b"traffic,channel=lane2,%s volume=7.0 1795430400" % tags,
        b"traffic,channel=lane1,%s volume=3.0 1795430340" % tags,
    ]


def test_no_channel_means_no_tag_and_no_reading_means_no_line() -> None:
    """An empty tag would be refused by the server."""
    pack = Pack.of("riverside", "air-0007", "telemetry", "air", 1, 0, NOW, (Reading(NOW, "", "co2", 455.0),))
    assert pack_lines(pack) == [b"air,node=air-0007,site=riverside co2=455.0 1795430400"]
    assert pack_lines(traffic_pack()) == []


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_keep_their_last_bit(value: float) -> None:
    """The text of a number is read back as that very number."""
    (written,) = pack_lines(traffic_pack(Reading(NOW, "lane1", "speed", value)))
    assert float(written.split(b" ")[1].partition(b"=")[2]) == value


def test_an_incident_is_a_point_at_its_beginning_and_one_at_its_end() -> None:
    """Both are written each time, so an incident that began and ended unheard of is whole."""
    incident = Incident("x", "jam", "riverside", "traffic-0001", "", "warning", NOW, None, 'slow, "very"')
    tags = b"incident,kind=jam,node=traffic-0001,site=riverside"
    said = b'id="x",severity="warning",summary="slow, \\"very\\""'
    begin = b'%s %s,state="open" %d' % (tags, said, NOW)
    assert incident_lines(incident) == [begin]
    ended = Incident("x", "jam", "riverside", "traffic-0001", "", "warning", NOW, NOW + 600, 'slow, "very"')
    assert incident_lines(ended) == [begin, b'%s %s,state="closed",duration_s=600.0 %d' % (tags, said, NOW + 600)]


def test_an_incident_that_turned_is_of_each_kind_in_its_time() -> None:
    """Under each kind and place the newest point tells how it stands; what was written of the past stays as it was."""
    first = Incident("x", "balance", "riverside", "water-1", "", "warning", NOW, None, "lost", confirmed=NOW + 900)
    turn = Earlier("balance", NOW + 7200, "lost")
    turned = structs.replace(first, kind="main_leak", summary="by night", was=(turn,))
    ended = structs.replace(turned, closed=NOW + 9000)
    assert set(incident_lines(first)) < set(incident_lines(turned)) < set(incident_lines(ended))
    said = re.compile(rb'kind=(\w+),.*summary="([^"]+)",state="(\w+)".* (\d+)$')
    found = [said.search(each) for each in incident_lines(ended)]
    assert sorted((int(each[4]) - NOW, *each.group(1, 2, 3)) for each in found if each) == [
        (0, b"balance", b"lost", b"open"),
        (900, b"balance", b"lost", b"confirmed"),
        (7200, b"balance", b"lost", b"turned"),
        (7200, b"main_leak", b"by night", b"confirmed"),
        (9000, b"main_leak", b"by night", b"closed"),
    ]


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "ends in a backslash\\"])
def test_what_a_tag_cannot_hold_is_an_error(text: str) -> None:
    """Rather than another value, or another point, in the database."""
    with pytest.raises(ValueError, match="cannot be"):
        line("air", {"node": text}, {"co2": 1.0}, NOW)


@pytest.mark.parametrize("text", ["a\nb", "a\\,b", "a\\ b", "a\\=b", "\\"])
def test_what_a_name_cannot_hold_is_an_error(text: str) -> None:
    """InfluxDB takes some of these as measurements and never finds them again."""
    for measurement, field in ((text, "co2"), ("air", text)):
        with pytest.raises(ValueError, match="cannot be"):
            line(measurement, {}, {field: 1.0}, NOW)


def test_awkward_names_and_values_come_back_from_influxdb(influx: InfluxDB, influx_db: str) -> None:
    """Spaces, commas, equals signs, quotes, backslashes and line breaks, in each place where they may stand."""
    strings = [*TAGS, "two\nlines", "ends in \\", '\\"', ""]
    lines = [line("m", {"tag": tag}, {"number": float(n)}, NOW) for n, tag in enumerate(TAGS)]
    lines += [line("s", {}, {"text": text}, NOW + n) for n, text in enumerate(strings)]
    lines += [line(name, {f"t{name}": "x"}, {f"f{name}": 1.0}, NOW) for name in NAMES]
    TargetV1(Influx(influx.url, "v1", influx_db)).write(lines)
    tags = {row["number"]: row["tag"] for row in select(influx.url, influx_db, "SELECT * FROM m")}
    assert tags == dict(enumerate(TAGS))
    assert [row["text"] for row in select(influx.url, influx_db, "SELECT * FROM s")] == strings
    for name in NAMES:
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        (row,) = select(influx.url, influx_db, f'SELECT * FROM "{quoted}"')
        assert row == {"time": NOW, f"f{name}": 1, f"t{name}": "x"}


def test_numbers_come_back_from_influxdb_to_the_last_bit(influx: InfluxDB, influx_db: str) -> None:
    """Through the server's own parser, store and printer."""
    values = [0.1, 1 / 3, 1e-300, 1e16, 12345678.9, -0.1, 5e-324, 1.7976931348623157e308]
    lines = [line("n", {}, {"value": value}, NOW + n) for n, value in enumerate(values)]
    TargetV1(Influx(influx.url, "v1", influx_db)).write(lines)
    assert [row["value"] for row in select(influx.url, influx_db, "SELECT value FROM n")] == values
