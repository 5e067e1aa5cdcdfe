"""The nursery: a small process with a MicroPython interpreter that has loaded the firmware, and forks boards from it.

It reads orders, one JSON object a line, from standard input, and answers on standard output:

    (all is loaded)                            ->  {"ready": true}
    {"slot": 7, "folder": "...", "cause": 1}   ->  {"slot": 7, "pid": 4711}
    (a node has ended)                         ->  {"slot": 7, "pid": 4711, "exit": 83}

When its input ends it cuts the power of all nodes, and ends.

What boards have in common is in memory once: the interpreter and, in its heap, the modules that a board of this kind
loads when it starts. So a nursery is of one kind of node. Its loop runs in the interpreter itself
(`sim_hardware/hal/nursery.py`), which is lent some functions of the C library; where the loop returns a board begins.
This half only gets it there.
"""

import ctypes
import os
import signal
import sys
from typing import Any

import micropython_run

HEAP = "280K"

_PROGRAM = """
import nursery
cause = nursery.serve({kind!r}, {boards}, {orders}, {answers}, {deaths}, {functions})
if cause is not None:
    import power
    power.on(cause)
"""

_LENT = (("fork", 0), ("waitpid", 3), ("prctl", 2), ("kill", 2), ("close", 1), ("getpid", 0), ("getppid", 0))
"""Functions of the C library, and how many words each is given."""


class _Function(ctypes.Structure):
    """A built-in function as the interpreter knows it (py/obj.h, mp_obj_fun_builtin_fixed_t): its words go through
    registers, so a function of the C library that is given words and returns one can stand in for one of its own."""

    _fields_ = (("type", ctypes.c_void_p), ("code", ctypes.c_void_p))


def main() -> None:
    """Serve until standard input ends. `sys.argv` has the path of the boards' file system, the kind of node, and how
    many there are."""
    _, path, kind, boards = sys.argv
    os.environ["MICROPYPATH"] = f"{path}:.frozen"
    # Boards are to find nothing on their standard input, and their console on the other two.
    orders, answers = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)  # what anything prints is no answer
    # CPython's own handler of a signal writes to this pipe at once, whatever program runs.
    deaths, wake = os.pipe()
    for end in (orders, deaths, wake):  # a read that takes what there is
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the fleet, which then closes our input
    lent = _lend()
    functions = [ctypes.addressof(each) for each in lent]
    settings = {"kind": kind, "boards": int(boards), "orders": orders, "answers": answers, "deaths": deaths}
    program = _PROGRAM.format(functions=functions, **settings)
    os._exit(micropython_run.run_main(["micropython", "-X", f"heapsize={HEAP}", "-c", program]) & 0xFF)


def _lend() -> list[Any]:
    """The function objects; they must live as long as the interpreter."""
    interpreter, libc = ctypes.CDLL(micropython_run.__file__), ctypes.CDLL(None)
    return [
        _Function(
            ctypes.addressof(ctypes.c_size_t.in_dll(interpreter, f"mp_type_fun_builtin_{words}")),
            ctypes.cast(getattr(libc, name), ctypes.c_void_p).value,
        )
        for name, words in _LENT
    ]


if __name__ == "__main__":
    main()
