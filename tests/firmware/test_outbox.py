"""The outbox: no pack goes but acknowledged or counted, and packs leave in order."""

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.firmware.importer import load

outbox_module = load("node.outbox")
Outbox, packet_id = outbox_module.Outbox, outbox_module.packet_id


def filled(packs: int, **settings: int) -> Any:
    """An outbox into which `packs` packs were put, a minute apart."""
    outbox = Outbox(**settings)
    for n in range(packs):
        outbox.put(60 * n, "telemetry", f"body {n}")
    return outbox


def publish(outbox: Any, most: int = 99) -> list[tuple[int, bool]]:
    """(seq, dup) of all that may be sent now."""
    sent: list[tuple[int, bool]] = []
    while len(sent) < most and (found := outbox.next()) is not None:
        seq, time, stream, body, dup = found
        assert (time, stream, body) == (60 * seq, "telemetry", f"body {seq}")
        outbox.published(seq)
        sent.append((seq, dup))
    return sent


def test_packs_leave_in_order_within_the_window() -> None:
    """One more may go for each that is acknowledged, in whatever order that happens."""
    outbox = filled(6, window=3)
    assert publish(outbox) == [(0, False), (1, False), (2, False)]
    outbox.acknowledged(packet_id(1))
    assert publish(outbox) == [(3, False)]
    outbox.acknowledged(packet_id(0))
    outbox.acknowledged(packet_id(2))
    assert publish(outbox) == [(4, False), (5, False)]
    assert (len(outbox), outbox.acked, outbox.dropped) == (3, 3, 0)


def test_what_was_published_goes_again_as_a_duplicate() -> None:
    """With its packet id of before; what was never published goes as new."""
    outbox = filled(5, window=3)
    publish(outbox)
    outbox.acknowledged(packet_id(1))
    outbox.disconnected()
    assert publish(outbox) == [(0, True), (2, True), (3, False)]
    outbox.disconnected()
    assert publish(outbox) == [(0, True), (2, True), (3, True)]


def test_a_pack_keeps_the_time_that_it_was_given() -> None:
    """Stamped once, when the clock is known: it goes again with that time; a pack that is gone is nobody's."""
    outbox = Outbox()
    outbox.put(-60, "telemetry", "a")
    outbox.put(-120, "health", "b")
    outbox.stamp(1, 1_795_430_400)
    outbox.stamp(7, 1_795_430_460)
    for dup in (False, True):
        assert outbox.next() == (0, -60, "telemetry", "a", dup)
        outbox.published(0)
        assert outbox.next() == (1, 1_795_430_400, "health", "b", dup)
        outbox.published(1)
        outbox.disconnected()


def test_at_the_bound_of_bytes_as_many_go_as_it_takes() -> None:
    """A large pack may cost several small ones; one that alone is too large is kept, alone."""
    outbox = Outbox(max_bytes=10 * (outbox_module._OVERHEAD + 100))
    for n in range(10):
        outbox.put(60 * n, "telemetry", 100 * "x")
    assert (len(outbox), outbox.dropped) == (10, 0)
    outbox.put(600, "telemetry", 101 * "x")
    assert (len(outbox), outbox.dropped) == (9, 2)
    outbox.put(660, "telemetry", 9999 * "x")
    assert (len(outbox), outbox.dropped) == (1, 11)
    outbox.put(720, "telemetry", "x")
    assert (len(outbox), outbox.dropped, outbox.next()[0]) == (1, 12, 12)


def test_shedding_drops_the_older_half() -> None:
    """Counted, sent or not; of one pack it is that one, of none it is none."""
    outbox = filled(5)
    publish(outbox, most=2)
    outbox.shed()
    assert (len(outbox), outbox.dropped) == (2, 3)
    assert publish(outbox) == [(3, False), (4, False)]
    for left in (1, 0, 0):
        outbox.shed()
        assert len(outbox) == left
    assert (outbox.dropped, outbox.acked) == (5, 0)


def test_at_the_bound_the_oldest_goes_and_is_counted() -> None:
    """Sent or not; its late acknowledgement is nobody's, and sequence numbers go on."""
    outbox = filled(4, capacity=4, window=2)
    publish(outbox)
    for n in (4, 5, 6):
        outbox.put(60 * n, "telemetry", f"body {n}")
    assert (len(outbox), outbox.dropped, outbox.seq) == (4, 3, 7)
    outbox.acknowledged(packet_id(0))
    assert (len(outbox), outbox.acked) == (4, 0)
    assert publish(outbox) == [(3, False), (4, False)]


def test_the_bytes_of_all_packs_are_bounded_too() -> None:
    """Large packs push out more of the old ones; the newest is kept, however large."""
    outbox = Outbox(capacity=99, max_bytes=3 * (outbox_module._OVERHEAD + 100))
    for n in range(3):
        outbox.put(60 * n, "telemetry", "x" * 100)
    assert (len(outbox), outbox.dropped) == (3, 0)
    outbox.put(180, "telemetry", "x" * 101)
    assert (len(outbox), outbox.dropped) == (2, 2)
    outbox.put(240, "telemetry", "x" * 10_000)
    assert (len(outbox), outbox.dropped) == (1, 4)
    outbox.put(300, "telemetry", "x" * 100)
    assert (len(outbox), outbox.dropped, outbox.next()[0]) == (1, 5, 5)


def test_a_full_heap_costs_the_older_half() -> None:
    """Counted as dropped; one pack alone goes too."""
    outbox = filled(5)
    outbox.shed()
    assert (len(outbox), outbox.dropped, outbox.next()[0]) == (2, 3, 3)
    outbox.shed()
    outbox.shed()
    assert (len(outbox), outbox.dropped, outbox.next()) == (0, 5, None)


def test_a_time_once_known_stays() -> None:
    """However often the pack is published, it says the same: the gateway tells by it what is a repetition."""
    outbox = Outbox()
    outbox.put(-61, "telemetry", "early")
    outbox.put(-121, "telemetry", "later")
    outbox.stamp(0, 1_795_430_461)
    outbox.published(0)
    outbox.disconnected()
    assert outbox.next() == (0, 1_795_430_461, "telemetry", "early", True)
    outbox.published(0)
    assert outbox.next() == (1, -121, "telemetry", "later", False)


@pytest.mark.parametrize("number", [0, 2, 99, outbox_module.FIRST_FREE_ID])
def test_a_strange_acknowledgement_takes_nothing(number: int) -> None:
    """Of another message, of a pack that was not sent on this connection, twice."""
    outbox = filled(3)
    publish(outbox, most=1)
    outbox.acknowledged(number)
    assert (len(outbox), outbox.acked) == (3, 0)
    outbox.acknowledged(1)
    outbox.acknowledged(1)
    assert (len(outbox), outbox.acked) == (2, 1)


def test_packet_ids_are_what_mqtt_allows_and_never_another_messages() -> None:
    """1 to 65535, those from FIRST_FREE_ID on are left to others; they begin again after sixty thousand packs."""
    ids = [packet_id(seq) for seq in range(60_000)]
    assert ids == list(range(1, outbox_module.FIRST_FREE_ID))
    assert packet_id(60_000) == 1
    assert outbox_module.FIRST_FREE_ID <= 65_535


def test_packs_pass_the_point_where_packet_ids_begin_again() -> None:
    """In order, each acknowledged by its own id."""
    outbox = Outbox()
    outbox.seq = 59_998
    for _ in range(4):
        outbox.put(0, "telemetry", "")
    for number in (59_999, 60_000, 1, 2):
        seq = outbox.next()[0]
        outbox.published(seq)
        assert packet_id(seq) == number
    for left, number in ((3, 60_000), (2, 1), (1, 59_999), (0, 2)):
        outbox.acknowledged(number)
        assert len(outbox) == left


class AnyLife(RuleBasedStateMachine):
    """A node and its broker in any order of events, against a model of what each of them has."""

    sent = Bundle("sent")

    @initialize(capacity=st.integers(1, 6), window=st.integers(1, 4), most=st.integers(0, 1500))
    def begin(self, capacity: int, window: int, most: int) -> None:
        self.outbox = Outbox(capacity, window, max_bytes=most)
        self.capacity, self.window, self.most = capacity, window, most
        self.sizes: list[int] = []
        self.waiting: list[int] = []
        self.acked: set[int] = set()
        self.dropped: set[int] = set()
        self.in_flight: list[int] = []
        self.ever_published: set[int] = set()

    def held(self) -> int:
        """Bytes of what waits."""
        return sum(self.sizes[seq] for seq in self.waiting)

    def drop(self) -> None:
        oldest = self.waiting.pop(0)
        self.dropped.add(oldest)
        self.in_flight = [seq for seq in self.in_flight if seq != oldest]

    @rule(length=st.integers(0, 400))
    def put(self, length: int) -> None:
        self.sizes.append(length + outbox_module._OVERHEAD)
        while self.waiting and (len(self.waiting) == self.capacity or self.held() + self.sizes[-1] > self.most):
            self.drop()
        self.waiting.append(self.outbox.seq)
        self.outbox.put(60, "telemetry", "x" * length)

    @rule()
    def shed(self) -> None:
        for _ in range((len(self.waiting) + 1) // 2):
            self.drop()
        self.outbox.shed()

    @rule(target=sent)
    def publish(self) -> int:
        """The oldest that is not in flight, if the window has room; the number it was given, or 0."""
        found = self.outbox.next()
        candidates = [seq for seq in self.waiting if seq not in self.in_flight]
        if len(self.in_flight) >= self.window or not candidates:
            assert found is None
            return 0
        seq, _, _, _, dup = found
        assert seq == candidates[0]
        assert seq > max(self.in_flight, default=-1), "out of order on one connection"
        assert dup == (seq in self.ever_published)
        self.outbox.published(seq)
        self.in_flight.append(seq)
        self.ever_published.add(seq)
        return int(packet_id(seq))

    @rule(number=sent)
    def acknowledge(self, number: int) -> None:
        """Of this connection, of one before it, or of a pack that has been dropped since."""
        self.outbox.acknowledged(number)
        for seq in self.in_flight:
            if packet_id(seq) == number:
                self.in_flight.remove(seq)
                self.waiting.remove(seq)
                self.acked.add(seq)
                return

    @precondition(lambda self: self.in_flight)
    @rule()
    def disconnect(self) -> None:
        self.outbox.disconnected()
        self.in_flight.clear()

    @invariant()
    def nothing_is_lost(self) -> None:
        """Every pack is waiting, acknowledged, or counted as dropped: never none of them, never two."""
        outbox = self.outbox
        assert (len(outbox), outbox.acked, outbox.dropped) == (len(self.waiting), len(self.acked), len(self.dropped))
        assert outbox.seq == len(outbox) + outbox.acked + outbox.dropped
        assert len(outbox) <= self.capacity
        assert len(outbox) <= 1 or self.held() <= self.most
        assert {*self.waiting} | self.acked | self.dropped == {*range(outbox.seq)}


TestAnyLife = AnyLife.TestCase
TestAnyLife.settings = settings(max_examples=60, stateful_step_count=40)
