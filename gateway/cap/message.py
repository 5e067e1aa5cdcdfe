"""A CAP 1.2 message (OASIS Common Alerting Protocol 1.2, 2010) as a record, and as XML."""

import re
from datetime import UTC, datetime
from typing import Final, Literal
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

from msgspec import Struct

from gateway.cap.area import Area, plain
from gateway.cap.kinds import Category, Certainty, Response, Severity, Urgency
from gateway.errors import GanglionError
from gateway.signing.signer import Signer

NAMESPACE: Final = "urn:oasis:names:tc:emergency:cap:1.2"
MEDIA_TYPE: Final = "application/cap+xml"
Status = Literal["Actual", "Exercise", "Test"]
MessageType = Literal["Alert", "Update", "Cancel"]

_FORBIDDEN: Final = re.compile(r"[\s,<&]")
"""In identifiers and senders (3.2.1)."""
_UTC: Final = frozenset({"UTC", "Etc/UTC", "Etc/UCT", "Etc/Universal", "Etc/Zulu", "UCT", "Universal", "Zulu"})


class CapError(GanglionError):
    """A message that CAP does not allow."""


class Message(Struct, frozen=True, kw_only=True):
    """One message with one info block. Times are Unix seconds."""

    identifier: str
    sender: str
    sent: int
    status: Status
    type: MessageType
    scope: Literal["Public", "Restricted"]
    note: str = ""
    references: tuple[tuple[str, int], ...] = ()
    """(identifier, sent) of earlier messages of the same sender."""
    incident: str = ""
    """What messages of one thing share."""
    event: str
    category: Category
    response: Response
    urgency: Urgency
    severity: Severity
    certainty: Certainty
    onset: int | None = None
    expires: int | None = None
    """None where nobody knows: then it holds until another message says so."""
    headline: str
    description: str
    instruction: str = ""
    web: str = ""
    contact: str = ""
    areas: tuple[Area, ...]


def moment(time: int, zone: ZoneInfo) -> str:
    """`2026-11-29T08:15:00+01:00`. UTC itself is `-00:00`, as 3.3.2 wants; never Z. London in winter is `+00:00`."""
    text = datetime.fromtimestamp(time, UTC).astimezone(zone).isoformat(timespec="seconds")
    return text.replace("+00:00", "-00:00") if zone.key in _UTC else text


def render(message: Message, zone: ZoneInfo, signer: Signer | None = None) -> bytes:
    """The document, signed where there is a signer.

    Raises CapError where an identifier or the sender has a character that CAP forbids.
    """
    for what, text in (("identifier", message.identifier), ("sender", message.sender)):
        if not text or _FORBIDDEN.search(text):
            raise CapError(f"the {what} {text!r} of a CAP message must have no space, comma, < or &, and not be empty")
    root = ElementTree.Element("alert", {"xmlns": NAMESPACE})
    restricted = message.scope == "Restricted"
    _put(root, "identifier", message.identifier)
    _put(root, "sender", message.sender)
    _put(root, "sent", moment(message.sent, zone))
    _put(root, "status", message.status)
    _put(root, "msgType", message.type)
    _put(root, "scope", message.scope)
    _put(root, "restriction", "For those who run the place and the authorities" if restricted else "")
    _put(root, "note", message.note)
    earlier = (f"{message.sender},{name},{moment(sent, zone)}" for name, sent in message.references)
    _put(root, "references", " ".join(earlier))
    _put(root, "incidents", message.incident)
    info = ElementTree.SubElement(root, "info")
    _put(info, "language", "en")
    _put(info, "category", message.category)
    _put(info, "event", message.event)
    _put(info, "responseType", message.response)
    _put(info, "urgency", message.urgency)
    _put(info, "severity", message.severity)
    _put(info, "certainty", message.certainty)
    _put(info, "onset", "" if message.onset is None else moment(message.onset, zone))
    _put(info, "expires", "" if message.expires is None else moment(message.expires, zone))
    _put(info, "headline", message.headline)
    _put(info, "description", message.description)
    _put(info, "instruction", message.instruction)
    _put(info, "web", message.web)
    _put(info, "contact", message.contact)
    for area in message.areas:
        place = ElementTree.SubElement(info, "area")
        _put(place, "areaDesc", area.name)
        if area.at is not None and area.radius_m > 0:
            _put(place, "circle", f"{area.at[0]:.5f},{area.at[1]:.5f} {area.radius_m / 1000:.3f}")
    ElementTree.indent(root)
    document: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    document += b"\n"
    return document if signer is None else signer.xml(document)


def _put(parent: ElementTree.Element, name: str, text: str) -> None:
    """An element, where there is something to say."""
    if text:
        ElementTree.SubElement(parent, name).text = plain(text)
