"""What people read of incidents: plain words, times of the place, the same in a mail and on a telephone. Pure."""

from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from gateway.cap.kinds import KINDS
from gateway.detect.plan import Plan
from gateway.notify.told import Told, link_of
from gateway.records import Incident

EXERCISE: Final = "EXERCISE"
MOST_SHOWN: Final = 50
"""Incidents of a digest that are told one by one."""
_SAYS: Final = {
    "opened": "",
    "confirmed": "Confirmed: ",
    "turned": "Changed: ",
    "closed": "Over: ",
    "acknowledged": "Taken note of: ",
}
_UNREAL: Final = "This is an exercise. Nothing of it is real."


def subject(told: Told, plan: Plan) -> str:
    """One line, which begins with EXERCISE where it is one."""
    if told.event == "test":
        words = f"Test message of the gateway to {told.target}"
    elif told.event == "digest":
        critical = sum(each.severity == "critical" for each in told.incidents)
        words = f"{len(told.incidents)} incidents" + (f", {critical} of them critical" if critical else "")
    else:
        words = f"{_SAYS[told.event]}{headline(told.incidents[0], plan)}"
    return line(f"{EXERCISE}: {words}" if told.exercise else words)


def headline(incident: Incident, plan: Plan) -> str:
    """`Pipe burst at a meter (critical): Mill Lane 3, basement, Old Town, riverside`."""
    return line(f"{title(incident.kind)} ({incident.severity}): {place(incident, plan)}")


def body(told: Told, plan: Plan, zone: ZoneInfo, console: str) -> str:
    """Plain text. Times are those of `zone`; `console` is the address of the operators' pages, or empty."""
    if told.event == "test":
        text = "Who reads this is told of incidents. Nobody has to do anything.\n"
    elif told.event == "digest":
        text = _digest(told, plan, zone, console)
    else:
        text = _story(told.incidents[0], plan, zone, console)
    return f"{EXERCISE}. {_UNREAL}\n\n{text}" if told.exercise else text


def title(kind: str) -> str:
    """What a kind is called; also one of a newer program's."""
    return KINDS[kind].event if kind in KINDS else kind.replace("_", " ").capitalize()


def _digest(told: Told, plan: Plan, zone: ZoneInfo, console: str) -> str:
    parts = []
    for incident in told.incidents[:MOST_SHOWN]:
        mark = f"{EXERCISE}: " if incident.drill and not told.exercise else ""
        link = link_of(console, incident)
        parts.append(
            f"{mark}{headline(incident, plan)}\n  {_times(incident, zone)}\n  {line(incident.summary)}\n"
            + (f"  {link}\n" if link else "")
        )
    more = len(told.incidents) - MOST_SHOWN
    if more > 0:
        parts.append(f"... and {more} more.\n")
    return "\n".join(parts)


def _story(incident: Incident, plan: Plan, zone: ZoneInfo, console: str) -> str:
    rows = [
        ("What", f"{title(incident.kind)}, {incident.severity}"),
        ("Where", place(incident, plan)),
        ("Node", incident.place),
        ("Also at", _also(incident)),
        ("When", _times(incident, zone)),
        ("Came again", f"{incident.reopened} times" if incident.reopened else ""),
        *(("Was", f"{title(was.kind)}, until {moment(was.until, zone)}: {line(was.summary)}") for was in incident.was),
        ("Why", line(incident.summary)),
        *(("Evidence", line(each.text)) for each in incident.evidence if each.text),
        ("Noted by", _note(incident, zone)),
        ("To do", KINDS[incident.kind].instruction if incident.kind in KINDS and incident.closed is None else ""),
        ("More", link_of(console, incident)),
        ("Id", incident.id),
    ]
    return "".join(f"{name + ':':<11} {text}\n" for name, text in rows if text)


def _times(incident: Incident, zone: ZoneInfo) -> str:
    parts = [f"since {moment(incident.since, zone)}"] if incident.since else []
    parts.append(f"found {moment(incident.opened, zone)}")
    if incident.closed is not None:
        parts.append(f"over {moment(incident.closed, zone)}")
    elif incident.confirmed is not None:
        parts.append(f"confirmed {moment(incident.confirmed, zone)}")
    return ", ".join(parts)


def _also(incident: Incident, most: int = 10) -> str:
    more = len(incident.nodes) - most
    return ", ".join(incident.nodes[:most]) + (f" and {more} more" if more > 0 else "")


def _note(incident: Incident, zone: ZoneInfo) -> str:
    by = incident.acknowledged
    if by is None:
        return ""
    return line(f"{by.by}, {moment(by.time, zone)}" + (f": {by.note}" if by.note else ""))


def place(incident: Incident, plan: Plan) -> str:
    """What people call it: label, lane, street and zone as far as the plan knows them; else node and site."""
    site, node = incident.site, incident.node
    spot = plan.spot(site, node)
    streets = [each.name for each in plan.of(site).street if node in each.counters]
    zones = plan.zones_of(site, *filter(None, (node, *incident.nodes)))
    parts = ((spot and spot.label) or node, incident.channel, *streets, *zones, site)
    return line(", ".join(dict.fromkeys(filter(None, parts))))


def moment(seconds: int, zone: ZoneInfo) -> str:
    """`Tue 24 Nov 2026, 08:31 CET`, whatever the machine's language is."""
    local = datetime.fromtimestamp(seconds, zone)
    day = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[local.weekday()]
    month = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")[local.month - 1]
    return f"{day} {local.day} {month} {local.year}, {local:%H:%M} {local.tzname()}"


def line(text: str) -> str:
    """One line without what steers a terminal or ends a header: texts of nodes and people go into it."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())
