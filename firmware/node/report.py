# A report of a node that lives on a battery: an ordinary node, which sleeps again as soon as everything is said and
# heard. While it is awake its meter is counted, and its windows end, as ever.

import esp32

from node import battery, wake
from node.clock import Clock, rtc_ms
from node.net import wire_ms, wire_sleep_ms
from node.node import Node
from node.register import Register
from node.supervisor import Watchdog

_LOOK_MS = 100
_LISTEN_MS = 3_000  # after the last word: for what the gateway wants, and its commands
_CLOCK_MS = 15_000  # so long for somebody to tell the time, when nobody has yet
_PATIENCE_MS = 60_000  # in which nothing came further: this report fails
_RENEWAL_MS = 20_000  # likewise, for a new certificate that is made or awaited
_FLUSH_MS = 300  # for the last bytes to leave before the radio is off
_ASKS = 3
_WATCHDOG_MS = 600_000
_MOST_DRIFT_PPM = 100_000


class Reporter(Node):
    """`state` is what node/battery.py has resumed with; its boot is 0 at a new one."""

    def __init__(self, state, config, board, sensor, scratch, crumbs, log, identity=None):
        self._state = state
        self._predicted = state.now_ms() - rtc_ms()
        self._elapsed = rtc_ms() - state.synced * 1000 if state.synced else 0
        if self._predicted:
            Clock(log=log).correct(self._predicted)  # before anybody reads it: within a life it does not go back
        self._corrected = False
        self._error = 0  # ms of corrections in this wake
        super().__init__(config, board, sensor, scratch, crumbs, log, identity, boot=state.boot)
        if state.boot:
            self.outbox.seq = state.seq
        state.boot = self.boot
        self.watchdog = Watchdog({"windows": wire_ms(_WATCHDOG_MS), "uplink": wire_ms(_WATCHDOG_MS)}, log)
        self._known = self.clock.known()
        self._asked = not config["ntp"]
        self._heard = 0
        self.clock.on_step = self._clock_stepped
        self.clock.run = self._ask_time
        hand = self.uplink.take

        def take(level, payload):
            self._heard += 1
            hand(level, payload)

        self.uplink.take = take

    def _birth(self):
        birth = super()._birth()
        birth["sleeps_s"] = self.config["battery"]["report_s"]
        birth["wakes"], birth["awake_s"] = self._state.wakes, self._state.awake // 1000
        return birth

    # Time.

    async def _ask_time(self):
        from node.sntp import offset_ms

        for _ in range(_ASKS):
            while not self.uplink.connected:
                await wire_sleep_ms(_LOOK_MS)
            try:
                self.clock.correct(await offset_ms(self.config["ntp"], rtc_ms))
                break
            except (OSError, ValueError) as error:
                self.log("clock", "no time from %s: %s" % (self.config["ntp"], error))
        self._asked = True

    def _clock_is_back(self):
        pass  # the window that this falls into is longer; no pack is told a time before the last one's

    def _clock_stepped(self):
        self.uplink.wake()
        known, self._known = self._known, self.clock.known()
        if not self._known:
            return
        if known:
            moved = self.clock.error_ms
            self._error += moved
        else:
            moved = self.clock.offset * 1000
        self._corrected = True
        state = self._state
        if state.end:
            # The window has lasted as long as before, whatever the clock says.
            last, state.began = state.began, max(0, state.began + moved // 1000)
            now = max(rtc_ms() // 1000, last if known else 0)
            length = self.config["battery"]["window_s"]
            state.end = now - now % length + length

    def _learn_drift(self):
        state = self._state
        if not self._corrected:
            # As it was: how much it has lost is only known from the last correction on.
            if self._predicted:
                Clock(log=self.log).correct(-self._predicted)
            return
        if self._elapsed >= 1_800_000:
            drift = (self._predicted + self._error) * 1_000_000 // self._elapsed
            if abs(drift) <= _MOST_DRIFT_PPM:
                state.drift = drift
                state.flags |= wake.DRIFTS
        state.synced = rtc_ms() // 1000

    # Windows.

    async def _windows(self):
        if not self._state.end:
            battery.begin_window(self._state, self.config, self._volume(), self.clock.unix_ms() // 1000)
        await self._leave(await self._stay())

    def _volume(self):
        return self.sensor.sample()[0][2]

    def _end_window(self):
        now, state = self.clock.unix_ms() // 1000, self._state
        if now >= state.end:
            found = self.sensor.close_window(max(1, now - state.began) * 1000)
            ended, readings = battery.end_window(state, self.config, found, now)
            self.send("telemetry", self.calibrated(readings), ended)

    # The report.

    async def _stay(self):
        """Until everything is said and heard, or must wait, or nothing comes further; whether it was the first.

        A site that is held is tried again as after a failure: how long the gateway has no room nobody knows.
        """
        uplink, outbox = self.uplink, self.outbox
        before, quiet, told = None, 0, False
        while True:
            await wire_sleep_ms(_LOOK_MS)
            self.watchdog.mark("windows")
            self._end_window()
            if uplink.connected and not told:
                told = True
                self._send_health(self.clock.unix_ms() // 1000)
                if self.identity:
                    self.identity.look()
            progress = uplink.connections, outbox.acks, self._heard, self._asked, self.clock.known()
            if progress != before:
                before, quiet = progress, 0
                continue
            quiet += _LOOK_MS
            updater = self._later.part("update")
            held = uplink.held and outbox.resting()
            said = uplink.connected and told and self._asked and (held or outbox.empty())
            enough = quiet >= (_LISTEN_MS if self.clock.known() else _CLOCK_MS)
            if self.identity and self.identity.busy:
                enough = quiet >= _RENEWAL_MS
            if said and enough and not (updater and updater.busy()):
                return outbox.empty()
            if quiet >= _PATIENCE_MS and not (updater and updater.on_trial()):
                return False

    async def _leave(self, reported):
        """Say goodbye, and sleep."""
        state, held = self._state, self.uplink.connected and self.uplink.held
        await self.uplink.leave()
        await wire_sleep_ms(_FLUSH_MS)
        self._end_window()
        self.sensor.close_window(1)  # its register's checkpoint
        self.outbox.settle()
        if reported:
            self.crumbs.well()
        now = self.clock.unix_ms() // 1000
        self._learn_drift()
        state.failures = 0 if reported else min(state.failures + 1, 255)
        state.seq = self.outbox.seq
        state.report = battery.next_report(state, self.config, now)
        state.flags &= ~wake.WANTED
        self.log("battery", "%s, sleeps" % ("reported" if reported else "held" if held else "report failed"))
        wake.sleep(self.scratch, state, Register(self.scratch, esp32.NVS("meter")).contacts[1])
