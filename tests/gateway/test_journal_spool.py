"""Several databases, each with its own place; what the disk has spoilt; what comes in beside the nodes."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from gateway.errors import JournalFull
from gateway.journal import spool, store
from gateway.journal.store import DATABASE, DETECT, Journal
from gateway.records import Gap, Incident, Ledger, Mirrored, Pack, Status
from tests.gateway.conftest import NOW, make_letter, make_pack

Opener = Callable[..., Journal]
MIRROR = "mirror.cloud"


def pass_all(journal: Journal, *consumers: str) -> None:
    for consumer in consumers or (DATABASE, DETECT):
        while (span := journal.read(consumer, 7)).more:
            if consumer == DETECT:
                journal.detected(span.last, b"")
            else:
                journal.forwarded(consumer, span.last, len(span.packs))


def spoil(journal: Journal, number: int) -> None:
    """What a disk may do: one bit of a batch is another."""
    (body,) = journal._db.execute("SELECT body FROM batches WHERE number = ?", (number,)).fetchone()
    other = body[:-1] + bytes([body[-1] ^ 1])
    journal._db.execute("UPDATE batches SET body = ? WHERE number = ?", (other, number))


def test_a_mirror_has_its_own_place(open_journal: Opener) -> None:
    """It begins with what comes next, holds its packs as long as it needs them, and is no part of the ledger."""
    journal = open_journal()
    journal.commit([make_pack(0)], NOW)
    journal.mirrors([MIRROR])
    journal.commit([make_pack(1), make_pack(2)], NOW)
    pass_all(journal)
    journal.checkpoint()
    assert journal.read(MIRROR, 9) == (3, [make_pack(1), make_pack(2)], True)
    journal = open_journal()
    journal.mirrors([MIRROR])
    assert journal.read(MIRROR, 9).packs == [make_pack(1), make_pack(2)]
    assert journal.figures().mirrors == {MIRROR: Mirrored(waiting=2, refused=0, skipped=0)}
    journal.forwarded(MIRROR, 3, 1, [make_letter()])
    assert journal.figures().mirrors == {MIRROR: Mirrored(waiting=0, refused=1, skipped=0)}
    assert (journal.ledger(), journal.dead_letters(9)) == (Ledger(3, 3, 0, 0, 0, 0), [])
    assert journal.figures().bytes == 0


def test_a_mirror_that_goes_holds_nothing(journal: Journal) -> None:
    """Its place goes with it; one that comes again begins anew, for incidents too."""
    opened = Incident("a", "burst", "riverside", "water-1", "", "critical", NOW, None, "much water")
    journal.mirrors([MIRROR])
    journal.commit([make_pack(0)], NOW)
    journal.found(1, [opened])
    assert journal.incidents_for(MIRROR, 9) == [(1, opened)]
    pass_all(journal)
    journal.mirrors([])
    journal.commit([make_pack(1)], NOW)
    pass_all(journal)
    journal.checkpoint()
    assert journal.figures().bytes == 0
    journal.mirrors([MIRROR])
    assert (journal.read(MIRROR, 9).more, journal.incidents_for(MIRROR, 9)) == (False, [])


def test_a_full_journal_skips_mirrors_before_it_stops(journal: Journal) -> None:
    """A further database that is away must not stop the city. What it does not get is counted, and no more of it than
    the journal has no use for."""
    journal.mirrors([MIRROR])
    journal.commit([make_pack(seq) for seq in range(10)], NOW)
    journal.forwarded(DATABASE, 6, 6)
    journal.detected(8, b"")
    journal.bound(1)
    with pytest.raises(JournalFull):
        journal.commit([make_pack(10)], NOW)
    assert journal.figures().mirrors[MIRROR] == Mirrored(waiting=4, refused=0, skipped=6)
    assert [pack.seq for pack in journal.read(MIRROR, 99).packs] == [6, 7, 8, 9]
    pass_all(journal)
    assert journal.commit([make_pack(10)], NOW).packs == [make_pack(10)]
    assert journal.figures().mirrors[MIRROR] == Mirrored(waiting=1, refused=0, skipped=10)


def test_who_wrote_what_was_skipped_meanwhile_reads_again(journal: Journal) -> None:
    """A further database that answers while the full journal skips it, before its packs or into the middle of them."""
    journal.mirrors([MIRROR])
    journal.commit([make_pack(seq) for seq in range(10)], NOW)
    assert len(journal.read(MIRROR, 8).packs) == 8
    journal.forwarded(DATABASE, 6, 6)
    journal.detected(6, b"")
    journal.bound(1)
    with pytest.raises(JournalFull):
        journal.commit([make_pack(10)], NOW)
    for place in (4, 8):
        assert journal.forwarded(MIRROR, place, place) is False
    assert journal.figures().mirrors[MIRROR] == Mirrored(waiting=4, refused=0, skipped=6)
    assert [pack.seq for pack in journal.read(MIRROR, 99).packs] == [6, 7, 8, 9]
    assert journal.forwarded(MIRROR, 10, 4) is True


def test_a_spoilt_batch_is_a_dead_letter_and_its_neighbours_are_read(
    open_journal: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    """It stands for all of its packs that were not written yet; every consumer goes past it; the ledger balances."""
    journal = open_journal()
    for begin in (0, 10, 20):
        journal.commit([make_pack(seq) for seq in range(begin, begin + 10)], NOW)
    journal.detected(4, b"")
    journal.forwarded(DATABASE, 13, 13)
    spoil(journal, 2)
    journal = open_journal()
    seen = []
    while (span := journal.read(DATABASE, 4)).more:
        seen += [pack.seq for pack in span.packs]
        journal.forwarded(DATABASE, span.last, len(span.packs))
    assert seen == list(range(20, 30))
    judged = []
    while (span := journal.read(DETECT, 4)).more:
        judged += [pack.seq for pack in span.packs]
        journal.detected(span.last, b"")
    assert judged == [*range(4, 10), *range(20, 30)]
    assert journal.ledger() == Ledger(received=30, written=23, waiting=0, dead_letters=7, duplicates=0, gaps=0)
    ((_, letter),) = journal.dead_letters(9)
    assert (letter.reason, "packs 11 to 20" in letter.detail) == ("damaged", True)
    assert "cannot be read" in caplog.text
    journal.checkpoint()
    assert journal.figures().bytes == 0


def test_what_is_spoilt_while_it_is_written_is_counted_once(open_journal: Opener) -> None:
    """One consumer has read a batch, and is writing it, when another finds that the disk has lost it."""
    journal = open_journal()
    for begin in (0, 10):
        journal.commit([make_pack(seq) for seq in range(begin, begin + 10)], NOW)
    journal = open_journal()
    assert len(journal.read(DATABASE, 99).packs) == 20
    spoil(journal, 1)
    assert journal.read(DETECT, 99) == (10, [], True)
    assert journal.forwarded(DATABASE, 20, 20) is False
    assert journal.read(DATABASE, 99) == (10, [], True)
    pass_all(journal)
    assert journal.ledger() == Ledger(received=20, written=10, waiting=0, dead_letters=10, duplicates=0, gaps=0)


def test_memory_that_the_disk_did_not_give_back_is_not_believed(
    open_journal: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction fails, and so does the reading after it: what it had heard is not on the disk, and comes again."""
    journal = open_journal()
    journal.commit([make_pack(0)], NOW)
    monkeypatch.setattr(store, "Spool", _broken)
    journal._db.execute("CREATE TRIGGER torn BEFORE INSERT ON batches BEGIN SELECT RAISE(ABORT, 'torn'); END")
    with pytest.raises(sqlite3.Error, match="the disk is gone"):
        journal.commit([make_pack(1)], NOW)
    monkeypatch.undo()
    journal._db.execute("DROP TRIGGER torn")
    for write in (journal.checkpoint, journal.prove_writable, lambda: journal.commit([make_pack(2)], NOW)):
        with pytest.raises(sqlite3.Error, match="restart the gateway"):
            write()
    journal = open_journal()
    assert journal.commit([make_pack(1)], NOW).packs == [make_pack(1)]
    journal = open_journal()
    assert journal.commit([make_pack(1)], NOW).duplicates == 1
    assert journal.ledger() == Ledger(received=3, written=0, waiting=2, dead_letters=0, duplicates=1, gaps=0)


def _broken(*_: object) -> spool.Spool:
    raise sqlite3.OperationalError("the disk is gone")


def test_what_no_node_has_numbered_is_no_duplicate(open_journal: Opener) -> None:
    """It is counted and passed on, and says nothing of the node's own numbers, after a restart either."""
    journal = open_journal()
    journal.commit([make_pack(0)], NOW)
    old = [Pack.of("riverside", "air-0007", "telemetry", "air", -1, -1, NOW - 60, make_pack(0).readings)] * 2
    journal.take(old, [make_letter(b"row", "value")], NOW)
    for each in (journal, open_journal(read_only=True)):
        assert each.ledger() == Ledger(received=4, written=0, waiting=3, dead_letters=1, duplicates=0, gaps=0)
        assert (each.nodes()[0].packs, each.nodes()[0].boot) == (1, 1)
        assert each.read(DATABASE, 9).packs[1:] == old
    assert open_journal().commit([make_pack(0)], NOW).duplicates == 1


def test_a_dead_letter_comes_to_life(journal: Journal) -> None:
    """One that the gateway refused is heard now for the first time; one that the database refused was heard before.
    One that was numbered and sent again meanwhile is a duplicate. What is still bad is another letter."""
    journal.commit([make_letter(b"unit"), make_pack(1), make_letter(b"known")], NOW)
    journal.forwarded(DATABASE, 1, 0, [make_letter(b"line", "influx")])
    assert journal.ledger() == Ledger(received=3, written=0, waiting=0, dead_letters=3, duplicates=0, gaps=1)
    assert journal.revive([(1, [make_pack(0)]), (3, [make_pack(1)])], NOW) == 2
    assert journal.revive([(2, [make_pack(0), make_letter(b"part")]), (1, [make_pack(0)])], NOW) == 1
    assert journal.ledger() == Ledger(received=4, written=0, waiting=2, dead_letters=1, duplicates=1, gaps=0)
    assert journal.dead_letters(9) == [(4, make_letter(b"part"))]
    assert [pack.seq for pack in journal.read(DATABASE, 9).packs] == [0, 1]
    assert [number for number, _ in journal.dead_letters_after(0, 9, "json")] == [4]
    assert journal.dead_letters_after(0, 9, "influx") == []


def test_gaps_are_listed(journal: Journal) -> None:
    """Boot by boot, from the first number on."""
    journal.commit([make_pack(2), make_pack(3), make_pack(6), make_pack(0, boot=2), make_pack(1, boot=3)], NOW)
    assert journal.gaps("riverside", "air-0007") == [Gap(1, 0, 1), Gap(1, 4, 5), Gap(3, 0, 0)]
    assert journal.gaps("riverside", "air-0008") == []


CRASHER = """
import os, signal, sys
from pathlib import Path
from gateway.journal.store import Journal
from gateway.records import Status
from tests.gateway.conftest import NOW, make_pack
journal = Journal.open(Path(sys.argv[1]), 2**30)
for seq in range(0, 40, 4):
    words = [("riverside", "air-0009", Status(True, "air", boot=seq))]
    journal.commit([make_pack(seq), make_pack(seq + 1), make_pack(seq + 1), make_pack(seq + 3)], NOW + seq, words)
    if seq == 20:
        journal.checkpoint()
print(repr(journal.nodes()))
print(repr(journal.ledger()))
sys.stdout.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_known_of_nodes_is_heard_again_after_a_crash(tmp_path: Path) -> None:
    """The registry is saved now and then only; a start, and a look from outside, come to the very same."""
    writer = subprocess.run(
        [sys.executable, "-c", CRASHER, str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.curdir},
        check=False,
    )
    assert writer.returncode == -signal.SIGKILL, writer.stderr
    for read_only in (True, False):
        journal = Journal.open(tmp_path, 2**30, read_only=read_only)
        assert [repr(journal.nodes()), repr(journal.ledger())] == writer.stdout.splitlines()
        assert journal.nodes()[1].boot == -1
        assert journal._registry._records["riverside", "air-0009"].born == 36
        journal.close()


@pytest.mark.parametrize("seed", range(3))
def test_nodes_are_saved_a_few_at_a_time(open_journal: Opener, tmp_path: Path, seed: int) -> None:
    """The disk never has two of the same moment, and yet a look from outside comes to the very same as the journal:
    what a node has had is not heard again, and what it lacks is. Batches go when all nodes have had them."""
    journal = open_journal()
    dice = Random(seed)
    seqs = dict.fromkeys("abcdefgh", 0)
    for step in range(60):
        chosen = dice.sample(sorted(seqs), 3)
        packs = []
        for name in chosen:
            seqs[name] += dice.randrange(1, 3)
            packs.append(make_pack(seqs[name], node=name))
        journal.commit([*packs, packs[0]], NOW + step, [("riverside", chosen[0], Status(True, "air", boot=step))])
        if dice.random() < 0.7:
            journal.checkpoint(2)
        if dice.random() < 0.3:
            pass_all(journal)
        beside = open_journal(read_only=True)
        assert (beside.nodes(), beside.ledger()) == (journal.nodes(), journal.ledger())
        assert [beside.gaps("riverside", name) for name in seqs] == [journal.gaps("riverside", name) for name in seqs]
        beside.close()
    pass_all(journal)
    for _ in range(4):
        journal.checkpoint(2)
    assert journal.figures().bytes == 0


def test_reading_from_the_disk_reads_each_batch_once(open_journal: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """A consumer that is behind asks for less than a batch at a time."""
    journal = open_journal()
    journal.commit([make_pack(seq) for seq in range(50)], NOW)
    journal = open_journal()
    asked = []
    usual = spool.Spool._from_disk
    monkeypatch.setattr(spool.Spool, "_from_disk", lambda self, place: asked.append(place) or usual(self, place))
    pass_all(journal)
    assert asked == [0, 0], "once for each consumer"
