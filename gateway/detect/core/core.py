"""The generic detector: one step for all series at once."""

import dataclasses
from collections.abc import Mapping
from typing import Self

import numpy as np
from numpy.typing import NDArray

from gateway.detect.core import level, pattern, season, telling
from gateway.detect.core.ranks import halve, rarity, take_back
from gateway.detect.core.state import RANKED, State, Tables
from gateway.detect.core.verdict import CHANGE, LEVEL, RARITY, SEASON, SPREAD, Codes, Verdict
from gateway.detect.memory import Floats, Floats32, Ints, Rows

RANGE = 1e30
"""Units, beyond which a value is taken for it: float32 ends at 3e38."""
SURE = np.float32(20)
"""Readings before which a pattern is no evidence."""
STRONGEST = np.float32(2.0**12)
"""The evidence's last octave."""
SUDDEN = np.float32(3)
"""A change of more than so many times the mean one: half of that mean is itself."""


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
        live = np.isfinite(value)
        live &= time > self.state.newest[rows]
        if live.all():
            return self._judge(rows, index, time, value)
        verdict = Verdict.blank(len(index))
        some = np.flatnonzero(live)
        if len(some):
            part = self._judge(index[some], index[some], time[some], value[some])
            for each in dataclasses.fields(Verdict):
                getattr(verdict, each.name)[some] = getattr(part, each.name)
        return verdict

    def _judge(self, rows: Rows, index: NDArray[np.intp], time: Ints, value: Floats) -> Verdict:
        state, tables = self.state.take(rows), self.tables
        halve(state, tables, index)
        scaled = _scaled(state, time, value)
        change = pattern.follow(state, scaled)
        floor = level.scale(state)
        away = scaled - state.level
        evidence = np.empty((len(index), RANKED), np.float32)
        deviation = np.abs(away)
        deviation /= state.spread + floor
        deviation *= state.age > level.YOUNG
        evidence[:, 0] = deviation
        where = season.place(time, index)
        usual, size, known = season.learn(state, tables, where, scaled)
        known_well = known & (state.season_seen > season.SURE)
        np.divide(size, state.season_spread + floor, out=deviation)
        deviation *= known_well
        evidence[:, 1] = deviation
        novel = pattern.novelty(state, tables, index, floor, away, change)
        novel *= state.seen > SURE
        evidence[:, 2] = novel
        np.minimum(evidence, STRONGEST, out=evidence)
        parts = rarity(state, tables, index, evidence)
        expected, spread = state.level.copy(), state.spread.copy()
        np.copyto(expected, usual, where=known_well)
        np.copyto(spread, state.season_spread, where=known_well)
        season.widen(state, size, known)
        anew = level.learn(state, scaled, away)
        if len(anew):
            season.forget(state, tables, index, anew)
            take_back(tables, index[anew])
        state.seen += 1
        state.last[...] = scaled
        decades: Floats32 = parts[:, 0] + parts[:, 1]
        decades += parts[:, 2]
        decades *= np.float32(1 / RANKED)
        told, amount, alarm = telling.tell(state, decades)
        verdict = Verdict.blank(len(index))
        verdict.score[told] = amount / (1 + amount)
        verdict.alarm[told] = alarm
        verdict.evidence[told] = _why(parts[told], change[told], state.stir[told], amount)
        np.multiply(expected, state.unit, out=verdict.expected)
        verdict.expected[...] += state.origin
        np.multiply(spread, state.unit, out=verdict.spread)
        self.state.put(rows, state)
        return verdict


def _scaled(state: State, time: Ints, value: Floats) -> Floats32:
    """The value in the series' own unit; and what a first reading and a long gap change."""
    if (new := state.seen == 0).any():
        state.origin[new] = value[new]
        state.newest[new] = time[new]
    with np.errstate(over="ignore"):
        from_origin = value - state.origin
    if (flat := state.unit == 0).any():
        state.unit[flat] = np.abs(np.clip(from_origin[flat], -1e300, 1e300))
        from_origin[flat] = np.sign(from_origin[flat]) * state.unit[flat]
        unit = np.where(state.unit > 0, state.unit, 1.0)
    else:
        unit = state.unit
    with np.errstate(over="ignore"):
        from_origin /= unit
    np.clip(from_origin, -RANGE, RANGE, out=from_origin)
    scaled = from_origin.astype(np.float32)
    gap = (time - state.newest) > level.GAP_S
    if gap.any():
        state.last[gap] = state.short[gap] = state.middle[gap] = scaled[gap]
    state.newest[...] = time
    return scaled


def _why(parts: Floats32, change: Floats32, stir: Floats32, amount: Floats32) -> Codes:
    strongest = parts.argmax(1)
    shape = np.where(np.abs(change) > SUDDEN * stir, CHANGE, np.where(stir > np.abs(change) * 2, SPREAD, RARITY))
    why = np.where(strongest == 0, LEVEL, np.where(strongest == 1, SEASON, shape))
    return np.where(amount > 0, why, 0).astype(np.int8)
