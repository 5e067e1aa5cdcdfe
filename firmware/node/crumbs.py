# Breadcrumbs: what the node was about, kept over a reset, so that the next boot knows what ended this one.

import json

from micropython import const

from node.log import traceback
from node.scratch import CRUMB, TRACE

# As machine.reset_cause() tells.
_POWER_ON = const(1)
_HARD = const(2)
_WATCHDOG = const(3)
_DEEP_SLEEP = const(4)
_SOFT = const(5)
_CRASHES = ("panic", "watchdog", "soft")
_TOO_MANY = const(3)  # crashes one after another: then only what is needed to be told and to be mended is started


class Crumbs:
    """`cause` says why the node was reset: power_on, brown_out, restart, panic, watchdog, deep_sleep, soft.

    The chip itself calls a brown-out a power-on, and a panic a hard reset. What is kept tells them apart: over a loss
    of power nothing is; and who restarts on purpose says so before.
    """

    def __init__(self, scratch, chip_cause):
        self._scratch = scratch
        try:
            kept = json.loads(scratch.read(CRUMB) or b"{}")
        except ValueError:
            kept = {}
        self.doing = kept.get("doing", "")  # when it ended
        self.plan = kept.get("plan", "")
        self.cause = _cause(chip_cause, self.plan, scratch.survived)
        self.crashes = kept.get("crashes", 0)
        if self.cause in _CRASHES:
            self.crashes += 1
        elif self.cause == "power_on":
            self.crashes = 0
        self._doing = "start"
        self._write("")

    def _write(self, plan):
        kept = {"doing": self._doing, "plan": plan, "crashes": self.crashes}
        self._scratch.write(CRUMB, json.dumps(kept).encode())

    @property
    def safe(self):
        """Why this boot is to be a safe one; empty when it is not."""
        if self.crashes < _TOO_MANY:
            return ""
        return "%d crashes, the last while: %s" % (self.crashes, self.doing or "?")

    def now(self, doing):
        """What the node is about from now on: one short word."""
        self._doing = doing
        self._write("")

    def restarting(self, reason):
        """The reset that comes is on purpose."""
        self._write(reason[:30])

    def well(self, crashes=0):
        """The node has lived long enough for its crashes to be forgotten."""
        if self.crashes != crashes:
            self.crashes = crashes
            self._write("")

    def last_words(self):
        """The traceback that ended an earlier boot, or empty."""
        words = self._scratch.read(TRACE) or b""
        while words and words[0] & 0xC0 == 0x80:
            words = words[1:]  # its beginning was cut off, in the middle of a letter
        return str(words, "utf-8")


def _cause(chip, plan, survived):
    if chip == _HARD:
        return "restart" if plan else "panic"
    if chip == _POWER_ON:
        return "brown_out" if survived else "power_on"
    return {_WATCHDOG: "watchdog", _DEEP_SLEEP: "deep_sleep", _SOFT: "soft"}.get(chip, "unknown")


def died(scratch, error):
    """Keep what the exception has to say that ends this boot."""
    scratch.write(TRACE, traceback(error, TRACE[1]))
