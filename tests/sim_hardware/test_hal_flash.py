"""The flash of an emulated board: a real littlefs in a file of the host, which keeps what its last write has left."""

import signal
from pathlib import Path

import pytest

from tests.sim_hardware.program import ended, printed

MOUNT = "import flash, os\nchip, new = flash.mount('{path}', 16{cut})\n"

WRITE = """
for n in range(4):
    with open("pack", "ab") as f:
        f.write(bytes([n]) * 300)
    print("kept", n)
"""


def mount(path: Path, cut: int | None = None) -> str:
    return MOUNT.format(path=path, cut="" if cut is None else f", {cut}")


def test_a_new_flash_is_formatted_and_kept(tmp_path: Path) -> None:
    """The board stands at its root; what it writes is there in its next life, and nowhere else on the host."""
    path = tmp_path / "flash.bin"
    program = mount(path) + "print((new, os.getcwd(), os.listdir()))\n"
    write = "with open('a', 'w') as f:\n    f.write('text')\nos.mkdir('folder')\n"
    assert printed(program + write, tmp_path) == [(True, "/flash", [])]
    assert path.stat().st_size == 16 * 4096
    (found,) = printed(program, tmp_path)
    assert found[:2] == (False, "/flash")
    assert sorted(found[2]) == ["a", "folder"]
    assert printed(mount(path) + "print(repr(open('a').read()))", tmp_path) == ["text"]
    assert [each.name for each in tmp_path.iterdir()] == ["flash.bin"]


def test_it_is_as_large_as_it_is(tmp_path: Path) -> None:
    """A full one says ENOSPC, as a board's does, and what was there before is whole."""
    found = printed(
        mount(tmp_path / "flash.bin")
        + """
with open("small", "wb") as f:
    f.write(b"here")
try:
    with open("large", "wb") as f:
        for _ in range(20):
            f.write(bytes(4096))
except OSError as error:
    print(error.errno)
print(open("small", "rb").read())
print(os.statvfs(".")[2])
""",
        tmp_path,
    )
    assert found == [28, b"here", 16]


def test_wear_is_counted(tmp_path: Path) -> None:
    """Bytes that were programmed, blocks that were erased; reading costs nothing."""
    first, wrote, read = printed(
        mount(tmp_path / "flash.bin")
        + """
print((chip.programmed, chip.erased))
with open("a", "wb") as f:
    f.write(bytes(5000))
print((chip.programmed, chip.erased))
open("a", "rb").read()
print((chip.programmed, chip.erased))
""",
        tmp_path,
    )
    assert wrote[0] - first[0] >= 5000
    assert wrote[1] - first[1] >= 2
    assert read == wrote


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, int]:
    """(a flash that is new, bytes that WRITE programs)."""
    folder = tmp_path_factory.mktemp("whole")
    path = folder / "flash.bin"
    printed(mount(path), folder)
    before = path.read_bytes()
    lines = ended(mount(path) + "before = chip.programmed\n" + WRITE + "print(chip.programmed - before)", folder)[1]
    return before, int(lines[-1])


@pytest.mark.parametrize("part", range(13))
def test_the_power_fails_at_exactly_that_byte(tmp_path: Path, whole: tuple[bytes, int], part: int) -> None:
    """The process is dead at once; what was kept before is there after it, nothing is torn, and a file can be added."""
    before, programmed = whole
    cut = programmed * part // 12
    path = tmp_path / "flash.bin"
    path.write_bytes(before)
    code, lines = ended(mount(path, cut) + WRITE, tmp_path)
    assert code == (0 if cut == programmed else -signal.SIGKILL)
    assert lines == [f"kept {n}" for n in range(len(lines))]
    assert (path.read_bytes() == before) == (part == 0)
    size, content = printed(
        mount(path)
        + """
with open("new", "wb") as f:
    f.write(b"new")
with open("pack", "ab") as f:
    pass
found = open("pack", "rb").read()
print(len(found))
print(found == b"".join([bytes([n]) * 300 for n in range(len(found) // 300)]))
""",
        tmp_path,
    )
    assert content is True
    assert size in (300 * len(lines), 300 * (len(lines) + 1))


@pytest.mark.parametrize("left", [0, 1, 31, 32, 99, 100])
def test_each_byte_counts(tmp_path: Path, left: int) -> None:
    """Of the write in which the power fails exactly so many are on the chip, and none of the writes after it."""
    path = tmp_path / "flash.bin"
    program = (
        mount(path)
        + f"chip.left = {left} + 50\nchip.writeblocks(9, b'a' * 50, 7)\nchip.writeblocks(9, b'b' * 100, 96)\n"
    )
    code, _ = ended(program + "chip.writeblocks(9, b'c')\n", tmp_path)
    assert code == -signal.SIGKILL
    block = path.read_bytes()[9 * 4096 : 10 * 4096]
    assert block[7:57] == b"a" * 50
    assert block[96:] == b"b" * left + bytes(4096 - 96 - left)
    assert block[:7] == bytes(7)


def test_what_is_no_file_system_is_an_error(tmp_path: Path) -> None:
    """It is not formatted over: somebody may want to look at it."""
    path = tmp_path / "flash.bin"
    path.write_bytes(b"\x5a" * 16 * 4096)
    program = "import flash\ntry:\n    flash.mount('{}', 16)\nexcept OSError as error:\n    print('refused')"
    assert ended(program.format(path), tmp_path) == (0, ["refused"])
    assert path.read_bytes() == b"\x5a" * 16 * 4096
