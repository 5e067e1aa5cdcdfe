"""The rules of traffic counters: what opens them, what does not, what ends them; and whatever the cuts, the same."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.detect.plan import GroupPlan
from gateway.detect.rule import Finding, Frame, NodeRule, Windows
from gateway.detect.traffic.california import Pairs, minute, yardstick
from gateway.detect.traffic.crashes import Crash, alarms, score
from gateway.detect.traffic.dead_lane import DeadLane
from gateway.detect.traffic.impossible import Chatter, Impossible
from gateway.detect.traffic.jam import Jam
from gateway.detect.traffic.queues import Queues
from gateway.detect.traffic.stuck import StuckOn, StuckSpeed
from tests.gateway.ruled import T0

NAMES = ("occupancy", "speed", "volume")
Lane = tuple[float, float, float]
"""Occupancy, speed, volume."""
FREE, DENSE, JAMMED, COLLAPSED = (12.0, 48.0, 15.0), (32.0, 40.0, 28.0), (45.0, 28.0, 12.0), (55.0, 9.0, 8.0)
EMPTY, STANDS = (0.0, nan, 0.0), (95.0, nan, 0.0)


def feed(rule: NodeRule, windows: Iterable[Sequence[Lane] | None], step: int = 60) -> list[tuple[str, str, int]]:
    """(kind, state, minutes) of what the rule finds of a counter; each window has its lanes; None is a lost pack."""
    found = []
    last = 0
    for number, lanes in enumerate(windows, 1):
        if lanes is None:
            continue
        time = T0 + number * step
        found += feed_one(rule, time, [lanes], time - last if last else 0)
        last = time
    return [(each.kind, each.state, (each.time - T0) // 60) for each in found]


def feed_one(rule: NodeRule, time: int, counters: Sequence[Sequence[Lane]], gap: int) -> Sequence[Finding]:
    """One window of several counters with as many lanes each."""
    lanes = [lane for counter in counters for lane in counter]
    node = np.repeat(np.arange(len(counters)), len(counters[0]))
    rule.grow(len(lanes))
    values = {name: np.array([lane[at] for lane in lanes], float) for at, name in enumerate(NAMES)}
    return rule.feed(Windows(np.arange(len(lanes)), node, np.full(len(lanes), time), np.full(len(lanes), gap), values))


# jam --------------------------------------------------------------------------------------------------------------


def test_three_full_and_slow_minutes_are_a_jam_until_five_free_ones() -> None:
    """Of any lane; by 30 km/h as long as the usual speed is not known."""
    lanes = [(FREE, FREE)] * 2 + [(FREE, JAMMED)] * 4 + [(FREE, FREE)] * 6
    assert feed(Jam(), lanes) == [("jam", "open", 5), ("jam", "close", 11)]


def test_a_collapse_in_all_lanes_is_a_jam_at_once() -> None:
    """Once the usual speed is known: it is 48 here."""
    assert feed(Jam(), [(FREE, FREE)] * 20 + [(COLLAPSED, COLLAPSED)]) == [("jam", "open", 21)]


@pytest.mark.parametrize(
    "then",
    [
        pytest.param((COLLAPSED, FREE), id="the other lane flows"),
        pytest.param(((55.0, 9.0, 1.0), (0.0, nan, 0.0)), id="one vehicle only: a bus at its stop"),
        pytest.param((JAMMED, JAMMED), id="slow, but no collapse"),
    ],
)
def test_other_single_minutes_are_none(then: Sequence[Lane]) -> None:
    """They need their three minutes."""
    assert feed(Jam(), [(FREE, FREE)] * 20 + [then, then]) == []


def test_a_counter_that_deceived_needs_three_minutes_next_time() -> None:
    """A lorry that blocks a street for a minute is a jam once."""
    calm, full = [(FREE,)] * 20, (COLLAPSED,)
    found = feed(Jam(), [*calm, full, *calm, full, *calm, full, full, full])
    assert [each[1:] for each in found] == [("open", 21), ("close", 26), ("open", 65)]


def test_full_or_slow_alone_is_none() -> None:
    """Lorries at speed, a tractor, a standing lane of which nothing is known; and a slow street is not slow for it."""
    for lane in (DENSE, (20.0, 10.0, 9.0), STANDS):
        assert feed(Jam(), [(FREE,)] * 20 + [(lane,)] * 40) == []
    calm_street = [((10.0 + n % 3, 27.0 + n % 4, 9.0),) for n in range(60)]
    assert feed(Jam(), [*calm_street, *[((34.0, 26.0, 20.0),)] * 10]) == []
    assert len(feed(Jam(), [*calm_street, *[((34.0, 12.0, 9.0),)] * 10])) == 1


def test_standing_still_neither_opens_nor_ends_a_jam() -> None:
    """Then nothing may have moved at all."""
    assert feed(Jam(), [(JAMMED,)] * 4 + [(STANDS,)] * 30) == [("jam", "open", 3)]


def test_silence_begins_the_count_anew() -> None:
    """Ten minutes of it; a few lost packs do not."""
    assert feed(Jam(), [(FREE,), (JAMMED,), (JAMMED,), *[None] * 11, (JAMMED,), (JAMMED,)]) == []
    assert feed(Jam(), [(FREE,), (JAMMED,), None, (JAMMED,), (JAMMED,)]) == [("jam", "open", 5)]


def test_a_radar_without_occupancy_finds_jams_too() -> None:
    """Occupancy is made of flow and speed: 10 vehicles a minute at 8 km/h occupy half of the time."""
    calm, queue = (nan, 50.0, 12.0), (nan, 8.0, 10.0)
    assert feed(Jam(), [(calm,)] * 20 + [(queue,)] * 3) == [("jam", "open", 21)]


def test_what_a_jam_says() -> None:
    """What was seen, what is usual, and since when it has slowed down."""
    rule = Jam()
    for number in range(1, 21):
        feed_one(rule, T0 + 60 * number, [[FREE]], 60)
    feed_one(rule, T0 + 60 * 21, [[(20.0, 30.0, 12.0)]], 60)
    (found,) = feed_one(rule, T0 + 60 * 22, [[COLLAPSED]], 60)
    assert "55 % at 9 km/h, usually 48 km/h; expected" in found.summary
    assert found.since == T0 + 60 * 20
    assert [(each.what, each.seen) for each in found.evidence] == [("occupancy", 55), ("speed", 9), ("slowing", 2)]


# queues and crashes -----------------------------------------------------------------------------------------------

PLAN = GroupPlan(streets=((0, 1, 2, 3),), metres=((100.0, 500.0, 900.0, 1300.0),), street_names=("Quay",))


def tick(rule: Queues, minutes: Iterable[Mapping[int, Lane]], plan: GroupPlan = PLAN) -> Iterator[Finding]:
    """Four counters of one lane; those not told of are free."""
    rule.grow(4)
    for number, told in enumerate(minutes, 1):
        lanes = [told.get(node, FREE) for node in range(4)]
        values = {name: np.array([lane[at] for lane in lanes], float) for at, name in enumerate(NAMES)}
        time = T0 + 60 * number
        yield from rule.tick(Frame(time, np.arange(4), values, np.full(4, time)), plan)


def test_the_ends_of_a_queue_are_told_when_they_move() -> None:
    """From its front, upstream; the counter at its front is the finding's own."""
    rows = [{}] * 5 + [{2: COLLAPSED}] * 3 + [{1: COLLAPSED, 2: COLLAPSED}] * 5
    found = [each for each in tick(Queues(), rows) if each.evidence[0].what == "queue"]
    assert [(each.series, each.nodes, each.state) for each in found] == [(2, (1,), "update")]
    assert found[0].evidence[0].text == "it stands at 2 counters of Quay, from 500 m to 900 m"
    assert found[0].evidence[0].seen == 400


def test_a_crash_is_told_as_the_cause_of_the_jam() -> None:
    """The road below it empties while the jam stands above: an update, and no incident of its own."""
    below: Lane = (3.0, 50.0, 4.0)
    rows = [{}] * 5 + [{1: COLLAPSED, 2: below}] * 20
    found = [each for each in tick(Queues(), rows) if "against" in each.evidence[0].what]
    assert [(each.kind, each.state, each.series, each.nodes) for each in found] == [("jam", "update", 1, (2,))]
    assert "expected" in found[0].summary


def test_an_obstacle_that_traffic_passes_is_a_crash_of_its_own() -> None:
    """Five minutes after it is confirmed, until five minutes after it is gone."""
    above, below = (24.0, 40.0, 20.0), (4.0, 50.0, 5.0)
    rows = [{}] * 5 + [{1: above, 2: below}] * 12 + [{}] * 7
    found = list(tick(Queues(), rows))
    assert [(each.kind, each.state, (each.time - T0) // 60) for each in found] == [
        ("crash", "open", 11),
        ("crash", "close", 22),
    ]


def test_a_counter_that_counts_nobody_is_no_crash() -> None:
    """An obstacle lets some vehicles pass."""
    rows = [{}] * 5 + [{1: (24.0, 40.0, 20.0), 2: EMPTY}] * 60 + [{}] * 7
    assert list(tick(Queues(), rows)) == []


def test_without_streets_and_without_windows_nothing_is_found() -> None:
    """A minute in which nobody says anything ends nothing."""
    rows = [{}] * 5 + [{1: COLLAPSED, 2: COLLAPSED}] * 9
    assert list(tick(Queues(), rows, GroupPlan())) == []
    silent = dict.fromkeys(range(4), (nan, nan, nan))
    assert list(tick(Queues(), [silent] * 9)) == []


def california(up: Sequence[float], down: Sequence[float]) -> list[bool]:
    return alarms(minute, np.array(up)[:, None], np.array(down)[:, None])[:, 0].tolist()


def test_california_8_by_hand() -> None:
    """Tentative at u - d >= 8, (u - d) / u >= 0.5, d fallen by 0.3 within two minutes; confirmed a minute later."""
    assert california([12, 12, 20, 30, 30], [12, 12, 8, 6, 6]) == [False, False, False, True, True]
    assert california([12, 12, 20, 15, 15], [12, 12, 8, 8, 8]) == [False] * 5, "it has to stay"
    assert california([12, 12, 19, 30, 30], [12, 12, 11.5, 6, 7]) == [False, False, False, False, True]
    assert california([12, 12, nan, nan, 30], [12, 12, nan, nan, 6]) == [False] * 5, "two minutes ago is not known"


def test_a_compression_wave_holds_for_five_minutes() -> None:
    """Downstream has filled by more than 0.4 to 30 % or more: then what looks like a crash is none."""
    assert not any(california([12, 12, 40, 40, 40, 60], [12, 12, 35, 10, 6, 6]))
    assert california([12, 12, 40, 60, 60, 60], [12, 12, 12, 6, 6, 6])[-1]


def test_the_yardstick_and_the_score_of_both() -> None:
    """One crash of ten minutes, found two minutes after its beginning by the yardstick; one alarm beside it."""
    up, down = np.full((60, 2), 10.0), np.full((60, 2), 10.0)
    up[20:30, 0], down[20:30, 0] = 50.0, 4.0
    up[40:43, 1] = 35.0
    found = score(alarms(yardstick, up, down), [Crash(0, 20, 30)])
    assert (found.detection_rate, found.mean_delay_min, found.alarms, found.false_share) == (1.0, 2.0, 2, 0.5)
    assert score(alarms(minute, up, down), [Crash(0, 20, 30)]).false_share == 0
    assert score(np.zeros((5, 2), bool), []).detection_rate is None
    assert not yardstick(Pairs.blank(1), np.array([nan]), np.array([nan])).any()


# faults -----------------------------------------------------------------------------------------------------------


def test_ten_minutes_of_occupied_without_a_vehicle_are_stuck() -> None:
    """Not nine; nor while vehicles leave."""
    on: Lane = (100.0, nan, 0.0)
    assert feed(StuckOn(), [(FREE,)] + [(on,)] * 12 + [(FREE,)] * 5) == [("stuck", "open", 11), ("stuck", "close", 18)]
    assert feed(StuckOn(), [(FREE,)] + ([(on,)] * 9 + [(FREE,)]) * 5) == []
    assert feed(StuckOn(), [((nan, 40.0, 3.0),)] * 30) == []


def test_thirty_minutes_of_the_same_speed_are_stuck() -> None:
    """Windows without one in between say nothing; at walking pace and at the limit speeds may rest."""
    still: Lane = (12.0, 47.3, 9.0)
    assert feed(StuckSpeed(), [(still,)] * 33 + [(FREE,), (still,)] * 3) == [
        ("stuck", "open", 31),
        ("stuck", "close", 38),
    ]
    assert feed(StuckSpeed(), [(still,), (EMPTY,)] * 20) == [("stuck", "open", 33)]
    for rest in (2.9, 300.0):
        assert feed(StuckSpeed(), [((60.0, rest, 3.0),)] * 90) == []


def test_chatter_is_more_than_a_lane_carries_or_too_short() -> None:
    """For five minutes; a full lane at its best minute is none."""
    for lane in ((60.0, 50.0, 80.0), (0.5, nan, 40.0)):
        assert feed(Chatter(), [(FREE,)] + [(lane,)] * 6 + [(FREE,)] * 10) == [
            ("chatter", "open", 6),
            ("chatter", "close", 17),
        ]
    assert feed(Chatter(), [((50.0, 60.0, 50.0),)] * 60) == []
    assert feed(Chatter(), [(FREE,), *[None] * 9, ((12.0, 48.0, 90.0),)] * 9) == [], "of ten minutes each"


@pytest.mark.parametrize(
    "lane",
    [
        pytest.param((0.0, 50.0, 12.0), id="volume without occupancy"),
        pytest.param((40.0, nan, 0.0), id="occupancy without volume"),
    ],
)
def test_one_without_the_other_is_impossible(lane: Lane) -> None:
    """For ten minutes, until both are there."""
    found = feed(Impossible(), [(FREE,)] + [(lane,)] * 12 + [(FREE,)] * 10)
    assert found == [("impossible", "open", 11), ("impossible", "close", 23)]


def test_what_one_vehicle_does_is_possible() -> None:
    """It stands half a minute on the loop, or for long; an hour's only vehicle rounds to nothing."""
    assert feed(Impossible(), [((40.0, nan, 0.0),), (FREE,)] * 40) == []
    assert feed(Impossible(), [((100.0, nan, 0.0),)] * 60) == []
    assert feed(Impossible(), [((0.0, nan, 1.0),)] * 60, step=3600) == []


def test_vehicles_of_an_impossible_length() -> None:
    """Free traffic has 6.4 m with the loop; four times the speed, or a tenth of the occupancy, is none of ours."""
    assert feed(Impossible(), [((12.0, 48.0 + n % 3, 15.0),) for n in range(300)]) == []
    for lane in ((48.0, 100.0, 15.0), (1.2, 48.0, 15.0)):
        assert [each[:2] for each in feed(Impossible(), [(lane,)] * 90)] == [("impossible", "open")]
    lost = [(FREE,) if n % 3 == 0 else None for n in range(1000)]
    assert feed(Impossible(), [*[(FREE,)] * 100, *lost]) == [], "lost packs make no lorries"


def day(minute: int) -> float:
    """Vehicles in a minute: ten by day, none by night."""
    return 10.0 if 6 <= (7 + minute / 60) % 24 < 22 else 0.0


def test_a_dead_lane_is_missed_by_day_and_not_by_night() -> None:
    """Usual days, then the second lane is dead: told at 100 vehicles that it should have seen, and five minutes."""

    def lane(count: float) -> Lane:
        return (count / 2, 48.0 if count else nan, count)

    week = [(lane(day(5 * n)), lane(day(5 * n))) for n in range(5 * 288)]
    dead = [(lane(day(5 * n)), EMPTY) for n in range(60)]
    again = [(lane(10.0), lane(10.0))] * 3
    found = feed(DeadLane(), [*week[:1152], *dead, *again], step=300)
    assert found == [("dead_lane", "open", 5 * 1152 + 65), ("dead_lane", "close", 5 * 1152 + 315)]
    assert feed(DeadLane(), week, step=300) == [], "nights and mornings"
    closed = [(EMPTY, EMPTY)] * 20
    assert feed(DeadLane(), [*week[:1152], *closed], step=300) == [], "a closed street, for an hour and a half"
    assert feed(DeadLane(), [*week[:1152], *[(lane(day(5 * n)), STANDS) for n in range(60)]], step=300) == []
    assert feed(DeadLane(), [(lane(10.0), EMPTY)] * 1500, step=300) == [], "a lane that never had traffic"


def test_a_counter_that_counts_nobody_in_any_lane_is_silent() -> None:
    """Told at 500 vehicles that all of it should have seen, in three windows; its lanes are no incidents then."""

    def lane(count: float) -> Lane:
        return (count / 2, 48.0 if count else nan, count)

    week = [(lane(day(5 * n)), lane(day(5 * n))) for n in range(4 * 288)]
    dead = [(EMPTY, EMPTY)] * 40
    again = [(lane(10.0), EMPTY)] * 3
    found = feed(DeadLane(), [*week, *dead, *again], step=300)
    assert found == [("silent", "open", 5 * 1152 + 140), ("silent", "close", 5 * 1152 + 215)]
    assert feed(DeadLane(), [*week, *[(EMPTY, STANDS)] * 60], step=300) == [], "a queue stands"


# all --------------------------------------------------------------------------------------------------------------

RULES = (Jam, StuckOn, StuckSpeed, Chatter, Impossible, DeadLane)
LANES = st.sampled_from(
    [FREE, FREE, DENSE, JAMMED, COLLAPSED, EMPTY, STANDS, (nan, nan, nan), (nan, 8.0, 10.0), (0.0, 50.0, 90.0)]
)


@settings(max_examples=30, derandomize=True, deadline=None)
@given(
    st.sampled_from(RULES),
    st.lists(st.lists(LANES, min_size=4, max_size=4), max_size=8),
    st.sampled_from([10, 60, 300, 4000]),
    st.integers(1, 40),
)
def test_neighbours_cuts_and_restarts_change_nothing(
    kind: type[NodeRule], pattern: list[list[Lane]], gap: int, repeat: int
) -> None:
    """Two counters together, saved and loaded each time, find what each finds alone."""
    whole, alone, found, apart = kind(), [kind(), kind()], [], []
    rows = [each for each in pattern for _ in range(repeat)]
    for number, row in enumerate(rows, 1):
        time, since = T0 + number * gap, gap if number > 1 else 0
        counters = [row[:2], row[2:]]
        found += [
            (each.series // 2, each.kind, each.state, each.time, each.summary)
            for each in feed_one(whole, time, counters, since)
        ]
        restarted = kind()
        restarted.load(whole.save())
        whole = restarted
        for at in range(2):
            apart += [
                (at, each.kind, each.state, each.time, each.summary)
                for each in feed_one(alone[at], time, [counters[at]], since)
            ]
    assert found == apart


@pytest.mark.parametrize("kind", RULES)
def test_events_and_missing_values_are_nothing(kind: type[NodeRule]) -> None:
    """Not even a window; and no series needs a kibibyte."""
    rule = kind()
    assert feed(rule, [((nan, nan, nan),)] * 90) == []
    assert sum(type(each).bytes_per_series() for each in rule.memories().values()) <= 1024
    none = np.zeros(0, np.int64)
    assert rule.feed(Windows(none, none, none, none, {"tamper": np.zeros(0)})) == []


def test_a_jam_ends_although_a_lane_is_no_longer_told_of() -> None:
    """It is of the counter, so what ends it is said of a series that is in the window."""
    rule = Jam()
    for number in range(1, 5):
        found = feed_one(rule, T0 + 60 * number, [[JAMMED, JAMMED]], 60)
    for number in range(5, 10):
        values = {name: np.array([FREE[at]]) for at, name in enumerate(NAMES)}
        one = np.ones(1, np.int64)
        found = rule.feed(Windows(one, 0 * one, one * (T0 + 60 * number), 60 * one, values))
    assert [(each.state, each.series, each.channel) for each in found] == [("close", 1, "")]
