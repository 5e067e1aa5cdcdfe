"""The city's clock, shared with every emulated board through one small file."""

import os
import struct
import time
from pathlib import Path

_LAYOUT = "<qqdqqq"
"""As `sim_hardware/hal/world.py` reads it: start (µs), monotonic start (µs), speed, end (µs), recheck and nap (ms)."""

_FOREVER_US = 1 << 62
_MANY = 50
"""Nodes from which on they nap."""


class Pace:
    """City time runs `speed` times faster than life from `start` (Unix seconds) on.

    It never overtakes the present, nor what is known of the city: see `reach`.
    """

    def __init__(self, path: Path, start: int, speed: float, nodes: int) -> None:
        self._path = path
        self._start_us = start * 1_000_000
        self._mono_us = time.monotonic_ns() // 1000
        self.speed = speed
        self._end_us = _FOREVER_US
        self._frozen = False
        self.begun = False
        # How often (ms) an idle board looks whether the end has come: ten thousand must not spend their time looking.
        self._recheck_ms = max(200, nodes // 3)
        # How long it sleeps at least: what comes due meanwhile is handled in one go, up to so much late.
        self._nap_ms = nodes // 4 if nodes >= _MANY else 0
        self._write()

    def now_us(self) -> int:
        return self._at(0)

    def _at(self, later_us: int) -> int:
        """So many real microseconds from now."""
        now = self._start_us + int((time.monotonic_ns() // 1000 + later_us - self._mono_us) * self.speed)
        if self.speed > 1:
            now = min(now, time.time_ns() // 1000 + later_us)
        return min(now, self._end_us)

    def begin(self) -> None:
        """Time begins to pass now: until here it was `start`. To be called before it has been let past that; once it
        has begun, that changes nothing."""
        if not self.begun:
            self.begun = True
            self._mono_us = time.monotonic_ns() // 1000
            self._write()

    def reach(self, known: int) -> None:
        """The city is known up to this time (Unix seconds), without it: until there time may pass."""
        if not self._frozen and known * 1_000_000 - 1 != self._end_us:
            self._end_us = known * 1_000_000 - 1
            self._write()

    def freeze(self) -> int:
        """Stop the city's time, and return in whole Unix seconds where. Sockets go on: outboxes empty.

        It stops where no board can have come before it looks for the end again: one that went past would still measure.
        """
        if not self._frozen:
            self._frozen = True
            self._end_us = self._at(1000 * (self._recheck_ms + 2))  # both ends of that are cut to whole milliseconds
            self._write()
        return self._end_us // 1_000_000

    @property
    def stands(self) -> bool:
        """Whether it has come where it was stopped."""
        return self._frozen and self.now_us() == self._end_us

    def _write(self) -> None:
        fields = self._start_us, self._mono_us, self.speed, self._end_us, self._recheck_ms, self._nap_ms
        record = struct.pack(_LAYOUT, *fields)
        fresh = self._path.with_suffix(".new")
        if not self._path.exists():
            fresh.write_bytes(record)
            fresh.rename(self._path)
        else:
            # Boards hold the file open: change it in place, in one write.
            handle = os.open(self._path, os.O_WRONLY)
            try:
                os.write(handle, record)
            finally:
                os.close(handle)
