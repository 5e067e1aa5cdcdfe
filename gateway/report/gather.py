"""What a report is made of, from the database and the journal."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from gateway.journal.cases import MOST_CLOSED
from gateway.journal.store import Journal
from gateway.query.client import Series
from gateway.query.influxql import quote_text
from gateway.report import air, traffic, water
from gateway.report.figures import Measured, Remembered
from gateway.report.hourly import LEAD, hourly, statement
from gateway.report.weeks import IsoWeek, Span, utc

Ask = Callable[[str], list[Series]]
"""The answer to InfluxQL, as `gateway.query.client.ask` gives it; raises what that raises."""
Told = Mapping[str, tuple[str, ...]]
"""By id of an incident, the ways by which people were told."""
Step = Callable[[str], None]
"""Told what has been answered, for who waits."""

BEFORE: Final = ", week before"

PARTS: Final = {
    "traffic": (traffic.COLUMNS, traffic.COLUMNS_BEFORE, 0),
    "water": (water.COLUMNS, water.COLUMNS_BEFORE, LEAD),
    "air": (air.COLUMNS, air.COLUMNS_BEFORE, 0),
}
STEPS: Final = 2 * len(PARTS) + 1
"""Statements of one report."""
AT_ONCE: Final = 2
"""Of them: a database works on one by one core. The others are for whoever else asks."""
LISTED: Final = 104
"""Weeks that are looked at for data, back from now."""
_PROBES: Final = 24
"""Statements in one request: a URL has a length."""


def measure(ask: Ask, site: str, span: Span, step: Step = lambda _: None) -> Measured:
    """Asks for hourly values alone, `STEPS` statements, from `AT_ONCE` threads."""
    statements = {
        f"{kind}{words}": statement(kind, site, asked, when, lead)
        for kind, (columns, columns_before, lead) in PARTS.items()
        for when, words, asked in ((span, "", columns), (span.before, BEFORE, columns_before))
    } | {"clocks": _clocks(site, span)}
    with ThreadPoolExecutor(AT_ONCE, "report-ask") as pool:
        futures = {pool.submit(ask, text): what for what, text in statements.items()}
        answers = {}
        try:
            for future in as_completed(futures):
                answers[futures[future]] = future.result()
                step(futures[future])
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    kinds = {kind: hourly(answers[kind], answers[kind + BEFORE], span, PARTS[kind][2]) for kind in PARTS}
    corrections = {
        each.tags.get("node", ""): max(abs(value) for value in values[1:] if value is not None)
        for each in answers["clocks"]
        for values in each.values
    }
    return Measured(kinds, corrections)


def _clocks(site: str, span: Span) -> str:
    return (
        f'SELECT max("clock_error") AS "most", min("clock_error") AS "least" FROM "health" '
        f'WHERE "site" = {quote_text(site)} AND time > {utc(span.begin)} AND time <= {utc(span.end)} GROUP BY "node"'
    )


def remember(journal: Journal, site: str, span: Span, told: Told) -> Remembered:
    """From a journal that is open, to read is enough."""
    incidents = journal.incidents()
    ended = sum(each.closed is not None for each in incidents)
    return Remembered(
        nodes=tuple(view for view in journal.nodes() if view.site == site),
        incidents=tuple(incidents),
        dead_letters=journal.dead_letters_of(span.begin, span.end),
        told=dict(told),
        forgotten=ended >= MOST_CLOSED,
    )


def weeks_with_data(ask: Ask, site: str, span: Span) -> list[IsoWeek]:
    """Of the `LISTED` weeks up to that of `span`, those in which anything was measured; the newest first."""
    spans = [span]
    while len(spans) < LISTED:
        spans.append(spans[-1].before)
    probes = [
        f'SELECT {quote} FROM "{kind}" WHERE "site" = {quote_text(site)} '
        f"AND time > {utc(each.begin)} AND time <= {utc(each.end)} LIMIT 1"
        for each in spans
        for kind, quote in (("traffic", '"volume"'), ("water", '"volume"'), ("air", '"pm2_5"'))
    ]
    times: list[str] = []
    for first in range(0, len(probes), _PROBES):
        answer = ask("; ".join(probes[first : first + _PROBES]))
        times += [str(values[0]) for series in answer for values in series.values]
    found = {each.week for each in spans if any(_within(time, each) for time in times)}
    return sorted(found, reverse=True)


def reports(ask: Ask, sites: Sequence[str], zone: ZoneInfo, now: float) -> list[tuple[IsoWeek, str]]:
    """The weeks up to now (Unix seconds) of which there can be a report, and of which site; the newest first."""
    span = Span(IsoWeek.of(datetime.fromtimestamp(now, zone).date()), zone)
    found = [(week, site) for site in sites for week in weeks_with_data(ask, site, span)]
    return sorted(found, key=lambda each: each[0], reverse=True)


def _within(time: str, span: Span) -> bool:
    return span.begin < datetime.fromisoformat(time).timestamp() <= span.end
