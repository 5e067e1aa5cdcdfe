# Pulses of one or two reed contacts -> registers, flow, least flow; with them, if it is there, the temperature of the
# pit, and whether its lid is open.

import asyncio
from time import ticks_diff, ticks_ms

import esp32
from drivers.contact import Switch
from drivers.reed import BOUNCE_MS, Reed
from micropython import const
from node.register import Register

from sensors.mean import Mean

_POLL_MS = const(5_000)  # edges are told by interrupts; this is for one that was lost
_CHECKPOINT_MS = const(60_000)
_SAMPLE_MS = const(10_000)
_HOUR_MS = const(3_600_000)
_DAY_MS = const(86_400_000)  # ticks are good for differences of up to six days
_LID_MS = const(100)  # a lid that is walked on rattles

_COLDEST_CEL = const(-40)  # no pit is colder: what says so is a broken cable
_FROST_CEL = const(3)  # a pipe in the pit's wall is colder than its middle
_THAW_CEL = const(4)
_REFUSED = const(6)  # answers in a row that are no readings, after which the thermometer is reported and begun anew


class Flow:
    """Pulses of a window -> litres, mean and least flow. Pure: fed with ticks in ms."""

    def __init__(self, litres_per_pulse, now):
        self._litres = litres_per_pulse
        self._last = now  # the last pulse; the start before the first
        self._gap = None  # between the last two pulses
        self._longest = 0  # between two pulses that followed each other in this window
        self._pulses = 0
        self._any = False

    def pulse(self, at):
        gap = ticks_diff(at, self._last)
        if self._any:
            self._gap = gap
        self._any = True
        self._pulses += 1
        self._longest = max(self._longest, gap)
        self._last = at

    def wait(self, now):
        """Time passes without a pulse; beyond a day it makes no difference, but the ticks would wrap."""
        if ticks_diff(now, self._last) > _DAY_MS:
            self._last = now - _DAY_MS

    def rate(self, now):
        """The flow (l/h) at this moment, as far as the last two pulses and the wait since then tell; None before."""
        if not self._gap:
            return None
        return round(self._litres * _HOUR_MS / max(self._gap, ticks_diff(now, self._last)), 1)

    def close(self, length_ms, now):
        """(pulses, mean flow, least flow) of the window that ends now; flows in l/h.

        Between two pulses a meter tells no more than that one pulse's volume went through, so the least flow is that
        over the longest time between two, the running one among them.
        """
        pulses, self._pulses = self._pulses, 0
        flow = pulses * self._litres * _HOUR_MS / length_ms
        longest = max(self._longest, ticks_diff(now, self._last))
        self._longest = 0
        least = min(flow, self._litres * _HOUR_MS / longest) if longest else flow
        return pulses, round(flow, 1), round(least, 1)


class States:
    """States that are told when they change: `tell(name, on, on_event)`, from tasks.

    What was told last is kept in non-volatile memory, so a change over a reset is told too. What is on is told again
    after each start, because its pack may have been lost with the node's memory.
    """

    _NAMES = ("tamper", "reverse_flow", "frost")  # bits of the number that is kept

    def __init__(self, nvs):
        self._nvs = nvs
        try:
            self._told = nvs.get_i32("told")
        except OSError:
            self._told = 0
        self._again = self._told

    def tell(self, name, on, on_event):
        bit = 1 << self._NAMES.index(name)
        if on == bool(self._told & bit) and not (on and self._again & bit):
            return
        on_event([(name, "", on)])
        self._again &= ~bit
        told = self._told | bit if on else self._told & ~bit
        if told != self._told:
            self._told = told
            self._nvs.set_i32("told", told)
            self._nvs.commit()


class Meter:
    def __init__(self, board, settings, scratch):
        self._litres = settings["litres_per_pulse"]
        self._reversible = settings["reeds"] == 2
        memory = esp32.NVS("meter")
        self._register = Register(scratch, memory)
        self._states = States(memory)
        self._flow = Flow(self._litres, ticks_ms())
        self._reed = Reed((board.REED, board.REED_B) if self._reversible else (board.REED,), self._register.contacts)
        self._moved = asyncio.ThreadSafeFlag()
        self._reed.start(self._settled, self._moved.set)
        self._reed.poll(self._begin)
        self._tamper = Switch(board.TAMPER, _LID_MS) if settings["tamper"] else None
        self._wire = board.ONEWIRE if settings["temperature"] else None
        self._mean = Mean()
        self._cel = None
        self.refused = 0  # answers of the thermometer that were no readings
        self.on_event = lambda readings: None
        self.tasks = (("reed", self._watch), ("turns", self._settle), ("register", self._keep))
        if self._wire is not None:
            self.tasks += (("ds18b20", self._measure),)

    def _settled(self, turn, at):
        # Written before anything else: a reset may come at any moment.
        self._register.note(turn, self._reed.turns.state())
        if turn > 0:
            self._flow.pulse(at)

    def _begin(self):
        # From now on there is a record: without one it would look as if power had been lost.
        self._register.note(0, self._reed.turns.state())

    def _tell(self, name, on):
        self._states.tell(name, on, self.on_event)

    async def _watch(self):
        if self._register.restored:
            self.on_event([("register_restored", "", True)])
            self._reed.poll(lambda: self._register.told(self._reed.turns.state()))
        while True:
            self._reed.poll(lambda: self._flow.wait(ticks_ms()))
            backwards = self._reed.turns.backwards() if self._reversible else None
            if backwards is not None:
                self._tell("reverse_flow", backwards)
            if self._tamper:
                self._tell("tamper", self._tamper.take())
            await asyncio.sleep_ms(_POLL_MS)

    async def _settle(self):
        """A turn is noted as soon as its contact is still: until then a loss of power may cost it."""
        while True:
            await self._moved.wait()
            await asyncio.sleep_ms(2 * BOUNCE_MS)
            self._moved.clear()
            self._reed.poll()

    async def _keep(self):
        """Tries again what the flash refused at a window's end; if it still does, that is an error to be seen."""
        while True:
            await asyncio.sleep_ms(_CHECKPOINT_MS)
            self._register.checkpoint()

    async def _measure(self):
        from drivers import ds18b20

        try:
            await self._sample(ds18b20.DS18B20(ds18b20.bus(self._wire)), ds18b20.CONVERT_MS)
        finally:
            self._cel = None

    async def _sample(self, thermometer, convert_ms):
        refused = 0
        while True:
            thermometer.start()
            await asyncio.sleep_ms(convert_ms)
            try:
                self._cel = thermometer.read()
                if self._cel < _COLDEST_CEL:
                    raise ValueError("%g Cel cannot be" % self._cel)
            except ValueError:
                # Now and then a bit is lost: the radio's interrupts disturb the timing of the bus.
                self._cel = None
                self.refused += 1
                refused += 1
                if refused == _REFUSED:
                    raise
            else:
                refused = 0
                self._mean.add(self._cel)
                if self._cel <= _FROST_CEL:
                    self._tell("frost", True)
                elif self._cel > _THAW_CEL:
                    self._tell("frost", False)
            await asyncio.sleep_ms(_SAMPLE_MS)

    def close_window(self, length_ms):
        counts, (_, flow, least) = self._reed.poll(
            lambda: (self._volumes(), self._flow.close(length_ms, ticks_ms())),
        )
        try:
            self._register.checkpoint()
        except OSError:
            pass  # RTC memory has it, and `_keep` tries again
        return counts + [
            ("flow", "l/h", flow),
            ("flow_min", "l/h", least),
            ("temperature", "Cel", self._mean.take(2)),
        ]

    def save(self):
        """Power is failing: the register goes where it will be found again."""
        self._register.checkpoint()

    def sample(self):
        counts, flow = self._reed.poll(lambda: (self._volumes(), self._flow.rate(ticks_ms())))
        return counts + [("flow", "l/h", flow), ("flow_min", "l/h", None), ("temperature", "Cel", self._cel)]

    def _volumes(self):
        found = [("volume", "l", self._register.forward * self._litres)]
        if self._reversible:
            found.append(("reverse_volume", "l", self._register.reverse * self._litres))
        return found
