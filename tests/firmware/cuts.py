"""A flash chip in memory, on the real interpreter, whose power fails at any byte: many lives of a board in one process.

A program puts its operations into `live(step)`. `step(n)` says that everything up to there has returned.
"""

from pathlib import Path

from tests.micropython import run

_CHIP = """
import os, vfs
LITTLEFS = {"progsize": 32, "readsize": 32, "lookahead": 32}
BLOCK = 4096

class Cut(Exception):
    pass

class Chip:
    def __init__(self, image):
        self.memory = bytearray(image)
        self.left = None
        self.ends = [0]
        self.erased = 0
        self.dead = False

    def readblocks(self, block, buffer, offset=0):
        if self.dead:
            return
        at = block * BLOCK + offset
        buffer[:] = self.memory[at : at + len(buffer)]

    def writeblocks(self, block, buffer, offset=0):
        if self.dead:
            return
        at, n = block * BLOCK + offset, len(buffer)
        assert self.memory[at : at + n] == b"\\xff" * n, "a NOR flash is erased before it is written"
        if self.left is not None and self.left < n:
            self.memory[at : at + self.left] = buffer[: self.left]
            # From here on nothing reaches the chip: what the program still does in its last moments is void.
            self.dead = True
            raise Cut
        self.memory[at : at + n] = buffer
        self.ends.append(self.ends[-1] + n)
        if self.left is not None:
            self.left -= n

    def ioctl(self, operation, argument):
        if operation == 4:
            return len(self.memory) // BLOCK
        if operation == 5:
            return BLOCK
        if operation == 6 and not self.dead:
            self.memory[argument * BLOCK : (argument + 1) * BLOCK] = b"\\xff" * BLOCK
            self.erased += 1
        return 0

def on(chip):
    vfs.mount(vfs.VfsLfs2(chip, **LITTLEFS), "/flash")
    os.chdir("/flash")

def off():
    os.chdir("/")
    vfs.umount("/flash")

def formatted(blocks):
    chip = Chip(b"\\xff" * BLOCK * blocks)
    vfs.VfsLfs2.mkfs(chip, **LITTLEFS)
    return bytes(chip.memory)
"""

_SWEEP = """
def one(image, cut):
    chip = Chip(image)
    chip.left = cut
    steps = [0]
    def step(n):
        if not chip.dead:
            steps[0] = n
    on(chip)
    try:
        live(step)
    except (Cut, OSError) as error:
        assert chip.dead, error
    off()
    again = Chip(chip.memory)
    on(again)
    wrong = examine(steps[0])
    if wrong:
        print("cut at", cut, "after step", steps[0], "of", chip.ends[-1], "bytes:", wrong)
    off()
    return chip

image = formatted(BLOCKS)
whole = one(image, None)
if STRIDE:
    cuts = set(range(0, whole.ends[-1], STRIDE))
    for end in whole.ends:
        cuts.update((end - 1, end, end + 1))
else:
    cuts = range(whole.ends[-1] + 1)
for cut in sorted([each for each in cuts if each >= 0]):
    one(image, cut)
print("cuts", len(cuts), "bytes", whole.ends[-1], "erased", whole.erased)
"""


def chip_program(program: str) -> str:
    """A program that has `Chip`, `on`, `off` and `formatted`."""
    return _CHIP + program


def sweep(program: str, folder: Path, *, stride: int, blocks: int = 16) -> int:
    """Cut the power at every `stride`th byte of all that `live` writes, and around each end of a write; 0: everywhere.

    `examine(step)` then tells what is wrong on a new boot, or nothing. Returns how many cuts there were.
    """
    lines = run(_CHIP + program + f"\nSTRIDE = {stride}\nBLOCKS = {blocks}\n" + _SWEEP, folder, heap="8M", seconds=600)
    # Files that were open at a cut are closed by the garbage collector, which says so.
    lines = [line for line in lines if not line.startswith("OSError")]
    wrong = [line for line in lines if line.startswith("cut at")]
    assert not wrong, "\n".join(wrong[:20])
    assert lines[-1].startswith("cuts "), lines
    return int(lines[-1].split()[1])
