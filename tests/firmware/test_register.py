"""The water register: no pulse lost or counted twice, at whatever moment a reset or a loss of power comes."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise, product

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.firmware.importer import load

Register = load("node.register").Register
scratch = load("node.scratch")
driver = load("drivers.reed")

HOLD = driver.BOUNCE_MS
SIZE = 1408
"""Bytes that scratch writes at once."""

SLOT = range(scratch.REGISTER[0], scratch.REGISTER[0] + 2 * (8 + scratch.REGISTER[1]))

Point = tuple[int, int]
"""(which of all operations, how many bytes of it are done): where a reset comes."""


class Reset(BaseException):
    """The board begins anew; nothing that was going on goes on."""


@dataclass
class Fuse:
    """Counts everything that a reset can come in the middle of, and lets it come at the given points."""

    points: set[Point] = field(default_factory=set)
    count: int = 0
    writes: list[int] = field(default_factory=list)
    """Which operations were writes to RTC memory."""

    def next(self) -> int | None:
        """Bytes that are done of the operation that begins now before the reset, or None."""
        self.count += 1
        return next((done for number, done in self.points if number == self.count), None)


class Memory:
    """RTC memory. A reset in the middle of a write leaves its beginning."""

    def __init__(self, fuse: Fuse) -> None:
        self._fuse = fuse
        self.held = b""

    def memory(self, data: bytes | None = None) -> bytes | None:
        if data is None:
            return self.held
        done = self._fuse.next()
        self._fuse.writes.append(self._fuse.count)
        self.held = (
            bytes(data) if done is None else bytes(data[:done]) + self.held[done:].ljust(len(data) - done, b"\0")
        )
        if done is not None:
            raise Reset
        return None


class Flash:
    """NVS. `eager`: what was set is there without a commit too, as the chip sometimes has it."""

    def __init__(self, fuse: Fuse, eager: bool = False) -> None:
        self._fuse = fuse
        self._eager = eager
        self.kept: dict[str, int | bytes] = {}
        self.values: dict[str, int | bytes] = {}
        self.full = False

    def _get(self, key: str) -> int | bytes:
        if key not in self.values:
            raise OSError(-4354)
        return self.values[key]

    def get_i32(self, key: str) -> int:
        value = self._get(key)
        assert isinstance(value, int)
        return value

    def get_blob(self, key: str, buffer: bytearray) -> int:
        value = self._get(key)
        assert isinstance(value, bytes)
        buffer[: len(value)] = value
        return len(value)

    def _set(self, key: str, value: int | bytes) -> None:
        if self.full:
            raise OSError(-4357)
        done = self._fuse.next()
        if done != 0:
            self.values[key] = value
            if self._eager:
                self.kept[key] = value
        if done is not None:
            raise Reset

    def set_i32(self, key: str, value: int) -> None:
        assert -(1 << 31) <= value < 1 << 31
        self._set(key, value)

    def set_blob(self, key: str, value: bytes) -> None:
        self._set(key, value)

    def commit(self) -> None:
        done = self._fuse.next()
        if done != 0:
            self.kept = dict(self.values)
        if done is not None:
            raise Reset

    def reset(self) -> None:
        self.values = dict(self.kept)


class Board:
    """What the firmware does with a meter's contacts, and what of it a reset leaves."""

    def __init__(self, fuse: Fuse, levels: tuple[int, ...], eager: bool = False) -> None:
        self._fuse = fuse
        self.rtc, self.nvs = Memory(fuse), Flash(fuse, eager)
        self.levels = levels
        self.now = 0
        self.resets = self._rested = 0
        self.patient = False
        """The meter turns so slowly that no contact's change and its change back both fall into resets."""
        self.boot()

    def boot(self) -> None:
        while True:
            try:
                self.nvs.reset()
                self.register = Register(scratch.Scratch(self.rtc), self.nvs)
                self.meter = driver.Turns(self.levels, self.now, self.register.contacts)
                self.register.note(0, self.meter.state())
                return
            except Reset:
                self.resets += 1

    def lose_power(self) -> None:
        self.rtc.held = b""
        self.boot()

    def look(self, later: int) -> None:
        """Some ms later."""
        self.now += later
        try:
            if self._fuse.next() is not None:
                raise Reset
            self.meter.feed(self.levels, self.now, lambda turn, at: self.register.note(turn, self.meter.state()))
        except Reset:
            self.resets += 1
            self.boot()

    def turn(self, levels: tuple[int, ...]) -> None:
        """A contact changes, bounces, and rests."""
        before = self.levels
        for self.levels, later in ((levels, 500), (before, 3), (levels, 2), (levels, HOLD), (levels, HOLD)):
            self.look(later)
        while self.patient and self.resets > self._rested:
            self._rested = self.resets
            for _ in range(2):
                self.look(HOLD)

    def window(self) -> None:
        try:
            self.register.checkpoint()
        except Reset:
            self.resets += 1
            self.boot()


ONE = ((0,), (1,))
TWO = ((0, 1), (0, 0), (1, 0), (1, 1))


def life(board: Board, steps: list[int], contacts: int) -> tuple[int, int]:
    """These quarters (or halves, with one contact), a window's end after every third; the true turns of both ways."""
    quarters = ONE if contacts == 1 else TWO
    place, last, turns = len(quarters) - 1, 0, [0, 0]
    for number, step in enumerate(steps):
        before, place = place, place + step
        mark, rest = divmod(max(before, place), len(quarters))
        if rest == 0 and mark != last:
            last = mark
            turns[step < 0] += 1
        board.turn(quarters[place % len(quarters)])
        if number % 3 == 2:
            board.window()
    for _ in range(3):
        board.look(HOLD)
    return turns[0], turns[1]


LIVES = {1: [1] * 12, 2: [1] * 9 + [-1] * 11 + [1] * 8}


def points(contacts: int) -> Iterator[Point]:
    """Every point of a life at which a reset can come: of each write to RTC memory after each byte."""
    fuse = Fuse()
    board = Board(fuse, (1,) * contacts)
    life(board, LIVES[contacts], contacts)
    for number in range(1, fuse.count + 1):
        if number in fuse.writes:
            yield from ((number, done) for done in (0, *SLOT, SIZE))
        else:
            yield from ((number, done) for done in (0, 1))


@pytest.mark.parametrize("eager", [False, True])
@pytest.mark.parametrize("contacts", [1, 2])
def test_a_reset_at_any_moment_loses_no_pulse_and_doubles_none(contacts: int, eager: bool) -> None:
    """One reset, at each of some thousand points of a life."""
    for point in points(contacts):
        board = Board(Fuse({point}), (1,) * contacts, eager)
        turns = life(board, LIVES[contacts], contacts)
        assert board.resets == 1
        assert (board.register.forward, board.register.reverse) == turns, point
        assert not board.register.restored


@example(1, [1] * 19, {(117, 0), (119, 0), (123, 0)}, False)
@given(
    st.sampled_from([1, 2]),
    st.lists(st.sampled_from([1, 1, -1]), max_size=40),
    st.sets(st.tuples(st.integers(2, 400), st.sampled_from([0, 1, SIZE]) | st.sampled_from(SLOT)), max_size=12),
    st.booleans(),
)
def test_many_resets_and_any_life(contacts: int, steps: list[int], points: set[Point], eager: bool) -> None:
    """One after the other, also while it starts. One contact takes all for forwards, so it only turns so."""
    if contacts == 1:
        steps = [1] * len(steps)
    board = Board(Fuse(points), (1,) * contacts, eager)
    board.patient = True
    turns = life(board, steps, contacts)
    assert (board.register.forward, board.register.reverse) == turns


@pytest.mark.parametrize("contacts", [1, 2])
def test_a_contact_that_changes_during_the_reset_is_counted(contacts: int) -> None:
    """Its level is another one than that of the record: the closing came when nobody looked."""
    quarters = ONE if contacts == 1 else TWO
    board = Board(Fuse(), quarters[-1])
    for number in range(1, 4 * len(quarters) + 1):
        board.levels = quarters[(number - 1) % len(quarters)]
        board.boot()
        board.look(5)
        board.look(HOLD)
        board.look(HOLD)
    assert (board.register.forward, board.register.reverse) == (4, 0)


@given(st.lists(st.sampled_from([1, 1, 1, -1]), min_size=1, max_size=60), st.sampled_from([1, 2]))
def test_after_a_loss_of_power_it_is_the_checkpoint(steps: list[int], contacts: int) -> None:
    """At most what came after the last window is missing, and that is told until it was reported, over resets."""
    steps = [1] * len(steps) if contacts == 1 else steps
    board = Board(Fuse(), (1,) * contacts)
    life(board, steps, contacts)
    saved = (board.nvs.kept.get("pulses", 0), board.nvs.kept.get("reverse", 0))
    whole = Board(Fuse(), (1,) * contacts)
    assert saved == life(whole, steps[: len(steps) // 3 * 3], contacts)
    for act in (board.lose_power, board.boot, board.boot):
        act()
        assert (board.register.forward, board.register.reverse) == saved
        assert board.register.restored is (saved != (0, 0))
    board.register.told(board.meter.state())
    for act in (board.boot, lambda: board.look(HOLD), board.boot):
        act()
        assert not board.register.restored


def test_a_new_register_was_not_restored() -> None:
    """There was nothing to lose."""
    board = Board(Fuse(), (1,))
    assert (board.register.forward, board.register.reverse, board.register.restored) == (0, 0, False)
    board.lose_power()
    assert not board.register.restored


def test_the_register_of_a_node_in_the_field_goes_on() -> None:
    """Older firmware kept one number; and still finds it there."""
    board = Board(Fuse(), (1,))
    board.nvs.kept = {"pulses": 123_456}
    board.lose_power()
    assert (board.register.forward, board.register.reverse, board.register.restored) == (123_456, 0, True)
    board.register.note(1, board.meter.state())
    board.register.checkpoint()
    assert board.nvs.kept == {"pulses": 123_457}


def test_a_record_behind_the_checkpoint_is_not_believed() -> None:
    """What RTC memory held was damaged, and an older copy in it was not: its contacts are as old."""
    board = Board(Fuse(), (1,))
    older = board.rtc.held
    life(board, [1] * 6, 1)
    board.rtc.held = older
    board.boot()
    assert (board.register.forward, board.register.contacts, board.register.restored) == (3, None, True)


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("way", [1, -1])
def test_numbers_of_more_than_31_bits(way: int, lost: bool) -> None:
    """At each point of a checkpoint that passes the limit: the count of before or of after, and nothing between."""
    top = (1 << 31) - 1
    key = "pulses" if way > 0 else "reverse"
    for window, number, done in product(range(4), (1, 2), (0, 1)):
        fuse = Fuse()
        board = Board(fuse, (1,))
        board.nvs.kept = {key: top - 1}
        board.lose_power()
        found = [top - 1]
        for each in range(4):
            board.register.note(way, board.meter.state())
            if each == window:
                fuse.points = {(fuse.count + number, done)}
            board.window()
            if lost:
                board.lose_power()
            found.append(board.register.forward if way > 0 else board.register.reverse)
        assert board.resets == 1
        assert all(b - a in ((0, 1) if lost else (1,)) for a, b in pairwise(found))
        board.register.checkpoint()
        assert isinstance(board.nvs.kept[key], int)
        assert board.nvs.kept[key + "_big"] == struct.pack("<Q", found[-1])


def test_large_counts_survive_a_reset() -> None:
    """Over 32 bits in RTC memory too."""
    board = Board(Fuse(), (1,))
    board.nvs.kept = {"pulses_big": struct.pack("<Q", 10**10)}
    board.lose_power()
    board.register.note(1, board.meter.state())
    board.boot()
    assert board.register.forward == 10**10 + 1


def test_a_checkpoint_is_written_only_when_something_came() -> None:
    """Flash wears out; and one that was refused is tried again."""
    fuse = Fuse()
    board = Board(fuse, (1,))
    before = fuse.count
    board.register.checkpoint()
    assert fuse.count == before
    board.register.note(1, board.meter.state())
    board.nvs.full = True
    with pytest.raises(OSError, match="4357"):
        board.register.checkpoint()
    board.nvs.full = False
    board.register.checkpoint()
    board.register.checkpoint()
    assert fuse.count == before + 3, "one for RTC memory, one to set, one to commit"
    assert board.nvs.kept == {"pulses": 1}
