"""InfluxQL statements from a person's words. Pure; everything of the person's is checked or quoted on the way."""

import difflib
import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from msgspec import Struct

from gateway.errors import GanglionError
from gateway.quantities import KINDS, QUANTITIES


class QueryError(GanglionError):
    """A question that cannot be asked, or that the database does not answer; the message says what to change."""


class Aggregate(StrEnum):
    """InfluxQL functions of one field, of the same name there; but for `p5` and the like, which are its percentiles."""

    MEAN = "mean"
    MAX = "max"
    MIN = "min"
    SUM = "sum"
    COUNT = "count"
    MEDIAN = "median"
    FIRST = "first"
    LAST = "last"
    SPREAD = "spread"
    STDDEV = "stddev"
    P5 = "p5"
    P95 = "p95"
    P99 = "p99"


class By(StrEnum):
    """What an aggregate keeps apart."""

    NODE = "node"
    SITE = "site"
    CHANNEL = "channel"
    NONE = "none"


class Rollup(StrEnum):
    """Intervals that the database may hold sums and means of; also the names of the policies they are in."""

    QUARTER = "15m"
    HOUR = "1h"
    DAY = "1d"


# A node's name is unique within its site only, a channel's within its node.
TAGS: Final = {By.NONE: (), By.SITE: ("site",), By.NODE: ("site", "node"), By.CHANNEL: ("site", "node", "channel")}

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION: Final = re.compile(r"(?:[0-9]{1,9}[smhdw])+")
# A statement begins at the beginning and behind semicolons, and nowhere else: what stands there? InfluxDB takes a bare
# CR for the end of a line, and reads on behind a NUL. Strings are not told apart: whoever has a semicolon or an "into"
# in one is refused in error, but no trick with quotes, regular expressions or comments gets through.
_BEGINS: Final = re.compile(r"(?:\A|;)(?:\s|;|--[^\r\n\0]*|/\*.*?\*/)*(\w+|\Z|.)", re.DOTALL)
_READS: Final = ("select", "show", "explain", "")
_INTO: Final = re.compile(r"(?<![a-z_])into(?![a-z_0-9])", re.IGNORECASE | re.ASCII)


class Question(Struct, frozen=True, kw_only=True):
    """The short form. Empty is "any", or "not asked for"."""

    quantity: str
    kind: str = ""
    site: str = ""
    node: str = ""
    channel: str = ""
    last: str = ""
    """A duration up to now; alone, or `begin` and `end`."""
    begin: str = ""
    end: str = ""
    every: str = ""
    """Length of the aggregate's intervals; without it, one for the whole time."""
    offset: str = ""
    """How far the intervals begin behind the whole multiples of their length since 1970."""
    aggregate: Aggregate | None = None
    """Without it and `every`, the readings themselves; with `every` alone, the mean."""
    rollup: Rollup | None = None
    """Ask this roll-up instead of the readings."""
    by: By | None = None
    """Without it, aggregates by node, readings by all that there is."""
    limit: int = 0
    """Rows of each series at most; 0 for all."""


def statement(question: Question) -> str:
    """The SELECT that answers a question. Raises QueryError naming what to change."""
    field = quote_name(question.quantity)
    aggregate = aggregate_of(question)
    tags = [quote_name(tag) for tag in TAGS[question.by or (By.NODE if aggregate else By.CHANNEL)]]
    late = f", {seconds(question.offset)}s" if question.offset else ""
    every = f"time({seconds(question.every)}s{late})" if question.every else ""
    where = _times(question) + at_places(question)
    parts = [
        f"SELECT {_selected(field, aggregate)}",
        f"FROM {source_of(question)}",
        f"WHERE {' AND '.join(where)}",
        f"GROUP BY {', '.join(filter(None, [every, *tags]))}" if every or tags else "",
        "fill(none)" if every else "",
        f"LIMIT {question.limit}" if question.limit else "",
    ]
    return " ".join(filter(None, parts))


def aggregate_of(question: Question) -> Aggregate | None:
    """What is asked for; None for the readings themselves."""
    return question.aggregate or (Aggregate.MEAN if question.every else None)


def at_places(question: Question) -> list[str]:
    """Conditions of InfluxQL for the places that a question names."""
    places = {"site": question.site, "node": question.node, "channel": question.channel}
    return [f"{quote_name(tag)} = {quote_text(text)}" for tag, text in places.items() if text]


def source_of(question: Question) -> str:
    """What stands behind FROM. Raises QueryError."""
    source = quote_name(measurement(question.quantity, question.kind))
    return f"{quote_name(question.rollup)}.{source}" if question.rollup else source


def only_reading(text: str) -> str:
    """InfluxQL as it came, if it changes nothing in any database. Raises QueryError."""
    wrong = [word for word in _BEGINS.findall(text) if word.lower() not in _READS] or _INTO.findall(text)
    if wrong:
        raise QueryError(
            f"{wrong[0]!r} is refused: this command only reads, by SELECT (without INTO), SHOW and EXPLAIN; "
            "change a database with its own client, such as `influx`"
        )
    return text


def measurement(quantity: str, kind: str = "") -> str:
    """Where a quantity is stored. Raises QueryError when there is none of that name, or when several need `kind`."""
    found = {
        name
        for each in QUANTITIES
        if each.name == quantity
        for name in (KINDS if each.measurement == "*" else (each.measurement,))
    }
    if not found:
        names = sorted({each.name for each in QUANTITIES})
        near = difflib.get_close_matches(quantity, names, n=3, cutoff=0.4)
        hint = f"the nearest are {', '.join(near)}" if near else f"known are {', '.join(names)}"
        raise QueryError(f"there is no quantity {quantity!r}; {hint}")
    if kind in found:
        return kind
    kinds = ", ".join(sorted(found))
    if kind:
        raise QueryError(f"there is no {quantity} of kind {kind!r}; it is measured in: {kinds}")
    if len(found) > 1:
        raise QueryError(f"{quantity} is measured in several kinds: choose with --kind one of {kinds}")
    return found.pop()


def seconds(duration: str) -> int:
    """`90s`, `10m`, `24h`, `7d`, `2w`, `1h30m`. Raises QueryError."""
    total = 0
    if _DURATION.fullmatch(duration):
        total = sum(int(number) * _SECONDS[unit] for number, unit in re.findall(r"([0-9]+)([smhdw])", duration))
    if total == 0:
        raise QueryError(f"{duration!r} is no duration: write numbers with s, m, h, d or w, such as 90s, 24h or 1h30m")
    return total


def moment(text: str) -> str:
    """A time that a person gave (see `instant`), as InfluxQL writes it. Raises QueryError."""
    return f"'{instant(text).isoformat().removesuffix('+00:00')}Z'"


def instant(text: str) -> datetime:
    """ISO 8601 (UTC where it names no zone) or Unix seconds. Raises QueryError."""
    try:
        return datetime.fromtimestamp(int(text), UTC) if re.fullmatch("[0-9]{1,11}", text) else _parse(text)
    except (ValueError, OverflowError) as error:
        raise QueryError(
            f"{text!r} is no time: write ISO 8601 such as 2026-11-23T07:00:00Z (or without Z, in UTC), or Unix seconds"
        ) from error


def quote_name(name: str) -> str:
    """An identifier of InfluxQL."""
    return '"' + _escape(name).replace('"', '\\"') + '"'


def quote_text(text: str) -> str:
    """A string of InfluxQL."""
    return "'" + _escape(text).replace("'", "\\'") + "'"


def _selected(field: str, aggregate: Aggregate | None) -> str:
    if aggregate is None:
        return field
    percentile = re.fullmatch(r"p(\d+)", aggregate)
    return f"percentile({field}, {percentile[1]}) AS {aggregate}" if percentile else f"{aggregate}({field})"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _parse(text: str) -> datetime:
    when = datetime.fromisoformat(text)
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).astimezone(UTC)


def _times(question: Question) -> list[str]:
    if question.begin or question.end:
        if question.last:
            raise QueryError("--last ends now: leave it out, or --from and --to")
        bounds = (("time >= ", question.begin), ("time < ", question.end))
        return [comparison + moment(text) for comparison, text in bounds if text]
    return [f"time >= now() - {seconds(question.last or '24h')}s"]
