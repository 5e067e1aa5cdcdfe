"""What a low-cost particle counter shows, as a reference instrument would have it.

Source: US EPA's correction of Plantower counters (PMS5003) for the AirNow Fire and Smoke Map, 2021. It was fitted to
hourly and daily means in the United States, with PM2.5 as "CF=1" and the relative humidity in the sensor's own case.
"""

from typing import Final

import numpy as np
from msgspec import Struct

from gateway.airquality.tables import AirError
from gateway.detect.memory import Bools, Floats

HUMID: Final = 75.0
"""% of relative humidity above which particles swell by water: the correction does not hold them there."""
HUMIDITY_BIAS: Final = "humidity bias likely"


class Corrected(Struct, frozen=True):
    pm2_5: float
    """ug/m3."""
    humidity_bias: bool
    """Above `HUMID`."""


def corrected(pm2_5: Floats, humidity: Floats) -> Floats:
    """(n,) PM2.5 (CF=1) in ug/m3 and (n,) % of relative humidity -> (n,) ug/m3; NaN where either is NaN.

    Three curves, blended from 30 to 50 and from 210 to 260 ug/m3, so that nowhere is a step. Below zero, which the
    lowest gives for clean and humid air, is zero: our choice.
    """
    middle = np.clip(pm2_5 / 20 - 1.5, 0, 1)
    smoke = np.clip(pm2_5 / 50 - 4.2, 0, 1)
    slope = 0.524 + (0.786 - 0.524) * middle
    below = slope * pm2_5 - 0.0862 * humidity + 5.75
    # The smoke curve has no humidity; without that of the reading it is unknown all the same.
    above = 2.966 + 0.69 * pm2_5 + 8.84e-4 * pm2_5**2 + 0 * humidity
    return np.maximum((1 - smoke) * below + smoke * above, 0)


def humid(humidity: Floats) -> Bools:
    """Where `HUMIDITY_BIAS` is to be said."""
    return humidity > HUMID


def correct(pm2_5: float, humidity: float) -> Corrected:
    """One value. Raises AirError for what cannot be."""
    if not 0 <= pm2_5 < np.inf:
        raise AirError(f"PM2.5 is {pm2_5:g}: it must be a number from 0")
    if not 0 <= humidity <= 100:
        raise AirError(f"the relative humidity is {humidity:g}: it must be from 0 to 100 %")
    value = corrected(np.array([pm2_5]), np.array([humidity]))
    return Corrected(float(value[0]), bool(humid(np.array([humidity]))[0]))
