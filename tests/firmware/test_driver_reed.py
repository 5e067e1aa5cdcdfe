"""Reed contacts: every turn of the meter is one pulse, whatever contacts and interrupts do; two tell the way."""

import time
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_hardware.chips.reed import ReedMeter
from tests.firmware.board import fast
from tests.firmware.importer import load, ticks_add
from tests.micropython import run

driver = load("drivers.reed")

WRAP = 1 << 30
YESTERDAY = int(time.time()) - 86_400
HOLD = driver.BOUNCE_MS
CLOSED, OPEN = 0, 1
_start = st.sampled_from([0, 12_345, WRAP - 500, WRAP - 40])

Edges = list[tuple[int, int]]
"""(ms since the start, level)."""

Levels = tuple[int, ...]


class Counter:
    """What a meter's contacts told: turns as (1 or -1, ticks of the edge), and all that settled."""

    def __init__(self, levels: Levels, now: int, kept: tuple[int, ...] | None = None) -> None:
        self.meter = driver.Turns(levels, now, kept)
        self.settled: list[tuple[int, int]] = []

    def see(self, levels: Levels, now: int) -> None:
        self.meter.feed(levels, now, lambda turn, at: self.settled.append((turn, at)))

    @property
    def turns(self) -> list[tuple[int, int]]:
        return [each for each in self.settled if each[0]]

    def total(self, way: int = 1) -> int:
        return sum(1 for turn, _ in self.settled if turn == way)


def count(edges: Edges, start: int = 0, until: int | None = None, level: int = OPEN) -> int:
    """Pulses of one contact's edges; it is looked at once more at `until`."""
    counter = Counter((level,), start)
    level = edges[-1][1] if edges else level
    for at, each in [*edges, (edges[-1][0] + 1000 if until is None else until, level)]:
        counter.see((each,), ticks_add(start, at))
    return counter.total()


@pytest.mark.parametrize("start", [0, WRAP - 1, WRAP - 20, WRAP - 45, WRAP - 420])
@pytest.mark.parametrize(
    ("expected", "edges"),
    [
        (1, [(10, CLOSED), (400, OPEN)]),
        (
            1,
            [(10, CLOSED), (11, OPEN), (12, CLOSED), (15, OPEN), (16, CLOSED), (400, OPEN), (401, CLOSED), (403, OPEN)],
        ),
        (0, [(10, CLOSED), (10 + HOLD - 1, OPEN)]),
        (1, [(10, CLOSED), (10 + HOLD, OPEN)]),
        (0, [(10, CLOSED), (15, OPEN), (25, CLOSED), (50, OPEN), (60, CLOSED), (85, OPEN)]),
        (1, [(10, CLOSED), (200, OPEN), (205, CLOSED), (400, OPEN)]),
        (2, [(10, CLOSED), (200, OPEN), (240, CLOSED), (400, OPEN)]),
        (1, [(10, CLOSED)]),
        (1, [(10, CLOSED), (400, CLOSED), (700, OPEN), (900, OPEN)]),
    ],
    ids=["clean", "bounces", "spike", "just long enough", "spikes", "spike open", "two", "closed", "late"],
)
def test_a_level_counts_once_it_was_held(start: int, expected: int, edges: Edges) -> None:
    """Also while the ticks wrap."""
    assert count(edges, start) == expected


def test_a_contact_that_is_closed_at_the_start_is_no_pulse() -> None:
    """It was counted before the reset, or never will be; its opening is none either."""
    assert count([(100, OPEN)], level=CLOSED) == 0
    assert count([(100, OPEN), (300, CLOSED)], level=CLOSED) == 1


def test_a_pulse_has_the_time_of_its_closing() -> None:
    """Of the last bounce, not of when it was believed."""
    counter = Counter((OPEN,), 7)
    for at, level in ((100, CLOSED), (103, OPEN), (104, CLOSED), (900, CLOSED)):
        counter.see((level,), at)
    assert counter.settled == [(1, 104)]


@st.composite
def _turns(draw: st.DrawFn, longest_bounce: int) -> tuple[int, Edges]:
    """Turns of a meter whose contact bounces, and their edges."""
    turns = draw(st.integers(0, 12))
    edges: Edges = []
    at = draw(st.integers(0, 5000))
    for level in (CLOSED, OPEN) * turns:
        edges.append((at, level))
        for gap in draw(st.lists(st.integers(0, longest_bounce), max_size=3)):
            for each in (1 - level, level):
                at += gap
                edges.append((at, each))
        at += draw(st.integers(HOLD, 20_000))
    return turns, edges


@given(_turns(HOLD - 1), _start)
def test_every_turn_is_one_pulse(turned: tuple[int, Edges], start: int) -> None:
    """Any bounces shorter than the hold, any pace, over the wrap."""
    turns, edges = turned
    assert count(edges, start, until=500_000) == turns


@given(_turns(4), _start, st.randoms(use_true_random=False))
def test_lost_interrupts_cost_nothing_that_is_seen_in_time(
    turned: tuple[int, Edges], start: int, random: Random
) -> None:
    """A burst overruns the scheduler: of each level only the last edge, or the poll that follows, is told."""
    turns, edges = turned
    kept: Edges = []
    for (at, level), (after, _) in pairwise([*edges, (500_000, OPEN)]):
        if after - at >= HOLD:  # the level that stays
            kept.append((at if random.random() < 0.5 else random.randint(at, after - HOLD), level))
        elif random.random() < 0.3:
            kept.append((at, level))
    assert count(kept, start, until=500_000) == turns


@pytest.mark.parametrize("litres_per_hour", [3, 240, 2_500, 6_000])
@pytest.mark.parametrize("start", [0, WRAP - 60_000])
def test_a_simulated_meter_is_counted_to_the_litre(litres_per_hour: int, start: int) -> None:
    """Its edges as they come, and a poll each second; its own bounces are in them."""
    hours = 2
    end_us = hours * 3_600_000_000
    meter = ReedMeter(27, lambda us: (litres_per_hour * 1000, us + 60_000_000))
    counter = Counter((OPEN,), start)
    poll_us = 0
    while (due := meter.next_us()) is not None and due < end_us:
        while poll_us < due:
            counter.see((meter.levels()[0][1],), ticks_add(start, poll_us // 1000))
            poll_us += 1_000_000
        _, level = meter.fire()
        counter.see((level,), ticks_add(start, due // 1000))
    # At the end it stands still until what bounces has settled.
    for at in (end_us // 1000, end_us // 1000 + HOLD):
        counter.see((meter.levels()[0][1],), ticks_add(start, at))
    assert counter.total() == meter.forward
    assert meter.forward == pytest.approx(litres_per_hour * hours, abs=1)


# two contacts -----------------------------------------------------------------------------------------------------

QUARTERS = ((CLOSED, OPEN), (CLOSED, CLOSED), (OPEN, CLOSED), (OPEN, OPEN))
"""(first, second) in the order in which a meter that turns forwards shows them."""


class Model:
    """A dial with a mark: it counts a mark that is passed unless it is the one that was passed last."""

    def __init__(self, quarter: int) -> None:
        self.quarter = quarter
        self.last = 0
        self.forward = self.reverse = 0

    def go(self, step: int) -> None:
        before, self.quarter = self.quarter, self.quarter + step
        mark = max(before, self.quarter)
        if mark % 4 == 0 and mark // 4 != self.last:
            self.last = mark // 4
            self.forward += step > 0
            self.reverse += step < 0


def walk(
    steps: list[int], quarter: int = 3, random: Random | None = None, start: int = 0, rest: int = 100
) -> tuple[Counter, Model]:
    """A meter that goes through these quarters; with `random` its contacts bounce, and its board is reset at times."""
    model, now = Model(quarter), start
    counter = Counter(QUARTERS[quarter], now)

    def see(levels: Levels, later: int) -> None:
        nonlocal now
        now = ticks_add(now, later)
        counter.see(levels, now)

    for step in steps:
        before = QUARTERS[model.quarter % 4]
        model.go(step)
        after = QUARTERS[model.quarter % 4]
        if random:
            for _ in range(random.randint(0, 3)):
                see(after, random.randint(0, HOLD - 1))
                see(before, random.randint(0, HOLD - 1))
            if random.random() < 0.3:  # a reset: what has not settled is forgotten, and comes again
                settled = counter.settled
                counter = Counter(random.choice((before, after)), now, counter.meter.state())
                counter.settled = settled
        see(after, HOLD)
        see(after, rest)
    see(QUARTERS[model.quarter % 4], HOLD)
    return counter, model


@pytest.mark.parametrize("quarter", range(4))
def test_each_whole_turn_counts_its_own_way(quarter: int) -> None:
    """From wherever it stood: three forwards, and as many back; turning round costs the mark that was passed last."""
    counter, _ = walk([1] * 12, quarter)
    assert (counter.total(1), counter.total(-1)) == (3, 0)
    counter, _ = walk([1] * 12 + [-1] * 12, quarter)
    assert (counter.total(1), counter.total(-1)) == (3, 2)
    counter, _ = walk([1] * 12 + [-1] * 12 + [1] * 12, quarter)
    assert (counter.total(1), counter.total(-1)) == (5, 2)


@pytest.mark.parametrize("quarter", range(4))
@pytest.mark.parametrize("first", [1, -1])
def test_shaking_over_one_edge_never_counts(quarter: int, first: int) -> None:
    """A hundred times; nor does it hide the turns before and after."""
    shaken, _ = walk([1] * (4 - quarter) + [first, -first] * 100 + [1] * 4, quarter)
    calm, _ = walk([1] * (4 - quarter) + [1] * 4, quarter)
    assert (shaken.total(1), shaken.total(-1)) == (calm.total(1), 0) == (2, 0)


_steps = st.lists(st.tuples(st.sampled_from([1, -1]), st.integers(1, 9)), max_size=12).map(
    lambda runs: [way for way, length in runs for _ in range(length)]
)


@given(_steps, st.integers(0, 3), st.randoms(use_true_random=False), _start)
def test_turns_are_those_of_the_dial(steps: list[int], quarter: int, random: Random, start: int) -> None:
    """Against the model: any walk, with bounces, over the wrap of the ticks and over resets at any moment."""
    counter, model = walk(steps, quarter, random, start)
    assert (counter.total(1), counter.total(-1)) == (model.forward, model.reverse)
    # All together, they never differ from where it stands by more than the turn that has begun.
    net = counter.total(1) - counter.total(-1)
    assert -1 <= (model.quarter // 4) - net <= 0


def test_the_time_of_the_edges_tells_which_came_first() -> None:
    """Both contacts settle at one look, but were seen to change one after the other."""
    counter = Counter(QUARTERS[3], 0)
    counter.see(QUARTERS[0], 100)
    counter.see(QUARTERS[1], 110)
    counter.see(QUARTERS[1], 1000)
    assert counter.settled == [(1, 100), (0, 110)]
    counter.see(QUARTERS[0], 2000)
    counter.see(QUARTERS[3], 2010)
    counter.see(QUARTERS[3], 3000)
    assert counter.settled[2:] == [(0, 2000), (0, 2010)], "back over the same mark"


@pytest.mark.parametrize(("way", "expected"), [(1, (6, 0)), (-1, (0, 4))])
def test_two_quarters_at_once_are_taken_to_go_on(way: int, expected: tuple[int, int]) -> None:
    """What came between was missed; the meter had turned this way, and is believed to."""
    counter, model = walk([way] * 17)
    now = 1 << 20
    for _ in range(2):
        model.go(way)
        model.go(way)
        for later in (0, HOLD, 1000):
            now += later
            counter.see(QUARTERS[model.quarter % 4], now)
    assert (counter.total(1), counter.total(-1)) == expected == (model.forward, model.reverse)


def test_a_direction_is_told_after_two_turns() -> None:
    """Not after one, nor when it turns to and fro. It is kept over a reset."""
    counter, _ = walk([1] * 4)
    assert counter.meter.backwards() is None
    counter, _ = walk([1] * 8)
    assert counter.meter.backwards() is False
    counter, _ = walk([1] * 4 + [-1] * 8)
    assert (counter.total(-1), counter.meter.backwards()) == (1, None)
    counter, _ = walk([1] * 4 + [-1] * 12)
    assert (counter.total(-1), counter.meter.backwards()) == (2, True)
    again = Counter(QUARTERS[3], 0, counter.meter.state())
    assert again.meter.backwards() is True


def test_the_driver_counts_a_meter_on_its_pin(tmp_path: Path) -> None:
    """On MicroPython, by interrupts and polls: 600 l/h are 100 pulses in ten minutes, six seconds apart."""
    program = """
from time import sleep_ms, ticks_diff
import world as hardware
from chips.reed import ReedMeter
from drivers.reed import Reed
meter = ReedMeter(27, lambda us: (600_000, us + 60_000_000), start_us=world.now)
hardware.line(27).drive(1)
hardware.attach_pins(meter)
pulses = []
reed = Reed((27,))
reed.start(lambda turn, at: turn and pulses.append(at))
for _ in range(600):
    sleep_ms(1000)
    reed.poll()
print(len(pulses))
print(max(abs(ticks_diff(b, a) - 6000) for a, b in zip(pulses, pulses[1:])))
meter.stuck = True
sleep_ms(60_000)
reed.poll()
print(len(pulses))
"""
    number, apart, stuck = run(fast(tmp_path, YESTERDAY) + program, tmp_path)
    assert number == "100"
    assert int(apart) < 5, "bounces moved a pulse"
    assert int(stuck) in (100, 101)


def test_the_driver_tells_the_way_of_a_meter_with_two_contacts(tmp_path: Path) -> None:
    """On MicroPython: forwards for ten minutes, back for five, forwards again; as the meter itself turned."""
    program = """
from time import sleep_ms
import world as hardware
from chips.reed import ReedMeter
from drivers.reed import Reed
begin = world.now
def flow(us):
    minute = (us - begin) // 60_000_000
    return (-600_000 if 10 <= minute < 15 else 600_000), begin + (minute + 1) * 60_000_000
meter = ReedMeter(27, flow, start_us=begin, second=14)
for pin, level in meter.levels():
    hardware.line(pin).drive(level)
hardware.attach_pins(meter)
found = []
reed = Reed((27, 14))
reed.start(lambda turn, at: found.append(turn))
for minutes in (10, 5, 5):
    for _ in range(60 * minutes):
        sleep_ms(1000)
        reed.poll()
    print(found.count(1), meter.forward, found.count(-1), meter.backward, reed.turns.backwards())
"""
    printed = run(fast(tmp_path, YESTERDAY) + program, tmp_path)
    assert printed == ["100 100 0 0 False", "100 100 49 49 True", "149 149 49 49 False"]


def test_an_interrupt_in_the_middle_of_a_poll_counts_nothing_twice(tmp_path: Path) -> None:
    """Soft interrupts run between any two steps of the program: here one comes within each look at the pin."""
    program = """
import micropython
from time import sleep_ms
import world as hardware
from drivers.reed import Reed
hardware.line(27).drive(1)
pulses = []
reed = Reed((27,))
reed.start(lambda turn, at: pulses.append(turn))
edge = reed._contacts._edge
class Busy:
    level = 1
    def value(self):
        micropython.schedule(edge, self)
        return self.level
pin = Busy()
reed._contacts._pins[0] = pin
for n in range(200):
    pin.level = 1 - pin.level
    for _ in range(3):
        reed.poll()
        sleep_ms(40)
print(pulses.count(1), len(pulses))
"""
    assert run(fast(tmp_path, YESTERDAY) + program, tmp_path) == ["100 200"]


def test_an_edge_in_the_middle_of_a_poll_is_not_missed(tmp_path: Path) -> None:
    """The contact closes just after it was looked at, and opens long before the next poll."""
    program = """
from time import sleep_ms
import world as hardware
from drivers.reed import Reed
line = hardware.line(27)
line.drive(1)
pulses = []
reed = Reed((27,))
reed.start(lambda turn, at: pulses.append(turn))
for _ in range(20):
    reed.poll(lambda: line.drive(0))
    sleep_ms(100)
    line.drive(1)
    sleep_ms(1000)
    reed.poll()
print(pulses.count(1), len(pulses))
"""
    assert run(fast(tmp_path, YESTERDAY) + program, tmp_path) == ["20 40"]


def test_a_poll_does_its_work_once_and_frees_the_contacts(tmp_path: Path) -> None:
    """Whatever interrupts come during it, and also when the work fails."""
    program = """
from time import sleep_ms
import world as hardware
from drivers.reed import Reed
line = hardware.line(27)
line.drive(1)
pulses, done = [], []
reed = Reed((27,))
reed.start(lambda turn, at: pulses.append(turn))
def work():
    done.append(1)
    line.drive(1 - line.level)
    return len(done)
print([reed.poll(work) for _ in range(3)])
try:
    reed.poll(lambda: 1 // 0)
except ZeroDivisionError:
    print("failed")
for level in (1, 0, 1):
    line.drive(level)
    sleep_ms(100)
reed.poll()
print(pulses.count(1))
"""
    printed = run(fast(tmp_path, YESTERDAY) + program, tmp_path)
    assert printed[:2] == ["[1, 2, 3]", "failed"]
    assert printed[2] == "1"
