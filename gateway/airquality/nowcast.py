"""NowCast: what a mean over 24 hours of particles would be if the air stayed as it is. US EPA.

Source: Technical Assistance Document (EPA-454/B-24-002), "How the NowCast is calculated". The NowCast of ozone is a
regression (partial least squares) whose coefficients each site trains on its own past; it is not made here.
"""

from typing import Final

import numpy as np

from gateway.detect.memory import Floats

HOURS: Final = 12
LEAST_WEIGHT: Final = 0.5
"""Of an hour against the one after it, for particles."""


def nowcast(hourly: Floats) -> Floats:
    """(n, 12 or more) hourly means, the newest first, NaN where missing -> (n,) in the same unit.

    NaN where fewer than two of the newest three hours are known. Below zero counts as zero. It is not cut to places
    here: the index does that.
    """
    values = np.maximum(hourly[:, :HOURS], 0)
    known = np.isfinite(values)
    high = np.where(known, values, 0).max(axis=1)
    low = np.where(known, values, np.inf).min(axis=1)
    spread = np.divide(high - low, high, out=np.zeros_like(high), where=(high > 0) & np.isfinite(low))
    weight = np.maximum(LEAST_WEIGHT, 1 - spread)
    weights = np.where(known, weight[:, None] ** np.arange(values.shape[1]), 0)
    enough = known[:, :3].sum(axis=1) >= 2
    total = np.where(enough, weights.sum(axis=1), 1)
    return np.where(enough, (weights * np.where(known, values, 0)).sum(axis=1) / total, np.nan)
