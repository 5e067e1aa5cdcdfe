"""The slots on a real littlefs whose power fails at any point: there is always one whole slot to start from.

Flash is in memory here and the power cut is an error after which nothing is written any more, so that hundreds of cuts
take a second. tests/system/test_updates.py kills real processes.
"""

import json
from pathlib import Path

import pytest

from gateway.update import archive
from tests.firmware.packages import files
from tests.micropython import run

NEW = {f"{name}.mpy": bytes(range(256)) * times for name, times in (("main", 3), ("node/big", 40), ("node/deep/x", 1))}

_PROGRAM = """
import asyncio, json, machine, os, vfs
import loader
from node import slots

BLOCK, BLOCKS = 4096, 40
machine.reset_cause = lambda: machine.HARD_RESET

class Disk:
    def __init__(self, data):
        self.data, self.left, self.programmed = data, None, 0
    def readblocks(self, block, buffer, offset=0):
        at = block * BLOCK + offset
        buffer[:] = self.data[at : at + len(buffer)]
    def writeblocks(self, block, buffer, offset=0):
        at, n = block * BLOCK + offset, len(buffer)
        if self.left is not None:
            if n > self.left:
                self.data[at : at + self.left] = memoryview(buffer)[: self.left]
                self.left = 0
                return -5
            self.left -= n
        self.data[at : at + n] = buffer
        self.programmed += n
    def ioctl(self, operation, argument):
        if self.left == 0 and operation == 6:
            return -5
        return {4: BLOCKS, 5: BLOCK}.get(operation, 0)

def mount(disk):
    vfs.mount(vfs.VfsLfs2(disk, progsize=32, readsize=32, lookahead=32), "/flash")
    os.chdir("/flash")

def umount():
    os.chdir("/")
    vfs.umount("/flash")

def put(path, data):
    with open(path, "wb") as f:
        f.write(data)

def get(path):
    with open(path, "rb") as f:
        return f.read()

HOST = os.getcwd()
ARCHIVE = get(HOST + "/archive")

def fresh():
    disk = Disk(bytearray(BLOCK * BLOCKS))
    vfs.VfsLfs2.mkfs(disk, progsize=32, readsize=32, lookahead=32)
    mount(disk)
    for slot, text in (("a", b"old"), ("b", b"older")):
        os.mkdir(slot)
        put(slot + "/main.mpy", text)
        slots.write(slot + "/slot.json", {"version": "0.1.0", "sha256": str(text, "utf-8")})
    slots.write("slots.json", {"active": "a", "trial": None, "tries": 0})
    put("update.part", ARCHIVE)
    return disk

slots.running = lambda: "a"  # this program is no slot; what follows is as if it ran from one
NEW = json.loads(get(HOST + "/new.json"))

def is_whole(slot):
    sha = slots.mark(slot)["sha256"]
    if sha == "new":
        return all(get(slot + "/" + path) == bytes.fromhex(data) for path, data in NEW.items())
    return get(slot + "/main.mpy") == sha.encode()

def cut_everywhere(prepare, work, check, step):
    # `work` on a disk that `prepare` made, with the power cut after every so many bytes; `check(done)` after each.
    disk = prepare()
    template = bytes(disk.data)
    disk.programmed = 0
    work()
    check(True)
    total = disk.programmed
    umount()
    outcomes = set()
    cuts = 0
    for cut in range(0, total, step):
        disk = Disk(bytearray(template))
        mount(disk)
        disk.left = cut
        try:
            work()
        except OSError:
            pass
        umount()
        mount(Disk(disk.data))
        outcomes.add(check(False))
        umount()
        cuts += 1
    print("cuts", cuts)
    print("outcomes", sorted(outcomes))
"""


def program(folder: Path, body: str) -> list[str]:
    (folder / "archive").write_bytes(archive.pack(NEW))
    (folder / "new.json").write_text(json.dumps({path: data.hex() for path, data in NEW.items()}))
    return run(_PROGRAM + body, folder, heap="4M", seconds=60)


def test_a_cut_while_a_slot_is_filled_leaves_the_old_one_or_the_whole_new_one(tmp_path: Path) -> None:
    said = program(
        tmp_path,
        """
def work():
    asyncio.run(slots.fill("b", "update.part", "0.2.1", "new"))
    slots.begin_trial("b", "0.2.1", "new")

def check(done):
    found, trial = loader.choose()
    assert is_whole(found[0]), found
    assert trial == (found[0] == "b" and slots.mark("b")["sha256"] == "new")
    assert trial or found[0] == "a"
    if not trial:
        # However it was left, the same can be done again.
        work()
        found = loader.choose()
        assert found == (["b"], True) and is_whole("b"), found
    return trial

cut_everywhere(fresh, work, check, 48)
""",
    )
    assert int(said[0].removeprefix("cuts ")) > 200
    # The trial begins with the last write; it can be the one thing that no cut has left undone.
    assert said[1] in ("outcomes [False]", "outcomes [False, True]")


@pytest.mark.parametrize("tries", [0, 1])
def test_a_try_is_counted_before_it_begins(tmp_path: Path, tries: int) -> None:
    said = program(
        tmp_path,
        f"""
def prepare():
    disk = fresh()
    asyncio.run(slots.fill("b", "update.part", "0.2.1", "new"))
    slots.begin_trial("b", "0.2.1", "new")
    for _ in range({tries}):
        loader.choose()
    return disk

began = []
def work():
    began.append(loader.choose()[1])

def check(done):
    tries = slots.state()["tries"]
    # A trial that was let begin was counted; one that could not be counted did not begin.
    assert tries == {tries} + (1 if began[-1] else 0) or (tries == {tries} + 1 and not began[-1]), (tries, began[-1])
    return tries

cut_everywhere(prepare, work, check, 1)
""",
    )
    assert str(tries) in said[1]


def test_cuts_of_power_take_no_good_update_back(tmp_path: Path) -> None:
    """What ended with the power is no failed try; but after ten starts of any kind it goes back all the same."""
    said = program(
        tmp_path,
        """
def lives(*causes):
    fresh()
    asyncio.run(slots.fill("b", "update.part", "0.2.1", "new"))
    slots.begin_trial("b", "0.2.1", "new")
    found = []
    for cause in causes:
        machine.reset_cause = lambda: cause
        found.append(loader.choose()[1])
    umount()
    return found

HARD, POWER, DOG = machine.HARD_RESET, machine.PWRON_RESET, machine.WDT_RESET
print(lives(HARD, HARD, HARD))
print(lives(HARD, DOG, POWER, HARD))
print(lives(HARD, POWER, POWER, POWER, HARD, HARD, HARD))
print(lives(POWER, HARD, POWER, HARD, HARD))
print(sum(lives(*[POWER] * 20)))
""",
    )
    assert said == [
        "[True, True, False]",
        "[True, True, True, False]",
        "[True, True, True, True, True, False, False]",
        "[True, True, True, False, False]",
        "10",
    ]


def test_a_cut_while_it_goes_back_or_is_kept_loses_neither(tmp_path: Path) -> None:
    said = program(
        tmp_path,
        """
def on_trial():
    disk = fresh()
    asyncio.run(slots.fill("b", "update.part", "0.2.1", "new"))
    slots.begin_trial("b", "0.2.1", "new")
    for _ in range(2):
        assert loader.choose() == (["b"], True)
    return disk

def check_back(done):
    found = loader.choose()
    assert found == (["a", None], False) or found == (["a", "b", None], False), found
    state = slots.state()
    assert state["bad"] == "new" and state["why"] == "not confirmed in 2 starts" and state["version"] == "0.2.1", state
    return "back"

cut_everywhere(on_trial, loader.choose, check_back, 1)

def keep():
    slots.running = lambda: "b"
    try:
        slots.keep()
    finally:
        slots.running = lambda: "a"

def check_kept(done):
    state = slots.state()
    if done:
        assert loader.choose() == (["b", "a", None], False)
    return state["active"]

cut_everywhere(on_trial, keep, check_kept, 1)
""",
    )
    assert said[1] == "outcomes ['back']"
    assert "'a'" in said[3]


def test_the_loader_reads_any_state(tmp_path: Path) -> None:
    """Whatever stands in slots.json, a whole slot is chosen; of two whose merits are unknown one is on trial."""
    said = program(
        tmp_path,
        r"""
import random
random.seed(7)
fresh()
for text in (
    b"", b"null", b"[]", b"{}", b"7", b'"a"', b"{", b'{"active":"c"}', b'{"active":["a"]}', b"\xff\xfe", b"[" * 500,
    b'{"active":{"a":1},"trial":"b"}', bytes(400), b'{"trial":"b","tries":0}',
):
    put("slots.json", text)
    assert loader.choose() == (["a"], True), text
    assert loader.choose() == (["a"], True), text
    assert loader.choose() == (["b", None], False) or loader.choose()[0][0] == "b", text
for state in (
    {"active": "a", "trial": "b", "tries": -1}, {"active": "a", "trial": "b", "tries": "0"},
    {"active": "a", "trial": "b"}, {"active": "a", "trial": "c", "tries": 0}, {"active": "a", "trial": ["b"]},
    {"active": "a", "trial": "b", "tries": 1 << 70}, {"active": "a", "trial": "b", "tries": 2.5},
    {"active": "a", "trial": "b", "tries": 1, "cuts": 2}, {"active": "a", "trial": "b", "tries": 1, "cuts": "0"},
    {"active": "a", "trial": "b", "tries": 1, "cuts": -1}, {"active": "a", "trial": "b", "tries": 1, "cuts": None},
):
    slots.write("slots.json", state)
    found, trial = loader.choose()
    assert found[0] == "a" and not trial, state
for _ in range(300):
    put("slots.json", bytes(random.getrandbits(8) for _ in range(random.randrange(60))))
    assert loader.choose()[0][0] in ("a", "b")
os.remove("slots.json")
os.remove("a/slot.json")
assert loader.choose() == (["b", None], False)
os.remove("b/slot.json")
assert loader.choose() == ([None], False)
slots.write("slots.json", {"active": "a", "trial": "b", "tries": 0, "sha": "x"})
assert loader.choose() == ([None], False)
assert slots.state()["why"] == "slot is not whole"
print("good")
""",
    )
    assert said == ["good"]


def test_a_state_that_cannot_be_written_starts_no_trial(tmp_path: Path) -> None:
    said = program(
        tmp_path,
        """
disk = fresh()
slots.write("slots.json", {"active": "a", "trial": "b", "tries": 0, "sha": "x"})
disk.left = 0
print(loader.choose())
""",
    )
    assert said == ["(['a', None], False)"]


def test_an_archive_that_is_no_good_leaves_no_slot_to_start(tmp_path: Path) -> None:
    good = archive.pack(NEW)
    paths = (
        *(
            "../x.mpy",
            "/x.mpy",
            "a//x.mpy",
            "x.py",
            "slot.json",
            "A.mpy",
            ".mpy",
            "a/b/c/d/e.mpy",
            "é.mpy",
            "a/../x.mpy",
        ),
        *("x.mpy/", "", "a\0.mpy"),
    )
    bad = [good[:n] for n in (0, 3, 5, 6, 10, 20, len(good) // 2, len(good) - 1)]
    bad += [good + b"x", b"GUP2" + good[4:], good[:4] + b"\0\0" + good[6:], good[:4] + b"\xff\xff" + good[6:]]
    bad += [good[:-5] + b"!" + good[-4:], b"GUP1\0\1\5a.mpy\xff\xff\xff\xff\0\0\0\0data"]
    for path in paths:
        name = path.encode()
        bad.append(b"GUP1\0\1" + bytes([len(name)]) + name + bytes(8))
    twice = archive.pack({"x.mpy": b"1", "y.mpy": b"2"}).replace(b"y.mpy", b"x.mpy")
    for i, data in enumerate([*bad, good]):
        (tmp_path / f"bad{i}").write_bytes(data)
    (tmp_path / "twice").write_bytes(twice)
    said = program(
        tmp_path,
        f"""
fresh()
for i in range({len(bad) + 1}):
    try:
        asyncio.run(slots.fill("b", HOST + "/bad%d" % i, "0.2.1", "new"))
        print("filled", i)
    except ValueError as error:
        assert slots.mark("b") == {{}} and loader.choose() == (["a", None], False), i
        assert str(error).startswith("archive: ") or isinstance(error, UnicodeError), error
try:
    slots.clear("a")
except ValueError:
    print("the slot that runs is not cleared")
""",
    )
    assert said == [f"filled {len(bad)}", "the slot that runs is not cleared"]


def test_the_whole_firmware_goes_through_an_archive() -> None:
    found = files()
    assert archive.unpack(archive.pack(found)) == found
    assert "main.mpy" in found
    assert "loader.mpy" not in found
    assert archive.pack(found) == archive.pack(dict(reversed(found.items())))
