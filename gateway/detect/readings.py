"""Those windows that hold one quantity: of a minute's many kinds of windows what a rule looks at."""

import numpy as np
from msgspec import Struct

from gateway.detect.memory import Bools, Floats, Ints
from gateway.detect.rule import Windows


class Reading(Struct, frozen=True):
    """The windows that hold one quantity, in order of the series' numbers as given."""

    series: Ints
    node: Ints
    time: Ints
    value: Floats
    where: Bools | slice
    """Which of the windows they are: what these hold of another quantity is `windows.get(other)[where]`."""


def readings(windows: Windows, quantity: str) -> Reading | None:
    """Those that hold it; None where no window does."""
    values = windows.values.get(quantity)
    if values is None:
        return None
    known = np.isfinite(values)
    if known.all():
        return Reading(windows.series, windows.node, windows.time, values, slice(None))
    if not known.any():
        return None
    return Reading(windows.series[known], windows.node[known], windows.time[known], values[known], known)
