"""Writes the pages of docs/ that are tables of the code, so that they cannot differ from it.

Run `python docs/generate.py` after a change to `gateway.quantities` or `gateway.decode`. A test fails until it is done.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from gateway.decode import REASONS
from gateway.quantities import KINDS, QUANTITIES, Quantity

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
        "A value that is not known is left out; it is never 0.\n\n"
        "How packs are built is told in [protocol.md](protocol.md).",
    ]
    for measurement in (*KINDS, "health", "*"):
        rows = [
            (f"`{each.name}`", f"`{each.unit}`" if each.unit else "–", _limits(each), each.meaning)
            for each in QUANTITIES
            if each.measurement == measurement
        ]
        title = "any kind" if measurement == "*" else measurement
        parts += [f"## {title}", _INTRODUCTIONS[measurement], _table(("name", "unit", "limits", "meaning"), rows)]
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


PAGES: Final[dict[str, Callable[[], str]]] = {"quantities.md": quantities, "reasons.md": reasons}


def _limits(quantity: Quantity) -> str:
    return "`true`, `false`" if quantity.flag else f"{_number(quantity.low)} to {_number(quantity.high)}"


def _number(value: float) -> str:
    return f"{value:,.0f}".replace(",", " ").replace("-", "−") if value == int(value) else f"{value:g}"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


if __name__ == "__main__":
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")
