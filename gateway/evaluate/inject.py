"""Faults and leaks put into real series, to see whether they are found. Pure; what comes in stays as it is."""

from typing import Final, Literal, get_args

import numpy as np

from gateway.detect.memory import Floats, Ints

Fault = Literal["offset", "gain", "zero", "stuck", "drift"]
FAULTS: Final[tuple[Fault, ...]] = get_args(Fault)
OFFSET: Final = 40.0
"""µg/m³ more: what the goals are set for."""
GAIN: Final = 2.0
DRIFT_S: Final = 30 * 86_400
"""Seconds in which a drifting sensor comes to show twice of what there is; from then on it stays so."""


def inject_leak(litres: Floats, seconds: Floats, begin: int, l_per_h: float, *, register: bool = False) -> Floats:
    """Readings with a leak from reading `begin` on, as a register of whole litres shows it.

    `litres`: [n], what ran since the reading before, or with `register` what the register shows; unknown (NaN) litres
    stay so, and what leaks meanwhile a register alone shows. `seconds`: [n], since the reading before.
    """
    leaked = np.zeros(len(litres))
    leaked[begin:] = np.floor(np.cumsum(np.maximum(seconds[begin:], 0)) * (l_per_h / 3600))
    return litres + (leaked if register else np.diff(leaked, prepend=0.0))


def inject_fault(values: Floats, time: Ints, kind: Fault, begin: int) -> Floats:
    """Concentrations with a faulty sensor from reading `begin` on. `values`, `time`: [n], µg/m³ and Unix seconds."""
    faulty = values.copy()
    after = faulty[begin:]
    if kind == "offset":
        after += OFFSET
    elif kind == "gain":
        after *= GAIN
    elif kind == "zero":
        after[~np.isnan(after)] = 0
    elif kind == "stuck":
        known = values[: begin + 1][~np.isnan(values[: begin + 1])]
        after[~np.isnan(after)] = known[-1] if len(known) else 0
    else:
        after *= 1 + np.clip((time[begin:] - time[begin]) / DRIFT_S, 0, 1)
    return faulty
