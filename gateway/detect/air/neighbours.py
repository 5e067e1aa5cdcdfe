"""What a station should read, told by the other stations of its site."""

from typing import Final

import numpy as np

from gateway.detect.memory import Bools, Floats

MOST: Final = 32
"""Stations that are compared with one another: their covariance is the largest part of a series' memory."""
CLEAN: Final = 0.35
"""Of the usual level, added before the logarithm: our choice. Ratios count in dirty air, differences in clean."""
PRECISION: Final = 0.1
"""Instruments of one kind agree to about 10 % (our choice): it keeps the regression from trusting one neighbour."""
FAR: Final = 3.0
"""Standard deviations from which on a neighbour's own surprise makes it count less (Huber-like): our choice."""
UNKNOWN: Final = 1e4
"""Variance of a reading that tells nothing."""


def scale(values: Floats, level: Floats) -> Floats:
    """log(x + c), c in proportion to the site's usual level, so that every quantity and unit has the same scale."""
    return np.asarray(np.log(np.maximum(values, 0.0) + CLEAN * level))


def unscale(scaled: Floats, level: Floats) -> Floats:
    return np.asarray(np.maximum(np.exp(scaled) - CLEAN * level, 0.0))


def surprise(deviation: Floats, covariance: Floats, distrust: Floats) -> Floats:
    """Each station's deviation minus its expectation given all the others', (sites, stations).

    With A = covariance + diag(distrust) that is (A^-1 d)_i / (A^-1)_ii: leave-one-out residuals of a Gaussian process,
    Rasmussen and Williams, "Gaussian Processes for Machine Learning" (2006), eq. 5.12. `distrust` is a variance, which
    takes a silent or suspect station out of all others' expectations while its own stays what it was.
    """
    matrix = covariance.copy()
    diagonal = np.einsum("sii->si", matrix)
    diagonal += distrust
    inverse = np.linalg.inv(matrix)
    return np.asarray(np.einsum("sij,sj->si", inverse, deviation) / np.einsum("sii->si", inverse))


def robust_surprise(deviation: Floats, covariance: Floats, distrust: Floats, variance: Floats, known: Bools) -> Floats:
    """`surprise`, where in a second pass those count less that were surprising in the first."""
    first = surprise(deviation, covariance, distrust)
    excess = np.where(known, np.maximum(first * first - FAR * FAR * variance, 0.0), 0.0)
    if not excess.any():
        return first
    return surprise(deviation, covariance, distrust + excess)
