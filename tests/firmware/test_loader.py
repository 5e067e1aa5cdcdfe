"""The board's /main.py as a board runs it: start after start, with firmware that fails in every way."""

import json
import subprocess
from pathlib import Path

import pytest

from gateway.update.compile import compile_file
from sim_hardware.fleet.pace import Pace
from tests.firmware.packages import FIRMWARE
from tests.micropython import start

HARD, WATCHDOG = 82, 83
"""How an emulated board's process ends: by `machine.reset()`, by its watchdog."""

GOOD = """
def main():
    print("runs", __file__)
    raise KeyboardInterrupt
"""
CRASHES = """
def main():
    print("crashes")
    raise ValueError("of this")
"""
ENDS = """
def main():
    print("ends")
"""
HANGS = """
import time
def main():
    print("hangs")
    while True:
        time.sleep_ms(1000)
"""
LACKS = """
def main():
    print("lacks")
    import node.missing
"""
STALE = "from node import stale\n" + GOOD

_PROGRAM = """
import sys
from world import world
world.follow("pace")
world.reset_cause = 2  # a hard one
sys.path[:] = ["", "/no/lib", ".frozen"] + [path for path in sys.path if path.endswith("hal")]
with open("main.py") as f:
    text = f.read()
exec(text, {"__name__": "__main__"})
"""


class Board:
    """A folder as the flash of a board; it lives fast."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "main.py").write_bytes((FIRMWARE / "loader.py").read_bytes())
        Pace(folder / "pace", 1_700_000_000, 20_000, nodes=1)

    def put(self, slot: str, text: str | bytes, *, mark: str | None = "{}") -> None:
        """A slot with this main program; bytes are put as they are."""
        (self.folder / slot).mkdir(parents=True)
        if isinstance(text, str):
            source = self.folder / "text.py"
            source.write_text(text)
            text = compile_file(source)
        (self.folder / slot / "main.mpy").write_bytes(text)
        if mark is not None:
            (self.folder / slot / "slot.json").write_text(mark)

    def state(self, **fields: object) -> None:
        (self.folder / "slots.json").write_text(json.dumps(fields))

    def read(self) -> dict[str, object]:
        found = json.loads((self.folder / "slots.json").read_text())
        assert isinstance(found, dict)
        return found

    def on(self) -> tuple[list[str], int]:
        """One start: what was printed, and how the process ended."""
        with start(_PROGRAM, self.folder) as process:
            try:
                said, _ = process.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        lines = [
            line for line in said.splitlines() if line.split(" ")[0] in ("runs", "crashes", "ends", "hangs", "lacks")
        ]
        return lines, process.returncode


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path)


def runs(slot: str, folder: Path) -> list[str]:
    return [f"runs {folder}/{slot}/main.mpy"]


def test_a_new_board_runs_its_only_slot(board: Board) -> None:
    board.put("a", GOOD)
    said, code = board.on()
    assert said == runs("a", board.folder)
    assert code not in (0, HARD), "Ctrl-C must get through to the prompt"


@pytest.mark.parametrize(
    ("firmware", "code", "why"),
    [
        (CRASHES, HARD, "ValueError('of this',)"),
        (ENDS, HARD, "RuntimeError('the firmware has ended',)"),
        (LACKS, HARD, "ImportError("),
        (b"M\x05\x00\x1f nonsense", HARD, "ValueError("),
        (b"", HARD, "ValueError("),
        (HANGS, WATCHDOG, "not confirmed in 2 starts"),
    ],
)
def test_a_trial_that_fails_twice_is_gone_back_from(board: Board, firmware: str | bytes, code: int, why: str) -> None:
    board.put("a", GOOD)
    board.put("b", firmware)
    board.state(active="a", trial="b", tries=0, sha="feed", version="0.2.1")
    first = [board.on() for _ in range(2)]
    assert [each[1] for each in first] == [code, code]
    assert all("runs" not in "".join(said) for said, _ in first)
    assert board.on()[0] == runs("a", board.folder)
    state = board.read()
    assert (state["active"], state["trial"], state["bad"], state["version"]) == ("a", None, "feed", "0.2.1")
    assert str(state["why"]).startswith(why.rstrip("',)")), state["why"]
    assert board.on()[0] == runs("a", board.folder), "and it stays there"


def test_a_firmware_that_crashes_off_trial_is_started_again(board: Board) -> None:
    board.put("a", CRASHES)
    board.put("b", GOOD)
    board.state(active="a", trial=None, tries=0)
    assert [board.on() for _ in range(2)] == [(["crashes"], HARD)] * 2, "its crash loop is the firmware's own business"


@pytest.mark.parametrize("damaged", [b"", b"M\x06", b"\0" * 300, LACKS])
def test_of_a_damaged_slot_the_other_takes_over(board: Board, damaged: str | bytes) -> None:
    board.put("a", damaged)
    board.put("b", GOOD)
    board.state(active="a", trial=None, tries=0)
    said, _ = board.on()
    assert said[-1:] == runs("b", board.folder)
    assert board.read()["active"] == "a", "a passing error of the flash must not count for good"


def test_what_a_damaged_slot_imported_does_not_get_in_the_way(board: Board) -> None:
    for slot, text in (("a", STALE.replace("def main", "import nowhere\ndef main")), ("b", STALE)):
        board.put(slot, text)
        (board.folder / slot / "node").mkdir()
        (board.folder / slot / "node/stale.py").write_text(f'print("runs stale {slot}")')
    board.state(active="a", trial=None, tries=0)
    said, _ = board.on()
    assert said == ["runs stale a", "runs stale b", *runs("b", board.folder)]


def test_a_slot_without_its_mark_is_never_started(board: Board) -> None:
    board.put("a", GOOD, mark=None)
    board.put("b", GOOD)
    board.state(active="a", trial=None, tries=0)
    assert board.on()[0] == runs("b", board.folder)
    (board.folder / "b/slot.json").unlink()
    board.state(active="b", trial="a", tries=0)
    assert board.on() == ([], HARD), "with neither whole the factory's firmware is looked for, and here is none"
    assert board.read()["why"] == "slot is not whole"


def test_without_slots_the_factorys_firmware_runs(board: Board) -> None:
    """Found by the path that the image has set, and never this very file, which is called main.py too."""
    (board.folder / "image").mkdir()
    (board.folder / "image/main.py").write_text(GOOD)
    program = _PROGRAM.replace('"/no/lib"', repr(str(board.folder / "image")))
    with start(program, board.folder) as process:
        said, _ = process.communicate(timeout=20)
    assert f"runs {board.folder}/image/main.py" in said
