# The node's log: on the console, and the last of it in memory for who asks from afar.

import io
import sys

from micropython import const

_MOST = const(40)  # lines
_LONGEST = const(120)  # letters of a line


class Log:
    """Called with who speaks and what is said; `clock` is set once there is one."""

    def __init__(self):
        self._lines = []
        self.uptime_ms = lambda: 0

    def __call__(self, name, text):
        line = ("%d %s: %s" % (self.uptime_ms() // 1000, name, text))[:_LONGEST]
        print(line)
        self._lines.append(line)
        if len(self._lines) > _MOST:
            self._lines.pop(0)

    def lines(self, most=3000):
        """The newest lines, oldest first, of so many letters at most. Each begins with the seconds since boot."""
        found = []
        for line in reversed(self._lines):
            most -= len(line) + 4
            if most < 0:
                break
            found.insert(0, line)
        return found


class _Tail(io.IOBase):
    """A stream of which the last bytes are kept."""

    def __init__(self, most):
        self._most = most
        self.text = b""

    def write(self, data):
        self.text = (self.text + bytes(data))[-self._most :]
        return len(data)


def traceback(error, most):
    """The end of an exception's traceback, where it says what happened, in bytes."""
    stream = _Tail(most)
    sys.print_exception(error, stream)
    return stream.text
