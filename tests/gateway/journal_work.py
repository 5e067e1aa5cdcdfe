"""A journal at work, step by step, for the tests that take its power away; run as a program it writes down what it did.

`python -m tests.gateway.journal_work FOLDER RECORD STEPS` works in FOLDER, under `DiskLog`, and leaves a `Recording`,
and beside it, in `left`, the files as they were before the journal's end.
"""

import hashlib
import random
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from gateway.ingest.decode import decode_packs
from gateway.journal.store import DATABASE, DETECT, Journal
from gateway.records import DeadLetter, Incident, Ledger, Pack, Status
from tests.gateway.disk_log import Call, DiskLog

SITE: Final = "riverside"
NODES: Final = tuple(f"air-{number:04}" for number in range(6))
BEGIN: Final = 1_795_430_400
MAX_BYTES: Final = 2**24
SEED: Final = 5
REOPENED: Final = 110
"""Steps from one orderly start to the next; before the first of them the write-ahead log comes full by itself."""


class Recording(Struct, frozen=True):
    calls: list[Call]
    states: list[str]
    """`Work.state` before the first step, and after each."""


class Work:
    """All that the tests ask of a journal is asked here."""

    def __init__(self, folder: Path) -> None:
        """Raises ConfigError like `Journal.open`."""
        self.folder = folder
        self._journal = Journal.open(folder, MAX_BYTES)

    def close(self) -> None:
        self._journal.close()

    def commit(self, arrivals: Sequence[Pack | DeadLetter], statuses: Sequence[tuple[str, str, Status]] = ()) -> int:
        """How many of these packs were new."""
        return len(self._journal.commit(arrivals, float(BEGIN), statuses).packs)

    def waiting(self, consumer: str) -> tuple[int, list[Pack]]:
        """What a consumer has not passed, and the place of the last of it."""
        found = self._journal.read(consumer, 10**6)
        return found.last, found.packs

    def forward(self, refused: bool) -> None:
        place, packs = self.waiting(DATABASE)
        if packs:
            letters = [DeadLetter("a/b", b"[%d]" % pack.seq, "influx", "no", float(BEGIN)) for pack in packs[:refused]]
            self._journal.forwarded(DATABASE, place, len(packs) - len(letters), letters)

    def detect(self, state: bytes) -> None:
        place, packs = self.waiting(DETECT)
        if packs:
            self._journal.detected(place, state)

    def find(self, changed: Sequence[Incident]) -> None:
        self._journal.found(self.waiting(DETECT)[0], changed)

    def deliver(self) -> None:
        changes = self._journal.incidents_for(DATABASE, 1000)
        if changes:
            self._journal.incidents_delivered(DATABASE, changes[-1][0])

    def save(self) -> None:
        self._journal.checkpoint()

    def leave_log(self) -> None:
        """From here on as in a gateway: its log is brought in beside the work."""
        self._journal.leave_log(True)

    def empty_log(self, *, whole: bool) -> None:
        self._journal.backfill()
        if whole:
            self._journal.rewind()

    def ledger(self) -> Ledger:
        return self._journal.ledger()

    def state(self) -> str:
        """A digest of everything that it can be asked for."""
        journal = self._journal
        letters, waiting = journal.dead_letters(10**6), [self.waiting(name)[1] for name in (DATABASE, DETECT)]
        parts = (journal.ledger(), journal.nodes(), journal.incidents(), journal.detector_state(), letters, waiting)
        return hashlib.sha256(msgspec.msgpack.encode(parts)).hexdigest()


def payload(node: str, boot: int, seq: int) -> bytes:
    """A pack of eight readings, as a node sends it."""
    names = {"pm1_0": "ug/m3", "pm2_5": "ug/m3", "pm10": "ug/m3", "co2": "ppm", "humidity": "%RH", "temperature": "Cel"}
    records: list[dict[str, Any]] = [
        {"bn": f"{SITE}/{node}/", "bt": BEGIN + 60 * seq, "n": "boot", "v": boot},
        {"n": "seq", "v": seq},
        *({"n": name, "u": unit, "v": (seq * 7 + len(name)) % 97 + 0.25} for name, unit in names.items()),
    ]
    return msgspec.json.encode(records)


def packs_of(node: str, boot: int, seqs: range) -> list[Pack]:
    found = [
        each
        for seq in seqs
        for each in decode_packs(SITE, node, "telemetry", payload(node, boot, seq), now=BEGIN + 1e9)
    ]
    packs = [each for each in found if isinstance(each, Pack)]
    assert len(packs) == len(seqs)
    return packs


class Steps:
    """What is asked of the journal, in order: the same at each run."""

    def __init__(self) -> None:
        self._dice = random.Random(SEED)
        self._next = dict.fromkeys(NODES, 0)
        self.batches: dict[int, list[Pack]] = {}
        """The packs of each step that brought some."""
        self._incidents = 0

    def take(self, work: Work, step: int) -> Work:
        """Take one step; the journal as it is open afterwards."""
        dice = self._dice
        if step and step % REOPENED == 0:  # the orderly end of a gateway, and its next start
            work.close()
            work = Work(work.folder)
            work.leave_log()
            return work
        kinds = ("commit", "forward", "detect", "find", "deliver", "save", "empty_log")
        kind = dice.choices(kinds, (50, 20, 10, 10, 10, 5, 10))[0]
        if kind == "commit":
            statuses = [(SITE, node, Status(online=True, kind="air", boot=1)) for node in NODES[: dice.randrange(3)]]
            work.commit([*self._batch(step), *self._letters()], statuses)
        elif kind == "forward":
            work.forward(refused=dice.random() < 0.3)
        elif kind == "detect":
            work.detect(dice.randbytes(dice.randrange(80_000, 200_000)))
        elif kind == "find":
            work.find([self._incident() for _ in range(dice.randrange(3))])
        elif kind == "empty_log":
            work.empty_log(whole=dice.random() < 0.5)
        elif kind == "save":
            work.save()
        else:
            work.deliver()
        return work

    def _batch(self, step: int) -> list[Pack]:
        packs: list[Pack] = []
        for node in self._dice.sample(NODES, 4):
            new = self._next[node] = self._next[node] + self._dice.randrange(1, 40)
            again = self._dice.randrange(5)
            packs += packs_of(node, 1, range(max(0, new - 40 - again), new))
        self.batches[step] = packs
        return packs

    def _letters(self) -> list[DeadLetter]:
        return [
            DeadLetter("ganglion/v1/riverside/x/telemetry", self._dice.randbytes(900), "json", "no", float(BEGIN))
            for _ in range(self._dice.randrange(3))
        ]

    def _incident(self) -> Incident:
        number, known = self._incidents, self._dice.random() < 0.5
        if known and number:
            return Incident(f"burst.{number}", "burst", SITE, "", "", "info", BEGIN, BEGIN + 60, "It has ended.")
        self._incidents += 1
        return Incident(f"burst.{number + 1}", "burst", SITE, "", "", "info", BEGIN, None, "Water runs.")


def main(folder: Path, record: Path, steps: int) -> None:
    folder.mkdir()
    log = DiskLog(folder)
    work, plan = Work(folder), Steps()
    log.done(0)
    states = [work.state()]
    for step in range(1, steps + 1):
        work = plan.take(work, step)
        log.done(step)
        states.append(work.state())
    calls = log.calls[:]
    shutil.copytree(folder, record.with_name("left"))
    work.close()
    log.end()
    record.write_bytes(msgspec.msgpack.encode(Recording(calls, states)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
