"""What a person sees of a run: a live table on a terminal, plain lines elsewhere."""

import os
from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

import msgspec
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.measure import Measurement
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from gateway.cli.options import moment
from gateway.records import Incident
from sim_hardware.fleet.fleet import FleetError
from sim_hardware.fleet.inject import Record
from sim_hardware.fleet.snapshot import Heard, Snapshot

_LINE_S = 5.0
"""Between two plain lines."""
_RATE_S = 10.0
_INCIDENTS = 8
"""Shown at once; the open ones first."""
_OTHER_LINES = 12
"""Of the live view, beside those of incidents."""
_BLOCKS = "▁▂▃▄▅▆▇█"
_COLOURS = {"critical": "bold red", "warning": "yellow", "info": "cyan"}


class View(Protocol):
    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, now: Snapshot) -> None: ...

    def say(self, text: str) -> None: ...


class OutputClosed(FleetError, BrokenPipeError):
    """Nobody reads what is printed any more, as behind `| head`. As a broken pipe it ends a command quietly."""


def is_screen(console: Console) -> bool:
    """Whether it can be drawn on, and shows more than letters."""
    return console.is_terminal and not console.is_dumb_terminal and console.encoding.startswith("utf")


def make_view(console: Console, title: str) -> View:
    return LiveView(console, title) if is_screen(console) else PlainView(console, title)


def tell(console: Console, line: str) -> None:
    """A line that is never wrapped, so that a command can be copied, and shown at once even in a pipe.

    What the encoding lacks is escaped. Raises FleetError when it cannot be written.
    """
    shown = line.encode(console.encoding, "backslashreplace").decode(console.encoding)
    try:
        print(shown, file=console.file, flush=True)
    except OSError as error:
        # What is left in the buffer would be tried, and fail, once more when the program ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), console.file.fileno())
        if isinstance(error, BrokenPipeError):
            raise OutputClosed(*error.args) from error
        raise FleetError(f"standard output cannot be written to: {error.strerror}") from error


class _Rate:
    """Packs a second over the last seconds: nodes report minute by minute, all at once."""

    def __init__(self) -> None:
        self._past = [(0.0, 0)]

    def of(self, now: Snapshot) -> float:
        self._past.append((now.elapsed_s, now.counts.acked))
        while len(self._past) > 2 and self._past[1][0] <= now.elapsed_s - _RATE_S:
            del self._past[0]
        since, acked = self._past[0]
        return (now.counts.acked - acked) / (now.elapsed_s - since) if now.elapsed_s > since else 0.0


class LiveView:
    """Redraws itself in place."""

    def __init__(self, console: Console, title: str) -> None:
        self._title = title
        self._rate = _Rate()
        self._live = Live(console=console, auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def say(self, text: str) -> None:
        self._live.console.print(Text(text, style="dim"))

    def show(self, now: Snapshot) -> None:
        head = Text.assemble(
            (f"{self._title}  ", "bold"),
            f"city {moment(now.city)}, {now.elapsed_s:.0f} s, {self._rate.of(now):.1f} packs/s",
            (f", board crashes: {now.crashes}" if now.crashes else "", "bold red"),
            no_wrap=True,
            overflow="ellipsis",
        )
        parts: list[RenderableType] = [head, *_start(now), *_boards(now), _nodes(now)]
        if now.heard:
            rows = max(1, min(_INCIDENTS, self._live.console.height - _OTHER_LINES))
            parts += [_ledger(now.heard), _incidents(now.heard.incidents, rows)]
        self._live.update(Group(*parts), refresh=True)


def _start(now: Snapshot) -> list[RenderableType]:
    """How far the start of the boards has come, until all have power."""
    if now.started >= now.counts.nodes:
        return []
    line = Table.grid(padding=(0, 1))
    bar = ProgressBar(total=now.counts.nodes, completed=now.started, width=30)
    line.add_row(Text("starting boards", no_wrap=True), bar, f"{now.started}/{now.counts.nodes}")
    return [line]


def _boards(now: Snapshot) -> list[RenderableType]:
    """What fails: one line, where anything does."""
    counts = [f"{name}: {count}" for name, count in (("no power", now.dark), ("late", now.late)) if count]
    if not counts and not now.faults:
        return []
    parts = [(", ".join(counts), "yellow"), ("  " if counts and now.faults else "", "")]
    if now.faults:
        parts.append(("faults: " + "; ".join(fault(each, now.city) for each in now.faults), "dim"))
    return [Text.assemble(*parts, no_wrap=True, overflow="ellipsis")]


def fault(each: Record, now: int) -> str:
    """For a person: when it began, what it is, and where; whether it goes on."""
    where = {0: "", 1: f" {each.nodes[0]}"}.get(len(each.nodes), f" {len(each.nodes)} nodes") if each.nodes else ""
    return f"{moment(each.begin)[11:16]} {each.kind}{where}{' (now)' if each.begin <= now < each.end else ''}"


class _Spark:
    """A curve as wide as there is room: its newest part."""

    def __init__(self, values: Sequence[float]) -> None:
        self._values = values

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(1, len(self._values))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(sparkline(self._values[-options.max_width :]), no_wrap=True)


def _table(*columns: str) -> Table:
    """Each row one line, however narrow the terminal: what has no room is cut off, the last column first."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, no_wrap=column != columns[-1], overflow="ellipsis")
    return table


def _nodes(now: Snapshot) -> Table:
    curves = now.heard.curves if now.heard else {}
    more = ("now", "so far") if curves else ()
    table = _table("nodes", "number", "connected", "made", "sent", "waiting", *more)
    for column in table.columns[1:6]:
        column.justify = "right"
    for kind, counts in now.kinds.items():
        row: list[RenderableType] = [kind]
        row += [str(n) for n in (counts.nodes, counts.connected, counts.made, counts.acked, counts.waiting)]
        if curve := curves.get(kind):
            row += [f"{curve.label} {curve.values[-1]:.1f} {curve.unit}", _Spark(curve.values)]
        table.add_row(*row)
    return table


def _ledger(heard: Heard) -> Table:
    counts = msgspec.structs.asdict(heard.ledger)
    table = _table("ledger", *(name.replace("_", " ") for name in counts), "balanced")
    for column in table.columns[1:-1]:
        column.justify = "right"
    balanced = Text("yes", style="green") if heard.ledger.balanced else Text("NO", style="bold red")
    table.add_row("packs", *(str(value) for value in counts.values()), balanced)
    return table


def _incidents(incidents: Sequence[Incident], rows: int) -> RenderableType:
    if not incidents:
        return Text("no incident so far", style="dim")
    table = _table("incident", "where", "opened", "closed", "why")
    newest = sorted(incidents, key=lambda each: (each.closed is None, each.opened), reverse=True)
    for each in newest[:rows]:
        closed = "open" if each.closed is None else moment(each.closed)[11:16]
        style = _COLOURS[each.severity] if each.closed is None else "dim"
        why = Text(each.summary, no_wrap=True, overflow="ellipsis")
        table.add_row(each.kind, place(each), moment(each.opened)[11:16], closed, why, style=style)
    if len(newest) > rows:
        table.add_row(f"and {len(newest) - rows} more", style="dim")
    return table


def place(incident: Incident) -> str:
    return "/".join(part for part in (incident.site, incident.node, incident.channel) if part)


def sparkline(values: Sequence[float]) -> str:
    """A block for each value, the lowest and the highest at the ends of the scale."""
    low, high = min(values), max(values)
    scale = (len(_BLOCKS) - 1) / (high - low) if high > low else 0.0
    return "".join(_BLOCKS[round((value - low) * scale)] for value in values)


class PlainView:
    """A line now and then, and one for each incident that opens or closes."""

    def __init__(self, console: Console, title: str) -> None:
        self._console = console
        self._title = title
        self._rate = _Rate()
        self._next = 0.0
        self._told: dict[str, int | None] = {}
        self._faults: list[tuple[str, int, tuple[str, ...]]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def say(self, text: str) -> None:
        tell(self._console, text)

    def show(self, now: Snapshot) -> None:
        for each in now.heard.incidents if now.heard else ():
            name = f"{each.kind} {place(each)}"
            if each.id not in self._told:
                self.say(f"incident opened {moment(each.opened)}  {name}: {each.summary}")
                self._told[each.id] = None
            if each.closed is not None and self._told[each.id] is None:
                self.say(f"incident closed {moment(each.closed)}  {name}")
                self._told[each.id] = each.closed
        before, self._faults = self._faults, [(each.kind, each.begin, each.nodes) for each in now.faults]
        for key, record in reversed(list(zip(self._faults, now.faults, strict=True))):
            if key not in before:
                self.say(f"fault {fault(record, now.city)}")
        if now.elapsed_s < self._next:
            return
        self._next = now.elapsed_s + _LINE_S
        line = (
            f"{now.elapsed_s:.0f} s  city {moment(now.city)}  nodes {now.counts.connected}/{now.counts.nodes} connected"
            f"  packs {now.counts.acked} sent ({self._rate.of(now):.1f}/s) {now.counts.waiting} in outboxes"
        )
        if now.heard:
            ledger = now.heard.ledger
            line += f"  gateway {ledger.received} received {ledger.written} written {ledger.waiting} waiting"
            line += f" {ledger.gaps} gaps {ledger.dead_letters} dead letters"
        if now.started < now.counts.nodes:
            line += f"  {now.started} started"
        for name, count in (("without power", now.dark), ("late", now.late)):
            if count:
                line += f"  {count} {name}"
        if now.crashes:
            line += f"  board crashes: {now.crashes}"
        self.say(line)
