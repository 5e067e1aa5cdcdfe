"""China's AQI, HJ 633: concentrations as they are, the index of a pollutant is rounded up."""

from typing import Final

import numpy as np

from gateway.airquality.tables import Row
from gateway.detect.memory import Bools, Floats

PRIMARY_ABOVE: Final = 50
"""Up to here no pollutant is called the primary one (HJ 633, 4.3)."""
_FINE: Final = 10**6
"""Parts of a unit that are told apart: what arithmetic leaves behind the comma must not lift an index by one."""


def china_index(row: Row, concentration: Floats) -> tuple[Floats, Bools]:
    """(n,) concentrations in the row's unit -> the IAQI, whole numbers, and whether they are above the table.

    NaN for NaN. Above the last bound it stays at the last index, 500; O3 over 8 h above 800 ug/m3 stays at 300, where
    the mean over 1 h goes on. Below zero counts as zero.
    """
    bounds = np.array([0, *(round(bound * _FINE) for bound in row.bounds)], np.int64)
    levels = np.array([0, *row.levels], np.int64)
    known = np.isfinite(concentration)
    fine = np.rint(np.clip(np.where(known, concentration, 0), 0, row.bounds[-1] + 1) * _FINE).astype(np.int64)
    above = known & (fine > bounds[-1])
    fine = np.minimum(fine, bounds[-1])
    at = np.maximum(np.searchsorted(bounds, fine), 1)
    span = bounds[at] - bounds[at - 1]
    rise = -(-(levels[at] - levels[at - 1]) * (fine - bounds[at - 1]) // span)  # up, in integers
    return np.where(known, levels[at - 1] + rise, np.nan), above
