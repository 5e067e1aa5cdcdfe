"""The flash of an emulated board: littlefs in a file of the host, and power that fails in the middle of a write."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from tests.micropython import run, start

BLOCK = 4096
BLOCKS = 16

TRACED = f"""
import flash, os
write, erase = flash.Flash.writeblocks, flash.Flash._erase
def traced(board, block, buffer, offset=0):
    print("write", block * {BLOCK} + offset, bytes(buffer).hex())
    write(board, block, buffer, offset)
def traced_erase(board, block):
    print("erase", block * {BLOCK})
    erase(board, block)
flash.Flash.writeblocks, flash.Flash._erase = traced, traced_erase
"""

WRITING = """
for n in range(4):
    with open("%d" % n, "wb") as f:
        f.write(bytes([65 + n]) * 700)
print("written")
"""


def killed(program: str, folder: Path) -> list[str]:
    """What a program said until its power failed."""
    with start(program, folder) as process:
        output, _ = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL, output
    return output.splitlines()


def test_a_new_flash_is_formatted(tmp_path: Path) -> None:
    """It takes the room on the host only where something was written."""
    printed = run(
        f"""
import flash, os
board, new = flash.mount("flash", {BLOCKS})
print(new, os.getcwd(), os.listdir(), os.statvfs("/flash")[1:3], board.programmed > 0, board.erased > 0)
""",
        tmp_path,
    )
    assert printed == [f"True /flash [] ({BLOCK}, {BLOCKS}) True True"]
    size = (tmp_path / "flash").stat()
    assert size.st_size == BLOCKS * BLOCK
    assert size.st_blocks * 512 < BLOCKS * BLOCK


def test_what_is_kept_outlives_the_process(tmp_path: Path) -> None:
    """Also one that was killed: what was closed is there, what was not is not."""
    killed(
        f"""
import flash
flash.mount("flash", {BLOCKS})
with open("kept", "w") as f:
    f.write("this")
f = open("open", "w")
f.write("that" * 10)
flash.fail()
print("never")
""",
        tmp_path,
    )
    printed = run(
        f"""
import flash, os
board, new = flash.mount("flash", {BLOCKS})
print(new, board.programmed, open("kept").read(), "open" in os.listdir() and os.stat("open")[6])
""",
        tmp_path,
    )
    assert printed in (["False 0 this 0"], ["False 0 this False"])


@pytest.mark.parametrize("cut", [0, 1, 31, 32, 33, 63])
def test_a_cut_leaves_so_many_bytes(tmp_path: Path, cut: int) -> None:
    """Of one write after another; what was there before stays behind them."""
    (tmp_path / "flash").write_bytes(b"\x00" * 2 * BLOCK)
    said = killed(
        f"""
import flash
board = flash.Flash("flash", 2, {cut})
for number in (1, 2):
    board.writeblocks(1, bytes([number]) * 32, 32 * number)
    print(board.programmed)
print("never")
""",
        tmp_path,
    )
    programmed = (b"\x01" * 32 + b"\x02" * 32)[:cut]
    assert (tmp_path / "flash").read_bytes() == (bytes(BLOCK + 32) + programmed).ljust(2 * BLOCK, b"\x00")
    assert said == ["32"][: cut // 32]


def test_power_that_lasts_exactly_as_long_as_it_is_needed(tmp_path: Path) -> None:
    """The last byte it lasts for is programmed, and all that does not write goes on."""
    printed = run(
        """
import flash
board = flash.Flash("flash", 1, 64)
board.writeblocks(0, b"x" * 64)
buffer = bytearray(3)
board.readblocks(0, buffer, 62)
print(board.left, buffer)
""",
        tmp_path,
    )
    assert printed == ["0 bytearray(b'xx\\x00')"]


def test_a_mounted_flash_is_cut_at_any_byte(tmp_path: Path) -> None:
    """Counted from the mount on; the file is what the whole writes, and the first bytes of the last one, have made it.

    The boot after it finds a file system, with the files that were closed.
    """
    run(f'import flash\nflash.mount("flash", {BLOCKS})', tmp_path)
    formatted = tmp_path / "formatted"
    (tmp_path / "flash").rename(formatted)
    shutil.copy(formatted, tmp_path / "flash")
    whole = f'import flash\nboard, _ = flash.mount("flash", {BLOCKS})\n{WRITING}print(board.programmed)'
    total = int(run(whole, tmp_path)[-1])
    assert total > 4 * 700
    for cut in (0, 1, 64, total // 3, total // 2, total - 1):
        shutil.copy(formatted, tmp_path / "flash")
        said = killed(f'{TRACED}flash.mount("flash", {BLOCKS}, {cut})\n{WRITING}', tmp_path)
        image, left = bytearray(formatted.read_bytes()), cut
        for act, at, *data in map(str.split, said):
            part = bytes.fromhex(data[0])[:left] if act == "write" else b"\xff" * BLOCK
            image[int(at) : int(at) + len(part)] = part
            left -= len(part) if act == "write" else 0
        assert left == 0
        assert (tmp_path / "flash").read_bytes() == image
        found = run(
            f"""
import flash, os
flash.mount("flash", {BLOCKS})
for name in sorted(os.listdir()):
    content = open(name, "rb").read()
    print(name, len(content), set(content) == {{65 + int(name)}})
""",
            tmp_path,
        )
        files = [f"{n} 700 True" for n in range(4)]
        assert found[:-1] == files[: max(0, len(found) - 1)]
        assert not found or found[-1] in (files[len(found) - 1], f"{len(found) - 1} 0 False")


def test_an_erase_leaves_ones(tmp_path: Path) -> None:
    """In its block alone. One that is cut short leaves some bits as they were, and is the last thing that happens."""
    (tmp_path / "flash").write_bytes(bytes(range(256)) * (3 * BLOCK // 256))
    assert killed(
        """
import flash
board = flash.Flash("flash", 3, cut_erase=1)
board.ioctl(6, 0)
print(board.erased)
board.ioctl(6, 2)
print("never")
""",
        tmp_path,
    ) == ["1"]
    image, before = (tmp_path / "flash").read_bytes(), bytes(range(256)) * (BLOCK // 256)
    first, second, third = (image[n : n + BLOCK] for n in range(0, 3 * BLOCK, BLOCK))
    assert first == b"\xff" * BLOCK
    assert second == before
    assert third not in (before, b"\xff" * BLOCK)
    assert all(old & new == old for old, new in zip(before, third, strict=True)), "an erase sets bits, and clears none"


@pytest.mark.parametrize(("offset", "cut", "whole", "half"), [(0, 40, 40, 216), (96, 0, 0, 160), (0, 256, 256, 144)])
def test_a_torn_page_is_half_programmed(tmp_path: Path, offset: int, cut: int, whole: int, half: int) -> None:
    """From the cut to the page's end, or that of what was to be written; the next page is as it was."""
    (tmp_path / "flash").write_bytes(b"\xff" * BLOCK)
    killed(
        f'import flash\nboard = flash.Flash("flash", 1, {cut}, torn=True)\nboard.writeblocks(0, bytes(400), {offset})',
        tmp_path,
    )
    written = (tmp_path / "flash").read_bytes()[offset:]
    assert written[:whole] == bytes(whole)
    assert all(0 < byte < 255 for byte in written[whole : whole + half])
    assert set(written[whole + half :]) == {255}


def test_a_file_system_survives_any_cut(tmp_path: Path) -> None:
    """Wherever power fails, within a write, a torn page or an erase, of files that are written, replaced and removed:
    what was closed is there, what was under way is as before it or as after."""
    put = [("a", "A", 700), ("b", "B", 5000), ("a", "C", 60), ("c", "D", 3000), ("b", "E", 4500)]
    body = """
def put(name, letter, n):
    with open(name, "w") as f:
        f.write(letter * n)
    print(name, letter, n)
""" + "".join(f"put{each}\n" for each in put)
    run(f'import flash\nflash.mount("flash", {BLOCKS})', tmp_path)
    formatted = tmp_path / "formatted"
    (tmp_path / "flash").rename(formatted)
    shutil.copy(formatted, tmp_path / "flash")
    mounted = 'import flash\nboard, _ = flash.mount("flash", {}{})\n'
    *_, figures = run(
        mounted.format(BLOCKS, "")
        + "before = board.programmed, board.erased\n"
        + body
        + "print(board.programmed - before[0], board.erased - before[1])",
        tmp_path,
    )
    programmed, erased = map(int, figures.split())
    assert programmed > sum(n for *_, n in put)
    assert erased > 3
    cuts = [f", cut_erase={n}" for n in range(erased)]
    cuts += [f", cut_after={n}, torn={torn}" for torn in (False, True) for n in range(0, programmed, programmed // 24)]
    for cut in cuts:
        shutil.copy(formatted, tmp_path / "flash")
        said = killed(mounted.format(BLOCKS, cut) + body, tmp_path)
        done = [(name, letter, int(n)) for name, letter, n in map(str.split, said)]
        assert done == put[: len(done)], cut
        before = {name: (letter, n) for name, letter, n in done}
        after = {**before, put[len(done)][0]: put[len(done)][1:]}
        found = run(
            mounted.format(BLOCKS, "")
            + """
import os
for name in os.listdir():
    content = open(name, "rb").read()
    print(name, content[:1].decode() or "-", len(content), len(set(content)))
""",
            tmp_path,
        )
        there = {}
        for name, letter, n, kinds in map(str.split, found):
            assert kinds == str(int(n != "0")), cut
            there[name] = letter, int(n)
        begun = put[len(done)][0]
        # A new file is there, and empty, from its beginning on; one that is replaced stays until its end.
        old = (before[begun],) if begun in before else (None, ("-", 0))
        assert there.pop(begun, None) in (*old, after[begun]), cut
        assert there == {name: content for name, content in before.items() if name != begun}, cut


@pytest.mark.parametrize("harm", ["zeroed", "noise", "short", "empty"])
def test_what_is_no_file_system_is_an_error(tmp_path: Path, harm: str) -> None:
    """It is never formatted over what may be somebody's packs."""
    run(f'import flash\nflash.mount("flash", {BLOCKS})', tmp_path)
    file = tmp_path / "flash"
    content = {
        "zeroed": bytes(BLOCKS * BLOCK),
        "noise": bytes(n * n % 251 for n in range(BLOCKS * BLOCK)),
        "short": file.read_bytes()[:8],
        "empty": b"",
    }[harm]
    file.write_bytes(content)
    printed = run(
        f"""
import flash
try:
    flash.mount("flash", {BLOCKS})
except OSError as error:
    print("refused", error.errno)
""",
        tmp_path,
    )
    assert printed[0].startswith("refused")
    assert file.read_bytes() == content


def test_a_full_flash_is_an_error_not_a_loss(tmp_path: Path) -> None:
    """ENOSPC; what was there stays, and there is room again when something goes."""
    printed = run(
        f"""
import flash, os
flash.mount("flash", {BLOCKS})
with open("kept", "wb") as f:
    f.write(b"k" * 5000)
try:
    with open("large", "wb") as f:
        for _ in range(100):
            f.write(b"l" * {BLOCK})
except OSError as error:
    print(error.errno)
print(open("kept", "rb").read() == b"k" * 5000)
os.remove("large")
with open("next", "wb") as f:
    print(f.write(b"n" * {4 * BLOCK}))
""",
        tmp_path,
    )
    assert printed == ["28", "True", f"{4 * BLOCK}"]
    assert os.listdir(tmp_path) == ["flash"]
