# `machine` as on the ESP32, on top of the emulated world.

import struct
import sys
import time as _time

import utime
from world import FOREVER, line, world

PWRON_RESET = 1
HARD_RESET = 2
WDT_RESET = 3
DEEPSLEEP_RESET = 4
SOFT_RESET = 5

PIN_WAKE = EXT0_WAKE = 2
EXT1_WAKE = 3
TIMER_WAKE = 4

RESET_EXIT = 80  # exit code 80 + cause: the fleet starts the board again, as its power supply would


def reset_cause():
    return world.reset_cause


def reset():
    sys.exit(RESET_EXIT + HARD_RESET)


def soft_reset():
    sys.exit(RESET_EXIT + SOFT_RESET)


# A sleeping board is this process too: what hangs on its pins goes on until it wakes. A deep sleep ends with a reset;
# what the chip itself keeps over it is in `sleep.bin`: the time of waking and what the real-time clock then shows more
# than the world's (us), and why it woke. In sleep that clock, and the timer with it, runs on an RC oscillator.
_SLEEP = "<qqI"
_BOOT_US = 600_000  # from the wake to the first line of main.py, on a WROOM-32 with the stock image

_reason = 0


def wake_reason():
    return _reason


def _slept(ms):
    """Let time pass until a pin or the timer ends the sleep; which, as `wake_reason` has it."""
    from esp32 import woken_by

    def ready(ms, due):
        found = woken_by()
        if ms and not found:
            utime.sleep_ms(ms)
        return found

    began = world.now
    end = began + ms * 1_000_000_000 // (1_000_000 + world.rtc_ppm) if ms else FOREVER
    found = world.wait(end, ready) or woken_by() or TIMER_WAKE
    _time.drift((world.now - began) * world.rtc_ppm // 1_000_000)
    return found


def lightsleep(ms=0):
    global _reason
    _reason = _slept(ms)


def deepsleep(ms=0):
    WDT._due = None
    for each in world.pins.values():
        each.watch = None
    reason = _slept(ms)
    with open(world.folder + "/sleep.bin", "wb") as f:
        f.write(struct.pack(_SLEEP, world.now, _time.rtc_offset(), reason))
    sys.exit(RESET_EXIT + DEEPSLEEP_RESET)


def woken():
    """Go on after a deep sleep. The board's surroundings come after this."""
    global _reason
    with open(world.folder + "/sleep.bin", "rb") as f:
        now, offset, _reason = struct.unpack(_SLEEP, f.read())
    world.now = world.boot = now + _BOOT_US
    _time.drift(offset - _time.rtc_offset())


def unique_id():
    return b"\x02\x00\x00\x00\x00\x01"


def freq(hz=None):
    return 160_000_000


def idle():
    _time.sleep_us(100)


def disable_irq():
    return 0


def enable_irq(state):
    pass


class Pin:
    IN = 1
    OUT = 3
    OPEN_DRAIN = 7
    PULL_UP = 2
    PULL_DOWN = 1
    IRQ_RISING = 1
    IRQ_FALLING = 2

    def __init__(self, id, mode=-1, pull=-1, *, value=None, drive=None, hold=None):
        self.number = id
        self._line = line(id)
        self._handler = None
        self._trigger = 0
        if value is not None:
            self._line.drive(value)

    def init(self, mode=-1, pull=-1, *, value=None, drive=None, hold=None):
        if value is not None:
            self._line.drive(value)

    def value(self, level=None):
        if level is None:
            world.read()
            return self._line.level
        self._line.drive(1 if level else 0)

    __call__ = value

    def on(self):
        self._line.drive(1)

    def off(self):
        self._line.drive(0)

    def toggle(self):
        self._line.drive(1 - self._line.level)

    def irq(self, handler=None, trigger=IRQ_FALLING | IRQ_RISING, wake=None):
        self._handler = handler
        self._trigger = trigger
        self._line.watch = self._edge if handler else None

    def _edge(self, level):
        if self._trigger & (self.IRQ_RISING if level else self.IRQ_FALLING):
            self._handler(self)

    def __repr__(self):
        return "Pin(%d)" % self.number


class _Bus:
    """What I2C and SoftI2C share: the chips that hang on two pins."""

    def __init__(self, scl, sda, freq=400_000, timeout=50_000):
        self._chips = world.i2c.get((scl.number, sda.number), {})

    def _chip(self, address):
        world.read()
        if address not in self._chips:
            raise OSError(19)  # ENODEV: nobody acknowledged the address
        return self._chips[address]

    def scan(self):
        return sorted(address for address, chip in self._chips.items() if not chip.dead)

    def readfrom(self, address, n, stop=True):
        return self._chip(address).read(n)

    def readfrom_into(self, address, buffer, stop=True):
        buffer[:] = self._chip(address).read(len(buffer))

    def writeto(self, address, data, stop=True):
        self._chip(address).write(bytes(data))
        return len(data)

    def writevto(self, address, vector, stop=True):
        return self.writeto(address, b"".join(bytes(part) for part in vector), stop)

    def readfrom_mem(self, address, register, n, *, addrsize=8):
        chip = self._chip(address)
        chip.write(register.to_bytes(addrsize // 8, "big"))
        return chip.read(n)

    def readfrom_mem_into(self, address, register, buffer, *, addrsize=8):
        buffer[:] = self.readfrom_mem(address, register, len(buffer), addrsize=addrsize)

    def writeto_mem(self, address, register, data, *, addrsize=8):
        self._chip(address).write(register.to_bytes(addrsize // 8, "big") + bytes(data))


class I2C(_Bus):
    _PINS = {0: (18, 19), 1: (25, 26)}  # the ESP32 port's defaults

    def __init__(self, id, *, scl=None, sda=None, freq=400_000, timeout=50_000):
        if id not in self._PINS:
            raise ValueError("I2C(%s) doesn't exist" % id)
        default_scl, default_sda = self._PINS[id]
        super().__init__(scl or Pin(default_scl), sda or Pin(default_sda), freq, timeout)


class SoftI2C(_Bus):
    def __init__(self, scl, sda, *, freq=400_000, timeout=50_000):
        super().__init__(scl, sda, freq, timeout)


class UART:
    _PINS = {1: (10, 9), 2: (17, 16)}

    def __init__(self, id, baudrate=115_200, bits=8, parity=None, stop=1, *, tx=None, rx=None, rxbuf=256, **more):
        if id not in self._PINS:
            raise ValueError("UART(%s) doesn't exist" % id)
        default_tx, default_rx = self._PINS[id]
        key = (_number(tx, default_tx), _number(rx, default_rx))
        self._wire = world.uart.get(key)
        if self._wire:
            self._wire.size = rxbuf

    def any(self):
        world.read()
        return len(self._wire.buffer) if self._wire else 0

    def read(self, n=-1):
        world.read()
        return (self._wire.take(self.any() if n < 0 else n) if self._wire else b"") or None

    def readinto(self, buffer, n=-1):
        data = self.read(len(buffer) if n < 0 else min(n, len(buffer)))
        if data is None:
            return None
        buffer[: len(data)] = data
        return len(data)

    def readline(self):
        end = self._wire.buffer.find(b"\n") if self._wire else -1
        return self.read(end + 1) if end >= 0 else self.read()

    def write(self, data):
        if self._wire:
            self._wire.chip.receive(bytes(data))
        return len(data)

    def flush(self):
        pass

    def txdone(self):
        return True

    def poll_flags(self):
        return (1 if self._wire and self._wire.buffer else 0) | 4

    def deinit(self):
        pass


def _number(pin, default):
    if pin is None:
        return default
    return pin.number if isinstance(pin, Pin) else pin


class ADC:
    ATTN_0DB = 0
    ATTN_2_5DB = 1
    ATTN_6DB = 2
    ATTN_11DB = 3
    _ADC2 = (0, 2, 4, 12, 13, 14, 15, 25, 26, 27)

    def __init__(self, pin, *, atten=ATTN_11DB):
        self._pin = _number(pin, 0)

    def read_uv(self):
        if self._pin in self._ADC2:
            raise OSError(-259, "ESP_ERR_INVALID_STATE")  # ADC2 belongs to the radio
        # Calibrated readings come in steps of a millivolt and cannot see below about a tenth of a volt.
        return max(100_000, world.adc.get(self._pin, 0) // 1000 * 1000)

    def read_u16(self):
        return min(65_535, self.read_uv() * 65_535 // 3_100_000)


_LIMIT = 32_000


class Counter:
    """Pulse counter in hardware (PCNT), widened in software as MicroPython 1.26 does."""

    RISING = 1
    FALLING = 2
    UP = 1
    DOWN = 2

    def __init__(self, id, *args, **settings):
        from esp32 import PCNT

        self._pcnt = PCNT(id)
        if args or settings:
            self.init(*args, **settings)

    def init(self, src, *, edge=RISING, direction=UP, filter_ns=0):
        rising, falling = (1, 0) if edge == self.RISING else (0, 1)
        self._step = 1 if direction == self.UP else -1
        self._offset = 0
        self._pcnt.init(pin=src, rising=rising, falling=falling, min=-_LIMIT, max=_LIMIT, filter=filter_ns)

    def value(self, new=None):
        old = self._offset + self._step * (self._pcnt.wraps * _LIMIT + self._pcnt.value())
        if new is not None:
            self._offset += new - old
        return old


class RTC:
    _SIZE = 2048

    def datetime(self, fields=None):
        if fields is None:
            y, mo, d, h, mi, s, wd = _time.gmtime()[:7]
            return (y, mo, d, wd, h, mi, s, _time.time_ns() // 1000 % 1_000_000)
        y, mo, d, _, h, mi, s, us = fields
        _time.set_rtc(_time.mktime((y, mo, d, h, mi, s)), us)

    def memory(self, data=None):
        path = world.folder + "/rtc.bin"
        if data is None:
            try:
                with open(path, "rb") as f:
                    return f.read()
            except OSError:
                return b""
        if len(data) > self._SIZE:
            raise ValueError("buffer too long")
        # In place, and in one go: a board that is killed has either written it or not.
        same = len(data) == len(self.memory())
        with open(path, "r+b" if same else "wb") as f:
            f.write(data)


class WDT:
    """Cannot be stopped: a board that does not feed it in time starts anew. There is one; who asks again sets it."""

    _due = None

    def __init__(self, id=0, timeout=5000):
        if WDT._due is None:
            world.sources.append(self)
        WDT._timeout = timeout * 1000
        self.feed()

    def feed(self):
        WDT._due = world.now + WDT._timeout

    def due(self):
        return WDT._due

    def fire(self):
        sys.exit(RESET_EXIT + WDT_RESET)
