"""Flow and means: what a window's pulses and samples come to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.firmware.importer import load, ticks_add

Flow = load("sensors.water").Flow
Mean = load("sensors.mean").Mean

WRAP = 1 << 30
MINUTE = 60_000


@pytest.mark.parametrize(
    ("litres", "pulses_at", "expected"),
    [
        (1, [], (0, 0.0, 0.0)),
        (1, [10_000, 20_000, 30_000, 40_000, 50_000, 60_000], (6, 360.0, 360.0)),
        (10, [10_000, 20_000, 30_000, 40_000, 50_000, 60_000], (6, 3600.0, 3600.0)),
        (1, [5_000, 10_000, 15_000], (3, 180.0, 80.0)),
        (1, [30_000], (1, 60.0, 60.0)),
        (100, [59_999], (1, 6000.0, 6000.0)),
    ],
    ids=["dry", "steady", "ten litres a pulse", "stopped", "one", "at the end"],
)
def test_a_first_window(litres: int, pulses_at: list[int], expected: tuple[int, float, float]) -> None:
    """(pulses, mean, least): the least is over the longest wait, which may still go on at the end."""
    flow = Flow(litres, 0)
    for at in pulses_at:
        flow.pulse(at)
    assert flow.close(MINUTE, MINUTE) == expected


@pytest.mark.parametrize("start", [0, WRAP - 90_000])
def test_a_slow_leak_is_least_flow_over_many_windows(start: int) -> None:
    """One pulse each ten minutes: the mean jumps between 0 and 60 l/h, the least is never above the 6 l/h that run."""
    flow = Flow(1, start)
    for minute in range(1, 61):
        if minute % 10 == 0:
            flow.pulse(ticks_add(start, minute * MINUTE - 1000))
        pulses, mean, least = flow.close(MINUTE, ticks_add(start, minute * MINUTE))
        assert (pulses, mean) == ((1, 60.0) if minute % 10 == 0 else (0, 0.0))
        assert least == 0.0 if not pulses else 5.9 < least < 6.2


def test_a_long_wait_is_of_its_own_window() -> None:
    """One slow minute does not hold the least flow of all that follow."""
    flow = Flow(1, 0)
    assert flow.close(MINUTE, MINUTE) == (0, 0.0, 0.0)
    found = []
    for window in (1, 2):
        for at in range(5_000, MINUTE + 1, 5_000):
            flow.pulse(window * MINUTE + at)
        found.append(flow.close(MINUTE, (window + 1) * MINUTE))
    assert found == [(12, 720.0, 55.4), (12, 720.0, 720.0)], "the first wait of the first lasted 65 s"


@pytest.mark.parametrize("days", [2, 7, 13, 40])
def test_a_holiday_is_longer_than_ticks_can_tell(days: int) -> None:
    """`wait` keeps the time since the last pulse at a day: the flow after it is that of one pulse a day."""
    flow = Flow(1, 0)
    flow.pulse(1000)
    now = 0
    for _ in range(days * 24):
        now = ticks_add(now, 3_600_000)
        flow.wait(now)
        flow.close(3_600_000, now)
    flow.pulse(now)
    assert flow.close(MINUTE, now)[2] == pytest.approx(1 / 24, abs=0.06)


@given(
    st.lists(st.lists(st.integers(0, MINUTE - 1), max_size=30).map(sorted), min_size=1, max_size=5),
    st.sampled_from([0, WRAP - 100_000]),
)
def test_no_pulse_is_lost_or_counted_twice_between_windows(windows: list[list[int]], start: int) -> None:
    """Each window has its own; the least flow is never above the mean, and neither is below zero."""
    flow = Flow(1, start)
    for i, pulses_at in enumerate(windows):
        for at in pulses_at:
            flow.pulse(ticks_add(start, i * MINUTE + at))
        pulses, mean, least = flow.close(MINUTE, ticks_add(start, (i + 1) * MINUTE))
        assert pulses == len(pulses_at)
        assert mean == pulses * 60
        assert 0 <= least <= mean


def test_a_mean_is_of_what_came_since_the_last() -> None:
    """Rounded as asked; None when nothing came, never 0."""
    mean = Mean()
    assert mean.take(1) is None
    for value in (1, 2, 2):
        mean.add(value)
    assert mean.take(2) == 1.67
    assert mean.take(2) is None
    mean.add(-0.25)
    assert mean.take(3) == -0.25
