# A reed contact in a water meter: it closes once per pulse, and bounces.

from time import ticks_diff, ticks_ms

from machine import Pin

BOUNCE_MS = 30  # reeds bounce for a few ms at most; the shortest real pulse of a home meter is ten times longer


class Debounce:
    """Counts pulses. A level counts once it has been held for `BOUNCE_MS`, so spikes and bounces never do.

    Pure: fed with levels and ticks. Both edges may be fed late or be missing; the level alone is believed.
    """

    def __init__(self, level, now, hold_ms=BOUNCE_MS):
        self._hold = hold_ms
        self._level = self._settled = level
        self._since = now
        self.pulses = 0
        self.pulse_at = now  # ticks of the last pulse's closing; of the start before the first

    def feed(self, level, now):
        """The contact shows `level` (0 is closed) at `now` (ticks in ms)."""
        if self._level != self._settled and ticks_diff(now, self._since) >= self._hold:
            self._settled = self._level
            if not self._level:
                self.pulses += 1
                self.pulse_at = self._since
        if level != self._level:
            self._level = level
            self._since = now


class Reed:
    """Watches a pin. `on_pulse(ticks)` is called from `poll` and from the pin's interrupt; it must be quick."""

    def __init__(self, pin, on_pulse):
        self._pin = Pin(pin, Pin.IN, Pin.PULL_UP)
        self._contact = Debounce(self._pin.value(), ticks_ms())
        self._on_pulse = on_pulse
        self._busy = False
        self._pin.irq(self._edge, Pin.IRQ_FALLING | Pin.IRQ_RISING)

    def poll(self):
        """Settle what has been still since its last edge. Call at least once a second, never from an interrupt."""
        self._edge(self._pin)

    def _edge(self, pin):
        # A soft interrupt may come in the middle of `poll`: it leaves its edge to the next look at the level.
        if self._busy:
            return
        self._busy = True
        contact = self._contact
        before = contact.pulses
        contact.feed(pin.value(), ticks_ms())
        if contact.pulses != before:
            self._on_pulse(contact.pulse_at)
        self._busy = False
