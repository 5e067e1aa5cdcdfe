"""The page that says where an emulated board differs names tests that there are."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/emulation.md"
SOURCES = {path.name: path.read_text() for path in (ROOT / "tests").rglob("test_*.py")}

ROWS = [line for line in PAGE.read_text().splitlines() if line.startswith("| ") and not line.startswith("| ---")]


def test_every_test_that_is_named_is_there() -> None:
    """In the file that is named with it, if one is, and in one of the HAL's or the firmware's otherwise."""
    named = re.findall(r"(?:(test_\w+\.py)::)?\b(test_\w+)\b(?!\.py)", PAGE.read_text())
    assert len(named) > 60
    files = set(re.findall(r"test_\w+\.py", PAGE.read_text()))
    assert files <= set(SOURCES)
    missing = [
        name
        for file, name in named
        if not any(f"def {name}(" in SOURCES[each] for each in ([file] if file else sorted(files)))
    ]
    assert missing == []


@pytest.mark.parametrize("row", [row for row in ROWS if not row.startswith("| | ")], ids=lambda row: row.split("|")[1])
def test_every_row_says_how_it_is_closed_or_that_it_is_not(row: str) -> None:
    """What is closed is held by a test; what is not says so."""
    cells = row.strip("| ").split(" | ")
    assert len(cells) == 4
    said = cells[3]
    if said.startswith("closed"):
        assert "test_" in said
    else:
        assert said.startswith(("named", "refused", "stricter", "the same", "not there", "202 alone"))
