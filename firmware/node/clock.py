# The node's clock: Unix time in integers only (a float32 is off by minutes), and whether it can be believed.

import struct
import time

from machine import RTC
from micropython import const

from node.scratch import CLOCK

_EPOCH = 946_684_800 if time.gmtime(0)[0] == 2000 else 0
BELIEVABLE = 1_735_689_600  # 2025-01-01: no board with this firmware is older, so a clock before it is not set
_LAST = const(4_102_444_800)  # 2100-01-01: nor does any live longer

_LEAST_MS = const(100)  # a smaller correction is within what the way there and back may hide
_HOLD_MS = const(120_000)  # a clock that is ahead by no more stands still until it is right
_DRIFT_AFTER_MS = const(3_600_000)  # between two corrections, for the drift to be told from the way's jitter

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
        self._log = log
        self._scratch = scratch
        self._ticks = time.ticks_ms()
        self._uptime_ms = 0
        self._latest_ms = 0
        self._corrected_ms = None  # uptime of the last correction
        self._left_ms = 0  # what it left as it was: no drift since then
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
        elif scratch:
            self._keep()
        if self.offset is None and self.known():
            self.offset = 0  # a clock with a battery, or one that was set before power was lost only for a moment

    def _keep(self):
        self._scratch.write(CLOCK, struct.pack(_KEPT, self.era, 0 if self.offset is None else self.offset + 1))

    def uptime_ms(self):
        """Milliseconds since boot, over the wrap of the ticks. Must be called at least every six days."""
        now = time.ticks_ms()
        self._uptime_ms += time.ticks_diff(now, self._ticks)
        self._ticks = now
        return self._uptime_ms

    def unix_ms(self):
        """What the clock says; never less than before."""
        self._latest_ms = max(self._latest_ms, rtc_ms())
        return self._latest_ms

    def known(self):
        return self.unix_ms() >= BELIEVABLE * 1000

    def correct(self, offset_ms):
        """The clock is behind by so many milliseconds, or ahead. Raises ValueError when it cannot be that time."""
        if not BELIEVABLE * 1000 <= rtc_ms() + offset_ms < _LAST * 1000:
            raise ValueError("a clock that is off by %d ms is not believed" % offset_ms)
        known, uptime = self.known(), self.uptime_ms()
        self.error_ms = offset_ms if known else 0
        if known and self._corrected_ms is not None:
            since = uptime - self._corrected_ms
            if since >= _DRIFT_AFTER_MS:
                self.drift_ppm = (offset_ms - self._left_ms) * 1000 // (since // 1000)
        first = self.offset is None
        if first:
            # Kept before the clock is set: after a reset in between this still is what to add.
            self.offset = offset_ms // 1000
            if self._scratch:
                self._keep()
        self._left_ms = offset_ms
        if abs(offset_ms) > _LEAST_MS:
            self._left_ms = 0
            self._step(offset_ms)
        self._corrected_ms = uptime
        if first:
            self.on_known(self.offset)
        self.on_step()

    def _step(self, offset_ms):
        ms = rtc_ms() + offset_ms
        y, mo, d, h, mi, s, wd = time.gmtime(ms // 1000 - _EPOCH)[:7]
        RTC().datetime((y, mo, d, wd, h, mi, s, ms % 1000 * 1000))
        self._log("clock", "corrected by %d ms" % offset_ms)
        if ms < self._latest_ms - _HOLD_MS:
            self.on_back()

    async def run(self):
        """Keep the clock right by NTP. Where no server is configured the gateway may tell: see `correct`."""
        from node import sntp

        await sntp.keep(self, self._server, self._log)


def rtc_ms():
    """What the real-time clock says, in Unix milliseconds; it may go back."""
    return time.time_ns() // 1_000_000 + _EPOCH * 1000
