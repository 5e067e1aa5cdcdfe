"""The chip behind a port, by esptool: what it is, and writing an image into its flash."""

import re
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from gateway.board.boards import BOARDS, BoardKind, by_chip
from gateway.board.errors import BoardError, TransferError
from gateway.board.image import Image
from gateway.board.port import is_pseudo_terminal
from gateway.board.tool import Output, run

_IDENTIFY_S: Final = 60
_ERASE_S: Final = 180
_WRITE_S: Final = 600
_BAUD: Final = "460800"
_UNITS: Final = {"KB": 10, "MB": 20}

HOLD_BOOT: Final = (
    "hold the board's BOOT button (often called IO0) while this begins, and let it go after a second; "
    "if that does not help, try another cable and another USB port"
)


class Found(Struct, frozen=True):
    """`flash_bytes` is 0 where it could not be told."""

    chip: str
    mac: str
    flash_bytes: int


def identify(port: str) -> Found:
    """Ask the chip's ROM. Raises BoardError when nothing answers. The board is reset by it."""
    output = run("esptool", [*_how(port), "flash-id"], _IDENTIFY_S)
    chip = re.search(r"^Connected to (ESP\S+) on", output.text, re.MULTILINE)
    if output.code != 0 or not chip:
        raise BoardError(_no_answer(port, output))
    mac = re.search(r"^MAC:\s+([0-9a-f:]{17})", output.text, re.MULTILINE)
    size = re.search(r"^Detected flash size: (\d+)(KB|MB)", output.text, re.MULTILINE)
    return Found(chip[1], mac[1] if mac else "", int(size[1]) << _UNITS[size[2]] if size else 0)


def choose(found: Found, name: str) -> BoardKind:
    """The board that was named, or the one with the chip that was found. Raises BoardError when they do not fit."""
    fits = by_chip(found.chip)
    if fits is None:
        known = ", ".join(f"{board.chip} ({board.name})" for board in BOARDS.values())
        raise BoardError(f"the board has an {found.chip}, for which there is no firmware; there is for {known}")
    if name and name != fits.name:
        raise BoardError(
            f"the board has an {found.chip}, a {name} has an {BOARDS[name].chip}: "
            f"say --board {fits.name}, or connect the other board"
        )
    return fits


def erase(port: str) -> None:
    """The whole flash, with all that was ever kept on it. Raises TransferError."""
    output = run("esptool", [*_how(port), "erase-flash"], _ERASE_S)
    if output.code != 0:
        raise TransferError(f"the flash could not be erased: {output.last}")


def write(port: str, board: BoardKind, image: Image, on_part: Callable[[float], None]) -> None:
    """Write and verify; `on_part` is told the share that is done. Raises TransferError."""

    def hear(line: str) -> None:
        if match := re.search(r"Writing at .*?([0-9.]+) ?%", line):
            on_part(float(match[1]) / 100)

    arguments = [*_how(port), "--baud", _BAUD, "write-flash", hex(board.offset), str(image.path)]
    output = run("esptool", arguments, _WRITE_S, hear)
    if output.code != 0 or "Hash of data verified" not in output.text:
        raise TransferError(
            f"the image was not written whole: {output.last}. "
            "Give the command again; if it stops again, use a shorter cable or a powered USB hub"
        )


def _how(port: str) -> list[str]:
    arguments = ["--port", port]
    if is_pseudo_terminal(port):
        return [*arguments, "--before", "no-reset", "--after", "no-reset"]
    return arguments


def _no_answer(port: str, output: Output) -> str:
    if output.code is None:
        return f"nothing answered on {port} within {_IDENTIFY_S} s: {HOLD_BOOT}"
    if "Failed to connect" in output.text or "No serial data received" in output.text:
        return f"no ESP32 answered on {port}: is it the right port? If so, {HOLD_BOOT}"
    return f"the chip on {port} could not be identified: {output.last}"
