"""The receiver on a real Mosquitto: what comes again, what is held back, and what is said when something is wrong."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.backoff import backoff
from gateway.config import Mqtt
from gateway.errors import ConfigError
from gateway.ingest import receiver as module
from gateway.ingest.receiver import RECEIVE_MAXIMUM, Receiver
from gateway.ingest.wire import encode_subscribe
from gateway.pki.authority import Authority, Identity
from sim_hardware.servers import Mosquitto, free_port
from tests.gateway.receiving import Wire, flood, newest, payloads, receiving, take, trouble, until

TOPIC = "ganglion/v1/riverside/air-0007/telemetry"
DYNAMIC = Path("/usr/lib") / f"{os.uname().machine}-linux-gnu" / "mosquitto_dynamic_security.so"
DIES = """
import asyncio, sys
from gateway.config import Mqtt
from gateway.ingest.receiver import Receiver

async def main():
    receiver = Receiver(Mqtt("127.0.0.1", int(sys.argv[1])), ["riverside"])
    running = asyncio.create_task(receiver.run())
    chunks = []
    while sum(len(chunk.messages) for chunk in chunks) < 100:
        chunks += await receiver.take()
        receiver.acknowledge(chunks[:0])
    print("taken", flush=True)
    await running

asyncio.run(main())
"""


PINGREQ = b"\xc0\x00"


def numbered(count: int, start: int = 0) -> list[bytes]:
    return [b"%d" % number for number in range(start, start + count)]


@pytest.fixture
def settings(broker: Mosquitto) -> Mqtt:
    return Mqtt("127.0.0.1", broker.port)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BROKER_SECONDS", (0.1, 0.5))


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A keepalive of a second, which ends the connection when broker or gateway stand still for longer than that.

    A busy machine may let them. So what is to hold over some keepalives has to do so over one connection, whichever.
    """
    monkeypatch.setattr(module, "KEEPALIVE_SECONDS", 1)


async def test_twenty_thousand_are_acknowledged_once(settings: Mqtt) -> None:
    """Each comes once, in order, and none again in the next connection of the session."""
    sent = numbered(20_000)
    async with receiving(settings) as receiver:
        flooding = asyncio.create_task(flood(settings.port, TOPIC, sent))
        got: list[bytes] = []
        while len(got) < len(sent):
            chunks = await take(receiver, 1)
            assert {(message[0], message[3]) for chunk in chunks for message in chunk.messages} == {
                (TOPIC.encode(), False)
            }
            receiver.acknowledge(chunks)
            got += payloads(chunks)
        await flooding
    assert got == sent
    async with receiving(settings) as receiver:
        await flood(settings.port, TOPIC, [b"after"])
        assert payloads(await take(receiver, 1)) == [b"after"]


async def test_what_a_killed_receiver_had_comes_again(settings: Mqtt) -> None:
    """kill -9 with a hundred messages in hand, and as many that came while nobody was there."""
    async with receiving(settings):
        pass  # from now on the broker keeps messages for this session
    await flood(settings.port, TOPIC, numbered(100))
    dying = await asyncio.create_subprocess_exec(sys.executable, "-c", DIES, str(settings.port), stdout=subprocess.PIPE)
    assert dying.stdout is not None
    try:
        async with asyncio.timeout(60):
            assert await dying.stdout.readline() == b"taken\n"
    finally:
        dying.send_signal(signal.SIGKILL)
        await dying.wait()
    await flood(settings.port, TOPIC, numbered(100, start=100))
    async with receiving(settings) as receiver:
        assert payloads(await take(receiver, 200)) == numbered(200)


async def test_what_a_killed_broker_had_saved_comes_again(settings: Mqtt, broker: Mosquitto) -> None:
    """Over the new connection; what came over the old one is not acknowledged there, whatever its number was."""
    saved = broker.folder / "mosquitto.db"
    async with receiving(settings) as receiver:
        await flood(settings.port, TOPIC, numbered(50))
        old = await take(receiver, 50)
        before = saved.stat().st_mtime_ns if saved.exists() else 0
        assert broker._process is not None
        broker._process.send_signal(signal.SIGUSR1)  # to save now

        async def is_saved() -> bool:
            return saved.exists() and saved.stat().st_mtime_ns != before

        await until(is_saved)
        broker.kill()
        await trouble(receiver, "lost")
        receiver.acknowledge(old)  # nowhere to go
        broker.start()
        await trouble(receiver, None)
        again = await take(receiver, 50)
        assert payloads(again) == numbered(50)
        assert {chunk.link for chunk in old}.isdisjoint(chunk.link for chunk in again)
        receiver.acknowledge(old)  # these numbers belong to the new connection by now
    async with receiving(settings) as receiver:
        once_more = await take(receiver, 50)
        assert payloads(once_more) == numbered(50), "an acknowledgement went to the wrong connection"
        receiver.acknowledge(once_more)
    async with receiving(settings) as receiver:
        await flood(settings.port, TOPIC, [b"after"])
        assert payloads(await take(receiver, 1)) == [b"after"]


async def test_no_more_than_the_window_is_on_its_way(settings: Mqtt) -> None:
    """Without acknowledgements the broker stops; a message at QoS 0, which it does not hold back, is the proof."""
    async with receiving(settings) as receiver:
        await flood(settings.port, TOPIC, numbered(RECEIVE_MAXIMUM + 500))
        await flood(settings.port, TOPIC, [b"last"], qos=0)
        chunks = await take(receiver, RECEIVE_MAXIMUM)
        async with asyncio.timeout(60):
            while (b"last", 0) not in ((message[1], message[2]) for chunk in chunks for message in chunk.messages):
                chunks += await receiver.take()
        assert payloads(chunks) == numbered(RECEIVE_MAXIMUM)
        receiver.acknowledge(chunks)
        assert payloads(await take(receiver, 500)) == numbered(500, start=RECEIVE_MAXIMUM)


@pytest.mark.usefixtures("short")
async def test_who_is_behind_is_not_read_for(settings: Mqtt, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading stops when enough waits, nothing is dropped, and goes on when it was taken; pings go on meanwhile."""
    monkeypatch.setattr(module, "MOST_WAITING", 100)
    async with Wire(settings.port).laid() as wire, receiving(Mqtt("127.0.0.1", wire.port)) as receiver:
        await flood(settings.port, TOPIC, [b"%04d" % number + b"x" * 1000 for number in range(2000)])
        pings: dict[int, int] = {}

        async def outlasts() -> bool:
            """One that is held, and not for the broker's silence, which is not listened to, given up."""
            link = receiver._link
            if link is None or link._transport is None or link._transport.is_reading():
                return False
            said = wire.upward[-1].count(PINGREQ)
            return said >= pings.setdefault(receiver._number, said) + 4  # two keepalives long

        await until(outlasts)
        chunks = receiver.take_now()
        one_read = 256 * 1024 // 1000
        assert 100 <= len(payloads(chunks)) <= 100 + len(wire.upward) * one_read
        while [int(payload[:4]) for payload in payloads(newest(chunks))] != list(range(2000)):
            chunks += await receiver.take()


@pytest.mark.usefixtures("short")
async def test_who_does_not_read_does_not_ask_again(settings: Mqtt, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer to SUBSCRIBE waits behind what the session holds, longer than a keepalive: it is no refusal."""
    async with receiving(settings):
        pass
    await flood(settings.port, TOPIC, [b"%04d" % number + b"x" * 1000 for number in range(2000)])
    monkeypatch.setattr(module, "MOST_WAITING", 10)
    asking = encode_subscribe(1, [f"ganglion/v1/riverside/+/{stream}" for stream in module.STREAMS])
    lasted = False
    while not lasted:
        async with (
            Wire(settings.port).laid() as wire,
            receiving(Mqtt("127.0.0.1", wire.port), "not connected") as receiver,
        ):

            async def outlasts(wire: Wire = wire) -> bool:
                return any(said.count(PINGREQ) >= 4 for said in wire.upward)  # two keepalives long

            await until(outlasts)
            chunks = await take(receiver, 2000)
            await trouble(receiver, None)
            assert [said.count(asking) for said in wire.upward] == [1] * len(wire.upward)
            lasted = len(wire.upward) == 1
    assert [int(payload[:4]) for payload in payloads(chunks)] == list(range(2000))


@pytest.mark.usefixtures("short")
async def test_a_link_that_went_dead_is_given_up(settings: Mqtt) -> None:
    """Nobody closes it, nothing comes: it is noticed by the silence, and not taken for one while both only idle."""
    async with Wire(settings.port).laid() as wire, receiving(Mqtt("127.0.0.1", wire.port)) as receiver:

        async def idled() -> bool:
            return receiver.trouble is None and wire.upward[-1].count(PINGREQ) >= 4  # two keepalives long

        await until(idled)
        wire.die()
        assert "nothing was heard for" in await trouble(receiver, "lost")
        await trouble(receiver, None)
        await flood(settings.port, TOPIC, [b"here"])
        assert payloads(await take(receiver, 1)) == [b"here"]


async def test_why_the_broker_ended_it_is_said(tmp_path: Path) -> None:
    """In its own words, here: a subscription that is larger than it takes."""
    with Mosquitto(tmp_path / "broker", settings="allow_anonymous true\nmax_packet_size 120") as broker:
        async with receiving(Mqtt("127.0.0.1", broker.port), "the broker ended the connection") as receiver:
            assert receiver.trouble == "the broker ended the connection: the packet is too large"


async def test_a_refused_login_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In words, and not covered up by the closed connection that follows."""
    (tmp_path / "passwords").write_text("")
    monkeypatch.setenv("PASSWORD", "wrong")
    refusing = f"allow_anonymous false\npassword_file {tmp_path / 'passwords'}"
    with Mosquitto(tmp_path / "broker", settings=refusing) as broker:
        login = Mqtt("127.0.0.1", broker.port, username="gateway", password_env="PASSWORD")
        async with receiving(login, "refused the connection") as receiver:
            assert receiver.trouble == "the broker refused the connection: not authorized"


@pytest.mark.usefixtures("short")
async def test_a_refused_subscription_is_said_until_it_is_granted(tmp_path: Path) -> None:
    """Which topics, and why. They are asked for again and again: somebody may have given the rights."""
    access = dict.fromkeys(("publishClientSend", "publishClientReceive", "unsubscribe"), True)
    rights = tmp_path / "rights.json"

    def allow(subscribe: bool) -> None:
        default = access | {"subscribe": subscribe}
        rights.write_text(json.dumps({"defaultACLAccess": default, "clients": [], "groups": [], "roles": []}))

    allow(False)
    rules = f"allow_anonymous true\nplugin {DYNAMIC}\nplugin_opt_config_file {rights}"
    with Mosquitto(tmp_path / "broker", settings=rules) as broker:
        topics = [f"ganglion/v1/riverside/+/{stream}" for stream in module.STREAMS]
        asking = encode_subscribe(1, topics)
        async with (
            Wire(broker.port).laid() as wire,
            receiving(Mqtt("127.0.0.1", wire.port), "refused to subscribe") as receiver,
        ):
            for topic in topics:
                assert f"{topic} (not authorized)" in (receiver.trouble or "")

            async def asked_again() -> bool:
                return any(said.count(asking) >= 3 for said in wire.upward)  # over one connection

            await until(asked_again)
            broker.stop()
            allow(True)
            broker.start()
            await trouble(receiver, None)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.create(tmp_path / "pki", "Ganglion")


def tls(broker_folder: Path, authority: Authority, server: Identity, port: int, more: str = "") -> Mosquitto:
    """A broker with a TLS listener at `port`."""
    listener = (
        f"allow_anonymous true\nlistener {port} 127.0.0.1\ncafile {authority.folder / 'ca.pem'}\n"
        f"certfile {Path(server.folder) / 'cert.pem'}\nkeyfile {Path(server.folder) / 'key.pem'}\n{more}"
    )
    return Mosquitto(broker_folder, settings=listener, more_ports=[port])


@pytest.mark.parametrize("own", [False, True], ids=["server only", "own certificate"])
async def test_tls(tmp_path: Path, authority: Authority, own: bool) -> None:
    """Messages come and are acknowledged, in pieces larger than a TLS record."""
    server, mine = authority.server(["127.0.0.1"]), authority.gateway()
    port = free_port()
    identity = {name: str(Path(mine.folder) / f"{name}.pem") for name in ("cert", "key")} if own else {}
    more = "require_certificate true\nuse_identity_as_username true" if own else ""
    with tls(tmp_path / "broker", authority, server, port, more) as broker:
        settings = Mqtt("127.0.0.1", port, ca=str(authority.folder / "ca.pem"), **identity)
        sent = [b"%d" % number + b"x" * 3000 for number in range(300)]
        async with receiving(settings) as receiver:
            await flood(broker.port, TOPIC, sent)
            chunks = await take(receiver, 300)
            assert payloads(chunks) == sent
            receiver.acknowledge(chunks)
        async with receiving(settings) as receiver:
            await flood(broker.port, TOPIC, [b"after"])
            assert payloads(await take(receiver, 1)) == [b"after"]


async def test_tls_that_does_not_fit_is_said(tmp_path: Path, authority: Authority) -> None:
    """An authority that did not sign, a name that is another's, a certificate that is missing."""
    port = free_port()
    stranger = Authority.create(tmp_path / "stranger", "Stranger")
    server = authority.server(["127.0.0.1"])
    with tls(tmp_path / "broker", authority, server, port, "require_certificate true") as broker:
        for ca, host, at, words in (
            (stranger, "127.0.0.1", port, "not who mqtt.ca says"),
            (authority, "localhost", port, "not who mqtt.ca says"),
            (authority, "127.0.0.1", port, "lost"),
            (authority, "127.0.0.1", broker.port, "no common TLS|no broker answers|lost"),
        ):
            settings = Mqtt(host, at, ca=str(ca.folder / "ca.pem"))
            receiver = Receiver(settings, ["riverside"])
            running = asyncio.create_task(receiver.run())

            async def said(receiver: Receiver = receiver, words: str = words) -> bool:
                return any(word in (receiver.trouble or "") for word in words.split("|"))

            await until(said)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await receiver.stop()


async def test_nobody_there_is_said() -> None:
    for settings, words in (
        (Mqtt("127.0.0.1", port := free_port()), f"no broker answers at 127.0.0.1:{port}"),
        (Mqtt("nowhere.invalid"), "the name of the broker, nowhere.invalid, is not known"),
        (Mqtt("nowhere..invalid"), "the name of the broker, nowhere..invalid, is not known"),
    ):
        async with receiving(settings, words):
            pass


def test_files_that_cannot_be_used_are_said_at_once(tmp_path: Path, authority: Authority) -> None:
    mine, ca = Path(authority.gateway().folder), str(authority.folder / "ca.pem")
    (tmp_path / "no.pem").write_text("no")
    locked = tmp_path / "locked.pem"
    subprocess.run(
        ["openssl", "ec", "-in", mine / "key.pem", "-aes256", "-passout", "pass:secret", "-out", locked],
        check=True,
        capture_output=True,
    )
    for bad in (
        Mqtt(ca=str(tmp_path / "missing.pem")),
        Mqtt(ca=str(tmp_path / "no.pem")),
        Mqtt(ca=ca, cert=str(mine / "cert.pem"), key=ca),
        Mqtt(ca=ca, cert=str(mine / "cert.pem"), key=str(locked)),
    ):
        with pytest.raises(ConfigError, match="check that the files are PEM and fit"):
            Receiver(bad, ["riverside"])


def test_waits_grow_and_are_of_chance() -> None:
    for failures in range(1, 40):
        for seed in range(20):
            wait = backoff(failures, 0.1, 0.5, random.Random(seed))
            longest = min(0.5, 0.1 * 2 ** (failures - 1))
            assert longest / 2 <= wait <= longest
    assert len({backoff(3, 0.1, 0.5, random.Random(seed)) for seed in range(20)}) == 20
