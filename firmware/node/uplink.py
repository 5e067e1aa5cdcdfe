# The way out: joins the network, holds the session with the broker, empties the outbox in order, hears what is wanted.

import asyncio
import json

from micropython import const

from node.mqtt import Client, Rejected
from node.net import jittered, wire_ms, wire_sleep_ms
from node.outbox import FIRST_FREE_ID
from node.pack import message

_FIRST_MS = 1_000
_LONGEST_MS = 60_000
_LOOK_MS = const(5_000)
_BACKLOG = const(8)  # packs waiting at a connection; with more the node is recovering from an outage
_RECOVERY_MS = 1_000  # from message to message then: a city of nodes that come back must not drown its gateway
_RELEASE_MS = 20_000  # half to one and a half times that, after a hold: all nodes of the site hear its end at once
_STATUS_ID = FIRST_FREE_ID
_SUBSCRIBE_ID = FIRST_FREE_ID + 1
_FIRST_SAY_ID = FIRST_FREE_ID + 2
_LAST_ID = const(65_535)


class Uplink:
    """`birth()` gives the content of the retained status message; `link` joins the network.

    `identity` is that of node/identity.py, with TLS; None: without.

    `hear` before `run`. `on_connect` are functions called when a connection is up; `on_progress` is called whenever
    sending has come further, or honestly tried. While `held` the gateway has no room, and packs stay in the
    outbox; None: not known yet.
    """

    def __init__(self, config, link, outbox, birth, log, identity=None):
        self._site, self._node = config["site"], config["node"]
        self._root = "ganglion/v1/%s/%s/" % (self._site, self._node)
        mqtt = config["mqtt"]
        self.held = None
        self._link, self._outbox = link, outbox
        self._birth = birth
        self._log = log
        self._more = asyncio.Event()
        self._handlers = {}
        self._say_id = _LAST_ID
        self._recovering = False
        self._merge = True  # until the heap proves too splintered for the buffers of long messages
        self.unheard = None
        self.on_connect = []
        self.on_progress = lambda: None
        self.connected = False
        self.connections = 0
        self._anew = False
        self._identity = identity
        if identity:
            self.hear("identity", identity.hear)
        self._client = Client(
            mqtt["host"],
            mqtt["port"],
            "%s/%s" % (self._site, self._node),
            mqtt["user"],
            mqtt["password"],
            mqtt["keepalive_s"],
            will=(self._root + "status", '{"online":false}'),
            server_name=(mqtt.get("tls") or {}).get("name"),
        )
        self._client.on_ack = self._on_ack
        self._client.on_message = self._on_message
        self._client.on_refused = lambda: log("mqtt", "the broker refuses to tell this node what is wanted of it")

    def hear(self, level, handler):
        """Have `handler(payload)` called with each message on this level of the node's topic. It must not raise.

        With None the level is subscribed to, and `unheard(level, payload)` is called.
        """
        self._handlers[level] = handler

    async def say(self, level, payload, retain=False):
        """Publish a text at QoS 1, once. Raises OSError when there is no connection."""
        self._say_id = self._say_id + 1 if self._say_id < _LAST_ID else _FIRST_SAY_ID
        await self._client.publish(self._root + level, payload.encode(), self._say_id, retain)

    async def leave(self):
        """End the connection in an orderly way, because the board is about to sleep: the will is not published."""
        await self._client.close()

    def begin_anew(self):
        """End this connection soon, in an orderly way, and begin the next one: there is another identity for it."""
        self._anew = True

    def wake(self):
        """There is something new in the outbox."""
        self._more.set()

    def _on_ack(self, packet_id):
        if packet_id == _STATUS_ID and self.held is None:
            self.held = False  # the broker answers in order: a hold would have come before
        self._outbox.acknowledged(packet_id)
        self.on_progress()
        self._more.set()

    def _on_message(self, topic, payload):
        if not topic.startswith(self._root):
            self._on_hold(payload)  # the only one that is not below the node's own name
        elif payload:
            self.take(topic[len(self._root) :], payload)

    def _on_hold(self, payload):
        try:
            held = json.loads(payload)["hold"] is True
        except (ValueError, KeyError, TypeError, RuntimeError, MemoryError):
            held = False  # the last two when it is nested deep
        self._log("mqtt", "packs held: %s" % held)
        self.held = held
        self._more.set()

    def take(self, level, payload):
        """Hand a message to who hears this level."""
        if level in self._handlers:
            handler = self._handlers[level]
            handler(payload) if handler else self.unheard(level, payload)

    async def run(self):
        wait = _FIRST_MS
        while True:
            self.on_progress()
            try:
                await self._link.join()
                self.held = None
                if self._identity:
                    resumed = await self._identity.connect(self._client)
                else:
                    resumed = await self._client.connect()
                self.connections += 1
                wait = _FIRST_MS
                self._log("mqtt", "connected, session " + ("resumed" if resumed else "new"))
                await self._talk()
            except Rejected as error:
                # Trying again at once will not change the broker's mind, and a thousand nodes doing it would hurt it.
                self._log("mqtt", str(error))
                wait = _LONGEST_MS
            except (OSError, ValueError, asyncio.TimeoutError) as error:  # ValueError: a certificate of no use
                self._log("mqtt", "no connection: %r" % error)
            finally:
                self.connected = False
                self._outbox.disconnected()
                await self._client.close()
            await wire_sleep_ms(jittered(wait))
            wait = min(wait * 2, _LONGEST_MS)

    async def _talk(self):
        client, outbox = self._client, self._outbox
        # Who sees the birth may send a command at once: it must not be missed. The hold's state is retained: queued for
        # a node that is away, each change of it would only fill the broker.
        topics = [("ganglion/v1/%s/hold" % self._site, 0)]
        for level in self._handlers:
            topics.append((self._root + level, 1))
        await client.subscribe(topics, _SUBSCRIBE_ID)
        birth = json.dumps(self._birth()).encode()
        await client.publish(self._root + "status", birth, _STATUS_ID, retain=True)
        self.connected = outbox.online = True
        self._anew = False
        self._recovering = len(outbox) > _BACKLOG
        for tell in self.on_connect:
            tell()
        sending = asyncio.create_task(client.guard(self._send()))
        try:
            while not client.broken.is_set() and not self._anew:
                try:
                    await asyncio.wait_for_ms(client.broken.wait(), wire_ms(_LOOK_MS))
                except asyncio.TimeoutError:
                    if self.held is None:
                        self.held = False  # a birth that is not acknowledged must not keep packs for ever
                    if outbox.stalled():
                        client.give_up(OSError(110, "packs are not acknowledged"))
                    else:
                        self.on_progress()
        finally:
            sending.cancel()
        if not self._anew:
            self._log("mqtt", "connection lost: %r" % client.error)

    async def _send(self):
        while True:
            if self.held is not False:
                held = self.held
                self._more.clear()
                await self._more.wait()
                if held and not self.held:
                    await wire_sleep_ms(jittered(_RELEASE_MS))
                    self._recovering = len(self._outbox) > _BACKLOG
                continue
            found = self._outbox.next(self._recovering and self._merge)
            if found is None:
                self._recovering = self._recovering and len(self._outbox) > _BACKLOG
                self._more.clear()
                await self._more.wait()
                continue
            try:
                payload = message(self._site, self._node, found.packs)
                self._outbox.published(found)
                await self._client.publish(self._root + found.stream, payload, found.number, dup=found.dup)
            except MemoryError:
                self._merge = False
                raise
            found = payload = None  # a long wait may follow
            if self._recovering:
                await wire_sleep_ms(jittered(_RECOVERY_MS))
