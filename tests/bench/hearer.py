"""A subscriber that counts packs, each once, as a process of its own.

A library's would be what is measured, at tens of thousands a second. `python -m tests.bench.hearer PORT FILE` writes to
FILE, an array of two numbers, what it has counted, and 1 once it is subscribed; until it is ended.

It hears at QoS 0, and what is dropped on that way is missing in the count. At QoS 1 Mosquitto, which reads one packet
of each connection in turn, falls behind with the acknowledgements of one that hears while several publish, and keeps
millions of packs that he has long had.
"""

import re
import sys
from pathlib import Path

import numpy as np

from sim_hardware.servers import spawn, wait_until
from sim_hardware.shared import array
from tests.bench import wire

_TOPIC = b"ganglion/v1/+/+/+"
_CHUNK = 1 << 18
_PACK = re.compile(rb'"bn":"([^"]+)".*?"n":"boot","v":(\d+)\},\{"n":"seq","v":(\d+)')


class Hearer:
    """Use as `with Hearer(port, folder) as hearer:`; `len(hearer)` is how many packs it has counted."""

    def __init__(self, port: int, folder: Path) -> None:
        self._port, self._folder = port, folder

    def __enter__(self) -> "Hearer":
        self._folder.mkdir(parents=True, exist_ok=True)
        self._count = array(self._folder / "count", np.uint64, (2,))
        command = [sys.executable, "-m", "tests.bench.hearer", str(self._port), str(self._folder / "count")]
        self._process = spawn(command, self._folder / "log", cwd=Path(__file__).resolve().parents[2])
        wait_until(lambda: bool(self._count[1]), 10, "the subscription")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()

    def __len__(self) -> int:
        return int(self._count[0])


class _Packs:
    """Those of a node come in order: of millions only how far they are is kept, and what was left out."""

    def __init__(self) -> None:
        self._next: dict[tuple[bytes, bytes], int] = {}
        self._skipped: set[tuple[bytes, bytes, int]] = set()

    def is_new(self, node: bytes, boot: bytes, seq: int) -> bool:
        expected = self._next.get((node, boot), 0)
        if seq >= expected:
            self._skipped.update((node, boot, each) for each in range(expected, seq))
            self._next[node, boot] = seq + 1
            return True
        if (node, boot, seq) in self._skipped:
            self._skipped.remove((node, boot, seq))
            return True
        return False


def main() -> None:
    port, path = int(sys.argv[1]), Path(sys.argv[2])
    count = np.memmap(path, np.uint64, "r+", shape=(2,))
    packs, heard = _Packs(), 0
    with wire.connect(port, "hearer") as link:
        link.settimeout(None)
        link.sendall(wire.packet(0x82, b"\x00\x01" + wire.text(_TOPIC) + b"\x00"))  # SUBSCRIBE at QoS 0
        rest = b""
        while data := link.recv(_CHUNK):
            rest += data
            at = 0
            while (found := _whole(rest, at)) is not None:
                body, end = found
                kind = rest[at] >> 4
                if kind == 9:  # SUBACK
                    count[1] = 1
                if kind == 3 and (pack := _PACK.search(rest, body, end)):  # PUBLISH
                    heard += packs.is_new(pack[1], pack[2], int(pack[3]))
                at = end
            rest = rest[at:]
            count[0] = heard


def _whole(data: bytes, at: int) -> tuple[int, int] | None:
    """(where the body begins, where the packet ends) of the packet at a place, or None while it is not whole."""
    size = shift = 0
    i = at + 1
    while i < len(data):
        size |= (data[i] & 0x7F) << shift
        shift += 7
        i += 1
        if not data[i - 1] & 0x80:
            return (i, i + size) if i + size <= len(data) else None
    return None


if __name__ == "__main__":
    main()
