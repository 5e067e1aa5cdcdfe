"""The page about citizens, held against the code."""

import re
from pathlib import Path

from gateway.cap.area import LEAST_HOMES
from gateway.cap.kinds import KINDS
from gateway.citizens.notices import KEPT
from gateway.citizens.store import FAILING_DAYS, MOST, MOST_WORKS

TEXT = (Path(__file__).parents[2] / "docs" / "citizens.md").read_text()


def rows(head: str) -> list[list[str]]:
    """Cells of the table with that first cell."""
    (table,) = re.findall(rf"^\| {head} \|.*\n\|[- |]+\|\n((?:\|.*\n)+)", TEXT, re.MULTILINE)
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()]


def test_the_table_of_cap_is_as_the_code_is() -> None:
    expected = [
        [
            f"`{name}`",
            kind.event,
            kind.category,
            kind.urgency,
            kind.severity + (f", critical {kind.critical}" if kind.critical else ""),
            kind.certainty,
            kind.response,
        ]
        for name, kind in KINDS.items()
    ]
    assert rows("kind") == expected


def test_the_table_of_notices_is_as_the_code_is() -> None:
    told = {name: kind.public for name, kind in KINDS.items() if kind.public is not None}
    expected = [
        [
            f"`{name}`",
            public.headline,
            "at once" if public.at_once else "confirmed",
            f"zone of {LEAST_HOMES} homes or more"
            if public.of_homes
            else {"traffic": "street"}.get(public.topic, "zone"),
        ]
        for name, public in told.items()
    ]
    assert rows("found as") == expected


def test_the_bounds_are_told() -> None:
    for words in (
        f"{MOST:,}".replace(",", " ") + " subscriptions",
        f"{MOST_WORKS} works",
        f"{FAILING_DAYS} days",
        f"{KEPT // 86_400} days",
    ):
        assert words in TEXT, words
