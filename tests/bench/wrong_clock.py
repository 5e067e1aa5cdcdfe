"""`python -m tests.bench.wrong_clock CLOCK gateway --config FILE`: `ganglion` on a wall clock that can jump.

CLOCK is a file of eight bytes: by how many seconds the clock is wrong, as a little-endian double, looked at each time
that anything asks for the time. The monotonic clock is right, as on Linux. libfaketime, which does this for any
program, is of no use here: with 0.9.10 each `time.sleep` of CPython 3.11 fails, since it sleeps to a moment of the
monotonic clock.
"""

import mmap
import struct
import sys
import time
from pathlib import Path

_FORM = struct.Struct("<d")


def set_clock(clock: Path, seconds: float) -> None:
    """Let it be wrong by so much from now on."""
    with clock.open("r+b" if clock.exists() else "wb", buffering=0) as file:
        file.write(_FORM.pack(seconds))


def main() -> None:
    with open(sys.argv[1], "rb") as file:
        shared = mmap.mmap(file.fileno(), _FORM.size, access=mmap.ACCESS_READ)
    right, right_ns = time.time, time.time_ns
    # Before anybody else can have taken them.
    time.time = lambda: right() + _FORM.unpack_from(shared)[0]
    time.time_ns = lambda: right_ns() + int(1e9 * _FORM.unpack_from(shared)[0])
    sys.argv[:2] = ["ganglion"]
    from gateway.cli.main import main as ganglion

    ganglion()


if __name__ == "__main__":
    main()
