# The UARTs of `machine`, after ports/esp32/machine_uart.c. A line takes no time, and its rate does not matter.

from machine import Pin, _chip, stall
from world import world

_PINS = {1: (10, 9), 2: (17, 16)}  # (tx, rx) when nothing else is said
_UARTS = {"esp32": (1, 2), "esp32s3": (1, 2), "esp32c3": (1,)}[_chip]
_FIFO = 128  # bytes of the hardware; the driver wants a buffer that is larger


class UART:
    IRQ_RX = 0x01
    IRQ_BREAK = 0x02
    IRQ_RXIDLE = 0x1000

    def __init__(self, id, *settings, **more):
        if id not in _UARTS:
            # 0 is the console's, which is none of the emulated wires.
            raise ValueError("UART(%s) does not exist" % id)
        self._pins = _PINS[id]
        self._irq = None
        self._rxbuf, self._timeout, self._timeout_char = 256, 0, 0
        self._baudrate = 115_200
        self.init(*settings, **more)

    def init(
        self,
        baudrate=0,
        bits=8,
        parity=None,
        stop=1,
        *,
        tx=None,
        rx=None,
        rts=None,
        cts=None,
        txbuf=256,
        rxbuf=-1,
        timeout=-1,
        timeout_char=-1,
        invert=0,
        flow=0,
    ):
        """What is not given stays as it was. What had been received is gone."""
        if not 5 <= bits <= 8:
            raise ValueError("invalid data bits")
        if stop not in (1, 2):
            raise ValueError("invalid stop bits")
        if 0 <= rxbuf <= _FIFO:
            raise OSError(1, "ESP_FAIL")
        if baudrate:
            self._baudrate = baudrate
        if rxbuf >= 0:
            self._rxbuf = rxbuf
        if timeout >= 0:
            self._timeout = timeout
        if timeout_char >= 0:
            self._timeout_char = timeout_char
        self._pins = (
            self._pins[0] if tx is None else Pin(tx).number,
            self._pins[1] if rx is None else Pin(rx).number,
        )
        self._wire = world.uart.get(self._pins)
        if self._wire:
            self._wire.size = self._rxbuf
            self._wire.hear()
            self._wire.buffer = b""

    def deinit(self):
        self._wire = None

    def any(self):
        world.read()
        return self._wire.hear() if self._wire else 0

    def _take(self, n):
        """Up to `n` bytes: the first may take `timeout`, each after it that and `timeout_char`."""
        data, gap = b"", self._timeout
        while len(data) < n and (self.any() or gap and self._await(gap)):
            data += self._wire.take(n - len(data))
            gap = self._timeout + self._timeout_char
        return data

    def _await(self, ms):
        """Within the driver, where no handler runs, until something is there; whether it is."""
        until = world.now + ms * 1000
        while not self.any() and world.now < until:
            comes = self._wire.due() if self._wire else until
            stall(max(0, min(until, comes) - world.now))
        return self.any()

    def read(self, n=-1):
        return self._take(1 << 30 if n < 0 else n) or None

    def readinto(self, buffer, n=-1):
        data = self._take(len(buffer) if n < 0 else min(n, len(buffer)))
        buffer[: len(data)] = data
        return len(data) or None

    def readline(self, n=-1):
        line = b""
        while len(line) != n and line[-1:] != b"\n":
            byte = self._take(1)
            if not byte:
                break
            line += byte
        return line or None

    def write(self, data):
        if self._wire:
            self._wire.send(bytes(data))
        return len(data)

    def flush(self):
        pass

    def txdone(self):
        return True

    def sendbreak(self):
        pass

    def poll_flags(self):
        if self._wire and not self._wire.awaited:
            self._wire.wait()
        return (1 if self.any() else 0) | 4

    def irq(self, handler=None, trigger=0, hard=False):
        from machine_uart_irq import Irq

        if self._irq is None:
            self._irq = Irq(self)
        self._irq.set(handler, trigger, hard)
        return self._irq
