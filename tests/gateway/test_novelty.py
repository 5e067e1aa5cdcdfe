"""Novelty: what is new in a series stands out, what comes again does not, and nothing depends on how it is fed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.detect.core.novelty import Novelty, NoveltyMemory, step

STEP_S = 300.0


def scores(values: np.ndarray, memory: NoveltyMemory | None = None, first_row: int = 0) -> np.ndarray:
    """Of rows x series."""
    memory = memory or NoveltyMemory.blank(values.shape[1])
    series = values.shape[1]
    return np.array(
        [step(memory, np.full(series, (first_row + i) * STEP_S), row).score for i, row in enumerate(values)]
    )


def daily(rows: int, series: int, seed: int) -> np.ndarray:
    phase = np.arange(rows)[:, None] * STEP_S / 86400 * 2 * np.pi
    return 50 + 20 * np.sin(phase) + np.random.default_rng(seed).normal(size=(rows, series))


def test_it_is_below_one_kib() -> None:
    assert NoveltyMemory.bytes_per_series() <= 1024


def test_a_fault_at_night_outdoes_all_that_was_before() -> None:
    values = daily(3000, 4, 1)
    values[2800:2810, 0] += 15  # within the range of the day, not of this hour
    told = scores(values)
    assert told[2800:2810, 0].max() > told[300:2800].max()


def test_what_comes_again_and_again_is_told_less() -> None:
    values = np.random.default_rng(2).normal(size=(4000, 1))
    values[400::200] += 30
    told = scores(values)
    assert told[400, 0] > 2
    assert told[3000:, 0].max() < told[400, 0] / 2


def test_a_series_is_judged_by_itself() -> None:
    values = daily(600, 5, 3)
    together = scores(values)
    alone = np.concatenate([scores(values[:, [k]]) for k in range(5)], axis=1)
    assert np.array_equal(together, alone)


def test_it_goes_on_from_what_was_saved() -> None:
    values = daily(800, 2, 4)
    memory = NoveltyMemory.blank(2)
    before = scores(values[:500], memory)
    after = scores(values[500:], NoveltyMemory.load(memory.save()), 500)
    assert np.array_equal(np.concatenate((before, after)), scores(values))


def test_gaps_repeats_and_time_going_back_teach_nothing() -> None:
    memory, twin = NoveltyMemory.blank(1), NoveltyMemory.blank(1)
    for i, value in enumerate(daily(300, 1, 5)):
        for each in (memory, twin):
            told = step(each, np.array([i * STEP_S]), value)
        if i % 7 == 0:
            for time, odd in ((i * STEP_S, 1e6), ((i - 3) * STEP_S, 1e6), ((i + 0.5) * STEP_S, np.nan)):
                assert step(memory, np.array([time]), np.array([odd])).score[0] == 0
    assert np.isfinite(told.score).all()
    assert memory.save() == twin.save()


@settings(max_examples=30, derandomize=True, deadline=None)
@given(
    st.lists(st.sampled_from([0.0, 1.0, -1.0, 1e-300, 1e29, -6e29, 1e40, np.nan, np.inf]), min_size=5, max_size=150),
    st.integers(0, 9),
)
def test_any_numbers_give_finite_scores(values: list[float], seed: int) -> None:
    shaken = np.array(values * 3) * np.random.default_rng(seed).uniform(0.5, 1.5, 3 * len(values))
    with np.errstate(all="raise", under="ignore"):
        memory = NoveltyMemory.blank(1)
        for i, value in enumerate(shaken):
            told: Novelty = step(memory, np.array([i * 3600.0]), np.array([value]))
            assert all(
                np.isfinite(each).all() and (each >= 0).all() for each in (told.score, told.value, told.day, told.doing)
            )


@pytest.mark.parametrize("factor", [1e-3, 1.0, 1e6])
def test_the_unit_does_not_matter(factor: float) -> None:
    values = daily(900, 1, 6)
    values[700] += 30
    assert np.argmax(scores(values * factor)[:, 0]) == np.argmax(scores(values)[:, 0]) == 700
