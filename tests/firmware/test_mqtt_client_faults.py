"""The node's MQTT client on MicroPython, against a peer that misbehaves as no broker can be made to."""

import time
from pathlib import Path

import pytest

from tests.firmware.board import Board
from tests.firmware.peers import (
    CONNACK_NEW,
    CONNACK_RESUMED,
    DISCONNECT,
    PINGREQ,
    PUBACK,
    SUBSCRIBE,
    Listener,
    client_program,
)

QUICK = "mqtt.REPLY_MS = 400\n"
"""The longest wait for an answer, ten seconds in a street. Only where none is to come: this machine may be busy."""

CONNECTS = """
try:
    print("session", await client.connect())
except (OSError, asyncio.TimeoutError) as error:
    print("failed", type(error).__name__, error.args[1] if isinstance(error, mqtt.Rejected) else "")
print("open", client._writer is not None)
"""

REFUSALS = (
    (1, "protocol version"),
    (2, "client id"),
    (3, "server unavailable"),
    (4, "user name or password"),
    (5, "not authorised"),
    (6, "6"),
    (255, "255"),
)
"""Return codes of CONNACK (MQTT 3.1.1, table 3.1), and what is none."""

LISTENS = """
await client.connect()
print("session")
await client.broken.wait()
print("broken", repr(client.error))
try:
    await client.publish("t", b"x", 1)
except OSError as error:
    print("publish", error.errno)
await client.close()
print("closed")
"""


@pytest.mark.parametrize(
    ("answer", "hang_up", "failure"),
    [
        (b"", True, "OSError"),
        (CONNACK_NEW[:1], True, "OSError"),
        (CONNACK_NEW[:3], True, "OSError"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", True, "OSError"),
        (b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n", True, "OSError"),
        (b"\x15\x03\x03\x00\x02\x02\x46", False, "OSError"),
        (b"\x20\x01\x00", False, "OSError"),
        (b"\x20\x03\x00\x00\x00", False, "OSError"),
        (b"\x40\x02\x00\x01", False, "OSError"),
        (b"\x20\xff\xff\xff\xff\x01", False, "OSError"),
        (b"\x20\xff\xff\x7f" + b"\x00" * 5000, False, "TimeoutError"),
        (b"", False, "TimeoutError"),
        (CONNACK_NEW[:3], False, "TimeoutError"),
        *((b"\x20\x02\x00" + bytes((code,)), False, f"Rejected broker refused: {why}") for code, why in REFUSALS),
    ],
)
def test_what_is_no_welcome(tmp_path: Path, answer: bytes, hang_up: bool, failure: str) -> None:
    """Garbage, half an answer, another protocol, silence: an error at once or in time, and the link is given up."""
    quick = QUICK if failure == "TimeoutError" else ""
    with Listener() as listener, Board(client_program(listener.port, quick, CONNECTS), tmp_path) as board:
        link = listener.accept()
        link.session(answer)
        if hang_up:
            link.sock.close()
        assert board.line("failed") == failure
        assert board.line("open") == "False"
        if not hang_up:
            with pytest.raises((EOFError, ConnectionResetError)):
                link.packet()


def test_the_first_words_of_a_node(tmp_path: Path) -> None:
    """MQTT 3.1.1, a session that is kept, will and credentials where they belong."""
    options = 'user="me", password="secret", keepalive=90, will=("t/s", "gone")'
    with Listener() as listener, Board(client_program(listener.port, CONNECTS, options=options), tmp_path) as board:
        connect = listener.accept().session(CONNACK_RESUMED)
        assert connect.body == (
            b"\x00\x04MQTT\x04\xec\x00\x5a\x00\x0friverside/air-1\x00\x03t/s\x00\x04gone\x00\x02me\x00\x06secret"
        )
        assert board.line("session") == "True"


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (b"", "EOFError"),
        (b"\x30", "EOFError"),
        (b"\x30\x0a\x00\x01t", "EOFError"),
        (b"\x32\x90\x4e\x00\x01t\x00\x01" + b"x" * 700, "EOFError"),
        (b"\x30\x03\x00\x09t", "malformed message"),
        (b"\x32\x04\x00\x01t\x00", "malformed message"),
        (b"\x32\xff\xff\x7f\xff\xff", "malformed message"),
        (b"\x30\x90\x90\x90\x90\x01", "malformed length"),
        (b"\x40\x01\x01", "short acknowledgement"),
        (b"\x40\x00", "short acknowledgement"),
        (b"\x30\x05\x00\x02\xff\xfex", "UnicodeError"),
    ],
)
def test_half_a_packet_or_nonsense_breaks_the_link(tmp_path: Path, sent: bytes, error: str) -> None:
    """With what broke it; nothing is sent into it any more, and it can be closed."""
    with Listener() as listener, Board(client_program(listener.port, LISTENS), tmp_path) as board:
        link = listener.accept()
        link.session()
        link.sock.sendall(sent)
        if error == "EOFError":
            link.sock.close()
        assert error in board.line("broken")
        assert board.line("publish") == "107"
        board.line("closed")


def test_packets_that_mean_nothing_to_a_node_are_passed_over(tmp_path: Path) -> None:
    """A ping's answer, an acknowledgement of something else, an empty one: the link goes on."""
    with Listener() as listener, Board(client_program(listener.port, LISTENS), tmp_path) as board:
        link = listener.accept()
        link.session()
        link.sock.sendall(b"\xd0\x00" + b"\x40\x02\xea\x60" + b"\xb0\x02\x00\x01" + b"\x32\x07\x00\x01t\x00\x09ok")
        assert board.line("message") == "t 2 ok"
        packet = link.packet()
        assert (packet.kind, packet.body) == (PUBACK, b"\x00\x09")


def test_an_idle_node_pings_well_before_its_keepalive_is_over(tmp_path: Path) -> None:
    """As long as it hears of the broker it goes on; when it hears nothing more, it breaks the link."""
    patient = "mqtt.REPLY_MS = 3_000\n"
    with (
        Listener() as listener,
        Board(client_program(listener.port, patient, LISTENS, options="keepalive=3"), tmp_path) as board,
    ):
        link = listener.accept()
        link.session()
        heard = time.monotonic()
        waits = []
        for _ in range(3):
            assert link.packet().kind == PINGREQ
            waits.append(time.monotonic() - heard)
            heard = time.monotonic()
            link.sock.sendall(b"\xd0\x00")
        assert sorted(waits)[1] < 3, "this machine may be busy, but not each time"
        assert "silent" in board.line("broken")
        assert time.monotonic() - heard > 4.5, "given up too early"


def test_a_node_that_talks_and_hears_nothing_asks(tmp_path: Path) -> None:
    """What it says at QoS 0 is answered by nobody, so it pings all the same, and gives up in time."""
    body = """
        await client.connect()
        mqtt.REPLY_MS = 400
        while not client.broken.is_set():
            await client.publish("t", b"x")
            await asyncio.sleep_ms(50)
        print("broken", client.error)
        """
    with (
        Listener() as listener,
        Board(client_program(listener.port, body, options="keepalive=2"), tmp_path) as board,
    ):
        link = listener.accept()
        link.session()
        while (packet := link.packet()).kind != PINGREQ:
            assert packet.topic == "t"
        assert "silent" in board.line("broken")


@pytest.mark.parametrize("length", [4_096, 4_097, 9_000, 100_000])
def test_a_message_that_is_too_long_is_acknowledged(tmp_path: Path, length: int) -> None:
    """Unread it would come again for ever; at QoS 0 it is passed over. Neither is held in memory."""
    size = bytes((length & 0x7F | 0x80, length >> 7 & 0x7F | 0x80, length >> 14))
    with Listener() as listener, Board(client_program(listener.port, LISTENS), tmp_path) as board:
        link = listener.accept()
        link.session()
        link.sock.sendall(b"\x30" + size + b"\x00\x01t" + b"y" * (length - 3))
        link.sock.sendall(b"\x32" + size + b"\x00\x01t\x00\x07" + b"x" * (length - 5))
        link.sock.sendall(b"\x32\x07\x00\x01t\x00\x09ok")
        assert [link.packet() for _ in range(2)] == [(PUBACK, b"\x00\x07"), (PUBACK, b"\x00\x09")]
        if length <= 4_096:
            assert board.line("message") == f"t {length - 3} {20 * 'y'}"
            assert board.line("message") == f"t {length - 5} {20 * 'x'}"
        assert board.line("message") == "t 2 ok"


def test_a_peer_that_stops_reading_breaks_the_link(tmp_path: Path) -> None:
    """Whoever publishes is stuck in full buffers and holds the line: silence is noticed all the same."""
    body = """
        await client.connect()
        mqtt.REPLY_MS = 400
        print("session")
        async def talk():
            while True:
                await client.publish("t", bytes(20_000), 1)
        talking = asyncio.create_task(client.guard(talk()))
        await client.broken.wait()
        print("broken")
        talking.cancel()
        await client.close()
        mqtt.REPLY_MS = 10_000
        await client.connect()
        await client.publish("t", b"again", 1)
        await client.broken.wait()
        """
    with Listener() as listener:
        program = client_program(listener.port, body, options="keepalive=2")
        with Board(program, tmp_path) as board:
            listener.accept().session()
            board.line("session")
            board.line("broken")
            link = listener.accept()
            link.session()
            assert link.packet().payload == b"again"


@pytest.mark.parametrize(
    ("change", "sent"),
    [
        ("client.on_ack = fail", b"\x40\x02\x00\x01"),
        ("client.on_message = fail", b"\x30\x04\x00\x01tx"),
        ("asyncio.create_task(client.guard(sender()))", b"\x40\x02\x00\x01"),
        ("mqtt.wire_sleep_ms = fail", b""),
    ],
    ids=["acknowledgement", "message", "sender", "watch"],
)
def test_a_task_that_dies_breaks_the_link(tmp_path: Path, change: str, sent: bytes) -> None:
    """Of a full heap or anything else: a link with a dead half would be silent for ever."""
    body = f"""
        def fail(*arguments):
            raise MemoryError("full")
        async def sender():
            await until(lambda: acked)
            fail()
        {change}
        """
    with (
        Listener() as listener,
        Board(client_program(listener.port, body, LISTENS, options="keepalive=2"), tmp_path) as board,
    ):
        link = listener.accept()
        link.session()
        board.line("session")
        link.sock.sendall(sent)
        assert board.line("broken") == "MemoryError('full',)"
        board.line("closed")


def test_a_dead_link_is_followed_by_a_whole_one(tmp_path: Path) -> None:
    """Nothing of the first connection reaches into the second: no task, no lock, no half packet."""
    body = """
        for n in range(2):
            await client.connect()
            await client.publish("t", b"x" * n, n + 1)
            await until(lambda: client.broken.is_set() or n + 1 in acked)
            print("link", client.broken.is_set(), acked)
            await client.close()
        """
    with Listener() as listener, Board(client_program(listener.port, body), tmp_path) as board:
        first = listener.accept()
        first.session()
        first.publish()
        first.sock.sendall(b"\x30\x20\x00")
        first.sock.close()
        assert board.line("link") == "True []"
        second = listener.accept()
        second.session(CONNACK_RESUMED)
        packet = second.publish()
        assert (packet.topic, packet.packet_id, packet.payload) == ("t", 2, b"x")
        second.acknowledge(packet)
        assert board.line("link") == "False [2]"
        assert second.packet().kind == DISCONNECT


def test_a_publication_says_what_it_is(tmp_path: Path) -> None:
    """QoS, dup and retain in their bits; a long one in as many length bytes as it takes."""
    body = """
        await client.connect()
        await client.publish("t", b"a")
        await client.publish("t", b"b", retain=True)
        await client.publish("t", b"c", 1)
        await client.publish("t", b"d", 60_000, dup=True)
        await client.publish("t", bytes(20_000), 2)
        await client.subscribe([("a/+", 1), ("b", 1)], 60_001)
        await until(lambda: False)
        """
    with Listener() as listener, Board(client_program(listener.port, body), tmp_path):
        link = listener.accept()
        link.session()
        packets = [link.packet() for _ in range(6)]
    assert [packet.first for packet in packets] == [0x30, 0x31, 0x32, 0x3A, 0x32, SUBSCRIBE | 2]
    assert packets[0].body == b"\x00\x01ta"
    assert packets[3].body == b"\x00\x01t\xea\x60d"
    assert packets[4].payload == bytes(20_000)
    assert packets[5].body == b"\xea\x61\x00\x03a/+\x01\x00\x01b\x01"
