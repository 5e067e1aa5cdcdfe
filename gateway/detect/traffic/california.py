"""California algorithm #8, and the fixed threshold as its yardstick: a crash between two counters of a street. Pure.

Between them something holds the traffic up when it is denser above than below. Payne and Tignor, "Freeway
incident-detection algorithms based on decision trees with states", Transportation Research Record 682 (1978), with
their thresholds for one-minute occupancies; u is upstream, d downstream:
OCCDF = u - d, OCCRDF = OCCDF / u, DOCCTD = (d two minutes ago - d) / d two minutes ago.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway.detect.memory import Bools, Floats, Floats32, Memory, column

DIFFERENCE: Final = 8.0
"""%, of OCCDF."""
RELATIVE: Final = 0.5
"""Of OCCRDF, to begin and to go on."""
DROP: Final = 0.3
"""Of DOCCTD: below the crash the road has emptied within two minutes."""
WAVE: Final = -0.4
"""Of DOCCTD: the downstream counter has filled within two minutes instead ..."""
DENSE: Final = 30.0
"""%: ... to this occupancy or more. So a compression wave comes, of a jam that begins farther down."""
HOLD: Final = 5
"""Minutes after a compression wave in which nothing is concluded."""
FULL: Final = 30.0
"""%, of the yardstick: the upstream counter is congested,"""
HOLDS: Final = 2
"""for so many minutes, and the downstream one is not. Our choice."""

Ints8 = NDArray[np.int8]

FREE: Final = 0
TENTATIVE: Final = 1
CONFIRMED: Final = 2


@dataclass(slots=True)
class Pairs(Memory):
    """Of each pair of counters, by the upstream one."""

    by = "other"

    before: Floats32 = column(np.float32, np.nan)
    """%: downstream a minute ago,"""
    earlier: Floats32 = column(np.float32, np.nan)
    """and two minutes ago."""
    state: Ints8 = column(np.int8)
    hold: Ints8 = column(np.int8)
    """Minutes left after a compression wave."""
    congested: Ints8 = column(np.int8)
    """The yardstick: minutes so far."""


def minute(pairs: Pairs, upstream: Floats, downstream: Floats) -> Bools:
    """Take in a minute's occupancies (%, [n] each, NaN for unknown): [n], where there is a confirmed incident now.

    Unknown minutes end what was tentative and leave what was confirmed.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        difference = upstream - downstream
        relative = difference / upstream
        fallen = (pairs.earlier - downstream) / pairs.earlier
    wave = (downstream >= DENSE) & (fallen < WAVE)
    pairs.hold[:] = np.where(wave, HOLD, np.maximum(pairs.hold - 1, 0))
    begins = (difference >= DIFFERENCE) & (relative >= RELATIVE) & (fallen >= DROP) & (pairs.hold == 0)
    lasts = (relative >= RELATIVE) | np.isnan(relative)
    went_on = np.where(lasts, CONFIRMED, FREE)
    tentative = np.where(relative >= RELATIVE, CONFIRMED, FREE)
    pairs.state[:] = np.choose(pairs.state, (np.where(begins, TENTATIVE, FREE), tentative, went_on))
    pairs.earlier[:] = pairs.before
    pairs.before[:] = downstream
    confirmed: Bools = pairs.state == CONFIRMED
    return confirmed


def yardstick(pairs: Pairs, upstream: Floats, downstream: Floats) -> Bools:
    """The fixed threshold: upstream full for two minutes, and downstream not."""
    now = (upstream >= FULL) & (downstream < FULL)
    pairs.congested[:] = np.where(now, np.minimum(pairs.congested + 1, HOLDS), 0)
    congested: Bools = pairs.congested >= HOLDS
    return congested
