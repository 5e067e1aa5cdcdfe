"""How long to wait before something is tried again. Pure but for the dice, which are handed in."""

from random import Random
from typing import Final

BROKER_SECONDS: Final = (1.0, 30.0)
"""First and longest wait for a broker."""


def backoff(failures: int, first: float, most: float, dice: Random) -> float:
    """Seconds to wait after the `failures`-th failure in a row: `first`, twice as long each time, `most` at the most.

    Half of it is chance, so that many gateways do not come back to one server in one moment.
    """
    longest = min(most, first * 2.0 ** min(failures - 1, 32))
    return dice.uniform(longest / 2, longest)
