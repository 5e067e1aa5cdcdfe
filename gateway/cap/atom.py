"""An Atom 1.0 feed (RFC 4287) of CAP messages: one entry an incident, which leads to its newest document."""

import uuid
from collections.abc import Iterable
from typing import Final
from xml.etree import ElementTree

from msgspec import Struct

from gateway.cap.area import plain
from gateway.cap.message import MEDIA_TYPE
from gateway.times import utc

NAMESPACE: Final = "http://www.w3.org/2005/Atom"
FEED_TYPE: Final = "application/atom+xml"


class Entry(Struct, frozen=True, kw_only=True):
    """What one entry says. Times are Unix seconds."""

    name: str
    """Of the incident, in all the world: the same in every feed and for all of its life."""
    title: str
    text: str
    published: int
    updated: int
    document: str = ""
    """Address of its CAP document; empty where it has none."""
    page: str = ""
    """Address for people."""
    topics: tuple[str, ...] = ()


def feed(title: str, address: str, page: str, author: str, entries: Iterable[Entry], since: int) -> bytes:
    """The document, newest change first. `address` is the feed's own, `page` the one for people, or empty; `since`
    (Unix seconds) stands for the last change where there are no entries."""
    newest = sorted(entries, key=lambda each: (-each.updated, each.name))
    root = ElementTree.Element("feed", {"xmlns": NAMESPACE})
    _put(root, "id", identity(address))
    _put(root, "title", title)
    _put(root, "updated", utc(newest[0].updated if newest else since))
    _put(ElementTree.SubElement(root, "author"), "name", author)
    ElementTree.SubElement(root, "link", {"rel": "self", "type": FEED_TYPE, "href": address})
    if page:
        ElementTree.SubElement(root, "link", {"rel": "alternate", "type": "text/html", "href": page})
    for each in newest:
        entry = ElementTree.SubElement(root, "entry")
        _put(entry, "id", identity(each.name))
        _put(entry, "title", each.title)
        _put(entry, "updated", utc(each.updated))
        _put(entry, "published", utc(each.published))
        if each.document:
            ElementTree.SubElement(entry, "link", {"rel": "alternate", "type": MEDIA_TYPE, "href": each.document})
        if each.page:
            ElementTree.SubElement(entry, "link", {"rel": "alternate", "type": "text/html", "href": each.page})
        for topic in each.topics:
            ElementTree.SubElement(entry, "category", {"term": topic})
        ElementTree.SubElement(entry, "summary", {"type": "text"}).text = plain(each.text)
    ElementTree.indent(root)
    document: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def identity(text: str) -> str:
    """A `urn:uuid:` (RFC 4122, version 5) that is always the same for a text."""
    return uuid.uuid5(uuid.NAMESPACE_URL, text).urn


def _put(parent: ElementTree.Element, name: str, text: str) -> None:
    ElementTree.SubElement(parent, name).text = plain(text)
