"""The city: the same to the bit from the same seed, with the rhythm of a day, and incidents where they belong."""

import hashlib
import importlib.resources
import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import pytest
from msgspec.structs import replace

from gateway.quantities import KINDS as NODE_KINDS
from gateway.quantities import QUANTITIES
from sim_hardware import city as package
from sim_hardware.city.city import DRIFT, FAULTS, FIELDS, STUCK, City, Floats
from sim_hardware.city.incidents import DAY_MIN, DEAD, KINDS, NO_POWER, TAMPER
from sim_hardware.city.scenario import Place, Scenario, load, parse, places
from sim_hardware.city.tables import Planned
from sim_hardware.city.truth import Truth, score

MONDAY = 1_736_121_600
"""2025-01-06, 00:00 UTC."""
DAY_S = 86_400
QUIET = Scenario("riverside")
MAP = parse(importlib.resources.files(package).joinpath("example.toml").read_text(), "example.toml")
PM2_5 = 1


def lived(town: City, minutes: int) -> Floats:
    """An array of shape (minutes, places, FIELDS)."""
    return np.array([town.minute() for _ in range(minutes)])


def city(
    minutes: int, where: Sequence[Place], scenario: Scenario = QUIET, seed: int = 1, start: int = MONDAY
) -> Floats:
    return lived(City(scenario, where, seed, start), minutes)


def slots(where: Sequence[Place], kind: str) -> list[int]:
    return [each.slot for each in where if each.kind == kind]


# repeatable -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nodes", [0, 1, 3, 20])
@pytest.mark.parametrize("scenario", [load(None), MAP], ids=["first", "map"])
def test_the_same_seed_is_the_same_city(nodes: int, scenario: Scenario) -> None:
    """To the bit, also when its truth is asked for between; another seed is another city."""
    one, two = (City(scenario, places(nodes), 7, MONDAY) for _ in range(2))
    first = lived(one, 90)
    second = []
    for _ in range(90):
        second.append(two.minute())
        two.truth(MONDAY + 9 * DAY_S)
    assert first.shape == (90, nodes, FIELDS)
    assert first.tobytes() == np.array(second).tobytes()
    assert one.truth(MONDAY + DAY_S) == two.truth(MONDAY + DAY_S)
    if nodes:
        assert not np.array_equal(first, city(90, places(nodes), scenario, seed=8))


PROGRAM = f"""
import hashlib, importlib.resources
import numpy as np
from sim_hardware import city as package
from sim_hardware.city.city import City
from sim_hardware.city.scenario import parse, places
scenario = parse(importlib.resources.files(package).joinpath("example.toml").read_text(), "example.toml")
town = City(scenario, places(60), 5, {MONDAY} + 6 * 3600)
state = hashlib.sha256()
for _ in range(300):
    state.update(town.minute().tobytes())
state.update(repr(town.truth({MONDAY} + 2 * 86400)).encode())
print(state.hexdigest())
"""


def test_another_process_gives_the_same_city() -> None:
    """With other hashes of strings, too."""
    found = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed},
            cwd=importlib.resources.files(package).joinpath("../.."),  # type: ignore[call-overload]
        ).stdout
        for seed in ("1", "2")
    }
    town = City(MAP, places(60), 5, MONDAY + 6 * 3600)
    state = hashlib.sha256(b"".join(town.minute().tobytes() for _ in range(300)))
    state.update(repr(town.truth(MONDAY + 2 * DAY_S)).encode())
    assert found == {state.hexdigest() + "\n"}


@pytest.mark.parametrize("kind", NODE_KINDS)
def test_other_kinds_do_not_change_a_kind(kind: str) -> None:
    """On the same map the air is the same however many meters there are, wherever their slots lie."""
    scenario = replace(MAP, random={})
    own = [Place(slot, kind, slot + 1) for slot in range(8)]
    others = [(each, number) for each in NODE_KINDS if each != kind for number in range(1, 31)]
    all_ = own + [Place(8 + n, each, number) for n, (each, number) in enumerate(others)]
    alone, among = city(400, own, scenario), city(400, all_, scenario)
    fields = slice(0, DRIFT)
    assert alone[..., fields].tobytes() == among[:, :8, fields].tobytes()


def test_time_goes_by_minutes() -> None:
    """`next_minute` is the beginning of what comes next."""
    town = City(QUIET, places(3), 1, MONDAY)
    assert town.next_minute == MONDAY
    lived(town, 5)
    assert town.next_minute == MONDAY + 300
    assert town.run(town.next_minute).end == MONDAY + 300
    assert town.run(MONDAY).nodes == {"traffic": 1, "water": 1, "air": 1}


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
    """Two rush hours, slower the fuller; little at night; no morning rush on Saturday; no jam anywhere."""
    night, morning = mean(monday, "traffic", lane, 2, 4), mean(monday, "traffic", lane, 7.5, 8.5)
    noon, evening = mean(monday, "traffic", lane, 11, 12), mean(monday, "traffic", lane, 17, 18)
    assert night < 150 < noon < min(morning, evening)
    assert morning > 5 * night
    assert mean(monday, "traffic", lane + 1, 7.5, 8.5) < mean(monday, "traffic", lane + 1, 2, 4) - 3
    assert mean(saturday, "traffic", lane, 7.5, 8.5) < 0.5 * morning
    streets = monday[:, slots(WHERE, "traffic")]
    assert streets[..., lane + 1].min() > 35


def test_homes_follow_the_day(monday: Floats, saturday: Floats) -> None:
    """Morning and evening draws; little at night; a late Saturday."""
    night, whole = mean(monday, "water", 0, 2, 4), mean(monday, "water", 0, 0, 24)
    assert night < 0.4 * whole
    assert mean(monday, "water", 0, 6.5, 8) > 1.3 * whole
    assert mean(saturday, "water", 0, 5.5, 7) < 0.8 * mean(monday, "water", 0, 5.5, 7)


def test_air_is_of_all_the_city(monday: Floats) -> None:
    """Finer fractions are parts of the coarser; stations differ, and go up and down together."""
    air = monday[:, slots(WHERE, "air")]
    assert (air[..., 0] < air[..., 1]).all()
    assert (air[..., 1] < air[..., 2]).all()
    assert (air[..., PM2_5].std(axis=1) > 0).all()
    hourly = air[..., PM2_5].reshape(24, 60, -1).mean(axis=1)
    assert np.median(np.corrcoef(hourly.T)) > 0.3


def test_a_quiet_city_has_no_faults(monday: Floats) -> None:
    """Nor drifts."""
    assert (monday[..., FAULTS] == 0).all()
    assert (monday[..., DRIFT] == 1).all()


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
        Planned("crash", 0, "traffic-0004", end=600, size=0.1),
        Planned("crowd", 300, "traffic-0008", lasts=300, size=20_000.0),
        Planned("burst", 30, "water-0001", end=900, size=50_000.0),
        Planned("main_burst", 40, "district 1", end=900, size=1e6),
        Planned("smoke", 60, end=1200, size=900.0),
        Planned("fire", 60, "district 1", end=1200, size=900.0),
        Planned("stuck", 60, "air-0001", end=1200),
    ),
    random=dict.fromkeys(KINDS, 20.0),
)


@pytest.mark.parametrize("seed", [1, pytest.param(2**31 - 1, marks=pytest.mark.soak)])
@pytest.mark.parametrize("scenario", [QUIET, STORM, MAP], ids=["quiet", "storm", "map"])
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
            values = np.abs(values) if name == "flow" else values  # water may run backwards
            assert low <= values.min(), name
            assert values.max() <= high, name
    streets = days[:, slots(where, "traffic")]
    assert ((streets[..., 4:6] >= 0) & (streets[..., 4:6].sum(axis=-1, keepdims=True) < 1)).all()
    for lane in (0, 2):
        there = streets[..., lane] > 0
        assert (there.all(axis=0) | ~there.any(axis=0)).all(), "a lane is there, or it is not"
        assert streets[..., lane][there].min() >= 10
        assert streets[..., lane + 1].min() >= 0.8
        assert (streets[..., lane] * 0.0065 / streets[..., lane + 1] < 1.3).all()
    assert (days[..., FAULTS] == np.round(days[..., FAULTS])).all()
    assert ((days[..., FAULTS] >= 0) & (days[..., FAULTS] <= 15)).all()


# incidents --------------------------------------------------------------------------------------------------------

THIRTY = places(30)
AT: dict[str, str] = {"street": "street 1", "district": "district 2", "traffic": "traffic-0005", "water": "water-0004"}
AT |= {"air": "air-0003", "node": "water-0007", "city": ""}


def differs(struck: Floats, plain: Floats) -> np.ndarray:  # of bool
    """(minutes, places): where a city is not as it would be without its incident."""
    return (np.abs(struck - plain) > 1e-9 + 1e-6 * np.abs(plain)).any(axis=-1)  # type: ignore[no-any-return]


def happened(planned: Planned, minutes: int, scenario: Scenario = QUIET) -> tuple[Floats, Floats, list[Truth]]:
    """A city with one incident, the same without it, and the truth."""
    start = MONDAY + 7 * 3600
    town = City(replace(scenario, incident=(planned,)), THIRTY, 1, start)
    struck = lived(town, minutes)
    return struck, city(minutes, THIRTY, scenario, start=start), town.truth(town.next_minute)


@pytest.mark.parametrize("kind", [kind for kind, line in KINDS.items() if line.domain in ("pipes", "nodes")])
@pytest.mark.parametrize("target", range(2))
def test_incidents_show_where_and_when_truth_says(kind: str, target: int) -> None:
    """At the nodes it names, from beginning to end, and nowhere else."""
    line = KINDS[kind]  # type: ignore[index]
    at = AT[line.at[min(target, len(line.at) - 1)]]
    scenario = replace(QUIET, inlet_meters=True)
    struck, plain, (truth,) = happened(Planned(kind, 20, at, lasts=200), 260, scenario)  # type: ignore[arg-type]
    begin, end = ((second - MONDAY) // 60 - 420 for second in (truth.begin, truth.end))
    assert (truth.kind, truth.site, truth.place, begin, end) == (kind, "riverside", at, 20, 220)
    there = differs(struck, plain)
    named = [each.slot for each in THIRTY if each.node in truth.nodes]
    assert named
    assert there[begin:end, named].all(axis=1).mean() > 0.9
    assert not there[:begin].any()
    if line.domain == "nodes":  # what takes water takes pressure, and so a little from others
        assert not np.delete(there, named, axis=1).any()
        assert not there[end + 1 :].any()
    other = [each.slot for each in THIRTY if each.kind not in {THIRTY[slot].kind for slot in named}]
    assert not there[:, other].any(), "no other kind of node"


@pytest.mark.parametrize(
    ("kind", "bit"), [("stuck", STUCK), ("dead", DEAD), ("tamper", TAMPER), ("power_cut", NO_POWER)]
)
def test_faults(kind: str, bit: int) -> None:
    """Bits of a sum: several at once are each there."""
    at = "air-0003"
    scenario = Scenario(
        "riverside", (Planned(kind, 5, at, end=10), Planned("drift", 0, at, end=20, size=2.0),  # type: ignore[arg-type]
                      Planned("tamper" if kind != "tamper" else "dead", 7, at, end=12))
    )  # fmt: skip
    found = city(25, THIRTY, scenario)
    slot = next(each.slot for each in THIRTY if each.node == at)
    other = TAMPER if kind != "tamper" else DEAD
    assert found[:, slot, FAULTS].tolist() == [0] * 5 + [bit] * 2 + [bit | other] * 3 + [other] * 2 + [0] * 13
    assert np.allclose(found[:, slot, DRIFT], [*(1 + n / 20 for n in range(1, 21)), *[1] * 5])
    assert (np.delete(found, slot, axis=1)[..., FAULTS] == 0).all()


def test_power_is_cut_in_a_district() -> None:
    """At all of its nodes, whatever they measure."""
    town = City(replace(MAP, incident=(Planned("power_cut", 0, "Old Town", end=9),), random={}), THIRTY, 1, MONDAY)
    (truth,) = town.truth(MONDAY + 60)
    down = [THIRTY[slot].node for slot in np.flatnonzero(town.minute()[:, FAULTS] == NO_POWER)]
    assert sorted(truth.nodes) == sorted(down)
    assert {name.partition("-")[0] for name in down} == set(NODE_KINDS)
    district = town.layout.district_of()
    assert {int(district[each.slot]) for each in THIRTY if each.node in down} == {0}


def test_a_crash_shows_at_the_counters_that_its_queue_reaches() -> None:
    """From the crash upstream; for as long as the queue is there, though what caused it is gone."""
    struck, plain, (truth,) = happened(Planned("crash", 15, "traffic-0005", lasts=25, size=0.3), 90)
    assert truth.nodes[-1] == "traffic-0005"
    assert truth.nodes == tuple(f"traffic-{n:04}" for n in range(6 - len(truth.nodes), 6))
    assert len(truth.nodes) >= 3
    assert 15 <= (truth.begin - MONDAY) / 60 - 420 <= 17, "the queue needs a minute"
    assert 43 <= (truth.end - MONDAY) / 60 - 420 <= 60
    slow = np.array([(struck[:, each.slot, 1] < 25).sum() for each in THIRTY if each.kind == "traffic"])
    assert (slow[5 - len(truth.nodes) + 1 : 5] > 8).all()
    assert (slow[5:] == 0).all()
    assert truth.shown is not None
    assert truth.begin <= truth.shown[0] < truth.shown[1] <= truth.end
    below = next(each.slot for each in THIRTY if each.node == "traffic-0006")
    assert struck[25:40, below, 0].mean() < 0.8 * plain[25:40, below, 0].mean(), "less comes through"
    others = [each.slot for each in THIRTY if each.kind == "water"]
    assert np.array_equal(struck[:, others], plain[:, others])


def test_truth_is_known_as_far_as_the_city_has_come() -> None:
    """A queue that has reached nobody yet shows nowhere."""
    scenario = Scenario("riverside", (Planned("crash", 5, "traffic-0005", lasts=20),))
    town = City(scenario, THIRTY, 1, MONDAY + 8 * 3600)
    (before,) = town.truth(MONDAY + 9 * 3600)
    assert (before.nodes, before.shown) == ((), None)
    assert not before.ripe(MONDAY + 9 * 3600)
    lived(town, 90)
    (after,) = town.truth(MONDAY + 9 * 3600)
    assert after.ripe(MONDAY + 9 * 3600)
    (early,) = town.truth(MONDAY + 8 * 3600 + 8 * 60)
    assert early.nodes == ("traffic-0005",), "what the city knows ahead is not told"
    assert score(town.truth(MONDAY + 9 * 3600), [], MONDAY + 9 * 3600).injected == 1


def test_a_crowd_jams_before_and_after_its_event() -> None:
    """On a street that is too small for it."""
    incident = Planned("crowd", "19:00", "Market Street", at_m=200, lasts="2h", size=4500.0)
    town = City(replace(MAP, incident=(incident,), random={}), places(60), 1, MONDAY + 15 * 3600)
    seen = lived(town, 8 * 60)
    (truth,) = town.truth(town.next_minute)
    assert 18.25 <= (truth.begin - MONDAY) / 3600 < 18.6
    assert truth.nodes
    slot = next(each.slot for each in places(60) if each.node == truth.nodes[0])
    slow = np.flatnonzero(seen[:, slot, 1] < 25) / 60 + 15
    assert ((slow > 18.2) & (slow < 20)).any()
    assert ((slow > 20.9) & (slow < 22.5)).any()
    assert not ((slow > 20) & (slow < 20.9)).any()


def test_smoke_comes_over_all_stations() -> None:
    """However many; with what it brings on top."""
    incident = Planned("smoke", 30, lasts=300, size=200.0)
    struck, plain, (truth,) = happened(incident, 330, replace(load(None), incident=()))
    air = slots(THIRTY, "air")
    assert truth.nodes == tuple(THIRTY[slot].node for slot in air)
    added = struck[:, air, PM2_5] - plain[:, air, PM2_5]
    assert np.abs(added[:30]).max() < 1e-6
    assert (added[200:300] > 60).all()


def test_an_incident_at_a_node_that_is_not_there_does_not_happen() -> None:
    """Neither in the city nor in its truth."""
    scenario = Scenario("riverside", (Planned("burst", 1, "water-0011", end=50),))
    assert np.array_equal(city(60, THIRTY, scenario), city(60, THIRTY))
    assert City(scenario, THIRTY, 1, MONDAY).truth(MONDAY + DAY_S) == []


def test_truth_ends_with_what_has_begun() -> None:
    """Nothing that begins at `until` or later, in order of time."""
    scenario = Scenario(
        "riverside",
        (
            Planned("crash", 30, "traffic-0001", end=60, daily=True),
            Planned("burst", 10, "water-0001", end=90, daily=True),
        ),
    )
    town = City(scenario, places(30), 1, MONDAY)
    begins = [10, 30, 1450, 1470]
    for until, count in ((10, 0), (11, 1), (30, 1), (31, 2), (1450, 2), (1471, 4)):
        assert [(each.begin - MONDAY) // 60 for each in town.truth(MONDAY + 60 * until)] == begins[:count]
    assert [(each.begin - MONDAY) for each in town.truth(MONDAY + 601)] == [600]
    assert town.truth(MONDAY + 600) == []


def test_a_clock_is_that_of_the_run() -> None:
    """At life's speed a city begins whenever it is started: "07:30" is the next one."""
    scenario = Scenario("a", (Planned("dead", "07:30", "air-0001", end="08:00"),))
    for start, begin in ((0, 7.5), (7.5, 7.5), (9, 31.5)):
        (truth,) = City(scenario, THIRTY, 1, round(MONDAY + start * 3600)).truth(MONDAY + 2 * DAY_S)
        assert (truth.begin - MONDAY) / 3600 == begin
        assert truth.end - truth.begin == 1800
    late = Scenario("a", (Planned("dead", "0d 07:30", "air-0001", end="0d 10:00"),))
    (truth,) = City(late, THIRTY, 1, MONDAY + 9 * 3600).truth(MONDAY + DAY_S)
    assert (truth.begin, truth.end) == (MONDAY + 9 * 3600, MONDAY + 10 * 3600)
    assert City(late, THIRTY, 1, MONDAY + 11 * 3600).truth(MONDAY + DAY_S) == []


@pytest.mark.soak
def test_months_by_chance_are_told() -> None:
    """Every incident that chance brings in has a place that is there, and nodes."""
    scenario = Scenario("a", random={"leak": 1.0, "dead": 0.5, "smoke": 2.0})
    town = City(scenario, THIRTY, 3, MONDAY)
    truths = town.truth(MONDAY + 90 * DAY_S)
    assert {each.kind for each in truths} == {"leak", "dead", "smoke"}
    assert all(each.nodes for each in truths)
    assert [each.begin for each in truths] == sorted(each.begin for each in truths)
