"""Malformed packs and topics: through the decoder at full speed, and through a real broker into a real gateway.

`python -m tests.bench.fuzz` ends with 0 when none did any harm: nothing came out of the decoder but packs that can be
written and reasons why not, every message is accounted for, good ones in between are all written, and memory has not
grown. Figures are one JSON object a line.
"""

import argparse
import math
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import cast

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from gateway.errors import GanglionError, Refused
from gateway.forward.lines import pack_lines
from gateway.ingest.decode import REASONS, Bad, decode_packs, decode_status, parse_topic
from gateway.records import Pack, Stream
from sim_hardware.servers import InfluxDB, Mosquitto
from tests.bench.malformed import SEQS, STREAMS, Case, Malformed, Packs
from tests.bench.meter import rss_mib
from tests.bench.packs import COUNTED, KINDS, LANES, SITE, WINDOW_S, name
from tests.bench.result import show
from tests.bench.sender import Sender, plain
from tests.gateway.databases import select
from tests.system.gateway_process import GatewayProcess

MESSAGES, THROUGH, SEED = 1_000_000, 50_000, 1
GROWTH_MIB = 8.0
"""By which the decoder's memory may be more at the end than after a tenth. Its own caches are full by then; that of the
lines' forms, which is bounded too, still fills with new channels. 28 bytes kept of each message are noticed."""
GATEWAY_GROWTH_MIB = 48.0
"""The same of the gateway, whose memory goes up and down with its batches."""
GOOD_EVERY, GOOD_NODES, GOOD_FROM = 10, 30, 1_000
SETTLE_S = 120.0
PAST_S = WINDOW_S * SEQS + 86_400


class FuzzError(GanglionError):
    """Something did harm. The message carries what is needed to see it again."""


def outcomes(topic: bytes, payload: bytes, now: float) -> list[Pack | Bad]:
    """What the gateway makes of a message that reaches it. A status that can be read is nothing."""
    try:
        site, node, level = parse_topic(_said(topic))
        if level == "status":
            if payload:
                decode_status(payload)
            return []
    except Refused as refused:
        return [Bad(payload, refused)]
    return decode_packs(site, node, cast(Stream, level), payload, now=now)


def _said(topic: bytes) -> str:
    try:
        return topic.decode()
    except UnicodeDecodeError:
        return "(not UTF-8)"  # as the receiver has it


def examine(case: Case, now: float) -> list[str]:
    """The reason of each pack that is refused, and `taken` for each other. Raises FuzzError at what must not be."""
    try:
        found = outcomes(case.topic, case.payload, now)
        for each in found:
            if isinstance(each, Pack):
                pack_lines(each)
    except Exception as error:
        raise FuzzError(f"{error!r} comes out of {case}") from error
    if not found and not case.topic.endswith(b"/status"):
        raise FuzzError(f"nothing comes out of {case}")
    for each in found:
        if isinstance(each, Bad):
            if each.refused.reason not in REASONS:
                raise FuzzError(f"the reason {each.refused.reason!r} is in no table, of {case}")
        elif not all(map(math.isfinite, (reading.value for reading in each.readings))):
            raise FuzzError(f"a value that is no number is taken, of {case}")
    return [each.refused.reason if isinstance(each, Bad) else "taken" for each in found] or ["status"]


def decoder(messages: int, seed: int, tick: Callable[[int], None] = lambda _: None) -> tuple[Counter[str], float]:
    """(what came of it, MiB by which the memory has grown since the first tenth). Raises FuzzError.

    So many messages are given in which something is refused; those that a mutation did no harm come on top.
    """
    now = time.time()
    found = Counter[str]()
    number, early = 0, 0.0
    for case in Malformed(seed, int(now) - PAST_S):
        reasons = examine(case, now)
        found.update(reasons)
        if REASONS.keys().isdisjoint(reasons):
            continue
        number += 1
        if number == messages // 10:
            early = rss_mib(os.getpid())
        if number % 1000 == 0:
            tick(1000)
        if number == messages:
            break
    return found, rss_mib(os.getpid()) - early


def _subscribed(topic: bytes) -> bool:
    """Whether the broker gives it to a gateway of our site."""
    levels = topic.split(b"/")
    return (
        len(levels) == 5
        and levels[:3] == [b"ganglion", b"v1", SITE.encode()]
        and levels[4].decode(errors="replace") in STREAMS
    )


class Through:
    """What has become of messages that went through the broker."""

    def __init__(self) -> None:
        self.expected = self.good = self.refused_by_broker = 0
        self.growth_mib = 0.0
        self.reasons = Counter[str]()
        self.counts: dict[str, int] = {}
        self.faults: list[str] = []


def through(
    folder: Path,
    messages: int,
    seed: int,
    tick: Callable[[int], None] = lambda _: None,
    database: InfluxDB | None = None,
) -> Through:
    """Through a real broker into a real gateway, with good packs in between. Raises FuzzError when it comes no further;
    what else is wrong is in `faults`."""
    if database is None:
        with InfluxDB(folder / "influx") as influx:
            return through(folder, messages, seed, tick, influx)
    found = Through()
    now = int(time.time())
    start = now - PAST_S
    packs = Packs(start)
    sent = Counter[int]()
    with (
        Mosquitto(folder / "broker") as broker,
        GatewayProcess(folder / "gateway", broker, database.url, "fuzz") as gateway,
        Sender(broker.port) as sender,
    ):
        assert gateway.process is not None
        early = 0.0
        for number, case in zip(range(messages), Malformed(seed, start), strict=False):
            if number % 1000 == 999:
                tick(1000)
            if number == messages // 10:
                sender.flush()
                _wait(gateway, found.expected)
                early = rss_mib(gateway.process.pid)
            if number % GOOD_EVERY == 0:
                slot = GOOD_FROM + number // GOOD_EVERY % GOOD_NODES
                topic = f"ganglion/v1/{SITE}/{name(slot)}/telemetry".encode()
                sender.send(topic, packs.message(slot, sent[slot]))
                sent[slot] += 1
                found.expected += 1
            if plain(case.topic):
                sender.send(case.topic, case.payload)
            elif not sender.try_alone(case.topic, case.payload):
                continue
            if _subscribed(case.topic):
                found.expected += len(outcomes(case.topic, case.payload, now))
        sender.flush()
        _wait(gateway, found.expected)
        found.growth_mib = rss_mib(gateway.process.pid) - early
        found.refused_by_broker = sender.refused
        found.counts = _counts(gateway)
        letters = gateway.cli_json("dead-letters", "--limit", "100000")
        found.reasons = Counter(letter["reason"] for letter in letters)
        found.good = sum(sent.values())
        found.faults = _faults(found, gateway)
        for slot, wanted in sent.items():
            kind = KINDS[slot % 3]
            asked = f"SELECT count(\"{COUNTED[kind]}\") FROM {kind} WHERE node='{name(slot)}'"
            rows = select(database.url, "fuzz", asked)
            stored = rows[0]["count"] // (LANES if kind == "traffic" else 1) if rows else 0
            if stored != wanted:
                found.faults.append(f"of {wanted} good packs of {name(slot)} the database has {stored}")
    return found


_COUNTS = {
    "received": "ganglion_packs_received_total",
    "written": "ganglion_packs_written_total",
    "waiting": "ganglion_packs_waiting",
    "dead": "ganglion_packs_dead_letter_total",
    "duplicates": "ganglion_packs_duplicate_total",
}


def _counts(gateway: GatewayProcess) -> dict[str, int]:
    return {which: int(gateway.metric(metric)) for which, metric in _COUNTS.items()}


def _wait(gateway: GatewayProcess, received: int) -> None:
    """Until the gateway has received so many, and none waits. Raises FuzzError when nothing moves any more."""
    last, since = {}, time.monotonic()
    while True:
        if gateway.process is None or gateway.process.poll() is not None:
            raise FuzzError(f"the gateway has ended; its log ends:\n{gateway.log[-800:]}")
        count = _counts(gateway)
        if count["received"] >= received and not count["waiting"]:
            return
        if count != last:
            last, since = count, time.monotonic()
        if time.monotonic() - since > SETTLE_S:
            raise FuzzError(f"{received} packs should have been received, and nothing moves: {count}")
        time.sleep(0.1)


def _faults(found: Through, gateway: GatewayProcess) -> list[str]:
    count, faults = found.counts, []
    if count["received"] != found.expected:
        faults.append(f"{found.expected} packs went through the broker, {count['received']} were received")
    if count["received"] != count["written"] + count["waiting"] + count["dead"] + count["duplicates"]:
        faults.append(f"the ledger does not balance: {count}")
    if sum(found.reasons.values()) != count["dead"]:
        faults.append(f"{count['dead']} dead letters are counted, {sum(found.reasons.values())} are kept")
    if "Traceback" in gateway.log:
        faults.append(f"the gateway tells of an error:\n{gateway.log[gateway.log.index('Traceback') :][:800]}")
    if found.growth_mib > GATEWAY_GROWTH_MIB:
        faults.append(f"the gateway's memory has grown by {found.growth_mib:.1f} MiB")
    return faults


def main(arguments: list[str] | None = None) -> int:
    """0 when nothing did harm, else 1."""
    options = argparse.ArgumentParser(
        prog="python -m tests.bench.fuzz",
        description=__doc__.partition("\n")[0],
        epilog="example: python -m tests.bench.fuzz --messages 100000 --through 5000 --seed 2",
    )
    options.add_argument("--messages", type=int, default=MESSAGES, help="to the decoder (%(default)s)")
    options.add_argument("--through", type=int, default=THROUGH, help="through the broker (%(default)s)")
    options.add_argument("--seed", type=int, default=SEED)
    given = options.parse_args(arguments)
    console = Console(stderr=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            Progress(*columns, TimeElapsedColumn(), console=console) as bar,
        ):
            task = bar.add_task("messages to the decoder", total=given.messages)
            found, growth = decoder(given.messages, given.seed, lambda number: bar.advance(task, number))
            on = {"messages": given.messages, "seed": given.seed}
            show("gateway", "fuzz_growth", growth, "MiB", of="decoder", **on)
            show("gateway", "fuzz_taken", found["taken"], "packs", of="decoder", **on)
            for reason, number in sorted(found.items()):
                if reason in REASONS:
                    show("gateway", "fuzz_refused", number, "packs", of="decoder", reason=reason, **on)
            task = bar.add_task("messages through the broker", total=given.through)
            went = through(Path(folder), given.through, given.seed, lambda number: bar.advance(task, number))
    except GanglionError as error:
        console.print(f"fuzz: {error}", style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        return 130
    on = {"messages": given.through, "seed": given.seed}
    count = went.counts
    lost = went.expected - count["written"] - count["waiting"] - count["dead"] - count["duplicates"]
    show("gateway", "fuzz_growth", went.growth_mib, "MiB", of="gateway", **on)
    show("gateway", "fuzz_received", count["received"], "packs", refused_by_broker=went.refused_by_broker, **on)
    show("gateway", "fuzz_unaccounted", lost, "packs", good=went.good, **{**count, **on})
    for reason, number in sorted(went.reasons.items()):
        show("gateway", "fuzz_refused", number, "packs", of="gateway", reason=reason, **on)
    faults = went.faults
    if growth > GROWTH_MIB:
        faults.append(f"the decoder's memory has grown by {growth:.1f} MiB")
    for fault in faults:
        console.print(f"fuzz: {fault}", style="red", markup=False)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
