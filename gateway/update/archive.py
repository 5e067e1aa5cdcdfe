"""The archive that a node unpacks into a slot: made to be read front to back with half a KiB of memory.

    "GUP1"                      4 bytes
    number of files             u16
    for each file, by path:
        length of its path      u8
        path                    ASCII, such as node/update.mpy
        length of its data      u32
        CRC-32 of its data      u32
        data

Numbers are big-endian. There are no times, owners or compression, so the same files give the same bytes.
"""

import struct
from binascii import crc32
from collections.abc import Mapping
from typing import Final

from gateway.update.errors import UpdateError

MAGIC: Final = b"GUP1"
MOST_FILES: Final = 256
MOST_BYTES: Final = 1 << 20
_BLOCK: Final = 4096


def pack(files: Mapping[str, bytes]) -> bytes:
    """Raises UpdateError when a node would not take it."""
    if not 0 < len(files) <= MOST_FILES:
        raise UpdateError(f"{len(files)} files: a node takes 1 to {MOST_FILES}")
    parts = [MAGIC, struct.pack(">H", len(files))]
    for path, data in sorted(files.items()):
        name = path.encode("ascii")
        parts += [struct.pack(">B", len(name)), name, struct.pack(">II", len(data), crc32(data)), data]
    archive = b"".join(parts)
    if len(archive) > MOST_BYTES:
        raise UpdateError(f"{len(archive)} bytes: a node takes {MOST_BYTES} at most")
    return archive


def unpack(archive: bytes) -> dict[str, bytes]:
    """Path to data. Raises UpdateError when it is no whole archive."""
    files = {}
    try:
        magic, count = struct.unpack_from(">4sH", archive)
        if magic != MAGIC:
            raise UpdateError(f"no archive: it begins with {magic!r}")
        at = 6
        for _ in range(count):
            end = at + 1 + archive[at]
            path = archive[at + 1 : end].decode("ascii")
            length, crc = struct.unpack_from(">II", archive, end)
            at = end + 8 + length
            files[path] = archive[end + 8 : at]
            if crc32(files[path]) != crc:
                raise UpdateError(f"the CRC of {path} is wrong: the file is damaged")
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise UpdateError(f"no whole archive: {error}") from error
    if at != len(archive):
        raise UpdateError("no whole archive: its length is wrong")
    return files


def flash_bytes(files: Mapping[str, bytes]) -> int:
    """What they take on a node's flash: littlefs gives whole blocks to files, and two to each folder."""
    folders = {path[:i] for path in files for i, letter in enumerate(path) if letter == "/"} | {""}
    return sum(-(-len(data) // _BLOCK) * _BLOCK for data in files.values()) + 2 * _BLOCK * len(folders)
