"""PMS5003: frames, commands and their answers as the data manual V2.3 has them (appendix I and II)."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_hardware.chips.pms5003 import PMS5003
from tests.sim_hardware.clock import Clock

PASSIVE = bytes.fromhex("424DE100000170")
ACTIVE = bytes.fromhex("424DE100010171")
READ = bytes.fromhex("424DE200000171")
SLEEP = bytes.fromhex("424DE400000173")
WAKE = bytes.fromhex("424DE400010174")

AIR = (12.0, 20.0, 33.0)


def chip(clock: Clock, air: tuple[float, float, float] = AIR, seed: int = 1) -> PMS5003:
    return PMS5003(clock, lambda: air, seed)


def heard(pms: PMS5003, clock: Clock, ms: int) -> list[tuple[int, bytes]]:
    """(time, bytes) of all that the chip sends in the next `ms`; each is fetched just when it is due."""
    end = clock.ms + ms
    sent = []
    while (due := pms.due_ms()) is not None and due <= end:
        assert due >= clock.ms
        assert pms.transmit(due - 1) == b"", "sent before it is due"
        clock.ms = due
        sent.append((due, pms.transmit(due)))
        assert sent[-1][1]
    clock.ms = end
    return sent


def words(frame: bytes) -> tuple[int, ...]:
    """The 13 numbers of a frame whose form and check code are right."""
    assert len(frame) == 32
    assert frame[:4] == bytes.fromhex("424D001C")
    assert int.from_bytes(frame[30:], "big") == sum(frame[:30])
    return struct.unpack(">13H", frame[4:30])


# frames -----------------------------------------------------------------------------------------------------------


def test_it_sends_a_frame_each_second_from_power_on() -> None:
    """Active mode is how it begins; every frame is whole, with a version and no error."""
    clock = Clock(5_000)
    frames = heard(chip(clock), clock, 40_000)
    assert [time for time, _ in frames] == list(range(6_000, 45_001, 1_000))
    assert {words(frame)[12] for _, frame in frames} == {0x9700}


def test_the_fan_needs_30_seconds() -> None:
    """Mass grows with the air that is drawn through, and never without particles to go with it."""
    clock = Clock()
    frames = [words(frame) for _, frame in heard(chip(clock, (100, 200, 300)), clock, 60_000)]
    masses = [frame[4] for frame in frames]
    assert masses[0] <= 8
    assert masses[14] == pytest.approx(100, abs=4)
    assert all(mass == pytest.approx(200, abs=6) for mass in masses[29:])
    assert all(frame[6] > 0 for frame in frames)


@given(st.lists(st.floats(0, 2_000), min_size=3, max_size=3).map(sorted), st.integers(1, 2**31))
def test_a_warm_chip_tells_the_air(air: list[float], seed: int) -> None:
    """Atmospheric mass within its noise; sizes nest; CF=1 is the same up to 30 ug/m3 and never less."""
    clock = Clock()
    pms = chip(clock, (air[0], air[1], air[2]), seed)
    heard(pms, clock, 30_000)
    numbers = words(heard(pms, clock, 1_000)[0][1])
    standard, mass, counts = numbers[:3], numbers[3:6], numbers[6:12]
    for shown, real in zip(mass, air, strict=True):
        assert abs(shown - real) <= 2 + 0.03 * real
    assert mass[0] <= mass[1] <= mass[2]
    assert all(s == m if m <= 30 else m <= s <= 1.5 * m for s, m in zip(standard, mass, strict=True))
    assert list(counts) == sorted(counts, reverse=True)
    assert counts[0] > 0


def test_a_step_is_followed_within_ten_seconds() -> None:
    """The manual's total response time, for 90 % of it; the first second shows some already."""
    clock = Clock()
    air = [10.0, 20.0, 40.0]
    pms = PMS5003(clock, lambda: (air[0], air[1], air[2]))
    heard(pms, clock, 40_000)
    air[:] = [100.0, 220.0, 240.0]
    masses = [words(frame)[4] for _, frame in heard(pms, clock, 30_000)]
    assert 40 < masses[0] < 80
    assert masses[9] == pytest.approx(200, abs=6)
    assert masses[29] == pytest.approx(220, abs=7)


def test_a_drift_is_in_every_number() -> None:
    """A laser that has faded to half shows half."""
    clock = Clock()
    pms = chip(clock, (100, 200, 300))
    pms.drift = 0.5
    heard(pms, clock, 40_000)
    found = words(heard(pms, clock, 1_000)[0][1])
    assert found[3:6] == (pytest.approx(50, abs=3), pytest.approx(100, abs=4), pytest.approx(150, abs=5))


def test_beyond_two_bytes_it_shows_their_end() -> None:
    """Counts first, at some hundred ug/m3."""
    clock = Clock()
    pms = chip(clock, (900, 1_000, 80_000))
    heard(pms, clock, 40_000)
    found = words(heard(pms, clock, 1_000)[0][1])
    assert found[5] == found[2] == found[6] == 0xFFFF
    assert found[4] == pytest.approx(1_000, abs=25)


def test_a_healthy_chip_does_not_repeat_itself() -> None:
    """In still air: equal frames come by chance, a row of them does not; another seed is another chip."""
    clock = Clock()
    pms = chip(clock)
    heard(pms, clock, 30_000)
    frames = [frame for _, frame in heard(pms, clock, 600_000)]
    assert all(len(set(frames[n : n + 4])) > 1 for n in range(len(frames) - 3))
    clocks = [Clock(), Clock(), Clock()]
    streams = [heard(chip(c, seed=seed), c, 20_000) for c, seed in zip(clocks, (1, 1, 2), strict=True)]
    assert streams[0] == streams[1] != streams[2]


def test_missed_frames_do_not_come_late() -> None:
    """A host that was away finds one frame, and the next a second later."""
    clock = Clock()
    pms = chip(clock)
    clock.ms = 7_300
    assert words(pms.transmit(7_300))
    assert pms.transmit(7_300) == b""
    assert [time for time, _ in heard(pms, clock, 2_000)] == [8_000, 9_000]


# commands ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (PASSIVE, "424D0004E1000174"),
        (ACTIVE, "424D0004E1010175"),
        (SLEEP, "424D0004E4000177"),
    ],
    ids=["passive", "active", "sleep"],
)
def test_a_change_of_mode_is_answered(command: bytes, answer: str) -> None:
    """Once, and before anything else is sent."""
    clock = Clock()
    pms = chip(clock)
    heard(pms, clock, 2_990)
    pms.receive(command)
    first, *others = heard(pms, clock, 5_000)
    assert first[1] == bytes.fromhex(answer)
    assert all(len(frame) == 32 for _, frame in others)
    assert len(others) == (5 if command == ACTIVE else 0)


def test_passive_mode_sends_what_it_is_asked_for() -> None:
    """One frame a question, which in active mode is not one."""
    clock = Clock()
    pms = chip(clock)
    pms.receive(READ + PASSIVE)
    assert [len(data) for _, data in heard(pms, clock, 5_000)] == [8]
    for _ in range(3):
        pms.receive(READ)
        assert [len(data) for _, data in heard(pms, clock, 5_000)] == [32]
    pms.receive(ACTIVE)
    assert [len(data) for _, data in heard(pms, clock, 3_000)] == [8, 32, 32, 32]


def test_a_sleeping_chip_hears_only_wake() -> None:
    """It wakes without a word, in the mode it had, and has to warm up again."""
    clock = Clock()
    pms = chip(clock, (100, 200, 300))
    heard(pms, clock, 40_000)
    pms.receive(SLEEP)
    heard(pms, clock, 1_000)
    for command in (READ, PASSIVE, ACTIVE, SLEEP):
        pms.receive(command)
        assert heard(pms, clock, 10_000) == []
    pms.receive(WAKE)
    woken = clock.ms
    frames = heard(pms, clock, 60_000)
    assert frames[0][0] == woken + 1_000
    assert words(frames[0][1])[4] <= 8
    assert words(frames[-1][1])[4] == pytest.approx(200, abs=6)


def test_wake_does_nothing_to_a_chip_that_is_awake() -> None:
    """No answer, and no new warm-up."""
    clock = Clock()
    pms = chip(clock, (100, 200, 300))
    heard(pms, clock, 40_000)
    pms.receive(WAKE)
    frames = heard(pms, clock, 1_000)
    assert [words(frame)[4] for _, frame in frames] == [pytest.approx(200, abs=6)]


def test_sleep_forgets_the_question() -> None:
    """A frame that was asked for just before is not sent after the chip wakes."""
    clock = Clock()
    pms = chip(clock)
    pms.receive(PASSIVE)
    heard(pms, clock, 1_000)
    pms.receive(READ + SLEEP)
    heard(pms, clock, 1_000)
    pms.receive(WAKE)
    assert heard(pms, clock, 5_000) == []


@given(st.integers(0, 6), st.integers(1, 255), st.sampled_from([PASSIVE, SLEEP]))
def test_a_spoilt_command_is_not_obeyed(at: int, flip: int, command: bytes) -> None:
    """Any wrong byte: no answer, and the frames go on."""
    clock = Clock()
    pms = chip(clock)
    pms.receive(command[:at] + bytes((command[at] ^ flip,)) + command[at + 1 :])
    assert [len(data) for _, data in heard(pms, clock, 3_000)] == [32, 32, 32]


@given(st.binary(max_size=20), st.lists(st.integers(1, 7), max_size=20))
def test_a_command_is_found_in_noise_and_in_pieces(noise: bytes, cuts: list[int]) -> None:
    """Whatever came before it, and however it is cut."""
    clock = Clock()
    pms = chip(clock)
    rest = noise + PASSIVE
    for cut in cuts:
        pms.receive(rest[:cut])
        rest = rest[cut:]
    pms.receive(rest)
    assert [data.hex() for _, data in heard(pms, clock, 3_000)] == ["424d0004e1000174"]


# faults -----------------------------------------------------------------------------------------------------------


def test_stuck_repeats_the_last_frame() -> None:
    """Bit for bit, until it is well again."""
    clock = Clock()
    pms = chip(clock)
    before = heard(pms, clock, 40_000)[-1][1]
    pms.stuck = True
    assert {frame for _, frame in heard(pms, clock, 60_000)} == {before}
    pms.stuck = False
    assert len({frame for _, frame in heard(pms, clock, 10_000)}) > 5


def test_dead_is_silent_and_deaf() -> None:
    """What it was told meanwhile it has not heard."""
    clock = Clock()
    pms = chip(clock)
    pms.dead = True
    pms.receive(PASSIVE)
    assert heard(pms, clock, 60_000) == []
    assert pms.transmit(clock.ms) == b""
    pms.dead = False
    assert len(pms.transmit(clock.ms)) == 32


def test_bad_crc_spoils_only_the_check_code() -> None:
    """The rest of the frame is as it would have been."""
    clocks = [Clock(), Clock()]
    good, bad = (chip(clock) for clock in clocks)
    bad.bad_crc = True
    for (_, right), (_, wrong) in zip(heard(good, clocks[0], 9_000), heard(bad, clocks[1], 9_000), strict=True):
        assert wrong[:30] == right[:30]
        assert int.from_bytes(wrong[30:], "big") != sum(wrong[:30])
