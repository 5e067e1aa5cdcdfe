# Parts that a node seldom needs are loaded when it first does: their code takes a sixth of a small board's heap.

import asyncio
import sys

from micropython import const

_WAITING = const(4)  # messages kept while a part is being loaded


def forget(beginnings):
    """Take modules out of memory; who needs them again imports them again. What still refers to one keeps it there."""
    for name in list(sys.modules):
        if any(name.startswith(each) for each in beginnings):
            del sys.modules[name]
            package, module = name.split(".")
            delattr(sys.modules[package], module)


class Later:
    """Hears `levels` for parts that are not there yet. The first message on one makes its part by `make(level)`, which
    then hears its levels itself, is given the message, and has its `tasks` run under `keep(name, start)`.

    `levels` is {level: name of the part}. `needed(level, payload)` may say that a message is of no interest.
    """

    def __init__(self, uplink, levels, make, keep, needed):
        self._uplink, self._levels, self._make, self._keep, self._needed = uplink, levels, make, keep, needed
        self._messages = []
        self._news = asyncio.Event()
        self._parts = {}
        uplink.unheard = self._take
        for level in levels:
            uplink.hear(level, None)

    def _take(self, level, payload):
        if len(self._messages) < _WAITING and self._needed(level, payload):
            self._messages.append((level, payload))
            self._news.set()

    def part(self, name):
        """The part if it is loaded, or None."""
        return self._parts.get(name)

    def load(self, name):
        """The part, which is loaded if it was not."""
        if name not in self._parts:
            self._parts[name] = self._make(name)
            for task, start in self._parts[name].tasks:
                asyncio.create_task(self._keep(task, start))
        return self._parts[name]

    async def run(self):
        while True:
            while self._messages:
                # It stays until its part is there: if there is no room for that now, there may be after a new start.
                self.load(self._levels[self._messages[0][0]])
                self._uplink.take(*self._messages.pop(0))
            self._news.clear()
            await self._news.wait()
