# `esp32` as far as the firmware uses it: non-volatile storage, heap figures, the chip's own thermometer, PCNT.

import gc
import json
import os

from world import line, world

HEAP_DATA = 4
HEAP_EXEC = 1


WAKEUP_ALL_LOW = False
WAKEUP_ANY_HIGH = True
_RTC_PINS = (0, 2, 4, 12, 13, 14, 15, 25, 26, 27, 32, 33, 34, 35, 36, 37, 38, 39)

_ext0 = None  # (pin, level) that ends a sleep
_ext1 = (), WAKEUP_ALL_LOW


def wake_on_ext0(pin=None, level=False):
    """A sleep ends when this pin has this level, or does not begin. The pins are forgotten at a reset."""
    global _ext0
    _ext0 = None if pin is None else (_rtc_pin(pin), 1 if level else 0)


def wake_on_ext1(pins=None, level=WAKEUP_ALL_LOW):
    """Likewise for several: when all are low, or any is high."""
    global _ext1
    _ext1 = _ext1[0] if pins is None else tuple([_rtc_pin(pin) for pin in pins]), level


def _rtc_pin(pin):
    if pin.number not in _RTC_PINS:
        raise ValueError("invalid pin")
    return pin.number


def woken_by():
    """What ends a sleep now, as `machine.wake_reason` tells it; 0 for nothing. Emulation alone has this."""
    if _ext0 and line(_ext0[0]).level == _ext0[1]:
        return 2
    pins, high = _ext1
    levels = [line(pin).level for pin in pins]
    if pins and (any(levels) if high else not any(levels)):
        return 3
    return 0


_opened = {}  # what all handles of a namespace share


class NVS:
    """Key-value flash. What was set is gone at a reset unless `commit` was called."""

    def __init__(self, namespace):
        self._path = world.folder + "/nvs-" + namespace + ".json"
        if self._path not in _opened:
            try:
                with open(self._path) as f:
                    _opened[self._path] = json.load(f)
            except OSError:
                _opened[self._path] = {}
        self._values = _opened[self._path]

    def _get(self, key):
        if key not in self._values:
            raise OSError(-4354, "ESP_ERR_NVS_NOT_FOUND")
        return self._values[key]

    def get_i32(self, key):
        return self._get(key)

    def set_i32(self, key, value):
        if not -(1 << 31) <= value < 1 << 31:
            raise OverflowError("overflow converting long int to machine word")
        self._values[key] = value

    def get_blob(self, key, buffer):
        data = bytes.fromhex(self._get(key))
        if len(data) > len(buffer):
            raise OSError(-4364, "ESP_ERR_NVS_INVALID_LENGTH")
        buffer[: len(data)] = data
        return len(data)

    def set_blob(self, key, value):
        self._values[key] = bytes(value).hex()

    def erase_key(self, key):
        self._get(key)
        del self._values[key]

    def commit(self):
        with open(self._path + ".new", "w") as f:
            json.dump(self._values, f)
        os.rename(self._path + ".new", self._path)


class PCNT:
    """A hardware pulse counter: it sees every edge, and falls to zero at its limits."""

    INCREMENT = 1
    DECREMENT = 2
    IGNORE = 0

    def __init__(self, unit, **settings):
        if not 0 <= unit < 8:
            raise ValueError("PCNT unit must be 0..7")
        self._line = None
        self._running = True
        self.init(**settings)

    def init(self, *, pin=None, rising=IGNORE, falling=IGNORE, min=-32768, max=32767, filter=0, value=0, channel=0):
        self.deinit()
        self._steps = ({0: 0, 1: 1, 2: -1}[falling], {0: 0, 1: 1, 2: -1}[rising])
        self._min, self._max, self._value = min, max, value
        self.wraps = 0  # times it fell to zero, upwards less downwards; what the interrupt at a limit tells on a board
        if pin is not None:
            self._line = line(pin.number)
            self._line.counters.append(self)

    def edge(self, level):
        if self._running:
            self._value += self._steps[level]
            if self._value in (self._min, self._max):
                self.wraps += 1 if self._value == self._max else -1
                self._value = 0

    def value(self, new=None):
        old = self._value
        if new is not None:
            self._value = new
        return old

    def start(self):
        self._running = True

    def stop(self):
        self._running = False

    def deinit(self):
        if self._line:
            self._line.counters.remove(self)
            self._line = None


def raw_temperature():
    """Of the chip, in degrees Fahrenheit. Only the first ESP32 has it; its successors have `mcu_temperature`."""
    return 117


def idf_heap_info(capabilities):
    """[(total, free, largest free block, least free ever)]: the interpreter's heap stands in for the IDF's."""
    gc.collect()
    free = gc.mem_free()
    return [(free + gc.mem_alloc(), free, free, free)]
