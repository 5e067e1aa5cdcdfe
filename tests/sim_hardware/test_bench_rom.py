"""The ROM's serial protocol, frame by frame. That esptool gets along with it is told by tests/system/test_flash.py."""

import hashlib
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_hardware.bench.rom import CHIPS, MAC, Rom

SIZE = 1 << 16


def frame(command: int, body: bytes = b"") -> bytes:
    data = struct.pack("<BBHI", 0, command, len(body), 0) + body
    return b"\xc0" + data.replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc") + b"\xc0"


def answers(data: bytes) -> list[tuple[int, int, bytes]]:
    """[(command, value, data with status)]"""
    found = []
    for part in data.split(b"\xc0"):
        if part:
            plain = part.replace(b"\xdb\xdc", b"\xc0").replace(b"\xdb\xdd", b"\xdb")
            assert plain[0] == 1
            _, command, size, value = struct.unpack_from("<BBHI", plain)
            assert len(plain) == 8 + size
            found.append((command, value, plain[8:]))
    return found


def ask(rom: Rom, command: int, body: bytes = b"") -> tuple[int, bytes]:
    answer, foreign = rom.feed(frame(command, body))
    assert foreign == b""
    ((echo, value, data),) = answers(answer)
    assert echo == command
    return value, data


def blank(chip: str = "esp32") -> tuple[Rom, bytearray]:
    flash = bytearray(b"\xff" * SIZE)
    return Rom(CHIPS[chip], flash), flash


def test_a_sync_is_answered_eight_times() -> None:
    rom, _ = blank()
    answer, _ = rom.feed(frame(0x08, b"\x07\x07\x12\x20" + b"\x55" * 32))
    assert [each[0] for each in answers(answer)] == [0x08] * 8


@pytest.mark.parametrize("chip", CHIPS.values(), ids=lambda chip: chip.name)
def test_each_chip_tells_what_it_is(chip: object) -> None:
    name = chip.name  # type: ignore[attr-defined]
    rom, _ = blank(name)
    _, info = ask(rom, 0x14)
    magic, _ = ask(rom, 0x0A, struct.pack("<I", 0x40001000))
    if name == "esp32":
        assert info[:2] == b"\x01\x05", "the first ESP32 does not know the command"
        assert magic == 0x00F01D83
    else:
        assert struct.unpack_from("<I", info, 12)[0] == CHIPS[name].id
        assert info[20:22] == b"\0\0"
    low, _ = ask(rom, 0x0A, struct.pack("<I", CHIPS[name].mac[0]))
    high, _ = ask(rom, 0x0A, struct.pack("<I", CHIPS[name].mac[1]))
    assert struct.pack(">HI", high, low) == MAC


def test_an_unknown_command_fails() -> None:
    rom, _ = blank()
    assert ask(rom, 0x77)[1][:2] == b"\x01\x05"


@given(st.binary(min_size=1, max_size=4000), st.integers(0, 15), st.booleans(), st.integers(1, 999))
def test_what_is_written_is_in_flash(data: bytes, sector: int, packed: bool, cut: int) -> None:
    """Plain or deflated, in blocks, and however the bytes come in."""
    rom, flash = blank()
    at = sector * 4096
    sent = zlib.compress(data) if packed else data
    begin, block = (0x10, 0x11) if packed else (0x02, 0x03)
    stream = frame(begin, struct.pack("<IIII", len(data), 1, 1024, at))
    for number, i in enumerate(range(0, len(sent), 1024)):
        part = sent[i : i + 1024]
        stream += frame(block, struct.pack("<IIII", len(part), number, 0, 0) + part)
    said = b"".join(rom.feed(stream[i : i + cut])[0] for i in range(0, len(stream), cut))
    assert all(each[2][:2] == b"\0\0" for each in answers(said))
    assert flash[at : at + len(data)] == data
    assert flash[at + len(data) :].count(0xFF) == SIZE - at - len(data)
    digest = ask(rom, 0x13, struct.pack("<IIII", at, len(data), 0, 0))[1]
    assert digest[:32] == hashlib.md5(data, usedforsecurity=False).hexdigest().encode()


def test_beyond_its_end_nothing_is_written() -> None:
    rom, flash = blank()
    assert ask(rom, 0x02, struct.pack("<IIII", 4096, 4, 1024, SIZE - 1024))[1][:2] == b"\x01\x05"
    assert flash == b"\xff" * SIZE


def test_the_flash_tells_its_size() -> None:
    """JEDEC: the third byte is the power of two."""
    rom, _ = blank("esp32c3")
    command, user, data = CHIPS["esp32c3"].spi
    for register, value in ((user, 7 << 28 | 0x9F), (command, 1 << 18)):
        ask(rom, 0x09, struct.pack("<IIII", register, value, 0xFFFFFFFF, 0))
    assert ask(rom, 0x0A, struct.pack("<I", command))[0] == 0, "done"
    assert ask(rom, 0x0A, struct.pack("<I", data))[0] >> 16 == 16


def test_the_stub_takes_over() -> None:
    """It greets; its answers have a shorter status, and it can erase all."""
    rom, flash = blank()
    flash[:] = bytes(SIZE)
    answer, _ = rom.feed(frame(0x06, struct.pack("<II", 0, 0x40080000)))
    assert answer.endswith(b"\xc0OHAI\xc0")
    assert len(ask(rom, 0x0A, bytes(4))[1]) == 2
    ask(rom, 0xD0)
    assert flash == b"\xff" * SIZE


def test_what_is_no_frame_is_handed_back() -> None:
    """It is for the program that starts then."""
    rom, _ = blank()
    rom.feed(frame(0x0A, bytes(4)))
    assert rom.feed(b"\r\x03") == (b"", b"\r\x03")
    answer, rest = rom.feed(frame(0x04, struct.pack("<I", 0)) + b"\x01")
    assert answers(answer)[0][0] == 0x04
    assert rom.left
    assert rest == b"\x01"
