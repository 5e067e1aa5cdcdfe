"""The outbox: no pack goes but acknowledged or counted, and packs leave in order."""

import os
import shutil
from collections.abc import Iterator
from tempfile import mkdtemp
from typing import Any

import pytest

from tests.firmware.importer import load, ticks_add

outbox_module = load("node.outbox")
store_module = load("node.store")
Outbox, packet_id = outbox_module.Outbox, outbox_module.packet_id
message = load("node.pack").message
Store = store_module.Store

NOW = 1_795_430_400
"""A time that is known."""

EARLY = 946_684_860
"""What a clock says that was never set."""

LINGER_MS = outbox_module._LINGER_MS
KEEP_MS = outbox_module._KEEP_MS


class Ticks:
    """The board's milliseconds, moved by the test alone; near their wrap."""

    def __init__(self) -> None:
        self.ms = (1 << 30) - 15_000

    def __call__(self) -> int:
        return self.ms

    def go(self, ms: int) -> None:
        self.ms = ticks_add(self.ms, ms)


@pytest.fixture(autouse=True)
def ticks(monkeypatch: pytest.MonkeyPatch) -> Ticks:
    clock = Ticks()
    monkeypatch.setattr(outbox_module, "ticks_ms", clock)
    return clock


@pytest.fixture
def folder() -> Iterator[str]:
    path = mkdtemp()
    yield path
    shutil.rmtree(path)


def filled(packs: int, *, online: bool = True, **settings: Any) -> Any:
    """An outbox into which `packs` packs were put, a minute apart."""
    outbox = Outbox(**settings)
    outbox.online = online
    for n in range(packs):
        outbox.put(NOW + 60 * n, "telemetry", f"body {n}")
    return outbox


def publish(outbox: Any, most: int = 99, *, merge: bool = False) -> list[tuple[list[int], bool]]:
    """(seqs, dup) of all messages that may be sent now."""
    sent: list[tuple[list[int], bool]] = []
    outbox.online = True
    while len(sent) < most and (found := outbox.next(merge)) is not None:
        for _, seq, time, body in found.packs:
            assert (time, body) == (NOW + 60 * seq, b"body %d" % seq)
        sent.append(([pack[1] for pack in found.packs], found.dup))
        outbox.published(found)
    return sent


def singles(*seqs: int, dup: bool = False) -> list[tuple[list[int], bool]]:
    return [([seq], dup) for seq in seqs]


def figures(outbox: Any) -> tuple[int, int, int]:
    """(waiting, acknowledged, dropped)."""
    return len(outbox), outbox.acked, outbox.dropped


def test_packs_leave_in_order_within_the_window() -> None:
    """One more may go for each that is acknowledged, in whatever order that happens."""
    outbox = filled(6, window=3)
    assert publish(outbox) == singles(0, 1, 2)
    outbox.acknowledged(packet_id(1))
    assert publish(outbox) == singles(3)
    outbox.acknowledged(packet_id(0))
    outbox.acknowledged(packet_id(2))
    assert publish(outbox) == singles(4, 5)
    assert figures(outbox) == (3, 3, 0)


def test_what_was_published_goes_again_as_a_duplicate() -> None:
    """With its packet id of before; what was never published goes as new."""
    outbox = filled(5, window=3)
    publish(outbox)
    outbox.disconnected()
    assert publish(outbox) == singles(0, 1, 2, dup=True)
    for number in (1, 2, 3):
        outbox.acknowledged(number)
    assert publish(outbox) == singles(3, 4)


def test_an_acknowledged_pack_lingers(ticks: Ticks) -> None:
    """A broker that dies takes with it what it acknowledged last: it goes again, unless that is long ago."""
    outbox = filled(4)
    publish(outbox)
    outbox.acknowledged(packet_id(0))
    ticks.go(LINGER_MS // 2)
    outbox.acknowledged(packet_id(1))
    ticks.go(LINGER_MS // 2 + 1)
    outbox.keep()
    assert figures(outbox) == (2, 2, 0)
    outbox.disconnected()
    assert figures(outbox) == (3, 1, 0)
    assert publish(outbox) == singles(1, 2, 3, dup=True)


def test_what_lingers_behind_an_unacknowledged_one_waits_for_it(ticks: Ticks) -> None:
    """It is not forgotten before what is older."""
    outbox = filled(3)
    publish(outbox)
    outbox.acknowledged(packet_id(1))
    ticks.go(LINGER_MS + 1)
    outbox.keep()
    outbox.acknowledged(packet_id(0))
    ticks.go(LINGER_MS + 1)
    outbox.keep()
    outbox.disconnected()
    assert publish(outbox) == singles(2, dup=True)


@pytest.mark.parametrize("with_store", [False, True])
def test_merged_packs_are_a_message(with_store: bool, folder: str, ticks: Ticks) -> None:
    """As many as fit, of one stream; acknowledged, forgotten and sent again together."""
    outbox = Outbox(store=Store(folder) if with_store else None, max_bytes=99_999)
    for seq in range(5):
        outbox.put(NOW + 60 * seq, "health" if seq == 3 else "telemetry", "x" * 1000)
    outbox.online = True
    found = outbox.next(True)
    assert [pack[1] for pack in found.packs] == [0, 1, 2], "three of 1160 bytes"
    outbox.published(found)
    alone = outbox.next(True)
    assert ([pack[1] for pack in alone.packs], alone.stream) == ([3], "health")
    outbox.published(alone)
    outbox.acknowledged(found.number)
    assert figures(outbox) == (2, 3, 0)
    outbox.disconnected()
    again = outbox.next(True)
    assert ([pack[1] for pack in again.packs], again.dup, again.number) == ([0, 1, 2], True, found.number)
    outbox.published(again)
    outbox.acknowledged(again.number)
    ticks.go(LINGER_MS + 1)
    outbox.keep()
    outbox.disconnected()
    assert [pack[1] for pack in outbox.next(True).packs] == [3]
    assert figures(outbox) == (2, 3, 0)


def test_a_message_that_is_half_on_flash(folder: str, ticks: Ticks) -> None:
    """Its first pack was kept while it was on its way: all of it is acknowledged, forgotten and never sent again."""
    outbox = Outbox(store=Store(folder))
    outbox.online = True
    outbox.put(NOW, "telemetry", "body 0")
    ticks.go(KEEP_MS // 2)
    outbox.put(NOW + 60, "telemetry", "body 1")
    assert publish(outbox, merge=True) == [([0, 1], False)]
    ticks.go(KEEP_MS // 2 + 1)
    outbox.keep()
    assert len(outbox._fresh) == 1
    outbox.acknowledged(packet_id(0))
    assert figures(outbox) == (0, 2, 0)
    ticks.go(LINGER_MS + 1)
    outbox.keep()
    outbox.disconnected()
    assert (outbox.next(), figures(outbox)) == (None, (0, 2, 0))
    assert Outbox(2, store=Store(folder)).next() is None


def test_packs_go_to_flash_when_it_is_time(folder: str, ticks: Ticks) -> None:
    """At once without a connection, after some seconds with one: an outbox that empties itself never writes."""
    store = Store(folder)
    outbox = filled(1, store=store)
    publish(outbox)
    outbox.acknowledged(packet_id(0))
    for _ in range(20):
        ticks.go(1000)
        outbox.keep()
    assert (store.packs, store.end()) == (0, (1, 0)), "flash was written"
    outbox.put(NOW + 60, "telemetry", "body 1")
    publish(outbox)
    ticks.go(KEEP_MS)
    outbox.keep()
    assert store.packs == 0
    ticks.go(1)
    outbox.keep()
    assert store.packs == 1
    outbox.acknowledged(packet_id(1))
    assert figures(outbox) == (0, 2, 0)
    outbox.disconnected()
    outbox.put(NOW + 120, "telemetry", "body 2")
    assert store.packs == 2
    assert publish(outbox) == [([1], True), ([2], False)]


def test_what_goes_to_flash_while_it_is_on_its_way_is_not_sent_twice(folder: str, ticks: Ticks) -> None:
    """Only on the next connection."""
    outbox = filled(3, store=Store(folder))
    assert publish(outbox, most=2) == singles(0, 1)
    ticks.go(KEEP_MS + 1)
    outbox.keep()
    assert not outbox._fresh
    assert publish(outbox) == singles(2)
    outbox.disconnected()
    assert publish(outbox) == singles(0, 1, 2, dup=True)


def test_a_message_is_all_of_flash_or_all_of_ram(folder: str) -> None:
    """What happens to one of its packs happens to all."""
    outbox = filled(2, online=False, store=Store(folder))
    outbox.online = True
    for n in (2, 3):
        outbox.put(NOW + 60 * n, "telemetry", f"body {n}")
    assert publish(outbox, merge=True) == [([0, 1], False), ([2, 3], False)]


def test_the_next_boot_sends_what_this_one_did_not(folder: str, ticks: Ticks) -> None:
    """First, in its order, with its own boot, not as duplicates; what was acknowledged and lingered is gone."""
    first = filled(5, online=False, boot=7, store=Store(folder))
    publish(first, most=3)
    for number in (1, 2):
        first.acknowledged(number)
    ticks.go(LINGER_MS + 1)
    first.keep()
    outbox = Outbox(8, 7, Store(folder))
    assert len(outbox) == 5, "one file, which goes as a whole"
    outbox.put(NOW, "event", "body 0")
    outbox.online = True
    found = []
    while sent := outbox.next():
        outbox.published(sent)
        found.append((sent.packs[0], sent.stream, sent.dup))
        outbox.acknowledged(sent.number)
    assert found == [((7, n), "telemetry", False) for n in range(5)] + [((8, 0), "event", False)]
    assert figures(outbox) == (0, 1, 0), "acknowledged are counted those of this boot"
    assert outbox.acks == 6


def test_before_a_planned_restart_what_lingers_is_kept_too(folder: str) -> None:
    """A broker that dies with what it has just acknowledged is no reason to lose a pack: it goes again."""
    before = filled(3, store=Store(folder))
    published = before.next()
    before.published(published)
    before.acknowledged(published.number)
    assert before.acked == 1
    before.disconnected()
    assert before.settle()
    assert publish(Outbox(2, 1, Store(folder)), merge=True) == [([0, 1, 2], False)]


def test_what_the_boot_before_left_is_gone_once_it_is_acknowledged(folder: str, ticks: Ticks) -> None:
    """Also the file that boot wrote last, and behind its packs what was learnt: no boot sends it again."""
    first = Outbox(1, 1, Store(folder))
    first.put(EARLY, "telemetry", "x")
    first.learn(NOW - EARLY)
    for boot in (2, 3):
        outbox = Outbox(boot, boot, Store(folder))
        outbox.online = True
        found = outbox.next()
        if boot == 3:
            assert (found, len(outbox)) == (None, 0)
            break
        assert found.packs == [(1, 0, NOW, b"x")]
        outbox.published(found)
        outbox.acknowledged(found.number)
        ticks.go(LINGER_MS + 1)
        outbox.keep()
        assert len(outbox) == 0


# Time.


def test_packs_wait_for_the_time(folder: str) -> None:
    """And with them what is behind; then each is stamped by what is to add, the same each time it goes."""
    for store in (None, Store(folder)):
        outbox = Outbox(1, 1, store)
        outbox.put(EARLY, "telemetry", "a")
        outbox.put(NOW, "health", "b")
        outbox.online = True
        outbox.put(EARLY + 60, "event", "c")
        assert outbox.next() is None
        outbox.learn(NOW - EARLY)
        for dup in (False, True):
            for seq, time in enumerate((NOW, NOW, NOW + 60)):
                found = outbox.next()
                assert (found.packs[0][1:3], found.dup) == ((seq, time), dup)
                outbox.published(found)
            outbox.disconnected()
            outbox.online = True


def test_what_was_learnt_outlives_a_loss_of_power(folder: str) -> None:
    """A pack of an era whose time was known is stamped; one of an era that ended before is counted, and dropped."""
    known = Outbox(1, 1, Store(folder))
    known.put(EARLY, "telemetry", "a")
    known.learn(NOW - EARLY)
    unknown = Outbox(2, 2, Store(folder))
    unknown.put(EARLY, "telemetry", "b")
    unknown.put(EARLY + 60, "telemetry", "c")
    outbox = Outbox(3, 3, Store(folder))
    outbox.put(NOW + 3600, "telemetry", "d")
    outbox.online = True
    first = outbox.next(True)
    assert first.packs == [(1, 0, NOW, b"a")]
    outbox.published(first)
    assert outbox.next(True) is None, "what cannot be sent is dropped only when all before it is safe"
    outbox.acknowledged(first.number)
    outbox_module.ticks_ms.go(LINGER_MS + 1)
    outbox.keep()
    assert outbox.next(True).packs == [(3, 0, NOW + 3600, b"d")]
    assert (outbox.dropped, len(outbox)) == (2, 1)


def test_a_reset_is_not_a_new_era(folder: str) -> None:
    """The clock went on: what an earlier boot measured is stamped by what this one learns."""
    Outbox(1, 1, Store(folder)).put(EARLY, "telemetry", "a")
    outbox = Outbox(2, 1, Store(folder))
    outbox.online = True
    assert outbox.next() is None
    outbox.learn(NOW - EARLY)
    assert outbox.next().packs == [(1, 0, NOW, b"a")]


def test_a_pack_that_goes_to_flash_after_the_time_was_learnt(folder: str, ticks: Ticks) -> None:
    """It was in RAM when that was told, and is stamped all the same in the next era."""
    outbox = Outbox(1, 1, Store(folder))
    outbox.online = True
    outbox.put(EARLY, "telemetry", "a")
    outbox.learn(NOW - EARLY)
    ticks.go(KEEP_MS + 1)
    outbox.keep()
    later = Outbox(2, 2, Store(folder))
    later.online = True
    assert later.next().packs == [(1, 0, NOW, b"a")]


def test_no_pack_is_ever_of_the_year_2000() -> None:
    """One that cannot be stamped to something believable is dropped, counted, and in nobody's way; on flash or not."""
    outbox = Outbox(1, 1)
    outbox.put(EARLY, "telemetry", "a")
    outbox.put(NOW, "telemetry", "b")
    outbox.learn(0)
    outbox.online = True
    assert outbox.next().packs == [(1, 1, NOW, b"b")]
    assert figures(outbox) == (1, 0, 1)


# Bounds.


def test_a_message_has_room_for_the_longest_names() -> None:
    """At most 4096 bytes on the wire, whatever site, node and numbers are."""
    outbox = Outbox(boot=(1 << 31) - 1, max_bytes=99_999)
    outbox.online = True
    outbox.seq = (1 << 31) - 9
    for length in (1500, 1500, 1096 - 3 * 140, 1):
        outbox.put(NOW, "telemetry", "x" * length)
    found = outbox.next(True)
    assert len(found.packs) == 2
    whole = message("s" * 32, "n" * 32, [*found.packs, *found.packs[:1]])
    assert len(whole) - 3 * 1500 <= 3 * outbox_module.HEAD_MAX


def test_what_was_learnt_keeps_to_the_bound_too(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A board that loses its power again and again writes no more than the store may take."""
    monkeypatch.setattr(store_module, "_FILE_MAX", 256)
    for boot in range(1, 9):
        outbox = Outbox(boot, boot, Store(folder, 1))
        outbox.put(EARLY, "telemetry", "x" * (256 - 25))
        outbox.learn(NOW - EARLY)
        assert len(os.listdir(folder)) <= 2
    outbox = Outbox(9, 9, Store(folder, 1))
    outbox.put(NOW, "telemetry", "x")
    outbox.learn(0)
    assert Store(folder, 1).eras == {8: NOW - EARLY}, "what nobody waits for is not written"


@pytest.mark.parametrize("with_store", [False, True])
def test_at_the_bound_of_bytes_as_many_go_as_it_takes(with_store: bool, folder: str) -> None:
    """To flash if there is one; a large pack costs several small ones; one that alone is too large is kept, alone."""
    store = Store(folder) if with_store else None
    outbox = Outbox(store=store, max_bytes=10 * (outbox_module._OVERHEAD + 100))
    outbox.online = True

    def gone() -> int:
        return int(store.packs) if store else int(outbox.dropped)

    for n in range(10):
        outbox.put(NOW + 60 * n, "telemetry", 100 * "x")
    assert (len(outbox._fresh), gone()) == (10, 0)
    outbox.put(NOW + 600, "telemetry", 101 * "x")
    assert (len(outbox._fresh), gone()) == (9, 2)
    outbox.put(NOW + 660, "telemetry", 7999 * "x")
    assert (len(outbox._fresh), gone()) == (1, 11)
    outbox.put(NOW + 720, "telemetry", "x")
    assert (len(outbox._fresh), gone()) == (1, 12)
    assert len(outbox) == (13 if with_store else 1)
    assert outbox.next().packs[0][1] == (0 if with_store else 12)


@pytest.mark.parametrize("with_store", [False, True])
def test_shedding_frees_the_older_half(with_store: bool, folder: str) -> None:
    """Onto flash, or counted, sent or not; of one pack it is that one, of none it is none."""
    outbox = filled(5, store=Store(folder) if with_store else None)
    publish(outbox, most=2)
    for left in (2, 1, 0, 0):
        outbox.shed()
        assert len(outbox._fresh) == left
    assert figures(outbox) == ((5, 0, 0) if with_store else (0, 0, 5))
    outbox.disconnected()
    assert publish(outbox) == (singles(0, 1, dup=True) + singles(2, 3, 4) if with_store else [])


def test_a_full_store_drops_its_oldest_file_and_counts(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exactly what nobody acknowledged, in whatever order the others were."""
    monkeypatch.setattr(store_module, "_FILE_MAX", 256)
    outbox = filled(12, online=False, store=Store(folder, 1), window=4)
    per_file = 256 // (25 + 6)
    assert (len(outbox), outbox.dropped) == (12, 0)
    assert publish(outbox) == singles(0, 1, 2, 3)
    outbox.acknowledged(packet_id(3))
    outbox.acknowledged(packet_id(1))
    outbox.disconnected()
    publish(outbox)
    outbox.acknowledged(packet_id(3))
    outbox.acknowledged(packet_id(1))
    outbox.put(NOW + 720, "telemetry", "x" * 200)
    assert outbox.settle()
    assert figures(outbox) == (13 - per_file, 2, per_file - 2)
    outbox.acknowledged(packet_id(0))
    assert figures(outbox) == (13 - per_file, 2, per_file - 2), "what was dropped is nobody's any more"
    assert publish(outbox, most=1) == singles(per_file)


@pytest.mark.parametrize(("errno", "dropped"), [(28, 5), (5, 0)])
def test_a_flash_that_takes_nothing(folder: str, monkeypatch: pytest.MonkeyPatch, errno: int, dropped: int) -> None:
    """Full of something else it costs the oldest packs; broken it costs none. RAM goes on, within its bound."""
    outbox = filled(5, online=False, store=Store(folder), max_bytes=4 * (outbox_module._OVERHEAD + 7))

    def refuse(path: str, mode: str) -> Any:
        if mode == "rb":
            return open(path, mode)
        raise OSError(errno, "no")

    monkeypatch.setattr(store_module, "open", refuse, raising=False)
    for n in range(5, 12):
        outbox.put(NOW + 60 * n, "telemetry", f"body {n}")
    assert outbox.trouble.errno == errno
    assert (len(outbox._fresh), outbox.dropped) == (4, dropped + 3)
    assert not outbox.settle()
    monkeypatch.undo()
    outbox_module.ticks_ms = lambda: 0
    assert outbox.settle()
    assert outbox.trouble is None
    left = [] if dropped else [0, 1, 2, 3, 4]
    assert [seqs for seqs, _ in publish(outbox, merge=True)] == [[*left, 8, 9, 10, 11]]


def test_a_flash_full_of_something_else_costs_two_files_and_no_more(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it lasts; when there is room again all goes on, and the next time it may cost as much."""
    monkeypatch.setattr(store_module, "_FILE_MAX", 256)
    outbox = filled(80, online=False, store=Store(folder))
    files = len(os.listdir(folder))
    assert files > 8

    def refuse(path: str, mode: str) -> Any:
        if mode == "rb":
            return open(path, mode)
        raise OSError(28, "full")

    for n in (1, 2):
        with monkeypatch.context() as patched:
            patched.setattr(store_module, "open", refuse, raising=False)
            for k in range(5):
                outbox.put(NOW + 6000 * n + 60 * k, "telemetry", "more")
                assert not outbox.settle()
        left = files - len(os.listdir(folder))
        assert left == 2
        assert outbox.settle()
        files = len(os.listdir(folder))


def test_a_flash_that_cannot_even_remove(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told as trouble, and neither raises nor goes on for ever."""
    outbox = filled(3, online=False, store=Store(folder))

    def refuse(path: str, *_: str) -> Any:
        raise OSError(28, "full")

    monkeypatch.setattr(store_module, "open", refuse, raising=False)
    monkeypatch.setattr(store_module.os, "remove", refuse)
    outbox.put(NOW + 180, "telemetry", "body 3")
    assert figures(outbox) == (4, 0, 0)
    assert not outbox.settle()


def test_a_heap_too_full_for_a_file(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is lost but what is shed, and the log is whole."""
    outbox = filled(3, online=False, store=Store(folder))

    def refuse(path: str, *_: str) -> Any:
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(store_module, "open", refuse, raising=False)
        outbox.put(NOW + 180, "telemetry", "body 3")
        outbox.put(NOW + 240, "telemetry", "body 4")
        assert figures(outbox) == (5, 0, 0)
        outbox.shed()
        assert figures(outbox) == (4, 0, 1)
    outbox.settle()
    assert publish(outbox) == singles(0, 1, 2, 4)


def test_what_was_learnt_is_written_when_the_flash_takes_it(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was full at that moment: it is tried again."""
    outbox = Outbox(1, 1, Store(folder))
    outbox.put(EARLY, "telemetry", "a")

    def refuse(path: str, mode: str) -> Any:
        raise OSError(28, "full")

    with monkeypatch.context() as patched:
        patched.setattr(store_module, "open", refuse, raising=False)
        outbox.learn(NOW - EARLY)
        outbox.keep()
    assert Store(folder).eras == {}
    outbox.keep()
    assert Store(folder).eras == {1: NOW - EARLY}


# Packet ids.


@pytest.mark.parametrize("number", [0, 2, 99, outbox_module.FIRST_FREE_ID])
def test_a_strange_acknowledgement_takes_nothing(number: int) -> None:
    """Of another message, of a pack that was not sent on this connection, twice."""
    outbox = filled(3)
    publish(outbox, most=1)
    outbox.acknowledged(number)
    assert figures(outbox) == (3, 0, 0)
    outbox.acknowledged(1)
    outbox.acknowledged(1)
    assert figures(outbox) == (2, 1, 0)


def test_packet_ids_are_what_mqtt_allows_and_never_another_messages() -> None:
    """1 to 65535, those from FIRST_FREE_ID on are left to others; they begin again after sixty thousand packs."""
    ids = [packet_id(seq) for seq in range(60_000)]
    assert ids == list(range(1, outbox_module.FIRST_FREE_ID))
    assert packet_id(60_000) == 1
    assert outbox_module.FIRST_FREE_ID <= 65_535


def test_packs_pass_the_point_where_packet_ids_begin_again() -> None:
    """In order, each acknowledged by its own id."""
    outbox = Outbox()
    outbox.online = True
    outbox.seq = 59_998
    for _ in range(4):
        outbox.put(NOW, "telemetry", "")
    for number in (59_999, 60_000, 1, 2):
        found = outbox.next()
        outbox.published(found)
        assert found.number == number
    for left, number in ((3, 60_000), (2, 1), (1, 59_999), (0, 2)):
        outbox.acknowledged(number)
        assert len(outbox) == left


def test_packs_of_two_boots_never_share_a_packet_id(folder: str) -> None:
    """Both began with seq 0; what is on its way keeps its id to itself."""
    first = filled(2, online=False, boot=1, store=Store(folder))
    assert len(first) == 2
    outbox = filled(3, online=False, boot=2, store=Store(folder))
    numbers: list[int] = []
    while found := outbox.next():
        outbox.published(found)
        numbers.append(found.number)
    assert numbers == [1, 2, 3, 4, 5]
    assert len(outbox) == 5


def test_a_connection_that_brings_nothing_is_stalled(ticks: Ticks) -> None:
    """Two minutes after the oldest of what was sent, not of what waits."""
    outbox = filled(2, window=1)
    ticks.go(200_000)
    publish(outbox)
    ticks.go(120_000)
    assert not outbox.stalled()
    ticks.go(1)
    assert outbox.stalled()
    outbox.acknowledged(packet_id(0))
    assert not outbox.stalled()


def test_bodies_are_not_kept_in_messages(folder: str) -> None:
    """What lingers for ten seconds would fill the heap of a node that empties a deep store."""
    outbox = Outbox(store=Store(folder))
    for _ in range(30):
        outbox.put(NOW, "telemetry", "x" * 1000)
    outbox.online = True
    while found := outbox.next(True):
        outbox.published(found)
    assert [each.packs for each in outbox._sent[:2]] == [[(1, 0), (1, 1), (1, 2)], [(1, 3), (1, 4), (1, 5)]]
    assert not outbox._fresh
