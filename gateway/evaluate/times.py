"""Timestamps as files have them, as Unix seconds. What has no zone is taken as UTC: detectors need differences and the
hour of the day where the series was measured. Pure."""

import re
from datetime import UTC, datetime
from typing import Final

_NUMBER: Final = re.compile(r"[+-]?\d{1,19}(?:\.\d*)?", re.ASCII)
_AMERICAN: Final = re.compile(r"\d{1,2}/\d{1,2}/\d{4}", re.ASCII)
_PARTS: Final = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))
"""From which number on it counts parts of a second: 1e11 s are in the year 5138, 1e11 ms in 1973."""
LAST: Final = 253402300799
"""The end of the year 9999."""


def seconds(text: str, form: str = "") -> int:
    """Unix seconds, rounded down. ISO 8601 (T or space, fractions, zone or none), seconds, ms, us or ns since 1970,
    month/day/year with AM or PM; with `form` what `strptime` reads by it alone.

    Raises ValueError with a sentence for anything else.
    """
    text = text.strip()
    if form:
        try:
            return _unix(datetime.strptime(text, form))
        except ValueError:
            raise ValueError(f"{text!r:.60} is no time of the form {form}") from None
    if _NUMBER.fullmatch(text):
        return _epoch(text)
    try:
        return _unix(datetime.fromisoformat(text.replace("/", "-") if text[4:5] == "/" else text))
    except ValueError:
        pass
    try:
        return _unix(datetime.strptime(text.upper(), "%m/%d/%Y %I:%M:%S %p"))
    except ValueError:
        pass
    if not text:
        raise ValueError("the time is missing")
    if _AMERICAN.match(text):
        raise ValueError(f"{text!r:.60} may be month/day or day/month: say which with --time-format '%m/%d/%Y %H:%M'")
    raise ValueError(
        f"{text!r:.60} is no time: write ISO 8601, as in 2026-11-29T06:00:00Z, or Unix seconds, or give --time-format"
    )


def _epoch(text: str) -> int:
    number = float(text)
    for least, per_second in _PARTS:
        if abs(number) >= least:
            found = int(float(text) // per_second) if "." in text else int(text) // int(per_second)
            break
    else:
        found = int(number // 1)
    if abs(found) > LAST:
        raise ValueError(f"{text!r:.60} is beyond the year 9999")
    return found


def _unix(moment: datetime) -> int:
    whole = moment.replace(microsecond=0)
    return int((whole if whole.tzinfo else whole.replace(tzinfo=UTC)).timestamp())
