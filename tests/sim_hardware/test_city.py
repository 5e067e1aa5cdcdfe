"""The city: the same to the bit from the same seed, with the rhythm of a day, and incidents where they belong."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from gateway.quantities import QUANTITIES
from sim_hardware.city.city import DAY_MIN, FIELDS, STUCK, City, Floats
from sim_hardware.city.scenario import MEASURES, Place, Planned, Scenario, load, places

MONDAY = 1_736_121_600
"""2025-01-06, 00:00 UTC."""
DAY_S = 86_400
QUIET = Scenario("riverside")
PM2_5, CO2 = 1, 3


def lived(town: City, minutes: int) -> Floats:
    """An array of shape (minutes, places, FIELDS)."""
    return np.array([town.minute() for _ in range(minutes)])


def city(
    minutes: int,
    where: Sequence[Place],
    scenario: Scenario = QUIET,
    seed: int = 1,
    start: int = MONDAY,
) -> Floats:
    return lived(City(scenario, where, seed, start), minutes)


def slots(where: Sequence[Place], kind: str) -> list[int]:
    return [each.slot for each in where if each.kind == kind]


# repeatable -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nodes", [0, 1, 3, 20])
def test_the_same_seed_is_the_same_city(nodes: int) -> None:
    """To the bit, also when its truth is asked for between; another seed is another city."""
    scenario = load(None)
    one, two = (City(scenario, places(nodes), 7, MONDAY) for _ in range(2))
    first = lived(one, 90)
    second = []
    for _ in range(90):
        second.append(two.minute())
        two.truth(MONDAY + DAY_S)
    assert first.shape == (90, nodes, FIELDS)
    assert first.tobytes() == np.array(second).tobytes()
    assert one.truth(MONDAY + DAY_S) == two.truth(MONDAY + DAY_S)
    if nodes:
        assert not np.array_equal(first, city(90, places(nodes), scenario, seed=8))


@pytest.mark.parametrize("kind", ["traffic", "water", "air"])
def test_other_kinds_do_not_change_a_kind(kind: str) -> None:
    """The air is the same however many meters there are, wherever their slots lie."""
    own = [Place(slot, kind, slot + 1) for slot in range(4)]
    others = [Place(4 + n, each, n + 1) for each in MEASURES.values() if each != kind for n in range(0, 30, 1)]
    others = [Place(4 + n, each.kind, each.number) for n, each in enumerate(others)]
    scenario = load(None)
    alone, among = city(60, own, scenario), city(60, own + others, scenario)
    assert alone.tobytes() == among[:, :4].tobytes()


def test_time_goes_by_minutes() -> None:
    """`next_minute` is the beginning of what comes next."""
    town = City(QUIET, places(3), 1, MONDAY)
    assert town.next_minute == MONDAY
    lived(town, 5)
    assert town.next_minute == MONDAY + 300


# a day ------------------------------------------------------------------------------------------------------------

WHERE = places(180)


@pytest.fixture(scope="module")
def monday() -> Floats:
    return city(DAY_MIN, WHERE)


@pytest.fixture(scope="module")
def saturday() -> Floats:
    return city(DAY_MIN, WHERE, start=MONDAY + 5 * DAY_S)


def mean(day: Floats, kind: str, field: int, begin: float, end: float) -> float:
    """Over all places of a kind, from hour to hour."""
    return float(day[round(60 * begin) : round(60 * end), slots(WHERE, kind), field].mean())


@pytest.mark.parametrize("lane", [0, 2])
def test_traffic_follows_the_day(monday: Floats, saturday: Floats, lane: int) -> None:
    """Two rush hours, slower the fuller; little at night; no morning rush on Saturday."""
    night, morning = mean(monday, "traffic", lane, 2, 4), mean(monday, "traffic", lane, 7.5, 8.5)
    noon, evening = mean(monday, "traffic", lane, 11, 12), mean(monday, "traffic", lane, 17, 18)
    assert night < 150 < noon < min(morning, evening)
    assert morning > 5 * night
    assert mean(monday, "traffic", lane + 1, 7.5, 8.5) < mean(monday, "traffic", lane + 1, 2, 4) - 3
    assert mean(saturday, "traffic", lane, 7.5, 8.5) < 0.5 * morning


def test_homes_follow_the_day(monday: Floats, saturday: Floats) -> None:
    """Morning and evening draws; next to nothing at night, yet no home is dry; a late Saturday."""
    night, morning = mean(monday, "water", 0, 2, 4), mean(monday, "water", 0, 6.5, 8)
    assert night < 0.15 * mean(monday, "water", 0, 0, 24)
    assert morning > 1.5 * mean(monday, "water", 0, 0, 24)
    assert mean(monday, "water", 0, 19, 20) > mean(monday, "water", 0, 14.5, 16)
    assert mean(saturday, "water", 0, 6, 7) < 0.7 * mean(monday, "water", 0, 6, 7)
    litres = monday[:, slots(WHERE, "water"), 0].sum(axis=0) / 60
    assert litres.min() > 20
    assert litres.mean() / 3 == pytest.approx(120, rel=0.15), "a person and day, three persons a home"


def test_draws_are_those_of_a_home(monday: Floats) -> None:
    """Each a few minutes long at most, and no flow that a tap cannot give."""
    flow = monday[:, slots(WHERE, "water"), 0]
    assert flow.max() <= 660
    assert flow[flow > 0].min() > 100
    still = np.lib.stride_tricks.sliding_window_view(flow, 29, axis=0)
    assert (still == 0).any(axis=-1).all(), "half an hour of flow is a burst"


def test_air_follows_the_day(monday: Floats, saturday: Floats) -> None:
    """A morning peak of particles and CO2; cool nights; finer fractions are parts of the coarser."""
    for field in (PM2_5, CO2):
        assert mean(monday, "air", field, 7.5, 9) > mean(monday, "air", field, 3, 5) + 5
        assert mean(monday, "air", field, 7.5, 9) > mean(monday, "air", field, 12.5, 14) + 5
        assert mean(monday, "air", field, 7.5, 9) > mean(saturday, "air", field, 7.5, 9) + 3
    assert mean(monday, "air", 4, 14, 16) > mean(monday, "air", 4, 2, 4) + 5
    assert mean(monday, "air", 5, 14, 16) < mean(monday, "air", 5, 2, 4)
    air = monday[:, slots(WHERE, "air")]
    assert (air[..., 0] < air[..., 1]).all()
    assert (air[..., 1] < air[..., 2]).all()
    assert (air[..., FIELDS - 1] == 0).all()


def test_neighbours_share_their_air_but_not_to_the_last_digit(monday: Floats) -> None:
    """Each station has its own noise; the region's moves them together."""
    pm = monday[:, slots(WHERE, "air"), PM2_5]
    assert (pm.std(axis=1) > 0).all()
    assert (pm.max(axis=1) - pm.min(axis=1)).max() < 6
    assert (np.diff(pm, axis=0) != 0).all()


# limits -----------------------------------------------------------------------------------------------------------

FIELDS_OF = {
    "traffic": ("volume", "speed", "volume", "speed"),
    "water": ("flow", "temperature"),
    "air": ("pm1_0", "pm2_5", "pm10", "co2", "temperature", "humidity", "pressure"),
}
LIMITS = {(each.measurement, each.name): (each.low, each.high) for each in QUANTITIES}

STORM = Scenario(
    "riverside",
    (
        Planned("jam", 0, 600, 1, 9.0, reach=50),
        Planned("burst", 30, 900, 1, 20_000.0, reach=5),
        Planned("air_episode", 60, 1200, 10, 900.0, reach=30),
        Planned("stuck", 60, 1200, 1, 0.0),
    ),
)


@pytest.mark.parametrize("seed", [1, 2, 2**31 - 1])
@pytest.mark.parametrize("scenario", [QUIET, STORM], ids=["quiet", "storm"])
def test_values_are_finite_and_possible(scenario: Scenario, seed: int) -> None:
    """Inside the gateway's physical limits, and so that a lane has room for its vehicles."""
    where = places(30)
    days = city(2 * DAY_MIN, where, scenario, seed)
    assert np.isfinite(days).all()
    for kind, names in FIELDS_OF.items():
        own = days[:, slots(where, kind)]
        for field, name in enumerate(names):
            low, high = LIMITS[kind, name]
            values = own[..., field] / (60 if name == "volume" else 1)
            assert low <= values.min(), name
            assert values.max() <= high, name
    streets = days[:, slots(where, "traffic")]
    assert ((streets[..., 4:6] >= 0) & (streets[..., 4:6].sum(axis=-1, keepdims=True) < 1)).all()
    for lane in (0, 2):
        assert streets[..., lane].min() >= 10
        assert streets[..., lane + 1].min() >= 4
        assert (streets[..., lane] * 0.0065 / streets[..., lane + 1] < 1.3).all()


# incidents --------------------------------------------------------------------------------------------------------


THIRTY = places(30)
LONG = 2 * DAY_MIN + 100


@pytest.fixture(scope="module")
def plain() -> Floats:
    return city(LONG, THIRTY)


def differs(struck: Floats, plain: Floats, kind: str) -> NDArray[np.bool_]:
    """(minutes, places): where a city is not as it would be without an incident of this kind."""
    fields = {"stuck": slice(FIELDS - 1, FIELDS), "air_episode": slice(0, FIELDS - 1)}.get(kind, slice(None))
    found = (struck != plain)[..., fields].any(axis=-1)
    found[:, [each.slot for each in THIRTY if each.kind != MEASURES[kind]]] = False  # type: ignore[index]
    return found


@pytest.mark.parametrize(
    ("begin", "end", "place", "reach", "daily"),
    [
        (10, 40, 4, 0, True),
        (10, 40, 4, 2, False),
        (0, 25, 1, 1, False),
        (5, 60, 10, 3, True),
        (1400, 1500, 5, 1, True),
        (1500, 1560, 5, 1, True),
        (1500, 1560, 5, 1, False),
    ],
)
def test_incidents_show_where_and_when_truth_says(
    plain: Floats, begin: int, end: int, place: int, reach: int, daily: bool
) -> None:
    """At each place it reaches, a minute later with each step away, again every day; and nowhere else."""
    scenario = Scenario("riverside", tuple(Planned(kind, begin, end, place, 40.0, reach, daily) for kind in MEASURES))
    struck = city(LONG, THIRTY, scenario)
    truths = City(scenario, THIRTY, 1, MONDAY).truth(MONDAY + 60 * LONG)
    at = {each.node: each for each in THIRTY}
    begins = list(range(begin, LONG if daily else begin + 1, DAY_MIN))
    for kind, measurement in MEASURES.items():
        expected = np.zeros((LONG, len(THIRTY)), bool)
        own = [truth for truth in truths if truth.kind == kind]
        assert [(truth.begin - MONDAY) // 60 for truth in own] == begins
        for truth in own:
            assert (truth.site, truth.size, truth.end - truth.begin) == ("riverside", 40.0, 60 * (end - begin))
            assert set(truth.nodes) == {
                each.node for each in THIRTY if each.kind == measurement and abs(each.number - place) <= reach
            }
            first, last = ((moment - MONDAY) // 60 for moment in (truth.begin, truth.end))
            for node in truth.nodes:
                expected[first + abs(at[node].number - place) : last, at[node].slot] = True
        assert np.array_equal(differs(struck, plain, kind), expected), kind


def test_an_incident_beyond_the_last_node_does_not_happen() -> None:
    """Neither in the city nor in its truth."""
    planned = Planned("burst", 1, 50, 11, 2000.0)
    scenario = Scenario("riverside", (planned,))
    assert np.array_equal(city(60, THIRTY, scenario), city(60, THIRTY))
    assert City(scenario, THIRTY, 1, MONDAY).truth(MONDAY + DAY_S) == []


def test_truth_ends_with_what_has_begun() -> None:
    """Nothing that begins at `until` or later, in order of time."""
    scenario = Scenario("riverside", (Planned("jam", 30, 60, 1, 9.0), Planned("burst", 10, 90, 1, 900.0)))
    town = City(scenario, places(30), 1, MONDAY)
    begins = [10, 30, 1450, 1470]
    for until, count in ((10, 0), (11, 1), (30, 1), (31, 2), (1450, 2), (1471, 4)):
        assert [(each.begin - MONDAY) // 60 for each in town.truth(MONDAY + 60 * until)] == begins[:count]


def test_incidents_have_their_size() -> None:
    """Flow on top, particles on top, the speed that a jam leaves, a counter that sticks."""
    incidents = (
        Planned("burst", 0, 60, 1, 1800.0),
        Planned("jam", 0, 60, 1, 9.0),
        Planned("air_episode", 0, 60, 1, 95.0),
        Planned("stuck", 0, 60, 2, 0.0),
    )
    where = places(6)
    quiet, struck = city(60, where), city(60, where, Scenario("riverside", incidents))
    traffic, water, air = (struck[10:, slots(where, kind)[0]] for kind in ("traffic", "water", "air"))
    assert np.allclose(water[:, 0] - quiet[10:, slots(where, "water")[0], 0], 1800)
    assert np.allclose(air[:, PM2_5] - quiet[10:, slots(where, "air")[0], PM2_5], 95)
    assert np.allclose(traffic[:, [1, 3]], 9, atol=3)
    assert (struck[:, slots(where, "air")[1], FIELDS - 1] == STUCK).all()
    assert (struck[:, slots(where, "air")[0], FIELDS - 1] == 0).all()
