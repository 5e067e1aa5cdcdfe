"""What a run, its view and its report ask of a fleet, be its nodes emulated boards or modelled ones."""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol

from sim_hardware.city.city import City
from sim_hardware.city.tables import Place
from sim_hardware.city.truth import Truth
from sim_hardware.fleet.fleet import Settings
from sim_hardware.fleet.pace import Pace
from sim_hardware.fleet.slots import Counts
from sim_hardware.fleet.supply import Outage


class Power(Protocol):
    """Who has power."""

    @property
    def begun(self) -> int:
        """Nodes that have been given power for the first time."""

    @property
    def dark(self) -> int:
        """Nodes that are kept without power now."""


class Nodes(Protocol):
    """See `fleet.Fleet` for what each of these means."""

    firmware: str
    """`real` or `modelled`."""
    folder: Path
    settings: Settings
    places: list[Place]
    city: City
    pace: Pace

    @property
    def crashes(self) -> int: ...

    @property
    def supply(self) -> Power: ...

    def running(self, *others: Callable[[], Coroutine[Any, Any, None]]) -> AbstractAsyncContextManager["Nodes"]: ...

    def counts(self) -> Counts: ...

    def counts_by_kind(self) -> dict[str, Counts]: ...

    def alive(self) -> int: ...

    def started(self) -> bool: ...

    def restless(self) -> bool: ...

    def late(self) -> int: ...

    def outages(self) -> Sequence[Outage]: ...

    def truth(self) -> list[Truth]: ...

    def pss_kib_per_node(self) -> float | None: ...

    def lived_s(self) -> int: ...

    def behind(self) -> bool: ...

    async def drain(
        self, done: Callable[[], Awaitable[bool]], seconds: float, stopped: Callable[[], bool] = ...
    ) -> bool: ...
