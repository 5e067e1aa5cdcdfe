"""Two thousand nodes in one process, each with a connection of its own, as cheap as Python lets it be.

What a node sends here is what nodes send: its birth, then packs of eight readings with `boot` and `seq` at QoS 1, one a
message, a window of a minute apart. Of the bytes only what differs from pack to pack is made anew. Nodes take turns: a
turn reads what the broker has acknowledged since the last, which is counted by bytes, and sends one pack. Nobody asks
the kernel which sockets are ready, but for a few nodes whose packs are timed from the send to the broker's PUBACK.

`python -m tests.bench.load PORT NODES FOLDER START [PKI]` obeys the dials in FOLDER, and tells there: see `Dials`.
SIGTERM ends it at once; the dial `stop` once everything is acknowledged.
"""

import contextlib
import math
import select
import socket
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from sim_hardware.servers import check_running, spawn, wait_until
from sim_hardware.shared import array
from tests.bench import wire
from tests.bench.packs import FIRST, KINDS, SITE, VARIETY, WINDOW_S, birth, name, payload_form, tails

IN_FLIGHT = 16
"""Packs of a node that the broker has not acknowledged, at most."""
TIMED = 20
"""Nodes whose packs are timed."""
ROUND = 64
"""Turns between two looks at the clock."""
IDLE_S = 0.002
BUCKETS = 256
"""Of the times: eight to an octave, from 1 us."""
CONNECT_S, FINISH_S = 60.0, 60.0

DIALS = ("allowed", "rate", "stop", "connected", "sent")


class Dials:
    """What load and bench tell each other, in files that both map.

    To the load: `allowed`, packs that it may have sent in all; `rate`, how many a second at most; `stop`. From it:
    nodes `connected`; packs `sent`; `times`, how many packs took how long to their PUBACK; in the end `packs`, how many
    of each node are acknowledged.
    """

    def __init__(self, folder: Path, nodes: int, *, fresh: bool) -> None:
        def mapped(file: str, kind: Any, size: int) -> Any:
            return array(folder / file, kind, (size,)) if fresh else np.memmap(folder / file, kind, "r+", shape=(size,))

        self._values = mapped("dials", np.float64, len(DIALS))
        self.packs = mapped("packs", np.uint32, nodes)
        self.times = mapped("times", np.uint64, BUCKETS)

    def __getitem__(self, dial: str) -> float:
        return float(self._values[DIALS.index(dial)])

    def __setitem__(self, dial: str, value: float) -> None:
        self._values[DIALS.index(dial)] = value


class Load:
    """The load as seen from the bench. Use as `with Load(port, nodes, folder, start) as load:`."""

    def __init__(self, port: int, nodes: int, folder: Path, start: int, pki: Path | None = None) -> None:
        """`start` is the time of each node's first pack (Unix seconds). With `pki` nodes have TLS, and their identities
        in that authority's folder."""
        self.nodes, self.start, self._pki = nodes, start, pki
        self._port, self._folder, self._log = port, folder, folder / "log"
        self._finished = False

    def __enter__(self) -> "Load":
        self._folder.mkdir(parents=True, exist_ok=True)
        self.dials = Dials(self._folder, self.nodes, fresh=True)
        arguments = [str(self._port), str(self.nodes), str(self._folder), str(self.start)]
        arguments += [str(self._pki)] if self._pki else []
        command = [sys.executable, "-m", "tests.bench.load", *arguments]
        self._process = spawn(command, self._log, cwd=Path(__file__).resolve().parents[2])

        def all_connected() -> bool:
            self.check()
            return self.dials["connected"] == self.nodes

        try:
            wait_until(all_connected, CONNECT_S, f"the connection of all {self.nodes} nodes")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()

    @property
    def pid(self) -> int:
        return self._process.pid

    def check(self) -> None:
        """Raises ServerError when it has ended by itself."""
        if not self._finished:
            check_running(self._process, "the load", self._log)

    def pace(self, rate: float = math.inf, allowed: float = math.inf) -> None:
        """Packs a second, and packs in all since the beginning, beyond which none is sent."""
        self.dials["rate"], self.dials["allowed"] = rate, allowed

    def finish(self) -> list[int]:
        """Stop, and wait until the broker has acknowledged everything; the packs of each node. Raises TimeoutError."""
        self.dials["stop"] = 1
        wait_until(lambda: self._process.poll() is not None, FINISH_S, "the broker's acknowledgement of all packs")
        if self._process.returncode:
            self.check()
        self._finished = True
        return self.dials.packs.tolist()


# The process.


def _connected(port: int, slot: int, pki: Path | None) -> socket.socket:
    """A node that has said that it is there."""
    trust = wire.trust(pki / "ca.pem", pki / "node" / SITE / name(slot)) if pki else None
    topic = f"ganglion/v1/{SITE}/{name(slot)}/status".encode()
    link = wire.connect(port, name(slot), (topic, b'{"online":false}'), trust)
    link.sendall(wire.publish(topic, birth(KINDS[slot % 3]), 1, retained=True))
    wire.take(link, wire.PUBACK_BYTES)
    link.setblocking(False)
    return link


def main() -> int:
    """0 when everything that was sent has been acknowledged, 1 when a connection was lost."""
    port, nodes, start = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[4])
    dials = Dials(Path(sys.argv[3]), nodes, fresh=False)
    pki = Path(sys.argv[5]) if len(sys.argv) > 5 else None
    try:
        links = []
        for slot in range(nodes):
            links.append(_connected(port, slot, pki))
            dials["connected"] = slot + 1
        _run(links, dials, start)
        for link in links:
            link.sendall(wire.DISCONNECT)
            link.close()
    except OSError as error:
        sys.stderr.write(f"the load ends: {error}\n")
        return 1
    return 0


def _run(links: list[socket.socket], dials: Dials, start: int) -> None:
    """One function, in which all is at hand: a look-up more for each pack would be seen in what it costs."""
    nodes = len(links)
    kinds = {kind: (*FIRST[kind][1:], tails(kind)) for kind in KINDS}
    values = [kinds[KINDS[slot % 3]] for slot in range(nodes)]
    forms = [payload_form(slot) for slot in range(nodes)]
    topics = [wire.text(f"ganglion/v1/{SITE}/{name(slot)}/telemetry".encode()) for slot in range(nodes)]
    heads = [b"\x32" + wire.length(size) for size in range(4096)]
    numbers = [number.to_bytes(2, "big") for number in range(1, 65_536)]
    sends, recvs = [link.send for link in links], [link.recv for link in links]
    seqs, acks = [0] * nodes, [0] * nodes  # packs sent; bytes of acknowledgements
    sent = slot = 0
    poll = select.epoll()
    timed: dict[int, tuple[int, list[float]]] = {}  # by descriptor: the node, and when what is in flight was sent
    since: list[list[float] | None] = [None] * nodes
    for each in range(0, nodes, max(1, nodes // TIMED)):
        since[each] = times = []
        timed[links[each].fileno()] = each, times
        poll.register(links[each], select.EPOLLIN)
    rate, paced_from, paced_sent = 0.0, 0.0, 0

    def acknowledged(node: int) -> None:
        data = recvs[node](wire.PUBACK_BYTES * IN_FLIGHT)
        if not data:
            raise ConnectionError(f"the broker ended the connection of {name(node)}")
        acks[node] += len(data)

    def look(wait_s: float) -> None:
        """At the nodes that are timed, whenever there is something from the broker."""
        for descriptor, _ in poll.poll(wait_s):
            node, times = timed[descriptor]
            before = acks[node] // wire.PUBACK_BYTES
            with contextlib.suppress(*wire.WAIT):
                acknowledged(node)
            now = time.perf_counter()
            for _ in range(acks[node] // wire.PUBACK_BYTES - before):
                took_us = max(1.0, 1e6 * (now - times.pop(0)))
                dials.times[min(BUCKETS - 1, int(8 * math.log2(took_us)))] += 1

    while not dials["stop"]:
        now = time.perf_counter()
        if dials["rate"] != rate:
            rate, paced_from, paced_sent = dials["rate"], now, sent
        due = dials["allowed"] - sent
        if rate < math.inf:
            due = min(due, paced_sent + rate * (now - paced_from) - sent)
        turns = int(min(ROUND, due))
        sent_before = sent
        for _ in range(turns):
            seq = seqs[slot]
            in_flight = seq - acks[slot] // 4
            if in_flight and since[slot] is None:
                with contextlib.suppress(*wire.WAIT):
                    acknowledged(slot)
                    in_flight = seq - acks[slot] // 4
            if in_flight < IN_FLIGHT:
                base, step, most, ends = values[slot]
                filled = (start + WINDOW_S * seq, seq, base + seq * step % most, ends[(seq + slot) % VARIETY])
                payload = forms[slot] % filled
                topic = topics[slot]
                data = heads[len(topic) + 2 + len(payload)] + topic + numbers[seq % 65_535] + payload
                try:
                    gone = sends[slot](data)
                except wire.WAIT:
                    gone = 0
                if gone:
                    if gone < len(data):
                        _send_rest(links[slot], data[gone:])
                    if (times := since[slot]) is not None:
                        times.append(time.perf_counter())
                    seqs[slot] = seq + 1
                    sent += 1
            slot = slot + 1 if slot + 1 < nodes else 0
        dials["sent"] = sent
        look(0 if sent > sent_before and turns == ROUND else IDLE_S)
    for link in links:
        link.setblocking(True)
        link.settimeout(wire.TURN_S)
    for node in range(nodes):
        while acks[node] < wire.PUBACK_BYTES * seqs[node]:
            acknowledged(node)
    dials.packs[:] = seqs


def _send_rest(link: socket.socket, rest: bytes) -> None:
    """The broker has read less than a packet's room: wait for it."""
    while rest:
        select.select([], [link], [], wire.TURN_S)
        with contextlib.suppress(*wire.WAIT):
            rest = rest[link.send(rest) :]


if __name__ == "__main__":
    sys.exit(main())
