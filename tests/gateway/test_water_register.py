"""Registers of water meters: litres of windows, whatever the register does."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.detect.water.register import FLOW, REGISTER, UNKNOWN, Drawn, Kinds, Registers

HOUR = 3600
ONE = slice(None)


def read(values: list[float], times: list[int] | None = None) -> list[Drawn]:
    registers = Registers()
    registers.grow(1)
    times = times or [HOUR * (k + 1) for k in range(len(values))]
    return [registers.step(ONE, np.array([t]), np.array([v])) for t, v in zip(times, values, strict=True)]


def litres(drawn: list[Drawn]) -> list[float]:
    return [float(each.litres[0]) for each in drawn]


def test_litres_are_what_the_register_grew_by() -> None:
    drawn = read([100, 100, 103, 110], [0, 3600, 7100, 25000])
    assert litres(drawn)[1:] == [0, 3, 7]
    assert np.isnan(drawn[0].litres[0])
    assert [float(each.seconds[0]) for each in drawn] == [0, 3600, 3500, 17900]


def test_repeats_and_older_readings_are_passed_over() -> None:
    drawn = read([100, 105, 105, 101, np.nan, 107], [0, 3600, 3600, 1800, 7200, 7200])
    assert [bool(np.isnan(each.litres[0])) for each in drawn] == [True, False, True, True, True, False]
    assert litres(drawn)[-1] == 2
    assert not any(each.rollback[0] for each in drawn)


def test_a_reading_gone_wrong_is_a_rollback_and_no_flood() -> None:
    drawn = read([50_000, 50_010, 37_722, 50_023, 50_030])
    assert [bool(each.rollback[0]) for each in drawn] == [False, False, True, False, False]
    assert drawn[2].lost[0] == 12_288
    assert np.isnan(drawn[2].litres[0])
    assert litres(drawn)[3:] == [13, 7]
    assert not any(each.swapped[0] for each in drawn)


def test_a_new_meter_that_begins_at_nothing_is_told_once_after_a_day() -> None:
    drawn = read([50_000, 50_010, 3] + [3 + k for k in range(1, 50)])
    assert sum(bool(each.rollback[0]) for each in drawn) == 1
    swaps = [k for k, each in enumerate(drawn) if each.swapped[0]]
    assert swaps == [2 + 25]
    assert litres(drawn)[3:] == [1.0] * 49


def test_a_new_meter_of_a_greater_register_is_told_at_once() -> None:
    drawn = read([500, 510, 900_000, 900_004])
    assert [bool(each.swapped[0]) for each in drawn] == [False, False, True, False]
    assert np.isnan(drawn[2].litres[0])
    assert litres(drawn)[3] == 4


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(-HOUR, 5 * HOUR), st.floats(-50, 400) | st.just(np.nan)), max_size=60))
def test_litres_are_never_negative_and_those_of_a_register_that_grows_add_up(steps: list[tuple[int, float]]) -> None:
    times = list(np.cumsum([0] + [step for step, _ in steps]))
    values = list(10_000 + np.nancumsum([0.0] + [rise for _, rise in steps]))
    drawn = read(values, [int(t) for t in times])
    found = np.array(litres(drawn))
    assert not (found < 0).any()
    assert (np.array([each.seconds[0] for each in drawn]) >= 0).all()
    if all(step > 0 and not rise < 0 for step, rise in steps):
        assert np.nansum(found) == pytest.approx(values[-1] - values[0])


def kinds(values: np.ndarray) -> np.ndarray:
    judge = Kinds()
    judge.grow(1)
    return np.array([judge.step(ONE, np.array([value]))[0] for value in values])


def test_a_register_is_told_from_a_flow_by_its_falls() -> None:
    random = np.random.default_rng(0)
    flow = np.where(random.random(3000) < 0.5, random.gamma(1, 20, 3000), 0).round()
    register = 30_000 + flow.cumsum()
    register[random.random(3000) < 0.015] -= 6
    found = kinds(register)
    assert (found[:5] == UNKNOWN).all()
    assert (found[100:] == REGISTER).all()
    assert (kinds(flow)[50:] == FLOW).all()
    assert (kinds(np.zeros(50)) == UNKNOWN).all()
