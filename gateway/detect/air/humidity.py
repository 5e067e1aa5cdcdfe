"""Humid air: optical particle counters take the water on particles for particles. It is told beside other findings.

It is no incident of its own: it is weather, at all stations of a site at once, and nothing is to be mended. But who
reads of bad air or of a station above its neighbours should know of it.
"""

import math
from typing import Final

from gateway.records import Evidence

HUMID: Final = 75.0
"""% of relative humidity: what US EPA flags in its correction of low-cost counters for the Fire and Smoke Map."""
MORE_HUMID: Final = 5.0
"""% above the neighbours, from which it may be why a station stands out: our choice, not quite twice what a BME280 is
off (3 %, its datasheet)."""


def humid_evidence(humidity: float, around: float = math.nan) -> tuple[Evidence, ...]:
    """Of a place with this relative humidity (%; NaN: not known), if it may be why PM reads high; else nothing.

    `around` is that of its neighbours, for what is about a difference to them.
    """
    if not humidity > HUMID or humidity < around + MORE_HUMID:
        return ()
    more = f", around it {around:.0f} %" if not math.isnan(around) else ""
    text = f"humidity was {humidity:.0f} %{more}: above {HUMID:.0f} % an optical counter reads too high"
    return (Evidence("humidity", humidity, HUMID if math.isnan(around) else around, "%RH", text),)
