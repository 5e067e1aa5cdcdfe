"""What a disk may hold when the power fails, made from what it was told (`images`), and what must hold then (`check`).

A file's sectors are on disk as they were at its last sync, or as they became at any time since, each sector for itself:
writes are lost, cut at a sector and out of order. The same holds for its size, and for files made or removed since the
folder was synced. Taken as given, as SQLite does (sqlite.org/psow.html): a sector that is written again where power
fails keeps the bytes that the write did not touch; and a disk that says that it has synced tells the truth.
"""

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Literal

from msgspec import Struct

from tests.gateway.disk_log import Call
from tests.gateway.journal_work import DATABASE, Steps, Work

SECTORS: Final = (512, 4096)
Fate = Literal["all", "synced", "torn", "any"]
FATES: Final[tuple[Fate, ...]] = ("all", "synced", "torn", "any", "any", "any")
"""Of what was not synced: everything is there, nothing, all but a part of the last write, or any of it."""


class Image(Struct, frozen=True):
    files: dict[str, bytes]
    point: int
    """How many calls had been made when the power failed."""
    step: int
    """The newest step that the program had been told was done; -1 before the first, which opens the journal."""
    fate: Fate
    sector: int

    @property
    def name(self) -> str:
        return (
            f"power lost after call {self.point}, in the step after {self.step}: {self.fate}, sectors of {self.sector}"
        )

    def write(self, folder: Path) -> Path:
        folder.mkdir()
        for name, data in self.files.items():
            (folder / name).write_bytes(data)
        return folder


class _File:
    """One file: what is surely on disk, and what was done to it since."""

    def __init__(self) -> None:
        self.synced = bytearray()
        self.since: list[Call] = []

    def sync(self) -> None:
        for call in self.since:
            _apply(self.synced, call)
        self.since.clear()

    def lost(self, fate: Fate, sector: int, dice: random.Random) -> bytes:
        """What of it is on disk."""
        data = bytearray(self.synced)
        if fate == "synced":
            return bytes(data)
        if fate in ("all", "torn") or not self.since:
            for call in self.since[: len(self.since) - (fate == "torn")]:
                _apply(data, call)
            if fate == "torn" and self.since:
                _apply_part(data, self.since[-1], sector, dice)
            return bytes(data)
        share = dice.choice((0.1, 0.5, 0.9))
        times: defaultdict[int, int] = defaultdict(int)  # how often each sector was changed
        for call in self.since:
            for number in _sectors(call, sector):
                times[number] += 1
        kept = {n: sum(dice.random() < share for _ in range(many)) for n, many in times.items()}
        whole = bytearray(self.synced)
        sizes = [len(whole)]
        seen: defaultdict[int, int] = defaultdict(int)
        for call in self.since:
            _apply(whole, call)
            sizes.append(len(whole))
            for number in _sectors(call, sector):
                seen[number] += 1
                if seen[number] == kept[number]:
                    begin, end = number * sector, min((number + 1) * sector, len(whole))
                    _put(data, begin, whole[begin:end])
        size = dice.choice((sizes[0], sizes[-1], dice.choice(sizes)))
        if size > len(data):
            _put(data, len(data), bytes(size - len(data)) if dice.random() < 0.5 else dice.randbytes(size - len(data)))
        return bytes(data[:size])


def _sectors(call: Call, sector: int) -> range:
    if call.what != "write":
        return range(0)
    return range(call.at // sector, (call.at + len(call.data) - 1) // sector + 1)


def _put(data: bytearray, at: int, piece: bytes) -> None:
    if at > len(data):
        data.extend(bytes(at - len(data)))
    data[at : at + len(piece)] = piece


def _apply(data: bytearray, call: Call) -> None:
    if call.what == "write":
        _put(data, call.at, call.data)
    else:
        data.extend(bytes(max(0, call.at - len(data))))
        del data[call.at :]


def _apply_part(data: bytearray, call: Call, sector: int, dice: random.Random) -> None:
    """Of a write some sectors; of a truncation nothing."""
    for number in _sectors(call, sector):
        begin, end = max(call.at, number * sector), min(call.at + len(call.data), (number + 1) * sector)
        if dice.random() < 0.5:
            _put(data, begin, call.data[begin - call.at : end - call.at])


class _Disk:
    """All files. A name is kept or gone for certain once the folder was synced."""

    def __init__(self) -> None:
        self.files: dict[str, _File] = {}
        self.loose: dict[str, _File | None] = {}
        """Names whose making or removal is not certain, with what was there before."""

    def take(self, call: Call) -> None:
        match call.what:
            case "create":
                self.loose.setdefault(call.file, self.files.get(call.file))
                self.files[call.file] = _File()
            case "unlink":
                self.loose.setdefault(call.file, self.files.pop(call.file))
                self.files.pop(call.file, None)
            case "sync":
                self.files[call.file].sync()
            case "sync_folder":
                self.loose.clear()
            case "write" | "truncate":
                self.files[call.file].since.append(call)

    def lost(self, fate: Fate, sector: int, dice: random.Random) -> dict[str, bytes]:
        there: dict[str, _File | None] = dict(self.files)
        for name, before in sorted(self.loose.items()):
            if fate == "synced" or (fate == "any" and dice.random() < 0.5):
                there[name] = before
        return {name: file.lost(fate, sector, dice) for name, file in there.items() if file is not None}


def images(calls: Sequence[Call], count: int, seed: int, every: int = 0) -> Iterator[Image]:
    """`count` images, of power that fails at any call; and with `every`, one whole prefix each so many calls."""
    dice, disk = random.Random(seed), _Disk()
    busy = [at for at, call in enumerate(calls, start=1) if call.what != "done"]
    points = sorted(dice.choice(busy) for _ in range(count))
    step, taken = -1, 0
    for at, call in enumerate(calls, start=1):
        step = call.at if call.what == "done" else step
        disk.take(call) if call.what != "done" else None
        if every and at % every == 0:
            yield Image(disk.lost("all", 512, dice), at, step, "all", 512)
        while taken < len(points) and points[taken] == at:
            taken += 1
            fate, sector = dice.choice(FATES), dice.choice(SECTORS)
            yield Image(disk.lost(fate, sector, dice), at, step, fate, sector)


def check(image: Image, folder: Path, states: Sequence[str], plan: Steps) -> None:
    """AssertionError with the image's name, when the journal that wakes up on it breaks a promise.

    It opens; it is exactly as after the last step that was confirmed, or as after the next one, of which nothing was
    promised; the ledger balances; and packs that come again are known.
    """
    work = Work(image.write(folder))
    try:
        state = work.state()
        possible = states[max(image.step, 0) : image.step + 2]
        assert state in possible, f"{image.name}: {_as_when(state, states)}"
        assert work.ledger().balanced, f"{image.name}: {work.ledger()}"
        told = [packs for step, packs in plan.batches.items() if step <= image.step]
        if told:
            assert work.commit(told[-1]) == 0, f"{image.name}: packs that had been acknowledged are new again"
            assert work.ledger().balanced, f"{image.name}: {work.ledger()}"
        keys = [(pack.node, pack.boot, pack.seq) for pack in work.waiting(DATABASE)[1]]
        assert len(keys) == len(set(keys)), f"{image.name}: packs are there twice"
    finally:
        work.close()


def _as_when(state: str, states: Sequence[str]) -> str:
    try:
        return f"the journal is as it was after step {states.index(state)}"
    except ValueError:
        return "the journal is as it never was"
