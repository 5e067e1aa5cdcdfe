"""Maxim DS18B20 thermometer on a 1-Wire bus (datasheet 19-7487 revision 6), with a supply of its own."""

from .noise import Noise

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_FAMILY = 0x28
_POWER_ON = 0x0550  # +85 Cel
_LOWEST, _HIGHEST = -55 * 16, 125 * 16
_AGED_H = 1_000
_CONVERT_MS = 750  # at 12 bits; half of it for each bit less

# What the chip does with the next bits of the bus.
_IDLE, _ROM, _MATCH, _SEARCH, _FUNCTION, _STORE = range(6)


def crc8(data: bytes) -> int:
    """Polynomial x8 + x5 + x4 + 1, lowest bit first, start 0 (CRC Generation)."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0x8C if crc & 1 else crc >> 1
    return crc


class DS18B20:
    """`cel()` gives the temperature around it; `clock_ms()` any running milliseconds.

    `reset` begins a transaction and tells whether it answers; `write_bit` and `read_bit` are the master's time slots.
    `age_h` is how long it has been in use: after 1000 hours of stress 0.2 Cel are the most it is off (DC Electrical
    Characteristics, Thermometer Drift). Faults: `drift` is a factor on the Cel, `stuck` repeats the last reading,
    `dead` never answers, `bad_crc` spoils the check byte of the scratchpad, `shorted` holds the bus down.
    """

    def __init__(
        self, clock_ms: "Callable[[], int]", cel: "Callable[[], float]", serial: int = 0x0123_4567_89AB, seed: int = 1
    ) -> None:
        self.drift = 1.0
        self.stuck = self.dead = self.bad_crc = self.shorted = False
        self.age_h = 0.0
        self._clock_ms = clock_ms
        self._cel = cel
        self._noise = Noise(seed)
        self._ageing = self._noise.around(0, 0.2 / _AGED_H)
        code = bytes([_FAMILY]) + serial.to_bytes(6, "little")
        self.rom = code + bytes([crc8(code)])
        self._eeprom = bytes([0x4B, 0x46, 0x7F])  # TH, TL, configuration, as delivered: 12 bits
        self._byte = 0  # what the master has written of a byte,
        self._bits = 0  # and how many bits of it
        self.power_on()

    def power_on(self) -> None:
        """Its supply was gone: the temperature is +85 until the first conversion has ended."""
        self._raw = _POWER_ON
        self._settings = self._eeprom
        self._ready_ms: int | None = None  # when the running conversion ends
        self._listen(_IDLE)

    def reset(self) -> bool:
        """A reset pulse; a conversion goes on through it."""
        if self.dead:
            return False
        self._listen(_ROM)
        return True

    def write_bit(self, bit: int) -> None:
        """The master writes a bit; eight make a byte, the lowest first."""
        if self.dead or self.shorted or self._phase == _IDLE:
            return
        if self._phase == _SEARCH:
            self._searched(bit)
            return
        self._byte |= bit << self._bits
        self._bits += 1
        if self._bits == 8:
            byte = self._byte
            self._byte = self._bits = 0
            self._received(byte)

    def read_bit(self) -> int:
        """The master reads a bit: 1, the bus at rest, unless the chip pulls it down."""
        if self.shorted:
            return 0
        if self.dead:
            return 1
        if self._phase == _SEARCH:
            self._asked += 1
            bit = self._rom_bit()
            return bit if self._asked == 1 else 1 - bit
        if self._sent < 8 * len(self._answer):
            bit = self._answer[self._sent >> 3] >> (self._sent & 7) & 1
            self._sent += 1
            return bit
        self._convert()
        return 0 if self._polled and self._ready_ms is not None else 1

    def _listen(self, phase: int) -> None:
        self._phase = phase
        self._byte = self._bits = 0
        self._place = 0  # bytes or bits that have passed in this phase
        self._asked = 0
        self._answer = b""
        self._sent = 0
        self._polled = False  # read slots tell whether the conversion has ended

    def _received(self, byte: int) -> None:
        if self._phase == _ROM:
            self._addressed(byte)
        elif self._phase == _MATCH:
            if byte != self.rom[self._place]:
                self._listen(_IDLE)
            elif self._place == 7:
                self._listen(_FUNCTION)
            else:
                self._place += 1
        elif self._phase == _STORE:
            fixed = (byte & 0x60) | 0x1F if self._place == 2 else byte
            self._settings = self._settings[: self._place] + bytes([fixed]) + self._settings[self._place + 1 :]
            self._place += 1
            if self._place == 3:
                self._listen(_IDLE)
        elif self._phase == _FUNCTION:
            self._listen(_IDLE)
            self._commanded(byte)

    def _addressed(self, command: int) -> None:
        if command == 0xCC:  # skip ROM
            self._listen(_FUNCTION)
        elif command == 0x55:
            self._listen(_MATCH)
        elif command == 0x33:  # read ROM
            self._listen(_FUNCTION)
            self._answer = self.rom
        elif command == 0xF0 or (command == 0xEC and self._alarmed()):
            self._listen(_SEARCH)
        else:
            self._listen(_IDLE)

    def _commanded(self, command: int) -> None:
        self._convert()
        if command == 0x44:  # convert T
            shift = 3 - (self._settings[2] >> 5 & 3)
            self._ready_ms = self._clock_ms() + ((_CONVERT_MS + (1 << shift) - 1) >> shift)
            self._polled = True
        elif command == 0xBE:  # read scratchpad
            data = self._scratchpad()
            self._answer = data + bytes([crc8(data) ^ (0xFF if self.bad_crc else 0)])
        elif command == 0x4E:  # write scratchpad
            self._listen(_STORE)
        elif command == 0x48:  # copy scratchpad
            self._eeprom = self._settings
        elif command == 0xB8:  # recall E2
            self._settings = self._eeprom
        # B4, read power supply: a chip with a supply of its own leaves the bus at rest.

    def _scratchpad(self) -> bytes:
        raw = self._raw & 0xFFFF
        return bytes([raw & 0xFF, raw >> 8]) + self._settings + b"\xff\x0c\x10"

    def _convert(self) -> None:
        """End the conversion that is due."""
        if self._ready_ms is None or self._clock_ms() < self._ready_ms:
            return
        self._ready_ms = None
        if self.stuck and self._raw != _POWER_ON:
            return
        raw = round((self._noise.around(self._cel(), 0.1) * self.drift + self._ageing * min(self.age_h, _AGED_H)) * 16)
        undefined = 3 - (self._settings[2] >> 5 & 3)
        self._raw = min(max(raw, _LOWEST), _HIGHEST) >> undefined << undefined

    def _alarmed(self) -> bool:
        high, low = ((each ^ 0x80) - 0x80 for each in self._settings[:2])
        return not low < self._raw >> 4 < high

    def _rom_bit(self) -> int:
        return self.rom[self._place >> 3] >> (self._place & 7) & 1

    def _searched(self, bit: int) -> None:
        """The master has chosen: chips with the other bit wait for the next reset."""
        if bit != self._rom_bit():
            self._listen(_IDLE)
        elif self._place == 63:
            self._listen(_FUNCTION)
        else:
            self._place += 1
            self._asked = 0
