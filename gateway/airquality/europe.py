"""European Air Quality Index: bands 1 to 6 of hourly means."""

import numpy as np

from gateway.airquality.tables import Row
from gateway.detect.memory import Bools, Floats


def europe_index(row: Row, concentration: Floats) -> tuple[Floats, Bools]:
    """(n,) concentrations in ug/m3 -> the band, and whether they are above the last bound: that is band 6.

    NaN for NaN. A bound belongs to the lower band. The EEA prints whole numbers ("0-5, 6-15"); that 5.3 is in the
    second band is our choice, since it is more than 5.
    """
    fine = np.round(concentration, 6)  # what arithmetic leaves behind the comma decides nothing
    bands = np.searchsorted(row.bounds, fine) + 1.0
    return np.where(np.isfinite(concentration), bands, np.nan), fine > row.bounds[-1]
