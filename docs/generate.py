"""Writes the pages of docs/ that are tables of the code, so that they cannot differ from it.

Run `python docs/generate.py` after a change to `gateway.quantities`, `gateway.ingest.decode`,
`gateway.privacy.table`, `sim_hardware.city.incidents` or `sim_hardware.fleet.faults`. A test fails until it is done.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from gateway.ingest.decode import REASONS
from gateway.privacy import table
from gateway.quantities import KINDS, QUANTITIES, Quantity
from sim_hardware.city import incidents
from sim_hardware.fleet import faults

FOLDER: Final = Path(__file__).resolve().parent
NOTE: Final = "<!-- Made by docs/generate.py out of the code. Change it there. -->"

_INTRODUCTIONS: Final = {
    "traffic": "A traffic counter. Its channels are its lanes: a reading is named `lane1/volume`, `lane2/volume` ...",
    "water": "A water meter.",
    "air": "An air station.",
    "health": "The node itself. These come on the topic `health`, from nodes of every kind.",
    "*": "States that a node of any kind can tell. They belong to the measurement of the node's kind.",
}


def quantities() -> str:
    """The page of everything that can be measured."""
    parts = [
        NOTE,
        "# Quantities",
        "What a pack may hold. The unit is written as SenML writes it. A value outside of the limits cannot be, and "
        "makes its pack a dead letter. A state is `true` or `false` (`vb`) and is stored as 1 or 0. "
        "A value that is not known is left out; it is never 0. "
        "The last column is how [roll-ups](operating.md#retention-and-roll-ups) sum many windows up.\n\n"
        "How packs are built is told in [protocol.md](protocol.md).",
    ]
    for measurement in (*KINDS, "health", "*"):
        rows = [
            (
                f"`{each.name}`",
                f"`{each.unit}`" if each.unit else "–",
                _limits(each),
                each.meaning,
                ", ".join(each.rollup),
            )
            for each in QUANTITIES
            if each.measurement == measurement
        ]
        title = "any kind" if measurement == "*" else measurement
        parts += [
            f"## {title}",
            _INTRODUCTIONS[measurement],
            _table(("name", "unit", "limits", "meaning", "roll-up"), rows),
        ]
    return "\n\n".join(parts) + "\n"


def reasons() -> str:
    """The page of why a message becomes a dead letter."""
    parts = [
        NOTE,
        "# Why a message is refused",
        "A message that cannot be taken becomes a dead letter with one of these reasons and a detail that says what "
        "was found. `ganglion dead-letters` lists them. How to read them is told in [operating.md](operating.md).",
        _table(("reason", "meaning"), [(f"`{reason}`", meaning) for reason, meaning in REASONS.items()]),
    ]
    return "\n\n".join(parts) + "\n"


_AT: Final = {
    "street": "a street",
    "district": "a district",
    "city": "the whole city",
    "traffic": "a counter",
    "water": "a meter",
    "air": "a station",
    "node": "any node",
}
_AT_FAULT: Final = {
    "board": "boards",
    "link": "the connections of nodes",
    "broker": "the broker, where the command owns it",
}


def kinds() -> str:
    """The page of what can happen in the simulated city, and to the fleet."""
    rows = [
        (
            f"`{name}`",
            ", ".join(_AT[at] for at in kind.at),
            f"{kind.unit}: {_number(kind.size[2])} ({_limits_of(kind.size)})" if any(kind.size) else "–",
            _span(kind.lasts * 60),
            _span(kind.shows_after_s),
            f"`{kind.shows_as}`",
        )
        for name, kind in incidents.KINDS.items()
    ]
    failures = [
        (
            f"`{fault}`",
            _AT_FAULT[line.at],
            f"{line.unit}: {_number(line.size[2])} ({_limits_of(line.size)})" if any(line.size) else "–",
            _span(line.lasts_s) if line.lasts_s else "–",
            f"{line.per_day:g}",
        )
        for fault, line in faults.KINDS.items()
    ]
    parts = [
        NOTE,
        "# What can happen",
        "To the simulated city, and to the fleet in it. How to ask for it is told in [fleet.md](fleet.md).",
        "## Incidents of a scenario",
        "Size and length are what is taken when nothing is said, with the limits of the size in brackets. An incident "
        "counts in a score once it has shown for as long as `counts after` says: so long a gateway may fairly need.",
        _table(("kind", "at", "size", "lasts", "counts after", "the gateway calls it"), rows),
        "## Faults of the fleet",
        "How often is what `--faults random` has: a day and node, for the broker a day.",
        _table(("kind", "at", "size", "lasts", "how often"), failures),
    ]
    return "\n\n".join(parts) + "\n"


_PRIVACY: Final = """\
What is measured, kept and shown, who sees it and for how long. `ganglion privacy show` prints the tables, with
`--json` for programs. The controller in the sense of the GDPR is who runs the gateway; this page is what a record of
processing (Article 30) needs to know of the software.

Ganglion measures places, never people. One thing it measures tells of people all the same: the water meter of a home.
So that is what most of this page is about."""

_SUMS: Final = """\
The citizens' page and NGSI-LD are told, of each zone and day that is over, what its homes used together. SensorThings
has no sums. A sum is told only if

- at least ten homes are in it, and none used more than half of it, so not where nobody used any;
- nothing can be reckoned of fewer than ten homes by adding sums and taking them from each other: homes that are in
  the same of the zones are ten or more. Of zones that share homes the later one in the plan has no sum, where it
  would betray them;
- it does not betray whom it leaves out. Where a zone is metered whole (`full`), what its inlet shows less the sum
  would be the homes that were not heard; where these are fewer than ten, others are left out too, to make ten;
- it is the first of that day. It is decided once, an hour after midnight, for all ways out, and kept in
  `sums.sqlite3`: a pack that comes later, a restart or another process changes nothing.

Days do not overlap, so a home that joins is in no sum that could be taken from one without it. What stays possible is
a guess: who knows what all others usually use may estimate the rest.

A report of a week keeps to ten homes and to the second rule. It is made when it is asked for, so one that is made
again later may hold late packs: hand on one of each week."""

_TAIL: Final = """\
## Retention

`ganglion influx setup` sets it in the database, which enforces it; without it a database keeps all for ever, which
`ganglion doctor` tells as soon as there are water meters. The gateway deletes once an hour what the table above says
is too old, a little at a time, and counts it in `ganglion_expired_total`. What it deletes from the journal and the
outbox is overwritten on the disk; but the space of packs that were on their way, and of an incident before it
changed, is used again without that. Where a database keeps anything for longer,
`ganglion influx setup --force` shortens that, and so deletes.

## One home: what is kept, and how it is deleted

```sh
ganglion privacy export riverside/water-0003 --output water-0003.zip
ganglion privacy delete riverside/water-0003          # tells what would go
ganglion privacy delete riverside/water-0003 --yes
```

Both run as the gateway's user, with the environment that holds its secrets, while the gateway runs or without it. The
ZIP has readings and roll-ups as CSV, what the journal knows, incidents, dead letters and messages as JSON, and
`manifest.json`, which says from where each is, where nothing was found, and where nobody looked.

`delete` takes away its readings and roll-ups in the database and each mirror, its incidents, dead letters, messages,
what detectors have learnt of it, and what the broker retains. Incidents of others that name it say `(deleted)`
instead. The ledger stays: it counts packs, not what was in them. It refuses while packs of the node are on their way.
At the end it looks again, and ends with 1 if anything is left.

- A node that goes on sending is kept anew. Revoke it or name it anew first; the command says so if it was heard
  within a day.
- InfluxDB 1.x and 2.x can delete. InfluxDB 3 Core and VictoriaMetrics cannot by this command: it says what to do
  there.
- The broker may not let the gateway take back what the node itself retained: its birth and its configuration's
  answer. They hold no readings. The command names their topics.
- Not reached: backups, exported files, delivered messages, the node's own flash. The audit log and the inventory of
  identities keep its name.

Both are entries in the audit log (`privacy.export`, `privacy.delete`).

## Who may look

The console and `/api/v1` show single homes, to operators. As long as the console listens on this machine alone,
whoever is on it may look. As soon as it listens beyond, or has a `console.link`, looking takes a log-in, unless
`console.read = "anyone"` says otherwise by name."""


def privacy() -> str:
    """The page of what is kept of people."""
    parts = [NOTE, "# Privacy", _PRIVACY]
    for title, rows in (
        ("What is measured", table.MEASURED),
        ("Where it is kept", table.KEPT),
        ("Who sees what of a home", table.SEEN),
    ):
        names = rows[0].__struct_fields__
        cells = [tuple(_yes(getattr(each, name)) for name in names) for each in rows]
        parts += [f"## {title}", _table(tuple(name.replace("_", " ") for name in names), cells)]
    return "\n\n".join([*parts, "## Sums of homes", _SUMS, _TAIL]) + "\n"


def _yes(value: object) -> str:
    return ("**yes**" if value else "no") if isinstance(value, bool) else str(value)


PAGES: Final[dict[str, Callable[[], str]]] = {
    "quantities.md": quantities,
    "reasons.md": reasons,
    "kinds.md": kinds,
    "privacy.md": privacy,
}


def _limits(quantity: Quantity) -> str:
    return "`true`, `false`" if quantity.flag else f"{_number(quantity.low)} to {_number(quantity.high)}"


def _limits_of(size: tuple[float, float, float]) -> str:
    return f"{_number(size[0])} to {_number(size[1])}"


def _span(seconds: int) -> str:
    """A length in the largest unit that it is whole in."""
    for unit, name in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds % unit == 0:
            return f"{seconds // unit} {name}"
    return f"{seconds} s"


def _number(value: float) -> str:
    return f"{value:,.0f}".replace(",", " ").replace("-", "−") if value == int(value) else f"{value:g}"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


if __name__ == "__main__":
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")
