# `select` on the board's own time: sockets are polled for real, everything else waits on the emulated clock.

import io
import struct

import uctypes
import uselect
from uselect import POLLERR, POLLHUP, POLLIN, POLLOUT  # noqa: F401
from world import FOREVER, world

_MP_STREAM_POLL = 3
_WORD = struct.calcsize("P")
_BELOW = (
    2 * _WORD
)  # where a TLS socket keeps the socket below it: behind its type and context (extmod/modtls_mbedtls.c)


class poll:
    def __init__(self):
        self._sockets = uselect.poll()
        # What has no file descriptor. Of streams, with the events that are waited for:
        self._devices = {}  # those that hardware makes ready: a UART, or the flag that an interrupt sets
        self._alarms = {}  # those that the real clock does
        self._sealed = {}  # those over TLS, with the socket below
        # The same, to be asked and never to wait for. With each the one below, which has room to write: where nothing
        # is ready the interpreter sleeps for a millisecond, even when it is to wait for none.
        self._asking = uselect.poll()
        self._unasked = False  # whether one of them has come that has not been asked yet

    def register(self, stream, events=POLLIN | POLLOUT):
        if hasattr(stream, "real_ms"):
            self._alarms[id(stream)] = (stream, events)
        elif hasattr(stream, "poll_flags") or isinstance(stream, io.IOBase):
            self._devices[id(stream)] = (stream, events)
            world.stirred = True
        else:
            below = _below(stream)
            if below:
                self._sealed[id(stream)] = (stream, events, below)
                self._asking.register(stream, events)
                self._asking.register(below, POLLOUT)
                self._unasked = True
            self._sockets.register(below or stream, events)
        world.look_by = 0  # what is new is looked at at once

    modify = register

    def unregister(self, stream):
        if not (self._devices.pop(id(stream), None) or self._alarms.pop(id(stream), None)):
            sealed = self._sealed.pop(id(stream), None)
            if sealed:
                self._asking.unregister(stream)
                self._asking.unregister(sealed[2])
            self._sockets.unregister(sealed[2] if sealed else stream)

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
        ms_here = 0 if found or alarm <= 0 else min(ms, alarm)
        found += self._unsealed(ms_here) if self._sealed else self._sockets.poll(ms_here)
        if alarm <= ms or alarm <= 0:
            found += [each for each in self._alarms.values() if each[0].real_ms() <= 0]
        return found

    def _unsealed(self, ms):
        """The sockets that are ready within so many real milliseconds, some of which are over TLS.

        Those are asked themselves: they may hold what has come already, and may have to hear before they can speak. The
        interpreter asks them each millisecond; here the kernel waits for the sockets below, and what they hold cannot
        change meanwhile.
        """
        found = self._ask() if self._unasked else []
        woken = self._sockets.poll(0 if found else ms)
        if woken:
            below = [id(each[2]) for each in self._sealed.values()]
            others = [each for each in woken if id(each[0]) not in below]
            if not found and len(others) < len(woken):
                found = self._ask()
            found += others
        return found

    def _ask(self):
        """Those over TLS that say themselves that they are ready."""
        self._unasked = False
        said = self._asking.poll(0)
        room = [id(each[0]) for each in said]
        for key, (_, events, below) in self._sealed.items():
            if events & POLLOUT and id(below) in room and key not in room:
                self._sockets.modify(below, POLLIN)  # what lacks has to come from the other end
        return [each for each in said if id(each[0]) in self._sealed]

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


_cell = [None]


def _below(stream):
    """The socket below one over TLS that is open; else None."""
    if type(stream).__name__ != "SSLSocket":
        return None
    word = bytes(uctypes.bytearray_at(id(stream) + _BELOW, _WORD))
    if not any(word):
        return None  # it is closed
    # Where a list keeps the address of its elements: behind type, room and length (py/objlist.h).
    elements = struct.unpack("P", uctypes.bytearray_at(id(_cell) + 3 * _WORD, _WORD))[0]
    uctypes.bytearray_at(elements, _WORD)[:] = word
    found = _cell[0]
    _cell[0] = None
    return found
