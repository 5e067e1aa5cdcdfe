# The two slots on flash: which one runs, how a new one is filled, and what the loader is told about it.
#
# Power may fail at every step. A slot that is being filled has no mark (slot.json), so the loader does not start it;
# the mark is written last. slots.json changes in one rename, and only then the loader will try the new slot. What its
# fields mean is told in loader.py.

import asyncio
import hashlib
import os
import struct
from binascii import crc32, hexlify

from node.files import read, remove, write

SLOTS = ("a", "b")
STATE = "slots.json"
MARK = "/slot.json"
MAGIC = b"GUP1"

_MOST_FILES = 256
_PARTS = 4  # of a path
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789_"
_BUFFER = 512
_FOLDER = 0x4000


def running():
    """The slot that this very file was loaded from, or None: the factory's."""
    root = os.getcwd().rstrip("/")
    for slot in SLOTS:
        if __file__.startswith("%s/%s/" % (root, slot)):
            return slot
    return None


def spare():
    """The slot that may be filled while this firmware runs."""
    return "b" if running() == "a" else "a"


def state():
    """What slots.json says; {} when it cannot be read."""
    return read(STATE)


def mark(slot):
    """{"version", "sha256"} of a slot that is whole, or {}."""
    return read(slot + MARK)


def on_trial():
    return running() is not None and state().get("trial") == running()


def begin_trial(slot, version, sha):
    """From the next start on the loader tries `slot`."""
    write(STATE, {"active": running(), "trial": slot, "tries": 0, "version": version, "sha": sha})


def keep():
    """The firmware that runs has proved itself."""
    write(STATE, {"active": running(), "trial": None, "tries": 0})


def reject(version, sha, why):
    """Remember an update that must not be fetched again; this firmware goes on."""
    write(
        STATE,
        {"active": running(), "trial": None, "tries": 0, "version": version, "bad": sha, "why": why, "end": "refused"},
    )


def forgive():
    """Forget what failed, so that it may be tried again."""
    keep()


def used(slot, block):
    """Bytes of flash that removing the slot would give back, in whole blocks."""
    total = 0
    for path, is_folder in _tree(slot, 0):
        total += 2 * block if is_folder else (os.stat(path)[6] + block - 1) // block * block
    return total


def clear(slot):
    """Remove a slot, its mark first: a slot of which files are missing must not be started."""
    if slot == running():
        raise ValueError("slot %s runs" % slot)
    remove(slot + MARK)
    for path, is_folder in _tree(slot, 0):
        if is_folder:
            os.rmdir(path)
        else:
            os.remove(path)


async def sha256(path):
    """Of a file's content, as hexadecimal digits; other tasks go on meanwhile."""
    whole = hashlib.sha256()
    buffer = bytearray(512)
    view = memoryview(buffer)
    with open(path, "rb") as f:
        while True:
            n = f.readinto(buffer)
            if not n:
                break
            whole.update(view[:n])
            await asyncio.sleep_ms(0)
    return str(hexlify(whole.digest()), "utf-8")


async def fill(slot, path, version, sha):
    """Unpack an archive into a slot and mark it as whole. Raises ValueError when it is no good archive.

    The format: "GUP1", number of files (u16); then for each file length of its path (u8), path, length (u32), CRC-32
    (u32), data. Numbers are big-endian.
    """
    clear(slot)
    os.mkdir(slot)
    folders = set()
    buffer = bytearray(_BUFFER)
    with open(path, "rb") as archive:
        if _exactly(archive, 4) != MAGIC:
            raise ValueError("archive: does not begin with " + MAGIC.decode())
        count = struct.unpack(">H", _exactly(archive, 2))[0]
        if not 0 < count <= _MOST_FILES:
            raise ValueError("archive: %d files" % count)
        for _ in range(count):
            parts = _checked(_exactly(archive, _exactly(archive, 1)[0]))
            length, crc = struct.unpack(">II", _exactly(archive, 8))
            name = slot
            for part in parts[:-1]:
                name += "/" + part
                if name not in folders:
                    os.mkdir(name)
                    folders.add(name)
            await _unpack(archive, name + "/" + parts[-1], length, crc, buffer)
        if archive.read(1):
            raise ValueError("archive: goes on after its last file")
    write(slot + MARK, {"version": version, "sha256": sha})


async def _unpack(archive, path, length, crc, buffer):
    """Copy a file out of the archive, then read it back: what counts is what is on flash."""
    view = memoryview(buffer)
    with open(path, "wb") as out:
        while length:
            n = archive.readinto(view[: min(length, len(buffer))])
            if not n:
                raise ValueError("archive: ends in the middle of " + path)
            out.write(view[:n])
            length -= n
    found = 0
    with open(path, "rb") as back:
        while True:
            n = back.readinto(buffer)
            if not n:
                break
            found = crc32(view[:n], found)
    if found != crc:
        raise ValueError("archive: CRC of %s is wrong" % path)
    await asyncio.sleep_ms(0)


def _exactly(file, n):
    data = file.read(n)
    if len(data) != n:
        raise ValueError("archive: is cut off")
    return data


def _checked(path):
    """The parts of a file's path. Nothing but compiled modules, and nowhere but below the slot."""
    name = str(path, "utf-8")
    parts = name.split("/")
    if name[-4:] != ".mpy" or len(parts) > _PARTS:
        raise ValueError("archive: path " + name)
    for part in parts[:-1] + [parts[-1][:-4]]:
        if not part or not all(letter in _LETTERS for letter in part):
            raise ValueError("archive: path " + name)
    return parts


def _tree(path, depth):
    """[(path, is it a folder)] of all that lies below and of the folder itself, innermost first; [] without it."""
    found = []
    try:
        entries = list(os.ilistdir(path))
    except OSError:
        return found
    for entry in entries:
        below = path + "/" + entry[0]
        if entry[1] != _FOLDER:
            found.append((below, False))
        elif depth < _PARTS:
            found += _tree(below, depth + 1)
    found.append((path, True))
    return found
