"""What a person sees of a run: a live table on a terminal, plain lines elsewhere."""

from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

import msgspec
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from gateway.cli.options import moment
from gateway.records import Incident
from sim_hardware.fleet.snapshot import Heard, Snapshot

_LINE_S = 5.0
"""Between two plain lines."""
_RATE_S = 10.0
_INCIDENTS = 8
"""Shown at once; the open ones first."""
_BLOCKS = "▁▂▃▄▅▆▇█"
_COLOURS = {"critical": "bold red", "warning": "yellow", "info": "cyan"}


class View(Protocol):
    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, now: Snapshot) -> None: ...

    def say(self, text: str) -> None: ...


def make_view(console: Console, title: str) -> View:
    return LiveView(console, title) if console.is_terminal else PlainView(console, title)


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
            f"{moment(now.city)} in the city, {now.elapsed_s:.0f} s into the run, "
            f"{self._rate.of(now):.1f} packs a second",
        )
        parts: list[RenderableType] = [head, _nodes(now)]
        if now.heard:
            parts += [_ledger(now.heard), _incidents(now.heard.incidents)]
        self._live.update(Group(*parts), refresh=True)


def _nodes(now: Snapshot) -> Table:
    table = Table("nodes", box=None, header_style="bold", pad_edge=False)
    for column in ("number", "connected", "packs made", "sent", "waiting"):
        table.add_column(column, justify="right")
    curves = now.heard.curves if now.heard else {}
    if curves:
        table.add_column("over the run, and now")
    for kind, counts in now.kinds.items():
        row = [kind]
        row += [str(n) for n in (counts.nodes, counts.connected, counts.made, counts.acked, counts.waiting)]
        if curve := curves.get(kind):
            row.append(f"{sparkline(curve.values)}  {curve.label} {curve.values[-1]:.1f} {curve.unit}")
        table.add_row(*row)
    return table


def _ledger(heard: Heard) -> Table:
    table = Table("ledger", box=None, header_style="bold", pad_edge=False)
    counts = msgspec.structs.asdict(heard.ledger)
    for name in counts:
        table.add_column(name.replace("_", " "), justify="right")
    table.add_column("balanced")
    balanced = Text("yes", style="green") if heard.ledger.balanced else Text("NO", style="bold red")
    table.add_row("packs", *(str(value) for value in counts.values()), balanced)
    return table


def _incidents(incidents: Sequence[Incident]) -> RenderableType:
    if not incidents:
        return Text("no incident so far", style="dim")
    table = Table("incident", "where", "opened", "closed", "why", box=None, header_style="bold", pad_edge=False)
    newest = sorted(incidents, key=lambda each: (each.closed is None, each.opened), reverse=True)
    for each in newest[:_INCIDENTS]:
        closed = "open" if each.closed is None else moment(each.closed)[11:16]
        style = _COLOURS[each.severity] if each.closed is None else "dim"
        table.add_row(each.kind, place(each), moment(each.opened)[11:16], closed, each.summary, style=style)
    if len(newest) > _INCIDENTS:
        table.add_row(f"and {len(newest) - _INCIDENTS} more", style="dim")
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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def say(self, text: str) -> None:
        # Straight to the file: a line is never wrapped, and shown at once even in a pipe.
        print(text, file=self._console.file, flush=True)

    def show(self, now: Snapshot) -> None:
        for each in now.heard.incidents if now.heard else ():
            name = f"{each.kind} {place(each)}"
            if each.id not in self._told:
                self.say(f"incident opened {moment(each.opened)}  {name}: {each.summary}")
                self._told[each.id] = None
            if each.closed is not None and self._told[each.id] is None:
                self.say(f"incident closed {moment(each.closed)}  {name}")
                self._told[each.id] = each.closed
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
        self.say(line)
