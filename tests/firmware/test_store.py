"""The log on flash: what `append` has returned from is there after any loss of power, and nothing wrong ever is."""

import os
import signal
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.firmware.importer import load
from tests.micropython import run, start

store_module = load("node.store")
Store = store_module.Store

NOW = 1_795_430_400
FILE_MAX = store_module._FILE_MAX
AROUND = store_module._HEAD_SIZE + store_module._CRC_SIZE
CLOCK = store_module._CLOCK

# Power cuts, on the littlefs of the interpreter.

SHARED = """
import flash, vfs, os
from node.store import Store

BLOCKS = 24
ROOM = 2 * 8192

def pack(seq):
    # Short ones, ones that fill most of a file, and what is between.
    length = (3 + 7 * seq, 400, 1900, 90)[seq % 4]
    line = b"pack %d " % seq
    return (2 + seq // 10, 2, seq, 1795430400 + seq, seq % 3, (line * (length // len(line) + 1))[:length])
"""

# A node that makes packs in an outage, and gets rid of some: each line is what is certain from then on.
WRITER = (
    SHARED
    + """
ends = []
if {trace}:
    write = flash.Flash.writeblocks
    def traced(board, *arguments):
        write(board, *arguments)
        ends.append(board.programmed)
    flash.Flash.writeblocks = traced
board, _ = flash.mount("flash", BLOCKS, {cut})
began = board.programmed
store = Store("outbox", ROOM)

def drop():
    print("dropping before", store._numbers[1])
    store.drop()
    print("dropped")

tail = store.begin()
for seq in range(80):
    if seq in (12, 30):
        while store.full(0):
            drop()
        store.learn(seq, 1000 + seq)
        print("learnt", seq, store._last)
    record = pack(seq)
    while store.full(len(record[5])):
        drop()
    tail = max(tail, store.begin())
    store.append(*record)
    print("kept", seq, store._last)
    if seq in (5, 24, 76):
        for _ in range(5 if seq != 24 else 99):
            tail = store.read(tail)[1]
        gone = store.read(tail)[0] is None
        print("dropping before", store._last + 1 if gone else tail[0])
        store.release(tail)
        print("dropped")
print("ends", *[end - began for end in ends if end > began])
"""
)

# The boot after it, and one more: what is there, each time.
READER = (
    SHARED
    + """
def found(store):
    at, seqs = store.begin(), []
    while True:
        record, at = store.read(at)
        if record is None:
            break
        assert record == pack(record[2]), record
        seqs.append(record[2])
    assert len(seqs) == store.packs and not store.damaged, (seqs, store.packs, store.damaged)
    assert at == store.end()
    return seqs

for folder in {folders!r}:
    board, new = flash.mount(folder + "/flash", BLOCKS)
    store = Store("outbox", ROOM)
    there = found(store)
    for seq in (1000, 1001, 1002):
        while store.full(2000):
            store.drop()
        store.append(*pack(seq))
    for text in (there, sorted(store.eras.items()), found(store), found(Store("outbox", ROOM))):
        print(text)
    os.chdir("/")
    vfs.umount(flash.ROOT)
"""
)


@dataclass
class Certain:
    """What the lines of a writer that was cut off say about the flash."""

    must: list[int]
    may: list[int]
    eras_must: list[int]
    eras_may: list[int]


def certain(lines: list[str]) -> Certain:
    """From what `WRITER` has printed: what is there for sure, and what may be."""
    packs: dict[int, int] = {}
    eras: dict[int, int] = {}
    going = gone = 0
    for line in lines:
        match line.split():
            case ["kept", seq, number]:
                packs[int(seq)] = int(number)
            case ["learnt", era, number]:
                eras[int(era)] = int(number)
            case ["dropping", "before", number]:
                going = int(number)
            case ["dropped"]:
                gone = going
    # The append that was under way is there whole or not at all.
    return Certain(
        must=[seq for seq, number in packs.items() if number >= going],
        may=[seq for seq, number in packs.items() if number >= gone] + [len(packs)],
        eras_must=[era for era, number in eras.items() if number >= going],
        eras_may=[era for era, number in eras.items() if number >= gone] + [(12, 30, -1)[len(eras)]],
    )


def write(folder: Path, cut: int) -> list[str]:
    """The lines of a writer until its power fails."""
    folder.mkdir()
    with start(WRITER.format(cut=cut, trace=False), folder) as process:
        output, _ = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL, output
    return output.splitlines()


def sweep(root: Path, cuts: list[int]) -> None:
    """Cut the power at each of these bytes, and look at what the next boots find."""
    folders = [root / f"{cut}" for cut in cuts]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        said = list(pool.map(write, folders, cuts))
    printed = iter(run(READER.format(folders=[str(each) for each in folders]), root, seconds=60))
    for cut, lines in zip(cuts, said, strict=True):
        there, eras, after, again = (eval(next(printed)) for _ in range(4))
        what = certain(lines)
        case = f"cut after {cut} bytes: {there}, {eras}, {what}"
        assert there == list(range(there[0], there[-1] + 1)) if there else True, case
        assert set(what.must) <= set(there) <= set(what.may), case
        assert set(what.eras_must) <= {era for era, _ in eras} <= set(what.eras_may), case
        assert all(offset == 1000 + era for era, offset in eras), case
        assert after == again, case
        assert after[-3:] == [1000, 1001, 1002], case
        assert after[:-3] == there[len(there) - len(after) + 3 :], case


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], list[int]]:
    """(lines of a writer whose power stays, the byte at which each write to the flash ends)."""
    *lines, ends = run(WRITER.format(cut=None, trace=True), tmp_path_factory.mktemp("whole"))
    return lines, [int(each) for each in ends.split()[1:]]


def test_the_writer_does_all_there_is(whole: tuple[list[str], list[int]]) -> None:
    """Else the cuts would not be worth much: files are filled, dropped for room, released in part and as a whole."""
    lines, ends = whole
    kinds = [line.split()[0] for line in lines]
    assert [kinds.count(kind) for kind in ("kept", "learnt", "dropping", "dropped")] == [80, 2, 7, 7]
    assert 0 < len(certain(lines).must) < 40
    assert len(ends) > 300
    assert ends == sorted(set(ends))


def test_power_fails_anywhere(whole: tuple[list[str], list[int]], tmp_path: Path) -> None:
    """All over the run, and around ends of writes, where littlefs decides what is there."""
    _, ends = whole
    stride = range(7, ends[-1], ends[-1] // 70)
    around = [end + by for end in ends[5 :: len(ends) // 22] for by in (-1, 0, 1)]
    sweep(tmp_path, sorted({cut for cut in (*stride, *around) if cut < ends[-1]}))


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_power_fails_everywhere(whole: tuple[list[str], list[int]]) -> None:
    """Around the end of each write, and every few bytes in between."""
    _, ends = whole
    cuts = sorted({cut for end in ends for cut in (end - 1, end, end + 1)} | set(range(0, ends[-1], 13)))
    cuts = [cut for cut in cuts if cut < ends[-1]]
    for at in range(0, len(cuts), 200):
        with TemporaryDirectory() as folder:
            sweep(Path(folder), cuts[at : at + 200])


# Bounds, positions, eras and damage, on the files of the host.


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return str(tmp_path / "outbox")


def fill(store: Any, packs: int, length: int = 100, first: int = 0) -> list[Any]:
    """Append packs with bodies of one length; the position behind each."""
    return [
        store.append(1, 1, seq, NOW + seq, seq % 3, b"%07d" % seq + b"x" * (length - 7))
        for seq in range(first, first + packs)
    ]


def log(store: Any) -> Iterator[Any]:
    at = store.begin()
    while True:
        record, at = store.read(at)
        if record is None:
            return
        yield record


def seqs(store: Any) -> list[int]:
    return [record[2] for record in log(store)]


def test_an_empty_store(folder: str) -> None:
    """Nothing to read, nothing to release; it has made its folder."""
    store = Store(folder)
    assert (store.packs, store.damaged, store.eras) == (0, 0, {})
    assert store.begin() == store.end()
    assert store.read(store.begin()) == (None, store.end())
    store.release(store.end())
    assert os.listdir(folder) == []
    assert not store.full(FILE_MAX)


@given(
    bodies=st.lists(st.binary(max_size=3000), max_size=12),
    boot=st.integers(0, 2**32 - 1),
    stream=st.integers(0, 2),
    time=st.integers(0, 2**32 - 1),
)
def test_what_is_kept_is_read(bodies: list[bytes], boot: int, stream: int, time: int) -> None:
    """By this boot and the next, from each position on, in order and once."""
    with TemporaryDirectory() as folder:
        store = Store(folder)
        records = [(boot, boot // 2, seq, time, stream, body) for seq, body in enumerate(bodies)]
        positions = [store.begin(), *(store.append(*record) for record in records)]
        assert positions == sorted(set(positions))
        for each in (store, Store(folder)):
            assert each.packs == len(records)
            assert list(log(each)) == records
            for n, position in enumerate(positions):
                record, behind = each.read(position)
                assert record == (records[n] if n < len(records) else None)
                # A file that is full of packs ends where the next one begins.
                assert behind == positions[n + 1] if n < len(records) - 1 else behind >= positions[-1]
            assert each.earliest == ({boot // 2: time} if records else {})


def test_a_file_is_never_longer_than_its_bound(folder: str) -> None:
    """And full to the last byte where packs fit so."""
    store = Store(folder)
    body = FILE_MAX // 4 - AROUND
    fill(store, 9, body)
    sizes = sorted(each.stat().st_size for each in os.scandir(folder))
    assert sizes == [FILE_MAX // 4, FILE_MAX, FILE_MAX]
    assert seqs(store) == seqs(Store(folder)) == list(range(9))


@pytest.mark.parametrize(("max_bytes", "files"), [(0, 2), (2 * FILE_MAX, 2), (5 * FILE_MAX - 1, 4)])
def test_the_bound(folder: str, max_bytes: int, files: int) -> None:
    """`full` says so before it is passed; whoever drops then stays below it, and knows what went."""
    store = Store(folder, max_bytes)
    gone = 0
    for seq in range(300):
        while store.full(400):
            gone += store.drop()
        fill(store, 1, 400, first=seq)
        assert len(os.listdir(folder)) <= files
        assert store.packs == seq + 1 - gone
    assert len(os.listdir(folder)) == files
    assert seqs(store) == list(range(gone, 300))


def test_full_knows_what_still_fits(folder: str) -> None:
    """A short pack goes into the last file when a long one does not."""
    store = Store(folder, 2 * FILE_MAX)
    fill(store, 1, FILE_MAX - AROUND)
    fill(store, 1, FILE_MAX - 2 * AROUND - 10, first=1)
    assert not store.full(10)
    assert store.full(11)
    assert store.drop() == 1
    assert not store.full(11)


def test_released_files_go(folder: str) -> None:
    """Only when all in them is released; the last one when nothing is behind."""
    store = Store(folder)
    ends = fill(store, 20, FILE_MAX // 4 - AROUND)
    store.release(ends[2])
    assert (store.packs, len(os.listdir(folder))) == (20, 5)
    store.release(ends[3])
    assert (store.packs, len(os.listdir(folder))) == (16, 4)
    assert seqs(store)[0] == 4
    store.release(ends[-1])
    assert (store.packs, os.listdir(folder)) == (0, [])
    assert fill(store, 1, first=20) > ends[-1:], "positions never come again within a boot"
    assert seqs(Store(folder)) == [20]


def test_positions_outlive_a_drop(folder: str) -> None:
    """What is read from one that is gone is the oldest there is."""
    store = Store(folder)
    fill(store, 12, FILE_MAX // 4 - AROUND)
    old = store.begin()
    assert store.drop() == 4
    assert store.read(old)[0][2] == 4


def test_a_new_boot_goes_on_in_the_last_file(folder: str) -> None:
    """Fifty resets in an outage do not fill the log with files of one pack. Unless its end is doubtful."""
    for n in range(50):
        fill(Store(folder), 1, first=n)
    assert len(os.listdir(folder)) == 1
    last = max(os.listdir(folder))
    with open(f"{folder}/{last}", "ab") as f:
        f.write(b"\x50")
    store = Store(folder)
    fill(store, 1, first=50)
    assert len(os.listdir(folder)) == 2
    assert seqs(store) == seqs(Store(folder)) == list(range(51))


def test_it_does_not_go_on_in_a_file_that_cannot_be_read(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the one before it ended says nothing about it."""
    fill(Store(folder), 1)
    fill(next_file(folder), 3, first=1)
    broken = f"{folder}/{max(os.listdir(folder))}"

    def refusing(path: str, mode: str) -> Any:
        if path == broken:
            raise OSError(5, "broken")
        return open(path, mode)

    monkeypatch.setattr(store_module, "open", refusing, raising=False)
    store = Store(folder)
    assert (store.packs, store.damaged) == (1, 1)
    fill(store, 1, first=9)
    assert seqs(store) == [0, 9]


def next_file(folder: str) -> Any:
    """A store that has no room left in its last file."""
    store = Store(folder)
    store._size = FILE_MAX
    return store


def test_other_files_are_left_alone(folder: str) -> None:
    """What is no number is not the log's."""
    os.mkdir(folder)
    Path(folder, "notes").write_text("mine")
    store = Store(folder)
    fill(store, 1)
    store.release(store.end())
    assert os.listdir(folder) == ["notes"]


def test_eras(folder: str) -> None:
    """What was learnt is known to later boots, is no pack, and goes with its file."""
    store = Store(folder)
    store.append(1, 1, 0, 77, 0, b"early")
    store.append(1, 1, 1, 55, 0, b"earlier")
    store.learn(1, 4_000_000_000)
    store.append(2, 2, 0, 99, 1, b"later")
    for each in (store, Store(folder)):
        assert (each.eras, each.earliest) == ({1: 4_000_000_000}, {1: 55, 2: 99})
        assert each.packs == 3
        assert [record[5] for record in log(each)] == [b"early", b"earlier", b"later"]
    store.learn(1, 5)
    assert Store(folder).eras == {1: 5}, "the last word holds"
    store.release(store.end())
    assert Store(folder).eras == {}


def test_a_store_of_nothing_but_eras_is_empty(folder: str) -> None:
    """And goes when it is released."""
    store = Store(folder)
    store.learn(1, 5)
    assert (store.packs, Store(folder).packs) == (0, 0)
    assert store.read(store.begin()) == (None, store.end())
    store.release(store.begin())
    assert os.listdir(folder) == []


# Flash that ages.

RECORDS = [
    (1, 1, 0, 60, 0, b"first"),
    (1, 1, 1, 61, 1, b""),
    (0, 1, 700_000_000, 0, CLOCK, b""),
    (1, 1, 2, NOW, 2, b"third " * 5),
    (2, 2, 0, NOW, 0, b"fourth"),
]
PACKS = [record for record in RECORDS if record[4] != CLOCK]


def written(folder: str) -> Path:
    """A file with `RECORDS`, and a second one with one pack more."""
    store = Store(folder)
    for record in RECORDS:
        store.append(*record)
    fill(next_file(folder), 1, first=50)
    return Path(folder, min(os.listdir(folder)))


def looked_at(folder: str) -> Any:
    """What a boot finds there, which must all have been written, in its order; its counts agree with it."""
    store = Store(folder)
    found = list(log(store))
    assert len(found) == store.packs
    assert list(log(store)) == found, "the same each time"
    assert found[-1][2] == 50, "in the next file it goes on"
    assert found[:-1] == [record for record in PACKS if record in found]
    assert store.eras in ({}, {1: 700_000_000})
    fill(store, 1, first=51)
    assert seqs(store)[-2:] == seqs(Store(folder))[-2:] == [50, 51], "the log goes on"
    store.release(store.end())
    assert (store.packs, os.listdir(folder)) == (0, [])
    return store, found[:-1]


@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF])
def test_each_byte_in_turn_is_wrong(tmp_path: Path, mask: int) -> None:
    """Never is a wrong record read, nor a wrong era; all but the damaged one are, if it can be told where they are."""
    starts = [0]
    for record in RECORDS:
        starts.append(starts[-1] + AROUND + len(record[5]))
    for at in range(starts[-1]):
        folder = str(tmp_path / str(at))
        path = written(folder)
        content = bytearray(path.read_bytes())
        content[at] ^= mask
        path.write_bytes(content)
        store, found = looked_at(folder)
        n = max(n for n, begin in enumerate(starts) if begin <= at)
        assert RECORDS[n] not in found, at
        assert (1 in store.eras) <= (n != 2), at
        assert found[: len(PACKS)][: sum(r in PACKS for r in RECORDS[:n])] == [r for r in RECORDS[:n] if r in PACKS]
        if at - starts[n] >= struct.calcsize("<HH"):
            assert found == [r for r in PACKS if r != RECORDS[n]], at
            assert store.damaged == 1, at


def test_a_file_that_ends_anywhere(tmp_path: Path) -> None:
    """What is whole before it is read."""
    ends, at = [], 0
    for record in RECORDS:
        at += AROUND + len(record[5])
        ends.append(at)
    for length in range(at):
        folder = str(tmp_path / str(length))
        path = written(folder)
        os.truncate(path, length)
        _, found = looked_at(folder)
        assert found == [record for record, end in zip(RECORDS, ends, strict=True) if end <= length and record in PACKS]


@given(content=st.binary(max_size=300), behind=st.integers(0, 3))
def test_any_bytes_for_a_file(content: bytes, behind: int) -> None:
    """With or without packs before them: what is no record is none."""
    with TemporaryDirectory() as folder:
        path = written(folder)
        size = sum(AROUND + len(record[5]) for record in RECORDS[:behind])
        path.write_bytes(path.read_bytes()[:size] + content)
        _, found = looked_at(folder)
        assert found == [record for record in RECORDS[:behind] if record in PACKS]


@given(heads=st.lists(st.binary(min_size=17, max_size=17), max_size=8), length=st.integers(0, 40))
def test_anything_that_looks_like_records(heads: list[bytes], length: int) -> None:
    """With the mark of a record, but no check code that is right."""
    with TemporaryDirectory() as folder:
        path = written(folder)
        head = struct.pack("<HH", store_module._MAGIC, length)
        path.write_bytes(b"".join(head + each + bytes(length) + b"\xde\xad\xbe\xef" for each in heads))
        store, found = looked_at(folder)
        assert found == []
        assert store.damaged == len(heads)
