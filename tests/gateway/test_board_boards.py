"""The boards: one table for the tools, one file each for the firmware, and both say the same."""

import runpy
from pathlib import Path
from typing import Any, get_args

import pytest

from gateway.board.boards import BOARDS
from gateway.board.chip import Found, choose
from gateway.board.errors import BoardError, PortError
from gateway.board.port import check
from gateway.board.remote import check_version
from gateway.cli.flash import FIRMWARE, BoardName, KindName
from gateway.quantities import KINDS

STRAPPING = {"esp32": {0, 2, 5, 12, 15}, "esp32s3": {0, 3, 45, 46}, "esp32c3": {2, 8, 9}}
TAKEN = {
    "esp32": {1, 3, *range(6, 12)},
    "esp32s3": {19, 20, *range(26, 38), 43, 44},
    "esp32c3": {*range(11, 22)},
}
"""Console, USB, flash and PSRAM, and what no module brings out."""
UARTS = {"esp32": {1, 2}, "esp32s3": {1, 2}, "esp32c3": {1}}


def pins_of(board: str) -> dict[str, Any]:
    return runpy.run_path(str(FIRMWARE / "boards" / f"{board.replace('-', '_')}.py"))


def used(pins: dict[str, Any]) -> dict[str, list[int]]:
    """By kind; what every kind may have is in all."""
    every = [pins["TAMPER"], pins["POWER_FAIL"]]
    return {
        "traffic": [pin for pair in pins["LOOPS"] for pin in pair] + [pins["RADAR"]["tx"], pins["RADAR"]["rx"]] + every,
        "water": [pins["REED"], pins["REED_B"], pins["ONEWIRE"], *every],
        "air": [pins["PARTICLES"]["tx"], pins["PARTICLES"]["rx"], pins["I2C"]["scl"], pins["I2C"]["sda"], *every],
    }


def test_every_board_is_in_both() -> None:
    files = {path.stem.replace("_", "-") for path in (FIRMWARE / "boards").glob("esp*.py")}
    assert files == set(BOARDS) == set(get_args(BoardName))
    assert set(get_args(KindName)) == set(KINDS)
    for board in BOARDS.values():
        assert pins_of(board.name)["CHIP"] == board.chip.lower().replace("-", "")


@pytest.mark.parametrize("board", BOARDS)
def test_no_pin_is_used_twice_or_belongs_to_something_else(board: str) -> None:
    pins = pins_of(board)
    chip = pins["CHIP"]
    for kind, numbers in used(pins).items():
        assert len(set(numbers)) == len(numbers), kind
        assert not set(numbers) & (STRAPPING[chip] | TAKEN[chip]), kind
    assert {pins["RADAR"]["id"], pins["PARTICLES"]["id"]} <= UARTS[chip]
    assert set(pins) >= {"LED", "I2C"}


def test_all_boards_have_the_same_names() -> None:
    names = {board: {name for name in pins_of(board) if name.isupper()} for board in BOARDS}
    assert len({frozenset(each) for each in names.values()}) == 1, names


def test_the_chip_chooses_the_board() -> None:
    found = Found("ESP32-C3", "02:00:00:00:00:01", 4 << 20)
    assert choose(found, "").name == "esp32-c3"
    assert choose(found, "esp32-c3").name == "esp32-c3"
    with pytest.raises(BoardError, match="say --board esp32-c3"):
        choose(found, "esp32-devkit")
    with pytest.raises(BoardError, match="an ESP32-H2, for which there is no firmware"):
        choose(Found("ESP32-H2", "", 0), "")


def test_old_versions_of_micropython() -> None:
    check_version((1, 24, 0))
    check_version((2, 0, 0))
    with pytest.raises(BoardError, match=r"MicroPython 1\.23\.9, the firmware needs 1\.24"):
        check_version((1, 23, 9))


def test_ports_that_are_no_serial_ports(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(PortError, match="cannot be opened"):
        check(str(file))
    with pytest.raises(PortError, match="is not there"):
        check(str(tmp_path / "none"))
