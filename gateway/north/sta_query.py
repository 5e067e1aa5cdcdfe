"""Questions to SensorThings: paths and query options, and what becomes of them in InfluxQL. Pure."""

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from gateway.north.answers import Problem
from gateway.north.newest import Place
from gateway.north.things import RELATIONS
from gateway.query.influxql import QueryError, moment, quote_name, quote_text

MOST: Final = 1000
"""Entities in one answer, whatever $top asks for; @iot.nextLink leads on."""
USUAL: Final = 100
OPTIONS: Final = ("$top", "$skip", "$count", "$orderby", "$filter", "$select", "$expand")
TIMES: Final = ("phenomenonTime", "resultTime")
COMPARISONS: Final[Mapping[str, str]] = {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "eq": "="}
_SEGMENT: Final = re.compile(r"([A-Za-z]+|\$value|\$ref)(?:\((?:'((?:[^']|'')*)'|(-?[0-9]+))\))?")
_CONDITION: Final = re.compile(r"(\w+) (gt|ge|lt|le|eq) '?([0-9T:.Z+-]+)'?", re.IGNORECASE)


class Segment(NamedTuple):
    """`Things('a')`, `Datastreams`, `name`."""

    name: str
    key: str | None


class Options(NamedTuple):
    """What the options ask for, checked but for names of entities' properties."""

    top: int = USUAL
    skip: int = 0
    counted: bool = False
    order: str = ""
    descending: bool = False
    conditions: Sequence[str] = ()
    """InfluxQL on `time`."""
    select: Sequence[str] = ()
    expand: Sequence[str] = ()


def parse_path(path: str) -> list[Segment]:
    """Raises Problem."""
    found = []
    for text in path.strip("/").split("/"):
        match = _SEGMENT.fullmatch(text)
        if match is None:
            raise Problem(
                404, "No such path", f"{text!r} is no set, entity or property: write Things('id')/Datastreams"
            )
        key = match[2].replace("''", "'") if match[2] is not None else match[3]
        found.append(Segment(match[1], key))
    return found


def parse_options(given: Mapping[str, str], of: str, single: bool) -> Options:
    """Of a question about the set `of`, or about one entity of it. Raises Problem that says what is supported."""
    for name in given:
        if name not in OPTIONS:
            raise Problem(501 if name.startswith("$") else 400, "Not supported", f"{name} is not supported; {_known()}")
        if single and name not in ("$select", "$expand"):
            raise Problem(400, "Not of one entity", f"{name} is for sets; for one entity there are $select and $expand")
    order, descending = _order(given.get("$orderby", ""), of)
    count = given.get("$count", "false")
    if count not in ("true", "false"):
        raise Problem(400, "Bad request", f"$count={count}: write true or false")
    return Options(
        top=min(_number(given, "$top", USUAL), MOST),
        skip=_number(given, "$skip", 0),
        counted=count == "true",
        order=order,
        descending=descending,
        conditions=_conditions(given["$filter"], of) if "$filter" in given else (),
        select=_names(given.get("$select", "")),
        expand=_expansions(given.get("$expand", ""), of),
    )


def observations_statements(place: Place, quantity: str, options: Options) -> tuple[str, str]:
    """InfluxQL: one more than fit the page, to see whether there are more; and how many there are in all."""
    tags = {"site": place.site, "node": place.node, "channel": place.channel}
    where = [f"{quote_name(tag)} = {quote_text(text)}" for tag, text in tags.items() if text]
    rest = f"FROM {quote_name(place.measurement)} WHERE {' AND '.join([*where, *options.conditions])}"
    name = quote_name(quantity)
    order = f"ORDER BY time {'DESC' if options.descending else 'ASC'}"
    page = f"SELECT {name} {rest} {order} LIMIT {options.top + 1} OFFSET {options.skip}"
    return page, f"SELECT count({name}) {rest}"


def _known() -> str:
    return f"options are {', '.join(OPTIONS)}"


def _number(given: Mapping[str, str], name: str, usual: int) -> int:
    text = given.get(name, str(usual))
    if not re.fullmatch("[0-9]{1,9}", text):
        raise Problem(400, "Bad request", f"{name}={text}: write a whole number from 0")
    return int(text)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",")) if text else ()


def _order(text: str, of: str) -> tuple[str, bool]:
    names = TIMES if of == "Observations" else ("name", "id", "@iot.id")
    if not text:
        return "", False
    name, _, direction = text.strip().partition(" ")
    if name not in names or direction.lower() not in ("", "asc", "desc"):
        raise Problem(
            501, "Not supported", f"$orderby={text} is not supported; {of} are ordered by {names[0]} asc or desc"
        )
    return name, direction.lower() == "desc"


def _conditions(text: str, of: str) -> tuple[str, ...]:
    if of != "Observations":
        raise Problem(501, "Not supported", f"$filter is supported on Observations, by {TIMES[0]}; not on {of}")
    found = []
    for part in re.split(" and ", text.strip(), flags=re.IGNORECASE):
        match = _CONDITION.fullmatch(part.strip().strip("()"))
        if match is None or match[1] not in TIMES:
            raise Problem(
                501,
                "Not supported",
                f"$filter={text} is not supported; write {TIMES[0]} ge 2026-11-23T00:00:00Z and {TIMES[0]} lt ..., "
                f"with {', '.join(COMPARISONS)}",
            )
        try:
            found.append(f"time {COMPARISONS[match[2].lower()]} {moment(match[3])}")
        except QueryError as error:
            raise Problem(400, "No time", f"$filter: {error}") from error
    return tuple(found)


def _expansions(text: str, of: str) -> tuple[str, ...]:
    names = _names(text)
    for name in names:
        if name not in RELATIONS[of]:
            deep = "/" in name or "(" in name or ")" in name
            raise Problem(
                501 if deep else 400,
                "Not supported" if deep else "Bad request",
                f"$expand={text} is not supported; of {of} one level can be expanded: {', '.join(RELATIONS[of])}",
            )
    return names
