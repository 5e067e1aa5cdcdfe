"""A water meter's reeds: one closure for each volume that ran through, whatever the flow; bounces that end soon.

Two of them tell the direction; and the meter goes on while nobody looks.
"""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_hardware.chips.reed import ReedMeter

PIN, SECOND = 27, 14
HOUR_US = 3_600_000_000
SETTLED_US = 5_000
"""Reeds bounce for a few ms at most."""

Profile = list[tuple[int, int]]
"""(ml/h, how long in us)"""
Edge = tuple[int, int]
"""(us, level)"""


class Pipe:
    """A flow that changes, from `start` on; unknown after its end. `litres(us)` is the volume in ml/h times us."""

    def __init__(self, profile: Profile, start: int = 0) -> None:
        self._steps = []
        at = start
        for rate, duration in profile:
            self._steps.append((at, at + duration, rate))
            at += duration
        self.end = at
        self._asked = start

    def flow(self, us: int) -> tuple[int, int] | None:
        assert us >= self._asked, "asked for the past"
        self._asked = us
        return next(((rate, end) for begin, end, rate in self._steps if begin <= us < end), None)

    def through(self, us: int) -> int:
        return sum(rate * max(0, min(us, end) - begin) for begin, end, rate in self._steps)


def edges(meter: ReedMeter, end: int) -> list[Edge]:
    """All edges up to `end`; their times never fall, and only this pin moves."""
    found: list[Edge] = []
    while (us := meter.next_us()) is not None and us <= end:
        pin, level = meter.fire()
        assert pin == PIN
        assert not found or us >= found[-1][0]
        found.append((us, level))
    return found


def turns(found: list[Edge]) -> list[list[Edge]]:
    """Edges that belong together: a change of the contact and its bounces."""
    groups: list[list[Edge]] = []
    for edge in found:
        if groups and edge[0] - groups[-1][0][0] < SETTLED_US:
            groups[-1].append(edge)
        else:
            groups.append([edge])
    return groups


def closings(found: list[Edge]) -> list[int]:
    """When the contact closed, its bounces left out: what a debounced counter counts."""
    return [group[0][0] for group in turns(found) if group[0][1] == 0]


def first_closing(ml_per_pulse: int) -> int:
    """The volume after which a new meter first closes: where its magnet stands at the start."""
    pipe = Pipe([(3_600_000, 1000 * ml_per_pulse)])  # one pulse's volume
    (closing,) = closings(edges(ReedMeter(PIN, pipe.flow, ml_per_pulse), pipe.end))
    assert 0 < closing < pipe.end
    return pipe.through(closing)


_profile = st.lists(
    st.tuples(st.integers(0, 12_000_000) | st.just(0), st.integers(1, 10 * 60_000_000)), min_size=1, max_size=12
)


@given(_profile, st.sampled_from([1_000, 10_000, 100_000]), st.integers(0, 2**50))
def test_each_closing_is_at_its_own_volume(profile: Profile, ml: int, start: int) -> None:
    """The first microsecond at which it has run through; so the count is exact for any flow, even a hair of one."""
    pipe = Pipe(profile, start)
    found = closings(edges(ReedMeter(PIN, pipe.flow, ml, start), pipe.end))
    turn, first = ml * HOUR_US, first_closing(ml)
    for number, us in enumerate(found):
        wanted = first + number * turn
        assert pipe.through(us) >= wanted > pipe.through(us - 1)
    assert len(found) == max(0, (pipe.through(pipe.end) - first) // turn + 1)


@given(_profile, st.integers(1, 20))
def test_pulses_are_volume(profile: Profile, litres: int) -> None:
    """After any beginning, each litre more is a pulse more: leaks of millilitres and a burst alike."""
    pipes = Pipe(profile), Pipe([*profile, (120_000, litres * 30_000_000)])
    before, after = (len(closings(edges(ReedMeter(PIN, pipe.flow), pipe.end))) for pipe in pipes)
    assert after - before == litres


def test_a_litre_a_minute() -> None:
    """60 l/h: closed for 40 % of each turn, a pulse every minute."""
    pipe = Pipe([(60_000, HOUR_US)])
    found = turns(edges(ReedMeter(PIN, pipe.flow), pipe.end))
    closed = [group[0][0] for group in found if group[-1][1] == 0]
    opened = [group[0][0] for group in found if group[-1][1] == 1]
    assert len(closed) == 60
    assert {b - a for a, b in pairwise(closed)} == {60_000_000}
    assert {o - c for c, o in zip(closed, opened, strict=False)} == {24_000_000}


def test_it_bounces_and_settles() -> None:
    """Every change is followed by a few reversals within milliseconds, different ones for another seed."""
    pipes = [Pipe([(600_000, HOUR_US)]) for _ in range(3)]
    streams = [edges(ReedMeter(PIN, p.flow, seed=seed), p.end) for p, seed in zip(pipes, (1, 1, 2), strict=True)]
    assert streams[0] == streams[1] != streams[2]
    level = 1
    for group in turns(streams[0]):
        level = 1 - level
        assert len(group) > 1, "no bounce"
        assert [each for _, each in group] == [level, *[1 - level, level] * ((len(group) - 1) // 2)]
        assert all(0 < b[0] - a[0] <= 1_000 for a, b in pairwise(group))
    assert level == 1 - len(turns(streams[0])) % 2


def test_levels_follow() -> None:
    """Open at first; after each edge as it was fired."""
    pipe = Pipe([(600_000, 60_000_000)])
    meter = ReedMeter(PIN, pipe.flow)
    assert meter.levels() == ((PIN, 1),)
    while meter.next_us() is not None:
        edge = meter.fire()
        assert meter.levels() == (edge,)


def test_no_flow_no_edge() -> None:
    """Asked step by step; and what is not known yet is asked again."""
    pipe = Pipe([(0, 60_000_000)] * 30)
    assert edges(ReedMeter(PIN, pipe.flow), pipe.end) == []
    known = []
    meter = ReedMeter(PIN, lambda us: known[0] if known else None)
    assert [meter.next_us(), meter.next_us()] == [None, None]
    known.append((3_600_000, 60_000_000))
    closing = meter.next_us()
    assert closing is not None
    assert 0 < closing <= 1_000_000


@pytest.mark.parametrize("level", [0, 1])
def test_stuck_keeps_the_contact_while_the_water_runs(level: int) -> None:
    """The volume of that time is lost to the counter, and the pulses after it come where they would have."""
    pipe = Pipe([(3_600_000, 100_000_000)])
    healthy = edges(ReedMeter(PIN, pipe.flow), pipe.end)
    twin = Pipe([(3_600_000, 100_000_000)])
    meter = ReedMeter(PIN, twin.flow)
    closing = closings(healthy)[10]
    before = edges(meter, closing + SETTLED_US if level == 0 else closing - 1)
    meter.stuck = True
    during = edges(meter, closing + 30_000_000)
    meter.stuck = False
    after = edges(meter, pipe.end)
    assert before == healthy[: len(before)]
    assert {at for _, at in during} == {level}
    assert [us for us, _ in during] == [us for us, _ in healthy[len(before) : len(before) + len(during)]]
    assert after == healthy[-len(after) :]


# to and fro, with two contacts -----------------------------------------------------------------------------------

TURN = 1_000 * HOUR_US
"""Of a meter of one litre a pulse, in ml/h times us."""
PLACE = TURN - TURN * 30 // 100
"""Where a new meter stands: half-way between an opening and the next closing of the first contact."""


class Dial:
    """The same meter by its place alone: closed parts of the turn, and a mark at its beginning."""

    def __init__(self, place: int = PLACE, mark: int = 0) -> None:
        self.place, self.mark = place, mark
        self.forward = self.backward = 0

    def go(self, volume: int) -> None:
        before, self.place = self.place // TURN, (self.place + volume) // TURN * TURN + (self.place + volume) % TURN
        after = self.place // TURN
        step = 1 if after > before else -1
        for mark in range(before + 1, after + 1) if step > 0 else range(before, after, -1):
            if mark != self.mark:
                self.mark = mark
                self.forward += step > 0
                self.backward += step < 0

    def levels(self) -> tuple[tuple[int, int], tuple[int, int]]:
        place = self.place % TURN
        first = place < TURN * 40 // 100
        second = TURN // 4 <= place < TURN // 4 + TURN * 40 // 100
        return ((PIN, 1 - first), (SECOND, 1 - second))


def settle(meter: ReedMeter, end: int) -> None:
    """Let everything up to `end` happen; times never fall."""
    last = 0
    while (us := meter.next_us()) is not None and us <= end:
        assert us >= last
        last = us
        pin, level = meter.fire()
        assert dict(meter.levels())[pin] == level


_tides = st.lists(
    st.tuples(st.integers(-6_000_000, 6_000_000) | st.just(0), st.integers(1, 120_000_000)), min_size=1, max_size=15
)


@given(_tides, st.integers(0, 2**50))
def test_two_contacts_show_where_the_magnet_is(profile: Profile, start: int) -> None:
    """Forwards and backwards and shaking, by the microsecond; and whole turns are counted either way."""
    # A rest before each look, in which what bounces comes to an end.
    pipe = Pipe([step for each in profile for step in (each, (0, SETTLED_US))], start)
    meter = ReedMeter(PIN, pipe.flow, start_us=start, second=SECOND)
    dial = Dial()
    at = start
    for rate, duration in profile:
        at += duration + SETTLED_US
        settle(meter, at)
        dial.go(rate * duration)
        assert meter.levels() == dial.levels()
        assert (meter.forward, meter.backward) == (dial.forward, dial.backward)


def test_the_second_contact_is_a_quarter_behind() -> None:
    """60 l/h: a turn a minute; 15 s after the first, and before it on the way back."""
    for rate, order in ((60_000, (0, 15, 24, 39)), (-60_000, (39, 24, 15, 0))):
        pipe = Pipe([(rate, HOUR_US)])
        meter = ReedMeter(PIN, pipe.flow, second=SECOND)
        found, bounces = [], 0
        while (us := meter.next_us()) is not None:
            pin, level = meter.fire()
            if found and us - found[-1][0] < SETTLED_US:
                bounces += 1
            else:
                found.append((us, pin, level))
        assert bounces == 4 * len(found)
        begin = next(us for us, pin, level in found if (pin, level) == (PIN, 0 if rate > 0 else 1))
        places = [round((us - begin) / 1_000_000) % 60 for us, _, _ in found]
        if rate < 0:
            places = [(60 - place) % 60 for place in places]
        assert set(places) == set(order)
        sequence = [(place, pin, level) for place, (_, pin, level) in zip(places, found, strict=True)]
        closing = 0 if rate > 0 else 1
        assert set(sequence) == {
            (0, PIN, closing),
            (15, SECOND, closing),
            (24, PIN, 1 - closing),
            (39, SECOND, 1 - closing),
        }


def test_an_edge_is_passed_backwards_when_it_is_left() -> None:
    """To come back exactly to where a contact changes is not yet to pass it; a microsecond more is."""
    twentieth = 50_000  # of a turn at 3600 l/h, in us: from the start back to where the second opens
    for duration, found in ((twentieth, []), (twentieth + 1, [twentieth + 1])):
        pipe = Pipe([(-3_600_000, duration)])
        meter = ReedMeter(PIN, pipe.flow, second=SECOND)
        assert [us for us in [meter.next_us()] if us is not None] == found


def test_shaking_over_the_mark_is_no_turn() -> None:
    """A turn is from one mark to another: to come back over the same is none."""
    litre = (3_600_000, 1_000_000)
    sixth, back = (3_600_000, 1_000_000 // 6), (-3_600_000, 1_000_000 // 6)
    pipe = Pipe([litre, *([back, sixth] * 50), litre, litre])
    meter = ReedMeter(PIN, pipe.flow, second=SECOND)
    settle(meter, pipe.end)
    assert (meter.forward, meter.backward) == (3, 0)


# a thing of its own ------------------------------------------------------------------------------------------------


@given(_tides, _tides, st.integers(0, 60_000_000), st.booleans())
def test_a_meter_goes_on_while_its_board_is_off(before: Profile, after: Profile, off: int, two: bool) -> None:
    """Switched on again it is where one is that was never off; its turns meanwhile count, and nobody saw an edge."""
    second = SECOND if two else None
    profile = [*before, (1_200_000, off), *after] if off else [*before, *after]
    pipes = [Pipe(profile) for _ in range(2)]
    kept: list[tuple[int, ...]] = []
    first = ReedMeter(PIN, pipes[0].flow, second=second, keep=lambda *state: kept.append(state))
    assert kept == [first.state()], "known from the start on"
    cut = sum(duration for _, duration in before)
    settle(first, cut)

    def later(us: int) -> tuple[int, int] | None:
        """Asked from the last edge on, which is before what the first meter has asked for."""
        return Pipe(profile).flow(us)

    again = ReedMeter(PIN, later, second=second, start_us=cut + off, state=kept[-1])  # type: ignore[arg-type]
    whole = ReedMeter(PIN, pipes[1].flow, second=second)
    for at in (cut + off, pipes[1].end):
        settle(whole, at)
        settle(again, at)
        assert (again.forward, again.backward) == (whole.forward, whole.backward)
    assert [meter.state()[1:3] for meter in (again, whole)] == [whole.state()[1:3]] * 2


def test_what_is_kept_is_kept_before_it_is_seen() -> None:
    """Once for each move of the magnet, none for bounces: a board that dies at the edge finds the meter past it."""
    pipe = Pipe([(3_600_000, 20_000_000)])
    kept: list[tuple[int, ...]] = []
    meter = ReedMeter(PIN, pipe.flow, second=SECOND, keep=lambda *state: kept.append(state))
    edges, moves = 0, 0
    while (us := meter.next_us()) is not None:
        known = len(kept)
        meter.fire()
        edges += 1
        if len(kept) > known:
            moves += 1
            assert kept[-1][0] == us
            shown = dict(ReedMeter(PIN, lambda us: None, second=SECOND, state=kept[-1]).levels())  # type: ignore[arg-type]
            assert shown == dict(meter.levels())
    assert (edges, len(kept)) == (5 * moves, moves + 1)
    assert moves == 80


def test_bounces_of_a_contact_end_when_it_moves_on() -> None:
    """Water hammer: the magnet is back before the contact has settled; then it settles as the magnet is."""
    profile = [(3_600_000, 300_100), *[(-3_600_000, 200), (3_600_000, 200)] * 200, (-3_600_000, 200_000)]
    pipe = Pipe([*profile, (0, SETTLED_US)])
    meter = ReedMeter(PIN, pipe.flow, second=SECOND)
    dial = Dial()
    for rate, duration in profile:
        dial.go(rate * duration)
    settle(meter, pipe.end)
    assert meter.levels() == dial.levels()
    assert (meter.forward, meter.backward) == (dial.forward, dial.backward) == (1, 0)
