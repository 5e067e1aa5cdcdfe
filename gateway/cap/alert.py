"""CAP 1.2 documents of an incident: Alert when it was opened, Update when more is known, the end.

What was confirmed ends with an Update whose response is AllClear: it was so, and is over. What never was ends with a
Cancel. Nothing expires: nobody knows when a jam is over, and it is told when it is. The identifier of a document is
made of the incident, the moment and nothing else, so the same incident gives the same documents.
"""

from collections.abc import Collection
from typing import Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from gateway.cap.area import Area, Places
from gateway.cap.kinds import Kind, Severity, kind_of
from gateway.cap.life import Moment, Run, moments, public_moments, run_of
from gateway.cap.message import CapError, Message, Status, render
from gateway.config import Config
from gateway.detect.plan import Plan
from gateway.records import Incident
from gateway.signing.signer import Signer


def document(
    incident: Incident,
    *,
    sender: str,
    plan: Plan | Places,
    zone: ZoneInfo,
    exercise: bool,
    link: str,
    public: bool = False,
    homes: Collection[str] = (),
    test: bool = False,
    signer: Signer | None = None,
) -> bytes:
    """The newest of `documents`, signed where there is a signer."""
    told = messages(incident, sender, _places(plan), exercise, link, public=public, homes=homes, test=test)
    return render(told[-1], zone, signer)


def documents(
    incident: Incident,
    *,
    sender: str,
    plan: Plan | Places,
    zone: ZoneInfo,
    exercise: bool,
    link: str,
    public: bool = False,
    homes: Collection[str] = (),
    test: bool = False,
) -> list[bytes]:
    """All that is known of an incident, in order, as XML: each refers to those before it.

    `sender` is of the whole world's, as `sender_of` gives; `zone` whose clock `sent` shows; `link` the whole address
    where people read more, or empty; `exercise` of the configuration: a drill is one besides. `public` documents have
    words for the public alone, name no node, and need `homes`: names of the site's water meters. Raises CapError for a
    `public` one of what the public is not told (`life.run_of`, `Places.public`).
    """
    told = messages(incident, sender, _places(plan), exercise, link, public=public, homes=homes, test=test)
    return [render(message, zone) for message in told]


def messages(
    incident: Incident,
    sender: str,
    places: Places,
    exercise: bool,
    link: str,
    *,
    public: bool = False,
    homes: Collection[str] = (),
    test: bool = False,
) -> list[Message]:
    """The same as records."""
    status: Status = "Test" if test else "Exercise" if exercise or incident.drill else "Actual"
    if public:
        return _for_public(incident, sender, places, link, homes, status)
    found: list[Message] = []
    areas = places.of(incident)
    onset = incident.since if incident.since is not None else incident.opened
    for moment in moments(incident):
        kind = kind_of(moment.kind)
        where = ", ".join(area.name for area in areas)
        name = f"{incident.id}.{moment.time}{'.end' if moment.over else ''}"
        found.append(
            Message(
                identifier=name,
                sender=sender,
                sent=moment.time,
                status=status,
                type=_type(moment, first=not found),
                scope="Restricted",
                note=_note(status, incident.site),
                references=tuple((each.identifier, each.sent) for each in found),
                incident=incident.id,
                event=kind.event,
                category=kind.category,
                response=_response(moment, kind),
                urgency="Past" if moment.over else kind.urgency,
                severity=_severity(kind, incident),
                certainty="Observed" if moment.confirmed else kind.certainty,
                onset=onset,
                headline=marked(f"{kind.event}{' is over' if moment.over else ''}: {where}", status),
                description=marked(moment.summary or kind.event, status),
                instruction="" if moment.over else kind.instruction,
                web=link,
                areas=areas,
            )
        )
    return found


def public_id(run: Run, area: Area) -> str:
    """What the public knows an incident by: nothing of it can be turned back into a node."""
    return f"{run.kinds[0]}.{area.slug}.{run.since}"


def _for_public(
    incident: Incident, sender: str, places: Places, link: str, homes: Collection[str], status: Status
) -> list[Message]:
    run = run_of(incident)
    place = None if run is None else places.public(incident, run.kinds, homes)
    if run is None or place is None:
        raise CapError(
            f"{incident.id} is not for the public: it is held, unconfirmed, or would point to a home or node"
        )
    found: list[Message] = []
    name = public_id(run, place)
    for moment in public_moments(incident, run):
        kind = kind_of(moment.kind)
        words = kind.public
        assert words is not None, moment.kind  # a run is of public kinds alone
        found.append(
            Message(
                identifier=f"{name}.{moment.time}{'.end' if moment.over else ''}",
                sender=sender,
                sent=moment.time,
                status=status,
                type=_type(moment, first=not found),
                scope="Public",
                note=_note(status, incident.site),
                references=tuple((each.identifier, each.sent) for each in found),
                incident=name,
                event=words.headline,
                category=kind.category,
                response=_response(moment, kind),
                urgency="Past" if moment.over else kind.urgency,
                severity=_severity(kind, incident),
                certainty="Observed" if incident.confirmed is not None else kind.certainty,
                onset=run.since,
                headline=marked(f"{words.headline}{' is over' if moment.over else ''}: {place.name}", status),
                description=marked(words.over if moment.over else words.text, status),
                instruction="" if moment.over else words.advice,
                web=link,
                areas=(place,),
            )
        )
    return found


def sender_of(config: Config) -> str:
    """Who sends: the contact's address, else the host that people reach, else a name made of the first site."""
    citizens, console = config.citizens, config.console
    if citizens is not None and citizens.contact.startswith("mailto:"):
        return citizens.contact.removeprefix("mailto:").partition("?")[0]
    for link in (citizens.link if citizens else "", console.link if console else ""):
        if host := urlsplit(link).hostname:
            return host
    return f"{config.sites[0]}.ganglion.invalid"


def _places(plan: Plan | Places) -> Places:
    return plan if isinstance(plan, Places) else Places(plan)


def marked(text: str, status: Status) -> str:
    """The text, with what must not be overlooked before it."""
    return text if status == "Actual" else f"{status.upper()}: {text}"


def _note(status: Status, site: str) -> str:
    return {"Actual": "", "Exercise": f"Exercise at {site}: none of this is real.", "Test": "A test."}[status]


def _type(moment: Moment, *, first: bool) -> Literal["Alert", "Update", "Cancel"]:
    if first:
        return "Alert"
    return "Cancel" if moment.over and not moment.confirmed else "Update"


def _response(
    moment: Moment, kind: Kind
) -> Literal["Prepare", "Execute", "Avoid", "Monitor", "Assess", "AllClear", "None"]:
    if not moment.over:
        return kind.response
    return "AllClear" if moment.confirmed else "None"


def _severity(kind: Kind, incident: Incident) -> Severity:
    return kind.critical if incident.severity == "critical" and kind.critical else kind.severity
