"""What a database's answer to a write means: the one table that tells passing, lasting and poison apart. Pure.

Sources: InfluxDB 1.6 services/httpd/handler.go (`serveWrite`) and tsdb/shard.go, each 1.x row also provoked on 1.6.7;
InfluxDB 2.7 and 3 Core API references, "Write data" and "Troubleshoot issues writing data"; the errors of 3 Core's
catalog for its limits; RFC 9110 §15 for what is not InfluxDB's own.

A success is 204 and nothing else: a proxy or a captive portal may well answer 200. And only a database can call lines
poison: a 400 that is not in its words (JSON) is a proxy's, and condemns nothing.
"""

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final, Literal

import msgspec
from msgspec import Struct

from gateway.errors import Lasting, Passing, Poison, TargetError
from gateway.secret import redacted


class TooLarge(TargetError):
    """The body is beyond what the server takes in one: send it in halves."""


UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What the decoding of a stranger's bytes may raise."""

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


ANY: Final = range(100, 1000)


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
    # 3 Core: tables, columns and databases are limited in number.
    Row(ANY, "would exceed number of .* limit", "lasting", "drop databases, tables or columns that are not needed"),
    Row(ANY, "no space left|read-only file system|disk quota", "lasting", "give the server's disk room"),
    # 1.x with 500: the database's default policy was dropped.
    Row(
        ANY,
        "retention policy not found",
        "lasting",
        "give the database a default retention policy: `ganglion influx setup`",
    ),
    Row(range(400, 500), "body too large", "halve", "nothing: it is sent in halves"),
    # The body was cut or damaged on the way; it is not the lines that are wrong.
    Row(_only(400), r"\A(unexpected EOF|EOF|gzip: |flate: |read tcp|http: )", "passing", "nothing: it is tried again"),
    # 1.x and 2.x: conflicting type, beyond the retention; 1.6.7 also when single lines cannot be parsed. 3 Core: any.
    Row(range(400, 423), "partial write", "part", "mend the pack, or the field's type in the database"),
    Row(_only(400), "(database|bucket) is required|unsupported path", "lasting", "check influx.url, influx.database"),
    Row(_only(400), "please provide either orgID or org", "lasting", "set influx.org"),
    # 1.x when no line can be parsed, 2.x and 3 when any cannot.
    Row(_only(400), "", "poison", "mend the pack"),
    Row(_only(422), "", "part", "mend the pack, or the field's type in the database"),
    Row(_only(401), "", "lasting", "check influx.token_env or token_file, and the token or user:password it holds"),
    Row(_only(403), "", "lasting", "give the token or user the right to write to influx.database"),
    Row(_only(404), "", "lasting", "create the database or bucket, and check influx.url, influx.api and influx.org"),
    Row(_only(408), "", "passing", "nothing: it is tried again"),
    Row(_only(413), "", "halve", "nothing: it is sent in halves"),
    Row(_only(429), "", "passing", "nothing: it is tried again"),
    Row(range(500, 600), "", "passing", "nothing: it is tried again"),
    Row(range(300, 400), "", "lasting", "set influx.url to where it points"),
    Row(ANY, "", "lasting", "check influx.url: this is not what a database answers"),
)
STRANGER: Final = TABLE[-1]


def judge(where: str, status: int, headers: Mapping[str, str], body: bytes | str) -> TargetError:
    """The error to raise for an answer that is no success; `where` names the server for people."""
    words = server_words(headers, body)
    row = next(row for row in TABLE if status in row.statuses and re.search(row.says, words, re.IGNORECASE))
    if row.verdict in ("poison", "part") and _said(body) is None:
        row = STRANGER
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
    said = _said(body)
    if said is None:
        text = _HTML.sub(" ", _text(body)[:PAGE])
    else:
        text = str(said.get("error") or said.get("message") or _text(body))
        if data := said.get("data"):  # 3 Core names each refused line, up to a hundred
            text += ": " + "; ".join(str(each) for each in (data if isinstance(data, list) else [data]))
    text = text if text.strip() else _header(headers, "X-Influxdb-Error") or _header(headers, "Location")
    return redacted(" ".join(text.split()))[:500]


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The server's wish in seconds (RFC 9110 §10.2.3).

    A date, the form that proxies use, is taken against the answer's own `Date`: whose clock is right does not matter.
    """
    value = _header(headers, "Retry-After")
    if re.fullmatch(r"\d{1,6}", value):
        return float(value)
    try:
        wait = parsedate_to_datetime(value) - parsedate_to_datetime(_header(headers, "Date"))
    except (ValueError, TypeError, OverflowError):  # no date, or one of the two without its zone
        return None
    return max(0.0, wait.total_seconds())


PAGE: Final = 8192
"""Of a page that is no database's, so much is looked at."""
_HTML: Final = re.compile(r"<(?:style|script).*?</(?:style|script)\s*>|<[^>]*>", re.DOTALL | re.IGNORECASE)


def _text(body: bytes | str) -> str:
    return body.decode("utf-8", "replace") if isinstance(body, bytes) else body


def _said(body: bytes | str) -> dict[str, object] | None:
    """A database's own words: all InfluxDBs send a JSON object. None for anything else."""
    try:
        said = msgspec.json.decode(_text(body))
    except UNREADABLE:
        return None
    return said if isinstance(said, dict) else None


def _header(headers: Mapping[str, str], name: str) -> str:
    return next((value for key, value in headers.items() if key.lower() == name.lower()), "")


def _innermost(error: BaseException) -> str:
    """`Connection refused` instead of the four exceptions around it."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return (error.strerror if isinstance(error, OSError) and error.strerror else str(error)) or type(error).__name__
