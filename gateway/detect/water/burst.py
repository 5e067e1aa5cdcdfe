"""`burst`: more water runs through a home's meter in one draw than any tap explains."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from gateway.detect.memory import Bools, Floats, Ints, Memory, column
from gateway.detect.readings import readings
from gateway.detect.rule import Finding, NodeRule, Windows
from gateway.detect.spells import Patience, Spells, extend, speaks
from gateway.detect.water.home import HIGH_FLOW, Character, Pace, inlets
from gateway.records import Evidence

LARGE_L: Final = 0.6 * HIGH_FLOW
"""Litres in one draw: Kamstrup's 30 minutes at 20 % of Q3 and a fifth more (our choice), whatever the flow above it: 10
minutes at 1800 l/h. A bath is 150 to 200 l; two uses at once seldom come to 250."""
LEAST_S: Final = 600
"""However fast it runs: a pool's hose, a hydrant test, a tank in the loft are over or told of then. Our choice."""
MARGIN: Final = 1.5
"""Times its own largest ordinary draw: our choice."""
LEARNT_L: Final = 2000.0
"""Larger draws teach nothing: no garden takes more, a burst soon does. Our choice."""
_HALF_LIFE_S: Final = 60 * 86_400
"""In which what was learnt counts half: a season."""
PATIENCE: Final = Patience(opens_after=0, closes_after=300, least_windows=1, max_gap=4200)


@dataclass(slots=True)
class Draws(Memory):
    """The draw under way, and the two largest of the past: what happened twice is ordinary."""

    high: Bools = column(np.bool_)
    since: Ints = column(np.int64)
    litres: Floats = column(np.float64)
    largest: Floats = column(np.float64)
    second: Floats = column(np.float64)
    learnt: Ints = column(np.int64)
    """When these two were right; from then on they fade."""

    def bound(self, time: Ints) -> Floats:
        """Litres that a draw must reach."""
        fade: Floats = np.exp2((time - self.learnt) * (-1 / _HALF_LIFE_S))
        bound: Floats = np.maximum(MARGIN * self.second * fade, LARGE_L)
        return bound

    def learn(self, over: Bools, time: Ints) -> None:
        """The draws of these series have ended."""
        fade = np.exp2((time - self.learnt) * (-1 / _HALF_LIFE_S))
        largest, second = self.largest * fade, self.second * fade
        litres = np.where(self.litres <= LEARNT_L, self.litres, 0)
        for old, new in (
            (self.second, np.clip(litres, second, largest)),
            (self.largest, np.maximum(litres, largest)),
            (self.learnt, time),
        ):
            np.copyto(old, new, where=over, casting="same_kind")


class Burst(NodeRule):
    """One series a water meter: `flow`."""

    def __init__(self) -> None:
        self.pace = Pace.blank(0)
        self.character = Character.blank(0)
        self.draws = Draws.blank(0)
        self.spells = Spells.blank(0)

    def feed(self, windows: Windows) -> Sequence[Finding]:
        given = readings(windows, "flow")
        if given is None:
            return []
        rows, time, flow = given.series, given.time, given.value
        pace, character = self.pace.take(rows), self.character.take(rows)
        draws, spells = self.draws.take(rows), self.spells.take(rows)
        lasted, follows = pace.step(time)
        high = flow >= HIGH_FLOW
        goes_on = draws.high & high & follows
        over = draws.high & ~goes_on
        if over.any():
            draws.learn(over, time)
        begins = time - lasted.astype(np.int64)
        draws.since[:] = np.where(goes_on, draws.since, begins)
        draws.litres[:] = np.where(goes_on, draws.litres, 0) + flow * lasted * (1 / 3600)
        draws.high[:] = high
        bound = draws.bound(time)
        # Rounding must not cost a window: 300 l are reached by 36 minutes at 500 l/h.
        large = high & (draws.litres >= bound - 1e-6) & (time - draws.since >= LEAST_S)
        home = character.home(time) & ~inlets(windows.plan, given.node)
        character.step(time, lasted, flow)
        opened, closed = extend(spells, PATIENCE, time, speaks(large & (home | spells.open), ~high))
        self.pace.put(rows, pace)
        self.character.put(rows, character)
        self.draws.put(rows, draws)
        self.spells.put(rows, spells)
        found: list[Finding] = []
        for at in np.flatnonzero(opened | closed).tolist():
            series, when = int(rows[at]), int(time[at])
            if closed[at]:
                found.append(Finding("burst", "close", series, when, "critical"))
                continue
            since, litres, most = int(draws.since[at]), float(draws.litres[at]), float(bound[at])
            text = f"{litres:.0f} l ran in one draw of {(when - since) / 60:.0f} min, never below {HIGH_FLOW:.0f} l/h"
            summary = (
                f"Seen: {text}, now at {flow[at]:.0f} l/h; expected in this home: draws of less than {most:.0f} l."
            )
            evidence = (Evidence("volume of one draw", litres, most, "l", text),)
            found.append(Finding("burst", "open", series, when, "critical", summary, evidence, since=since))
        return found
