"""What a check says."""

from collections.abc import Iterable
from typing import Literal, NamedTuple

from msgspec import Struct

from gateway.errors import GanglionError

Level = Literal["ok", "warning", "fault", "not asked"]


class Said(NamedTuple):
    """One thing that a check has seen."""

    level: Level
    seen: str
    cure: str = ""


class Finding(Struct, frozen=True):
    """The same with the name of its check, for the outside."""

    check: str
    level: Level
    seen: str
    """What was found; of a check that was not asked, why not."""
    cure: str
    """What a person can do; empty when there is nothing to do."""


class NotAsked(GanglionError):
    """A check cannot ask its question; the message says because of what."""


def ok(seen: str) -> Said:
    return Said("ok", seen)


def warning(seen: str, cure: str) -> Said:
    return Said("warning", seen, cure)


def fault(seen: str, cure: str) -> Said:
    return Said("fault", seen, cure)


def parted(message: str, cure: str = "") -> tuple[str, str]:
    """The sentence of an error as (what was seen, what to do), or with `cure` where it names nothing to do."""
    for mark in ("; to do: ", "; "):
        seen, found, do = message.partition(mark)
        if found:
            return seen, do
    return message, cure


def some(names: Iterable[str], most: int = 5) -> str:
    """A few of the names, and how many more there are."""
    each = list(names)
    rest = len(each) - most
    return ", ".join(each[:most]) + (f" and {rest} more" if rest > 0 else "")


def span(seconds: float) -> str:
    """A length of time in the unit that fits a person."""
    for unit, name in ((86_400, "d"), (3600, "h"), (60, "min")):
        if abs(seconds) >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} s"
