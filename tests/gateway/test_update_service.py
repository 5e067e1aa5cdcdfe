"""The part that serves pieces, on a real broker."""

import asyncio
import contextlib
import json
import random
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import aiomqtt
import pytest

from gateway.config import Mqtt
from gateway.update.package import Package
from gateway.update.service import Updates
from gateway.update.store import Store
from sim_hardware.servers import Mosquitto
from tests.gateway.receiving import until

PACKAGE = Package.make({"main.mpy": b"M\x06\x00\x1f" + bytes(range(256)) * 20}, "1.2.3", ("esp32-devkit",))
SHA = PACKAGE.manifest.sha256
ROOT = "ganglion/v1/riverside"


@contextlib.asynccontextmanager
async def serving(broker: Mosquitto, folder: Path, pieces_per_second: float = 1000) -> AsyncIterator[aiomqtt.Client]:
    """The part, and a client that hears all pieces; begun once the part answers."""
    async with running(broker, folder, pieces_per_second) as (_, client):
        yield client


@contextlib.asynccontextmanager
async def running(
    broker: Mosquitto, folder: Path, pieces_per_second: float = 1000
) -> AsyncIterator[tuple[Updates, aiomqtt.Client]]:
    Store(folder).add(PACKAGE)
    updates = Updates(Mqtt("127.0.0.1", broker.port), ["riverside"], folder, pieces_per_second)
    task = asyncio.create_task(updates.run())
    try:
        async with asyncio.timeout(60), aiomqtt.Client("127.0.0.1", broker.port) as client:
            await client.subscribe(f"{ROOT}/+/update/piece")
            await begun(client)
            yield updates, client
    finally:
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=30)  # the client itself may wait 10 s for its broker
        assert done, "it does not end when it is told to"
        assert task.cancelled()


async def begun(client: aiomqtt.Client) -> None:
    """Ask until there is an answer."""
    while True:
        await ask(client, "first", 0)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.1):
                await piece(client)
                break
    await ask(client, "last-of-first", 0)
    while (await piece(client))[0] != "last-of-first":
        pass


async def ask(client: aiomqtt.Client, node: str, at: object, size: object = 1024, sha: object = SHA) -> None:
    await client.publish(f"{ROOT}/{node}/update/want", json.dumps({"sha256": sha, "at": at, "size": size}))


async def piece(client: aiomqtt.Client) -> tuple[str, bytes]:
    message = await anext(aiter(client.messages))
    return str(message.topic).split("/")[3], bytes(message.payload)


async def test_what_is_asked_for_is_served(broker: Mosquitto, tmp_path: Path) -> None:
    async with serving(broker, tmp_path) as client:
        whole = b""
        while len(whole) < len(PACKAGE.archive):
            await ask(client, "air-1", len(whole), 2048)
            node, payload = await piece(client)
            assert node == "air-1"
            assert int.from_bytes(payload[:4], "big") == len(whole)
            whole += payload[4:]
    assert whole == PACKAGE.archive


async def test_what_cannot_be_served_is_passed_over(broker: Mosquitto, tmp_path: Path) -> None:
    async with serving(broker, tmp_path) as client:
        await ask(client, "a", len(PACKAGE.archive))
        await ask(client, "b", -1)
        await ask(client, "c", 0, 2049)
        await ask(client, "d", 0, 0)
        await ask(client, "e", 0, sha="0" * 64)
        await ask(client, "f", 0, sha="../" * 21 + "x")
        await ask(client, "g", "0")
        for i, payload in enumerate((b"", b"{", b"\xff\xfe", b"[]", b"[" * 5000, b'{"sha256":null}')):
            await client.publish(f"{ROOT}/x{i}/update/want", payload, qos=1)
        await ask(client, "good", 0)
        assert (await piece(client))[0] == "good"


async def test_nodes_are_served_in_turn_however_one_asks(
    broker: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No piece is found before all have asked, and who asked most has no more than two: the one that was under way."""
    nodes = {f"n{i}" for i in range(20)}
    all_asked = threading.Event()
    find = Store.archive

    def find_later(store: Store, sha256: str) -> bytes | None:
        all_asked.wait(60)
        return find(store, sha256)

    async with running(broker, tmp_path) as (updates, client):
        monkeypatch.setattr(Store, "archive", find_later)
        for _ in range(50):
            await ask(client, "greedy", 0)
        for node in sorted(nodes):
            await ask(client, "greedy", 1024)
            await ask(client, node, 0)

        async def heard() -> bool:
            return {f"{ROOT}/{node}/update" for node in nodes} <= updates._waiting.keys()

        await until(heard)
        all_asked.set()
        served: Counter[str] = Counter()
        while not nodes <= set(served):
            served[(await piece(client))[0]] += 1
    assert 1 <= served["greedy"] <= 2, "asked for 70 times"


async def test_pieces_leave_at_a_bounded_rate(broker: Mosquitto, tmp_path: Path) -> None:
    async with serving(broker, tmp_path, pieces_per_second=100) as client:
        began = time.monotonic()  # before: pieces that wait here while the others are asked for come at once
        for i in range(40):
            await ask(client, f"n{i}", 0)
        for _ in range(31):
            await piece(client)
    assert time.monotonic() - began > 0.25


async def test_a_broker_that_comes_back_finds_it_again(
    broker: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.steer.link.BROKER_SECONDS", (0.05, 0.1))
    Store(tmp_path).add(PACKAGE)
    task = asyncio.create_task(Updates(Mqtt("127.0.0.1", broker.port), ["riverside"], tmp_path).run())
    for _ in range(2):
        async with asyncio.timeout(60), aiomqtt.Client("127.0.0.1", broker.port) as client:
            await client.subscribe(f"{ROOT}/+/update/piece")
            await begun(client)
        await asyncio.to_thread(broker.kill)
        await asyncio.to_thread(broker.start)
    task.cancel()
    await asyncio.wait({task}, timeout=30)
    assert task.cancelled()


async def test_it_ends_when_it_is_told_to_whatever_it_does(broker: Mosquitto, tmp_path: Path) -> None:
    chance = random.Random(7)
    for n in range(12):
        async with serving(broker, tmp_path, pieces_per_second=20 if n % 2 else 2000) as client:
            for i in range(20):
                await ask(client, f"n{i}", 0)
            await asyncio.sleep(chance.uniform(0, 0.05))


async def test_what_cannot_be_read_ends_nothing(broker: Mosquitto, tmp_path: Path) -> None:
    """Any node may send it, and the part's failure would be the gateway's."""
    async with serving(broker, tmp_path) as client:
        for payload in (b"{", b'{"sha256":"\xff"}', b'{"x":' + b"[" * 5000 + b"]" * 5000 + b"}", b'{"at":1e400}'):
            await client.publish(f"{ROOT}/odd/update/want", payload)
        await ask(client, "odd", 10**400)
        await ask(client, "well", 0)
        assert (await piece(client))[0] == "well"


async def test_a_node_that_asks_for_nonsense_fills_neither_the_log_nor_others_time(
    broker: Mosquitto, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Rubbish, what is too long, names that lead elsewhere, updates that are not there: a line each, and counted."""
    (tmp_path / "secret.update").write_bytes(PACKAGE.encode())
    elsewhere = ("../secret", "/etc/passwd", "..", "", SHA.upper(), SHA + "\n", SHA[:-1], "../" * 21 + "x", "\0" * 64)
    async with running(broker, tmp_path) as (updates, client):
        caplog.clear()
        for sha in elsewhere:
            await ask(client, "bad", 0, sha=sha)
        for i in range(50):
            await client.publish(f"{ROOT}/bad/update/want", b" " * 2000 + b'{"sha256":"%d"}' % i)
            await ask(client, "bad", 0, sha=f"{i:064x}")
            await ask(client, f"bad{i}", 0, sha=f"{i:064x}")
        await ask(client, "well", 0)
        assert (await piece(client))[0] == "well"
        assert updates.refused >= len(elsewhere) + 100
    lines = [each.getMessage() for each in caplog.records if each.name == "gateway.update.service"]
    assert len(lines) == 2, lines
    assert any("asks for what nobody can give" in each for each in lines)
    assert any("which is not here" in each for each in lines)
