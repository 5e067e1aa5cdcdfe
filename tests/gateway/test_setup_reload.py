"""A changed configuration is found, whenever it was changed."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import urllib3

from gateway import service
from gateway.configfile import ConfigFile
from gateway.journal.store import Journal
from sim_hardware.servers import free_port

NOBODY = 9
"""A port at which nobody listens: no broker and no database are needed here."""
SECONDS = 60.0


def write(path: Path, port: int, data: str = "data") -> None:
    """Replaced as an editor would."""
    new = path.with_suffix(".new")
    new.write_text(
        f'sites = ["riverside"]\ndata_dir = "{data}"\n[mqtt]\nhost = "127.0.0.1"\nport = {NOBODY}\n'
        f'[influx]\nurl = "http://127.0.0.1:{NOBODY}"\n[http]\nlisten = "127.0.0.1:{port}"\n'
    )
    new.replace(path)


async def test_a_change_between_two_watches_is_found(tmp_path: Path) -> None:
    """And each only once; what cannot be used is passed over; the end comes before all."""
    path, stop = tmp_path / "ganglion.toml", asyncio.Event()
    write(path, 1001)
    file = ConfigFile(path)
    first = file.load()
    write(path, 1002)
    async with asyncio.timeout(SECONDS):
        second = await file.next(first, stop)
        assert second is not None
        assert second.http.address[1] == 1002
        waiting = asyncio.create_task(file.next(second, stop))
        write(path, 1003, data="other")
        path.unlink()
        await asyncio.sleep(0)
        write(path, 1004)
        third = await waiting
        assert third is not None
        assert third.http.address[1] == 1004
        write(path, 1005)
        stop.set()
        assert await file.next(third, stop) is None


async def test_a_change_while_another_is_taken_is_taken_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole gateway: the file changes again between its reading and the start of the watch over it."""
    path = tmp_path / "ganglion.toml"
    ports = [free_port() for _ in range(3)]
    left = iter(ports[1:])
    build = service.Gateway.build

    async def change_and_build(*arguments: Any) -> service.Gateway:
        if (port := next(left, None)) is not None:
            write(path, port)
        return await build(*arguments)

    monkeypatch.setattr(service.Gateway, "build", change_and_build)
    write(path, ports[0])
    running = asyncio.create_task(service.serve(path))
    try:
        async with asyncio.timeout(SECONDS):
            while await asyncio.to_thread(status, ports[2]) != 200:
                assert not running.done()
                await asyncio.sleep(0.05)
    finally:
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(SECONDS):
            await running


async def test_a_mirror_for_which_the_disk_has_no_room_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The gateway neither waits for it with nothing running, deaf to signals, nor leaves its port taken."""
    path, port = tmp_path / "ganglion.toml", free_port()
    write(path, port)
    opening = service.JournalAccess.open

    async def open_full(*arguments: Any) -> service.JournalAccess:
        access = await opening(*arguments)
        await access.call(_fill)
        return access

    monkeypatch.setattr(service.JournalAccess, "open", open_full)
    running = asyncio.create_task(service.serve(path))
    try:
        async with asyncio.timeout(SECONDS):
            while await asyncio.to_thread(status, port) != 200:
                assert not running.done()
                await asyncio.sleep(0.05)
            mirror = f'[[mirror]]\nname = "cloud"\nurl = "http://127.0.0.1:{NOBODY}"\n'
            path.write_text(path.read_text() + mirror)
            while "the changed configuration is refused" not in caplog.text:
                assert not running.done()
                await asyncio.sleep(0.05)
            while await asyncio.to_thread(status, port) != 200:
                assert not running.done()
                await asyncio.sleep(0.05)
    finally:
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(SECONDS):
            await running


def _fill(journal: Journal) -> None:
    """No room for another consumer; for other small writes there is."""
    journal._db.execute("CREATE TABLE filler (page BLOB)")
    journal._db.execute(
        "CREATE TRIGGER large AFTER INSERT ON consumers BEGIN INSERT INTO filler VALUES (zeroblob(100000)); END"
    )
    journal._db.execute("PRAGMA max_page_count = 1")


def status(port: int, seconds: float = SECONDS) -> int:
    """Of `/healthz`; 0 while nobody answers."""
    try:
        with urllib3.PoolManager(retries=False, timeout=seconds) as pool:
            return pool.request("GET", f"http://127.0.0.1:{port}/healthz").status
    except urllib3.exceptions.HTTPError:
        return 0
