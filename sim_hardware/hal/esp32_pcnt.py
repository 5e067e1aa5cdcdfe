# The pulse counters of `esp32`: 16 bits of hardware that see every edge, whatever the program does.

from machine import _SAME, Pin, _chip, _interrupt

UNITS = {"esp32": 8, "esp32s3": 4, "esp32c3": 0}[_chip]


class PCNT:
    """There is one of each unit, whoever asks for it; asked for again it begins anew.

    It falls to zero at either limit. The level of a second pin (`mode_pin`) and a second channel are not emulated.
    """

    IGNORE = 0
    INCREMENT = 1
    DECREMENT = 2
    IRQ_ZERO = 0x01
    IRQ_THRESHOLD0 = 0x02
    IRQ_THRESHOLD1 = 0x04
    IRQ_MIN = 0x08
    IRQ_MAX = 0x10

    _all = {}

    def __new__(cls, id, **settings):
        if id not in cls._all:
            if not 0 <= id < UNITS:
                raise ValueError("invalid id")
            unit = cls._all[id] = object.__new__(cls)
            unit.number = 64 + id  # its ISR comes after those of the pins
            unit._line = None
            unit._irq = _Irq()
        return cls._all[id]

    def __init__(self, id, **settings):
        self.deinit()
        self._steps = 0, 0  # falling, rising
        self._min, self._max = -32768, 32767
        self._thresholds = None, None
        self._value = 0
        self.init(**settings)

    def init(
        self,
        *,
        channel=0,
        pin=None,
        rising=None,
        falling=None,
        min=None,
        max=None,
        filter=0,
        threshold0=None,
        threshold1=None,
        value=None,
    ):
        if channel:
            raise NotImplementedError("the emulation has one channel a unit")
        if pin is not None:
            self._leave()
            self._line = Pin(pin)._line
            self._line.counters.append(self)
        if rising is not None or falling is not None:
            self._steps = (0, 1, -1)[falling or 0], (0, 1, -1)[rising or 0]
        if not 0 <= filter <= 1023:
            raise ValueError("filter")
        if value:
            raise ValueError("value")  # it can be cleared, and nothing else
        if min is not None:
            if not -32768 <= min < 0:
                raise ValueError("minimum")
            self._min = min
        if max is not None:
            if not 0 < max <= 32767:
                raise ValueError("maximum")
            self._max = max
        low, high = self._thresholds
        self._thresholds = low if threshold0 is None else threshold0, high if threshold1 is None else threshold1
        if value is not None or threshold0 is not None or threshold1 is not None:
            self._value = 0
        self._events = {0: self.IRQ_ZERO, self._min: self.IRQ_MIN, self._max: self.IRQ_MAX}
        for threshold, flag in zip(self._thresholds, (self.IRQ_THRESHOLD0, self.IRQ_THRESHOLD1)):
            if threshold is not None:
                self._events[threshold] = self._events.get(threshold, 0) | flag

    def edge(self, level):
        step = self._steps[level]
        if step and self._running:
            self._value += step
            if self._value in self._events:
                self._reach()

    def _reach(self):
        flags = self._events[self._value]
        if flags & (self.IRQ_MIN | self.IRQ_MAX):
            self._value = 0
        if self._handler and self._irq.trigger & flags:
            self._irq.waiting |= flags & self._irq.trigger
            _interrupt(self)

    def value(self, new=None):
        """What is there, and 0 from then on if that is given. What its interrupt has to tell is told before."""
        if new:
            raise ValueError("value")
        while self._irq.waiting and self._handler:
            self._handler(self)
        count = self._value
        if new is not None:
            self._value = 0
        return count

    def irq(self, handler=_SAME, trigger=IRQ_ZERO):
        """`handler(pcnt)` at what `trigger` names; it must read `pcnt.irq().flags()`, which clears them."""
        if handler is not _SAME:
            if not 0 < trigger < 0x20:
                raise ValueError("trigger")
            self._handler, self._irq.trigger = handler, trigger if handler else 0
        return self._irq

    def start(self):
        self._running = True

    def stop(self):
        self._running = False

    def _leave(self):
        if self._line:
            self._line.counters.remove(self)
            self._line = None

    def deinit(self):
        self._leave()
        self._running = False
        self._handler = None
        self._irq.waiting = self._irq.trigger = 0

    def __repr__(self):
        return "PCNT(%d)" % (self.number - 64)


class _Irq:
    waiting = trigger = 0

    def flags(self):
        flags, self.waiting = self.waiting, 0
        return flags
