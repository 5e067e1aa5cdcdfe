"""Why an answer is empty: a name that is not there, or a time that has nothing. Pure; asked only then."""

import difflib
from collections.abc import Iterable
from typing import Final

from msgspec import Struct, structs

from gateway.query.influxql import Question, at_places, measurement, quote_name, source_of

SHOWN: Final = 5
"""Names told of many."""
PLACES: Final = ("site", "node", "channel")


class Unknown(Struct, frozen=True):
    """A name that the database does not have."""

    place: str
    """`site`, `node` or `channel`."""
    name: str
    near: tuple[str, ...] = ()
    """What it may have been meant to be, the likeliest first."""
    known: tuple[str, ...] = ()
    """All that there are, in order of the alphabet."""

    def __str__(self) -> str:
        if self.near:
            hint = f"the nearest: {', '.join(self.near)}"
        elif self.known:
            more = f" and {len(self.known) - SHOWN} more" if len(self.known) > SHOWN else ""
            hint = f"known: {', '.join(self.known[:SHOWN])}{more}"
        else:
            hint = "nor any other that measures this"
        return f"there is no {self.place} {self.name!r}; {hint}"


def names_statement(question: Question, place: str) -> str:
    """SHOW TAG VALUES of `place` (`site`, `node` or `channel`), within what the question says of the places above it.

    Raises QueryError.
    """
    above = structs.replace(question, **dict.fromkeys(PLACES[PLACES.index(place) :], ""))
    where = " AND ".join(at_places(above))
    source = quote_name(measurement(question.quantity, question.kind))
    return f"SHOW TAG VALUES FROM {source} WITH KEY = {quote_name(place)}" + (f" WHERE {where}" if where else "")


def edge_statements(question: Question) -> tuple[str, str]:
    """The SELECTs of the first and of the last value that there is, whatever the time. Raises QueryError."""
    field, places = quote_name(question.quantity), " AND ".join(at_places(question))
    end = f" FROM {source_of(question)}" + (f" WHERE {places}" if places else "")
    return f"SELECT first({field}){end}", f"SELECT last({field}){end}"


def asked_places(question: Question) -> tuple[str, ...]:
    """Those of which the question names one, from the site down: the first that is wrong is told."""
    return tuple(place for place in PLACES if getattr(question, place))


def missing(place: str, name: str, known: Iterable[str]) -> Unknown | None:
    """None when the name is among the known ones."""
    names = sorted(set(known))
    if name in names:
        return None
    near = difflib.get_close_matches(name, names, n=SHOWN, cutoff=0.5)
    return Unknown(place, name, tuple(near), tuple(names))


def nothing(question: Question, first: str, last: str) -> str:
    """A sentence on an empty answer of names that are there; times as the database writes them, empty for none."""
    of = " ".join([question.quantity, *(f"of {getattr(question, place)}" for place in asked_places(question))])
    if not first:
        return f"there is no {of} at all" + ("; other quantities are there" if asked_places(question) else "")
    return f"nothing in that time: {of} is there from {first} to {last}"
