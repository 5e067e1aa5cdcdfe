"""The part of the gateway that serves updates: nodes ask for pieces, and get them in turn.

It has a connection of its own, so that a thousand nodes fetching never hold up an acknowledgement. A node has one
request under way; a newer one takes the place of the older, so nobody can ask others out of their turn. Pieces leave at
a bounded rate and at QoS 0: a node that does not get one asks again, and the broker keeps none for a node that is away.
"""

import asyncio
import logging
import struct
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import aiomqtt
import msgspec
from msgspec import Meta, Struct

from gateway.config import Mqtt
from gateway.steer.link import connect, end_if_cancelled, listen, stay_connected, until_one_ends
from gateway.update.package import Sha256
from gateway.update.store import Store

log = logging.getLogger(__name__)

PIECE_BYTES: Final = 2048
PIECES_PER_SECOND: Final = 250
"""Half a MiB a second for all nodes together: far below what the broker carries beside it."""
MOST_WAITING: Final = 20_000
WANT_SECONDS: Final = 60.0
"""A request that waited longer was made again, or its node is gone."""
MOST_WANT_BYTES: Final = 256
"""Of a request; a node's has some 100."""
_QUIET_SECONDS: Final = 60.0
"""Between two lines of the log about what any node can bring about as often as it likes."""


class Want(Struct, frozen=True):
    """A node's request."""

    sha256: Sha256
    at: Annotated[int, Meta(ge=0)]
    size: Annotated[int, Meta(ge=1, le=PIECE_BYTES)]


class _Waiting(NamedTuple):
    want: Want
    since: float
    """`time.monotonic()`, seconds."""


class Updates:
    """Run by the gateway; serves what lies in its folder of packages."""

    def __init__(
        self, settings: Mqtt, sites: Sequence[str], data_dir: Path, pieces_per_second: float = PIECES_PER_SECOND
    ) -> None:
        self._settings = settings
        self._topics = [f"ganglion/v1/{site}/+/update/want" for site in sites]
        self._name = f"ganglion-updates-{sites[0]}"
        self._store = Store(data_dir)
        self._gap = 1 / pieces_per_second
        self._waiting: dict[str, _Waiting] = {}
        self._asked = asyncio.Event()
        self._quiet_until: dict[str, float] = {}
        self.refused = 0
        """Requests that nobody can serve, since the start."""

    async def run(self) -> None:
        """Serve, over every loss of the connection."""
        await stay_connected(lambda: connect(self._settings, self._name), self._work, self._say)

    async def _work(self, client: aiomqtt.Client) -> None:
        await listen(client, self._topics, qos=0)
        end_if_cancelled()
        await until_one_ends(self._hear(client), self._serve(client))

    def _say(self, trouble: str | None) -> None:
        if trouble is not None:
            log.info("updates are not served now: %s", trouble)

    async def _hear(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            node = str(message.topic).removesuffix("/want")
            if node not in self._waiting and len(self._waiting) >= MOST_WAITING:
                continue  # it asks again
            try:
                want = _want(message.payload)
            except ValueError as error:
                self._refuse("rubbish", "%s asks for what nobody can give: %s", node, error)
                continue
            self._waiting[node] = _Waiting(want, time.monotonic())
            self._asked.set()

    async def _serve(self, client: aiomqtt.Client) -> None:
        due = time.monotonic()
        while True:
            if not self._waiting:
                self._asked.clear()
                await self._asked.wait()
            node = next(iter(self._waiting))
            want, since = self._waiting.pop(node)
            if time.monotonic() - since > WANT_SECONDS:
                continue
            # Before it is looked for: to ask for what is not there must not be cheaper than to fetch.
            due = max(due + self._gap, time.monotonic())
            await asyncio.sleep(due - time.monotonic())
            piece = await asyncio.to_thread(self._piece, want)
            if piece is None:
                continue
            await client.publish(f"{node}/piece", piece, qos=0)
            end_if_cancelled()

    def _piece(self, want: Want) -> bytes | None:
        """Offset and data; None when there is no such piece."""
        archive = self._store.archive(want.sha256)
        if archive is None:
            self._refuse("missing", "nodes want the update %s, which is not here: publish it again", want.sha256)
            return None
        data = archive[want.at : want.at + want.size]
        return struct.pack(">I", want.at) + data if data else None

    def _refuse(self, what: str, words: str, *of: object) -> None:
        self.refused += 1
        now = time.monotonic()
        if now >= self._quiet_until.get(what, now):
            self._quiet_until[what] = now + _QUIET_SECONDS
            log.warning(f"{words} (%d requests were not served since the start)", *of, self.refused)


def _want(payload: object) -> Want:
    """Raises ValueError when it is no request."""
    if not isinstance(payload, bytes) or len(payload) > MOST_WANT_BYTES:
        raise ValueError(f"a request has {MOST_WANT_BYTES} bytes at most")
    try:
        return msgspec.json.decode(payload, type=Want)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
