# `time` as on the ESP32: epoch 2000, ticks that wrap at 2**30, and a clock that the fleet may run faster. Where it
# differs: docs/emulation.md.

import utime
from world import SPIN, world

EPOCH = 946_684_800  # 2000-01-01 in Unix seconds
_PERIOD = 1 << 30

# What the real-time clock shows, minus the world's own time (us). It is right at power-on, as if it had a battery; a
# board that has none is one whose program calls `lose_rtc` first.
_rtc_offset = 0


# Of the board's functions these are called the most: they read the clock themselves.


def ticks_ms():
    world.reads += 1
    if world.reads > SPIN:
        world.read()
    return (world.now - world.boot) // 1000 & _PERIOD - 1


def ticks_us():
    world.reads += 1
    if world.reads > SPIN:
        world.read()
    return world.now - world.boot & _PERIOD - 1


def ticks_cpu():
    """Cycles of 160 MHz."""
    return (world.read() - world.boot) * 160 & _PERIOD - 1


def ticks_add(ticks, delta):
    if not -_PERIOD < 2 * delta < _PERIOD:
        raise OverflowError("ticks interval overflow")
    return (ticks + delta) & (_PERIOD - 1)


def ticks_diff(a, b):
    return ((a - b + _PERIOD // 2) & (_PERIOD - 1)) - _PERIOD // 2


def sleep_us(n):
    if n | 0 > 0:  # a float is a TypeError, as on the board
        world.pause(world.now + n)


def sleep_ms(n):
    if n | 0 >= 0:
        world.pause(world.now + n * 1000)


def sleep(seconds):
    if seconds < 0:
        raise ValueError("a negative sleep: what a board makes of it is undefined")
    world.pause(world.now + int(seconds * 1000) * 1000)


def time_ns():
    return (world.read() + _rtc_offset - EPOCH * 1_000_000) * 1000


def time():
    return time_ns() // 1_000_000_000


def gmtime(seconds=None):
    """The board's has 32 bits since 1970: before that, and from 2106 on, it begins anew."""
    return utime.gmtime(EPOCH + int(time() if seconds is None else seconds) & 0xFFFF_FFFF)[:8]


localtime = gmtime  # the board knows no time zones


def mktime(fields):
    if not 8 <= len(fields) <= 9:
        raise TypeError("mktime needs a tuple of length 8 or 9")
    y, mo, d, h, mi, s = fields[:6]
    # Days before the month in a year that begins in March, so that the leap day comes last.
    y, m = (y, mo - 3) if mo > 2 else (y - 1, mo + 9)
    days = 365 * y + y // 4 - y // 100 + y // 400 + (153 * m + 2) // 5 + d - 730_426
    return ((days * 24 + h) * 60 + mi) * 60 + s


def set_rtc(seconds, microseconds=0):
    """`machine.RTC().datetime(...)`: seconds since 2000."""
    global _rtc_offset
    _rtc_offset = (seconds + EPOCH) * 1_000_000 + microseconds - world.now


def rtc_offset():
    """us that the real-time clock is ahead of the world."""
    return _rtc_offset


def drift(us):
    """It gains so much."""
    global _rtc_offset
    _rtc_offset += us


def lose_rtc():
    """Power was gone and no battery kept the clock."""
    set_rtc(0)


def wire_ms(ms):
    """How many of the board's milliseconds pass while `ms` pass on the wire.

    Emulation alone has this: a board may run faster than life, its broker and the cable to it never do.
    """
    return ms if _caught_up() else int(ms * world.speed)


class _Alarm:
    """A stream that can be read after so many real milliseconds, whatever the board's time does meanwhile."""

    def __init__(self, ms):
        self._at = utime.ticks_add(utime.ticks_ms(), ms)

    def real_ms(self):
        return utime.ticks_diff(self._at, utime.ticks_ms())


def wire_sleep_ms(ms):
    """`asyncio.sleep_ms` in the wire's time, which goes on when the board's is held or stands still for good."""
    yield asyncio.core._io_queue.queue_read(_Alarm(ms))


def _caught_up():
    return world.speed > 1 and world.now + 1_000_000 > utime.time_ns() // 1000


# asyncio keeps its queue in C, which wraps elsewhere than the board does, and stamps what is due at once with the
# host's own ticks. So it binds, when it is first imported, a clock that never wraps and is always ahead of the host's.
_AHEAD = 1 << 40
_board_clock = ticks_ms, ticks_diff, ticks_add


def ticks_ms():
    return _AHEAD + (world.now - world.boot) // 1000


# The host's own wrap at 2**62, which this clock never comes near, and are faster than any function of ours.
ticks_diff, ticks_add = utime.ticks_diff, utime.ticks_add

import asyncio.core  # noqa: E402, F401

ticks_ms, ticks_diff, ticks_add = _board_clock
