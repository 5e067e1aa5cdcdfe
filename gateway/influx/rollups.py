"""Roll-ups: windows of 15 minutes, an hour and a day, as InfluxQL and as Flux. Pure.

What is summed up how is told by `gateway.quantities` alone. A roll-up has the measurements, tags and names of what it
sums up, in a retention policy (1.x) or a bucket (2.x) of its own; a value's time is the beginning of its interval, in
UTC. A window counts where it ends.
"""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from gateway.quantities import KINDS, Quantity, Summary, measured_in
from gateway.query.influxql import Rollup, quote_name

MEASUREMENTS: Final = (*KINDS, "health")


class Step(Struct, frozen=True):
    """One interval. Durations are written as InfluxQL and Flux write them."""

    rollup: Rollup
    again: str
    """How far back each run reaches, so that packs that come late are counted too."""
    shards: str
    """How much of it one file of 1.x holds."""


STEPS: Final = (
    Step(Rollup.QUARTER, "6h", "4w"),
    Step(Rollup.HOUR, "1d", "12w"),
    Step(Rollup.DAY, "1w", "52w"),
)


def field(quantity: Quantity, summary: Summary) -> str:
    """What a summary is called in a roll-up: as the quantity where it is its first, else `pm2_5_max`."""
    return quantity.name if summary == quantity.rollup[0] else f"{quantity.name}_{summary}"


def select(database: str, source: str, measurement: str, rollup: Rollup, where: str = "") -> str:
    """The InfluxQL that fills a roll-up of 1.x from the retention policy `source`; idempotent."""
    values = ", ".join(
        f"{summary}({quote_name(each.name)}) AS {quote_name(field(each, summary))}"
        for each in measured_in(measurement)
        for summary in each.rollup
    )
    into, out = (".".join(quote_name(part) for part in (database, policy, measurement)) for policy in (rollup, source))
    return (
        f"SELECT {values} INTO {into} FROM {out} {where}{' ' if where else ''}"
        f'GROUP BY time({rollup}), "site", "node", "channel"'
    )


def continuous_query(database: str, source: str, measurement: str, step: Step) -> str:
    """The statement that makes 1.x fill a roll-up by itself. Its name is that of `query_name`."""
    return (
        f"CREATE CONTINUOUS QUERY {quote_name(query_name(measurement, step.rollup))} ON {quote_name(database)} "
        f"RESAMPLE EVERY {step.rollup} FOR {step.again} "
        f"BEGIN {select(database, source, measurement, step.rollup)} END"
    )


def query_name(measurement: str, rollup: Rollup) -> str:
    """Of a continuous query, or of a task."""
    return f"ganglion_{measurement}_{rollup}"


def flux(source: str, goal: str, measurement: str, step: Step) -> str:
    """The task that makes 2.x fill the bucket `goal` from the bucket `source`; idempotent."""
    by_name: dict[tuple[Summary, bool], list[str]] = {}
    for each in measured_in(measurement):
        for summary in each.rollup:
            by_name.setdefault((summary, summary == each.rollup[0]), []).append(each.name)
    parts = [
        'import "date"',
        f"option task = {{name: {_text(query_name(measurement, step.rollup))}, every: {step.rollup}, offset: 1m}}",
        f"windows = from(bucket: {_text(source)})\n"
        f"    |> range(start: date.truncate(t: -{step.again}, unit: {step.rollup}), "
        f"stop: date.truncate(t: now(), unit: {step.rollup}))\n"
        f"    |> filter(fn: (r) => r._measurement == {_text(measurement)})",
    ]
    for (summary, first), names in by_name.items():
        rename = "" if first else f'\n    |> map(fn: (r) => ({{r with _field: r._field + "_{summary}"}}))'
        parts.append(
            f"windows\n    |> filter(fn: (r) => {_any_of(names)})\n"
            f'    |> aggregateWindow(every: {step.rollup}, fn: {summary}, createEmpty: false, timeSrc: "_start")'
            f"{rename}\n    |> to(bucket: {_text(goal)})\n"
            f'    |> yield(name: "{summary}{"" if first else "_more"}")'
        )
    return "\n\n".join(parts) + "\n"


def _any_of(names: Iterable[str]) -> str:
    return " or ".join(f"r._field == {_text(name)}" for name in names)


def _text(text: str) -> str:
    """A string of Flux."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("${", "\\${") + '"'
