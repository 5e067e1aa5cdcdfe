# A wake of a node that lives on a battery. Almost all are of a contact in the meter: then nothing is loaded but this
# file and what counts, no file is read, and after some 30 ms the board sleeps again.
#
# The chip wakes by levels, not by edges: so each contact is awaited at the level that it does not have, and whatever it
# does while nobody looks wakes the board.

import struct
from time import gmtime, sleep_ms, ticks_diff, ticks_ms, time_ns

import esp32
import machine
from drivers.reed import BOUNCE_MS, Turns
from machine import Pin
from micropython import const

from node.register import Register
from node.scratch import SLEEP, Scratch

NONE = const(255)  # no such pin
NEVER = (1 << 64) - 1

# Bits of `flags`
WANTED = const(1)  # there is something to report at once
OPEN = const(2)  # the housing was open when it was last looked at
BURST = const(4)  # more ran than the limit, and that was reported
DRIFTS = const(8)  # `drift` has been measured

_FIELDS = (
    "reed",  # pins
    "reed_b",
    "tamper",
    "litres",  # a pulse
    "flags",
    "failures",  # reports in a row
    "boot",
    "seq",
    "end",  # of the window, in Unix s
    "began",
    "report",  # when it is due
    "synced",  # when the clock was last corrected; 0 for never
    "drift",  # ppm by which it loses
    "volume",  # l when the window began
    "burst",  # pulses that are too many within it
    "wakes",  # since the boot
    "awake",  # ms
)
_LAYOUT = "<BBBBBBIIIIIIiQQII"

_EPOCH = 946_684_800 if gmtime(0)[0] == 2000 else 0
_LOOKS = const(20)
_STORM_MS = const(1_000)  # contacts that never rest must not keep the board awake for ever
_LID_MS = const(100)  # a lid that is walked on rattles
# A boot costs as much as a light sleep that is a hundred times longer, and takes so long that a short pulse would be
# over: water that runs is waited for in light sleep.
_NAP_MS = const(10_000)
_WATCHDOG_MS = const(60_000)
_REVERSE = const(2)  # bit of what sensors/meter.py has told


class Sleep:
    """What is kept over a sleep: see `_FIELDS`. All zero at first."""

    def __init__(self, kept=None):
        values = struct.unpack(_LAYOUT, kept) if kept else (0,) * len(_FIELDS)
        for name, value in zip(_FIELDS, values):
            setattr(self, name, value)

    def keep(self, scratch):
        scratch.write(SLEEP, struct.pack(_LAYOUT, *[getattr(self, name) for name in _FIELDS]))

    def now_ms(self):
        """Unix ms: what the clock says, less what it must have gained or lost since it was last right."""
        rtc = time_ns() // 1_000_000 + _EPOCH * 1000
        return rtc + (rtc - self.synced * 1000) * self.drift // 1_000_000 if self.synced else rtc

    def next(self):
        """Unix s at which the clock must wake the board."""
        return min(self.end, self.report)


def _read(pin):
    # Made anew each time: a pin that could wake the chip is no ordinary one after a sleep.
    return Pin(pin, Pin.IN, Pin.PULL_UP).value()


class Meter:
    """The contacts of a board that has just woken. What they did goes into the register."""

    def __init__(self, scratch, state):
        self._state = state
        self._pins = (state.reed,) if state.reed_b == NONE else (state.reed, state.reed_b)
        self._memory = esp32.NVS("meter")
        self.register = Register(scratch, self._memory)
        self.turns = Turns(self._levels(), ticks_ms(), self.register.contacts)

    def _levels(self):
        return [_read(pin) for pin in self._pins]

    def look(self):
        """Wait until all contacts rest as they have settled: whether any has changed; None when they do not rest."""
        moved = False
        for _ in range(_LOOKS):
            levels = self._levels()
            self.turns.feed(levels, ticks_ms(), self._settled)
            if sum([level << i for i, level in enumerate(levels)]) == self.settled():
                return moved
            moved = True
            sleep_ms(BOUNCE_MS)
        return None

    def _settled(self, turn, at):
        self.register.note(turn, self.turns.state())

    def settled(self):
        """The contacts' levels as bits."""
        return self.turns.state()[1]

    def urgent(self):
        """Whether something has happened that must be reported at once."""
        state = self._state
        if state.tamper != NONE and _read(state.tamper) != bool(state.flags & OPEN):
            sleep_ms(_LID_MS)
            if _read(state.tamper) != bool(state.flags & OPEN):
                return True
        backwards = self.turns.backwards() if len(self._pins) == 2 else None
        if backwards is not None and backwards != bool(told(self._memory) & _REVERSE):
            return True
        return self.register.forward >= state.burst


def told(memory):
    """The states that were told last, as sensors/meter.py keeps them in the NVS "meter"."""
    try:
        return memory.get_i32("told")
    except OSError:
        return 0


def run():
    """Count what has woken the board, and sleep again. Returns when there is more to do."""
    machine.WDT(timeout=_WATCHDOG_MS)
    scratch = Scratch()
    kept = scratch.read(SLEEP)
    if not kept:
        return
    state = Sleep(kept)
    meter = Meter(scratch, state)
    napped = 0
    while True:
        moved = meter.look()
        if meter.urgent():
            state.flags |= WANTED
        left = state.next() * 1000 - state.now_ms()
        if state.flags & WANTED or left <= 0:
            _count(state, napped)
            state.keep(scratch)
            return
        if not moved:
            break
        _arm(state, meter.settled())
        began = ticks_ms()
        machine.lightsleep(min(_NAP_MS, left))
        napped += ticks_diff(ticks_ms(), began)
    sleep(scratch, state, meter.settled(), napped, moved is None)


def _count(state, napped):
    state.wakes += 1
    # The ticks begin with the boot.
    state.awake = state.awake + ticks_ms() - napped & 0xFFFFFFFF


def sleep(scratch, state, settled, napped=0, storm=False):
    """Keep the state and sleep until the next window's end or report, or until a contact is not as it has `settled`.

    Does not return: the board boots.
    """
    _count(state, napped)
    if state.tamper != NONE:
        state.flags = state.flags & ~OPEN | (OPEN if _read(state.tamper) else 0)
    state.keep(scratch)
    wait = state.next() * 1000 - state.now_ms()
    # The clock that loses time also sleeps too long.
    wait = max(1, wait * 1_000_000 // (1_000_000 + state.drift) + 1)
    if storm:
        esp32.wake_on_ext0(None, False)
        esp32.wake_on_ext1((), False)
        machine.deepsleep(min(wait, _STORM_MS))
    _arm(state, settled)
    machine.deepsleep(wait)


def _arm(state, settled):
    """One pin has a waker of its own; the other waker takes several pins, but waits for one level of them."""
    esp32.wake_on_ext0(Pin(state.reed, Pin.IN, Pin.PULL_UP), not settled & 1)
    pins, high = [], True
    if state.reed_b != NONE:
        pins.append(Pin(state.reed_b, Pin.IN, Pin.PULL_UP))
        high = not settled & 2
    # An open housing, or one beside a second contact that is awaited low, is looked at when something else wakes.
    if state.tamper != NONE and high and not state.flags & OPEN:
        pins.append(Pin(state.tamper, Pin.IN, Pin.PULL_UP))
    esp32.wake_on_ext1(pins, high)
