"""The boot ROM of an ESP32 as its serial port shows it: what esptool identifies, erases, writes and verifies.

Pure: bytes in, bytes out; the flash is handed in. From Espressif's "Serial Protocol" (esptool documentation) and the
register addresses of the technical reference manuals. Frames are SLIP (RFC 1055); a request is direction 0, command,
u16 length of its data, u32 checksum, data; an answer direction 1, command, u16 length, u32 value, data and status.

The flasher stub that esptool loads into RAM is taken, and not run: from its start on, the answers are those that the
stub would give.
"""

import hashlib
import struct
import zlib
from collections.abc import Callable
from typing import Final

from msgspec import Struct

_END, _ESCAPE = b"\xc0", b"\xdb"
_OK: Final = 0
_FAILED: Final = 0x105
"""Status "failed", reason "received message is invalid"."""

_MAGIC_REGISTER = 0x40001000
_RUN_SPI = 1 << 18
_READ_ID, _READ_SFDP = 0x9F, 0x5A
_SFDP = int.from_bytes(b"SFDP", "little")
_STATUS_SIZE = 4
_STUB_STATUS_SIZE = 2


class Chip(Struct, frozen=True):
    """What tells one chip from another at its serial port."""

    name: str
    id: int
    """In the answer to GET_SECURITY_INFO (where the chip knows it) and in the header of an image."""
    magic: int | None
    """At 0x40001000; None for chips that tell their id."""
    offset: int
    """Of the bootloader in flash."""
    spi: tuple[int, int, int]
    """Registers of the SPI controller: command, second user register, first data word."""
    clock_divider: int
    """Register of the UART: esptool reckons the crystal's frequency from it."""
    mac: tuple[int, int]
    """eFuse words: the lower four bytes of the address, the upper two."""


CHIPS: Final = {
    chip.name: chip
    for chip in (
        Chip(
            "esp32",
            0,
            0x00F01D83,
            0x1000,
            (0x3FF42000, 0x3FF42024, 0x3FF42080),
            0x3FF40014,
            (0x3FF5A004, 0x3FF5A008),
        ),
        Chip("esp32s3", 9, None, 0, (0x60002000, 0x60002020, 0x60002058), 0x60000014, (0x60007044, 0x60007048)),
        Chip("esp32c3", 5, None, 0, (0x60002000, 0x60002020, 0x60002058), 0x60000014, (0x60008844, 0x60008848)),
    )
}

MAC: Final = bytes.fromhex("020000000001")
_CRYSTAL = 40_000_000
_BAUD = 115_200


class Rom:
    """One session with the ROM, from its reset on. `flash` is changed in place; its length is the chip's."""

    def __init__(self, chip: Chip, flash: bytearray, on_erase: Callable[[], None] = lambda: None) -> None:
        self._chip, self._flash = chip, flash
        self._on_erase = on_erase
        self.stub = False
        self.left = False
        """Whether the host has sent it to run what is in flash."""
        self._frame: bytearray | None = None
        self._at = 0  # where the next block goes
        self._inflate: zlib._Decompress | None = None
        size = len(flash).bit_length() - 1
        self._flash_id = size << 16 | 0x4020  # size, type and maker of a common chip: 20 40 16 is 4 MiB
        self._registers = {
            chip.mac[0]: int.from_bytes(MAC[2:], "big"),
            chip.mac[1]: int.from_bytes(MAC[:2], "big"),
            chip.clock_divider: _CRYSTAL // _BAUD,
        }
        if chip.magic is not None:
            self._registers[_MAGIC_REGISTER] = chip.magic

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """(what the chip answers, what was no part of a frame). Nothing is taken after `left` is set."""
        answers, foreign = b"", b""
        for i in range(len(data)):
            byte = data[i : i + 1]
            if byte == _END:
                if self._frame:
                    answers += self._answer(_unescaped(bytes(self._frame)))
                    if self.left:
                        return answers, data[i + 1 :]
                    self._frame = None
                else:
                    self._frame = bytearray()
            elif self._frame is not None:
                self._frame += byte
            else:
                foreign += byte
        return answers, foreign

    def _answer(self, request: bytes) -> bytes:
        if len(request) < 8 or request[0] != 0:
            return b""
        command, _, _ = struct.unpack_from("<BHI", request, 1)
        body = request[8:]
        handler = _COMMANDS.get(command)
        value, data, status = handler(self, body) if handler else (0, b"", _FAILED)
        size = _STUB_STATUS_SIZE if self.stub else _STATUS_SIZE
        tail = struct.pack(">H", status).ljust(size, b"\0")
        answer = _framed(struct.pack("<BBHI", 1, command, len(data) + size, value) + data + tail)
        if command == _SYNC:
            return answer * 8  # as the ROM does
        if command == _MEM_END and not self.stub:
            self.stub = True
            return answer + _framed(b"OHAI")  # the stub's greeting
        return answer

    def _sync(self, body: bytes) -> "_Answer":
        return (0 if self.stub else 0x20120707), b"", _OK

    def _read_register(self, body: bytes) -> "_Answer":
        return self._registers.get(struct.unpack_from("<I", body)[0], 0), b"", _OK

    def _write_register(self, body: bytes) -> "_Answer":
        for at in range(0, len(body) - 15, 16):
            address, value, mask = struct.unpack_from("<III", body, at)
            self._registers[address] = self._registers.get(address, 0) & ~mask | value & mask
        command, user, data = self._chip.spi
        if self._registers.get(command, 0) & _RUN_SPI:
            self._registers[command] = 0  # done at once
            found = {_READ_ID: self._flash_id, _READ_SFDP: _SFDP}
            self._registers[data] = found.get(self._registers.get(user, 0) & 0xFF, 0)
        return 0, b"", _OK

    def _security_info(self, body: bytes) -> "_Answer":
        if self._chip.magic is not None:
            return 0, b"", _FAILED  # the first ESP32 does not know this command
        return 0, struct.pack("<IB7xII", 0, 0, self._chip.id, 0), _OK

    def _done(self, body: bytes) -> "_Answer":
        return 0, b"", _OK

    def _flash_begin(self, body: bytes) -> "_Answer":
        size, _, _, self._at = struct.unpack_from("<IIII", body)
        self._inflate = None
        if self._at + size > len(self._flash):
            return 0, b"", _FAILED
        self._erase(self._at, size)
        return 0, b"", _OK

    def _deflate_begin(self, body: bytes) -> "_Answer":
        answer = self._flash_begin(body)
        self._inflate = zlib.decompressobj()
        return answer

    def _flash_data(self, body: bytes) -> "_Answer":
        size = struct.unpack_from("<I", body)[0]
        data = body[16 : 16 + size]
        if self._inflate:
            data = self._inflate.decompress(data)
        if self._at + len(data) > len(self._flash):
            return 0, b"", _FAILED
        self._flash[self._at : self._at + len(data)] = data
        self._at += len(data)
        return 0, b"", _OK

    def _flash_end(self, body: bytes) -> "_Answer":
        self.left = struct.unpack_from("<I", body)[0] == 0
        return 0, b"", _OK

    def _md5(self, body: bytes) -> "_Answer":
        at, size = struct.unpack_from("<II", body)
        digest = hashlib.md5(self._flash[at : at + size], usedforsecurity=False)
        return 0, digest.digest() if self.stub else digest.hexdigest().encode(), _OK

    def _erase_all(self, body: bytes) -> "_Answer":
        self._erase(0, len(self._flash))
        self._on_erase()
        return 0, b"", _OK

    def _erase(self, at: int, size: int) -> None:
        self._flash[at : at + size] = b"\xff" * size


_Answer = tuple[int, bytes, int]
"""(value, data, status)"""

_SYNC, _MEM_END = 0x08, 0x06
_COMMANDS: Final[dict[int, Callable[[Rom, bytes], _Answer]]] = {
    0x02: Rom._flash_begin,
    0x03: Rom._flash_data,
    0x04: Rom._flash_end,
    0x05: Rom._done,  # MEM_BEGIN: RAM for the stub
    _MEM_END: Rom._done,
    0x07: Rom._done,  # MEM_DATA
    _SYNC: Rom._sync,
    0x09: Rom._write_register,
    0x0A: Rom._read_register,
    0x0B: Rom._done,  # SPI_SET_PARAMS
    0x0D: Rom._done,  # SPI_ATTACH
    0x0F: Rom._done,  # CHANGE_BAUDRATE
    0x10: Rom._deflate_begin,
    0x11: Rom._flash_data,
    0x12: Rom._flash_end,
    0x13: Rom._md5,
    0x14: Rom._security_info,
    0xD0: Rom._erase_all,  # the stub's
}


def _framed(data: bytes) -> bytes:
    return _END + data.replace(_ESCAPE, b"\xdb\xdd").replace(_END, b"\xdb\xdc") + _END


def _unescaped(data: bytes) -> bytes:
    return data.replace(b"\xdb\xdc", _END).replace(b"\xdb\xdd", _ESCAPE)
