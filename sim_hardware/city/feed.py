"""What the emulated boards are told of their surroundings: a ring of minutes in one shared file.

Layout (little endian): minutes are blocks of `places` records; the block of a minute is `minute % RING`.
A record is `<I12f`: the Unix minute it is of (so that a reader knows an old or unwritten one), then the city's FIELDS.
`sim_hardware/hal/street.py` reads it.
"""

from pathlib import Path

import numpy as np

from sim_hardware.city.city import FIELDS, Floats
from sim_hardware.shared import array

RING = 64
"""Minutes kept. A board may be this far behind the city before it loses sight of it."""

_RECORD = np.dtype([("minute", "<u4"), ("fields", "<f4", (FIELDS,))])


class Feed:
    """The writing end."""

    def __init__(self, path: Path, places: int) -> None:
        self._blocks = array(path, _RECORD, (RING, places))

    def write(self, second: int, fields: Floats) -> None:
        """Publish one minute; `second` is its beginning, `fields` of shape (places, FIELDS)."""
        block = self._blocks[second // 60 % RING]
        block["minute"] = 0  # a reader that comes between sees an unwritten minute, and waits
        block["fields"] = fields
        block["minute"] = second // 60
