"""The nursery by itself: what it is told, what it answers, and what becomes of its boards."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from sim_hardware.city.city import FIELDS
from sim_hardware.city.feed import RING, Feed
from sim_hardware.fleet.image import ROOT, build
from sim_hardware.fleet.pace import Pace
from sim_hardware.fleet.slots import Slots
from sim_hardware.fleet.supply import POWER_ON, RESET_EXIT
from sim_hardware.servers import wait_until
from tests.system.gateway_process import NOBODY

SECONDS: Final = 30.0
BOARDS: Final = 4
SITS = "import time\nprint('sits')\nwhile True:\n    time.sleep(1)\n"
"""Firmware that does nothing, and says so on its console."""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("image"))


class Nursery:
    """One of water meters, with folders for boards that no broker hears."""

    def __init__(self, folder: Path, image: Path) -> None:
        self.folder = folder
        start = int(time.time()) // 60 * 60
        self.feed, self.slots = Feed(folder / "feed", BOARDS), Slots(folder / "slots", BOARDS)
        self.feed.write(start, np.zeros((BOARDS, FIELDS)))
        self.pace = Pace(folder / "pace", start, 1.0, BOARDS)
        command = [sys.executable, "-m", "sim_hardware.fleet.nursery", str(image), "water", "16"]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=ROOT, start_new_session=True)
        assert self.answer() == {"ready": True}

    def order(self, slot: int, *, cause: int = POWER_ON, files: dict[str, str] | None = None) -> None:
        """Switch a board on; `files` are on its flash, if it is new."""
        board = self.folder / f"water-{slot}"
        emulation = {"slot": slot, "places": BOARDS, "ring": RING, "seed": slot + 1}
        emulation |= {name: str(self.folder / name) for name in ("feed", "pace", "slots")}
        config = {
            "kind": "water",
            "site": "riverside",
            "node": f"water-{slot}",
            "mqtt": {"host": "127.0.0.1", "port": NOBODY},
            "wifi": {"ssid": "emulated", "key": ""},
        }
        for name, text in {"config.json": json.dumps(config), **(files or {})}.items():
            (board / "insert" / name).parent.mkdir(parents=True, exist_ok=True)
            (board / "insert" / name).write_text(text)
        (board / "emulation.json").write_text(json.dumps(emulation))
        assert self.process.stdin
        self.process.stdin.write(json.dumps({"slot": slot, "folder": str(board), "cause": cause}).encode() + b"\n")
        self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        return found

    def console(self, slot: int) -> str:
        path = self.folder / f"water-{slot}" / "console.log"
        return path.read_text() if path.exists() else ""

    def says(self, slot: int, text: str) -> None:
        """Wait until it does."""
        wait_until(lambda: text in self.console(slot), SECONDS, f"{text!r} on the console of {slot}")


@contextmanager
def running(folder: Path, image: Path) -> Iterator[Nursery]:
    nursery = Nursery(folder, image)
    try:
        yield nursery
    finally:
        for end in (nursery.process.stdin, nursery.process.stdout):
            assert end
            end.close()
        assert nursery.process.wait(SECONDS) == 0


@pytest.fixture
def nursery(tmp_path: Path, image: Path) -> Iterator[Nursery]:
    with running(tmp_path, image) as found:
        yield found


def alive(pid: int) -> bool:
    """Whether there is such a process, and it has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def slot_of(firmware: str) -> dict[str, str]:
    """Files of a board that has been updated to this."""
    state = {"active": "a", "trial": None, "tries": 0}
    return {"slots.json": json.dumps(state), "a/slot.json": '{"version": "9", "sha256": ""}', "a/main.py": firmware}


def test_a_flash_that_was_not_whole_is_made_anew(nursery: Nursery) -> None:
    """Of a board that was killed while it got its files: it would want its configuration for ever."""
    (nursery.folder / "water-1").mkdir()
    (nursery.folder / "water-1/flash.bin.new").write_bytes(bytes(1 << 20))
    nursery.order(1)
    nursery.says(1, "node: boot 1")
    assert sorted(each.name for each in (nursery.folder / "water-1").glob("flash*")) == ["flash.bin"]


def test_a_board_is_switched_on_and_its_end_is_told(nursery: Nursery) -> None:
    """It runs the firmware of the image in a process of its own, under the nursery's; a kill is told as its signal."""
    nursery.order(2)
    born = nursery.answer()
    assert born == {"slot": 2, "pid": born["pid"]}
    wait_until(lambda: nursery.slots.now_us(2) > 0 and not nursery.slots.silent(), SECONDS, "word of the board")
    assert Path(f"/proc/{born['pid']}/stat").read_text().rpartition(")")[2].split()[1] == str(nursery.process.pid)
    assert Path(f"/proc/{born['pid']}/cwd").readlink() == nursery.folder / "water-2"
    os.kill(born["pid"], signal.SIGKILL)
    assert nursery.answer() == {**born, "exit": -signal.SIGKILL}
    assert not Path(f"/proc/{born['pid']}").exists(), "it has been waited for"


@pytest.mark.parametrize(
    ("firmware", "code"),
    [
        ("import machine\nmachine.reset()\n", RESET_EXIT + 2),
        ("import machine\nmachine.soft_reset()\n", RESET_EXIT + 5),
        ("import machine\nmachine.deepsleep(10)\n", RESET_EXIT + 4),
        ("import sys\nsys.exit(7)\n", 7),
    ],
)
def test_the_exit_code_of_a_board_is_told(nursery: Nursery, firmware: str, code: int) -> None:
    """By which the fleet knows why it ended."""
    nursery.order(0, files=slot_of(firmware))
    born = nursery.answer()
    assert nursery.answer() == {**born, "exit": code}, nursery.console(0)


def test_many_boards_are_told_apart(nursery: Nursery) -> None:
    """Each by its slot, in whatever order they end; one that has ended may be switched on again."""
    for slot in range(BOARDS):
        nursery.order(slot, files=slot_of(SITS))
    pids = {answer["slot"]: answer["pid"] for answer in (nursery.answer() for _ in range(BOARDS))}
    assert len(set(pids.values())) == BOARDS
    for slot in (3, 0):
        os.kill(pids[slot], signal.SIGKILL)
        assert nursery.answer() == {"slot": slot, "pid": pids[slot], "exit": -signal.SIGKILL}
    nursery.order(3)
    again = nursery.answer()
    assert again["slot"] == 3
    assert again["pid"] not in pids.values()
    assert [alive(pids[slot]) for slot in range(BOARDS)] == [False, True, True, False]


def test_boards_end_with_the_nurserys_input(tmp_path: Path, image: Path) -> None:
    """Their power is cut, whatever they are doing, and the nursery ends after them."""
    with running(tmp_path, image) as nursery:
        for slot in range(BOARDS):
            nursery.order(slot, files=slot_of(SITS) if slot % 2 else None)
        pids = [nursery.answer()["pid"] for _ in range(BOARDS)]
        assert all(alive(pid) for pid in pids)
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_boards_end_with_a_nursery_that_is_killed(tmp_path: Path, image: Path) -> None:
    """They do not outlive it."""
    nursery = Nursery(tmp_path, image)
    nursery.order(1, files=slot_of(SITS))
    pid = nursery.answer()["pid"]
    nursery.says(1, "sits")
    nursery.process.kill()
    nursery.process.communicate()
    wait_until(lambda: not alive(pid), SECONDS, "the board's end")


def test_a_board_with_a_slot_runs_its_own_firmware(nursery: Nursery) -> None:
    """Not what the nursery has loaded for all; its neighbour still runs that."""
    own = "from node import words\nprint('own', words.SAID)\n" + SITS
    nursery.order(0, files={**slot_of(own), "a/node/words.py": "SAID = 'other words'\n"})
    nursery.order(1)
    assert {nursery.answer()["slot"] for _ in range(2)} == {0, 1}
    nursery.says(0, "own other words")
    wait_until(lambda: nursery.slots.now_us(1) > 0 and nursery.slots.silent() == 0, SECONDS, "word of the neighbour")
    assert nursery.slots.now_us(0) == 0, "what it runs tells nothing of itself"


def test_a_board_finds_its_flash_as_it_left_it(nursery: Nursery) -> None:
    """Over a kill; what is put beside it later is for a new board only."""
    first = "open('mark', 'w').close()\n" + SITS
    nursery.order(0, files=slot_of(first))
    pid = nursery.answer()["pid"]
    nursery.says(0, "sits")
    os.kill(pid, signal.SIGKILL)
    assert nursery.answer()["exit"] == -signal.SIGKILL
    nursery.order(0, files=slot_of("import os\nprint('mark' in os.listdir())\n"))
    nursery.answer()
    wait_until(lambda: nursery.console(0).count("sits") == 2, SECONDS, "the old firmware once more")
