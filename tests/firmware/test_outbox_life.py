"""The outbox in any order of events, over boots, full flash and unknown clocks, against a model of what became of what.

What the model knows of the flash it reads from the flash; all the rest is counted from outside.
"""

import os
import shutil
from dataclasses import dataclass, field
from tempfile import mkdtemp
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.firmware.importer import load, ticks_add

outbox_module = load("node.outbox")
store_module = load("node.store")
message = load("node.pack").message

LINGER_MS = outbox_module._LINGER_MS
EPOCH_2000 = 946_684_800
BEGIN = 1_795_430_400
FILE_MAX = 2048
BLOCK = 1024
"""Of the flash that may be full: a file takes whole ones."""

Key = tuple[int, int]
"""(boot, seq)."""


@dataclass
class Made:
    """A pack, and what may be known of it."""

    key: Key
    era: int
    time: int
    stamped: bool
    stream: str
    body: bytes


@dataclass
class Sent:
    """A message that was published on this connection."""

    number: int
    keys: list[Key]
    acked_at: int | None = None


@dataclass
class Life:
    """What a node has made, and what became of it."""

    made: list[Made] = field(default_factory=list)
    done: set[Key] = field(default_factory=set)
    """Acknowledged and forgotten by some boot."""
    gone: set[Key] = field(default_factory=set)
    """Dropped, skipped, or in RAM when power went."""
    learnt: set[int] = field(default_factory=set)
    """Eras whose time later boots can know."""
    first_sent: list[Key] = field(default_factory=list)


class AnyLife(RuleBasedStateMachine):
    @initialize(
        stored=st.booleans(),
        window=st.integers(1, 4),
        most=st.sampled_from([9000, 2000, 0]),
        files=st.sampled_from([5, 2]),
        known=st.booleans(),
    )
    def begin(self, stored: bool, window: int, most: int, files: int, known: bool) -> None:
        self.folder = mkdtemp() if stored else None
        self.window, self.most, self.files = window, most, files
        self.ms = 0
        self.filled = 0
        """Blocks of the flash that something else takes."""
        self.broken = False
        self.life = Life()
        self.boot = self.era = 0
        self.offset = 0
        outbox_module.ticks_ms = lambda: ticks_add(self.ms, (1 << 30) - 60_000)
        store_module.open = self.open
        store_module._FILE_MAX = FILE_MAX
        self.power_on(known)

    def teardown(self) -> None:
        store_module.__dict__.pop("open", None)
        store_module._FILE_MAX = 8192
        if getattr(self, "folder", None):
            shutil.rmtree(self.folder)

    # The flash.

    def open(self, path: str, mode: str) -> Any:
        """littlefs takes a write whole or not at all."""
        if mode == "rb":
            return open(path, mode)
        if self.broken:
            raise OSError(5, "broken")
        others = [each for each in os.scandir(self.folder) if each.name != os.path.basename(path)]
        taken = self.filled + sum(-(-each.stat().st_size // BLOCK) for each in others)
        if taken + 2 > 2 * self.files + 1:
            raise OSError(28, "full")
        return open(path, mode)

    def on_flash(self) -> list[Key]:
        """In the order of the log."""
        if not self.folder:
            return []
        store = store_module.Store(self.folder)
        found, at = [], store.begin()
        while True:
            record, at = store.read(at)
            if record is None:
                return found
            found.append((record[0], record[2]))

    # The model.

    def known_time(self) -> int:
        return BEGIN + self.ms // 1000

    def start(self) -> None:
        self.boot += 1
        store = store_module.Store(self.folder, self.files * FILE_MAX) if self.folder else None
        self.outbox = outbox_module.Outbox(self.boot, self.era, store, self.window, self.most)
        self.hurried = self.outbox.put, self.outbox.shed, self.outbox.settle
        self.sent: list[Sent] = []
        self.forgotten: set[Key] = set()
        """Acknowledged and forgotten by this boot."""
        self.published: set[Key] = set()
        present = self.on_flash()
        assert len(self.outbox) == len(present), "the store counts what it has"
        # What an earlier boot was done with is there again, until its file goes.
        self.life.gone -= set(present)
        self.life.done -= set(present)
        if self.offset is not None:
            self.happens(self.outbox.learn, self.offset)

    def power_on(self, known: bool) -> None:
        """A clock with a battery, or one that begins in 2000."""
        self.era = self.boot + 1
        self.began = 0 if known else self.known_time() - EPOCH_2000
        self.offset: int | None = 0 if known else None
        self.start()
        self.note_learnt()

    def note_learnt(self) -> None:
        if self.offset is not None and not self.outbox._untold:
            self.life.learnt.add(self.era)

    def ram(self) -> list[Key]:
        return [(self.boot, pack.seq) for pack in self.outbox._fresh]

    def acked_now(self) -> set[Key]:
        """Of this connection's messages, and what this boot has forgotten."""
        lingering = {key for each in self.sent if each.acked_at is not None for key in each.keys}
        return lingering | self.forgotten

    def happens(self, action: Any, *arguments: Any, skipped: int = 0, made: Key | None = None) -> Any:
        """Let something happen, and see that what is gone for it is acknowledged, or counted as dropped."""
        flash, ram = set(self.on_flash()), set(self.ram())
        before = flash | ram
        dropped = self.outbox.dropped
        result = action(*arguments)
        before |= {made} if made else set()
        vanished = before - set(self.on_flash()) - set(self.ram())
        acked = self.acked_now()
        lost = vanished - acked - self.life.gone
        # What still lingers goes early only for want of room, which a broken flash may want in vain.
        early = (vanished & acked) - self.forgotten
        short = set(self.on_flash()) - flash if early & flash else action in self.hurried
        assert not early or short or self.filled or self.broken, early
        self.life.gone |= lost
        self.life.done |= vanished & acked
        self.forgotten |= vanished & acked
        assert self.outbox.dropped - dropped == len(lost) + skipped, (lost, vanished)
        # A message of which nothing is left is nobody's.
        left = [each.number for each in self.outbox._sent]
        for each in self.sent:
            assert each.number in left or (self.life.gone | self.life.done).issuperset(each.keys)
        self.sent = [each for each in self.sent if each.number in left]
        return result

    # What may happen.

    @rule(
        lengths=st.lists(st.sampled_from([0, 100, 400, 900, 1500]), min_size=1, max_size=4),
        stream=st.sampled_from(["telemetry", "telemetry", "event"]),
    )
    def put(self, lengths: list[int], stream: str) -> None:
        for length in lengths:
            known = self.offset is not None
            key = (self.boot, self.outbox.seq)
            body = f"{key} ".encode().ljust(length, b"x")
            self.life.made.append(Made(key, self.era, self.known_time(), known, stream, body))
            said = self.known_time() - (0 if known else self.began)
            self.happens(self.outbox.put, said, stream, body.decode(), made=key)

    @rule(ms=st.sampled_from([10, 1000, 4000, 5001, 10_001, 200_000]))
    def time_passes(self, ms: int) -> None:
        self.ms += ms
        self.forget()
        self.happens(self.outbox.keep)
        self.note_learnt()

    @rule(merge=st.booleans(), most=st.integers(1, 5))
    def publish(self, merge: bool, most: int) -> None:
        self.outbox.online = True
        for _ in range(most):
            if not self.publish_one(merge):
                break

    def publish_one(self, merge: bool) -> bool:
        in_flight = sum(each.acked_at is None for each in self.sent)
        busy = {key for each in self.sent for key in each.keys}
        candidates = [each for each in self.waiting() if each.key not in busy]
        skipped = 0
        if not self.sent:
            # What nobody can say the time of is dropped when all before it is safe.
            while candidates and self.can_be_stamped(candidates[0]) is None:
                self.life.gone.add(candidates.pop(0).key)
                skipped += 1
        found = self.happens(self.outbox.next, merge, skipped=skipped)
        if in_flight >= self.window or not candidates or not self.can_be_stamped(candidates[0]):
            assert found is None
            return False
        assert found is not None
        assert found.number not in [each.number for each in self.sent if each.acked_at is None]
        packs = [(boot, seq) for boot, seq, _, _ in found.packs]
        expected = candidates[: len(packs)]
        assert packs == [each.key for each in expected], "out of order"
        assert {each.stream for each in expected} == {found.stream}
        for (_, _, time, body), each in zip(found.packs, expected, strict=True):
            assert (time, body) == (each.time, each.body)
        assert len(packs) == 1 or (merge and len(message("s" * 32, "n" * 32, found.packs)) <= 4096)
        assert found.dup == (packs[0] in self.published)
        self.outbox.published(found)
        self.sent.append(Sent(found.number, packs))
        self.published |= {key for key in packs if key[0] == self.boot}
        self.life.first_sent += [key for key in packs if key not in self.life.first_sent]
        return True

    def can_be_stamped(self, pack: Made) -> bool | None:
        """None: it never can."""
        if pack.stamped or pack.era in self.life.learnt:
            return True
        if pack.era == self.era:
            return self.offset is not None
        return None

    def waiting(self) -> list[Made]:
        """What this boot has to send, in the order in which it was made."""
        present = set(self.on_flash()) | set(self.ram())
        return [
            each for each in self.life.made if each.key in present and each.key not in self.forgotten | self.life.gone
        ]

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        """Any that was sent; of one that was acknowledged before it is nobody's."""
        self.take(data.draw(st.sampled_from(self.sent)).number)

    @precondition(lambda self: self.sent)
    @rule()
    def acknowledge_all(self) -> None:
        for number in [each.number for each in self.sent]:
            self.take(number)

    def take(self, number: int) -> None:
        for each in self.sent:
            if each.number == number and each.acked_at is None:
                each.acked_at = self.ms
                each.keys = [key for key in each.keys if key not in self.life.gone]
                self.forget()
                break
        self.happens(self.outbox.acknowledged, number)

    def forget(self) -> None:
        """In their order, and before anything is moved or dropped."""
        while self.sent and self.sent[0].acked_at is not None:
            if self.ms - self.sent[0].acked_at <= LINGER_MS and len(self.sent) <= outbox_module._LINGERING:
                break
            self.forgotten |= set(self.sent.pop(0).keys)

    @precondition(lambda self: self.outbox.online)
    @rule()
    def disconnect(self) -> None:
        self.sent = []
        self.happens(self.outbox.disconnected)
        assert not self.outbox.online

    @precondition(lambda self: self.offset is None)
    @rule()
    def learn(self) -> None:
        self.offset = self.began
        self.happens(self.outbox.learn, self.offset)
        self.note_learnt()

    @rule(blocks=st.sampled_from([0, 0, 1, 4]), broken=st.sampled_from([False, False, True]), shed=st.booleans())
    def trouble(self, blocks: int, broken: bool, shed: bool) -> None:
        """Something else fills the flash, or it breaks, or that is over; and the heap may be full."""
        self.filled, self.broken = blocks, broken
        if shed:
            self.happens(self.outbox.shed)

    @rule(planned=st.booleans(), power=st.booleans(), known=st.booleans())
    def boot_anew(self, planned: bool, power: bool, known: bool) -> None:
        if planned:
            settled = self.happens(self.outbox.settle)
            assert settled == (not self.ram())
        acked = self.acked_now()
        lost = [key for key in self.ram() if key not in acked]
        self.life.gone |= set(lost)
        self.life.done |= {key for key in self.ram() if key in acked}
        if power:
            self.power_on(known)
        else:
            self.start()
            self.note_learnt()

    # What must always be.

    @invariant()
    def nothing_is_lost(self) -> None:
        """Every pack is waiting, acknowledged, or counted as dropped: never none of them, never two."""
        outbox = self.outbox
        present = set(self.on_flash()) | set(self.ram())
        acked = {key for each in self.sent if each.acked_at is not None for key in each.keys} | self.forgotten
        assert len(outbox) == len(present - acked - self.life.gone)
        assert outbox.acked == len([key for key in acked if key[0] == self.boot])
        for each in self.life.made:
            assert each.key in present | self.life.gone | self.life.done | self.forgotten

    @invariant()
    def bounds_are_kept(self) -> None:
        assert sum(each.acked_at is None for each in self.sent) <= self.window
        sizes = [pack.size() for pack in self.outbox._fresh]
        assert sum(sizes) <= self.most or len(sizes) == 1
        assert sum(sizes) == self.outbox._bytes
        if self.folder:
            assert len(os.listdir(self.folder)) <= self.files + 1

    @invariant()
    def the_log_is_in_order(self) -> None:
        """Of making: on flash, then in RAM; and so is what went out for the first time."""
        order = {each.key: n for n, each in enumerate(self.life.made)}
        for keys in (self.on_flash() + self.ram(), self.life.first_sent):
            places = [order[key] for key in keys]
            assert places == sorted(set(places))


class TestAnyLife(AnyLife.TestCase):
    """A few dozen in some seconds. A failure is told as it came: making it small takes minutes, and `soak` does it."""

    settings = settings(max_examples=60, stateful_step_count=40, phases=[Phase.reuse, Phase.generate])


@pytest.mark.soak
@pytest.mark.timeout(1800)
class TestManyLives(AnyLife.TestCase):
    """Until a rare order of events has had its chance."""

    settings = settings(max_examples=1500, stateful_step_count=80)
