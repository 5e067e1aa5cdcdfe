"""Every rule of the protocol, that nothing but Refused ever comes out, and that a bad pack takes no other with it."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Refused
from gateway.ingest.decode import (
    EARLIEST,
    MAX_BYTES,
    REASONS,
    Bad,
    decode_pack,
    decode_packs,
    decode_status,
    parse_topic,
)
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
    assert pack == Pack.of(
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
    "payload",
    [
        *(b"", b"[]", b"{}", b'{"online":1}', b'{"online":true,"kind":"lamp"}', b'{"board":"\xff"}'),
        *(b'{"online":true,"boot":-1}', b'{"online":true,"boot":9007199254740993}'),
        b'{"online":true,"boot":' + b"9" * 300 + b"}",  # would find no place in the journal
    ],
)
def test_status_that_is_none(payload: bytes) -> None:
    """Refused with its own reason."""
    with pytest.raises(Refused) as refused:
        decode_status(payload)
    assert refused.value.reason == "status"


# Several packs in one message.


def window(seq: int, pm2_5: Any = 12.3, *, bn: str | None = None, bt: Any = None, **first: Any) -> list[dict[str, Any]]:
    """The records of one pack. Only the first of a message needs `bn`."""
    base = {"bt": NOW - 600 + seq if bt is None else bt, "n": "boot", "v": 3} | first
    return [base if bn is None else {"bn": bn, **base}, {"n": "seq", "v": seq}, {**PM, "v": pm2_5}]


def message(*packs: list[dict[str, Any]]) -> bytes:
    records = [record for pack in packs for record in pack]
    return json.dumps([{"bn": BASE["bn"], **records[0]}, *records[1:]]).encode()


def take(payload: bytes, **options: Any) -> list[Pack | Bad]:
    return decode_packs("riverside", "air-0007", options.pop("stream", "telemetry"), payload, now=NOW, **options)


def reasons(found: list[Pack | Bad]) -> list[str]:
    return [each.refused.reason if isinstance(each, Bad) else f"pack {each.seq}" for each in found]


def bad(each: Pack | Bad) -> bytes:
    assert isinstance(each, Bad)
    return each.payload


def test_several_packs_in_one_message() -> None:
    """Each with its own time, number and readings, in order; the base name stands once, or is said again."""
    packs = [window(seq, 10 + seq) for seq in range(5)]
    packs[3] = window(3, 13, bn=BASE["bn"])
    found = take(message(*packs))
    assert found == [decode({"bn": BASE["bn"], **pack[0]}, *pack[1:]) for pack in packs]
    assert [each.readings[0].value for each in found if isinstance(each, Pack)] == [10, 11, 12, 13, 14]


def test_one_pack_alone_is_no_different() -> None:
    """Whichever way it is decoded, taken or not."""
    payload = message(window(1))
    assert take(payload) == [decode_pack("riverside", "air-0007", "telemetry", payload, now=NOW)]
    (refused,) = take(message(window(1, -5)))
    assert (bad(refused), reasons([refused])) == (message(window(1, -5)), ["value"])


def test_where_one_pack_is_expected_several_are_refused() -> None:
    """As for a part that was to be decoded alone."""
    with pytest.raises(Refused, match="2 packs"):
        decode_pack("riverside", "air-0007", "telemetry", message(window(1), window(2)), now=NOW)


@pytest.mark.parametrize(
    ("expected", "spoilt"),
    [
        ("value", window(1, -5)),
        ("senml", window(1, "12")),
        ("senml", [*window(1), {"n": "co2", "v": 1, "s": 3}]),
        ("senml", [*window(1), 5]),
        ("senml", [*window(1), {**PM, "bt": NOW}]),
        ("senml", [*window(1), {"bn": BASE["bn"]}]),
        ("senml", window(1, bt=NOW + 0.5)),
        ("senml", window(1, bt="now")),
        ("sequence", window(1)[:1]),
        ("sequence", [window(1)[0], PM]),
        ("sequence", window(1, v=2.5)),
        ("future", window(1, bt=NOW + 601)),
        ("past", window(1, bt=42)),
        ("unit", [*window(1)[:2], {**PM, "u": "mg/m3"}]),
        ("quantity", [*window(1), {"n": "pm25", "v": 1}]),
        ("kind", [*window(1), {"n": "flow", "v": 1}]),
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_bad_pack_takes_no_other_with_it(expected: str, spoilt: list[Any], place: int) -> None:
    """Wherever it stands. Its part is a message of its own, with the same fault and no other."""
    packs = [window(10), window(11)]
    packs.insert(place, spoilt)
    found = take(message(*packs))
    want = ["pack 10", "pack 11"]
    want.insert(place, expected)
    assert reasons(found) == want
    assert reasons(take(bad(found[place]))) == [expected]
    assert json.loads(bad(found[place]))[0]["bn"] == BASE["bn"]


def test_a_part_is_replayed_as_the_pack_that_was_meant() -> None:
    """Once the reason is gone: here the gateway's clock was behind by an hour."""
    payload = message(window(1), window(2, bt=NOW + 3600), window(3))
    found = take(payload)
    assert reasons(found) == ["pack 1", "future", "pack 3"]
    late = decode_packs("riverside", "air-0007", "telemetry", payload, now=NOW + 3600)
    part = decode_packs("riverside", "air-0007", "telemetry", bad(found[1]), now=NOW + 3600)
    assert late == [found[0], *part, found[2]]


def test_another_name_holds_until_the_next() -> None:
    """RFC 8428: a base name is of all records behind it. Readings of somebody else are not taken for the node's own."""
    packs = [window(1), window(2, bn="riverside/air-0008/"), window(3), window(4, bn=BASE["bn"]), window(5)]
    found = take(message(*packs))
    assert reasons(found) == ["pack 1", "identity", "identity", "pack 4", "pack 5"]
    assert json.loads(bad(found[2]))[0]["bn"] == "riverside/air-0008/"


def test_a_message_without_a_name_is_refused_pack_by_pack() -> None:
    """None of them says whose it is."""
    assert reasons(take(json.dumps([*window(1), *window(2)]).encode())) == ["senml", "senml"]


def test_an_earlier_pack_of_a_message_tells_the_kind_of_a_later_one() -> None:
    """As an earlier message would."""
    tamper = [*window(2)[:2], {"n": "tamper", "vb": True}]
    found = take(message(window(1), tamper), stream="event")
    assert [each.measurement for each in found if isinstance(each, Pack)] == ["air", "air"]
    assert reasons(take(message(tamper, window(1)), stream="event")) == ["kind", "pack 1"]
    assert reasons(take(message(tamper, window(1), tamper), stream="event")) == ["kind", "pack 1", "pack 2"]


def test_what_is_no_message_is_refused_whole() -> None:
    """A fault of the size, or of the form of a single pack, leaves nothing that could be taken apart."""
    good = message(window(1), window(2))
    for payload, expected in (
        (good + b" " * MAX_BYTES, "size"),
        (message(window(1))[:-1], "json"),
        (b'{"bt":1}', "senml"),
        (good[1:-1], "json"),
    ):
        found = take(payload)
        assert reasons(found)[0] == expected
        if expected != "json":
            assert [bad(each) for each in found] == [payload]


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("compact", [True, False])
def test_a_pack_that_is_no_json_takes_no_other_with_it(place: int, compact: bool) -> None:
    """As of firmware that divides by zero: the message as a whole is no JSON, its other packs are."""
    packs = [window(seq, 20 + seq, bn=BASE["bn"] if seq == 2 else None) for seq in range(3)]
    packs[place][2]["v"] = float("nan")
    payload = message(*packs)
    if compact:
        payload = payload.replace(b", ", b",").replace(b": ", b":")
    found = take(payload)
    want = [f"pack {seq}" for seq in range(3)]
    want[place] = "json"
    assert reasons(found) == want
    whole = take(bad(found[place]).replace(b"NaN", b"5"))
    assert reasons(whole) == [f"pack {place}"]


def test_a_message_that_was_cut_short_gives_what_is_whole() -> None:
    """Wherever it was cut: a pack without its end is not taken, also where the cut is between two readings."""
    packs = [[*window(seq), {"n": "co2", "v": 400 + seq}] for seq in range(3)]
    payload = message(*packs)
    heads = [match.end() for match in re.finditer(rb'"boot",', payload)][1:]
    for cut in range(len(payload)):
        found = take(payload[:cut])
        taken = sum(cut >= head for head in heads)  # from there on it can be seen that another one begins
        assert reasons(found)[: taken + 1] == [*(f"pack {seq}" for seq in range(taken)), "json"]
        for each in found[:taken]:
            assert isinstance(each, Pack)
            assert len(each.readings) == 2


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
    assert {each.refused.reason for each in take(payload, stream=stream) if isinstance(each, Bad)} <= REASONS.keys()
    assert outcome(lambda: decode_status(payload)) in ("taken", *REASONS)


@given(st.text())
def test_no_topic_but_refused(topic: str) -> None:
    """Any text: three names that are in it, or Refused."""
    assert outcome(lambda: "/".join(("ganglion/v1", *parse_topic(topic))) == topic) in ("taken", "topic")


_spoil = st.sampled_from(
    [
        lambda pack: pack,
        lambda pack: [{**pack[0], "bt": 5}, *pack[1:]],
        lambda pack: pack[:1],
        lambda pack: [*pack, {"n": "?", "v": 1}],
        lambda pack: [*pack[:-1], {**pack[-1], "v": None}],
        lambda pack: [*pack[:-1], {**pack[-1], "v": "1"}],
        lambda pack: [{**pack[0], "bn": "else/where/"}, *pack[1:]],
        lambda pack: [{**pack[0], "bn": BASE["bn"]}, *pack[1:]],
        lambda pack: [*pack, [], None, {"bt": "x"}],
    ]
)


@given(st.lists(st.tuples(st.integers(0, 99), _spoil), min_size=1, max_size=8))
def test_packs_of_a_message_are_judged_one_by_one(chosen: list[tuple[int, Any]]) -> None:
    """A message is exactly its packs: each gives what it would give alone, under the name that holds there."""
    packs = [spoil(window(seq)) for seq, spoil in chosen]
    base = BASE["bn"]
    alone: list[Pack | Bad] = []
    for pack in packs:
        base = pack[0].get("bn", base)
        alone += take(json.dumps([{"bn": base, **pack[0]}, *pack[1:]]).encode())
    found = take(message(*packs))
    assert reasons(found) == reasons(alone)
    assert [each for each in found if isinstance(each, Pack)] == [each for each in alone if isinstance(each, Pack)]
    for each in found:
        if isinstance(each, Bad):
            assert len(each.payload) <= MAX_BYTES
            assert reasons(take(each.payload)) == [each.refused.reason]


@given(
    st.lists(st.dictionaries(_fields, _values, max_size=5), max_size=9)
    .map(lambda records: [BASE, SEQ, PM, {"bt": NOW - 1, "n": "boot", "v": 3}, {"n": "seq", "v": 2}, *records])
    .map(json.dumps)
    .map(str.encode)
)
def test_noise_behind_a_pack_does_not_reach_it(payload: bytes) -> None:
    """What makes dead letters of the pack behind it, and each of them can be decoded again, to the same end."""
    first, *others = take(payload)
    assert reasons([first]) == ["pack 1234"]
    for each in others:
        if isinstance(each, Bad):
            assert reasons(take(each.payload, kind="air")) == [each.refused.reason]
