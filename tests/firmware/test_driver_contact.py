"""Debounced contacts: what was held counts, and nothing else; a switch remembers that it was open."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.firmware.board import fast
from tests.firmware.importer import load, ticks_add
from tests.micropython import run

Debounce = load("drivers.contact").Debounce

WRAP = 1 << 30
HOLD = 50


@given(
    st.lists(st.tuples(st.integers(0, 120), st.integers(0, 1)), max_size=40),
    st.integers(0, 1),
    st.sampled_from([0, WRAP - 100]),
)
def test_a_level_settles_when_it_was_held(looks: list[tuple[int, int]], first: int, start: int) -> None:
    """Against a list of all looks: it settles at the first look at which the level before had been there so long."""
    contact = Debounce(first, start, HOLD)
    at, level, since, settled, settled_at = 0, first, 0, first, 0
    for later, each in looks:
        at += later
        news = level != settled and at - since >= HOLD
        if news:
            settled, settled_at = level, since
        if each != level:
            level, since = each, at
        assert contact.feed(each, ticks_add(start, at)) is news
        assert (contact.settled, contact.settled_at) == (settled, ticks_add(start, settled_at))


@pytest.mark.parametrize("settled", [0, 1])
def test_what_was_settled_before_a_reset_is_compared_with_what_is(settled: int) -> None:
    """A level that changed meanwhile settles like any other; one that did not is no news."""
    contact = Debounce(1 - settled, 0, HOLD, settled)
    assert [contact.feed(1 - settled, at) for at in (1, HOLD - 1, HOLD, HOLD + 1)] == [False, False, True, False]
    contact = Debounce(settled, 0, HOLD, settled)
    assert [contact.feed(settled, at) for at in (1, HOLD, 1000)] == [False] * 3


ATTACHED = """
from time import sleep_ms
import world as hardware
from drivers.contact import Contacts, Switch
line = hardware.line(13)
def looks(switch, n):
    found = []
    for _ in range(n):
        sleep_ms(1000)
        found.append(switch.take())
    return found
"""


def on_the_board(folder: Path, program: str) -> list[str]:
    return run(fast(folder, int(time.time()) - 86_400) + ATTACHED + program, folder)


def test_a_switch_remembers_that_it_was_open(tmp_path: Path) -> None:
    """Until it was asked; for as long as it is open; and never for a rattle."""
    assert on_the_board(
        tmp_path,
        """
switch = Switch(13, 100)
print(looks(switch, 2))
line.drive(1)
sleep_ms(150)
line.drive(0)
print(looks(switch, 3))
line.drive(1)
print(looks(switch, 3))
line.drive(0)
print(looks(switch, 3))
for _ in range(20):
    line.drive(1)
    sleep_ms(40)
    line.drive(0)
    sleep_ms(40)
print(looks(switch, 2))
""",
    ) == [
        "[False, False]",
        "[True, False, False]",
        "[True, True, True]",
        "[True, False, False]",
        "[False, False]",
    ]


def test_a_switch_that_is_open_at_the_start(tmp_path: Path) -> None:
    assert on_the_board(tmp_path, "line.drive(1)\nprint(looks(Switch(13, 100), 2))\n") == ["[True, True]"]


def test_several_contacts_are_looked_at_together(tmp_path: Path) -> None:
    """At each edge of any of them, and at each poll: all their levels of one moment."""
    assert on_the_board(
        tmp_path,
        """
other = hardware.line(14)
seen = []
contacts = Contacts((13, 14))
print(contacts.levels())
contacts.watch(lambda levels, now: seen.append(levels))
line.drive(1)
other.drive(1)
line.drive(0)
contacts.poll()
print(seen)
""",
    ) == ["[0, 0]", "[[0, 0], [1, 0], [1, 1], [0, 1], [0, 1]]"]
