"""A stand-in for a node: plays its part of the protocol that goes down, word for word, with a clock of its own."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import aiomqtt

REFUSED = {"window_s": "window_s must be a whole number from 1 to 3600"}


class StandIn:
    """Run by `online`. `off_ms` is what its clock shows beside the true time."""

    def __init__(self, port: int, node: str, *, site: str = "riverside", off_ms: int = 0, known: bool = True) -> None:
        self.port, self.site, self.node = port, site, node
        self.off_ms, self.known = off_ms, known
        self.root = f"ganglion/v1/{site}/{node}"
        self.commands: list[dict[str, Any]] = []
        self.configs: list[dict[str, Any]] = []
        self.news = asyncio.Event()

    def birth(self) -> bytes:
        birth = {"online": True, "kind": "air", "boot": 1, "firmware": "0.2.0", "clock": self.known}
        return json.dumps(birth).encode()

    @contextlib.asynccontextmanager
    async def online(self) -> AsyncIterator["StandIn"]:
        will = aiomqtt.Will(f"{self.root}/status", b'{"online":false}', 1, True)
        async with aiomqtt.Client(
            "127.0.0.1",
            self.port,
            identifier=f"{self.site}/{self.node}",
            clean_session=False,
            will=will,
        ) as client:
            await client.subscribe([(f"{self.root}/command", 1), (f"{self.root}/config", 1)])
            await client.publish(f"{self.root}/status", self.birth(), 1, True)
            living = asyncio.create_task(self._live(client))
            try:
                yield self
            finally:
                living.cancel()
                await client.publish(f"{self.root}/status", b'{"online":false}', 1, True)

    async def _live(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            said = json.loads(bytes(message.payload))
            if str(message.topic).endswith("/config"):
                self.configs.append(said)
                await client.publish(f"{self.root}/config/reported", json.dumps(self.report(said)), 1, True)
            else:
                self.commands.append(said)
                await client.publish(f"{self.root}/reply", json.dumps(self.reply(said)), 1)
            self.news.set()

    def report(self, wanted: dict[str, Any]) -> dict[str, Any]:
        refused = {key: why for key, why in REFUSED.items() if not isinstance(wanted.get(key, 1), int)}
        return {"taken": {key: value for key, value in wanted.items() if key not in refused}, "refused": refused}

    def reply(self, command: dict[str, Any]) -> dict[str, Any]:
        answer = {"id": command["id"], "ok": True}
        if command["op"] == "time":
            if "offset_ms" in command:
                self.off_ms += command["offset_ms"]
                self.known = True
            return answer | {"unix_ms": time.time_ns() // 1_000_000 + self.off_ms, "known": self.known}
        if command["op"] == "sample":
            return answer | {
                "readings": [{"n": "pm2_5", "u": "ug/m3", "v": 12.25}, {"n": "voc_index", "u": "", "v": 9}]
            }
        if command["op"] == "logs":
            return answer | {"lines": ["1 node: boot 1", "2 mqtt: connected"], "last_words": "OSError: 110"}
        if command["op"] == "calibrate" and "gain" not in command:
            return {"id": command["id"], "ok": False, "error": "gain is missing"}
        return answer
