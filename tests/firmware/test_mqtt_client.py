"""The node's MQTT client on MicroPython, against the real broker."""

import signal
import subprocess
from pathlib import Path

import pytest

from sim_hardware.servers import Mosquitto
from tests.firmware.board import Board
from tests.firmware.peers import Heard, Subscriber, client_program, tell
from tests.micropython import run

WILL = 'will=("t/status", "gone")'


def test_a_session_is_new_once_and_resumed_from_then_on(broker: Mosquitto, tmp_path: Path) -> None:
    """Each connection publishes and is acknowledged by its own packet ids; at QoS 0 nothing is."""
    body = """
        for packet_id in (7, 60_000):
            print(await client.connect())
            await client.publish("t/zero", b"0")
            await client.publish("t/one", b"1", packet_id)
            await until(lambda: packet_id in acked)
            await client.close()
        print(acked)
        """
    with Subscriber(broker.port) as others:
        assert run(client_program(broker.port, body), tmp_path) == ["False", "True", "[7, 60000]"]
        assert [others.next() for _ in range(4)] == [Heard("t/zero", b"0", False), Heard("t/one", b"1", False)] * 2
        assert others.nothing_more()


def test_the_will_is_published_for_a_node_that_dies(broker: Mosquitto, tmp_path: Path) -> None:
    """Retained, as its birth was: who comes later learns how it ended."""
    body = """
        await client.connect()
        await client.publish("t/status", b"here", 1, retain=True)
        await until(lambda: acked)
        print("up")
        await client.broken.wait()
        """
    with Subscriber(broker.port) as early, Board(client_program(broker.port, body, options=WILL), tmp_path) as board:
        board.line("up")
        assert early.next().payload == b"here"
        with Subscriber(broker.port) as later:
            assert later.next() == Heard("t/status", b"here", True), "the birth was not retained"
        board.kill()
        assert early.next() == Heard("t/status", b"gone", False)
        with Subscriber(broker.port) as last:
            assert last.next() == Heard("t/status", b"gone", True)


def test_there_is_no_will_for_a_node_that_takes_its_leave(broker: Mosquitto, tmp_path: Path) -> None:
    """`close` is an orderly end."""
    with Subscriber(broker.port) as others:
        run(client_program(broker.port, "await client.connect()\nawait client.close()", options=WILL), tmp_path)
        assert others.nothing_more()


def test_pings_keep_an_idle_link(broker: Mosquitto, tmp_path: Path) -> None:
    """Mosquitto drops a client after one and a half keepalives of silence; it looks for such every six seconds."""
    body = """
        await client.connect()
        await asyncio.sleep_ms(8000)
        print(client.broken.is_set(), client.error)
        await client.close()
        """
    with Subscriber(broker.port) as others:
        assert run(client_program(broker.port, body, options=f"keepalive=3, {WILL}"), tmp_path) == ["False None"]
        assert others.nothing_more(), "its will was published"


SUBSCRIBED = """
    print("session", await client.connect())
    await client.subscribe([("t/in", 1), ("t/two/+", 1)], 60_001)
    await until(lambda: 60_001 in acked)
    print("listening")
    await until(lambda: exists("leave"))
    await client.close()
    print("away")
    await until(lambda: exists("return"))
    print("session", await client.connect())
    await until(lambda: exists("end"))
    await client.close()
    print("end")
    """


def test_messages_of_all_lengths(broker: Mosquitto, tmp_path: Path) -> None:
    """What is longer than INBOUND_MAX is not taken, and the session goes on; what came in absence comes on return."""
    longest = 4096 - 2 - len("t/in") - 2
    with (
        Subscriber(broker.port, "nothing") as others,
        Board(client_program(broker.port, SUBSCRIBED), tmp_path) as board,
    ):
        board.line("listening")
        for topic, length in (("t/in", 3), ("t/two/x", 0), ("t/two/y", 1)):
            others.publish(topic, b"x" * length)
        assert board.line("message") == "t/in 3 xxx"
        assert board.line("message") == "t/two/y 1 x"
        for length in (longest, longest + 1, 5000, 60_000):
            others.publish("t/in", b"y" * length)
        others.publish("t/in", b"after")
        assert board.line("message") == f"t/in {longest} {20 * 'y'}"
        assert board.line("message") == "t/in 5 after"
        tell(tmp_path, "leave")
        board.line("away")
        for length in (2, 7000, 4):
            others.publish("t/in", b"z" * length)
        tell(tmp_path, "return")
        assert board.line("session") == "True"
        assert board.line("message") == "t/in 2 zz", "what was acknowledged came again, or what was kept did not come"
        assert board.line("message") == "t/in 4 zzzz"


def test_a_session_outlives_the_broker(broker: Mosquitto, tmp_path: Path) -> None:
    """An orderly restart breaks the link; the subscription, and what came for it meanwhile, are there afterwards."""
    body = SUBSCRIBED.replace('exists("leave")', "client.broken.is_set()")
    with Board(client_program(broker.port, body), tmp_path) as board:
        board.line("listening")
        broker.stop()
        board.line("away")
        broker.start()
        with Subscriber(broker.port, "nothing") as others:
            others.publish("t/in", b"meanwhile")
        tell(tmp_path, "return")
        assert board.line("session") == "True"
        assert board.line("message") == "t/in 9 meanwhile"
        tell(tmp_path, "end")
        board.line("end")


OUTBOX = """
    from node.outbox import Outbox
    outbox = Outbox()
    client.on_ack = outbox.acknowledged
    async def drain(packs):
        for _ in range(packs):
            outbox.put(1_800_000_000, "telemetry", "")
        while True:
            found = outbox.next()
            if not found:
                break
            seq = found.packs[0][1]
            print("publish", seq, found.number, found.stream, found.dup)
            outbox.published(found)
            await client.publish("t/pack", str(seq).encode(), found.number, dup=found.dup)
    await client.connect()
    outbox.online = True
    await drain(3)
    await until(lambda: not len(outbox))
    print("acknowledged", outbox.acked)
    await until(lambda: exists("frozen"))
    await drain(3)
    print("sent", len(outbox))
    await client.broken.wait()
    print("broken", client.error is not None)
    await client.close()
    outbox.disconnected()
    print("online", outbox.online)
    await until(lambda: exists("back"))
    print("session", await client.connect())
    outbox.online = True
    await drain(1)
    await until(lambda: not len(outbox))
    print("acknowledged", outbox.acked, outbox.dropped)
    """


def test_a_killed_broker_costs_no_pack(broker: Mosquitto, tmp_path: Path) -> None:
    """What it did not acknowledge goes to its successor, and what it may have lost: as duplicates, in order, once."""
    with Board(client_program(broker.port, OUTBOX), tmp_path) as board:
        with Subscriber(broker.port) as others:
            assert board.line("acknowledged") == "3"
            assert others.payloads(3) == [b"0", b"1", b"2"]
        # Frozen, it takes the bytes into its buffers and will never read them.
        assert broker._process is not None
        broker._process.send_signal(signal.SIGSTOP)
        tell(tmp_path, "frozen")
        assert [board.line("publish") for _ in range(3)] == [f"{n} {n + 1} telemetry False" for n in (3, 4, 5)]
        assert board.line("sent") == "3"
        broker.kill()
        assert board.line("broken") == "True"
        assert board.line("online") == "False"
        broker.start()
        with Subscriber(broker.port) as others:
            tell(tmp_path, "back")
            board.line("session")
            sent = [board.line("publish") for _ in range(7)]
            assert sent == [f"{n} {n + 1} telemetry {n < 6}" for n in range(7)], "not with their own packet ids"
            assert board.line("acknowledged") == "7 0"
            assert others.payloads(7) == [b"%d" % n for n in range(7)]
            assert others.nothing_more()


@pytest.mark.parametrize("options", ["", 'user="node", password="wrong"', 'user="other", password="secret"'])
def test_a_refused_password_is_told(tmp_path: Path, options: str) -> None:
    """As Rejected, which is no reason to try again at once; the right one is let in."""
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(passwords), "node", "secret"], check=True, timeout=20)
    body = """
        try:
            await client.connect()
        except mqtt.Rejected as error:
            print(error)
        client._user, client._password = "node", "secret"
        print(await client.connect())
        await client.close()
        """
    with Mosquitto(tmp_path / "broker", settings=f"allow_anonymous false\npassword_file {passwords}") as broker:
        refused, session = run(client_program(broker.port, body, options=options), tmp_path)
    assert "broker refused: not authorised" in refused
    assert session == "False"


def test_an_unreachable_broker_is_an_os_error(broker: Mosquitto, tmp_path: Path) -> None:
    """Each time, without harm to the attempt that succeeds."""
    body = """
        for _ in range(3):
            try:
                await client.connect()
            except OSError as error:
                print("refused", error.errno)
            await client.close()
        print("tried")
        await until(lambda: exists("back"))
        print("session", await client.connect())
        """
    broker.stop()
    with Board(client_program(broker.port, body), tmp_path) as board:
        assert [board.line("refused") for _ in range(3)] == ["111"] * 3
        board.line("tried")
        broker.start()
        tell(tmp_path, "back")
        assert board.line("session") == "False"
