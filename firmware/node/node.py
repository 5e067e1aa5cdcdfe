# One node: its sensors, its windows, its outbox and its way out, under one supervisor.

import asyncio
import gc

import esp32
import machine

from node import health, supervisor
from node.clock import Clock
from node.net import Wifi
from node.outbox import Outbox
from node.pack import body
from node.uplink import Uplink

VERSION = "0.1.0"

_RESET_CAUSES = {1: "power_on", 2: "hard", 3: "watchdog", 4: "deep_sleep", 5: "soft"}
_WATCHDOG_MS = 300_000  # fed at every window's end; a window may be up to an hour, so it is stretched to that
_COLLECT_EVERY = 32_768  # bytes: a small heap that is tidied often stays whole; a full one is in splinters
_OUTBOX_SHARE = 3  # of the heap that is free at the start, the outbox may have one part in so many
_PARTIAL = 9  # tenths of a window that must be there for it to be sent


def log(name, text):
    print("%s: %s" % (name, text))


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
    """`sensor` has `tasks`, its (name, coroutine function) pairs, and `close_window(length_ms)`, which gives the
    readings of the window of that length that ends now: [(name, unit, value)].
    """

    def __init__(self, config, sensor):
        self.config = config
        self.sensor = sensor
        self._began = 0  # uptime (ms) at which the window began; kept here, as the sensor's sums are, over a restart
        self.boot = next_boot()
        self.clock = Clock(config["ntp"], log)
        gc.collect()
        self.outbox = Outbox(max_bytes=gc.mem_free() // _OUTBOX_SHARE)
        self.wifi = Wifi(config["wifi"]["ssid"], config["wifi"]["key"])
        birth = {
            "online": True,
            "kind": config["kind"],
            "boot": self.boot,
            "firmware": VERSION,
            "board": config["board"],
            "reset_cause": _RESET_CAUSES.get(machine.reset_cause(), "unknown"),
        }
        self.uplink = Uplink(config, self.wifi, self.outbox, self.clock, self.boot, birth, log)
        self.clock.on_step = self.uplink.wake  # what waited for the time may go
        self._watchdog = machine.WDT(timeout=max(_WATCHDOG_MS, 2000 * config["window_s"]))

    async def run(self):
        gc.threshold(_COLLECT_EVERY)
        await supervisor.run(
            (("clock", self.clock.run), ("windows", self._windows), ("uplink", self.uplink.run)) + self.sensor.tasks,
            log,
        )

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

    async def _windows(self):
        length = self.config["window_s"] * 1000
        health_every = max(1, self.config["health_s"] * 1000 // length)
        count = 0
        while True:
            ended = await self._boundary(length)
            now = self.clock.uptime_ms()
            lasted, self._began = now - self._began, now
            readings = self.sensor.close_window(lasted)
            self._watchdog.feed()
            if lasted < length * _PARTIAL // 10:
                continue  # the rest of a window in which the node, or its clock, began: its sums would mislead
            self.send("telemetry", readings, ended)
            if count % health_every == 0:
                self.send("health", health.readings(self.outbox, self.clock, self.wifi), ended)
            count += 1
            gc.collect()

    async def _boundary(self, length):
        """Wait for the end of the window; its time, in the terms of `Outbox.put`.

        Windows end on whole multiples of their length in Unix time, or, while that is unknown, in time since boot.
        """
        known = self.clock.known()
        now = self.clock.unix_ms() if known else self.clock.uptime_ms()
        end = now - now % length + length
        while now < end:
            await asyncio.sleep_ms(end - now)
            now = self.clock.unix_ms() if known else self.clock.uptime_ms()
            if now < end - length:
                end = now - now % length + length  # the clock was set back
        return end // 1000 if known else -(end // 1000)
