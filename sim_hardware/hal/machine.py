# `machine` as on the ESP32 (MicroPython 1.28), on top of the emulated world: what every board needs. The rest is in
# files of its own, which are loaded when they are first asked for. Where it differs: docs/emulation.md.

import struct
import sys
import time as _time

from world import FOREVER, SPIN, line, world

PWRON_RESET = 1
HARD_RESET = 2
WDT_RESET = 3
DEEPSLEEP_RESET = 4
SOFT_RESET = 5

PIN_WAKE = EXT0_WAKE = 2
EXT1_WAKE = 3
TIMER_WAKE = 4

SLEEP = 2  # what a pin ends, as `Pin.irq(wake=)` takes it
DEEPSLEEP = 4

RESET_EXIT = 80  # exit code 80 + cause: the fleet starts the board again, as its power supply would

_ELSEWHERE = {
    "I2C": "machine_i2c",
    "SoftI2C": "machine_i2c",
    "UART": "machine_uart",
    "ADC": "machine_adc",
    "Counter": "machine_counter",
}


def __getattr__(name):
    if name == "__all__":
        return [each for each in globals() if each[0] != "_"] + list(_ELSEWHERE)
    if name not in _ELSEWHERE:
        raise AttributeError(name)
    found = globals()[name] = getattr(__import__(_ELSEWHERE[name]), name)
    return found


def reset_cause():
    return world.reset_cause


def reset():
    sys.exit(RESET_EXIT + HARD_RESET)


def soft_reset():
    sys.exit(RESET_EXIT + SOFT_RESET)


# Interrupts go the way of ports/esp32/machine_pin.c and py/scheduler.c. At an edge the pin's ISR schedules its handler;
# eight calls are kept, what comes beyond is dropped, and nobody is told. They are made one after another between two
# steps of the program: here at once, as time passes nowhere else, but never while another runs or the program is within
# a C function that takes its time. While interrupts are off the chip keeps one mark a pin, however many edges come. So
# it does while flash is erased or programmed: the ISRs are in flash, and its cache is off (ESP-IDF, "Concurrency
# constraints for flash on SPI1").
_DEPTH = 8  # MICROPY_SCHEDULER_DEPTH

_scheduled = []  # (function, argument)
_marked = []  # whose interrupt no ISR has seen yet
_busy = 0  # handlers and C functions that the program is within
_off = 0  # bit 0: by `disable_irq`; the rest: flash operations
lost = 0  # interrupts that no handler was or will be called for. Emulation alone counts them


def _interrupt(source):
    """`source` has `number`, by which the ISRs run, and `_handler`."""
    global lost
    if not _off:
        _schedule(source._handler, source)
    elif source in _marked:
        lost += 1
    else:
        _marked.append(source)


def _schedule(function, argument):
    global _busy, lost
    if _busy:
        if len(_scheduled) < _DEPTH:
            _scheduled.append((function, argument))
        else:
            lost += 1
        return
    _busy += 1
    try:
        while True:
            try:
                function(argument)
            except Exception as error:  # noqa: BLE001 - as the scheduler: it is told, and the program goes on
                sys.print_exception(error)
            if not _scheduled:
                return
            function, argument = _scheduled.pop(0)
    finally:
        _busy -= 1
        world.stirred = True  # a handler may have set the flag that a task waits for


def _go_on():
    """Interrupts are possible again, or the program is: what has waited for it."""
    if not _off and _marked:
        marked = sorted(_marked, key=lambda source: source.number)
        _marked.clear()
        for source in marked:
            if source._handler:
                _schedule(source._handler, source)
    if not _busy and _scheduled:
        _schedule(*_scheduled.pop(0))


def stall(us, cached=True):
    """The program is within a C function for so long.

    Handlers wait meanwhile; without the cache the interrupts themselves do. Emulation alone has this.
    """
    global _busy, _off
    off = 0 if cached else 2
    _busy += 1
    _off += off
    try:
        world.pause(world.now + us)
    finally:
        _off -= off
        _busy -= 1
    _busy += 1
    _go_on()  # the ISRs come first, and fill the queue
    _busy -= 1
    _go_on()


def disable_irq():
    global _off
    state = _off & 1
    _off |= 1
    return state


def enable_irq(state):
    global _off
    _off = _off & ~1 | state & 1
    _go_on()


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

    began = world.now
    end = began + ms * 1_000_000_000 // (1_000_000 + world.rtc_ppm) if ms else FOREVER
    found = woken_by()
    while not found and world.now < end:
        # From one event to the next: any of them may move a pin.
        world.pause(max(world.now, min([end] + [source.at for source in world.sources])))
        found = woken_by()
    _time.drift((world.now - began) * world.rtc_ppm // 1_000_000)
    return found or TIMER_WAKE


def lightsleep(ms=0):
    """The clocks of pins, pulse counters and watchdog stand (ESP-IDF, "Sleep modes").

    When they run again they see where the pins are then: one edge at most.
    """
    global _reason
    asleep = [(each, each.level, each.watch, each.counters) for each in world.pins.values()]
    for each, _, _, _ in asleep:
        each.watch, each.counters = None, []
    due, WDT.at = WDT.at, FOREVER
    began = world.now
    _reason = _slept(ms)
    if due != FOREVER:
        WDT.at = due + world.now - began
    for each, level, watch, counters in asleep:
        each.watch, each.counters = watch, counters
        if each.level != level:
            for counter in counters:
                counter.edge(each.level)
            if watch:
                watch(each.level)


def deepsleep(ms=0):
    WDT.at = FOREVER
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
    """The MAC address: one of the locally administered ones, by the board's folder. No two of a fleet have the same."""
    from hashlib import sha256

    return b"\x02" + sha256(world.folder.split("/")[-1].encode()).digest()[:5]


_hz = 160_000_000


def freq(hz=None):
    global _hz
    if hz is None:
        return _hz
    if hz not in (20_000_000, 40_000_000, 80_000_000, 160_000_000, 240_000_000):
        raise ValueError("frequency must be 20MHz, 40MHz, 80Mhz, 160MHz or 240MHz")
    _hz = hz


def idle():
    _time.sleep_us(100)


_chip = getattr(world, "chip", "esp32")  # or "esp32s3", "esp32c3"; to be set before this is imported

# A bit for each pin that there is, and the first that can only be an input (machine_pin.h, machine_pin.c).
_PINS, _INPUTS = {
    "esp32": (0xFF_0EFF_FFFF, 34),
    "esp32s3": (0x1_FFFE_0427_FFFF, 64),
    "esp32c3": (0x3C_3FFF, 64),
}[_chip]
_SAME = object()


class Pin:
    """There is one of each pin, whoever asks for it."""

    IN = 1
    OUT = 3
    OPEN_DRAIN = 7
    PULL_UP = 2
    PULL_DOWN = 1
    IRQ_RISING = 1
    IRQ_FALLING = 2
    WAKE_LOW = 4
    WAKE_HIGH = 5

    _all = {}

    def __new__(cls, id, *settings, **more):
        number = id.number if isinstance(id, Pin) else id
        pin = cls._all.get(number)
        if pin is None:
            if not isinstance(number, int) or number < 0 or not _PINS >> number & 1:
                raise ValueError("invalid pin")
            pin = cls._all[number] = object.__new__(cls)
            pin.number = number
            pin._line = line(number)
            pin._handler = None
            pin._trigger = pin._latch = pin._drives = 0
        return pin

    def __init__(self, id, *settings, **more):
        if settings or more:
            self.init(*settings, **more)

    def init(self, mode=None, pull=-1, *, value=None, drive=None, hold=None):
        if mode is not None:
            if mode & 2 and self.number >= _INPUTS:
                raise ValueError("pin can only be input")
            self._drives = mode & 2
        if value is not None:
            self.value(value)
        elif mode == Pin.OUT:
            self._line.drive(self._latch)

    def value(self, level=None):
        if level is None:
            world.reads += 1
            if world.reads > SPIN:
                world.read()
            return self._line.level
        self._latch = 1 if level else 0
        if self._drives:
            self._line.drive(self._latch)

    __call__ = value

    def on(self):
        self.value(1)

    def off(self):
        self.value(0)

    def toggle(self):
        self.value(1 - self._latch)

    def irq(self, handler=_SAME, trigger=IRQ_FALLING | IRQ_RISING, wake=None):
        if trigger in (Pin.WAKE_LOW, Pin.WAKE_HIGH):
            self._wake(trigger == Pin.WAKE_HIGH, wake)
        elif handler is not _SAME:
            self._handler = handler
            self._trigger = trigger
            self._line.watch = self._edge if handler else None
        return _Irq(self)

    def _wake(self, high, wake):
        if wake is None:
            raise NotImplementedError("an interrupt by level, without wake=, would come without end")
        if not 2 <= wake <= 7:
            raise ValueError("bad wake value")
        from esp32 import wake_on_ext0

        wake_on_ext0(self, high)

    def _edge(self, level):
        if self._trigger & (1 if level else 2):
            if _off:
                _interrupt(self)
            else:
                _schedule(self._handler, self)

    def __repr__(self):
        return "Pin(%d)" % self.number


class _Irq:
    """What `Pin.irq` returns: called, it does as an edge does."""

    def __init__(self, pin):
        self._pin = pin

    def __call__(self):
        _interrupt(self._pin)

    def trigger(self, new=None):
        old = self._pin._trigger
        if new is not None:
            self._pin._trigger = new
        return old


class RTC:
    _SIZE = 2048

    def datetime(self, fields=None):
        if fields is None:
            y, mo, d, h, mi, s, wd = _time.gmtime()[:7]
            return (y, mo, d, wd, h, mi, s, _time.time_ns() // 1000 % 1_000_000)
        y, mo, d, _, h, mi, s, us = fields
        _time.set_rtc(_time.mktime((y, mo, d, h, mi, s, 0, 0)), us)

    init = datetime

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

    at = FOREVER

    def __init__(self, id=0, timeout=5000):
        if id != 0:
            raise ValueError
        if timeout <= 0:
            raise ValueError("WDT timeout too short")
        if WDT.at == FOREVER:
            world.add(self)
        WDT._timeout = timeout * 1000
        self.feed()

    def feed(self):
        WDT.at = world.now + WDT._timeout
        world.soon(WDT.at)

    def fire(self):
        sys.exit(RESET_EXIT + WDT_RESET)
