# The nursery's loop, in the interpreter that boards are forked from: see sim_hardware/fleet/nursery.py.
#
# It is written in MicroPython, not in the CPython around it, for the sake of memory: whatever either side of a fork
# touches is a page of its own, and this touches few.

import json
import struct
import sys
from array import array

import power
import uctypes
import uselect as select

_WORD = struct.calcsize("P")
_ITEMS = 3 * _WORD  # where a list keeps the address of its elements: behind type, room and length (py/objlist.h)

_SIGKILL, _PR_SET_PDEATHSIG, _WNOHANG, _ANY_CHILD = 9, 1, 1, -1
_WALL = 0x4000_0000  # of any kind; there is no object that is the word 0
_STDOUT, _STDERR = 1, 2
_EPIPE = 32


def _elements(items, n):
    """The memory of a list's first `n` elements."""
    address = struct.unpack("P", uctypes.bytearray_at(id(items) + _ITEMS, _WORD))[0]
    return uctypes.bytearray_at(address, n * _WORD)


_cell = [None]
_cell_memory = _elements(_cell, 1)


def _object(word):
    """The object that is this word: what a function of the C library is called with. Not 0, which is no object."""
    struct.pack_into("q", _cell_memory, 0, word)
    return _cell[0]


def _word(returned):
    """The number (an `int` of C) that a function of the C library has returned; in a list, for it is no object."""
    return struct.unpack("i", _elements(returned, 1)[:4])[0]


class _Living:
    """(pid, slot) of each board that lives. The room is taken at once: a dict of thousands would splinter a heap."""

    def __init__(self, boards):
        self._pids, self._slots = array("i", bytearray(4 * boards)), array("i", bytearray(4 * boards))
        self.count = 0

    def add(self, pid, slot):
        self._pids[self.count], self._slots[self.count] = pid, slot
        self.count += 1

    def pop(self, pid):
        """The slot of a board that lives no more."""
        i = 0
        while self._pids[i] != pid:
            i += 1
        slot = self._slots[i]
        self.count -= 1
        self._pids[i], self._slots[i] = self._pids[self.count], self._slots[self.count]
        return slot

    def pids(self):
        return self._pids[: self.count]


def serve(kind, boards, orders, answers, deaths, functions):
    """Start boards as ordered, and tell of their ends. Returns, in each child, the cause of its reset.

    `boards` live at once at most. `orders`, `answers` and `deaths` are file descriptors; `functions` are the addresses
    of function objects: fork, waitpid, prctl, kill, close, getpid and getppid of the C library.
    """
    power.load(kind)
    fork, waitpid, prctl, kill, close, getpid, getppid = [_object(address) for address in functions]
    own = _word([getpid()])
    status = bytearray(4)
    status_at = uctypes.addressof(status)
    inbox = open(orders, "rb")  # noqa: SIM115 - kept open for the life of the nursery
    outbox = open(answers, "wb")  # noqa: SIM115
    woken = open(deaths, "rb")  # noqa: SIM115
    poll = select.poll()
    poll.register(inbox, select.POLLIN)
    poll.register(woken, select.POLLIN)
    living = _Living(boards)
    buffer, rest = bytearray(4096), b""
    _say(outbox, {"ready": True})
    while True:
        ready = [each for each, _ in poll.poll()]
        if woken in ready:
            woken.readinto(buffer)
            while living.count:
                pid = _word([waitpid(_object(_ANY_CHILD), _object(status_at), _object(_WNOHANG))])
                if pid <= 0:
                    break
                _say(outbox, {"slot": living.pop(pid), "pid": pid, "exit": _exit_code(status)})
        if inbox not in ready:
            continue
        n = inbox.readinto(buffer)
        if not n:
            break
        *lines, rest = (rest + bytes(memoryview(buffer)[:n])).split(b"\n")
        for line in lines:
            order = json.loads(line)
            pid = _word([fork()])
            if not pid:
                prctl(_object(_PR_SET_PDEATHSIG), _object(_SIGKILL))
                if _word([getppid()]) != own:
                    sys.exit(1)  # it was too late: the nursery has just died
                for each in (inbox, outbox, woken):
                    each.close()
                for fd in (_STDOUT, _STDERR):
                    close(_object(fd))
                power.enter(order["folder"])
                return order["cause"]
            if pid < 0:
                raise OSError("this machine takes no more processes")
            living.add(pid, order["slot"])
            _say(outbox, {"slot": order["slot"], "pid": pid})
    for pid in living.pids():
        kill(_object(pid), _object(_SIGKILL))
    while living.count:
        living.pop(_word([waitpid(_object(_ANY_CHILD), _object(status_at), _object(_WALL))]))
    return None


def _say(outbox, answer):
    try:
        outbox.write(json.dumps(answer) + "\n")
    except OSError as error:
        # Where nobody listens any more the orders have ended too, and that is how it goes on.
        if error.errno != _EPIPE:
            raise error  # native code knows no bare `raise`


def _exit_code(status):
    """As `os.waitstatus_to_exitcode` of CPython has it."""
    status = struct.unpack("i", status)[0]
    return -(status & 0x7F) if status & 0x7F else status >> 8 & 0xFF
