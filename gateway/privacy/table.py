"""What is measured, kept and shown, and for how long: the one place where it is said. docs/privacy.md is made of it.

Numbers are the code's own constants, so the page cannot promise what the code does not do.
"""

from typing import Final

from msgspec import Struct

from gateway.audit.log import MOST_SEGMENTS, SEGMENT_BYTES
from gateway.citizens.notices import KEPT as NOTICE_SECONDS
from gateway.citizens.store import FAILING_DAYS, MOST
from gateway.config import Privacy
from gateway.detect.plan import LEAST_HOMES
from gateway.influx.plan import RETENTION, ROLLUP_RETENTION
from gateway.journal import cases, letters
from gateway.notify.outbox import MOST_ASIDE, MOST_KNOWN, MOST_WAITING
from gateway.privacy.sums import COARSE
from gateway.privacy.told import MOST_DAYS
from gateway.web.users import SESSION_SECONDS

DAY: Final = 86_400
OWN: Final = Privacy()


class Measured(Struct, frozen=True):
    """One kind of thing that is measured."""

    what: str
    why: str
    personal: bool
    """Whether it tells of people: the meter of one home does."""
    not_measured: str


class Kept(Struct, frozen=True):
    """One place."""

    where: str
    what: str
    why: str
    how_long: str
    then: str
    """What happens at that end, and by whom."""
    who: str
    personal: bool


class Seen(Struct, frozen=True):
    """One way out."""

    by: str
    way: str
    of_homes: str
    """What of the meter of a home."""
    switched: str
    """What switches it on."""


MEASURED: Final = (
    Measured(
        "traffic: vehicles in a window by lane, their speed and length class",
        "jams, crashes, faults of counters",
        False,
        "no number plate, no picture, no vehicle by itself, no radio of phones or cars",
    ),
    Measured(
        "water of a home: register, flow, temperature, states such as reverse flow",
        "leaks and bursts at the home, the balance of its zone",
        True,
        "no name, address or contract: a node has a name, whose it is is known to the utility alone",
    ),
    Measured("water of an inlet: the same", "leaks of mains", False, "as a home where it serves few homes"),
    Measured(
        "air: particles, gases, temperature, humidity, pressure", "air quality index, episodes", False, "no sound"
    ),
    Measured(
        "health of a node: memory, radio signal to its own access point, clock, outbox",
        "to find broken nodes",
        False,
        "no MAC address or Bluetooth of others: nodes never scan or listen for devices",
    ),
)

_OPERATORS: Final = "who may read the gateway's data_dir"

KEPT: Final = (
    Kept(
        "node",
        "packs in its outbox, the register of a meter",
        "nothing is lost in an outage",
        "until the broker has acknowledged; else as many as its flash holds",
        "the oldest are dropped, by the node",
        "who has the board in hand",
        True,
    ),
    Kept(
        "broker",
        "packs for a gateway that is away; retained births, configurations, open incidents",
        "nothing is lost while the gateway is away",
        "until the gateway has taken them; open incidents until they end",
        "taken back by the gateway",
        "the gateway; a node only its own configuration, commands and updates",
        True,
    ),
    Kept(
        "journal: packs",
        "readings on their way",
        "nothing acknowledged is lost",
        "until each database has answered, at most `journal.max_bytes`",
        "deleted at once",
        _OPERATORS,
        True,
    ),
    Kept(
        "journal: nodes",
        "who there is, when it was heard, which packs are missing",
        "liveness, gaps, duplicates",
        f"{OWN.keep_days} days after it was heard last (`privacy.keep_days`)",
        "deleted by the gateway, hourly; the detectors forget it with that",
        "operators",
        True,
    ),
    Kept(
        "journal: detectors",
        "what is usual at each node",
        "to find what is not",
        "as long as the node is kept",
        "overwritten as time passes, begun anew when the node is forgotten",
        _OPERATORS,
        True,
    ),
    Kept(
        "journal: incidents",
        "what was wrong, with evidence",
        "operators act on it, and learn from it",
        f"{OWN.keep_days} days after their end (`privacy.keep_days`), the newest {cases.MOST_CLOSED}",
        "deleted by the gateway, hourly",
        "operators; others as the next table says",
        True,
    ),
    Kept(
        "journal: dead letters",
        "messages that were refused, whole",
        "to mend what is wrong and take them in again",
        f"{OWN.letters_days} days (`privacy.letters_days`), the newest {letters.MOST} or "
        f"{letters.MOST_BYTES >> 20} MiB",
        "deleted by the gateway, hourly; their count stays",
        "operators",
        True,
    ),
    Kept(
        "InfluxDB: readings",
        "every window of every node, incidents",
        "queries, reports, detection of leaks over weeks",
        f"{RETENTION} (`ganglion influx setup --retention`)",
        "dropped by InfluxDB, a shard of a week at a time",
        "operators, Grafana",
        True,
    ),
    Kept(
        "InfluxDB: roll-ups",
        "sums and means of 15 minutes, an hour and a day, by node",
        "comparison of years",
        f"{ROLLUP_RETENTION} (`ganglion influx setup --rollup-retention`)",
        "dropped by InfluxDB",
        "operators, Grafana",
        True,
    ),
    Kept("mirrors", "the same as InfluxDB", "a second place", "as that database is set up", "its own", "its own", True),
    Kept(
        "outbox of messages",
        "incidents that targets are still to be told of, and how they were told",
        "nothing is told twice or lost",
        f"until they are taken, at most {OWN.letters_days} days (`privacy.letters_days`) and {MOST_WAITING} a target; "
        f"refused ones as long, {MOST_ASIDE}; that it was told {OWN.keep_days} days, {MOST_KNOWN}",
        "deleted by the gateway, hourly",
        _OPERATORS,
        True,
    ),
    Kept(
        "sums of homes",
        "what others were told of a zone's day",
        "a day is told once",
        f"{MOST_DAYS} days",
        "the oldest are deleted",
        "everybody",
        False,
    ),
    Kept("reports", "nothing: they are made when asked for", "–", "–", "–", "who asks; they name no home", False),
    Kept(
        "audit log",
        "who logged in, commanded, changed, exported or deleted",
        "proof",
        f"the newest {MOST_SEGMENTS * SEGMENT_BYTES >> 20} MiB",
        "the oldest part is dropped, which the log tells",
        _OPERATORS,
        True,
    ),
    Kept(
        "citizens' subscriptions",
        "address at the push service, its keys, the area; no name, no time, no computer's address",
        "to tell them",
        f"until they unsubscribe, or {FAILING_DAYS} days after their browser takes nothing; at most {MOST}",
        "deleted and overwritten at once",
        "nobody but the process",
        True,
    ),
    Kept(
        "works that people announce",
        "area, times, text",
        "the public page",
        f"{NOTICE_SECONDS // DAY} days after their end",
        "deleted with the next that is announced",
        "everybody",
        False,
    ),
    Kept(
        "console users",
        "name and a hash of the password; sessions",
        "who may act",
        f"until `ganglion users remove`; sessions {SESSION_SECONDS // 3600} hours",
        "sessions are deleted with the next log-in",
        _OPERATORS,
        True,
    ),
)

_SUMS: Final = f"sums of a zone and day, of {LEAST_HOMES} homes or more, rounded to {COARSE} litres"

SEEN: Final = (
    Seen("operators", "console, `/api/v1`, command line", "everything", "a log-in; `console.read`"),
    Seen("operators", "Grafana, or whoever has the database's password", "everything", "the password"),
    Seen(
        "operators", "messages by webhook, mail, MQTT, ntfy", "incidents at a home, by its node's name", "`[[notify]]`"
    ),
    Seen("gateway's clients at the broker", "retained incidents", "incidents at a home", "the broker's access list"),
    Seen(
        "authorities",
        "CAP 1.2 of `[[notify]]` and `/api/v1`",
        "incidents at a home, as operators read them",
        "`[[notify]]`",
    ),
    Seen(
        "authorities",
        "reports of a week",
        f"sums of zones, of {LEAST_HOMES} homes or more",
        "who makes and hands them on",
    ),
    Seen(
        "citizens",
        "page, feeds, CAP and push",
        f"{_SUMS}; a burst in a zone of {LEAST_HOMES} homes or more",
        "`[citizens]`",
    ),
    Seen("Home Assistant", "announcements at the broker", "nothing", "`north.home_assistant`"),
    Seen(
        "Home Assistant",
        "the same, and the node's own topics",
        "everything a meter sends",
        "`north.home_assistant_meters`",
    ),
    Seen("other systems", "NGSI-LD of the console", _SUMS, "`[console]`"),
    Seen("other systems", "SensorThings of the console", "nothing", "`[console]`"),
)
