"""Live rules of air: episodes of a site and of a place, chips that repeat themselves, humid air."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest

from gateway.detect.air.drift import AirDrift
from gateway.detect.air.episode import AirEpisode
from gateway.detect.air.fault_rule import AirFault
from gateway.detect.air.humidity import humid_evidence
from gateway.detect.air.stuck import AirStuck
from gateway.detect.plan import GroupPlan
from gateway.detect.rule import SITE, Finding, Frame, SiteRule, Windows
from tests.gateway.ruled import T0

NONE = math.nan
ZONES = GroupPlan(zones=((0, 1, 2), (3, 4, 5)), inlets=((), ()))
Level = Callable[[int, int], float]
"""(minute, node) to a value; NaN for nothing."""


def site(
    level: Level,
    until: int = 60,
    nodes: int = 6,
    plan: GroupPlan = ZONES,
    rule: AirEpisode | None = None,
    begin: int = 1,
    **more: Level,
) -> list[Finding]:
    """What the rule finds minute by minute; `more` are other quantities."""
    rule = rule or AirEpisode()
    rule.grow(nodes)
    found: list[Finding] = []
    last = np.zeros(nodes, np.int64)
    for minute in range(begin, until + 1):
        values = {
            name: np.array([of(minute, node) for node in range(nodes)], float)
            for name, of in {"pm2_5": level, **more}.items()
        }
        time = T0 + 60 * minute
        last = np.where(np.isnan(values["pm2_5"]), last, time)
        if not all(np.isnan(each).all() for each in values.values()):
            found += rule.tick(Frame(time, np.arange(nodes), values, last), plan)
    return found


def turns(found: Sequence[Finding]) -> list[tuple[str, int, int]]:
    """(state, series, minute) of all but updates."""
    return [(each.state, each.series, (each.time - T0) // 60) for each in found if each.state != "update"]


# the whole site ---------------------------------------------------------------------------------------------------


def test_an_episode_is_of_the_site_and_ends_when_the_mean_is_below() -> None:
    """The mean of 10 minutes rises from 10 to 55.5 five minutes after the air went to 110, and is below 45 seven after
    it went back: not later."""
    found = site(lambda minute, node: 110.0 if 20 <= minute < 40 else 10.0)
    assert turns(found) == [("open", SITE, 24), ("close", SITE, 46)]
    assert found[0].severity == "critical"
    assert "median of 6 nodes" in found[0].summary
    assert found[0].evidence[0].seen >= 55.5 == found[0].evidence[0].expected


def test_air_around_the_limit_does_not_flicker() -> None:
    """Between 45 and 55.5 an episode goes on."""
    found = site(lambda minute, node: 58.0 if minute // 15 % 2 == 0 else 48.0, until=180)
    assert turns(found) == [("open", SITE, 6)]


def test_dead_nodes_neither_stop_nor_drive_a_site() -> None:
    """Two of five die: the others go on. With three dead there is no quorum until an hour has made them unknown."""
    two = site(lambda m, node: NONE if node < 2 and m > 15 else 110.0 if m >= 20 else 10.0, nodes=5)
    assert turns(two) == [("open", SITE, 24)]

    def three(minute: int, node: int) -> float:
        return NONE if node < 3 and minute > 15 else 110.0 if minute >= 30 else 10.0

    assert turns(site(three, 70, 5)) == []
    assert turns(site(three, 120, 5)) == [("open", SITE, 75)]


def test_a_site_of_one_node_has_episodes_too() -> None:
    """Its median is its own; nobody confirms it."""
    found = site(lambda minute, node: 110.0, nodes=1)
    assert turns(found) == [("open", SITE, 6)]
    assert not found[0].confirmed


@pytest.mark.parametrize("every", [2, 5, 10, 30])
def test_windows_of_other_lengths(every: int) -> None:
    """A node that reports every few minutes has a mean too, of what it said."""
    found = site(lambda m, node: NONE if m % every else 110.0 if 120 < m <= 240 else 10.0, until=330)
    (began, ended) = turns(found)
    assert began[:2] == ("open", SITE)
    assert ended[:2] == ("close", SITE)
    assert 120 < began[2] <= 120 + max(10, every)
    assert 240 < ended[2] <= 240 + max(10, every)


# a place ----------------------------------------------------------------------------------------------------------


def fire(minute: int, node: int) -> float:
    """In zone a, from minute 60 to 120."""
    return 10.0 + node + minute % 2 + (150.0 if node < 3 and 60 <= minute < 120 else 0)


def test_a_fire_is_told_by_two_of_its_zone_and_ends_with_the_smoke() -> None:
    """Not at the site: of six three are half, and their median stays between."""
    found = site(lambda m, node: fire(m, node) if node != 2 else 12.0, until=180)
    (opened, _, minute), (closed, series, end) = turns(found)
    assert (opened, closed) == ("open", "close")
    assert 60 < minute <= 65
    assert 120 < end <= 130
    assert series in (0, 1)
    assert found[0].confirmed
    assert set(found[0].nodes) | {found[0].series} == {0, 1}
    assert "site's median is at 1" in found[0].summary


def test_one_sensor_alone_is_no_episode() -> None:
    """An offset of 150: its neighbours and its other chips know nothing of it."""
    found = site(
        lambda m, node: 160.0 + m % 2 if node == 0 and m >= 60 else 10.0, 240, co2=lambda m, node: 420.0 + m % 3
    )
    assert found == []


def test_two_sensors_of_different_zones_are_no_episode() -> None:
    """Without a plan all nodes are one zone, and they are."""
    odd: Level = lambda m, node: 160.0 + m % 2 if node in (0, 3) and m >= 60 else 10.0  # noqa: E731
    assert site(odd, 240) == []
    assert turns(site(odd, 120, plan=GroupPlan()))[0][0] == "open"


@pytest.mark.parametrize(("quantity", "usual", "rise"), [("co2", 425.0, 20.0), ("voc_index", 100.0, 120.0)])
def test_another_chip_of_the_same_station_is_a_witness(quantity: str, usual: float, rise: float) -> None:
    """What burns gives off gases too."""
    odd: Level = lambda m, node: 160.0 + m % 2 if node == 0 and m >= 60 else 10.0  # noqa: E731
    gas: Level = lambda m, node: usual + (rise if node == 0 and m >= 60 else 0.0)  # noqa: E731
    found = site(odd, 120, **{quantity: gas})
    assert turns(found)[0][:2] == ("open", 0)
    assert f"its {quantity} rose with it" in found[0].summary


def test_a_faulty_chip_is_no_witness() -> None:
    """A station that repeats what it saw of a fire, and one whose CO2 is far too high and so rises with everything."""
    gas: Level = lambda m, node: 425.0 + (20.0 if node == 0 and m >= 60 else 0.0)  # noqa: E731
    stuck: Level = lambda m, node: 160.0 if node == 0 and m >= 48 else 10.0 + m % 2  # noqa: E731
    assert site(stuck, 120, co2=gas) == []
    odd: Level = lambda m, node: 160.0 + m % 2 if node == 0 and m >= 60 else 10.0  # noqa: E731
    assert site(odd, 120, co2=lambda m, node: gas(m, node) + (500 if node == 0 else 0)) == []
    assert site(odd, 120, co2=gas) != []


def test_a_place_that_is_always_worse_is_not_told() -> None:
    """A kerbside: 70 where others have 40; it is usual there."""
    assert site(lambda m, node: m % 2 + (70.0 if node < 2 else 40.0), 600) == []


def test_smoke_that_crosses_the_site_becomes_the_sites() -> None:
    """The place's episode ends in the minute in which the whole site's begins, and does not come again after it."""
    found = site(lambda m, node: 10.0 + m % 2 + (120.0 if 60 + 10 * node <= m < 200 + 10 * node else 0.0), 400)
    (first, place, _), (left, same, end), (whole, of, begin), (over, last, _) = turns(found)
    assert (first, left, whole, over) == ("open", "close", "open", "close")
    assert place == same != SITE == of == last
    assert begin == end


def test_a_place_whose_nodes_die_is_not_open_for_ever() -> None:
    """An hour later nobody knows them."""
    found = site(lambda m, node: NONE if node < 2 and m >= 90 else fire(m, node) if node != 2 else 12.0, until=240)
    assert [each[0] for each in turns(found)] == ["open", "close"]
    assert turns(found)[1][2] - 90 <= 61


def test_saved_between_any_two_minutes_it_goes_on() -> None:
    """The same findings."""
    level: Level = lambda m, node: fire(m, node) if node != 2 else 12.0  # noqa: E731
    whole = site(level, 180)
    for cut in (30, 63, 100, 125):
        one = AirEpisode()
        found = site(level, cut, rule=one)
        other = AirEpisode()
        other.load(one.save())
        assert found + site(level, 180, rule=other, begin=cut + 1) == whole


# humid air --------------------------------------------------------------------------------------------------------


def test_humid_air_is_told_beside_what_it_may_explain() -> None:
    """Above 75 %, with the corrected value; of a difference only where the place is more humid than its neighbours."""
    found = site(lambda m, node: 80.0, 10, humidity=lambda m, node: 90.0)
    (humid,) = [each for each in found[0].evidence if each.what == "humidity"]
    assert "80 ug/m3 are 61 by the correction of US EPA" in humid.text  # 0.786 * 80 - 0.0862 * 90 + 5.75 = 60.9
    assert [each.what for each in site(lambda m, node: 80.0, 10, humidity=lambda m, node: 75.0)[0].evidence] == [
        "pm2_5"
    ]
    assert humid_evidence(80, 90, 70)
    assert not humid_evidence(80, 90, 88)
    assert not humid_evidence(80, NONE)


# chips ------------------------------------------------------------------------------------------------------------


def chips(values: Sequence[Mapping[str, float]], step: int = 1, rule: AirStuck | None = None) -> list[Finding]:
    """What is found in windows of one station, a minute or more each."""
    rule = rule or AirStuck()
    rule.grow(1)
    found: list[Finding] = []
    for number, each in enumerate(values, 1):
        arrays = {name: np.array([value]) for name, value in each.items()}
        one = np.zeros(1, np.int64)
        found += rule.feed(Windows(one, one, np.array([T0 + 60 * step * number]), np.array([60 * step]), arrays))
    return found


def told(found: Sequence[Finding]) -> list[tuple[str, str | None, int]]:
    return [(each.state, each.channel, (each.time - T0) // 60) for each in found]


STILL = {"pm1_0": 6.0, "pm2_5": 10.0, "pm10": 14.0}


def moving(minute: int) -> dict[str, float]:
    return {"pm1_0": 6.0, "pm2_5": 10.0 + minute % 2, "pm10": 14.0}


def test_a_chip_that_repeats_itself_for_30_minutes_is_stuck_until_5_of_noise() -> None:
    """The first of equal windows is none that repeats."""
    found = chips([moving(n) for n in range(4)] + [STILL] * 40 + [moving(n) for n in range(1, 10)])
    assert told(found) == [("open", "particles", 35), ("close", "particles", 49)]
    assert "Exactly pm1_0 6 and pm2_5 10 and pm10 14" in found[0].summary
    assert found[0].since == T0 + 5 * 60
    assert [each.what for each in found[0].evidence] == ["pm1_0", "pm2_5", "pm10"]


def test_each_chip_is_of_its_own_and_all_of_it_must_stand_still() -> None:
    """Humidity that moves speaks for the pressure beside it."""
    rows = [{"co2": 450.0, "humidity": 60.0 + n % 2, "pressure": 1e5, **STILL} for n in range(40)]
    assert sorted(told(chips(rows))) == [("open", "co2", 31), ("open", "particles", 31)]


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"pm1_0": 0.0, "pm2_5": 0.0, "pm10": 0.0}, id="clean air"),
        pytest.param({"humidity": 100.0}, id="fog"),
        pytest.param({"temperature": 20.0}, id="temperature"),
        pytest.param({"voc_index": 100.0, "nox_index": 1.0}, id="gas indices at rest"),
    ],
)
def test_what_may_rest_is_not_stuck(values: Mapping[str, float]) -> None:
    """Values that stand still by nature."""
    assert chips([values] * 120) == []


def test_whole_hours_are_not_judged() -> None:
    """Equal means of hours are no proof; of five minutes they are."""
    assert chips([STILL] * 48, step=60) == []
    assert told(chips([STILL] * 10, step=5)) == [("open", "particles", 40)]


def test_a_window_without_a_chip_says_nothing_of_it() -> None:
    """Lost particles between equal ones do not end the spell, and are not remembered as its last values."""
    rows: list[dict[str, float]] = [dict(STILL) if n % 3 else {"co2": 400.0 + n} for n in range(60)]
    assert ("open", "particles") in {each[:2] for each in told(chips(rows))}


def test_stations_do_not_depend_on_each_other_nor_on_the_cut() -> None:
    """Fifty at once, in any slicing, give what each gives alone; also saved and loaded between."""
    dice = np.random.default_rng(3)
    count, minutes = 50, 80
    pm = 10 + dice.integers(0, 3, (minutes, count)).cumsum(axis=0) * (dice.random(count) < 0.5)
    co2 = 400 + dice.integers(0, 2, (minutes, count)) * (dice.random(count) < 0.5)

    def fed(parts: Sequence[Sequence[int]], reload: bool) -> list[Finding]:
        rule = AirStuck()
        rule.grow(count)
        found = []
        for minute in range(minutes):
            for part in parts:
                rows = np.array(part)
                time = np.full(len(rows), T0 + 60 * minute)
                values = {"pm2_5": pm[minute, rows].astype(float), "co2": co2[minute, rows].astype(float)}
                found += rule.feed(Windows(rows, rows, time, np.full(len(rows), 60), values))
            if reload:
                fresh = AirStuck()
                fresh.load(rule.save())
                rule = fresh
        return sorted(found, key=lambda each: (each.time, each.series, each.channel))

    whole = fed([range(count)], reload=False)
    assert {each.series for each in whole} != set(range(count))
    assert len(whole) > 10
    assert fed([[n] for n in range(count)], reload=False) == whole
    assert fed([range(0, count, 2), range(1, count, 2)], reload=True) == whole


# against each other -----------------------------------------------------------------------------------------------


def shared(
    rule: SiteRule, days: float, values: Callable[[int], Mapping[str, Sequence[float]]], step: int = 600
) -> list[Finding]:
    """What a rule finds in frames of so many seconds."""
    found: list[Finding] = []
    for number in range(1, round(86_400 / step * days) + 1):
        arrays = {name: np.array(each, float) for name, each in values(number).items()}
        count = len(next(iter(arrays.values())))
        rule.grow(count)
        time = T0 + step * number
        found += rule.tick(Frame(time, np.arange(count), arrays, np.full(count, time)), GroupPlan())
    return found


def weather(number: int) -> float:
    """Pa: fronts, 20 hPa up and down in days."""
    return 101_000 + 2000 * math.sin(number / 90)


def pressures(number: int, more: float) -> dict[str, list[float]]:
    return {"pressure": [weather(number), weather(number) - 200, weather(number) + 40 + more, weather(number) + 10]}


@pytest.mark.parametrize("speed", [100.0, -500.0])
def test_a_barometer_that_drifts_is_told_by_its_site(speed: float) -> None:
    """In Pa a day, from day 5 to 15; three days after it has left the bound. That others stand higher is usual."""
    found = shared(AirDrift(), 16, lambda n: pressures(n, speed * min(max(0.0, n / 144 - 5), 10)))
    assert [(each.kind, each.state, each.series, each.channel) for each in found] == [("drift", "open", 2, "climate")]
    days = (found[0].time - T0) / 86_400 - 5
    assert 3 + 300 / abs(speed) <= days <= 4.5 + 300 / abs(speed)


def test_a_barometer_that_is_mended_is_as_before() -> None:
    """What it was off by was never usual: ten days of it end, and do not begin anew the other way round."""
    found = shared(AirDrift(), 25, lambda n: pressures(n, 500.0 * max(0.0, n / 144 - 5) if n < 144 * 15 else 0.0))
    assert [(each.kind, each.state) for each in found] == [("drift", "open"), ("drift", "close")]
    assert (found[1].time - T0) / 86_400 < 17


def test_a_barometer_that_was_carried_uphill_is_known_there_after_months() -> None:
    found = shared(AirDrift(), 120, lambda n: pressures(6 * n, -800.0 if n > 24 * 10 else 0.0), step=3600)
    assert [(each.kind, each.state) for each in found] == [("drift", "open"), ("drift", "close")]
    assert 30 < (found[1].time - T0) / 86_400 - 10 < 100


def test_fires_and_stations_alone_are_no_drift() -> None:
    """Two days of CO2 beside a fire; a site of two stations, of which nobody knows which is right."""
    gas = lambda n: {"co2": [430.0, 425.0, 435.0, 428.0 + (90.0 if 720 < n < 1000 else 0)]}  # noqa: E731
    assert shared(AirDrift(), 12, gas) == []
    two = lambda n: {"co2": [430.0, 425.0 + n / 10]}  # noqa: E731
    assert shared(AirDrift(), 12, two) == []


def hours(rule: AirFault, begin: int, end: int, more: Callable[[int, int], float], stations: int = 5) -> list[Finding]:
    """Six frames an hour of stations that share an air that changes from hour to hour."""
    found = []
    rule.grow(stations)
    for hour in range(begin, end):
        dice = np.random.default_rng(hour)
        air = 20 + 12 * math.sin(hour / 20) + 8 * dice.random()
        pm = air * (1 + 0.03 * dice.standard_normal(stations))
        pm = np.array([more(hour, node) for node in range(stations)]) * pm
        for part in range(1, 7):
            time = T0 + 3600 * hour + 600 * part
            frame = Frame(time, np.arange(stations), {"pm2_5": pm}, np.full(stations, time))
            found += rule.tick(frame, GroupPlan())
    return found


def test_a_gain_is_told_by_the_neighbours_and_ends_when_it_is_mended() -> None:
    """Of the station's chip; the end is of the kind that was opened. Saved and loaded between, it is the same."""
    learn, bad, end = 24 * 40, 24 * 45, 24 * 53

    def more(hour: int, node: int) -> float:
        return 2.0 if node == 3 and learn <= hour < bad else 1.0

    found = hours(AirFault(), 0, end, more)
    opened, closed = found
    assert (opened.state, opened.series, opened.channel) == ("open", 3, "particles")
    assert opened.kind in ("gain", "offset")
    assert opened.time - T0 <= 3600 * (learn + 40)
    assert opened.evidence[0].seen > 1.5 * opened.evidence[0].expected
    assert (closed.kind, closed.state, closed.series) == (opened.kind, "close", 3)
    one, other = AirFault(), AirFault()
    before = hours(one, 0, learn + 2, more)
    other.load(one.save())
    assert before + hours(other, learn + 2, end, more) == found


def test_a_station_that_was_off_and_then_dies_is_told_as_dead() -> None:
    """What was open ends in the minute in which the other begins."""
    learn, dead, end = 24 * 40, 24 * 43, 24 * 44

    def more(hour: int, node: int) -> float:
        return 1.0 if node != 3 or hour < learn else 3.0 if hour < dead else 0.0

    off, mended, zero = hours(AirFault(), 0, end, more)
    assert off.kind in ("gain", "offset")
    assert (mended.kind, mended.state, mended.time) == (off.kind, "close", zero.time)
    assert (zero.kind, zero.state, zero.series) == ("zero", "open", 3)
    assert zero.since is not None
    assert dead <= (zero.since - T0) / 3600 <= dead + 1


def test_more_stations_than_are_compared_at_once() -> None:
    """They come in cells; who joins later is one of the last."""
    rule = AirFault()
    assert hours(rule, 0, 30, lambda hour, node: 1.0, stations=5) == []
    assert hours(rule, 30, 60, lambda hour, node: 1.0, stations=70) == []
    assert len(rule.cells) == 3
