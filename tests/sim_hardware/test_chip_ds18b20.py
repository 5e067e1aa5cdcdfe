"""DS18B20 bit by bit: commands, registers, conversion times, faults; and the bus it hangs on."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_hardware.chips.ds18b20 import DS18B20, crc8
from tests.sim_hardware.clock import Clock
from tests.sim_hardware.program import printed

SKIP, MATCH, READ_ROM, SEARCH, ALARM = 0xCC, 0x55, 0x33, 0xF0, 0xEC
CONVERT, WRITE, READ, COPY, RECALL, POWER = 0x44, 0x4E, 0xBE, 0x48, 0xB8, 0xB4
POWER_ON = bytes.fromhex("50054b467fff0c10")


class Master:
    """The other end of the wire."""

    def __init__(self, cel: float = 20.0, serial: int = 0x0123_4567_89AB) -> None:
        self.clock = Clock(1_000)
        self.cel = cel
        self.chip = DS18B20(self.clock, lambda: self.cel, serial)

    def write(self, *data: int) -> None:
        for byte in data:
            for i in range(8):
                self.chip.write_bit(byte >> i & 1)

    def read(self, n: int) -> bytes:
        return bytes(sum(self.chip.read_bit() << i for i in range(8)) for _ in range(n))

    def begin(self, *data: int) -> None:
        assert self.chip.reset() is True
        self.write(*data)

    def scratchpad(self) -> bytes:
        self.begin(SKIP, READ)
        data = self.read(9)
        assert crc8(data[:8]) == data[8]
        return data[:8]

    def measure(self, ms: int = 750) -> float:
        self.begin(SKIP, CONVERT)
        self.clock.ms += ms
        return int.from_bytes(self.scratchpad()[:2], "little", signed=True) / 16


def test_the_rom_code() -> None:
    """Family, serial number, check byte; of the application note's as well."""
    assert crc8(bytes.fromhex("021cb801000000")) == 0xA2
    master = Master()
    master.begin(READ_ROM)
    rom = master.read(8)
    assert rom == master.chip.rom
    assert rom[:7] == b"\x28" + (0x0123_4567_89AB).to_bytes(6, "little")
    assert crc8(rom[:7]) == rom[7]


def test_it_wakes_with_85_degrees() -> None:
    """And says so until a conversion has ended, whatever it is."""
    master = Master()
    assert master.scratchpad() == POWER_ON
    master.begin(SKIP, CONVERT)
    master.clock.ms += 749
    assert master.scratchpad() == POWER_ON
    master.clock.ms += 1
    assert master.scratchpad()[:2] != POWER_ON[:2]
    master.chip.power_on()
    assert master.scratchpad() == POWER_ON


@given(st.floats(-54.9, 124.9))
def test_it_measures(cel: float) -> None:
    """To the sixteenth of a degree, with a little noise."""
    assert Master(cel).measure() == pytest.approx(cel, abs=0.14)


@pytest.mark.parametrize(("cel", "expected"), [(-70.0, -55.0), (140.0, 125.0)])
def test_it_ends_at_its_range(cel: float, expected: float) -> None:
    assert Master(cel).measure() == expected


@pytest.mark.parametrize(
    ("configuration", "ms", "step"), [(0x1F, 94, 8), (0x3F, 188, 4), (0x5F, 375, 2), (0x7F, 750, 1)]
)
def test_fewer_bits_are_faster(configuration: int, ms: int, step: int) -> None:
    """The datasheet's conversion times; bits that are not defined are 0. Read slots tell when it is done."""
    master = Master(21.9)
    master.begin(SKIP, WRITE, 0x4B, 0x46, configuration)
    master.begin(SKIP, CONVERT)
    master.clock.ms += ms - 1
    assert master.chip.read_bit() == 0
    master.clock.ms += 1
    assert [master.chip.read_bit() for _ in range(3)] == [1, 1, 1]
    raw = int.from_bytes(master.scratchpad()[:2], "little", signed=True)
    assert raw % step == 0
    assert raw / 16 == pytest.approx(21.9, abs=step / 16 + 0.13)


@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 255))
def test_settings_are_written_and_kept(high: int, low: int, configuration: int) -> None:
    """Only two bits of the configuration can be; they outlive a loss of power once they were copied."""
    master = Master()
    master.begin(SKIP, WRITE, high, low, configuration)
    written = bytes([high, low, (configuration & 0x60) | 0x1F])
    assert master.scratchpad()[2:5] == written
    master.begin(SKIP, RECALL)
    assert master.scratchpad()[2:5] == POWER_ON[2:5]
    master.begin(SKIP, WRITE, high, low, configuration)
    master.begin(SKIP, COPY)
    master.chip.power_on()
    assert master.scratchpad()[2:5] == written


def test_a_conversion_goes_on_through_resets() -> None:
    master = Master(30.0)
    master.begin(SKIP, CONVERT)
    for _ in range(10):
        master.clock.ms += 75
        master.begin(SKIP)
    assert master.scratchpad()[:2] != POWER_ON[:2]


def test_only_the_one_that_was_addressed_answers() -> None:
    """Its own code wakes it; another one, an unknown command or none leave it silent until the next reset."""
    master = Master()
    master.begin(MATCH, *master.chip.rom, READ)
    assert master.read(8) == POWER_ON
    other = bytes([*master.chip.rom[:6], master.chip.rom[6] ^ 1, master.chip.rom[7]])
    for said in ((MATCH, *other, READ), (0x12, READ), (READ,), (MATCH, *master.chip.rom, 0x99)):
        master.begin(*said)
        assert master.read(9) == b"\xff" * 9, said
        master.write(SKIP, READ)
        assert master.read(9) == b"\xff" * 9, said


def test_the_bus_is_at_rest_after_an_answer() -> None:
    """Also for the question how it is supplied: by a line of its own."""
    master = Master()
    master.scratchpad()
    assert master.read(2) == b"\xff\xff"
    master.begin(SKIP, POWER)
    assert master.chip.read_bit() == 1


@pytest.mark.parametrize(("cel", "alarmed"), [(20.0, False), (76.0, True), (69.0, False), (-5.0, True), (1.5, False)])
def test_an_alarm_search_finds_who_is_outside(cel: float, alarmed: bool) -> None:
    """Above TH or below TL, whole degrees; here 75 and 0."""
    master = Master(cel)
    master.begin(SKIP, WRITE, 75, 0, 0x7F)
    master.measure()
    master.begin(ALARM)
    assert (master.chip.read_bit(), master.chip.read_bit()) == ((0, 1) if alarmed else (1, 1))


def test_faults() -> None:
    """`dead` never answers; `bad_crc` spoils the check byte; `shorted` holds the bus down."""
    master = Master()
    master.chip.dead = True
    assert master.chip.reset() is False
    assert master.read(1) == b"\xff"
    master.chip.dead = False
    master.chip.bad_crc = True
    master.begin(SKIP, READ)
    data = master.read(9)
    assert data[:8] == POWER_ON
    assert crc8(data[:8]) != data[8]
    master.chip.bad_crc = False
    master.chip.shorted = True
    master.begin(SKIP, READ)
    assert master.read(9) == bytes(9)
    master.chip.shorted = False
    assert master.scratchpad() == POWER_ON


# the bus ----------------------------------------------------------------------------------------------------------

BUS = """
import onewire
from chips.ds18b20 import DS18B20
from machine import Pin
from world import world
made = []
def make(serial):
    def chip():
        made.append(DS18B20(lambda: world.now // 1000, lambda: 20.0, serial))
        return made[-1]
    return chip
for serial in SERIALS:
    onewire.attach(4, make(serial))
"""


@pytest.mark.parametrize(
    "serials", [[], [5], [1, 2, 3], [0, (1 << 48) - 1], [0x10_0000_0000, 0x10_0000_0001, 7, 8, 9, 10, 11]]
)
def test_a_scan_finds_every_chip_once(tmp_path: Path, serials: list[int]) -> None:
    """By the search of ROM codes; each answers to its own afterwards."""
    found, present, read = printed(
        BUS.replace("SERIALS", str(serials))
        + """
bus = onewire.OneWire(Pin(4))
roms = bus.scan()
print([bytes(rom) for rom in roms])
print(bus.reset())
found = []
for rom in roms:
    buffer = bytearray(9)
    bus.select_rom(rom)
    bus.writebyte(0xBE)
    bus.readinto(buffer)
    found.append((bytes(buffer[:8]), bus.crc8(buffer)))
print(found)
""",
        tmp_path,
    )
    wanted = [DS18B20(Clock(), float, serial).rom for serial in serials]
    assert sorted(found) == sorted(wanted)
    assert present is bool(serials)
    assert read == [(POWER_ON, 0)] * len(serials)


def test_a_bus_as_the_boards_own_is_used(tmp_path: Path) -> None:
    """Chips are made when it is opened, once; a required presence that is missing is an error; a short ends a scan."""
    before, after, same, error, shorted = printed(
        BUS.replace("SERIALS", "[1]")
        + """
print(len(made))
bus = onewire.OneWire(Pin(4))
again = onewire.OneWire(Pin(4))
print(len(made))
bus.reset(True)
bus.write(bytes([bus.SKIP_ROM, 0xBE]))
print([again.readbyte(), again.readbit(), again.readbit()])
made[0].dead = True
try:
    print(bus.reset(True))
except onewire.OneWireError:
    print([bus.reset()])
made[0].dead, made[0].shorted = False, True
print(len(bus.scan()))
""",
        tmp_path,
    )
    assert (before, after) == (0, 1)
    assert same == [0x50, 1, 0]
    assert error == [False]
    assert shorted == 255


def test_drift_age_and_stuck() -> None:
    """A factor; 0.2 Cel at most, however old; the reading of before."""
    master = Master(20.0)
    master.chip.drift = 1.5
    assert master.measure() == pytest.approx(30, abs=0.25)
    master.chip.stuck = True
    before = master.measure()
    master.chip.drift = 1.0
    assert master.measure() == before
    master.chip.stuck = False
    for age in (1_000.0, 100_000.0):
        master.chip.age_h = age
        assert master.measure() == pytest.approx(20, abs=0.37)
