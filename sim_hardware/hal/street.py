# The surroundings of an emulated board: reads the city's feed, and hangs the chips of its kind on its pins.
#
# The feed's layout is told in sim_hardware/city/feed.py, the order of its fields in sim_hardware/city/city.py.

import math
import struct

import world as _world
from chips.noise import Noise
from world import world

_RECORD = "<I12f"
_SIZE = 52
_MINUTE = 60_000_000  # us
_DRIFT, _FAULTS = 10, 11  # fields that all kinds have
_STUCK, _DEAD, _TAMPER = 1, 2, 4
_LANES = 2  # of a street in the city


class Surroundings:
    """What the city says of one place."""

    def __init__(self, path, places, ring, slot):
        self._file = open(path, "rb")  # noqa: SIM115 - kept open for the life of the board
        self._places, self._ring, self._slot = places, ring, slot
        self._buffer = bytearray(_SIZE)
        self._minute = -1
        self._fields = None

    def at(self, us):
        """The fields of the minute that `us` is in, or None while the city has not come so far."""
        minute = us // _MINUTE
        if minute != self._minute:
            self._file.seek((minute % self._ring * self._places + self._slot) * _SIZE)
            self._file.readinto(self._buffer)
            record = struct.unpack(_RECORD, self._buffer)
            if record[0] != minute:
                return None
            self._minute, self._fields = minute, record[1:]
        return self._fields

    def now(self):
        """The fields of this minute; of the last one known, should the city be late."""
        return self.at(world.now) or self._fields


def _ms():
    return world.now // 1000


class _Lane:
    """Vehicles of one lane: flow and speed of the city, drawn one by one."""

    def __init__(self, surroundings, first, seed):
        self._surroundings = surroundings
        self._first = first  # of the lane's two fields
        self._noise = Noise(seed)

    def next(self, after):
        """(arrival us, mm/s, length mm) of the next vehicle after `after`, or None while the city is not so far."""
        while True:
            fields = self._surroundings.at(after)
            if fields is None:
                return None
            flow = fields[self._first] * fields[_DRIFT]  # a detector that drifts misses some, or counts some twice
            ends = (after // _MINUTE + 1) * _MINUTE
            if flow > 0:
                # Independent arrivals: headways are exponential (Poisson traffic); LoopPair keeps them apart.
                dice = (self._noise.below(1_000_000) + 1) / 1_000_000
                came = after + int(-math.log(dice) * 3_600_000_000 / flow)
                if came < ends:
                    speed = fields[self._first + 1] / 0.0036
                    mm_s = int(self._noise.around(speed, 0.25 * speed))
                    return came, max(mm_s, 800), self._length(fields[4], fields[5])
            after = ends  # arrivals have no memory: the next minute has its own

    def _length(self, medium, long):
        dice = self._noise.below(1_000_000)
        share, rest = dice // 1000 / 1000, dice % 1000
        if share < long:
            return 11_500 + 7 * rest
        if share < long + medium:
            return 6_500 + 3 * rest + rest // 2
        if share < long + medium + 0.03:
            return 1_900 + 2 * rest // 5
        return 3_500 + 3 * rest // 2


class _Faults:
    """What the city has done to the sensors of its place, minute by minute: they stick, die, drift, are opened.

    `parts` are chips, each with what its `stuck` is set to when it sticks; `lid` is a pin or None.
    """

    def __init__(self, surroundings, parts, lid):
        self._surroundings = surroundings
        self._parts = parts
        self._lid = lid and _world.line(lid)
        self._known = 0, 1.0
        self.at = world.now

    def fire(self):
        fields = self._surroundings.now()
        self.at = (self.at // _MINUTE + 1) * _MINUTE
        found = int(fields[_FAULTS]), fields[_DRIFT]
        if found == self._known:
            return
        self._known = faults, drift = found
        for part, all_of_it in self._parts:
            part.stuck = all_of_it if faults & _STUCK else type(all_of_it)()
            part.dead, part.drift = bool(faults & _DEAD), drift
        if self._lid:
            self._lid.drive(1 if faults & _TAMPER else 0)


# A board loads only the chips that it carries: its heap is small, and the emulation lives in it too.


def _traffic(board, surroundings, seed):
    from chips.loop import LoopPair

    pairs = []
    for i, pins in enumerate(board.LOOPS[:_LANES]):
        lane = _Lane(surroundings, 2 * i, seed + 7 * i)
        pair = LoopPair(pins, lane.next, start_us=world.now)
        _world.attach_pins(pair)
        pairs.append((pair, pins))
    return pairs


# A water meter's wheels turn on while its board is off. Where they are is in `meter.bin` in the board's folder: a board
# that is switched on again finds its meter there, advanced by what ran through meanwhile. The record is that of
# `ReedMeter.state`: time of the last edge (us), place in the turn, mark passed last, true turns forward and backward.
_METER = "<qqqqq"
_METER_SIZE = 40


def _water(board, surroundings, seed):
    import onewire
    from chips.reed import ReedMeter

    def flow(us):
        fields = surroundings.at(us)
        if fields is not None:
            return int(fields[0] * fields[_DRIFT] * 1000), (us // _MINUTE + 1) * _MINUTE
        if us >= world.now:
            return None
        # The feed has forgotten it: of that time nobody knows any flow.
        return 0, max(us // _MINUTE + 1, world.now // _MINUTE - surroundings._ring) * _MINUTE

    def thermometer():
        from chips.ds18b20 import DS18B20

        return DS18B20(_ms, lambda: surroundings.now()[1], serial=seed, seed=seed + 1)

    def keep(*state):
        file.seek(0)
        file.write(struct.pack(_METER, *state))

    path = world.folder + "/meter.bin"
    try:
        file = open(path, "r+b")  # noqa: SIM115 - kept open for the life of the board
    except OSError:
        file = open(path, "w+b")  # noqa: SIM115
    found = file.read(_METER_SIZE)
    state = struct.unpack(_METER, found) if len(found) == _METER_SIZE else None
    # A board without a use for the second reed, or for the thermometer, leaves it unconnected.
    meter = ReedMeter(
        board.REED, flow, start_us=world.now, seed=seed, second=getattr(board, "REED_B", None), state=state, keep=keep
    )
    _world.attach_pins(meter)
    if hasattr(board, "ONEWIRE"):
        onewire.attach(board.ONEWIRE, thermometer)
    return [(meter, True)]


def _air(board, surroundings, seed):
    from chips.bme280 import BME280
    from chips.pms5003 import PMS5003
    from chips.scd41 import SCD41

    now = surroundings.now

    def climate():
        fields = now()
        return fields[4], fields[6], fields[5]

    pms = PMS5003(_ms, lambda: now()[0:3], seed)
    _world.attach_uart(board.PARTICLES["tx"], board.PARTICLES["rx"], pms)
    bus = board.I2C["scl"], board.I2C["sda"]
    chips = [SCD41(_ms, lambda: now()[3:6], seed=seed + 1), BME280(_ms, climate, seed=seed + 2)]
    for chip in chips:
        _world.attach_i2c(*bus, chip)
    return [(chip, True) for chip in [pms] + chips]


def load(kind):
    """What boards of this kind import when they are switched on."""
    __import__("sensors." + kind, None, None, ("",))
    for name in _LOADED[kind]:
        __import__(name, None, None, ("",))


_LOADED = {
    "traffic": ("chips.loop", "sensors.loops", "boards.esp32_devkit", "machine_counter"),
    "water": ("chips.reed", "sensors.meter", "boards.esp32_devkit", "onewire"),
    "air": (
        "chips.bme280",
        "chips.pms5003",
        "chips.scd41",
        "sensors.station",
        "sensors.pms5003",
        "sensors.bme280",
        "sensors.scd41",
        "boards.esp32_devkit",
        "machine_i2c",
        "machine_uart",
    ),
}

_CHIPS = {"traffic": _traffic, "water": _water, "air": _air}


def furnish(kind, board, surroundings, seed):
    """Hang the chips of a node of this kind on the board's pins."""
    parts = _CHIPS[kind](board, surroundings, seed)
    lid = getattr(board, "TAMPER", None)
    if lid is not None:
        _world.line(lid).drive(0)  # it is closed
    world.add(_Faults(surroundings, parts, lid))
