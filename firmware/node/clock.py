# The node's clock: Unix time in integers only (a float32 is off by minutes), and whether it can be believed.

import struct
import time

from micropython import const

from node.later import forget
from node.scratch import CLOCK

EPOCH = 946_684_800 if time.gmtime(0)[0] == 2000 else 0
BELIEVABLE = 1_735_689_600  # 2025-01-01: no board with this firmware is older, so a clock before it is not set
_KEPT = const("<IQ")  # era, offset of its clock in s + 1, or 0


class Clock:
    """Time for windows and packs, in the terms of Unix.

    Before it is known it runs from 2000 (or from what the real-time clock has kept). `offset` is what the first
    correction since power came has added, in seconds: what to add to times told before it. `error_ms` is the last
    correction, `drift_ppm` the rate at which the clock lost (+) or gained since the one before; None while unknown.
    Within a boot time never goes back: a clock that is a little ahead stands still for so long, and for more
    `on_back()` is called, to begin a new boot.
    """

    def __init__(self, server=None, log=print, scratch=None, boot=1):
        self._server = server
        self.log = log
        self._scratch = scratch
        self._ticks = time.ticks_ms()
        self._uptime_ms = 0
        self.latest_ms = 0
        self.corrected_ms = None  # uptime of the last correction
        self.left_ms = 0  # what it left as it was: no drift since then
        self.error_ms = self.drift_ppm = None
        self.era = boot
        self.offset = None
        self.on_known = lambda offset: None
        self.on_step = lambda: None
        self.on_back = lambda: None
        kept = scratch and scratch.read(CLOCK)
        if kept:
            self.era, offset = struct.unpack(_KEPT, kept)
            self.offset = offset - 1 if offset else None
        else:
            self.keep()
        if self.offset is None and self.known():
            self.offset = 0  # a clock with a battery, or one that was set before power was lost only for a moment

    def keep(self):
        """What era it is, and what its first correction added, is there after a reset."""
        if self._scratch:
            self._scratch.write(CLOCK, struct.pack(_KEPT, self.era, 0 if self.offset is None else self.offset + 1))

    def uptime_ms(self):
        """Milliseconds since boot, over the wrap of the ticks. Must be called at least every six days."""
        now = time.ticks_ms()
        self._uptime_ms += time.ticks_diff(now, self._ticks)
        self._ticks = now
        return self._uptime_ms

    def unix_ms(self):
        """What the clock says; never less than before."""
        self.latest_ms = max(self.latest_ms, rtc_ms())
        return self.latest_ms

    def known(self):
        return self.unix_ms() >= BELIEVABLE * 1000

    def correct(self, offset_ms):
        """The clock is behind by so many milliseconds, or ahead. Raises ValueError when it cannot be that time."""
        from node import clockset

        try:
            clockset.correct(self, offset_ms)
        finally:
            forget(("node.clockset",))  # for hours

    async def run(self):
        """Keep the clock right by NTP. Where no server is configured the gateway may tell: see `correct`."""
        from node import sntp

        await sntp.keep(self, self._server, self.log)


def rtc_ms():
    """What the real-time clock says, in Unix milliseconds; it may go back."""
    return time.time_ns() // 1_000_000 + EPOCH * 1000
