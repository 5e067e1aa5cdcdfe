"""One line of InfluxDB line protocol as a row. Pure, strict.

Syntax and escapes as InfluxDB 1.x's own parser has them (models/points.go), the same that `gateway.forward.lines`
writes. The parsers on PyPI keep one of two fields of the same name without a word, so there is one here.
"""

import re
from typing import Final, Literal, TypeVar

from gateway.errors import Refused
from gateway.intake.rows import Row, Value

T = TypeVar("T")

Precision = Literal["s", "ms", "us", "ns"]
PER_SECOND: Final[dict[Precision, int]] = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}

# Possessive (`++`): an escape once read is never taken apart again to make the rest fit.
_NAME: Final = r"(?:\\[,= ]|[^,= ])++"
_VALUE: Final = r'(?:"(?:\\.|[^"\\])*+"|[^," ]++)'
_LINE: Final = re.compile(
    rf"(?P<measurement>(?:\\[, ]|[^, ])++)(?P<tags>(?:,{_NAME}={_NAME})*+) +"
    rf"(?P<fields>{_NAME}={_VALUE}(?:,{_NAME}={_VALUE})*+)(?: +(?P<time>-?[0-9]{{1,19}}))? *"
)
_TAG: Final = re.compile(rf",({_NAME})=({_NAME})")
_FIELD: Final = re.compile(rf"({_NAME})=({_VALUE}),?")
_ESCAPE: Final = re.compile(r"\\([,= ])")
_NUMBER: Final = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_WHOLE: Final = re.compile(r"-?[0-9]{1,19}[iu]", re.ASCII)
_STATES: Final = {
    text: text[0] in "tT" for text in ["t", "T", "true", "True", "TRUE", "f", "F", "false", "False", "FALSE"]
}
_TAGS: Final = frozenset(("site", "node", "channel"))


def parse(line: str, precision: Precision) -> Row | None:
    """The point; None for a comment or an empty line. Raises Refused."""
    if not line.strip() or line.startswith("#"):
        return None
    match = _LINE.fullmatch(line)
    if match is None:
        raise Refused("line", "not line protocol: measurement,tag=value field=value time")
    measurement, tags_part, fields_part, time = match.groups()
    tags: dict[str, str] = {}
    for key, text in _TAG.findall(tags_part):
        _put(tags, _plain(key), _plain(text))
    if unknown := tags.keys() - _TAGS:
        raise Refused("line", f"tag {min(unknown)!r:.80} is none of site, node, channel")
    fields: dict[str, Value] = {}
    for key, text in _FIELD.findall(fields_part):
        _put(fields, _plain(key), _value(text))
    if time is None:
        raise Refused("line", "no timestamp at its end")
    seconds, rest = divmod(int(time), PER_SECOND[precision])
    if rest:
        raise Refused("line", f"time {time} is no whole second in {precision}; finer times are not stored")
    site, node, channel = (tags.get(key, "") for key in ("site", "node", "channel"))
    return Row(_plain(measurement), site, node, channel, seconds, fields)


def number(text: str) -> float | None:
    """A number as a float of line protocol, of CSV or of JSON is written; None for anything else."""
    return float(text) if _NUMBER.fullmatch(text) else None


def _value(text: str) -> Value:
    if text[0] == '"':
        return text[1:-1]
    if _WHOLE.fullmatch(text):
        return float(text[:-1])
    if text in _STATES:
        return _STATES[text]
    found = number(text)
    if found is None:
        raise Refused("line", f"{text!r:.40} is no value of line protocol")
    return found


def _plain(text: str) -> str:
    return _ESCAPE.sub(r"\1", text) if "\\" in text else text


def _put(table: dict[str, T], key: str, value: T) -> None:
    if key in table:
        raise Refused("line", f"{key!r:.80} appears twice")
    table[key] = value
