# The board's flash: blocks in a file of the host, on which the interpreter's own littlefs lives, as on an ESP32.
#
# A board that is killed leaves the file as its last write has left it. `cut_after` cuts finer: the power fails in the
# middle of the write in which so many bytes have been programmed, at exactly that byte.

import os

import vfs

ROOT = "/flash"
BLOCK = 4096
_BLOCKS = 256  # 1 MiB; the file has holes where nothing was written
_LITTLEFS = {"progsize": 32, "readsize": 32, "lookahead": 32}  # as the ESP32 port mounts it


class Flash:
    def __init__(self, path, blocks=_BLOCKS, cut_after=None):
        self.blocks = blocks
        self.left = cut_after  # bytes until the power fails; None: it does not
        self.programmed = self.erased = 0  # bytes, blocks: what wear is made of
        try:
            self._file = open(path, "r+b")  # noqa: SIM115 - kept open for the life of the board
        except OSError:
            with open(path, "wb") as f:
                f.seek(blocks * BLOCK - 1)
                f.write(b"\xff")
            self._file = open(path, "r+b")  # noqa: SIM115

    def readblocks(self, block, buffer, offset=0):
        self._file.seek(block * BLOCK + offset)
        self._file.readinto(buffer)

    def writeblocks(self, block, buffer, offset=0):
        self._file.seek(block * BLOCK + offset)
        if self.left is not None and self.left < len(buffer):
            self._file.write(bytes(buffer)[: self.left])
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
            self.erased += 1
        return 0


def fail():
    """The power is gone: nothing that was to come comes any more."""
    os.system("kill -9 $PPID")


def mount(path, blocks=_BLOCKS, cut_after=None):
    """Put the flash in a file of the host under ROOT, and go there, as a board begins. It is formatted when it is new.

    Returns (the flash, whether it is new). Raises OSError when what is in it is no file system any more.
    """
    try:
        new = not os.stat(path)
    except OSError:
        new = True
    flash = Flash(path, blocks)
    if new:
        vfs.VfsLfs2.mkfs(flash, **_LITTLEFS)
    vfs.mount(vfs.VfsLfs2(flash, **_LITTLEFS), ROOT)
    os.chdir(ROOT)
    flash.left = cut_after
    return flash, new
