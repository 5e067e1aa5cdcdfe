"""What others are told of homes' water tells nothing of one home: by no sum, no difference of sums, and no second look.

The attacks are those of the literature on statistical tables: differencing of overlapping sets, of a set and its
complement (here: what the inlet of a zone shows), of one moment and the next, and a sum that is nearly one home's.
"""

import itertools
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.detect.plan import LEAST_HOMES, Plan, Zone
from gateway.privacy.sums import DaySum, apart, day_statement, day_sums, metered_whole, newest_day, used
from gateway.privacy.told import Ask, Told, water_yesterday
from gateway.query.client import Series
from gateway.records import NodeView
from tests.gateway.citizens_work import HARBOUR, seat_of

NAMES = tuple(f"m{number:02}" for number in range(34))
DAY = date(2026, 11, 22)
SPAN = (DAY, 1_795_305_600, 1_795_392_000)
NODES = [NodeView(site="s", node=name, kind="water") for name in (*NAMES, "in", "in-2")]


def told(*zones: Zone, litres: dict[str, float]) -> list[DaySum]:
    named = {("s", name): value for name, value in litres.items()}
    return list(day_sums(Plan(zone=zones), ("s",), NODES, named, SPAN))


def even(names: Sequence[str], each: float = 100.0) -> dict[str, float]:
    return dict.fromkeys(names, each)


def test_a_sum_is_of_ten_homes_or_more() -> None:
    zone = Zone("Mill Lane", NAMES[:10], inlet=("in",))
    (found,) = told(zone, litres=even(NAMES[:10]) | {"in": 5000.0})
    assert (found.litres, found.homes, found.slug) == (1000, 10, "zone-mill-lane")
    assert told(zone, litres=even(NAMES[:9]) | {"in": 5000.0}) == []


def test_a_sum_that_is_almost_one_homes_is_not_told() -> None:
    zone = Zone("z", NAMES[:12])
    assert told(zone, litres=even(NAMES[:12], 1.0) | {NAMES[0]: 12.0}) == []
    assert told(zone, litres=even(NAMES[:12], 0.0)) == []  # nobody was at home


def test_two_zones_that_differ_by_one_home_have_one_sum() -> None:
    zones = [Zone("a", NAMES[:10]), Zone("b", NAMES[:11]), Zone("c", NAMES[20:32])]
    assert [each.zone for each in told(*zones, litres=even(NAMES))] == ["a", "c"]


def test_three_sums_that_leave_one_home_are_not_all_told() -> None:
    """No two of these differ by few homes; the third less the others would be one."""
    zones = [Zone("a", NAMES[:10]), Zone("b", NAMES[10:20]), Zone("all", NAMES[:21])]
    assert [each.zone for each in told(*zones, litres=even(NAMES))] == ["a", "b"]
    whole = [*zones[:2], Zone("all", NAMES[:20])]
    assert [each.zone for each in told(*whole, litres=even(NAMES))] == ["a", "b", "all"]


def test_overlapping_zones_leave_no_small_piece() -> None:
    """12 and 12 homes that share 2: the one less the other tells of 10, but with the union it would be the 2."""
    assert not apart([frozenset(("s", name) for name in part) for part in (NAMES[:12], NAMES[10:22])])
    assert [each.zone for each in told(Zone("a", NAMES[:12]), Zone("b", NAMES[10:22]), litres=even(NAMES))] == ["a"]


def test_an_inlet_less_the_sum_is_not_the_home_that_is_missing() -> None:
    """A zone that is metered whole, its inlet shown, and one home that was not heard: nine more are left out."""
    zone = Zone("z", NAMES[:30], inlet=("in",), full=True)
    (found,) = told(zone, litres=even(NAMES[1:30]))
    assert found.homes == 30 - LEAST_HOMES
    (found,) = told(zone, litres=even(NAMES[:30]))
    assert found.homes == 30
    small = Zone("z", NAMES[:15], inlet=("in",), full=True)
    assert told(small, litres=even(NAMES[1:15])) == []


def test_an_inlet_less_another_is_not_a_home() -> None:
    """Both zones are metered whole, and differ by a home: the second's inlet is not shown."""
    plan = Plan(zone=(Zone("a", NAMES[:11], ("in",), True), Zone("b", NAMES[:12], ("in-2",), True)))
    hidden, behind = metered_whole(plan, "s", NODES)
    assert (hidden, len(behind)) == ({"in-2"}, 1)


def test_a_late_pack_changes_nothing_that_was_told(tmp_path: Path) -> None:
    """Not in another process, nor after a restart: each opens the file anew."""
    zone = Zone("z", NAMES[:12])
    first, second = (tuple(told(zone, litres=even(NAMES[:number]))) for number in (11, 12))
    assert first != second
    assert Told(tmp_path).tell(DAY, ()) == ()  # nothing is told yet, so nothing is decided
    assert Told(tmp_path).tell(DAY, first) == first
    assert Told(tmp_path).tell(DAY, second) == first
    assert Told(tmp_path).of(DAY) == first
    assert Told(tmp_path).path.stat().st_mode & 0o077 == 0


async def test_all_ways_out_tell_the_same(tmp_path: Path) -> None:
    """The citizens' process and the console's ask at different times, and between them a pack has come late."""
    plan = Plan(zone=(Zone("Harbour", HARBOUR),))
    asked = []

    def answers(*names: str) -> Ask:
        async def ask(statement: str) -> list[Series]:
            asked.append(statement)
            columns = ["time", "first", "last", "min", "max", "count"]
            row = ["t", 0.0, 100.0, 0.0, 100.0, 9]
            return [Series(columns, "water", {"site": "riverside", "node": name}, [row]) for name in names]

        return ask

    seats = [seat_of(tmp_path, plan=plan) for _ in range(3)]
    assert await water_yesterday(seats[0], answers(*HARBOUR[:9])) == ()
    (first,) = await water_yesterday(seats[1], answers(*HARBOUR[:11]))
    assert (first.homes, first.litres) == (11, 1100)
    for seat in (seats[2], seats[0], seat_of(tmp_path, plan=plan)):
        assert await water_yesterday(seat, answers(*HARBOUR)) == (first,)
    assert len(asked) == 2  # what is decided is not asked again


def test_of_a_day_that_is_not_over_nothing_is_asked() -> None:
    """A home that joins at noon is in the sum of a whole day, or in none: no sum ends at the moment it came."""
    zone = ZoneInfo("Europe/Berlin")
    day, begin, end = newest_day(1_795_400_000, zone)
    assert (day, end - begin) == (DAY, 86_400)
    assert newest_day(end + 3599, zone)[0] == day - timedelta(days=1)
    assert newest_day(end + 3600, zone)[0] == day
    assert newest_day(1_793_000_000 - 1_793_000_000 % 86_400 + 7200, zone)[1] % 3600 == 0


@pytest.mark.parametrize(
    "row", [[5.0, 9.0, 1.0, 9.0, 9], [5.0, 5.0, 5.0, 5.0, 1], [5.0, 4.0, 4.0, 5.0, 9]], ids=["fell", "one", "back"]
)
def test_a_register_that_fell_says_nothing(row: list[float]) -> None:
    columns = ["time", "first", "last", "min", "max", "count"]
    assert used([Series(columns, "water", {"site": "s", "node": "m"}, [["t", *row]])]) == {}
    assert 'GROUP BY "site", "node"' in day_statement(0, 1)


zones = st.lists(
    st.builds(
        lambda begin, size, more, whole: Zone(
            f"z{begin}.{size}", (*NAMES[begin : begin + size], *more), ("in",) if whole else (), whole
        ),
        st.integers(0, 24),
        st.integers(8, 34),
        st.lists(st.sampled_from(NAMES), max_size=2),
        st.booleans(),
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=80, deadline=None)
@given(zones, st.sets(st.sampled_from(NAMES), max_size=12), st.data())
def test_no_combination_of_what_is_told_is_of_few_homes(
    found: list[Zone], missing: set[str], data: st.DataObject
) -> None:
    """Whoever weighs everything that is told, sums and inlets, as he likes: what is left is of nobody, or of ten."""
    plan = Plan(zone=tuple(found))
    # Each home's litres are a digit of their own, so that a sum says whose it is.
    litres = {("s", name): 10.0 * 2**number for number, name in enumerate(NAMES) if name not in missing}
    # One home has more than half of every such sum: without that rule, which is tested above.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gateway.privacy.sums.MOST_SHARE", 1.0)
        sums = day_sums(plan, ("s",), NODES, litres, SPAN)
    bits = [each.litres // 10 for each in sums]
    _, behind = metered_whole(plan, "s", NODES)
    bits += [sum(2 ** NAMES.index(name) for _, name in homes) for homes in behind.values()]
    rows = [[bit >> number & 1 for number in range(len(NAMES))] for bit in bits]
    for each, row in zip(sums, rows, strict=False):
        assert sum(row) == each.homes >= LEAST_HOMES
    weights = data.draw(st.lists(st.integers(-3, 3), min_size=len(rows), max_size=len(rows)))
    for chosen in (weights, *itertools.product((-1, 0, 1), repeat=min(len(rows), 6))):
        left = [sum(w * row[home] for w, row in zip(chosen, rows, strict=False)) for home in range(len(NAMES))]
        assert not 0 < sum(map(bool, left)) < LEAST_HOMES


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.sets(st.sampled_from(NAMES))), max_size=12))
def test_however_often_it_is_asked_a_day_is_told_once(
    tmp_path_factory: pytest.TempPathFactory, looks: list[tuple[int, set[str]]]
) -> None:
    """Homes join, go and come late between looks; of each day and zone there is one sum, ever."""
    folder = tmp_path_factory.mktemp("told")
    seen: dict[date, set[tuple[DaySum, ...]]] = {}
    for after, heard in looks:
        day = DAY + timedelta(days=after)
        sums = tuple(told(Zone("a", NAMES[:15]), Zone("b", NAMES[12:]), litres=even(sorted(heard))))
        if found := Told(folder).tell(day, sums):
            seen.setdefault(day, set()).add(found)
    assert all(len(each) == 1 for each in seen.values())
