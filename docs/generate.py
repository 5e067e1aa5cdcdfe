"""Writes the pages of docs/ that are tables of the code, so that they cannot differ from it.

Run `python docs/generate.py` after a change to `gateway.quantities`, `gateway.ingest.decode`,
`sim_hardware.city.incidents` or `sim_hardware.fleet.faults`. A test fails until it is done.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from gateway.ingest.decode import REASONS
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


PAGES: Final[dict[str, Callable[[], str]]] = {"quantities.md": quantities, "reasons.md": reasons, "kinds.md": kinds}


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
