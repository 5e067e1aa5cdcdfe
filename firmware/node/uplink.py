# The way out: joins the network, holds the session with the broker, empties the outbox in order.

import asyncio
import json

from node.mqtt import Client, Rejected
from node.net import jittered, wire_sleep_ms
from node.outbox import FIRST_FREE_ID, packet_id
from node.pack import pack

_FIRST_MS = 1_000
_LONGEST_MS = 60_000
_STATUS_ID = FIRST_FREE_ID


class Uplink:
    """`birth` is the content of the retained status message; `link` joins the network."""

    def __init__(self, config, link, outbox, clock, boot, birth, log):
        self._site, self._node = config["site"], config["node"]
        self._root = "ganglion/v1/%s/%s/" % (self._site, self._node)
        mqtt = config["mqtt"]
        self._link, self._outbox, self._clock = link, outbox, clock
        self._boot = boot
        self._birth = json.dumps(birth).encode()
        self._log = log
        self._more = asyncio.Event()
        self.connections = 0
        self._client = Client(
            mqtt["host"],
            mqtt["port"],
            "%s/%s" % (self._site, self._node),
            mqtt["user"],
            mqtt["password"],
            mqtt["keepalive_s"],
            will=(self._root + "status", '{"online":false}'),
        )
        self._client.on_ack = self._on_ack

    def wake(self):
        """There is something new in the outbox."""
        self._more.set()

    def _on_ack(self, packet_id):
        self._outbox.acknowledged(packet_id)
        self._more.set()

    async def run(self):
        wait = _FIRST_MS
        while True:
            try:
                await self._link.join()
                resumed = await self._client.connect()
                self.connections += 1
                wait = _FIRST_MS
                self._log("mqtt", "connected, session " + ("resumed" if resumed else "new"))
                await self._talk()
            except Rejected as error:
                # Trying again at once will not change the broker's mind, and a thousand nodes doing it would hurt it.
                self._log("mqtt", str(error))
                wait = _LONGEST_MS
            except (OSError, asyncio.TimeoutError) as error:
                self._log("mqtt", "no connection: %r" % error)
            finally:
                await self._client.close()
                self._outbox.disconnected()
            await wire_sleep_ms(jittered(wait))
            wait = min(wait * 2, _LONGEST_MS)

    async def _talk(self):
        await self._client.publish(self._root + "status", self._birth, _STATUS_ID, retain=True)
        sending = asyncio.create_task(self._client.guard(self._send()))
        try:
            await self._client.broken.wait()
        finally:
            sending.cancel()
        self._log("mqtt", "connection lost: %r" % self._client.error)

    async def _send(self):
        while True:
            # A pack from before the clock was known waits here until it can be stamped.
            waiting = self._outbox.next() if self._clock.known() else None
            if waiting is None:
                self._more.clear()
                await self._more.wait()
                continue
            seq, time, stream, body, dup = waiting
            if time < 0:
                time = self._clock.stamp(time)
                self._outbox.stamp(seq, time)
            payload = pack(self._site, self._node, time, self._boot, seq, body)
            self._outbox.published(seq)
            await self._client.publish(self._root + stream, payload, packet_id(seq), dup=dup)
