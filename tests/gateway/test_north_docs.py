"""docs/interop.md says what the code does."""

import re

from gateway.detect.plan import LEAST_HOMES
from gateway.north.discovery import OF_HOMES, SENSORS, STATES
from gateway.north.newest import KEEP_SECONDS
from gateway.north.ngsi_ld import ATTRIBUTES, CONTEXT, MODELS, OWN, SUBJECTS
from gateway.north.sta_query import MOST, OPTIONS, USUAL
from gateway.north.things import RELATIONS, UNITS
from gateway.privacy.sums import COARSE, LATE_SECONDS
from tests.test_docs import DOCS

PAGE = DOCS / "interop.md"


def rows(heading: str) -> list[list[str]]:
    """Cells of the table with this head, without the marks of code; a dash is nothing."""
    table = re.search(rf"^\| {re.escape(heading)} \|\n[|\- ]+\n((?:\|.*\n)+)", PAGE.read_text(), re.MULTILINE)
    assert table is not None, heading
    return [
        ["" if cell == "–" else cell.replace("`", "") for cell in row.strip("| ").split(" | ")]
        for row in table[1].splitlines()
    ]


def test_home_assistants_classes_are_told() -> None:
    told = {
        (of, quantity): tuple(more) for of, quantity, *more in rows("of | quantity | device class | unit | state class")
    }
    assert told == {key: (each.device_class, each.unit, each.state_class) for key, each in SENSORS.items()}
    assert {row[0]: row[1] for row in rows("state | device class")} == dict(STATES)
    assert all(f"`{kind}`" in PAGE.read_text() for kind in OF_HOMES)


def test_the_models_attributes_are_told() -> None:
    told = [tuple(row) for row in rows("type | quantity | attribute | unit")]
    assert told == [
        (MODELS.get(kind, "Device"), quantity, form.name, form.unit)
        for (kind, quantity), forms in ATTRIBUTES.items()
        for form in forms
    ]
    assert {kind: tuple(names.split(", ")) for kind, names in rows("type | attributes")} == dict(OWN)
    assert {row[0] for row in rows("type | of | id")} == set(SUBJECTS)
    assert CONTEXT in PAGE.read_text()


def test_the_sets_options_and_units_of_sensorthings_are_told() -> None:
    assert {name for row in rows("set | of | id") for name in row[0].split(", ")} == set(RELATIONS)
    assert {unit: (name, code) for unit, name, code in rows("our unit | name | UCUM")} == {
        unit: (name, code) for unit, (name, _, code) in UNITS.items()
    }
    text = PAGE.read_text()
    assert all(f"`{option}`" in text for option in OPTIONS)
    assert f"`$top` ({USUAL}, at most {MOST})" in text


def test_the_bounds_are_told() -> None:
    text = " ".join(PAGE.read_text().split())
    assert (LEAST_HOMES, KEEP_SECONDS, LATE_SECONDS, COARSE) == (10, 5.0, 3600, 10)
    for words in ("ten homes or more", "kept for five seconds", "an hour after midnight", "rounded to ten litres"):
        assert words in text
