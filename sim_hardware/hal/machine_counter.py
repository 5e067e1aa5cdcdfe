# `machine.Counter`: on the ESP32 it is Python over `esp32.PCNT` (ports/esp32/modules/machine.py, since 1.26).

import esp32

if not hasattr(esp32, "PCNT"):
    raise ImportError("can't import name Counter")

_LIMIT = 32_000  # at which the hardware falls to zero, and tells


class Counter:
    """There is one of each unit, whoever asks for it. Its pulses are counted as the hardware falls to zero again and
    again: up to 2**30 times, as the board's small integers go."""

    RISING = 1
    FALLING = 2
    UP = esp32.PCNT.INCREMENT
    DOWN = esp32.PCNT.DECREMENT

    _all = {}

    def __new__(cls, id, *settings, **more):
        if id not in cls._all:
            counter = object.__new__(cls)
            counter._id, counter._pcnt = id, None
            cls._all[id] = counter
        return cls._all[id]

    def __init__(self, id, *settings, **more):
        if self._pcnt is None:
            self._pcnt = esp32.PCNT(id, min=-_LIMIT, max=_LIMIT)
        elif not settings and not more:
            return  # it is only looked for
        self._begin(*settings, **more)

    def init(self, *settings, **more):
        self.__init__(self._id, *settings, **more)

    def _begin(self, src, edge=RISING, direction=UP, *, filter_ns=0):
        ignore = esp32.PCNT.IGNORE
        self._pcnt.init(
            pin=src,
            rising=direction if edge & self.RISING else ignore,
            falling=direction if edge & self.FALLING else ignore,
            # In cycles of 80 MHz. What is longer than the hardware can is as long as it can.
            filter=min(max(0, filter_ns * 80 // 1000), 1023),
            value=0,
        )
        self._falls = self._offset = 0
        self._pcnt.irq(self._fell, esp32.PCNT.IRQ_MIN | esp32.PCNT.IRQ_MAX)
        self._pcnt.start()

    def _fell(self, pcnt):
        flags = pcnt.irq().flags()
        if flags & esp32.PCNT.IRQ_MIN:
            self._falls -= 1
        elif flags & esp32.PCNT.IRQ_MAX:
            self._falls += 1

    def value(self, new=None):
        if self._pcnt is None:
            raise RuntimeError("not initialised")
        now = self._pcnt.value()  # which calls `_fell` first, if that is due
        count = self._falls * _LIMIT + now + self._offset
        if new is not None:
            self._falls = 0
            self._offset = new - now
        return count

    def deinit(self):
        if self._pcnt:
            self._pcnt.deinit()
            self._pcnt = None
