"""What a home's meter is like, told by the plan and by its own behaviour. Pure."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from gateway.detect.memory import Bools, Floats, Ints, Memory, column
from gateway.detect.plan import GroupPlan

Q3: Final = 2500.0
"""l/h: permanent flow rate of the common home meter (2.5 m³/h, OIML R 49)."""
HIGH_FLOW: Final = 0.2 * Q3
"""Kamstrup's info code BURST has 5, 10 or 20 % of Q3; the highest alarms a long shower least."""
REST: Final = 0.04 * Q3
"""l/h. A home is below it in many of its windows, a district's inlet never: our choice."""
BUSY: Final = 0.06 * Q3
"""l/h in the mean of a week. A home of five draws some 30; 150 are ten homes: our choice, no real one of 46 is near."""
WEEK_S: Final = 7 * 86_400
_MEAN_HOME: Final = 20.0
"""l/h: what an unknown meter is taken to draw."""
_LONGEST_WINDOW_S: Final = 3600
_SILENCE_S: Final = 600


@dataclass(slots=True)
class Pace(Memory):
    """How often a quantity of a series comes. An event is a window too, so this is not `Windows.gap`."""

    time: Ints = column(np.int64)
    usual: Floats = column(np.float64, 60)
    """Seconds between two of its windows, as a rule."""

    def step(self, time: Ints) -> tuple[Floats, Bools]:
        """Take in a window: (seconds that it tells of, whether it follows the one before without a silence).

        Where packs are lost the next tells of what its own window saw; after a silence nothing is known of the time
        between. A first window is taken for one of its usual length.
        """
        gap = np.where(self.time > 0, time - self.time, self.usual)
        follows = (self.time > 0) & (gap <= np.maximum(_SILENCE_S, 1.5 * self.usual))
        lasted = np.minimum(gap, np.where(follows, gap, self.usual))
        # A lost pack doubles one gap; a new length of windows is learnt within a few.
        self.usual[:] = np.minimum(np.clip(gap, self.usual / 2, self.usual * 2), _LONGEST_WINDOW_S)
        self.time[:] = time
        return lasted, follows


@dataclass(slots=True)
class Character(Memory):
    """Whether a meter is that of a home, by what runs through it."""

    mean: Floats = column(np.float64, _MEAN_HOME)
    """l/h over a week, of flows up to `HIGH_FLOW`: a burst does not make a home a district."""
    rested: Ints = column(np.int64)
    """Its newest window below `REST`; 0 before any."""

    def step(self, time: Ints, lasted: Floats, flow: Floats) -> None:
        weight = 1 - np.exp(lasted * (-1 / WEEK_S))
        self.mean += weight * (np.minimum(flow, HIGH_FLOW) - self.mean)
        np.copyto(self.rested, time, where=flow < REST)

    def home(self, time: Ints) -> Bools:
        """It has rested within a week, and draws what a home draws."""
        return (self.mean < BUSY) & (time - self.rested <= WEEK_S)


def inlets(plan: GroupPlan, node: Ints) -> Bools:
    """[n] whether the plan has these nodes at the inlets of zones: they are no homes."""
    numbers = [number for zone in plan.inlets for number in zone]
    if not numbers:
        return np.zeros(len(node), np.bool_)
    at_inlets = np.zeros(max(int(node.max()), *numbers) + 1, np.bool_)
    at_inlets[numbers] = True
    found: Bools = at_inlets[node]
    return found
