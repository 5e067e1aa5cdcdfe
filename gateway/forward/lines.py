"""Packs and incidents as InfluxDB line protocol, timestamps in whole seconds. Pure.

Escapes as InfluxDB 1.x's own parser undoes them (models/points.go): in measurements `,` and space; in tags and field
names also `=`; in strings `"` and backslash. A backslash elsewhere stands for itself. What it cannot hold (a line
break outside of strings, a backslash at the end, in names also one before an escape) is ValueError here, instead of
another value in the database.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Final, NamedTuple

from gateway.records import Incident, Pack, Shape
from gateway.shapes import lanes, picker

INCIDENT: Final = "incident"
"""The measurement of incidents; all others are kinds of nodes, and `health`."""

_SPECIAL: Final = str.maketrans({",": "\\,", " ": "\\ ", "=": "\\="})
_SPECIAL_IN_MEASUREMENT: Final = str.maketrans({",": "\\,", " ": "\\ "})
_SPECIAL_IN_STRING: Final = str.maketrans({'"': '\\"', "\\": "\\\\"})
_NO_TAG: Final = re.compile(r"[\n\r]|\\\Z")
_NO_NAME: Final = re.compile(r"[\n\r]|\\([,= ]|\Z)")

FieldValue = float | str


def line(measurement: str, tags: Mapping[str, str], fields: Mapping[str, FieldValue], time: int) -> bytes:
    """One point. Empty tags are left out; numbers are written as floats, to the last bit; `time` in Unix seconds.

    Raises ValueError for names and tags that line protocol cannot hold.
    """
    body = ",".join(f"{_field(name)}={_value(value)}" for name, value in fields.items())
    return f"{_series(measurement, tags)} {body} {time}".encode()


def pack_lines(pack: Pack) -> list[bytes]:
    """The points of a pack, in its order: one for each time and channel, with all quantities of that place.

    A pack without readings has none.
    """
    if not pack.times:
        form, picked = _form(pack.shape)
        return (form % picked((*pack.values, pack.time, _owner(pack.site, pack.node)))).encode().splitlines()
    points: dict[tuple[int, str], list[str]] = {}
    for time, (channel, quantity), value in zip(pack.times, pack.shape.places, pack.values, strict=True):
        points.setdefault((time, channel), []).append(f"{_field(quantity)}={value!r}")
    return [
        f"{_series(pack.measurement, _tags(pack.site, pack.node, channel))} {','.join(fields)} {time}".encode()
        for (time, channel), fields in points.items()
    ]


def incident_lines(incident: Incident) -> list[bytes]:
    """The point of its beginning, and those of its confirmation and its end, once it has them.

    All each time: an incident may have ended before the database heard of it at all. Each is of the kind that it was
    told as then. Where it turned out to be another there are two: with one it ends being that, with one it begins.
    """
    summaries = (*(each.summary for each in incident.was), incident.summary)
    told = [_Told(kind, time, why) for (kind, time), why in zip(incident.told, summaries, strict=True)]
    confirmed, times = incident.confirmed, {each.since for each in told}
    lines = [_point(incident, told[0], "held" if incident.held else "open", incident.opened)]
    for before, now in pairwise(told):
        is_confirmed = confirmed is not None and confirmed <= now.since
        stands = "held" if incident.held else "confirmed" if is_confirmed else "open"
        lines += [_point(incident, before, "turned", now.since), _point(incident, now, stands, now.since)]
    if confirmed is not None and confirmed > incident.opened and confirmed not in {incident.closed, *times}:
        then = next(each for each in reversed(told) if each.since < confirmed)
        lines.append(_point(incident, then, "confirmed", confirmed))
    if incident.closed is not None:
        lasted = float(incident.closed - incident.opened)
        lines.append(_point(incident, told[-1], "closed", incident.closed, duration_s=lasted))
    return lines


class _Told(NamedTuple):
    kind: str
    since: int
    summary: str


def _point(incident: Incident, told: _Told, state: str, time: int, **more: float) -> bytes:
    tags = {"channel": incident.channel, "kind": told.kind, "node": incident.node, "site": incident.site}
    said = {"id": incident.id, "severity": incident.severity, "summary": told.summary, "state": state}
    return line(INCIDENT, tags, {**said, **more}, time)


def _series(measurement: str, tags: Mapping[str, str]) -> str:
    _check(measurement, _NO_NAME)
    head = measurement.translate(_SPECIAL_IN_MEASUREMENT)
    for key in sorted(tags):  # spares the server the sorting
        if tags[key]:
            _check(key, _NO_TAG)
            _check(tags[key], _NO_TAG)
            head += f",{key.translate(_SPECIAL)}={tags[key].translate(_SPECIAL)}"
    return head


@lru_cache(1024)
def _form(shape: Shape) -> tuple[str, Callable[[Sequence[float | str]], tuple[float | str, ...]]]:
    """The lines of a pack whose values are all of its time, with gaps, and what fills the gaps in turn: picked from
    the values and, behind them, time and owner. The same for every pack of a shape, so it is made once.
    """
    lines = lanes(shape)
    text = "\n".join(
        f"{_percent(_series(shape.measurement, {'channel': channel}))}%s "
        f"{','.join([f'{_percent(_field(shape.places[at][1]))}=%r' for at in places])} %d"
        for channel, places in lines.items()
    )
    gaps = [at for places in lines.values() for at in (-1, *places, -2)]
    return text, picker(gaps)


@lru_cache(16_384)
def _owner(site: str, node: str) -> str:
    """The tags that come after the channel's."""
    return _series("", {"node": node, "site": site})


def _tags(site: str, node: str, channel: str) -> dict[str, str]:
    return {"channel": channel, "node": node, "site": site}


def _percent(text: str) -> str:
    return text.replace("%", "%%")


@lru_cache(1024)
def _field(name: str) -> str:
    _check(name, _NO_NAME)
    return name.translate(_SPECIAL)


def _value(value: FieldValue) -> str:
    return f'"{value.translate(_SPECIAL_IN_STRING)}"' if isinstance(value, str) else repr(float(value))


def _check(text: str, unfit: re.Pattern[str]) -> None:
    if found := unfit.search(text):
        raise ValueError(f"{text!r} cannot be a name or tag in line protocol because of {found[0]!r}; choose another")
