# One node: its sensors, its windows, its outbox and its way out, under one supervisor.

import asyncio
import gc
import os

import esp32
import machine
from micropython import const

from node.clock import Clock
from node.later import Later, forget
from node.net import Wifi, wire_ms, wire_sleep_ms
from node.outbox import Outbox
from node.pack import body
from node.store import Store
from node.supervisor import Supervisor, Watchdog
from node.uplink import Uplink
from node.version import VERSION

_COLLECT_EVERY = const(4)  # so much of the heap: one that is tidied often stays whole; a full one is in splinters
_OUTBOX_SHARE = const(4)  # of the heap that is free at the start, the outbox may have one part in so many
_PARTIAL = const(9)  # tenths of a window that must be there for it to be sent
_KEEP_MS = 1_000
_WELL_MS = const(600_000)  # who has lived so long has not crashed at the start
_SAFE_MS = const(3_600_000)  # a node in safe mode tries once an hour whether it can do without
_UPLINK_MS = const(600_000)  # of the wire: the longest time for sending to come no further
_SLOTS = const("slots.json")  # there once an update was begun: see node/slots.py


def _is_needed(level, payload):
    """Whether a part must be loaded for a message."""
    if level != "update":
        return level != "update/piece"
    from node import needed  # its code is of no use between manifests

    try:
        return needed.is_news(payload, VERSION)
    finally:
        forget(("node.needed",))


def next_boot():
    """Count this boot, so that it is remembered over a loss of power before anything is sent."""
    nvs = esp32.NVS("ganglion")
    try:
        boot = nvs.get_i32("boot") + 1
    except OSError:
        boot = 1
    nvs.set_i32("boot", boot)
    nvs.commit()
    return boot


class Node:
    """`sensor` has `tasks`, its (name, coroutine function) pairs; `close_window(length_ms)`, the readings of the
    window of that length that ends now; `sample()`, the newest; and `save()`, for when power is failing. Readings are
    [(name, unit, value)]. What is urgent it tells by `on_event(readings)`.

    `boot` is the number of a boot that goes on, after a deep sleep.
    """

    def __init__(self, config, board, sensor, scratch, crumbs, log, identity=None, boot=0):
        self.config, self.sensor = config, sensor
        self.led, self._power_fail = board.LED, board.POWER_FAIL
        self.scratch, self.crumbs, self.log = scratch, crumbs, log
        self._began = 0  # uptime (ms) at which the window began; kept here, as the sensor's sums are, over a restart
        self._windows_closed = 0
        self.boot = boot or next_boot()
        self.clock = Clock(config["ntp"], log, scratch, self.boot)
        log.uptime_ms = self.clock.uptime_ms
        log("node", "boot %d, firmware %s, %s" % (self.boot, VERSION, crumbs.cause))
        gc.collect()
        self.outbox = Outbox(
            self.boot,
            self.clock.era,
            Store(max_bytes=config["outbox_kib"] * 1024),
            max_bytes=gc.mem_free() // _OUTBOX_SHARE,
        )
        if self.clock.offset is not None:
            self.outbox.learn(self.clock.offset)
        self.wifi = Wifi(config["wifi"]["ssid"], config["wifi"]["key"])
        self.uplink = Uplink(config, self.wifi, self.outbox, self._birth, log, identity)
        self.identity = identity
        self.supervisor = Supervisor(log)
        levels = {"config": "wanted", "command": "commands", "update": "update", "update/piece": "update"}
        self._later = Later(self.uplink, levels, self._make, self.supervisor.keep, _is_needed)
        self._restart_for = None  # why a new boot must begin
        self.clock.on_known = self.outbox.learn
        self.clock.on_step = self.uplink.wake  # what waited for the time may go
        self.clock.on_back = self._clock_is_back
        self.uplink.on_connect.append(lambda: crumbs.now("send"))
        sensor.on_event = self.event
        # A clock that is ahead may stand still for two minutes, and the window with it.
        limits = {"windows": 2000 * config["window_s"] + 180_000, "uplink": wire_ms(_UPLINK_MS)}
        self.watchdog = Watchdog(limits, log)
        self.uplink.on_progress = lambda: self.watchdog.mark("uplink")

    def _birth(self):
        birth = {
            "online": True,
            "kind": self.config["kind"],
            "boot": self.boot,
            "firmware": VERSION,
            "board": self.config["board"],
            "reset_cause": self.crumbs.cause,
            "clock": self.clock.known(),
        }
        if self.crumbs.safe:
            birth["safe"] = self.crumbs.safe
        if self.identity and self.identity.serial:
            birth["identity"] = {"serial": self.identity.serial, "ends": self.identity.ends}
        return birth

    async def run(self):
        gc.threshold((gc.mem_free() + gc.mem_alloc()) // _COLLECT_EVERY)
        if _SLOTS in os.listdir():
            self.updater()  # this may be its first boot after an update
        tasks = (
            ("windows", self._windows),
            ("keeper", self._keep),
            ("uplink", self.uplink.run),
            ("later", self._later.run),
        )
        if self.config["ntp"]:
            tasks += (("clock", self.clock.run),)
        if self.identity:
            tasks += (("identity", lambda: self.identity.watch(self.uplink)),)
        if self.config["power_fail"]:
            from node import supply

            tasks += (("supply", lambda: supply.watch(self, self._power_fail)),)
        await self.supervisor.run(tasks + self.sensor.tasks)

    def _make(self, part):
        if part == "wanted":
            from node.wanted import Wanted, check

            return Wanted(self.uplink, self.restart, check, self.log)
        if part == "commands":
            from node.commands import Commands

            return Commands(self)
        from node.update import Updater

        return Updater(self.uplink, self.config["board"], self.restart, self.log)

    def updater(self):
        """The part that brings updates, loaded if it was not yet."""
        return self._later.load("update")

    def send(self, stream, readings, ended):
        try:
            self.outbox.put(ended, stream, body(readings))
        except MemoryError:
            self.outbox.shed()
            gc.collect()
            try:
                self.outbox.put(ended, stream, body(readings))
            except MemoryError:
                self.outbox.lose()
        self.uplink.wake()

    def event(self, readings):
        self.send("event", readings, self.clock.unix_ms() // 1000)

    async def _windows(self):
        length = self.config["window_s"] * 1000
        health_every = max(1, self.config["health_s"] * 1000 // length)
        while True:
            ended = await self._boundary(length)
            now = self.clock.uptime_ms()
            lasted, self._began = now - self._began, now
            readings = self.sensor.close_window(lasted)
            self.watchdog.mark("windows")
            if lasted < length * _PARTIAL // 10:
                continue  # the rest of a window in which the node, or its clock, began: its sums would mislead
            if readings:
                self.send("telemetry", self.calibrated(readings), ended)
            self._windows_closed += 1
            if (self._windows_closed - 1) % health_every == 0:
                self._send_health(ended)

    def _send_health(self, ended):
        from node import health

        self.send("health", health.readings(self), ended)
        forget(("node.health",))  # until the next is due

    async def _boundary(self, length):
        """Wait for the end of the window; what the clock says then, in whole seconds.

        Windows end on whole multiples of their length, in Unix time or, while that is unknown, in the clock's own.
        """
        now = self.clock.unix_ms()
        end = now - now % length + length
        while now < end:
            await asyncio.sleep_ms(end - now)
            now = self.clock.unix_ms()
        return end // 1000

    async def _keep(self):
        """Once a second: feeds the watchdog, moves packs that wait to flash, looks whether the node is well."""
        while True:
            await wire_sleep_ms(_KEEP_MS)
            self.watchdog.feed()
            self.outbox.keep()
            self.uplink.wake()
            updater = self._later.part("update")
            if updater and self.uplink.connected and (self.outbox.acked or self.uplink.held and self.outbox.seq):
                updater.confirm()  # it measures, and it is heard, or has heard that it must wait
            uptime = self.clock.uptime_ms()
            if not self.crumbs.safe and uptime > _WELL_MS:
                self.crumbs.well()
            elif self.crumbs.safe and uptime > _SAFE_MS:
                self.crumbs.well(crashes=self.crumbs.crashes - 1)
                self._restart_for = "end of safe mode"
            if self._restart_for:
                await self.restart(self._restart_for)

    # Calibration.

    def calibrated(self, readings):
        if not self.config["calibration"]:
            return readings
        from node import correction

        return correction.apply(readings, self.config["calibration"])

    def calibrate(self, quantity, offset, gain, version):
        """Take a correction at once, and keep it. Raises ConfigError, OSError."""
        from node import calibration

        try:
            self.config["calibration"] = calibration.command(self.config["kind"], quantity, offset, gain, version)
        finally:
            forget(calibration.FOR_ITSELF)

    # The end of a boot.

    async def restart(self, reason):
        """Begin a new boot, on purpose. Nothing that was measured is lost but the window that has just begun."""
        self.log("node", "restarts: " + reason)
        if reason == "config":
            self.crumbs.well()  # what was changed may be what it crashed of
        self.crumbs.restarting(reason)
        self.to_flash()
        machine.reset()

    def to_flash(self):
        """What is in RAM goes to flash, and what a broker that dies now would take with it; whether all is there."""
        self.outbox.disconnected()
        done = self.outbox.settle()
        self.outbox.online = self.uplink.connected
        return done

    def _clock_is_back(self):
        # Within a boot time does not go back; there is a new one for that.
        self._restart_for = "clock set back"
