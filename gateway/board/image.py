"""A MicroPython image as it is downloaded: is it one, is it whole, and is it for this board?

Header of an ESP image (esptool documentation, "Firmware Image Format"): 0xE9, number of segments, flash mode, flash
size and frequency, entry point (u32); then the extended header with the chip's id (u16) at offset 12.
"""

import hashlib
import struct
from pathlib import Path
from typing import Final

from msgspec import Struct

from gateway.board.boards import CHIP_IDS, BoardKind
from gateway.board.errors import ImageFileError

_MAGIC: Final = 0xE9
_HEADER_BYTES: Final = 24
_SMALLEST: Final = 64 << 10
_FLASH_BYTES: Final = {code: 1 << (20 + code) for code in range(8)}
"""Upper half of the fourth byte: 0 is 1 MiB, each step doubles."""


class Image(Struct, frozen=True):
    path: Path
    size: int
    sha256: str
    chip_id: int
    flash_bytes: int
    """Of the smallest flash that it is made for."""


def load(path: Path, sha256: str = "") -> Image:
    """Raises ImageFileError when the file is no image, or not the one whose hash is given."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImageFileError(f"{path} cannot be read: {error.strerror}; name the image with --image") from error
    found = hashlib.sha256(data).hexdigest()
    if sha256 and found != sha256.lower():
        raise ImageFileError(f"{path} has the SHA-256 {found}, not {sha256.lower()}: download it again")
    if len(data) < _HEADER_BYTES or data[0] != _MAGIC:
        raise ImageFileError(
            f"{path} is no ESP image (it does not begin with e9): take the .bin of micropython.org/download, unpacked"
        )
    if len(data) < _SMALLEST:
        raise ImageFileError(f"{path} is too short with {len(data)} bytes: download it again")
    chip_id = struct.unpack_from("<H", data, 12)[0]
    return Image(path, len(data), found, chip_id, _FLASH_BYTES.get(data[3] >> 4, 1 << 20))


def check(image: Image, board: BoardKind, flash_bytes: int) -> None:
    """Raises ImageFileError when it is for another chip, or for a larger flash; `flash_bytes` 0 is not known."""
    if image.chip_id != board.chip_id:
        other = CHIP_IDS.get(image.chip_id, f"a chip with the id {image.chip_id}")
        raise ImageFileError(
            f"{image.path} is for {other}, the board has an {board.chip}: "
            f"take {board.download} from micropython.org/download/{board.download}"
        )
    needed = max(image.flash_bytes, board.offset + image.size)
    if flash_bytes and needed > flash_bytes:
        raise ImageFileError(
            f"the board's flash of {flash_bytes >> 20} MiB is too small for {image.path}, which needs "
            f"{-(-needed >> 20)} MiB: take a variant for less flash, or another board"
        )
