# Who this node is to its broker: which pair of key and certificate it connects with, and whether that must change.
# Loaded with TLS alone.

import asyncio
import gc

from micropython import const

from node import pairs
from node.clock import rtc_ms
from node.files import CONFIG, load, write
from node.later import forget
from node.net import jittered

_PATIENCE = const(3)  # refusals in a row, after which something else is tried
_FIRST_MS = 600_000  # after a start: many may have started at once
_DAY_MS = 86_400_000
_DAY_S = const(86_400)
# What is in memory while a certificate is asked for.
_MAKING = ("node.renew", "node.enrol", "node.request", "node.p256", "node.der")


class Identity:
    """`settings` is the table `mqtt.tls`, `name` is site/node. Raises ConfigError for files that cannot be used.

    `serial` (hexadecimal) and `ends` (Unix s) are of the certificate that the node connects with; None where there is
    none, or it is not as our authority writes them. A new pair is on trial until a broker accepts it. One that was
    refused three times makes room for the one before; if that is accepted the new one is dropped, else it has its turn
    again.
    """

    def __init__(self, settings, name, log):
        self.settings, self.name, self._log = settings, name, log
        self.serial = self.ends = None
        self._owner = self._context = None
        self._refusals = 0
        self._wanted = asyncio.Event()
        self.answered = asyncio.Event()
        self.answer = None
        self.busy = False  # whether it waits for a new certificate
        try:
            pairs.settle(settings)
        except OSError as error:
            self._log("identity", "flash: %r" % error)
        self._trial = pairs.on_trial() is not None
        self._tries = False  # the context is of the pair on trial
        if not self._is_missing():
            self._build()

    def _is_missing(self):
        """Whether it has to be made with a token: there is none, or it is another one's, or it is refused."""
        if not self.settings["enrol"]:
            return False
        try:
            held = pairs.held(self.settings)
        except OSError:
            return True
        self._look_at(held[1])
        return self._owner != self.name or self._refusals >= _PATIENCE

    def _look_at(self, certificate):
        from node import der

        try:
            found = der.certificate(certificate)
            self.serial, self.ends, self._owner = "%x" % found["serial"], found["ends"], found["name"]
        except ValueError:
            self.serial = self.ends = self._owner = None
        finally:
            forget(("node.der",))

    def _turn(self):
        """Whether it is that of the pair on trial."""
        return self._trial and self._refusals % (_PATIENCE + 1) != _PATIENCE

    def _build(self):
        from node import tls

        self._context = None
        gc.collect()  # no room for two
        self._tries = self._turn()
        if self._tries:
            pair = pairs.on_trial()
            try:
                self._context = tls.context(self.settings, pair)
            except ValueError as error:
                self._log("identity", "the new certificate is dropped: %s" % error)
                self._trial = self._tries = False
                pairs.drop()
        if not self._context:
            try:
                pair = pairs.held(self.settings)
            except OSError:
                pair = None  # the error names the file
            self._context = tls.context(self.settings, pair)
        self._look_at(pair[1])

    # Connecting.

    async def connect(self, client):
        """`client.connect()` with the pair whose turn it is. Raises what that does, and OSError without a pair."""
        if self._is_missing():
            client.ssl = self._context = None
            self._refusals = 0
            await self._enrol()
        if not self._context or self._tries != self._turn():
            client.ssl = None
            self._build()
        client.ssl = self._context
        try:
            resumed = await client.connect()
        except (OSError, ValueError):
            if client.reached:
                self._refusals += 1
            raise
        self._refusals = 0
        try:
            self._accepted()
        except (OSError, ValueError) as error:
            self._log("identity", "flash: %r" % error)  # it is done at the next connection
        return resumed

    def _accepted(self):
        if self._trial:
            try:
                if self._tries:
                    pairs.keep(self.settings)
                    self._log("identity", "the new certificate was accepted")
                else:
                    pairs.drop()
                    self._log("identity", "the new certificate is dropped: it was refused, the one before was not")
            finally:
                self._trial = pairs.on_trial() is not None
                self._tries = self._tries and self._trial
        if self.settings["enrol"]:
            config = load(CONFIG)
            config["mqtt"]["tls"].pop("enrol", None)
            write(CONFIG, config)
            self.settings["enrol"] = None

    async def _enrol(self):
        from node import enrol

        try:
            await enrol.run(self.settings, self.name, self._log)
        finally:
            forget(_MAKING)

    # Renewing.

    def hear(self, payload):
        """The gateway's answer."""
        if self.busy:
            self.answer = bytes(payload)
            self.answered.set()

    def renew(self):
        """Ask for a new certificate. Raises ValueError when that goes on already, or the issuer is not known."""
        if self.busy or self._trial:
            raise ValueError("it is being renewed already")
        pairs.issuer(self.settings)
        self.busy = True
        self._wanted.set()

    def is_due(self):
        """Whether it is time to ask. Never while the clock is not known: what ends when is not, either."""
        from node.clock import BELIEVABLE

        now = rtc_ms() // 1000
        return bool(self.ends) and now >= BELIEVABLE and self.ends - now < self.settings["renew_days"] * _DAY_S

    def look(self):
        """Ask if it is time."""
        if self.is_due() and not self.busy and not self._trial:
            try:
                self.renew()
            except ValueError as error:
                self._log("identity", str(error))

    async def watch(self, uplink):
        """Ask when it is time, looked at once a day, and when `renew` says so."""
        self.busy = False
        wait = _FIRST_MS
        while True:
            try:
                await asyncio.wait_for_ms(self._wanted.wait(), jittered(wait))
            except asyncio.TimeoutError:
                self.look()
            wait = _DAY_MS
            if self._wanted.is_set():
                self._wanted.clear()
                try:
                    await self._renew(uplink)
                finally:
                    self.busy = False

    async def _renew(self, uplink):
        from node import renew

        try:
            await renew.run(self, uplink, self._log)
            self._trial, self._refusals = True, 0
            uplink.begin_anew()
        except (OSError, ValueError) as error:
            self._log("identity", "no new certificate: %s" % error)
        finally:
            self.answer = None
            forget(_MAKING)
