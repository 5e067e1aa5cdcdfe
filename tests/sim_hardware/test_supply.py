"""Who has power and who has not, with processes in the place of boards."""

import asyncio
import signal
import subprocess
from collections.abc import Iterator
from typing import Final

import numpy as np
import pytest

from sim_hardware.city.incidents import NO_POWER, STUCK
from sim_hardware.fleet.supply import DEEP_SLEEP, POWER_ON, RESET_EXIT, Mains, Outage, Supply

WATCHDOG: Final = 3


class Boards:
    """Three; each is a process that does nothing."""

    def __init__(self) -> None:
        self.orders: list[tuple[int, int]] = []
        self.ended: list[int] = []
        self.told_s = [0, 0, 0]
        self.processes: dict[int, subprocess.Popen[bytes]] = {}
        self.supply = Supply(
            3, lambda *order: self.orders.append(order), self.ended.append, lambda slot: self.told_s[slot] * 1_000_000
        )

    def start(self) -> list[tuple[int, int]]:
        """Carry out the orders, as a nursery does; which they were."""
        orders, self.orders = self.orders, []
        for slot, _ in orders:
            self.processes[slot] = subprocess.Popen(["sleep", "60"])
            self.supply.hear({"slot": slot, "pid": self.processes[slot].pid})
        return orders

    def end(self, slot: int, code: int | None = None) -> int:
        """Tell of the end of one that was killed, or ends now with a code; the code."""
        process = self.processes.pop(slot)
        if code is not None:
            process.kill()
        found = process.wait(10)
        self.supply.hear({"slot": slot, "pid": process.pid, "exit": found if code is None else code})
        return found if code is None else code


@pytest.fixture
def boards() -> Iterator[Boards]:
    """All of them have been started."""
    found = Boards()
    for slot in range(3):
        found.supply.begin(slot)
    found.start()
    yield found
    for process in found.processes.values():
        process.kill()
        process.wait()


def test_what_a_reset_was_is_told_to_the_next_boot(boards: Boards) -> None:
    """A deep sleep goes on with the same boot."""
    boards.end(0, RESET_EXIT + WATCHDOG)
    boards.end(1, RESET_EXIT + DEEP_SLEEP)
    assert boards.start() == [(0, WATCHDOG), (1, DEEP_SLEEP)]
    assert boards.ended == [0]
    assert boards.supply.crashes == 0


async def test_a_crash_is_counted_and_the_board_started_again(boards: Boards) -> None:
    """After a while."""
    boards.end(2, 1)
    assert (boards.supply.crashes, boards.orders, boards.supply.restless) == (1, [], True)
    async with asyncio.timeout(10):
        while not boards.orders:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert boards.start() == [(2, POWER_ON)]


def test_power_is_off_for_as_many_reasons_as_there_are(boards: Boards) -> None:
    """What is off is neither a crash nor started; a cut that ends before its board has does not end twice."""
    boards.supply.off(0)
    boards.supply.off(0)
    assert boards.end(0) == -signal.SIGKILL
    boards.supply.on(0)
    assert (boards.orders, boards.supply.dark, boards.supply.crashes) == ([], 1, 0)
    boards.supply.on(0)
    assert boards.start() == [(0, POWER_ON)]
    boards.supply.off(1)
    boards.supply.on(1)
    assert boards.orders == []
    boards.end(1)
    assert boards.start() == [(1, POWER_ON)]
    assert boards.supply.cuts == 2


def test_a_board_that_is_just_being_started_loses_its_power_too() -> None:
    """As soon as its process is known; one that was never started waits for its power."""
    boards = Boards()
    boards.supply.off(1)
    boards.supply.begin(0)
    boards.supply.begin(1)
    boards.supply.off(0)
    assert boards.start() == [(0, POWER_ON)]
    assert boards.end(0) == -signal.SIGKILL
    assert boards.orders == []
    boards.supply.on(1)
    assert boards.orders == [(1, POWER_ON)]


def test_the_clock_may_jump_over_a_cut(boards: Boards) -> None:
    """It happens all the same; and what is planned for the same board follows in order."""
    boards.told_s = [10_000] * 3
    boards.supply.plan((0, 1), 100, 160)
    boards.supply.plan((1,), 130, 900)
    boards.supply.step(99)
    assert boards.supply.dark == 0
    boards.supply.step(500)
    assert boards.supply.dark == 1
    for slot in (0, 1):
        boards.end(slot)
    assert boards.start() == [(0, POWER_ON)]
    boards.supply.step(900)
    assert boards.start() == [(1, POWER_ON)]


def test_a_late_board_lives_up_to_its_cut(boards: Boards) -> None:
    """Its own time decides; and its power comes back behind, not before."""
    boards.told_s = [120, 99, 120]
    boards.supply.plan((0, 1), 100, 200)
    boards.supply.step(150)
    assert boards.supply.dark == 1
    boards.end(0)
    boards.supply.step(300)
    assert boards.start() == [(0, POWER_ON)]
    assert boards.supply.cuts == 1
    boards.told_s[1] = 100
    boards.supply.step(301)
    assert boards.supply.cuts == 2
    boards.end(1)
    assert boards.start() == [(1, POWER_ON)]


def test_at_the_end_all_have_power(boards: Boards) -> None:
    """And nothing that was planned happens any more."""
    boards.told_s = [10_000] * 3
    boards.supply.plan((0,), 100, 900)
    boards.supply.plan((2,), 500, 900)
    boards.supply.off(0)
    boards.supply.step(100)
    boards.end(0)
    boards.supply.restore()
    assert boards.start() == [(0, POWER_ON)]
    boards.supply.step(1000)
    assert (boards.supply.dark, boards.supply.cuts, boards.orders) == (0, 1, [])


def test_the_citys_minutes_say_whose_power_fails(boards: Boards) -> None:
    """By one bit of their faults, whatever else is set."""
    boards.told_s = [10_000] * 3
    mains = Mains(3, boards.supply)
    for minute, bits in ((0, (0, STUCK, 0)), (60, (8, 9, 0)), (120, (NO_POWER, NO_POWER, NO_POWER)), (180, (0, 1, 8))):
        mains.tell(minute, np.array(bits, float))
    assert mains.outages(60) == []
    assert mains.outages(121) == [Outage((0, 1), 60, 180), Outage((2,), 120, None)]
    boards.supply.step(60)
    assert boards.supply.dark == 2
    boards.supply.step(180)
    assert boards.supply.dark == 1
