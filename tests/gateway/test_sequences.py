"""Ranges against the plain set they stand for."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.journal.sequences import MAX_RANGES, add


@given(st.lists(st.integers(0, 60)))
def test_ranges_are_the_set_of_what_was_heard(heard: list[int]) -> None:
    """Duplicates, gaps and the ranges themselves agree with a set, in any order of arrival."""
    ranges: list[int] = []
    known: set[int] = set()
    gaps = 0
    for seq in heard:
        change = add(ranges, seq)
        assert (change is None) == (seq in known)
        known.add(seq)
        gaps += change or 0
        assert gaps == max(known) + 1 - len(known)
    assert {n for low, high in zip(ranges[::2], ranges[1::2], strict=True) for n in range(low, high)} == known
    assert ranges == sorted(set(ranges)), "ranges touch or overlap"


def test_in_order_is_one_range() -> None:
    """The common case costs two numbers."""
    ranges: list[int] = []
    assert [add(ranges, seq) for seq in range(1000)] == [0] * 1000
    assert ranges == [0, 1000]


def test_ranges_are_bounded_and_what_is_forgotten_is_taken_as_new() -> None:
    """Every second number: the lowest ranges go, and a number from there counts as late, not as a duplicate."""
    ranges: list[int] = []
    for seq in range(0, 4 * MAX_RANGES, 2):
        assert add(ranges, seq) == (0 if seq == 0 else 1)
    assert len(ranges) == 2 * MAX_RANGES
    assert add(ranges, 0) == -1
    assert len(ranges) == 2 * MAX_RANGES
    assert add(ranges, 4 * MAX_RANGES - 2) is None
