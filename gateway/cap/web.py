"""CAP and Atom for operators and authorities, on the console's port: incidents as they are told, nodes and all."""

from typing import Annotated, Final

from fastapi import APIRouter, HTTPException, Path
from starlette.requests import Request
from starlette.responses import Response

from gateway.cap import atom
from gateway.cap.alert import messages, sender_of
from gateway.cap.answer import Answers
from gateway.cap.area import Places
from gateway.cap.message import MEDIA_TYPE, Message, render
from gateway.records import Incident
from gateway.web.seat import Seat, Snapshot

KEPT: Final = 7 * 86_400
"""Seconds for which one that is over stays in the feed."""


def make_router(seat: Seat) -> APIRouter:
    """`/cap/feed.atom` and `/cap/{incident}.xml`: what was told, open or closed within 7 days; nothing held back."""
    router = APIRouter(prefix="/cap", tags=["cap"])
    answers = Answers(shared=False)
    sender, config, places = sender_of(seat.config), seat.config, Places(seat.plan)
    console = config.console.link.rstrip("/") if config.console else ""

    written: tuple[list[Incident], str, bytes] = ([], "", b"")

    def told(incident: Incident) -> list[Message]:
        return messages(incident, sender, places, config.exercise, console)

    @router.get(
        "/feed.atom",
        response_class=Response,
        responses={200: {"content": {atom.FEED_TYPE: {}}}, 304: {"description": "Not changed"}},
    )
    async def feed(request: Request) -> Response:
        """Incidents as an Atom feed (RFC 4287), the newest change first; each entry leads to its CAP document."""
        nonlocal written
        base, found = console or str(request.base_url).rstrip("/"), current(seat.snapshot)
        if written[:2] != (found, base):
            entries = [_entry(incident, told(incident), sender, base) for incident in found]
            title = f"Incidents of {', '.join(config.sites)}{' (EXERCISE)' if config.exercise else ''}"
            written = found, base, atom.feed(title, f"{base}/cap/feed.atom", f"{base}/", sender, entries, 0)
        return answers.give(request, written[2], atom.FEED_TYPE)

    @router.get(
        "/{incident}.xml",
        response_class=Response,
        responses={
            200: {"content": {MEDIA_TYPE: {}}},
            304: {"description": "Not changed"},
            404: {"description": "None of that id is told of"},
        },
    )
    async def document(
        request: Request, incident: Annotated[str, Path(description="Its id: `jam.riverside.traffic-0003.1795395300`.")]
    ) -> Response:
        """An incident as it is now, as a CAP 1.2 document (OASIS)."""
        for each in current(seat.snapshot):
            if each.id == incident:
                newest = told(each)[-1]
                return answers.give(request, render(newest, seat.zone, seat.signer), MEDIA_TYPE)
        raise HTTPException(404, f"no incident {incident!r} is told of: it never was, is held, or ended a week ago")

    return router


def current(snapshot: Snapshot) -> list[Incident]:
    """What was told of and is open, or ended within 7 days."""
    since = snapshot.time - KEPT
    return [each for each in snapshot.incidents if not each.held and (each.closed is None or each.closed >= since)]


def _entry(incident: Incident, told: list[Message], sender: str, base: str) -> atom.Entry:
    newest = told[-1]
    return atom.Entry(
        name=f"{sender},{incident.id}",
        title=newest.headline,
        text=newest.description,
        published=told[0].sent,
        updated=newest.sent,
        document=f"{base}/cap/{incident.id}.xml",
        topics=(incident.kind, incident.severity),
    )
