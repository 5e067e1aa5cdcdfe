"""LD2451: reports, commands and their answers as its serial protocol has them; and the lane before it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_hardware.chips.ld2451 import LD2451, Lane, answer, report
from tests.sim_hardware.clock import Clock

ENABLE = bytes.fromhex("FDFCFBFA 0400 FF00 0100 04030201")
END = bytes.fromhex("FDFCFBFA 0200 FE00 04030201")
GET = bytes.fromhex("FDFCFBFA 0200 1200 04030201")
GET_SENSITIVITY = bytes.fromhex("FDFCFBFA 0200 1300 04030201")
NOTHING = bytes.fromhex("F4F3F2F1 0000 F8F7F6F5")

Place = tuple[float, float, float]
Target = tuple[int, int, int, int, int]


def command(number: int, value: bytes = b"") -> bytes:
    return b"\xfd\xfc\xfb\xfa" + bytes((2 + len(value), 0, number, 0)) + value + b"\x04\x03\x02\x01"


def chip(clock: Clock, *places: Place, seed: int = 1) -> LD2451:
    """It reports both directions up to 100 m, from 5 km/h on."""
    radar = LD2451(clock, lambda ms: places, seed)
    radar.detection = bytes((100, 2, 5, 0))
    return radar


def heard(radar: LD2451, clock: Clock, ms: int) -> list[tuple[int, bytes]]:
    """(time, bytes) of all that the chip sends in the next `ms`; each is fetched just when it is due."""
    end = clock.ms + ms
    sent = []
    while (due := radar.due_ms()) is not None and due <= end:
        assert due >= clock.ms
        assert radar.transmit(due - 1) == b"", "sent before it is due"
        clock.ms = due
        sent.append((due, radar.transmit(due)))
    clock.ms = end
    return sent


def targets(frame: bytes) -> list[Target]:
    """(angle, metres, direction, km/h, signal to noise) of each in a report whose form is right."""
    assert frame[:4] == bytes.fromhex("F4F3F2F1")
    assert frame[-4:] == bytes.fromhex("F8F7F6F5")
    body = frame[6:-4]
    assert int.from_bytes(frame[4:6], "little") == len(body)
    if not body:
        return []
    assert len(body) == 2 + 5 * body[0]
    found = []
    for at in range(2, len(body), 5):
        angle, metres, direction, kmh, snr = body[at : at + 5]
        found.append((angle - 0x80, metres, direction, kmh, snr))
    assert body[1] == any(target[2] == 1 for target in found), "the alarm is of something that approaches"
    return found


def seen(radar: LD2451, clock: Clock, ms: int) -> list[list[Target]]:
    return [targets(frame) for _, frame in heard(radar, clock, ms)]


# reports ----------------------------------------------------------------------------------------------------------


def test_the_manuals_report() -> None:
    """Three vehicles at 60 km/h: 40 m and 30 m off at 10 degrees, 95 m off at -10."""
    assert report([(10, 40, 0, 60, 0x15), (10, 30, 1, 60, 0x0F), (-10, 95, 0, 60, 0x0F)]) == bytes.fromhex(
        "F4F3F2F1 1100 0301 8A28003C15 8A1E013C0F 765F003C0F F8F7F6F5"
    )
    assert report([]) == NOTHING


def test_ten_reports_a_second() -> None:
    """Also when there is nothing to tell."""
    clock = Clock(5_000)
    frames = heard(chip(clock), clock, 1_000)
    assert frames == [(ms, NOTHING) for ms in range(5_100, 6_001, 100)]


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ((40.0, 3.0, -14.0), (4, 40, 1, 50)),
        ((60.0, -6.0, 25.0), (-6, 60, 0, 90)),
        ((15.0, 5.0, -10.0), (18, 16, 1, 34)),
    ],
    ids=["approaching", "receding", "aside"],
)
def test_a_vehicle_as_the_radar_sees_it(place: Place, expected: tuple[int, int, int, int]) -> None:
    """Along its own line of sight, with the noise of echoes: on the mean it is right."""
    clock = Clock()
    found = [frame[0] for frame in seen(chip(clock, place), clock, 60_000)]
    assert len(found) == 600
    assert {target[2] for target in found} == {expected[2]}
    for i, spread in ((0, 3), (1, 2), (3, 2)):
        values = [target[i] for target in found]
        assert sum(values) / 600 == pytest.approx(expected[i], abs=0.6)
        assert max(values) - min(values) <= 2 * spread
        assert len(set(values)) > 1


@pytest.mark.parametrize(
    "place",
    [
        (40.0, 3.0, 0.0),
        (40.0, 3.0, -1.0),
        (104.0, 3.0, -14.0),
        (10.0, 5.0, -14.0),
        (-40.0, 3.0, 14.0),
        (0.0, 3.0, 9.0),
    ],
    ids=["standing", "slow", "far", "out of the beam", "behind", "abreast"],
)
def test_what_it_does_not_see(place: Place) -> None:
    """Vehicles too slow, too far, beside or behind it."""
    clock = Clock()
    assert not any(seen(chip(clock, place), clock, 10_000))


@pytest.mark.parametrize(("wanted", "directions"), [(0, {0}), (1, {1}), (2, {0, 1})])
def test_it_reports_the_directions_that_are_wanted(wanted: int, directions: set[int]) -> None:
    """0 away, 1 approaching, 2 both."""
    clock = Clock()
    radar = chip(clock, (40.0, 3.0, -14.0), (50.0, 6.0, 14.0))
    radar.detection = bytes((100, wanted, 5, 0))
    assert {target[2] for frame in seen(radar, clock, 2_000) for target in frame} == directions


def test_five_at_most_the_nearest_first() -> None:
    """Of nine vehicles; weak echoes give way."""
    clock = Clock()
    frames = seen(chip(clock, *[(15.0 + 10 * n, 3.0, -14.0) for n in range(9)]), clock, 10_000)
    assert all(len(frame) == 5 for frame in frames)
    assert sum(frame[0][1] for frame in frames) / 100 < 25
    assert sum(frame[4][1] for frame in frames) / 100 > 45
    assert max(target[1] for frame in frames for target in frame) < 90
    assert all([target[4] for target in frame] == sorted((t[4] for t in frame), reverse=True) for frame in frames)


def test_two_side_by_side_are_one() -> None:
    """At the same speed and far off; not when they go opposite ways."""
    clock = Clock()
    same = seen(chip(clock, (80.0, 3.0, -14.0), (80.0, 5.0, -14.0)), clock, 10_000)
    assert sum(len(frame) for frame in same) < 150
    other = seen(chip(Clock(), (80.0, 3.0, -14.0), (80.0, 5.0, 14.0)), Clock(), 10_000)
    assert all(len(frame) == 2 for frame in other)


def test_what_makes_its_life_hard() -> None:
    """Missed echoes, ghosts, echoes that come twice, trees in the wind: as often as asked for."""
    clock = Clock()
    radar = chip(clock, (40.0, 3.0, -14.0))
    radar.drop = 300
    assert sum(bool(frame) for frame in seen(radar, clock, 100_000)) == pytest.approx(700, abs=50)
    radar.drop, radar.ghosts = 1000, 200
    ghosts = [frame[0] for frame in seen(radar, clock, 100_000) if frame]
    assert len(ghosts) == pytest.approx(200, abs=45)
    assert len({ghost[:4] for ghost in ghosts}) > 150, "each somewhere else"
    radar.drop, radar.ghosts, radar.split = 0, 0, 300
    assert 100 < sum(len(frame) == 2 for frame in seen(radar, clock, 100_000)) < 300, "those too near are one"
    radar.split, radar.clutter = 0, [(20.0, -3.0, 2.5)]
    trees = [target for frame in seen(radar, clock, 100_000) for target in frame if target[1] < 30]
    assert {target[2] for target in trees} == {0, 1}
    assert {target[1] for target in trees} <= set(range(18, 23))


def test_missed_reports_do_not_come_late() -> None:
    """A host that was away finds one, and the next at its time."""
    clock = Clock()
    radar = chip(clock)
    clock.ms = 7_330
    assert radar.transmit(7_330) == NOTHING
    assert radar.transmit(7_330) == b""
    assert [ms for ms, _ in heard(radar, clock, 200)] == [7_400, 7_500]


def test_the_same_seed_is_the_same_chip() -> None:
    """And another is not."""
    streams = []
    for seed in (1, 1, 2):
        clock = Clock()
        streams.append(heard(chip(clock, (40.0, 3.0, -14.0), seed=seed), clock, 5_000))
    assert streams[0] == streams[1] != streams[2]


# commands ---------------------------------------------------------------------------------------------------------


def test_a_session() -> None:
    """No reports from enabling on to the end; what is set is told, and holds."""
    clock = Clock()
    radar = LD2451(clock, lambda ms: [(40.0, 3.0, 14.0)])
    assert not any(seen(radar, clock, 1_000)), "from the factory on it tells what approaches"
    radar.receive(ENABLE)
    assert [frame.hex() for _, frame in heard(radar, clock, 5_000)] == ["fdfcfbfa0800ff0100000100400004030201"]
    for sent, got in (
        (GET, "fdfcfbfa08001201000064010002" + "04030201"),
        (command(0x02, bytes((80, 2, 10, 1))), "fdfcfbfa04000201000004030201"),
        (GET, "fdfcfbfa08001201000050020a01" + "04030201"),
        (command(0x03, bytes((1, 6, 0, 0))), "fdfcfbfa04000301000004030201"),
        (GET_SENSITIVITY, "fdfcfbfa08001301000001060000" + "04030201"),
    ):
        radar.receive(sent)
        assert [frame.hex() for _, frame in heard(radar, clock, 500)] == [got]
    radar.receive(END)
    frames = [frame for _, frame in heard(radar, clock, 1_000)]
    assert frames[0] == answer(0xFE, 0)
    assert all(targets(frame)[0][2] == 0 for frame in frames[1:])
    assert len(frames) == 11
    assert radar.writes == 2


@pytest.mark.parametrize(
    "sent",
    [
        command(0x02, bytes((9, 2, 10, 1))),
        command(0x02, bytes((100, 3, 10, 1))),
        command(0x02, bytes((100, 2, 121, 1))),
        command(0x02, bytes((100, 2, 10))),
        command(0x03, bytes((1, 9, 0, 0))),
        command(0x77),
    ],
    ids=["too near", "no direction", "too fast", "short", "sensitivity", "unknown"],
)
def test_what_cannot_be_set_is_refused(sent: bytes) -> None:
    """With a status that is not 0; nothing changes."""
    clock = Clock()
    radar = chip(clock)
    before = radar.detection, radar.sensitivity
    radar.receive(ENABLE + sent)
    frames = [frame for _, frame in heard(radar, clock, 1_000)]
    assert frames[1] == answer(sent[6], 1)
    assert (radar.detection, radar.sensitivity, radar.writes) == (*before, 0)


def test_settings_outside_of_a_session_are_refused() -> None:
    """It has to be enabled first."""
    clock = Clock()
    radar = chip(clock)
    radar.receive(command(0x02, bytes((80, 2, 10, 1))))
    assert heard(radar, clock, 50)[0][1] == answer(0x02, 1)
    assert radar.writes == 0


@given(st.binary(max_size=40), st.lists(st.integers(1, 14), max_size=20))
def test_a_command_is_found_in_noise_and_in_pieces(noise: bytes, cuts: list[int]) -> None:
    """Whatever came before it, if that does not look like a longer one, and however it is cut."""
    clock = Clock()
    radar = chip(clock)
    rest = noise.replace(b"\xfd", b"") + ENABLE
    for cut in cuts:
        radar.receive(rest[:cut])
        rest = rest[cut:]
    radar.receive(rest)
    assert [frame[6] for _, frame in heard(radar, clock, 1_000)] == [0xFF]


@given(st.integers(0, 13), st.integers(1, 255))
def test_a_spoilt_command_changes_nothing(at: int, flip: int) -> None:
    """It is answered with an error or not at all, and the reports go on; only the value of enabling says nothing."""
    clock = Clock()
    radar = chip(clock)
    radar.receive(ENABLE[:at] + bytes((ENABLE[at] ^ flip,)) + ENABLE[at + 1 :])
    frames = [frame for _, frame in heard(radar, clock, 1_000)]
    if at not in (7, 8, 9):
        assert frames.count(NOTHING) >= 9


# faults -----------------------------------------------------------------------------------------------------------


def test_stuck_repeats_the_last_report() -> None:
    """Byte for byte, though it was of vehicles that move."""
    clock = Clock()
    radar = chip(clock, (40.0, 3.0, -14.0))
    last = heard(radar, clock, 1_000)[-1][1]
    radar.stuck = True
    assert {frame for _, frame in heard(radar, clock, 5_000)} == {last}
    radar.stuck = False
    assert len({frame for _, frame in heard(radar, clock, 5_000)}) > 5


def test_a_drift_is_a_factor_on_speed_and_distance() -> None:
    """Of a clock inside that is 20 % off."""
    clock = Clock()
    radar = chip(clock, (50.0, 0.0, -15.0))
    radar.drift = 1.2
    for ((_, metres, direction, kmh, _),) in seen(radar, clock, 2_000):
        assert metres == pytest.approx(60, abs=2)
        assert direction == 1
        assert kmh == pytest.approx(15 * 3.6 * 1.2, abs=2)


def test_dead_says_nothing_and_hears_nothing() -> None:
    """What was sent to it meanwhile is lost."""
    clock = Clock()
    radar = chip(clock)
    radar.dead = True
    radar.receive(ENABLE)
    assert heard(radar, clock, 10_000) == []
    radar.dead = False
    assert radar.transmit(clock.ms) == NOTHING
    assert {frame for _, frame in heard(radar, clock, 1_000)} == {NOTHING}


def test_garbled_spoils_each_frame() -> None:
    """By one byte of it; answers too."""
    clock = Clock()
    radar = chip(clock)
    radar.garbled = True
    for _, frame in heard(radar, clock, 10_000):
        assert len(frame) == len(NOTHING)
        assert sum(a != b for a, b in zip(frame, NOTHING, strict=True)) == 1
    radar.receive(ENABLE)
    assert heard(radar, clock, 100)[0][1] != answer(0xFF, 0, b"\x01\x00\x40\x00")


def test_a_quiet_chip_speaks_when_it_sees_or_is_asked() -> None:
    """Some in the field send no empty reports."""
    clock = Clock()
    places: list[Place] = []
    radar = LD2451(clock, lambda ms: places)
    radar.quiet = True
    assert {frame for _, frame in heard(radar, clock, 5_000)} == {b""}
    radar.receive(ENABLE + END)
    assert [frame[6] for _, frame in heard(radar, clock, 90)] == [0xFF, 0xFE]
    places.append((40.0, 3.0, -14.0))
    assert all(targets(frame) for _, frame in heard(radar, clock, 1_000))


# the lane ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("approaching", [True, False])
def test_vehicles_drive_past(approaching: bool) -> None:
    """At the speed that they like, on their side of the road; each passes the line once."""
    coming = [(10_000_000 * n, 15_000, 4_500) for n in range(1, 6)]
    lane = Lane(lambda after: coming.pop(0) if coming else None, approaching, across_m=4.0, line_m=20.0)
    places = [place for ms in range(0, 120_000, 50) for place in lane(ms)]
    assert {across for _, across, _ in places} == {4.0}
    assert {m_s for _, _, m_s in places} == {-15.0 if approaching else 15.0}
    assert max(along for along, _, _ in places) > 100
    assert min(along for along, _, _ in places) < 0
    assert (lane.passed, lane.speeds) == (5, 75.0)
    assert lane(120_000) == []


_vehicles = st.tuples(st.integers(0, 5_000_000), st.integers(3_000, 40_000), st.integers(2_000, 18_000))


@given(st.lists(_vehicles, max_size=30))
def test_nobody_is_driven_into(vehicles: list[tuple[int, int, int]]) -> None:
    """Fast behind slow, at a light that comes and goes: bumpers keep apart, and all come through in the end."""
    at, coming = 0, []
    for gap, mm_s, mm in vehicles:
        at += gap
        coming.append((at, mm_s, mm))
    lane = Lane(lambda after: coming.pop(0) if coming else None, True)
    for ms in range(0, 900_000, 100):
        lane.closed = 10.0 if ms % 60_000 < 30_000 and ms < 300_000 else None
        lane(ms)
        for ahead, behind in zip(lane._road, lane._road[1:], strict=False):
            assert behind[0] <= ahead[0] - ahead[3] - 0.5
        if not (coming or lane._coming or lane._road):
            break
    assert lane.passed == len(vehicles)


def test_a_red_light_holds_them() -> None:
    """Those who can brake; they queue up before it, and none passes."""
    coming = [(n * 3_000_000, 14_000, 4_500) for n in range(1, 9)]
    lane = Lane(lambda after: coming.pop(0) if coming else None, True, line_m=25.0)
    lane.closed = 30.0
    lane(60_000)
    assert lane.passed == 0
    assert lane(60_000) == [], "who stands has no speed"
    lane.closed = None
    lane(120_000)
    assert lane.passed == 8
