"""What is said to nodes at a real broker: asked for here, the gateway's own, or said by somebody else."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from gateway.audit import service
from gateway.audit.asker import Asker
from gateway.audit.entry import Entry
from gateway.audit.log import place
from gateway.audit.reading import heads, last_of, verify
from gateway.audit.service import Audit
from gateway.config import Mqtt
from gateway.steer import talk
from gateway.update import offer
from gateway.update.package import Manifest
from sim_hardware.servers import Mosquitto
from tests.gateway.receiving import until

NODE = "ganglion/v1/riverside/air-0007"


class Bench:
    """A gateway's ear at a broker."""

    def __init__(self, folder: Path, broker: Mosquitto) -> None:
        self.folder = folder
        self.settings = Mqtt("127.0.0.1", broker.port)
        self.audit = Audit(self.settings, ["riverside"], folder, None)
        self.asker = Asker(folder, "ada", "192.0.2.7")

    def told(self, act: str = "") -> list[Entry]:
        return last_of(self.folder, 1000, act)

    async def say(self, level: str, payload: bytes, *, retain: bool = False) -> None:
        """As somebody who may write there."""
        async with aiomqtt.Client("127.0.0.1", self.settings.port) as client:
            await client.publish(f"{NODE}/{level}", payload, qos=1, retain=retain)

    async def settled(self) -> None:
        """All that was said before is heard: one more, which nobody asked for, is in the log."""
        before = len(self.told("command.unasked"))
        await self.say("command", b"{}")
        await until(lambda: _later(len(self.told("command.unasked")) > before))

    def unasked(self) -> list[tuple[str, str, str]]:
        """But those of `settled`."""
        acts = ("command.unasked", "config.unasked", "config.found", "update.unasked", "update.found")
        return [(e.act, e.of, str(e.detail["op"])) for e in self.told() if e.act in acts and e.detail["bytes"] != 2]


async def _later(value: bool) -> bool:
    return value


@contextlib.asynccontextmanager
async def hearing(bench: Bench) -> AsyncIterator[None]:
    """In the block it hears: it tells the head once it has subscribed."""
    async with aiomqtt.Client("127.0.0.1", bench.settings.port) as client:
        await client.subscribe("ganglion/v1/riverside/audit", qos=1)
        bench.asker.asks("gateway.start")
        running = asyncio.create_task(bench.audit.run())
        async for message in client.messages:
            if not message.retain:
                break
        yield
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.fixture
async def bench(tmp_path: Path, broker: Mosquitto) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path, broker)
    async with hearing(bench):
        yield bench


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "HEAD_SECONDS", 0.1)


MANIFEST = Manifest(
    version="0.3.0", sha256="0" * 64, size=10, needs=10, mpy=6, boards=("esp32-devkit",), signature="aa"
)


async def test_what_was_asked_for_here_is_not_flagged(bench: Bench) -> None:
    await talk.command(bench.settings, "riverside", "air-0007", "reboot", {}, 0, bench.asker)
    await talk.configure(bench.settings, "riverside", "air-0007", lambda _: {"window_s": 30}, 0, bench.asker)
    both = [("riverside", "air-0007"), ("riverside", "air-0008")]
    await offer.publish(bench.settings, MANIFEST, both, bench.asker)
    await offer.withdraw(bench.settings, "riverside", "+", bench.asker)
    await bench.settled()
    assert bench.unasked() == []
    asked = [(e.act, e.of, e.who, e.came) for e in bench.told() if e.who == "ada"][1:]
    by = ("ada", "192.0.2.7")
    assert asked == [
        ("command", "riverside/air-0007", *by),
        ("config", "riverside/air-0007", *by),
        ("update.publish", "riverside/*", *by),
        ("update.withdraw", "riverside/*", *by),
    ]
    assert bench.told("config")[0].detail["window_s"] == 30


async def test_what_nobody_asked_for_is_flagged(bench: Bench) -> None:
    """Whoever has got a certificate that may write there: each is in the log, with its hash."""
    await bench.say("command", b'{"id":"x","op":"reboot"}')
    await bench.say("config", b'{"ntp":"evil.example"}', retain=True)
    await bench.say("update", b'{"version":"9"}')
    await bench.settled()
    where = "riverside/air-0007"
    assert bench.unasked() == [
        ("command.unasked", where, "reboot"),
        ("config.unasked", where, ""),
        ("update.unasked", where, ""),
    ]


async def test_a_command_that_is_said_again_is_flagged(bench: Bench) -> None:
    """It was asked for once."""
    payload = b'{"id":"cli-1","op":"reboot"}'
    bench.asker.asks("command", "riverside/air-0007", messages=[payload])
    await bench.say("command", payload)
    await bench.say("command", payload)
    await bench.settled()
    assert bench.unasked() == [("command.unasked", "riverside/air-0007", "reboot")]


async def test_the_time_is_told_all_day_by_the_gateway_alone(bench: Bench) -> None:
    """Its own commands are expected by their bytes; another's of the same op are not."""
    own = b'{"id":"time-1","op":"time"}'
    bench.audit.expect(own)
    await bench.say("command", own)
    await bench.say("command", b'{"id":"time-1","op":"time","unix_ms":0}')
    await bench.settled()
    assert bench.unasked() == [("command.unasked", "riverside/air-0007", "time")]


async def test_what_was_said_while_nobody_heard_is_found(tmp_path: Path, broker: Mosquitto) -> None:
    """The broker keeps configurations and offers: also an old one, put back."""
    old = Bench(tmp_path, broker)
    for window in (30, 60):
        payload = json.dumps({"window_s": window}).encode()
        old.asker.asks("config", "riverside/air-0007", messages=[payload])
    await old.say("config", b'{"window_s": 30}', retain=True)
    for _ in range(2):
        bench = Bench(tmp_path, broker)
        async with hearing(bench):
            await bench.settled()
    assert [(e.act, e.of) for e in old.told("config.found")] == [("config.found", "riverside/air-0007")]  # once


async def test_a_flood_does_not_fill_the_log(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.audit._sparing._seconds = 1.0
    async with aiomqtt.Client("127.0.0.1", bench.settings.port) as client:
        for number in range(300):
            await client.publish(f"{NODE}/command", json.dumps({"id": number, "op": "reboot"}), qos=1)

    def more() -> int:
        return sum(int(e.detail["more"]) for e in bench.told("command.unasked") if "more" in e.detail)

    await until(lambda: _later(more() + len([e for e in bench.told("command.unasked") if e.of]) >= 300))
    assert len(bench.told()) < 150


async def test_the_head_leaves_the_machine(bench: Bench, broker: Mosquitto) -> None:
    """Retained, for whoever keeps it; `verify` takes it as it is, and sees by it what was cut off."""
    bench.asker.asks("logout")
    async with aiomqtt.Client("127.0.0.1", broker.port) as client:
        await client.subscribe("ganglion/v1/riverside/audit", qos=1)
        async for message in client.messages:
            said: dict[str, Any] = json.loads(bytes(message.payload))
            if said["entries"] == place(bench.folder).entries:
                break
    given = heads(bytes(message.payload).decode())
    assert verify(bench.folder, given).faults == ()
    (path,) = (bench.folder / "audit").glob("*.jsonl")
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    assert verify(bench.folder).faults == ()
    assert "cut off" in verify(bench.folder, given).faults[0].why
