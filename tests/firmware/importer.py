"""Imports the firmware on CPython, for its pure parts, and leaves no trace of it."""

import importlib
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from tests.micropython import ROOT

PACKAGES = ("boards", "drivers", "main", "node", "sensors")
_PERIOD = 1 << 30
_loaded: dict[str, ModuleType] = {}


def ticks_diff(a: int, b: int) -> int:
    """As on the ESP32, whose ticks wrap at 2**30."""
    return ((a - b + _PERIOD // 2) & (_PERIOD - 1)) - _PERIOD // 2


def ticks_add(ticks: int, delta: int) -> int:
    return (ticks + delta) & (_PERIOD - 1)


def _no_clock(*_: int) -> int:
    raise AssertionError("a pure part reads the clock")


def _stand_in(name: str, **contents: Any) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(contents)
    return module


_MODULES = {
    "micropython": _stand_in("micropython", const=lambda value: value),
    "machine": _stand_in("machine", Pin=None, I2C=None, UART=None, RTC=None),
    "esp32": _stand_in("esp32"),
    "network": _stand_in("network"),
}
_TIME = {
    "ticks_ms": _no_clock,
    "ticks_us": _no_clock,
    "sleep_ms": _no_clock,
    "ticks_diff": ticks_diff,
    "wire_ms": lambda ms: ms,
    "wire_sleep_ms": _no_clock,
}


def load(name: str) -> Any:
    """A firmware module, the same one each time. Only code that touches neither pins nor clock can run here."""
    with _firmware_in_sight():
        return importlib.import_module(name)


@contextmanager
def _firmware_in_sight() -> Iterator[None]:
    sys.path.insert(0, str(ROOT / "firmware"))
    sys.modules.update(_MODULES | _loaded)
    vars(time).update(_TIME)
    try:
        yield
    finally:
        for name in _TIME:
            delattr(time, name)
        for name in _MODULES:
            del sys.modules[name]
        for name in [each for each in sys.modules if each.partition(".")[0] in PACKAGES]:
            _loaded[name] = sys.modules.pop(name)
        sys.path.remove(str(ROOT / "firmware"))
