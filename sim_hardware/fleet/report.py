"""The report: one JSON object that says what a run did. Figures that a run cannot know are null, never made up."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from gateway.errors import ConfigError
from sim_hardware.city.truth import Delay, score
from sim_hardware.fleet.fleet import FleetError
from sim_hardware.fleet.inject import Record
from sim_hardware.fleet.nodes import Nodes
from sim_hardware.fleet.snapshot import Heard


class Report(Struct, frozen=True):
    firmware: str
    """`real`, or `modelled`: calculated, see `fleet.modelled`."""
    nodes: int
    duration_s: float
    city_begin: int
    """Unix seconds at which the city began."""
    city_s: int
    """How much of it was lived through."""
    speed: float
    """As asked for."""
    speed_reached: float | None
    """City seconds that the slowest board lived, per second of the run."""
    seed: int
    packs_sent: int
    """Acknowledged to the nodes by the broker."""
    packs_unsent: int
    """Still in the nodes' outboxes."""
    packs_dropped: int
    """Dropped by nodes whose outbox was full."""
    crashes: int
    packs_received: int | None
    packs_written: int | None
    packs_waiting: int | None
    duplicates: int | None
    dead_letters: int | None
    gaps: int | None
    incidents_injected: int
    incidents_detected: int | None
    false_incidents: int | None
    detection_delay_s: dict[str, Delay] | None
    pss_kib_per_node: float | None
    faults: dict[str, int]
    """How many of each kind have begun, the city's power cuts among them."""


def report(
    fleet: Nodes, duration_s: float, lived_s: float, heard: Heard | None, faults: Sequence[Record] = ()
) -> Report:
    """Of `duration_s` seconds, in which every board lived `lived_s` of the city.

    `heard` is what the gateway has said last; None where no gateway of ours listened.
    """
    now = fleet.pace.now_us() // 1_000_000
    counts = fleet.counts()
    ledger = heard.ledger if heard else None
    scored = score(fleet.truth(), heard.incidents if heard else (), now)
    pss = fleet.pss_kib_per_node()
    return Report(
        firmware=fleet.firmware,
        nodes=fleet.settings.nodes,
        duration_s=round(duration_s, 3),
        city_begin=fleet.settings.start,
        city_s=now - fleet.settings.start,
        speed=fleet.settings.speed,
        speed_reached=round(lived_s / duration_s, 2) if duration_s else None,
        seed=fleet.settings.seed,
        packs_sent=counts.acked,
        packs_unsent=counts.waiting,
        packs_dropped=counts.dropped,
        crashes=fleet.crashes,
        packs_received=ledger.received if ledger else None,
        packs_written=ledger.written if ledger else None,
        packs_waiting=ledger.waiting if ledger else None,
        duplicates=ledger.duplicates if ledger else None,
        dead_letters=ledger.dead_letters if ledger else None,
        gaps=ledger.gaps if ledger else None,
        incidents_injected=scored.injected,
        incidents_detected=scored.detected if heard else None,
        false_incidents=scored.false if heard else None,
        detection_delay_s=scored.delay_s if heard else None,
        pss_kib_per_node=None if pss is None else round(pss, 1),
        faults=dict(sorted(Counter(each.kind for each in faults).items())),
    )


def summary(made: Report) -> str:
    """A line for a person."""
    said = f"{made.packs_sent} packs sent" + (" by modelled nodes" if made.firmware == "modelled" else "")
    if made.packs_written is not None:
        said += f", {made.packs_written} written, {made.gaps} gaps; {made.incidents_detected} of "
        said += f"{made.incidents_injected} incidents found, {made.false_incidents} false"
    if made.faults:
        said += f"; faults: {', '.join(f'{count} {kind}' for kind, count in made.faults.items())}"
    return f"{said}; board crashes: {made.crashes}"


def check_writable(path: Path) -> None:
    """Raises ConfigError where no report could be written, before the run instead of after it."""
    if path.is_dir() or not os.access(path if path.exists() else path.absolute().parent, os.W_OK):
        raise ConfigError(f"--report {path} cannot be written: name a file in a folder that exists and is yours")


def as_json(made: Report) -> bytes:
    return msgspec.json.format(msgspec.json.encode(made), indent=2) + b"\n"


def write(path: Path, made: Report) -> None:
    """Raises FleetError when the disk does not take it."""
    try:
        path.write_bytes(as_json(made))
    except OSError as error:
        raise FleetError(f"--report {path} could not be written: {error.strerror}") from error
