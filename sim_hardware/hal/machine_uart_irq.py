# `machine.UART.irq`: a handler that is called by bytes, or by silence after them.

from machine import _schedule
from world import FOREVER, Wire, world

_IDLE_US = 500  # at least


class Irq:
    def __init__(self, uart):
        self._uart = uart
        self._handler = None
        self.at = FOREVER
        self._trigger = self._flags = 0
        world.add(self)

    def set(self, handler, trigger, hard):
        if trigger & ~0x1003:
            raise ValueError("trigger 0x%04x unsupported" % (trigger & ~0x1003))
        if hard:
            raise ValueError("hard IRQ is not supported")
        self._handler, self._trigger = handler, trigger
        if self._uart._wire:
            self._uart._wire.fire = self._heard
            self._uart._wire.wait()

    def flags(self):
        return self._flags

    def trigger(self, new=None):
        old = self._trigger
        if new is not None:
            self._trigger = new
        return old

    def _heard(self):
        wire = self._uart._wire
        before = len(wire.buffer)
        Wire.fire(wire)
        if len(wire.buffer) == before:
            return
        if self._trigger & self._uart.IRQ_RXIDLE:
            # A timer of two characters that must run off twice.
            self.at = world.now + 2 * max(_IDLE_US, 20_000_000 // self._uart._baudrate)
        self._tell(self._uart.IRQ_RX)

    def fire(self):
        self.at = FOREVER
        self._tell(self._uart.IRQ_RXIDLE)

    def _tell(self, flag):
        if self._handler and self._trigger & flag:
            self._flags = flag
            _schedule(self._handler, self._uart)
