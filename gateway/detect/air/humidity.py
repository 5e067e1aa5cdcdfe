"""Humid air: optical particle counters take the water on particles for particles. It is told beside other findings.

It is no incident of its own: it is weather, at all stations of a site at once, and nothing is to be mended. But who
reads of bad air or of a station above its neighbours should know of it.
"""

import math
from typing import Final

from gateway.airquality.correction import HUMID, correct
from gateway.records import Evidence

MORE_HUMID: Final = 5.0
"""% above the neighbours, from which it may be why a station stands out: our choice, not quite twice what a BME280 is
off (3 %, its datasheet)."""


def humid_evidence(pm2_5: float, humidity: float, around: float = math.nan) -> tuple[Evidence, ...]:
    """Where a place has this PM2.5 (µg/m³) and relative humidity (%; NaN: not known); nothing where that is no reason.

    It tells what US EPA's correction of low-cost counters makes of the value. `around` is the
    humidity of its neighbours, for what is about a difference to them.
    """
    if not humidity > HUMID or humidity < around + MORE_HUMID:
        return ()
    more = f", around it {around:.0f} %" if not math.isnan(around) else ""
    text = f"humidity was {humidity:.0f} %{more}: above {HUMID:.0f} % an optical counter reads too high; "
    text += f"{pm2_5:.0f} ug/m3 are {correct(pm2_5, humidity).pm2_5:.0f} by the correction of US EPA"
    return (Evidence("humidity", humidity, HUMID if math.isnan(around) else around, "%RH", text),)
