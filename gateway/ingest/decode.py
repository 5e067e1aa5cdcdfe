"""From topic and bytes to packs, or to the reason why not. Pure: the clock and the node's known kind are handed in.

SenML JSON (RFC 8428) in the profile of the protocol: integer base time, no sums, no base value or unit. A field that
is not known here could change the meaning of a value, so it refuses the pack instead of being skipped.

A message may hold several packs one after another. A pack that is bad is refused alone, with the bytes of its own part.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from itertools import repeat
from operator import itemgetter, le
from typing import Any, Final, NamedTuple, cast

import msgspec
from msgspec import Struct

from gateway.config import NAME
from gateway.errors import Refused
from gateway.ingest.split import split
from gateway.quantities import KINDS, QUANTITIES, Quantity
from gateway.records import Pack, Shape, Status, Stream
from gateway.shapes import picker

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
    "line": "a line of an imported file that is neither a point nor a row of it",
    "influx": "the database refused it for good",
    "damaged": "the gateway's disk has spoilt it",
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


class Record(Struct, forbid_unknown_fields=True, gc=False):
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


class _Layout(Struct, frozen=True):
    """What the names and units of a pack's records come to. Nodes send the same ones over and over."""

    shape: Shape
    quantities: tuple[Quantity, ...]
    numbers: Callable[[list[Any]], tuple[Any, Any]]
    """(boot, seq) out of something of each record."""
    readings: Callable[[list[Any]], tuple[Any, ...]]
    """The same of the records that are readings."""
    lows: tuple[float, ...]
    highs: tuple[float, ...]
    plain: bool
    """All are numbers, and each place is there once."""


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
    if not 0 <= status.boot <= MAX_COUNT:  # JSON has numbers that no store has
        raise Refused("status", f"boot is {status.boot!r:.40}, not a whole number from 0 to 2^53")
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
    if not records:
        raise Refused("senml", "no record")
    base = None
    for own in _apart(records):
        first = own[0]
        base = base if first.bn is None else first.bn
        if base is None or first.bt is None:
            raise Refused("senml", "the first record needs bn and bt")
        if base != f"{site}/{node}/":
            raise Refused("identity", f"bn is {base!r}, the topic is of {site}/{node}/")
        time = _check_time(first.bt, now)
        if first.n == "" and first.v is None and first.vb is None:
            del own[0]  # it carries the base fields alone
        pack = _pack(site, node, stream, own, time, now, kind)
        kind = _learn(kind, pack)
        yield pack


def _apart(records: list[Record]) -> list[list[Record]]:
    """The records of each pack."""
    bases = [at for at, record in enumerate(records) if record.bt is not None or record.bn is not None]
    if bases == [0]:
        return [records]
    for at in bases:
        if at and (records[at].n != "boot" or records[at].bt is None):
            raise Refused("senml", "bn and bt belong into the first record of a pack only")
    begins = [0, *(at for at in bases if at)]
    return [records[begin:end] for begin, end in zip(begins, [*begins[1:], len(records)], strict=True)]


def _pack(site: str, node: str, stream: Stream, own: list[Record], time: int, now: float, kind: str) -> Pack:
    names = tuple([record.n for record in own])
    layout = _layout(stream, kind, names, tuple([record.u for record in own]))
    values = [record.v for record in own]
    boot, seq = layout.numbers(values)
    if type(boot) is not int or type(seq) is not int or not (0 <= boot <= MAX_COUNT and 0 <= seq <= MAX_COUNT):
        raise _no_numbers(boot, seq)
    flags = [record.vb for record in own]
    taken = layout.readings(values)
    if not layout.plain or None in taken or flags.count(None) != len(flags):
        taken = _with_flags(layout, taken, layout.readings(flags))
    if not (all(map(le, layout.lows, taken)) and all(map(le, taken, layout.highs))):
        raise _impossible(layout, taken)
    offsets = layout.readings([record.t for record in own])
    times = _times(offsets, time, now) if any(offsets) else ()
    if not layout.plain:
        _check_once(layout.shape, times)
    return Pack(site, node, stream, layout.shape, boot, seq, time, tuple(map(float, taken)), times)


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


def _no_numbers(boot: object, seq: object) -> Refused:
    name, value = next(
        (name, value)
        for name, value in (("boot", boot), ("seq", seq))
        if not isinstance(value, int) or not 0 <= value <= MAX_COUNT
    )
    return Refused("sequence", f"{name} is {value!r:.40}, not a whole number from 0 to 2^53")


@lru_cache(1024)
def _layout(stream: Stream, kind: str, names: tuple[str, ...], units: tuple[str | None, ...]) -> _Layout:
    numbers = {name: at for at, name in enumerate(names) if name in ("boot", "seq")}
    for name in numbers:
        if names.count(name) > 1:
            raise Refused("senml", f"{name} appears twice")
    if len(numbers) != 2:
        raise Refused("sequence", f"{' and '.join(sorted({'boot', 'seq'} - numbers.keys()))} missing")
    places = [at for at in range(len(names)) if at not in numbers.values()]
    found = [_look_up(names[at]) for at in places]
    measurement = _measurement(stream, kind, [names[at] for at in places], [meanings for _, meanings in found])
    quantities = tuple(meanings[measurement] for _, meanings in found)
    for at, quantity in zip(places, quantities, strict=True):
        if units[at] not in (None, quantity.unit):
            raise Refused("unit", f"{names[at]} is in {units[at]!r:.40}, not in {quantity.unit!r}")
    return _Layout(
        shape=Shape(
            measurement, tuple((channel, each.name) for (channel, _), each in zip(found, quantities, strict=True))
        ),
        quantities=quantities,
        numbers=itemgetter(numbers["boot"], numbers["seq"]),
        readings=picker(places),
        lows=tuple(each.low for each in quantities),
        highs=tuple(each.high for each in quantities),
        plain=len(set(names)) == len(names) and not any(each.flag for each in quantities),
    )


def _measurement(stream: Stream, kind: str, names: list[str], meanings: list[dict[str, Quantity]]) -> str:
    """What the quantities belong to; the node's kind decides where they leave it open."""
    wanted = [each for each in KINDS if all(each in every for every in meanings)]
    if stream == "health":
        wanted = ["health"] if all("health" in every for every in meanings) else []
    if len(wanted) == 1:
        return wanted[0]
    if kind in wanted:
        return kind
    said = ", ".join(names) or "nothing"
    raise Refused(
        "kind",
        f"{said:.200} fits {' and '.join(wanted) or 'no measurement'}; the node's kind is {kind or 'unknown'}",
    )


def _look_up(text: str) -> tuple[str, dict[str, Quantity]]:
    """A record's name as channel and quantity, the latter for each measurement that has it."""
    channel, slash, quantity = text.rpartition("/")
    meanings = _MEANINGS.get((slash == "/", quantity))
    if meanings is None or (slash and _CHANNEL.fullmatch(channel) is None):
        raise Refused(
            "quantity", f"{text!r:.80} is in no table; per lane it is {{channel}}/{{quantity}}, else {{quantity}}"
        )
    return channel, meanings


def _with_flags(layout: _Layout, numbers: tuple[Any, ...], flags: tuple[Any, ...]) -> tuple[Any, ...]:
    """The values where some are states: each reading has one of both, the one that its quantity asks for."""
    taken = []
    for place, quantity, number, flag in zip(layout.shape.places, layout.quantities, numbers, flags, strict=True):
        value = flag if quantity.flag else number
        if value is None or (number is not None and flag is not None):
            wanted = "vb, true or false" if quantity.flag else "v, a number"
            raise Refused("value", f"{_name(place)} needs {wanted}, and nothing else")
        taken.append(value)
    return tuple(taken)


def _impossible(layout: _Layout, values: tuple[float, ...]) -> Refused:
    for place, quantity, value in zip(layout.shape.places, layout.quantities, values, strict=True):
        if not quantity.low <= value <= quantity.high:
            possible = f"{quantity.low:g} to {quantity.high:g}"
            return Refused("value", f"{_name(place)} is {value!r:.40}, possible is {possible}")
    raise AssertionError("all values are possible")


def _times(offsets: tuple[int, ...], base: int, now: float) -> tuple[int, ...]:
    for offset in offsets:
        if abs(offset) >= MAX_OFFSET:
            raise Refused("senml", f"t is {offset}, which is not relative to bt")
    return tuple([_check_time(base + offset, now) if offset else base for offset in offsets])


def _check_once(shape: Shape, times: tuple[int, ...]) -> None:
    if len(set(zip(shape.places, times or repeat(0)))) != len(shape.places):  # noqa: B905 - one of them has no end
        raise Refused("senml", "a quantity appears twice for the same time")


def _name(place: tuple[str, str]) -> str:
    return "/".join(filter(None, place))
