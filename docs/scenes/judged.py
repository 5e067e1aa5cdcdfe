"""What the scenes are made of: packs from numbers, the gateway's own detectors over them, and what these say drawn."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gateway.detect.detectors import Detectors, Settings
from gateway.detect.plan import Plan
from gateway.records import Incident, Pack, Reading, Stream

START = 1_795_392_000
"""2026-11-23, a Monday, 00:00 UTC."""
MINUTE, HOUR, DAY = 60, 3600, 86_400
SITE = "riverside"


def packs(
    node: str,
    times: Sequence[int] | np.ndarray,
    values: Mapping[str, Any],
    stream: Stream = "telemetry",
    kind: str = "",
    boot: Any = 1,
) -> list[Pack]:
    """A pack a window: `times` are seconds after START; of `values`, `[channel/]quantity`, NaN is left out."""
    boots = np.broadcast_to(boot, len(times))
    columns = {name: np.broadcast_to(each, len(times)) for name, each in values.items()}
    found = []
    for at, after in enumerate(np.asarray(times).tolist()):
        time = START + round(after)
        readings = []
        for name, column in columns.items():
            channel, _, quantity = name.rpartition("/")
            if np.isfinite(column[at]):
                readings.append(Reading(time, channel, quantity, float(column[at])))
        measured = kind or node.partition("-")[0]
        found.append(Pack.of(SITE, node, stream, measured, int(boots[at]), at, time, readings))
    return found


def judge(every: Sequence[Pack], kind: str, plan: Plan = Plan()) -> list[Incident]:  # noqa: B008
    """The incidents of a kind that the gateway's detectors find. Raises ValueError where there are none."""
    incidents = Detectors(Settings(plan)).feed(sorted(every, key=lambda pack: pack.time))
    found = [each for each in incidents if each.kind == kind]
    if not found:
        raise ValueError(f"no {kind} was found, only {sorted({each.kind for each in incidents})}")
    return found


def show(axes: Any, incidents: Sequence[Incident], last: float, unit: float) -> None:
    """The span of each incident, from its opening to its end; dotted is since when it seems to have been so.

    `last`: seconds after START at which the drawing ends; `unit`: seconds of one step of the axis.
    """
    for number, each in enumerate(incidents):
        begin = (each.opened - START) / unit
        end = ((each.closed - START) if each.closed else last) / unit
        axes.axvspan(begin, end, color="tab:red", alpha=0.18, lw=0, label=None if number else each.kind)
        if each.since:
            axes.axvline((each.since - START) / unit, color="tab:red", ls=":", lw=1, label=None if number else "since")


def bound(axes: Any, value: float, label: str) -> None:
    axes.axhline(value, color="black", ls="--", lw=0.8, label=label)


def noise(seed: int, size: int, spread: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, spread, size)
