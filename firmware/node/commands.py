# Commands of the gateway and their answers. One that comes twice, because an acknowledgement was lost, is carried out
# once; its answer is given again.

import asyncio
import json

from machine import Pin

from node.clock import rtc_ms
from node.scratch import COMMAND

_WAITING = 4  # commands that may wait; more are passed over: who asked asks again
_REMEMBERED = 8
_IDENTIFY_MS = 10_000
_BLINK_MS = 200
_BEFORE_REBOOT_MS = 1_000  # for the acknowledgement to get out
_ID_MAX = 32  # bytes
# What a command can bring about that is not as it should be; the last two when it is nested deep.
_WRONG = (ValueError, KeyError, TypeError, OSError, AttributeError, ArithmeticError, RuntimeError, MemoryError)


class Commands:
    def __init__(self, node):
        self._node = node
        self._queue = []
        self._answers = []  # (id, answer), the last few
        self._news = asyncio.Event()
        self._led = None
        self.tasks = (("command", self.run),)
        node.uplink.hear("command", self._on_command)

    def _on_command(self, payload):
        if len(self._queue) < _WAITING:
            self._queue.append(payload)
            self._news.set()
        else:
            self._node.log("command", "%d wait already: one more was passed over" % _WAITING)

    async def run(self):
        while True:
            await self._news.wait()
            self._news.clear()
            while self._queue:
                await self._answer(self._queue.pop(0))

    async def _answer(self, payload):
        try:
            command = json.loads(payload)
            number, op = command["id"], command["op"]
            if not isinstance(number, str) or not 1 <= len(number.encode()) <= _ID_MAX or not isinstance(op, str):
                raise ValueError
        except _WRONG:
            self._node.log("command", "one that is no command was passed over")
            return
        then = None
        answer = self._remembered(number)
        if answer is None:
            answer = {"id": number, "ok": True}
            try:
                if op not in _OPS:
                    raise ValueError("no such op; known are: " + ", ".join(_OPS))
                then = getattr(self, "_op_" + op)(command, answer)
            except _WRONG as error:
                said = "%s is missing" % error if isinstance(error, KeyError) else str(error) or repr(error)
                answer = {"id": number, "ok": False, "error": said}
            self._answers = self._answers[1 - _REMEMBERED :] + [(number, answer)]
            self._node.log("command", "%s: %s" % (op, answer.get("error", "done")))
        try:
            await self._node.uplink.say("reply", json.dumps(answer))
        except OSError:
            pass  # who asked asks again, and gets this answer
        if then:
            await then()

    def _remembered(self, number):
        for known, answer in self._answers:
            if known == number:
                return answer
        # A reboot must not come again after the boot that it has brought.
        if self._node.scratch.read(COMMAND) == number.encode():
            return {"id": number, "ok": True}
        return None

    def _op_reboot(self, command, answer):
        self._node.scratch.write(COMMAND, command["id"].encode())
        return self._reboot

    async def _reboot(self):
        await asyncio.sleep_ms(_BEFORE_REBOOT_MS)
        await self._node.restart("command")

    def _op_identify(self, command, answer):
        return self._blink

    async def _blink(self):
        self._led = self._led or Pin(self._node.led, Pin.OUT)
        asyncio.create_task(self._blinking())

    async def _blinking(self):
        for _ in range(_IDENTIFY_MS // _BLINK_MS):
            self._led.toggle()
            await asyncio.sleep_ms(_BLINK_MS)
        self._led.off()

    def _op_sample(self, command, answer):
        readings = self._node.calibrated(self._node.sensor.sample())
        answer["readings"] = [{"n": name, "u": unit, "v": value} for name, unit, value in readings if value is not None]

    def _op_logs(self, command, answer):
        answer["lines"] = self._node.log.lines(2000)
        answer["rejected"] = getattr(self._node.sensor, "rejected", {})
        answer["last_words"] = self._node.crumbs.last_words()

    def _op_calibrate(self, command, answer):
        self._node.calibrate(command["quantity"], command["offset"], command["gain"], command["version"])

    def _op_time(self, command, answer):
        clock = self._node.clock
        if "offset_ms" in command:
            if not isinstance(command["offset_ms"], int):
                raise ValueError("offset_ms must be a whole number")
            clock.correct(command["offset_ms"])
        answer["unix_ms"] = rtc_ms()
        answer["known"] = clock.known()

    def _op_update(self, command, answer):
        self._node.updater().retry()

    def _op_renew(self, command, answer):
        if not self._node.identity:
            raise ValueError("this node has no certificate")
        self._node.identity.renew()


_OPS = ("reboot", "identify", "sample", "logs", "calibrate", "time", "update", "renew")
