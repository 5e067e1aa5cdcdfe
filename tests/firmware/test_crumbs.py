"""What a boot knows of the one before: why it ended, what it was about, and how often it went wrong."""

from pathlib import Path
from typing import Any

import pytest

from tests.firmware.importer import load
from tests.micropython import run

crumbs = load("node.crumbs")
scratch = load("node.scratch")

POWER_ON, HARD, WATCHDOG, DEEP_SLEEP, SOFT = range(1, 6)
CRASHES = [(HARD, "panic"), (WATCHDOG, "watchdog"), (SOFT, "soft")]


class Memory:
    """That of a real-time clock."""

    held = b""

    def memory(self, data: bytes | None = None) -> bytes | None:
        if data is None:
            return self.held
        self.held = bytes(data)
        return None


def boot(memory: Memory, chip: int) -> Any:
    """The next boot; `chip` is what the chip says of the reset."""
    return crumbs.Crumbs(scratch.Scratch(memory), chip)


def crashed(times: int) -> Memory:
    """Memory after so many crashes in a row."""
    memory = Memory()
    boot(memory, POWER_ON)
    for _ in range(times):
        boot(memory, HARD)
    return memory


def test_the_first_boot() -> None:
    """Nothing was kept, so power was gone."""
    first = boot(Memory(), POWER_ON)
    assert (first.cause, first.crashes, first.safe) == ("power_on", 0, "")
    assert (first.doing, first.plan, first.last_words()) == ("", "", "")


@pytest.mark.parametrize(
    ("chip", "cause"),
    [*CRASHES, (POWER_ON, "brown_out"), (DEEP_SLEEP, "deep_sleep"), (0, "unknown"), (17, "unknown")],
)
def test_what_ended_a_boot(chip: int, cause: str) -> None:
    """A power-on after which something was kept was none; what the node was about is known."""
    memory = Memory()
    boot(memory, POWER_ON).now("send")
    after = boot(memory, chip)
    assert (after.cause, after.doing) == (cause, "send")
    assert after.crashes == (1 if (chip, cause) in CRASHES else 0)
    assert boot(memory, chip).doing == "start", "of the boot before, not of one before that"


def test_a_restart_on_purpose_is_no_panic() -> None:
    """The chip says the same of both; the plan is good for one reset."""
    memory = Memory()
    boot(memory, POWER_ON).restarting("command")
    after = boot(memory, HARD)
    assert (after.cause, after.plan, after.crashes) == ("restart", "command", 0)
    assert boot(memory, HARD).cause == "panic"


def test_a_plan_that_did_not_come_true() -> None:
    """The watchdog was quicker than the restart; a node that goes on after all has no plan any more."""
    memory = Memory()
    boot(memory, POWER_ON).restarting("command")
    assert boot(memory, WATCHDOG).cause == "watchdog"
    second = boot(memory, HARD)
    second.restarting("update")
    second.now("measure")
    assert boot(memory, HARD).cause == "panic"


def test_the_longest_words_fit() -> None:
    """A reason of any length must not stop the restart."""
    memory = Memory()
    first = boot(memory, POWER_ON)
    first.now("measure")
    first.restarting("r" * 500)
    after = boot(memory, HARD)
    assert (after.cause, after.plan, after.doing) == ("restart", "r" * 30, "measure")


@pytest.mark.parametrize("chip", [chip for chip, _ in CRASHES])
def test_after_three_crashes_in_a_row_a_boot_is_safe(chip: int) -> None:
    """It says why; a fourth changes nothing but the number."""
    memory = Memory()
    boot(memory, POWER_ON).now("send")
    safe = []
    for _ in range(4):
        current = boot(memory, chip)
        safe.append(current.safe)
        current.now("send")
    assert safe == ["", "", "3 crashes, the last while: send", "4 crashes, the last while: send"]


@pytest.mark.parametrize("chip", [POWER_ON, DEEP_SLEEP, HARD], ids=["brown-out", "sleep", "restart"])
def test_what_is_no_crash_neither_counts_nor_forgives(chip: int) -> None:
    """A brown-out, a sleep or a planned restart between two crashes: they are still in a row."""
    memory = crashed(2)
    if chip == HARD:
        boot(memory, DEEP_SLEEP).restarting("command")
    assert boot(memory, chip).crashes == 2
    assert boot(memory, WATCHDOG).safe.startswith("3 crashes")


def test_a_loss_of_power_forgives_all() -> None:
    """Somebody was there and switched it off and on, which is the oldest way of mending."""
    memory = crashed(3)
    memory.held = b""
    after = boot(memory, POWER_ON)
    assert (after.cause, after.crashes, after.safe) == ("power_on", 0, "")


def test_a_node_that_lives_is_well_again() -> None:
    """Also after the next crash; and a safe one that lived on tries itself in earnest, with one crash left to go."""
    memory = crashed(2)
    boot(memory, HARD).well()
    after = boot(memory, HARD)
    assert (after.crashes, after.safe) == (1, "")
    memory = crashed(3)
    safe = boot(memory, DEEP_SLEEP)
    assert safe.safe
    safe.well(crashes=safe.crashes - 1)
    safe.restarting("out of safe mode")
    assert not boot(memory, HARD).safe
    assert boot(memory, HARD).safe, "that one crashed at once"


def test_being_well_changes_no_plan_and_no_work() -> None:
    """It is told again and again; what the node is about stays known."""
    memory = Memory()
    first = boot(memory, POWER_ON)
    first.now("send")
    held = memory.held
    first.well()
    assert memory.held == held, "nothing to forget, nothing to write"
    assert boot(memory, HARD).doing == "send"


@pytest.mark.parametrize("held", [b"{", b"\xff\xfe", b""])
def test_crumbs_that_cannot_be_read(held: bytes) -> None:
    """Those of another firmware: begin anew rather than not at all."""
    memory = Memory()
    scratch.Scratch(memory).write(scratch.CRUMB, held)
    after = boot(memory, HARD)
    assert (after.cause, after.crashes, after.doing) == ("panic", 1, "")


@pytest.mark.parametrize(
    ("kept", "said"),
    [("died: ü".encode(), "died: ü"), ("üü".encode()[1:], "ü"), (b"\x9d\xa4 end", " end"), (b"\xa4", "")],
)
def test_last_words_begin_with_a_whole_letter(kept: bytes, said: str) -> None:
    """What was cut off in the middle would make the answer no text at all."""
    memory = Memory()
    scratch.Scratch(memory).write(scratch.TRACE, kept)
    assert boot(memory, HARD).last_words() == said


DIES = """
import sys
from world import world
world.reset_cause = CAUSE
from node.crumbs import Crumbs, died
from node.scratch import Scratch
scratch = Scratch()
crumbs = Crumbs(scratch, world.reset_cause)
print(crumbs.cause, crumbs.crashes, crumbs.doing)
words = crumbs.last_words()
print(len(words.encode()), "most recent" in words, words.rstrip().split("\\n")[-1])
def deep(n):
    if not n:
        raise ValueError("the well is dry: ü")
    deep(n - 1)
crumbs.now("dig")
try:
    deep(DEPTH)
except ValueError as error:
    died(scratch, error)
"""


def test_a_traceback_is_told_by_the_next_boot(tmp_path: Path) -> None:
    """On MicroPython: whole when it is short, its end when it is long; it stays until there is a newer one."""

    def board(cause: int, depth: int) -> list[str]:
        return run(DIES.replace("CAUSE", str(cause)).replace("DEPTH", str(depth)), tmp_path)

    last = "ValueError: the well is dry: ü"
    assert board(POWER_ON, 0) == ["power_on 0 ", "0 False "]
    cause, words = board(HARD, 40)
    assert cause == "panic 1 dig"
    assert words.endswith(f" True {last}")
    cause, words = board(HARD, 0)
    assert cause == "panic 2 dig"
    assert words == f"400 False {last}"
