"""SPS30: SHDLC frames, commands, states and times as the datasheet version 1.0 has them (chapter 5)."""

import struct

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sim_hardware.chips.sps30 import SPS30, plain, stuffed
from tests.sim_hardware.clock import Clock

START, STOP, READ = bytes.fromhex("7E0000020103F97E"), bytes.fromhex("7E000100FE7E"), bytes.fromhex("7E000300FC7E")
START_WHOLE = bytes.fromhex("7E0000020105F77E")
SLEEP, RESET, VERSION = bytes.fromhex("7E001000EF7E"), bytes.fromhex("7E00D3002C7E"), bytes.fromhex("7E00D1002E7E")
WAKE, PLAIN_WAKE = bytes.fromhex("7E007D3100EE7E"), bytes.fromhex("7E001100EE7E")
CLEAN, STATUS, CLEAR = bytes.fromhex("7E005600A97E"), bytes.fromhex("7E00D201002C7E"), bytes.fromhex("7E00D201012B7E")

AIR = (12.0, 20.0, 33.0)
NOT_NOW, FAULT = 0x43, 0x80


def chip(clock: Clock, air: tuple[float, float, float] = AIR, seed: int = 1) -> SPS30:
    return SPS30(clock, lambda: air, seed)


def measuring(clock: Clock, air: tuple[float, float, float] = AIR, seed: int = 1) -> SPS30:
    """Started, and warm."""
    sps = chip(clock, air, seed)
    assert ask(sps, clock, START) == (0, 0, b"")
    clock.ms += 30_000
    return sps


def sent(sps: SPS30, clock: Clock, ms: int = 20) -> list[bytes]:
    """The frames that come within 20 ms, each when it is due."""
    end, frames = clock.ms + ms, []
    while (due := sps.due_ms()) is not None and due <= end:
        assert sps.transmit(due - 1) == b"", "sent before it is due"
        clock.ms = due
        frames.append(sps.transmit(due))
    clock.ms = end
    return frames


def ask(sps: SPS30, clock: Clock, request: bytes) -> tuple[int, int, bytes]:
    """(command, state, data) of the one answer."""
    sps.receive(request)
    (frame,) = sent(sps, clock)
    assert frame[0] == frame[-1] == 0x7E
    assert not set(frame[1:-1]) & {0x7E, 0x11, 0x13}
    body = plain(frame[1:-1])
    assert body[0] == 0
    assert body[3] == len(body) - 4
    return body[1], body[2], body[4:]


def values(sps: SPS30, clock: Clock) -> tuple[float, ...]:
    return struct.unpack(">10f", ask(sps, clock, READ)[2])


# frames -----------------------------------------------------------------------------------------------------------


def test_stuffing_of_the_datasheet() -> None:
    """7E, 7D, 11 and 13 become two bytes (table 4), in the check code too."""
    assert stuffed(bytes.fromhex("00 43 04 7E 7D 11 13")) == bytes.fromhex("7E 00 43 04 7D5E 7D5D 7D31 7D33 99 7E")
    assert stuffed(b"\x00\xec\x00") == b"\x7e\x00\xec\x00\x7d\x33\x7e"
    assert stuffed(bytes.fromhex("0000020103")) == START


@given(st.binary(min_size=3, max_size=60))
def test_stuffing_is_undone(body: bytes) -> None:
    """Whatever is in it."""
    frame = stuffed(body)
    assert frame.count(0x7E) == 2
    assert plain(frame[1:-1]) == body


@given(st.integers(1, len(START) - 2), st.integers(1, 255))
def test_a_spoilt_request_is_not_answered(at: int, flip: int) -> None:
    """One wrong byte anywhere between the two 7E: the check code, or the stuffing, does not fit."""
    assume(START[at] ^ flip != 0x7E)  # which makes two frames of it
    clock = Clock()
    sps = chip(clock)
    sps.receive(START[:at] + bytes((START[at] ^ flip,)) + START[at + 1 :])
    assert sent(sps, clock) == []
    assert ask(sps, clock, READ)[1] == NOT_NOW, "it has not started"


@given(st.binary(max_size=20).filter(lambda noise: noise.count(0x7E) % 2 == 0), st.lists(st.integers(1, 7), max_size=9))
def test_a_request_is_found_in_noise_and_in_pieces(noise: bytes, cuts: list[int]) -> None:
    """Whatever came before it, and however it is cut."""
    clock = Clock()
    sps = chip(clock)
    rest = noise + START
    for cut in cuts:
        sps.receive(rest[:cut])
        rest = rest[cut:]
    sps.receive(rest)
    assert sent(sps, clock)[-1] == stuffed(bytes(4))


# measuring --------------------------------------------------------------------------------------------------------


def test_each_measurement_is_read_once() -> None:
    """One a second; in between the answer is empty, and no error."""
    clock = Clock()
    sps = chip(clock)
    ask(sps, clock, START)
    clock.ms = 985
    assert ask(sps, clock, READ) == (3, 0, b"")
    for _ in range(3):
        assert len(ask(sps, clock, READ)[2]) == 40
        assert ask(sps, clock, READ)[2] == b""
        clock.ms += 960


@given(st.lists(st.floats(0, 1_000), min_size=3, max_size=3).map(sorted), st.integers(1, 2**31))
def test_a_warm_chip_tells_the_air(air: list[float], seed: int) -> None:
    """Within its noise; masses and counts nest, and no value is below zero."""
    clock = Clock()
    found = values(measuring(clock, (air[0], air[1], air[2]), seed), clock)
    for shown, real in zip((found[0], found[1], found[3]), air, strict=True):
        assert abs(shown - real) <= 1 + 0.05 * real
    assert list(found[:4]) == sorted(found[:4])
    assert list(found[4:9]) == pytest.approx(sorted(found[4:9]))
    assert found[0] >= 0
    assert 0.3 < found[9] < 1


def test_the_fan_needs_time() -> None:
    """8 s until the stream of air is steady."""
    clock = Clock()
    sps = chip(clock, (100, 200, 300))
    ask(sps, clock, START)
    clock.ms += 1_000
    assert values(sps, clock)[1] < 40
    clock.ms += 7_000
    assert values(sps, clock)[1] == pytest.approx(200, abs=5)


def test_whole_numbers_on_demand() -> None:
    """Format 5."""
    clock = Clock()
    sps = chip(clock)
    assert ask(sps, clock, START_WHOLE)[1] == 0
    clock.ms += 30_000
    found = struct.unpack(">10H", ask(sps, clock, READ)[2])
    assert found[0] == pytest.approx(12, abs=1)
    assert found[3] == pytest.approx(33, abs=2)


def test_while_the_fan_is_cleaned_nothing_is_new() -> None:
    """For ten seconds."""
    clock = Clock()
    sps = measuring(clock)
    assert ask(sps, clock, CLEAN) == (0x56, 0, b"")
    for _ in range(9):
        clock.ms += 1_000
        assert ask(sps, clock, READ)[2] == b""
    clock.ms += 2_000
    assert len(ask(sps, clock, READ)[2]) == 40


# states -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("request_", [STOP, READ, CLEAN, WAKE], ids=["stop", "read", "clean", "wake"])
def test_an_idle_chip_refuses(request_: bytes) -> None:
    """State 43: not allowed now."""
    clock = Clock()
    assert ask(chip(clock), clock, request_)[1:] == (NOT_NOW, b"")


@pytest.mark.parametrize("request_", [START, SLEEP, WAKE], ids=["start", "sleep", "wake"])
def test_a_measuring_chip_refuses(request_: bytes) -> None:
    """And goes on measuring."""
    clock = Clock()
    sps = measuring(clock)
    assert ask(sps, clock, request_)[1:] == (NOT_NOW, b"")
    assert len(ask(sps, clock, READ)[2]) == 40


@pytest.mark.parametrize(
    ("body", "state"),
    [("000001 01", 1), ("000000", 1), ("000301 00", 1), ("004400", 2), ("000002 0203", 4), ("000002 0104", 4)],
)
def test_errors_have_codes(body: str, state: int) -> None:
    """1 wrong length, 2 unknown, 4 wrong parameter; and nothing starts."""
    clock = Clock()
    sps = chip(clock)
    assert ask(sps, clock, stuffed(bytes.fromhex(body)))[1:] == (state, b"")
    assert ask(sps, clock, READ)[1] == NOT_NOW


def test_a_sleeping_chip_hears_only_wake() -> None:
    """Its first byte, or frame, wakes the interface for 100 ms; the request to wake up must come within."""
    for woken in ([b"\xff" + WAKE], [WAKE, WAKE], [b"\xff", PLAIN_WAKE]):
        clock = Clock()
        sps = chip(clock)
        ask(sps, clock, SLEEP)
        for request in (START, READ, VERSION):
            sps.receive(request)
            assert sent(sps, clock, 200) == []
        for part in woken:
            sps.receive(part)
        assert sent(sps, clock) == [stuffed(bytes((0, 0x11, 0, 0)))]
        assert ask(sps, clock, START)[1] == 0
    sps = chip(clock)
    ask(sps, clock, SLEEP)
    for _ in range(3):
        sps.receive(WAKE)
        assert sent(sps, clock, 101) == [], "too late, it is the first again"


def test_stop_and_reset_make_it_idle() -> None:
    """It can be started again then."""
    for request in (STOP, RESET):
        clock = Clock()
        sps = measuring(clock)
        assert ask(sps, clock, request)[1] == 0
        assert ask(sps, clock, READ)[1] == NOT_NOW
        assert ask(sps, clock, START)[1] == 0


def test_information() -> None:
    """Product type, serial number, version, and the interval of cleaning, which is a week."""
    clock = Clock()
    sps = chip(clock)
    assert ask(sps, clock, stuffed(b"\x00\xd0\x01\x00"))[2] == b"00080000\0"
    assert ask(sps, clock, stuffed(b"\x00\xd0\x01\x03"))[2] == b"4E1AD1BB796C64C5\0"
    assert ask(sps, clock, stuffed(b"\x00\xd0\x01\x09"))[1] == 4
    assert ask(sps, clock, VERSION)[2] == bytes((2, 2, 0, 7, 0, 2, 0))
    interval = stuffed(b"\x00\x80\x01\x00")
    assert ask(sps, clock, interval)[2] == (604_800).to_bytes(4, "big")
    assert ask(sps, clock, stuffed(b"\x00\x80\x05\x00" + (86_400).to_bytes(4, "big")))[1] == 0
    assert ask(sps, clock, interval)[2] == (86_400).to_bytes(4, "big")


# faults -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bit", [4, 5, 21])
def test_a_fault_is_in_every_state_until_it_is_cleared(bit: int) -> None:
    """Fan, laser, fan speed: bit 7, and the register says which; a fault that lasts is back at once."""
    clock = Clock()
    sps = measuring(clock)
    sps.broken = 1 << bit
    assert ask(sps, clock, READ)[1] == FAULT
    assert ask(sps, clock, STATUS)[2] == struct.pack(">IB", 1 << bit, 0)
    assert ask(sps, clock, CLEAR)[2] == struct.pack(">IB", 1 << bit, 0)
    clock.ms += 1_000
    assert ask(sps, clock, READ)[1] == FAULT
    sps.broken = 0
    assert ask(sps, clock, READ)[1] == FAULT
    ask(sps, clock, CLEAR)
    clock.ms += 1_000
    assert ask(sps, clock, READ)[1] == 0
    assert ask(sps, clock, STATUS)[2] == bytes(5)


def test_it_ages_and_drifts() -> None:
    """At most 1.25 ug/m3 in a year, above 100 1.25 % (table 1), each chip its own way; a drift is a factor."""
    for air, most in (((20.0, 20.0, 20.0), 12.5), ((600.0, 600.0, 600.0), 75)):
        off = []
        for seed in range(30):
            clock = Clock()
            sps = measuring(clock, air, seed)
            young = values(sps, clock)[1]
            sps.age_h = 10 * 8_766
            off.append(values_after(sps, clock)[1] - young)
        noise = 0.6 + 0.04 * air[0]
        assert all(abs(each) < most + noise for each in off)
        assert min(off) < -most / 5
        assert max(off) > most / 5
    clock = Clock()
    sps = measuring(clock, (100, 200, 300))
    sps.drift = 0.5
    assert values(sps, clock)[1] == pytest.approx(100, abs=4)


def test_stuck_dead_and_bad_crc() -> None:
    """Bit for bit the same; not a word; a check code that does not fit."""
    clock = Clock()
    sps = measuring(clock)
    before = values(sps, clock)
    clock.ms += 1_000
    assert values(sps, clock) != before
    before = values_after(sps, clock)
    sps.stuck = True
    assert values_after(sps, clock) == before
    sps.bad_crc = True
    clock.ms += 1_000
    sps.receive(READ)
    (frame,) = sent(sps, clock)
    assert plain(frame[1:-1]) == b""
    sps.bad_crc = False
    sps.dead = True
    sps.receive(STOP)
    assert sent(sps, clock) == []
    sps.dead = False
    assert values_after(sps, clock) == before, "it has not heard the stop"


def values_after(sps: SPS30, clock: Clock) -> tuple[float, ...]:
    """A second later."""
    clock.ms += 1_000
    return values(sps, clock)
