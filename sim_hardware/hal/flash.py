# The board's flash: blocks in a file of the host, on which the interpreter's own littlefs lives, as on an ESP32.
#
# A board that is killed leaves the file as its last write has left it. `cut_after` cuts finer: the power fails in the
# middle of the write in which so many bytes have been programmed, at exactly that byte; with `torn` the rest of that
# page is half programmed. `cut_erase` lets it fail within the erase after so many: the block is half erased then.

import os

import vfs

ROOT = "/flash"
BLOCK = 4096
_BLOCKS = 256  # 1 MiB; the file has holes where nothing was written
_LITTLEFS = {"progsize": 32, "readsize": 32, "lookahead": 32}  # as the ESP32 port mounts it

# Typical times of a W25Q32 (Winbond's datasheet, "AC electrical characteristics": tSE, tPP).
_PAGE = 256
_ERASE_US = 45_000
_PROGRAM_US = 700  # a page

_ERASED = b"\xff" * _PAGE
_WEAK = 0x5A  # the bits that an operation cut short has not reached: any will do, so long as it is neither all nor none


class Flash:
    def __init__(self, path, blocks=_BLOCKS, cut_after=None, cut_erase=None, torn=False):
        self.blocks = blocks
        self.left = cut_after  # bytes until the power fails; None: it does not
        self.erases_left = cut_erase  # likewise
        self._torn = torn
        self._stall = None
        self.programmed = self.erased = 0  # bytes, blocks: what wear is made of
        try:
            self._file = open(path, "r+b")  # noqa: SIM115 - kept open for the life of the board
        except OSError:
            with open(path, "wb") as f:
                f.seek(blocks * BLOCK - 1)
                f.write(b"\xff")
            self._file = open(path, "r+b")  # noqa: SIM115

    def take_time(self):
        """From now on erasing and programming last as long as on a board, and no interrupt is noticed meanwhile."""
        from machine import stall

        self._stall = stall

    def readblocks(self, block, buffer, offset=0):
        self._file.seek(block * BLOCK + offset)
        self._file.readinto(buffer)

    def writeblocks(self, block, buffer, offset=0):
        if self._stall:
            self._stall((offset % _PAGE + len(buffer) + _PAGE - 1) // _PAGE * _PROGRAM_US, False)
        self._file.seek(block * BLOCK + offset)
        if self.left is not None and self.left < len(buffer):
            self._file.write(bytes(buffer)[: self.left])
            if self._torn:
                ends = min(len(buffer), self.left + _PAGE - (offset + self.left) % _PAGE)
                self._file.write(bytes(byte | _WEAK for byte in bytes(buffer)[self.left : ends]))
            fail()
        self._file.write(buffer)
        self.programmed += len(buffer)
        if self.left is not None:
            self.left -= len(buffer)

    def ioctl(self, operation, argument):
        if operation == 4:
            return self.blocks
        if operation == 5:
            return BLOCK
        if operation == 6:
            self._erase(argument)
        return 0

    def _erase(self, block):
        if self._stall:
            self._stall(_ERASE_US, False)
        if self.erases_left is not None:
            if not self.erases_left:
                old = bytearray(BLOCK)
                self.readblocks(block, old)
                self._file.seek(block * BLOCK)
                self._file.write(bytes(byte | _WEAK for byte in old))
                fail()
            self.erases_left -= 1
        self.erased += 1
        self._file.seek(block * BLOCK)
        for _ in range(BLOCK // _PAGE):
            self._file.write(_ERASED)


def fail():
    """The power is gone: nothing that was to come comes any more."""
    os.system("kill -9 $PPID")


def is_there(path):
    """Whether the host has the file of a flash."""
    try:
        return bool(os.stat(path))
    except OSError:
        return False


def mount(path, blocks=_BLOCKS, cut_after=None, cut_erase=None, torn=False):
    """Put the flash in a file of the host under ROOT, and go there, as a board begins. It is formatted when it is new.

    Returns (the flash, whether it is new). Raises OSError when what is in it is no file system any more.
    """
    new = not is_there(path)
    flash = Flash(path, blocks, torn=torn)
    if new:
        vfs.VfsLfs2.mkfs(flash, **_LITTLEFS)
    vfs.mount(vfs.VfsLfs2(flash, **_LITTLEFS), ROOT)
    os.chdir(ROOT)
    flash.left, flash.erases_left = cut_after, cut_erase
    return flash, new
