# Setting the clock right. In memory only meanwhile: it comes a few times a day.

import time

from machine import RTC
from micropython import const

from node.clock import BELIEVABLE, EPOCH, rtc_ms

_LAST = const(4_102_444_800)  # 2100-01-01: no board with this firmware lives longer
_LEAST_MS = const(100)  # a smaller correction is within what the way there and back may hide
_HOLD_MS = const(120_000)  # a clock that is ahead by no more stands still until it is right
_DRIFT_AFTER_MS = const(3_600_000)  # between two corrections, for the drift to be told from the way's jitter


def correct(clock, offset_ms):
    """As `Clock.correct`."""
    if not BELIEVABLE * 1000 <= rtc_ms() + offset_ms < _LAST * 1000:
        raise ValueError("a clock that is off by %d ms is not believed" % offset_ms)
    known, uptime = clock.known(), clock.uptime_ms()
    clock.error_ms = offset_ms if known else 0
    if known and clock.corrected_ms is not None:
        since = uptime - clock.corrected_ms
        if since >= _DRIFT_AFTER_MS:
            clock.drift_ppm = (offset_ms - clock.left_ms) * 1000 // (since // 1000)
    first = clock.offset is None
    if first:
        # Kept before the clock is set: after a reset in between this still is what to add.
        clock.offset = offset_ms // 1000
        clock.keep()
    clock.left_ms = offset_ms
    if abs(offset_ms) > _LEAST_MS:
        clock.left_ms = 0
        _step(clock, offset_ms)
    clock.corrected_ms = uptime
    if first:
        clock.on_known(clock.offset)
    clock.on_step()


def _step(clock, offset_ms):
    ms = rtc_ms() + offset_ms
    y, mo, d, h, mi, s, wd = time.gmtime(ms // 1000 - EPOCH)[:7]
    RTC().datetime((y, mo, d, wd, h, mi, s, ms % 1000 * 1000))
    clock.log("clock", "corrected by %d ms" % offset_ms)
    if ms < clock.latest_ms - _HOLD_MS:
        clock.on_back()
