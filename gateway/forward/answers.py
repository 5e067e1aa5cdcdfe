"""What a database's answer to a write means: the one table that tells passing, lasting and poison apart. Pure.

Sources: InfluxDB 1.6 services/httpd/handler.go (`serveWrite`) and tsdb/shard.go, each 1.x row also provoked on 1.6.7;
InfluxDB 2.7 and 3 Core API references, "Write data"; RFC 9110 §15 for what is not InfluxDB's own.
"""

import re
from collections.abc import Mapping
from typing import Final, Literal

import msgspec
from msgspec import Struct

from gateway.errors import Lasting, Passing, Poison, TargetError


class TooLarge(TargetError):
    """The body is beyond what the server takes in one: send it in halves."""


Verdict = Literal["passing", "lasting", "poison", "part", "halve"]
"""`poison`: nothing of the batch is certain to be written; `part`: all but the refused lines is."""


class Row(Struct, frozen=True):
    """The first row that fits decides."""

    statuses: range
    says: str
    """Regular expression to be found in the server's words, ignoring case."""
    verdict: Verdict
    do: str
    """What a person can do about it."""


ANY: Final = range(300, 600)


def _only(status: int) -> range:
    return range(status, status + 1)


TABLE: Final = (
    # Limits of 1.x come as 400 "partial write" (1.6.7) or as 500: these points will be welcome once the limit is up.
    Row(
        ANY,
        r"max-series-per-database|max-values-per-tag|max-series limit",
        "lasting",
        "raise the limit in the server's configuration (0 is none), or drop series",
    ),
    Row(ANY, "no space left|read-only file system|disk quota", "lasting", "give the server's disk room"),
    # 1.x and 2.x: conflicting type, beyond the retention; 1.6.7 also when single lines cannot be parsed.
    Row(range(400, 423), "partial write", "part", "mend the pack, or the field's type in the database"),
    Row(_only(400), "(database|bucket) is required|unsupported path", "lasting", "check influx.url, influx.database"),
    # 1.x when no line can be parsed, 2.x and 3 when any cannot.
    Row(_only(400), "", "poison", "mend the pack"),
    Row(_only(422), "", "part", "mend the pack, or the field's type in the database"),
    Row(_only(401), "", "lasting", "check influx.token_env and the token or user:password it names"),
    Row(_only(403), "", "lasting", "give the token or user the right to write to influx.database"),
    Row(_only(404), "", "lasting", "create the database or bucket, and check influx.url, influx.api and influx.org"),
    Row(_only(408), "", "passing", "nothing: it is tried again"),
    Row(_only(413), "", "halve", "nothing: it is sent in halves"),
    Row(_only(429), "", "passing", "nothing: it is tried again"),
    Row(range(500, 600), "", "passing", "nothing: it is tried again"),
    Row(ANY, "", "lasting", "check influx.url: this is not what a database answers"),
)


def judge(where: str, status: int, headers: Mapping[str, str], body: bytes | str) -> TargetError:
    """The error to raise for an answer that is no success; `where` names the server for people."""
    words = server_words(headers, body)
    row = next(row for row in TABLE if status in row.statuses and re.search(row.says, words, re.IGNORECASE))
    message = f"{where} answered {status}: {words or 'nothing more'}; to do: {row.do}"
    match row.verdict:
        case "passing":
            return Passing(message, retry_after(headers))
        case "lasting":
            return Lasting(message)
        case "halve":
            return TooLarge(message)
        case "poison" | "part":
            return Poison(message, rest_written=row.verdict == "part")


def unreachable(where: str, error: Exception) -> Passing:
    """The error to raise when there is no answer at all."""
    return Passing(f"{where} does not answer: {_innermost(error)}; to do: start it, or check influx.url")


def server_words(headers: Mapping[str, str], body: bytes | str) -> str:
    """What the server says for people, on one line, at most 500 characters. Empty when it says nothing."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
    try:
        said = msgspec.json.decode(text)
    except msgspec.DecodeError:
        said = None
    if isinstance(said, dict):
        text = str(said.get("error") or said.get("message") or text)
        if isinstance(said.get("data"), list):  # 3 Core names each refused line
            text += ": " + "; ".join(str(each) for each in said["data"])
    return " ".join((text or headers.get("X-Influxdb-Error", "")).split())[:500]


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The server's wish in seconds (RFC 9110 §10.2.3); its other form, a date, is not used by any InfluxDB."""
    value = next((value for name, value in headers.items() if name.lower() == "retry-after"), "")
    return float(value) if re.fullmatch(r"\d{1,6}", value) else None


def _innermost(error: BaseException) -> str:
    """`Connection refused` instead of the four exceptions around it."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return (error.strerror if isinstance(error, OSError) and error.strerror else str(error)) or type(error).__name__
