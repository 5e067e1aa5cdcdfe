"""`leak`: water that never pauses, told as soon as this home's own past makes it unlikely to be use.

For each level of flow a sequential test: a leak of the level lets at least so much through in every hour. The hour that
has less refutes it; every hour that has it adds evidence, much at night or when nothing but the leak seems to run
(`habits`), little in the hours in which this home uses water anyway. Told is what goes beyond the evidence that a leak
needs and beyond what ordinary use of this home (its irrigation, its pool) has ever reached.
"""

import dataclasses
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway.detect.memory import Bools, Floats, Floats32, Ints, Memory, Rows, column
from gateway.detect.rule import Remembering
from gateway.detect.water import habits
from gateway.detect.water.cells import HOUR, CellMemory, Cells, fill
from gateway.detect.water.habits import CLASSES, LEVELS, LONG
from gateway.detect.water.home import HIGH_FLOW

N: Final = len(LEVELS)
SLACK: Final = 1.0
"""Litres by which a register of whole litres can tell too little, however long the time."""
NEED: Final = 20.0 - 2.25 * np.log(LEVELS)
"""Nats that tell a leak: the less the more it wastes. Our choice, by false alarms and delays on real homes."""
MARGIN: Final = 2.0
"""How far beyond the most that earlier runs have reached: twice (our choice)."""
MOST: Final = 60.0
"""Nats that tell a leak whatever the past (our choice)."""
CONTINUOUS: Final = 48 * HOUR
"""Flow in every hour for so long is told in any case (Kamstrup tells 24 h, which real homes reach too often), ..."""
BEYOND: Final = 2.0
"""... but in a home that has had such runs that ended by themselves, only beyond them by so much, ..."""
WEEK: Final = 7 * 24 * HOUR
"""... and after a week at the latest (our choice)."""
HALF: Final = 180 * 24 * HOUR
"""Seconds after which what earlier runs have reached counts half: a summer's habits are half known in the next
(our choice)."""
EASED: Final = 0.25
"""The leak is over when the flow falls below this part of what was told, and another one when what was told is below
this part of it (our choice)."""
Floats16 = NDArray[np.float16]
KEEP: Final = 0.5 ** (1 / habits.MEMORY)


@dataclasses.dataclass(slots=True)
class LeakMemory(Memory):
    """Per home."""

    told: Floats32 = column(np.float32)
    """l/h of the leak that was told and is not over, 0 without."""
    score: Floats32 = column(np.float32)
    """Of the newest cell."""
    lacks: Floats32 = column(np.float32, shape=(N,))
    """Litres short of the level's leak: at SLACK it is refuted."""
    held: Bools = column(np.bool_, shape=(N,))
    """The newest cell did not refute the level."""
    nats: Floats32 = column(np.float32, shape=(N,))
    """Evidence of the run."""
    run: Floats32 = column(np.float32, shape=(N,))
    """Seconds that the level has held, in cells of an hour: a day's litres do not tell that it never paused."""
    least: Floats32 = column(np.float32, shape=(N,))
    """l/h: the least cell of the run."""
    most: Floats32 = column(np.float32, shape=(N,))
    """Nats that earlier runs reached, decayed."""
    longest: Floats32 = column(np.float32, shape=(N,))
    """Seconds of the longest earlier run, decayed."""
    # Counts stay below 1 / (1 - KEEP), about 260; half precision tells a quarter of one there, which is enough.
    after: Floats16 = column(np.float16, shape=(CLASSES, N))
    kept: Floats16 = column(np.float16, shape=(CLASSES, N))
    single: Floats16 = column(np.float16, shape=(CLASSES, N))
    cells: Floats16 = column(np.float16, shape=(CLASSES,))
    still: Floats16 = column(np.float16, shape=(CLASSES,))
    """What `habits.evidence` is given, decayed."""


@dataclasses.dataclass(frozen=True, slots=True)
class Verdicts:
    """Of each window [n]. What explains it is there in windows that end a cell, and NaN in others."""

    score: Floats
    """0..1: evidence over what this home needs, as e / (1 + e): 0.5 is where a leak is told."""
    alarm: Bools
    """A leak is told, in this window alone. While it lasts it is told again only when it has grown fourfold."""
    over: Bools
    """The leak that was told is over."""
    lasts: Bools
    """A leak that was told is not over: from the window that tells it to the one before `over`."""
    level: Floats
    """l/h: the leak most spoken for, by the least cell of its run. NaN when no flow has lasted."""
    hours: Floats
    """For which such a flow has not paused, as far as cells of an hour tell."""
    expected: Floats
    """Hours of the longest earlier such run in this home (somewhat less when long ago). 0 without any."""
    nats: Floats
    """Evidence for that leak: it is likelier than this home's use by e to the power of it."""
    need: Floats
    """Nats at which it is told in this home."""


class Leak(Remembering):
    """Leaks of many homes at once; `grow` makes room for them.

    `offset`: seconds to add to times for local time. A home's own hours are learnt anyway, but the typical home, which
    a new one is taken for, is quiet in the nights of its own place.
    """

    def __init__(self, offset: int = 0) -> None:
        self.cells = CellMemory.blank(0)
        self.memory = LeakMemory.blank(0)
        self._offset = offset

    def step(self, rows: Rows, time: Ints, litres: Floats, seconds: Floats) -> Verdicts:
        """Take in one window of each of `rows`: its end (s), litres and length (s), each [n]; see `cells.fill`.

        IndexError for rows that there is no room for.
        """
        n = len(time)
        cells = fill(self.cells, rows, time, litres, seconds)
        nan = np.full(n, np.nan)
        alarm, over = np.zeros(n, np.bool_), np.zeros(n, np.bool_)
        explained = np.full((5, n), np.nan)
        at = cells.at
        if len(at):
            full: Rows = rows if len(at) == n else np.arange(len(self.memory))[rows][at]
            part = self.memory.take(full)
            alarm[at], over[at], explained[:, at] = _judge(part, cells, self._offset)
            self.memory.put(full, part)
        level, hours, expected, nats, need = explained if len(at) else (nan,) * 5
        score = self.memory.score[rows].astype(np.float64)
        return Verdicts(score, alarm, over, self.memory.told[rows] > 0, level, hours, expected, nats, need)


def _judge(home: LeakMemory, cells: Cells, offset: int) -> tuple[Bools, Bools, Floats]:
    """Change `home` by one cell of each. Which are told, which are over; [5, n] level, hours, expected, nats, need."""
    _break(home, cells.broken)
    hours = cells.seconds / HOUR
    rate = cells.litres / hours
    lacks = np.maximum(home.lacks + LEVELS * hours[:, None] - cells.litres[:, None], 0)
    refuted = lacks > SLACK - 1e-3
    home.lacks[:] = np.where(refuted, 0, lacks)
    holds = ~refuted
    only = habits.alone(rate, holds)
    of = habits.class_of(cells.time + offset, cells.seconds)
    need = np.clip(MARGIN * home.most, NEED, MOST)
    _remember(home, refuted, need, cells.seconds)
    home.least[:] = np.where(home.held, np.minimum(home.least, rate[:, None]), rate[:, None])
    home.run[:] = np.where(holds, home.run + np.where(cells.seconds > LONG, 0, cells.seconds)[:, None], 0)
    # What runs faster in the mean of an hour is a burst or somebody's use: whether a leak runs with it, it hides.
    tells = (rate < HIGH_FLOW)[:, None]
    home.nats[:] = np.where(holds, home.nats + np.where(tells, _evidence(home, of, only), 0), 0)

    ratio = home.nats / need
    limit = np.clip(BEYOND * home.longest[:, 0], CONTINUOUS, WEEK)
    ratio[:, 0] = np.maximum(ratio[:, 0], home.run[:, 0] / limit)
    each = np.arange(len(rate))
    best = np.argmax(ratio, axis=1)
    top = ratio[each, best]
    was = home.told > 0
    greater = np.where(home.told[:, None] <= EASED * LEVELS, ratio, 0)
    grown = was & (greater.max(axis=1) >= 1)
    best = np.where(grown, np.argmax(greater, axis=1), best)
    alarm = ~was & (top >= 1) | grown
    level = np.maximum(home.least[each, best], LEVELS[best])
    eased = np.maximum(np.searchsorted(LEVELS, EASED * home.told, "right") - 1, 0)
    over = was & ~grown & refuted[each, eased]
    home.told[:] = np.where(alarm, level, np.where(over, 0, home.told))
    home.nats[over] = home.run[over] = 0  # what still flows below was told with it, and begins anew
    _learn(home, ~was & ~alarm, of, holds, only)
    home.held[:] = holds
    home.score[:] = top / (1 + top)
    level = np.where(holds[each, best], level, np.nan)
    found = (level, home.run[each, best] / HOUR, home.longest[each, best] / HOUR, home.nats[each, best])
    return alarm, over, np.array((*found, need[each, best]))


def _break(home: LeakMemory, broken: Bools) -> None:
    """Runs of which nobody knows whether they went on."""
    for values in (home.lacks, home.nats, home.run, home.held):
        values[broken] = 0


def _remember(home: LeakMemory, refuted: Bools, need: Floats, seconds: Floats) -> None:
    """Runs that end by themselves are ordinary, up to what tells a leak: one alarm doubles what the next needs at most.

    A run that was told may have been a leak that somebody repaired, or a habit: the record alone, never the chances,
    takes note of it.
    """
    keep = (0.5 ** (seconds / HALF))[:, None]
    home.most[:] = np.where(refuted, np.maximum(home.most, np.minimum(home.nats, need)), home.most) * keep
    home.longest[:] = np.where(refuted, np.maximum(home.longest, home.run), home.longest) * keep


def _evidence(home: LeakMemory, of: Ints, only: Bools) -> Floats:
    each = np.arange(len(of))
    after, kept, single = (values[each, of].astype(np.float64) for values in (home.after, home.kept, home.single))
    cells, still = (values[each, of].astype(np.float64) for values in (home.cells, home.still))
    return habits.evidence(after, kept, single, cells, still, of, only)


def _learn(home: LeakMemory, ordinary: Bools, of: Ints, holds: Bools, only: Bools) -> None:
    """Count a cell for the habits of its class, where no leak was told."""
    each = np.flatnonzero(ordinary)
    place = each, of[each]
    before = home.held[each]
    for values, new in ((home.after, before), (home.kept, before & holds[each]), (home.single, before & only[each])):
        old = values[place].astype(np.float64)
        values[place] = np.where(before, old * KEEP + new, old)
    for values, seen in ((home.cells, np.ones(len(each))), (home.still, ~holds[each, 0])):
        values[place] = values[place].astype(np.float64) * KEEP + seen
