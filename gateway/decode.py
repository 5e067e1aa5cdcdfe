"""From topic and bytes to packs, or to the reason why not. Pure: the clock and the node's known kind are handed in.

SenML JSON (RFC 8428) in the profile of the protocol: integer base time, no sums, no base value or unit. A field that
is not known here could change the meaning of a value, so it refuses the pack instead of being skipped.

A message may hold several packs one after another. A pack that is bad is refused alone, with the bytes of its own part.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import chain
from typing import Final, NamedTuple, cast

import msgspec
from msgspec import Struct

from gateway.config import NAME
from gateway.errors import Refused
from gateway.ingest.split import split
from gateway.quantities import KINDS, QUANTITIES, Quantity
from gateway.records import Pack, Reading, Status, Stream

REASONS: Final[Mapping[str, str]] = {
    "json": "the bytes are not JSON",
    "senml": "JSON, but not a SenML pack of this protocol: a field is missing, unknown, twice or of the wrong type",
    "size": "larger than 4096 bytes",
    "identity": "`bn` names another site or node than the topic",
    "topic": "the topic is not ganglion/v1/{site}/{node}/{stream}",
    "unit": "the unit is not the quantity's own",
    "quantity": "no quantity of that name",
    "value": "the value cannot be: outside the physical limits, or a number where a state belongs",
    "kind": "the quantities belong to no kind of node, or to several and the node's kind is not known yet",
    "future": "more than ten minutes ahead of the gateway's clock",
    "past": "from before 2020: the node had no clock",
    "sequence": "`boot` or `seq` is missing or is not a whole number",
    "status": "a birth or will that is not of the agreed form",
    "influx": "the database refused it for good",
}

MAX_BYTES: Final = 4096
MAX_AHEAD: Final = 600
"""Seconds a pack may be ahead of the gateway: a clock that drifts, not one that is wrong."""
EARLIEST: Final = 1_577_836_800
"""2020-01-01T00:00:00Z. Boards without a clock say 1970 or 2000."""
MAX_OFFSET: Final = 2**28
"""RFC 8428 §4.5.3: below it, a time is relative."""
MAX_COUNT: Final = 2**53
"""Beyond it JSON's numbers are no longer exact."""

TOPIC: Final = re.compile(rf"ganglion/v1/({NAME})/({NAME})/(telemetry|event|health|status)")
_CHANNEL: Final = re.compile(NAME)


class Record(Struct, forbid_unknown_fields=True):
    """One SenML record as far as the protocol uses it."""

    bn: str | None = None
    bt: int | None = None
    n: str = ""
    u: str | None = None
    v: int | float | None = None
    vb: bool | None = None
    t: int = 0


class Bad(NamedTuple):
    """A pack that cannot be taken."""

    payload: bytes
    """A message of its own: once the reason is gone, it decodes to the pack that was meant."""
    refused: Refused


class _Shape(Struct, frozen=True):
    """What the names of a pack's readings come to. Nodes send the same names over and over."""

    measurement: str
    places: tuple[tuple[str, Quantity], ...]
    """(channel, quantity) of each name."""


_decode_records = msgspec.json.Decoder(list[Record]).decode
_decode_status = msgspec.json.Decoder(Status).decode
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_MEANINGS: defaultdict[tuple[bool, str], dict[str, Quantity]] = defaultdict(dict)
for _each in QUANTITIES:
    for _kind in KINDS if _each.measurement == "*" else (_each.measurement,):
        _MEANINGS[_each.per_lane, _each.name][_kind] = _each


def parse_topic(topic: str) -> tuple[str, str, str]:
    """(site, node, last level). Raises Refused("topic")."""
    match = TOPIC.fullmatch(topic)
    if match is None:
        raise Refused("topic", f"{topic!r} is not ganglion/v1/{{site}}/{{node}}/telemetry, event, health or status")
    return cast(tuple[str, str, str], match.groups())


def decode_status(payload: bytes) -> Status:
    """A birth or a will. Raises Refused. Fields not known here are for later gateways and are skipped."""
    if len(payload) > MAX_BYTES:
        raise Refused("size", f"{len(payload)} bytes, at most {MAX_BYTES} are allowed")
    try:
        status = _decode_status(payload)
    except _UNREADABLE as error:
        raise Refused("status", str(error)) from error
    if status.kind not in ("", *KINDS):
        raise Refused("status", f"kind {status.kind!r} is none of {', '.join(KINDS)}")
    return status


def decode_packs(
    site: str, node: str, stream: Stream, payload: bytes, *, now: float, kind: str = ""
) -> list[Pack | Bad]:
    """What `payload` carries on the topic of this site, node and stream, in order; at least one. Raises nothing.

    `now` in Unix seconds is the gateway's clock; `kind` is the node's, where known, and decides only where the
    quantities leave it open.
    """
    try:
        return list(_packs(site, node, stream, _parse(payload), now, kind))
    except Refused as refused:
        parts = split(payload) if len(payload) <= MAX_BYTES else []
        if len(parts) < 2:
            return [Bad(payload, refused)]
    found: list[Pack | Bad] = []
    for part in parts:
        try:
            pack = decode_pack(site, node, stream, part, now=now, kind=kind)
        except Refused as refused:
            found.append(Bad(part, refused))
        else:
            found.append(pack)
            kind = _learn(kind, pack)
    return found


def decode_pack(site: str, node: str, stream: Stream, payload: bytes, *, now: float, kind: str = "") -> Pack:
    """The one pack that `payload` carries; otherwise as `decode_packs`. Raises Refused and nothing else."""
    packs = list(_packs(site, node, stream, _parse(payload), now, kind))
    if len(packs) > 1:
        raise Refused("senml", f"{len(packs)} packs where one was expected")
    return packs[0]


def _packs(site: str, node: str, stream: Stream, records: list[Record], now: float, kind: str) -> Iterator[Pack]:
    """The packs of these records, at least one. Raises Refused at the first that is bad."""
    rest = iter(records)
    first = next(rest, None)
    if first is None:
        raise Refused("senml", "no record")
    base = None
    while first is not None:
        base = base if first.bn is None else first.bn
        if base is None or first.bt is None:
            raise Refused("senml", "the first record needs bn and bt")
        if base != f"{site}/{node}/":
            raise Refused("identity", f"bn is {base!r}, the topic is of {site}/{node}/")
        time = _check_time(first.bt, now)
        own: tuple[Record, ...] = ()
        if first.n != "" or first.v is not None or first.vb is not None:  # else it carries the base fields alone
            first.bn = first.bt = None
            own = (first,)
        first = None
        numbers: dict[str, int] = {}
        readings: list[Record] = []
        for record in chain(own, rest):
            if record.bn is not None or record.bt is not None:
                if record.n != "boot" or record.bt is None:
                    raise Refused("senml", "bn and bt belong into the first record of a pack only")
                first = record
                break
            if record.n in ("boot", "seq"):
                numbers[record.n] = _whole(record, numbers)
            else:
                readings.append(record)
        if len(numbers) != 2:
            raise Refused("sequence", f"{' and '.join({'boot', 'seq'} - numbers.keys())} missing")
        shape = _shape(stream, tuple([record.n for record in readings]), kind)
        pack = Pack(
            site,
            node,
            stream,
            shape.measurement,
            numbers["boot"],
            numbers["seq"],
            time,
            tuple([_reading(record, place, time, now) for record, place in zip(readings, shape.places, strict=True)]),
        )
        if len({(each.time, each.channel, each.quantity) for each in pack.readings}) != len(readings):
            raise Refused("senml", "a quantity appears twice for the same time")
        kind = _learn(kind, pack)
        yield pack


def _learn(kind: str, pack: Pack) -> str:
    """What is known of the node's kind after a pack of it."""
    return pack.measurement if pack.measurement in KINDS else kind


def _parse(payload: bytes) -> list[Record]:
    if len(payload) > MAX_BYTES:
        raise Refused("size", f"{len(payload)} bytes, at most {MAX_BYTES} are allowed")
    try:
        return _decode_records(payload)
    except _UNREADABLE as error:
        # The typed decoder stops at the first wrong type, and has not seen what comes after it.
        try:
            msgspec.json.decode(payload)
        except _UNREADABLE as not_json:
            raise Refused("json", str(not_json)) from error
        raise Refused("senml", str(error)) from error


def _check_time(time: int, now: float) -> int:
    if time > now + MAX_AHEAD:
        raise Refused("future", f"time {time} is {time - int(now)} s ahead of the gateway")
    if time < EARLIEST:
        raise Refused("past", f"time {time} is before 2020: the node's clock was not set")
    return time


def _whole(record: Record, known: Mapping[str, int]) -> int:
    if record.n in known:
        raise Refused("senml", f"{record.n} appears twice")
    value = record.v
    if not isinstance(value, int) or not 0 <= value <= MAX_COUNT:
        raise Refused("sequence", f"{record.n} is {value!r:.40}, not a whole number from 0 to 2^53")
    return value


@lru_cache(1024)
def _shape(stream: Stream, names: tuple[str, ...], kind: str) -> _Shape:
    found = [_look_up(name) for name in names]
    wanted = [each for each in KINDS if all(each in meanings for _, meanings in found)]
    if stream == "health":
        wanted = ["health"] if all("health" in meanings for _, meanings in found) else []
    if len(wanted) != 1:
        if kind not in wanted:
            said = ", ".join(names) or "nothing"
            raise Refused(
                "kind",
                f"{said:.200} fits {' and '.join(wanted) or 'no measurement'}; the node's kind is {kind or 'unknown'}",
            )
        wanted = [kind]
    return _Shape(wanted[0], tuple((channel, meanings[wanted[0]]) for channel, meanings in found))


def _look_up(text: str) -> tuple[str, dict[str, Quantity]]:
    """A record's name as channel and quantity, the latter for each measurement that has it."""
    channel, slash, quantity = text.rpartition("/")
    meanings = _MEANINGS.get((slash == "/", quantity))
    if meanings is None or (slash and _CHANNEL.fullmatch(channel) is None):
        raise Refused(
            "quantity", f"{text!r:.80} is in no table; per lane it is {{channel}}/{{quantity}}, else {{quantity}}"
        )
    return channel, meanings


def _reading(record: Record, place: tuple[str, Quantity], base: int, now: float) -> Reading:
    channel, quantity = place
    if record.u is not None and record.u != quantity.unit:
        raise Refused("unit", f"{record.n} is in {record.u!r:.40}, not in {quantity.unit!r}")
    value = record.vb if quantity.flag else record.v
    if value is None or (record.v is not None and record.vb is not None):
        raise Refused(
            "value", f"{record.n} needs {'vb, true or false' if quantity.flag else 'v, a number'}, and nothing else"
        )
    if not quantity.low <= value <= quantity.high:
        raise Refused("value", f"{record.n} is {value!r:.40}, possible is {quantity.low:g} to {quantity.high:g}")
    time = base
    if record.t:
        if abs(record.t) >= MAX_OFFSET:
            raise Refused("senml", f"t is {record.t}, which is not relative to bt")
        time = _check_time(base + record.t, now)
    return Reading(time, channel, quantity.name, float(value))
