"""A hundred open consoles in one process, as the console's server sees them: a page, and a socket that is kept.

`python -m tests.bench.consoles BASE NUMBER FOLDER` opens them, makes FOLDER/open when all are, and at SIGTERM writes
what came to FOLDER/told.json. What a browser does with it is not there: its cost is no cost of the server.
"""

import asyncio
import os
import re
import signal
import sys
import time
import uuid
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

import aiohttp
import msgspec
import socketio
from msgspec import Struct

from sim_hardware.servers import check_running, spawn, wait_until
from tests.bench.stand import BenchError

ACK_S = 3.0
"""How often a page says what it has got."""
OPENING = 4
"""Pages that are opened at once."""
OPEN_S, END_S = 120.0, 20.0
_CLIENT = re.compile(r"""query: \{.*?client_id['"]: ['"]([^'"]+)['"].*?next_message_id['"]: (\d+)""")


class Told(Struct, frozen=True):
    """What one console got."""

    messages: int
    states: int
    """Of them, changes of the map."""
    bytes: int
    seconds: float
    """For how long it was open."""
    lost: int
    """Times that its connection ended."""


class Consoles:
    """They as seen from the bench: `with Consoles(base, number, folder) as them: ...`, then `them.told`."""

    def __init__(self, base: str, number: int, folder: Path) -> None:
        self._arguments = [base, str(number), str(folder)]
        self._folder, self.number = folder, number
        self.told: list[Told] = []

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True)
        command = [sys.executable, "-m", "tests.bench.consoles", *self._arguments]
        self._process = spawn(command, self._folder / "log", cwd=Path(__file__).resolve().parents[2])

        def all_open() -> bool:
            check_running(self._process, "the consoles", self._folder / "log")
            return (self._folder / "open").exists()

        try:
            wait_until(all_open, OPEN_S, f"the opening of {self.number} consoles")
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._process.terminate()
        code = self._process.wait(END_S)
        if kind is None:
            told = self._folder / "told.json"
            if code or not told.exists():
                raise BenchError(f"the consoles ended with {code}: {(self._folder / 'log').read_text()[-600:]}")
            self.told = msgspec.json.decode(told.read_bytes(), type=list[Told])
            if any(each.lost for each in self.told):
                raise BenchError(f"of {self.number} consoles {sum(bool(each.lost) for each in self.told)} were cut off")


# The process.


class _Page:
    """One of them."""

    def __init__(self, base: str, session: aiohttp.ClientSession) -> None:
        self._base, self._session = base, session
        self._client = socketio.AsyncClient(reconnection=False, http_session=session)
        self._client.on("*", self._hear)
        self._client.on("disconnect", self._end)
        self._next = -1
        self._id = ""
        self._messages = self._states = self._bytes = self._lost = 0
        self._since = 0.0

    async def open(self) -> None:
        """As nicegui.js does it."""
        async with self._session.get(self._base, headers={"Accept-Encoding": "gzip"}) as answer:
            text = await answer.text()
        found = _CLIENT.search(text)
        if answer.status != 200 or found is None:
            raise BenchError(f"the console answered {answer.status}: {text[:300]}")
        self._id, self._next = found[1], int(found[2])
        said = {
            "client_id": self._id,
            "next_message_id": self._next,
            "implicit_handshake": "true",
            "document_id": uuid.uuid4(),
            "tab_id": uuid.uuid4(),
        }
        await self._client.connect(
            f"{self._base}?{urlencode(said)}", transports=["websocket"], socketio_path="/_nicegui_ws/socket.io"
        )
        self._since = time.monotonic()

    async def _hear(self, event: str, data: dict[str, Any]) -> None:
        self._messages += 1
        self._states += event == "run_javascript" and data["code"].startswith("ganglion.states(")
        self._bytes += len(str(data))
        self._next = data.get("_id", self._next) + 1

    async def _end(self, *_: object) -> None:
        self._lost += 1

    async def acknowledge(self) -> None:
        if self._client.connected:
            await self._client.emit("ack", {"client_id": self._id, "next_message_id": self._next})

    async def close(self) -> Told:
        told = Told(self._messages, self._states, self._bytes, time.monotonic() - self._since, self._lost)
        await self._client.disconnect()
        return told


async def _run(base: str, number: int, folder: Path) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        pages = [_Page(base, session) for _ in range(number)]
        turn = asyncio.Semaphore(OPENING)

        async def enter(page: _Page) -> None:
            async with turn:
                await page.open()

        await asyncio.gather(*map(enter, pages))
        (folder / "open").touch()
        while not stop.is_set():
            try:
                async with asyncio.timeout(ACK_S):
                    await stop.wait()
            except TimeoutError:
                for page in pages:
                    await page.acknowledge()
        told = [await page.close() for page in pages]
    (folder / "told.json").write_bytes(msgspec.json.encode(told))


if __name__ == "__main__":
    os.nice(10)  # browsers are elsewhere: these take no more than what is left
    asyncio.run(_run(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])))
