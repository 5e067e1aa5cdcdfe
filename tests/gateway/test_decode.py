"""Every rule of the protocol, and that nothing but Refused ever comes out."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.decode import EARLIEST, MAX_BYTES, REASONS, decode_pack, decode_status, parse_topic
from gateway.errors import Refused
from gateway.quantities import KINDS, QUANTITIES
from gateway.records import Pack, Reading, Status

NOW = 1_795_430_400
BASE = {"bn": "riverside/air-0007/", "bt": NOW, "n": "boot", "v": 3}
SEQ = {"n": "seq", "v": 1234}
PM = {"n": "pm2_5", "u": "ug/m3", "v": 12.3}


def decode(*records: Any, stream: Any = "telemetry", kind: str = "") -> Pack:
    return decode_pack("riverside", "air-0007", stream, json.dumps(records).encode(), now=NOW, kind=kind)


def reason(*records: Any, **options: Any) -> str:
    with pytest.raises(Refused) as refused:
        decode(*records, **options)
    assert refused.value.reason in REASONS
    assert refused.value.detail
    return refused.value.reason


def test_the_contracts_example() -> None:
    """The example of the protocol, field by field."""
    pack = decode(BASE, SEQ, PM, {"n": "co2", "u": "ppm", "v": 455})
    assert pack == Pack(
        "riverside",
        "air-0007",
        "telemetry",
        "air",
        3,
        1234,
        NOW,
        (Reading(NOW, "", "pm2_5", 12.3), Reading(NOW, "", "co2", 455.0)),
    )


def test_lanes_and_times_of_their_own() -> None:
    """A channel stands before the slash; `t` is relative to the base time."""
    pack = decode(BASE, SEQ, {"n": "lane1/volume", "v": 7, "t": -60}, {"n": "lane1/volume", "v": 9})
    assert pack.measurement == "traffic"
    assert pack.readings == (Reading(NOW - 60, "lane1", "volume", 7), Reading(NOW, "lane1", "volume", 9))


def test_base_fields_may_stand_alone() -> None:
    """RFC 8428 allows a first record without a value."""
    alone = {"bn": BASE["bn"], "bt": NOW}
    assert decode(alone, {"n": "boot", "v": 0}, SEQ, PM).boot == 0


def test_every_quantity_is_taken_at_its_limits() -> None:
    """The table and the decoder agree about names, units, limits and flags."""
    for quantity in QUANTITIES:
        kind = "air" if quantity.measurement == "*" else quantity.measurement
        name = f"lane1/{quantity.name}" if quantity.per_lane else quantity.name
        for value in (quantity.low, quantity.high):
            said = {"vb": bool(value)} if quantity.flag else {"v": value}
            record = {"n": name, **said} | ({"u": quantity.unit} if quantity.unit else {})
            pack = decode(BASE, SEQ, record, stream="health" if kind == "health" else "telemetry", kind=kind)
            assert (pack.measurement, pack.readings[0].value) == (kind, value)


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_or_shared_pack_belongs_to_the_nodes_kind(kind: str) -> None:
    """Where the quantities leave it open, the node decides."""
    assert decode(BASE, SEQ, kind=kind).measurement == kind
    assert decode(BASE, SEQ, {"n": "tamper", "vb": True}, stream="event", kind=kind).measurement == kind
    assert reason(BASE, SEQ) == "kind"


@pytest.mark.parametrize(
    ("expected", "records"),
    [
        ("senml", []),
        ("senml", [{"n": "boot", "v": 3}, SEQ, PM]),
        ("senml", [{**BASE, "bt": NOW + 0.5}, SEQ, PM]),
        ("senml", [{**BASE, "bv": 1}, SEQ, PM]),
        ("senml", [BASE, SEQ, {**PM, "s": 5}]),
        ("senml", [BASE, SEQ, {**PM, "vs": "12"}]),
        ("senml", [BASE, SEQ, {**PM, "v": "12"}]),
        ("senml", [BASE, SEQ, PM, PM]),
        ("senml", [BASE, SEQ, SEQ, PM]),
        ("senml", [BASE, SEQ, {**PM, "bt": NOW}]),
        ("senml", [BASE, SEQ, {**PM, "t": -(2**28)}]),
        ("identity", [{**BASE, "bn": "riverside/air-0008/"}, SEQ, PM]),
        ("identity", [{**BASE, "bn": "riverside/air-0007"}, SEQ, PM]),
        ("unit", [BASE, SEQ, {**PM, "u": "mg/m3"}]),
        ("quantity", [BASE, SEQ, {"n": "pm25", "v": 1}]),
        ("quantity", [BASE, SEQ, {"n": "lane1/pm2_5", "v": 1}]),
        ("quantity", [BASE, SEQ, {"n": "speed", "v": 1}]),
        ("quantity", [BASE, SEQ, {"n": "Lane 1/speed", "v": 1}]),
        ("value", [BASE, SEQ, {**PM, "v": -0.1}]),
        ("value", [BASE, SEQ, {**PM, "v": 10**400}]),
        ("value", [BASE, SEQ, {"n": "pm2_5"}]),
        ("value", [BASE, SEQ, {"n": "pm2_5", "vb": True}]),
        ("value", [BASE, SEQ, {"n": "tamper", "v": 1}, PM]),
        ("kind", [BASE, SEQ, PM, {"n": "flow", "v": 1}]),
        ("kind", [BASE, SEQ, {"n": "temperature", "v": 20}]),
        ("future", [{**BASE, "bt": NOW + 601}, SEQ, PM]),
        ("future", [BASE, SEQ, {**PM, "t": 601}]),
        ("past", [{**BASE, "bt": EARLIEST - 1}, SEQ, PM]),
        ("past", [{**BASE, "bt": 42}, SEQ, PM]),
        ("sequence", [BASE, PM]),
        ("sequence", [BASE, {"n": "seq", "v": 1.5}, PM]),
        ("sequence", [{**BASE, "v": -1}, SEQ, PM]),
        ("sequence", [{**BASE, "v": 2**60}, SEQ, PM]),
    ],
)
def test_reason(expected: str, records: list[Any]) -> None:
    """Each kind of bad input has a reason of its own."""
    assert reason(*records) == expected


@pytest.mark.parametrize("stream", ["telemetry", "health"])
def test_health_is_told_by_the_stream(stream: str) -> None:
    """The chip's temperature is health on the health stream and open elsewhere."""
    record = {"n": "temperature", "u": "Cel", "v": 41}
    assert decode(BASE, SEQ, record, stream=stream, kind="air").measurement == (
        "health" if stream == "health" else "air"
    )
    assert reason(BASE, SEQ, PM, stream="health") == "kind"


@pytest.mark.parametrize(
    ("expected", "payload"),
    [
        ("json", b""),
        ("json", b"hello"),
        ("json", b'[{"bn":"riverside/air-0007/"'),
        ("json", b'[{"n":"\xff\xfe"}]'),
        ("json", b'[{"v":NaN}]'),
        ("senml", b"{}"),
        ("json", b"{"),
        ("json", b"[" * 4000),
        ("json", b'[{"u":"\xc3\x28"}]'),
        ("size", b" " * (MAX_BYTES + 1)),
    ],
)
def test_bytes_that_are_no_pack(expected: str, payload: bytes) -> None:
    """What does not even parse."""
    with pytest.raises(Refused) as refused:
        decode_pack("riverside", "air-0007", "telemetry", payload, now=NOW)
    assert refused.value.reason == expected


@pytest.mark.parametrize("topic", ["", "ganglion/v1/a/b", "ganglion/v1/A/b/health", "ganglion/v2/a/b/health", "x\n"])
def test_topic_that_is_none(topic: str) -> None:
    """Only lower-case names of at most 32 characters below ganglion/v1."""
    with pytest.raises(Refused, match="topic"):
        parse_topic(topic)


def test_topic() -> None:
    """Site, node and level."""
    assert parse_topic("ganglion/v1/riverside/air-0007/event") == ("riverside", "air-0007", "event")


def test_status() -> None:
    """A birth says who; a will says only that the node is gone; fields of later versions are skipped."""
    birth = decode_status(b'{"online":true,"kind":"air","boot":3,"firmware":"0.1","board":"x","new":1}')
    assert birth == Status(True, "air", 3, "0.1", "x")
    assert decode_status(b'{"online":false}') == Status(False)


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b"{}", b'{"online":1}', b'{"online":true,"kind":"lamp"}', b'{"board":"\xff"}']
)
def test_status_that_is_none(payload: bytes) -> None:
    """Refused with its own reason."""
    with pytest.raises(Refused) as refused:
        decode_status(payload)
    assert refused.value.reason == "status"


def outcome(decoder: Callable[[], object]) -> str:
    """The reason, or `taken`."""
    try:
        return "taken" if decoder() else "wrong"
    except Refused as refused:
        return refused.reason


_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
_fields = st.sampled_from(["bn", "bt", "n", "u", "v", "vb", "t", "s", "x"])
_values = _scalars | st.sampled_from([BASE["bn"], NOW, "boot", "seq", "pm2_5", "lane1/speed", "tamper", "/", "//"])


@given(
    st.binary(max_size=200)
    | st.recursive(_scalars, lambda inner: st.lists(inner, max_size=4)).map(json.dumps).map(str.encode)
    | st.lists(st.dictionaries(_fields, _values, max_size=5), max_size=5).map(json.dumps).map(str.encode)
    | st.lists(st.dictionaries(_fields, _values, max_size=5), max_size=4)
    .map(lambda records: [BASE, SEQ, *records])
    .map(json.dumps)
    .map(str.encode),
    st.sampled_from(["telemetry", "event", "health"]),
)
def test_nothing_but_refused(payload: bytes, stream: Any) -> None:
    """Whatever comes: a pack, or Refused with a reason of the table."""
    assert outcome(lambda: decode_pack("riverside", "air-0007", stream, payload, now=NOW)) in ("taken", *REASONS)
    assert outcome(lambda: decode_status(payload)) in ("taken", *REASONS)


@given(st.text())
def test_no_topic_but_refused(topic: str) -> None:
    """Any text: three names that are in it, or Refused."""
    assert outcome(lambda: "/".join(("ganglion/v1", *parse_topic(topic))) == topic) in ("taken", "topic")
