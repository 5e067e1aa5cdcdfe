"""MicroPython images: what is taken, for which board, and what is said of the rest."""

import hashlib
from pathlib import Path

import pytest

from gateway.board.boards import BOARDS
from gateway.board.errors import ImageFileError
from gateway.board.image import check, load
from tests.system.benches import IMAGE_BYTES, make_image

MIB = 1 << 20


def test_an_image_is_read(tmp_path: Path) -> None:
    path = make_image(tmp_path / "image.bin", chip_id=9, flash_mib=8)
    image = load(path, hashlib.sha256(path.read_bytes()).hexdigest().upper())
    assert (image.size, image.chip_id, image.flash_bytes) == (IMAGE_BYTES, 9, 8 * MIB)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is no ESP image"),
        (b"\xe9" * 23, "is no ESP image"),
        (b"PK\x03\x04" + bytes(IMAGE_BYTES), "unpacked"),
        (b"<!DOCTYPE html>" + b" " * IMAGE_BYTES, "is no ESP image"),
        (b"\xe9" + bytes(1000), "too short with 1001 bytes"),
    ],
)
def test_what_is_no_image(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "image.bin"
    path.write_bytes(content)
    with pytest.raises(ImageFileError, match=said):
        load(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ImageFileError, match="cannot be read: No such file"):
        load(tmp_path / "none.bin")


@pytest.mark.parametrize("board", BOARDS.values(), ids=lambda board: board.name)
def test_an_image_fits_the_board_with_its_chip_alone(tmp_path: Path, board: object) -> None:
    for other in BOARDS.values():
        image = load(make_image(tmp_path / "image.bin", other.chip_id))
        if other is board:
            check(image, other, 4 * MIB)
            check(image, other, 0)  # a size that cannot be told is no reason to refuse
        else:
            with pytest.raises(ImageFileError, match=f"is for {other.chip},"):
                check(image, board, 4 * MIB)  # type: ignore[arg-type]


def test_a_chip_that_nobody_knows(tmp_path: Path) -> None:
    image = load(make_image(tmp_path / "image.bin", 4711))
    with pytest.raises(ImageFileError, match="a chip with the id 4711"):
        check(image, BOARDS["esp32-devkit"], 4 * MIB)


def test_the_flash_must_hold_it(tmp_path: Path) -> None:
    """What the header says, and the file with its offset."""
    large = load(make_image(tmp_path / "image.bin", 9, flash_mib=16))
    with pytest.raises(ImageFileError, match=r"flash of 8 MiB is too small .* needs 16 MiB"):
        check(large, BOARDS["esp32-s3"], 8 * MIB)
    path = make_image(tmp_path / "long.bin", 0, flash_mib=1)
    path.write_bytes(path.read_bytes() + bytes(MIB - IMAGE_BYTES))
    with pytest.raises(ImageFileError, match="needs 2 MiB"):
        check(load(path), BOARDS["esp32-devkit"], MIB)
