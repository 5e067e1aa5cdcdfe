# The world behind an emulated board: its time, its wires, and what happens on them.
#
# Time here is an event queue that is paced by the real clock. The board's time never runs ahead of
# `start + real time x speed`, nor of what the city has told of itself; and it stops at every hardware event on the
# way, so an edge is handled at exactly the microsecond at which it happened, however fast the fleet runs or however
# busy the machine is: a slow machine makes a board late, never wrong. Only what arrives through sockets comes at real
# moments.
#
# All times in this file are integer microseconds since 1970; the interpreter has 63-bit small integers.

import struct

import utime

PACE = "<qqdqq"  # start of the city (us), monotonic start (us), speed, end of the city (us), recheck (real ms)
FOREVER = 1 << 62
SPIN = 200  # reads of the clock without a pause, after which a busy-waiting loop is given its time


class World:
    def __init__(self):
        self._pace_file = None
        self.start = self.mono = 0
        self.speed = 1.0
        self.end = FOREVER
        self.recheck = 1000
        self.now = self.boot = utime.time_ns() // 1000
        self.sources = []  # each has due() -> us or None, and fire()
        self.pins = {}  # number -> Line
        self.i2c = {}  # (scl, sda) -> {address: chip}
        self.uart = {}  # (tx, rx) -> Wire
        self.adc = {}  # pin number -> microvolts
        self.link_up = True
        self.reset_cause = 1
        self.rtc_ppm = 0  # by which the real-time clock is fast while the board sleeps
        self.folder = "."
        self.held = False  # time stands still while what was measured cannot leave as fast as time runs
        self.observer = None  # called whenever the program pauses, and when it has been idle for a while
        self._reads = 0
        self._checked = 0

    def follow(self, path):
        """Take the pace from the fleet's file, which may also change while the board runs."""
        self._pace_file = open(path, "rb")  # noqa: SIM115 - kept open for the life of the board
        self._read_pace()
        self.now = self.boot = self.real()

    def _read_pace(self):
        self._pace_file.seek(0)
        fields = struct.unpack(PACE, self._pace_file.read(struct.calcsize(PACE)))
        self.start, self.mono, self.speed, self.end, self.recheck = fields
        self._checked = utime.ticks_ms()

    def real(self):
        """How far the real clock allows the board's time to have come."""
        if self._pace_file is None:
            return utime.time_ns() // 1000
        if self.held:
            return self.now
        now = self.start + int((utime.ticks_us() - self.mono) * self.speed)
        # A city that runs faster than life ends up at the present; from there on it lives at its pace.
        if self.speed > 1:
            now = min(now, utime.time_ns() // 1000)
        # The end is as far as the city is known: it moves on with it, until the fleet stops the city's time.
        if now > self.end or utime.ticks_ms() - self._checked > self.recheck:
            self._read_pace()
        return min(now, self.end)

    def read(self):
        """The board reads its clock. A loop that does nothing else must see time pass."""
        self._reads += 1
        if self._reads > SPIN:
            self.pause(self.now + 100)
        return self.now

    def pause(self, until):
        """Blocking sleep: hardware goes on, the program does not."""
        self.wait(until, None)

    def come(self, due):
        """Be where the real clock allows, but no further than `due`."""
        self.now = max(self.now, min(self.real(), due))

    def wait(self, until, ready):
        """Let time pass until `until` or until `ready(ms, due)` returns something.

        It polls the sockets for so long; when one is ready it calls `come(due)`, for time has then passed outside.
        Hardware events on the way are handled at their own microsecond. Returns what `ready` found, or None.
        """
        if self.observer:
            self.observer()
        while True:
            self._reads = 0
            source, due = None, until
            for each in self.sources:
                at = each.due()
                if at is not None and at < due:
                    source, due = each, at
            behind = due - self.real()
            ms = 0
            if behind > 0 and due > self.now:
                ms = min(int(behind / self.speed) // 1000 + 1, self.recheck)
            if ready:
                found = ready(ms, due)
                if found:
                    return found
            elif ms:
                utime.sleep_ms(ms)
            real = self.real()  # once: asked again it may be past `due`
            if ms and due > real:
                self.now = max(self.now, real)
                if self.observer:
                    self.observer()
                continue
            self.now = max(self.now, due)
            if source is None:
                return None
            source.fire()


class Line:
    """One pin: its level, and who wants to know."""

    def __init__(self, level=0):
        self.level = level
        self.watch = None  # called with (rising: bool)
        self.counters = []  # hardware counters see every edge, whatever the program does

    def drive(self, level):
        if level == self.level:
            return
        self.level = level
        for counter in self.counters:
            counter.edge(level)
        if self.watch:
            self.watch(level)


class Wire:
    """A serial line to a chip: what the chip sends lands in the board's receive buffer, or is lost beyond it."""

    def __init__(self, chip):
        self.chip = chip
        self.size = 256
        self.buffer = b""

    def due(self):
        at = self.chip.due_ms()
        return None if at is None else at * 1000

    def fire(self):
        data = self.chip.transmit(world.now // 1000)
        if data:
            self.buffer = (self.buffer + data)[: self.size]

    def take(self, n):
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data


class Stimulus:
    """A device on pins that knows its next edge: next_us() and fire() -> (pin number, level)."""

    def __init__(self, device):
        self.device = device

    def due(self):
        return self.device.next_us()

    def fire(self):
        pin, level = self.device.fire()
        line(pin).drive(level)


def line(number):
    if number not in world.pins:
        world.pins[number] = Line()
    return world.pins[number]


def attach_i2c(scl, sda, chip):
    world.i2c.setdefault((scl, sda), {})[chip.address] = chip


def attach_uart(tx, rx, chip):
    wire = world.uart[(tx, rx)] = Wire(chip)
    world.sources.append(wire)


def attach_pins(device):
    world.sources.append(Stimulus(device))


world = World()
