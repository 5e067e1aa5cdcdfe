# `esp32` as far as the firmware uses it: non-volatile storage, heap figures, the chip's own thermometer, PCNT.
# Where it differs: docs/emulation.md.

import gc
import json
import os

from world import line, world

HEAP_DATA = 4
HEAP_EXEC = 1


def __getattr__(name):
    if name == "PCNT":
        from esp32_pcnt import PCNT, UNITS

        if UNITS:
            globals()[name] = PCNT
            return PCNT
    raise AttributeError(name)


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
_KEY = 15  # characters at most: NVS_KEY_NAME_MAX_SIZE, less its end


class NVS:
    """Key-value flash. What was set is gone at a reset unless `commit` was called: a chip may have kept it."""

    def __init__(self, namespace):
        _check(namespace)
        self._path = world.folder + "/nvs-" + namespace + ".json"
        if self._path not in _opened:
            try:
                with open(self._path) as f:
                    _opened[self._path] = json.load(f)
            except OSError:
                _opened[self._path] = {}
        self._values = _opened[self._path]

    def _get(self, key, kind=(int, str)):
        _check(key)
        value = self._values.get(key)
        if not isinstance(value, kind):  # one of another kind is not found either
            raise OSError(-4354, "ESP_ERR_NVS_NOT_FOUND")
        return value

    def get_i32(self, key):
        return self._get(key, int)

    def set_i32(self, key, value):
        _check(key)
        if not -(1 << 31) <= value < 1 << 31:
            raise OverflowError("overflow converting long int to machine word")
        self._values[key] = value

    def get_blob(self, key, buffer):
        data = bytes.fromhex(self._get(key, str))
        if len(data) > len(buffer):
            raise OSError(-4364, "ESP_ERR_NVS_INVALID_LENGTH")
        buffer[: len(data)] = data
        return len(data)

    def set_blob(self, key, value):
        _check(key)
        self._values[key] = bytes(value).hex()

    def erase_key(self, key):
        self._get(key)
        del self._values[key]

    def commit(self):
        with open(self._path + ".new", "w") as f:
            json.dump(self._values, f)
        os.rename(self._path + ".new", self._path)


def _check(name):
    if len(name) > _KEY:
        raise OSError(-4361, "ESP_ERR_NVS_KEY_TOO_LONG")


def raw_temperature():
    """Of the chip, in degrees Fahrenheit. Only the first ESP32 has it; its successors have `mcu_temperature`."""
    return 117


def idf_heap_info(capabilities):
    """[(total, free, largest free block, least free ever)]: the interpreter's heap stands in for the IDF's."""
    gc.collect()
    free = gc.mem_free()
    return [(free + gc.mem_alloc(), free, free, free)]
