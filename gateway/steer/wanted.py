"""The wanted configuration of a node as a person changes it: keys with dots, values in JSON. Pure.

Whether a key or a value can be used is the node's to say: it knows its kind, its sensors and its version.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from gateway.near import hint
from gateway.steer.errors import SteerError

Table = dict[str, Any]

MAX_BYTES: Final = 3800
"""A node reads messages of 4096 bytes, the topic with them."""


def parse(settings: Iterable[str]) -> Table:
    """`["sensors.lanes=4", "ntp=pool.example"]` as a table. A value that is no JSON is a text. Raises SteerError."""
    table: Table = {}
    for each in settings:
        key, equals, text = each.partition("=")
        if not equals or not all(key.split(".")):
            raise SteerError(f"{each!r} is not key=value, such as window_s=30 or sensors.lanes=4")
        try:
            value = msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeEncodeError):
            value = text
        for name in reversed(key.split(".")):
            value = {name: value}
        table = merge(table, value)
    return table


def merge(old: Mapping[str, Any], new: Mapping[str, Any]) -> Table:
    """Both, the new values where both have one; tables are merged, everything else is replaced."""
    merged = dict(old)
    for key, value in new.items():
        before = merged.get(key)
        merged[key] = merge(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return merged


def without(table: Mapping[str, Any], key: str) -> Table:
    """The table without a key, and without tables that this leaves empty. Raises SteerError when it is not there."""
    name, _, rest = key.partition(".")
    if name not in table or (rest and not isinstance(table[name], dict)):
        raise SteerError(f"{key} is not among what is wanted{hint(name, table)}")
    smaller = dict(table)
    inner = without(table[name], rest) if rest else {}
    if inner:
        smaller[name] = inner
    else:
        del smaller[name]
    return smaller


def flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """One entry for each value, its key with dots. A table that is empty is a value."""
    entries: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict) and value:
            entries |= flat(value, f"{prefix}{key}.")
        else:
            entries[prefix + key] = value
    return entries


def encode(table: Mapping[str, Any]) -> bytes:
    """The message. Raises SteerError when a node could not read it."""
    payload = msgspec.json.encode(table)
    if len(payload) > MAX_BYTES:
        raise SteerError(f"the wanted configuration has {len(payload)} bytes, a node reads at most {MAX_BYTES}")
    return payload
