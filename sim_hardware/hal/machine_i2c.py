# The I2C buses of `machine`. A transfer takes no time, unless a chip holds the clock: its `stretch_us`.

from machine import Pin, _chip, stall
from world import world

_ENODEV = 19  # nobody acknowledges
_ETIMEDOUT = 116  # newlib's number, not the host's 110
_LONGEST_US = 13_107  # that the hardware can wait for: 0xFFFFF cycles of 80 MHz (I2C_LL_MAX_TIMEOUT)


class _Bus:
    """What I2C and SoftI2C share: the chips that hang on two pins."""

    def __init__(self, scl, sda, timeout):
        self._chips = world.i2c.setdefault((Pin(scl).number, Pin(sda).number), {})
        self._timeout = timeout

    def _chip(self, address):
        world.read()
        chip = self._chips.get(address)
        if chip is None:
            raise OSError(_ENODEV)
        stretch = getattr(chip, "stretch_us", 0)
        if stretch:
            stall(min(stretch, self._timeout))
            if stretch > self._timeout:
                raise OSError(_ETIMEDOUT)
        return chip

    def scan(self):
        """Who acknowledges an empty write; eight addresses at either end are reserved."""
        return [address for address in sorted(self._chips) if 0x08 <= address < 0x78 and self._is_there(address)]

    def _is_there(self, address):
        try:
            self.writeto(address, b"")
        except OSError:
            return False
        return True

    def readfrom(self, address, n, stop=True):
        return self._chip(address).read(n)

    def readfrom_into(self, address, buffer, stop=True):
        buffer[:] = self._chip(address).read(len(buffer))

    def writeto(self, address, data, stop=True):
        chip = self._chip(address)
        if data:
            chip.write(bytes(data))
        elif chip.dead:
            raise OSError(_ENODEV)
        return len(data)

    def writevto(self, address, vector, stop=True):
        return self.writeto(address, b"".join(bytes(part) for part in vector), stop)

    def readfrom_mem(self, address, register, n, *, addrsize=8):
        chip = self._chip(address)
        chip.write(_place(register, addrsize))
        return chip.read(n)

    def readfrom_mem_into(self, address, register, buffer, *, addrsize=8):
        buffer[:] = self.readfrom_mem(address, register, len(buffer), addrsize=addrsize)

    def writeto_mem(self, address, register, data, *, addrsize=8):
        self._chip(address).write(_place(register, addrsize) + bytes(data))


def _place(register, bits):
    if bits & 7 or not 0 <= bits <= 32:
        raise ValueError("invalid addrsize")
    return (register & (1 << bits) - 1).to_bytes(bits // 8, "big")


# (scl, sda) of each bus when nothing else is said
_PINS = {"esp32": ((18, 19), (25, 26)), "esp32s3": ((9, 8), (9, 8)), "esp32c3": ((9, 8),)}[_chip]


class I2C(_Bus):
    def __init__(self, id=0, *, scl=None, sda=None, freq=400_000, timeout=50_000):
        if not 0 <= id < len(_PINS):
            raise ValueError("I2C(%s) doesn't exist" % id)
        pins = _PINS[id]
        super().__init__(pins[0] if scl is None else scl, pins[1] if sda is None else sda, min(timeout, _LONGEST_US))


class SoftI2C(_Bus):
    def __init__(self, scl, sda, *, freq=400_000, timeout=50_000):
        super().__init__(scl, sda, timeout)
