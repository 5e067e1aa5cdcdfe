"""What survives a reset: each record is the old or the new one, wherever the reset came."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.firmware.importer import load
from tests.micropython import run

scratch = load("node.scratch")
Scratch = scratch.Scratch

NAMES = ("CLOCK", "REGISTER", "CRUMB", "COMMAND", "SLEEP", "TRACE")
SLOTS = {name: getattr(scratch, name) for name in NAMES}
SIZE = 1408


class Reset(BaseException):
    """The board begins anew."""


class Rtc:
    """The memory of a real-time clock. A reset in the middle of a write leaves the beginning of it."""

    def __init__(self, held: bytes = b"") -> None:
        self.held = held
        self.cut: int | None = None
        self.writes = 0

    def memory(self, data: bytes | None = None) -> bytes | None:
        if data is None:
            return self.held
        assert len(data) <= 2048
        self.writes += 1
        if self.cut is None:
            self.held = bytes(data)
            return None
        self.held = bytes(data[: self.cut]) + self.held[self.cut :].ljust(len(data) - self.cut, b"\0")
        raise Reset


def records(found: Any) -> dict[str, bytes | None]:
    return {name: found.read(slot) for name, slot in SLOTS.items()}


def written(values: Mapping[str, bytes]) -> Rtc:
    rtc = Rtc()
    memory = Scratch(rtc)
    for name, value in values.items():
        memory.write(SLOTS[name], value)
    return rtc


def test_slots_do_not_overlap() -> None:
    """Two copies of each with their heads, one slot behind the other, within what the chip has."""
    end = 0
    for at, most in SLOTS.values():
        assert at == end
        end = at + 2 * (8 + most)
    assert end == SIZE <= 2048


def test_records_survive_a_reset_and_not_a_loss_of_power() -> None:
    """Of every length; and `survived` tells which it was."""
    memory = Scratch(Rtc())
    assert records(memory) == dict.fromkeys(NAMES)
    assert not memory.survived
    values = {name: bytes([n]) * (most - n) for n, (name, (_, most)) in enumerate(SLOTS.items())}
    rtc = written(values)
    again = Scratch(rtc)
    assert (records(again), again.survived) == (values, True)
    rtc.held = rtc.held + b"more of another layout"
    assert records(Scratch(rtc)) == values
    rtc.held = rtc.held[: scratch.TRACE[0]]
    assert records(Scratch(rtc)) == {**values, "TRACE": None}
    rtc.held = b""
    assert not Scratch(rtc).survived


def test_one_empty_record_is_enough_to_survive() -> None:
    """It differs from memory that is all zeros, which is none, as does memory that is all ones."""
    assert Scratch(written({"SLEEP": b""})).read(SLOTS["SLEEP"]) == b""
    for held in (bytes(SIZE), b"\xff" * SIZE, bytes(2048), b"\x01"):
        memory = Scratch(Rtc(held))
        assert (records(memory), memory.survived) == (dict.fromkeys(NAMES), False)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_too_long_changes_nothing(name: str) -> None:
    """It is refused."""
    rtc = written({name: b"old"})
    memory = Scratch(rtc)
    with pytest.raises(ValueError, match="for a slot of"):
        memory.write(SLOTS[name], bytes(SLOTS[name][1] + 1))
    assert memory.read(SLOTS[name]) == Scratch(rtc).read(SLOTS[name]) == b"old"


@pytest.mark.parametrize("before", [0, 1, 2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_a_reset_at_any_byte_of_a_write(name: str, before: int) -> None:
    """The slot has the old record or the new one, all others what they had; and the next write is kept."""
    others = {other: other.encode() for other in NAMES if other != name}
    start = written(others)
    for n in range(before):
        Scratch(start).write(SLOTS[name], b"old %d" % n)
    old = b"old %d" % (before - 1) if before else None
    new = bytes(range(SLOTS[name][1] % 256)) or b"new"
    found = set()
    for cut in range(SIZE + 1):
        rtc = Rtc(start.held)
        memory = Scratch(rtc)
        rtc.cut = cut
        with pytest.raises(Reset):
            memory.write(SLOTS[name], new)
        rtc.cut = None
        again = Scratch(rtc)
        value = again.read(SLOTS[name])
        found.add(value)
        assert value in (old, new)
        assert {other: again.read(SLOTS[other]) for other in others} == others
        if cut % 50 == 0 or value == new:
            again.write(SLOTS[name], b"next")
            assert Scratch(rtc).read(SLOTS[name]) == b"next"
            assert Scratch(rtc).read(SLOTS["CLOCK" if name != "CLOCK" else "SLEEP"]) is not None
    assert found == {old, new}


@given(
    st.lists(st.tuples(st.sampled_from(NAMES), st.binary(max_size=24), st.none() | st.integers(0, SIZE)), max_size=40)
)
def test_any_writes_with_resets_in_between(writes: list[tuple[str, bytes, int | None]]) -> None:
    """A reset never takes more than the write that it fell into."""
    rtc = Rtc()
    memory = Scratch(rtc)
    model: dict[str, bytes | None] = dict.fromkeys(NAMES)
    for name, value, cut in writes:
        rtc.cut = cut
        try:
            memory.write(SLOTS[name], value)
            model[name] = value
        except Reset:
            memory = Scratch(rtc)
            found = memory.read(SLOTS[name])
            assert found in (model[name], value)
            model[name] = found
        assert records(memory) == records(Scratch(rtc)) == model


def test_counts_pass_their_end() -> None:
    """Sixteen bits of them: the newer copy is found before, at and after it."""
    rtc = Rtc()
    memory = Scratch(rtc)
    for n in range(65_536 + 5):
        memory.write(SLOTS["CLOCK"], b"%d" % n)
        if n % 9973 == 0 or n > 65_530:
            assert Scratch(rtc).read(SLOTS["CLOCK"]) == b"%d" % n


def test_on_the_board(tmp_path: Path) -> None:
    """MicroPython and its RTC say the same over a reset, and take any buffer."""
    program = """
from node import scratch
memory = scratch.Scratch()
print(memory.survived, memory.read(scratch.TRACE), memory.read(scratch.COMMAND))
memory.write(scratch.TRACE, bytearray(b"x" * 400))
memory.write(scratch.COMMAND, memoryview(b"abcdef")[2:])
try:
    memory.write(scratch.CRUMB, bytes(97))
except ValueError as error:
    print(error)
"""
    assert run(program, tmp_path) == ["False None None", "97 bytes for a slot of 96"]
    again = run(program, tmp_path)
    assert again[0] == f"True {b'x' * 400!r} {b'cdef'!r}"
