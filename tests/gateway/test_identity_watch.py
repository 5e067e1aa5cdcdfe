"""Whom the broker refuses, by its log, and which node floods."""

import pytest

from gateway.identity import floods
from gateway.identity.floods import Floods
from gateway.identity.refusals import BURST, KINDS, Bursts, connected, kind_of
from gateway.ingest.receiver import RECEIVE_MAXIMUM, Chunk

NOW = 1_800_000_000.0
DAY = 86_400.0


LOG = [
    ("error:0A0000C7:SSL routines::peer did not return a certificate", "no_certificate"),
    ("error:0A000086:SSL routines::certificate verify failed", "certificate"),
    ("error:0A000076:SSL routines::no suitable signature algorithm", "tls"),
    ("error:0A000126:SSL routines::unexpected eof while reading", None),
]
LINES = [
    *((f"1795988750: OpenSSL Error[0]: {text}", kind) for text, kind in LOG),
    ("1: Client connection from 127.0.0.1 failed: error:0A00009C:SSL routines::http request.", "tls"),
    ("1: Client connection from 127.0.0.1 failed: error:0A00010B:SSL routines::wrong version number.", "tls"),
    ("1: Client connection from 127.0.0.1 failed: error:0A000126:SSL::unexpected eof while reading.", "handshake"),
    ("1: Client connection from 127.0.0.1 denied: max_connections exceeded.", "too_many"),
    ("1: Client riverside/a disconnected due to oversize packet.", "oversized"),
    ("1: Client riverside/a disconnected due to malformed packet.", "malformed"),
    ("1: Client <unknown> disconnected due to protocol error.", "protocol"),
    ("1: Client <unknown> has exceeded timeout, disconnecting.", "silent"),
    ("1: Client riverside/a has exceeded timeout, disconnecting.", None),
    ("1: Client <unknown> disconnected: Protocol error.", None),
    ("1: Client riverside/a disconnected.", None),
    ("1: New connection from 127.0.0.1:45951 on port 8883.", None),
    ("1: New client connected from 127.0.0.1:1 as riverside/a (p5, c1, k60, u'riverside/a').", None),
    ("1: Client riverside/a already connected, closing old connection.", None),
]  # fmt: skip


@pytest.mark.parametrize(("line", "kind"), LINES)
def test_the_brokers_log(line: str, kind: str | None) -> None:
    assert kind_of(line) == kind


def test_who_connects_by_the_brokers_log() -> None:
    line = "1: New client connected from 127.0.0.1:42373 as riverside/a (p5, c1, k60, u'{}')."
    assert connected(line.format("riverside/a")) == "riverside/a"
    assert connected(line.format("gateway")) is None, "that is ourselves, throwing it out"


def test_a_burst_is_told_once_and_its_end() -> None:
    told: list[tuple[str, str]] = []
    bursts = Bursts(lambda kind, said: told.append((kind, said)))
    for number in range(1000):
        bursts.count("certificate", 100 + number / 10)
    bursts.count("oversized", 200.0)
    bursts.look(300.0)
    bursts.look(400.0)
    assert [kind for kind, _ in told] == ["certificate", "certificate"]
    assert told[1][1].startswith("it is over: in all the broker refused 1000 who brought one")
    assert bursts.counts["certificate"] == 1000
    assert set(bursts.counts) == set(KINDS)
    assert BURST < 1000


def chunk(node: str, number: int, now: float, link: int = 1) -> Chunk:
    return Chunk(link, now, [(f"ganglion/v1/riverside/{node}/event".encode(), b"", 1, False)] * number)


def test_who_floods() -> None:
    """One that is over the burst and the rate; not who stays below, and not by what a broker had kept."""
    judge = Floods(10.0, 600)
    begin = judge._looked
    over = [
        node
        for second in range(60)
        for node in (judge.hear([chunk("loud", 100, begin + second), chunk("fair", 10, begin + second)], begin + second)
                     or judge.look(begin + second + 1))
    ]  # fmt: skip
    assert over[0] == "riverside/loud"
    assert set(over) == {"riverside/loud"}
    judge = Floods(10.0, 600)
    begin = judge._looked
    judge.hear([chunk("a", 1, begin)], begin)
    for second in range(10, 20):  # a queue: as much at once as a broker may send
        judge.hear([chunk(f"n{second}", RECEIVE_MAXIMUM, begin + second)], begin + second)
        assert judge.look(begin + second + 0.9) == {}
    judge.hear([chunk("a", RECEIVE_MAXIMUM, begin + 20)] * 3, begin + 20)  # and so much as no queue has of one node
    assert list(judge.look(begin + 21)) == ["riverside/a"]
    judge.hear([chunk("a", 1000, begin + 50)], begin + 90)  # we stood still for 40 s
    assert judge.look(begin + 91) == {}
    judge.hear([chunk("a", 1000, begin + 200, link=2)], begin + 200)  # a new connection
    assert judge.look(begin + 201) == {}
    judge.hear([chunk("a", 1000, begin + 300, link=2)], begin + 300)
    assert list(judge.look(begin + 301)) == ["riverside/a"]
    off = Floods(0, 1)
    off.hear([chunk("a", 1000, begin)], begin)
    assert off.look(begin + 100) == {}
    assert not off._heard


def test_several_who_flood_hide_none_of_them() -> None:
    """Together as much as only a queue has, for ever; and one beside them who does nothing wrong."""
    judge = Floods(10.0, 600)
    begin = judge._looked
    judge.hear([chunk("first", 1, begin)], begin)
    over = []
    for second in range(10, 20):
        at = begin + second
        judge.hear([chunk("fair", 8, at), *(chunk(f"loud{n}", 2000, at) for n in range(6))], at)
        over += judge.look(at + 0.9)
    assert sorted(set(over)) == [f"riverside/loud{n}" for n in range(6)]


def test_the_table_of_floods_is_bounded_by_who_sends() -> None:
    judge = Floods(10.0, 600)
    begin = judge._looked
    judge.hear([chunk("first", 1, begin)], begin)
    judge.hear([chunk(f"n{n}", 2, begin + 10) for n in range(500)], begin + 10)
    judge.look(begin + 10)
    assert len(judge._levels) > 0
    judge.look(begin + 20)
    assert not judge._levels
    assert not judge._deep
    assert floods.BEHIND > 1
