"""Scenarios: what is right is taken, what is wrong is refused by name; where nodes stand and when a city begins."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ConfigError
from gateway.quantities import KINDS
from sim_hardware.city.scenario import DAY_S, MEASURES, SHOWS_AFTER_S, Planned, Scenario, beginning, load, places

GOOD = """
site = "riverside"
start_hour = 6.5

[[incident]]
kind = "burst"
begin = 6
end = 52
place = 3
size = 1800

[[incident]]
kind = "jam"
begin = 15
end = 40
place = 5
size = 9.5
reach = 1
daily = false
"""


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "streets.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_good_file(tmp_path: Path) -> None:
    """What is not said has a default."""
    assert load(write(tmp_path, GOOD)) == Scenario(
        "riverside",
        (
            Planned("burst", 6, 52, 3, 1800.0, reach=0, daily=True),
            Planned("jam", 15, 40, 5, 9.5, reach=1, daily=False),
        ),
        6.5,
    )
    assert load(write(tmp_path, 'site = "a"')) == Scenario("a", (), 7.0)


def test_the_one_that_ships() -> None:
    """Every kind of incident, each long enough to be noticed, on nodes that a small fleet has."""
    scenario = load(None)
    assert {each.kind for each in scenario.incident} == set(MEASURES)
    for each in scenario.incident:
        assert (each.end - each.begin) * 60 >= SHOWS_AFTER_S[each.kind]
        assert each.place <= 10


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD.replace("site", "sit"), r"unknown key 'sit'; did you mean 'site'\?"),
        (GOOD.replace("start_hour", "starthour"), r"unknown key 'starthour'; did you mean 'start_hour'\?"),
        (GOOD.replace("place = 3", "palce = 3"), r"unknown key 'palce'; did you mean 'place'\?"),
        (GOOD.replace("daily", "dayly"), r"unknown key 'dayly'; did you mean 'daily'\?"),
        (GOOD + "colour = 3\n", r"unknown key 'colour'; known are kind, begin, end, place, size, reach, daily"),
        (GOOD.replace("[[incident]]", "[[incidents]]"), r"unknown key 'incidents'; did you mean 'incident'\?"),
        (GOOD.replace('"burst"', '"leak"'), r"Invalid enum value 'leak' - at `\$\.incident\[0\]\.kind`"),
        (GOOD.replace("place = 3", 'place = "3"'), r"Expected `int`, got `str` - at `\$\.incident\[0\]\.place`"),
        (GOOD.replace("place = 3", "place = 0"), r"Expected `int` >= 1 - at `\$\.incident\[0\]\.place`"),
        (GOOD.replace("reach = 1", "reach = -1"), r"Expected `int` >= 0 - at `\$\.incident\[1\]\.reach`"),
        (GOOD.replace("begin = 15", "begin = -1"), r"Expected `int` >= 0 - at `\$\.incident\[1\]\.begin`"),
        (GOOD.replace("size = 1800", "size = nan"), r"Expected `float` .*size`"),
        (GOOD.replace("size = 1800", "size = -1"), r"Expected `float` >= 0\.0 - at `\$\.incident\[0\]\.size`"),
        (GOOD.replace("place = 3\n", ""), r"missing required field `place` - at `\$\.incident\[0\]`"),
        (GOOD.replace("riverside", "River Side"), r"Expected `str` matching regex .*`\$\.site`"),
        (GOOD.replace('"riverside"', "3"), r"Expected `str`, got `int` - at `\$\.site`"),
        (GOOD.replace("6.5", "24"), r"Expected `float` < 24\.0 - at `\$\.start_hour`"),
        (GOOD.replace("6.5", "nan"), r"Expected `float` .*`\$\.start_hour`"),
        ("start_hour = 3", r"missing required field `site`"),
        ('site = "a"\nincident = 3', r"Expected `array`, got `int` - at `\$\.incident`"),
        ('site = "a"\nincident = [3]', r"Expected `object`, got `int` - at `\$\.incident\[0\]`"),
        ('site = "a"\n[incident]\nkind = "burst"', r"Expected `array`, got `object` - at `\$\.incident`"),
        (GOOD.replace("end = 40", "end = 15"), r"incident 2 \(jam\) must end after it begins"),
        (GOOD.replace("end = 52", "end = 1447"), r"incident 1 \(burst\) is daily but longer than a day"),
        ("site = ", r"Invalid value"),
        (b'site = "\xff"', r"can't decode byte 0xff"),
    ],
)
def test_a_wrong_file(tmp_path: Path, text: str | bytes, message: str) -> None:
    """The file, the key, and the nearest name or what was expected."""
    with pytest.raises(ConfigError, match=rf"/streets\.toml: .*{message}"):
        load(write(tmp_path, text))


def test_a_missing_file(tmp_path: Path) -> None:
    """Said with its name."""
    with pytest.raises(ConfigError, match=r"none\.toml: .*No such file"):
        load(tmp_path / "none.toml")


@given(st.integers(0, 200))
def test_places(nodes: int) -> None:
    """Slots in order, kinds in turn, numbers of a kind from 1 without a gap, names that are unique."""
    found = places(nodes)
    assert [each.slot for each in found] == list(range(nodes))
    assert len({each.node for each in found}) == nodes
    for kind in KINDS:
        numbers = [each.number for each in found if each.kind == kind]
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) in (nodes // 3, nodes // 3 + 1)


def test_names_of_places() -> None:
    """As topics and tags have them."""
    assert [each.node for each in places(4)] == ["traffic-0001", "water-0001", "air-0001", "traffic-0002"]


@given(st.integers(1_700_000_000, 2_000_000_000), st.integers(0, 10 * DAY_S), st.integers(0, 24 * 60 - 1))
def test_a_fast_city_begins_on_a_working_day(now: int, city_s: int, minute: int) -> None:
    """The last one at the scenario's hour from which its whole length is past."""
    begin = beginning(Scenario("a", start_hour=minute / 60), now, city_s)
    assert begin + city_s <= now
    assert begin % DAY_S == 60 * minute
    assert datetime.fromtimestamp(begin, UTC).weekday() < 5
    later = range(begin + DAY_S, now - city_s + 1, DAY_S)
    assert all(datetime.fromtimestamp(each, UTC).weekday() >= 5 for each in later)
