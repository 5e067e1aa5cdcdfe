"""A message of several packs, taken apart where it cannot be decoded whole: only the bad ones are lost. Pure."""

import re
from typing import Any, Final

import msgspec
from msgspec import Struct

_SEAM: Final = re.compile(
    rb',\s*(?=\{\s*(?:"bn"\s*:\s*"[^"\\]*"\s*,\s*)?"bt"\s*:\s*[0-9]+\s*,\s*"n"\s*:\s*"boot"\s*[,}])'
)
"""Before a further pack, as nodes write it. It cannot be within a text: there a quotation mark has a backslash."""
_BASE: Final = re.compile(rb'\s*\[?\s*\{\s*"bn"\s*:\s*("[^"\\]*")')


class _Head(Struct):
    """As much of a record as tells where a pack begins, whatever else is wrong with it."""

    bn: Any = None
    bt: Any = None
    n: Any = None


_decode_raw = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_head = msgspec.json.Decoder(_Head).decode
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def split(payload: bytes) -> list[bytes]:
    """The packs of a message as messages of their own; fewer than two when it does not hold several."""
    try:
        records = _decode_raw(payload)
    except _UNREADABLE:
        return _tear(payload)
    parts: list[list[bytes]] = [[]]
    base = ""
    for raw in records:
        record = bytes(raw)
        try:
            head = _decode_head(record)
        except _UNREADABLE:
            head = _Head()
        if parts[-1] and head.bt is not None and head.n == "boot":
            parts.append([])
            if head.bn is None and base:
                record = b'{"bn":' + msgspec.json.encode(base) + b"," + record[1:]
        base = head.bn if isinstance(head.bn, str) else base
        parts[-1].append(record)
    return [b"[" + b",".join(part) + b"]" for part in parts]


def _tear(payload: bytes) -> list[bytes]:
    """The same for what is no JSON: one pack with a NaN in it spoils the form of the whole message, but not its seams.

    Nothing is closed that was left open, so a message that was cut short does not pass for a whole one.
    """
    pieces = _SEAM.split(payload)
    base = b""
    for at, piece in enumerate(pieces):
        own = _BASE.match(piece)
        if own is not None:
            base = own[1]
        elif at and base:
            pieces[at] = b'{"bn":' + base + b"," + piece[1:]
    return [(b"[" if at else b"") + piece + (b"]" if at < len(pieces) - 1 else b"") for at, piece in enumerate(pieces)]
