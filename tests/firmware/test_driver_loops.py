"""Two loops in a lane: every vehicle once, its speed, its length, and the time it was over the loop."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_hardware.chips.loop import LoopPair
from tests.firmware.board import fast
from tests.firmware.importer import load, ticks_add
from tests.firmware.nodes import DETECTORS
from tests.micropython import run

driver = load("drivers.loops")

WRAP = 1 << 30
SECOND = 1_000_000
MINUTE = 60 * SECOND
SPACING_CM, LOOP_CM = 400, 200
START = 1_795_430_400

Vehicle = tuple[int, int, int]
"""(when its front comes to the first loop in us, cm/s, cm)."""
Edge = tuple[int, int, bool]
"""(us, loop, whether a vehicle is over it from then on)."""


def edges_of(*vehicles: Vehicle, loops: tuple[int, ...] = (0, 1)) -> list[Edge]:
    """What the detectors show of vehicles with a constant speed, or the loops of them that see them.

    One with a speed below 0 drives against the lane; it comes to the second loop at its time.
    """
    edges = []
    for at, cm_s, cm in vehicles:
        for loop in loops:
            on = at + (loop if cm_s > 0 else 1 - loop) * SPACING_CM * SECOND // abs(cm_s)
            edges.append((on, loop, True))
            edges.append((on + (cm + LOOP_CM) * SECOND // abs(cm_s), loop, False))
    return edges


class Lane:
    """Passages that is fed with edges and polled each second, as the driver does it."""

    def __init__(self, start: int = 0) -> None:
        self.seen: list[tuple[int, int | None]] = []
        self._start = start
        self._polled = 0
        self.passages = driver.Passages(SPACING_CM, LOOP_CM, lambda *vehicle: self.seen.append(vehicle), start)

    def feed(self, edges: list[Edge]) -> "Lane":
        for at, loop, over in sorted(edges):
            self._poll(at)
            self.passages.feed(loop, over, ticks_add(self._start, at))
        return self

    def take(self, at: int) -> tuple[int, int]:
        self._poll(at)
        volume, occupied = self.passages.take(ticks_add(self._start, at))
        return volume, occupied

    def _poll(self, until: int) -> None:
        while self._polled < until:
            self.passages.poll(ticks_add(self._start, self._polled))
            self._polled += SECOND


@pytest.mark.parametrize("start", [0, WRAP - 150_000, WRAP - 250_000, WRAP - 2_100_000])
@pytest.mark.parametrize(("cm_s", "cm"), [(2000, 450), (1600, 190), (1000, 1850), (250, 600), (5000, 400)])
def test_one_vehicle_is_measured_exactly(start: int, cm_s: int, cm: int) -> None:
    """Where the microseconds come out even; also while the ticks wrap."""
    lane = Lane(start).feed(edges_of((2 * SECOND, cm_s, cm)))
    assert lane.seen == [(cm_s, cm)]
    assert lane.take(MINUTE) == (1, (cm + LOOP_CM) * SECOND // cm_s)


def test_slower_than_walking_has_no_length() -> None:
    """It may have stopped over the loops: it is counted, with a speed, and put in no class."""
    lane = Lane().feed(edges_of((0, 138, 450), (20 * SECOND, 139, 450)))
    assert [cm_s for cm_s, _ in lane.seen] == [138, 139]
    assert lane.seen[0][1] is None
    assert lane.seen[1][1] == pytest.approx(450, abs=5)


def test_a_stop_over_the_loops_makes_no_long_vehicle() -> None:
    """A car rolls on to both loops and waits there for green: it has a speed, but no length of hundreds of metres."""
    car = [(0, 0, True), (400_000, 1, True), (20 * SECOND, 0, False), (20_400_000, 1, False)]
    assert Lane().feed(car).seen == [(1000, None)]


def test_trucks_that_are_over_both_loops_and_a_motorcycle_between() -> None:
    """Each keeps its own length, though the second loop is still under the truck when the motorcycle comes."""
    truck, bike, car = (0, 1000, 1850), (2_300_000, 1000, 190), (3 * SECOND, 1000, 450)
    lane = Lane().feed(edges_of(truck, bike, car, (5 * SECOND, 1000, 1650)))
    assert lane.seen == [(1000, 1850), (1000, 190), (1000, 450), (1000, 1650)]


@pytest.mark.parametrize("loop", [0, 1])
@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_a_vehicle_that_one_loop_missed_spoils_no_other(loop: int, place: int) -> None:
    """It changed lanes, or was overlooked: those before and after are measured as if it had not been there."""
    others = [(n * 3 * SECOND, 1000 + 100 * n, 400 + 10 * n) for n in range(4)]
    odd = (others[place][0] + 1_500_000, 1000, 450)
    lane = Lane().feed(edges_of(*others) + edges_of(odd, loops=(loop,)))
    whole = [each for each in lane.seen if each[0] >= 1000]
    assert [cm_s for cm_s, _ in whole] == [cm_s for _, cm_s, _ in others]
    assert [cm for _, cm in whole] == pytest.approx([cm for _, _, cm in others], abs=1)
    assert lane.take(MINUTE)[0] == (5 if loop == 0 else 4)


@pytest.mark.parametrize("minutes", [2, 17, 19, 40])
@pytest.mark.parametrize("over", [(0,), (0, 1), (1,)], ids=["first", "both", "second"])
def test_a_vehicle_stands_for_minutes(minutes: int, over: tuple[int, ...]) -> None:
    """Longer than the ticks can tell: the time over the loop is whole, it has no length, and the next is exact."""
    long = minutes * MINUTE
    standing = [
        *((0, 0, True), (long if 0 in over else SECOND, 0, False)),
        *((600_000 if 1 in over else long, 1, True), (long + SECOND, 1, False)),
    ]
    lane = Lane(WRAP - 5 * SECOND)
    lane.feed(standing + edges_of((long + 3 * SECOND, 1000, 450)))
    assert lane.seen == [(1000, 450)]
    assert lane.take(long + MINUTE) == (2, (long if 0 in over else SECOND) + 650_000)


@given(
    st.lists(st.tuples(st.integers(1, 90 * SECOND), st.integers(1, 100 * SECOND)), min_size=1, max_size=10),
    st.lists(st.integers(7 * SECOND, 60 * SECOND), min_size=1, max_size=10),
    st.sampled_from([0, WRAP - 30 * SECOND]),
)
def test_occupancy_is_shared_out_among_the_windows(
    spans: list[tuple[int, int]], windows: list[int], start: int
) -> None:
    """The windows' sums are the whole time over the loop, to the microsecond, wherever a window ends."""
    edges: list[Edge] = []
    now = total = 0
    for gap, over in spans:
        edges += [(now + gap, 0, True), (now + gap + over, 0, False)]
        now += gap + over
        total += over
    lane = Lane(start)
    sums = [0, 0]
    end = 0
    for length in windows * (now // sum(windows) + 1):
        inside = [edge for edge in edges if end <= edge[0] < end + length]
        end += length
        volume, occupied = lane.feed(inside).take(end)
        assert 0 <= occupied <= length
        sums[0] += volume
        sums[1] += occupied
        if end > now:
            break
    assert sums == [len(spans), total]


@pytest.mark.parametrize("start", [0, WRAP - 2_100_000, WRAP - 2_500_000])
@pytest.mark.parametrize(("cm_s", "cm"), [(2000, 450), (1000, 1850), (3600, 450), (250, 600)])
def test_who_drives_against_the_lane(start: int, cm_s: int, cm: int) -> None:
    """Once, with a speed below 0; those before and after it are measured as if it had not been there."""
    before, wrong, after = (0, 1000, 450), (2 * SECOND, -cm_s, cm), (7 * SECOND, 1250, 300)
    lane = Lane(start).feed(edges_of(before, wrong, after))
    assert lane.seen == [(1000, 450), (-cm_s, None), (1250, 300)]
    over = [(length + LOOP_CM) * SECOND // abs(speed) for _, speed, length in (before, wrong, after)]
    assert lane.take(MINUTE) == (3, sum(over)), "it is counted, and the loop was under it"


NONE_AGAINST = {
    "walks back": edges_of((0, -138, 450)),
    "too fast": edges_of((0, -7000, 450)),
    "never over both": edges_of((0, -1000, 190)),
    "pushed back, half way": [(0, 0, True), (400_000, 1, True), (SECOND, 1, False), (3 * SECOND, 0, False)],
    "backs in, and out again": [(0, 1, True), (400_000, 0, True), (SECOND, 0, False), (2 * SECOND, 1, False)],
    "stops over both": [(0, 1, True), (400_000, 0, True), (5 * SECOND, 1, False), (5_400_000, 0, False)],
    "one comes, another one leaves": [(0, 1, True), (400_000, 0, True), (800_000, 1, False), (1_400_000, 0, False)],
    # Seen by the second loop alone, and one close behind it: by both, by the first alone.
    "changes lanes in a queue": [
        *((0, 1, True), (300_000, 0, True), (600_000, 1, False)),
        *((800_000, 1, True), (900_000, 0, False), (1_400_000, 1, False)),
    ],
    "changes lanes": edges_of((0, 1000, 450), loops=(1,)) + edges_of((1_100_000, 1000, 450), loops=(0,)),
}


@pytest.mark.parametrize("edges", NONE_AGAINST.values(), ids=NONE_AGAINST)
def test_what_is_no_driver_against_the_lane(edges: list[Edge]) -> None:
    """Too slow, too fast, or not the mirror image of a passage."""
    assert [cm_s for cm_s, _ in Lane().feed(edges).seen if cm_s < 0] == []


def test_a_minute_over_the_loops_is_forgotten() -> None:
    """Before the ticks wrap: what began as a drive against the lane ends as none, and the next one is seen."""
    stood = [(0, 1, True), (400_000, 0, True), (18 * MINUTE, 1, False), (18 * MINUTE + 400_000, 0, False)]
    lane = Lane().feed(stood + edges_of((19 * MINUTE, -1000, 450)))
    assert lane.seen == [(-1000, None)]


@st.composite
def _traffic(draw: st.DrawFn) -> list[Vehicle]:
    """Vehicles from 6 to 200 km/h, from motorcycles to road trains, as close as they come."""
    found, at = [], 0
    for gap, cm_s, cm in draw(
        st.lists(st.tuples(st.integers(0, 5 * SECOND), st.integers(170, 5_500), st.integers(170, 2_500)), max_size=30)
    ):
        at += gap
        found.append((at, cm_s, cm))
    return found


def drive(vehicles: list[Vehicle], lane: Lane, start: int = 0) -> list[Vehicle]:
    """Send vehicles over the simulated loops of a lane; them with the times at which they really came."""
    came: list[Vehicle] = []
    coming = [(at, cm_s * 10, cm * 10) for at, cm_s, cm in vehicles]
    pair = LoopPair((32, 33), lambda after: coming.pop(0) if coming else None, start_us=start)
    while (due := pair.next_us()) is not None:
        pin, level = pair.fire()
        lane.feed([(due, pin - 32, level == 0)])
        if pin == 32 and level == 0:
            came.append((due, *vehicles[len(came)][1:]))
    return came


@given(_traffic())
def test_dense_traffic_is_measured_vehicle_by_vehicle(vehicles: list[Vehicle]) -> None:
    """From the simulated detectors: none is missed, each has its speed and length as well as whole numbers tell."""
    lane = Lane()
    came = drive(vehicles, lane)
    assert len(lane.seen) == len(came) == len(vehicles)
    for (seen_cm_s, seen_cm), (_, cm_s, cm) in zip(lane.seen, came, strict=True):
        assert seen_cm_s == pytest.approx(cm_s, abs=1.001 + cm_s * cm_s / (SPACING_CM * SECOND))
        assert seen_cm == pytest.approx(cm, abs=2 + (cm + LOOP_CM) * 1.5 / cm_s)


@given(_traffic(), st.data())
def test_vehicles_that_one_loop_misses_do_not_drive_against_the_lane(
    vehicles: list[Vehicle], data: st.DataObject
) -> None:
    """Cars, as close as they come, and some that change lanes over the loops."""
    lane, edges = Lane(), []
    pair = LoopPair((0, 1), lambda after: coming.pop(0) if coming else None)
    coming = [(at, cm_s * 10, max(cm, 300) * 10) for at, cm_s, cm in vehicles]
    # Not two in a row: a car that leaves the lane close behind one that comes to it is its mirror image.
    missed = [data.draw(st.sampled_from([None, 0, 1])) if n % 2 else None for n in range(len(coming))]
    came = [0, 0]
    while (due := pair.next_us()) is not None:
        loop, level = pair.fire()
        came[loop] += level == 0
        if missed[came[loop] - 1] != loop:
            edges.append((due, loop, level == 0))
    assert [cm_s for cm_s, _ in lane.feed(edges).seen if cm_s < 0] == []


@given(_traffic(), st.data())
def test_each_of_several_against_the_lane_is_seen(vehicles: list[Vehicle], data: st.DataObject) -> None:
    """Among others, at any speed and with room: as many as there were, as fast as whole numbers tell."""
    mixed, at = [], 0
    for _, cm_s, cm in vehicles:
        at += 30 * SECOND
        mixed.append((at, cm_s * data.draw(st.sampled_from([1, 1, -1])), max(cm, 250)))
    lane = Lane()
    drive(mixed, lane)
    assert [cm_s for cm_s, _ in lane.seen] == [
        pytest.approx(cm_s, abs=1.001 + cm_s * cm_s / (SPACING_CM * SECOND)) for _, cm_s, _ in mixed
    ]


def test_two_hundred_vehicles_a_minute_in_four_lanes() -> None:
    """For ten minutes, each lane at the limit of what a road can carry: none is missed."""
    lanes = [Lane(WRAP - MINUTE) for _ in range(4)]
    for n, lane in enumerate(lanes):
        vehicles = [(SECOND + n * 100_000 + k * 1_200_000, 1900 + 37 * (k % 11), 420 + 5 * (k % 7)) for k in range(500)]
        came = drive(vehicles, lane)
        assert all(b - a == pytest.approx(1_200_000, abs=1) for (a, *_), (b, *_) in pairwise(came)), "held back"
        assert len(lane.seen) == 500
        assert [cm for _, cm in lane.seen] == pytest.approx([cm for _, _, cm in vehicles], abs=1)
    assert sum(lane.take(10 * MINUTE)[0] for lane in lanes) == 2000


def test_the_driver_counts_two_lanes_on_their_pins(tmp_path: Path) -> None:
    """On MicroPython, by interrupts at any pace: five minutes of both lanes, and a lane whose loop sticks."""
    program = """
from time import sleep_ms
import world as hardware
from chips.loop import LoopPair as Chip
from drivers.loops import LoopPair
class Lane:
    def __init__(self, pins, gap_us, mm_s, mm):
        self.at, self.vehicle, self.seen = world.now, (gap_us, mm_s, mm), set()
        self.chip = Chip(pins, self.next, start_us=world.now)
        for pin, level in self.chip.levels():
            hardware.line(pin).drive(level)
        hardware.attach_pins(self.chip)
        self.loops = LoopPair(pins, 400, 200, lambda *vehicle: self.seen.add(vehicle))
    def next(self, after):
        self.at += self.vehicle[0]
        return (self.at,) + self.vehicle[1:]
lanes = [Lane((32, 33), 1_500_000, 20_000, 4500), Lane((25, 26), 5_000_000, 10_000, 18_000)]
def minutes(n):
    for _ in range(60 * n):
        sleep_ms(1000)
        for lane in lanes:
            lane.loops.poll()
    for lane in lanes:
        print(*lane.loops.take(), lane.seen)
        lane.seen.clear()
minutes(5)
lanes[0].chip.stuck = (33,)
minutes(5)
lanes[0].chip.stuck = ()
minutes(5)
"""
    rows = [line.split(" ", 2) for line in run(fast(tmp_path, START) + program, tmp_path)]
    assert len(rows) == 6
    for n, row in enumerate(rows):
        per_minute, over_us, vehicle = ((40, 325_000, (2000, 450)), (12, 2_000_000, (1000, 1800)))[n % 2]
        assert int(row[0]) == pytest.approx(5 * per_minute, abs=1)
        assert int(row[1]) == pytest.approx(5 * per_minute * over_us, abs=over_us)
        assert row[2] == (str({vehicle}) if n != 2 else "set()")


def test_two_hundred_a_minute_in_each_of_four_lanes(tmp_path: Path) -> None:
    """On MicroPython, from all eight pins, for five minutes: each once, with its speed, its length and its time.

    Closer than anyone drives: two vehicles are between the edges of a lane's loops at a time. Lanes 1 and 3 have their
    edges at the very same microseconds, lane 2 a millisecond later, lane 4 in between.
    """
    program = """
from time import sleep_ms
import world as hardware
from boards import esp32_devkit as board
from drivers.loops import LoopPair
DETECTORS
class Lane:
    def __init__(self, pins, late_us):
        for pin in pins:
            hardware.line(pin).drive(1)
        hardware.attach_pins(Detectors(pins, late_us))
        self.count, self.seen = 0, set()
        self.loops = LoopPair(pins, 400, 200, self.vehicle)
    def vehicle(self, *what):
        self.count += 1
        self.seen.add(what)
lanes = [Lane(*each) for each in zip(board.LOOPS, (0, 1_000, 0, 77_000))]
windows = []
for _ in range(6):
    for _ in range(60):
        sleep_ms(1000)
        for lane in lanes:
            lane.loops.poll()
    windows.append([lane.loops.take() for lane in lanes])
for i, lane in enumerate(lanes):
    print(lane.count, lane.seen, *[window[i] for window in windows])
"""
    program = program.replace("DETECTORS", DETECTORS.replace("VEHICLES", "1000"))
    rows = run(fast(tmp_path, START) + program, tmp_path)
    assert len(rows) == 4
    for row in rows:
        count, vehicle, windows = row.replace("{", "}").split("}")
        assert (int(count), vehicle) == (1000, "(2500, 250)")
        taken = [tuple(map(int, each.split(", "))) for each in windows.strip(" ()").split(") (")]
        assert sum(volume for volume, _ in taken) == 1000
        assert sum(occupied for _, occupied in taken) == 1000 * 180_000
        for volume, occupied in taken[1:5]:
            assert volume == pytest.approx(200, abs=1)
            assert occupied == pytest.approx(0.6 * MINUTE, abs=180_000)


@pytest.mark.parametrize(("unit", "counted"), [(0, 20), (None, 10)])
def test_the_hardware_counts_while_the_program_is_held_up(tmp_path: Path, unit: int | None, counted: int) -> None:
    """Of twenty vehicles ten pass while no interrupt is taken: with a pulse counter the volume has them all."""
    program = f"""
from chips.loop import LoopPair as Loops
from drivers.loops import LoopPair
import world as hardware
def vehicles(after):
    return ((after // 3_000_000 + 1) * 3_000_000, 13_889, 4_500)
loops = Loops((32, 33), vehicles, start_us=world.now)
for pin, level in loops.levels():
    hardware.line(pin).drive(level)
hardware.attach_pins(loops)
pair = LoopPair((32, 33), 400, 200, lambda cm_s, cm: None, {unit})
time.sleep_ms(31_000)
lines = [hardware.line(32), hardware.line(33)]
watches = [line.watch for line in lines]
for line in lines:
    line.watch = None
time.sleep_ms(30_000)
for line, watch in zip(lines, watches):
    line.watch = watch
print(pair.take()[0], pair.take()[0])
"""
    assert run(fast(tmp_path, START) + program, tmp_path) == [f"{counted} 0"]
