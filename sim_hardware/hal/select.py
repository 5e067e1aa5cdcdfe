# `select` on the board's own time: sockets are polled for real, everything else waits on the emulated clock.

import io

import uselect
from uselect import POLLERR, POLLHUP, POLLIN, POLLOUT  # noqa: F401
from world import FOREVER, world

_MP_STREAM_POLL = 3


class poll:
    def __init__(self):
        self._sockets = uselect.poll()
        # What has no file descriptor. Of streams, with the events that are waited for:
        self._devices = {}  # those that hardware makes ready: a UART, or the flag that an interrupt sets
        self._alarms = {}  # those that the real clock does

    def register(self, stream, events=POLLIN | POLLOUT):
        if hasattr(stream, "real_ms"):
            self._alarms[id(stream)] = (stream, events)
        elif hasattr(stream, "poll_flags") or isinstance(stream, io.IOBase):
            self._devices[id(stream)] = (stream, events)
            world.stirred = True
        else:
            self._sockets.register(stream, events)
        world.look_by = 0  # what is new is looked at at once

    modify = register

    def unregister(self, stream):
        if not (self._devices.pop(id(stream), None) or self._alarms.pop(id(stream), None)):
            self._sockets.unregister(stream)

    def _inside(self):
        """The devices that are ready."""
        found = None
        for stream, events in self._devices.values():
            flags = stream.poll_flags() & events if hasattr(stream, "poll_flags") else _asked(stream, events)
            if flags:
                found = found or []
                found.append((stream, flags))
        return found

    def _ready(self, ms, due):
        """All that is ready, or will be within so many real milliseconds."""
        found = self._inside() or []
        alarm = min([stream.real_ms() for stream, _ in self._alarms.values()]) if self._alarms else ms + 1
        found += self._sockets.poll(0 if found or alarm <= 0 else min(ms, alarm))
        if alarm <= ms or alarm <= 0:
            found += [each for each in self._alarms.values() if each[0].real_ms() <= 0]
        return found

    def poll(self, ms=-1):
        inside = self._inside if self._devices else None
        if inside and world.stirred:
            world.stirred = False
            found = inside()
            if found:
                return found
        if ms is None or ms < 0:
            until = FOREVER
        elif world.pass_by(ms):
            return ()
        else:
            until = world.now + ms * 1000
        return world.wait(until, self._ready, inside) or ()

    ipoll = poll


def _asked(stream, events):
    """What the stream itself says, as MicroPython asks it."""
    return stream.ioctl(_MP_STREAM_POLL, events)
