"""The way out of a whole node on MicroPython: what it says to a broker that answers as a test wants."""

from collections.abc import Callable

from gateway.decode import decode_status
from tests.firmware.board import Board
from tests.firmware.peers import CONNACK_RESUMED, PUBLISH, Link, Listener, Packet

Switch = Callable[..., Board]

WAITING = """
    for number in (12, 18):
        while len(node.outbox) < number:
            await asyncio.sleep_ms(1000)
        print("waiting", number)
    await asyncio.sleep_ms(1 << 40)
"""


def welcome(link: Link, connack: bytes) -> Packet:
    """Take the session and the birth, and acknowledge it; the birth."""
    link.session(connack)
    birth = link.publish()
    assert birth.topic == "ganglion/v1/riverside/water-1/status"
    link.acknowledge(birth)
    return birth


def test_what_was_not_acknowledged_goes_again_as_it_was(switch_on: Switch) -> None:
    """On the next connection: the birth first, then each pack to the byte with its packet id, marked as a duplicate."""
    with Listener() as broker, switch_on("water", broker.port):
        link = broker.accept()
        birth = welcome(link, CONNACK_RESUMED)
        assert birth.first == PUBLISH | 2 | 1, "at QoS 1, retained"
        assert decode_status(birth.payload).kind == "water"
        first = [link.publish() for _ in range(4)]
        assert not any(packet.dup for packet in first)
        link.acknowledge(first[1])
        link.sock.close()
        link = broker.accept()
        welcome(link, CONNACK_RESUMED)
        again = [link.publish() for _ in range(3)]
        assert [packet.dup for packet in again] == [True] * 3
        assert [packet.body for packet in again] == [first[n].body for n in (0, 2, 3)]


def test_a_slow_broker_has_eight_packs_at_most(switch_on: Switch) -> None:
    """The others wait in the node; each acknowledgement lets one more go, in order."""
    with Listener() as broker, switch_on("water", broker.port, life=WAITING) as board:
        link = broker.accept()
        welcome(link, CONNACK_RESUMED)
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
