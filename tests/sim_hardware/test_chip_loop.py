"""Two loops in a lane: edges in order, spacing and time over each loop exact, no two vehicles in one place."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_hardware.chips.loop import LoopPair

FIRST, SECOND = 32, 33
CLEAR_US = 300_000

Vehicle = tuple[int, int, int]
Edge = tuple[int, int, int]
"""(us, pin, level)"""


def queue(*vehicles: Vehicle) -> Callable[[int], Vehicle | None]:
    """Gives them one by one, then None."""
    waiting = list(vehicles)
    return lambda after_us: waiting.pop(0) if waiting else None


def edges(pair: LoopPair) -> list[Edge]:
    found = []
    while (us := pair.next_us()) is not None:
        found.append((us, *pair.fire()))
    return found


def passages(found: list[Edge], active: int = 0) -> list[list[tuple[int, int]]]:
    """Per loop, (came, left) of each vehicle; edges alternate."""
    loops = []
    for pin in (FIRST, SECOND):
        own = [(us, level) for us, at, level in found if at == pin]
        assert [level for _, level in own] == [active, 1 - active] * (len(own) // 2)
        loops.append(list(zip([us for us, _ in own[::2]], [us for us, _ in own[1::2]], strict=True)))
    return loops


def test_one_car() -> None:
    """10 m/s, 4.5 m long, loops of 2 m 4 m apart: 0.4 s from loop to loop, 0.65 s over each."""
    pair = LoopPair((FIRST, SECOND), queue((1_000_000, 10_000, 4_500)))
    assert pair.levels() == ((FIRST, 1), (SECOND, 1))
    assert edges(pair) == [
        (1_000_000, FIRST, 0),
        (1_400_000, SECOND, 0),
        (1_650_000, FIRST, 1),
        (2_050_000, SECOND, 1),
    ]
    assert pair.levels() == ((FIRST, 1), (SECOND, 1))


def test_a_car_against_the_lane() -> None:
    """The mirror image; the next one, in the right direction, waits until both loops are free for it."""
    pair = LoopPair((FIRST, SECOND), queue((1_000_000, -10_000, 4_500), (1_000_001, 10_000, 4_500)))
    assert edges(pair) == [
        (1_000_000, SECOND, 0),
        (1_400_000, FIRST, 0),
        (1_650_000, SECOND, 1),
        (2_050_000, FIRST, 1),
        (2_350_000, FIRST, 0),
        (2_750_000, SECOND, 0),
        (3_000_000, FIRST, 1),
        (3_400_000, SECOND, 1),
    ]


def test_a_lorry_over_both() -> None:
    """Between two edges both pins are active; an active-high detector shows the same the other way round."""
    pair = LoopPair((FIRST, SECOND), queue((1_000_000, 5_000, 16_000)), spacing_mm=3_000, loop_mm=1_000, active=1)
    assert pair.levels() == ((FIRST, 0), (SECOND, 0))
    assert [pair.next_us(), pair.fire()] == [1_000_000, (FIRST, 1)]
    assert [pair.next_us(), pair.fire()] == [1_600_000, (SECOND, 1)]
    assert pair.levels() == ((FIRST, 1), (SECOND, 1))
    assert [pair.next_us(), pair.fire()] == [4_400_000, (FIRST, 0)]
    assert [pair.next_us(), pair.fire()] == [5_000_000, (SECOND, 0)]
    assert pair.next_us() is None


def test_many_stand_in_a_row() -> None:
    """A fast one behind a slow one keeps its distance on both loops, and does not overtake."""
    pair = LoopPair((FIRST, SECOND), queue((1_000_000, 2_000, 4_000), (1_000_001, 25_000, 4_000)))
    first, second = passages(edges(pair))
    assert first[0] == (1_000_000, 4_000_000)
    assert second[0] == (3_000_000, 6_000_000)
    assert second[1][0] == 6_000_000 + CLEAR_US
    assert first[1][0] == second[1][0] - 160_000


_vehicles = st.lists(
    st.tuples(st.integers(0, 5_000_000), st.integers(800, 70_000), st.integers(1_000, 25_000)), min_size=1, max_size=40
)


@given(_vehicles, st.integers(1_000, 10_000), st.integers(500, 3_000))
def test_any_traffic(wanted: list[tuple[int, int, int]], spacing: int, loop: int) -> None:
    """Whatever the vehicles, in headways after the one before: t = D/v, (L + loop)/v, order, and room between them."""
    asked: list[int] = []
    coming = iter(wanted)

    def vehicles(after_us: int) -> Vehicle | None:
        asked.append(after_us)
        vehicle = next(coming, None)
        return vehicle and (after_us + vehicle[0], *vehicle[1:])

    found = edges(LoopPair((FIRST, SECOND), vehicles, 7_000, spacing, loop))
    times = [us for us, _, _ in found]
    assert times == sorted(times)
    assert asked == sorted(asked)
    assert asked[0] == 7_000
    first, second = passages(found)
    assert len(first) == len(second) == len(wanted)
    arrivals = [came for came, _ in first]
    assert asked[1 : len(wanted) + 1] == arrivals, "asked for what comes after the last one's real arrival"
    for number, (headway, speed, length) in enumerate(wanted):
        over = (length + loop) * 1_000_000 // speed
        between = spacing * 1_000_000 // speed
        assert second[number][0] - first[number][0] == between
        assert [left - came for came, left in (first[number], second[number])] == [over, over]
        asked_for = asked[number] + headway
        earliest = [asked_for]
        if number:
            room = [each[number][0] - each[number - 1][1] for each in (first, second)]
            assert min(room) >= CLEAR_US
            earliest += [first[number - 1][1] + CLEAR_US, second[number - 1][1] + CLEAR_US - between]
        else:
            earliest += [7_000 + CLEAR_US]
        assert arrivals[number] == max(earliest), "held back for longer than it needs to be"


def test_asked_again_while_nothing_is_known() -> None:
    """The city is late: no edge, and then the vehicle comes when it would have."""
    known: list[Vehicle] = []
    pair = LoopPair((FIRST, SECOND), lambda after: known.pop() if known else None)
    assert [pair.next_us(), pair.next_us()] == [None, None]
    known.append((2_000_000, 10_000, 4_500))
    assert [pair.next_us(), pair.next_us()] == [2_000_000, 2_000_000]
    pair.fire()
    assert pair.next_us() == 2_400_000


@pytest.mark.parametrize(("stuck", "level"), [(FIRST, 1), (SECOND, 1), (FIRST, 0)])
def test_stuck_pins_keep_their_level(stuck: int, level: int) -> None:
    """The other one goes on, and the times stay."""
    traffic = [(n * 3_000_000, 10_000, 4_500) for n in range(1, 6)]
    healthy = edges(LoopPair((FIRST, SECOND), queue(*traffic)))
    pair = LoopPair((FIRST, SECOND), queue(*traffic))
    found = []
    if not level:
        found.append((pair.next_us(), *pair.fire()))
    pair.stuck = (stuck,)
    found += edges(pair)
    assert [us for us, _, _ in found] == [us for us, _, _ in healthy]
    assert {at for _, pin, at in found if pin == stuck} == {level}
    assert [edge for edge in found if edge[1] != stuck] == [edge for edge in healthy if edge[1] != stuck]
