# The reed contacts in a water meter. One closes once per turn, and bounces; a second one, a quarter of a turn behind
# it, tells the direction.
#
# Two contacts divide a turn into four quarters. Forwards the first leads, so the quarters follow each other as
# numbered:
#
#    quarter   first    second         from \ to    0    1    2    3
#       0      closed   open               0        .   +1    ?   -1
#       1      closed   closed             1       -1    .   +1    ?
#       2      open     closed             2        ?   -1    .   +1
#       3      open     open               3       +1    ?   -1    .
#
# `?` is two quarters at once: what came between was missed, and the meter is believed to go on as it turned last.
#
# Between quarters 3 and 0 a mark is passed. To pass another mark than the last one is a turn; to pass the last one
# again, back or forth, is none. So shaking over any edge counts nothing, and each turn counted is a whole one. `place`
# is where the meter stands, in quarters from the mark that it passed last: 0 to 3 before it, -1 to -4 behind it.

from time import sleep_ms, ticks_diff, ticks_ms

from micropython import const

from drivers.contact import Contacts, Debounce

BOUNCE_MS = const(30)  # reeds bounce for a few ms at most; the shortest real pulse of a home meter is ten times longer

_CHARGE_MS = const(10)  # a pull-up of 45 kOhm and the 100 nF of the wiring: until then an open contact looks closed
_QUARTERS = (1, 2, 0, 3)  # by the levels: the first contact is bit 0, the second bit 1; 0 is closed
_SURE = const(2)  # turns in a row


class Turns:
    """Levels of one or two contacts -> turns. Pure: fed with levels and ticks (ms).

    `run` is the number of turns in a row that went the same way, at most 2; below 0 backwards. One contact alone takes
    every turn for one forwards.
    """

    def __init__(self, levels, now, kept=None):
        """`kept` is the `state()` of before a reset: what a contact did meanwhile is then counted like any change."""
        if kept:
            _, self._bits, self._place, self.run = kept
        else:
            self._bits = levels[0] | levels[1] << 1 if len(levels) == 2 else levels[0]
            # As a rule meters turn forwards: the mark behind is taken for the last that was passed.
            self._place = _QUARTERS[self._bits] if len(levels) == 2 else 0
            self.run = 0
        self._contacts = [Debounce(level, now, BOUNCE_MS, self._bits >> i & 1) for i, level in enumerate(levels)]

    def state(self):
        """(contacts, their settled levels as bits, place, run): small integers, all that must be kept over a reset."""
        return len(self._contacts), self._bits, self._place, self.run

    def feed(self, levels, now, on_settled):
        """The contacts show `levels` at `now`. For each that has settled before that `on_settled(turn, at)` is called.

        `turn` is 1 or -1 where that completes a turn forwards or backwards, else 0; `at` the ticks of the edge.
        """
        settled = [i for i, contact in enumerate(self._contacts) if contact.feed(levels[i], now)]
        if len(settled) == 2:
            first, second = self._contacts
            gap = ticks_diff(first.settled_at, second.settled_at)
            if gap == 0:
                on_settled(self._move(3), first.settled_at)
                return
            if gap > 0:
                settled = (1, 0)
        for i in settled:
            on_settled(self._move(1 << i), self._contacts[i].settled_at)

    def _move(self, changed):
        """Take the settled contacts (bits) over; the turn that completes."""
        before = self._bits
        self._bits = before ^ changed
        if len(self._contacts) == 1:
            turn = before  # open before, and so closed now
        else:
            quarters = (_QUARTERS[self._bits] - _QUARTERS[before]) & 3
            place = self._place + (0, 1, 2 if self.run >= 0 else -2, -1)[quarters]
            turn = 1 if place > 3 else -1 if place < -4 else 0
            self._place = place - 4 * turn
        if turn:
            run = self.run + turn if self.run * turn > 0 else turn
            self.run = max(-_SURE, min(_SURE, run))
        return turn

    def backwards(self):
        """True or False when the last turns in a row tell the direction, else None."""
        return self.run < 0 if abs(self.run) == _SURE else None


class Reed:
    """The pins of a meter's one or two contacts, the leading one first. `kept` as for `Turns`, if it is of as many."""

    def __init__(self, pins, kept=None):
        self._contacts = Contacts(pins)
        if kept and kept[0] != len(pins):
            kept = None
        if not kept:
            sleep_ms(_CHARGE_MS)
        self.turns = Turns(self._contacts.levels(), ticks_ms(), kept)
        self.poll = self._contacts.poll  # call it every few seconds

    def start(self, on_settled, moved=None):
        """From now on call `on_settled(turn, at)` as `Turns.feed` does, in polls and interrupts; it must be quick.

        `moved()` is called at each edge: what it leads to settles in a poll BOUNCE_MS later, or at the next edge.
        """
        self._on_settled = on_settled
        self._contacts.watch(self._see, moved)

    def _see(self, levels, now):
        self.turns.feed(levels, now, self._on_settled)
