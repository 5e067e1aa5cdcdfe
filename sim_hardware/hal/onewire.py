# `onewire` as in the ESP32's image: a 1-Wire bus on a pin, bit by bit. Its time slots take no time here.
#
# A chip has reset() -> bool (it answers with a presence pulse), write_bit(bit) and read_bit(); the bus is low when any
# chip pulls it down.

from world import world

_buses = {}  # pin number -> what makes a chip
_chips = {}  # pin number -> [chip], once a program has opened the bus
_MOST = 255  # chips that a scan finds: a bus that is held down looks like any number of them


def attach(number, make):
    """`make()` gives a chip on that pin. It is not called before a program opens the bus: a heap is small."""
    _buses.setdefault(number, []).append(make)


class OneWireError(Exception):
    pass


class OneWire:
    SEARCH_ROM = 0xF0
    MATCH_ROM = 0x55
    SKIP_ROM = 0xCC

    def __init__(self, pin):
        self.pin = pin
        pin.init(pin.OPEN_DRAIN, pin.PULL_UP)
        if pin.number not in _chips:
            _chips[pin.number] = [make() for make in _buses.get(pin.number, ())]
        self._chips = _chips[pin.number]

    def reset(self, required=False):
        world.read()
        present = False
        for chip in self._chips:
            present = chip.reset() or present
        if required and not present:
            raise OneWireError
        return present

    def readbit(self):
        level = 1
        for chip in self._chips:
            level &= chip.read_bit()
        return level

    def writebit(self, value):
        for chip in self._chips:
            chip.write_bit(value & 1)

    def readbyte(self):
        value = 0
        for i in range(8):
            value |= self.readbit() << i
        return value

    def writebyte(self, value):
        for i in range(8):
            self.writebit(value >> i)

    def readinto(self, buffer):
        for i in range(len(buffer)):
            buffer[i] = self.readbyte()

    def write(self, buffer):
        for value in buffer:
            self.writebyte(value)

    def select_rom(self, rom):
        self.reset()
        self.writebyte(self.MATCH_ROM)
        self.write(rom)

    def scan(self):
        """The ROM codes of all chips, each 8 bytes."""
        found, branches = [], [[]]  # beginnings of codes that are still to be followed
        while branches and len(found) < _MOST:
            bits = self._follow(branches.pop(), branches)
            if bits:
                found.append(bytearray(sum(bits[8 * i + j] << j for j in range(8)) for i in range(8)))
        return found

    def _follow(self, bits, branches):
        """One code that begins with `bits`; where chips differ it takes the 0, and notes the 1 in `branches`."""
        if not self.reset():
            return None
        self.writebyte(self.SEARCH_ROM)
        chosen, bits = bits, []
        for i in range(64):
            bit, complement = self.readbit(), self.readbit()
            if bit and complement:
                return None  # nobody is left
            if i < len(chosen):
                bit = chosen[i]
            elif bit == complement:
                branches.append(bits + [1])
            self.writebit(bit)
            bits.append(bit)
        return bits

    def crc8(self, data):
        crc = 0
        for byte in data:
            crc ^= byte
            for _ in range(8):
                crc = crc >> 1 ^ 0x8C if crc & 1 else crc >> 1
        return crc
