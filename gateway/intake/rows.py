"""One row of a file, and what it is checked against: the very decoder that a node's message goes through. Pure."""

from typing import Any, Final

import msgspec
from msgspec import Struct

from gateway.errors import Refused
from gateway.ingest.decode import decode_pack, parse_topic
from gateway.quantities import KINDS, QUANTITIES
from gateway.records import Pack, Stream

MEASUREMENTS: Final = (*KINDS, "health")
NO_NUMBER: Final = -1
"""`boot` and `seq` of what was never numbered by a node."""

Value = float | bool | str

_FLAGS: Final = frozenset(each.name for each in QUANTITIES if each.flag)
_OF_HEALTH: Final = frozenset(each.name for each in QUANTITIES if each.measurement == "health")
_OF_HEALTH_ALONE: Final = _OF_HEALTH - {each.name for each in QUANTITIES if each.measurement != "health"}


class Row(Struct, frozen=True):
    """What one line says, not checked yet. Empty is "not said"."""

    measurement: str
    site: str
    node: str
    channel: str
    time: int
    """Unix seconds."""
    values: dict[str, Value]
    """By quantity."""


def check(row: Row, now: float, known: str = "") -> Pack:
    """The row as a pack without boot and seq. `known` is the node's kind where the row names none.

    `now` in Unix seconds is the gateway's clock. Raises Refused exactly where a message of a node would be.
    """
    if row.measurement not in ("", *MEASUREMENTS):
        raise Refused("kind", f"{row.measurement!r:.80} is none of {', '.join(MEASUREMENTS)}")
    if not row.values:
        raise Refused("line", "no value in it")
    stream = _stream(row)
    parse_topic(f"ganglion/v1/{row.site}/{row.node}/{stream}")
    pack = decode_pack(row.site, row.node, stream, _message(row), now=now, kind=row.measurement or known)
    if row.measurement not in ("", pack.measurement):
        raise Refused("kind", f"{', '.join(row.values):.200} is of {pack.measurement}, not of {row.measurement}")
    return pack


def _stream(row: Row) -> Stream:
    names = row.values.keys()
    of_health = names <= _OF_HEALTH and not names.isdisjoint(_OF_HEALTH_ALONE)
    return "health" if row.measurement == "health" or (not row.measurement and of_health) else "telemetry"


def _message(row: Row) -> bytes:
    """What a node would have sent."""
    records: list[dict[str, Any]] = [
        {"bn": f"{row.site}/{row.node}/", "bt": row.time, "n": "boot", "v": 0},
        {"n": "seq", "v": 0},
    ]
    for name, value in row.values.items():
        if isinstance(value, str):
            raise Refused("value", f"{name:.80} is {value!r:.40}, not a number")
        # A database and a table hold states as 1 and 0.
        is_state = isinstance(value, bool) or (name in _FLAGS and value in (0, 1))
        label = f"{row.channel}/{name}" if row.channel else name
        records.append({"n": label, "vb": bool(value)} if is_state else {"n": label, "v": value})
    return msgspec.json.encode(records)
