"""The nursery: a small process that has loaded the MicroPython interpreter once, and forks every node from it.

It reads orders, one JSON object a line, from standard input, and answers on standard output:

    {"slot": 7, "folder": "...", "cause": 1}   ->  {"slot": 7, "pid": 4711}
    (a node has ended)                         ->  {"slot": 7, "pid": 4711, "exit": 83}

When its input ends it cuts the power of all nodes, and ends. It holds one thread and imports next to nothing, because
every page it touches later is a page that each of ten thousand nodes has to copy.
"""

import ctypes
import gc
import json
import os
import selectors
import signal
import sys

import micropython_run

HEAP = "256K"
_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Serve until standard input ends. `sys.argv[1]` is the path of the boards' file system."""
    os.environ["MICROPYPATH"] = f"{sys.argv[1]}:.frozen"
    woken, wake = os.pipe()
    for end in (woken, wake):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the fleet, which then closes our input
    libc = ctypes.CDLL(None)
    slots: dict[int, int] = {}
    gc.collect()
    gc.freeze()
    gc.disable()

    inbox = selectors.DefaultSelector()
    inbox.register(0, selectors.EVENT_READ)
    inbox.register(woken, selectors.EVENT_READ)
    rest = b""
    while True:
        ready = [key.fd for key, _ in inbox.select()]
        if woken in ready:
            os.read(woken, 4096)
            _bury(slots)
        if 0 in ready:
            data = os.read(0, 65_536)
            if not data:
                break
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                order = json.loads(line)
                pid = os.fork()
                if pid == 0:
                    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
                    _live(order)
                slots[pid] = order["slot"]
                _say({"slot": order["slot"], "pid": pid})
    for pid in slots:
        os.kill(pid, signal.SIGKILL)
    while slots:
        slots.pop(os.wait()[0], None)


def _live(order: dict[str, object]) -> None:
    """In the child: become a board. Never returns."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.chdir(str(order["folder"]))
    nothing = os.open(os.devnull, os.O_RDONLY)
    console = os.open("console.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for source, target in ((nothing, 0), (console, 1), (console, 2)):
        os.dup2(source, target)
    os.closerange(3, 64)
    program = f"import power; power.on({order['cause']})"
    os._exit(micropython_run.run_main(["micropython", "-X", f"heapsize={HEAP}", "-c", program]) & 0xFF)


def _bury(slots: dict[int, int]) -> None:
    while slots:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        _say({"slot": slots.pop(pid), "pid": pid, "exit": os.waitstatus_to_exitcode(status)})


def _say(answer: dict[str, object]) -> None:
    os.write(1, json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    main()
