"""What the sensors of modelled nodes would have read: minutes of the city in, readings of windows out.

The kinds are in `counters`, `meters` and `stations`; here is what they have in common.

All nodes of a kind are calculated at once, chip by chip and vehicle by vehicle, with the numbers that the emulated
chips (`sim_hardware/chips`, `hal/street.py`) and the firmware's sensors (`firmware/sensors`) have: no sample of a chip
and no vehicle is left out, only the registers, frames and edges in between. Pure: seconds, fields and dice are handed
in. The tests hold it against the real firmware (`tests/system/test_modelled.py`).
"""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from sim_hardware.city.city import FAULTS, Floats

Mask = NDArray[np.bool_]
Dice = np.random.Generator


class Column(NamedTuple):
    """One reading of a window."""

    name: str
    """As in a pack: `[channel/]quantity`."""
    unit: str
    form: str
    """How firmware/node/pack.py writes it: `%d` an integer, `%.7g` a float."""


class Event(NamedTuple):
    """An urgent state, as a node tells it at once."""

    node: int
    """Its number among those of the kind."""
    name: str
    on: bool
    second: int


class Model(Protocol):
    """The sensors of all nodes of a kind. Arrays have a row for each node."""

    columns: tuple[Column, ...]

    def begin(self, which: Mask, second: int) -> None:
        """These nodes are switched on."""

    def step(self, second: int, seconds: int, fields: Floats, on: Mask) -> None:
        """So many seconds of one minute of the city pass; of those that are not `on` nobody measures anything."""

    def close(self, lasted: Floats) -> Floats:
        """The window ends after so many seconds, node by node: its readings, (nodes, columns); NaN for an unknown."""

    def events(self) -> list[Event]:
        """Since the last call, in order of time for each node."""


def around(dice: Dice, value: Floats, spread: Floats | float) -> Floats:
    """As `Noise.around` of the chips: `value` plus noise within +-`spread`, the mean of two draws."""
    noise = dice.random(value.shape)
    noise += dice.random(value.shape)
    noise -= 1
    noise *= spread
    noise += value
    return noise


def samples(second: int, seconds: int, period_s: float) -> int:
    """How many moments at multiples of `period_s` lie in the seconds after `second`."""
    return int((second + seconds) / period_s) - int(second / period_s)


def rounded(value: Floats, digits: int) -> Floats:
    """As the firmware's `round`, but for what lies half-way."""
    scale = 10**digits
    found: Floats = np.rint(value * scale) / scale
    return found


def faulty(fields: Floats, bits: int) -> Mask:
    """Nodes with any of these faults."""
    found: Mask = (fields[:, FAULTS].astype(np.int64) & bits) != 0
    return found
