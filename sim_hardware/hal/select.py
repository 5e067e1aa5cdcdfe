# `select` on the board's own time: sockets are polled for real, everything else waits on the emulated clock.

import uselect
from uselect import POLLERR, POLLHUP, POLLIN, POLLOUT  # noqa: F401
from world import FOREVER, world


class poll:
    def __init__(self):
        self._sockets = uselect.poll()
        self._devices = {}  # streams of the emulated board (UART), which have no file descriptor

    def register(self, stream, events=POLLIN | POLLOUT):
        if hasattr(stream, "poll_flags"):
            self._devices[id(stream)] = (stream, events)
        else:
            self._sockets.register(stream, events)

    modify = register

    def unregister(self, stream):
        if self._devices.pop(id(stream), None) is None:
            self._sockets.unregister(stream)

    def _ready(self, ms, due):
        if self._devices:
            found = []
            for stream, events in self._devices.values():
                flags = stream.poll_flags() & events
                if flags:
                    found.append((stream, flags))
            if found:
                return found
        found = self._sockets.poll(ms)
        if found:
            world.come(due)
        return found

    def poll(self, ms=-1):
        until = FOREVER if ms is None or ms < 0 else world.now + ms * 1000
        return world.wait(until, self._ready) or []

    ipoll = poll
