"""What a run looks like at one moment, for the view and the report."""

from msgspec import Struct

from gateway.records import Incident, Ledger
from sim_hardware.fleet.inject import Injector, Record
from sim_hardware.fleet.slots import Counts


class Heard(Struct, frozen=True):
    """What the gateway that listens knows."""

    ledger: Ledger
    incidents: tuple[Incident, ...]
    settled: bool
    """It has dealt with all that has arrived: written, detected, told."""
    curves: dict[str, "Curve"] = {}
    """By kind, out of the database."""


class Curve(Struct, frozen=True):
    """A quantity over the run, as the database has it."""

    label: str
    unit: str
    values: tuple[float, ...]


class Snapshot(Struct, frozen=True):
    elapsed_s: float
    city: int
    """Unix seconds of the city."""
    alive: int
    crashes: int
    counts: Counts
    kinds: dict[str, Counts]
    heard: Heard | None
    """None where no gateway of ours listens."""
    started: int
    """Boards that have had power."""
    dark: int
    """Boards that are kept without power now."""
    late: int
    """Boards that are well behind the city's clock."""
    faults: tuple[Record, ...]
    """The last few, the newest first."""


def snapshot(injector: Injector, elapsed_s: float, heard: Heard | None) -> Snapshot:
    fleet = injector.fleet
    return Snapshot(
        elapsed_s,
        fleet.pace.now_us() // 1_000_000,
        fleet.alive(),
        fleet.crashes,
        fleet.counts(),
        fleet.counts_by_kind(),
        heard,
        fleet.supply.begun,
        fleet.supply.dark,
        fleet.late(),
        tuple(injector.recent()),
    )
