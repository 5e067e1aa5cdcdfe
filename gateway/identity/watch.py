"""The part of the gateway that hears the broker's log: whom it refuses, and who connects."""

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import aiomqtt

from gateway.audit.entry import JSON
from gateway.audit.witness import witness
from gateway.config import Mqtt
from gateway.identity.counted import Counted
from gateway.identity.refusals import Bursts, connected, kind_of
from gateway.steer.link import connect, end_if_cancelled, listen, stay_connected, until_one_ends

log = logging.getLogger(__name__)

TOPIC: Final = "$SYS/broker/log/#"
LOOK_SECONDS: Final = 10.0


class BrokerWatch:
    """Run by the gateway. A broker that tells nothing there is heard saying nothing."""

    def __init__(
        self,
        settings: Mqtt,
        site: str,
        data_dir: Path,
        counted: Counted,
    ) -> None:
        self._settings = settings
        self._name = f"ganglion-watch-{site}"
        self._data_dir = data_dir
        self.on_connect: Callable[[str], None] = lambda name: None
        """Called with the name of each node that connects."""
        self._bursts = Bursts(self._tell)
        self._bursts.counts.update(counted.refused)  # goes on counting when the parts are started anew
        counted.refused = self._bursts.counts
        self._telling: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Over every loss of the connection."""
        await stay_connected(lambda: connect(self._settings, self._name), self._work, self._say)

    async def _work(self, client: aiomqtt.Client) -> None:
        await listen(client, [TOPIC], qos=0)
        end_if_cancelled()
        await until_one_ends(self._hear(client), self._look())

    def _say(self, trouble: str | None) -> None:
        if trouble is not None:
            log.info("the broker's log is not heard now: %s", trouble)

    async def _hear(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            self.hear(bytes(message.payload).decode("utf-8", "backslashreplace"))

    def hear(self, line: str) -> None:
        """One line of the log."""
        if (name := connected(line)) is not None:
            self.on_connect(name)
        elif (kind := kind_of(line)) is not None:
            self._bursts.count(kind, time.monotonic())

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self._bursts.look(time.monotonic())

    def _tell(self, kind: str, sentence: str) -> None:
        log.warning("%s", sentence)
        detail: dict[str, JSON] = {"kind": kind, "seen": sentence, "count": self._bursts.counts[kind]}
        task = asyncio.create_task(witness(self._data_dir, "attack", of="broker", detail=detail))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)
