"""Scenarios: what is right is taken, what is wrong is refused with file, line, key and cure."""

import importlib.resources
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ConfigError
from gateway.quantities import KINDS as NODE_KINDS
from sim_hardware import city
from sim_hardware.city.checks import _meet
from sim_hardware.city.incidents import DAY_MIN, KINDS
from sim_hardware.city.scenario import DAY_S, Scenario, beginning, load, out_of_reach, parse, places
from sim_hardware.city.tables import DistrictTable, NodeTable, Planned, StreetTable, clock, span
from sim_hardware.city.weather import Climate

GOOD = """
site = "riverside"
start_hour = 6.5

[climate]
mean_wind = 2

[[district]]
name = "Old Town"
x_km = 0
y_km = 1.5
homes = 900

[[street]]
name = "Quay"
district = "Old Town"
length_m = 1500

[[street]]
name = "Mill Street"
district = "Old Town"
length_m = 800
into = "Quay"

[[node]]
name = "traffic-0001"
at = "Quay"
at_m = 200

[[incident]]
kind = "burst"
at = "water-0003"
begin = 6
end = 52
size = 1800

[[incident]]
kind = "crash"
at = "Quay"
at_m = 1200.5
begin = "07:30"
lasts = "1h 5m"
daily = true

[random]
leak = 0.2
"""


def line_of(marked: str) -> int:
    """The line, from 1, on which GOOD has this."""
    return GOOD[: GOOD.index(marked)].count("\n") + 1


def test_a_good_file(tmp_path: Path) -> None:
    """What is not said has a default."""
    path = tmp_path / "streets.toml"
    path.write_text(GOOD)
    found = load(path)
    assert found == Scenario(
        "riverside",
        (
            Planned("burst", 6, "water-0003", end=52, size=1800.0),
            Planned("crash", "07:30", "Quay", at_m=1200.5, lasts="1h 5m", daily=True),
        ),
        6.5,
        (DistrictTable("Old Town", 0.0, 1.5, 900),),
        (
            StreetTable("Quay", 1500.0, "Old Town"),
            StreetTable("Mill Street", 800.0, "Old Town", into="Quay"),
        ),
        (NodeTable("traffic-0001", "Quay", 200.0),),
        climate=Climate(mean_wind=2.0),
        random={"leak": 0.2},
    )
    assert [each.times(390) for each in found.incident] == [(6, 52), (60, 125)]
    assert parse('site = "a"', "a") == Scenario("a")


# what is wrong ----------------------------------------------------------------------------------------------------

CRASH = '[[incident]]\nkind = "crash"\nat = "Quay"\nat_m = 1200.5\n'


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        # keys
        ("site", "sit", "sit: there is no such key; the nearest is site"),
        ("homes", "hmoes", "district[0].hmoes: there is no such key; the nearest is homes"),
        ("mean_wind", "meanwind", "climate.meanwind: there is no such key; the nearest is mean_wind"),
        ("[climate]", "[climat]", "climat: there is no such key; the nearest is climate"),
        ("lasts", "last", "incident[1].last: there is no such key; the nearest is lasts"),
        ("leak = 0.2", "leek = 0.2", "random.leek: there is no such kind of incident; the nearest is leak"),
        # types and limits
        ("900", '"900"', "district[0].homes: Expected `int`, got `str`"),
        ("length_m = 800", "length_m = -1", "street[1].length_m: Expected `float` > 0.0"),
        ("end = 52", "end = 9000000000", "incident[0].end: Expected `int` <= 10000000"),
        ('"burst"', '"busrt"', "incident[0].kind: Invalid enum value 'busrt'"),
        ("6.5", "24", "start_hour: Expected `float` < 24.0"),
        ("leak = 0.2", "leak = -1", "random"),
        ('"traffic-0001"', '"lamp-0001"', "node[0].name: Expected `str` matching regex"),
        ('"riverside"', '"River Side"', "site: Expected `str` matching regex"),
        ("6.5", "nan", "start_hour: Expected `float`"),
        # names that are not there, or twice
        ('district = "Old Town"\nlength_m = 800', 'district = "Old Twon"\nlength_m = 800',
         "street[1].district: there is no district 'Old Twon'; the nearest is Old Town"),
        ('into = "Quay"', 'into = "Quai"', "street[1].into: there is no street 'Quai'; the nearest is Quay"),
        ('at = "Quay"\nat_m = 200', 'at = "Key"\nat_m = 200',
         "node[0].at: there is no street 'Key' for traffic-0001; the nearest is Quay"),
        (CRASH, CRASH.replace("Quay", "Kuay"),
         "incident[1].at: there is no street or counter 'Kuay'; the nearest is Quay"),
        (CRASH, CRASH.replace("Quay", "Old Town"), "incident[1].at: there is no street or counter 'Old Town'"),
        ('"water-0003"', '"air-0003"', "incident[0].at: there is no water meter 'air-0003'"),
        ('at = "water-0003"\n', "", "incident[0].kind: a burst is at a water meter; name it with at"),
        ('"Mill Street"', '"Quay"', "street[1].name: 'Quay' is the name of a street already"),
        ('name = "Mill Street"', 'name = "Old Town"', "street[1].name: 'Old Town' is the name of a district already"),
        ('"Mill Street"', '"air-0001"', "street[1].name: 'air-0001' is what a node is called"),
        ("[random]", '[[node]]\nname = "traffic-0001"\nat = "Mill Street"\n[random]',
         "node[1].name: 'traffic-0001' is the name of a node already"),
        # places that cannot be
        ("[random]", '[[node]]\nname = "traffic-0002"\nat = "Quay"\nat_m = 200\n[random]',
         "node[1].at: traffic-0001 stands in the same place"),
        ("at_m = 200", "at_m = 1501", "node[0].at_m: the street is 1500 m long"),
        ("1200.5", "1500.5", "incident[1].at_m: the street is 1500 m long"),
        ("[random]", '[[node]]\nname = "air-0001"\nat = "Old Town"\nat_m = 3\n[random]',
         "node[1].at_m: is a place along a street"),
        ("at_m = 200", "inlet = true", "node[0].inlet: traffic-0001 is no water meter"),
        ("size = 1800", "size = 1800\nat_m = 3", "incident[0].at_m: is a place along a street"),
        ("length_m = 800", "length_m = 100", "street[1].length_m: a street of 50 km/h is 139 m or longer"),
        ("length_m = 800", "length_m = 800\nlimit_kmh = 20\ncapacity = 1700",
         "street[1].capacity: at 20 km/h no lane carries more than 1244 veh/h"),
        ('into = "Quay"', "onward = 0.5", "street[1].onward: is the share that flows on"),
        ('length_m = 1500', 'length_m = 1500\ninto = "Mill Street"',
         "street[0].into: flows in a circle: Quay > Mill Street > Quay"),
        # times and sizes
        ("end = 52", "end = 6", "incident[0].end: must be after begin"),
        ('"07:30"', '"25:30"', "incident[1].begin: '25:30' is no time: write"),
        ('"1h 5m"', '"an hour"', "incident[1].lasts: 'an hour' is no length: write"),
        ('"07:30"', '"0d 06:00"', "incident[1].begin: is before the city starts, at 6.5 o'clock"),
        ('"1h 5m"', '"25h"', "incident[1].daily: it comes every day but lasts longer than one"),
        ("end = 52", "end = 52\nlasts = 3", "incident[0].lasts: says what end says already"),
        ("size = 1800", "size = 1", "incident[0].size: a burst is 50 to 50000 (l/h at usual pressure)"),
        ("size = 1800", 'size = 1800\n[[incident]]\nkind = "smoke"\nat = "Quay"\nbegin = 3',
         "incident[1].at: a smoke is over the whole city"),
        ("size = 1800", 'size = 1800\n[[incident]]\nkind = "dead"\nat = "air-0001"\nbegin = 3\nsize = 2',
         "incident[1].size: a dead has no size"),
        ("size = 1800", 'size = 1800\n[[incident]]\nkind = "burst"\nat = "water-0003"\nbegin = 51\nlasts = 9',
         "incident[1].begin: overlaps with incident[0], the same kind at the same place"),
    ],
)  # fmt: skip
def test_a_wrong_file(old: str, new: str, message: str) -> None:
    """The file, the line, the key, and the nearest name or what to do."""
    assert GOOD.count(old) >= 1
    text = GOOD.replace(old, new, 1)
    with pytest.raises(ConfigError) as raised:
        parse(text, "my/streets.toml")
    found = str(raised.value)
    assert message in found
    name, number, _ = found.split(":", 2)
    assert name == "my/streets.toml"
    # The line named has the key that is named, or is the header of its table.
    key = message.partition(":")[0].rpartition(".")[2].partition("[")[0]
    line = text.splitlines()[int(number) - 1]
    assert key in line or line.startswith("["), line


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('site = "a"\nnode = = 3', r"a:2: not TOML: Invalid value"),
        ('site = "a"\n[[street]]\nname = "district 1"\nlength_m = 500', r"a:3: .* is what a district is called"),
        ('site = "a"\n[[node]]\nname = "air-00001"\nat = "b"', r"a:3: node\[0\].name: Expected `str` matching"),
        ('site = "a', r"a:1: not TOML: "),
        ("start_hour = 3", r"a:1: Object missing required field `site`"),
        ('site = "a"\nincident = 3', r"a:2: incident: Expected `array`, got `int`"),
        ('site = "a"\nincident = [3]', r"a:2: incident\[0\]: Expected `object`, got `int`"),
        ('site = "a"\n\n[incident]\nkind = "burst"', r"a:3: incident: Expected `array`, got `object`"),
        ('site = "a"\n[[street]]\nname = "b"', r"a:2: street\[0\]: Object missing required field `length_m`"),
        ('site = "a"\n[[street]]\nname = "b"\nlength_m = 500\ndistrict = "c"', r"a:5: .* add a \[\[district\]\]"),
    ],
)
def test_a_file_of_another_shape(text: str, message: str) -> None:
    """Also said with its line."""
    with pytest.raises(ConfigError, match=message):
        parse(text, "a")


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """Said with its name."""
    with pytest.raises(ConfigError, match=r"none\.toml: .*No such file"):
        load(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_bytes(b'site = "\xff"')
    with pytest.raises(ConfigError, match=r"bad\.toml: .*can't decode byte 0xff"):
        load(tmp_path / "bad.toml")


# times ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "after", "minute"),
    [(90, 0, 90), ("07:00", 0, 0), ("06:59", 0, 1439), ("07:30", 0, 30), ("7:30", 31, 1470), ("0d 08:00", 0, 60),
     ("2d 06:00", 0, 2820), ("0d 06:00", 0, -60)],
)  # fmt: skip
def test_the_clock(text: int | str, after: int, minute: int) -> None:
    """In a city that starts at seven."""
    assert clock(text, 420, after) == minute


@given(st.integers(0, DAY_MIN - 1), st.integers(0, DAY_MIN - 1), st.integers(0, 10_000))
def test_a_time_of_day_is_the_next_one(start: int, minute: int, after: int) -> None:
    """Within a day from then on."""
    found = clock(f"{minute // 60:02}:{minute % 60:02}", start, after)
    assert after <= found < after + DAY_MIN
    assert (found + start) % DAY_MIN == minute


@pytest.mark.parametrize(("text", "minutes"), [(7, 7), ("45m", 45), ("1h 30m", 90), ("2d", 2880), ("1d 1h 1m", 1501)])
def test_lengths(text: int | str, minutes: int) -> None:
    """As people write them."""
    assert span(text) == minutes


@pytest.mark.parametrize("text", ["", "m", "0m", "1.5h", "30m 1h", "-3m", "1h30", "99999d"])
def test_no_length(text: str) -> None:
    """Refused."""
    with pytest.raises(ValueError, match="is no length"):
        span(text)


SPAN = st.tuples(st.integers(0, 4000), st.integers(1, DAY_MIN)).map(lambda pair: (pair[0], sum(pair)))


@given(SPAN, st.booleans(), SPAN, st.booleans())
def test_overlaps(one: tuple[int, int], daily: bool, two: tuple[int, int], too: bool) -> None:
    """As if every day were looked at."""

    def days(times: tuple[int, int], each: bool) -> set[int]:
        return {minute + d * DAY_MIN for d in range(6 if each else 1) for minute in range(*times)}

    horizon = range(6 * DAY_MIN)  # both have begun by then, and what comes after repeats
    met = bool(days(one, daily) & days(two, too) & set(horizon))
    assert _meet(one, daily, two, too) is met


# those that ship --------------------------------------------------------------------------------------------------


def test_the_one_that_ships() -> None:
    """Four incidents, each long enough to be noticed within the hour, on nodes that a fleet of thirty has."""
    scenario = load(None)
    assert {KINDS[each.kind].shows_as for each in scenario.incident} == {"burst", "jam", "air_episode", "stuck"}
    for each in scenario.incident:
        begin, end = each.times(round(60 * scenario.start_hour))
        assert (end - begin) * 60 >= KINDS[each.kind].shows_after_s
        assert end <= 60
    assert out_of_reach(scenario, 30) == []


def test_the_example() -> None:
    """Loads, and has everything that a scenario can say."""
    text = importlib.resources.files(city).joinpath("example.toml").read_text()
    scenario = parse(text, "example.toml")
    assert {each.kind for each in scenario.incident} == set(KINDS)
    assert 3 <= len(scenario.district) <= 4
    assert len(scenario.street) == 8
    assert out_of_reach(scenario, 60) == []
    for table in (StreetTable, NodeTable, Planned, DistrictTable, Scenario):
        for key in table.__struct_fields__:
            assert f"{key} = " in text or f"[{key}]" in text, key


def test_what_nobody_will_see_is_told() -> None:
    """Nodes that a fleet does not have, and incidents at them or with nobody near."""
    assert out_of_reach(load(None), 6) == [
        "incident 1 (burst) will not show: its place is water-0003, and a fleet of 6 has 2 water nodes",
        "incident 3 (crash) will not show: its place is traffic-0005, and a fleet of 6 has 2 traffic nodes",
    ]
    scenario = parse(GOOD, "a")
    assert out_of_reach(scenario, 1) == [
        "incident 1 (burst) will not show: its place is water-0003, and a fleet of 1 has 0 water nodes",
    ]
    fire = parse('site = "a"\n[[district]]\nname = "b"\nx_km = 0\ny_km = 0\nhomes = 3\n'
                 '[[incident]]\nkind = "fire"\nat = "b"\nbegin = 3\n', "a")  # fmt: skip
    (said,) = out_of_reach(fire, 2)
    assert said == "incident 1 (fire) will not show: no node of a fleet of 2 would see it at b"
    assert out_of_reach(fire, 3) == []


# nodes and beginning ----------------------------------------------------------------------------------------------


@given(st.integers(0, 200))
def test_places(nodes: int) -> None:
    """Slots in order, kinds in turn, numbers of a kind from 1 without a gap, names that are unique."""
    found = places(nodes)
    assert [each.slot for each in found] == list(range(nodes))
    assert len({each.node for each in found}) == nodes
    for kind in NODE_KINDS:
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
