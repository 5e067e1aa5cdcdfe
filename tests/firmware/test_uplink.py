"""The way out of a whole node on MicroPython: what it says to a broker that answers as a test wants."""

from collections.abc import Callable

from gateway.ingest.decode import decode_status
from tests.firmware.board import Board
from tests.firmware.nodes import FOREVER
from tests.firmware.peers import CONNACK_RESUMED, PUBLISH, SUBSCRIBE, Link, Listener, Packet

Switch = Callable[..., Board]

WAITING = """
    for number in (12, 18):
        while len(node.outbox) < number:
            await asyncio.sleep_ms(1000)
        print("waiting", number)
    await asyncio.sleep_ms(1 << 40)
"""


SETTINGS = """
    from node import outbox, uplink
    uplink._FIRST_MS = 1
    outbox._LINGER_MS = {linger}
"""
MAKES = """
    while node.outbox.seq < {packs}:
        await asyncio.sleep_ms(1000)
    send, node.send = node.send, lambda *pack: None  # however long the rest takes, there are no more
"""
GOES_ON = """
    while node.uplink.connections < 2 or not node.uplink.connected:
        await asyncio.sleep_ms(1000)
    node.send = send
"""
FORGETS = """
    while node.outbox.acked < 1 or (1, 0) in [pack for each in node.outbox._sent for pack in each.packs]:
        await asyncio.sleep_ms(1000)
    print("forgotten")
"""


def birth_of_a_connection(link: Link) -> tuple[Packet, Packet]:
    """What comes before all packs: (the subscription, the birth)."""
    link.session(CONNACK_RESUMED)
    subscription, birth = link.packet(), link.packet()
    link.acknowledge(birth)
    return subscription, birth


def test_a_connection_begins_with_what_is_wanted_and_the_birth(switch_on: Switch) -> None:
    """Who sees the birth may say what is wanted: it is heard. The birth is retained; the hold is heard at QoS 0."""
    root = b"ganglion/v1/riverside/water-1/"
    with Listener() as broker, switch_on("water", broker.port):
        subscription, birth = birth_of_a_connection(broker.accept())
    assert subscription.kind == SUBSCRIBE
    topics, rest = {}, subscription.body[2:]
    while rest:
        size = int.from_bytes(rest[:2], "big")
        topics[rest[2 : 2 + size]] = rest[2 + size]
        rest = rest[3 + size :]
    own = {root + level: 1 for level in (b"command", b"config", b"update", b"update/piece")}
    assert topics == {b"ganglion/v1/riverside/hold": 0, **own}
    assert birth.first == PUBLISH | 2 | 1, "at QoS 1, retained"
    assert birth.topic.encode() == root + b"status"
    assert decode_status(birth.payload).kind == "water"


def test_what_was_not_acknowledged_goes_again_as_it_was(switch_on: Switch) -> None:
    """On the next connection: each pack to the byte with its packet id, marked as a duplicate; also one that was
    acknowledged a moment before, for a broker that died may have lost it."""
    life = SETTINGS.format(linger=60_000) + MAKES.format(packs=5) + GOES_ON + FOREVER
    with Listener() as broker, switch_on("water", broker.port, life=life):
        link = broker.accept()
        birth_of_a_connection(link)
        first = [link.publish() for _ in range(4)]
        assert not any(packet.dup for packet in first)
        link.acknowledge(first[1])
        fifth = link.publish()
        link.sock.close()
        link = broker.accept()
        birth_of_a_connection(link)
        again = [link.publish() for _ in range(5)]
        assert [packet.dup for packet in again] == [True] * 5
        assert [packet.body for packet in again] == [packet.body for packet in [*first, fifth]]
        new = link.publish()
        assert (new.dup, new.packet_id) == (False, 6)


def test_what_was_acknowledged_long_ago_does_not_go_again(switch_on: Switch) -> None:
    """A broker has it on disk by then."""
    life = SETTINGS.format(linger=20) + MAKES.format(packs=3) + FORGETS + FOREVER
    with Listener() as broker, switch_on("water", broker.port, life=life) as board:
        link = broker.accept()
        birth_of_a_connection(link)
        first = [link.publish() for _ in range(3)]
        link.acknowledge(first[0])
        board.line("forgotten")
        link.sock.close()
        link = broker.accept()
        birth_of_a_connection(link)
        again = [link.publish() for _ in range(2)]
        assert [packet.dup for packet in again] == [True] * 2
        assert [packet.body for packet in again] == [packet.body for packet in first[1:]]


def test_a_slow_broker_has_eight_packs_at_most(switch_on: Switch) -> None:
    """The others wait in the node; each acknowledgement lets one more go, in order."""
    with Listener() as broker, switch_on("water", broker.port, life=WAITING) as board:
        link = broker.accept()
        birth_of_a_connection(link)
        packets = [link.publish() for _ in range(8)]
        board.line("waiting 12")
        link.acknowledge(packets[0])
        packets.append(link.publish())
        board.line("waiting 18")
        board.kill()
        more = []
        try:
            while True:
                more.append(link.packet())
        except EOFError:
            pass
    assert [packet.packet_id for packet in packets] == list(range(1, 10))
    assert not [packet for packet in more if packet.kind == PUBLISH]
