"""What machines are told: the body of a webhook and of an MQTT message."""

import msgspec
from msgspec import Struct

from gateway.notify.told import Told
from gateway.records import Incident
from gateway.times import utc


class Data(Struct, frozen=True):
    exercise: bool
    """Nothing of it is real; a single incident that is not is also marked by its `drill`."""
    target: str
    subject: str
    """As people read it; so `text`."""
    text: str
    link: str
    incidents: tuple[Incident, ...]
    """As in docs/protocol.md."""


class Payload(Struct, frozen=True):
    """The shape that Standard Webhooks recommends."""

    type: str
    """`incident.opened`, `.confirmed`, `.turned`, `.closed`, `.acknowledged`, `.digest`, or `test`."""
    timestamp: str
    """ISO 8601, UTC, when the message was made."""
    data: Data


def payload(told: Told, subject: str, text: str) -> bytes:
    """JSON, the same bytes for the same message."""
    kind = told.event if told.event == "test" else f"incident.{told.event}"
    data = Data(told.exercise, told.target, subject, text, told.link, told.incidents)
    return msgspec.json.encode(Payload(kind, utc(told.time), data))
