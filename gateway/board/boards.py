"""The boards that the firmware runs on, as esptool and micropython.org call them."""

from typing import Final

from msgspec import Struct

MIN_MICROPYTHON: Final = (1, 24)
"""Older ones lack what the firmware uses."""


class BoardKind(Struct, frozen=True):
    name: str
    """In config.json; `firmware/boards/` has a file of that name."""
    chip: str
    """As esptool names it."""
    chip_id: int
    """In the header of an image (esp_chip_id_t)."""
    offset: int
    """Where an image goes in flash."""
    download: str
    """The board at micropython.org/download/."""


BOARDS: Final = {
    board.name: board
    for board in (
        BoardKind("esp32-devkit", "ESP32", 0, 0x1000, "ESP32_GENERIC"),
        BoardKind("esp32-s3", "ESP32-S3", 9, 0, "ESP32_GENERIC_S3"),
        BoardKind("esp32-c3", "ESP32-C3", 5, 0, "ESP32_GENERIC_C3"),
    )
}

CHIP_IDS: Final = {board.chip_id: board.chip for board in BOARDS.values()} | {
    2: "ESP32-S2",
    12: "ESP32-C2",
    13: "ESP32-C6",
    16: "ESP32-H2",
    18: "ESP32-P4",
}
"""For messages about images of other chips."""


def by_chip(chip: str) -> BoardKind | None:
    """The board with this chip, if there is one."""
    return next((board for board in BOARDS.values() if board.chip == chip), None)
