"""One line of the audit log, and the rule of the chain. Pure.

**The rule.** A line is one JSON object in ASCII, closed by one newline (0x0A). Its hash is the SHA-256 of the whole
line as it lies on the disk, the newline with it. The member `prev` of each line is the hash, 64 hexadecimal digits in
lower case, of the line before it, over the ends of files too; that of the very first line is 64 zeros. `n` counts the
lines from 1 without a hole. The *head* is the hash of the last line. So a stranger needs no program of ours:

    sed -n 7p FILE | sha256sum     # is `prev` of line 8
    tail -n 1 FILE | sha256sum     # is the head
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Struct

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"

START: Final = "0" * 64
"""`prev` of the first line of all."""
MOST_TEXT: Final = 256
"""Characters of a name; more are cut off."""
MOST_DETAIL: Final = 4096
"""Bytes of a detail; of a larger one its beginning and its hash are kept."""
MOST_LINE: Final = 16_384
"""Bytes: no line is longer."""
KEPT_BACK: Final = "(kept back)"
SECRET: Final = re.compile(
    r"(^|[._-])(password|passphrase|secret|token|psk|key|endpoint|auth|p256dh|authorization)$", re.I
)
"""Names of members whose values are never written, whoever hands them over."""


class Entry(Struct, frozen=True, kw_only=True):
    """What one line says."""

    n: int
    time: str
    """RFC 3339 in UTC, to the microsecond, by the gateway's clock."""
    act: str
    """Words in lower case with dots: `login.ok`, `config`, `identity.revoke`."""
    who: str
    """Of the console by name, of a command line as `user@host cli`; `?` where nobody knows."""
    of: str = ""
    """What it was done to: a node, a user, an incident."""
    came: str = ""
    """From where: an address."""
    detail: dict[str, Any] = {}
    prev: str

    @property
    def seconds(self) -> float:
        """Unix seconds of `time`; 0 where it is none."""
        try:
            return datetime.fromisoformat(self.time).timestamp()
        except ValueError:
            return 0.0


def line(
    n: int, seconds: float, act: str, who: str, of: str, came: str, detail: Mapping[str, JSON], prev: str
) -> bytes:
    """With its newline; `seconds` are Unix seconds. Secrets in `detail` are kept back."""
    fields: dict[str, Any] = {
        "n": n,
        "time": datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "act": _cut(act),
        "who": _cut(who),
    }
    fields |= {name: _cut(text) for name, text in (("of", of), ("came", came)) if text}
    if detail:
        kept = _plain(detail)
        if len(text := _written(kept)) > MOST_DETAIL:
            kept = {"cut": text[: MOST_DETAIL // 2], "bytes": len(text), "sha256": sha256(text.encode()).hexdigest()}
        fields["detail"] = kept
    return f"{_written(fields | {'prev': prev})}\n".encode("ascii")


def read(data: bytes) -> Entry | None:
    """What a line, with or without its newline, says; None for what is no line of a log."""
    try:
        return msgspec.json.decode(data, type=Entry)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def digest(data: bytes) -> str:
    """The hash of a whole line."""
    return sha256(data).hexdigest()


def _written(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def _cut(text: str) -> str:
    whole = _text(text)
    return whole if len(whole) <= MOST_TEXT else f"{whole[: MOST_TEXT - 3]}..."


def _text(text: str) -> str:
    """Half characters, as of a file name that is no UTF-8, are escaped."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _plain(value: Any, depth: int = 8) -> Any:
    """As JSON can have it, without secrets."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str) or depth == 0:
        return _text(str(value))
    if isinstance(value, Mapping):
        return {
            _text(str(name)): KEPT_BACK if SECRET.search(str(name)) else _plain(each, depth - 1)
            for name, each in value.items()
        }
    return [_plain(each, depth - 1) for each in value] if isinstance(value, Sequence) else _text(str(value))
