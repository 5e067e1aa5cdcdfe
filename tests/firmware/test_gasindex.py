"""The gas index against what it promises: typical air is its base, more gas is more, events pass, 24 bits do."""

import copy
import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.firmware.importer import load
from tests.micropython import run

pytestmark = pytest.mark.soak

driver = load("drivers.gasindex")

HOUR = 3600
DAY = 24 * HOUR
CLEAN = {"VOC": 30_000, "NOX": 15_000}
BASE = {"VOC": 100, "NOX": 1}
MORE_GAS = {"VOC": -1, "NOX": 1}
"""The direction of the ticks."""
SILENCE = {"VOC": 45, "NOX": 300}

kinds = pytest.mark.parametrize("kind", ["VOC", "NOX"])


def index_of(kind: str) -> Any:
    return driver.GasIndex(getattr(driver, kind))


def street(level: int, seconds: int, seed: int = 1) -> Iterator[int]:
    """Ticks of still air: the pixel's own noise and nothing else."""
    noise = Random(seed)
    return (level + noise.randint(-15, 15) for _ in range(seconds))


def fed(index: Any, ticks: Iterator[int] | Sequence[int]) -> list[Any]:
    return [index.add(raw) for raw in ticks]


@kinds
def test_absent_while_the_chip_is_cold(kind: str) -> None:
    """45 s for VOC, 300 s for NOx, after every start of the chip; what was learnt of the place is kept."""
    index = index_of(kind)
    for _ in range(2):
        found = fed(index, street(CLEAN[kind], 2 * HOUR))
        assert found[: SILENCE[kind]] == [None] * SILENCE[kind]
        assert None not in found[SILENCE[kind] :]
        index.restart()
    # A station that was off for a moment while something burns: it is the burning that is unusual, not the normal air.
    found = fed(index, street(CLEAN[kind] + MORE_GAS[kind] * 3_000, 2 * SILENCE[kind]))
    assert found[SILENCE[kind]] > 4 * BASE[kind]


@kinds
@given(level=st.integers(5_000, 60_000))
def test_typical_air_is_the_base(kind: str, level: int) -> None:
    """Whatever the ticks of this very chip are."""
    found = fed(index_of(kind), [level] * 400)[-1]
    assert found == pytest.approx(BASE[kind])


def test_a_typical_day_is_around_100() -> None:
    """Ticks that rise and fall with the hour, and noise on them: the mean of the third day, and its range."""
    noise = Random(1)
    ticks = [int(30_000 + 300 * math.sin(2 * math.pi * t / DAY) + noise.gauss(0, 15)) for t in range(3 * DAY)]
    third = fed(index_of("VOC"), ticks)[2 * DAY :]
    assert sum(third) / DAY == pytest.approx(100, abs=20)
    assert min(third) < 80
    assert max(third) > 130


@kinds
def test_an_event_raises_it_at_once_and_passes(kind: str) -> None:
    """Ten minutes of gas: seen within two minutes, gone within half an hour, and the normal is where it was."""
    index = index_of(kind)
    clean, gas = CLEAN[kind], CLEAN[kind] + MORE_GAS[kind] * 4_000
    before = fed(index, street(clean, 12 * HOUR))[-1]
    event = fed(index, street(gas, 600))
    after = fed(index, street(clean, HOUR))
    assert before == pytest.approx(BASE[kind], rel=0.05)
    assert event[120] > 3 * BASE[kind]
    assert event[-1] >= event[120] * 0.95
    assert after[HOUR // 2] == pytest.approx(BASE[kind], rel=0.15, abs=1)


def test_a_long_event_does_not_become_normal_but_a_new_normal_does() -> None:
    """For three hours nothing is learnt from air that is far off; after some days it is the normal."""
    index = index_of("VOC")
    fed(index, street(30_000, DAY))
    found = fed(index, street(28_500, 3 * DAY, seed=2))
    assert min(found[300 : 3 * HOUR]) > 400
    assert found[-1] == pytest.approx(100, abs=5)
    assert all(later < earlier for earlier, later in pairwise(found[4 * HOUR :: 6 * HOUR]))


@kinds
def test_clean_air_after_a_start_in_gas_is_learnt_fast(kind: str) -> None:
    """A station may be switched on beside the road works."""
    index = index_of(kind)
    fed(index, street(CLEAN[kind] + MORE_GAS[kind] * 3_000, 600))
    assert fed(index, street(CLEAN[kind], 3 * HOUR))[-1] == pytest.approx(BASE[kind], rel=0.25)


@kinds
@given(
    history=st.lists(st.integers(1, 64_999), min_size=1, max_size=20),
    raws=st.tuples(st.integers(1, 64_999), st.integers(1, 64_999)).map(sorted),
)
def test_more_gas_is_never_less(kind: str, history: list[int], raws: list[int]) -> None:
    """From the same state, whatever has made it."""
    index = index_of(kind)
    for raw in history:
        fed(index, [raw] * 60)
    low, high = (fed(copy.deepcopy(index), [raw] * 360)[-1] for raw in raws)
    assert (low >= high) if kind == "VOC" else (low <= high)


@kinds
@given(st.lists(st.tuples(st.integers(0, 65_535), st.integers(1, 400)), max_size=12))
def test_it_is_always_an_index(kind: str, blocks: list[tuple[int, int]]) -> None:
    """From 1 to 500 for any ticks at all: no overflow, nothing below, nothing that is not a number."""
    index = index_of(kind)
    for raw, times in blocks:
        assert all(found is None or 1 <= found <= 500 for found in fed(index, [raw] * times))


def _single(function: Any) -> Any:
    """As the board computes it: argument and result have 24 bits."""
    return lambda value: np.float32(function(np.float32(value)))


@pytest.mark.soak
@kinds
def test_24_bits_are_enough_for_days(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three days of seconds in float32 beside float64: the same index, the same normal; a plain mean would stand."""
    exact = index_of(kind)
    monkeypatch.setattr(driver, "exp", _single(np.exp))
    monkeypatch.setattr(driver, "sqrt", _single(np.sqrt))
    single = index_of(kind)
    single._bend = np.float32(single._bend)
    single._rest, single._variance = np.float32(0), np.float32(single._variance)
    noise = Random(7)
    worst = 0.0
    for t in range(3 * DAY):
        raw = int(CLEAN[kind] + 200 * math.sin(2 * math.pi * t / DAY) + t / 5_000 + noise.gauss(0, 8))
        if t % 30_000 < 900:
            raw += MORE_GAS[kind] * 1_500
        with monkeypatch.context() as doubles:
            doubles.setattr(driver, "exp", math.exp)
            doubles.setattr(driver, "sqrt", math.sqrt)
            wanted = exact.add(raw)
        found = single.add(raw)
        assert (wanted is None) == (found is None)
        if wanted is not None:
            worst = max(worst, abs(float(found) - wanted))
    state = [single._rest, single._variance, single._index, single._fast, single._slow]
    assert {type(each) for each in state} == {np.float32}, "it was computed with more bits than the board has"
    assert worst < 0.5
    assert single._base + single._rest == pytest.approx(exact._base + exact._rest, abs=0.2)
    assert math.sqrt(single._variance) == pytest.approx(math.sqrt(exact._variance), rel=0.005)


@kinds
def test_the_same_on_micropython(kind: str, tmp_path: Path) -> None:
    """Value for value, from a sequence that is made there and here."""
    program = """
from drivers import gasindex
index = gasindex.GasIndex(gasindex.KIND)
raw = 30000
for t in range(3000):
    raw = (raw * 1103 + 12345 * t) % 9973 + 20000
    found = index.add(raw)
    if t % 100 == 99:
        print(found)
"""
    raw, wanted = 30_000, []
    index = index_of(kind)
    for t in range(3000):
        raw = (raw * 1103 + 12345 * t) % 9973 + 20_000
        wanted.append(index.add(raw))
    printed = run(program.replace("KIND", kind), tmp_path, board=False)
    for line, value in zip(printed, wanted[99::100], strict=True):
        assert (line == "None") if value is None else float(line) == pytest.approx(value, rel=1e-9)
