"""Traffic: flow = speed x density everywhere, vehicles that do not vanish, waves as fast as theory has them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_hardware.city.cells import (
    DROP,
    JAM_DENSITY,
    QUEUE,
    Cells,
    Minute,
    Road,
    free_capacity,
    from_above,
    largest_capacity,
    shortest_m,
)
from sim_hardware.city.queues import Queues
from sim_hardware.city.records import Effect, Floats, Ints
from sim_hardware.city.streets import HEADS, LANES, Streets, demand

CAPACITY = 1700.0
MONDAY = 1_736_121_600
"""2025-01-06, 00:00 UTC."""
NOWHERE = np.zeros(0, int)


def road(length_m: float = 4000, **more: float | int | str) -> Road:
    return Road(**({"name": "a", "district": 0, "lanes": 2, "length_m": length_m, "limit_kmh": 50.0}  # type: ignore[arg-type]
                   | {"capacity": CAPACITY, "peak": 1800.0} | more))  # fmt: skip


def driven(cells: Cells, demand: float, minutes: int) -> list[Minute]:
    flow = np.array([demand] + [0.0] * (len(cells.first) - 1))
    return [cells.minute(flow) for _ in range(minutes)]


def crashed(left: float = 0.3, demand: float = 1800, minutes: int = 25) -> tuple[Cells, list[Minute]]:
    """One street in which only a part of the capacity leaves cell 20."""
    cells = Cells([road()])
    cells.settle(np.array([demand]))
    cells.cut(np.array([20]), np.array([left]))
    return cells, driven(cells, demand, minutes)


# the model --------------------------------------------------------------------------------------------------------

NETS = st.lists(
    st.tuples(
        st.integers(1, 4),
        st.floats(20, 130),
        st.floats(0, 4000),
        st.floats(0.2, 1),
        st.floats(0, 1),
        st.floats(0, 6000),
        st.floats(0.1, 1),
    ),
    min_size=1,
    max_size=6,
)


@given(NETS, st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_no_vehicle_vanishes(net: list[tuple[int, float, float, float, float, float, float]], seed: int) -> None:
    """On any streets, with any cuts and crowds: what came is inside, waits, or has left; and no cell overflows."""
    dice = np.random.default_rng(seed)
    roads = [
        Road(str(index), 0, lanes, shortest_m(limit) + more, limit, share * largest_capacity(limit), 0.0)
        for index, (lanes, limit, more, share, *_) in enumerate(net)
    ]
    roads = [
        Road(each.name, 0, each.lanes, each.length_m, each.limit_kmh, each.capacity, 0.0, "both",
             int(dice.integers(-1, index)) if index else -1, onward, green)
        for index, (each, (*_, onward, _, green)) in enumerate(zip(roads, net, strict=True))
    ]  # fmt: skip
    cells = Cells(roads)
    flow = np.array([each[5] for each in net])
    jam = JAM_DENSITY * cells.lanes * cells.km
    came = 0.0
    for minute in range(40):
        if minute % 10 == 5:
            where = dice.integers(0, len(cells.street), 2)
            cells.cut(where, dice.uniform(0, 1, 2))
            cells.come(where[:1], 30.0)
            came += 30
        found = cells.minute(flow)
        came += flow.sum() / 60
        stored = cells.inside.sum() + cells.waiting.sum() + cells.beside.sum()
        assert stored + cells.gone == pytest.approx(came, abs=1e-6)
        assert cells.inside.min() >= -1e-9
        assert (cells.inside <= jam + 1e-9).all()
        assert cells.waiting.min() >= -1e-9
        assert (found.flow <= found.density * cells.free_kmh * (1 + 1e-9) + 1e-6).all(), "nobody is faster than free"


def test_a_steady_stream_stays_as_it_is() -> None:
    """`settle` gives the state that the model itself would come to."""
    cells = Cells([road(3000, into=1, onward=0.7), road(2000, lanes=3, limit_kmh=70.0, capacity=1900.0)])
    flow = np.array([1500.0, 400.0])
    cells.settle(flow)
    before = cells.inside.copy()
    for _ in range(30):
        found = cells.minute(flow)
    assert np.allclose(cells.inside, before, rtol=1e-6)
    assert np.allclose(found.flow[cells.street == 0], 1500)
    assert np.allclose(found.flow[cells.street == 1], 0.7 * 1500 + 400)


@pytest.mark.parametrize("demand", [100, 1000, 2000, 3000])
def test_speed_falls_with_density(demand: float) -> None:
    """Smulders: linear, to four fifths at capacity."""
    cells = Cells([road()])
    cells.settle(np.array([float(demand)]))
    found = driven(cells, demand, 5)[-1]
    density = found.density / 2
    assert np.allclose(found.flow / found.density, 50 * (1 - 0.2 * density / cells.critical), rtol=1e-3)


@pytest.mark.parametrize("left", [0.15, 0.3, 0.5])
@pytest.mark.parametrize("demand", [2000, 2600])
def test_the_tail_of_a_queue_is_a_shock(left: float, demand: float) -> None:
    """It runs upstream at (flow in - flow out) / (density before - within): Rankine and Hugoniot."""
    cells, _ = crashed(left, demand, 5)
    first = cells.inside.sum()
    found = driven(cells, demand, 5)[-1]
    within, before = found.density[20] / 2, found.density[0] / 2
    wave = CAPACITY / (JAM_DENSITY - float(cells.critical[0]))
    assert within == pytest.approx(JAM_DENSITY - left * CAPACITY / wave, rel=0.01), "on the congested branch"
    # Where the tail is, from the vehicles that are more than in the stream before it.
    grown_km = (cells.inside.sum() - first) / 2 / (within - before)
    theory = (demand / 2 - left * CAPACITY) / (within - before)
    assert grown_km * 60 / 5 == pytest.approx(theory, rel=0.02)
    assert np.ptp(np.flatnonzero(found.density / 2 > 1.9 * before)) + 1 == pytest.approx(
        theory * 10 / 60 / float(cells.km[0]), abs=1.6
    )


def test_upstream_later_downstream_empty() -> None:
    """A jam comes to what lies upstream in turn; below the crash there is only what is let through."""
    _, minutes = crashed()
    reached = [next((n for n, each in enumerate(minutes) if each.congested[cell]), None) for cell in (20, 18, 16, 14)]
    assert None not in reached
    assert reached == sorted(set(reached))  # type: ignore[type-var]
    below = minutes[-1]
    assert not below.congested[21:].any()
    assert np.allclose(below.flow[21:], 0.3 * 2 * CAPACITY)
    assert (below.flow[21:] / below.density[21:] > 46).all(), "and runs free"
    assert not minutes[-1].congested[:6].any()


def test_a_queue_dissolves_from_its_head() -> None:
    """At the speed of waves in a queue, and with less than the free street's capacity."""
    cells, before = crashed()
    cells.cut(NOWHERE, np.zeros(0))
    after = driven(cells, 1800, 40)
    # The middle of the wave: between 111 vehicles a km, and 50 that drive off.
    loose = [next(n for n, each in enumerate(after) if each.density[cell] < 2 * 80) for cell in (19, 16, 13)]
    assert loose == sorted(set(loose))
    kmh = 6 * float(cells.km[0]) / (loose[2] - loose[0]) * 60
    assert kmh == pytest.approx(17.4, rel=0.25), "1700 / (140 - 42.5)"
    assert after[6].flow[22] == pytest.approx((1 - DROP) * 2 * CAPACITY, rel=0.01), "the capacity drop"
    tail = int(np.flatnonzero(before[-1].congested)[0])
    assert any(each.congested[tail - 1] for each in after), "it still grows at its tail"
    assert not after[-1].congested.any()


def test_a_junction_shares_its_room() -> None:
    """Two streets into one that is too small: both queue, and all of its capacity is used."""
    roads = [road(1500, into=2), road(1500, into=2, lanes=1), road(1500)]
    cells = Cells(roads)
    flow = np.array([2600.0, 1500.0, 0.0])
    for _ in range(30):
        found = cells.minute(flow)
    assert found.congested[cells.last[:2]].all()
    assert not found.congested[cells.street == 2].any()
    assert found.flow[cells.last[2]] == pytest.approx(2 * CAPACITY, rel=1e-3)


def test_who_waits_outside_comes_in_later() -> None:
    """A queue before the city's edge is no less a queue."""
    cells = Cells([road(1500)])
    driven(cells, 5000, 30)
    assert cells.waiting[0] == pytest.approx((5000 - 2 * CAPACITY) / 2, rel=0.05)
    driven(cells, 0, 60)
    assert cells.waiting[0] == pytest.approx(0, abs=1e-6)
    assert cells.gone == pytest.approx(2500, rel=1e-6)


def test_a_signal_lets_through_its_share() -> None:
    """And a queue stands before it."""
    cells = Cells([road(2000, green=0.4)])
    found = driven(cells, 2000, 40)[-1]
    assert found.flow[-1] == pytest.approx(0.4 * 2 * CAPACITY)
    assert found.congested[-3:].all()


@given(st.lists(st.integers(-1, 12), max_size=12))
def test_streets_in_order(into: list[int]) -> None:
    """Each after all that flow into it; what is in a circle or below it is left out, as nothing else is."""
    order = from_above(into)
    assert len(set(order)) == len(order)
    for street in order:
        assert all(above in order[: order.index(street)] for above, below in enumerate(into) if below == street)
    for street in set(range(len(into))) - set(order):
        seen = {street}
        above = {each for each, below in enumerate(into) if below in seen}
        while not above <= seen:
            seen |= above
            above = {each for each, below in enumerate(into) if below in seen}
        assert above - set(order), "one that is left out has another such one above it"


@pytest.mark.parametrize("limit", [20, 30, 50, 70, 100, 130])
def test_usual_capacities(limit: float) -> None:
    """Are those of streets, and the model can carry them."""
    assert 1000 <= free_capacity(limit) <= 2000
    assert free_capacity(limit) <= largest_capacity(limit)


# queues -----------------------------------------------------------------------------------------------------------


def test_a_queue_is_of_the_incident_at_its_head() -> None:
    """Also in the street above, and after its cause is gone, until it has dissolved; others' are others'."""
    roads = [road(1500, into=1), road(1500), road(1500)]
    cells = Cells(roads)
    head, other = int(cells.last[1]) - 3, int(cells.last[2])
    counters = np.array([head, int(cells.first[1]), int(cells.last[0]), int(cells.first[0]), other, head + 1])
    queues = Queues(cells, counters)
    flow = np.array([1800.0, 0.0, 1800.0])
    cells.settle(flow)
    cells.cut(np.array([head, other]), np.array([0.2, 0.2]))
    minutes = 0
    while not queues.reached.get(7, {}).get(2):
        held = {7: np.array([head]), 9: np.array([other])}
        queues.follow(60 * minutes, cells.minute(flow).congested, held)
        minutes += 1
        assert minutes < 60
    cells.cut(NOWHERE, np.zeros(0))
    for _ in range(60):
        queues.follow(60 * minutes, cells.minute(flow).congested, {})
        minutes += 1
    reached = {counter: begin for counter, (begin, _) in queues.reached[7].items()}
    assert set(reached) == {0, 1, 2}
    assert reached[0] < reached[1] < reached[2]
    assert set(queues.reached[9]) == {4}
    assert reached[2] < queues.seen[7][1] < 60 * minutes - 600
    assert queues.seen[7][0] <= reached[0]


# what is seen -----------------------------------------------------------------------------------------------------


def streets(roads: list[Road], street: Ints, metres: Floats, seed: int = 1) -> Streets:
    return Streets(np.random.SeedSequence(seed), roads, 2, street, metres)


def day(town: Streets, begin: int = MONDAY, minutes: int = 1440) -> Floats:
    return np.array([town.step(begin + 60 * n, (), {}) for n in range(minutes)])


def test_lanes_differ_and_add_up() -> None:
    """Each lane has its own flow and speed; the density that they give is the street's."""
    town = streets([road()], np.array([0]), np.array([2000.0]))
    for n in range(600):
        seen = town.step(MONDAY + 6 * 3600 + 60 * n, (), {})[0]
        cell = int(town.counters[0])
        density = seen[0] / seen[1] + seen[2] / seen[3]
        assert density * float(town.cells.km[cell]) == pytest.approx(town.cells.inside[cell], rel=0.1)
        assert seen[1] < seen[3]
    seen = day(streets([road(lanes=1), road(lanes=4)], np.array([0, 1]), np.array([2000.0, 2000.0])), minutes=60)
    assert (seen[:, 0, 2] == 0).all(), "a lane that is not there"
    assert (seen[:, 1, 2] > 0).all()


def test_flow_is_speed_times_density() -> None:
    """As counted over a minute, in a jam as in a free street."""
    town = streets([road()], np.array([0, 0]), np.array([1400.0, 2000.0]))
    cut = Effect("cut", np.array([int(town.counters[1])]), 0.3, 1.0)
    for n in range(60):
        seen = town.step(MONDAY + 8 * 3600 + 60 * n, (cut,) if n > 10 else (), {})
        flow = seen[:, 0] + seen[:, 2]
        density = seen[:, 0] / seen[:, 1] + seen[:, 2] / seen[:, 3]
        assert (density <= LANES * JAM_DENSITY).all()
        assert (seen[:, [1, 3]] >= 0.9).all()
        if n > 30:
            assert flow[1] == pytest.approx(0.3 * 2 * CAPACITY, rel=0.02)
            assert density[1] > QUEUE * LANES * float(town.cells.critical[0])


@pytest.mark.parametrize("heads", HEADS)
def test_days(heads: str) -> None:
    """Two rush hours, or one that is the larger; little at night; no morning rush on Saturday."""
    working, weekend = demand(False)[HEADS.index(heads)], demand(True)[HEADS.index(heads)]
    morning, evening = working[7 * 60 : 9 * 60].mean(), working[17 * 60 : 19 * 60].mean()
    assert working[2 * 60 : 4 * 60].max() < 0.1
    assert {"in": morning > 1.5 * evening, "out": evening > 1.5 * morning, "both": 0.9 < morning / evening < 1.1}[heads]
    assert 0.9 < working.max() < 1.1
    assert weekend[7 * 60 : 9 * 60].max() < 0.4 * max(morning, evening)


def test_another_number_of_counters_changes_no_traffic() -> None:
    """Nor what the exhausts give."""
    few, many = streets([road()], np.array([0]), np.array([900.0])), streets([road()], *_along(9))
    for n in range(30):
        few.step(MONDAY + 60 * n, (), {}), many.step(MONDAY + 60 * n, (), {})
        assert few.cells.inside.tobytes() == many.cells.inside.tobytes()
        assert few.emission().tobytes() == many.emission().tobytes()


def _along(count: int) -> tuple[Ints, Floats]:
    return np.zeros(count, int), np.linspace(0, 4000, count)


def test_exhausts() -> None:
    """As many vehicle-km as were driven; a jam gives more for fewer; each in its district."""
    town = streets([road(), road(district=1)], np.zeros(0, int), np.zeros(0))
    free = [town.step(MONDAY + 8 * 3600 + 60 * n, (), {}) is not None and town.emission().copy() for n in range(20)][-1]
    driven_km = 1800 * 4 / 60  # veh/h x km
    assert free[0] == pytest.approx(driven_km, rel=0.25)
    assert free[1] == pytest.approx(driven_km, rel=0.25)
    for n in range(20, 40):
        town.step(MONDAY + 8 * 3600 + 60 * n, (Effect("cut", np.array([20]), 0.3, 1.0),), {})
    assert town.emission()[0] > 1.3 * free[0]
    assert town.emission()[1] == pytest.approx(free[1], rel=0.15)


def test_a_crowd_comes_out_and_the_street_queues() -> None:
    """All that it brings drives off in the end."""
    town = streets([road(2000, green=0.5)], *_along(3))
    for n in range(60):
        crowd = (Effect("crowd", np.array([8]), 2400.0, 1.0),) if n < 20 else ()
        town.step(MONDAY + 21 * 3600 + 60 * n, crowd, {})
        if n == 19:
            assert (town.cells.inside / town.cells.km)[10:].max() > QUEUE * 2 * float(town.cells.critical[0])
    assert town.cells.beside.sum() == pytest.approx(0, abs=1e-6)
    assert town.cells.gone > 800
