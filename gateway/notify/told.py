"""One message: what a target is told. Made once and kept as it is, so that it is the same however often it is sent."""

from hashlib import sha256
from typing import Literal

from msgspec import Struct

from gateway.notify.settings import Event
from gateway.records import SEVERITIES, Incident, Severity


class Told(Struct, frozen=True):
    key: str
    """Of this message to this target: 32 hexadecimal digits. Who has seen it before may leave it."""
    target: str
    event: Event | Literal["digest", "test"]
    incidents: tuple[Incident, ...]
    """One; several, the worst first, of a digest; none of a test."""
    time: int
    """Unix seconds of the gateway's clock, when it was made."""
    exercise: bool = False
    """Nothing that it tells of is real."""
    link: str = ""
    """Of the operators' page of it; empty where there is none."""
    thread: str = ""
    """The key of the first message of this incident; empty where this is the first, or a digest."""

    @property
    def severity(self) -> Severity:
        """Of the worst."""
        return max((each.severity for each in self.incidents), key=SEVERITIES.index, default="info")


def first_key(target: str, incident: Incident) -> str:
    """Of the first message of an incident."""
    return key_of(target, incident.id)


def next_key(target: str, incident: Incident, event: Event) -> str:
    """Of one that goes on with it."""
    acknowledged = incident.acknowledged.time if incident.acknowledged else 0
    nth = {
        "opened": incident.reopened,
        "confirmed": incident.confirmed,
        "turned": f"{len(incident.was)}-{incident.severity}",
        "closed": incident.closed,
        "acknowledged": acknowledged,
    }[event]
    return key_of(target, incident.id, event, str(nth))


def key_of(*parts: str) -> str:
    """No dots, which would blur what a signature is of; no part can hold a slash."""
    return sha256("/".join(parts).encode()).hexdigest()[:32]


def is_exercise(incidents: tuple[Incident, ...], *, city: bool) -> bool:
    """`city`: the whole configuration is of a simulated one."""
    return city or (bool(incidents) and all(each.drill for each in incidents))


def link_of(console: str, incident: Incident | None) -> str:
    """Of an incident's page, or of all of them; empty without a console that people can reach."""
    if not console:
        return ""
    return f"{console.rstrip('/')}/incidents" + (f"/{incident.id}" if incident else "")
