"""Scenarios: what is right is taken, what is wrong is refused by name; where nodes stand and when a city begins."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ConfigError
from gateway.quantities import KINDS
from sim_hardware.city.city import City
from sim_hardware.city.scenario import (
    DAY_S,
    MEASURES,
    SHOWS_AFTER_S,
    Planned,
    Scenario,
    beginning,
    load,
    out_of_reach,
    places,
)

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


@pytest.mark.parametrize("nodes", [30, 300])
def test_the_smoke_of_the_one_that_ships_reaches_every_station(nodes: int) -> None:
    """However many there are."""
    where = places(nodes)
    (episode,) = [each for each in City(load(None), where, 1, 0).truth(DAY_S) if each.kind == "air_episode"]
    assert episode.nodes == tuple(each.node for each in where if each.kind == "air")


def test_incidents_that_nobody_will_see_are_told() -> None:
    """Those whose place, and whose reach, begin behind the last node of their kind."""
    assert out_of_reach(load(None), 30) == []
    assert out_of_reach(load(None), 6) == [
        "incident 1 (burst) will not show: its place is water node 3, and a fleet of 6 has 2 of these",
        "incident 3 (jam) will not show: its place is traffic node 5, and a fleet of 6 has 2 of these",
    ]
    edge = Scenario("a", (Planned("jam", 0, 60, 5, 9.0, reach=1), Planned("air_episode", 0, 60, 1, 9.0, reach=99)))
    assert [len(out_of_reach(edge, nodes)) for nodes in (1, 2, 3, 9, 10)] == [2, 2, 1, 1, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD.replace("site", "sit"), r"sit: there is no such key; the nearest is site"),
        (GOOD.replace("start_hour", "starthour"), r"starthour: there is no such key; the nearest is start_hour"),
        (
            GOOD.replace("place = 3", "palce = 3"),
            r"incident\[0\]\.palce: there is no such key; the nearest is incident\[0\]\.place",
        ),
        (
            GOOD.replace("daily", "dayly"),
            r"incident\[1\]\.dayly: there is no such key; the nearest is incident\[1\]\.daily",
        ),
        (GOOD + "colour = 3\n", r"incident\[1\]\.colour: there is no such key"),
        (GOOD.replace("[[incident]]", "[[incidents]]"), r"incidents: there is no such key; the nearest is incident"),
        (GOOD.replace('"burst"', '"leak"'), r"Invalid enum value 'leak' - at `\$\.incident\[0\]\.kind`"),
        (GOOD.replace("place = 3", 'place = "3"'), r"Expected `int`, got `str` - at `\$\.incident\[0\]\.place`"),
        (GOOD.replace("place = 3", "place = 0"), r"Expected `int` >= 1 - at `\$\.incident\[0\]\.place`"),
        (GOOD.replace("place = 3", "place = 4000000000000000000"), r"Expected `int` <= 100000 - at .*place`"),
        (GOOD.replace("reach = 1", "reach = 4000000000000000000"), r"Expected `int` <= 100000 - at .*reach`"),
        (GOOD.replace("end = 40", "end = 4000000000000000000"), r"Expected `int` <= 10000000 - at .*end`"),
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
