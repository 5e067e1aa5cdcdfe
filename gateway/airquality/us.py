"""US EPA AQI: concentrations are cut to the table's places, the index is rounded to the nearest."""

from typing import Final

import numpy as np

from gateway.airquality.tables import Row
from gateway.detect.memory import Bools, Floats, Ints

_HIGHEST: Final = 1e9
"""Steps of a concentration: beyond what can be, and far below what the integers here hold."""
_SLACK: Final = 1e-6
"""Of a step: what the arithmetic of a mean may have lost, so that 35.4 is never cut to 35.3."""


def steps(concentration: Floats, digits: int) -> Ints:
    """Concentrations (no NaN) cut, not rounded, to so many places: integers of the last place, not below 0.

    Source: Technical Assistance Document for the Reporting of Daily Air Quality (EPA-454/B-24-002), step 1.
    """
    return np.floor(np.clip(concentration * 10.0**digits + _SLACK, 0, _HIGHEST)).astype(np.int64)


def us_index(row: Row, concentration: Floats) -> tuple[Floats, Bools]:
    """(n,) concentrations in the row's unit -> the index, whole numbers, and whether they are above the table.

    NaN where a concentration is NaN, or below what the row is for (O3 over 1 h below 0.125 ppm, SO2 over 24 h below
    305 ppb). Above the last bound the last line goes on beyond 500, as Appendix G says ("greater than 500 should be
    calculated using equation 1 and the concentration specified for the AQI value of 500"); a row that ends at 200 or
    300 stays there, since another mean of the same pollutant tells more.
    """
    unit = 10**row.digits
    highs = np.array([round(bound * unit) for bound in row.bounds], np.int64)
    lows = np.append(round(row.floor[0] * unit), highs[:-1] + 1)
    high_index = np.array(row.levels, np.int64)
    low_index = np.append(row.floor[1], high_index[:-1] + 1)

    known = np.isfinite(concentration)
    found = steps(np.where(known, concentration, 0), row.digits)
    known &= found >= lows[0]
    above = known & (found > highs[-1])
    if row.levels[-1] < 500:
        found = np.minimum(found, highs[-1])
    at = np.minimum(np.searchsorted(highs, found), len(highs) - 1)
    span = highs[at] - lows[at]
    # In integers, so that .5 is .5 and goes up.
    rise = (2 * (high_index[at] - low_index[at]) * (found - lows[at]) + span) // (2 * span)
    return np.where(known, low_index[at] + rise, np.nan), above
