# Keeps the node's tasks alive, and the watchdog quiet while they really come further.

import asyncio
from time import ticks_diff, ticks_ms

import machine
from micropython import const

from node.net import wire_ms

_FIRST_MS = const(1_000)
_LONGEST_MS = const(60_000)
_RECOVERED_MS = const(60_000)

_WATCHDOG_MS = const(60_000)  # longer than anything that blocks: a TLS handshake, a name that nobody knows, a signature


class Supervisor:
    """Runs (name, coroutine function) pairs: one that dies is reported and started again, a little later each time."""

    def __init__(self, log):
        self._log = log
        self._deaths = {}  # name -> (ticks, ms until it starts again)

    async def keep(self, name, start):
        """Run `start` for ever. Returns only when it ends by itself."""
        wait = _FIRST_MS
        while True:
            try:
                return await start()
            except Exception as error:  # noqa: BLE001 - the one place that catches everything: it reports and goes on
                self._log(name, "died: %r" % error)
            if name not in self.failing():
                wait = _FIRST_MS  # it was well again since the last time
            self._deaths[name] = ticks_ms(), wait
            await asyncio.sleep_ms(wait)
            wait = min(wait * 2, _LONGEST_MS)

    async def run(self, tasks):
        """Run all pairs until they end."""
        await asyncio.gather(*[self.keep(name, start) for name, start in tasks])

    def failing(self):
        """Names of tasks that have died a short while ago, and may do so again."""
        now = ticks_ms()
        # Those that are well again are forgotten here, before their ticks wrap.
        for name, (died, wait) in list(self._deaths.items()):
            if not 0 <= ticks_diff(now, died) <= wait + _RECOVERED_MS:
                del self._deaths[name]
        return sorted(self._deaths)


class Watchdog:
    """Feeds the hardware's watchdog while everyone who has `limits` ({name: ms}) has called `mark` in time.

    A node that runs, but does not measure or send any more, is as dead as one that hangs: then it starts anew.
    """

    def __init__(self, limits, log):
        self._limits = limits
        self._log = log
        self._marked = dict.fromkeys(limits, ticks_ms())
        self._hardware = machine.WDT(timeout=wire_ms(_WATCHDOG_MS))
        self._told = False

    def mark(self, name):
        """This part has come further."""
        self._marked[name] = ticks_ms()

    def late(self):
        """Names of those who have not."""
        now = ticks_ms()
        return [name for name in self._limits if ticks_diff(now, self._marked[name]) > self._limits[name]]

    def feed(self):
        """Call it every few seconds, from a task that only runs while all others may."""
        late = self.late()
        if not late:
            self._hardware.feed()
        elif not self._told:
            self._log("watchdog", "no progress: " + ", ".join(late))
        self._told = bool(late)
