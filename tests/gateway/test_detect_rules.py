"""Each detector's rule, in windows of a minute and of other lengths; with late, repeated and missing packs."""

from collections.abc import Callable

import pytest

from gateway.records import Pack
from tests.gateway.streets import Values, detect, minutes, pack, series


def traffic(minute: float, *lanes: tuple[float, float | None], volume: float = 12) -> Pack:
    """A window of a counter; per lane occupancy and speed."""
    values: dict[str, float] = {}
    for number, (occupancy, speed) in enumerate(lanes, 1):
        values |= {f"lane{number}/occupancy": occupancy, f"lane{number}/volume": volume}
        if speed is not None:
            values[f"lane{number}/speed"] = speed + minute / 100  # never twice the same
    return pack("traffic-0001", minute, values)


def particles(minute: float, pm: float, node: str = "air-0001") -> Pack:
    return pack(node, minute, {"pm1_0": 0.6 * pm, "pm2_5": pm, "pm10": 1.4 * pm})


# packs ------------------------------------------------------------------------------------------------------------


def test_late_and_repeated_packs_change_nothing() -> None:
    """A window that is not newer than the newest of its series is passed over."""
    packs = series("water-0001", "flow", [0.0] * 3 + [2000.0] * 40 + [0.0] * 9)
    shuffled: list[Pack] = []
    for number, each in enumerate(packs):
        shuffled += [each, *packs[max(0, number - 7) : number : 3], each]
    assert detect(shuffled) == detect(packs) != {}


def test_readings_of_several_times_in_one_pack_are_windows_of_their_own() -> None:
    """In order of time, whatever their order in the pack."""
    one = series("water-0001", "flow", [0.0] * 3 + [2000.0] * 40)
    whole = Pack.of(
        "riverside", "water-0001", "telemetry", "water", 1, 0, one[-1].time, tuple(p.readings[0] for p in one[::-1])
    )
    assert detect([whole]) == detect(one) != {}


# jam --------------------------------------------------------------------------------------------------------------

FREE, JAMMED = (12.0, 45.0), (55.0, 9.0)


@pytest.mark.parametrize(
    "state",
    [pytest.param((45.0, 60.0), id="full but fast"), pytest.param((20.0, 10.0), id="slow but empty")],
)
def test_full_or_slow_alone_is_no_jam(state: tuple[float, float]) -> None:
    """A column of lorries; a tractor."""
    assert detect([traffic(minute, state) for minute in range(1, 60)]) == {}


def test_stop_and_go_is_one_jam() -> None:
    """It opens with three jammed minutes in a row and does not flicker."""
    states = [JAMMED] * 4 + ([FREE] * 2 + [JAMMED] * 2) * 6 + [FREE] * 5
    assert len(detect([traffic(minute, state) for minute, state in enumerate(states, 1)])) == 1


def test_a_full_lane_without_a_speed_says_nothing() -> None:
    """It neither begins nor ends a jam: nothing may have moved at all."""
    still: tuple[float, float | None] = (95.0, None)
    assert detect([traffic(minute, still) for minute in range(1, 20)]) == {}
    packs = [traffic(minute, JAMMED if minute < 5 else still) for minute in range(1, 30)]
    assert minutes(detect(packs)) == [("jam", "traffic-0001", 3, None)]


# air_episode ------------------------------------------------------------------------------------------------------


def air_site(level: Callable[[int, int], float | None], nodes: int = 5, until: int = 60) -> list[Pack]:
    """Each minute, each node by number from 1; None is a lost pack."""
    return [
        particles(minute, value + node / 100 + minute % 7 / 50, f"air-{node:04d}")
        for minute in range(1, until + 1)
        for node in range(1, nodes + 1)
        if (value := level(minute, node)) is not None
    ]


def test_an_episode_is_of_the_site_and_ends_after_10_minutes_of_better_air() -> None:
    """The mean of 10 minutes rises from 10 to 55.5 five minutes after the air went to 110, and falls as late."""
    incidents = detect(air_site(lambda minute, node: 110.0 if 20 <= minute < 40 else 10.0))
    assert minutes(incidents) == [("air_episode", "", 24, 46)]
    assert "PM2.5" in next(iter(incidents.values())).summary


def test_one_node_makes_no_episode() -> None:
    """Not even two of five: a bonfire beside them."""
    assert detect(air_site(lambda minute, node: 400.0 if node <= 2 else 10.0)) == {}


def test_air_around_the_limit_does_not_flicker() -> None:
    """Between 45 and 55.5 an episode goes on."""
    air = air_site(lambda minute, node: 58.0 if minute // 15 % 2 == 0 else 48.0, until=180)
    assert minutes(detect(air)) == [("air_episode", "", 6, None)]


def test_dead_nodes_neither_stop_nor_drive_a_site() -> None:
    """Two of five die: the others go on. With three dead there is no quorum until an hour has made them unknown,
    then the others decide."""
    two = detect(air_site(lambda minute, node: None if node <= 2 and minute > 15 else 110.0 if minute >= 20 else 10.0))
    assert minutes(two) == [("air_episode", "", 24, None), ("silent", "air-0001", 25, None)]
    three = air_site(
        lambda minute, node: None if node <= 3 and minute > 15 else 110.0 if minute >= 30 else 10.0, until=120
    )
    assert detect([each for each in three if each.seq <= 70]) == {}
    assert minutes(detect(three)) == [("silent", "air-0001", 25, None), ("air_episode", "", 75, None)]


def test_a_hurried_clock_does_not_decide_for_the_others() -> None:
    """A node ten minutes ahead is one voice among five, at its own time."""
    calm = air_site(lambda minute, node: 10.0)
    hurried = [particles(minute + 10, 500.0 + minute, "air-0001") for minute in range(1, 60)]
    mixed = sorted([*(p for p in calm if p.node != "air-0001"), *hurried], key=lambda p: (p.seq, p.node))
    assert detect(mixed) == {}


def test_a_site_of_one_node_has_episodes_too() -> None:
    """Its median is its own."""
    assert len(detect(air_site(lambda minute, node: 110.0, nodes=1))) == 1


def test_the_order_of_nodes_does_not_matter() -> None:
    """As long as they are less than two minutes apart."""
    packs = air_site(lambda minute, node: 70.0 if 20 <= minute < 40 else 10.0, nodes=7)
    lag = {f"air-{node:04d}": 61 * node % 110 for node in range(1, 8)}
    late = sorted(packs, key=lambda p: p.time + lag[p.node])
    assert detect(late) == detect(packs) != {}


# stuck ------------------------------------------------------------------------------------------------------------


def test_a_sensor_that_repeats_itself_for_30_minutes_is_stuck() -> None:
    """All three of the particle counter's quantities are one sensor and one incident."""
    values = [10 + n / 7 for n in range(5)] + [12.0] * 35 + [10 + n / 7 for n in range(6)]
    incidents = detect([particles(minute, value) for minute, value in enumerate(values, 1)])
    assert minutes(incidents) == [("stuck", "air-0001/particles", 36, 45)]
    assert "pm2_5 12" in next(iter(incidents.values())).summary


def test_one_quantity_of_a_sensor_may_rest() -> None:
    """PM1 in clean air is often the same for long; the counter is alive as long as any of its values moves."""
    packs = [pack("air-0001", n, {"pm1_0": 1.0, "pm2_5": 2.0, "pm10": 3.0 + n % 2}) for n in range(1, 90)]
    assert detect(packs) == {}


@pytest.mark.parametrize(
    ("node", "values"),
    [
        pytest.param("air-0001", {"pm1_0": 0.0, "pm2_5": 0.0, "pm10": 0.0}, id="clean air"),
        pytest.param("air-0001", {"voc_index": 100.0, "nox_index": 1.0}, id="an index at rest"),
        pytest.param("water-0001", {"flow": 60.0, "temperature": 12.0}, id="a constant leak"),
        pytest.param("traffic-0001", {"lane1/volume": 0.0, "lane1/occupancy": 0.0}, id="an empty street"),
    ],
)
def test_what_may_rest_is_not_stuck(node: str, values: Values) -> None:
    """Values that stand still by nature."""
    assert detect([pack(node, minute, values) for minute in range(1, 120)]) == {}


def test_sensors_of_a_node_that_stop_together_are_one_incident() -> None:
    """Two chips that stop at the same minute have one cause; of both is said what was seen."""
    packs = [pack("air-0001", n, {"co2": 455.0, "humidity": 60.0, "pressure": 1e5}) for n in range(1, 40)]
    (incident,) = detect(packs).values()
    assert (incident.node, incident.channel) == ("air-0001", "")
    assert [each.what for each in incident.evidence] == ["co2", "humidity", "pressure"]


def test_a_lane_that_is_always_occupied_is_stuck() -> None:
    """100 % and no vehicle for 10 minutes; the other lane lives on."""
    packs = [
        pack(
            "traffic-0001",
            minute,
            {
                "lane1/occupancy": 100.0,
                "lane1/volume": 0.0,
                "lane2/occupancy": 12.0,
                "lane2/volume": 9.0,
                "lane2/speed": 40.0 + minute,
            },
        )
        for minute in range(1, 15)
    ]
    assert minutes(detect(packs)) == [("stuck", "traffic-0001/lane1", 10, None)]


def test_health_packs_are_none_of_the_detectors_business() -> None:
    """A chip's temperature may rest."""
    steady = [pack("air-0001", minute, {"temperature": 40.0}) for minute in range(1, 60)]
    assert detect([Pack.of(p.site, p.node, "health", "health", 1, p.seq, p.time, p.readings) for p in steady]) == {}
