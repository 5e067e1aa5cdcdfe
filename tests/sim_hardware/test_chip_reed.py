"""A water meter's reed: one closure for each volume that ran through, whatever the flow; bounces that end soon."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_hardware.chips.reed import ReedMeter

PIN = 27
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
