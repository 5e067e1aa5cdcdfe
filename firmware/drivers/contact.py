# Contacts to ground, on pins with pull-ups: 0 is closed. They bounce, and interrupts come in the middle of anything.

from time import ticks_diff, ticks_ms

from machine import Pin
from micropython import const

_LOOKS = const(8)  # in a row while interrupts keep coming; a contact that is not still by then has not settled either


class Debounce:
    """A level counts once it has been held for `hold_ms`, so spikes and bounces never do.

    Pure: fed with levels and ticks (ms). Edges may be fed late or be missing; the level alone is believed. `settled` is
    what counts, `settled_at` the ticks of the edge to it; `settled` may be handed in as it was before a reset.
    """

    def __init__(self, level, now, hold_ms, settled=None):
        self._hold = hold_ms
        self._level = level
        self._since = now
        self.settled = level if settled is None else settled
        self.settled_at = now

    def feed(self, level, now):
        """The contact shows `level` at `now`. True when another level has settled before that."""
        news = self._level != self.settled and ticks_diff(now, self._since) >= self._hold
        if news:
            self.settled = self._level
            self.settled_at = self._since
        if level != self._level:
            self._level = level
            self._since = now
        return news


class Contacts:
    """Some pins that are looked at together, by polls and at each edge.

    A look is never taken in the middle of another. A soft interrupt that comes during one loses no edge: one more look
    follows.
    """

    def __init__(self, pins):
        self._pins = [Pin(pin, Pin.IN, Pin.PULL_UP) for pin in pins]
        self._busy = self._missed = False

    def levels(self):
        return [pin.value() for pin in self._pins]

    def watch(self, see, moved=None):
        """From now on call `see(levels, now)` at each look, and `moved()` at each edge, also from interrupts: both must
        be quick."""
        self._see = see
        self._moved = moved
        for pin in self._pins:
            pin.irq(self._edge, Pin.IRQ_FALLING | Pin.IRQ_RISING)
        self.poll()  # an edge of before that was no interrupt yet

    def poll(self, work=None):
        """Look, then do `work()`, both undisturbed by interrupts; what that returned. Never call it from one."""
        found = None
        for _ in range(_LOOKS):
            self._busy = True
            self._missed = False
            try:
                now = ticks_ms()
                self._see(self.levels(), now)
                if work:
                    found, work = work(), None
            finally:
                self._busy = False
            if not self._missed:
                break
        return found

    def _edge(self, pin):
        if self._moved:
            self._moved()
        if self._busy:
            self._missed = True
        else:
            self.poll()


class Switch:
    """One contact that is closed as a rule, such as that of a housing."""

    def __init__(self, pin, hold_ms):
        self._contacts = Contacts((pin,))
        self._contact = Debounce(self._contacts.levels()[0], ticks_ms(), hold_ms)
        self._opened = bool(self._contact.settled)
        self._contacts.watch(self._see)

    def take(self):
        """Is it open, or was it since the last call? Call it about once a second."""
        return self._contacts.poll(self._take)

    def _take(self):
        opened = self._opened
        self._opened = bool(self._contact.settled)
        return opened

    def _see(self, levels, now):
        if self._contact.feed(levels[0], now) and self._contact.settled:
            self._opened = True
