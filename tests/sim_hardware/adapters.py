"""Puts the emulated chips behind the interfaces that drivers by others expect, in a time that only they move.

Nothing here waits: where a driver sleeps, or a line is silent, the clock goes on at once.
"""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Protocol
from unittest.mock import patch

ENODEV = 19


class I2CChip(Protocol):
    """See sim_hardware.chips."""

    address: int

    def write(self, data: bytes) -> None: ...
    def read(self, n: int) -> bytes: ...


class UARTChip(Protocol):
    """See sim_hardware.chips."""

    def receive(self, data: bytes) -> None: ...
    def due_ms(self) -> int | None: ...
    def transmit(self, now: int) -> bytes: ...


class Time:
    """The clock of chips and drivers, and a stand-in for the module `time`."""

    def __init__(self) -> None:
        self._us = 1_000_000_000

    def __call__(self) -> int:
        """Running milliseconds, as the chips want them."""
        return self._us // 1_000

    def sleep(self, s: float) -> None:
        self._us += round(s * 1e6)

    def monotonic(self) -> float:
        """A moment passes with each look, so that a loop that waits for a time sees it come."""
        self._us += 100
        return self._us / 1e6

    time = monotonic


@contextmanager
def moved(time: Time, *modules: ModuleType) -> Iterator[None]:
    """Within it, what these modules know of `time` is this clock's."""
    with patch.multiple(modules[0], **_times(time, modules[0])):
        if modules[1:]:
            with moved(time, *modules[1:]):
                yield
        else:
            yield


def _times(time: Time, module: ModuleType) -> dict[str, Any]:
    found = {"time": time, "sleep": time.sleep}
    return {name: value for name, value in found.items() if hasattr(module, name)}


def _module(name: str, **contents: Any) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(contents)
    return module


# What CircuitPython's drivers import of the board that they run on; most of it for annotations alone.
_BOARD = {
    module.__name__: module
    for module in (
        _module("micropython", const=lambda value: value),
        _module("busio", I2C=None, SPI=None, UART=None),
        _module("digitalio", DigitalInOut=None, Direction=None),
        _module("onewireio", OneWire=lambda bus: bus),
        _module("circuitpython_typing", ReadableBuffer=None, WriteableBuffer=None),
    )
}


def load(name: str) -> Any:
    """A driver's module; of the board that it thinks it is on, nothing stays behind."""
    before = {each: sys.modules[each] for each in _BOARD if each in sys.modules}
    sys.modules.update(_BOARD)
    try:
        return importlib.import_module(name)
    finally:
        for each in _BOARD:
            del sys.modules[each]
        sys.modules.update(before)


class Bus:
    """I2C as CircuitPython has it, and as Linux's SMBus has it."""

    def __init__(self, *chips: I2CChip) -> None:
        self._chips = {chip.address: chip for chip in chips}

    def _chip(self, address: int) -> I2CChip:
        if address not in self._chips:
            raise OSError(ENODEV)
        return self._chips[address]

    # CircuitPython

    def try_lock(self) -> bool:
        return True

    def unlock(self) -> None:
        pass

    def writeto(self, address: int, buffer: bytes, *, start: int = 0, end: int | None = None) -> None:
        self._chip(address).write(bytes(buffer[start:end]))

    def readfrom_into(self, address: int, buffer: bytearray, *, start: int = 0, end: int | None = None) -> None:
        size = len(buffer[start:end])
        buffer[start : start + size] = self._chip(address).read(size)

    # SMBus

    def read_i2c_block_data(self, address: int, register: int, size: int) -> list[int]:
        self._chip(address).write(bytes((register,)))
        return list(self._chip(address).read(size))

    def read_byte_data(self, address: int, register: int) -> int:
        return self.read_i2c_block_data(address, register, 1)[0]

    def read_word_data(self, address: int, register: int) -> int:
        return int.from_bytes(self.read_i2c_block_data(address, register, 2), "little")

    def write_byte_data(self, address: int, register: int, value: int) -> None:
        self._chip(address).write(bytes((register, value)))


class Transceiver:
    """I2C as Sensirion's drivers have it (their API version 1)."""

    API_VERSION = 1
    channel_count = None
    description = "emulated chips"
    _OK, _NACK = 0, 2

    def __init__(self, time: Time, *chips: I2CChip) -> None:
        self._time = time
        self._bus = Bus(*chips)

    def transceive(
        self, slave_address: int, tx_data: bytes | None, rx_length: int | None, read_delay: float, timeout: float
    ) -> tuple[int, Exception | None, bytes]:
        """(status, error, bytes read)"""
        received = bytearray(rx_length or 0)
        try:
            if tx_data is not None:
                self._bus.writeto(slave_address, tx_data)
            self._time.sleep(read_delay)
            if rx_length is not None:
                self._bus.readfrom_into(slave_address, received)
        except OSError as error:
            return self._NACK, error, b""
        return self._OK, None, bytes(received)


class Line:
    """A serial port as pyserial has it, with a chip at its other end. A read waits for `timeout` s at most."""

    def __init__(self, time: Time, chip: UARTChip, timeout: float) -> None:
        self.timeout = timeout
        self.is_open = True
        self.baudrate = 115_200
        self.port: str | None = None
        self._time = time
        self._chip = chip
        self._buffer = b""

    @property
    def in_waiting(self) -> int:
        """Bytes that have arrived by now."""
        while (due := self._chip.due_ms()) is not None and due <= self._time():
            self._buffer += self._chip.transmit(self._time())
        return len(self._buffer)

    def read(self, size: int = 1) -> bytes:
        """Up to `size` bytes."""
        left = round(self.timeout * 1000)
        while self.in_waiting < size and left > 0:
            due = self._chip.due_ms()
            wait = left if due is None else min(max(due - self._time(), 1), left)
            self._time.sleep(wait / 1000)
            left -= wait
        found, self._buffer = self._buffer[:size], self._buffer[size:]
        return found

    def write(self, data: bytes) -> int:
        self._chip.receive(bytes(data))
        return len(data)

    def reset_input_buffer(self) -> None:
        self._buffer = self._buffer[self.in_waiting :]

    def flush(self) -> None:
        pass

    # the names of pyserial before version 3
    flushInput = reset_input_buffer

    def inWaiting(self) -> int:
        return self.in_waiting


class Wire:
    """A 1-Wire bus as CircuitPython's `onewireio` has it: any number of chips, each of which may pull it down."""

    def __init__(self, *chips: Any) -> None:
        self._chips = chips

    def reset(self) -> bool:
        """True when nobody is there."""
        present = [chip.reset() for chip in self._chips]  # each must hear it
        return not any(present)

    def read_bit(self) -> bool:
        bits = [chip.read_bit() for chip in self._chips]  # each goes on by one
        return all(bits)

    def write_bit(self, value: bool) -> None:
        for chip in self._chips:
            chip.write_bit(int(value))
