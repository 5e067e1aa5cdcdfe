# A water meter: pulses of a reed contact -> register, flow, least flow.

import asyncio
from time import ticks_diff, ticks_ms

import esp32
from drivers.reed import Reed
from node.config import ConfigError, merge

DEFAULTS = {"litres_per_pulse": 1}

_POLL_MS = 1_000
_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS  # ticks are good for differences of up to six days


def build(board, given):
    settings = merge(DEFAULTS, given, "sensors.")
    if settings["litres_per_pulse"] not in (1, 10, 100):
        raise ConfigError("sensors.litres_per_pulse must be 1, 10 or 100, as the meter's plate says")
    return Water(board.REED, settings["litres_per_pulse"])


class Flow:
    """Pulses of a window -> litres, mean and least flow. Pure: fed with ticks in ms."""

    def __init__(self, litres_per_pulse, now):
        self._litres = litres_per_pulse
        self._last = now  # the last pulse; the start before the first
        self._longest = 0  # between two pulses that followed each other in this window
        self._pulses = 0

    def pulse(self, at):
        self._pulses += 1
        self._longest = max(self._longest, ticks_diff(at, self._last))
        self._last = at

    def wait(self, now):
        """Time passes without a pulse; beyond a day it makes no difference, but the ticks would wrap."""
        if ticks_diff(now, self._last) > _DAY_MS:
            self._last = now - _DAY_MS

    def close(self, length_ms, now):
        """(pulses, mean flow, least flow) of the window that ends now; flows in l/h.

        Between two pulses a meter tells no more than that one pulse's volume went through, so the least flow is that
        over the longest time between two, the running one among them.
        """
        pulses, self._pulses = self._pulses, 0
        flow = pulses * self._litres * _HOUR_MS / length_ms
        longest = max(self._longest, ticks_diff(now, self._last))
        self._longest = 0
        least = min(flow, self._litres * _HOUR_MS / longest) if longest else flow
        return pulses, round(flow, 1), round(least, 1)


class Water:
    """The register counts on over resets: it is kept in non-volatile memory at every window's end."""

    def __init__(self, pin, litres_per_pulse):
        self._litres = litres_per_pulse
        self._memory = esp32.NVS("meter")
        try:
            self._register = self._memory.get_i32("pulses")
        except OSError:
            self._register = 0
        self._flow = Flow(litres_per_pulse, ticks_ms())
        self._reed = Reed(pin, self._flow.pulse)
        self.tasks = (("reed", self._watch),)

    async def _watch(self):
        while True:
            self._reed.poll()
            self._flow.wait(ticks_ms())
            await asyncio.sleep_ms(_POLL_MS)

    def close_window(self, length_ms):
        self._reed.poll()
        pulses, flow, least = self._flow.close(length_ms, ticks_ms())
        if pulses:
            self._register += pulses
            self._memory.set_i32("pulses", self._register)
            self._memory.commit()
        return [
            ("volume", "l", self._register * self._litres),
            ("flow", "l/h", flow),
            ("flow_min", "l/h", least),
        ]
