"""The reed contact: every turn of the meter is one pulse, whatever the contact and the interrupts do."""

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
HOLD = driver.BOUNCE_MS
CLOSED, OPEN = 0, 1
_start = st.sampled_from([0, 12_345, WRAP - 500, WRAP - 40])

Edges = list[tuple[int, int]]
"""(ms since the start, level)."""


def count(edges: Edges, start: int = 0, until: int | None = None, level: int = OPEN) -> int:
    """Pulses of these edges; the contact is looked at once more at `until`."""
    contact = driver.Debounce(level, start)
    level = edges[-1][1] if edges else level
    for at, each in [*edges, (edges[-1][0] + 1000 if until is None else until, level)]:
        contact.feed(each, ticks_add(start, at))
    return int(contact.pulses)


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
    """Of the last bounce, not of when it was believed; until the first, the time of the start."""
    contact = driver.Debounce(OPEN, 7)
    assert contact.pulse_at == 7
    for at, level in ((100, CLOSED), (103, OPEN), (104, CLOSED), (900, CLOSED)):
        contact.feed(level, at)
    assert contact.pulse_at == 104


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
    contact = driver.Debounce(OPEN, start)
    closures = 0
    settled = OPEN
    poll_us = 0
    while (due := meter.next_us()) is not None and due < end_us:
        while poll_us < due:
            contact.feed(meter.levels()[0][1], ticks_add(start, poll_us // 1000))
            poll_us += 1_000_000
        _, level = meter.fire()
        contact.feed(level, ticks_add(start, due // 1000))
        following = meter.next_us()
        if following is not None and following - due > 10_000 and level != settled:  # its bounces are over
            settled = level
            closures += level == CLOSED
    contact.feed(settled, ticks_add(start, end_us // 1000))
    assert contact.pulses == closures
    assert closures == pytest.approx(litres_per_hour * hours, abs=1)


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
reed = Reed(27, pulses.append)
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
    number, apart, stuck = run(fast(tmp_path, int(time.time()) - 86_400) + program, tmp_path)
    assert number == "100"
    assert int(apart) < 5, "bounces moved a pulse"
    assert int(stuck) in (100, 101)


def test_an_interrupt_in_the_middle_of_a_poll_counts_nothing_twice(tmp_path: Path) -> None:
    """Soft interrupts run between any two steps of the program: here one comes within each look at the pin."""
    program = """
import micropython
from time import sleep_ms
import world as hardware
from drivers.reed import Reed
hardware.line(27).drive(1)
class Busy:
    level = 1
    def value(self):
        micropython.schedule(reed._edge, self)
        return self.level
pulses = []
reed = Reed(27, pulses.append)
reed._pin = pin = Busy()
for n in range(200):
    pin.level = 1 - pin.level
    for _ in range(3):
        reed.poll()
        sleep_ms(40)
print(len(pulses), reed._contact.pulses)
"""
    assert run(program, tmp_path) == ["100 100"]
