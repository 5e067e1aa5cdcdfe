"""Modelled sensors, each held against the chip or the firmware's own code that it stands for, sample by sample.

Against whole boards they are held in `tests/system/test_modelled.py`.
"""

import itertools
import json
import math
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.ingest.decode import decode_pack
from gateway.quantities import KINDS
from sim_hardware.chips.bme280 import BME280, CALIBRATION, temperature
from sim_hardware.chips.bme280 import humidity as relative
from sim_hardware.chips.bme280 import pressure as pascal
from sim_hardware.chips.pms5003 import PMS5003
from sim_hardware.chips.reed import ReedMeter
from sim_hardware.chips.scd41 import SCD41
from sim_hardware.city.city import DRIFT, FAULTS, FIELDS, Floats
from sim_hardware.city.incidents import DEAD, STUCK, TAMPER
from sim_hardware.fleet import models, packs, stations
from sim_hardware.fleet.counters import Traffic
from sim_hardware.fleet.fitted import Fitted
from sim_hardware.fleet.meters import Water
from sim_hardware.fleet.models import Event, Model
from sim_hardware.fleet.stations import Air
from tests.firmware.importer import load

START = 1_795_417_200
MINUTE = 60
HOUR_US = 3_600_000_000
AIR = (9.0, 14.0, 21.0, 447.0, 12.34, 61.0, 101_312.0)
"""PM1.0, PM2.5, PM10, CO2, °C, %RH, Pa as the city's fields have them."""
NAMES = ("pm1_0", "pm2_5", "pm10", "co2", "temperature", "pressure", "humidity")


def dice(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def fields(nodes: int, *values: float, faults: int = 0, drift: float = 1.0) -> Floats:
    """A minute in which all nodes see the same."""
    found = np.zeros((nodes, FIELDS))
    found[:, : len(values)] = values
    found[:, FAULTS], found[:, DRIFT] = faults, drift
    return found


def everybody(nodes: int) -> models.Mask:
    return np.ones(nodes, bool)


def life(model: Model, minutes: Sequence[Floats], window_s: int = MINUTE, step_s: int = MINUTE) -> list[Floats]:
    """Readings of the windows of nodes that have power all the time."""
    nodes = len(minutes[0])
    model.begin(everybody(nodes), START)
    found = []
    for second in range(0, MINUTE * len(minutes), step_s):
        model.step(START + second, step_s, minutes[second // MINUTE], everybody(nodes))
        if (second + step_s) % window_s == 0:
            found.append(model.close(np.full(nodes, float(window_s))))
    return found


# air --------------------------------------------------------------------------------------------------------------


class Chips:
    """The emulated chips in air that may change, read as the firmware does. Sums of windows of a minute."""

    def __init__(self, seed: int, drift: float = 1.0) -> None:
        self.ms, self.air = 0, AIR
        self.pms = PMS5003(lambda: self.ms, lambda: self.air[:3], seed)
        self.scd = SCD41(lambda: self.ms, lambda: self.air[3:6], seed=seed + 1)
        self.bme = BME280(lambda: self.ms, lambda: (self.air[4], self.air[6], self.air[5]), seed=seed + 2)
        for chip in (self.pms, self.scd, self.bme):
            chip.drift = drift
        self.ms = 30
        self.scd.write(b"\x21\xb1")

    def window(self) -> list[float]:
        """Means of the next minute, in order of NAMES."""
        sums: list[list[float]] = [[] for _ in NAMES]
        for _ in range(60):
            self.ms += 1000
            frame = self.pms.transmit(self.ms)
            for i in range(3):
                sums[i].append(frame[10 + 2 * i] << 8 | frame[11 + 2 * i])
            if self.ms // 1000 % 10 == 0:
                self.scd.write(b"\xec\x05")
                self.ms += 1
                sums[3].append(int.from_bytes(self.scd.read(9)[:2], "big"))
                self.ms -= 1
                for i, value in enumerate(self._climate()):
                    sums[4 + i].append(value)
        return [sum(each) / len(each) for each in sums]

    def _climate(self) -> tuple[float, float, float]:
        self.bme.write(b"\xf2\x01")
        self.bme.write(b"\xf4\x25")
        self.ms += 10
        self.bme.write(b"\xf7")
        data = self.bme.read(8)
        self.ms -= 10
        raw_p, raw_t = (int.from_bytes(data[i : i + 3], "big") >> 4 for i in (0, 3))
        cel, fine = temperature(CALIBRATION, raw_t)
        return cel, pascal(CALIBRATION, raw_p, fine), relative(CALIBRATION, data[6] << 8 | data[7], fine)


def of_chips(minutes: int, air: Sequence[Sequence[float]], stations: int = 8) -> Floats:
    """(minutes, stations, names): `air[minute]` is that of each minute."""
    found = []
    for seed in range(stations):
        chips = Chips(100 * seed + 1)
        rows = []
        for minute in range(minutes):
            chips.air = tuple(air[minute])  # type: ignore[assignment]
            rows.append(chips.window())
        found.append(rows)
    return np.array(found).transpose(1, 0, 2)


# How far the mean over 8 stations may be from that over 200: four times the error of the former, from the noise of one
# sample (the chips' bounds / 2.45, with the rounding of the firmware) and the samples of a window.
NOISE = {
    "pm1_0": (0.62, 60),
    "pm2_5": (0.65, 60),
    "pm10": (0.72, 60),
    "co2": (1.66, 6),
    "temperature": (0.006, 6),
    "pressure": (3.4, 6),
    "humidity": (0.07, 6),
}
SYSTEMATIC = {"temperature": 0.003, "pressure": 1.3, "humidity": 0.006}
"""Half a step of the BME280's converter, which for one value of the air is the same in each sample."""


def test_a_station_shows_what_the_chips_show() -> None:
    """In still air, after a step in all of it, and in the minutes of that step: means and their scatter."""
    step = (30.0, 48.0, 75.0, 612.0, 14.1, 55.0, 100_900.0)
    air = [AIR] * 3 + [step] * 4
    wanted = of_chips(len(air), air)
    got = np.array(life(Air(200, dice()), [fields(200, *each) for each in air]))
    for i, name in enumerate(NAMES):
        sd, n = NOISE[name]
        if name.startswith("pm"):
            sd += 0.01 * step[i]  # the noise grows with the value
        for minute in range(1, len(air)):
            error = 4 * sd / math.sqrt(n * wanted.shape[1]) + SYSTEMATIC.get(name, 0)
            assert abs(got[minute, :, i].mean() - wanted[minute, :, i].mean()) <= error, (name, minute)
            assert got[minute, :, i].std() == pytest.approx(sd / math.sqrt(n), rel=0.6), (name, minute)


def test_a_windows_readings_are_rounded_as_the_firmware_does() -> None:
    readings = life(Air(50, dice()), [fields(50, *AIR)] * 2)[-1]
    for i, digits in enumerate((1, 1, 1, 1, 2, 0, 2)):
        assert np.array_equal(readings[:, i], np.round(readings[:, i], digits))


def test_the_periods_are_those_of_the_firmware() -> None:
    """Read out of its files: whoever changes one changes the model too."""
    periods = [each.period_s for each in stations._CHIPS]
    assert periods == [1, load("sensors.scd41")._SAMPLE_MS // 1000, load("sensors.bme280")._SAMPLE_MS // 1000]
    poll = load("sensors.pms5003")._POLL_MS
    assert stations._CHIPS[0].warm_up_s * 1000 == load("drivers.pms5003").WARM_UP_MS + poll


def test_a_new_station_has_no_particles_while_its_fan_begins() -> None:
    """And all else at once; windows of 30 s show it."""
    first, second = life(Air(3, dice()), [fields(3, *AIR)], window_s=30, step_s=30)
    assert np.isnan(first[:, :3]).all()
    assert not np.isnan(first[:, 3:]).any()
    assert not np.isnan(second).any()


def test_stuck_dead_and_drifting_stations() -> None:
    quiet, stuck = fields(3, *AIR), fields(3, *AIR, faults=STUCK)
    rows = life(Air(3, dice()), [quiet, quiet, stuck, stuck, quiet, fields(3, *AIR, faults=DEAD), quiet])
    assert np.array_equal(rows[2], rows[3]), "each repeats its last sample"
    assert np.array_equal(rows[2][:, :4], np.rint(rows[2][:, :4])), "which is no mean"
    assert not np.array_equal(rows[3], rows[4])
    assert np.isnan(rows[5]).all()
    assert not np.isnan(rows[6]).any()
    drifting = life(Air(50, dice()), [fields(50, *AIR, drift=1.05)] * 3)[-1].mean(axis=0)
    wanted = np.array([AIR[i] for i in (0, 1, 2, 3, 4, 6, 5)]) * 1.05
    assert drifting == pytest.approx(wanted, rel=0.02)
    broken = life(Air(3, dice()), [fields(3, *AIR, drift=1.2)] * 3)[-1]
    assert np.isnan(broken[:, 4:]).all(), "121 kPa is beyond the chip's range: the reading is refused whole"
    assert not np.isnan(broken[:, :4]).any()


# traffic ----------------------------------------------------------------------------------------------------------


def columns(model: Model, rows: Floats, name: str) -> Floats:
    found: Floats = rows[..., [column.name for column in model.columns].index(name)]
    return found


def test_a_thin_stream_is_a_poisson_process() -> None:
    """Mean and variance of the volume are the flow; speeds, lengths and occupancy are those of the vehicles drawn."""
    model = Traffic(400, dice())
    rows = np.array(life(model, [fields(400, 120.0, 50.0, 60.0, 40.0, 0.06, 0.04)] * 60))[2:]
    for lane, flow, speed in (("lane1", 2.0, 50.0), ("lane2", 1.0, 40.0)):
        volume = columns(model, rows, f"{lane}/volume")
        n = volume.size
        assert volume.mean() == pytest.approx(flow, abs=4 * math.sqrt(flow / n) + 0.01 * flow)
        assert volume.var() == pytest.approx(flow, rel=0.08)
        known = columns(model, rows, f"{lane}/speed")
        assert np.nanmean(known) == pytest.approx(speed, rel=0.01)
        shares = [columns(model, rows, f"{lane}/class_{size}").sum() / volume.sum() for size in ("long", "medium")]
        assert shares == pytest.approx([0.04, 0.06], rel=0.15)
        length = 0.04 * 15 + 0.06 * 8.25 + 0.03 * 2.1 + 0.87 * 4.25
        mean_over_s = (length + 2) / (speed / 3.6) * 1.011  # the mean of 1/v at a scatter of 10 %
        occupancy = columns(model, rows, f"{lane}/occupancy")
        assert occupancy.mean() == pytest.approx(100 * flow / 60 * mean_over_s, rel=0.02)
        assert np.isnan(known[volume == 0]).mean() > 0.9, "without a vehicle there is no speed"


def test_in_a_dense_stream_vehicles_keep_apart() -> None:
    """Headways are exponential, but never shorter than the time over the loop and a gap: fewer come than would."""
    model = Traffic(100, dice())
    rows = np.array(life(model, [fields(100, 1500.0, 45.0, 900.0, 9.0, 0.0, 0.0)] * 40))[2:]
    for lane, flow, kmh in (("lane1", 1500.0, 45.0), ("lane2", 900.0, 9.0)):
        rate, speed = flow / 3600, kmh / 3.6
        room = (0.97 * 4.25 + 0.03 * 2.1 + 2) / speed * 1.011 + 0.3
        wanted = 60 / (room + math.exp(-rate * room) / rate)
        volume = columns(model, rows, f"{lane}/volume").mean()
        assert volume == pytest.approx(wanted, rel=0.02), lane
        assert volume < 60 * rate


def test_creeping_vehicles_have_no_length() -> None:
    """Below 5 km/h time over a loop says nothing of it; they are counted all the same."""
    model = Traffic(50, dice())
    rows = np.array(life(model, [fields(50, 300.0, 3.0, 300.0, 30.0, 0.0, 0.0)] * 20))[3:]
    sizes = ("motorcycle", "short", "medium", "long")
    first, second = (sum(columns(model, rows, f"{lane}/class_{size}") for size in sizes) for lane in ("lane1", "lane2"))
    assert np.sum(first) == 0
    assert columns(model, rows, "lane1/volume").mean() > 3
    assert np.sum(second) == pytest.approx(columns(model, rows, "lane2/volume").sum(), rel=0.02)


def test_no_lane_no_vehicles_and_faults_of_detectors() -> None:
    model = Traffic(20, dice())
    street = (600.0, 50.0, 0.0, 50.0, 0.06, 0.04)
    quiet, dead = fields(20, *street), fields(20, *street, faults=DEAD)
    rows = np.array(life(model, [quiet, dead, dead, quiet, quiet]))
    assert not np.nan_to_num(rows[:, :, 7:]).any(), "a street of one lane"
    assert not np.nan_to_num(rows[1:3]).any()
    assert columns(model, rows[4], "lane1/volume").min() > 0
    fewer = np.array(life(Traffic(200, dice()), [fields(200, *street, drift=0.5)] * 30))
    assert columns(model, fewer, "lane1/volume").mean() == pytest.approx(5, rel=0.05)


@pytest.mark.parametrize(("window_s", "step_s"), [(60, 60), (300, 60), (10, 10), (7, 1)])
def test_other_windows_see_the_same_vehicles_pass(window_s: int, step_s: int) -> None:
    """Whatever the length of the windows and the steps, as many come in half an hour, and stay as long."""
    model = Traffic(60, dice())
    rows = np.array(life(model, [fields(60, 700.0, 30.0, 500.0, 20.0, 0.06, 0.04)] * 35, window_s, step_s))
    seconds = 60 * len(rows) * window_s
    rate = 700 / 3600
    room = (0.04 * 15 + 0.06 * 8.25 + 0.03 * 2.1 + 0.87 * 4.25 + 2) / (30 / 3.6) + 0.3
    wanted = 1 / (room + math.exp(-rate * room) / rate)
    assert columns(model, rows, "lane1/volume").sum() / seconds == pytest.approx(wanted, rel=0.02)
    assert columns(model, rows, "lane1/occupancy").mean() == pytest.approx(100 * wanted * (room - 0.3), rel=0.03)


# water ------------------------------------------------------------------------------------------------------------

flows = st.lists(st.integers(-3000, 3000), min_size=1, max_size=40)


def turned(profile: Sequence[int], second: int | None) -> tuple[ReedMeter, list[tuple[int, int, int]]]:
    """The emulated meter after these minutes (l/h), and its edges (us, pin, level)."""

    def flow(us: int) -> tuple[int, int] | None:
        minute = us // 60_000_000
        return (profile[minute] * 1000, (minute + 1) * 60_000_000) if minute < len(profile) else None

    meter = ReedMeter(27, flow, second=second)
    edges = []
    while (us := meter.next_us()) is not None:
        edges.append((us, *meter.fire()))
    return meter, edges


@given(flows)
def test_two_reeds_count_true_turns(profile: list[int]) -> None:
    """As many as the emulated meter, forwards and backwards, whatever the water does: within a pulse at the end."""
    meter, _ = turned(profile, 14)
    row = life(Water(1, dice(), Fitted(reeds=2)), [fields(1, each) for each in profile])[-1][0]
    assert abs(row[0] - meter.forward) <= 1
    assert abs(row[1] - meter.backward) <= 1


def closings(edges: Sequence[tuple[int, int, int]]) -> list[int]:
    """Seconds/1000 at which a contact has closed and stays so, bounces left out, as the firmware counts."""
    debounce = load("drivers.reed").Turns([1], 0)
    found: list[int] = []
    still = [(edges[-1][0] + 1_000_000, *edges[-1][1:])] if edges else []
    for us, _, level in [*edges, *still]:
        debounce.feed([level], us // 1000, lambda turn, at: found.append(at) if turn else None)
    return found


def windows(pulses: Sequence[int], minutes: int) -> Iterator[tuple[float, float]]:
    """(flow, least flow) of each minute, by the firmware's own arithmetic."""
    times = load("sensors.meter").Flow(1, 0)
    left = list(pulses)
    for minute in range(1, minutes + 1):
        while left and left[0] < 60_000 * minute:
            times.pulse(left.pop(0))
        yield times.close(60_000, 60_000 * minute)[1:]


@given(flows)
def test_flow_and_least_flow_are_those_of_the_firmware(profile: list[int]) -> None:
    """The firmware's arithmetic over the emulated meter's pulses, minute by minute. One reed takes every turn for one
    forwards; one at the very end of a window, or within 40 ms of it, may count in the next."""
    stops = (0.7 + np.cumsum(profile) / 60) % 1
    assume(np.abs(stops[:, None] - (0, 0.4, 1)).min() > 1e-3)
    _, edges = turned(profile, None)
    pulses = closings(edges)
    assume(all(40 <= ms % 60_000 <= 59_960 for ms in pulses))
    rows = life(Water(1, dice()), [fields(1, each) for each in profile])
    for row, (flow, least) in zip(rows, windows(pulses, len(profile)), strict=True):
        assert row[0, 1] == pytest.approx(flow, abs=0.1)
        assert row[0, 2] == pytest.approx(least, rel=0.01, abs=0.2)


def test_a_slow_flow() -> None:
    """A litre every two minutes: its flow comes and goes with the pulses, and the least is what two of them tell."""
    rows = np.array(life(Water(1, dice()), [fields(1, 30.0)] * 9))[:, 0]
    assert rows[:, 0].tolist() == [1, 1, 2, 2, 3, 3, 4, 4, 5]
    assert rows[:, 1].tolist() == [60, 0, 60, 0, 60, 0, 60, 0, 60]
    assert rows[:, 2].tolist() == [60, 0, 30, 0, 30, 0, 30, 0, 30]


def test_a_register_of_ten_litres_and_a_thermometer() -> None:
    fitted = Fitted(litres_per_pulse=10, reeds=2, temperature=True)
    water = Water(40, dice(), fitted)
    assert [column.name for column in water.columns] == ["volume", "reverse_volume", "flow", "flow_min", "temperature"]
    rows = life(water, [fields(40, 6000.0, 11.4)] * 10)
    assert rows[-1][0, :4] == pytest.approx([1000, 0, 6000, 6000])
    cel = np.array(rows)[:, :, 4]
    # Five or six samples of 0.1 / 2.45 and a sixteenth / sqrt(12) each.
    assert cel.mean() == pytest.approx(11.4, abs=4 * 0.045 / math.sqrt(5 * cel.size) + 0.001)
    assert cel.std() == pytest.approx(0.045 / math.sqrt(5.58), rel=0.3)


def test_what_ran_while_the_power_was_off_is_not_in_the_register() -> None:
    """It goes on from the last window's end, says that it was restored, and repeats the states that are on."""
    water, on, off = Water(1, dice(), Fitted(reeds=2, tamper=True)), everybody(1), np.zeros(1, bool)
    life(water, [fields(1, 600.0)] * 3 + [fields(1, 600.0, faults=TAMPER)] * 2)
    assert [(each.name, each.on) for each in water.events()] == [("tamper", True)]
    water.step(START + 300, 60, fields(1, 600.0, faults=TAMPER), off)
    assert water.close(np.ones(1))[0, 0] == 50
    water.begin(on, START + 360)
    water.step(START + 360, 60, fields(1, 600.0, faults=TAMPER), on)
    assert water.close(np.full(1, 60.0))[0, :2].tolist() == [60, 0]
    told = water.events()
    assert [(each.name, each.on) for each in told] == [("register_restored", True), ("tamper", True)]
    assert [each.second for each in told] == [START + 360, START + 365]


def test_reverse_flow_is_told_when_two_turns_say_so_and_when_they_end() -> None:
    """A minute at 120 l/h is two turns: the first back over the mark passed last is none."""
    water = Water(2, dice(), Fitted(reeds=2))
    minutes = [fields(2, 600.0), fields(2, -120.0), fields(2, -120.0), fields(2, 0.0), fields(2, 240.0)]
    for each in minutes:
        each[1, 0] = 600.0
    life(water, minutes)
    back, forth = water.events()
    assert (back.node, back.name, back.on) == (0, "reverse_flow", True)
    assert (forth.node, forth.name, forth.on) == (0, "reverse_flow", False)
    # 0.7 + 10 turns forward: at 0.7 of a turn. Back over the mark after 21 s, over the next two after 51 and 81 s.
    assert back.second == START + 60 + 85
    assert START + 240 <= forth.second <= START + 300


def test_frost() -> None:
    water = Water(1, dice(), Fitted(temperature=True))
    life(water, [fields(1, 0.0, cel) for cel in (8.0, 2.0, 3.5, 2.0, 6.0)])
    assert [(each.name, each.on, (each.second - START) // 60) for each in water.events()] == [
        ("frost", True, 1),
        ("frost", False, 4),
    ]


@pytest.mark.parametrize("fault", [DEAD, STUCK])
def test_a_contact_that_is_dead_or_stuck_counts_nothing(fault: int) -> None:
    rows = life(Water(1, dice()), [fields(1, 600.0), fields(1, 600.0, faults=fault), fields(1, 600.0)])
    assert [row[0, 0] for row in rows] == [10, 10, 20]
    assert rows[1][0, 1:].tolist() == [0, 0]


def test_meters_of_all_steps_count_the_same() -> None:
    """In steps of 1 s as in steps of a minute."""
    profile = [fields(1, each) for each in (0.0, 333.0, 1234.0, -55.0, -700.0, 8.0, 1800.0)]
    for fitted in (Fitted(), Fitted(reeds=2)):
        whole = life(Water(1, dice(), fitted), profile)
        small = life(Water(1, dice(), fitted), profile, step_s=1)
        for row, other in zip(whole, small, strict=True):
            assert row == pytest.approx(other, rel=0.002, abs=0.1)


# packs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_pack_is_to_the_byte_what_the_firmware_writes(kind: str) -> None:
    """With all readings, with some that are unknown, and with none; and the gateway takes it."""
    model: Model = {"traffic": Traffic, "water": Water, "air": Air}[kind](4, dice())
    street = {"traffic": (500.0, 45.0, 0.0, 50.0, 0.1, 0.1), "water": (420.0, 12.0), "air": AIR}[kind]
    rows = life(model, [fields(4, *street)] * 3)[-1]
    rows[1, 1] = rows[2, :] = np.nan
    writer, pack = packs.Writer(model.columns), load("node.pack")
    nodes = [f"{kind}-000{n}" for n in range(4)]
    heads = [packs.head("riverside", node) for node in nodes]
    got = writer.write(heads, START + 180, [1, 2, 3, 4], [0, 7, 80, 99], rows, range(4))
    for i, seq in enumerate((0, 7, 80, 99)):
        readings = []
        for column, value in zip(model.columns, rows[i].tolist(), strict=True):
            known = None if math.isnan(value) else int(value) if column.form == "%d" else value
            readings.append((column.name, column.unit, known))
        wanted = pack.message("riverside", nodes[i], [(i + 1, seq, START + 180, pack.body(readings).encode())])
        assert got[i] == wanted
        taken = decode_pack("riverside", nodes[i], "telemetry", got[i], now=START + 200, kind=kind)
        assert (taken.boot, taken.seq, taken.time) == (i + 1, seq, START + 180)
        assert len(taken.readings) == np.count_nonzero(~np.isnan(rows[i]))


@pytest.mark.parametrize("on", [True, False])
def test_an_event_is_to_the_byte_what_the_firmware_writes(on: bool) -> None:
    pack = load("node.pack")
    body = pack.body([("tamper", "", on)]).encode()
    told = Event(0, "tamper", on, START)
    assert packs.event(packs.head("a", "b"), 3, 9, told) == pack.message("a", "b", [(3, 9, START, body)])
    assert json.loads(packs.event(packs.head("a", "b"), 3, 9, told))[-1] == {"n": "tamper", "vb": on}


def test_the_same_dice_give_the_same_city() -> None:
    """And other dice another."""
    for make, street in ((Air, AIR), (Traffic, (500.0, 45.0, 400.0, 50.0, 0.1, 0.1))):
        runs = [np.array(life(make(5, dice(seed)), [fields(5, *street)] * 3)) for seed in (1, 1, 2)]
        assert np.array_equal(runs[0], runs[1], equal_nan=True)
        assert not np.array_equal(runs[0], runs[2], equal_nan=True)
    assert all(a.name != b.name for a, b in itertools.pairwise(Traffic.columns))
