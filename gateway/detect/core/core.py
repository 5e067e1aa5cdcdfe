"""The generic detector: one step for all series at once."""

import dataclasses
from collections.abc import Mapping
from typing import Self

import numpy as np
from numpy.typing import NDArray

from gateway.detect.core import begin, level, pattern, season, telling
from gateway.detect.core.ranks import halve, rarity, take_back
from gateway.detect.core.state import EVIDENCES, FIRST, State, Tables
from gateway.detect.core.verdict import Verdict
from gateway.detect.memory import Floats, Ints, Rows

SURE = np.float32(20)
"""Readings before which a pattern is no evidence."""
STRONGEST = np.float32(2.0**12)
"""The evidence's last octave."""


class Core:
    """Judges readings of many series, each by its own past alone."""

    def __init__(self, series: int = 0) -> None:
        self.state = State.blank(series)
        self.tables = Tables.blank(series)
        self._all = np.arange(series)

    def __len__(self) -> int:
        return len(self.state)

    def grow(self, series: int) -> None:
        """Have room for so many, at least."""
        self.state.grow(series)
        self.tables.grow(series)
        self._all = np.arange(len(self.state))

    @staticmethod
    def bytes_per_series() -> int:
        return State.bytes_per_series() + Tables.bytes_per_series()

    def save(self) -> dict[str, bytes]:
        return self.state.save() | self.tables.save()

    @classmethod
    def load(cls, saved: Mapping[str, bytes]) -> Self:
        """From what `save` gave. Raises KeyError or ValueError for what another layout has saved."""
        core = cls()
        core.state, core.tables = State.load(saved), Tables.load(saved)
        if len(core.state) != len(core.tables):
            raise ValueError("the columns of the core are of different lengths")
        core._all = np.arange(len(core.state))
        return core

    def step(self, rows: Rows, time: Ints, value: Floats) -> Verdict:
        """Take one reading of each of the series `rows` (each at most once).

        time: Unix s; a reading that is not newer than the series' newest is passed over.
        value: any unit; NaN and infinite say nothing and change nothing.
        """
        index = self._all[rows]
        lasted = time - self.state.newest[rows]
        live = np.isfinite(value)
        live &= lasted > 0
        few = self.state.age[rows] < FIRST
        few &= live
        if few.any():
            begin.collect(self.state, self.tables, index[few], time[few], value[few])
            live &= ~few
        if len(index) and live.all():
            return self._judge(rows, index, time, lasted, value)
        verdict = Verdict.blank(len(index))
        if len(some := np.flatnonzero(live)):
            part = self._judge(index[some], index[some], time[some], lasted[some], value[some])
            for each in dataclasses.fields(Verdict):
                getattr(verdict, each.name)[some] = getattr(part, each.name)
        return verdict

    def _judge(self, rows: Rows, index: NDArray[np.intp], time: Ints, lasted: Ints, value: Floats) -> Verdict:
        state, tables = self.state.take(rows), self.tables
        halve(state, tables, index)
        with np.errstate(over="ignore"):
            from_origin = value - state.origin
        np.clip(from_origin, -level.RANGE, level.RANGE, out=from_origin)
        scaled = from_origin.astype(np.float32)
        if lasted.max() > level.GAP_S:
            gap = lasted > level.GAP_S
            state.last[gap] = scaled[gap]
        state.newest[...] = time
        floor, unit = level.scale(state)
        away = scaled - state.level
        day = season.part_of_day(time)
        usual, spread, seasonal, sure = season.learn(state, tables, index, day, scaled, away, unit)
        novel = pattern.novelty(state, tables, index, day, floor, unit, away)
        floor += spread
        seasonal /= floor
        np.minimum(seasonal, STRONGEST, out=seasonal)
        if sure is not None:
            seasonal *= sure
            np.copyto(usual, state.level, where=~sure)
            np.copyto(spread, state.spread, where=~sure)
        if state.seen.min() <= SURE:
            novel[state.seen <= SURE] = 0
        parts = rarity(state, tables, index, away / unit, unit, seasonal, novel)
        anew = level.learn(state, away, unit)
        if len(anew):
            take_back(tables, index[anew])
        state.seen += 1
        decades = parts.sum(0)
        decades *= np.float32(1 / EVIDENCES)
        told, amount, alarm = telling.tell(state, tables, index, decades)
        verdict = Verdict.nothing(usual + state.origin, spread.astype(np.float64))
        verdict.score[told] = amount / (1 + amount)
        verdict.alarm[told] = alarm
        verdict.evidence[told] = np.where(amount > 0, parts[:, told].argmax(0) + 1, 0)
        self.state.put(rows, state)
        return verdict
